/* SPDX-License-Identifier: Apache-2.0 */
/** What the two first-touch workloads share: they differ in the page size alone. */
#ifndef TESTUDO_WORKLOADS_TOUCH_H
#define TESTUDO_WORKLOADS_TOUCH_H

#include "workloads/runtime/workload.h"

/** What this sample's stores write; another value in each sample, so that a lost store cannot look right. */
static uint64_t touch_value;

/** Ends the guest unless boot info gives a region of at least one page of this size and says the same size. */
static inline void touch_check_region(uint64_t page_bytes)
{
	if (workload_boot->touch_page_size != page_bytes || workload_boot->touch_size < page_bytes)
		print_and_end(TESTDEV_END_REFUSED,
		        "Boot info gives a first-touch region of %u bytes in pages of %u: this workload needs pages of "
		        "%u.",
		        workload_boot->touch_size, workload_boot->touch_page_size, page_bytes);
}

/** Unmap the region; whoever owns the second-level page tables hears of it. */
static inline void touch_reset(void)
{
	touch_value++;
	io_out32(TESTDEV_PORT_TOUCH, TESTDEV_TOUCH_RESET);
}

static inline __attribute__((always_inline)) void touch_page(uint64_t address, bool store)
{
	if (store)
		__asm__ volatile(SITE(SITE_TOUCH, 0, "movq %%rax, (%%rdi)")
		                 :
		                 : "a"(touch_value), "D"(address)
		                 : "memory");
	else
		__asm__ volatile("" : : "a"(touch_value), "D"(address) : "memory");
}

/** One store to each of `ops` pages, or the same loop without the store. */
static inline __attribute__((always_inline)) void touch_loop(uint64_t ops, uint64_t page_bytes, bool store)
{
	uint64_t address = workload_boot->touch_base;
	struct boot_stamps *stamps = &workload_boot->stamps;

	if (!(workload_boot->flags & BOOT_FLAG_STAMPS)) {
		for (; ops; ops--, address += page_bytes)
			touch_page(address, store);
		return;
	}
	for (; ops; ops--, address += page_bytes) {
		*(volatile uint64_t *)&stamps->l2_before = cpu_rdtsc();
		touch_page(address, store);
		*(volatile uint64_t *)&stamps->l2_after = cpu_rdtsc();
	}
}

/** Ends the guest unless each of the pages holds this sample's value. */
static inline void touch_check_pages(uint64_t ops, uint64_t page_bytes)
{
	uint64_t address = workload_boot->touch_base;

	for (uint64_t page = 0; page < ops; page++, address += page_bytes)
		if (*(volatile uint64_t *)address != touch_value)
			print_and_end(TESTDEV_END_FAILED, "Page %u at %x holds %x after a store of %x.", page, address,
			        *(volatile uint64_t *)address, touch_value);
}

#endif
