/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab/lab.h"
#include "lab/stream.h"

#define TICK_MS 200

struct boot {
	struct lab_run *run;
	struct lab_paths paths;
	struct lab_parser parser;
	FILE *file; /* being received */
	pid_t bochs;
	int terminal, port;
};

static int fail(struct lab_run *run, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct lab_run *run, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->why, sizeof(run->why), format, args);
	va_end(args);
	return error;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- before ---- */

void lab_cache_folder(char *path, size_t bytes)
{
	const char *own = getenv("TESTUDO_LAB_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (own && *own)
		snprintf(path, bytes, "%s", own);
	else if (cache && *cache)
		snprintf(path, bytes, "%s/testudo/lab", cache);
	else
		snprintf(path, bytes, "%s/.cache/testudo/lab", home && *home ? home : "/tmp");
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char copy[4096], full[4200], *rest = copy, *folder;

	snprintf(copy, sizeof(copy), "%s", path ? path : "/usr/bin:/bin");
	while ((folder = strsep(&rest, ":"))) {
		snprintf(full, sizeof(full), "%s/%s", *folder ? folder : ".", program);
		if (!access(full, X_OK))
			return true;
	}
	return false;
}

int lab_check(char *why, size_t why_bytes)
{
	static const struct {
		const char *path, *package;
	} needed[] = {{"bochs", "bochs"}, {"/usr/share/bochs/BIOS-bochs-latest", "bochsbios"},
	        {"/usr/share/bochs/VGABIOS-lgpl-latest", "vgabios"},
	        {"/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so", "bochs-term"},
	        {"/usr/lib/ISOLINUX/isolinux.bin", "isolinux"},
	        {"/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"}, {"genisoimage", "genisoimage"},
	        {"cpio", "cpio"}, {"busybox", "busybox-static"}, {"strip", "binutils"}, {"dpkg-deb", "dpkg"}};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		const bool there = needed[i].path[0] == '/' ? !access(needed[i].path, R_OK) : in_path(needed[i].path);

		if (!there) {
			snprintf(why, why_bytes, "%s is missing: tools/install-packages lab, or apt-get install %s",
			        needed[i].path, needed[i].package);
			return -ENOENT;
		}
	}
	return 0;
}

static int make_folders(char *path)
{
	for (char *at = path + 1;; at++) {
		const char end = *at;

		if (end && end != '/')
			continue;
		*at = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			return -errno;
		if (!end)
			return 0;
		*at = '/';
	}
}

static int write_text(const char *folder, const char *name, const char *data, size_t bytes)
{
	char path[4300];
	FILE *file;
	int error;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	error = file && fwrite(data, 1, bytes, file) == bytes ? 0 : -errno;
	if (file && fclose(file))
		error = -errno;
	return error;
}

