/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The lab: Debian's kernel with kvm_intel on Bochs' model of an Intel CPU with VT-x, for hosts that have none. One boot
 * runs one shell command; what it prints comes back while it runs, files it leaves in /out at its end.
 *
 *   image.sh    the boot image           init.sh     the first process in it
 *   stream.c    messages guest to host   bochs.c     one run of Bochs: settings, following, ending it
 *   boot.c      all of it: a folder, the image, Bochs, what comes back
 */
#ifndef TESTUDO_LAB_LAB_H
#define TESTUDO_LAB_LAB_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/** A file that the guest shall find. */
struct lab_file {
	const char *name; /**< below /, such as "matrix.ini" */
	const char *data;
	size_t bytes;
};
#define LAB_FILES 8

struct lab_run {
	const char *testudo;  /**< the static binary, /bin/testudo of the guest */
	const char *image_sh; /**< text of image.sh */
	const char *init_sh;  /**< text of init.sh */
	const char *command;  /**< what `sh` shall run */
	struct lab_file files[LAB_FILES];
	size_t file_count;
	const char *out_folder;               /**< where files of /out go; NULL = they are dropped */
	unsigned timeout_s;                   /**< wall time of the whole boot */
	const volatile sig_atomic_t *stopped; /**< not 0: end it; NULL = never */
	/** The guest printed this. */
	void (*on_text)(void *ctx, const char *text, size_t bytes);
	/** About five times a second; `booted`: the command has begun. */
	void (*on_tick)(void *ctx, bool booted, double seconds);
	void *ctx;

	/* What came of it. */
	bool booted, ended;
	int status; /**< of the command, when ended */
	unsigned files_received;
	char why[512];
};

/** 0: the command ran to its end (see status). -errno with the sentence in run->why. */
int lab_boot(struct lab_run *run);

/** Is what the lab needs of this host there? 0, or -ENOENT with the sentence. */
int lab_check(char *why, size_t why_bytes);

/** Guest's side: send standard input (text, file) or nothing (begin, end) through the parallel port. 0 or -errno. */
int lab_send(int argc, char **argv);

/** Where downloads are kept: $TESTUDO_LAB_CACHE, else $XDG_CACHE_HOME/testudo/lab, else ~/.cache/testudo/lab. */
void lab_cache_folder(char *path, size_t bytes);

/* ---- bochs.c ---- */

struct lab_paths {
	char folder[4000]; /**< of this boot; the others are in it */
	char iso[4096], rom[4096], settings[4096], debugger[4096], serial[4096], port[4096], log[4096], screen[4096];
};

/** Bochs' settings file and option ROM. 0 or -errno. */
int lab_bochs_prepare(const struct lab_paths *paths);
/** Start Bochs on a terminal of its own, which it insists on. The process, or -errno. */
int lab_bochs_start(const struct lab_paths *paths, int *terminal);

#endif
