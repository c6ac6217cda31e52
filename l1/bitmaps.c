/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O and MSR bitmaps of L2: everything exits but the ports a workload uses to talk to L0, and the clock MSR. */
#include "abi/testdev.h"
#include "l1.h"

#include <string.h>

uint8_t l1_io_bitmap[2][PAGE_BYTES] __attribute__((aligned(4096)));
uint8_t l1_msr_bitmap[PAGE_BYTES] __attribute__((aligned(4096)));

#define MSR_IA32_TIME_STAMP_COUNTER 0x10u

static void clear_bit(uint8_t *bitmap, unsigned bit)
{
	bitmap[bit / 8] &= (uint8_t) ~(1u << bit % 8);
}

/* A 4-byte access exits if any of its four ports' bits is set (SDM vol. 3, 26.1.3). Bitmap B starts at port 0x8000. */
static void pass_port(uint16_t port)
{
	for (unsigned i = 0; i < 4; i++)
		clear_bit(l1_io_bitmap[port >> 15], (port & 0x7fff) + i);
}

void l1_bitmaps_setup(void)
{
	memset(l1_io_bitmap, 0xff, sizeof(l1_io_bitmap));
	pass_port(TESTDEV_PORT_MARK);
	pass_port(TESTDEV_PORT_LEVEL);
	pass_port(TESTDEV_PORT_CONSOLE);
	pass_port(TESTDEV_PORT_END);

	/* SDM vol. 3, 25.6.9: the first KiB is for reads of MSRs 0 to 0x1fff. */
	memset(l1_msr_bitmap, 0xff, sizeof(l1_msr_bitmap));
	clear_bit(l1_msr_bitmap, MSR_IA32_TIME_STAMP_COUNTER);
}
