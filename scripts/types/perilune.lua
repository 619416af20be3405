---@meta perilune

-- The reference of the Lua API, for people and for lua-language-server. Every published name stands here, and only those.
--
-- Durations are seconds and may have fractions. Misuse (a wrong argument, nil as a message) raises at the caller's line.
-- Every call marked "waits" is a suspension point: other tasks run meanwhile, and a cancelled task is ended there.

---@class perilune
local peri = {}

-- Errors -------------------------------------------------------------------------------------------------------------

---What went wrong:
--- - `"error"`: a script or native function raised
--- - `"cancelled"`: the task was cancelled
--- - `"timeout"`: a time limit passed
--- - `"group"`: tasks of a scope failed, see `errors`
--- - `"limit"`: memory ran out, or fuel, time, tasks or output of an isolate
--- - `"deadlock"`: nothing could end the wait any more
--- - `"io"`: the operating system refused, see `code`
--- - `"process"`: a child process ended badly
--- - `"misuse"`: a call that can never be right here
---@alias perilune.error_kind
---| "error"
---| "cancelled"
---| "timeout"
---| "group"
---| "limit"
---| "deadlock"
---| "transfer"
---| "io"
---| "process"
---| "misuse"

---What `join` returns and `await` raises. `tostring(e)` reads `task 12 (parser) failed: parser.lua:7: bad header`.
---@class perilune.error
---@field kind perilune.error_kind
---@field message string What happened, without the task's name.
---@field value any The very value that was raised, same identity.
---@field traceback? string Of the failing task, taken before it was unwound; after `await` the awaiter's follows.
---@field task? { id: integer, name: string? } The task that failed.
---@field spawned_at? string `"file.lua:12"`.
---@field suppressed? any[] What closers raised while the task was unwound, in order.
---@field errors? perilune.error[] Kind `"group"`: one per failure, in the order of failure, also when there is just one.
---@field reason? string Kind `"cancelled"`: why.
---@field by? perilune.cancelled_by Kind `"cancelled"`: who asked.
---@field during_cancel boolean An error that replaced a cancellation: a closer raised it.
---@field code? string Kind `"io"`: the system's name of the error, such as `"ENOENT"`.
---@field errno? integer Kind `"io"`: the system's number of the error.

---@class perilune.cancelled_by
---@field kind "cancel"|"timeout"|"scope"|"signal"|"shutdown"|"parent"|"grace"
---@field id? integer The asking task's id.
---@field name? string The asking task's name, or `"timeout"`, `"SIGINT"`, ...

---Whether a value is an error object, of one kind when given.
---@param value any
---@param kind? perilune.error_kind
---@return boolean
function peri.is_error(value, kind) end

---Takes over the reporting of failures that nobody looked at. `report` runs as a task; its own failures are printed, as are those of
---the tasks it spawns. nil restores the default: a message on standard error, and exit status 1. Returns the reporter before it, nil
---where that was the default.
---@param report? fun(task: perilune.task, e: perilune.error)
---@return fun(task: perilune.task, e: perilune.error)?
function peri.on_unobserved(report) end

-- Tasks --------------------------------------------------------------------------------------------------------------

---@class perilune.spawn_options
---@field name? string Shown in errors, reports and dumps.
---@field labels? table<string, any> Shown by `peri.tasks`; read back as `task.labels`.
---@field daemon? boolean Cancelled when the parent's body ends, instead of waited for.
---@field detached? boolean Not in the tree below the caller: it outlives it.
---@field local_data? table Stands in its `peri.data`, beside and over what it has from the caller.

---Queues a child of the current task. It never runs inside `spawn`, but when the caller waits next. The parent waits for
---its children when its body returns, and cancels them when it fails.
---@param fn fun(...): ...
---@param ... any Arguments of `fn`.
---@return perilune.task
---@overload fun(opts: perilune.spawn_options, fn: fun(...): (...), ...): perilune.task
function peri.spawn(fn, ...) end

---The running task.
---@return perilune.task
function peri.self() end

---Waits until everything that is ready now has run once, the caller's own new children first and in order.
function peri.yield() end

---Runs `fn` in a VM of its own on a thread of the blocking pool: for C modules that block, and long C calls. The call returns
---at once; the task ends as the function does. What the function waits for here, timers and channels, does not exist there:
---waiting and spawning raise.
---
---Arguments and results are copied: nil, booleans, numbers, strings, tables of these (shared parts and cycles kept; a metatable
---where it stands in a loaded module), Lua functions with their upvalues (`_ENV` becomes the globals there), error objects; loaded
---modules, and the functions found in them, cross by name. Anything else raises kind `"transfer"` here, before anything happens:
---`cannot cross VMs: args[1].on_done is a coroutine`. In a result it fails the task.
---
---Cancelled while it waits for a thread, it never runs; later it runs to its end. So many calls run at once, and so many wait for
---a thread; while the queue is full `peri.blocking` itself waits, cancellably. Files have threads of their own.
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
---@overload fun(opts: perilune.spawn_options, fn: fun(...): ..., ...): perilune.task
function peri.blocking(fn, ...) end

---@class perilune.parallel_options : perilune.spawn_options
---@field worker? integer Which worker runs it, from 1 to `peri.workers()`. Default: the others in turn.

---Runs `fn` as a task of another worker, in that worker's VM and on its thread; where there is one worker, here. The task that is
---returned stands for it: it ends as the other ends, and cancelling it cancels the other. What crosses is copied, as for
---`peri.blocking`; the function may wait, spawn and do what any task does.
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
---@overload fun(opts: perilune.parallel_options, fn: fun(...): ..., ...): perilune.task
function peri.parallel(fn, ...) end

---Runs `fn` on a thread of the system's that is its alone and has its name, in a VM of its own: for what stays, as a loop that
---reads from a device. It has tasks, timers and files of its own, on real time, and talks to others by shared channels; what
---crosses is copied, as for `peri.blocking`. Cancelling the task cancels the function. It is a daemon unless `daemon = false`:
---cancelled when its parent's body ends. One that is stuck in a C call is left behind at the end of the run, and named.
---@param opts perilune.spawn_options
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
---@overload fun(fn: (fun(...): ...), ...): perilune.task
function peri.thread(opts, fn, ...) end

---@class perilune.pmap_options
---@field workers? integer How many calls run at once, spread over all workers. Default: as many as there are.
---@field chunk? integer How many values are sent together. Default: four chunks for each worker.

---`fn` of every value of the list, computed on all workers: results in the order of the list, which has `n`. The first failure
---cancels the rest and raises kind `"group"`; what cannot cross raises kind `"transfer"`.
---@param list any[]
---@param fn fun(value: any): any
---@param opts? perilune.pmap_options
---@return any[]
function peri.pmap(list, fn, opts) end

---How many workers the runtime has: `perilune run --workers N`.
---@return integer
function peri.workers() end

---The worker that runs this, from 1 on; nil inside `peri.blocking` and `peri.thread`, which are on none.
---@return integer?
function peri.worker_id() end

---@class perilune.isolate_options
---@field profile? "untrusted"|"tool"|"trusted" What there is in it; default `"untrusted"`. See `peri.isolate`.
---@field memory? integer|string Bytes in use, all told (those of buffers and of what waits in shared channels, too), at least
---256 KiB: a number, or a text such as `"16MiB"` (kB, MB, GB, KiB, MiB, GiB). An allocation above it raises `not enough memory`, which a script may catch; one that goes on all the same, by an eighth
---more, is ended. Default: 64 MiB in `"untrusted"`, else none.
---@field fuel? integer Instructions of each run, and steps of native functions that charge them; exact to 1000.
---@field deadline? number Seconds that each run may take, waiting included, by the clock of `peri.now`.
---@field max_tasks? integer Tasks at once, that of the run included. One more raises kind `"limit"` in the spawner.
---@field output? integer Bytes that each run may print: by `print`, `perilune.log`, `io.write`, and `write` of standard streams.
---@field modules? string[] | table<string, string> What is there in spite of the profile, by name: `"perilune.json"`, `"perilune.fs"`,
---`"perilune.parallel"`; and modules of its own, as Lua text: `{"perilune.json", rules = "return {limit = 3}"}`.

---Makes a VM of its own on this worker, for code that one does not trust. Its tasks are tasks like all others: they wait, and take
---turns, and are cancelled with the task that stands for their run. Whatever the code does, a run ends at its limits, as an error
---of kind `"limit"`, which no `pcall` in it sees and no shield holds off; closers run, with little fuel of their own; other runs,
---and the rest of the program, go on, and the VM stays usable.
---
---What there is, by profile; `modules` adds to it.
---
---`"untrusted"`: `assert error getmetatable ipairs load next pairs pcall print rawequal rawget rawlen rawset require select
---setmetatable tonumber tostring type xpcall`, `collectgarbage` to collect and count; `string` without `dump`, `table`, `math`, `utf8`,
---`coroutine`; of `os` `clock date difftime time`, of `debug` `traceback`; of this table what tasks need among themselves: tasks,
---scopes, channels, select, synchronisation, time, cancellation, `retry`, `supervisor`, `stream`, `all` and its like. Library tables
---are read-only, `getmetatable("")` is false, `setmetatable` with `__gc` raises, `load` takes text only. Patterns, `table.concat`, `insert`,
---`move`, `remove`, `sort` and `string.rep` charge what they do, and end at the limits like any code.
---
---`"tool"`: these, and `io` without `popen`, of `os` also `getenv remove rename tmpname`, modules in files (Lua text only), and of this
---table `buffer db env fs hash http json log nats net process queue shared shared_channel span tls toml trace worker_id workers`. No way
---to end the program, to native code, or to a VM that is trusted.
---
---`"trusted"`: everything.
---
---Out of a VM that is not trusted come plain values, tables of these, handles and errors; no functions, libraries or metatables.
---
---Closable: leaving the block closes it. One that is collected ends when its last run has.
---@param opts? perilune.isolate_options
---@return perilune.isolate
function peri.isolate(opts) end

---@class perilune.isolate
---@field memory_used integer Bytes in use; 0 when closed.
local isolate = {}

---Runs Lua text (never bytecode), or a function that is copied like its arguments, see `peri.blocking`. What cannot cross raises kind
---`"transfer"` here. The task ends as the run does: with its results, with its error, or with kind `"limit"`. Everything the run
---started, detached tasks too, ends before. Globals stay from run to run; several may be under way.
---@param source string|fun(...): ...
---@param ... any
---@return perilune.task
function isolate:run(source, ...) end

---Ends the runs under way (kind `"cancelled"`; those of code that is not trusted are killed), waits for them, and frees the VM.
function isolate:close() end

---A channel between VMs: as `peri.channel`, and everybody it was sent to uses the same one. Values are copied; one that cannot
---cross raises kind `"transfer"` at the sender, and the channel is as before.
---@param capacity integer >= 0, exact; 0 is a rendezvous.
---@param name? string
---@return perilune.shared_channel
function peri.shared_channel(capacity, name) end

---Closable: leaving the block closes it.
---@class perilune.shared_channel
---@field capacity integer
---@field name? string
---@operator len: integer
local shared_channel = {}

---Waits while full.
---@param value any Not nil.
---@return true? sent
---@return "closed"? why
function shared_channel:send(value) end

---Waits while empty. nil: the end, after all buffered values.
---@return any value
---@return "closed"? why
function shared_channel:recv() end

---@param value any
---@return true? sent
---@return "full"|"closed"? why
function shared_channel:try_send(value) end

---A value that a select offers on a channel of capacity 0 is seen by those who wait, not here.
---@return any value
---@return "empty"|"closed"? why
function shared_channel:try_recv() end

---@param value any
---@return perilune.operation
function shared_channel:send_op(value) end

---@return perilune.operation
function shared_channel:recv_op() end

---Waits for one value and takes what else is there, up to `max`. An empty list is the end; a `max` of 0 returns one at once.
---@param max integer
---@return any[]
function shared_channel:recv_many(max) end

---@param max integer
---@return perilune.operation
function shared_channel:recv_many_op(max) end

---`for v in ch:iter() do`: until it is closed and empty.
---@return fun(): any
function shared_channel:iter() end

---Idempotent. Waiting senders get `nil, "closed"`, receivers the end.
function shared_channel:close() end

---@return perilune.channel_stats
function shared_channel:stats() end

---A table that all VMs read and none can change: copied once, handed around by reference. It reads as the table did (indexing,
---`#`, `pairs`, `ipairs`), and writing raises. It holds numbers, strings, booleans, tables of these, and other shared values;
---anything else raises kind `"transfer"`, with its path. What is no table is returned as it is.
---@generic T
---@param value T
---@return T
function peri.shared(value) end

