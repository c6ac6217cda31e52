/* SPDX-License-Identifier: Apache-2.0 */
/* touch-4k: the first store to each 4 KiB page of a region that has no second-level mapping. */
#include "touch.h"

#define PAGE_BYTES 4096ull

static void setup(void)
{
	touch_check_region(PAGE_BYTES);
}

static void control(uint64_t ops)
{
	touch_loop(ops, PAGE_BYTES, false);
}

static void measured(uint64_t ops)
{
	touch_loop(ops, PAGE_BYTES, true);
}

static void after(uint64_t ops)
{
	touch_check_pages(ops, PAGE_BYTES);
}

static uint64_t ops_limit(void)
{
	return workload_boot->touch_size / PAGE_BYTES;
}

WORKLOAD_DEFINE(touch_4k) = {.name = "touch-4k",
        .setup = setup,
        .before = touch_reset,
        .control = control,
        .measured = measured,
        .after = after,
        .ops_limit = ops_limit};
