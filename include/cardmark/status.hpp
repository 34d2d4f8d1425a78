/* SPDX-License-Identifier: MIT
 *
 * Part of <cardmark/cardmark.hpp>: what its calls answer. */
#ifndef CARDMARK_STATUS_HPP
#define CARDMARK_STATUS_HPP

#include <cardmark/cardmark.h>

#include <system_error>
#include <utility>

namespace libcardmark
{

/* Whether a call succeeded: 0, or a negative errno value of the closed list in cardmark.h. */
class [[nodiscard]] status
{
      public:
	constexpr status() noexcept = default;
	constexpr explicit status(int code) noexcept : code_(code < 0 ? code : 0)
	{
	}
	constexpr bool ok() const noexcept
	{
		return code_ == 0;
	}
	constexpr explicit operator bool() const noexcept
	{
		return ok();
	}
	/* 0, or -EINVAL, -ENOMEM, ... */
	constexpr int code() const noexcept
	{
		return code_;
	}
	/* A short text; libcardmark::last_error() has the cause. */
	const char *message() const noexcept
	{
		return cardmark_strerror(code_);
	}
	std::error_code error() const noexcept
	{
		return std::error_code(-code_, std::generic_category());
	}
#if defined(__cpp_exceptions)
	/* Not while the world is stopped. */
	void or_throw() const
	{
		if (!ok())
			throw std::system_error(error(), cardmark_last_error());
	}
#endif

      private:
	int code_ = 0;
};

/* A failed call's status, on its way into a result of any kind. */
class [[nodiscard]] failure
{
      public:
	constexpr explicit failure(libcardmark::status status) noexcept : status_(status)
	{
	}
	constexpr libcardmark::status status() const noexcept
	{
		return status_;
	}

      private:
	libcardmark::status status_;
};

/* The answer of a call, or why there is none. Look before you take: `*r` of a failed call is an
 * empty handle, or an answer that was not filled in. */
template <typename T> class [[nodiscard]] result
{
      public:
	result(T value) noexcept : value_(std::move(value))
	{
	}
	/* What a call of C returned, and what it filled in. */
	result(int code, T value) noexcept
	    : value_(std::move(value)), status_(libcardmark::status(code))
	{
	}
	result(failure why) noexcept : status_(why.status())
	{
	}
	bool ok() const noexcept
	{
		return status_.ok();
	}
	explicit operator bool() const noexcept
	{
		return ok();
	}
	libcardmark::status status() const noexcept
	{
		return status_;
	}
	/* Hands the failure on: return r.failed(); */
	failure failed() const noexcept
	{
		return failure(status_);
	}
	T &operator*() &noexcept
	{
		return value_;
	}
	const T &operator*() const &noexcept
	{
		return value_;
	}
	T &&operator*() &&noexcept
	{
		return std::move(value_);
	}
	T *operator->() noexcept
	{
		return &value_;
	}
	const T *operator->() const noexcept
	{
		return &value_;
	}
#if defined(__cpp_exceptions)
	/* Not while the world is stopped. */
	T value() &&
	{
		status_.or_throw();
		return std::move(value_);
	}
#endif

      private:
	T value_{};
	libcardmark::status status_{};
};

} // namespace libcardmark

#endif
