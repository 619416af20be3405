return getmetatable("").__index, string.rep, load("return io"), rawset(string, "rep", 1), setmetatable({}, { __gc = print })
