#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Macro workloads: each computes the same at level 0, 1 and 2, on every machine and in both of L1's MMU modes.

Usage: macro.py TESTUDO
"""
import csv
import os
import subprocess
import sys
import tempfile

TESTUDO = os.path.abspath(sys.argv[1])
WORKLOADS = ["linpack", "stream", "syscall", "process", "pagefault", "pagefault-warm", "pagefault-2m", "pagefault-2m-warm",
             "timer", "specjbb"]


def run(*arguments):
    return subprocess.run([TESTUDO, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def section(**keys):
    keys = {"workload": ", ".join(WORKLOADS), "samples": "2", "ops": "2", **keys}
    return "[cells %d]\n" % id(keys) + "".join(f"{key} = {value}\n" for key, value in keys.items())


def check_refusals(folder):
    for settings, word in ((("machine=native", "level=1", "workload=linpack"), "level=0"),
                           (("machine=native", "level=0", "workload=cpuid"), "macro"),
                           (("machine=soft", "level=0", "workload=linpack"), "native")):
        target = os.path.join(folder, "refused " + word)
        result = run("run", "-o", target, *[part for setting in settings for part in ("--set", setting)])
        with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        expect(all(row["status"] == "refused" and word in row["reason"] for row in rows), f"{settings}: {result.stdout}")
    result = run("boot", "--machine", "native", TESTUDO)
    expect(result.returncode != 0 and "native" in result.stderr, result.stderr)


def main():
    doctor = run("doctor").stdout
    text = section(machine="native", level="0")
    for machine in ("soft", "kvm"):
        if f"yes  {machine}" in doctor:
            text += section(machine=machine, level="1, 2", vmcs="shadow")
    if "yes  soft" in doctor:
        text += section(machine="soft", level="2", vmcs="shadow", mmu="shadow")
        text += section(machine="soft", level="2", vmcs="trap", ept12_page="4k", ept02="lazy, eager", workload="pagefault, process")
    with tempfile.TemporaryDirectory(prefix="testudo-macro-") as folder:
        matrix, target = os.path.join(folder, "macro.ini"), os.path.join(folder, "run")
        with open(matrix, "w", encoding="utf-8") as file:
            file.write(text)
        result = run("run", "--no-table", "-o", target, matrix)
        print(result.stdout)
        expect(result.returncode == 0, result.stderr)
        with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for workload in WORKLOADS:
            sums = {f"{row['machine']} level {row['level']} {row['mmu']}": row["checksum"] for row in rows if row["workload"] == workload}
            expect(len(set(sums.values())) == 1 and "" not in sums.values(), f"{workload}: {sums}")
        # What is warm makes no fault, so no work for anyone but ring 3: the same number of instructions at both levels.
        costs = {(row["level"], row["mmu"], row["workload"]): float(row["cycles_per_op"]) for row in rows if row["machine"] == "soft"}
        if costs:
            expect(costs["1", "-", "linpack"] == costs["2", "ept", "linpack"], "linpack at level 2 retires other instructions")
        check_refusals(folder)
    return 0


sys.exit(main())
