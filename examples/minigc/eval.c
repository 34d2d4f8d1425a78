/* SPDX-License-Identifier: MIT
 * Evaluation. Two places of the stack hold the expression and the frame at work; a tail
 * call replaces them and goes round again. Above them come the function and arguments. */
#include "examples/minigc/lisp.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/heap.h"

enum { EXPR, ENV, WORK }; /* from the base of an evaluation */

static value car(value v)
{
	return object_of(v)->slot[CAR];
}

static value cdr(value v)
{
	return object_of(v)->slot[CDR];
}

static _Noreturn void malformed(value x)
{
	lisp_error("malformed %s", symbol_name(car(x)));
}

/* The rest of the form x after its first n elements. It has at least n. */
static value after(value x, unsigned n)
{
	value rest = x;

	for (; n > 0; n--) {
		if (!is_a(rest, PAIR))
			malformed(x);
		rest = cdr(rest);
	}
	return rest;
}

static value element(value x, unsigned n)
{
	value rest = after(x, n);

	if (!is_a(rest, PAIR))
		malformed(x);
	return car(rest);
}

/* ---- Variables ---------------------------------------------------------------------- */

/* The names of a frame are a lambda's parameters, or the ((name init) ...) of a let: so
 * entering a let makes no list. There may be more names than values. */
static struct object *find(value name, value env, size_t *slot)
{
	for (; env != NIL; env = object_of(env)->slot[FRAME_PARENT]) {
		struct object *frame = object_of(env);
		value names = frame->slot[FRAME_NAMES];

		for (*slot = FRAME_VALUES; *slot < frame->length; ++*slot, names = cdr(names))
			if (car(names) == name ||
			    (is_a(car(names), PAIR) && car(car(names)) == name))
				return frame;
	}
	return NULL;
}

static value variable(value name, value env)
{
	size_t slot;
	struct object *frame = find(name, env, &slot);
	value v = frame != NULL ? frame->slot[slot] : global_get(name);

	if (v == 0)
		lisp_error("%s has no value", symbol_name(name));
	return v;
}

static void assign(struct mutator *m, value name, value env, value v)
{
	size_t slot;
	struct object *frame = find(name, env, &slot);

	if (frame != NULL)
		store(m, frame, slot, v);
	else if (global_get(name) == 0)
		lisp_error("set!: %s has no value yet", symbol_name(name));
	else
		global_set(name, v);
}

/* ---- Functions ---------------------------------------------------------------------- */

static value closure(struct mutator *m, value params, value body, value env)
{
	struct object *o = allocate(m, CLOSURE, 3);

	o->slot[CLOSURE_PARAMS] = params;
	o->slot[CLOSURE_BODY] = body;
	o->slot[CLOSURE_ENV] = env;
	return from_object(o);
}

/* A frame for the top n places of the stack, which stay there. */
static value frame(struct mutator *m, value parent, value names, size_t n)
{
	struct object *o = allocate(m, FRAME, FRAME_VALUES + n);

	o->slot[FRAME_PARENT] = parent;
	o->slot[FRAME_NAMES] = names;
	for (size_t i = 0; i < n; i++)
		o->slot[FRAME_VALUES + i] = m->stack[m->top - n + i];
	return from_object(o);
}

/* Evaluates all of a body but the last expression, which comes next. */
static bool body(struct mutator *m, size_t base, value list)
{
	m->stack[base + EXPR] = list;
	if (!is_a(list, PAIR))
		lisp_error("a body without an expression");
	for (; is_a(cdr(list), PAIR); list = cdr(list))
		(void)eval(m, car(list), m->stack[base + ENV]);
	m->stack[base + EXPR] = car(list);
	return false;
}

static size_t length(value list)
{
	size_t n = 0;

	for (; is_a(list, PAIR); list = cdr(list))
		n++;
	return n;
}

/* Calls the function below the top n places. */
static bool apply(struct mutator *m, size_t base, size_t n, value *result)
{
	const value *args = m->stack + m->top - n;
	value f = args[-1];

	if (is_builtin(f)) {
		const struct builtin *b = builtin_of(f);

		if (n < b->least || n > b->most)
			lisp_error("%s: it does not take %zu arguments", b->name, n);
		*result = b->run(m, args, (unsigned)n);
		return true;
	}
	if (!is_a(f, CLOSURE))
		lisp_error("what is called is not a function");
	if (length(object_of(f)->slot[CLOSURE_PARAMS]) != n)
		lisp_error("a function of %zu parameters was given %zu arguments",
			   length(object_of(f)->slot[CLOSURE_PARAMS]), n);
	m->stack[base + ENV] =
		frame(m, object_of(f)->slot[CLOSURE_ENV], object_of(f)->slot[CLOSURE_PARAMS], n);
	return body(m, base, object_of(f)->slot[CLOSURE_BODY]);
}

static bool application(struct mutator *m, size_t base, value *result)
{
	size_t n = 0;

	for (value x = m->stack[base + EXPR]; is_a(x, PAIR); x = cdr(x), n++)
		push(m, eval(m, car(x), m->stack[base + ENV]));
	return apply(m, base, n - 1, result);
}

/* ---- Special forms ------------------------------------------------------------------- */

static void define(struct mutator *m, value x, value env)
{
	value name = element(x, 1);

	/* A frame does not grow. */
	if (env != NIL)
		lisp_error("define: not inside of a function; let and set! are");
	if (is_a(name, PAIR) && is_symbol(car(name)))
		global_set(car(name), closure(m, cdr(name), after(x, 2), NIL));
	else if (is_symbol(name))
		global_set(name, eval(m, element(x, 2), env));
	else
		malformed(x);
}

