/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

const struct command *const commands[] = {&command_doctor, &command_run, &command_report, &command_plot,
        &command_compare, &command_export, &command_reproduce, &command_boot, &command_lab, &command_lab_send,
        &command_help, NULL};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void print_overview(FILE *out)
{
	fputs("Testudo: a nested-virtualization research testbed.\n\nUsage: testudo COMMAND [ARGUMENTS]\n\n", out);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nStart with:\n"
	      "  testudo doctor                what this host can run\n"
	      "  testudo run                   the default matrix: table, summary.csv, run.tdo\n"
	      "  testudo help run              options and examples of one command\n",
	        out);
}

static void print_command_help(const struct command *command)
{
	printf("Usage: testudo %s %s\n\n%s\n%s", command->name, command->synopsis, command->summary, command->help);
	if (command->print_more)
		command->print_more();
}

static int run_help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_overview(stdout);
		return COMMAND_OK;
	}
	command = find_command(argv[1]);
	if (!command)
		return command_usage("help", "there is no command \"%s\"", argv[1]);
	print_command_help(command);
	return COMMAND_OK;
}

const struct command command_help = {
        .name = "help",
        .summary = "Help on a command, with examples.",
        .synopsis = "[COMMAND]",
        .help = "\nExamples:\n  testudo help run\n",
        .run = run_help,
};

static void print_message(const char *name, const char *format, va_list arguments)
{
	fprintf(stderr, "testudo %s: ", name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int command_error(const char *name, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_message(name, format, arguments);
	va_end(arguments);
	return COMMAND_FAILED;
}

int command_usage(const char *name, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_message(name, format, arguments);
	va_end(arguments);
	fprintf(stderr, "See: testudo help %s\n", name);
	return COMMAND_USAGE;
}

int command_bad_option(const char *name, int option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option == ':')
		return command_usage(name, "%s wants a value", word);
	return command_usage(name, "there is no option %s", word);
}

bool command_colours(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && !getenv("NO_COLOR") && term && strcmp(term, "dumb");
}

/* A standard descriptor that is closed would be the next file to be opened, run.tdo say, and take the messages. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Whether standard output took everything. A reader that has seen enough (| head -1) is no failure. */
static int finish_output(const char *name, int status)
{
	struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};

	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (status || errno == EPIPE || (poll(&reader, 1, 0) > 0 && reader.revents & POLLERR))
		return status;
	return command_error(name, "standard output cannot be written: %s", strerror(errno ? errno : EIO));
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_overview(argc < 2 ? stderr : stdout);
		return argc < 2 ? COMMAND_USAGE : COMMAND_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("testudo " TESTUDO_VERSION);
		return COMMAND_OK;
	}
	command = find_command(argv[1]);
	if (!command) {
		fprintf(stderr, "testudo: there is no command \"%s\"\n\n", argv[1]);
		print_overview(stderr);
		return COMMAND_USAGE;
	}
	if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
		print_command_help(command);
		return COMMAND_OK;
	}
	opterr = 0;
	return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	open_standard_streams();
	return finish_output(argc > 1 ? argv[1] : "help", dispatch(argc, argv));
}
