/* SPDX-License-Identifier: Apache-2.0 */
/** Scripts of ours in a folder, and gnuplot run there. */
#ifndef TESTUDO_CLI_GNUPLOT_H
#define TESTUDO_CLI_GNUPLOT_H

#include <stdbool.h>

#include "cli/embed.h"

/** Put a script into the folder. One that is there, which the user may have edited, stays unless `replace`. 0 or
 * -errno. */
int gnuplot_copy(const char *folder, const struct embedded_file *script, bool replace);
/** Run one script in the folder. COMMAND_OK, or what `command` says about the failure. */
int gnuplot_run(const char *command, const char *gnuplot, const char *folder, const char *script);

#endif
