-- `perilune completion SHELL`: a small script for the shell, which asks this program back for what could stand at the cursor:
-- `perilune completion candidates WORD...`, the words behind `perilune`, the last one unfinished. So commands, flags, steps,
-- parameters and runs are completed by one piece of code, and steps are those of the pipeline as it is.
local vocabulary = require "perilune.cli.vocabulary"
local text = require "perilune.pipeline.text"

local completion = {}

local scripts = {}

scripts.bash = [==[
_perilune() {
  local line word=${COMP_WORDS[COMP_CWORD]} cut="" words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  if declare -F _get_comp_words_by_ref >/dev/null; then
    local cur cword
    _get_comp_words_by_ref -n =: -c cur -i cword -w words 2>/dev/null && word=$cur && words=("${words[@]:1:cword}")
  elif [[ $word == = || ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
    local joined=() part
    for part in "${words[@]}"; do
      if [[ ${#joined[@]} -gt 0 && ( $part == = || ${joined[-1]} == *= ) ]]; then joined[-1]+=$part; else joined+=("$part"); fi
    done
    words=("${joined[@]}")
    word=${words[-1]}
  fi
  [[ $word == *[=:]* && $COMP_WORDBREAKS == *[=:]* ]] && cut=${word%"${word##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :file) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${word##*=}") ;;
      :folder) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "${word##*=}") ;;
      *) line=${line%%$'\t'*}
         [[ $line == *= ]] && compopt -o nospace
         COMPREPLY+=("${line#"$cut"}") ;;
    esac
  done < <("${COMP_WORDS[0]}" completion candidates "${words[@]}" 2>/dev/null)
}
complete -F _perilune perilune]==]

scripts.zsh = [==[
#compdef perilune
_perilune() {
  local line name doc
  local -a found open
  while IFS= read -r line; do
    case $line in
      :file) [[ $PREFIX == --*=* ]] && compset -P '*='; _files ;;
      :folder) [[ $PREFIX == --*=* ]] && compset -P '*='; _files -/ ;;
      *) name=${line%%$'\t'*} doc=""
         [[ $line == *$'\t'* ]] && doc=${line#*$'\t'}
         name=${name//:/\\:}
         if [[ $name == *= ]]; then open+=("$name${doc:+:$doc}"); else found+=("$name${doc:+:$doc}"); fi ;;
    esac
  done < <("$words[1]" completion candidates "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#found )) && _describe -V perilune found
  (( $#open )) && _describe -V perilune open -S ''
}
if [[ $funcstack[1] == _perilune ]]; then _perilune "$@"; else compdef _perilune perilune; fi]==]

scripts.fish = [==[
function __perilune_candidates
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] completion candidates $words[2..-1] 2>/dev/null)
    switch $line
      case :file
        __fish_complete_path (string replace -r '^--[^=]*=' '' -- (commandline -ct))
      case :folder
        __fish_complete_directories (string replace -r '^--[^=]*=' '' -- (commandline -ct))
      case '*'
        echo $line
    end
  end
end
complete -c perilune -f -a '(__perilune_candidates)']==]

-- Candidates --------------------------------------------------------------------------------------------------------

-- What is being completed: the words before, what the flags among them said, the unfinished word, and what was found.
local search = {}
search.__index = search

function search:add(word, doc)
  if word:sub(1, #self.word) ~= self.word then return end
  self.found[#self.found + 1] = self.prefix .. word .. (doc and "\t" .. doc:gsub("%s+", " ") or "")
end

-- The pipeline that the words before name, or nil where there is none that can be read.
function search:pipeline()
  local load_file = require "perilune.pipeline.load"
  local prefix = self.values.directory and self.values.directory .. "/" or ""
  local shown = self.values.file or self.file
  local ok, loaded = pcall(function()
    if shown then return load_file.read(shown:match("^/") and shown or prefix .. shown) end
    return load_file.read(load_file.find(self.values.directory or "."))
  end)
  return ok and loaded or nil
end

function search:steps()
  local pipeline = self:pipeline()
  for _, step in ipairs(pipeline and pipeline.steps or {}) do self:add(step.key, step.doc) end
end

local choices = { boolean = { "true", "false" } }

function search:parameters()
  local pipeline = self:pipeline()
  local specs = pipeline and pipeline.params or {}
  for _, name in ipairs(text.sorted_keys(specs)) do
    local spec = specs[name]
    if self.word:sub(1, #name + 1) == name .. "=" then
      for _, choice in ipairs(spec.choices or choices[spec.type] or {}) do self:add(name .. "=" .. tostring(choice)) end
    else
      self:add(name .. "=", spec.doc)
    end
  end
end

function search:pools()
  local pipeline = self:pipeline()
  for _, name in ipairs(text.sorted_keys(pipeline and pipeline.pools or {})) do self:add(name .. "=") end
end

function search:runs()
  local pipeline = self:pipeline()
  local ok, store = pcall(function() return pipeline and require("perilune.pipeline.state").look(pipeline.folder) end)
  if not ok or not store then return end
  local _ <close> = store
  self:add("last", "the newest run")
  for _, one in ipairs(store:runs()) do self:add(one.id, one.status) end
end

function search:commands()
  for _, command in ipairs(vocabulary.commands) do self:add(command.name, command.summary) end
end

local kinds = {
  file = function(self) self.found[#self.found + 1] = ":file" end,
  folder = function(self) self.found[#self.found + 1] = ":folder" end,
  step = search.steps, parameter = search.parameters, pool = search.pools, run = search.runs, command = search.commands,
  target = function(self)
    self:steps()
    if #self.before == 0 then self.found[#self.found + 1] = ":file" end
  end,
  program = function(self)
    for _, one in ipairs(require("perilune.cli.programs").list()) do self:add(tostring(one.pid), one.command) end
  end,
}

function search:values_of(kind)
  if type(kind) == "table" then
    for _, word in ipairs(kind) do self:add(word) end
  elseif kinds[kind] then
    kinds[kind](self)
  end
end

-- The flag that a word is, where its value is still to come.
local function open_flag(listed, word)
  for _, flag in ipairs(listed) do
    if flag.value and flag.kind ~= "path" and (word == "--" .. flag.name or flag.short and word == "-" .. flag.short) then return flag end
  end
end

local function value_kind(flag, command) return flag.name == "format" and command.formats or flag.complete end

-- Takes what flags before the cursor said that matters here; the other words stay.
function search:read(words, listed)
  local i = 1
  while i <= #words do
    local flag = open_flag(listed, words[i])
    local name, value = words[i]:match("^%-%-([^=]+)=(.*)$")
    if flag then
      self.values[flag.name] = words[i + 1]
      i = i + 1
    elseif name then
      self.values[name] = value
    elseif words[i]:sub(1, 1) ~= "-" then
      if #self.before == 0 and words[i]:match("%.toml$") or words[i]:match("%.lua$") then self.file = words[i] end
      self.before[#self.before + 1] = words[i]
    end
    i = i + 1
  end
end

function search:in_command(command, words)
  local listed = vocabulary.flags_of(command)
  local waiting = open_flag(listed, words[#words] or "")
  if waiting then words[#words] = nil end
  self:read(words, listed)
  if waiting then return self:values_of(value_kind(waiting, command)) end
  local name, value = self.word:match("^%-%-([^=]+)=(.*)$")
  if name then
    self.prefix, self.word = "--" .. name .. "=", value
    for _, flag in ipairs(listed) do
      if flag.name == name then self:values_of(value_kind(flag, command)) end
    end
  elseif self.word:sub(1, 1) == "-" then
    for _, flag in ipairs(listed) do self:add("--" .. flag.name .. (flag.value and flag.kind ~= "path" and "=" or ""), flag.doc) end
  else
    self:values_of(command.words)
  end
end

-- Where the first word stands that is neither a flag nor a flag's value: it is the command.
local function command_at(words)
  local at = 1
  while words[at] and words[at]:sub(1, 1) == "-" do at = at + (open_flag(vocabulary.flags_of(vocabulary.commands.run), words[at]) and 2 or 1) end
  return at
end

function completion.candidates(words)
  local word = table.remove(words) or ""
  local self = setmetatable({ word = word, prefix = "", values = {}, before = {}, found = {} }, search)
  local at = command_at(words)
  if at == #words + 1 and word:sub(1, 1) ~= "-" then
    self:commands()
    self.found[#self.found + 1] = ":file"
  elseif at > #words then
    self:in_command(vocabulary.commands.run, words)
  elseif vocabulary.commands[words[at]] then
    self:in_command(vocabulary.commands[table.remove(words, at)], words)
  else
    self.found[1] = ":file"
  end
  return self.found
end

function completion.main(_, words)
  local script = scripts[words[1]]
  if not script then text.refuse(2, "completion: one of bash, zsh, fish expected%s", words[1] and ", got '" .. words[1] .. "'" or "") end
  print(script)
  return 0
end

-- The words of `completion candidates` are no command line of this program: nothing in them is a flag of it.
function completion.answer(...)
  for _, line in ipairs(completion.candidates { ... }) do print(line) end
  return 0
end

return completion
