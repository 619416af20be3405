-- Selecting over wrapped and chosen operations: they are flattened into plain ones, and what was wrapped around the one
-- that committed is applied to its results, in the selecting task. Returns the entry; see lua/lib_operation.cpp.
local parts, plain_select, plain_try_select = ...
local type, error = type, error

-- An arm is a plain operation and a chain, from the outside in, of what is to be done with its results.
local function add(arms, operation, chain)
  local kind, inner, fn = parts(operation)
  if kind == "wrap" then
    add(arms, inner, { outer = chain, wrap = fn })
  elseif kind == "choose" then
    for key, below in pairs(inner) do
      add(arms, below, { outer = chain, key = key })
    end
  else
    arms[#arms + 1] = operation
    arms.chains[#arms] = chain
  end
end

local function apply(chain, ...)
  if not chain then return ... end
  if chain.wrap then return apply(chain.outer, chain.wrap(...)) end
  return apply(chain.outer, chain.key, ...)
end

local function finish(chains, index, ...)
  if index == nil then return nil end
  return apply(chains[index], ...)
end

-- With a table: select over its arms. With an operation: perform it.
return function(operations, options, waits)
  local arms = { chains = {} }
  if type(operations) == "table" then
    if options and options.biased then
      for key = 1, #operations do
        if operations[key] ~= nil then add(arms, operations[key], { key = key }) end
      end
    else
      for key, operation in pairs(operations) do add(arms, operation, { key = key }) end
    end
  else
    add(arms, operations, nil)
    waits = true
  end
  local chains = arms.chains
  arms.chains = nil
  if #arms == 0 then error("bad argument #1 to 'select' (no operations)", 3) end
  if waits then return finish(chains, plain_select(arms, options)) end
  return finish(chains, plain_try_select(arms, options))
end
