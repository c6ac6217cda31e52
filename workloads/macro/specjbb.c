/* SPDX-License-Identifier: Apache-2.0 */
/*
 * specjbb: in the manner of SPECjbb, transactions on orders held in a tree and in lists: objects are allocated from a
 * heap, found by pointer chasing, and dropped; now and then the heap is begun anew and a page of it given back, which
 * is all the kernel sees of it. The checksum is that of a round's first transactions.
 */
#include "workloads/macro/macro.h"

#define WAREHOUSES 64
#define LINES 8
#define HEAP_BYTES (2ull << 20)

struct line {
	struct line *next;
	uint64_t item, amount;
	uint64_t text[5]; /* what an object holds besides */
};

struct order {
	struct order *left, *right;
	uint64_t key, total;
	struct line *lines;
};

static struct order *roots[WAREHOUSES];
static uint8_t *heap;
static uint64_t heap_used;

static void *allocate(uint64_t bytes)
{
	void *object = heap + heap_used;

	if (heap_used + bytes > HEAP_BYTES)
		sys_fail("specjbb: the heap is full, though a round of transactions fits into it.");
	heap_used += bytes;
	return object;
}

static void begin_round(void)
{
	heap = sys_region();
	heap_used = 0;
	for (int i = 0; i < WAREHOUSES; i++)
		roots[i] = (struct order *)0;
}

static struct order *insert(struct order **place, uint64_t key)
{
	while (*place) {
		if ((*place)->key == key)
			return *place;
		place = key < (*place)->key ? &(*place)->left : &(*place)->right;
	}
	*place = allocate(sizeof(**place));
	**place = (struct order){.key = key};
	return *place;
}

/* A new order with its lines, and the total of all orders on the way to it. */
static uint64_t transact(uint64_t *state)
{
	const uint64_t number = macro_random(state);
	struct order *order = insert(&roots[number % WAREHOUSES], number >> 40);
	uint64_t total = 0;

	for (int i = 0; i < LINES; i++) {
		struct line *line = allocate(sizeof(*line));

		*line = (struct line){
		        .next = order->lines, .item = macro_random(state) % 20000, .amount = 1 + (number >> i) % 10};
		order->lines = line;
	}
	for (const struct line *line = order->lines; line; line = line->next)
		order->total += line->item * line->amount;
	for (const struct order *at = roots[number % WAREHOUSES]; at && at != order;
	        at = order->key < at->key ? at->left : at->right)
		total += at->total;
	return total + order->total;
}

#define ROUND 2000
#define HASHED 16

static uint64_t state, hash, first_hash;
static unsigned number;

/* A round is ROUND transactions from the same start; the heap is then used anew, and one page of it given back. */
static void transact_next(void)
{
	if (number == ROUND) {
		number = 0;
		sys_release(heap, 4096);
	}
	if (!number) {
		begin_round();
		state = 42;
		hash = MACRO_HASH_START;
	}
	hash = macro_hash(hash, transact(&state));
	if (++number == HASHED)
		first_hash = hash;
}

/* Once through the heap, so that what is measured is not its first touch. */
static void prepare(void)
{
	for (unsigned i = 0; i < ROUND; i++)
		transact_next();
}

static uint64_t run(uint64_t ops)
{
	for (; ops; ops--)
		transact_next();
	return first_hash;
}

const struct macro macro_specjbb = {.name = "specjbb", .prepare = prepare, .run = run};
