-- What a step prints while it runs: every line is told as an event, kept in the log of the step, and remembered for the case that
-- the step fails; what is to be captured is collected instead of told. Secrets are masked in all but the latter. Owned by the
-- attempt; closed with it. The file is made with the first line, or for a failure. A log that cannot be written breaks the run off.
local step_log = {}
step_log.__index = step_log

local remembered <const> = 40
local longest_remembered <const> = 64 * 1024 -- of a line that does not end

-- run: the execution.
function step_log.open(run, step)
  local path = run.store and run.store:log_path(run.run, step.key)
  return setmetatable({ run = run, key = step.key, path = path, file = nil, lines = {}, open_on = nil,
                        captured = step.capture and {} or nil, interactive = step.interactive }, step_log)
end

-- The file, which is there from now on; nil where none is kept, or it cannot be made.
function step_log:begin()
  if self.file or not self.path then return self.file end
  self.file = io.open(self.path, "a")
  if not self.file then return self:cannot_write() end
  self.file:setvbuf("line")
  return self.file
end

local function remember(self, stream, text, partial)
  local lines = self.lines
  if self.open_on ~= stream then
    lines[#lines + 1] = text
  elseif #lines[#lines] < longest_remembered then
    lines[#lines] = lines[#lines] .. text
  end
  self.open_on = partial and stream or nil
  if #lines >= 2 * remembered then table.move(lines, remembered + 1, #lines + remembered, 1) end
end

function step_log:cannot_write() self.run:break_off("cannot write " .. self.path) end

-- A line without its newline; `partial`: more of it follows.
function step_log:line(stream, text, partial)
  local masked = self.run.mask(text)
  local file = self:begin()
  if file and not (file:write(masked, partial and "" or "\n") and (not partial or file:flush())) then self:cannot_write() end
  if self.captured and stream == "stdout" then
    self.captured[#self.captured + 1] = partial and text or text .. "\n"
    return
  end
  remember(self, stream, masked, partial)
  self.run.events:emit("line", { key = self.key, stream = stream, text = masked, partial = partial })
end

-- The last lines.
function step_log:tail()
  local lines = self.lines
  return table.move(lines, math.max(1, #lines - remembered + 1), #lines, 1, {})
end

-- Ends it with the attempt, whose outcome says where it is; `silent`: there is none.
function step_log:finish(outcome)
  if outcome.state ~= "succeeded" then self:begin() end
  outcome.log, outcome.silent = self.path, self.file == nil
  self:close()
  return outcome
end

function step_log:close()
  if self.file and not self.file:close() then self:cannot_write() end
  self.file = nil
end
step_log.__close = step_log.close

return step_log
