/* SPDX-License-Identifier: Apache-2.0 */
/** The 8254 timer: channel 0 (interrupt line 0), channel 2 (port 61H), in the machine's time. */
#ifndef TESTUDO_L0_DEV_PIT_H
#define TESTUDO_L0_DEV_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/dev/bus.h"

#define PIT_HZ 1193182ull

struct pit_channel {
	uint8_t mode;   /**< 0 to 5 */
	uint8_t access; /**< 1 low byte, 2 high byte, 3 low then high */
	bool write_high, read_high;
	bool latched, status_latched, armed;
	uint8_t status, low;
	uint16_t latch;
	uint32_t reload;    /**< 1 to 65536 */
	uint64_t start;     /**< clock() when counting began */
	uint64_t delivered; /**< channel 0: rising edges already given to the interrupt line */
};

struct pit {
	void *ctx;
	uint64_t (*clock)(void *ctx);
	uint64_t clock_khz;
	struct pit_channel channel[3];
	uint8_t port61; /**< bit 0 gate of channel 2, bit 1 speaker */
};

/** Reset and put it on the bus: ports 40H to 43H and 61H. clock_khz: ticks of clock() per millisecond. 0 or -errno. */
int pit_init(struct pit *pit, void *ctx, uint64_t (*clock)(void *ctx), uint64_t clock_khz, struct bus *bus);

/** True once for the edges of channel 0's output since the last call. */
bool pit_take_interrupt(struct pit *pit);
/** clock() of the next edge; ~0 = none. */
uint64_t pit_deadline(const struct pit *pit);

#endif
