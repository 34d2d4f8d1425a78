/* SPDX-License-Identifier: MIT
 * Which barriers, and which points of which axes. */
#include <math.h>

#include "tools/bench/barriers.h"

const char *const barriers_axis_names[AXES] = { [AXIS_PROGRAM] = "program",
						[AXIS_HEAP] = "heap",
						[AXIS_NURSERY] = "nursery",
						[AXIS_OBJECT] = "object",
						[AXIS_MAP] = "map" };

#define MIB UINT64_C(1048576)

/* The bytes that a store and a turn of churn in stores.lisp allocate, and the bytes of an object
 * besides its words. The test of this bench compares them with the results. */
enum { STORE_BYTES = 184, CHURN_BYTES = 88, OBJECT_BYTES = 8, PAGE = 4096 };

enum { BASE_WORDS = 32 };
static const uint64_t base_nursery = 4 * MIB, roomy_heap = 1024 * MIB;
static const double base_written = 10;

static const struct preset {
	uint64_t allocate_mib; /* by each run of stores.lisp, after its old objects */
	double live_mb;
	uint64_t trees, updates, sparse, scatter; /* sizes */
} presets[] = { [PRESET_QUICK] = { 48, 16, 13, 9, 14, 15 },
		[PRESET_STANDARD] = { 192, 48, 15, 11, 17, 17 },
		[PRESET_FULL] = { 384, 64, 16, 12, 18, 18 } };

/* Along the axes; 0 ends. */
static const double axis_heaps[PRESETS][6] = { { 1.25, 2, 6 },
					       { 1.25, 1.5, 2, 3, 6 },
					       { 1.25, 1.5, 2, 3, 6 } };
static const double axis_nurseries[PRESETS][5] = { { 1, 4, 16 },
						   { 1, 4, 16, 64 },
						   { 1, 4, 16, 64 } };
static const double axis_words[PRESETS][9] = { { 2, 32, 512, 8192 },
					       { 2, 8, 32, 128, 512, 8192, 131072 },
					       { 2, 4, 8, 32, 128, 512, 8192, 131072 } };
static const double axis_written[PRESETS][5] = { { 0.1, 10, 100 },
						 { 0.1, 1, 10, 100 },
						 { 0.1, 1, 10, 100 } };
static const double axis_lives[PRESETS][5] = { { 4, 16 }, { 4, 16, 48 }, { 4, 16, 64, 256 } };

/* ---- Rows ----------------------------------------------------------------------------- */

static void add_row(struct barriers *b, const char *label, const char *barrier, const char *backend,
		    enum barriers_role role)
{
	struct barriers_row *r = &b->rows[b->n_rows];

	if (b->n_rows == BARRIERS_ROWS)
		return;
	b->n_rows++;
	snprintf(r->label, sizeof r->label, "%s", label);
	snprintf(r->barrier, sizeof r->barrier, "%s", barrier);
	snprintf(r->backend, sizeof r->backend, "%s", backend);
	r->role = role;
}

static void add_backend(struct barriers *b, enum cardmark_backend backend)
{
	const char *name = cardmark_backend_name(backend);

	for (unsigned i = 0; i < b->n_rows; i++)
		if (strcmp(b->rows[i].label, name) == 0)
			return;
	add_row(b, name, "cardmark", name, BARRIERS_OURS);
}

int barriers_plan_rows(struct barriers *b, const struct bench_options *opt)
{
	enum cardmark_backend usable[MAX_BACKENDS];
	unsigned n = opt->n_backends == 0 ? bench_usable_backends(usable) : 0;

	add_row(b, "cards", "cards", "", BARRIERS_REFERENCE);
	add_row(b, "cards (A/A)", "cards", "", BARRIERS_CONTROL);
	for (size_t i = 0; i < opt->n_backends; i++) {
		int status = bench_find_backend(opt->backends[i], &usable[0]);

		if (status >= 0)
			return status;
		add_backend(b, usable[0]);
	}
	for (unsigned i = 0; i < n; i++)
		add_backend(b, usable[i]);
	add_row(b, "oracle", "oracle", "", BARRIERS_OTHER);
	add_row(b, "dirty", "dirty", "", BARRIERS_OTHER);
	add_row(b, "none", "none", "", BARRIERS_OTHER);
	return -1;
}

/* ---- Points --------------------------------------------------------------------------- */

static bool same(const struct barriers_point *p, const struct barriers_point *q)
{
	return strcmp(p->program, q->program) == 0 && p->size == q->size && p->words == q->words &&
	       p->objects == q->objects && p->churn == q->churn && p->heap_limit == q->heap_limit &&
	       p->nursery == q->nursery;
}

static void add(struct barriers *b, enum barriers_axis axis, double x, double y,
		const struct barriers_point *p)
{
	struct barriers_sweep *s = &b->sweeps[axis];
	unsigned i = 0;

	while (i < b->n_points && !same(&b->points[i], p))
		i++;
	if (i == BARRIERS_POINTS || s->count == BARRIERS_STOPS)
		return;
	if (i == b->n_points)
		b->points[b->n_points++] = *p;
	s->at[s->count].x = x;
	s->at[s->count].y = y;
	s->at[s->count++].point = i;
}

static double total_bytes(const struct barriers *b)
{
	return (double)(presets[b->preset].allocate_mib * MIB) * (double)b->work / 100;
}

