# The first line is the title; [word](target) is a link; an empty line begins a paragraph.
NR == 1 { print "<h1>" $0 "</h1>"; next }
/^$/ { print "<p>"; next }
{
  while (match($0, /\[[^]]*\]\([^)]*\)/)) {
    link = substr($0, RSTART, RLENGTH)
    split(substr(link, 2, length(link) - 2), part, /\]\(/)
    $0 = substr($0, 1, RSTART - 1) "<a href=\"" part[2] "\">" part[1] "</a>" substr($0, RSTART + RLENGTH)
  }
  print
}
