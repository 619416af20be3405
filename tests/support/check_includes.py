"""Checks the dependency rules of the architecture by reading the sources: check_includes.py ROOT

Arrows point down: scripts -> lua -> engine -> asio. Each rule is one function that yields "file:line: complaint".
Exit status 1 when there is any complaint.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

TOP_FOLDERS = {"engine", "lua", "scripts", "examples", "tests"}
TOP_FILES = {"CMakeLists.txt", "README.md", "CMakePresets.json", "LICENSE", "CHANGELOG.md"}
NATIVE_HEADER = "lua/include/perilune/native.hpp"
ASIO_HEADER = "engine/include/perilune/asio.hpp"

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
LUA_HEADER = re.compile(r"(^|/)(lua|lualib|lauxlib|luaconf)\.(h|hpp)$")
ASIO_FILE = re.compile(r"^(asio\.hpp|asio/.*)$")
RAISING = re.compile(
    r"\b(luaL_error|lua_error|luaL_check\w*|luaL_opt(?!ion)\w+|luaL_arg\w+|luaL_typeerror"
    r"|lua_yieldk?|lua_pcallk?|lua_resume|lua_callk?|luaL_dofile|luaL_dostring)\s*\(")
COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])'", re.DOTALL)


class Source:
    """One C++ file: its path below the root, its includes, and its code without comments and strings."""

    def __init__(self, root, path):
        self.path = path
        text = (root / path).read_text(encoding="utf-8")
        self.includes = []
        for number, line in enumerate(text.splitlines(), 1):
            found = INCLUDE.match(line)
            if found:
                self.includes.append((number, found.group(1) == '"', found.group(2)))
        self.code = COMMENT_OR_STRING.sub(self._blank, text)

    @staticmethod
    def _blank(match):
        return "\n" * match.group().count("\n") + " "

    def where(self, number):
        return f"{self.path}:{number}"

    def within(self, *folders):
        return any(self.path.startswith(folder + "/") for folder in folders)

    def public(self):
        return self.within("engine/include", "lua/include")

    def code_matches(self, pattern):
        for number, line in enumerate(self.code.splitlines(), 1):
            for found in pattern.finditer(line):
                yield number, found


def check_top_level(root):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        names = {line.split("/")[0] for line in listing.stdout.splitlines() if (root / line).exists()}
    else:
        names = {entry for entry in os.listdir(root) if entry != "build"}
    for name in sorted(names):
        allowed = TOP_FOLDERS if (root / name).is_dir() else TOP_FILES
        if name not in allowed and not name.startswith("."):
            yield f"{name}: not a name of the top level"


def check_lua_headers(source):
    """lua.h and lua_State stay inside lua/, its opt-in public header, and the tests and benchmarks of lua/."""
    inside = source.within("lua", "tests/lua", "tests/bench", "tests/fuzz", "tests/embed", "tests/support")
    if inside and (not source.public() or source.path == NATIVE_HEADER):
        return
    for number, _, name in source.includes:
        if LUA_HEADER.search(name):
            yield f"{source.where(number)}: <{name}> outside lua/ and native.hpp"
    for number, _ in source.code_matches(re.compile(r"\blua_State\b")):
        yield f"{source.where(number)}: lua_State outside lua/ and native.hpp"


def check_asio(source):
    """asio is seen by the engine's internals and one opt-in public header; by programs in tests and examples."""
    if source.within("tests", "examples") or source.path == ASIO_HEADER:
        return
    if source.within("engine") and not source.public():
        return
    for number, _, name in source.includes:
        if ASIO_FILE.match(name):
            yield f"{source.where(number)}: <{name}> outside the engine's internals and asio.hpp"


def check_arrows(root, source):
    """engine/ knows nothing above it; public headers name public headers only; examples use what is published."""
    layers = {"engine": ["engine"], "lua": ["lua", "engine"]}.get(source.path.split("/")[0], ["engine", "lua"])
    for number, quoted, name in source.includes:
        if name.startswith("perilune/"):
            if not any((root / layer / "include" / name).exists() for layer in layers):
                yield f"{source.where(number)}: <{name}> is no public header of {' or '.join(layers)}"
        elif quoted and source.public():
            yield f'{source.where(number)}: a public header includes "{name}"'
        elif quoted and source.within("engine", "lua"):
            own = [(root / source.path).parent / name, root / layers[0] / name]
            if not any(path.exists() for path in own):
                yield f'{source.where(number)}: "{name}" is not in {layers[0]}/'
        elif quoted and source.within("examples") and not ((root / source.path).parent / name).exists():
            yield f'{source.where(number)}: an example includes "{name}"'


def check_raises(source):
    """Protected calls, raises, yields and resumes stand in lua/protect.* and lua/protect_*.* alone."""
    if not source.within("lua") or re.match(r"lua/protect[._]", source.path):
        return
    for number, found in source.code_matches(RAISING):
        yield f"{source.where(number)}: {found.group(1)} outside lua/protect.*"


def complaints(root):
    yield from check_top_level(root)
    for folder in sorted(TOP_FOLDERS):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".cpp", ".hpp", ".h", ".c"):
                continue
            source = Source(root, path.relative_to(root).as_posix())
            yield from check_lua_headers(source)
            yield from check_asio(source)
            yield from check_arrows(root, source)
            yield from check_raises(source)


def main():
    found = list(complaints(Path(sys.argv[1]).resolve()))
    print("\n".join(found) if found else "the dependency rules hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
