/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process: a compile job in small. README.md says where the proportions come from. One operation: the parent makes two
 * processes (the compiler and the assembler behind a pipe) and waits for both.
 */
#include "workloads/macro/macro.h"

#define IMAGE_PAGES 4 /* what exec and the loader read */
#define HEAP_PAGES 16 /* touched first by the process itself */
#define COPY_PAGES 2  /* copied inside it */
#define SYSCALLS 15
#define SWITCHES 1
#define TICK_US 1000 /* one tick of a kernel with HZ=1000, of the two in a job's time */
#define PASSES 160   /* over the image's words: the compiling */

#define PAGE 4096ull
#define IMAGE_BYTES (IMAGE_PAGES * PAGE)

static uint64_t compile(uint64_t seed)
{
	uint8_t *image = sys_region(), *heap = image + IMAGE_BYTES, *copy = heap + HEAP_PAGES * PAGE;
	uint64_t hash = macro_hash(MACRO_HASH_START, seed);

	sys_read(image, 0, IMAGE_BYTES);
	for (int page = 0; page < HEAP_PAGES; page++)
		*(volatile uint64_t *)(heap + page * PAGE) = seed + (uint64_t)page;
	for (int page = 0; page < COPY_PAGES; page++) {
		const uint64_t *from = (const uint64_t *)(image + page * PAGE);
		uint64_t *to = (uint64_t *)(copy + page * PAGE);

		for (int i = 0; i < 512; i++)
			to[i] = from[i] ^ seed;
	}
	for (int i = 0; i < SYSCALLS; i++)
		sys_null();
	for (int i = 0; i < SWITCHES; i++)
		sys_yield();
	for (int pass = 0; pass < PASSES; pass++)
		for (uint64_t at = 0; at < IMAGE_BYTES; at += 8)
			hash = macro_hash(hash, *(const uint64_t *)(image + at));
	for (int page = 0; page < HEAP_PAGES; page++)
		hash = macro_hash(hash, *(const uint64_t *)(heap + page * PAGE));
	return macro_hash(hash, *(const uint64_t *)(copy + COPY_PAGES * PAGE - 8));
}

static uint64_t run(uint64_t ops)
{
	uint64_t hash = 0;

	for (; ops; ops--) {
		sys_timer_arm(TICK_US);
		const uint64_t compiler = sys_spawn(compile, 1), assembler = sys_spawn(compile, 2);
		const uint64_t first = sys_wait(compiler), second = sys_wait(assembler);

		hash = macro_hash(macro_hash(MACRO_HASH_START, first), second);
	}
	return hash;
}

const struct macro macro_process = {.name = "process", .run = run};
