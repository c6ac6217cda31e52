/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables and the pages they give out. Tables and pages come from pools of their own: a frame that was a table
 * never holds data, so that a hypervisor with shadow paging, which write-protects tables, is not asked to guess (Linux'
 * slabs do much the same). Entries are written by plain 8-byte stores.
 */
#include "workloads/kernel/kernel.h"

#include <stddef.h>

#include "workloads/runtime/workload.h"

#define PAGE 4096ull
#define LARGE (2ull << 20)
#define PRESENT 1ull
#define WRITABLE 2ull
#define USER 4ull
#define LARGE_LEAF 0x80ull
#define FRAME(entry) ((entry)&0x000ffffffffff000ull)
#define INDEX(linear, level) ((linear) >> (12 + 9 * (level)) & 511)

/* Memory above the image. The first 4 MiB hold image and variables (macro.ld checks); large pages come from its end. */
#define IMAGE_END (4ull << 20)
#define TABLES_END (6ull << 20)
#define LARGE_PAGES (SYS_REGION_BYTES / LARGE)

struct pool {
	uint64_t next, end; /* never used yet */
	uint64_t *free;     /* given back: each holds the next one's address in its first word */
	uint64_t bytes;
};
static struct pool tables, pages, large_pages;

static uint64_t *shared_directory; /* of the first GiB */

extern const char __text_begin[], __rodata_end[], __user_begin[], __user_end[];

static void *pool_take(struct pool *pool, const char *what)
{
	uint64_t *page = pool->free;

	if (page) {
		pool->free = (uint64_t *)page[0];
		return page;
	}
	if (pool->next + pool->bytes > pool->end)
		print_and_end(TESTDEV_END_FAILED,
		        "The guest kernel has no %s left: the workload asks for more memory than it has.", what);
	page = (uint64_t *)pool->next;
	pool->next += pool->bytes;
	return page;
}

static void pool_give(struct pool *pool, void *page)
{
	((uint64_t *)page)[0] = (uint64_t)pool->free;
	pool->free = page;
}

static void clear_page(void *page, uint64_t bytes)
{
	uint64_t words = bytes / 8;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(words) : "a"(0ull) : "memory");
}

static void set(uint64_t *entry, uint64_t value)
{
	*(volatile uint64_t *)entry = value;
}

/* Tables are all zero while they are free, but for the first word. */
static uint64_t *table_make(void)
{
	uint64_t *table = pool_take(&tables, "page tables");

	set(&table[0], 0);
	return table;
}

/* The table an entry refers to, made if there is none. */
static uint64_t *table_under(uint64_t *entry)
{
	if (!(*entry & PRESENT))
		set(entry, (uint64_t)table_make() | PRESENT | WRITABLE | USER);
	return (uint64_t *)FRAME(*entry);
}

/* ---- what all share ---- */

static uint64_t rights_of(uint64_t linear)
{
	if (linear >= (uint64_t)__text_begin && linear < (uint64_t)__rodata_end)
		return PRESENT | USER;
	if (linear >= (uint64_t)__user_begin && linear < (uint64_t)__user_end)
		return PRESENT | WRITABLE | USER;
	return PRESENT | WRITABLE;
}

static void share_memory(void)
{
	const uint64_t bytes = workload_boot->memory_size;

	shared_directory = table_make();
	for (uint64_t linear = 0; linear < IMAGE_END; linear += PAGE)
		set(&table_under(&shared_directory[linear / LARGE])[INDEX(linear, 0)], linear | rights_of(linear));
	for (uint64_t linear = IMAGE_END; linear < bytes; linear += LARGE)
		set(&shared_directory[linear / LARGE], linear | PRESENT | WRITABLE | LARGE_LEAF);
}

void kernel_memory_setup(void)
{
	const uint64_t end = workload_boot->touch_base, large = end - SYS_REGION_BYTES;

	if (end < TABLES_END + 2 * SYS_REGION_BYTES || (uint64_t)__user_end > IMAGE_END)
		print_and_end(TESTDEV_END_REFUSED, "The guest kernel needs memory up to %x, and boot info gives %x.",
		        TABLES_END + 2 * SYS_REGION_BYTES, end);
	tables = (struct pool){IMAGE_END, TABLES_END, NULL, PAGE};
	pages = (struct pool){TABLES_END, large, NULL, PAGE};
	large_pages = (struct pool){large, end, NULL, LARGE};
	share_memory();
}

/* ---- address spaces ---- */

uint64_t *kernel_space_make(void)
{
	uint64_t *pml4 = table_make(), *pointers = table_under(&pml4[0]);

	set(&pointers[0], (uint64_t)shared_directory | PRESENT | WRITABLE | USER);
	return pml4;
}

void kernel_space_load(const uint64_t *pml4)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(pml4) : "memory");
}

/* Give back what the table refers to; leaves are pages. */
static void empty_table(uint64_t *table, unsigned level)
{
	for (unsigned i = 0; i < 512; i++) {
		uint64_t *under = (uint64_t *)FRAME(table[i]);

		if (!(table[i] & PRESENT))
			continue;
		if (level == 0) {
			pool_give(&pages, under);
		} else if (table[i] & LARGE_LEAF) {
			pool_give(&large_pages, under);
		} else if (under != shared_directory) {
			empty_table(under, level - 1);
			pool_give(&tables, under);
		}
		set(&table[i], 0);
	}
}

void kernel_space_free(uint64_t *pml4)
{
	empty_table(pml4, 3);
	pool_give(&tables, pml4);
}

static bool in_small_region(uint64_t linear)
{
	return linear - KERNEL_REGION < SYS_REGION_BYTES ||
	       linear - (KERNEL_CHILD_STACK_TOP - KERNEL_CHILD_STACK_BYTES) < KERNEL_CHILD_STACK_BYTES;
}

static bool in_large_region(uint64_t linear)
{
	return linear - KERNEL_REGION_LARGE < SYS_REGION_BYTES;
}

static uint64_t *directory_entry(uint64_t *pml4, uint64_t linear)
{
	uint64_t *pointers = table_under(&pml4[0]);

	return &table_under(&pointers[INDEX(linear, 2)])[INDEX(linear, 1)];
}

uint8_t *kernel_page_at(uint64_t *pml4, uint64_t linear)
{
	uint64_t *entry;
	struct pool *pool;
	void *page;

	if (!in_small_region(linear) && !in_large_region(linear))
		return NULL;
	entry = directory_entry(pml4, linear);
	pool = in_large_region(linear) ? &large_pages : &pages;
	if (pool == &pages)
		entry = &table_under(entry)[INDEX(linear, 0)];
	if (*entry & PRESENT)
		return (uint8_t *)FRAME(*entry);
	page = pool_take(pool, "pages");
	clear_page(page, pool->bytes);
	set(entry, (uint64_t)page | PRESENT | WRITABLE | USER | (pool == &large_pages ? LARGE_LEAF : 0));
	return page;
}

void kernel_release(uint64_t *pml4, uint64_t base, uint64_t bytes)
{
	const bool large = in_large_region(base);
	const uint64_t step = large ? LARGE : PAGE;

	for (uint64_t linear = base; linear < base + bytes && (large ? in_large_region : in_small_region)(linear);
	        linear += step) {
		uint64_t *entry = directory_entry(pml4, linear);

		if (!large)
			entry = &table_under(entry)[INDEX(linear, 0)];
		if (!(*entry & PRESENT))
			continue;
		pool_give(large ? &large_pages : &pages, (void *)FRAME(*entry));
		set(entry, 0);
		__asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
	}
}
