// SPDX-License-Identifier: MIT
#include "bench/shim/gbench.h"

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace
{

// Later releases moved the class to another namespace.
using Benchmark = std::remove_pointer<decltype(benchmark::RegisterBenchmark(
	"", std::declval<void (&)(benchmark::State &)>()))>::type;

Benchmark *inner(gbench *b)
{
	return reinterpret_cast<Benchmark *>(b);
}

benchmark::State *inner(gbench_state *state)
{
	return reinterpret_cast<benchmark::State *>(state);
}

const benchmark::State *inner(const gbench_state *state)
{
	return reinterpret_cast<const benchmark::State *>(state);
}

benchmark::Counter::Flags counter_flags(unsigned flags)
{
	static const std::pair<unsigned, benchmark::Counter::Flags> all[] = {
		{ GBENCH_RATE, benchmark::Counter::kIsRate },
		{ GBENCH_AVG_THREADS, benchmark::Counter::kAvgThreads },
		{ GBENCH_EACH_ITERATION, benchmark::Counter::kIsIterationInvariant },
		{ GBENCH_AVG_ITERATIONS, benchmark::Counter::kAvgIterations },
		{ GBENCH_INVERT, benchmark::Counter::kInvert },
	};
	auto out = benchmark::Counter::kDefaults;

	for (const auto &flag : all)
		if ((flags & flag.first) != 0)
			out = out | flag.second;
	return out;
}

} // namespace

void gbench_initialize(int *argc, char **argv)
{
	benchmark::Initialize(argc, argv);
}

void gbench_context(const char *key, const char *value)
{
	benchmark::AddCustomContext(key, value);
}

gbench *gbench_register(const char *name, gbench_function run, void *user)
{
	auto call = [run, user](benchmark::State &state) {
		run(reinterpret_cast<gbench_state *>(&state), user);
	};

	return reinterpret_cast<gbench *>(benchmark::RegisterBenchmark(name, call));
}

void gbench_arg(gbench *b, int64_t value)
{
	inner(b)->Arg(value);
}

void gbench_args(gbench *b, const int64_t *values, size_t n)
{
	inner(b)->Args(std::vector<int64_t>(values, values + n));
}

void gbench_range(gbench *b, int64_t from, int64_t to)
{
	inner(b)->Range(from, to);
}

void gbench_ranges(gbench *b, const int64_t (*from_to)[2], size_t n)
{
	std::vector<std::pair<int64_t, int64_t>> all;

	for (size_t i = 0; i < n; i++)
		all.emplace_back(from_to[i][0], from_to[i][1]);
	inner(b)->Ranges(all);
}

void gbench_multiplier(gbench *b, int multiplier)
{
	inner(b)->RangeMultiplier(multiplier);
}

void gbench_arg_names(gbench *b, const char *const *names, size_t n)
{
	inner(b)->ArgNames(std::vector<std::string>(names, names + n));
}

void gbench_threads(gbench *b, int threads)
{
	inner(b)->Threads(threads);
}

void gbench_iterations(gbench *b, int64_t n)
{
	inner(b)->Iterations(n);
}

void gbench_min_time(gbench *b, double seconds)
{
	inner(b)->MinTime(seconds);
}

void gbench_repetitions(gbench *b, int n)
{
	inner(b)->Repetitions(n);
}

void gbench_unit(gbench *b, enum gbench_unit unit)
{
	static const benchmark::TimeUnit units[] = { benchmark::kNanosecond,
						     benchmark::kMicrosecond,
						     benchmark::kMillisecond, benchmark::kSecond };

	inner(b)->Unit(units[unit]);
}

void gbench_manual_time(gbench *b)
{
	inner(b)->UseManualTime();
}

void gbench_real_time(gbench *b)
{
	inner(b)->UseRealTime();
}

size_t gbench_run(void)
{
	return benchmark::RunSpecifiedBenchmarks();
}

void gbench_shut_down(void)
{
	benchmark::Shutdown();
}

bool gbench_keep_running(gbench_state *state)
{
	return inner(state)->KeepRunning();
}

void gbench_pause(gbench_state *state)
{
	inner(state)->PauseTiming();
}

void gbench_resume(gbench_state *state)
{
	inner(state)->ResumeTiming();
}

void gbench_iteration_time(gbench_state *state, double seconds)
{
	inner(state)->SetIterationTime(seconds);
}

int64_t gbench_argument(const gbench_state *state, size_t i)
{
	return inner(state)->range(i);
}

int gbench_thread_index(const gbench_state *state)
{
	return inner(state)->thread_index();
}

int gbench_thread_count(const gbench_state *state)
{
	return inner(state)->threads();
}

int64_t gbench_iterations_done(const gbench_state *state)
{
	return static_cast<int64_t>(inner(state)->iterations());
}

void gbench_counter(gbench_state *state, const char *name, double value, unsigned flags)
{
	inner(state)->counters[name] = benchmark::Counter(value, counter_flags(flags));
}

void gbench_set_bytes(gbench_state *state, int64_t bytes)
{
	inner(state)->SetBytesProcessed(bytes);
}

void gbench_set_items(gbench_state *state, int64_t items)
{
	inner(state)->SetItemsProcessed(items);
}

void gbench_label(gbench_state *state, const char *text)
{
	inner(state)->SetLabel(text);
}

void gbench_error(gbench_state *state, const char *text)
{
	inner(state)->SkipWithError(text);
}
