#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: each program prints the same with every barrier and backend, and with one and two
# mutators, as it does if every collection is full and nothing is verified. --verify finds no
# error; with half of the dirty cards forgotten it finds some. A fault in a program is reported as
# an error.
#
# minigc_test.sh [SEED]
set -u
here=${CARDMARK_SRCDIR:-.}/examples/minigc
minigc=${CARDMARK_BUILDDIR:-.}/examples/minigc/minigc
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
seed=${1:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
n=0
failures=0
echo "# seed $seed: minigc_test.sh $seed repeats this"

ok()
{
	n=$((n + 1))
	echo "ok $n - $*"
}

not_ok()
{
	n=$((n + 1))
	failures=$((failures + 1))
	echo "not ok $n - $*"
	sed 's/^/# /' "$scratch/out" "$scratch/err" | head -n 20
}

skip()
{
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# run OPTION...: its status; its output is in $scratch/out and err.
run()
{
	"$minigc" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
}

stat_of()
{
	awk -v name="$1" '$1 == name { print $2 }' "$scratch/err"
}

# A text of its own: the same everywhere.
awk -v seed="$seed" 'BEGIN {
	srand(seed)
	for (line = 0; line < 300; line++) {
		for (word = 0; word < 10; word++)
			printf "%c%c ", 97 + int(rand() * 26), 65 + int(rand() * 12)
		print ""
	}
}' >"$scratch/text"

# ---- What can work here ----------------------------------------------------------

echo '(display (+ 1 2))' >"$scratch/tiny.lisp"
backends=
for backend in ${CARDMARK_TEST_BACKENDS:-pagemap softdirty uffd mprotect alldirty}; do
	if run --backend="$backend" "$scratch/tiny.lisp" && [ "$(cat "$scratch/out")" = 3 ]; then
		backends="$backends $backend"
	elif grep -q 'cannot track the heap' "$scratch/err"; then
		case ",${CARDMARK_REQUIRE:-}," in
		*,"$backend",*) not_ok "$backend: must work here" ;;
		*) skip "$backend" "$(cat "$scratch/err")" ;;
		esac
	else
		not_ok "$backend: (+ 1 2)"
	fi
done
ways='--barrier=cards --barrier=cards-4k --barrier=oracle --barrier=dirty --barrier=none'
for backend in $backends; do
	ways="$ways --backend=$backend"
done

# ---- The same result -------------------------------------------------------------

# compare PROGRAM SIZE LEAST [ARGUMENT...]: with each way. It must make at least LEAST young
# collections, otherwise nothing was tested.
compare()
{
	program=$1 size=$2 least=$3
	shift 3
	if ! run --barrier=none --seed="$seed" --size="$size" "$here/$program.lisp" "$@"; then
		not_ok "$program: the result to compare with"
		return
	fi
	cp "$scratch/out" "$scratch/wanted"
	for way in $ways; do
		for mutators in 1 2; do
			what="$program $way, $mutators mutators"
			# Preclean needs two mutators: one of them runs meanwhile.
			early=
			[ "$mutators" -eq 2 ] && early=--preclean
			run $early --verify --stats "$way" --mutators="$mutators" --seed="$seed" \
				--size="$size" --nursery=32K "$here/$program.lisp" "$@"
			status=$?
			young=$(stat_of young)
			[ "$way" = --barrier=none ] && young=$(stat_of full)
			if [ "$status" -ne 0 ] || ! cmp -s "$scratch/out" "$scratch/wanted"; then
				not_ok "$what: status $status, or another result"
			elif [ "$(stat_of lost)" != 0 ]; then
				not_ok "$what: lost $(stat_of lost)"
			elif [ "$young" -lt "$least" ]; then
				not_ok "$what: $young collections are not $least"
			else
				ok "$what"
			fi
		done
	done
}

compare trees 8 8
compare updates 5 20
compare scatter 4 20
compare sparse 3 50
compare words 1 10 "$scratch/text"

# ---- The controls ------------------------------------------------------------------

for way in $ways; do
	[ "$way" = --barrier=none ] && continue
	run --break=drop --verify --stats "$way" --seed="$seed" --size=6 --nursery=64K \
		"$here/updates.lisp"
	status=$?
	lost=$(stat_of lost)
	if [ "$status" -eq 3 ] && [ "${lost:-0}" -gt 0 ] && grep -q 'is slot' "$scratch/err"; then
		ok "control: $way, $(stat_of dropped) cards forgotten, $lost objects lost and found"
	else
		not_ok "control: $way: status $status, ${lost:-no} objects lost"
	fi
done

# ---- Without barriers in the program ---------------------------------------------------

