# SPDX-License-Identifier: MIT
"""leave.py CARDMARK LEAVE SCRATCH SEED: runs tests/watch/leave many times, watched, and looks for its
last writes. An exit that the object sees must lose none, whether a look is under way or not; the
control, which it cannot see, must. Exit status 1 if that is not so."""
import json
import struct
import subprocess
import sys

cardmark, leave, scratch, seed = *sys.argv[1:4], int(sys.argv[4])
RUNS, MOST = 5, 60
wrong = in_looks = 0


def run(how, number):
    """Pages that are missing, was a look under way, does the report say that it ended well."""
    told, report = f"{scratch}/told", f"{scratch}/leave.json"
    subprocess.run([cardmark, "watch", "--interval=0.5", "--raw", "--json=" + report, "--", leave,
                    str(seed + number), how, told], check=True, stderr=subprocess.DEVNULL)
    data = open(told, "rb").read()
    before, after, *addresses = struct.unpack(f"={len(data) // 8}Q", data)
    whole = json.load(open(report, encoding="utf-8"))
    looks = [look for look in whole["each_look"] if look[1] >= before]
    missing = sum(not any(r[0] <= at < r[1] for look in looks for r in look[2]) for at in set(addresses))
    return missing, any(look[0] <= after for look in looks), whole["not_counted"]["finished"]


for how in "exit", "_exit", "quick", "none":
    runs = []
    while len(runs) < (2 if how == "none" else RUNS) or (
            how != "none" and len(runs) < MOST and not any(r[1] for r in runs)):
        runs.append(run(how, len(runs)))
    missing, during, finished = (sum(r[i] for r in runs) for i in range(3))
    print(f"{how}: {len(runs)} exits, {during} of them during a look; {missing} of the last writes are "
          f"missing, {finished} reports say that none can be")
    if how == "none":
        wrong += missing == 0 or finished > 0
    else:
        wrong += missing > 0 or finished < len(runs)
        in_looks += during
# On a machine with much else to do, one way alone may have none.
wrong += in_looks == 0
sys.exit(wrong > 0)
