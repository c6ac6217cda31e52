/* SPDX-License-Identifier: Apache-2.0 */
/** Run folders. */
#ifndef TESTUDO_CLI_FOLDER_H
#define TESTUDO_CLI_FOLDER_H

#include <stddef.h>

/** "results/runs/DATE-TIME" and the suffix. */
void folder_default(char *path, size_t bytes, const char *suffix);
/** mkdir -p, and it can be written. 0 or -errno. */
int folder_make(const char *path);
/** The same; -EEXIST when it holds a run.tdo. */
int folder_make_new(const char *path);

#endif
