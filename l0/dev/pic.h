/* SPDX-License-Identifier: Apache-2.0 */
/** The pair of 8259A interrupt controllers: lines 0 to 7 on the first, 8 to 15 on the second, cascaded through line 2.
 */
#ifndef TESTUDO_L0_DEV_PIC_H
#define TESTUDO_L0_DEV_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/dev/bus.h"

struct pic_chip {
	uint8_t irr, isr, imr, lines;
	uint8_t level;     /**< lines that are level-triggered (ELCR) */
	uint8_t base;      /**< vector of line 0 (ICW2) */
	uint8_t init_step; /**< the ICW expected next; 0 = initialised */
	bool needs_icw4, read_isr, auto_eoi;
};

struct pic {
	struct pic_chip chip[2];
};

/** Reset and put it on the bus: ports 20H, 21H, A0H, A1H, 4D0H, 4D1H. 0 or -errno. */
int pic_init(struct pic *pic, struct bus *bus);

/** A line rises or falls. */
void pic_set_line(struct pic *pic, unsigned line, bool high);

/** The vector INTA would give now, or -1 while INTR is low. */
int pic_pending(const struct pic *pic);
/** INTA: the highest pending line goes into service. */
void pic_accept(struct pic *pic);

#endif
