#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""testudo reproduce: the quick run of Turtles; its tables, statements and figures.

Usage: reproduce.py TESTUDO
"""
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile

TESTUDO = os.path.abspath(sys.argv[1])


def run(*arguments, **options):
    return subprocess.run([TESTUDO, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900, **options)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def statement(text, words, source):
    """The outcome of a statement for a source: "holds", "does not hold", "cannot tell", "not available"."""
    joined = re.sub(r"\n    (?=\S)", " ", text)
    at = joined.index("* " + words)
    match = re.search(rf"^      {source} +(holds|does not hold|cannot tell|not available)", joined[at:].split("\n  * ")[0], re.M)
    expect(match, f"no verdict of {source} on: {words}")
    return match.group(1)


def check_refusals(folder):
    result = run("reproduce", "moby-dick")
    expect(result.returncode == 2 and "moby-dick" in result.stderr, result.stderr)
    result = run("reproduce", "turtles", "--from", os.path.join(folder, "none"))
    expect(result.returncode == 1 and "none" in result.stderr, result.stderr)
    result = run("reproduce", "turtles", "--from", folder, "--quick")
    expect(result.returncode == 2 and "--from" in result.stderr, result.stderr)
    result = run("reproduce", "--list")
    expect(result.returncode == 0 and "turtles-osdi10" in result.stdout and "svt-isca19/breakdown.csv" in result.stdout, result.stdout)


def check_text(text, machines):
    # The paper's numbers stand in the table, with their mark; no remembered one does.
    expect(re.search(r"nested +58500 +23\.3x", text), "Figure 10's row")
    expect("R-fig" in text, "marks")
    # What is exact on every machine.
    for machine in machines:
        expect(statement(text, "One nested cpuid is 13 exits", machine) == "holds", f"13 exits on {machine}")
        expect(statement(text, "It is 2 exits without.", machine) == "holds", f"2 exits on {machine}")
        expect(statement(text, "One nested PIO is 31 exits", machine) == "holds", f"31 exits on {machine}")
        expect(statement(text, "It is 14 exits without.", machine) == "holds", f"14 exits on {machine}")
    # Modelled from exact counts: the same in every run.
    if "soft" in machines:
        expect("MODELLED" in text, "modelled cycles are called so")
        expect(statement(text, "The bars' order is the paper's", "soft") == "holds", "order of Figure 10")
        expect(statement(text, "DRW is cheaper than trapping", "soft") == "holds", "DRW of Figure 6")
    # Measured: noise may leave it open, but not refute it.
    if "kvm" in machines:
        expect(statement(text, "DRW is cheaper than trapping", "kvm") != "not available", "DRW of Figure 6 on kvm")


def check_folder(target):
    papers = os.path.join(target, "papers", "turtles-osdi10")
    with open(os.path.join(papers, "figure10.dat"), encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row and not row[0].startswith("#")]
    expect(rows[1][0] == "nested" and float(rows[1][1]) == 58500, str(rows[1]))
    if shutil.which("gnuplot"):
        for name in ("figure6", "figure9", "figure10", "multiplication", "table2a", "table2b", "figure7"):
            with open(os.path.join(papers, name + ".svg"), encoding="utf-8") as file:
                svg = file.read()
            expect(svg.rstrip().endswith("</svg>") and "the paper" in svg, name)
            expect("nan" not in re.sub(r"<[^>]*>", "", svg).lower(), f"{name}.svg says nan")


def main():
    doctor = run("doctor").stdout
    machines = [machine for machine in ("kvm", "soft") if f"yes  {machine}" in doctor]
    if not machines:
        print("no machine can run here")
        return 77
    with tempfile.TemporaryDirectory(prefix="testudo-reproduce-") as folder:
        target = os.path.join(folder, "turtles")
        check_refusals(folder)
        result = run("reproduce", "turtles", "--quick", "-q", "-o", target)
        print(result.stdout)
        expect(result.returncode == 0, result.stderr)
        expect("warning" not in result.stderr and "Sanitizer" not in result.stderr, result.stderr)
        check_text(result.stdout, machines)
        check_folder(target)
        # The same tables again, without running anything.
        again = run("reproduce", "turtles", "--from", target)
        expect(again.returncode == 0, again.stderr)
        first, second = (re.sub(r"^lab: not available.*$", "", text, flags=re.M) for text in (result.stdout, again.stdout))
        expect(first == second, "the tables of --from differ")
        expect(run("reproduce", "turtles", "--quick", "-o", target).returncode == 1, "a folder that holds a run is refused")
    return 0


sys.exit(main())