---Bytes that can be changed, all 0, or those of a string. Sent to another VM they move, without a copy: this handle is dead
---then, and raises. What was not sent stays.
---@param bytes? integer|string The size, or the bytes. Default: none.
---@return perilune.buffer
function peri.buffer(bytes) end

---`tostring` gives the bytes as a string. Positions count from 1, negative ones from the end.
---@class perilune.buffer
---@operator len: integer
local buffer = {}

---@return integer
function buffer:len() end

---@param at integer
---@return integer byte 0 to 255.
function buffer:get(at) end

---@param at integer
---@param byte integer 0 to 255.
function buffer:set(at, byte) end

---The bytes from `first` to `last` as a string, as `string.sub` has it.
---@param first? integer Default: 1.
---@param last? integer Default: -1.
---@return string
function buffer:sub(first, last) end

---Sets the bytes from `first` to `last`.
---@param byte integer
---@param first? integer Default: 1.
---@param last? integer Default: -1.
---@return perilune.buffer self
function buffer:fill(byte, first, last) end

---Writes over what is there, and beyond the end.
---@param at integer 1 to one beyond the length.
---@param bytes string|number|perilune.buffer
---@return perilune.buffer self
function buffer:write(at, bytes) end

---@param ... string|number|perilune.buffer
---@return perilune.buffer self
function buffer:append(...) end

---Whether the running task has been cancelled: for loops that want to end politely. A task that asks has another slice (10 ms of
---CPU time) to do so; then, and where it waits, the cancellation is raised.
---@return boolean
function peri.cancel_requested() end

---Calls `fn` in a stretch that must not wait: a wait inside raises. Cancellation and limits still work.
---@param fn fun(...): ...
---@param ... any
---@return any ...
function peri.critical(fn, ...) end

---The running task's own table: a child starts with a copy of its parent's, and writes stay with the task.
---@type table
peri.data = nil

---A task, seen from outside. Dropping the handle does not end the task. Sent to another VM, the handle there can `join`, `await`,
---`cancel`, `kill` and tell `status`, `id` and `name`; what the task returned is copied.
---@class perilune.task
---@field id integer Never reused within a run.
---@field name? string
---@field parent? perilune.task nil for a root, a detached task, and after the end.
---@field labels? table<string, any>
local task = {}

---Waits for the outcome: `true` and all results (nils kept), or `false` and the error object. Never raises for the task's
---failure; may be called again, by any number of tasks. With a limit also `nil, "timeout"`; the task then goes on.
---@param timeout? number Seconds.
---@return boolean? ok
---@return any ... Results, the error object, or `"timeout"`.
function task:join(timeout) end

---The operation of `join` without a limit.
---@return perilune.operation
function task:join_op() end

---As `join`, but returns the results alone and raises the error object of a task that failed or was cancelled.
---@return any ...
function task:await() end

---Asks the task to end, and all below it. Returns at once; the first reason stays; no effect after the end. A task that
---has not started yet never starts.
---@param reason? string
function task:cancel(reason) end

---As `cancel`, but shields no longer hold.
---@param reason? string
function task:kill(reason) end

---Moves the task out of its parent's subtree: it outlives its parent. Its failure is still reported.
---@return perilune.task task The same.
function task:detach() end

---@return "ready"|"running"|"waiting"|"closing"|"returned"|"failed"|"cancelled"
function task:status() end

---The tasks below it that have not ended.
---@return perilune.task[]
function task:children() end

-- Scopes -------------------------------------------------------------------------------------------------------------

---@class perilune.scope_options
---@field name? string
---@field policy? "fail_fast"|"supervise"|"any" What a member's end does to the others: `"fail_fast"` (default): a failure
---cancels the rest and the body; `"supervise"`: a failure stays the member's own; `"any"`: the first success cancels the
---rest, and its results are the scope's.
---@field timeout? number Seconds after which the whole is cancelled; raises kind `"timeout"`.

---Runs `fn(s)` and waits for every task spawned by `s:spawn`. Returns what `fn` returns. Failures of members under
---`"fail_fast"`, and of `fn` itself, raise kind `"group"` when all have ended. After `s:cancel()`: `nil, "cancelled"`.
---@param fn fun(s: perilune.scope): ...
---@return any ...
---@overload fun(opts: perilune.scope_options, fn: fun(s: perilune.scope): (...)): ...
function peri.scope(fn) end

---@class perilune.scope
local scope = {}

---Queues a member; options as of `peri.spawn`, without `detached`. Raises when the scope is over.
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
---@overload fun(self: perilune.scope, opts: perilune.spawn_options, fn: fun(...): (...), ...): perilune.task
function scope:spawn(fn, ...) end

---Cancels the members and the body; `peri.scope` then returns `nil, "cancelled"`.
---@param reason? string
function scope:cancel(reason) end

---The tasks of the scope that have not ended.
---@return perilune.task[]
function scope:tasks() end

-- Groups -------------------------------------------------------------------------------------------------------------

---@class perilune.join_set_options
---@field name? string

---A set of tasks that are joined in the order in which they end. It belongs to the running task, which alone joins and closes
---it; anybody may spawn into it. Leaving its block cancels the members and waits for their closers.
---@param opts? perilune.join_set_options
---@return perilune.join_set
function peri.join_set(opts) end

---`#set` is the number of members not taken yet. Closable: `local set <close> = peri.join_set()`.
---@class perilune.join_set
---@operator len: integer
local join_set = {}

---Queues a member; options as of `peri.spawn`, without `detached` and `daemon`. Raises when the set is closed.
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
---@overload fun(self: perilune.join_set, opts: perilune.spawn_options, fn: fun(...): (...), ...): perilune.task
function join_set:spawn(fn, ...) end

---As `spawn`; cancels the member that runs under the same key (reason `"replaced"`), and starts when that has ended, closers
---included. The outcome of what was replaced is still joined.
---@param key any Neither nil nor NaN.
---@param fn fun(...): ...
---@param ... any
---@return perilune.task
function join_set:spawn_keyed(key, fn, ...) end

---Waits for the next member to end, and takes it: its handle, then as `task:join`. nil when the set is empty.
---@return perilune.task? task
---@return boolean? ok
---@return any ...
function join_set:join_next() end

---@return perilune.operation
function join_set:join_next_op() end

---As `join_next` without waiting: nil when no member has ended; `#set` tells whether any is left.
---@return perilune.task? task
---@return boolean? ok
---@return any ...
function join_set:try_join_next() end

---`for task, ok, a in set:results() do`: until the set is empty.
---@return fun(): perilune.task, boolean, ...
function join_set:results() end

---Waits for all members, and takes them: a list of `table.pack(ok, ...)` in the order of their ends.
---@return table[]
function join_set:join_all() end

---Cancels the members that run. The set goes on.
---@param reason? string
function join_set:cancel_all(reason) end

---As leaving its block. Idempotent.
function join_set:close() end

---Runs the functions as children and waits for all: one `table.pack` of results for each, in their order, and `n`. The first
---failure cancels the rest; then kind `"group"` is raised. Only raising is failure: `nil, message` is a result.
---@param functions (fun(): ...)[]
---@return table
function peri.all(functions) end

---As `peri.all`, but waits for all whatever fails: `table.pack(true, ...)` or `table.pack(false, e)` for each.
---@param functions (fun(): ...)[]
---@return table
function peri.settle(functions) end

---Runs the functions as children until one returns: its index and results, when the others, cancelled, have ended with
---their closers. When all fail, kind `"group"`.
---@param functions (fun(): ...)[] At least one.
---@return integer index
---@return any ...
function peri.race(functions) end

---@class perilune.map_options
---@field concurrency? integer How many run at a time. Default: all.

---Calls `fn(item)` for every item of the list, each in a child: the list of first results, in order, with `n`. The first
---failure cancels the rest and raises kind `"group"`. Unordered it returns an iterator instead, `for value, index in`, where
---a nil result is given as false; leaving the loop cancels the rest.
---@param list any[] With `n` where it has nils.
---@param fn fun(item: any): any
---@param opts? perilune.map_options
---@return table
function peri.map(list, fn, opts) end

---@class perilune.backoff
---@field first? number Seconds of the first pause.
---@field max? number The longest pause.
---@field factor? number Each pause is so many times the one before. Default 2.
---@field jitter? number|true 0 to 1, the part of a pause that is left to chance: 0.5 draws from half of it to all. true: 1.

---@class perilune.retry_options
---@field attempts? integer How often at most; `math.huge` for ever. Default 3.
---@field backoff? perilune.backoff|number Also `{ first, max }`, or the first pause alone. Default: no pause.
---@field factor? number
---@field jitter? number|true
---@field retry_if? fun(e: any, attempt: integer): boolean? Whether to try again after this error of this attempt.

---Calls `fn` until it returns, and returns that. In the end the last error is raised as an error object, with those of
---earlier attempts in `suppressed` (the last hundred); after a single attempt, as it is. Cancellation is never retried.
---@param opts perilune.retry_options
---@param fn fun(...): ...
---@param ... any
---@return any ...
function peri.retry(opts, fn, ...) end

---@class perilune.supervised_child
---@field name? string
---@field start fun() The body of the child's task, called anew at each start.
---@field restart? "permanent"|"transient"|"temporary" Restarted always (default), after a failure, or never.
---@field backoff? perilune.backoff Pauses before restarts; counted anew when it ran for the supervisor's period.
---@field shutdown? number Seconds it has to end in when it is stopped; then it is killed. Default 5.
---@field significant? boolean Its end for good counts for `auto_shutdown`.

---@class perilune.supervisor_options
---@field children perilune.supervised_child[] Started in this order, stopped in reverse.
---@field strategy? "one_for_one"|"one_for_all"|"rest_for_one" What is restarted with a child: nothing else (default), all, or
---those after it.
---@field intensity? integer Restarts allowed within the period. Default 1.
---@field period? number Seconds. Default 5.
---@field auto_shutdown? "never"|"any_significant"|"all_significant"
---@field on_failure? fun(name: string, e: perilune.error) Told of each failure. Default: a warning in the log.
---@field name? string

---Starts a task that keeps its children running. It returns when no child is left to run; it fails, with `e.reason ==
---"restart intensity"` and the failures in `e.errors`, when they fail too often; cancelled, it stops them first.
---@param opts perilune.supervisor_options
---@return perilune.task
function peri.supervisor(opts) end

-- Cancellation, cleanup, time limits ----------------------------------------------------------------------------------

---A cancellation that can be handed around.
---@return perilune.token
function peri.token() end

---Sent to other VMs it is one token for all of them.
---@class perilune.token
---@field reason? string Why it was cancelled.
local token = {}

---Cancels the token, its child tokens, and every `peri.with_token` that runs with one of them. The first reason stays.
---@param reason? string
function token:cancel(reason) end

---A token that is cancelled with this one, and can be cancelled alone.
---@return perilune.token
function token:child() end

---@return boolean
function token:is_cancelled() end

---Waits until the token is cancelled.
---@return string|true reason `true` when none was given.
function token:wait() end

---@return perilune.operation
function token:wait_op() end

---A closable that cancels the token when its block is left: `local g <close> = tok:guard()`.
---@return perilune.token_guard
function token:guard() end

---@class perilune.token_guard
local token_guard = {}

---Leaving the block no longer cancels the token.
function token_guard:disarm() end

---Runs `fn` until it returns (`true` and its results) or the token is cancelled (`nil, "cancelled"`, after its closers). Is
---not started with a cancelled token. What `fn` raises passes through.
---@param tok perilune.token
---@param fn fun(...): ...
---@param ... any
---@return true? ok
---@return any ... Results, or `"cancelled"`.
function peri.with_token(tok, fn, ...) end

---Runs `fn` unseen by cancellation from outside, which is raised at the first wait after. With a limit, `fn` is cancelled
---when it passes, and kind `"timeout"` is raised.
---@param fn fun(...): ...
---@param ... any
---@return any ...
---@overload fun(timeout: number, fn: fun(...): (...), ...): ...
function peri.shield(fn, ...) end

---A closable that calls `fn` however the block is left: `local _ <close> = peri.defer(function(e) ... end)`. `e` is the
---error on its way, or nil. `fn` may wait: it is shielded for the grace of 5 seconds.
---@param fn fun(e: any)
---@return perilune.deferred
function peri.defer(fn) end

---@class perilune.deferred

---Runs `fn` with a time limit. When it passes, `fn` is cancelled, its closers run, and kind `"timeout"` is raised. What
---`fn` has returned by then wins.
---@param seconds number
---@param fn fun(...): ...
---@param ... any
---@return any ...
function peri.timeout(seconds, fn, ...) end

