"""Runs the two hosts of examples/ in a pseudo-terminal: terminal_hosts.py game|indexer PROGRAM FOLDER."""

import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Terminal:
    """A program in a pseudo-terminal of 24 lines and 80 columns, and what it has written."""

    def __init__(self, *command):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", LINES="24", COLUMNS="80")
            os.execv(command[0], command)

    def read(self, until, patience=60):
        """Reads until the pattern has come, or with None until the end."""
        deadline = time.monotonic() + patience
        while until is None or not re.search(until, self.seen):
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waited for {until!r}, got {self.seen[-2000:]!r}"
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                part = b""
            if not part:
                assert until is None, f"ended before {until!r}: {self.seen[-2000:]!r}"
                return self.seen
            self.seen += part.decode(errors="replace")
        return self.seen

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        self.read(None)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def test_game(program, folder):
    with tempfile.TemporaryDirectory() as work:
        scripts, record = Path(work, "scripts"), Path(work, "record")
        scripts.mkdir()
        shutil.copy(Path(folder, "creatures.lua"), scripts)
        game = Terminal(program, "--record", str(record), str(scripts))
        game.read("runs")
        game.type("\x1b[C\x1b[B")
        game.read("tasks [1-9]")
        game.type("p")
        game.read("paused")
        game.type("ps")
        game.read("slow")
        broken = (scripts / "creatures.lua").read_text()
        (scripts / "creatures.lua").write_text("return {")
        game.type("r")
        game.read("not reloaded")
        (scripts / "creatures.lua").write_text(broken.replace("me)\n  while true", "me)\n  local reloaded = true\n  while true", 1))
        game.type("r")
        game.read("(?<!not )reloaded")
        # One that loads and then fails: creatures stand still until it is mended.
        (scripts / "creatures.lua").write_text(broken.replace("function creatures.wolf(me)", "function creatures.wolf(me) error 'lost'"))
        game.type("r")
        game.read("wolf [0-9]+: [^\n]*lost")
        (scripts / "creatures.lua").write_text(broken)
        game.type("r")
        game.read("lost.*(?<!not )reloaded")
        game.read("tasks 12")
        game.type("kk")
        game.read("scripts, most [0-9.]+;")
        game.type("q")
        assert game.end() == 0
        state = re.search(r"(\d+) frames, state ([0-9a-f]{16})", game.seen)
        assert state, game.seen[-500:]
        (scripts / "creatures.lua").write_text("no matter")
        again = subprocess.run([program, "--replay", str(record), str(scripts)], capture_output=True, text=True, check=False)
        assert again.returncode == 0 and f"the same run, state {state.group(2)}" in again.stdout, again


def test_replay(program, folder):
    with tempfile.TemporaryDirectory() as work:
        record = Path(work, "record")
        game = Terminal(program, "--frames", "120", "--record", str(record), folder)
        for key in ("\x1bOC", "\x1bOB", "k", "s", "\x1bOA"):
            game.read("frame")
            game.type(key)
        assert game.end() == 0
        state = re.search(r"120 frames, state ([0-9a-f]{16})", game.seen).group(1)
        again = subprocess.run([program, "--replay", str(record), folder], capture_output=True, text=True, check=False)
        assert again.returncode == 0 and f"the same run, state {state}" in again.stdout, again
        text = record.read_text()
        without = re.sub(r"input [^\n]*kill[^\n]*\n", "", text, count=1)
        assert without != text
        record.write_text(without)
        changed = subprocess.run([program, "--replay", str(record), folder], capture_output=True, text=True, check=False)
        assert changed.returncode == 1 and re.search("not the recorded one: tick [0-9]+", changed.stdout), changed


def test_indexer(program, folder):
    with tempfile.TemporaryDirectory() as work:
        files = Path(work, "files")
        files.mkdir()
        for i in range(12):
            (files / f"{i:02}.txt").write_text("one two\nthree\n" * (i + 1))
        database, plugins = str(Path(work, "index.db")), str(Path(folder, "plugins"))
        tool = Terminal(program, database, str(files), plugins, "lines", "loops", "errors", "eats")
        assert tool.end() == 0, tool.seen
        assert "12 of 12 files" in tool.seen and "indexed 12 files, 24 entries" in tool.seen, tool.seen
        assert "plugin errors failed" in tool.seen and "no idea what to do" in tool.seen, tool.seen
        assert "plugin loops failed" in tool.seen and "plugin eats failed" in tool.seen, tool.seen

        def entries():
            with sqlite3.connect(database) as db:
                return db.execute("select count(*) from entry").fetchone()[0]

        assert entries() == 24
        stopped = Terminal(program, database, str(files), plugins, "lines", *["loops"] * 100)
        stopped.read("of 12 files")
        os.kill(stopped.pid, signal.SIGINT)
        assert stopped.end() == 130, stopped.seen
        assert "interrupted" in stopped.seen, stopped.seen
        assert entries() == 24
        for words, said in (((database, str(files), plugins, "nope"), "indexer: cannot read .*nope.lua"),
                            ((database, str(files) + "/nope", plugins), "indexer: cannot read .*nope: No such file"),
                            ((work + "/nope/index.db", str(files), plugins), "indexer: .*unable to open")):
            failed = Terminal(program, *words)
            assert failed.end() == 1 and re.search(said, failed.seen), failed.seen


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    {"game": test_game, "replay": test_replay, "indexer": test_indexer}[name](*rest)
    print("ok")
