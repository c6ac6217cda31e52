/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo report`: the tables of a run again, from its run.tdo. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/html.h"
#include "results/report.h"

static int run_report(int argc, char **argv)
{
	static const struct option longs[] = {{"all", no_argument, NULL, 'a'}, {"costs", required_argument, NULL, 'c'},
	        {"noise", no_argument, NULL, 'n'}, {0}};
	struct report_files files = {.out = stdout, .page = html_page, .colours = command_colours(STDOUT_FILENO)};
	static struct costs costs;
	char why[256];
	int option;

	while ((option = getopt_long(argc, argv, ":ac:", longs, NULL)) != -1) {
		if (option == 'a')
			files.all = true;
		else if (option == 'n')
			files.noise = true;
		else if (option != 'c')
			return command_bad_option("report", option, argv);
		else if (costs_read(&costs, optarg, why, sizeof(why)))
			return command_error("report", "%s", why);
		else
			files.costs = &costs;
	}
	if (argc - optind != 1)
		return command_usage("report", "give one run folder, such as results/runs/20261120-101500");
	files.folder = argv[optind];
	if (report_run(&files, why, sizeof(why)))
		return command_error("report", "%s", why);
	return COMMAND_OK;
}

const struct command command_report = {
        .name = "report",
        .summary = "Print the tables of a run; write its summary.csv and report.html again.",
        .synopsis = "[--all] [--noise] [--costs FILE] DIR",
        .help = "\n"
                "  -a, --all          one line for each cell, with its exits per operation\n"
                "      --noise        the noise of each row, too: spread, control loop, outliers, drift, rounds\n"
                "  -c, --costs FILE   add modelled cycles to what virtual-time machines (soft) counted: exact counts "
                "times the\n"
                "                     file's unit costs, each with its source; always labelled modelled\n"
                "\n"
                "Examples:\n"
                "  testudo report results/runs/first\n"
                "  testudo report --all results/runs/first | grep mmio\n"
                "  testudo report --costs results/costs/turtles.ini results/runs/first\n",
        .run = run_report,
};
