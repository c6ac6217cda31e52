# SPDX-License-Identifier: Apache-2.0
"""The lab: the kernel's nested VMX and our multiplexer on one CPU model. Usage: lab.py TESTUDO VMX_CASES DEVIATIONS

One boot (with TESTUDO_LAB_TWICE=1 two, whose samples must be the same to the bit). In it: exit counts by the kernel's own statistics; L1's exit log
under nvmx and kvm, and under soft on this host; the answers of the VMX cases under nvmx and the engine.
"""
import json
import os
import subprocess
import sys
import tempfile

testudo, vmx_cases, deviations_file = sys.argv[1:4]
failures = 0

MATRIX = """[counts]
machine = nvmx, kvm
level = 2
workload = cpuid
vmcs = shadow, trap
profile = kvm
samples = 3
ops = 20

[level 1]
machine = nvmx, kvm
level = 1
workload = cpuid
samples = 3
ops = 20

[logs]
machine = nvmx, kvm
level = 2
workload = cpuid, vmcall, pio, mmio, rdmsr, wrmsr, mov-cr3, invlpg, rdtsc, exception, hlt, touch-4k, touch-2m
vmcs = shadow
exit_log = on
samples = 2
ops = 3
"""

# Fields of the log that differ under nvmx, and why. (workload, field).
LOG_DEVIATIONS = {
}


def check(holds, sentence):
    global failures
    if not holds:
        failures += 1
        print("FAIL:", sentence)


def run(arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=900, **more)


def export(folder):
    done = run([testudo, "export", "--format", "json", folder])
    check(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


# Both boots are of the same image: another file in it would be another run.
def boot(folder, name):
    command = ("testudo run /matrix.ini -o /tmp/run --reload-kvm --no-table; s=$?; cp /tmp/run/run.tdo /out/; "
               "testudo boot --machine nvmx /vmx_cases.elf >/out/cases.txt; ")
    files = ["--file", os.path.join(folder, "matrix.ini"), "--file", vmx_cases]
    out = os.path.join(folder, name)
    done = run([testudo, "lab", "shell", *files, "--output", out, "--timeout", "600", command + "exit $s"])
    if done.returncode and not os.path.exists(os.path.join(out, "run.tdo")):
        for reason in ("is missing", "cannot be downloaded", "no kernel package", "there is no "):
            if reason in done.stderr:
                print("SKIP:", done.stderr.strip())
                sys.exit(77)
    check(done.returncode == 0, f"the lab: {done.stderr}{done.stdout}")
    return out


def cells_of(document, **settings):
    return [cell for cell in document["cells"]
            if all(cell["settings"][key] == value for key, value in settings.items())]


def check_counts(document):
    for cell in document["cells"]:
        check(cell["status"] == "ok", f"{cell['settings']}: {cell['status']} {cell['reason']}")
        check(cell["unit"] == "instructions", f"{cell['settings']}: unit {cell['unit']}")
    for machine in ("nvmx", "kvm"):
        for vmcs, exits in (("shadow", 2), ("trap", 13)):
            cell, = cells_of(document, machine=machine, level="2", vmcs=vmcs, exit_log="off", workload="cpuid")
            check(cell["multiplication"] == exits,
                  f"{machine} vmcs={vmcs}: {cell['multiplication']} exits for an L2 exit, not {exits}")
        nested, = cells_of(document, machine=machine, level="2", vmcs="shadow", exit_log="off", workload="cpuid")
        single, = cells_of(document, machine=machine, level="1", workload="cpuid")
        check(nested["cost"] > single["cost"], f"{machine}: level 2 costs {nested['cost']}, level 1 {single['cost']}")


def logs(document):
    return {(cell["settings"]["machine"], cell["settings"]["workload"]): cell["exit_log"]
            for cell in cells_of(document, exit_log="on")}


def compare_logs(lab, soft):
    for (machine, workload), log in lab.items():
        other = soft["soft", workload]
        check(len(log) == len(other), f"{workload}: {machine} logged {len(log)} exits, soft {len(other)}")
        for number, (mine, theirs) in enumerate(zip(log, other)):
            different = [field for field in mine
                         if mine[field] != theirs[field] and (machine, workload, field) not in LOG_DEVIATIONS]
            check(not different, f"{workload}, exit {number}: {machine} {mine}, soft {theirs}")
            if different:
                break


def compare_cases(text):
    deviations = {}
    for line in open(deviations_file):
        if line.strip() and not line.startswith("#"):
            case, engine, nvmx, _ = (part.strip() for part in line.split("|"))
            deviations[case] = (engine, nvmx)
    engine = run([testudo, "boot", "--machine", "soft", vmx_cases]).stdout.splitlines()
    nvmx = text.splitlines()
    check(len(engine) > 150 and len(engine) == len(nvmx), f"{len(engine)} lines of the engine, {len(nvmx)} of nvmx")
    for mine, theirs in zip(engine, nvmx):
        case = mine.rsplit(": ", 1)[0]
        wanted = deviations.pop(case, None)
        if wanted:
            check((mine, theirs) == tuple(f"{case}: {answer}" for answer in wanted),
                  f"listed as a deviation, and now: engine \"{mine}\", nvmx \"{theirs}\"")
        else:
            check(mine == theirs, f"engine \"{mine}\", nvmx \"{theirs}\"")
    check(not deviations, f"deviations.txt names cases that are not there: {list(deviations)}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "matrix.ini"), "w") as file:
            file.write(MATRIX)
        first = boot(folder, "first")
        second = boot(folder, "again") if os.environ.get("TESTUDO_LAB_TWICE") else None
        if failures:
            sys.exit(1)
        document = export(first)
        check_counts(document)
        if second:
            check([cell["samples"] for cell in document["cells"]] ==
                  [cell["samples"] for cell in export(second)["cells"]], "two boots of the lab give different samples")
        soft_folder = os.path.join(folder, "soft")
        section = MATRIX[MATRIX.index("[logs]"):].replace("nvmx, kvm", "soft")
        with open(os.path.join(folder, "soft.ini"), "w") as file:
            file.write(section)
        done = run([testudo, "run", "-q", "-o", soft_folder, os.path.join(folder, "soft.ini")])
        check(done.returncode == 0, done.stderr)
        compare_logs(logs(document), logs(export(soft_folder)))
        compare_cases(open(os.path.join(first, "cases.txt")).read())
    sys.exit(1 if failures else 0)


main()
