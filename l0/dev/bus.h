/* SPDX-License-Identifier: Apache-2.0 */
/** Where L0's devices answer: port ranges and MMIO ranges, each with its handlers. */
#ifndef TESTUDO_L0_DEV_BUS_H
#define TESTUDO_L0_DEV_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "shadowvmcs/regs.h"

/** One port access of 1, 2 or 4 bytes. */
struct port_access {
	uint16_t port;
	uint8_t size;
	uint8_t level;                 /**< of the guest */
	const struct guest_regs *regs; /**< the guest's: some test device ports take operands in registers */
};

struct port_range {
	uint16_t first, last;
	void *ctx;
	/** Value read, zero-extended. NULL: reads as all ones. */
	uint32_t (*in)(void *ctx, const struct port_access *access);
	/** NULL: writes are ignored. */
	void (*out)(void *ctx, const struct port_access *access, uint32_t value);
};

struct mmio_range {
	uint64_t gpa, bytes;
	void *ctx;
	uint64_t (*read)(void *ctx, uint64_t offset, unsigned size);
	void (*write)(void *ctx, uint64_t offset, unsigned size, uint64_t value);
};

#define BUS_PORT_RANGES 16
#define BUS_MMIO_RANGES 8

struct bus {
	struct port_range ports[BUS_PORT_RANGES];
	unsigned port_ranges;
	struct mmio_range mmio[BUS_MMIO_RANGES];
	unsigned mmio_ranges;
};

/** 0; -ENOSPC: all ranges are taken; -EEXIST: it overlaps another. Ranges added first are looked at first. */
int bus_add_ports(struct bus *bus, const struct port_range *range);
int bus_add_mmio(struct bus *bus, const struct mmio_range *range);

/** Move the MMIO range of `ctx` that starts at `from`. 0; -ENOENT: there is none; -EEXIST: it would overlap another. */
int bus_move_mmio(struct bus *bus, const void *ctx, uint64_t from, uint64_t to);

/** All ones (of the access's size) where no device answers, as on a PC. */
uint32_t bus_in(const struct bus *bus, const struct port_access *access);
void bus_out(const struct bus *bus, const struct port_access *access, uint32_t value);

/** The range an address is in, or NULL. */
const struct mmio_range *bus_mmio_find(const struct bus *bus, uint64_t gpa);

/* For struct mmio_bus of l0/machine.h; ctx is the bus. */
uint64_t bus_mmio_read(void *bus, uint64_t gpa, unsigned size);
void bus_mmio_write(void *bus, uint64_t gpa, unsigned size, uint64_t value);

#endif
