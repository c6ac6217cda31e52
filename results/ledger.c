/* SPDX-License-Identifier: Apache-2.0 */
#include "results/ledger.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A producer that waits sleeps this long between looks at the tail: the recorder drains thousands of records in it. */
#define LEDGER_WAIT_NS 20000

size_t ledger_shared_bytes(uint64_t capacity)
{
	if (!capacity || capacity & (capacity - 1) || capacity > UINT64_C(1) << 32)
		return 0;
	return sizeof(struct ledger_shared) + (size_t)capacity * sizeof(struct ledger_record);
}

void ledger_shared_init(struct ledger_shared *shared, uint64_t capacity)
{
	memset(shared, 0, sizeof(*shared));
	shared->record_bytes = sizeof(struct ledger_record);
	shared->capacity = capacity;
	shared->magic = LEDGER_MAGIC;
}

int ledger_shared_map(struct ledger_shared **shared, uint64_t capacity)
{
	size_t bytes = ledger_shared_bytes(capacity);
	void *memory;

	if (!bytes)
		return -EINVAL;
	/* Populated now: a page fault in the vCPU thread would be measured as part of an exit. */
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	ledger_shared_init(memory, capacity);
	*shared = memory;
	return 0;
}

void ledger_shared_unmap(struct ledger_shared *shared)
{
	if (shared)
		munmap(shared, ledger_shared_bytes(shared->capacity));
}

void ledger_shared_close(struct ledger_shared *shared)
{
	atomic_store_explicit(&shared->closed, 1, memory_order_release);
}

/* The pages are there, but a process forked since then has not mapped them: its vCPU thread would fault on each. */
static void map_pages(struct ledger_shared *shared)
{
#ifdef MADV_POPULATE_WRITE
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = (uintptr_t)shared & ~(page - 1);
	uintptr_t end = (uintptr_t)shared + ledger_shared_bytes(shared->capacity);

	/* Kernels before 5.14 refuse; the faults are then taken one by one. */
	madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
#endif
}

void ledger_attach(struct ledger *ledger, struct ledger_shared *shared, enum ledger_when_full when_full)
{
	memset(ledger, 0, sizeof(*ledger));
	ledger->shared = shared;
	ledger->when_full = when_full;
	if (!shared)
		return;
	map_pages(shared);
	ledger->mask = shared->capacity - 1;
	ledger->head = atomic_load_explicit(&shared->head, memory_order_relaxed);
	ledger->tail_seen = atomic_load_explicit(&shared->tail, memory_order_acquire);
}

bool ledger_full(struct ledger *ledger)
{
	static const struct timespec nap = {.tv_nsec = LEDGER_WAIT_NS};
	struct ledger_shared *shared = ledger->shared;

	for (;;) {
		/* Acquire: the consumer has finished reading the slots it gave back before we write into them. */
		ledger->tail_seen = atomic_load_explicit(&shared->tail, memory_order_acquire);
		if (ledger->head - ledger->tail_seen <= ledger->mask)
			return true;
		if (ledger->when_full == LEDGER_DROP || atomic_load_explicit(&shared->closed, memory_order_acquire))
			break;
		nanosleep(&nap, NULL);
	}
	atomic_fetch_add_explicit(&shared->dropped, 1, memory_order_relaxed);
	return false;
}

size_t ledger_peek(const struct ledger_shared *shared, const struct ledger_record **records)
{
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
	/* Acquire: pairs with the release in ledger_write. */
	uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);
	uint64_t at = tail & (shared->capacity - 1);
	uint64_t ready = head - tail, to_end = shared->capacity - at;

	*records = &shared->records[at];
	return ready < to_end ? ready : to_end;
}

void ledger_take(struct ledger_shared *shared, size_t count)
{
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);

	/* Release: we have read the slots; only now may the producer write into them. */
	atomic_store_explicit(&shared->tail, tail + count, memory_order_release);
}