/* The number of stores that allocate as much as the preset asks for. */
static void set_size(const struct barriers *b, struct barriers_point *p)
{
	p->size = (uint64_t)total_bytes(b) / (STORE_BYTES + CHURN_BYTES * p->churn);
	if (p->size < 8)
		p->size = 8;
}

/* written: stores while the base nursery is allocated, per cent of the old objects' pages.
 * False: the program cannot store so often. */
static bool stores(const struct barriers *b, uint64_t words, double live_mb, double written,
		   struct barriers_point *p)
{
	double bytes = live_mb * (double)MIB, object = (double)words * 8 + OBJECT_BYTES;
	double count = bytes / PAGE * written / 100;
	double each = count > 0 ? (double)base_nursery / count : 0;
	double churn = (each - STORE_BYTES) / CHURN_BYTES;

	memset(p, 0, sizeof *p);
	snprintf(p->program, sizeof p->program, "stores");
	p->words = words;
	p->objects = (uint64_t)fmax(4, bytes / object);
	/* Not fewer than a few stores in all, however little work was asked for. */
	churn = fmin(churn, total_bytes(b) / 8 / CHURN_BYTES);
	p->churn = churn > 0 ? (uint64_t)(churn + 0.5) : 0;
	p->written = 100 * PAGE / bytes * (double)base_nursery /
		     (STORE_BYTES + CHURN_BYTES * (double)p->churn);
	p->heap_limit = roomy_heap;
	p->nursery = base_nursery;
	set_size(b, p);
	return churn > -0.5;
}

static bool classic(const struct barriers *b, const char *name, struct barriers_point *p)
{
	const struct preset *o = &presets[b->preset];
	const struct {
		const char *name;
		uint64_t size;
	} all[] = { { "trees", o->trees },
		    { "updates", o->updates },
		    { "sparse", o->sparse },
		    { "scatter", o->scatter } };

	memset(p, 0, sizeof *p);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(name, all[i].name) == 0) {
			double less = b->work < 100 ? log2((double)b->work / 100) : 0;

			snprintf(p->program, sizeof p->program, "%s", name);
			p->size = (uint64_t)fmax(3, (double)all[i].size + ceil(less));
			p->heap_limit = roomy_heap;
			p->nursery = base_nursery;
			return true;
		}
	return false;
}

static bool base_of(const struct barriers *b, struct barriers_point *p)
{
	if (strcmp(b->sweep_program, "stores") == 0)
		return stores(b, BASE_WORDS, b->live_mb, base_written, p);
	return classic(b, b->sweep_program, p);
}

static void plan_map(struct barriers *b)
{
	struct barriers_point p;

	for (const double *l = axis_lives[b->preset]; *l > 0; l++)
		for (const double *w = axis_written[b->preset]; *w > 0; w++) {
			/* As asked by --live-mb, all of them. */
			double live = *l * b->live_mb / presets[b->preset].live_mb;

			if (stores(b, BASE_WORDS, live, *w, &p))
				add(b, AXIS_MAP, *w, live, &p);
		}
}

bool barriers_plan_points(struct barriers *b)
{
	static const char *const classics[] = { "trees", "updates", "sparse", "scatter" };
	struct barriers_point base, p;
	bool all = b->sole[0] == '\0';

	b->n_points = 0;
	memset(b->sweeps, 0, sizeof b->sweeps);
	if (!(b->live_mb > 0))
		b->live_mb = presets[b->preset].live_mb;
	snprintf(b->sweep_program, sizeof b->sweep_program, "%s", all ? "stores" : b->sole);
	if (!base_of(b, &base)) {
		(void)tool_usage_error("bench barriers",
				       "there is no program \"%s\": stores, trees, updates, sparse "
				       "or scatter",
				       b->sole);
		return false;
	}
	add(b, AXIS_PROGRAM, 0, 0, &base);
	for (size_t i = 0; all && i < sizeof classics / sizeof *classics; i++)
		if (classic(b, classics[i], &p))
			add(b, AXIS_PROGRAM, 0, 0, &p);
	for (const double *n = axis_nurseries[b->preset]; *n > 0; n++) {
		p = base;
		p.nursery = (uint64_t)*n * MIB;
		p.written = base.written * *n * (double)MIB / (double)base_nursery;
		add(b, AXIS_NURSERY, *n, 0, &p);
	}
	if (base.words > 0) {
		for (const double *w = axis_words[b->preset]; *w > 0; w++)
			if (stores(b, (uint64_t)*w, b->live_mb, base_written, &p))
				add(b, AXIS_OBJECT, *w, 0, &p);
		plan_map(b);
	}
	barriers_plan_heap(b);
	return true;
}

void barriers_plan_heap(struct barriers *b)
{
	struct barriers_point p;

	for (const double *h = axis_heaps[b->preset]; b->least_heap > 0 && *h > 0 && base_of(b, &p);
	     h++) {
		p.heap_limit = (uint64_t)((double)b->least_heap * *h);
		add(b, AXIS_HEAP, *h, 0, &p);
	}
}

void barriers_plan_work(struct barriers *b)
{
	(void)barriers_plan_points(b);
}

unsigned barriers_base(const struct barriers *b)
{
	return b->sweeps[AXIS_PROGRAM].count > 0 ? b->sweeps[AXIS_PROGRAM].at[0].point : 0;
}
