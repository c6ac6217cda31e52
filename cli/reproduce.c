/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo reproduce`: a paper's cells run, its tables and figures printed and drawn with ours beside them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/embed.h"
#include "cli/folder.h"
#include "cli/gnuplot.h"
#include "cli/host.h"
#include "cli/html.h"
#include "lab/lab.h"
#include "papers/output.h"

#define FIGURES "/figures.ini"
#define PREFIX "papers/"
#define SOURCES_MAX 4

struct reproduce_options {
	const char *paper;
	const char *folder;
	bool from; /* the folder holds the run already */
	bool quick, no_lab, list, quiet;
	char id[32];
	char lab[4300];       /* folder of the lab's run */
	char no_lab_why[300]; /* the lab was not run, and why */
};

/* What the tables are made of. */
struct reproduction {
	struct paper *paper;
	struct paper_run run, lab;
	struct costs costs;
	struct paper_source sources[SOURCES_MAX];
	size_t source_count;
};

static const char *find_text(const char *path)
{
	const struct embedded_file *file;
	char name[160];

	snprintf(name, sizeof(name), PREFIX "%s", path);
	file = embedded_find(name);
	return file ? file->data : NULL;
}

static int parse_options(struct reproduce_options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
	        {"from", required_argument, NULL, 'f'}, {"quick", no_argument, NULL, 'k'},
	        {"no-lab", no_argument, NULL, 'b'}, {"list", no_argument, NULL, 'l'}, {"quiet", no_argument, NULL, 'q'},
	        {0}};
	int option;

	while ((option = getopt_long(argc, argv, ":o:f:lq", longs, NULL)) != -1) {
		switch (option) {
		case 'f':
			options->from = true;
			options->folder = optarg;
			break;
		case 'o':
			options->folder = optarg;
			break;
		case 'k':
			options->quick = true;
			break;
		case 'b':
			options->no_lab = true;
			break;
		case 'l':
			options->list = true;
			break;
		case 'q':
			options->quiet = true;
			break;
		default:
			return command_bad_option("reproduce", option, argv);
		}
	}
	if (argc - optind > 1)
		return command_usage("reproduce", "one paper at a time, not also \"%s\"", argv[optind + 1]);
	if (options->from && (options->quick || options->no_lab))
		return command_usage("reproduce", "--from takes the run as it is: give neither --quick nor --no-lab");
	options->paper = optind < argc ? argv[optind] : NULL;
	return COMMAND_OK;
}

/* ---- which paper ---- */

/* "turtles" and "turtles-osdi10" name papers/turtles-osdi10/figures.ini. */
static bool find_paper(struct reproduce_options *options)
{
	const size_t length = strlen(options->paper);

	for (size_t i = 0; embedded_at(i); i++) {
		const char *name = embedded_at(i)->name, *id = name + strlen(PREFIX), *end = strrchr(name, '/');

		if (strncmp(name, PREFIX, strlen(PREFIX)) || strcmp(end, FIGURES))
			continue;
		if (strncmp(id, options->paper, length) || (id[length] != '/' && id[length] != '-'))
			continue;
		snprintf(options->id, sizeof(options->id), "%.*s", (int)(end - id), id);
		return true;
	}
	return false;
}

/* The first line of a data file's comment says what it is. */
static void print_data_file(const char *name, const char *text)
{
	printf("  %-34s %.*s\n", name + strlen(PREFIX), (int)strcspn(text + 2, "\n"), text + 2);
}

static int list_papers(void)
{
	char why[300];

	puts("Papers to reproduce:");
	for (size_t i = 0; embedded_at(i); i++) {
		const char *name = embedded_at(i)->name, *end = strrchr(name, '/');
		struct paper *paper;
		char id[32];

		if (!end || strcmp(end, FIGURES))
			continue;
		snprintf(id, sizeof(id), "%.*s", (int)(end - name - strlen(PREFIX)), name + strlen(PREFIX));
		paper = paper_read(id, find_text, why, sizeof(why));
		if (!paper)
			return command_error("reproduce", "%s", why);
		printf("  %-15s %s\n", id, paper->title);
		for (size_t figure = 0; figure < paper->figure_count; figure++)
			printf("  %-15s   %s\n", "", paper->figures[figure].title);
		free(paper);
	}
	puts("\nPublished numbers at hand (data files):");
	for (size_t i = 0; embedded_at(i); i++) {
		const char *name = embedded_at(i)->name;
		const size_t length = strlen(name);

		if (!strncmp(name, PREFIX, strlen(PREFIX)) && !strcmp(name + length - 4, ".csv"))
			print_data_file(name, embedded_at(i)->data);
	}
	return COMMAND_OK;
}

/* ---- the run ---- */

/* The paper's matrix as a file, where its reader finds it. COMMAND_OK with its path. */
static int put_matrix(const struct reproduce_options *options, const char *name, char *path, size_t bytes)
{
	char file_name[64];
	const char *text;
	FILE *file;
	bool failed;

	snprintf(file_name, sizeof(file_name), "%s/%s.ini", options->id, name);
	text = find_text(file_name);
	if (!text)
		return command_error("reproduce", "paper %s has no matrix %s.ini", options->id, name);
	snprintf(path, bytes, "%s/%s-%s.ini", options->folder, options->id, name);
	file = fopen(path, "we");
	failed = !file || fputs(text, file) < 0;
	if (file)
		failed |= fclose(file) != 0;
	return failed ? command_error("reproduce", "%s cannot be written: %s", path, strerror(errno)) : COMMAND_OK;
}

static int call(const struct command *command, int argc, char **argv)
{
	optind = 0; /* getopt begins anew */
	return command->run(argc, argv);
}

/* Some of its cells may be refused or fail: what is in the folder then says so. */
static int run_here(const struct reproduce_options *options)
{
	char matrix[4300];
	char *arguments[] = {"run", "--no-table", "-o", (char *)options->folder, matrix, "--quiet", NULL};
	int status = put_matrix(options, options->quick ? "quick" : "full", matrix, sizeof(matrix));

	return status ? status : call(&command_run, options->quiet ? 6 : 5, arguments);
}

static int run_lab(const struct reproduce_options *options)
{
	char matrix[4300];
	char *arguments[] = {"lab", "run", "-o", (char *)options->lab, matrix, "--no-table",
	        options->quiet ? "--quiet" : NULL, NULL};
	int status = put_matrix(options, "lab", matrix, sizeof(matrix));

	if (!options->quiet)
		puts("the lab boots and runs the paper's cells on its CPU model: several minutes");
	fflush(stdout);
	return status ? status : call(&command_lab, options->quiet ? 7 : 6, arguments);
}

/* COMMAND_OK: there is a run to look at, however its cells went. */
static int run_paper(struct reproduce_options *options)
{
	char path[4300];
	const int error = folder_make_new(options->folder);
	int status;

	if (error)
		return command_error("reproduce", "the results folder %s cannot be used: %s; choose another with -o",
		        options->folder, error == -EEXIST ? "it holds a run already" : strerror(-error));
	status = run_here(options);
	snprintf(path, sizeof(path), "%s/run.tdo", options->folder);
	if (status == COMMAND_USAGE || access(path, F_OK))
		return COMMAND_FAILED;
	if (options->quick || options->no_lab)
		snprintf(options->no_lab_why, sizeof(options->no_lab_why), "left out: %s",
		        options->quick ? "--quick" : "--no-lab");
	else if (!lab_check(options->no_lab_why, sizeof(options->no_lab_why)))
		return run_lab(options);
	return COMMAND_OK;
}

/* ---- what it says ---- */

static void add_source(
        struct reproduction *all, struct paper_run *run, const char *name, const char *machine, bool modelled)
{
	struct paper_source *source = &all->sources[all->source_count];

	*source = (struct paper_source){
	        .name = name, .machine = machine, .costs = modelled ? &all->costs : NULL, .run = run};
	all->source_count += paper_source_present(source);
}

static int open_all(struct reproduction *all, const struct reproduce_options *options)
{
	const struct embedded_file *costs = embedded_find("turtles.ini");
	char file[4400], why[300];

	all->paper = paper_read(options->id, find_text, why, sizeof(why));
	if (!all->paper || costs_parse(&all->costs, costs->data, "results/costs/turtles.ini", why, sizeof(why)) ||
	        paper_run_open(&all->run, options->folder, why, sizeof(why)))
		return command_error("reproduce", "%s", why);
	costs_apply(&all->costs, &all->run.summary, all->run.reader);
	add_source(all, &all->run, "kvm", "kvm", false);
	add_source(all, &all->run, "soft", "soft", true);
	snprintf(file, sizeof(file), "%s/run.tdo", options->lab);
	if (access(file, F_OK))
		return COMMAND_OK;
	if (paper_run_open(&all->lab, options->lab, why, sizeof(why)))
		return command_error("reproduce", "%s", why);
	add_source(all, &all->lab, "lab kvm", "kvm", false);
	add_source(all, &all->lab, "lab nvmx", "nvmx", false);
	return COMMAND_OK;
}

static void close_all(struct reproduction *all)
{
	paper_run_close(&all->lab);
	paper_run_close(&all->run);
	free(all->paper);
}

static void print_host(FILE *out, const struct reproduction *all)
{
	const char *kvm = run_info_get(all->run.info, "kvm"), *cpu = run_info_get(all->run.info, "cpu");

	fprintf(out, "%s\n", all->paper->title);
	fprintf(out, "ours: %s%s%s\n", cpu ? cpu : "unknown CPU", kvm ? "; KVM: " : "", kvm ? kvm : "");
	if (kvm && strstr(kvm, "pvm"))
		fputs("KVM-PVM emulates ring 0 at about half a microsecond an instruction and enters guests without "
		      "VT-x: L1, a\n"
		      "ring-0 program, costs much more than on VT-x, and ratios to the single-level exit differ for "
		      "that reason.\n",
		        out);
	for (size_t i = 0; i < all->source_count; i++)
		if (all->sources[i].costs)
			fprintf(out,
			        "soft: MODELLED cycles: exact counts times unit costs read from the paper (%s); no "
			        "measurement.\n",
			        all->costs.name);
	if (all->lab.reader)
		fputs("lab: instructions on Bochs' model of a Skylake-X; exact, and no measure of time.\n", out);
}

static void print_all(FILE *out, const struct reproduction *all, const struct reproduce_options *options)
{
	print_host(out, all);
	if (!all->lab.reader)
		fprintf(out, "lab: not available: %s\n",
		        options->no_lab_why[0] ? options->no_lab_why : "the folder has no run of it");
	for (size_t i = 0; i < all->paper->figure_count; i++)
		paper_print_figure(out, all->paper, &all->paper->figures[i], all->sources, all->source_count);
}

/* On the terminal and in the folder. */
static int report_all(const struct reproduction *all, const struct reproduce_options *options)
{
	char path[4300];
	char *text = NULL;
	size_t bytes = 0;
	FILE *stream = open_memstream(&text, &bytes), *file;
	bool failed;

	if (!stream)
		return command_error("reproduce", "out of memory");
	print_all(stream, all, options);
	fclose(stream);
	fwrite(text, 1, bytes, stdout);
	snprintf(path, sizeof(path), "%s/%s.txt", options->folder, options->id);
	file = fopen(path, "we");
	failed = !file || fwrite(text, 1, bytes, file) != bytes;
	if (file)
		failed |= fclose(file) != 0;
	free(text);
	return failed ? command_error("reproduce", "%s cannot be written: %s", path, strerror(errno)) : COMMAND_OK;
}

/* papers/plots/NAME or the paper's own NAME */
static bool is_script_of(const char *name, const char *id)
{
	const size_t length = strlen(name), prefix = strlen(PREFIX);

	return length > 3 && !strcmp(name + length - 3, ".gp") && !strncmp(name, PREFIX, prefix) &&
	       (!strncmp(name + prefix, "plots/", 6) ||
	               (!strncmp(name + prefix, id, strlen(id)) && name[prefix + strlen(id)] == '/'));
}

static int draw_all(const struct reproduction *all, const struct reproduce_options *options)
{
	const char *gnuplot = host_find_gnuplot();
	char folder[4200], script[160], path[4400];
	int status = 0;

	snprintf(folder, sizeof(folder), "%.4000s/papers/%s", options->folder, options->id);
	status = folder_make(folder);
	for (size_t i = 0; embedded_at(i) && !status; i++)
		if (is_script_of(embedded_at(i)->name, options->id))
			status = gnuplot_copy(folder, embedded_at(i), false);
	for (size_t i = 0; i < all->paper->figure_count && !status; i++)
		status = paper_write_figure(folder, &all->paper->figures[i], all->sources, all->source_count);
	if (status)
		return command_error("reproduce", "%s cannot be written: %s", folder, strerror(-status));
	if (!gnuplot)
		return command_error("reproduce",
		        "gnuplot is not installed (apt-get install gnuplot-nox); the data and scripts are in %s",
		        folder);
	putchar('\n');
	fflush(stdout);
	for (size_t i = 0; i < all->paper->figure_count && !status; i++) {
		const char *id = all->paper->figures[i].id;

		snprintf(script, sizeof(script), PREFIX "%s/%s.gp", options->id, id);
		if (!embedded_find(script))
			continue;
		snprintf(script, sizeof(script), "%s.gp", id);
		status = gnuplot_run("reproduce", gnuplot, folder, script);
		snprintf(path, sizeof(path), "%s/%s.svg", folder, id);
		if (!status)
			puts(path);
		fflush(stdout);
	}
	return status;
}

/* Cells that went wrong, and a run that did not end, are failures; what a host cannot do is none. */
static int judge_run(const struct paper_run *run, const char *where)
{
	size_t failed = 0;

	if (!run->reader)
		return COMMAND_OK;
	for (size_t i = 0; i < run->summary.count; i++) {
		const enum cell_status status = run->summary.rows[i].cell->status;

		failed += status != CELL_OK && status != CELL_REFUSED;
	}
	if (failed)
		return command_error("reproduce", "%zu cells of %s failed: testudo report %s", failed, where, where);
	if (!reader_overview(run->reader)->finished)
		return command_error("reproduce", "the run in %s is not complete: %s", where,
		        reader_overview(run->reader)->end_reason);
	return COMMAND_OK;
}

static int show(const struct reproduce_options *options)
{
	struct reproduction *all = calloc(1, sizeof(*all));
	char why[256];
	int status;

	if (!all)
		return command_error("reproduce", "out of memory");
	status = open_all(all, options);
	if (!status)
		status = report_all(all, options);
	if (!status)
		status = draw_all(all, options);
	if (!status)
		status = judge_run(&all->run, options->folder);
	if (!status)
		status = judge_run(&all->lab, options->lab);
	close_all(all);
	free(all);
	if (html_write(options->folder, why, sizeof(why)))
		return command_error("reproduce", "%s", why);
	printf("%s/report.html\n", options->folder);
	return status;
}

static int run_reproduce(int argc, char **argv)
{
	struct reproduce_options options = {0};
	char folder[64], path[4400];
	int status = parse_options(&options, argc, argv);
	int lab_status = COMMAND_OK;

	if (status)
		return status;
	if (options.list || !options.paper)
		return list_papers();
	if (!find_paper(&options))
		return command_usage(
		        "reproduce", "there is no paper \"%s\"; testudo reproduce --list names them", options.paper);
	if (!options.folder) {
		folder_default(folder, sizeof(folder), "-reproduce");
		options.folder = folder;
	}
	snprintf(options.lab, sizeof(options.lab), "%s/lab", options.folder);
	if (!options.from)
		lab_status = run_paper(&options);
	snprintf(path, sizeof(path), "%s/run.tdo", options.folder);
	if (lab_status && access(path, F_OK))
		return lab_status;
	status = show(&options);
	/* Cells refused in the lab are no failure, and judge_run() has looked for others. */
	snprintf(path, sizeof(path), "%s/run.tdo", options.lab);
	return status || !lab_status || !access(path, F_OK) ? status : lab_status;
}

const struct command command_reproduce = {
        .name = "reproduce",
        .summary = "Run a paper's cells; its tables and figures with ours beside them.",
        .synopsis = "[PAPER] [--quick|--no-lab] [-o DIR] | PAPER --from DIR | --list",
        .help = "\n"
                "Runs the paper's matrix on machines soft and kvm, and on kvm and nvmx in the lab; prints each of its "
                "tables\n"
                "and figures with our numbers beside it, says which of its statements hold here, and draws them into\n"
                "DIR/papers/. The text is kept as DIR/PAPER.txt, the lab's run in DIR/lab.\n"
                "\n"
                "      --quick        few samples and no lab: a minute or two\n"
                "      --no-lab       not on the lab's CPU model (testudo help lab), which counts instructions\n"
                "  -o, --output DIR   default: results/runs/DATE-reproduce\n"
                "  -f, --from DIR     no run: the tables and figures of the one in DIR\n"
                "  -l, --list         papers, and what is known of others\n"
                "  -q, --quiet        no progress\n"
                "\n"
                "The exit status is 0 unless a cell failed: a statement that does not hold is a result.\n"
                "\n"
                "Examples:\n"
                "  testudo reproduce turtles --quick\n"
                "  testudo reproduce turtles -o results/runs/turtles\n"
                "  testudo reproduce turtles --from results/runs/turtles\n",
        .run = run_reproduce,
};
