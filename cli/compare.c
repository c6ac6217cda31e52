/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo compare`: two runs, or two parts of one, cell by cell. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "results/compare.h"

struct options {
	const char *folders[2];
	size_t folder_count;
	const char *format;
	struct compare_filter a, b;
	struct compare_options compare;
	bool fail_on_slower;
};

/* One run, read whole. */
struct run {
	struct reader *reader;
	struct summary summary;
	struct run_info info;
};

static int add_filter(struct compare_filter *filter, const char *text)
{
	char why[320];

	return compare_filter_add(filter, text, why, sizeof(why)) ? command_usage("compare", "%s", why) : COMMAND_OK;
}

static int set_noise(struct options *options, const char *text)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || *end || !(percent >= 0 && percent <= 100))
		return command_usage("compare", "--noise wants 0 to 100 (per cent), not \"%s\"", text);
	options->compare.assumed_noise = percent / 100;
	return COMMAND_OK;
}

/* What is no folder and has a "=" is a filter for both sides. */
static int take_argument(struct options *options, const char *text)
{
	struct stat about;

	if (strchr(text, '=') && stat(text, &about))
		return add_filter(&options->compare.both, text);
	if (options->folder_count == 2)
		return command_usage("compare", "two runs at a time, not also \"%s\"", text);
	options->folders[options->folder_count++] = text;
	return COMMAND_OK;
}

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"a", required_argument, NULL, 'a'}, {"b", required_argument, NULL, 'b'},
	        {"format", required_argument, NULL, 'f'}, {"across-hosts", no_argument, NULL, 'x'},
	        {"noise", required_argument, NULL, 'n'}, {"fail-on-slower", no_argument, NULL, 's'}, {0}};
	int option, status = COMMAND_OK;

	while (!status && (option = getopt_long(argc, argv, ":a:b:f:", longs, NULL)) != -1) {
		if (option == 'a')
			status = add_filter(&options->a, optarg);
		else if (option == 'b')
			status = add_filter(&options->b, optarg);
		else if (option == 'f')
			options->format = optarg;
		else if (option == 'n')
			status = set_noise(options, optarg);
		else if (option == 'x')
			options->compare.across_hosts = true;
		else if (option == 's')
			options->fail_on_slower = true;
		else
			return command_bad_option("compare", option, argv);
	}
	for (int i = optind; i < argc && !status; i++)
		status = take_argument(options, argv[i]);
	if (status)
		return status;
	if (strcmp(options->format, "text") && strcmp(options->format, "csv") && strcmp(options->format, "json"))
		return command_usage("compare", "there is no format \"%s\"; use text, csv or json", options->format);
	if (!options->folder_count)
		return command_usage("compare", "give two run folders, or one with --a and --b");
	if (options->folder_count == 1) {
		struct compare_filter none = {0};

		if (!memcmp(&options->a, &none, sizeof(none)) || !memcmp(&options->b, &none, sizeof(none)))
			return command_usage("compare", "one run is compared with itself by two filters, such as --a "
			                                "vmcs=trap --b vmcs=shadow");
		options->folders[1] = options->folders[0];
	}
	return COMMAND_OK;
}

static int open_run(struct run *run, const char *folder)
{
	char path[4200], why[256];
	int err;

	snprintf(path, sizeof(path), "%.4100s/run.tdo", folder);
	if (reader_open(&run->reader, path, why, sizeof(why)))
		return command_error("compare", "%s", why);
	err = summary_compute(&run->summary, run->reader);
	if (err)
		return command_error("compare", "%s cannot be summarised: %s", path, strerror(-err));
	/* No failure: what is there can be compared. */
	if (!reader_overview(run->reader)->finished)
		command_error("compare", "%s is incomplete (%s): the cells it has are compared", folder,
		        reader_overview(run->reader)->end_reason);
	reader_run_info(run->reader, 0, &run->info);
	return COMMAND_OK;
}

static void close_run(struct run *run)
{
	if (!run)
		return;
	summary_free(&run->summary);
	if (run->reader)
		reader_close(run->reader);
	free(run);
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *side_json(const struct summary_row *row)
{
	json_t *side = json_object(), *settings = json_object();

	for (int key = 0; key < CELL_KEY_COUNT; key++)
		json_object_set_new(settings, cell_key_infos[key].name, json_string(row->cell->cell.value[key]));
	json_object_set_new(side, "cell", json_integer((json_int_t)row->cell->number));
	json_object_set_new(side, "settings", settings);
	json_object_set_new(side, "unit", json_string(row->unit));
	json_object_set_new(side, "samples", json_integer((json_int_t)row->stats.op.n));
	json_object_set_new(side, "median", row->have_cost ? number(row->stats.op.median) : json_null());
	return side;
}

static json_t *pair_json(const struct compare_pair *pair)
{
	const struct stats_comparison *c = &pair->c;
	json_t *object = json_object();
	char name[384];

	compare_name(pair, name, sizeof(name));
	json_object_set_new(object, "name", json_string(name));
	json_object_set_new(object, "a", side_json(pair->a));
	json_object_set_new(object, "b", side_json(pair->b));
	json_object_set_new(object, "difference", number(c->difference));
	json_object_set_new(object, "difference_low", number(c->low));
	json_object_set_new(object, "difference_high", number(c->high));
	json_object_set_new(object, "cliff_delta", isnan(c->p) ? json_null() : number(c->delta));
	json_object_set_new(object, "p", number(c->p));
	json_object_set_new(object, "p_holm", number(c->p_family));
	json_object_set_new(object, "exact", json_boolean(c->exact));
	json_object_set_new(object, "autocorrelation", number(c->autocorrelation));
	json_object_set_new(object, "drift", number(c->drift));
	json_object_set_new(object, "noise", number(pair->noise));
	json_object_set_new(object, "noise_assumed", json_boolean(pair->noise_assumed));
	json_object_set_new(object, "verdict", json_string(stats_verdict_name(c->verdict)));
	json_object_set_new(object, "reason", json_string(c->reason));
	return object;
}

static int write_json(const struct compare *compare)
{
	json_t *root = json_object(), *pairs = json_array(), *lone = json_array(), *notes = json_array();
	int err;

	for (size_t i = 0; i < compare->pair_count; i++)
		json_array_append_new(pairs, pair_json(&compare->pairs[i]));
	for (size_t i = 0; i < compare->lone_count; i++) {
		json_t *cell = side_json(compare->lone[i].row);

		json_object_set_new(cell, "side", json_string(compare->lone[i].of_b ? "b" : "a"));
		json_object_set_new(cell, "reason", json_string(compare->lone[i].reason));
		json_array_append_new(lone, cell);
	}
	for (size_t i = 0; i < compare->note_count; i++)
		json_array_append_new(notes, json_string(compare->notes[i]));
	json_object_set_new(root, "hosts_differ", compare->host[0] ? json_string(compare->host) : json_null());
	json_object_set_new(root, "notes", notes);
	json_object_set_new(root, "tests", json_integer((json_int_t)compare->tests));
	json_object_set_new(root, "pairs", pairs);
	json_object_set_new(root, "unmatched", lone);
	err = json_dumpf(root, stdout, JSON_INDENT(1)) ? -EIO : 0;
	putchar('\n');
	json_decref(root);
	return err;
}

static int show(const struct compare *compare, const struct options *options)
{
	int err = 0;

	if (!strcmp(options->format, "json"))
		err = write_json(compare);
	else if (!strcmp(options->format, "csv"))
		err = compare_write_csv(stdout, compare);
	else
		compare_print(stdout, compare, command_colours(STDOUT_FILENO));
	if (err)
		return command_error("compare", "the comparison cannot be written: %s", strerror(-err));
	if (!compare->pair_count)
		return command_error("compare", "no cell of A has a partner in B");
	if (options->fail_on_slower && compare_count(compare, STATS_SLOWER))
		return COMMAND_SLOWER;
	return COMMAND_OK;
}

static int compare_folders(struct run *runs[2], const struct options *options)
{
	struct compare_side a, b;
	struct compare compare;
	int status = COMMAND_OK, err;

	for (size_t i = 0; i < 2 && !status; i++)
		status = open_run(runs[i], options->folders[i]);
	if (status)
		return status;
	a = (struct compare_side){&runs[0]->summary, &runs[0]->info, &options->a};
	b = (struct compare_side){&runs[1]->summary, &runs[1]->info, &options->b};
	err = compare_runs(&compare, &a, &b, &options->compare);
	if (err)
		return command_error("compare", "%s", strerror(-err));
	status = show(&compare, options);
	compare_free(&compare);
	return status;
}

static int run_compare(int argc, char **argv)
{
	static struct options options = {.format = "text", .compare.assumed_noise = COMPARE_NOISE};
	struct run *runs[2] = {calloc(1, sizeof(*runs[0])), calloc(1, sizeof(*runs[1]))};
	int status = parse_options(&options, argc, argv);

	if (!runs[0] || !runs[1])
		status = command_error("compare", "out of memory");
	else if (!status)
		status = compare_folders(runs, &options);
	close_run(runs[0]);
	close_run(runs[1]);
	return status;
}

const struct command command_compare = {
        .name = "compare",
        .summary = "Compare two runs, or two settings of one run, cell by cell.",
        .synopsis = "A B [KEY=VALUE[,VALUE...] ...] | RUN --a KEY=VALUE --b KEY=VALUE",
        .help = "\n"
                "A and B are run folders. Cells whose settings agree are compared (samples and timeout may differ); "
                "with --a\n"
                "and --b the settings these name may differ, too. B is called faster or slower only where the rank "
                "test, after\n"
                "Holm's correction for the number of comparisons, and the interval of the difference agree, and the "
                "difference is\n"
                "larger than drift and the spread between rounds (run --interleave); otherwise \"cannot tell\" and "
                "why. Figures\n"
                "in virtual time are exact: equal, faster or slower. results/README.md has the rules.\n"
                "\n"
                "      --a KEY=VALUES    A is those cells only; may be repeated\n"
                "      --b KEY=VALUES    B is those cells only\n"
                "      KEY=VALUES        both sides are\n"
                "  -f, --format FORMAT   text (default), csv or json\n"
                "      --across-hosts    compare measured times though the hosts differ\n"
                "      --noise PERCENT   what cells may differ by from run to run where no rounds measured it "
                "(default 3; 0: nothing)\n"
                "      --fail-on-slower  exit status 3 if any cell of B is slower\n"
                "\n"
                "Exit status: 0 compared, whatever the verdicts; 1 a run cannot be read or no cell has a partner; 2 "
                "usage.\n"
                "\n"
                "Examples:\n"
                "  testudo compare results/runs/before results/runs/after\n"
                "  testudo compare results/runs/first --a vmcs=trap --b vmcs=shadow machine=kvm\n"
                "  testudo compare --fail-on-slower results/runs/before results/runs/after workload=cpuid\n",
        .run = run_compare,
};
