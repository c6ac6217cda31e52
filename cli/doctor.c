/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo doctor`: what this host can run, and why not the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/host.h"
#include "l0/kvm_module.h"
#include "l0/machine.h"
#include "lab/lab.h"

static void print_state(bool good, const char *what, const char *text)
{
	bool colours = command_colours(STDOUT_FILENO);

	printf("  %s%-4s%s %-10s %s\n", colours ? (good ? "\033[32m" : "\033[33m") : "", good ? "yes" : "no",
	        colours ? "\033[0m" : "", what, text);
}

static const char *on_or_off(enum kvm_module_switch value)
{
	return value == KVM_MODULE_ON ? "on" : value == KVM_MODULE_OFF ? "off" : "unknown";
}

/* Of nvmx also which features of the processor the kernel's nesting uses. */
static const char *ready_text(const struct machine_ops *machine, char *text, size_t bytes)
{
	struct kvm_module module;

	if (!machine->multiplexes)
		return "ready";
	kvm_module_read(&module);
	snprintf(text, bytes, "ready: kvm_intel nested=1 with EPT %s, VPID %s, VMCS shadowing %s",
	        on_or_off(module.ept), on_or_off(module.vpid), on_or_off(module.shadow_vmcs));
	return text;
}

/* How many machines can run here. */
static size_t print_machines(void)
{
	size_t usable = 0;

	puts("Machines");
	for (size_t i = 0; machines[i]; i++) {
		struct refusal why = {""};
		char text[160];
		int status = machines[i]->probe(&why);

		print_state(
		        !status, machines[i]->name, status ? why.text : ready_text(machines[i], text, sizeof(text)));
		usable += !status;
	}
	if (!machine_find("kvm"))
		print_state(false, "kvm", "this binary was built without it (-Dkvm=disabled, or no linux/kvm.h)");
	if (!machine_find("soft"))
		print_state(false, "soft", "this binary was built without it (-Dsoft=disabled, or no Zydis)");
	return usable;
}

static void print_lab(void)
{
	char why[256], cache[2048], text[2200];
	const int error = lab_check(why, sizeof(why));

	puts("Lab");
	lab_cache_folder(cache, sizeof(cache));
	snprintf(text, sizeof(text), "ready: testudo lab run; downloads are kept in %s", cache);
	print_state(!error, "bochs", error ? why : text);
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
	print_lab();
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
