local x <close> = setmetatable({}, { __close = function(_, e) error(e or "closed") end }) coroutine.wrap(function() coroutine.yield(1) end)() error { 1, { 2 } }
