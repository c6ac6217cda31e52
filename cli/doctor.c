/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo doctor`: what this host can run, and why not the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/host.h"
#include "l0/machine.h"

static void print_state(bool good, const char *what, const char *text)
{
	bool colours = command_colours(STDOUT_FILENO);

	printf("  %s%-4s%s %-10s %s\n", colours ? (good ? "\033[32m" : "\033[33m") : "", good ? "yes" : "no",
	        colours ? "\033[0m" : "", what, text);
}

/* How many machines can run here. */
static size_t print_machines(void)
{
	size_t usable = 0;

	puts("Machines");
	for (size_t i = 0; machines[i]; i++) {
		struct refusal why = {""};
		int status = machines[i]->probe(&why);

		print_state(!status, machines[i]->name, status ? why.text : "ready");
		usable += !status;
	}
	if (!machine_find("kvm"))
		print_state(false, "kvm", "this binary was built without it (-Dkvm=disabled, or no linux/kvm.h)");
	if (!machine_find("soft"))
		print_state(false, "soft", "this binary was built without it (-Dsoft=disabled, or no Zydis)");
	return usable;
}

static void print_tools(void)
{
	int io_uring = host_probe_io_uring();
	const char *gnuplot = host_find_gnuplot();
	char text[160];

	puts("Recording and plotting");
	snprintf(text, sizeof(text), "refused (%s): the recorder uses plain writes", strerror(-io_uring));
	print_state(!io_uring, "io_uring", io_uring ? text : "ready");
	print_state(gnuplot, "gnuplot", gnuplot ? gnuplot : "not installed: apt-get install gnuplot-nox");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		print_state(false, "2 CPUs", "the recorder shares the only CPU with the guest: times will be noisy");
}

static int run_doctor(int argc, char **argv)
{
	struct run_info *info;
	size_t usable;

	if (argc > 1)
		return command_usage("doctor", "takes no argument, such as \"%s\"", argv[1]);
	info = calloc(1, sizeof(*info));
	if (!info)
		return command_error("doctor", "out of memory");
	host_describe(info);
	puts("Host");
	for (uint32_t i = 0; i < info->pair_count; i++)
		printf("  %-18s %s\n", info->pairs[i].key, info->pairs[i].value);
	free(info);
	usable = print_machines();
	print_tools();
	if (!usable)
		return command_error("doctor", "no machine can run here: see the reasons above");
	return COMMAND_OK;
}

const struct command command_doctor = {
        .name = "doctor",
        .summary = "What this host can run, and why not the rest.",
        .synopsis = "",
        .help = "\nExit status 0 if at least one machine can run.\n\nExamples:\n  testudo doctor\n",
        .run = run_doctor,
};