---As `peri.timeout`, but returns `true` and the results, or `nil, "timeout"`.
---@param seconds number
---@param fn fun(...): ...
---@param ... any
---@return true? ok
---@return any ... Results, or `"timeout"`.
function peri.try_timeout(seconds, fn, ...) end

---As `peri.timeout`, with an instant of `peri.now()` instead of a span.
---@param at number
---@param fn fun(...): ...
---@param ... any
---@return any ...
function peri.deadline(at, fn, ...) end

---Seconds left of the nearest enclosing limit: `math.huge` without any, `-math.huge` when cancelled.
---@return number
function peri.time_left() end

-- Channels -----------------------------------------------------------------------------------------------------------

---A channel for `capacity` values; 0 hands over directly. First in, first out, for values, senders and receivers alike.
---@param capacity integer
---@param name? string Shown in dumps, and read back as `ch.name`.
---@return perilune.channel
function peri.channel(capacity, name) end

---@class perilune.unbounded_options
---@field warn_at? integer Warn once when it holds this many values.
---@field name? string

---A channel that never makes a sender wait.
---@param opts? perilune.unbounded_options
---@return perilune.channel
function peri.unbounded(opts) end

---`#ch` is the number of values in it. Closable: `local ch <close> = peri.channel(1)`.
---@class perilune.channel
---@field capacity integer|number `math.huge` when unbounded.
---@field name? string
---@operator len: integer
local channel = {}

---Waits while full. The value stays with the sender when the channel is closed. Sending nil is misuse.
---@param value any
---@return true? sent
---@return "closed"? why
function channel:send(value) end

---Waits while empty. What was sent before the close is still received.
---@return any value nil: the end.
---@return "closed"? why
function channel:recv() end

---@param value any
---@return true? sent
---@return "full"|"closed"|nil why
function channel:try_send(value) end

---@return any value
---@return "empty"|"closed"|nil why
function channel:try_recv() end

---@param value any
---@return perilune.operation
function channel:send_op(value) end

---@return perilune.operation
function channel:recv_op() end

---Waits for one value and takes up to `max`. An empty list is the end.
---@param max integer
---@return any[]
function channel:recv_many(max) end

---@param max integer
---@return perilune.operation
function channel:recv_many_op(max) end

---`for v in ch:iter() do`: until closed. Leaving the loop leaves the channel as it is.
---@return fun(): any
function channel:iter() end

---Ends the channel: waiting senders get `nil, "closed"`, receivers what is left and then the end. Closing again does nothing.
function channel:close() end

---@class perilune.channel_stats
---@field len integer
---@field capacity integer|number
---@field peak integer The most it ever held.
---@field sends integer
---@field recvs integer
---@field waiting_senders integer
---@field waiting_receivers integer
---@field closed boolean

---@return perilune.channel_stats
function channel:stats() end

---One value, sent once. It is the end of the sender and of the receiver alike. Closable: leaving the block closes it, so
---that whoever works on the value sees that nobody waits for it any more.
---@return perilune.oneshot
function peri.oneshot() end

---@class perilune.oneshot
local oneshot = {}

---Never waits. Sending a second value is misuse, and so is nil.
---@param value any
---@return true? sent
---@return "closed"? why
function oneshot:send(value) end

---Waits for the value. It is received once; after that, and when the oneshot was closed without a value, it has ended.
---@return any value nil: the end.
---@return "closed"? why
function oneshot:recv() end

---@return any value
---@return "empty"|"closed"|nil why
function oneshot:try_recv() end

---@return perilune.operation
function oneshot:recv_op() end

---Waits until nobody waits for a value any more: the oneshot was closed, or its value received. The result is `true`.
---@return perilune.operation
function oneshot:closed_op() end

---Gives up, on either side. A value that was sent before is still received. Closing again does nothing.
function oneshot:close() end

---@class perilune.oneshot_stats
---@field sent boolean
---@field received boolean
---@field closed boolean
---@field waiting_receivers integer

---@return perilune.oneshot_stats
function oneshot:stats() end

---The newest value of something, and who wants to know when it changes. nil is no value. Closable.
---@param initial any
---@return perilune.watch
function peri.watch(initial) end

---@class perilune.watch
local watch = {}

---Replaces the value and wakes who waits for a change; an equal value is a change too. Never waits.
---@param value any
---@return true? set
---@return "closed"? why
function watch:set(value) end

---Sets what `fn(value)` returns. When it returns nil, the value stays and nobody wakes; when it raises, too. `fn` must not
---wait: nothing comes between reading and setting.
---@param fn fun(value: any): any
---@return boolean? changed
---@return "closed"? why
function watch:update(fn) end

---The newest value, also after the close.
---@return any
function watch:get() end

---A receiver that has seen the present value.
---@return perilune.watch_receiver
function watch:subscribe() end

---No change comes any more. Closing again does nothing.
function watch:close() end

---@class perilune.watch_stats
---@field version integer How often it was set.
---@field subscribers integer
---@field waiting_receivers integer
---@field closed boolean

---@return perilune.watch_stats
function watch:stats() end

---A subscription to a watch. Tasks that share one are told of each change together. Closable.
---@class perilune.watch_receiver
local watch_receiver = {}

---Waits for a value not seen yet, and marks it seen. Of several changes meanwhile only the last counts.
---@return true? changed
---@return "closed"? why The watch was closed, and its last value has been seen.
function watch_receiver:changed() end

---@return perilune.operation
function watch_receiver:changed_op() end

---The newest value. Marks nothing as seen.
---@return any
function watch_receiver:get() end

---The newest value, which is seen now.
---@return any
function watch_receiver:get_and_mark() end

---Waits until `pred(value)` is true; at once, when it is already. What `pred` was asked about is seen. It must not wait.
---@param pred fun(value: any): any
---@return any value nil: the end.
---@return "closed"? why
function watch_receiver:wait_for(pred) end

---Ends the subscription: who waits gets `nil, "closed"`.
function watch_receiver:close() end

---Every value to every receiver that was subscribed when it was sent. A receiver that is more than `capacity` values behind
---loses the oldest. Closable.
---@param capacity integer At least 1, exact.
---@return perilune.broadcast
function peri.broadcast(capacity) end

---@class perilune.broadcast
local broadcast = {}

---Never waits. nil is misuse.
---@param value any
---@return integer? subscribers How many receivers it is for; with 0 it is gone.
---@return "closed"? why
function broadcast:send(value) end

---A receiver of what is sent from now on.
---@return perilune.broadcast_receiver
function broadcast:subscribe() end

---Receivers get what they have not received yet, and then the end. Closing again does nothing.
function broadcast:close() end

---@class perilune.broadcast_stats
---@field len integer Values that some receiver has not received yet.
---@field capacity integer
---@field sends integer Also those nobody was subscribed for.
---@field subscribers integer
---@field waiting_receivers integer
---@field closed boolean

---@return perilune.broadcast_stats
function broadcast:stats() end

---A subscription to a broadcast. Of tasks that share one, each gets other values. Closable. One that is collected is closed.
---@class perilune.broadcast_receiver
local broadcast_receiver = {}

---Waits for the next value. `nil, "lagged", n`: so many were lost since the last; the next call goes on behind them.
---@return any value
---@return "lagged"|"closed"|nil why
---@return integer? lost
function broadcast_receiver:recv() end

---@return any value
---@return "lagged"|"empty"|"closed"|nil why
---@return integer? lost
function broadcast_receiver:try_recv() end

---@return perilune.operation
function broadcast_receiver:recv_op() end

---Ends the subscription: what was not received is dropped, who waits gets `nil, "closed"`.
function broadcast_receiver:close() end

---@class perilune.broadcast_receiver_stats
---@field len integer Values it can still receive.
---@field recvs integer
---@field lagged integer Values it has been told it lost.
---@field waiting_receivers integer
---@field closed boolean

---@return perilune.broadcast_receiver_stats
function broadcast_receiver:stats() end

-- Select -------------------------------------------------------------------------------------------------------------

---Something to wait for, inert until it is selected or performed; may be used again.
---@class perilune.operation
local operation = {}

---An operation whose results are `fn` of this one's. `fn` runs in the selecting task, after the choice.
---@param fn fun(...): ...
---@return perilune.operation
function operation:wrap(fn) end

---@class perilune.select_options
---@field biased? boolean Take the first ready one in list order, instead of any. The table must then be a list.

---Waits until one operation commits, and returns its key and results. The others are withdrawn as if never tried. Among
---ready ones the choice is uniform.
---@param operations table<any, perilune.operation>
---@param opts? perilune.select_options
---@return any key
---@return any ...
function peri.select(operations, opts) end

---As `peri.select`, but returns nil when none is ready.
---@param operations table<any, perilune.operation>
---@param opts? perilune.select_options
---@return any key
---@return any ...
function peri.try_select(operations, opts) end

---Several operations as one, whose results are the key of the chosen one and its results.
---@param operations table<any, perilune.operation>
---@return perilune.operation
function peri.choose(operations) end

---Waits for one operation; returns its results.
---@param op perilune.operation
---@return any ...
function peri.perform(op) end

-- Synchronisation ----------------------------------------------------------------------------------------------------
--
-- Whoever waits is served in order; nobody barges in. Guards and permits are closable: `local g <close> = m:lock()`. One that is
-- collected unreleased is released then, with one warning that names its line. Whoever keeps others waiting for more than 30
-- seconds is named in a warning, with the line that locked.

---A lock for one task at a time. It belongs to the task that took it; a task that ends while it holds one releases it.
---@return perilune.mutex
function peri.mutex() end

---@class perilune.mutex
---@field abandoned boolean The holder before raised, was cancelled, or ended without releasing: look at what the lock protects.
local mutex = {}

---Waits for the lock. Raises where the task holds it already, naming the line, and kind `"deadlock"` where it could never get it.
---@return perilune.guard
function mutex:lock() end

---@return perilune.guard? guard nil when the lock is taken.
function mutex:try_lock() end

---Calls `fn` while holding the lock, and returns its results.
---@param fn fun(...): ...
---@param ... any
---@return any ...
function mutex:with(fn, ...) end

---@return perilune.operation
function mutex:lock_op() end

---What one has while one holds a lock.
---@class perilune.guard
local guard = {}

---Releases early. Raises when it has been released, and in a task that does not own the lock.
function guard:release() end

---A mutex for each key. Keys are compared as those of a table; a key that nobody holds or waits for takes no room.
---@return perilune.keyed_mutex
function peri.keyed_mutex() end

---@class perilune.keyed_mutex
local keyed_mutex = {}

---As `mutex:lock`, for one key.
---@param key any
---@return perilune.guard
function keyed_mutex:lock(key) end

---@param key any
---@return perilune.guard?
function keyed_mutex:try_lock(key) end

---@param key any
---@param fn fun(...): ...
---@param ... any
---@return any ...
function keyed_mutex:with(key, fn, ...) end

---@param key any
---@return perilune.operation
function keyed_mutex:lock_op(key) end

---A lock for many readers or one writer. A writer that waits holds back the readers that come later.
---@return perilune.rwlock
function peri.rwlock() end

---@class perilune.rwlock
---@field abandoned boolean The writer before raised, was cancelled, or ended without releasing.
local rwlock = {}

---Waits for access together with other readers. Raises where the task would wait for itself.
---@return perilune.rwlock_guard
function rwlock:read() end

---Waits for access alone. Raises where the task would wait for itself.
---@return perilune.rwlock_guard
function rwlock:write() end

---@return perilune.rwlock_guard? guard nil when it would have to wait.
function rwlock:try_read() end

---@return perilune.rwlock_guard? guard nil when it would have to wait.
function rwlock:try_write() end

---@return perilune.operation
function rwlock:read_op() end

---@return perilune.operation
function rwlock:write_op() end

---@class perilune.rwlock_guard
local rwlock_guard = {}

---Releases early. Raises when it has been released, and in a task that does not own it.
function rwlock_guard:release() end

---A writer becomes a reader; no other writer comes in between.
---@return perilune.rwlock_guard self
function rwlock_guard:downgrade() end

---`permits` permits, taken one or several at a time. Closable: leaving the block closes it.
---@param permits integer
---@return perilune.semaphore
function peri.semaphore(permits) end

---Sent to other VMs, all take from the same permits; a permit stays in the VM that took it.
---@class perilune.semaphore
---@field available integer Permits that are free now.
---@field total integer Permits there are, taken or not.
---@field waiting integer How many tasks wait for permits now, in all VMs.
local semaphore = {}

