/* SPDX-License-Identifier: Apache-2.0 */
/** The I/O APIC (82093AA, 24 lines): edge and level interrupts to the one local APIC. */
#ifndef TESTUDO_L0_DEV_IOAPIC_H
#define TESTUDO_L0_DEV_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/dev/bus.h"
#include "l0/dev/lapic.h"

#define IOAPIC_GPA 0xfec00000ull
#define IOAPIC_LINES 24

struct ioapic {
	struct lapic *lapic;
	uint32_t lines;                     /**< levels of the pins */
	uint64_t redirection[IOAPIC_LINES]; /**< 63:56 destination, 16 mask, 15 level, 14 remote IRR, 10:8 mode, 7:0
	                                       vector */
	uint8_t index, id;
};

/** Reset and put it on the bus; its interrupts go to `lapic`. 0 or -errno (see bus_add_mmio). */
int ioapic_init(struct ioapic *ioapic, struct lapic *lapic, struct bus *bus);

/** A pin rises or falls. */
void ioapic_set_line(struct ioapic *ioapic, unsigned line, bool high);

/** The local APIC ended the service of a level-triggered vector. For lapic.eoi. */
void ioapic_eoi(void *ioapic, uint8_t vector);

#endif