static int make_folder(struct boot *boot)
{
	struct lab_paths *paths = &boot->paths;
	const char *tmp = getenv("TMPDIR");

	snprintf(paths->folder, sizeof(paths->folder), "%.3900s/testudo-lab-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(paths->folder))
		return -errno;
#define PATH_OF(member, name) snprintf(paths->member, sizeof(paths->member), "%s/" name, paths->folder)
	PATH_OF(iso, "lab.iso");
	PATH_OF(rom, "boot.rom");
	PATH_OF(settings, "bochsrc");
	PATH_OF(debugger, "debugger");
	PATH_OF(serial, "serial");
	PATH_OF(port, "port");
	PATH_OF(log, "bochs.log");
	PATH_OF(screen, "screen");
	return 0;
}

/* What the guest shall find: /command and the caller's files. */
static int write_extra(struct boot *boot, char *extra, size_t extra_bytes)
{
	const struct lab_run *run = boot->run;
	int error;

	snprintf(extra, extra_bytes, "%s/extra", boot->paths.folder);
	error = mkdir(extra, 0777) ? -errno : write_text(extra, "command", run->command, strlen(run->command));
	for (size_t i = 0; i < run->file_count && !error; i++)
		error = write_text(extra, run->files[i].name, run->files[i].data, run->files[i].bytes);
	return error;
}

/* image.sh, its one sentence into run->why. */
static int make_image(struct boot *boot)
{
	struct lab_run *run = boot->run;
	char extra[4200], script[4200], init[4200], cache[2048], line[400];
	int pipes[2], status = 0, error = write_extra(boot, extra, sizeof(extra));
	ssize_t got;
	pid_t child;

	lab_cache_folder(cache, sizeof(cache));
	snprintf(script, sizeof(script), "%s/image.sh", boot->paths.folder);
	snprintf(init, sizeof(init), "%s/init.sh", boot->paths.folder);
	if (!error)
		error = write_text(boot->paths.folder, "image.sh", run->image_sh, strlen(run->image_sh));
	if (!error)
		error = write_text(boot->paths.folder, "init.sh", run->init_sh, strlen(run->init_sh));
	if (error)
		return fail(run, error, "%s cannot be written: %s", boot->paths.folder, strerror(-error));
	error = make_folders(cache);
	if (error)
		return fail(run, error, "the lab's cache %s cannot be made: %s; set TESTUDO_LAB_CACHE", cache,
		        strerror(-error));
	if (pipe2(pipes, O_CLOEXEC))
		return fail(run, -errno, "no pipe: %s", strerror(errno));
	child = fork();
	if (child == 0) {
		dup2(pipes[1], STDERR_FILENO);
		dup2(pipes[1], STDOUT_FILENO);
		execlp("sh", "sh", script, cache, run->testudo, init, extra, boot->paths.iso, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	size_t used = 0;
	while ((got = read(pipes[0], line + used, sizeof(line) - 1 - used)) > 0 &&
	        used + (size_t)got < sizeof(line) - 1)
		used += (size_t)got;
	line[used] = '\0';
	close(pipes[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return fail(run, -errno, "the boot image cannot be made: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		line[strcspn(line, "\n")] = '\0';
		return fail(run, -EIO, "the boot image cannot be made: %s",
		        *line ? line : "image.sh was ended by a signal");
	}
	return 0;
}

/* ---- while it runs ---- */

static int close_file(struct boot *boot)
{
	const int error = boot->file && fclose(boot->file) ? -errno : 0;

	boot->file = NULL;
	return error;
}

static int open_file(struct boot *boot, const char *name)
{
	char path[4400];
	int error = close_file(boot);

	if (error || !boot->run->out_folder)
		return error;
	/* The guest names the file: it stays in the folder. */
	if (!*name || *name == '.' || strchr(name, '/'))
		return -EBADMSG;
	snprintf(path, sizeof(path), "%s/%s", boot->run->out_folder, name);
	boot->file = fopen(path, "we");
	boot->run->files_received += boot->file != NULL;
	return boot->file ? 0 : -errno;
}

static int on_message(void *ctx, enum lab_kind kind, const uint8_t *data, size_t bytes)
{
	struct boot *boot = ctx;
	struct lab_run *run = boot->run;
	char text[256];

	snprintf(
	        text, sizeof(text), "%.*s", (int)(bytes < sizeof(text) ? bytes : sizeof(text) - 1), (const char *)data);
	switch (kind) {
	case LAB_BEGIN:
		run->booted = true;
		return 0;
	case LAB_TEXT:
		if (run->on_text)
			run->on_text(run->ctx, (const char *)data, bytes);
		return 0;
	case LAB_FILE:
		return open_file(boot, text);
	case LAB_DATA:
		return boot->file && fwrite(data, 1, bytes, boot->file) != bytes ? -errno : 0;
	case LAB_END:
		run->ended = true;
		run->status = atoi(text);
		return close_file(boot);
	default:
		return 0;
	}
}

/* What Bochs has written to the parallel port's file since. */
static int drain_port(struct boot *boot)
{
	uint8_t bytes[16384];
	ssize_t got;
	int error = 0;

	if (boot->port < 0)
		boot->port = open(boot->paths.port, O_RDONLY | O_CLOEXEC); /* there before the first byte is not */
	if (boot->port < 0)
		return 0;
	while (!error && (got = read(boot->port, bytes, sizeof(bytes))) > 0)
		error = lab_parser_take(&boot->parser, bytes, (size_t)got);
	return error;
}

/* Bochs draws its screen on its terminal and blocks when nobody reads it. */
static void drain_terminal(struct boot *boot)
{
	struct pollfd ready = {.fd = boot->terminal, .events = POLLIN};
	char bytes[4096];

	if (poll(&ready, 1, TICK_MS) <= 0)
		return;
	if (read(boot->terminal, bytes, sizeof(bytes)) <= 0)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* its end is gone: the process is, soon */
}

/* The line of the guest kernel's panic, when there is one. */
static bool find_panic(const struct boot *boot, char *line, size_t bytes)
{
	FILE *file = fopen(boot->paths.serial, "re");
	bool found = false;

	while (file && !found && fgets(line, (int)bytes, file))
		found = strstr(line, "Kernel panic") != NULL;
	if (file)
		fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	return found;
}

static void kill_bochs(struct boot *boot)
{
	if (boot->bochs > 0) {
		kill(boot->bochs, SIGKILL);
		waitpid(boot->bochs, NULL, 0);
	}
	boot->bochs = 0;
}

/* Does the guest have to be ended? 0 = no; else -errno with the sentence. */
static int look_at(struct boot *boot, double seconds)
{
	struct lab_run *run = boot->run;
	char line[200];

	if (run->stopped && *run->stopped)
		return fail(run, -EINTR, "stopped by a signal");
	if (seconds > run->timeout_s)
		return fail(run, -ETIME, "the lab did not finish within %u s (%s): give it more with --timeout",
		        run->timeout_s, run->booted ? "the command was running" : "its kernel was booting");
	if (find_panic(boot, line, sizeof(line)))
		return fail(run, -EIO, "the lab's kernel panicked: %s", line);
	return 0;
}

static int follow(struct boot *boot)
{
	struct lab_run *run = boot->run;
	const double begun = now_s();
	int error = 0, status;
	bool gone = false;

	while (!gone && !error) {
		drain_terminal(boot);
		gone = waitpid(boot->bochs, &status, WNOHANG) == boot->bochs;
		error = drain_port(boot);
		if (error)
			return fail(run, error, "what the lab sent cannot be taken: %s", strerror(-error));
		if (run->on_tick)
			run->on_tick(run->ctx, run->booted, now_s() - begun);
		if (!gone && !run->ended)
			error = look_at(boot, now_s() - begun);
		else if (run->ended)
			break; /* nothing more will come; power-off takes Bochs a while */
	}
	if (gone)
		boot->bochs = 0;
	if (error || run->ended)
		return error;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fail(run, -ENOENT, "bochs cannot be started: tools/install-packages lab");
	return fail(run, -EIO, "the lab ended before its results were complete (%s): see %s",
	        run->booted ? "the command had begun" : "its kernel did not come up", boot->paths.folder);
}

static void remove_folder(const struct boot *boot)
{
	char command[4200];

	if (!boot->paths.folder[0])
		return;
	snprintf(command, sizeof(command), "rm -rf -- '%s'", boot->paths.folder);
	if (system(command) != 0)
		return;
}

int lab_boot(struct lab_run *run)
{
	struct boot boot = {.run = run, .port = -1, .terminal = -1, .parser = {.on_message = on_message}};
	int error = lab_check(run->why, sizeof(run->why));

	if (error)
		return error;
	boot.parser.ctx = &boot;
	error = make_folder(&boot);
	if (error)
		return fail(run, error, "no folder for the lab: %s", strerror(-error));
	error = make_image(&boot);
	if (!error) {
		error = lab_bochs_prepare(&boot.paths);
		if (error)
			fail(run, error, "%s cannot be written: %s", boot.paths.settings, strerror(-error));
	}
	if (!error) {
		boot.bochs = lab_bochs_start(&boot.paths, &boot.terminal);
		error = boot.bochs < 0 ? fail(run, boot.bochs, "bochs cannot be started: %s", strerror(-boot.bochs))
		                       : 0;
	}
	if (!error)
		error = follow(&boot);
	kill_bochs(&boot);
	close_file(&boot);
	if (boot.terminal >= 0)
		close(boot.terminal);
	if (boot.port >= 0)
		close(boot.port);
	if (error != -EIO) /* else the logs are there to be looked at */
		remove_folder(&boot);
	return error;
}
