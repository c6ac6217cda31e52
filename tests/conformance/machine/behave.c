/* SPDX-License-Identifier: Apache-2.0 */
#include "behave.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS (1u << 16)

const char *behave_guest_path, *behave_l1_path;
static unsigned checks, failures;

void behave_need(const char *machine)
{
	const struct machine_ops *ops = machine_find(machine);
	struct refusal why = {"this build does not have it"};

	if (ops && ops->probe(&why) == 0)
		return;
	printf("SKIP: the %s machine does not run here: %s\n", machine, why.text);
	exit(77);
}

void behave_set(struct cell *cell, const char *settings)
{
	char copy[512], why[256];

	snprintf(copy, sizeof(copy), "%s", settings);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		char *value = strchr(word, '=');
		*value++ = 0;
		if (cell_set(cell, word, value, why, sizeof(why))) {
			printf("%s\n", why);
			exit(EXIT_FAILURE);
		}
	}
}

static void count(struct behave_cell *b)
{
	for (uint64_t i = 0; i < b->shared->head; i++) {
		const struct ledger_record *record = &b->shared->records[i];
		if (record->phase != LEDGER_MEASURED || (record->flags & LEDGER_FLAG_MARK))
			continue;
		b->by_reason[record->level][record->reason & 127]++;
		b->by_handler[record->level][record->handler]++;
		b->exits[record->level]++;
		b->enters_l2 += record->flags & LEDGER_FLAG_ENTERS_L2 ? 1 : 0;
	}
	for (uint64_t i = 0; i < b->result.sample_count; i++)
		b->ops += b->result.samples[i].ops;
}

void behave_run(struct behave_cell *b, const char *settings)
{
	const size_t bytes = (ledger_shared_bytes(RECORDS) + 4095) & ~4095ul;
	struct ledger ledger;

	memset(b, 0, sizeof(*b));
	cell_defaults(&b->cell);
	behave_set(&b->cell, settings);
	b->shared = aligned_alloc(4096, bytes);
	if (!b->shared)
		abort();
	ledger_shared_init(b->shared, RECORDS);
	ledger_attach(&ledger, b->shared, LEDGER_DROP);
	l0_run_cell(&b->cell, &ledger, &b->result);
	count(b);
}

void behave_free(struct behave_cell *b)
{
	free(b->shared);
}

int behave_boot(const char *machine, unsigned level, const char *behaviour, char *console, size_t console_bytes,
        struct refusal *why)
{
	FILE *stream = fmemopen(console, console_bytes, "w");
	const struct boot_options options = {.machine = machine,
	        .image = level == 1 ? behave_guest_path : behave_l1_path,
	        .l2_image = level == 1 ? NULL : behave_guest_path,
	        .append = behaviour,
	        .memory_bytes = 64u << 20,
	        .console = stream};
	int status;

	memset(console, 0, console_bytes);
	memset(why, 0, sizeof(*why));
	status = l0_boot(&options, why);
	fclose(stream);
	return status;
}

void behave_check(bool holds, const char *format, ...)
{
	va_list args;

	checks++;
	if (holds)
		return;
	failures++;
	va_start(args, format);
	printf("FAIL: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

int behave_finish(void)
{
	printf("%u checks, %u failures\n", checks, failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