---Waits for `permits` permits, 1 by default. Who asks for few does not overtake who waits for many. Asking for more than there
---are in all raises.
---@param permits? integer
---@return perilune.permit? permit
---@return "closed"? why
function semaphore:acquire(permits) end

---@param permits? integer
---@return perilune.permit? permit nil when it would have to wait.
---@return "closed"? why
function semaphore:try_acquire(permits) end

---@param permits? integer
---@return perilune.operation
function semaphore:acquire_op(permits) end

---Whoever waits, and whoever asks from now on, gets `nil, "closed"`. Permits that are out may still come back.
function semaphore:close() end

---What was acquired. It belongs to whoever has it: it can be handed to another task.
---@class perilune.permit
---@field count integer 0 once it was released.
local permit = {}

---Gives the permits back early. Raises when that was done before.
function permit:release() end

---A permit of its own for `permits` of these; nil when there are fewer.
---@param permits integer
---@return perilune.permit?
function permit:split(permits) end

---Takes over what another permit of the same semaphore has.
---@param other perilune.permit
---@return perilune.permit self
function permit:merge(other) end

---These permits never come back: the semaphore has so many fewer.
function permit:forget() end

---@return perilune.notify
function peri.notify() end

---@class perilune.notify
local notify = {}

---Waits until it is told.
function notify:wait() end

---@return perilune.operation
function notify:wait_op() end

---Wakes the first in line. When nobody waits, the next `wait` returns at once; several such calls count as one.
function notify:notify_one() end

---Wakes whoever waits now.
function notify:notify_all() end

---Lets `tasks` tasks go on when all have come, again and again.
---@param tasks integer
---@return perilune.barrier
function peri.barrier(tasks) end

---@class perilune.barrier
local barrier = {}

---Waits for the others. Who is cancelled meanwhile no longer counts.
---@return boolean is_leader true for one of them, the last to come.
function barrier:wait() end

---@return perilune.operation
function barrier:wait_op() end

---@param fn fun(): ...
---@return perilune.once
function peri.once(fn) end

---@class perilune.once
local once = {}

---What `fn` returned. The first to ask calls it while the others wait; when it raises or is cancelled, the next in line does.
---@return any ...
function once:get() end

---@return perilune.wait_group
function peri.wait_group() end

---Counts work that is under way.
---@class perilune.wait_group
local wait_group = {}

---@param more? integer 1 by default.
function wait_group:add(more) end

---One less. Raises when none is left.
function wait_group:done() end

---Waits until none is left.
function wait_group:wait() end

---@return perilune.operation
function wait_group:wait_op() end

-- Time ---------------------------------------------------------------------------------------------------------------

---Waits. 0 or less still lets others run; `math.huge` waits until cancelled.
---@param seconds number
function peri.sleep(seconds) end

---The time counts from each use.
---@param seconds number
---@return perilune.operation
function peri.sleep_op(seconds) end

---@param at number An instant of `peri.now()`.
---@return perilune.operation
function peri.until_op(at) end

---Seconds of the runtime's clock, which never goes back. Only differences mean something.
---@return number
function peri.now() end

---Seconds since 1970, by the machine's wall clock.
---@return number
function peri.clock() end

---@class perilune.interval_options
---@field missed? "burst"|"delay"|"skip" What becomes of ticks that nobody waited for: `"burst"` (default): all at once;
---`"delay"`: one, and the next a period later; `"skip"`: one, and the next on the grid. Up to 5 ms late is on time.

---Ticks every `seconds`, the first at once.
---@param seconds number
---@param opts? perilune.interval_options
---@return perilune.interval
function peri.interval(seconds, opts) end

---Closable.
---@class perilune.interval
local interval = {}

---Waits for the next tick.
---@return number at The instant at which the tick stood.
function interval:tick() end

---@return perilune.operation
function interval:tick_op() end

---The next tick is one period from now, also for those who wait for it already.
function interval:reset() end

---Ends the interval: a tick then raises, and so do those that are waited for.
function interval:close() end

-- Looking inside -----------------------------------------------------------------------------------------------------

---@class perilune.task_record
---@field id integer
---@field name? string
---@field state string As `task:status()`.
---@field age number Seconds since the spawn.
---@field busy integer How often it has run.
---@field waiting_on? { op: string, resource: string, since: number } While waiting; `since` in seconds.
---@field line? string Where it stands: `"file.lua:12"`.
---@field parent? integer The parent's id.
---@field spawned_at? string
---@field labels? table<string, any>

---Every task that has not ended, parents before children.
---@return perilune.task_record[]
function peri.tasks() end

---@class perilune.task_node: perilune.task_record
---@field children perilune.task_node[]

---The same as a tree: those that stand below no other, with their children.
---@return perilune.task_node[]
function peri.tree() end

---@class perilune.holder
---@field task integer Who took it. Permits may since have been handed to another task.
---@field at? string Where: `"file.lua:12"`.
---@field since number Seconds.
---@field permits integer Of a semaphore; otherwise 1.

---@class perilune.resource
---@field kind string `"channel"`, `"mutex"`, `"token"`, `"process"`, ...
---@field id string Its address: differs from those of all others while it is there. A shared channel has the same in every VM.
---@field name? string
---@field state string `"open"` or `"closed"`; of locks `"free"` or `"locked"`.
---@field waiters integer How many tasks wait for it: for a shared channel or a semaphore those of all VMs, otherwise of this one.
---@field held_by? integer The task that holds it, or keeps them waiting, where it is one.
---@field held_at? string Where that task took it: `"file.lua:12"`.
---@field holders? perilune.holder[] Who holds a lock or permits, in the order in which they took them; nil where nobody does.
---@field stats? table As its `stats()`.
---@field found_as? string A variable or field that has it: `"pool.jobs"`.
---@field found_at? string Where that variable stands: `"file.lua:12"`.

---Channels, locks, tokens, timers, processes and their like that something in this VM still refers to.
---@return perilune.resource[]
function peri.resources() end

---@class perilune.wait
---@field task integer Who waits.
---@field name? string
---@field op string The operation, or `"children"`.
---@field resource string
---@field on? integer The one task that can end the wait, where there is one.
---@field held_at? string Where that task took the lock.
---@field line? string
---@field since number Seconds.
---@field cycle? integer The number of the cycle of waits that it belongs to; a limit will cut it.

---Who waits for whom, those in a cycle first. A task in a select is there once for each operation.
---@return perilune.wait[]
function peri.waits() end

---Tasks that nothing can wake any more, while others go on: what they wait for is out of reach of every task that may still run,
---and no limit ends their wait.
---@return perilune.task_record[]
function peri.leaks() end

---@class perilune.stats
---@field live integer Tasks that have not ended.
---@field ready integer
---@field running integer
---@field waiting integer
---@field closing integer
---@field cancelling integer Cancelled tasks that have not ended.
---@field resumes integer How often a task has run.
---@field timers integer Armed timers.
---@field external integer Calls, children, listeners and threads outside that may wake a task.
---@field memory integer Bytes that Lua uses.
---@field unobserved integer Failures that nobody has looked at.
---@field workers integer
---@field blocking_running integer Calls on threads of the pool.
---@field blocking_queued integer Calls that wait for a thread.

---@return perilune.stats
function peri.stats() end

---A text of it all: the tree, what each task waits for and where, the waits with cycles first, the resources, the leaks.
---@return string
function peri.dump() end

---Calls `fn` as a named stretch of work. Records logged inside, in tasks spawned there too, have `fields` and the names of the open
---spans. Its end is a record of level debug, with `status` (`"ok"`, `"error"`, or the kind of an error object) and `seconds`.
---@param name string
---@param fields? table<string, any>
---@param fn fun(...): ...
---@param ... any
---@return any ...
function peri.span(name, fields, fn, ...) end

-- TOML, environment, hashes, databases ------------------------------------------------------------------------------

---Reading TOML 1.0. Dates, times, inf and nan become strings. Here where its library is.
---@class perilune.toml
local toml = {}

---@type perilune.toml
peri.toml = nil

---Of a table, or of a list with tables in it. A position is `line * 65536 + column`.
---@class perilune.toml_place
---@field at integer
---@field keys? table<string, integer> Positions of the names in a table.
---@field within? table<string, perilune.toml_place> By name; of a list by index, as text.

---@param text string
---@return table? values
---@return perilune.toml_place|string places_or_problem `"line:column: what"`.
function toml.decode(text) end

---The environment of this program.
---@class perilune.env
local env = {}

---@type perilune.env
peri.env = nil

---@param name string
---@param default? any
---@return string|any
function env.get(name, default) end

---@return table<string, string>
function env.all() end

---The lines `NAME=value` of a dotenv file; `#` comments, `export`, quotes, which may hold several lines.
---@param text string
---@return table<string, string>? values
---@return string? problem `"line: what"`.
function env.parse(text) end

---Content hashes (XXH3, 128 bits) as 32 hexadecimal digits; to tell contents apart, not to keep secrets. Here where its library is.
---@class perilune.hash
local hash = {}

---@type perilune.hash
peri.hash = nil

---@param bytes string
---@return string
function hash.text(bytes) end

---Reads on a thread of the pool. Raises kind `"io"`.
---@param path string
---@return string
function hash.file(path) end

---One hash for each path, `"missing"` where there is nothing: of files their bytes and whether they can be executed, of folders
---the names and contents below. Little is read at once, more on a thread of the pool.
---@param paths string[]
---@param folder? string what relative paths are below; without it the working directory
---@return string[]
function hash.contents(paths, folder) end

---What the tasks of this worker do, as a trace for Perfetto or `chrome://tracing`: a row for each task with its turns and waits, and
---the spans that end meanwhile. Without a recording nothing is noted.
---@class perilune.trace
local trace = {}

---@type perilune.trace
peri.trace = nil

---@class perilune.trace_options
---@field path? string The trace is written there, too, when the recording ends.
---@field limit? integer Events that are kept; what comes later is only counted. Default 200,000, of about 120 bytes each.

---Begins to record. One recording at a time: another raises.
---@param options? perilune.trace_options
---@return perilune.recording
function trace.start(options) end

---Closable: leaving the block ends it.
---@class perilune.recording
local recording = {}

---Ends the recording. The trace as JSON; `otherData.dropped` counts the events that found no room. Later calls return the same.
---Raises kind `"io"` when it cannot be written.
---@return string
function recording:stop() end

---SQLite. A statement runs to its end at once, so it should be short. Failures raise kind `"io"`. Here where its library is.
---@class perilune.db
local db = {}

---@type perilune.db
peri.db = nil

---Made where there is none; `":memory:"` is one in memory.
---@param path string
---@param opts? { read_only: boolean? } Read only: nothing is made or changed, and nothing need be writable.
---@return perilune.database
function db.open(path, opts) end

---Closable.
---@class perilune.database
local database = {}

---@param sql string One statement; `?` stands for the parameters.
---@param ... string|number|boolean|nil
---@return integer changed Rows.
function database:exec(sql, ...) end

---@param sql string
---@param ... string|number|boolean|nil
---@return table<string, string|number>[] rows By column name; NULL is nil.
function database:query(sql, ...) end

---Runs `fn`, which must not wait: all of it counts, or, where it raises, nothing.
---@generic T
---@param fn fun(...): T
---@param ... any
---@return T
function database:transaction(fn, ...) end

---Idempotent.
function database:close() end

-- Pipelines ----------------------------------------------------------------------------------------------------------

---Pipelines in Lua: a file that returns one is run by `perilune run FILE.lua`.
---@class perilune.pipeline
local pipeline = {}

---@type perilune.pipeline
peri.pipeline = nil

---A queue that runs commands elsewhere, on a shared file system. Its own commands run in the pipeline's folder. All words may have
---`${params.NAME}`, `${env.NAME}`, `${secrets.NAME}` and `${run.id}`; `submit` and `collect` also `${job.script}`, `${job.name}` and
---`${job.folder}`, `collect` `${job.id}`; `${job.ids}` of the others becomes a word for each job that is meant where it stands alone.
---@class perilune.executor
---@field kind "slurm"|"command"
---@field submit? (string|number)[] Of a command: prints the id of the job as its last word. What it leaves running below the runner is ended with the run.
---@field status? (string|number)[] Prints a line with the id or the name of each job that waits or runs.
---@field cancel? (string|number)[] Asks jobs to end. Given again where it fails.
---@field kill? (string|number)[] Ends what has not ended within the step's grace; `cancel` without one.
---@field collect? (string|number)[] Run when a job is over, before its result is read.
---@field partition? string Of Slurm, as are those below.
---@field account? string
---@field time? string|number
---@field cpus? integer
---@field mem? string|number
---@field args? (string|number)[] Further words for sbatch.
---@field jobs? integer How many of its jobs there are at once; 1000 without it.
---@field poll? number|string The longest time between two questions to the queue; `"10s"` without it.

