/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo report`: the tables of a run again, from its run.tdo. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "results/report.h"

static int run_report(int argc, char **argv)
{
	static const struct option longs[] = {{"all", no_argument, NULL, 'a'}, {0}};
	struct report_files files = {.out = stdout, .colours = command_colours(STDOUT_FILENO)};
	char why[256];
	int option;

	while ((option = getopt_long(argc, argv, ":a", longs, NULL)) != -1) {
		if (option != 'a')
			return command_bad_option("report", option, argv);
		files.all = true;
	}
	if (argc - optind != 1)
		return command_usage("report", "give one run folder, such as results/runs/20261120-101500");
	files.folder = argv[optind];
	return report_run(&files, why, sizeof(why)) ? command_error("report", "%s", why) : COMMAND_OK;
}

const struct command command_report = {
        .name = "report",
        .summary = "Print the tables of a run and write its summary.csv again.",
        .synopsis = "[--all] DIR",
        .help = "\n"
                "  -a, --all   one line for each cell, with its exits per operation\n"
                "\n"
                "Examples:\n"
                "  testudo report results/runs/first\n"
                "  testudo report --all results/runs/first | grep mmio\n",
        .run = run_report,
};
