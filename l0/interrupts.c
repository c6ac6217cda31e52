/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/interrupts.h"

#define PIT_LINE 0

int interrupts_init(
        struct interrupts *interrupts, void *ctx, uint64_t (*clock)(void *ctx), uint64_t khz, struct bus *bus)
{
	int error = lapic_init(&interrupts->lapic, ctx, clock, bus);

	if (!error)
		error = pic_init(&interrupts->pic, bus);
	if (!error)
		error = pit_init(&interrupts->pit, ctx, clock, khz, bus);
	interrupts->on = !error;
	return error;
}

/** The timer's output is a short pulse on line 0: edge-triggered, so only its rise counts. */
static void take_timer(struct interrupts *interrupts)
{
	if (!pit_take_interrupt(&interrupts->pit))
		return;
	pic_set_line(&interrupts->pic, PIT_LINE, true);
	pic_set_line(&interrupts->pic, PIT_LINE, false);
}

int interrupts_pending(struct interrupts *interrupts)
{
	const int vector = lapic_pending(&interrupts->lapic);

	take_timer(interrupts);
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
