/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/html.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/embed.h"
#include "results/noise.h"
#include "results/summary.h"

#define PATH_BYTES 4400
#define FILE_BYTES_MAX (16u << 20)

struct page {
	FILE *out;
	const char *folder;
	struct reader *reader;
	const struct summary *summary;
	struct run_info info;
};

/* Whatever comes from a file is text, never markup. */
static void put_text(FILE *out, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes && text[i]; i++) {
		switch (text[i]) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(text[i], out);
		}
	}
}

static void put(FILE *out, const char *text)
{
	put_text(out, text, strlen(text));
}

/* NULL: it is not there, or too large to be ours. free() it. */
static char *read_file(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "re");
	struct stat info;
	char *text = NULL;

	if (file && !fstat(fileno(file), &info) && S_ISREG(info.st_mode) && info.st_size < FILE_BYTES_MAX)
		text = calloc(1, (size_t)info.st_size + 1);
	if (text)
		*bytes = fread(text, 1, (size_t)info.st_size, file);
	if (file)
		fclose(file);
	return text;
}

/* ---- parts ---- */

static void put_head(struct page *page)
{
	const struct embedded_file *css = embedded_find("html.css");
	const char *date = run_info_get(&page->info, "date"), *cpu = run_info_get(&page->info, "cpu");

	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Testudo: ",
	        page->out);
	put(page->out, page->folder);
	fprintf(page->out, "</title>\n<style>\n%s</style></head>\n<body>\n<h1>Testudo run</h1>\n<p class=\"lead\">",
	        css ? css->data : "");
	put(page->out, date ? date : "");
	put(page->out, cpu ? " on " : "");
	put(page->out, cpu ? cpu : "");
	fprintf(page->out, ": %zu results", page->summary->count);
	if (!reader_overview(page->reader)->finished) {
		fputs("; not complete: ", page->out);
		put(page->out, reader_overview(page->reader)->end_reason);
	}
	fputs("</p>\n", page->out);
}

/* Four digits: 8139, 304.3k, 146.1M. */
static void put_cost(FILE *out, double value)
{
	if (value >= 1e6)
		fprintf(out, "%.4gM", value / 1e6);
	else if (value >= 1e4)
		fprintf(out, "%.4gk", value / 1e3);
	else
		fprintf(out, "%.4g", value);
}

/* The main figures; summary.csv has them all. */
static void put_row(struct page *page, const struct summary_row *row)
{
	const struct cell *cell = &row->cell->cell;
	const double multiplication = summary_multiplication(row);
	char name[256], *rest;

	cell_name(cell, name, sizeof(name));
	rest = strstr(name, cell->value[CELL_WORKLOAD]);
	rest = rest ? rest + strlen(cell->value[CELL_WORKLOAD]) : name;
	fprintf(page->out, "<tr%s><td>", row->cell->status == CELL_OK ? "" : " class=\"bad\"");
	put(page->out, cell->value[CELL_MACHINE]);
	fputs("</td><td class=\"n\">", page->out);
	put(page->out, cell->value[CELL_LEVEL]);
	fputs("</td><td>", page->out);
	put(page->out, cell->value[CELL_WORKLOAD]);
	fputs("</td><td>", page->out);
	put(page->out, rest);
	if (row->cell->status != CELL_OK || !row->have_cost) {
		fprintf(page->out, "</td><td class=\"why\" colspan=\"5\">%s: ", cell_status_name(row->cell->status));
		put(page->out, row->reason);
		fputs("</td></tr>\n", page->out);
		return;
	}
	fputs("</td><td class=\"n\">", page->out);
	put_cost(page->out, row->stats.op.median);
	fputs("</td><td class=\"n\">", page->out);
	if (row->stats.op.ci_high > row->stats.op.ci_low) {
		put_cost(page->out, row->stats.op.ci_low);
		fputs(" to ", page->out);
		put_cost(page->out, row->stats.op.ci_high);
	} else {
		fputs("exact", page->out);
	}
	fprintf(page->out, "</td><td>%s</td>", row->unit);
	if (row->have_exits)
		fprintf(page->out, "<td class=\"n\">%.4g</td>", summary_per_op(row, row->l2_exits + row->l1_exits));
	else
		fputs("<td class=\"n\">-</td>", page->out);
	if (multiplication >= 0)
		fprintf(page->out, "<td class=\"n\">%.4g&times;</td></tr>\n", multiplication);
	else
		fputs("<td class=\"n\">-</td></tr>\n", page->out);
}

