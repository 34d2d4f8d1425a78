# SPDX-License-Identifier: MIT
# A results file with a server in it: latency.py IN OUT. Its latencies are made up: what
# the report must say of them is known. Ours take twice as long as the others at 99 %,
# half as long at 50 %, and as long at 99.9 %.
import copy
import json
import sys


def bound(v):
    """The end of the bucket of v: 32 buckets an octave."""
    shift = max(v.bit_length() - 6, 0)
    return ((v >> shift) + 1 << shift) - 1


def kind(pairs):
    """Of (value, times), in order."""
    buckets = {}
    for value, times in pairs:
        buckets[bound(value)] = buckets.get(bound(value), 0) + times
    count, most = sum(buckets.values()), pairs[-1][0]

    def rank(q):
        if count * (1 - q) < 10 - 1e-6:
            return None
        seen = 0
        for end, times in sorted(buckets.items()):
            seen += times
            if seen >= q * count:
                return min(end, most)

    return {"count": count, "sum_ns": sum(v * n for v, n in pairs), "p50_ns": rank(0.5), "p90_ns": rank(0.9),
            "p99_ns": rank(0.99), "p999_ns": rank(0.999), "max_ns": most,
            "buckets": [list(pair) for pair in sorted(buckets.items())]}


def latency(ours, block):
    k = 1 + block  # the same for all rows of a block
    median, tail = 64000 * k // (2 if ours else 1), 4096000 * k * (2 if ours else 1)
    opened = kind([(median, 19000), (tail, 900), (65536000 * k, 100)])
    simple = kind([(4096 * k, 19999), (65536000 * k, 1)])
    few = kind([(1000, 500), (2000000, 1)])
    return {"rate_per_s": 1000, "served_ns": 20 * 10 ** 9,
            "kinds": {"simple": simple, "open_loop": opened, "metered_1ms": simple, "metered_10ms": simple,
                      "metered_100ms": simple, "metered_full": opened, "hiccup": few}}


data = json.load(open(sys.argv[1]))
server = copy.deepcopy(data["programs"][0])
server.update(name="kv", what="a made-up server", rate_per_s=1000, closed_loop_per_s=2000)
for row in server["rows"]:
    for block, run in enumerate(row["runs"]):
        run["latency"] = latency(row["role"] == "ours", block)
data["programs"].append(server)
json.dump(data, open(sys.argv[2], "w"))
