#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`testudo compare` and what else makes statistics of runs, as a user runs them. Usage: compare.py TESTUDO"""
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile

TESTUDO = sys.argv[1]


def run(*arguments):
    return subprocess.run([TESTUDO, *arguments], capture_output=True, text=True, timeout=300)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def soft_run(folder, *more):
    result = run("run", "-q", "-o", folder, "--set", "machine=soft", "--set", "workload=cpuid,pio", "--set", "samples=5", "--set", "ops=20",
                 "--set", "profile=kvm,minimal", "--set", "vmcs=shadow", "--set", "stamps=off", "--set", "level=2", *more)
    expect(result.returncode == 0, result.stdout + result.stderr)


def test_compare(folder):
    first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
    soft_run(first)
    soft_run(second)
    same = run("compare", first, second)
    expect(same.returncode == 0 and "4 pairs: 0 faster, 0 slower, 4 equal, 0 cannot tell\n" in same.stdout, same.stdout + same.stderr)
    within = run("compare", "--format", "csv", first, "--a", "profile=minimal", "--b", "profile=kvm", "workload=cpuid")
    rows = list(csv.DictReader(io.StringIO(within.stdout)))
    expect(within.returncode == 0 and len(rows) == 1, within.stdout + within.stderr)
    # minimal reads and writes less in L1: in virtual time that is exact.
    expect(rows[0]["verdict"] == "slower" and float(rows[0]["difference"]) > 0, str(rows))
    gate = run("compare", "--fail-on-slower", first, "--a", "profile=minimal", "--b", "profile=kvm")
    expect(gate.returncode == 3, f"--fail-on-slower: {gate.returncode}")
    expect(run("compare", "--fail-on-slower", first, second).returncode == 0, "nothing is slower")
    data = json.loads(run("compare", "--format", "json", first, second, "workload=pio").stdout)
    expect([pair["verdict"] for pair in data["pairs"]] == ["equal"] * 2 and not data["unmatched"], str(data))
    for arguments, word, status in (((), "two run folders", 2), ((first,), "--a", 2), ((first, "--a", "vmcs"), "KEY=VALUE", 2),
                                    ((first, second, "--format", "xml"), "xml", 2), ((first, "--c"), "--c", 2), ((first, second, "--noise", "x"), "per cent", 2),
                                    ((first, "/nonexistent"), "nonexistent", 1), ((first, second, "workload=hlt"), "no cell", 1)):
        result = run("compare", *arguments)
        expect(result.returncode == status and word in result.stderr, f"{arguments}: {result.returncode} {result.stderr}")


def test_interleave(folder):
    """A run of rounds, stopped in the middle and gone on with, ends with all rounds of all cells."""
    target = os.path.join(folder, "r")
    options = ("--interleave", "4", "--seed", "5", "--set", "machine=soft", "--set", "workload=cpuid,pio,rdmsr", "--set", "samples=3", "--set",
               "ops=20", "--set", "profile=kvm", "--set", "vmcs=shadow", "--set", "stamps=off", "--set", "level=2")
    listed = run("run", "--list", *options).stdout.splitlines()
    expect(len(listed) == 12 and len(set(listed[:3])) == 3 and sorted(listed[:3]) == sorted(listed[9:]), str(listed))
    expect(run("run", "--list", *options).stdout.splitlines() == listed, "the order follows from the seed")
    process = subprocess.Popen([TESTUDO, "run", "-o", target, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done = []
    for line in process.stdout:
        if line.startswith("["):
            done.append(line)
        if len(done) == 5:
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=300)
    expect(process.returncode == 1 and "--resume" in errors, f"{process.returncode} {errors}")
    done += [line for line in rest.splitlines() if line.startswith("[")]
    finished = sum("ok" in line for line in done)
    expect(5 <= finished < 12, str(done))
    partial = run("compare", target, target)
    expect(partial.returncode == 0 and partial.stderr.count("is incomplete") == 2, partial.stdout + partial.stderr)
    resumed = run("run", "--resume", target)
    expect(resumed.returncode == 0, resumed.stdout + resumed.stderr)
    expect(f"{12 - finished} cells to" in resumed.stdout and "4 rounds, shuffled with seed 5" in resumed.stdout, resumed.stdout)
    with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expect([row["workload"] for row in rows] == ["cpuid", "pio", "rdmsr"], str(rows))
    for row in rows:
        # 4 rounds of 3 samples of 20 operations; a nested operation is two exits.
        expect((row["rounds"], row["samples"], row["ops"], row["multiplication"]) == ("4", "12", "240", "2"), str(row))
    cells = json.loads(run("export", "--format", "json", target).stdout)["cells"]
    expect(all(cell["rounds"] == 4 and cell["between_rounds"] == 0 and len(cell["samples"]) == 12 for cell in cells), str(cells)[:500])
    expect(not run("compare", target, target).stderr, "complete now")
    expect("every cell" in run("run", "--resume", target).stdout, "nothing is left")
    for arguments, word in ((("--interleave", "1"), "2 to 100"), (("--seed", "3"), "--interleave"), (("--interleave", "2", "--seed", "x"), "number"),
                            (("--resume", target, "--interleave", "2"), "give no other")):
        result = run("run", *arguments)
        expect(result.returncode == 2 and word in result.stderr, f"{arguments}: {result.returncode} {result.stderr}")
    result = run("run", "--list", "--interleave", "50", "--set", "samples=21")
    expect(result.returncode == 1 and "1000" in result.stderr, result.stderr)


def test_host_state(folder):
    """What the host is like stands in the record: at the start, and at the end beside it."""
    target = os.path.join(folder, "r")
    soft_run(target)
    host = json.loads(run("export", "--format", "json", target).stdout)["host"]
    expect(len(host["load"].split()) == 3 and len(host["cpu_time"].split()) == 8, str(host))
    folder = "/sys/devices/system/cpu/vulnerabilities"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.readline().strip()
        expect(host.get("vuln." + name[:26], "Not affected") == text, f"{name}: {host}")
    with open(os.path.join(target, "run.tdo"), "rb") as file:
        expect(file.read().count(b"cpu_time") == 2, "start and end")


def main():
    failed = 0
    for name, test in [(name, function) for name, function in globals().items() if name.startswith("test_")]:
        with tempfile.TemporaryDirectory(prefix="testudo-e2e-") as folder:
            try:
                test(folder)
                print(f"ok: {name}")
            except AssertionError as error:
                failed += 1
                print(f"FAILED: {name}: {error}")
    return 1 if failed else 0


sys.exit(main())