static void put_table(struct page *page)
{
	fputs("<h2>Results</h2>\n<p class=\"lead\">Median cost of an operation, its control loop subtracted, with the "
	      "95 % interval; "
	      "VM exits L0 handled for it; exits per exit of L2.</p>\n<div class=\"scroll\"><table><thead><tr>"
	      "<th>machine</th><th class=\"n\">level</th><th>workload</th><th>settings</th><th class=\"n\">cost</th>"
	      "<th class=\"n\">interval</th><th>unit</th><th class=\"n\">exits</th><th "
	      "class=\"n\">multiplication</th></tr></thead>\n<tbody>\n",
	        page->out);
	for (size_t i = 0; i < page->summary->count; i++)
		put_row(page, &page->summary->rows[i]);
	fputs("</tbody></table></div>\n", page->out);
}

/* gnuplot's picture as it is, from its <svg> on. */
static bool put_picture(struct page *page, const char *path, const char *name)
{
	size_t bytes = 0;
	char *text = read_file(path, &bytes), *svg = text ? strstr(text, "<svg") : NULL;

	if (svg && !strstr(svg, "<script")) {
		fprintf(page->out, "<figure role=\"img\" aria-label=\"");
		put(page->out, name);
		fprintf(page->out, "\">%s<figcaption>", svg);
		put(page->out, name);
		fputs("</figcaption></figure>\n", page->out);
	}
	free(text);
	return svg != NULL;
}

static int is_picture(const struct dirent *entry)
{
	const size_t length = strlen(entry->d_name);

	return length > 4 && !strcmp(entry->d_name + length - 4, ".svg");
}

