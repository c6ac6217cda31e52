/* SPDX-License-Identifier: Apache-2.0 */
/** A serial port that only sends: COM1 at 0x3f8, always ready (LSR reads 0x60). For images that know no test device. */
#ifndef TESTUDO_L0_DEV_SERIAL_H
#define TESTUDO_L0_DEV_SERIAL_H

#include <stdint.h>

#include "l0/dev/bus.h"
#include "l0/dev/console.h"

struct serial {
	struct console *console;
	uint8_t registers[8]; /**< what was written: IER, LCR, MCR, SCR read back */
	uint8_t divisor[2];
};

/** 0 or -errno (see bus_add_ports). */
int serial_init(struct serial *serial, struct console *console, struct bus *bus);

#endif
