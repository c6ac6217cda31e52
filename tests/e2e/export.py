#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""testudo export: the timeline holds every exit once, in order; JSON in Google Benchmark's layout.

Usage: export.py TESTUDO MACHINE...
"""
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

TESTUDO = os.path.abspath(sys.argv[1])
COMPARE = "/usr/share/benchmark/compare.py"


def run(*arguments):
    return subprocess.run([TESTUDO, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def export(*arguments):
    result = run("export", *arguments)
    expect(result.returncode == 0, result.stderr)
    return result


def ns(value):
    """Whole nanoseconds of a time in microseconds: the file has three decimals."""
    expect(abs(value * 1000 - round(value * 1000)) < 0.01, f"{value} us is no whole ns")
    return round(value * 1000)


def check_process(events, name):
    """Slices of all tracks follow each other: one level runs at a time. An instant is where its guest's slice ends."""
    expect([event["args"]["name"] for event in events if event["name"] == "process_name"] == [name], name)
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    end = last = 0
    counts = {"i": 0, "X": 0}
    for event in events:
        if event["ph"] == "M":
            continue
        counts[event["ph"]] += 1
        expect(tracks[event["tid"]] == f"L{event['tid']}", f"{name}: track {event['tid']}")
        at = ns(event["ts"])
        expect(at >= last, f"{name}: time goes back at {event}")
        last = at
        if event["ph"] == "X":
            expect(at >= end, f"{name}: slices overlap at {event}")
            end = at + ns(event["dur"])
        else:
            expect(at == end, f"{name}: {event} is not where its slice ends")
            expect(event["args"]["detail"].startswith("0x") and event["args"]["handler"] in ("L0", "L1", "engine", "EPT02"), str(event))
    return counts, end


def check_trace(folder, cells):
    trace = json.loads(export("--format", "trace", "--limit", "0", folder).stdout)
    expect("instruction" in trace["otherData"]["time"], "otherData says the unit")
    by_pid = {}
    for event in trace["traceEvents"]:
        by_pid.setdefault(event["pid"], []).append(event)
    expect(len(by_pid) == len(cells), f"{len(by_pid)} processes for {len(cells)} cells")
    for cell in cells:
        unit = "instructions" if cell["unit"] == "instructions" else "ns"
        events = by_pid[int(cell["cell"]) + 1]
        title = next(event["args"]["name"] for event in events if event["name"] == "process_name")
        expect(title.startswith(f"{cell['machine']} level {cell['level']} {cell['workload']}") and title.endswith(f"[{unit}]"), title)
        counts, end = check_process(events, title)
        expect(counts["i"] == int(cell["records"]), f"{title}: {counts['i']} instants, {cell['records']} exits recorded")
        expect(end > 0, title)
        nested = [event for event in events if event["ph"] == "i" and event["tid"] == 2]
        expect(bool(nested) == (cell["level"] == "2"), f"{title}: exits of L2")


def check_limits(folder, cells):
    result = export("--format", "trace", "--limit", "7", folder)
    instants = sum(event["ph"] == "i" for event in json.loads(result.stdout)["traceEvents"])
    expect(instants == 7 * len(cells), f"{instants} instants at --limit 7")
    left_out = sum(int(cell["records"]) - 7 for cell in cells)
    expect(f" {left_out} exits are left out" in result.stderr, result.stderr)
    one = json.loads(export("--format", "trace", "--cells", "level=2", "--cells", "workload=cpuid", "--limit", "3", folder).stdout)
    expect({event["pid"] for event in one["traceEvents"]} == {int(cell["cell"]) + 1 for cell in cells if cell["level"] == "2" and cell["workload"] == "cpuid"},
           "--cells takes the cells it names")
    empty = export("--format", "trace", "--cells", "workload=hlt", folder)
    expect(json.loads(empty.stdout)["traceEvents"] == [] and "empty" in empty.stderr, empty.stderr)
    for wrong, word in ((["--limit", "x"], "x"), (["--limit", "-1"], "-1"), (["--cells", "color=red"], "color")):
        result = run("export", "--format", "trace", *wrong, folder)
        expect(result.returncode == 2 and word in result.stderr, result.stderr)
    result = run("export", "--limit", "5", folder)
    expect(result.returncode == 2 and "trace" in result.stderr, result.stderr)


