/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Integer work as a compiler makes it, without libc and without relocations: the same bytes run as a guest in ring 3
 * and natively. Linked flat at WORKLOAD_BASE, entry first (bench_soft.c).
 */
#include <stdint.h>

#define ROUNDS 12u
#define SORT_COUNT 16384u
#define SIEVE_LIMIT 300000u
#define CRC_BYTES 131072u
#define HASH_SLOTS 8192u
#define MATRIX 40u

/** The caller's zeroed memory. */
struct heap {
	uint32_t crc_table[256];
	uint32_t numbers[SORT_COUNT];
	uint8_t composite[SIEVE_LIMIT];
	uint8_t bytes[CRC_BYTES];
	uint64_t keys[HASH_SLOTS];
	uint32_t counts[HASH_SLOTS];
	int32_t a[MATRIX][MATRIX], b[MATRIX][MATRIX], c[MATRIX][MATRIX];
};

uint64_t workload_entry(struct heap *heap) __attribute__((section(".text.entry")));

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state;
}

static void quicksort(uint32_t *v, int64_t low, int64_t high)
{
	while (low < high) {
		const uint32_t pivot = v[(low + high) / 2];
		int64_t i = low, j = high;

		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				const uint32_t swap = v[i];

				v[i++] = v[j];
				v[j--] = swap;
			}
		}
		if (j - low < high - i) {
			quicksort(v, low, j);
			low = i;
		} else {
			quicksort(v, i, high);
			high = j;
		}
	}
}

static uint32_t sieve(uint8_t *composite)
{
	uint32_t primes = 0;

	for (uint32_t i = 2; i < SIEVE_LIMIT; i++)
		composite[i] = 0;
	for (uint32_t i = 2; i < SIEVE_LIMIT; i++) {
		if (composite[i])
			continue;
		primes++;
		for (uint64_t k = (uint64_t)i * i; k < SIEVE_LIMIT; k += i)
			composite[k] = 1;
	}
	return primes;
}

static uint32_t crc(struct heap *heap)
{
	uint32_t value = ~0u;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
		heap->crc_table[i] = c;
	}
	for (uint32_t i = 0; i < CRC_BYTES; i++)
		value = value >> 8 ^ heap->crc_table[(value ^ heap->bytes[i]) & 0xff];
	return value;
}

static uint64_t hash(struct heap *heap, uint32_t *state)
{
	uint64_t collisions = 0;

	for (uint32_t i = 0; i < HASH_SLOTS; i++)
		heap->keys[i] = heap->counts[i] = 0;
	for (uint32_t i = 0; i < 3 * HASH_SLOTS; i++) {
		const uint64_t key = next(state) % (HASH_SLOTS / 2) + 1;
		uint32_t slot = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 51) % HASH_SLOTS;

		while (heap->keys[slot] && heap->keys[slot] != key) {
			slot = (slot + 1) % HASH_SLOTS;
			collisions++;
		}
		heap->keys[slot] = key;
		heap->counts[slot]++;
	}
	return collisions;
}

static int32_t multiply(struct heap *heap)
{
	int32_t trace = 0;

	for (uint32_t i = 0; i < MATRIX; i++)
		for (uint32_t j = 0; j < MATRIX; j++) {
			int32_t sum = 0;

			for (uint32_t k = 0; k < MATRIX; k++)
				sum += heap->a[i][k] * heap->b[k][j];
			heap->c[i][j] = sum;
		}
	for (uint32_t i = 0; i < MATRIX; i++)
		trace ^= heap->c[i][i];
	return trace;
}

uint64_t workload_entry(struct heap *heap)
{
	uint64_t check = 0;
	uint32_t state = 1;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < SORT_COUNT; i++)
			heap->numbers[i] = next(&state);
		quicksort(heap->numbers, 0, SORT_COUNT - 1);
		check = check * 31 + heap->numbers[SORT_COUNT / 3];
		check = check * 31 + sieve(heap->composite);
		for (uint32_t i = 0; i < CRC_BYTES; i++)
			heap->bytes[i] = (uint8_t)(next(&state) >> 24);
		check = check * 31 + crc(heap);
		check = check * 31 + hash(heap, &state);
		for (uint32_t i = 0; i < MATRIX; i++)
			for (uint32_t j = 0; j < MATRIX; j++) {
				heap->a[i][j] = (int32_t)next(&state) >> 16;
				heap->b[i][j] = (int32_t)next(&state) >> 16;
			}
		check = check * 31 + (uint32_t)multiply(heap);
	}
	return check;
}
