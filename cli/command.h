/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Subcommands of `testudo`: one file each, one struct command each, listed in main.c.
 */
#ifndef TESTUDO_CLI_COMMAND_H
#define TESTUDO_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Exit status of the command. */
enum {
	COMMAND_OK = 0,
	COMMAND_FAILED = 1, /**< something asked for did not succeed (a cell failed, a file is bad) */
	COMMAND_USAGE = 2,  /**< the command line is wrong */
	COMMAND_SLOWER = 3, /**< compare --fail-on-slower: something is */
};

struct command {
	const char *name;
	const char *summary;               /**< one line for the list */
	const char *synopsis;              /**< after "testudo NAME " */
	const char *help;                  /**< options and examples, as printed by `testudo help NAME` */
	void (*print_more)(void);          /**< the rest of that, where other tables say it; NULL = nothing */
	int (*run)(int argc, char **argv); /**< argv[0] is the subcommand's name; returns an exit status */
};

extern const struct command command_doctor, command_run, command_report, command_plot, command_compare, command_export,
        command_boot, command_lab, command_lab_send, command_reproduce, command_help;
extern const struct command *const commands[];

/** Print "testudo NAME: sentence" to standard error; returns COMMAND_FAILED. */
int command_error(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The same, and where to find help; returns COMMAND_USAGE. */
int command_usage(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** getopt_long found something wrong with argv: say what; returns COMMAND_USAGE. */
int command_bad_option(const char *name, int option, char **argv);

/** Standard output is a terminal that understands colours (and NO_COLOR is not set). */
bool command_colours(int fd);

#endif