static bool if_else(struct mutator *m, size_t base, value x, value env, value *result)
{
	value next = after(x, eval(m, element(x, 1), env) != FALSE ? 2 : 3);

	*result = NOTHING;
	if (!is_a(next, PAIR))
		return true;
	m->stack[base + EXPR] = car(next);
	return false;
}

static bool cond(struct mutator *m, size_t base, value x, value env, value *result)
{
	for (value clauses = cdr(x); is_a(clauses, PAIR); clauses = cdr(clauses)) {
		value clause = car(clauses);

		if (!is_a(clause, PAIR))
			malformed(x);
		if (car(clause) == from_symbol(SYM_ELSE) || eval(m, car(clause), env) != FALSE)
			return body(m, base, cdr(clause));
	}
	*result = NOTHING;
	return true;
}

/* and, or: the value that stops them, or the last one's, in tail position. */
static bool and_or(struct mutator *m, size_t base, value x, value env, bool is_and, value *result)
{
	value rest = cdr(x);

	*result = from_bool(is_and);
	if (!is_a(rest, PAIR))
		return true;
	for (; is_a(cdr(rest), PAIR); rest = cdr(rest)) {
		*result = eval(m, car(rest), env);
		if ((*result == FALSE) == is_and)
			return true;
	}
	m->stack[base + EXPR] = car(rest);
	return false;
}

/* Evaluates the inits of a let onto the stack. let*: each in a frame of the ones before. */
static size_t bind(struct mutator *m, size_t base, value x, value bindings, bool in_turn)
{
	size_t n = 0;

	for (; is_a(bindings, PAIR); bindings = cdr(bindings), n++) {
		value b = car(bindings);

		if (!is_a(b, PAIR) || !is_symbol(car(b)) || !is_a(cdr(b), PAIR))
			malformed(x);
		push(m, eval(m, car(cdr(b)), m->stack[base + ENV]));
		if (in_turn)
			m->stack[base + ENV] = frame(m, m->stack[base + ENV], bindings, 1);
	}
	return n;
}

static bool let(struct mutator *m, size_t base, value x)
{
	value second = element(x, 1);
	size_t n;

	if (!is_symbol(second)) {
		n = bind(m, base, x, second, false);
		m->stack[base + ENV] = frame(m, m->stack[base + ENV], second, n);
		return body(m, base, after(x, 2));
	}
	/* A named let: its function has a frame of its own in between. The rest of the form is
	 * a list that starts with its name. */
	n = bind(m, base, x, element(x, 2), false);
	push(m, NIL);
	m->stack[base + ENV] = frame(m, m->stack[base + ENV], cdr(x), 1);
	m->top--;
	store(m, object_of(m->stack[base + ENV]), FRAME_VALUES,
	      closure(m, element(x, 2), after(x, 3), m->stack[base + ENV]));
	m->stack[base + ENV] = frame(m, m->stack[base + ENV], element(x, 2), n);
	return body(m, base, after(x, 3));
}

static bool special(struct mutator *m, size_t base, value x, value env, value *result)
{
	*result = NOTHING;
	switch (index_of(car(x))) {
	case SYM_QUOTE:
		*result = element(x, 1);
		return true;
	case SYM_IF:
		return if_else(m, base, x, env, result);
	case SYM_DEFINE:
		define(m, x, env);
		return true;
	case SYM_SET:
		if (!is_symbol(element(x, 1)))
			malformed(x);
		assign(m, element(x, 1), env, eval(m, element(x, 2), env));
		return true;
	case SYM_LAMBDA:
		*result = closure(m, element(x, 1), after(x, 2), env);
		return true;
	case SYM_LET:
		return let(m, base, x);
	case SYM_LET_STAR:
		(void)bind(m, base, x, element(x, 1), true);
		return body(m, base, after(x, 2));
	case SYM_BEGIN:
		return body(m, base, cdr(x));
	case SYM_COND:
		return cond(m, base, x, env, result);
	case SYM_AND:
	case SYM_OR:
		return and_or(m, base, x, env, index_of(car(x)) == SYM_AND, result);
	default:
		malformed(x);
	}
}

/* ---- Evaluation ---------------------------------------------------------------------- */

/* True: *result is the value. False: another expression is in place. */
static bool step(struct mutator *m, size_t base, value *result)
{
	value x = m->stack[base + EXPR], env = m->stack[base + ENV];

	m->top = base + WORK;
	poll_world();
	if (is_symbol(x)) {
		*result = variable(x, env);
		return true;
	}
	if (!is_a(x, PAIR)) {
		*result = x;
		return true;
	}
	if (is_symbol(car(x)) && index_of(car(x)) < SPECIALS)
		return special(m, base, x, env, result);
	return application(m, base, result);
}

value eval(struct mutator *m, value x, value env)
{
	size_t base = m->top;
	value result = NOTHING;

	deeper(m);
	push(m, x);
	push(m, env);
	while (!step(m, base, &result))
		;
	m->top = base;
	m->depth--;
	return result;
}

value call(struct mutator *m, value function, value argument)
{
	size_t base = m->top;
	value result;

	push(m, NIL);
	push(m, NIL);
	push(m, function);
	push(m, argument);
	if (!apply(m, base, 1, &result))
		while (!step(m, base, &result))
			;
	m->top = base;
	return result;
}
