"""Finds public names without a docstring: check_docstrings.py ROOT. Exit status 1 and a line for each.

Public is what the headers under include/ declare outside of namespaces named detail and of private parts. A comment documents the
declarations below it up to the next empty line, or the one that it stands behind; the comment that opens a file is that of the type
it is named after, one above an enumeration is that of what it lists. Nothing is asked of what says itself (constructors without
parameters, copies, moves, destructors, operators, overrides), of what every operation has, nor of what only the library can call,
since a parameter is from detail.
"""

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
STRING = re.compile(r'R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
SCOPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:requires.*?\)\s*)?(?:typedef\s+)?(namespace|class|struct|union|enum(?:\s+class)?|extern)\b"
                   r"(?:\s*\[\[[^\]]*\]\])?\s*([\w:]*)", re.S)
UNSAID = re.compile(r"\boperator\b|~|\boverride\b|\bfinal\s*$|=\s*(default|delete)\s*$|^(friend|static_assert|extern|public|private|protected)\b|^using namespace")


def blanked(text):
    """The text without comments, strings and directives, and the lines that had a comment."""
    commented = set()

    def gone(match):
        first = text.count("\n", 0, match.start())
        commented.update(range(first, first + match.group().count("\n") + 1))
        return re.sub(r"[^\n]", " ", match.group())

    code = COMMENT.sub(gone, text)
    code = STRING.sub(lambda m: '"' + re.sub(r"[^\n]", "_", m.group()[1:-1]) + '"', code)
    return re.sub(r"^[ \t]*#(?:.*\\\n)*.*", "", code, flags=re.M), commented


def end_of_block(code, at):
    depth = 0
    for at in range(at, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth == 0:
            break
    return at + 1


def declarations(code, at=0, end=None, inside=None, public=True):
    """Yields (first position, last position, text, name of the type around) of each public declaration."""
    end = len(code) if end is None else end
    start, parens = None, 0
    while at < end:
        c = code[at]
        if start is None:
            if access := re.compile(r"(public|private|protected)\s*:(?!:)").match(code, at):
                public, at = access[1] == "public", access.end()
                continue
            if not c.isspace() and c not in ";":
                start = at
        if start is None:
            at += 1
            continue
        parens += {"(": 1, ")": -1}.get(c, 0)
        text = code[start:at].strip()
        if c == ";" and parens == 0:
            if public:
                yield start, at, text, inside
            start = None
        elif c == "{" and parens == 0:
            close = end_of_block(code, at)
            scope = SCOPE.match(text)
            if scope and "(" not in text[scope.end():]:
                kind, name = scope[1].split()[0], scope[2]
                if public and kind not in ("namespace", "extern"):
                    yield start, at, text + " {", inside
                if kind in ("namespace", "extern") and "detail" not in name.split("::"):
                    yield from declarations(code, at + 1, close - 1)
                elif kind in ("class", "struct") and public:
                    yield from declarations(code, at + 1, close - 1, name, kind == "struct")
                start = None
                at = code.find(";", close) if kind not in ("namespace", "extern") else close
                continue
            at = close
            if not re.match(r"\s*[;,{=(]", code[at:end]):  # the body of a function, and no initialiser
                if public:
                    yield start, at - 1, text, inside
                start = None
            continue
        at += 1


def says_itself(text, inside):
    flat = " ".join(text.split())
    if UNSAID.search(re.sub(r"\s*noexcept$", "", flat)) or re.match(r"(template <.*> )?(class|struct) \w+$", flat):
        return True
    if re.search(r"\b(try_now|take_result)\s*\(", flat) or re.match(r"[^(]*[\w>]::~?\w+\s*\(", re.sub(r"\bstd::", "", flat)):
        return True
    own = re.search(rf"\b{re.escape(inside)}\s*\(([^)]*)\)", flat) if inside else None
    return bool(own and (not own[1] or "detail::" in own[1] or re.fullmatch(rf"(const )?{inside}(<.*>)? ?&&?( \w+)?", own[1])))


def undocumented(path):
    text = path.read_text()
    code, commented = blanked(text)
    lines = code.split("\n")
    line_of = lambda at: code.count("\n", 0, at)
    for first, last, declared, inside in declarations(code):
        if says_itself(declared, inside):
            continue
        top, bottom = line_of(first), line_of(last)
        if bottom in commented or top in commented:
            continue
        above = top - 1
        while above >= 0 and above not in commented and lines[above].strip():
            above -= 1
        if above in commented:
            continue
        if re.search(rf"\b(class|struct|using) (\[\[.*?\]\] )?{re.escape(path.stem)}(_core)?\b", declared):
            continue
        yield top + 1, " ".join(declared.split())[:90]


def main():
    root = Path(sys.argv[1])
    missing = [f"{path.relative_to(root)}:{line}: {what}" for folder in ("engine/include", "lua/include")
               for path in sorted((root / folder).rglob("*.h*")) for line, what in undocumented(path)]
    print("\n".join(missing))
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
