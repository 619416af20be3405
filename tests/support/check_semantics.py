#!/usr/bin/env python3
"""Checks tests/semantics.md: every row has tests that are named after it, or the reason why not.

  check_semantics.py ROOT           fails when a row has neither, or names a file that has no test of that row any more
  check_semantics.py ROOT --write   first writes into each row the files that have tests named after it
"""
import pathlib
import re
import sys

ROW = re.compile(r"^\| ([A-Z]{3,4}-\d\d) \| (.+?) \| (.*?) ?\|$")
NAME = re.compile(r"\b[A-Z]{3,4}-\d\d\b")
QUOTED = re.compile(r'"([^"\n]*)"')
REASON = "none: "


def named_tests(tests):
    """The files that have tests named after each row: {row: {file}}."""
    found = {}
    for path in sorted(tests.rglob("*")):
        if path.suffix not in (".lua", ".cpp", ".sh"):
            continue
        for text in QUOTED.findall(path.read_text(encoding="utf-8", errors="replace")):
            for row in NAME.findall(text):
                found.setdefault(row, set()).add(path.relative_to(tests).as_posix())
    return found


def refreshed(line, found):
    match = ROW.match(line)
    if not match or match[1] not in found:
        return line
    return f"| {match[1]} | {match[2]} | {', '.join(sorted(found[match[1]]))} |"


def problems_of(lines, found):
    prefixes = {m[1].split("-")[0] for m in map(ROW.match, lines) if m}
    rows = set()
    for number, line in enumerate(lines, 1):
        match = ROW.match(line)
        if not match:
            if re.match(r"\| [A-Z]", line):
                yield f"line {number}: not a row: {line}"
            continue
        row, proof = match[1], match[3]
        if row in rows:
            yield f"{row} stands there twice"
        rows.add(row)
        if proof.startswith(REASON):
            continue
        if not proof:
            yield f"{row} has no test named after it and no reason"
        for name in filter(None, proof.split(", ")):
            if name not in found.get(row, ()):
                yield f"{row}: no test in tests/{name} is named after it"
    for row in sorted(set(found) - rows):
        if row.split("-")[0] in prefixes:
            yield f"{row} is named in {', '.join(sorted(found[row]))}, but is no row"


def main():
    root = pathlib.Path(sys.argv[1])
    table = root / "tests" / "semantics.md"
    found = named_tests(root / "tests")
    lines = table.read_text(encoding="utf-8").splitlines()
    if "--write" in sys.argv[2:]:
        lines = [refreshed(line, found) for line in lines]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    problems = list(problems_of(lines, found))
    for problem in problems:
        print(f"semantics.md: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
