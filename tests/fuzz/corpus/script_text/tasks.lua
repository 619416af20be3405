local peri = require "perilune" peri.scope(function(s) for i = 1, 5 do s:spawn(peri.sleep, i) end end) return peri.now()
