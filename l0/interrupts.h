/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The interrupt controllers and timers of a PC, for L1 images that know nothing of Testudo: local APIC, I/O APIC, 8259
 * pair, 8254; and the ports with which test kernels move an interrupt line. The run loop asks what is pending at the
 * machine's present time and delivers it through the engine.
 */
#ifndef TESTUDO_L0_INTERRUPTS_H
#define TESTUDO_L0_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/dev/ioapic.h"
#include "l0/dev/lapic.h"
#include "l0/dev/pic.h"
#include "l0/dev/pit.h"

/** Port + n, value 1 or 0: line n rises or falls. */
#define INTERRUPTS_PORT_LINES 0x2000

struct interrupts {
	bool on; /**< false: own images use the test device's timer alone */
	struct lapic lapic;
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
};

/** Reset them and put them on the bus. `clock` gives L1's TSC, `khz` its ticks per millisecond. 0 or -errno. */
int interrupts_init(
        struct interrupts *interrupts, void *ctx, uint64_t (*clock)(void *ctx), uint64_t khz, struct bus *bus);

/** The vector to deliver now, or -1. It stays pending until interrupts_accept. */
int interrupts_pending(struct interrupts *interrupts);
void interrupts_accept(struct interrupts *interrupts, uint8_t vector);

/** clock() at which something may become pending by itself; ~0 = never. */
uint64_t interrupts_deadline(const struct interrupts *interrupts);

#endif
