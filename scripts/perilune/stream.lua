-- perilune.stream: sequences whose elements may have to be waited for, and what one does with them.
--
-- A stream is pulled: nothing is read before somebody asks for the next element, and the functions given to `map`, `filter`
-- and the like run in the task that asks. A pipeline so needs no task of its own. Only two things start tasks: `buffered`,
-- which runs its elements at once, and waiting for a stream among other operations (`next_op`, and with it `merge`,
-- `chunks_timeout`, `debounce` and `take_until`), where the stream cannot be waited for as it is: then one task reads
-- one element ahead and offers it. Such tasks are daemons below the task that asks.
--
-- A stream belongs to whoever reads it, and to one reader at a time. One that was given to another stream is that one's.
-- Elements are single values, never nil; nil is the end, and stays the end. An error in a source or a function is raised
-- where the next element was asked for. End, error and `close` all close every stream below, and wait for it.
--
-- Nothing is lost to a lost select, a time limit or a cancellation of who asks: what was read and not delivered stays in
-- the stream, in the fields of its stages. The exception is an element whose function was cancelled while it ran.
local core = require "perilune.stream.core"
local sources = require "perilune.stream.sources"
require "perilune.stream.operators"
require "perilune.stream.timed"
require "perilune.stream.buffered"
require "perilune.stream.sinks"

return {
  from = sources.from,
  of = sources.of,
  range = sources.range,
  interval = sources.interval,
  lines = sources.lines,
  is_stream = core.is_stream,
}