def check_benchmarks(folder, cells):
    root = json.loads(export("--format", "json", folder).stdout)
    context = root["context"]
    expect(context["num_cpus"] > 0 and context["executable"] == "testudo" and "T" in context["date"], str(context))
    for cell in cells:
        name = next(entry["run_name"] for entry in root["benchmarks"]
                    if entry["run_name"].split("/")[:3] == [cell["machine"], "level:" + cell["level"], cell["workload"]])
        entries = [entry for entry in root["benchmarks"] if entry["run_name"] == name]
        samples = [entry for entry in entries if entry["run_type"] == "iteration"]
        expect([entry["repetition_index"] for entry in samples] == list(range(int(cell["samples"]))), name)
        expect(all(entry["name"] == name and entry["repetitions"] == len(samples) and entry["time_unit"] == "ns" for entry in samples), name)
        scale = 1 if cell["unit"] == "instructions" else 1e6 / float(cell["tsc_khz"])
        expect(("instructions" in samples[0]["label"]) == (cell["unit"] == "instructions"), samples[0]["label"])
        times = [entry["real_time"] for entry in samples]
        aggregates = {entry["aggregate_name"]: entry["real_time"] for entry in entries if entry["run_type"] == "aggregate"}
        for what, value in (("mean", statistics.mean(times)), ("median", statistics.median(times)), ("stddev", statistics.stdev(times))):
            expect(math.isclose(aggregates[what], value, rel_tol=1e-9, abs_tol=1e-6), f"{name}: {what} {aggregates[what]}, should be {value}")
        expect(math.isclose(aggregates["median"], float(cell["cycles_per_op"]) * scale, rel_tol=1e-4, abs_tol=0.01), f"{name}: the table's median")


def compare_py(folder):
    """Google Benchmark's own reader, where it is installed with what it needs."""
    python = "/usr/bin/python3"
    if not os.path.exists(COMPARE) or subprocess.run([python, "-c", "import numpy, scipy"], capture_output=True, check=False).returncode:
        print("compare.py is not tried: libbenchmark-tools, numpy or scipy are not installed")
        return
    path = os.path.join(folder, "run.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(export("--format", "json", folder).stdout)
    result = subprocess.run([python, COMPARE, "benchmarks", path, path], capture_output=True, text=True, timeout=60, check=False)
    print(result.stdout)
    expect(result.returncode == 0 and "level:2/cpuid" in result.stdout, result.stderr)


def main():
    machines = sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="testudo-export-") as top:
        folder = os.path.join(top, "run")
        arguments = ["-q", "-o", folder, "--interleave", "2"]
        for setting in ("machine=" + ",".join(machines), "level=1,2", "workload=cpuid,pio", "vmcs=shadow", "profile=minimal", "samples=4", "ops=50", "mmu=ept",
                        "ept12_page=2m", "merge=incremental", "stamps=off"):
            arguments += ["--set", setting]
        result = run("run", *arguments)
        if result.returncode == 1 and "not available" in result.stderr:
            print(result.stderr)
            return 77
        with open(os.path.join(folder, "summary.csv"), encoding="utf-8", newline="") as file:
            cells = [cell for cell in csv.DictReader(file) if cell["status"] == "ok"]
        expect(cells, result.stderr)
        seen = {(cell["machine"], cell["level"], cell["workload"], cell["profile"]) for cell in cells}
        print(f"{len(cells)} cells of {sorted(seen)}")
        expect(len(seen) == len(cells), "one cell of each kind")
        check_trace(folder, cells)
        check_limits(folder, cells)
        check_benchmarks(folder, cells)
        compare_py(folder)
    return 0


sys.exit(main())
