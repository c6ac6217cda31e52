#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command as a user types it: results, refusals, resuming, killed cells.

Usage: command.py TESTUDO [TEST ...]
"""
import csv
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

TESTUDO = os.path.abspath(sys.argv[1])


class Skip(Exception):
    pass


def run(*arguments, env=None, cwd=None, timeout=120, **options):
    environment = dict(os.environ, **(env or {}))
    return subprocess.run([TESTUDO, *arguments], capture_output=True, text=True, env=environment, cwd=cwd,
                          timeout=timeout, stdin=subprocess.DEVNULL, **options)


def usable_machine():
    for machine in ("soft", "kvm"):
        if f"yes  {machine}" in run("doctor").stdout:
            return machine
    raise Skip("no machine can run here")


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def expect_refusal(result, *words, status=1):
    expect(result.returncode == status, f"status {result.returncode}, wanted {status}: {result.stderr}")
    message = result.stderr
    for word in words:
        expect(word in message, f'"{word}" is not in: {message}')
    lines = [line for line in message.splitlines() if line and not line.startswith("See: ")]
    expect(len(lines) == 1, f"more than one sentence: {message}")
    expect("Sanitizer" not in message, message)


def small_run(folder, *more, env=None, **options):
    machine = usable_machine()
    return run("run", "-o", folder, "--set", f"machine={machine}", "--set", "workload=cpuid", "--set", "samples=3",
               "--set", "profile=kvm", "--set", "vmcs=shadow", "--set", "stamps=off", "--set", "ops=20", *more, env=env, **options)


def test_help(folder):
    overview = run("help")
    expect(overview.returncode == 0, overview.stderr)
    for name in ("doctor", "run", "report", "plot", "compare", "export", "boot"):
        expect(name in overview.stdout, name)
        text = run("help", name)
        expect(text.returncode == 0 and "Examples:" in text.stdout, f"help {name}: {text.stdout}")
        expect(run(name, "--help").stdout == text.stdout, f"{name} --help differs from help {name}")
    keys = run("help", "run").stdout
    for word in ("vmcs", "trap, shadow, direct (default: shadow)", "touch-4k", "1 to 1000 (default: 9)", "exclude"):
        expect(word in keys, f"{word}: {keys}")
    expect_refusal(run("help", "fly"), "fly", status=2)
    expect(run().returncode == 2, "no command is a usage error")
    expect(run("fly").returncode == 2, "an unknown command is a usage error")


def test_usage_errors(folder):
    expect_refusal(run("run", "--set", "vmcs"), "key=value", status=2)
    expect_refusal(run("run", "--colour"), "--colour", status=2)
    expect_refusal(run("report"), "run folder", status=2)
    expect_refusal(run("plot"), "run folder", status=2)
    expect_refusal(run("export", "--format", "xml", folder), "xml", status=2)
    expect_refusal(run("boot"), "image", status=2)
    expect_refusal(run("boot", "--machine", "hp41", "x"), "hp41", status=2)
    expect_refusal(run("boot", "--memory", "lots", "x"), "lots", status=2)
    expect_refusal(run("boot", "--limit", "-5", "x"), "-5", status=2)
    expect_refusal(run("run", "--list", "--set", "vmcs="), "vmcs has no value")


def test_output_streams(folder):
    """What cannot be printed is a failure, a closed descriptor does not end up in run.tdo, a closed pipe is no failure."""
    target = os.path.join(folder, "r")
    expect(small_run(target).returncode == 0, "run")
    for arguments in (("report", target), ("export", target), ("doctor",), ("help",)):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([TESTUDO, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        expect(result.returncode == 1 and "No space left" in result.stderr, f"{arguments}: {result.returncode} {result.stderr}")
    machine = usable_machine()
    closed = os.path.join(folder, "closed")
    script = f'exec "$0" run -o "$1" --set machine={machine} --set workload=cpuid --set samples=3 --set ops=20 <&- >&- 2>&-'
    subprocess.run(["sh", "-c", script, TESTUDO, closed], timeout=300)
    report = run("report", closed)
    expect(report.returncode == 0 and not any(word in report.stdout for word in ("damaged", "torn", "incomplete")), report.stdout)
    piped = subprocess.Popen([TESTUDO, "run", "-o", os.path.join(folder, "p"), "--set", f"machine={machine}", "--set", "workload=cpuid",
                              "--set", "samples=3", "--set", "ops=20"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    piped.stdout.readline()
    piped.stdout.close()
    errors = piped.stderr.read()
    expect(piped.wait(timeout=300) == 0 and not errors, f"{piped.returncode} {errors}")


def test_terminal(folder):
    """Progress is one line that is erased: never longer than the terminal is wide, and not at all where it cannot be erased."""
    machine = usable_machine()
    for term, columns in (("xterm", 30), ("dumb", 80)):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([TESTUDO, "run", "-o", os.path.join(folder, term), "--set", f"machine={machine}", "--set", "workload=cpuid",
                                    "--set", "samples=3", "--set", "ops=20"], stdout=theirs, stdin=subprocess.DEVNULL,
                                   env=dict(os.environ, TERM=term))
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux tells the end of a terminal
            pass
        os.close(ours)
        expect(process.wait(timeout=120) == 0, shown.decode())
        drawn = [line for line in shown.decode().split("\r") if "elapsed" in line]
        if term == "dumb":
            expect(not drawn and "\033" not in shown.decode(), str(drawn))
        else:
            expect(drawn and all(len(line.replace("\033[K", "")) < columns for line in drawn), str(drawn))


def test_run_report_export(folder):
    target = os.path.join(folder, "r")
    result = small_run(target)
    expect(result.returncode == 0, result.stdout + result.stderr)
    with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = ("machine,level,workload,vmcs,profile,ept12_page,ept02,status,reason,ops,cycles_per_op,ci_low,ci_high,"
              "control_cycles,l2_exits_per_op,l1_exits_per_op,reflected_per_op,multiplication").split(",")
    expect(list(rows[0])[:len(wanted)] == wanted or set(wanted) <= set(rows[0]), f"columns: {list(rows[0])}")
    nested = [row for row in rows if row["level"] == "2"]
    expect(len(nested) == 1 and float(nested[0]["multiplication"]) == 2, f"multiplication: {nested}")
    before = open(os.path.join(target, "summary.csv"), encoding="utf-8").read()
    os.remove(os.path.join(target, "summary.csv"))
    report = run("report", target)
    expect(report.returncode == 0 and "cpuid" in report.stdout, report.stdout + report.stderr)
    expect(open(os.path.join(target, "summary.csv"), encoding="utf-8").read() == before, "report changes summary.csv")
    exported = run("export", target)
    expect(exported.stdout == before, "export --format csv is not summary.csv")
    data = json.loads(run("export", "--format", "json", target).stdout)
    expect(data["finished"] and len(data["cells"]) == len(rows), "json")
    exits = [e for cell in data["cells"] for e in cell["exits"] if e["level"] == 2 and e["phase"] == "measured"]
    expect(any(e["reason"] == "CPUID" and e["handler"] == "L1" for e in exits), str(exits))
    expect_refusal(small_run(target), "run.tdo", "-o", "--resume")


def test_plot(folder):
    target = os.path.join(folder, "r")
    expect(small_run(target).returncode == 0, "run")
    without = run("plot", target, env={"TESTUDO_GNUPLOT": "/nonexistent/gnuplot"})
    expect_refusal(without, "gnuplot", "apt-get install")
    plots = os.path.join(target, "plots")
    expect(os.path.exists(os.path.join(plots, "cost.gp")), "scripts are written without gnuplot too")
    result = run("plot", target)
    if "not installed" in result.stderr:
        raise Skip("gnuplot is not installed")
    expect(result.returncode == 0, result.stderr)
    pictures = [name for name in os.listdir(plots) if name.endswith(".svg")]
    for kind in ("cost", "multiplication", "breakdown", "distribution"):
        expect(any(name.startswith(kind) for name in pictures), f"no {kind} in {pictures}")
    for name in pictures:
        expect(os.path.getsize(os.path.join(plots, name)) > 2000, f"{name} is empty")
    with open(os.path.join(plots, "cost.gp"), "a", encoding="utf-8") as file:
        file.write("# mine\n")
    expect(run("plot", target).returncode == 0, "plot again")
    expect("# mine" in open(os.path.join(plots, "cost.gp"), encoding="utf-8").read(), "an edited script is kept")
    expect(run("plot", "--reset", target).returncode == 0, "plot --reset")
    expect("# mine" not in open(os.path.join(plots, "cost.gp"), encoding="utf-8").read(), "--reset replaces it")


def test_bad_matrix(folder):
    path = os.path.join(folder, "m.ini")
    for text, words in (("[a]\ncolour = red\n", ("m.ini:2:", "colour")), ("[a]\nvmcs = red\n", ("m.ini:2:", "red")),
                        ("[a]\n\nsamples = -1\n", ("m.ini:3:", "-1")), ("", ("no cell",))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        expect_refusal(run("run", path, "-o", os.path.join(folder, "never")), *words)
    cell = "[a]\nworkload = cpuid\n"
    for text, words in ((cell + "; filler\n" * 4000, ("m.ini", "longer than 32767 bytes")), (cell + "\0", ("m.ini", "zero byte"))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        expect_refusal(run("run", path, "-o", os.path.join(folder, "never")), *words)
    expect(not os.path.exists(os.path.join(folder, "never")), "a refused matrix leaves no folder")
    expect_refusal(run("run", os.path.join(folder, "none.ini")), "none.ini", "No such file")


def test_unwritable_folder(folder):
    path = os.path.join(folder, "file")
    open(path, "w", encoding="utf-8").close()
    expect_refusal(small_run(os.path.join(path, "sub")), "cannot be written", "-o")
    expect_refusal(small_run("/proc/testudo"), "cannot be written", "-o")


def test_not_a_run(folder):
    expect_refusal(run("report", folder), "run.tdo")
    with open(os.path.join(folder, "run.tdo"), "wb") as file:
        file.write(b"not a run at all")
    expect_refusal(run("report", folder), "run.tdo")
    expect_refusal(run("export", folder), "run.tdo")
    expect_refusal(run("plot", folder), "run.tdo")
    expect_refusal(run("run", "--resume", folder), "run.tdo")


def test_no_kvm(folder):
    if "without it" in next((l for l in run("doctor").stdout.splitlines() if " kvm " in l and "no " in l), ""):
        raise Skip("built without the kvm machine")
    env = {"TESTUDO_KVM_DEVICE": "/nonexistent/kvm"}
    doctor = run("doctor", env=env)
    line = next(line for line in doctor.stdout.splitlines() if " kvm " in line and "/nonexistent/kvm" in line)
    expect("no " in line, line)
    result = run("run", "-o", os.path.join(folder, "r"), "--set", "machine=kvm", "--set", "workload=cpuid", env=env)
    expect(result.returncode == 1 and "not available" in result.stdout, result.stdout + result.stderr)
    if "yes  soft" in doctor.stdout:
        target = os.path.join(folder, "d")
        rest = run("run", "-o", target, "--set", "workload=cpuid", "--set", "samples=3", env=env)
        expect(rest.returncode == 0 and "kvm is not available" in rest.stdout, rest.stdout + rest.stderr)
        with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
            expect({row["machine"] for row in csv.DictReader(file)} == {"soft"}, "the default matrix runs on soft alone")


def test_kvm_refusals(folder):
    """Each thing KVM may lack ends in one sentence that names it."""
    if "yes  kvm" not in run("doctor").stdout:
        raise Skip("the kvm machine cannot run here")
    closed = os.path.join(folder, "closed")
    open(closed, "w", encoding="utf-8").close()
    os.chmod(closed, 0)
    cases = [({"TESTUDO_KVM_DEVICE": closed}, closed), ({"TESTUDO_KVM_DENY": "KVM_CAP_SYNC_REGS"}, "KVM_CAP_SYNC_REGS"),
             ({"TESTUDO_KVM_DENY": "KVM_CAP_USER_MEMORY"}, "KVM_CAP_USER_MEMORY")]
    for env, word in cases:
        line = next((l for l in run("doctor", env=env).stdout.splitlines() if " kvm " in l and "no " in l), "")
        expect(word in line, f"{env}: {line}")


def test_resume_after_kill(folder):
    machine = usable_machine()
    target = os.path.join(folder, "r")
    process = subprocess.Popen([TESTUDO, "run", "-o", target, "--set", f"machine={machine}", "--set", "samples=3",
                                "--set", "ops=20"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    done = 0
    for line in process.stdout:
        done += " ok " in line
        if done == 3:
            process.kill()
            break
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    while run("report", target).returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    report = run("report", target)
    expect(report.returncode == 0 and "incomplete" in report.stdout, report.stdout + report.stderr)
    again = run("run", "--resume", target, timeout=600)
    expect(again.returncode == 0, again.stdout + again.stderr)
    expect("[1/" in again.stdout, again.stdout)
    total = len(run("run", "--list", "--set", f"machine={machine}").stdout.splitlines())
    with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expect(len(rows) == total, f"{len(rows)} rows, {total} cells")
    expect(all(row["status"] == "ok" for row in rows), str([row for row in rows if row["status"] != "ok"]))
    third = run("run", "--resume", target)
    expect(third.returncode == 0 and "every cell" in third.stdout, third.stdout + third.stderr)


def test_resume_elsewhere(folder):
    target = os.path.join(folder, "r")
    arguments = ["run", "-q", "-o", target, "--set", f"machine={usable_machine()}", "--set", "workload=cpuid", "--set", "samples=3",
                 "--set", "level=1"]
    # Another kernel, as far as uname tells.
    try:
        first = subprocess.run(["setarch", "--uname-2.6", TESTUDO, *arguments], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise Skip("setarch is not installed")
    if "Operation not permitted" in first.stderr:
        raise Skip("setarch is not permitted")
    expect(first.returncode == 0, first.stderr)
    again = run("run", "--resume", target)
    expect(again.returncode == 0 and "may not compare" in again.stderr and "kernel" in again.stderr, again.stdout + again.stderr)
    expect("may not compare" not in again.stdout, "warnings go to standard error")


def test_interrupt(folder):
    machine = usable_machine()
    target = os.path.join(folder, "r")
    process = subprocess.Popen([TESTUDO, "run", "-o", target, "--set", f"machine={machine}"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    while " ok " not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    expect(process.returncode == 1 and "--resume" in errors, errors)
    report = run("report", target)
    expect(report.returncode == 0 and "incomplete: testudo was stopped" in report.stdout, report.stdout + report.stderr)


def test_io_uring_refused(folder):
    result = small_run(os.path.join(folder, "r"), env={"TESTUDO_NO_IO_URING": "1"})
    expect(result.returncode == 0 and "pwrite" in result.stdout, result.stdout + result.stderr)


def test_repeatable_on_soft(folder):
    if "yes  soft" not in run("doctor").stdout:
        raise Skip("the soft machine is not built")
    tables = []
    for name in ("a", "b"):
        result = run("run", "-o", os.path.join(folder, name), "--set", "machine=soft", "--set", "workload=cpuid,touch-4k,hlt",
                     "--set", "samples=3")
        expect(result.returncode == 0, result.stdout + result.stderr)
        tables.append(open(os.path.join(folder, name, "summary.csv"), encoding="utf-8").read())
    digests = [[cell["digest"] for cell in json.loads(run("export", "--format", "json", os.path.join(folder, name)).stdout)["cells"]]
               for name in ("a", "b")]
    expect(digests[0] == digests[1] and len(set(digests[0])) > 1, f"records and results of two runs on soft differ: {digests}")
    first, second = ([{k: v for k, v in row.items() if k not in ("wall_s", "first_l2_exit_s")}
                      for row in csv.DictReader(table.splitlines())] for table in tables)
    expect(first == second, "two runs on soft differ")


def test_modelled_costs(folder):
    if "yes  soft" not in run("doctor").stdout:
        raise Skip("the soft machine is not built")
    costs = os.path.join(folder, "costs.ini")
    with open(costs, "w", encoding="utf-8") as file:
        file.write("[switch]\ncycles = 1000\nsource = this test\n[reflect]\ncycles = 7\nsource = this test\n")
    target = os.path.join(folder, "r")
    result = run("run", "-o", target, "--costs", costs, "--set", "machine=soft", "--set", "workload=cpuid", "--set", "vmcs=shadow",
                 "--set", "profile=kvm", "--set", "stamps=off", "--set", "level=2", "--set", "samples=3")
    expect(result.returncode == 0 and "MODELLED" in result.stdout and "this test" in result.stdout, result.stdout + result.stderr)
    with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    # Two exits of which one is reflected.
    expect(float(row["modelled_cycles_per_op"]) == 2007, str(row))
    expect(run("report", target).returncode == 0, "report")
    with open(os.path.join(target, "summary.csv"), encoding="utf-8") as file:
        expect(next(csv.DictReader(file))["modelled_cycles_per_op"] == "", "nothing is modelled without a costs file")
    for text, word in (("[switch]\ncycles = 1\n", "source"), ("[fuel]\ncycles = 1\nsource = x\n", "fuel"), ("[switch]\ncycles = x\n", "x"), ("", "nothing")):
        with open(costs, "w", encoding="utf-8") as file:
            file.write(text)
        expect_refusal(run("report", "--costs", costs, target), "costs.ini", word)
    expect_refusal(run("report", "--costs", "/nonexistent.ini", target), "nonexistent.ini")


def main():
    tests = {name[5:]: function for name, function in globals().items() if name.startswith("test_")}
    failed = skipped = 0
    names = sys.argv[2:] or list(tests)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="testudo-e2e-") as folder:
            try:
                tests[name](folder)
                print(f"ok: {name}")
            except Skip as reason:
                skipped += 1
                print(f"skipped: {name}: {reason}")
            except Exception:
                failed += 1
                print(f"FAILED: {name}")
                traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    if failed:
        return 1
    return 77 if skipped == len(names) else 0


sys.exit(main())
