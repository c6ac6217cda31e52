/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/serial.h"

#include <stddef.h>

#define COM1 0x3f8

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define LCR_DIVISOR 0x80
#define LSR_EMPTY 0x60 /* holding register and shifter empty */

static uint32_t port_in(void *ctx, const struct port_access *access)
{
	const struct serial *serial = ctx;
	const unsigned reg = access->port - COM1;
	const bool divisor = serial->registers[REG_LCR] & LCR_DIVISOR;

	switch (reg) {
	case REG_DATA:
		return divisor ? serial->divisor[0] : 0;
	case REG_IER:
		return divisor ? serial->divisor[1] : serial->registers[REG_IER];
	case REG_IIR:
		return 1; /* no interrupt is pending */
	case REG_LSR:
		return LSR_EMPTY;
	case REG_MSR:
		return 0xb0; /* carrier, data set ready, clear to send */
	default:
		return serial->registers[reg];
	}
}

static void port_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct serial *serial = ctx;
	const unsigned reg = access->port - COM1;

	if (reg <= REG_IER && (serial->registers[REG_LCR] & LCR_DIVISOR))
		serial->divisor[reg] = (uint8_t)value;
	else if (reg == REG_DATA)
		console_put(serial->console, (char)value);
	else
		serial->registers[reg] = (uint8_t)value;
}

int serial_init(struct serial *serial, struct console *console, struct bus *bus)
{
	const struct port_range ports = {COM1, COM1 + 7, serial, port_in, port_out};

	*serial = (struct serial){.console = console};
	return bus_add_ports(bus, &ports);
}
