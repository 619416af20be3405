-- Text inside XML and HTML. Bytes that are no UTF-8, and control characters, which have no place there even escaped, become "?".
local markup = {}

local in_text = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }
local in_attribute = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;", ["\t"] = "&#9;" }

local function printable(text)
  local length, bad = utf8.len(text)
  while not length do
    text = text:sub(1, bad - 1) .. "?" .. text:sub(bad + 1)
    length, bad = utf8.len(text, bad)
  end
  return (text:gsub("[\0-\8\11\12\14-\31\127]", "?"):gsub("\u{FFFE}", "?"):gsub("\u{FFFF}", "?"))
end

function markup.text(text) return (printable(text):gsub("[&<>]", in_text)) end
function markup.attribute(text) return (printable(text):gsub('[&<>"\n\t]', in_attribute)) end

-- The template with each {name} replaced by the value of that name: markup, which is taken as it is, or a number.
function markup.fill(template, values)
  return (template:gsub("{([%a_]+)}", function(name)
    local value = values[name]
    if math.type(value) == "float" then return ("%.3f"):format(value):gsub("%.?0+$", "") end
    return value
  end))
end

return markup
