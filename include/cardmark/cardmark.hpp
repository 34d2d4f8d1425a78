/* SPDX-License-Identifier: MIT
 *
 * libcardmark in C++17: handles that close themselves, and dirty cards for a range-based for.
 * Header only: each call is one call of <cardmark/cardmark.h> or <cardmark/process.h>, where it is
 * explained. If a C call may run while the world is stopped, so may the C++ call: it adds nothing
 * that allocates, locks or throws.
 *
 *	#include <cardmark/cardmark.hpp>
 *	#include <cstdio>
 *	#include <sys/mman.h>
 *
 *	int main()
 *	{
 *		size_t len = 1 << 20;
 *		void *heap = mmap(nullptr, len, PROT_READ | PROT_WRITE,
 *				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 *		auto cm = libcardmark::tracker::open();
 *		auto table = cm ? cm->new_table() : cm.failed();
 *
 *		if (!table || !cm->track(heap, len)) {
 *			std::fprintf(stderr, "%s\n", libcardmark::last_error());
 *			return 1;
 *		}
 *		cm->collect(*table); // from here on everything is clean
 *		table->clear();
 *
 *		static_cast<char *>(heap)[5 * libcardmark::card_size()] = 1; // the mutator
 *
 *		cm->collect(*table); // cannot fail; at worst everything is dirty
 *		for (auto run : table->runs(heap, len))
 *			std::printf("written: %#zx to %#zx\n", run.start, run.end);
 *	}
 *
 * A call returns errors as a status or a result, and does not throw. A throw allocates, which is
 * not allowed while the world is stopped, and many runtimes are built with -fno-exceptions. If you
 * prefer exceptions, ask for them where they are safe: or_throw() and value() throw a
 * std::system_error with the text of cardmark_last_error().
 *
 * The namespace is libcardmark, because cardmark is a struct. A handle is moved, not copied. An
 * empty handle (made without open, moved from, closed) may only be destroyed, assigned, and asked
 * whether it is empty. Tables and consumers may outlive their tracker. */
#ifndef CARDMARK_CARDMARK_HPP
#define CARDMARK_CARDMARK_HPP

#include <cardmark/process.h>
#include <cardmark/status.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

namespace libcardmark
{

/* The structs of cardmark.h, set up. Two have the name of a function, too. */
using probe_of_c = struct ::cardmark_probe;
using stats_of_c = struct ::cardmark_stats;

struct options : ::cardmark_options {
	options() noexcept : ::cardmark_options CARDMARK_OPTIONS_INIT
	{
	}
};
struct description : ::cardmark_description {
	description() noexcept : ::cardmark_description CARDMARK_DESCRIPTION_INIT
	{
	}
};
struct backend_info : probe_of_c {
	backend_info() noexcept : probe_of_c CARDMARK_PROBE_INIT
	{
	}
};
struct counters : stats_of_c {
	counters() noexcept : stats_of_c CARDMARK_STATS_INIT
	{
	}
};

/* The full query: fill in what is not the default, scan, then go through the regions found. */
struct query : ::cardmark_query {
	query() noexcept : ::cardmark_query CARDMARK_QUERY_INIT
	{
	}
	query(const void *from, std::size_t bytes,
	      cardmark_scan_op what = CARDMARK_SCAN_GET) noexcept
	    : query()
	{
		start = const_cast<void *>(from);
		len = bytes;
		op = what;
	}
	/* Where the answer goes; the array must live as long as it is read. */
	template <std::size_t N> query &into(::cardmark_region (&array)[N]) noexcept
	{
		return into(array, N);
	}
	query &into(::cardmark_region *array, std::size_t n) noexcept
	{
		regions = array;
		capacity = n;
		return *this;
	}
	bool complete() const noexcept
	{
		return resume >= reinterpret_cast<std::uintptr_t>(start) + len;
	}
	const ::cardmark_region *begin() const noexcept
	{
		return regions;
	}
	const ::cardmark_region *end() const noexcept
	{
		return regions + count;
	}
};

/* A run of dirty cards: addresses, card-aligned, end not included. */
struct run {
	std::uintptr_t start = 0, end = 0;

	std::size_t size() const noexcept
	{
		return end - start;
	}
	void *data() const noexcept
	{
		return reinterpret_cast<void *>(start);
	}
};

/* The runs of dirty cards of a piece of memory, in ascending order. The loop reads the table while
 * it runs: do not collect into the table or clear it before the loop is done. */
class runs
{
      public:
	class iterator
	{
	      public:
		using iterator_category = std::input_iterator_tag;
		using value_type = run;
		using difference_type = std::ptrdiff_t;
		using pointer = const run *;
		using reference = const run &;

