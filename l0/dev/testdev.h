/* SPDX-License-Identifier: Apache-2.0 */
/** The test device of abi/testdev.h: marks, level, pio target, timer, console, end, first-touch region, MMIO page, MSR.
 */
#ifndef TESTUDO_L0_DEV_TESTDEV_H
#define TESTUDO_L0_DEV_TESTDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/testdev.h"
#include "l0/dev/bus.h"
#include "l0/dev/console.h"

/** What the device wants of the VMM. */
struct testdev_owner {
	void *ctx;
	void (*mark)(void *ctx, const struct port_access *access, enum testdev_mark mark);
	uint64_t (*clock)(void *ctx);
	/** The guest ends. */
	void (*end)(void *ctx, uint32_t status);
	/** Unmap the first-touch region in EPT01. */
	void (*touch_reset)(void *ctx);
};

struct testdev {
	struct testdev_owner owner;
	struct console *console;
	uint32_t pio_value;
	uint32_t mmio_value[TESTDEV_MMIO_SIZE / 4];
	uint64_t msr_value;
	uint64_t timer_deadline; /**< clock() value; ~0 = not armed */
};

/** Reset the device and put it on the bus. 0 or -errno (see bus_add_ports). */
int testdev_init(struct testdev *testdev, const struct testdev_owner *owner, struct console *console, struct bus *bus);

/** True once when the timer has fired at clock value `now`; it is then not armed any more. */
bool testdev_timer_fired(struct testdev *testdev, uint64_t now);

#endif