---@class perilune.pipeline_options
---@field pools? table<string, integer>
---@field executors? table<string, perilune.executor> Where commands can run but here, by name; a name begins with a letter, and is not `"local"`.
---@field executor? string The executor of commands that do not name one; `"local"` is this machine.
---@field params? table<string, table>
---@field secrets? table<string, table>
---@field env? table<string, string>
---@field dotenv? string[]
---@field default? string|string[] Steps to run where no target is named.
---@field doc? string
---@field cwd? string
---@field timeout? number|string Of a whole run.
---@field jobs? integer
---@field grace? number|string

---A step; keys as in a pipeline file, durations in seconds or as `"2m"`.
---@class perilune.step
---@field argv? (string|number)[]
---@field sh? string For `/bin/sh -eu`.
---@field fn? fun(ctx: perilune.step_context, run: { id: string, status: string }): any
---@field needs? string[]
---@field after? string[]
---@field when? "success"|"failure"|"cancelled"|"always"
---@field env? table<string, string|number>
---@field cwd? string
---@field inputs? string[]
---@field outputs? string[]
---@field pool? string A function gives its place in it away while it waits for steps of its own.
---@field executor? string Where its command runs: a name in `executors`, or `"local"`.
---@field timeout? number|string
---@field retry? integer|{ attempts: integer, backoff: any, factor: number?, jitter: number?, on: string[]? }
---@field capture? "json"|"text"|"lines" What it prints becomes `value` of its outcome.
---@field effect? boolean Never cached, never repeated by a resume after its success.
---@field fail? "collect"|"fast" Whether its failure ends the run. Steps of a ctx collect: the failure is raised there.
---@field matrix? table<string, any[]>
---@field each? any[]|string|fun(ctx: perilune.step_context): any[]|{ argv: string[]?, sh: string?, items: any[]? }
---@field limit? integer Items of `each` at a time.
---@field interactive? boolean It has the terminal for itself.
---@field doc? string
---@field grace? number|string
---@field if? string
---@field finally? boolean

---@class perilune.step_outcome
---@field state "succeeded"|"cached"|"skipped"|"failed"|"timeout"|"blocked"|"cancelled"|"not_run" `"cancelled"`: it had begun when the run was ended; `"not_run"`: it had not.
---@field value? any Captured, or what the function returned.
---@field stdout? string
---@field code? integer

---@class perilune.step_context
---@field key string
---@field params table<string, any>
---@field env table<string, string>
---@field run { id: string, status: string }
---@field secrets table<string, string>
---@field args string[] What stood behind `--`.
---@field steps table<string, { value: any, stdout: string?, status: string, code: integer? }> Those that have ended.
---@field item? any
---@field matrix? table<string, any>
local step_context = {}

---Makes a step, runs it once, waits for it. Raises when it did not succeed. Without a spec: waits for the step of that key, which is
---started with what it needs where it was not wanted so far.
---@param key string
---@param spec? perilune.step|fun(ctx: perilune.step_context): any
---@return perilune.step_outcome
function step_context:step(key, spec) end

---A step `name[item]` for each item. Raises when one did not succeed; with `collect` all of them run before.
---@param name string
---@param items any[]
---@param make fun(item: any, i: integer): perilune.step
---@param options? { limit: integer?, collect: boolean? }
---@return perilune.step_outcome[]
function step_context:map(name, items, make, options) end

---@param name string
---@param options? perilune.pipeline_options
---@return perilune.pipeline_builder
function pipeline.new(name, options) end

---@class perilune.pipeline_builder
local pipeline_builder = {}

---A step that is known before the run.
---@param name string
---@param spec perilune.step|fun(ctx: perilune.step_context): any
function pipeline_builder:step(name, spec) end

---The task of the run.
---@param fn fun(ctx: perilune.step_context, run: table): any
function pipeline_builder:main(fn) end

---Runs at the end whatever became of main; may return a step.
---@param name string
---@param fn fun(ctx: perilune.step_context, run: { id: string, status: string }): perilune.step?
function pipeline_builder:finally(name, fn) end

-- JSON ---------------------------------------------------------------------------------------------------------------

---Reading and writing JSON. Integers stay integers and floats stay floats; strings are UTF-8.
---@class perilune.json
local json = {}

---@type perilune.json
peri.json = nil

---What `null` is read as, and written from: a Lua table cannot hold nil.
---@type userdata
json.null = nil

---Reads a text. A text that is not JSON is an expected outcome: nil and `"line:column: what is wrong"`. Lists are marked as
---`json.array` does; of equal keys the last one counts; at most 1000 levels deep.
---@param text string
---@return any value `json.null` for `null`.
---@return string? message
function json.decode(text) end

---@class perilune.encode_options
---@field indent? integer|string|true Spaces of one level (0 to 16), its text, or true for two spaces. Default: one line.
---@field sort_keys? boolean Default true, so that equal values give equal texts.

---Writes a value. A table whose keys are 1 to n is a list, one whose keys are strings an object, an empty one an object
---unless marked. Metatables are not looked behind. Raises, with the path to it, for what JSON cannot say:
---`value.list[3] is a function`. That are functions, threads, userdata, NaN and infinities, text that is no UTF-8, tables
---that contain themselves, have other keys or are more than 1000 deep.
---@param value any
---@param opts? perilune.encode_options
---@return string
function json.encode(value, opts) end

---Marks a table as a list, so that it is written as `[]` when it is empty. The mark is a metatable.
---@generic T: table
---@param list? T Default: a new table.
---@return T list The same table.
function json.array(list) end

-- Log ----------------------------------------------------------------------------------------------------------------

---Records on standard error, one line each, written with one call:
---`2026-01-31T12:00:00.000Z INFO  [7 fetch] message bytes=12 name="a b"`, or a JSON object with `time`, `level`, `task`,
---`task_name`, `message` and the fields. Logging never raises for what is logged: what has no text is named by its type.
---The environment sets what holds at the start: `PERILUNE_LOG_LEVEL`, `PERILUNE_LOG_FORMAT`.
---@class perilune.log
local log = {}

---@type perilune.log
peri.log = nil

---@alias perilune.log_level "debug"|"info"|"warn"|"error"

---@param message any Made a text by `tostring`.
---@param fields? table<string, any> Sorted by name.
function log.debug(message, fields) end

---@param message any
---@param fields? table<string, any>
function log.info(message, fields) end

---@param message any
---@param fields? table<string, any>
function log.warn(message, fields) end

---@param message any
---@param fields? table<string, any>
function log.error(message, fields) end

---Sets the least level that is written, `"info"` at first.
---@param name? perilune.log_level|"off"
---@return string before The level in force before.
function log.level(name) end

---@param name? "text"|"json"
---@return string before The format in force before.
function log.format(name) end

---Whether records of a level are written.
---@param level perilune.log_level
---@return boolean
function log.enabled(level) end

-- Streams ------------------------------------------------------------------------------------------------------------

---Sequences whose elements may have to be waited for. They are pulled: nothing is read before somebody asks for the next
---element, and the functions given to operators run in the task that asks. Elements are never nil.
---@class perilune.stream
local stream = {}

---@type perilune.stream
peri.stream = nil

---What a stream can be made of: a list, a function that is called until it returns nil, a channel, a receiver of broadcasts or
---of a watch (its value, each time it has changed), an interval, or a stream.
---@alias perilune.stream_source any[]|function|perilune.channel|perilune.interval|perilune.value_stream|table

---@class perilune.stream_options
---@field on_lag? fun(lost: integer) Of a receiver of broadcasts: called when it lagged, and the stream goes on. Without it the stream fails.

---Takes what a generic `for` takes as well, `stream.from(io.lines(path))`: the first value of each round, and the closing
---value is closed with the stream. A channel stays open when the stream is closed.
---@param source perilune.stream_source
---@param state? any Or options, where the source is a receiver.
---@param control? any
---@param closing? any
---@return perilune.value_stream
function stream.from(source, state, control, closing) end

---@param ... any The elements.
---@return perilune.value_stream
function stream.of(...) end

---first, first + step, ...
---@param first number
---@param last? number Included; default: without end.
---@param step? number Default 1.
---@return perilune.value_stream
function stream.range(first, last, step) end

---The instants of the ticks of an interval of its own.
---@param seconds number
---@param opts? perilune.interval_options
---@return perilune.value_stream
function stream.interval(seconds, opts) end

---The lines of a file, without their ends.
---@param path string
---@return perilune.value_stream
function stream.lines(path) end

---@param value any
---@return boolean
function stream.is_stream(value) end

---Belongs to one reader at a time; once given to an operator, a sink or another stream it is theirs. An error in its source
---or in a function is raised where the next element was asked for. End, error and `close` close every stream below and wait
---until they have ended. `for v in s do` reads on and leaves it open; closable.
---
---What loses a select, reaches a time limit or is cancelled while it waits for the next element loses none, except one whose
---function was cancelled while it ran. Tasks a stream needs are daemons of the task that reads it.
---@class perilune.value_stream
---@overload fun(): any
local value_stream = {}

---Waits.
---@return any element nil at the end, and ever after.
function value_stream:next() end

---Sources are waited for as they are; for other streams a task reads one element ahead.
---@return perilune.operation
function value_stream:next_op() end

---`for v in s:iter() do`: leaving the loop closes the stream.
---@return perilune.value_stream
function value_stream:iter() end

---Idempotent; waits for what it closes.
function value_stream:close() end

---@param fn fun(element: any): any Not nil.
---@return perilune.value_stream
function value_stream:map(fn) end

---@param fn fun(element: any): boolean
---@return perilune.value_stream
function value_stream:filter(fn) end

---The first `count` elements; asks for no more.
---@param count integer
---@return perilune.value_stream
function value_stream:take(count) end

---@param count integer
---@return perilune.value_stream
function value_stream:skip(count) end

---Up to the first element that does not pass, which is dropped.
---@param fn fun(element: any): boolean
---@return perilune.value_stream
function value_stream:take_while(fn) end

---Until an operation commits or a token is cancelled. The operation is waited for once, from the first element asked for on.
---@param stop perilune.operation|perilune.token
---@return perilune.value_stream
function value_stream:take_until(stop) end

---The accumulated value after each element.
---@param start any
---@param fn fun(sum: any, element: any): any
---@return perilune.value_stream
function value_stream:scan(start, fn) end

---Calls `fn` with each element that passes.
---@param fn fun(element: any)
---@return perilune.value_stream
function value_stream:inspect(fn) end

---@param fn fun(element: any): perilune.stream_source Their elements follow each other.
---@return perilune.value_stream
function value_stream:flat_map(fn) end

---Pairs `{a, b}`, until one of the two has ended.
---@param other perilune.stream_source
---@return perilune.value_stream
function value_stream:zip(other) end

---The elements of all as they come. Among those that are ready the choice is uniform.
---@param ... perilune.stream_source
---@return perilune.value_stream
function value_stream:merge(...) end

---Lists of `size` elements; the last may be shorter.
---@param size integer
---@return perilune.value_stream
function value_stream:chunks(size) end

---As chunks, and a list is delivered as it is `seconds` after its first element.
---@param size integer
---@param seconds number
---@return perilune.value_stream
function value_stream:chunks_timeout(size, seconds) end

---At least `seconds` between two elements; none is dropped.
---@param seconds number
---@return perilune.value_stream
function value_stream:throttle(seconds) end

---An element when none has come for `seconds` after it; those before it are dropped. The last one comes at the end.
---@param seconds number
---@return perilune.value_stream
function value_stream:debounce(seconds) end

---@class perilune.buffered_options

---Runs `fn` for up to `size` elements at once, each in a task of its own. The first failure cancels the others. When
---the reading task ends and another one reads on, elements that had not ended are run again.
---@param size integer
---@param fn? fun(element: any): any Default: the elements are functions, and are called.
---@param opts? perilune.buffered_options
---@return perilune.value_stream
function value_stream:buffered(size, fn, opts) end

---@param fn fun(element: any)
function value_stream:each(fn) end

---@return any[]
function value_stream:collect() end

---@param start any
---@param fn fun(sum: any, element: any): any
---@return any
function value_stream:fold(start, fn) end

---@return any element nil when there was none.
function value_stream:first() end

---A task fills the channel and closes it at the end; it fails where the stream fails. Closing the channel closes the stream.
---@param capacity? integer Default 0.
---@return perilune.channel
---@return perilune.task
function value_stream:to_channel(capacity) end

-- Pipes --------------------------------------------------------------------------------------------------------------

