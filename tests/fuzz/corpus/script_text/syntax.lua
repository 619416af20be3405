goto done local function f(...) local <const> n = ... return function() return n end end ::done:: return f(1)(2) + -- [[
