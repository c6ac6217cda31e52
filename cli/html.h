/* SPDX-License-Identifier: Apache-2.0 */
/** report.html: what a run was, found and drew, in one file that needs no network. */
#ifndef TESTUDO_CLI_HTML_H
#define TESTUDO_CLI_HTML_H

#include <stddef.h>

#include "results/summary.h"

/** Write <folder>/report.html of the run that was read, and what else is in the folder: plots/, papers/, PAPER.txt.
 * A report_page_fn. */
int html_page(const char *folder, struct reader *reader, const struct summary *summary, char *why, size_t why_bytes);
/** The same, reading the run. 0, or -errno with a sentence. */
int html_write(const char *folder, char *why, size_t why_bytes);

#endif