---What `read` is asked for: a number of bytes (fewer only at the end), `"line"` (without its newline; also `"l"`), `"L"`
---(with it), `"all"` (until the end; also `"a"`) or `"some"` (what there is, at least one byte, at most 64 KiB).
---@alias perilune.read_what integer|"line"|"L"|"all"|"some"|"l"|"a"

---Bytes from or to a child, or over a socket. What was read and not asked for stays in the pipe, so reads of all kinds may take turns, and
---one that loses a select or is cancelled loses nothing. Reads of several tasks are served in order. Closable.
---@class perilune.pipe
local pipe = {}

---Waits for what is asked. Failures of the system raise kind `"io"`.
---@param what? perilune.read_what Default `"line"`.
---@param limit? integer For lines and `"all"`: a longer one raises kind `"limit"`.
---@return string? bytes nil at the end; `"all"` gives `""` there, and 0 bytes give `""` before it.
function pipe:read(what, limit) end

---@param what? perilune.read_what
---@param limit? integer
---@return perilune.operation
function pipe:read_op(what, limit) end

---`for line in pipe:lines() do`: until the end, which leaves the pipe open.
---@param what? perilune.read_what Default `"line"`; not `"all"`.
---@param limit? integer
---@return fun(): string?
function pipe:lines(what, limit) end

---Waits while 64 KiB or more have not left yet, then hands the bytes over as a whole; they leave in the background. Raises
---kind `"io"` when nobody reads any more (`EPIPE`), or after `close`.
---@param ... string|number
---@return perilune.pipe self
function pipe:write(...) end

---@param ... string|number
---@return perilune.operation
function pipe:write_op(...) end

---Waits until everything written has left.
---@return perilune.pipe self
function pipe:flush() end

---What was written still leaves; what was not read is dropped. Idempotent.
function pipe:close() end

---Nothing more is written: of a socket, the other side finds the end when it has read what was. Reading goes on.
function pipe:shutdown() end

---Of a socket: this side.
---@return string host Or the path of a socket in the file system.
---@return integer? port
function pipe:address() end

---Of a socket: the other side.
---@return string host
---@return integer? port
function pipe:peer() end

-- Processes ----------------------------------------------------------------------------------------------------------

---Child processes. Each has a process group of its own, so that it and what it starts can be ended together, default
---signals, and none of this program's files. Their time limits are real time, whatever the runtime's clock.
---@class perilune.process
local process = {}

---@type perilune.process
peri.process = nil

---@class perilune.command
---@field argv? (string|number)[] The program and its words. A program without a slash is searched in the child's PATH.
---@field sh? string Or: a command line for `/bin/sh -c`.
---@field cwd? string
---@field env? table<string, string|number|false> Added to this program's environment; false removes.
---@field clear_env? boolean Start from an empty environment.
---@field stdin? string|"inherit"|"null"|{ file: string }|{ text: string } Other strings are what the child reads.
---@field stdout? "capture"|"inherit"|"null"|{ file: string, append: boolean? }
---@field stderr? "capture"|"inherit"|"null"|"stdout"|{ file: string, append: boolean? } `"stdout"`: where that goes.
---@field grace? number Seconds between TERM and KILL when the child has to be ended. Default 5.
---@field group? boolean Default true: a process group of its own.

---@class perilune.run_options: perilune.command
---@field timeout? number Seconds; then the group is ended and kind `"timeout"` raised, with `e.result`.
---@field check? boolean Default true: an end other than exit code 0 raises kind `"process"`.
---@field output_limit? integer Bytes of each captured stream, default 64 MiB; more ends the group and raises kind `"limit"`.

---@class perilune.exit_status
---@field code? integer nil when a signal ended it.
---@field signal? string `"KILL"`, when a signal ended it.
---@field ok boolean Exit code 0.
---@field duration number Seconds.
---@field rusage { user: number, system: number, max_rss: integer } Seconds of processor time; bytes of memory at most.

---@class perilune.run_result: perilune.exit_status
---@field stdout? string When captured.
---@field stderr? string When captured.

---Runs a child to its end: stdin is empty unless given, stdout and stderr are captured unless sent elsewhere. Waits until
---it was reaped and its captured streams have ended. Cancelled, the task goes on when the group is gone: TERM, grace, KILL.
---Kind `"process"` has `e.code`, `e.signal`, `e.stderr` (its last 8 KiB) and `e.result`. A program that cannot be started
---raises kind `"io"`.
---@param opts perilune.run_options
---@return perilune.run_result
function process.run(opts) end

---@class perilune.spawn_command: perilune.command
---@field kill_on_close? boolean Default true; false: closing leaves the child running.
---@field confirm_start? boolean Default true: all tasks of the worker stand still until the child has executed its program, and what
---keeps it from that is raised here. false: nothing stands still, and `child:wait` raises it.

---Starts a child. stdin and stdout are streams unless sent elsewhere; stderr is inherited unless `"capture"`.
---@param opts perilune.spawn_command
---@return perilune.child
function process.spawn(opts) end

---A started child. Closing it, leaving its block, ends its group and waits for that: TERM, grace, KILL, reaped. One that is
---collected is ended in the background.
---@class perilune.child
---@field pid integer
---@field stdin? perilune.pipe
---@field stdout? perilune.pipe
---@field stderr? perilune.pipe
local child = {}

---Waits for the exit. May be called again, and by several tasks; giving up leaves the child alone.
---@return perilune.exit_status
function child:wait() end

---@return perilune.operation
function child:wait_op() end

---Sends a signal to the whole group.
---@param signal string|integer `"TERM"`, `"SIGTERM"` or a number.
---@param group? boolean false: to the child alone.
---@return true? sent
---@return "ended"? why
function child:signal(signal, group) end

---Ends the group and waits until nothing of it is left: TERM, the grace, KILL.
---@param grace? number Seconds; default: that of `spawn`. 0 kills at once.
---@return perilune.exit_status
function child:kill(grace) end

---@return boolean
function child:running() end

---How many processes of its group run, itself included.
---@return integer
function child:members() end

---As leaving its block. Idempotent.
function child:close() end

-- Files --------------------------------------------------------------------------------------------------------------

---Files and folders. Every call waits on a thread of the pool; failures raise kind `"io"` with `e.code` (`"ENOENT"`), and
---name call and path. A task cancelled while it looks goes on at once; one that changes something first ends the change.
---Paths are bytes; relative ones begin at the directory of the program.
---@class perilune.fs
local fs = {}

---@type perilune.fs
peri.fs = nil

---@alias perilune.file_type "file"|"directory"|"link"|"fifo"|"socket"|"block device"|"char device"|"unknown"

---The whole file.
---@param path string
---@return string
function fs.read(path) end

---Replaces the file: written beside it, flushed to the disk, renamed over it. Readers see the old content or the new one,
---and a write that fails leaves the old. Mode and symbolic links stay. What is no regular file is written in place.
---@param path string
---@param bytes string|number
---@param options? { atomic: boolean? } `atomic = false`: in place.
---@return true
function fs.write(path, bytes, options) end

---To the end of the file, which is made where there is none.
---@param path string
---@param bytes string|number
---@return true
function fs.append(path, bytes) end

---@class perilune.file_facts
---@field type perilune.file_type
---@field size integer Bytes.
---@field modified number Seconds since 1970.
---@field accessed number Seconds since 1970.
---@field mode integer Permission bits, 0 to 4095.
---@field inode integer
---@field device integer
---@field links integer
---@field owner integer
---@field group integer
---@field target? string Of a symbolic link that was not followed.

---@param path string
---@param options? { follow: boolean? } `follow = false`: of a symbolic link itself.
---@return perilune.file_facts
function fs.stat(path, options) end

---Whether there is anything, behind symbolic links.
---@param path string
---@return boolean
function fs.exists(path) end

---Absolute, without `.`, `..` and symbolic links.
---@param path string
---@return string
function fs.real_path(path) end

---What a folder holds, in order.
---@param path string
---@return string[] names
---@return perilune.file_type[] types
function fs.list(path) end

---`recursive`: with all folders above, and no error where it exists.
---@param path string
---@param options? { recursive: boolean? }
---@return true
function fs.mkdir(path, options) end

---A file, a link, an empty folder; `recursive`: a folder with all it holds. Never follows a symbolic link.
---@param path string
---@param options? { recursive: boolean? }
---@return true
function fs.remove(path, options) end

---@param from string
---@param to string
---@return true
function fs.rename(from, to) end

---Bytes and mode of a file; `recursive`: folders with all they hold, their links as links.
---@param from string
---@param to string
---@param options? { recursive: boolean?, overwrite: boolean? } `overwrite = false`: `EEXIST` where the target is there.
---@return true
function fs.copy(from, to, options) end

---A new empty file that only this user may open; the caller's to remove.
---@param options? { folder: string?, prefix: string? } Default folder: TMPDIR, or /tmp.
---@return string path
function fs.temp_file(options) end

---A new empty folder that only this user may open; the caller's to remove.
---@param options? { folder: string?, prefix: string? }
---@return string path
function fs.temp_dir(options) end

---@class perilune.walk_entry
---@field type perilune.file_type
---@field name string
---@field depth integer 1 for what the root holds.
---@field error? perilune.error The folder could not be read; the walk goes on behind it.

---`for path, entry in fs.walk(root) do`: all below a folder, folders before what they hold, names in order. What vanishes
---meanwhile is left out. A root that cannot be read raises at the first step. Tasks may share one walk.
---@param root string
---@param options? { depth: integer?, follow: boolean? } `follow`: into folders behind symbolic links, never in circles.
---@return fun(): string?, perilune.walk_entry?
function fs.walk(root, options) end