		iterator() noexcept = default;
		reference operator*() const noexcept
		{
			return run_;
		}
		pointer operator->() const noexcept
		{
			return &run_;
		}
		iterator &operator++() noexcept
		{
			look_from(run_.end);
			return *this;
		}
		iterator operator++(int) noexcept
		{
			iterator old = *this;
			++*this;
			return old;
		}
		bool operator==(const iterator &other) const noexcept
		{
			return table_ == other.table_ && run_.start == other.run_.start;
		}
		bool operator!=(const iterator &other) const noexcept
		{
			return !(*this == other);
		}

	      private:
		friend class runs;
		iterator(const cardmark_table *table, std::uintptr_t from,
			 std::uintptr_t to) noexcept
		    : table_(table), to_(to)
		{
			look_from(from);
		}
		void look_from(std::uintptr_t from) noexcept
		{
			::cardmark_run next;

			if (from < to_ && cardmark_table_next(table_, from, to_, &next)) {
				run_.start = next.start;
				run_.end = next.end;
			} else {
				*this = iterator(); /* the end */
			}
		}

		const cardmark_table *table_ = nullptr;
		std::uintptr_t to_ = 0;
		run run_{};
	};
	using const_iterator = iterator;

	runs(const cardmark_table *table, std::uintptr_t from, std::uintptr_t to) noexcept
	    : table_(table), from_(from), to_(to)
	{
	}
	iterator begin() const noexcept
	{
		return iterator(table_, from_, to_);
	}
	iterator end() const noexcept
	{
		return iterator();
	}

      private:
	const cardmark_table *table_;
	std::uintptr_t from_, to_;
};

/* Owns a handle of the C library. */
template <typename T, void (*Close)(T **)> class handle
{
      public:
	handle() noexcept = default;
	explicit handle(T *raw) noexcept : raw_(raw)
	{
	}
	handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr))
	{
	}
	handle &operator=(handle &&other) noexcept
	{
		if (this != &other) {
			Close(&raw_);
			raw_ = std::exchange(other.raw_, nullptr);
		}
		return *this;
	}
	~handle()
	{
		Close(&raw_);
	}
	explicit operator bool() const noexcept
	{
		return raw_ != nullptr;
	}
	/* For calls of C, or of an adapter; still owned. */
	T *get() const noexcept
	{
		return raw_;
	}
	/* No longer owned: the caller closes it. */
	T *release() noexcept
	{
		return std::exchange(raw_, nullptr);
	}
	/* Now, and not when the handle ends. Not while the world is stopped. */
	void close() noexcept
	{
		Close(&raw_);
	}

      private:
	T *raw_ = nullptr;
};

/* A table of dirty cards. Not for two threads at once; all but making and closing one may run
 * while the world is stopped. */
class table : public handle<cardmark_table, cardmark_table_delete>
{
      public:
	using handle::handle;

	bool is_dirty(const void *addr) const noexcept
	{
		return cardmark_table_is_dirty(get(), addr);
	}
	/* For all-dirty tables too, so give no bounds that can't be read. */
	libcardmark::runs runs(const void *addr, std::size_t bytes) const noexcept
	{
		auto from = reinterpret_cast<std::uintptr_t>(addr);
		return libcardmark::runs(get(), from,
					 bytes <= UINTPTR_MAX - from ? from + bytes : UINTPTR_MAX);
	}
	bool all_dirty() const noexcept
	{
		return cardmark_table_all_dirty(get());
	}
	std::size_t count() const noexcept
	{
		return cardmark_table_count(get());
	}
	/* Adds the other's dirty cards. */
	status add(const table &other) noexcept
	{
		return status(cardmark_table_union(get(), other.get()));
	}
	status set_range(const void *addr, std::size_t bytes) noexcept
	{
		return status(cardmark_table_set_range(get(), addr, bytes));
	}
	void clear() noexcept
	{
		cardmark_table_clear(get());
	}
	status clear_range(const void *addr, std::size_t bytes) noexcept
	{
		return status(cardmark_table_clear_range(get(), addr, bytes));
	}
};

/* Reports the cards written since this consumer last asked, even if others asked meanwhile. */
class consumer : public handle<cardmark_consumer, cardmark_consumer_delete>
{
      public:
	using handle::handle;

	cardmark_collected collect(table &into) noexcept
	{
		return cardmark_consumer_collect(get(), into.get());
	}
	cardmark_collected collect_range(const void *addr, std::size_t bytes, table &into) noexcept
	{
		return cardmark_consumer_collect_range(get(), addr, bytes, into.get());
	}
};

/* A tracker. Any thread may call it. */
class tracker : public handle<struct cardmark, cardmark_close>
{
      public:
	using handle::handle;

