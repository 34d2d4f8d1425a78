#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cost.py CARDMARK [BLOCKS [COMMAND...]]: what watching costs a program, as a ratio to the same
program alone. Each block runs it alone twice (the control, A/A), watched without an option, and
watched every 10 ms whatever that costs, in random order. Without a COMMAND it is a compiler on a
file of this tree. Prints the median of the blocks' ratios, with the smallest and the largest, of
wall and of processor time; the latter has the thread that looks and the command in it."""
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

cardmark = shutil.which(sys.argv[1]) or sys.exit(sys.argv[1] + " is not there")
cardmark = os.path.abspath(cardmark)
blocks = int(sys.argv[2]) if len(sys.argv) > 2 else 7
command = sys.argv[3:]
if not command:
    def ask(what):
        return subprocess.run(["gcc", what], capture_output=True, text=True, check=True).stdout.strip()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    command = [ask("-print-prog-name=cc1"), "-imultiarch", ask("-print-multiarch"), "-quiet", "-O2",
               "-D_GNU_SOURCE", "-Iinclude", "-I.", "-fanalyzer", "tools/watch/tally.c", "-o", "/dev/null"]
watch = [cardmark, "watch"]
sides = {
    "alone": command,
    "alone (A/A)": command,
    "watched": watch + ["--"] + command,
    "every 10 ms": watch + ["--interval=10", "--"] + command,
}


def run(words):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, sum(after[:2]) - sum(before[:2])


taken = {name: [] for name in sides}
for block in range(blocks):
    for name in random.sample(list(sides), len(sides)):
        taken[name].append(run(sides[name]))
print(f"{blocks} blocks of {os.path.basename(command[0])}, load average {os.getloadavg()[0]:.1f} "
      f"on {os.cpu_count()} processors")
for name in list(sides)[1:]:
    for which, what in enumerate(("wall", "processor")):
        ratios = [a[which] / b[which] for a, b in zip(taken[name], taken["alone"])]
        print(f"{name:12} {what:9} {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")
