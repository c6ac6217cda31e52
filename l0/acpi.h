/* SPDX-License-Identifier: Apache-2.0 */
/** The few ACPI tables a foreign image looks for: RSDP, RSDT, FADT, MADT. ACPI specification, chapter 5. */
#ifndef TESTUDO_L0_ACPI_H
#define TESTUDO_L0_ACPI_H

#include <stdint.h>

#include "l0/dev/bus.h"

/** Port of the ACPI power-management timer, and its frequency. */
#define ACPI_PM_TIMER_PORT 0x608
#define ACPI_PM_TIMER_HZ 3579545

/** Write the tables into [0xe0000, 0xe1000) of guest memory. */
void acpi_put_tables(uint8_t *memory);

/** The timer counts by the machine's clock: 24 bits wide. */
struct pm_timer {
	uint64_t (*clock)(void *ctx);
	void *ctx;
	uint64_t clock_khz;
};

/** 0 or -errno (see bus_add_ports). */
int pm_timer_init(struct pm_timer *timer, uint64_t (*clock)(void *ctx), void *ctx, uint64_t clock_khz, struct bus *bus);

#endif
