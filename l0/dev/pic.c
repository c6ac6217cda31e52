/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/pic.h"

#include <string.h>

#define CASCADE_LINE 2
#define ICW1 0x10
#define ICW1_NEEDS_ICW4 0x01
#define OCW3 0x08
#define EOI_SPECIFIC 0x40
#define EOI 0x20

/** The line a chip would serve: the lowest number requests first, and only above what is in service. -1 = none. */
static int best_line(const struct pic_chip *chip)
{
	const uint8_t requests = chip->irr & (uint8_t)~chip->imr;

	for (int line = 0; line < 8; line++) {
		if (chip->isr >> line & 1)
			return -1;
		if (requests >> line & 1)
			return line;
	}
	return -1;
}

/** The second chip's output is the first one's line 2. */
static void cascade(struct pic *pic)
{
	const uint8_t bit = 1 << CASCADE_LINE;

	if (best_line(&pic->chip[1]) >= 0)
		pic->chip[0].irr |= bit;
	else
		pic->chip[0].irr &= (uint8_t)~bit;
}

void pic_set_line(struct pic *pic, unsigned line, bool high)
{
	struct pic_chip *chip = &pic->chip[line / 8 & 1];
	const uint8_t bit = (uint8_t)(1u << (line & 7));

	if (chip->level & bit) {
		if (high)
			chip->irr |= bit;
		else
			chip->irr &= (uint8_t)~bit;
	} else if (high && !(chip->lines & bit)) {
		chip->irr |= bit;
	}
	chip->lines = high ? chip->lines | bit : chip->lines & (uint8_t)~bit;
	cascade(pic);
}

int pic_pending(const struct pic *pic)
{
	const int line = best_line(&pic->chip[0]);
	int second;

	if (line != CASCADE_LINE)
		return line < 0 ? -1 : pic->chip[0].base + line;
	second = best_line(&pic->chip[1]);
	return second < 0 ? -1 : pic->chip[1].base + second;
}

static void serve(struct pic_chip *chip, int line)
{
	const uint8_t bit = (uint8_t)(1u << line);

	if (!(chip->level & bit))
		chip->irr &= (uint8_t)~bit;
	if (!chip->auto_eoi)
		chip->isr |= bit;
}

void pic_accept(struct pic *pic)
{
	const int line = best_line(&pic->chip[0]);
	int second;

	if (line < 0)
		return;
	if (line == CASCADE_LINE) {
		second = best_line(&pic->chip[1]);
		if (second >= 0)
			serve(&pic->chip[1], second);
	}
	serve(&pic->chip[0], line);
	cascade(pic);
}

static void write_command(struct pic_chip *chip, uint8_t value)
{
	if (value & ICW1) {
		*chip = (struct pic_chip){.level = chip->level,
		        .lines = chip->lines,
		        .init_step = 2,
		        .needs_icw4 = value & ICW1_NEEDS_ICW4};
	} else if (value & OCW3) {
		if (value & 2)
			chip->read_isr = value & 1;
	} else if (value & EOI) {
		if (value & EOI_SPECIFIC)
			chip->isr &= (uint8_t) ~(1u << (value & 7));
		else
			chip->isr &= (uint8_t)(chip->isr - 1); /* the highest priority: the lowest bit */
	}
}

static void write_data(struct pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->base = value & 0xf8;
		chip->init_step = 3;
		return;
	case 3:
		chip->init_step = chip->needs_icw4 ? 4 : 0;
		return;
	case 4:
		chip->auto_eoi = value & 2;
		chip->init_step = 0;
		return;
	default:
		chip->imr = value;
	}
}

static struct pic_chip *chip_at(struct pic *pic, uint16_t port)
{
	return &pic->chip[port >= 0xa0];
}

static uint32_t port_in(void *ctx, const struct port_access *access)
{
	const struct pic_chip *chip = chip_at(ctx, access->port);

	if (access->port & 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void port_out(void *ctx, const struct port_access *access, uint32_t value)
{
	if (access->port & 1)
		write_data(chip_at(ctx, access->port), (uint8_t)value);
	else
		write_command(chip_at(ctx, access->port), (uint8_t)value);
	cascade(ctx);
}

static uint32_t elcr_in(void *ctx, const struct port_access *access)
{
	const struct pic *pic = ctx;

	return pic->chip[access->port & 1].level;
}

static void elcr_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct pic *pic = ctx;

	/* Lines 0, 1, 2, 8 and 13 are edge-triggered on every PC. */
	pic->chip[access->port & 1].level = (uint8_t)(value & (access->port & 1 ? 0xde : 0xf8));
}

int pic_init(struct pic *pic, struct bus *bus)
{
	const struct port_range ranges[] = {
	        {0x20, 0x21, pic, port_in, port_out},
	        {0xa0, 0xa1, pic, port_in, port_out},
	        {0x4d0, 0x4d1, pic, elcr_in, elcr_out},
	};
	int error = 0;

	memset(pic, 0, sizeof(*pic));
	/* As firmware leaves it: vectors 8 and 70H, everything masked but the cascade. */
	pic->chip[0] = (struct pic_chip){.base = 0x08, .imr = 0xfb};
	pic->chip[1] = (struct pic_chip){.base = 0x70, .imr = 0xff};
	for (unsigned i = 0; i < 3 && !error; i++)
		error = bus_add_ports(bus, &ranges[i]);
	return error;
}
