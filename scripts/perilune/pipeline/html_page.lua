-- An HTML page of one file: its own style, light and dark as the reader's system is, nothing loaded from anywhere.
local markup = require "perilune.markup"

local style <const> = [[
:root{color-scheme:light dark;--page:#f6f8fa;--card:#fff;--line:#d1d9e0;--text:#1f2328;--soft:#59636e;--track:#eaeef2;
--succeeded:#1a7f37;--cached:#57829e;--skipped:#818b98;--failed:#d1242f;--blocked:#9a6700;--running:#0969da;--code:#f6f8fa;--tint:#ffebe9}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--card:#151b23;--line:#3d444d;--text:#f0f6fc;--soft:#9198a1;--track:#262c36;
--succeeded:#3fb950;--cached:#79a8c9;--skipped:#9198a1;--failed:#f85149;--blocked:#d29922;--running:#4493f8;--code:#0d1117;--tint:#2d1517}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:14px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1280px;margin:0 auto;padding:24px}
h1{font-size:22px;margin:0;overflow-wrap:anywhere}h2{font-size:16px;margin:28px 0 10px}
a{color:inherit;text-decoration:none}a:hover{text-decoration:underline}
code,pre{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
pre{margin:8px 0 0;padding:10px 12px;background:var(--code);border:1px solid var(--line);border-radius:6px;overflow-x:auto;max-height:420px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px}
.head{display:flex;align-items:center;gap:12px;flex-wrap:wrap}
.pill{padding:2px 10px;border-radius:999px;font-weight:600;color:#fff;background:var(--skipped)}
.soft,.note{color:var(--soft)}
.facts{display:flex;flex-wrap:wrap;gap:10px 32px;margin:14px 0 0}
.facts dt{color:var(--soft);font-size:12px}.facts dd{margin:0;font-variant-numeric:tabular-nums}
.success{--state:var(--succeeded)}.failure{--state:var(--failed)}.interrupted{--state:var(--blocked)}
.succeeded{--state:var(--succeeded)}.cached{--state:var(--cached)}.skipped,.pending,.planned{--state:var(--skipped)}
.failed,.timeout{--state:var(--failed)}.blocked,.cancelled,.not_run{--state:var(--blocked)}.running{--state:var(--running)}
.pill{background:var(--state,var(--skipped))}
@media(prefers-color-scheme:dark){.pill{color:#0d1117}}
.dot{display:inline-block;width:10px;height:10px;border-radius:50%;background:var(--state);flex:none}
.problem{border-left:4px solid var(--failed);margin-bottom:10px}.problem h3{margin:0;font-size:15px;overflow-wrap:anywhere}
.scroll{overflow:auto;max-height:640px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px}
.gantt{padding:0}
.gantt .row{display:grid;grid-template-columns:minmax(120px,260px) 1fr 72px;align-items:center;height:22px;padding:0 12px}
.gantt .row:hover{background:var(--track);text-decoration:none}
.gantt .key{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;font-size:12px;padding-right:10px}
.gantt .track{position:relative;height:100%;background:repeating-linear-gradient(90deg,var(--line) 0 1px,transparent 1px 20%)}
.gantt .track i{position:absolute;top:5px;height:12px;min-width:3px;border-radius:3px;background:var(--state);opacity:.75}
.gantt .critical i{opacity:1;top:3px;height:16px}.gantt .adds i{background:none;border:1px solid var(--state)}
.gantt .critical .key{font-weight:600}
.gantt .track i.again{background:var(--failed);opacity:.55}
.gantt .time{text-align:right;font-size:12px;color:var(--soft);font-variant-numeric:tabular-nums}
.gantt .axis{position:sticky;top:0;z-index:1;background:var(--card);border-bottom:1px solid var(--line);color:var(--soft);font-size:11px;height:26px}
.gantt .axis:hover{background:var(--card)}
.gantt .axis .track{background:none}.gantt .axis .track span{position:absolute;top:5px;white-space:nowrap;padding-left:3px}
.dense .row:not(.axis){height:15px}.dense .key,.dense .time{font-size:11px}.dense .row .track i{top:3px;height:9px}.dense .row.critical .track i{top:2px;height:11px}
.many>summary{cursor:pointer;color:var(--soft);padding:2px 0 8px}
.graph{display:block}.graph.fits{max-width:100%;height:auto}.graph text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--text)}
.graph .second{font-size:11px;fill:var(--soft)}
.graph rect{fill:var(--card);stroke:var(--line)}.graph .edge-of-state{fill:var(--state);stroke:none}
.graph .failed rect:first-of-type,.graph .timeout rect:first-of-type{stroke:var(--failed);fill:var(--tint)}
.graph .link{fill:none;stroke:var(--soft);stroke-width:1.2;opacity:.45}.graph .link.critical{stroke:var(--text);stroke-width:2;opacity:.8}
.steps details{border-top:1px solid var(--line)}.steps details:first-of-type{border-top:0}
.steps summary{display:grid;grid-template-columns:16px minmax(140px,2fr) 90px 76px minmax(0,3fr);gap:10px;align-items:center;padding:6px 4px;cursor:pointer;list-style:none}
.steps summary::-webkit-details-marker{display:none}.steps summary:hover{background:var(--track)}
.steps summary>*{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.steps .time{text-align:right;font-variant-numeric:tabular-nums}
.steps .body{padding:2px 4px 14px 30px;overflow-wrap:anywhere}.steps [open]>summary>*{white-space:normal;overflow-wrap:anywhere}
.steps :target,.steps details:target{outline:2px solid var(--running);border-radius:6px}
.tools{display:none;gap:14px;align-items:center;margin:0 0 10px}
.tools input[type=search]{font:inherit;padding:5px 10px;border:1px solid var(--line);border-radius:6px;background:var(--card);color:inherit;width:280px;max-width:100%}
footer{margin:28px 0 0;color:var(--soft);font-size:12px}
@media(max-width:640px){main{padding:14px}.gantt .row{grid-template-columns:110px 1fr 60px;padding:0 6px}
.steps summary{grid-template-columns:16px 1fr 76px}.steps summary .state,.steps summary .why{display:none}}
]]

-- body: a list of HTML texts. script: JavaScript, for comfort only; everything can be read without.
return function(title, body, script)
  return table.concat {
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>',
    markup.text(title), "</title>\n<style>\n", style, "</style>\n</head>\n<body>\n<main>\n", table.concat(body, "\n"), "\n</main>\n",
    script and "<script>\n" .. script .. "</script>\n" or "", "</body>\n</html>\n",
  }
end
