/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo lab`: run, boot and shell commands inside the lab (lab/). And lab-send, its end inside the guest. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/embed.h"
#include "cli/folder.h"
#include "cli/html.h"
#include "lab/lab.h"
#include "results/report.h"

#define TIMEOUT_S 1800
#define COMMAND_BYTES 8192

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	stopped = signal_number;
}

struct lab_options {
	struct lab_run run;
	char command[COMMAND_BYTES];
	char binary[PATH_MAX];
	char *data[LAB_FILES]; /* of run.files, to be freed */
	bool terminal, quiet, no_table;
	/* Progress, as the guest's own lines "[done/all] ..." tell it. */
	unsigned done, all;
	double begun_s;
	char line[256];
	size_t line_used;
};

/* ---- what travels into the guest ---- */

/* Text in single quotes, as sh wants it. */
static int add_quoted(struct lab_options *options, const char *text)
{
	size_t used = strlen(options->command);

	if (used + 4 * strlen(text) + 4 > sizeof(options->command))
		return command_error("lab", "the command is longer than %d bytes", COMMAND_BYTES);
	options->command[used++] = ' ';
	options->command[used++] = '\'';
	for (; *text; text++) {
		if (*text == '\'') {
			memcpy(options->command + used, "'\\''", 4);
			used += 4;
		} else {
			options->command[used++] = *text;
		}
	}
	options->command[used++] = '\'';
	options->command[used] = '\0';
	return COMMAND_OK;
}

static void add_text(struct lab_options *options, const char *text)
{
	const size_t used = strlen(options->command);

	snprintf(options->command + used, sizeof(options->command) - used, "%s", text);
}

static int add_file(struct lab_options *options, const char *path, const char *name)
{
	struct lab_run *run = &options->run;
	FILE *file = fopen(path, "re");
	struct stat status;
	char *data = NULL;

	if (run->file_count == LAB_FILES) {
		command_error("lab", "more than %d files for the lab", LAB_FILES);
	} else if (!file || fstat(fileno(file), &status) || !S_ISREG(status.st_mode)) {
		command_error("lab", "%s cannot be read: %s", path, file ? "it is no file" : strerror(errno));
	} else {
		data = malloc((size_t)status.st_size + 1);
		if (!data || fread(data, 1, (size_t)status.st_size, file) != (size_t)status.st_size) {
			command_error("lab", "%s cannot be read: %s", path, strerror(errno));
			free(data);
			data = NULL;
		}
	}
	if (file)
		fclose(file);
	if (!data)
		return COMMAND_FAILED;
	options->data[run->file_count] = data;
	run->files[run->file_count++] = (struct lab_file){name, data, (size_t)status.st_size};
	return COMMAND_OK;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The static testudo: beside this one, unless the environment names another. */
static int find_binary(struct lab_options *options)
{
	const char *own = getenv("TESTUDO_LAB_BINARY");
	char self[PATH_MAX - 32];
	const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[length > 0 ? length : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	snprintf(options->binary, sizeof(options->binary), "%s/testudo-lab", self);
	if (own && *own)
		snprintf(options->binary, sizeof(options->binary), "%s", own);
	options->run.testudo = options->binary;
	if (!access(options->binary, R_OK))
		return COMMAND_OK;
	return command_error("lab",
	        "there is no %s: it is built where static libraries are installed (tools/install-packages build, then "
	        "build "
	        "again), or set TESTUDO_LAB_BINARY",
	        options->binary);
}

/* ---- while it runs ---- */

static void clear_line(const struct lab_options *options)
{
	if (options->terminal)
		fputs("\r\033[K", stdout);
}

static void take_line(struct lab_options *options)
{
	unsigned done, all;

	options->line[options->line_used] = '\0';
	options->line_used = 0;
	if (sscanf(options->line, "[%u/%u]", &done, &all) == 2) {
		options->done = done;
		options->all = all;
	}
}

static void on_text(void *ctx, const char *text, size_t bytes)
{
	struct lab_options *options = ctx;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '\n')
			take_line(options);
		else if (options->line_used < sizeof(options->line) - 1)
			options->line[options->line_used++] = text[i];
	}
	if (options->quiet)
		return;
	clear_line(options);
	fwrite(text, 1, bytes, stdout);
	fflush(stdout);
}

static void on_tick(void *ctx, bool booted, double seconds)
{
	struct lab_options *options = ctx;

	if (booted && options->begun_s == 0)
		options->begun_s = seconds;
	if (!options->terminal || options->quiet || options->line_used)
		return;
	clear_line(options);
	printf("lab: %.0f s, %s", seconds, booted ? "running" : "booting");
	if (options->done && options->done < options->all)
		printf(", %u of %u cells done, about %.0f s left", options->done, options->all,
		        (seconds - options->begun_s) * (options->all - options->done) / options->done);
	fflush(stdout);
}

static int boot_lab(struct lab_options *options)
{
	const struct embedded_file *image = embedded_find("image.sh"), *init = embedded_find("init.sh");
	struct sigaction action = {.sa_handler = on_signal};
	struct lab_run *run = &options->run;
	int error = find_binary(options);

	if (error)
		return error;
	options->terminal = command_colours(STDOUT_FILENO);
	run->image_sh = image->data;
	run->init_sh = init->data;
	run->command = options->command;
	run->stopped = &stopped;
	run->on_text = on_text;
	run->on_tick = on_tick;
	run->ctx = options;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	error = lab_boot(run);
	clear_line(options);
	fflush(stdout);
	return error ? command_error("lab", "%s", run->why) : COMMAND_OK;
}

/* ---- testudo lab run ---- */

static int conclude_run(const struct lab_options *options, const char *folder)
{
	struct report_files files = {.folder = folder,
	        .page = html_page,
	        .out = options->quiet || options->no_table ? NULL : stdout,
	        .colours = command_colours(STDOUT_FILENO)};
	char why[256];

	if (report_run(&files, why, sizeof(why)))
		return command_error("lab", "%s", why);
	return COMMAND_OK;
}

static int parse_timeout(struct lab_options *options, const char *text)
{
	char *end;
	const unsigned long seconds = strtoul(text, &end, 10);

	if (!*text || *end || seconds < 1 || seconds > 86400)
		return command_usage("lab", "--timeout wants seconds from 1 to 86400, not \"%s\"", text);
	options->run.timeout_s = (unsigned)seconds;
	return COMMAND_OK;
}

static int lab_run_matrix(struct lab_options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
	        {"set", required_argument, NULL, 's'}, {"quiet", no_argument, NULL, 'q'},
	        {"timeout", required_argument, NULL, 't'}, {"no-table", no_argument, NULL, 'n'}, {0}};
	char name[64];
	const char *folder = NULL;
	int option, status = COMMAND_OK, error;

	add_text(options, "testudo run --reload-kvm --no-table -o /tmp/run");
	while ((option = getopt_long(argc, argv, ":o:s:t:q", longs, NULL)) != -1 && !status) {
		if (option == 'o')
			folder = optarg;
		else if (option == 'q')
			options->quiet = true;
		else if (option == 'n')
			options->no_table = true;
		else if (option == 't')
			status = parse_timeout(options, optarg);
		else if (option == 's') {
			add_text(options, " --set");
			status = add_quoted(options, optarg);
		} else
			return command_bad_option("lab", option, argv);
	}
	if (status)
		return status;
	if (argc - optind > 1)
		return command_usage("lab", "one matrix at a time, not also \"%s\"", argv[optind + 1]);
	if (optind < argc) {
		add_text(options, " /matrix.ini");
		status = add_file(options, argv[optind], "matrix.ini");
	}
	add_text(options, "\nstatus=$?\ncp /tmp/run/run.tdo /out/ 2>/dev/null\nexit $status\n");
	if (status)
		return status;
	if (!folder) {
		folder_default(name, sizeof(name), "-lab");
		folder = name;
	}
	error = folder_make_new(folder);
	if (error)
		return command_error("lab", "the results folder %s cannot be used: %s; choose another with -o", folder,
		        error == -EEXIST ? "it holds a run already" : strerror(-error));
	options->run.out_folder = folder;
	status = boot_lab(options);
	if (!options->run.files_received)
		return status ? status : command_error("lab", "no results came back: what the lab printed is above");
	error = conclude_run(options, folder);
	return status ? status : error ? error : options->run.status ? COMMAND_FAILED : COMMAND_OK;
}

/* ---- testudo lab shell, testudo lab boot ---- */

static int lab_shell(struct lab_options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
	        {"file", required_argument, NULL, 'f'}, {"timeout", required_argument, NULL, 't'}, {0}};
	int option, status = COMMAND_OK;

	while ((option = getopt_long(argc, argv, "+:o:f:t:", longs, NULL)) != -1 && !status) {
		if (option == 'o')
			options->run.out_folder = optarg;
		else if (option == 'f')
			status = add_file(options, optarg, base_name(optarg));
		else if (option == 't')
			status = parse_timeout(options, optarg);
		else
			return command_bad_option("lab", option, argv);
	}
	if (status)
		return status;
	if (argc - optind != 1)
		return command_usage("lab", "shell wants one command line in quotes");
	if (strlen(argv[optind]) >= sizeof(options->command))
		return command_error("lab", "the command is longer than %d bytes", COMMAND_BYTES);
	add_text(options, argv[optind]);
	if (options->run.out_folder && (status = folder_make(options->run.out_folder)))
		return command_error(
		        "lab", "the folder %s cannot be made: %s", options->run.out_folder, strerror(-status));
	status = boot_lab(options);
	return status ? status : options->run.status ? COMMAND_FAILED : COMMAND_OK;
}

/* Words that name files of this host go along. */
static int lab_boot_image(struct lab_options *options, int argc, char **argv)
{
	int status = COMMAND_OK;

	add_text(options, "testudo boot");
	for (int i = 1; i < argc && !status; i++) {
		struct stat file;

		if (argv[i][0] != '-' && !stat(argv[i], &file) && S_ISREG(file.st_mode)) {
			status = add_file(options, argv[i], base_name(argv[i]));
			status = status ? status : add_quoted(options, base_name(argv[i]));
		} else {
			status = add_quoted(options, argv[i]);
		}
	}
	status = status ? status : boot_lab(options);
	return status ? status : options->run.status ? COMMAND_FAILED : COMMAND_OK;
}

static int run_lab(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct lab_options *options, int argc, char **argv);
	} subcommands[] = {{"run", lab_run_matrix}, {"shell", lab_shell}, {"boot", lab_boot_image}};
	struct lab_options *options;
	int status = COMMAND_USAGE;

	if (argc < 2)
		return command_usage("lab", "say what to do in the lab: run, shell or boot");
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
		if (strcmp(argv[1], subcommands[i].name))
			continue;
		options = calloc(1, sizeof(*options));
		if (!options)
			return command_error("lab", "out of memory");
		options->run.timeout_s = TIMEOUT_S;
		status = subcommands[i].run(options, argc - 1, argv + 1);
		for (size_t file = 0; file < options->run.file_count; file++)
			free(options->data[file]);
		free(options);
		return status;
	}
	return command_usage("lab", "the lab can run, shell and boot, not \"%s\"", argv[1]);
}

const struct command command_lab = {
        .name = "lab",
        .summary = "The same commands on a model of an Intel CPU with VT-x, on any host.",
        .synopsis = "run [MATRIX] [-o DIR] [--set KEY=VALUE]... | shell CMD | boot ...",
        .help = "\n"
                "Boots Debian's kernel with kvm_intel on Bochs' model of a Skylake-X and runs one command in it. Time\n"
                "there is counted in instructions: exact, the same on every host and in every run, and no measure of\n"
                "nanoseconds. VMCS shadowing and EPT of kvm_intel are settings of a cell: kvm.shadow_vmcs, kvm.ept.\n"
                "\n"
                "  run [MATRIX]   as `testudo run`; the results come back into DIR\n"
                "      -o, --output DIR    default: results/runs/DATE-lab\n"
                "      -s, --set KEY=VALUE[,VALUE...]\n"
                "      -q, --quiet         neither progress nor table; --no-table: no table at the end\n"
                "  shell CMD      run CMD with sh (busybox); what it leaves in /out comes back\n"
                "      -f, --file PATH     a file for the lab's root folder; may be repeated\n"
                "      -o, --output DIR    where files of /out go\n"
                "  boot ...       as `testudo boot`; files named are taken along\n"
                "\n"
                "  -t, --timeout SECONDS   wall time of the whole boot (default: 1800)\n"
                "\n"
                "Downloads are kept in ~/.cache/testudo/lab (TESTUDO_LAB_CACHE names another folder).\n"
                "\n"
                "Examples:\n"
                "  testudo lab run cli/matrices/peer.ini\n"
                "  testudo lab run --set machine=kvm,nvmx --set workload=cpuid --set vmcs=shadow\n"
                "  testudo lab shell 'testudo doctor; cat /proc/cpuinfo'\n",
        .run = run_lab,
};

static int run_lab_send(int argc, char **argv)
{
	const int error = lab_send(argc, argv);

	return error ? command_error("lab-send", "%s", strerror(-error)) : COMMAND_OK;
}

const struct command command_lab_send = {
        .name = "lab-send",
        .summary = "Inside the lab: send to the host.",
        .synopsis = "begin | text | file NAME | end STATUS",
        .help = "\nSends standard input (text, file) or a mark (begin, end) through the parallel port; lab/init.sh "
                "uses it.\n"
                "\nExamples:\n  testudo lab-send file run.tdo <run.tdo\n",
        .run = run_lab_send,
};