---The paths that match, in the order of a walk: `*` and `?` within a name, `[a-z]`, `[!a-z]`, `**` for any number of
---folders, `\` before a character as it is. A leading dot is matched by a dot only.
---@param pattern string
---@return string[]
function fs.glob(pattern) end

---Watches a file, by its name, or what a folder holds. `recursive`: folders below too, also those that come later; not
---through symbolic links. `debounce`: seconds of quiet (at most ten times as long) before what happened to a path is told,
---once; real time, whatever the runtime's clock.
---@param path string
---@param options? { recursive: boolean?, debounce: number? }
---@return perilune.watcher
function fs.watch(path, options) end

---@class perilune.watch_event
---@field kind "created"|"modified"|"removed"|"renamed"|"overflow" `"overflow"`: what happened at or below `path` may be missing, look again.
---@field path string Begins as the watched path was given.
---@field from? string Of `"renamed"`.
---@field error? perilune.error Of `"overflow"`, where the reason is known.

---Keeps what has happened, in order, until it is taken. Each event goes to one task. Closable. Ends by itself when what it
---watches is removed or moved away.
---@class perilune.watcher
local watcher = {}

---@return perilune.watch_event? event
---@return "closed"? why
function watcher:next() end

---@return perilune.operation
function watcher:next_op() end

---`for event in watcher:events() do`: until it is closed.
---@return fun(): perilune.watch_event?
function watcher:events() end

---Drops what nobody has taken; waiting tasks see the end. Idempotent.
function watcher:close() end

---@param path string
---@param mode? "r"|"w"|"a"|"r+"|"w+"|"a+" Default `"r"`.
---@return perilune.file
function fs.open(path, mode) end

---`for line in fs.lines(path) do`: without newlines; the file is closed when the loop is left.
---@param path string
---@return fun(): string?
function fs.lines(path) end

---An open file. Closable. Tasks that share one take turns, call by call; a cancelled read loses no bytes.
---@class perilune.file
---@field path string
local file = {}

---A number: so many bytes, fewer at the end. Default: a line without its newline. nil at the end, `""` for `"all"`.
---@param what? integer|"line"|"all"
---@return string?
function file:read(what) end

---@return fun(): string?
function file:lines() end

---Writes where the reader stands.
---@param bytes string|number
---@return perilune.file self
function file:write(bytes) end

---To the disk.
---@return perilune.file self
function file:flush() end

---As io's: the new position from the start.
---@param whence? "set"|"cur"|"end" Default `"cur"`.
---@param offset? integer Default 0.
---@return integer
function file:seek(whence, offset) end

---Idempotent; raises what only closing reveals.
function file:close() end

-- Sockets ------------------------------------------------------------------------------------------------------------

---Streams over TCP and over sockets of the file system, listeners, datagrams, names. Streams are those of pipes: `read`, `write`,
---`lines`, `read_op` and so on; a read or an accept that loses a select loses nothing. Failures raise kind `"io"` with `code`.
---
---An address is a host and a port, `"host:port"` (`"[::1]:80"`), `{ host =, port = }`, or, to listen, a port of 127.0.0.1 alone.
---@class perilune.net
local net = {}

---@type perilune.net
peri.net = nil

---Connects; the addresses of a name are tried one after the other. `net.tcp_connect("localhost:8080")`
---@param host string|{ host: string, port: integer }
---@param port? integer
---@param options? { timeout: number? } Seconds; then kind `"timeout"`.
---@return perilune.pipe
function net.tcp_connect(host, port, options) end

---Each use of the operation makes a connection; one that loses gives up.
---@param host string|{ host: string, port: integer }
---@param port? integer
---@return perilune.operation
function net.connect_op(host, port) end

---The same.
---@param host string|{ host: string, port: integer }
---@param port? integer
---@return perilune.operation
function net.tcp_connect_op(host, port) end

---Port 0 draws one: `listener.port`.
---@param host string|integer|{ host: string, port: integer }
---@param port? integer
---@param options? { backlog: integer? } How many connections may wait to be accepted; default 1024.
---@return perilune.net_listener
function net.tcp_listen(host, port, options) end

---@param path string
---@param options? { timeout: number? }
---@return perilune.pipe
function net.unix_connect(path, options) end

---@param path string
---@return perilune.operation
function net.unix_connect_op(path) end

---A socket file that nobody listens at any more is replaced. The file is removed with the listener.
---@param path string
---@param options? { backlog: integer? }
---@return perilune.net_listener
function net.unix_listen(path, options) end

---A UDP socket. Without an address, one that the system chooses, for whoever only asks.
---@param host? string|integer|{ host: string, port: integer }
---@param port? integer
---@return perilune.udp_socket
function net.udp(host, port) end

---The addresses of a name, as text, best first.
---@param name string
---@return string[]
function net.resolve(name) end

---Closable.
---@class perilune.net_listener
---@field host string
---@field port integer
---@field path string Of a socket of the file system, in place of host and port.
local net_listener = {}

---Waits for a connection.
---@return perilune.pipe? stream nil when the listener was closed.
---@return "closed"? why
function net_listener:accept() end

---@return perilune.operation
function net_listener:accept_op() end

---`for stream in listener:iter() do`: until it is closed.
---@return fun(): perilune.pipe?
function net_listener:iter() end

---@return string host Or the path.
---@return integer? port
function net_listener:address() end

---Waiting accepts see the end. Idempotent.
function net_listener:close() end

---Closable.
---@class perilune.udp_socket
---@field host string
---@field port integer
local udp_socket = {}

---Waits for a datagram.
---@return string? bytes nil when the socket was closed.
---@return string host Of the sender; or why nothing came: `"closed"`.
---@return integer port
function udp_socket:recv() end

---@return perilune.operation
function udp_socket:recv_op() end

---Does not wait.
---@param bytes string
---@param host string An address, see `net.resolve`.
---@param port integer
---@return true? sent
---@return "full"? why The system has no room now.
function udp_socket:send(bytes, host, port) end

---@return string host
---@return integer port
function udp_socket:address() end

function udp_socket:close() end

-- TLS ----------------------------------------------------------------------------------------------------------------

---TLS 1.2 and 1.3 on the streams of `perilune.net`, by OpenSSL. A build without OpenSSL does not have it.
---
---A stream that is wrapped stays the same object with the same methods. `shutdown` and `close` say so to the other side; a
---connection that ends without that raises ECONNRESET when it is read, since somebody may have cut it off.
---
---Failures raise kind `"io"`: a certificate that is refused with the code `"EKEYEXPIRED"` or `"EKEYREJECTED"`, what is no TLS with
---`"EPROTO"`, a file with its own.
---@class perilune.tls
local tls = {}

---@type perilune.tls
peri.tls = nil

---Files are PEM.
---@class perilune.tls_options
---@field server? boolean This side is the server, which has a certificate. Default false.
---@field verify? boolean Whether the other side must show a certificate of a known authority: default true for a client, for a server
---false. A client that says false believes anybody.
---@field ca_file? string The authorities that are believed. Default: those of the system.
---@field cert_file? string One's own certificate, with those between it and the authority behind it.
---@field key_file? string Its key, without a password.
---@field alpn? string[] Protocols to agree on, best first: `{ "h2", "http/1.1" }`. The server's order decides.

---@class perilune.tls_wrap_options: perilune.tls_options
---@field host? string The name or address that the server's certificate must be for; it is also told to the server (SNI). A client
---that verifies needs it; `tls.connect` takes it from the address.
---@field timeout? number Seconds for the handshake (and to connect); then kind `"timeout"`.
---@field context? perilune.tls_context In place of the other options but these two.

---Options whose files have been read: for whoever wraps many streams.
---@class perilune.tls_context

---@param options? perilune.tls_options
---@return perilune.tls_context
function tls.context(options) end

---Shakes hands on a connected stream, as a client unless `server` says otherwise. A stream on which that fails, or is cancelled, is closed.
---What the stream has read ahead is not lost. Nobody else may wait to read it meanwhile.
---@param stream perilune.pipe
---@param options? perilune.tls_wrap_options
---@return perilune.pipe stream The same.
function tls.wrap(stream, options) end

---`net.tcp_connect`, then `tls.wrap`. `tls.connect("example.org", 443)`
---@param host string|{ host: string, port: integer }
---@param port? integer
---@param options? perilune.tls_wrap_options
---@return perilune.pipe stream
function tls.connect(host, port, options) end

---What was agreed on; nil for a stream without TLS.
---@param stream perilune.pipe
---@return { version: string, cipher: string, alpn: string?, subject: string? }? info `subject`: of the other side's certificate.
function tls.info(stream) end

-- HTTP ---------------------------------------------------------------------------------------------------------------

---HTTP/1.1: a client, for `https://` URLs where `perilune.tls` is, and a server for small services.
---@class perilune.http
local http = {}

---@type perilune.http
peri.http = nil

---@class perilune.http_request
---@field url? string
---@field method? string Default `"GET"`, with a body `"POST"`.
---@field headers? table<string, string|number>
---@field body? string|fun(): string? A string, or a function that gives its pieces until nil.
---@field timeout? number Seconds for all of it; then kind `"timeout"`.
---@field stream? boolean The body is read by `response.stream` instead of here.
---@field redirects? integer How many are followed. Default 5.
---@field body_limit? integer Bytes of the response's body at most.
---@field tls? perilune.tls_options|perilune.tls_context For `https://`.

---@class perilune.http_response
---@field status integer
---@field reason string
---@field ok boolean Whether the status is below 300.
---@field headers table<string, string> Found in whatever case.
---@field body? string
---@field stream? perilune.http_body
---@field url string Where it came from in the end.
---@field version string

---Any status is a result; what fails on the way raises.
---@param url string|perilune.http_request
---@param options? perilune.http_request
---@return perilune.http_response
function http.request(url, options) end

---@param url string|perilune.http_request
---@param options? perilune.http_request
---@return perilune.http_response
function http.get(url, options) end

---@param url string|perilune.http_request
---@param body? string|fun(): string?
---@param options? perilune.http_request
---@return perilune.http_response
function http.post(url, body, options) end

---The body of a response that is read piece by piece. Closable.
---@class perilune.http_body
local http_body = {}

---The next bytes; nil at the end.
---@param most? integer|"all"
---@return string?
function http_body:read(most) end

---@param limit? integer Bytes; more raise.
---@return string
function http_body:read_all(limit) end

---`for piece in body:pieces() do`
---@return fun(): string?
function http_body:pieces() end

function http_body:close() end

---@class perilune.http_call
---@field method string
---@field path string Decoded, without the query.
---@field query table<string, string>
---@field target string As it was sent.
---@field headers table<string, string> Found in whatever case.
---@field body string
---@field version string
---@field peer { host: string, port: integer }

---Serves from now on, in a task of the caller's, and returns at once. The handler runs in a task for each connection and returns a
---body, `status, body, headers`, or `{ status =, headers =, body = }`; a body may be a function that gives pieces; nothing is 204. An
---error of the handler is answered with 500.
---@param address string|integer|{ host: string, port: integer } As for `net.tcp_listen`.
---@param handler fun(request: perilune.http_call): any, any, any
---@param options? { body_limit: integer?, idle_timeout: number?, tls: perilune.tls_options|perilune.tls_context|nil } Default: 16 MiB,
---60 s. With `tls = { cert_file =, key_file = }` it speaks https.
---@return perilune.http_server
function http.serve(address, handler, options) end

---Closable.
---@class perilune.http_server
---@field host string
---@field port integer
local http_server = {}

---Waits until it has ended.
function http_server:wait() end

---Accepts no more, answers the requests under way, and waits for that.
function http_server:close() end

-- NATS ---------------------------------------------------------------------------------------------------------------

---A client of NATS: messages to whoever listens now, at most once. What must not be lost goes through `perilune.queue`. Failures raise
---kind `"io"`: code `"EACCES"` where the server does not let us, `"EPROTO"` for what is not NATS, `"ECONNRESET"`, `"ETIMEDOUT"`.
---@class perilune.nats
local nats = {}

---@type perilune.nats
peri.nats = nil

---@class perilune.nats_options
---@field url? string|string[] `nats://user:password@host:port` or `tls://token@host`; of several the first that answers, and after a
---loss the next. Default: `nats://127.0.0.1:4222`.
---@field user? string
---@field password? string
---@field token? string
---@field name? string What the server calls this client in its lists. Default `"perilune"`.
---@field tls? perilune.tls_wrap_options With `tls://`, and where the server wants it.
---@field timeout? number Seconds to connect, and for a request. Default 5.
---@field ping_interval? number Seconds between two signs of life that are asked for; a server that owes two is left. Default 30.
---@field backoff? perilune.backoff|number Pauses before connecting again. Default: from 0.05 to 2 s, with jitter.
---@field attempts? number How often that is tried before the client ends with the error. Default: for ever.
---@field on_error? fun(e: perilune.error) What goes wrong and is no call's: a lost connection, something refused. Must not wait. Default: logs
---a warning.

---Connects. When the connection is lost it is made again, with all subscriptions; what is sent meanwhile waits. The client belongs to the
---running task and ends with it.
---@param url? string|string[]|perilune.nats_options
---@param options? perilune.nats_options
---@return perilune.nats_client
function nats.connect(url, options) end

---@class perilune.nats_message
---@field subject string
---@field data string
---@field reply? string Where an answer is waited for.
---@field headers? table<string, string>
---@field status? integer Of what the server itself says.
---@field description? string Of that.

---Closable.
---@class perilune.nats_client
---@field info table What the server says of itself: `version`, `max_payload` and so on.
---@field reconnects integer
local nats_client = {}

---Sends to all who are subscribed. Waits while there is no connection. More than the server takes (`info.max_payload`) is misuse.
---@param subject string Words between dots.
---@param data? string|number
---@param options? { headers: table<string, string|number>?, reply: string? }
---@return true? sent On its way; `flush` waits until the server has it.
---@return "closed"? why
function nats_client:publish(subject, data, options) end

---@param subject string `*` stands for a word, `>` for all that follow.
---@param options? { group: string?, capacity: integer?, max: integer? } `group`: of those who name the same one, each message goes to
---one. `capacity`: messages that are kept, default 1024. `max`: ends after so many.
---@return perilune.nats_subscription
function nats_client:subscribe(subject, options) end

---Sends and waits for the answer.
---@param subject string
---@param data? string|number
---@param options? { headers: table<string, string|number>?, timeout: number? }
---@return perilune.nats_message? answer
---@return "timeout"|"no responders"|"disconnected"|"closed"|nil why `"disconnected"`: nobody knows whether it has arrived.
function nats_client:request(subject, data, options) end

---Answers a message that was a request.
---@param message perilune.nats_message
---@param data? string|number
---@param headers? table<string, string|number>
---@return true? sent
---@return "closed"? why
function nats_client:respond(message, data, headers) end

---Waits until the server has all that was sent.
---@param timeout? number
---@return true? seen
---@return "timeout"|"disconnected"|"closed"|nil why
function nats_client:flush(timeout) end

---@return "connected"|"reconnecting"|"closed"
function nats_client:status() end

---Sends what is on its way and ends. Idempotent. Raises what the client has ended with before, once.
function nats_client:close() end

---Closable.
---@class perilune.nats_subscription
---@field subject string
---@field group? string
local nats_subscription = {}

---@return perilune.nats_message? message
---@return "lagged"|"closed"|nil why `"lagged"`: more came than are kept, and the oldest are lost.
---@return integer? lost How many.
function nats_subscription:recv() end

---@return perilune.operation
function nats_subscription:recv_op() end

---`for message in sub:iter() do`: until the end; says nothing of what is lost.
---@return fun(): perilune.nats_message?
function nats_subscription:iter() end

