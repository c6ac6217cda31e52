/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo boot`: one stack with its console. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "l0/l0.h"

/* "256", "256M", "1G" in bytes; 0 = not understood. A plain number is MiB. */
static uint64_t parse_memory(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (end == text || value > 1u << 20 || strchr(text, '-'))
		return 0;
	if (!*end || !strcmp(end, "M") || !strcmp(end, "MiB"))
		return value << 20;
	if (!strcmp(end, "G") || !strcmp(end, "GiB"))
		return value << 30;
	return 0;
}

static int parse_options(struct boot_options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"machine", required_argument, NULL, 'm'},
	        {"append", required_argument, NULL, 'a'}, {"l2", required_argument, NULL, '2'},
	        {"memory", required_argument, NULL, 'M'}, {"limit", required_argument, NULL, 'l'},
	        {"trace", no_argument, NULL, 't'}, {"module", required_argument, NULL, 'o'}, {0}};
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, ":m:a:2:M:l:to:", longs, NULL)) != -1) {
		switch (option) {
		case 'm':
			options->machine = optarg;
			break;
		case 'a':
			options->append = optarg;
			break;
		case '2':
			options->l2_image = optarg;
			break;
		case 'M':
			options->memory_bytes = parse_memory(optarg);
			if (!options->memory_bytes)
				return command_usage(
				        "boot", "--memory wants a size such as 256M or 1G, not \"%s\"", optarg);
			break;
		case 'l':
			options->instruction_limit = strtoull(optarg, &end, 10);
			if (*end || strchr(optarg, '-') || !options->instruction_limit)
				return command_usage(
				        "boot", "--limit wants a number of instructions, not \"%s\"", optarg);
			break;
		case 'o':
			if (options->module_count == BOOT_MODULES)
				return command_usage("boot", "%d modules are the most", BOOT_MODULES);
			options->modules[options->module_count++] = optarg;
			break;
		case 't':
			options->trace = true;
			break;
		default:
			return command_bad_option("boot", option, argv);
		}
	}
	if (argc - optind != 1)
		return command_usage("boot", "give one image to boot");
	options->image = argv[optind];
	return COMMAND_OK;
}

static int run_boot(int argc, char **argv)
{
	struct boot_options options = {
	        .machine = machine_find("soft") ? "soft" : "kvm", .memory_bytes = 128 << 20, .console = stdout};
	struct refusal why = {""};
	int status = parse_options(&options, argc, argv);

	if (status)
		return status;
	if (!machine_find(options.machine))
		return command_usage(
		        "boot", "there is no machine \"%s\" in this binary; see testudo doctor", options.machine);
	status = l0_boot(&options, &why);
	fflush(stdout);
	return status < 0 ? command_error("boot", "%s", why.text) : status;
}

const struct command command_boot = {
        .name = "boot",
        .summary = "Boot one image with its console: your own L1, or other people's kernels.",
        .synopsis = "[--machine M] [--memory SIZE] [--append TEXT] [--module TEXT] [--l2 IMAGE] [--trace] IMAGE",
        .help = "\n"
                "IMAGE is an own ELF64 image (abi/boot_info.h) or a multiboot ELF32 or ELF64 kernel. The exit status "
                "is the\n"
                "guest's: what it writes to the test device, or to the debug-exit port 0xf4.\n"
                "\n"
                "  -m, --machine M     soft (default) or kvm\n"
                "  -M, --memory SIZE   guest memory, such as 256M or 1G (default: 128M)\n"
                "  -a, --append TEXT   arguments of a multiboot image\n"
                "  -o, --module TEXT   a module for a multiboot image, \"FILE\" or \"FILE ARGUMENTS\"; up to 4 times\n"
                "  -2, --l2 IMAGE      L2's image for an own L1\n"
                "  -l, --limit N       soft: give up after N instructions\n"
                "  -t, --trace         print each VM exit to standard error\n"
                "\n"
                "Examples:\n"
                "  testudo boot --machine soft kernel.flat --append \"test_name\"\n",
        .run = run_boot,
};
