/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/serial.h"

#include <stddef.h>

#define COM1 0x3f8

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define LCR_DIVISOR 0x80
#define MCR_LOOP 0x10
#define LSR_EMPTY 0x60 /* holding register and shifter empty */

/* Carrier, data set ready, clear to send. In loopback the modem outputs come in: drivers find a UART by that. */
static uint32_t modem_status(const struct serial *serial)
{
	const uint8_t mcr = serial->registers[REG_MCR];

	if (!(mcr & MCR_LOOP))
		return 0xb0;
	return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 0xc) << 4;
}

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
		return modem_status(serial);
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
	else if (reg == REG_DATA && !(serial->registers[REG_MCR] & MCR_LOOP))
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
