// SPDX-License-Identifier: MIT
//
// Description: <cardmark/cardmark.hpp> against this kernel: live BACKEND prints a TAP line for
// each case; --lose is the control of the last one and forgets an answer. Status 77: all skipped.
#include <cardmark/cardmark.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <vector>

namespace cm = libcardmark;

// Handles move and are not copied; nothing that a stopped world calls may throw.
template <typename T>
constexpr bool is_handle =
	std::is_nothrow_move_constructible_v<T> &&std::is_nothrow_move_assignable_v<T> &&
	!std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(is_handle<cm::tracker> && is_handle<cm::table> && is_handle<cm::consumer> &&
	      is_handle<cm::process>);
template <typename T> T &some() noexcept;
static_assert(
	noexcept(some<cm::tracker>().track(nullptr, 0)) &&noexcept(some<cm::tracker>().untrack(
		nullptr,
		0)) &&noexcept(some<cm::tracker>()
				       .is_tracked(
					       nullptr,
					       0)) &&noexcept(some<cm::tracker>()
								      .collect(some<cm::table>()))
		&&noexcept(some<cm::tracker>().collect_range(nullptr, 0, some<cm::table>())) &&noexcept(
			some<cm::tracker>()
				.discarded(some<
					   cm::table>())) &&noexcept(some<cm::tracker>().hold(nullptr, 0))
			&&noexcept(some<cm::tracker>().release_hold(nullptr, 0)) &&noexcept(
				some<cm::tracker>()
					.scan(some<cm::query>())) &&noexcept(some<cm::tracker>().stats())
				&&noexcept(some<cm::tracker>().describe()) &&noexcept(
					some<cm::consumer>().collect(some<cm::table>()))
					&&noexcept(some<cm::consumer>().collect_range(
						nullptr, 0,
						some<cm::table>())) &&noexcept(some<cm::process>()
										       .scan(some<cm::query>()))
						&&noexcept(some<cm::table>().is_dirty(
							nullptr)) &&noexcept(some<cm::table>()
										     .runs(
											     nullptr,
											     0))
							&&noexcept(++some<cm::runs::iterator>()) &&noexcept(
								some<cm::table>()
									.add(some<cm::table>()))
								&&noexcept(some<cm::table>().set_range(
									nullptr,
									0)) &&noexcept(some<cm::table>()
											       .clear_range(
												       nullptr,
												       0))
									&&noexcept(some<cm::table>().clear()) &&noexcept(
										some<cm::table>()
											.count())
										&&noexcept(
											some<cm::table>()
												.all_dirty()));
#if __cplusplus >= 202002L
static_assert(std::input_iterator<cm::runs::iterator>);
#endif

