/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo plot`: data and gnuplot scripts into <run>/plots, then gnuplot. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/embed.h"
#include "cli/gnuplot.h"
#include "cli/host.h"
#include "cli/html.h"
#include "results/plot.h"

static bool is_script(const struct embedded_file *file)
{
	size_t length = strlen(file->name);

	/* Papers have scripts of their own (reproduce.c). */
	return length > 3 && !strcmp(file->name + length - 3, ".gp") && !strchr(file->name, '/');
}

/* Scripts that draw; style.gp only sets looks. */
static bool draws(const struct embedded_file *file)
{
	return is_script(file) && strcmp(file->name, "style.gp");
}

static int write_inputs(const char *run, const char *folder, bool replace)
{
	struct reader *reader;
	struct summary summary = {0};
	char path[4200], why[256] = "";
	int status;

	snprintf(path, sizeof(path), "%s/run.tdo", run);
	if (reader_open(&reader, path, why, sizeof(why)))
		return command_error("plot", "%s", why);
	status = summary_compute(&summary, reader);
	if (status)
		snprintf(why, sizeof(why), "%.150s cannot be summarised: %s", path, strerror(-status));
	else if (mkdir(folder, 0777) && errno != EEXIST) {
		status = -errno;
		snprintf(why, sizeof(why), "%.150s cannot be made: %s", folder, strerror(errno));
	} else
		status = plot_write_data(folder, reader, &summary, why, sizeof(why));
	for (size_t i = 0; !status && embedded_at(i); i++) {
		if (!is_script(embedded_at(i)))
			continue;
		status = gnuplot_copy(folder, embedded_at(i), replace);
		if (status)
			snprintf(why, sizeof(why), "%.150s/%s cannot be written: %s", folder, embedded_at(i)->name,
			        strerror(-status));
	}
	summary_free(&summary);
	reader_close(reader);
	return status ? command_error("plot", "%s", why) : COMMAND_OK;
}

/* Name the pictures of one script: <script>-<machine>.svg. */
static void print_pictures(const char *folder, const char *script)
{
	const struct cell_key_info *machine = &cell_key_infos[CELL_MACHINE];
	const char *name = machine->allowed;

	while (*name) {
		int length = (int)strcspn(name, "|");
		char path[4400];
		struct stat info;

		snprintf(path, sizeof(path), "%s/%.*s-%.*s.svg", folder, (int)(strlen(script) - 3), script, length,
		        name);
		if (!stat(path, &info) && info.st_size)
			printf("%s\n", path);
		name += length;
		name += *name == '|';
	}
}

static int run_plot(int argc, char **argv)
{
	static const struct option longs[] = {{"reset", no_argument, NULL, 'r'}, {0}};
	const char *gnuplot;
	char folder[4200], why[256];
	bool replace = false;
	int option, status;

	while ((option = getopt_long(argc, argv, ":r", longs, NULL)) != -1) {
		if (option != 'r')
			return command_bad_option("plot", option, argv);
		replace = true;
	}
	if (argc - optind != 1)
		return command_usage("plot", "give one run folder, such as results/runs/20261120-101500");
	snprintf(folder, sizeof(folder), "%.4100s/plots", argv[optind]);
	status = write_inputs(argv[optind], folder, replace);
	if (status)
		return status;
	gnuplot = host_find_gnuplot();
	if (!gnuplot)
		return command_error("plot",
		        "gnuplot is not installed (apt-get install gnuplot-nox); the data and scripts are in %s",
		        folder);
	for (size_t i = 0; embedded_at(i) && !status; i++) {
		if (!draws(embedded_at(i)))
			continue;
		status = gnuplot_run("plot", gnuplot, folder, embedded_at(i)->name);
		if (!status)
			print_pictures(folder, embedded_at(i)->name);
	}
	if (!status && html_write(argv[optind], why, sizeof(why)))
		return command_error("plot", "%s", why);
	return status;
}

const struct command command_plot = {
        .name = "plot",
        .summary = "Draw the plots of a run with gnuplot.",
        .synopsis = "[--reset] DIR",
        .help = "\n"
                "Writes DIR/plots/: data (*.dat), gnuplot scripts (*.gp) and pictures (*.svg). Scripts that are there "
                "already\n"
                "are kept, so they can be edited; they also run by themselves: cd DIR/plots && gnuplot cost.gp\n"
                "\n"
                "  -r, --reset   replace the scripts by Testudo's own\n"
                "\n"
                "Examples:\n"
                "  testudo plot results/runs/first\n",
        .run = run_plot,
};
