-- Counts lines and words.
local path, text = ...
local _, lines = text:gsub("\n", "")
local _, words = text:gsub("%S+", "")
return { lines = lines, words = words }
