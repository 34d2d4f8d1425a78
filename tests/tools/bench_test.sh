#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench at a tiny size: every row has a result, the JSON
# parses, and a wrong result fails the bench.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
[ -x "$builddir/bench/boehm/trees" ] || skip "the benchmark programs were not built"

# The screen: 80 columns and no more lines than a terminal has, of which one is about trees;
# two blocks tell nothing about the time, once.
status 0 "$cardmark" bench --program=trees --blocks=2 --size=2 --live-mb=8 --seed=5 \
	--json="$scratch/bench.json"
grep -v "$scratch" "$scratch/out" >"$scratch/screen" # where it is, is not ours to choose
[ "$(wc -L <"$scratch/screen")" -lt 80 ] || fail "wider than 80 columns: $(cat "$scratch/out")"
[ "$(wc -l <"$scratch/out")" -le 24 ] || fail "more than 24 lines: $(cat "$scratch/out")"
[ "$(grep -c '^trees  *[0-9.]* *\(->\|~\) *[0-9.]*.* ?  *[0-9.]' "$scratch/out")" = 1 ] ||
	fail "not one line about trees: $(cat "$scratch/out")"
[ "$(grep -c 'Too noisy' "$scratch/out")" = 1 ] || fail "noise is not told once"
said out "$scratch/bench.txt"
said out "cardmark report $scratch/bench.json"
said out "cardmark run --pause-target=5 --stats -- PROGRAM"
grep -q "In plain words" "$scratch/out" && fail "the tables are on the screen"
cp "$scratch/bench.txt" "$scratch/out"
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

# The load is that of the run: a busy program of ours beside it is told before and after, and
# the control, the bench's own work, is not.
if command -v python3 >/dev/null; then
	python3 -c '
import json, sys
e = json.load(open(sys.argv[1]))["environment"]
assert 0 < e["own_ticks"] <= e["busy_ticks"] * 1.1 + 5 and e["busy_ticks"] <= e["total_ticks"], e
assert abs(e["others_cpus"] - max(0, e["busy_ticks"] - e["own_ticks"]) / e["total_ticks"] * e["cpus"]) < 1e-6
' "$scratch/bench.json" || fail "the load in the file is not what it should be"
fi
sh -c 'while :; do :; done' &
busy=$!
status 0 "$cardmark" bench --program=trees --blocks=1 --size=2 --live-mb=8 --json="$scratch/busy.json"
kill "$busy"
wait "$busy" 2>/dev/null
said err "other programs use"
said out "other programs used"

# On a terminal the progress is one line that is written over, and never breaks. The control: it
# is longer where there is room.
if command -v python3 >/dev/null; then
	python3 - "$cardmark" "$scratch" <<'END' || fail "the progress does not fit the terminal"
import fcntl, os, pty, struct, sys, termios

def longest(columns):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.chdir(sys.argv[2])
        os.execv(sys.argv[1], ["cardmark", "bench", "--program=trees", "--blocks=1", "--size=1",
                               "--live-mb=8", "--json=tty.json"])
    text = b""
    while True:
        try:
            some = os.read(fd, 4096)
        except OSError:
            break
        if not some:
            break
        text += some
    assert os.waitpid(pid, 0)[1] == 0, text
    lines = [l for l in text.split(b"\r") if b"trees" in l]
    assert len(lines) > 5 and not any(b"\n" in l for l in lines), lines
    return max(map(len, lines))

narrow, wide = longest(40), longest(200)
assert narrow <= 39 < 60 < wide < 200, (narrow, wide)
END
fi

# Rows with another libgc: the same one in a directory of its own, by a name that is cut. The
# control: where it cannot be loaded, those rows fail, and no other.
libgc=$(ldd "$builddir/bench/boehm/trees" | sed -n 's/.*libgc\.so\.1 => \([^ ]*\).*/\1/p')
mkdir -p "$scratch/another-libgc/lib" "$scratch/empty"
ln -s "$libgc" "$scratch/another-libgc/lib/libgc.so.1"
: >"$scratch/empty/libgc.so.1"
with_libgc()
{
	status "$1" "$cardmark" bench --program=trees --blocks=1 --size=2 --live-mb=8 \
		--json="$scratch/libgc.json" --wide --libgc="$scratch/$2"
}
with_libgc 0 another-libgc/
for row in libgc-own "libgc-own, 5 ms" pagemap "pagemap, 5 ms"; do
	grep "^$row (another-libg) " "$scratch/out" >"$scratch/row" ||
		case $row in pagemap*) ;; *) fail "no row $row" ;; esac
	grep FAILED "$scratch/row" && fail "$row failed"
done
with_libgc 1 empty
[ "$(grep -c '(empty).*FAILED' "$scratch/out")" -ge 2 ] || fail "rows with an empty libgc succeeded"
grep FAILED "$scratch/out" | grep -v '(empty)' && fail "a row of the system's libgc failed"
ln -s another-libgc/lib "$scratch/lib"
status 2 "$cardmark" bench --libgc="$scratch/lib" --libgc="$scratch/another-libgc/lib"
said err "would have the same name (lib)"
status 1 "$cardmark" bench --libgc="$scratch/none"
said err "no libgc.so.1 in $scratch/none"

# The server: one rate for all rows, found by a run or given; its latency is in the file.
status 0 "$cardmark" bench --program=kv --blocks=2 --size=5 --live-mb=8 --seed=5 --wide \
	--json="$scratch/kv.json"
said out "Latency of kv at"
said out "of what the reference can do"
said out "kv: one request in a hundred takes longer than"
grep -q FAILED "$scratch/out" && fail "a run of kv failed" && cat "$scratch/out"
status 0 "$cardmark" bench programs --program=kv --blocks=2 --size=5 --live-mb=8 --seed=5 --rate=4321 --wide \
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
