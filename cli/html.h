/* SPDX-License-Identifier: Apache-2.0 */
/** report.html: what a run was, found and drew, in one file that needs no network. */
#ifndef TESTUDO_CLI_HTML_H
#define TESTUDO_CLI_HTML_H

#include <stddef.h>

/** Write <folder>/report.html from run.tdo and what else is in the folder: plots/, papers/, PAPER.txt. 0, or -errno
 * with a sentence. */
int html_write(const char *folder, char *why, size_t why_bytes);

#endif
