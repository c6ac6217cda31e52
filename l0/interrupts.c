/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/interrupts.h"

#include <stddef.h>

#define PIT_LINE 0
/** The 8254 is wired to line 0 of the 8259 and to pin 2 of the I/O APIC. */
#define PIT_PIN 2

static void set_line(struct interrupts *interrupts, unsigned line, unsigned pin, bool high)
{
	if (line < 16)
		pic_set_line(&interrupts->pic, line, high);
	ioapic_set_line(&interrupts->ioapic, pin, high);
}

/** Test kernels raise (1) and lower (0) line n at port 2000H + n. */
static void line_out(void *ctx, const struct port_access *access, uint32_t value)
{
	const unsigned line = access->port - INTERRUPTS_PORT_LINES;

	set_line(ctx, line, line, value & 1);
}

int interrupts_init(
        struct interrupts *interrupts, void *ctx, uint64_t (*clock)(void *ctx), uint64_t khz, struct bus *bus)
{
	const struct port_range lines = {
	        INTERRUPTS_PORT_LINES, INTERRUPTS_PORT_LINES + IOAPIC_LINES - 1, interrupts, NULL, line_out};
	int error = lapic_init(&interrupts->lapic, ctx, clock, bus);

	if (!error)
		error = ioapic_init(&interrupts->ioapic, &interrupts->lapic, bus);
	if (!error)
		error = pic_init(&interrupts->pic, bus);
	if (!error)
		error = pit_init(&interrupts->pit, ctx, clock, khz, bus);
	if (!error)
		error = bus_add_ports(bus, &lines);
	interrupts->on = !error;
	return error;
}

/** The timer's output is a short pulse on line 0: edge-triggered, so only its rise counts. */
static void take_timer(struct interrupts *interrupts)
{
	if (!pit_take_interrupt(&interrupts->pit))
		return;
	set_line(interrupts, PIT_LINE, PIT_PIN, true);
	set_line(interrupts, PIT_LINE, PIT_PIN, false);
}

int interrupts_pending(struct interrupts *interrupts)
{
	int vector;

	take_timer(interrupts);
	vector = lapic_pending(&interrupts->lapic);
	if (vector >= 0 || !lapic_passes_extint(&interrupts->lapic))
		return vector;
	return pic_pending(&interrupts->pic);
}

void interrupts_accept(struct interrupts *interrupts, uint8_t vector)
{
	if (lapic_pending(&interrupts->lapic) == vector)
		lapic_accept(&interrupts->lapic, vector);
	else
		pic_accept(&interrupts->pic);
}

uint64_t interrupts_deadline(const struct interrupts *interrupts)
{
	const uint64_t apic = lapic_deadline(&interrupts->lapic), pit = pit_deadline(&interrupts->pit);

	return apic < pit ? apic : pit;
}
