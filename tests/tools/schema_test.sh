#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: what cardmark bench writes is what docs/bench.schema.json says, and the
# schema finds files that are not.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
[ -x "$builddir/bench/boehm/trees" ] || skip "the benchmark programs were not built"
python3 -c 'import jsonschema' 2>/dev/null || skip "python3-jsonschema is not installed"

status 0 "$cardmark" bench --program=trees --program=kv --blocks=2 --size=2 --live-mb=8 --seed=5 \
	--verify \
	--json="$scratch/bench.json"
check_results "${CARDMARK_SRCDIR:-.}/docs/bench.schema.json" "$scratch/bench.json" <<'END' ||
from schema import whole, spoil, finish

rows = whole["programs"][0]["rows"]
for row in rows:
    ours = row["role"] == "ours"
    assert (row["verified"] is not None) == ours, row["label"]
    assert not ours or row["verified"]["missed"] == 0
    assert (row["sampled"] is None) == (row["role"] == "control"), row["label"]
    for n, run in enumerate(row["runs"]):
        assert run["seed"] == 5 + n and run["peak_rss_kb"] > 1000 and run["stops_ns"]
        for start, end, *phases in run["stops_ns"]:
            assert 0 < start < end < run["wall_s"] * 1e9
            assert 0 < sum(phases) <= end - start, (row["label"], start, end, phases)
        assert sum(s[1] - s[0] for s in run["stops_ns"]) == run["stop_total_ns"]
    assert row["sampled"] is None or row["sampled"]["peak_page_table_kb"] > 10

# Each of these must be found wrong.
run = lambda d: d["programs"][0]["rows"][3]["runs"][0]
spoil(lambda d: d.update(version=1))
spoil(lambda d: d.update(another=1))
spoil(lambda d: d["environment"].pop("steal_ticks_before"))
spoil(lambda d: d["programs"][0].update(left_out="why"))
spoil(lambda d: d["programs"][0]["rows"][0].update(role="best"))
spoil(lambda d: d["programs"][0]["rows"][0]["summary"].pop("peak_vmas"))
spoil(lambda d: run(d).pop("stops_ns"))
spoil(lambda d: run(d)["stops_ns"][0].pop())
spoil(lambda d: run(d).update(hash="x"))
spoil(lambda d: run(d).update(ok=False))
spoil(lambda d: run(d).update(faults=-1))
kv = lambda d: d["programs"][1]["rows"][3]["runs"][0]["latency"]
assert "latency" not in run(whole)
spoil(lambda d: d["programs"][1].update(rate_per_s="fast"))
spoil(lambda d: kv(d).pop("served_ns"))
spoil(lambda d: kv(d)["kinds"].pop("hiccup"))
spoil(lambda d: kv(d)["kinds"].update(another={}))
spoil(lambda d: kv(d)["kinds"]["simple"].pop("p999_ns"))
spoil(lambda d: kv(d)["kinds"]["simple"]["buckets"][0].append(1))
finish()
END
	fail "the results file is not what the schema says"
finish