static int is_folder_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* All pictures of a folder below the run's. */
static size_t put_pictures(struct page *page, const char *below, const char *title)
{
	char path[PATH_BYTES];
	struct dirent **entries = NULL;
	size_t shown = 0;
	int count;

	snprintf(path, sizeof(path), "%.3900s/%.200s", page->folder, below);
	count = scandir(path, &entries, is_picture, versionsort);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%.3800s/%.200s/%s", page->folder, below, entries[i]->d_name);
		if (!shown)
			fprintf(page->out, "<h2>%s</h2>\n", title);
		shown += put_picture(page, path, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return shown;
}

/* A paper's tables, as `testudo reproduce` printed them, and its figures with ours beside them. */
static void put_papers(struct page *page)
{
	char path[PATH_BYTES], below[280];
	struct dirent **entries = NULL;
	int count;

	snprintf(path, sizeof(path), "%.4000s/papers", page->folder);
	count = scandir(path, &entries, is_folder_name, alphasort);
	for (int i = 0; i < count; i++) {
		size_t bytes = 0;
		char *text;

		snprintf(below, sizeof(below), "papers/%s", entries[i]->d_name);
		put_pictures(page, below, "The paper's figures, and ours");
		snprintf(path, sizeof(path), "%.3900s/%s.txt", page->folder, entries[i]->d_name);
		text = read_file(path, &bytes);
		if (text) {
			fputs("<h2>The paper's tables, and ours</h2>\n<pre>", page->out);
			put_text(page->out, text, bytes);
			fputs("</pre>\n", page->out);
		}
		free(text);
		free(entries[i]);
	}
	free(entries);
}

static void put_noise(struct page *page)
{
	struct noise noise;
	char *text = NULL;
	size_t bytes = 0;
	FILE *stream = open_memstream(&text, &bytes);

	if (!stream)
		return;
	if (!noise_compute(&noise, page->summary, page->reader)) {
		noise_print(stream, &noise);
		noise_free(&noise);
	}
	fclose(stream);
	fputs("<h2>Noise</h2>\n", page->out);
	if (bytes) {
		fputs("<pre>", page->out);
		put_text(page->out, text, bytes);
		fputs("</pre>\n", page->out);
	} else {
		fputs("<p>Every result is exact: it counts instructions or exits, and repeats to the bit.</p>\n",
		        page->out);
	}
	free(text);
}

static void put_host(struct page *page)
{
	fputs("<h2>What ran, and on what</h2>\n<dl>\n", page->out);
	for (uint32_t i = 0; i < page->info.pair_count; i++) {
		fputs("<dt>", page->out);
		put(page->out, page->info.pairs[i].key);
		fputs("</dt><dd>", page->out);
		put(page->out, page->info.pairs[i].value);
		fputs("</dd>\n", page->out);
	}
	fputs("</dl>\n", page->out);
}

static void put_links(struct page *page)
{
	static const char *const files[] = {"run.tdo", "summary.csv", "plots/", "papers/", "lab/report.html"};

	fputs("<h2>Files</h2>\n<p>", page->out);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[PATH_BYTES];

		snprintf(path, sizeof(path), "%.4000s/%s", page->folder, files[i]);
		if (!access(path, F_OK))
			fprintf(page->out, "<a href=\"%s\">%s</a> ", files[i], files[i]);
	}
	fputs("</p>\n<p class=\"lead\">Made by <code>testudo report</code> from run.tdo; results/FORMAT.md says how to "
	      "read that "
	      "with any msgpack library.</p>\n</body></html>\n",
	        page->out);
}

static int put_page(struct page *page, const char *path, char *why, size_t why_bytes)
{
	int status;

	page->out = fopen(path, "we");
	if (!page->out) {
		status = -errno;
		snprintf(why, why_bytes, "%.150s cannot be written: %s", path, strerror(errno));
		return status;
	}
	put_head(page);
	put_papers(page);
	put_pictures(page, "plots", "Plots");
	put_table(page);
	put_noise(page);
	put_host(page);
	put_links(page);
	status = ferror(page->out) ? -EIO : 0;
	if (fclose(page->out) && !status)
		status = -errno;
	if (status)
		snprintf(why, why_bytes, "%.150s cannot be written: %s", path, strerror(-status));
	return status;
}

int html_page(const char *folder, struct reader *reader, const struct summary *summary, char *why, size_t why_bytes)
{
	struct page *page = calloc(1, sizeof(*page));
	char path[PATH_BYTES];
	int status;

	if (!page) {
		snprintf(why, why_bytes, "out of memory");
		return -ENOMEM;
	}
	page->folder = folder;
	page->reader = reader;
	page->summary = summary;
	reader_run_info(reader, 0, &page->info);
	snprintf(path, sizeof(path), "%.4000s/report.html", folder);
	status = put_page(page, path, why, why_bytes);
	free(page);
	return status;
}

int html_write(const char *folder, char *why, size_t why_bytes)
{
	struct summary summary = {0};
	struct reader *reader;
	char path[PATH_BYTES];
	int status;

	snprintf(path, sizeof(path), "%.4000s/run.tdo", folder);
	status = reader_open(&reader, path, why, why_bytes);
	if (status)
		return status;
	status = summary_compute(&summary, reader);
	if (status)
		snprintf(why, why_bytes, "%.150s cannot be summarised: %s", path, strerror(-status));
	else
		status = html_page(folder, reader, &summary, why, why_bytes);
	summary_free(&summary);
	reader_close(reader);
	return status;
}
