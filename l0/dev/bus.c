/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/bus.h"

#include <errno.h>
#include <stddef.h>

int bus_add_ports(struct bus *bus, const struct port_range *range)
{
	if (bus->port_ranges == BUS_PORT_RANGES)
		return -ENOSPC;
	for (unsigned i = 0; i < bus->port_ranges; i++) {
		if (range->first <= bus->ports[i].last && bus->ports[i].first <= range->last)
			return -EEXIST;
	}
	bus->ports[bus->port_ranges++] = *range;
	return 0;
}

int bus_add_mmio(struct bus *bus, const struct mmio_range *range)
{
	if (bus->mmio_ranges == BUS_MMIO_RANGES)
		return -ENOSPC;
	for (unsigned i = 0; i < bus->mmio_ranges; i++) {
		const struct mmio_range *other = &bus->mmio[i];
		if (range->gpa < other->gpa + other->bytes && other->gpa < range->gpa + range->bytes)
			return -EEXIST;
	}
	bus->mmio[bus->mmio_ranges++] = *range;
	return 0;
}

static const struct port_range *find_port(const struct bus *bus, uint16_t port)
{
	for (unsigned i = 0; i < bus->port_ranges; i++) {
		if (port >= bus->ports[i].first && port <= bus->ports[i].last)
			return &bus->ports[i];
	}
	return NULL;
}

int bus_move_mmio(struct bus *bus, const void *ctx, uint64_t from, uint64_t to)
{
	struct mmio_range *moved = NULL;

	for (unsigned i = 0; i < bus->mmio_ranges; i++)
		if (bus->mmio[i].ctx == ctx && bus->mmio[i].gpa == from)
			moved = &bus->mmio[i];
	if (!moved)
		return -ENOENT;
	for (unsigned i = 0; i < bus->mmio_ranges; i++) {
		const struct mmio_range *other = &bus->mmio[i];
		if (other != moved && to < other->gpa + other->bytes && other->gpa < to + moved->bytes)
			return -EEXIST;
	}
	moved->gpa = to;
	return 0;
}

static uint32_t size_mask(unsigned size)
{
	return size >= 4 ? ~0u : (1u << (8 * size)) - 1;
}

uint32_t bus_in(const struct bus *bus, const struct port_access *access)
{
	const struct port_range *range = find_port(bus, access->port);

	return (range && range->in ? range->in(range->ctx, access) : ~0u) & size_mask(access->size);
}

void bus_out(const struct bus *bus, const struct port_access *access, uint32_t value)
{
	const struct port_range *range = find_port(bus, access->port);

	if (range && range->out)
		range->out(range->ctx, access, value & size_mask(access->size));
}

const struct mmio_range *bus_mmio_find(const struct bus *bus, uint64_t gpa)
{
	for (unsigned i = 0; i < bus->mmio_ranges; i++) {
		if (gpa - bus->mmio[i].gpa < bus->mmio[i].bytes)
			return &bus->mmio[i];
	}
	return NULL;
}

uint64_t bus_mmio_read(void *bus, uint64_t gpa, unsigned size)
{
	const struct mmio_range *range = bus_mmio_find(bus, gpa);

	return range && range->read ? range->read(range->ctx, gpa - range->gpa, size) : ~0ull;
}

void bus_mmio_write(void *bus, uint64_t gpa, unsigned size, uint64_t value)
{
	const struct mmio_range *range = bus_mmio_find(bus, gpa);

	if (range && range->write)
		range->write(range->ctx, gpa - range->gpa, size, value);
}