full=$minigc
minigc=$minigc-plain
if run --verify --seed="$seed" --size=6 --nursery=64K "$here/updates.lisp" &&
	cp "$scratch/out" "$scratch/wanted" &&
	"$full" --barrier=oracle --seed="$seed" --size=6 "$here/updates.lisp" |
	cmp -s - "$scratch/wanted"; then
	ok 'minigc-plain'
else
	not_ok 'minigc-plain'
fi
run --barrier=cards "$scratch/tiny.lisp"
if [ $? -eq 2 ] && grep -q 'without barriers' "$scratch/err"; then
	ok 'minigc-plain has no card table'
else
	not_ok 'minigc-plain has no card table'
fi
minigc=$full

# ---- The language, and what goes wrong ---------------------------------------------------

# says WHAT TEXT: the program on standard input prints that.
says()
{
	cat >"$scratch/program.lisp"
	if run "$scratch/program.lisp" && [ "$(cat "$scratch/out")" = "$2" ]; then
		ok "$1"
	else
		not_ok "$1: not \"$2\""
	fi
}

# fails WHAT STATUS TEXT [OPTION...]: the program ends with that status and that message.
fails()
{
	what=$1 status=$2 text=$3
	shift 3
	cat >"$scratch/program.lisp"
	run "$@" "$scratch/program.lisp"
	if [ $? -eq "$status" ] && grep -qF -e "$text" "$scratch/err" &&
		[ "$(wc -l <"$scratch/err")" -eq 1 ]; then
		ok "$what"
	else
		not_ok "$what: not \"$text\""
	fi
}

says 'reading and printing' '(a (1 -2) . x)a"b#t()#(1 2)' <<'END'
; a comment
(display '(a (1 -2) . x))
(display "a\"b" #t '() (vector 1 2))
END
says 'scope, set! and let' '12 6 (3 . 1) 7' <<'END'
(define (counter n) (lambda () (set! n (+ n 1)) n))
(define c (counter 10))
(c)
(display (c) " " (let* ((a 2) (b (+ a 1))) (* a b)) " ")
(define x 1)
(display (let ((x 3) (y x)) (cons x y)) " ")
(display (cond ((= x 2) 1) ((and #t (or #f (= x 1))) 7) (else 9)))
END
says 'tail calls take no stack' 'done' <<'END'
(define (loop n) (if (= n 0) 'done (loop (- n 1))))
(display (loop 100000))
END
says 'tables' '200 49 none' <<'END'
(define t (make-table))
(let loop ((i 0)) (if (< i 200) (begin (table-set! t i (* i i)) (loop (+ i 1)))))
(collect)
(table-set! t (string-append "a" "b") 'none)
(table-set! t "ab" 'none)
(display (- (table-count t) 1) " " (table-ref t 7 #f) " " (table-ref t "ab" #f))
END
fails 'deep recursion' 1 'recursion too deep' <<'END'
(define (f n) (+ 1 (f n)))
(f 1)
END
awk 'BEGIN { while (n++ < 100000) printf "(" }' >"$scratch/nested"
fails 'deep nesting' 1 'recursion too deep' <"$scratch/nested"
fails 'no memory for a list' 1 'out of memory' --heap-limit=4M --nursery=512K <<'END'
(define (f list) (f (cons 1 list)))
(f '())
END
fails 'no memory for a vector' 1 'out of memory' --heap-limit=4M --nursery=512K <<'END'
(make-vector 100000000)
END
fails 'not a pair' 1 'car: a pair is wanted' <<'END'
(car 1)
END
fails 'an index' 1 '2 is not from 0 to 1' <<'END'
(vector-ref (vector 1 2) 2)
END
fails 'a form' 1 'malformed let' <<'END'
(let ((a)) a)
END
fails 'no value' 1 'nosuch has no value' <<'END'
(nosuch)
END
fails 'overflow' 1 'too large' <<'END'
(+ 4611686018427387903 1)
END
fails 'no end' 1 'program.lisp:2: a list without end' <<'END'
1
(cons 1
END
fails 'an option' 2 'no such barrier' --barrier=nosuch <<'END'
1
END
fails 'breaking without looking' 2 '--break needs --verify' --break=drop <<'END'
1
END

# ---- The comparison ----------------------------------------------------------------------

"$here/compare.sh" --build="${CARDMARK_BUILDDIR:-.}" --blocks=1 --seed="$seed" trees:4 \
	>"$scratch/out" 2>"$scratch/err"
if [ $? -eq 0 ] && [ "$(grep -c '^| .* | 1\.00 \[' "$scratch/out")" -ge 1 ] &&
	[ "$(grep -c '^| ' "$scratch/out")" -eq 9 ]; then
	ok 'compare.sh'
else
	not_ok 'compare.sh'
fi

echo "1..$n"
[ "$failures" -eq 0 ]
