/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo run`: every cell of a matrix, each in its own process, recorded into one run folder. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cell_process.h"
#include "cli/command.h"
#include "cli/embed.h"
#include "cli/folder.h"
#include "cli/host.h"
#include "cli/html.h"
#include "cli/interleave.h"
#include "cli/matrix.h"
#include "cli/progress.h"
#include "l0/kvm_module.h"
#include "l0/l0.h"
#include "results/report.h"
#include "results/summary.h"

#define OVERRIDES_MAX 32
/* Keys of run_info pairs that hold --set options. */
#define OVERRIDE_PREFIX "set."

struct run_options {
	const char *matrix; /* path; NULL = the built-in default */
	const char *folder;
	bool resume;
	bool quiet;
	bool list;
	bool reload_kvm; /* change kvm_intel's settings as cells ask */
	bool no_table;
	struct interleave interleave;
	struct costs costs; /* name empty = none */
	struct matrix_override overrides[OVERRIDES_MAX];
	size_t override_count;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
	stopped = signal_number;
}

static int add_override(struct run_options *options, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals)
		return command_usage("run", "--set wants key=value, not \"%s\"", text);
	if (options->override_count == OVERRIDES_MAX)
		return command_usage("run", "more than %d --set", OVERRIDES_MAX);
	*equals = '\0';
	options->overrides[options->override_count++] = (struct matrix_override){text, equals + 1};
	return COMMAND_OK;
}

static bool overrides(const struct run_options *options, const char *key)
{
	for (size_t i = 0; i < options->override_count; i++)
		if (!strcmp(options->overrides[i].key, key))
			return true;
	return false;
}

static int parse_options(struct run_options *options, int argc, char **argv)
{
	char why[256];

	static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
	        {"resume", required_argument, NULL, 'r'}, {"set", required_argument, NULL, 's'},
	        {"quiet", no_argument, NULL, 'q'}, {"list", no_argument, NULL, 'l'},
	        {"costs", required_argument, NULL, 'c'}, {"reload-kvm", no_argument, NULL, 'k'},
	        {"no-table", no_argument, NULL, 'n'}, {"interleave", required_argument, NULL, 'i'},
	        {"seed", required_argument, NULL, 'S'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, ":o:r:s:c:ql", longs, NULL)) != -1) {
		switch (option) {
		case 'o':
			options->folder = optarg;
			break;
		case 'r':
			options->folder = optarg;
			options->resume = true;
			break;
		case 's':
			if (add_override(options, optarg))
				return COMMAND_USAGE;
			break;
		case 'c':
			if (costs_read(&options->costs, optarg, why, sizeof(why)))
				return command_error("run", "%s", why);
			break;
		case 'i':
			if (interleave_set_rounds(&options->interleave, optarg, why, sizeof(why)))
				return command_usage("run", "%s", why);
			break;
		case 'S':
			if (interleave_set_seed(&options->interleave, optarg, why, sizeof(why)))
				return command_usage("run", "%s", why);
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'l':
			options->list = true;
			break;
		case 'k':
			options->reload_kvm = true;
			break;
		case 'n':
			options->no_table = true;
			break;
		default:
			return command_bad_option("run", option, argv);
		}
	}
	if (argc - optind > 1)
		return command_usage("run", "one matrix at a time, not also \"%s\"", argv[optind + 1]);
	if (optind < argc)
		options->matrix = argv[optind];
	if (options->resume && (options->matrix || options->override_count || options->interleave.rounds))
		return command_usage(
		        "run", "--resume goes on with the matrix stored in %s: give no other", options->folder);
	if (options->interleave.seeded && !options->interleave.rounds)
		return command_usage("run", "--seed is for the order of --interleave");
	return COMMAND_OK;
}

/* The whole of a matrix file. Free it. NULL: why not is reported. */
static char *read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(RUN_MATRIX_BYTES) : NULL;
	size_t used = text ? fread(text, 1, RUN_MATRIX_BYTES, file) : 0;
	bool good = false;

	/* run.tdo holds the whole text, for --resume. */
	if (!text || ferror(file))
		command_error("run", "the matrix %s cannot be read: %s", path, strerror(errno));
	else if (used == RUN_MATRIX_BYTES)
		command_error("run", "the matrix %s is longer than %d bytes: divide it into several", path,
		        RUN_MATRIX_BYTES - 1);
	else if (memchr(text, '\0', used))
		command_error("run", "the matrix %s is no text file: it holds a zero byte", path);
	else
		good = true;
	if (file)
		fclose(file);
	if (!good) {
		free(text);
		return NULL;
	}
	text[used] = '\0';
	return text;
}

static int load_matrix(struct matrix *matrix, const struct run_options *options, const char *text, const char *name)
{
	FILE *file = fmemopen((void *)text, strlen(text) ? strlen(text) : 1, "r");
	int status;

	if (!file)
		return command_error("run", "%s cannot be read: %s", name, strerror(errno));
	status = matrix_read(matrix, file, name, options->overrides, options->override_count);
	fclose(file);
	return status ? command_error("run", "%s", matrix->error) : COMMAND_OK;
}

/* Drop the cells that an earlier session of this file finished; the rest run again. With rounds, each that is done
 * takes away one. */
static int drop_finished(struct matrix *matrix, struct reader *reader)
{
	bool *finished = calloc(matrix->count + 1, sizeof(*finished));
	size_t kept = 0;

	if (!finished)
		return -ENOMEM;
	for (size_t j = 0; j < reader_cell_count(reader); j++) {
		const struct reader_cell *done = reader_cell(reader, j);

		for (size_t i = 0; i < matrix->count && done->status == CELL_OK; i++) {
			if (finished[i] || !cell_equal(&done->cell, &matrix->cells[i]))
				continue;
			finished[i] = true;
			break;
		}
	}
	for (size_t i = 0; i < matrix->count; i++)
		if (!finished[i])
			matrix->cells[kept++] = matrix->cells[i];
	matrix->count = kept;
	free(finished);
	return 0;
}

/* The built-in matrix names every machine; those this host cannot run at all are left out, and the run says so. */
static void drop_unavailable(struct matrix *matrix, struct run_info *info)
{
	size_t kept = 0;

	for (size_t m = 0; machines[m]; m++) {
		struct refusal why;

		if (machines[m]->probe(&why)) {
			char key[RUN_KEY_BYTES];

			snprintf(key, sizeof(key), "unavailable.%s", machines[m]->name);
			run_info_set(info, key, "%s", why.text);
			printf("%s is not available: %s\n", machines[m]->name, why.text);
		}
	}
	for (size_t i = 0; i < matrix->count; i++) {
		const struct machine_ops *machine = machine_find(matrix->cells[i].value[CELL_MACHINE]);
		struct refusal why;

		if (machine && !machine->probe(&why))
			matrix->cells[kept++] = matrix->cells[i];
	}
	matrix->count = kept;
}

/* Reloading a module takes longer than a cell: cells that want the same of it are run one after another. */
static void group_by_module(struct cell *cells, size_t count)
{
	size_t sorted = 0;

	for (size_t i = 0; i < count; i++) {
		struct kvm_module wanted, other;
		struct cell cell = cells[i];
		size_t at = sorted;

		kvm_module_of_cell(&wanted, &cell);
		for (; at > 0; at--) { /* behind the last cell of the same wish; else at the end */
			kvm_module_of_cell(&other, &cells[at - 1]);
			if (wanted.shadow_vmcs == other.shadow_vmcs && wanted.ept == other.ept)
				break;
		}
		if (at == 0)
			at = sorted;
		memmove(&cells[at + 1], &cells[at], (i - at) * sizeof(cell));
		cells[at] = cell;
		sorted++;
	}
}

/* The cells in the order they will run: rounds, and groups within each round. */
static int arrange(struct matrix *matrix, const struct run_options *options)
{
	size_t rounds = options->interleave.rounds ? options->interleave.rounds : 1, cells = matrix->count;
	char why[320];

	if (options->interleave.rounds && interleave_cells(&options->interleave, matrix, why, sizeof(why)))
		return command_error("run", "%s", why);
	for (size_t round = 0; round < rounds && options->reload_kvm; round++)
		group_by_module(matrix->cells + round * cells, cells);
	return COMMAND_OK;
}

/* Run the cells. Returns how many were not CELL_OK, or -errno with *why when the run itself cannot go on. */
static long run_cells(
        const struct matrix *matrix, struct recorder *recorder, const struct run_options *options, const char **why)
{
	struct cell_result *result = cell_result_share();
	struct progress progress;
	long unsuccessful = 0;
	int status = result ? 0 : -ENOMEM;

	*why = "out of memory";
	progress_begin(&progress, stdout, options->quiet, matrix->cells, matrix->count);
	for (size_t i = 0; i < matrix->count && !status && !stopped; i++) {
		const struct cell *cell = &matrix->cells[i];
		struct refusal refusal;

		status = recorder_begin_cell(recorder, cell);
		if (status) {
			*why = recorder_error(recorder);
			break;
		}
		progress_cell_begin(&progress);
		if ((options->reload_kvm && kvm_module_switch_to(cell, &refusal)) || l0_check_cell(cell, &refusal)) {
			memset(result, 0, sizeof(*result));
			result->status = CELL_REFUSED;
			snprintf(result->reason, sizeof(result->reason), "%s", refusal.text);
		} else {
			status = cell_process_run(cell, recorder, result, &stopped, progress_tick, &progress);
			if (status) {
				*why = strerror(-status);
				break;
			}
		}
		unsuccessful += result->status != CELL_OK;
		progress_cell_end(&progress, result);
		status = recorder_end_cell(recorder, result);
		if (status)
			*why = recorder_error(recorder);
	}
	progress_end(&progress);
	cell_result_unshare(result);
	return status ? status : unsuccessful;
}

/* summary.csv and the table on standard output. */
static int conclude(const struct run_options *options)
{
	struct report_files files = {.folder = options->folder,
	        .page = html_page,
	        .out = options->quiet || options->no_table ? NULL : stdout,
	        .costs = options->costs.name[0] ? &options->costs : NULL,
	        .colours = command_colours(STDOUT_FILENO)};
	char why[256];

	if (report_run(&files, why, sizeof(why)))
		return command_error("run", "%s", why);
	return COMMAND_OK;
}

/* How the host is at the end. A failed write shows in recorder_finish(), too. */
static void note_host(struct recorder *recorder)
{
	struct run_info *info = calloc(1, sizeof(*info));

	if (!info)
		return;
	host_state(info);
	host_own_time(info);
	recorder_host(recorder, info);
	free(info);
}

static int run_matrix(const struct run_options *options, struct matrix *matrix, const char *text, const char *path)
{
	struct recorder_config config = {.path = path, .append = options->resume};
	struct run_info *info = calloc(1, sizeof(*info));
	struct recorder recorder;
	const char *why = "";
	long unsuccessful;
	int status;

	if (!info)
		return command_error("run", "out of memory");
	status = recorder_start(&recorder, &config);
	if (status) {
		free(info);
		if (status == -EEXIST)
			return command_error("run",
			        "%s holds a run already: choose another folder with -o, or go on with it: testudo run "
			        "--resume %s",
			        path, options->folder);
		return command_error("run", "%s", recorder_error(&recorder));
	}
	host_describe(info);
	if (!options->matrix && !options->resume && !overrides(options, "machine"))
		drop_unavailable(matrix, info);
	run_info_set_matrix(info, text);
	interleave_describe(&options->interleave, info);
	for (size_t i = 0; i < options->override_count; i++) {
		char key[RUN_KEY_BYTES];

		snprintf(key, sizeof(key), OVERRIDE_PREFIX "%s", options->overrides[i].key);
		run_info_set(info, key, "%s", options->overrides[i].value);
	}
	status = recorder_begin_run(&recorder, info);
	free(info);
	if (status) {
		command_error("run", "%s", recorder_error(&recorder));
		recorder_finish(&recorder);
		return COMMAND_FAILED;
	}
	if (!options->quiet) {
		printf("%zu cells to %s, written with %s\n", matrix->count, options->folder, recorder_io(&recorder));
		if (options->interleave.rounds)
			printf("%u rounds, shuffled with seed %llu\n", options->interleave.rounds,
			        (unsigned long long)options->interleave.seed);
		fflush(stdout);
	}
	unsuccessful = run_cells(matrix, &recorder, options, &why);
	if (unsuccessful < 0) {
		command_error("run", "the run ends early: %s", why);
		recorder_incomplete(&recorder, why);
	}
	if (stopped)
		recorder_incomplete(&recorder, "testudo was stopped by a signal");
	note_host(&recorder);
	status = recorder_finish(&recorder);
	if (status && unsuccessful >= 0)
		command_error("run", "%s: %s", path, recorder_error(&recorder));
	if (conclude(options) || unsuccessful || status)
		status = COMMAND_FAILED;
	if (stopped) {
		fflush(stdout);
		status = command_error(
		        "run", "stopped by a signal; go on with: testudo run --resume %s", options->folder);
	}
	return status ? COMMAND_FAILED : COMMAND_OK;
}

/* The --set options of the session that began the run. They point into info. */
static void restore_overrides(struct run_options *options, const struct run_info *info)
{
	size_t prefix = strlen(OVERRIDE_PREFIX);

	for (uint32_t i = 0; i < info->pair_count && options->override_count < OVERRIDES_MAX; i++)
		if (!strncmp(info->pairs[i].key, OVERRIDE_PREFIX, prefix))
			options->overrides[options->override_count++] =
			        (struct matrix_override){info->pairs[i].key + prefix, info->pairs[i].value};
}

/* Cells of one run are meant to be compared: say so when those before were made elsewhere. */
static void warn_of_changes(const struct run_info *before)
{
	static const char *const keys[] = {"testudo", "kernel", "cpu", "kvm"};
	struct run_info *now = calloc(1, sizeof(*now));

	if (!now)
		return;
	host_describe(now);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *was = run_info_get(before, keys[i]), *is = run_info_get(now, keys[i]);

		if (was && is && strcmp(was, is))
			fprintf(stderr,
			        "testudo run: the run was begun with %s \"%s\", this is \"%s\": its cells may not "
			        "compare\n",
			        keys[i], was, is);
	}
	free(now);
}

/* --resume: the stored matrix and what is left of it. */
static int run_resume(struct run_options *options, const char *path)
{
	struct run_info *info = calloc(1, sizeof(*info));
	struct reader *reader = NULL;
	struct matrix matrix = {0};
	char why[256];
	int status = COMMAND_FAILED;

	if (!info)
		return command_error("run", "out of memory");
	if (reader_open(&reader, path, why, sizeof(why))) {
		command_error("run", "nothing to resume: %s", why);
	} else if (reader_run_info(reader, 0, info) || !info->matrix[0]) {
		command_error("run", "%s holds no matrix to resume", path);
	} else {
		restore_overrides(options, info);
		warn_of_changes(info);
		interleave_restore(&options->interleave, info);
		status = load_matrix(&matrix, options, info->matrix, path);
	}
	if (status == COMMAND_OK)
		status = arrange(&matrix, options);
	if (status == COMMAND_OK && drop_finished(&matrix, reader))
		status = command_error("run", "out of memory");
	if (status == COMMAND_OK) {
		if (matrix.count)
			status = run_matrix(options, &matrix, info->matrix, path);
		else {
			printf("every cell of %s is done\n", options->folder);
			status = conclude(options);
		}
	}
	matrix_free(&matrix);
	reader_close(reader);
	free(info);
	return status;
}

static int run_new(struct run_options *options, const char *path)
{
	const struct embedded_file *builtin = embedded_find("default.ini");
	char *text = options->matrix ? read_text(options->matrix) : strdup(builtin->data);
	struct matrix matrix = {0};
	int status;

	if (!text)
		return options->matrix ? COMMAND_FAILED : command_error("run", "out of memory");
	status = load_matrix(&matrix, options, text, options->matrix ? options->matrix : "default.ini");
	if (status == COMMAND_OK)
		status = arrange(&matrix, options);
	if (status == COMMAND_OK && options->list) {
		for (size_t i = 0; i < matrix.count; i++) {
			char name[256];

			cell_name(&matrix.cells[i], name, sizeof(name));
			puts(name);
		}
	} else if (status == COMMAND_OK) {
		const int error = folder_make(options->folder);

		if (error)
			status = command_error("run",
			        "the results folder %s cannot be written: %s; choose another with -o", options->folder,
			        strerror(-error));
		else
			status = run_matrix(options, &matrix, text, path);
	}
	matrix_free(&matrix);
	free(text);
	return status;
}

static int run_run(int argc, char **argv)
{
	struct run_options options = {0};
	struct sigaction action = {.sa_handler = on_signal};
	char folder[64], path[4200];
	int status = parse_options(&options, argc, argv);

	if (status)
		return status;
	if (!options.folder) {
		folder_default(folder, sizeof(folder), "");
		options.folder = folder;
	}
	snprintf(path, sizeof(path), "%s/run.tdo", options.folder);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	return options.resume ? run_resume(&options, path) : run_new(&options, path);
}

static void print_keys(void)
{
	puts("\nKeys of a matrix:");
	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		const struct cell_key_info *info = &cell_key_infos[key];
		char allowed[256];

		cell_key_allowed((enum cell_key)key, allowed, sizeof(allowed));
		printf("  %-10s  %s\n              %s (default: %s)\n", info->name, info->text, allowed,
		        info->default_value);
	}
	puts("  exclude     Cells to leave out, such as: exclude = machine=soft workload=touch-4k");
}

const struct command command_run = {
        .name = "run",
        .summary = "Run a matrix of cells and record every exit.",
        .synopsis = "[MATRIX] [-o DIR] [--set KEY=VALUE[,VALUE...]] | --resume DIR",
        .help = "\n"
                "MATRIX is an INI file; without one the built-in default matrix runs. Each section is the Cartesian "
                "product of\n"
                "its comma lists. Each cell runs in a process of its own; one that dies or hangs is marked failed with "
                "the\n"
                "reason and the run goes on; one this host cannot run is \"not available\" with the reason. Exit "
                "status 0\n"
                "only if every cell succeeded. The built-in matrix leaves out machines this host does not have.\n"
                "\n"
                "  -o, --output DIR       run folder (default: results/runs/<date>-<time>)\n"
                "  -s, --set KEY=VALUES   replace a key of every section; may be repeated\n"
                "  -r, --resume DIR       go on with a run that ended early: cells that succeeded are kept\n"
                "  -c, --costs FILE       unit costs for modelled cycles on machine soft (see testudo help report)\n"
                "      --interleave N     run the matrix N times, from the second on in shuffled order: shows how much "
                "a cell "
                "differs from\n"
                "                         itself over time; the rounds of a cell are one row of tables\n"
                "      --seed NUMBER      of the shuffled order; without it a new one, which the run records\n"
                "  -l, --list             print the cells and stop\n"
                "  -q, --quiet            no progress and no table\n"
                "      --no-table         no table at the end\n"
                "      --reload-kvm       load kvm_intel anew where a cell wants other settings of it "
                "(kvm.shadow_vmcs,\n"
                "                         kvm.ept; on nvmx vmcs): needs root, and ends no VM of others\n"
                "\n"
                "Examples:\n"
                "  testudo run\n"
                "  testudo run my.ini -o results/runs/first\n"
                "  testudo run --set machine=soft --set workload=cpuid,pio\n"
                "  testudo run --interleave 5 --set machine=kvm --set samples=20\n"
                "  testudo run --resume results/runs/first\n",
        .print_more = print_keys,
        .run = run_run,
};
