local peri = require "perilune" local a, b = peri.channel(0), peri.unbounded() b:send(1) return peri.select { a = a:recv_op(), b = b:recv_op(), c = peri.sleep_op(1) }
