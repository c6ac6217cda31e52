#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`testudo boot` with multiboot kernels: those of tests/guests, and files that are none.

Usage: boot.py TESTUDO MACHINE KERNEL [APPEND]   one kernel, which says itself what is wrong
       boot.py TESTUDO refusals KERNEL           what boot refuses, in one sentence
"""
import os
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
TESTUDO = os.path.abspath(sys.argv[1])


def boot(*arguments, timeout=240):
    return subprocess.run([TESTUDO, "boot", *arguments], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=timeout)


def expect(condition, text):
    if not condition:
        sys.exit(text)


def run_kernel(machine, kernel, append):
    arguments = ["--machine", machine, kernel] + (["--append", append] if append else [])
    if machine == "soft":
        arguments += ["--limit", "4000000000"]
    result = boot(*arguments)
    if machine != "soft" and result.returncode == 1 and "use --machine soft" in result.stderr:
        print("SKIP:", result.stderr.strip())
        return SKIPPED
    print(result.stdout + result.stderr)
    lines = result.stdout.splitlines()
    expect(not result.stderr, "there is something on standard error")
    expect(result.returncode == 0, f"status {result.returncode}")
    expect(any(line.startswith("ok: ") for line in lines), "the kernel checked nothing")
    expect(not any(line.startswith("FAILED") for line in lines), "a check failed")
    return 0


# ---- refusals ----

MAGIC = 0x1badb002


def elf32(code, address=0x400000, memory=None, flags=0, machine=3):
    """One loadable segment, the multiboot header in front of its code."""
    text = struct.pack("<III", MAGIC, flags, -(MAGIC + flags) & 0xffffffff) + b"\0" * 4 + code
    offset = 0x100
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01" + b"\0" * 9, 2, machine, 1, address + 16, 52, 0,
                         0, 52, 32, 1, 0, 0, 0)
    program = struct.pack("<IIIIIIII", 1, offset, address, address, len(text), memory or len(text), 7, 16)
    return (header + program).ljust(offset, b"\0") + text


def expect_refusal(result, *words, status=1):
    expect(result.returncode == status, f"status {result.returncode}, wanted {status}: {result.stderr}")
    for word in words:
        expect(word in result.stderr, f'"{word}" is not in: {result.stderr}')
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith("See: ")]
    expect(len(lines) == 1, f"more than one sentence: {result.stderr}")


def refusals(kernel):
    hang = b"\xf4\xeb\xfd"
    with tempfile.TemporaryDirectory() as folder:
        def image(data):
            path = os.path.join(folder, "image")
            with open(path, "wb") as file:
                file.write(data)
            return path

        good = elf32(b"\xb0\x2a\xe6\xf4" + hang)
        result = boot(image(good))
        expect(result.returncode == 42, f"a kernel that ends with 42 gives {result.returncode}: {result.stderr}")
        expect_refusal(boot(image(b"MZ" + b"\0" * 600)), "image")
        expect_refusal(boot(image(b"")), "image")
        expect_refusal(boot(image(good[:0x104])), "image")
        expect_refusal(boot(image(good[:0x114])), "image")
        expect_refusal(boot(image(good[:40])), "image")
        expect_refusal(boot(image(elf32(hang, memory=512 << 20)), "--memory", "64M"), "more memory")
        expect_refusal(boot(image(elf32(hang, address=0x1000))), "image")
        expect_refusal(boot(image(elf32(hang, machine=40))), "image")
        expect_refusal(boot(image(elf32(hang, flags=1 << 16))), "addresses in its header")
        expect_refusal(boot(os.path.join(folder, "nowhere")), "nowhere")
        expect_refusal(boot("--no-such-option", kernel), "--no-such-option", status=2)
        expect_refusal(boot("--machine", "abacus", kernel), "abacus", status=2)
        expect_refusal(boot("--memory", "lots", kernel), "lots", status=2)
        expect_refusal(boot("--memory", "1M", kernel), "MiB")
        expect_refusal(boot(), "one image", status=2)
        expect_refusal(boot("--append", "x" * 5000, kernel), "5")
        for name, text in (("first", "one and"), ("second", "two")):
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(text)
        result = boot("--append", "modules", "--module", os.path.join(folder, "first") + " a b", "--module",
                      os.path.join(folder, "second"), kernel)
        expect("module first a b: one and\n" in result.stdout and "module second: two\n" in result.stdout,
               f"the modules are not there: {result.stdout}")
        expect(result.returncode == 0, f"status {result.returncode} with modules")
        expect_refusal(boot("--module", os.path.join(folder, "third"), kernel), "third")
        expect_refusal(boot(*["--module", "x"] * 5, kernel), "4 modules", status=2)
        # The guest's end: an instruction that is not there, a halt for ever, no memory, a triple fault, no end.
        expect_refusal(boot(image(elf32(b"\x90\xd9\xfe" + hang))), "0x400011", "d9 fe", "fsin")
        expect_refusal(boot(image(elf32(hang))), "halted", "0x400011")
        expect_refusal(boot(image(elf32(b"\x0f\x0b"))), "triple fault")
        expect_refusal(boot("--limit", "100000", image(elf32(b"\xeb\xfe"))), "limit of 100000")
    result = boot("--append", "exit=37", kernel)
    expect(result.returncode == 37, f"the kernel's status 37 became {result.returncode}: {result.stderr}")
    result = boot("--append", "one two=3", kernel)
    expect("words arrived" in result.stdout, f"the command line is not there: {result.stdout}")
    return 0


if sys.argv[2] == "refusals":
    sys.exit(refusals(sys.argv[3]))
sys.exit(run_kernel(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else ""))
