"""One table of the measured workloads against their goals: goals.py RESULTS.tsv

RESULTS.tsv has one line per run: workload, system, N, ns per operation, two figures of the system's, notes. Minima are compared, of
one interleaved run only. Lua tasks are the system perilune-lua, native ones perilune-c++. Exit status 0 whatever is met.
"""

import collections
import re
import sys

PEERS = ["limit", "coro-gcc", "go1", "tokio-ct"]
# Per workload: what ours may cost as a multiple of a peer, or in ns; "raw" is a bare switch between two Lua threads.
LUA = {
    "w1": [(1.25, "raw"), (1, "go1"), (0.6, "tokio-ct")],
    "w2seq": [(0.75, "go1"), (1.25, "limit")],
    "w2batch": [(0.5, "go1"), (1.25, "limit")],
    "w3": [(0.8, "go1"), (1.3, "limit")],
    "w4a": [(1.3, "go1"), (1.2, "tokio-ct")],
    "w4b": [(1.3, "go1"), (1.2, "tokio-ct")],
    "w5": [(0.9, "go1")],
    "w6": [(0.5, "go1"), (10, "MB")],
    "w7": [(0.7, "go1"), (1.3, "tokio-ct")],
    "w8": [(1331, "bytes")],
    "w8s": [(1331, "bytes")],
    "w9a": [(0.75, "go1")],
    "w9b": [(0.75, "go1")],
    "w10s": [(0.85, "go1")],
    "w10c": [(0.85, "go1")],
}
NATIVE = {
    "w1": [(2.5, "coro-gcc"), (0.1, "go1")],
    "w2seq": [(3, "coro-gcc"), (0.25, "tokio-ct")],
    "w2batch": [(3, "coro-gcc"), (0.25, "go1")],
    "w3": [(2, "coro-gcc"), (0.125, "go1")],
    "w4a": [(2, "coro-gcc"), (0.5, "go1")],
    "w4b": [(2, "coro-gcc"), (0.5, "go1")],
    "w5": [(2, "coro-gcc"), (1 / 6, "go1")],
    "w6": [(100, "ns"), (5, "MB")],
    "w7": [(0.7, "tokio-ct")],
    "w8": [(300, "bytes")],
    "w8s": [(300, "bytes")],
    "w9a": [(0.5, "go1"), (0.5, "tokio-ct")],
    "w9b": [(0.5, "go1"), (0.5, "tokio-ct")],
    "w10s": [(0.5, "tokio-ct")],
    "w10c": [(0.5, "tokio-ct")],
}
OURS = {"perilune-lua": LUA, "perilune-c++": NATIVE}


class Best:
    """The minima of one system in one workload."""

    def __init__(self):
        self.values = {}

    def add(self, unit, value):
        self.values[unit] = min(value, self.values.get(unit, value))

    def __getitem__(self, unit):
        return self.values.get(unit)


def read(path):
    results = collections.defaultdict(lambda: collections.defaultdict(Best))
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            workload, system, _, ns, _, _, notes = (line.rstrip("\n").split("\t") + [""] * 7)[:7]
            if ns == "NA":
                continue
            best = results[workload][system]
            best.add("ns", float(ns))
            for unit, divisor, note in (("bytes", 1, "bytes_per"), ("MB", 1e6, "peak_bytes")):
                if found := re.search(note + r"=(\d+)", notes):
                    best.add(unit, float(found.group(1)) / divisor)
    return results


def verdicts(best, goals, systems, raw):
    """Each goal as "ratio of base (<= limit)", and MISSED where it is."""
    for limit, base in goals:
        if base in ("ns", "MB", "bytes"):
            value, unit = best[base], f" {base}"
        else:
            other = raw if base == "raw" else systems[base]["ns"] if base in systems else None
            value, unit = best["ns"] / other if other else None, f" {base}"
        if value is None:
            yield f"?{unit} ({limit:.3g})"
            continue
        shown = f"{value:.0f}" if value >= 100 else f"{value:.2f}"
        yield f"{shown}{unit} (<= {limit:.4g})" + ("" if value <= limit else " MISSED")


def main():
    results = read(sys.argv[1])
    raw = results["raw:switch"]["raw-lua"]["ns"]
    systems = [*OURS, *PEERS]
    print("ns per operation, minima; goals as ratios, bytes and MB as they are. raw switch:", raw, "ns\n")
    print("| workload |", " | ".join(systems), "| Lua goals | C++ goals |")
    print("|---" * (len(systems) + 3) + "|")
    for workload in LUA:
        found = results.get(workload)
        if not found:
            continue
        cells = [f"{found[s]['ns']:.1f}" if s in found else "-" for s in systems]
        goals = ["; ".join(verdicts(found[s], OURS[s][workload], found, raw)) if s in found else "-" for s in OURS]
        print("|", " | ".join([workload, *cells, *goals]), "|")


main()
