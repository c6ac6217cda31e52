/* SPDX-License-Identifier: Apache-2.0 */
/** Pages for tables L1 builds: taken from its heap in order, never given back. */
#ifndef TESTUDO_L1_MEM_H
#define TESTUDO_L1_MEM_H

#include <stdint.h>

#define PAGE_BYTES 4096ull
#define LARGE_PAGE_BYTES (2ull << 20)

struct l1_pages {
	uint64_t next; /**< page aligned */
	uint64_t end;
};

/** `count` zeroed pages in a row, or 0 when there are not so many left. Address = pointer: L1 runs on an identity map.
 */
uint64_t l1_pages_take(struct l1_pages *pages, uint64_t count);

#endif
