/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include <string.h>

uint64_t l1_pages_take(struct l1_pages *pages, uint64_t count)
{
	const uint64_t address = pages->next;

	if (count > (pages->end - pages->next) / PAGE_BYTES)
		return 0;
	pages->next += count * PAGE_BYTES;
	memset((void *)address, 0, count * PAGE_BYTES);
	return address;
}
