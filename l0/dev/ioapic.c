/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/ioapic.h"

#include <string.h>

#define MASKED (1ull << 16)
#define LEVEL (1ull << 15)
#define REMOTE_IRR (1ull << 14)
#define READ_ONLY (REMOTE_IRR | 1ull << 12)
#define MODE(entry) ((entry) >> 8 & 7)
#define MODE_NMI 4
#define VERSION (0x20u | (IOAPIC_LINES - 1) << 16)

enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_REDIRECTION = 0x10 };

static void send(struct ioapic *ioapic, unsigned line)
{
	uint64_t *entry = &ioapic->redirection[line];

	if (*entry & MASKED)
		return;
	if (*entry & LEVEL) {
		if (!(ioapic->lines >> line & 1) || (*entry & REMOTE_IRR))
			return;
		*entry |= REMOTE_IRR;
	}
	if (MODE(*entry) == MODE_NMI)
		ioapic->lapic->nmi_pending = true;
	else
		lapic_raise_line(ioapic->lapic, (uint8_t)*entry, *entry & LEVEL);
}

void ioapic_set_line(struct ioapic *ioapic, unsigned line, bool high)
{
	const uint32_t bit = 1u << (line % 32);
	const bool rises = high && !(ioapic->lines & bit);

	if (line >= IOAPIC_LINES)
		return;
	ioapic->lines = high ? ioapic->lines | bit : ioapic->lines & ~bit;
	if (rises)
		send(ioapic, line);
}

void ioapic_eoi(void *ctx, uint8_t vector)
{
	struct ioapic *ioapic = ctx;

	for (unsigned line = 0; line < IOAPIC_LINES; line++) {
		uint64_t *entry = &ioapic->redirection[line];

		if (!(*entry & LEVEL) || (uint8_t)*entry != vector)
			continue;
		*entry &= ~REMOTE_IRR;
		send(ioapic, line); /* the pin may still be high */
	}
}

static uint32_t read_register(const struct ioapic *ioapic)
{
	const unsigned n = (ioapic->index - REG_REDIRECTION) / 2;

	switch (ioapic->index) {
	case REG_ID:
	case REG_ARBITRATION:
		return (uint32_t)ioapic->id << 24;
	case REG_VERSION:
		return VERSION;
	default:
		if (ioapic->index < REG_REDIRECTION || n >= IOAPIC_LINES)
			return 0;
		return (uint32_t)(ioapic->redirection[n] >> (ioapic->index & 1 ? 32 : 0));
	}
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
	const unsigned n = (ioapic->index - REG_REDIRECTION) / 2;
	uint64_t *entry;

	if (ioapic->index == REG_ID)
		ioapic->id = value >> 24 & 15;
	if (ioapic->index < REG_REDIRECTION || n >= IOAPIC_LINES)
		return;
	entry = &ioapic->redirection[n];
	if (ioapic->index & 1) {
		*entry = (uint32_t)*entry | (uint64_t)value << 32;
		return;
	}
	*entry = (*entry & ~0xffffffffull) | (*entry & READ_ONLY) | (value & 0x1afff);
	/* A pin that became edge-triggered waits for no EOI; one that is level-triggered and high is served now. */
	if (!(*entry & LEVEL))
		*entry &= ~REMOTE_IRR;
	else
		send(ioapic, n);
}

static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct ioapic *ioapic = ctx;

	if (offset == 0)
		return ioapic->index;
	return offset == 0x10 ? read_register(ioapic) : 0;
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ioapic *ioapic = ctx;

	if (offset == 0)
		ioapic->index = (uint8_t)value;
	else if (offset == 0x10)
		write_register(ioapic, (uint32_t)value);
	else if (offset == 0x40)
		ioapic_eoi(ioapic, (uint8_t)value);
}

int ioapic_init(struct ioapic *ioapic, struct lapic *lapic, struct bus *bus)
{
	const struct mmio_range range = {IOAPIC_GPA, 0x1000, ioapic, mmio_read, mmio_write};

	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->lapic = lapic;
	for (unsigned line = 0; line < IOAPIC_LINES; line++)
		ioapic->redirection[line] = MASKED;
	lapic->eoi = ioapic_eoi;
	lapic->eoi_ctx = ioapic;
	return bus_add_mmio(bus, &range);
}
