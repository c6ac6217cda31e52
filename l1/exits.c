/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit loop: exit_entry.S saves L2's registers and calls l1_exit_<access>_<profile>(), which handles one exit.
 *
 * Compiled once for each VMCS access (access.h) and profile (profiles.def), so that what a cell's settings decide costs
 * no instruction at an exit. exit_table.def says which function handles which reason; the handlers are in exit_*.h.
 */
#include "exit_devices.h"
#include "exit_events.h"
#include "exit_instructions.h"
#include "log.h"

/* One exit. `log` is a constant: the plain variant has no trace of log and stamps. */
ACCESS_INLINE void exit_handle(const bool log)
{
	if (log)
		log_stamp_begin();
	profile_begin(log);
	if (log)
		log_exit(profile_cache);
	switch ((uint32_t)profile_cache[VMCS_EXIT_REASON]) {
#define EXIT_HANDLER(reason, handler, text)                                                                            \
	case EXIT_REASON_##reason:                                                                                     \
		handler(log);                                                                                          \
		break;
#include "exit_table.def"
#undef EXIT_HANDLER
	default:
		l1_report_exit("has no handler in L1's exit table");
	}
	profile_end();
	if (log)
		log_stamp_end();
}

#define EXITS_PASTE2(a, b) a##b
#define EXITS_PASTE(a, b) EXITS_PASTE2(a, b)
#define EXITS_NAME(name) EXITS_PASTE(EXITS_PASTE(name, L1_ACCESS), L1_PROFILE)

/* ---- what exit_select.c finds by L1_ACCESS and L1_PROFILE: names end in these two digits ---- */

void EXITS_NAME(l1_exit_plain_)(void);
void EXITS_NAME(l1_exit_logged_)(void);
uint64_t *EXITS_NAME(l1_exit_cache_)(void);

void EXITS_NAME(l1_exit_plain_)(void)
{
	exit_handle(false);
}

void EXITS_NAME(l1_exit_logged_)(void)
{
	exit_handle(true);
}

uint64_t *EXITS_NAME(l1_exit_cache_)(void)
{
	return profile_cache;
}
