#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench at a tiny size: every row has a result, the JSON
# parses, and a wrong result fails the bench.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
[ -x "$builddir/bench/boehm/trees" ] || skip "the benchmark programs were not built"

status 0 "$cardmark" bench --program=trees --blocks=2 --size=2 --live-mb=8 --seed=5 \
	--json="$scratch/bench.json"
for text in stop-the-world "libgc-mprotect (A/A)" "In plain words" \
	"Kernel" "THP" "stolen" "Seed      5" "resolution"; do
	said out "$text"
done
grep -q FAILED "$scratch/out" && fail "a run failed" && cat "$scratch/out"
grep -q "NOT MET" "$scratch/out" && fail "our own goals in the user's results"
if command -v python3 >/dev/null; then
	python3 -c '
import json, sys
b = json.load(open(sys.argv[1]))
assert b["format"] == "cardmark-bench" and b["version"] == 2 and b["seed"] == 5
rows = b["programs"][0]["rows"]
assert len(rows) >= 5
for row in rows:
    s = row["summary"]
    assert s["good"] == 2 and s["failed"] == 0, row["label"]
    assert row["role"] == "control" or s["peak_vmas"] > 5, row["label"]
for block in range(2):
    assert len({row["runs"][block]["hash"] for row in rows}) == 1
assert len({run["hash"] for run in rows[0]["runs"]}) == 2  # one seed a block
' "$scratch/bench.json" || fail "the JSON is not what it should be"
fi

# The server: one rate for all rows, found by a run or given; its latency is in the file.
status 0 "$cardmark" bench --program=kv --blocks=2 --size=5 --live-mb=8 --seed=5 \
	--json="$scratch/kv.json"
said out "Latency of kv at"
said out "of what the reference can do"
said out "kv: one request in a hundred takes longer than"
grep -q FAILED "$scratch/out" && fail "a run of kv failed" && cat "$scratch/out"
status 0 "$cardmark" bench programs --program=kv --blocks=2 --size=5 --live-mb=8 --seed=5 --rate=4321 \
	--json="$scratch/rate.json"
said out "Latency of kv at 4321 requests a second, ms"
if command -v python3 >/dev/null; then
	python3 -c '
import json, sys
for name, rate in zip(sys.argv[1:], (None, 4321)):
    p = json.load(open(name))["programs"][0]
    assert (rate or p["closed_loop_per_s"] * 0.49) <= p["rate_per_s"] <= (rate or p["closed_loop_per_s"] * 0.51)
    assert ("closed_loop_per_s" in p) == (rate is None)
    for block in range(2):
        assert len({row["runs"][block]["hash"] for row in p["rows"]}) == 1
    for row in p["rows"]:
        for run in row["runs"]:
            lat = run["latency"]
            assert lat["rate_per_s"] == p["rate_per_s"], row["label"]
            # As long as the schedule, whatever the server did.
            assert lat["served_ns"] > 0.9 * 5000 / p["rate_per_s"] * 1e9, row["label"]
            for kind, h in lat["kinds"].items():
                assert h["count"] == sum(n for end, n in h["buckets"])
                assert kind == "hiccup" and 0 < h["count"] <= 5000 or h["count"] == 5000, kind
                # Where too few were counted to know one (of hiccups, on a busy machine), it is null.
                for key, least in ("p50_ns", 20), ("p90_ns", 100), ("p999_ns", 10000):
                    assert (h[key] is None) == (h["count"] < least), (kind, key, h["count"])
                known = [h[k] for k in ("p50_ns", "p90_ns", "max_ns") if h[k] is not None]
                assert known == sorted(known), kind
            sums = {kind: h["sum_ns"] for kind, h in lat["kinds"].items()}
            assert sums["open_loop"] >= sums["simple"] > 0, sums
            assert all(sums[k] >= sums["simple"] for k in sums if k.startswith("metered")), sums
' "$scratch/kv.json" "$scratch/rate.json" || fail "the latency in the JSON is not what it should be"
fi

# Compared only at the same rate; an old file without kv is compared without it.
status 0 "$cardmark" bench compare "$scratch/kv.json" "$scratch/kv.json"
said out "99.9 %"
status 1 "$cardmark" bench compare "$scratch/kv.json" "$scratch/rate.json"
said out "requests a second in the old file"
status 1 "$cardmark" bench compare "$scratch/bench.json" "$scratch/kv.json"
said out "kv: only in the new file"
usage_error "$cardmark" bench --rate=0
usage_error "$cardmark" bench --rate=many
finish
