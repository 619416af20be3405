"""The pipeline runner beside other ways to run processes, and with many steps; one table of each.

usage: runner.py [ROUNDS [PERILUNE]]     5 rounds; the program of build/release
Needs cc; peers that are not installed (make, ninja, xargs, GNU parallel) are left out. Rounds are interleaved and minima are shown:
wall and processor seconds, of children too, and the peak memory of the largest process.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROCESSES = 1000
LONG = 10.0
# Goals: wall seconds as a multiple of another row's, or as they are.
FLOOR, MAKE, UP_TO_DATE, PLAN = 1.2, 1.0, 0.5, 5.0


def run(command, folder):
    began = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command} ended with {child.returncode}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(commands, rounds):
    """{name: minima} of commands {name: (words, folder)}, which take turns; the slowest ones only once."""
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (words, folder) in commands.items():
            if not runs[name] or runs[name][0][0] < LONG:
                runs[name].append(run(words, folder))
    return {name: tuple(min(column) for column in zip(*rows)) for name, rows in runs.items()}


def show(heading, rows, base=None):
    print(f"\n{heading}\n\n|  | wall s | cpu s | MB |{' of ' + base + ' |' if base else ''}\n|---|---|---|---|{'---|' if base else ''}")
    for name, (wall, cpu, memory) in rows.items():
        ratio = f" {wall / rows[base][0]:.2f} |" if base else ""
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |{ratio}")


def verdict(what, value, goal):
    print(f"{what}: {value:.2f} (<= {goal:g}){'' if value <= goal else ' MISSED'}")


def write_processes(folder):
    names = [f"t{i}" for i in range(PROCESSES)]
    (folder / "perilune.toml").write_text("".join(f'[steps.{n}]\nargv = ["/bin/true"]\n' for n in names))
    everything = " ".join(names)
    rules = "".join(f"{n}:\n\t@/bin/true\n" for n in names)
    (folder / "Makefile").write_text(f".PHONY: all {everything}\nall: {everything}\n{rules}")
    builds = "".join(f"build {n}: true\n" for n in names)
    (folder / "build.ninja").write_text(f"rule true\n command = /bin/true\n{builds}")
    (folder / "list").write_text("\n".join(names) + "\n")


def process_commands(folder, perilune, jobs):
    floor = folder / "spawn_floor"
    if not floor.exists():
        subprocess.run(["cc", "-O2", "-o", floor, HERE / "peers" / "spawn_floor.c"], check=True)
    shell = ["sh", "-c"]
    commands = {
        "floor": [floor, str(PROCESSES), jobs, "/bin/true"],
        "perilune": [perilune, "run", f"-j{jobs}"],
        "make": ["make", "-s", f"-j{jobs}"],
        "ninja": ["ninja", "--quiet", f"-j{jobs}"],
        "xargs": [*shell, f"xargs -P{jobs} -n1 /bin/true <list"],
        "parallel": [*shell, f"parallel -n0 -j{jobs} /bin/true <list"],
    }
    return {name: (words, folder) for name, words in commands.items() if name in ("floor", "perilune") or shutil.which(name)}


def write_steps(folder, count):
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for i in range(1000):
        (folder / "in" / str(i)).write_text(str(i) * 20)
    with (folder / "perilune.toml").open("w") as file:
        for i in range(count):
            needs = f'needs = ["s{i - 1}"]\n' if i % 10 else ""
            file.write(f'[steps.s{i}]\n{needs}argv = ["touch", "out/{i}"]\ninputs = ["in/{i % 1000}"]\noutputs = ["out/{i}"]\n\n')


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    perilune = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "build" / "release" / "perilune").resolve()
    with tempfile.TemporaryDirectory() as name:
        base = pathlib.Path(name)
        processes, many, more = base / "processes", base / "many", base / "more"
        for folder in (processes, many, more):
            folder.mkdir()
        write_processes(processes)
        for jobs in ("2", "8"):
            rows = measure(process_commands(processes, perilune, jobs), rounds)
            show(f"{PROCESSES} processes, {jobs} side by side", rows, "floor")
            verdict("perilune / floor", rows["perilune"][0] / rows["floor"][0], FLOOR)
            if "make" in rows:
                verdict("perilune / make", rows["perilune"][0] / rows["make"][0], MAKE)
        write_steps(many, 10_000)
        write_steps(more, 100_000)
        run([perilune, "run", "-q"], many)
        rows = measure({"10,000 steps up to date": ([perilune, "run", "-q"], many), "100,000 steps planned": ([perilune, "check"], more),
                        "10,000 steps planned": ([perilune, "check"], many)}, rounds)
        show("Many steps", rows)
        verdict("up to date", rows["10,000 steps up to date"][0], UP_TO_DATE)
        verdict("planned", rows["100,000 steps planned"][0], PLAN)
        verdict("memory of 100,000 / 10 x that of 10,000", rows["100,000 steps planned"][2] / rows["10,000 steps planned"][2] / 10, 1.1)


main()
