# SPDX-License-Identifier: MIT
"""truth.py PATTERN JSON: is all that tests/watch/pattern wrote in the looks of cardmark watch, and
nothing else in its memory? Prints what differs; exit status 1 if a write is missing, 2 if there
is too much, 3 both, 4 the test itself is broken."""
import bisect
import json
import sys

writes, memory, gone = [], [], {}
for line in open(sys.argv[1], encoding="ascii"):
    words = line.split()
    if words[0] == "MEMORY":
        memory.append((int(words[1]), int(words[1]) + int(words[2])))
    elif words[0] == "GONE":
        gone.setdefault(int(words[3]), []).append((int(words[1]), int(words[2])))
    else:
        writes.append(tuple(int(word) for word in words))
report = json.load(open(sys.argv[2], encoding="utf-8"))
page = report["page_bytes"]
looks = report["each_look"]
if not writes or not memory or len(looks) < 10:
    print(f"{len(writes)} writes, {len(looks)} looks: nothing is proved")
    sys.exit(4)
# The sums are those of the looks.
total = sum(run[1] - run[0] for look in looks for run in look[2])
assert report["looks"] == len(looks) and report["written_bytes"] == total
assert sum(w["written_bytes"] for w in report["where"]) == total
assert sum(w["written_once_bytes"] for w in report["where"]) == report["written_once_bytes"]
for w in report["windows"]:
    assert 0 < w["median_bytes"] <= w["p95_bytes"] <= w["most_bytes"] <= report["written_once_bytes"]
starts = [look[0] for look in looks]
ends = [look[1] for look in looks]
seen = [{at for run in look[2] for at in range(run[0], run[1], page)} for look in looks]
own = {at for start, end in memory for at in range(start, end, page)}

# A write is in one of the looks that may have seen it: the last one that had not ended before it
# began, up to the first that began after it was done. If the page was emptied or replaced after the
# write, and before the end of that look, there may be nothing left to see: counted, and no more.
missing = lost = 0
written = {}
for before, after, address, length in writes:
    first = bisect.bisect_left(ends, before)
    last = min(bisect.bisect_left(starts, after), len(looks) - 1)
    for at in range(address - address % page, address + length, page):
        written.setdefault(at, []).append((before, after))
        if any(at in seen[k] for k in range(first, last + 1)):
            continue
        if any(end >= after and start <= ends[last] for start, end in gone.get(at, [])):
            lost += 1
        else:
            missing += 1
            if missing <= 5:
                print(f"missing: {at:#x} written at {before}, looks {first} to {last}")

# A page that is reported was written since the look before began. The first look at memory that
# was mapped anew, or emptied, has no more either.
extra = total = 0
for k, pages in enumerate(seen):
    since = starts[k - 1] if k > 0 else 0
    for at in pages & own:
        total += 1
        if not any(after >= since and before <= ends[k] for before, after in written.get(at, [])):
            extra += 1
            if extra <= 5:
                print(f"too much: {at:#x} in look {k}, [{since}, {ends[k]}]")

print(f"{len(writes)} writes, {missing} missing, {lost} emptied before a look; {len(looks)} looks, {total} pages of its memory "
      f"reported, {extra} too much")
# Memory that is replaced in the instant of a look counts as written whole, and is counted.
sys.exit((missing > 0) + 2 * (extra > 2000 * report["guessed_pieces"]))