	/* ---- Not while the world is stopped */
	static result<tracker> open() noexcept
	{
		return opened(nullptr);
	}
	static result<tracker> open(const libcardmark::options &how) noexcept
	{
		return opened(&how);
	}
	result<table> new_table() noexcept
	{
		cardmark_table *raw = nullptr;
		int code = cardmark_table_new(&raw, get());

		return { code, table(raw) };
	}
	result<consumer> new_consumer() noexcept
	{
		cardmark_consumer *raw = nullptr;
		int code = cardmark_consumer_new(&raw, get());

		return { code, consumer(raw) };
	}
	status preclean() noexcept
	{
		return status(cardmark_preclean(get()));
	}
	status suspend() noexcept
	{
		return status(cardmark_suspend(get()));
	}
	status resume() noexcept
	{
		return status(cardmark_resume(get()));
	}

	/* ---- Also while the world is stopped */
	/* flags: enum cardmark_track_flags */
	status track(void *addr, std::size_t bytes, unsigned flags = 0) noexcept
	{
		return status(cardmark_track(get(), addr, bytes, flags));
	}
	status untrack(void *addr, std::size_t bytes) noexcept
	{
		return status(cardmark_untrack(get(), addr, bytes));
	}
	result<bool> is_tracked(const void *addr, std::size_t bytes) noexcept
	{
		bool answer = false;
		int code = cardmark_is_tracked(get(), addr, bytes, &answer);

		return { code, answer };
	}
	cardmark_collected collect(table &into) noexcept
	{
		return cardmark_collect(get(), into.get());
	}
	cardmark_collected collect_range(const void *addr, std::size_t bytes, table &into) noexcept
	{
		return cardmark_collect_range(get(), addr, bytes, into.get());
	}
	cardmark_collected discarded(table &into) noexcept
	{
		return cardmark_discarded(get(), into.get());
	}
	status hold(const void *addr, std::size_t bytes) noexcept
	{
		return status(cardmark_hold(get(), addr, bytes));
	}
	/* Ends a hold. (release() gives the handle away, as that of std::unique_ptr does.) */
	status release_hold(const void *addr, std::size_t bytes) noexcept
	{
		return status(cardmark_release(get(), addr, bytes));
	}
	status scan(query &question) noexcept
	{
		return status(cardmark_scan(get(), &question));
	}
	result<description> describe() const noexcept
	{
		description answer;
		int code = cardmark_describe(get(), &answer);

		return { code, answer };
	}
	result<counters> stats() noexcept
	{
		counters answer;
		int code = cardmark_stats(get(), &answer);

		return { code, answer };
	}

      private:
	static result<tracker> opened(const cardmark_options *how) noexcept
	{
		struct cardmark *raw = nullptr;
		int code = cardmark_open(&raw, how);

		return { code, tracker(raw) };
	}
};

/* Another process, to look only. One thread at a time; scan may run while the world is stopped. */
class process : public handle<cardmark_process, cardmark_process_close>
{
      public:
	using handle::handle;

	static result<process> open(int pid) noexcept
	{
		cardmark_process *raw = nullptr;
		int code = cardmark_process_open(&raw, pid);

		return { code, process(raw) };
	}
	std::uint64_t categories() const noexcept
	{
		return cardmark_process_categories(get());
	}
	status scan(query &question) noexcept
	{
		return status(cardmark_process_scan(get(), &question));
	}
};

/* ---- About the library */

inline const char *version() noexcept
{
	return cardmark_version();
}

inline std::size_t card_size() noexcept
{
	return cardmark_card_size();
}

/* The reason of this thread's last failing call, in words. */
inline const char *last_error() noexcept
{
	return cardmark_last_error();
}

/* nullptr if there is no such backend. */
inline const char *backend_name(cardmark_backend backend) noexcept
{
	return cardmark_backend_name(backend);
}

inline result<cardmark_backend> parse_backend(const char *name) noexcept
{
	cardmark_backend answer = CARDMARK_BACKEND_AUTO;
	int code = cardmark_backend_parse(name, &answer);

	return { code, answer };
}

/* The backend of that place in the order of preference; -ENOENT after the last. Not while the
 * world is stopped. */
inline result<backend_info> probe(unsigned index) noexcept
{
	backend_info answer;
	int code = cardmark_probe(index, &answer);

	return { code, answer };
}

/* sigaction(2) beside the handler of backend mprotect. */
inline status set_sigaction(int sig, const struct ::sigaction *act,
			    struct ::sigaction *old = nullptr) noexcept
{
	return status(cardmark_sigaction(sig, act, old));
}

} // namespace libcardmark

#endif