---Messages that have come already are still received. Idempotent.
function nats_subscription:close() end

-- Queues between machines --------------------------------------------------------------------------------------------

---Channels between processes and machines, over NATS JetStream (`nats-server -js`). Delivery is at least once: a message stays with the
---server until its receiver has acknowledged it, and is delivered again when that does not come in time, whatever became of the receiver.
---A `ledger` decides what counts.
---@class perilune.queue
local queue = {}

---@type perilune.queue
peri.queue = nil

---@class perilune.queue_options
---@field name string Letters, digits, `-`, `_`. Whoever names the same queue shares it, and names the same options.
---@field url? string|string[] As for `nats.connect`.
---@field connect? perilune.nats_options More of these.
---@field client? perilune.nats_client In place of a connection of its own.
---@field ack_wait? number Seconds that a message is held without a word. Default 30.
---@field max_deliver? integer Deliveries after which a message is a dead letter. Default 5.
---@field capacity? integer Messages it holds; `send` waits while it is full. Default: as many as come.
---@field duplicate_window? number Seconds in which a message with a known id is not stored again. Default 120.
---@field storage? "file"|"memory" Default `"file"`.
---@field replicas? integer Servers of a cluster that store it. Default 1.

---The queue of that name, made where there is none. It belongs to the running task and is closed with it.
---@param options perilune.queue_options
---@return perilune.distributed_queue
function queue.open(options) end

---To be raised in a handler of `work` for what will not be better next time: the message is a dead letter at once.
---`error(queue.permanent("no such customer"))`
---@param reason string
---@return table
function queue.permanent(reason) end

---Keeps in a database which messages count, and their results: in a table of its own, `perilune_ledger`. Sets `journal_mode = WAL`.
---@param db perilune.database Stays the caller's; all workers share the file.
---@return perilune.queue_ledger
function queue.ledger(db) end

---Closable.
---@class perilune.distributed_queue
---@field name string
---@field client perilune.nats_client
local distributed_queue = {}

---Returns when the server has stored the message, however long that takes: while it is away, or the queue full, it is tried again, under
---the same id, so that it is stored once. Cancelled in between, it may have been sent or not.
---@param value any What `json.encode` takes; more than the server's `max_payload` less 2 KiB is misuse.
---@param options? { id: string?, headers: table<string, string|number>? } `id`: what the server recognises a repetition by, and the
---ledger a message. Default: one that nobody else has.
---@return true? sent
---@return { sequence: integer, duplicate: boolean }|"closed" stored `duplicate`: a message with this id was there.
function distributed_queue:send(value, options) end

---Commits when less than 256 sends are under way, and then sends; nothing is sent that loses.
---@param value any
---@param options? { id: string?, headers: table<string, string|number>? }
---@return perilune.operation
function distributed_queue:send_op(value, options) end

---Waits for a message. Nothing is fetched from the server before somebody waits; what has come for a receiver that has gone waits for
---the next one for half of `ack_wait`, then goes back.
---@return perilune.queue_message? message
---@return "closed"? why
function distributed_queue:recv() end

---@return perilune.operation
function distributed_queue:recv_op() end

---`for message in q:iter() do`: until the queue is closed.
---@return fun(): perilune.queue_message?
function distributed_queue:iter() end

---@class perilune.work_options
---@field limit? integer How many handlers run at once. Default 1.
---@field backoff? perilune.backoff|number Pauses before a message whose handler failed is delivered again. Default: 1 to 60 s.
---@field on_error? fun(e: any, message: perilune.queue_message) Told of each failure. Default: logs a warning.

---Runs `fn(value, message)` for each message until the queue is closed. A message is acknowledged when `fn` returns, unless it has settled
---it itself; given back when `fn` fails, or is cancelled; a dead letter when that was its last delivery or the error is a permanent one. It
---is held for as long as `fn` runs.
---@param fn fun(value: any, message: perilune.queue_message)
---@param options? perilune.work_options
function distributed_queue:work(fn, options) end

---The queue of dead letters: messages as they were, with the headers `Perilune-Reason`, `Perilune-Deliveries` and `Perilune-Id`. What
---is no JSON has its text as value. They stay until they are acknowledged.
---@return perilune.distributed_queue
function distributed_queue:dead() end

---@return { messages: integer, in_hand: integer, waiting: integer, dead: integer } stats `messages`: all that are not settled; `in_hand`: those
---of them that somebody holds; `waiting`: receivers, of all processes; `dead`: letters.
function distributed_queue:stats() end

---Ends receivers, gives back what nobody has taken, and waits a moment for handlers at work. Idempotent.
function distributed_queue:close() end

---Removes the queue from the server, with all its messages and dead letters.
function distributed_queue:destroy() end

---One delivery of a message, held until it is settled, once. What settles it waits for the server's word, and is `nil, "late"` when that has
---not come by the time the message may be somebody else's.
---@class perilune.queue_message
---@field value any
---@field text string The value as it was sent.
---@field id string That it was sent with; the same whatever becomes of it.
---@field deliveries integer 1 for the first.
---@field sequence integer Its place in the queue.
---@field token integer Greater than that of any delivery before of this message: a fencing token.
---@field headers table<string, string>
---@field sent_at? number Seconds, as of `peri.clock`.
---@field queue perilune.distributed_queue
---@field settled? string How it was settled.
local queue_message = {}

---It is done: it is not delivered again.
---@return true? settled
---@return "late"|"closed"|nil why
function queue_message:ack() end

---Gives it back.
---@param delay? number Seconds before it is delivered again. Default 0.
---@return true? settled
---@return "late"|"closed"|nil why
function queue_message:nak(delay) end

---Drops it: neither done nor delivered again.
---@return true? settled
---@return "late"|"closed"|nil why
function queue_message:term() end

---Drops it here, and keeps it with the dead letters.
---@param reason string
---@return true? settled
---@return "late"|"closed"|nil why
function queue_message:dead_letter(reason) end

---Holds it for another `ack_wait`.
---@return true? told
---@return "settled"|"disconnected"|"closed"|nil why
function queue_message:heartbeat() end

---Which messages count, by queue and id. Of two who hold one message, the ledger knows who has it later.
---@class perilune.queue_ledger
local queue_ledger = {}

---Runs `fn(value, message)` and stores its result, which counts from then on. Where a result counts already, it is returned, and `fn`
---does not run. What `fn` raises passes through, and counts for nothing.
---@param message perilune.queue_message
---@param fn fun(value: any, message: perilune.queue_message): any What `json.encode` takes, or nil.
---@return true? counts
---@return any result The one that counts; or `"stale"`: somebody holds a later delivery, this one is to be dropped.
function queue_ledger:once(message, fn) end

---Stores a result.
---@param message perilune.queue_message
---@param result any
---@return true? counts
---@return "stale"|"counted"|nil why
function queue_ledger:commit(message, result) end

---@param message perilune.queue_message
---@return boolean counts
---@return any result
function queue_ledger:result(message) end

---Forgets results that have counted for longer.
---@param seconds number
---@return integer forgotten
function queue_ledger:prune(seconds) end

-- Signals ------------------------------------------------------------------------------------------------------------

---Signals of the operating system.
---@class perilune.signal
local signal = {}

---@type perilune.signal
peri.signal = nil

---Listens to signals, by name: `"INT"`, `"TERM"`, `"HUP"`, `"USR1"`, ... As long as anybody listens to a signal it has no
---other effect; when the last listener is closed it has again the effect it had before.
---@param ... string
---@return perilune.signal_listener
function signal.listen(...) end

---Hears every signal that arrives while it is open. Closable.
---@class perilune.signal_listener
local signal_listener = {}

---Waits for the next signal.
---@return string? name `"INT"`; nil when the listener was closed.
---@return "closed"? why
function signal_listener:recv() end

---@return perilune.operation
function signal_listener:recv_op() end

---`for name in listener:iter() do`: until it is closed.
---@return fun(): string?
function signal_listener:iter() end

---Waiting receivers see the end. Idempotent.
function signal_listener:close() end

-- Tests ----------------------------------------------------------------------------------------------------------------

---Tests as tasks on a virtual clock. A test file registers tests by calling the module; `perilune test PATH...` runs them, each
---file in a VM of its own, each test as a task. The clock jumps when nothing can run, so that a test may sleep for a day.
---A test fails when it raises, takes too long, hangs (with the report of the deadlock), or leaves something behind: a task, or
---a failure that nobody looked at.
---
---With `--shuffle` any ready task may be the next to run: `peri.yield` then waits for nobody, `wait_all_blocked` still does.
---
---Everything but the registering functions is found on the context `t` that a test is given, too.
---@class perilune.test
---@overload fun(name: string, fn: fun(t: perilune.test_context))
---@overload fun(name: string, opts: perilune.test_options, fn: fun(t: perilune.test_context))
local test = {}

---@type perilune.test
peri.test = nil

---@class perilune.test_options
---@field timeout? number Seconds of the virtual clock that it may take; default: that of `--timeout`, else a million.
---@field skip? string Do not run it, for this reason, which is shown.
---@field ordered? boolean It is about the order in which ready tasks run: with `--shuffle`, too, they take turns.

---@class perilune.test_context: perilune.test
---@field name string With the names of its groups: `"channels > a full one holds back the sender"`.

---Registers what `fn` registers under a common name. Hooks inside hold for the tests inside.
---@param name string
---@param fn fun()
function test.group(name, fn) end

---Calls `fn` before each test of the group (of the file, outside of one), in the test's task; outer groups go first. What it
---sets in `t` the test finds there.
---@param fn fun(t: perilune.test_context)
function test.before(fn) end

---Calls `fn` after each test of the group, however it ended; it may wait. Inner groups, and the last registered, go first.
---@param fn fun(t: perilune.test_context)
function test.after(fn) end

---Calls `fn` when the running test ends, however it does; it may wait. The last registered goes first, after the
---hooks of the groups.
---@param fn fun()
function test.cleanup(fn) end

---Ends the running test as skipped, for this reason, which is shown.
---@param reason string
function test.skip(reason) end

---Fails with this text, at the caller's line.
---@param text string
function test.fail(text) end

---The same value (NaN is NaN). Numbers of both kinds compare as Lua compares them.
---@param got any
---@param expected any
---@param what? string Begins the message of a failure.
function test.equal(got, expected, what) end

---Tables with the same contents, at any depth; other values as `equal`. A failure shows where they differ.
---@param got any
---@param expected any
---@param what? string
function test.same(got, expected, what) end

---@generic T
---@param value T
---@param what? string
---@return T value
function test.truthy(value, what) end

---A text that has another in it, plainly; or a table that has a value with the same contents.
---@param container string|table
---@param part any
---@param what? string
function test.contains(container, part, what) end

---The contrary of `contains`.
---@param container string|table
---@param part any
---@param what? string
function test.lacks(container, part, what) end

---Calls `fn`, which must raise something whose text has `part` in it. Returns what was raised.
---@param part string
---@param fn fun(...): ...
---@param ... any
---@return any e
function test.raises(part, fn, ...) end

---An error object of this kind.
---@param e any
---@param kind perilune.error_kind
---@return perilune.error e
function test.kind(e, kind) end

---Seconds of the virtual clock since the test began.
---@return number
function test.elapsed() end

---Waits while the clock walks on by so many seconds, from deadline to deadline in order, and then until every other task is
---blocked: what was due has happened.
---@param seconds number
function test.advance(seconds) end

---Waits until no other task can run at this instant. A task that waits for something outside counts as blocked.
function test.wait_all_blocked() end

---Waits until no other task can run and no timer is left; the clock walks on meanwhile.
function test.run_until_idle() end

---Fails when there are other tasks than when the test began, and names them with where they wait and were spawned. Also done
---after each test.
function test.assert_no_leaks() end

---What was reported since the last call: failures that nobody looked at, warnings, killed tasks. What a test takes so is not
---held against it.
---@return string[]
function test.reports() end

---Runs `fn` as a task, and returns every switch of tasks until it ended, as text: time since the start, task, what it did. Tasks
---are numbered as they appear, and random choices begin anew: the same program gives the same text, byte for byte.
---@param fn fun(...): ...
---@param ... any
---@return string
function test.trace(fn, ...) end

---Runs `fn` as a task, once for each point where it, or a task below it, suspends, and cancels it there; then once to its end.
---After each run `check` is called (with the number and place of the point, nil the last time), and it is a failure when
---tasks are left behind, or the end is neither a return nor the cancellation. Returns how many points there were.
---@param fn fun()
---@param check? fun(n: integer?, place: string?)
---@return integer
function test.cancel_everywhere(fn, check) end

return peri