namespace
{

constexpr std::size_t cards = 64;
cm::backend_info backend;
bool failed, lose;

bool can(unsigned capability)
{
	return (backend.capabilities & capability) == capability;
}

#define CHECK(cond) (void)((cond) || complain(#cond, __LINE__))
bool complain(const char *what, int line)
{
	std::printf("# line %d: %s (%s)\n", line, what, cm::last_error());
	failed = true;
	return false;
}

struct memory {
	std::size_t card = cm::card_size();
	unsigned char *at = static_cast<unsigned char *>(mmap(nullptr, cards *cm::card_size(),
							      PROT_READ | PROT_WRITE,
							      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	memory()
	{
		std::memset(at, 1, size());
	}
	memory(const memory &) = delete;
	memory &operator=(const memory &) = delete;
	~memory()
	{
		munmap(at, size());
	}
	std::size_t size() const
	{
		return cards * card;
	}
	void write(std::size_t i) const
	{
		auto p = static_cast<volatile unsigned char *>(at + i * card);
		*p = static_cast<unsigned char>(*p + 1);
	}
};

cm::tracker open_one(unsigned flags = 0)
{
	cm::options how;

	how.backend = backend.backend;
	how.flags = CARDMARK_OPEN_NO_ENV | flags;
	auto opened = cm::tracker::open(how);
	CHECK(opened.ok());
	return *std::move(opened);
}

// Tracked, clean and armed. The members end in the order that is hardest: the tracker first.
struct fixture {
	memory mem;
	cm::table table;
	cm::tracker tracker;

	explicit fixture(unsigned flags = 0) : tracker(open_one(flags))
	{
		table = *tracker.new_table();
		CHECK(tracker.track(mem.at, mem.size()));
		tracker.collect(table);
		table.clear();
	}
	// The dirty cards by the iterator and by is_dirty() are the same.
	std::vector<bool> dirty(const cm::table &t) const
	{
		std::vector<bool> is(cards);
		for (const cm::run &run : t.runs(mem.at, mem.size()))
			for (auto a = run.start; a < run.end; a += mem.card)
				is[(a - reinterpret_cast<std::uintptr_t>(mem.at)) / mem.card] =
					true;
		for (std::size_t i = 0; i < cards; i++)
			CHECK(is[i] == t.is_dirty(mem.at + i * mem.card));
		return is;
	}
	void expect(const cm::table &t, std::initializer_list<std::size_t> written) const
	{
		std::vector<bool> want(cards), is = dirty(t);
		for (std::size_t i : written)
			want[i] = true;
		for (std::size_t i = 0; i < cards; i++)
			CHECK(is[i] || !want[i]);
		CHECK(!can(CARDMARK_CAP_PRECISE) || is == want);
	}
};

void written_cards_come_in_runs()
{
	fixture f;

	f.mem.write(3);
	f.mem.write(4);
	f.mem.write(40);
	CHECK(f.tracker.collect(f.table) == CARDMARK_EXACT);
	f.expect(f.table, { 3, 4, 40 });
	auto runs = f.table.runs(f.mem.at, f.mem.size());
	if (can(CARDMARK_CAP_PRECISE)) {
		auto first = runs.begin();
		CHECK(first->size() == 2 * f.mem.card &&
		      first->data() == f.mem.at + 3 * f.mem.card);
		CHECK(std::distance(runs.begin(), runs.end()) == 2);
		CHECK(f.table.count() == 3);
	}
	f.table.clear();
	CHECK(runs.begin() == runs.end() && f.table.count() == 0 && !f.table.all_dirty());
	f.tracker.collect_range(f.mem.at, f.mem.size() / 2, f.table);
	CHECK(f.table.set_range(f.mem.at, 1) && f.table.is_dirty(f.mem.at));
	CHECK(f.table.clear_range(f.mem.at, f.mem.card) && !f.table.is_dirty(f.mem.at));
}

void a_handle_that_moved_is_empty()
{
	fixture f;
	cm::tracker other = std::move(f.tracker);
	cm::table table;

	CHECK(!f.tracker && other && !table);
	table = std::move(f.table);
	CHECK(table && !f.table);
	f.mem.write(9);
	other.collect(table);
	f.expect(table, { 9 });
	other.close();
	CHECK(!other);
	other.close();
	// A table may outlive its tracker.
	CHECK(table.set_range(f.mem.at, 1).code() == -EINVAL && table.all_dirty());
	cardmark_table *raw = table.release();
	CHECK(!table);
	cardmark_table_delete(&raw);
}

void errors_are_answers()
{
	fixture f;
	cm::status s = f.tracker.track(f.mem.at + 1, f.mem.card);

	CHECK(!s && s.code() == -EINVAL && s.error() == std::errc::invalid_argument);
	CHECK(*s.message() != '\0' && *cm::last_error() != '\0');
	CHECK(f.tracker.release_hold(f.mem.at, 8).code() == -ENOENT);
	CHECK(!cm::parse_backend("nonesuch") &&
	      *cm::parse_backend("uffd") == CARDMARK_BACKEND_UFFD);
	CHECK(cm::probe(1000).status().code() == -ENOENT);
	CHECK(f.tracker.is_tracked(f.mem.at, 0).status().code() == -EINVAL);
	CHECK(*f.tracker.is_tracked(f.mem.at, f.mem.size()));
	CHECK(f.tracker.untrack(f.mem.at, f.mem.card) && !*f.tracker.is_tracked(f.mem.at, 1));
#if defined(__cpp_exceptions)
	try {
		s.or_throw();
		CHECK(false); // a failure throws if it is asked to
	} catch (const std::system_error &e) {
		CHECK(e.code() == std::errc::invalid_argument && *e.what() != '\0');
	}
	try {
		(void)cm::process::open(-1).value();
		CHECK(false); // a result without a value throws
	} catch (const std::system_error &e) {
		CHECK(e.code() == std::errc::invalid_argument);
	}
#endif
}

void each_consumer_gets_every_write()
{
	fixture f;
	cm::consumer snapshot = *f.tracker.new_consumer();
	cm::table saved = *f.tracker.new_table();

	snapshot.collect(saved);
	saved.clear();
	f.mem.write(5);
	f.tracker.collect(f.table);
	f.expect(f.table, { 5 });
	f.mem.write(6);
	snapshot.collect_range(f.mem.at, f.mem.size(), saved);
	f.expect(saved, { 5, 6 });
	CHECK(f.table.add(saved));
	f.expect(f.table, { 5, 6 });
	f.tracker.close();
	snapshot.close(); // after its tracker
}

void holds_precleans_suspends()
{
	fixture f;

	CHECK(f.tracker.hold(f.mem.at + 7 * f.mem.card, 8));
	f.tracker.collect(f.table);
	f.expect(f.table, { 7 });
	CHECK(f.tracker.release_hold(f.mem.at + 7 * f.mem.card, 8));
	f.tracker.collect(f.table);
	f.table.clear();
	f.mem.write(8);
	cm::status s = f.tracker.preclean();
	CHECK(s.ok() || (s.code() == -ENOTSUP && !can(CARDMARK_CAP_CONCURRENT)));
	f.tracker.collect(f.table);
	f.expect(f.table, { 8 });
	CHECK(f.tracker.resume().code() == -EINVAL);
	CHECK(f.tracker.suspend() && f.tracker.resume());
	f.tracker.collect(f.table);
	CHECK(f.table.is_dirty(f.mem.at));
	CHECK(f.tracker.describe()->backend == backend.backend);
	CHECK(f.tracker.stats()->collects >= 4 && f.tracker.stats()->suspends == 1);
	CHECK(f.tracker.discarded(f.table) == CARDMARK_REFUSED);
}

void a_scan_names_the_written()
{
	fixture f;
	cardmark_region found[8];
	cm::query q(f.mem.at, f.mem.size(), CARDMARK_SCAN_GET_AND_CLEAR);

	q.required = q.returned = CARDMARK_PAGE_WRITTEN;
	f.mem.write(11);
	CHECK(f.tracker.scan(q.into(found)) && q.complete() && q.count == 1);
	for (const cardmark_region &r : q)
		CHECK(r.start <= reinterpret_cast<std::uintptr_t>(f.mem.at + 11 * f.mem.card) &&
		      r.end > r.start && r.categories == CARDMARK_PAGE_WRITTEN);
	auto process = cm::process::open(getpid());
	if (!process) {
		CHECK(process.status().code() == -ENOTSUP);
		return;
	}
	q.op = CARDMARK_SCAN_GET;
	q.required = q.returned = CARDMARK_PAGE_PRESENT;
	CHECK((process->categories() & CARDMARK_PAGE_PRESENT) != 0);
	CHECK(process->scan(q.into(found, 8)) && q.pages == cards);
}

void a_handler_beside_ours()
{
	struct ::sigaction old = {};

	CHECK(cm::set_sigaction(SIGUSR1, nullptr, &old));
	CHECK(cm::set_sigaction(-1, nullptr, &old).code() == -EINVAL);
}

// What random writers wrote is in one answer or in an earlier one.
void no_write_is_lost()
{
	fixture f;
	const char *given = std::getenv("CARDMARK_TEST_SEED");
	unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
					 : static_cast<unsigned>(std::time(nullptr));

	std::printf("# CARDMARK_TEST_SEED=%u\n", seed);
	for (int round = 0; round < 200; round++) {
		std::vector<bool> want(cards);
		for (int n = 0; n < 10; n++) {
			seed = seed * 1664525 + 1013904223;
			std::size_t i = (seed >> 16) % cards;
			f.mem.write(i);
			want[i] = true;
		}
		f.tracker.collect(f.table);
		if (lose && round == 100) {
			f.table.clear();
			f.tracker.collect(f.table);
		}
		std::vector<bool> is = f.dirty(f.table);
		for (std::size_t i = 0; i < cards; i++)
			CHECK(is[i] || !want[i]);
		f.table.clear();
	}
}

} // namespace

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		void (*run)();
	} cases[] = { { "written cards come in runs", written_cards_come_in_runs },
		      { "a handle that moved is empty", a_handle_that_moved_is_empty },
		      { "errors are answers", errors_are_answers },
		      { "each consumer gets every write", each_consumer_gets_every_write },
		      { "holds, precleans, suspends", holds_precleans_suspends },
		      { "a scan names the written", a_scan_names_the_written },
		      { "a handler beside ours", a_handler_beside_ours },
		      { "no write is lost", no_write_is_lost } };
	const char *name = argc > 1 ? argv[1] : "alldirty";
	const char *required = std::getenv("CARDMARK_REQUIRE");
	auto wanted = cm::parse_backend(name);
	bool bad = false;

	lose = argc > 2 && std::strcmp(argv[2], "--lose") == 0;
	if (!wanted)
		return 2;
	for (unsigned i = 0; backend.backend != *wanted; i++) {
		auto probed = cm::probe(i);
		if (!probed)
			return 2;
		backend = *probed;
	}
	if (!backend.usable) {
		bool must = required != nullptr && std::strstr(required, name) != nullptr;
		std::printf("%sok - %s: works here%s%s\n", must ? "not " : "", name,
			    must ? "\n# " : " # SKIP ", backend.reason);
		return must ? 1 : 77;
	}
	if (lose) {
		if (!can(CARDMARK_CAP_PRECISE)) {
			std::printf("ok - %s: control # SKIP reports everything\n", name);
			return 0;
		}
		no_write_is_lost();
		std::printf("%sok - %s: control: an answer that is thrown away is missed\n",
			    failed ? "" : "not ", name);
		return failed ? 0 : 1;
	}
	for (auto &one : cases) {
		failed = false;
		one.run();
		std::printf("%sok - %s: %s\n", failed ? "not " : "", name, one.name);
		bad |= failed;
	}
	return bad ? 1 : 0;
}
