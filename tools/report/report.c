/* SPDX-License-Identifier: MIT
 * cardmark report: results of cardmark bench as one page, or as a summary. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/report/report.h"

enum { MANY_FILES = 16 };

struct asked {
	const char *files[MANY_FILES];
	size_t n_files;
	const char *out, *micro, *barriers;
	bool markdown;
};

static void help(void)
{
	printf("Usage: cardmark report [OPTION]... [FILE]...\n"
	       "Makes a page from results files of 'cardmark bench' (" BENCH_FILE "): one HTML\n"
	       "file without scripts, which needs no other file.\n\n"
	       "  -o FILE         where to write (report.html; - is standard output)\n"
	       "  --markdown      a summary in Markdown instead (to standard output)\n"
	       "  --micro=FILE    results of Google Benchmark in its JSON format too\n"
	       "  --barriers=FILE results of 'cardmark bench barriers' too\n"
	       "  -h, --help      this text\n"
	       "  -V, --version   the version\n");
}

/* -1 to go on, or the exit status. */
static int parse(int argc, char **argv, struct asked *asked)
{
	const struct tool_option known[] = {
		{ .name = "output", .letter = 'o', .value = &asked->out },
		{ .name = "markdown", .flag = &asked->markdown },
		{ .name = "micro", .value = &asked->micro },
		{ .name = "barriers", .value = &asked->barriers },
	};
	int status = tool_read_options("report", argc, argv, known, sizeof known / sizeof *known,
				       false, help);

	if (status >= 0)
		return status;
	for (; optind < argc; optind++) {
		if (asked->n_files == MANY_FILES)
			return tool_usage_error("report", "more than %d files are named",
						MANY_FILES);
		asked->files[asked->n_files++] = argv[optind];
	}
	/* The other kinds of results need no file of the programs. */
	if (asked->n_files == 0 &&
	    ((asked->micro == NULL && asked->barriers == NULL) || access(BENCH_FILE, F_OK) == 0))
		asked->files[asked->n_files++] = BENCH_FILE;
	if (asked->markdown && asked->micro != NULL)
		return tool_usage_error("report", "--micro is for the page, not for --markdown");
	return -1;
}

/* Fills in *page. */
static bool load_all(const struct asked *asked, struct report_page *page)
{
	/* One entry more: the pauses of the write barriers are shown as a file, too. */
	page->files = calloc(asked->n_files + 1, sizeof *page->files);
	page->barriers = asked->barriers != NULL ? calloc(1, sizeof *page->barriers) : NULL;
	page->barriers_file = asked->barriers;
	if (page->files == NULL)
		return false;
	for (; page->n_files < asked->n_files; page->n_files++) {
		struct report *r = &page->files[page->n_files];

		r->file = asked->files[page->n_files];
		r->index = (unsigned)page->n_files;
		r->plan = calloc(1, sizeof *r->plan);
		if (r->plan == NULL || !bench_load("report", r->file, r->plan, &r->env))
			return false;
	}
	if (asked->barriers != NULL) {
		struct report *pauses = &page->files[page->n_files];

		pauses->index = (unsigned)page->n_files;
		if (page->barriers == NULL || !barriers_load(asked->barriers, page->barriers) ||
		    !barriers_as_file(page->barriers, pauses))
			return false;
	}
	if (asked->micro != NULL)
		page->micro = model_micro(asked->micro);
	return asked->micro == NULL || page->micro != NULL;
}

static void free_all(struct report_page *page)
{
	/* Includes the file that could not be loaded, or the additional one. */
	for (size_t i = 0; page->files != NULL && i <= page->n_files; i++)
		if (page->files[i].plan != NULL)
			bench_free_plan(page->files[i].plan);
	free(page->files);
	if (page->barriers != NULL)
		barriers_free(page->barriers);
	free(page->barriers);
	json_decref(page->micro);
}

static json_t *page_json(const struct report_page *page)
{
	json_t *root = json_pack("{s:s, s:[], s:b}", "made_by", cardmark_version(), "files",
				 "several_files", page->n_files > 1);

	for (size_t i = 0; i < page->n_files; i++)
		json_array_append_new(json_object_get(root, "files"), model_file(&page->files[i]));
	json_object_set_new(root, "barriers",
			    page->barriers == NULL
				    ? json_null()
				    : model_barriers(page->barriers, page->barriers_file,
						     &page->files[page->n_files]));
	json_object_set(root, "micro", page->micro != NULL ? page->micro : json_null());
	return root;
}

static int write_page(const struct asked *asked, struct report_page *page)
{
	const char *name = asked->out != NULL ? asked->out : asked->markdown ? "-" : "report.html";
	bool piped = strcmp(name, "-") == 0, written = true;
	struct template t = { .draw = charts_draw, .data = page, .markdown = asked->markdown };
	json_t *model;

	t.f = piped ? stdout : fopen(name, "we");
	if (t.f == NULL) {
		tool_message("report", "cannot write %s: %s", name, strerror(errno));
		return TOOL_CANNOT;
	}
	for (size_t i = 0; i <= page->n_files; i++)
		page->files[i].f = t.f;
	model = page_json(page);
	template_write(&t, asked->markdown ? "summary.md" : "page.html", model);
	json_decref(model);
	if (!piped) {
		written = ferror(t.f) == 0;
		written = fclose(t.f) == 0 && written;
	}
	if (!written) {
		tool_message("report", "cannot write %s: %s", name, strerror(errno));
		return TOOL_CANNOT;
	}
	if (!piped)
		printf("%s\n", name);
	return TOOL_OK;
}

int tool_report(int argc, char **argv)
{
	struct asked asked = { .n_files = 0 };
	struct report_page page = { .n_files = 0 };
	int status = parse(argc, argv, &asked);

	if (status < 0)
		status = load_all(&asked, &page) ? write_page(&asked, &page) : TOOL_CANNOT;
	free_all(&page);
	return status;
}
