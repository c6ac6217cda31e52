#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.html in headless Chromium: it renders, says nothing on the console, asks for nothing, and shows its figures.

Usage: html.py TESTUDO
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TESTUDO = os.path.abspath(sys.argv[1])
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def run(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, **options)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def browse(folder, page):
    """The DOM after the page ran, and what the console said. A proxy that is not there: any request would fail loudly."""
    result = run(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + os.path.join(folder, "profile"),
                 "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", "--dump-dom", "file://" + page)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


def main():
    doctor = run(TESTUDO, "doctor").stdout
    machine = next((name for name in ("soft", "kvm") if f"yes  {name}" in doctor), None)
    if not machine:
        print("no machine can run here")
        return 77
    with tempfile.TemporaryDirectory(prefix="testudo-html-") as folder:
        target = os.path.join(folder, "run <&> 1")
        made = run(TESTUDO, "run", "--no-table", "-o", target, "--set", f"machine={machine}", "--set", "level=1,2", "--set", "workload=cpuid,pio",
                   "--set", "samples=3", "--set", "ops=20", "--set", "profile=kvm", "--set", "stamps=off", "--set", "ept02=auto,lazy")
        page = os.path.join(target, "report.html")
        with open(page, encoding="utf-8") as file:
            plain = file.read()
        expect("run &lt;&amp;&gt; 1" in plain and "run <&>" not in plain, "names are escaped")
        expect("<svg" not in plain, "no figure before there are plots")
        drawn = shutil.which("gnuplot") is not None
        if drawn:
            expect(run(TESTUDO, "plot", target).returncode == 0, "plot")
        else:
            expect(run(TESTUDO, "report", target).returncode == 0, "report")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        # Namespaces are names, not requests; everything else would be one.
        expect(not re.search(r'(src|href)="(https?:)?//', text) and "<script" not in text and "@import" not in text, "the page asks the network")
        expect("prefers-color-scheme: dark" in text and "@media print" in text, "dark and print")
        if not BROWSER:
            print("chromium is not installed: the page was looked at as text only")
            return 77
        dom, console = browse(folder, page)
        expect(not console, str(console))
        expect(dom.count("<tr") >= 6 and "cpuid" in dom and "multiplication" in dom, dom[:500])
        expect(not drawn or dom.count("<svg") >= 2, "figures")
        expect("Noise" in dom and "run.tdo" in dom and made.returncode in (0, 1), "parts")
        pdf = os.path.join(folder, "report.pdf")
        run(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + os.path.join(folder, "profile"), "--print-to-pdf=" + pdf, "file://" + page)
        expect(os.path.getsize(pdf) > 5000, "printed")
    return 0


sys.exit(main())
