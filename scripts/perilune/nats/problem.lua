-- What fails between a client of NATS and its server: an error object of kind "io" with a code. EPROTO: what came is not the protocol;
-- ECONNRESET: the connection is gone; EACCES: the server does not let us; EIO: the server refuses what was asked for.
local failure = require("perilune.native.groups").failure

return function(code, text) return failure("io", { message = text, value = text, code = code }) end
