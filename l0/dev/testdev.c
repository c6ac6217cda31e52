/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/testdev.h"

#include <string.h>

#define PORTS_FIRST TESTDEV_PORT_MARK
#define PORTS_LAST (TESTDEV_PORT_TOUCH + 3)

static uint32_t port_in(void *ctx, const struct port_access *access)
{
	const struct testdev *testdev = ctx;

	switch (access->port) {
	case TESTDEV_PORT_LEVEL:
		return access->level;
	case TESTDEV_PORT_PIO:
		return testdev->pio_value;
	default:
		return ~0u;
	}
}

static void port_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct testdev *testdev = ctx;
	const struct testdev_owner *owner = &testdev->owner;

	switch (access->port) {
	case TESTDEV_PORT_MARK:
		owner->mark(owner->ctx, access, (enum testdev_mark)value);
		break;
	case TESTDEV_PORT_PIO:
		testdev->pio_value = value;
		break;
	case TESTDEV_PORT_TIMER:
		testdev->timer_deadline = owner->clock(owner->ctx) + value;
		break;
	case TESTDEV_PORT_CONSOLE:
		console_put(testdev->console, (char)value);
		break;
	case TESTDEV_PORT_END:
		owner->end(owner->ctx, value);
		break;
	case TESTDEV_PORT_TOUCH:
		if (value == TESTDEV_TOUCH_RESET)
			owner->touch_reset(owner->ctx);
		break;
	}
}

/* Registers are 4 bytes wide; other accesses touch the bytes they name. */
static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct testdev *testdev = ctx;
	uint64_t value = ~0ull;

	if (offset + size <= sizeof(testdev->mmio_value)) {
		value = 0;
		memcpy(&value, (const char *)testdev->mmio_value + offset, size);
	}
	return value;
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	if (offset + size <= sizeof(testdev->mmio_value))
		memcpy((char *)testdev->mmio_value + offset, &value, size);
}

int testdev_init(struct testdev *testdev, const struct testdev_owner *owner, struct console *console, struct bus *bus)
{
	const struct port_range ports = {PORTS_FIRST, PORTS_LAST, testdev, port_in, port_out};
	const struct mmio_range mmio = {TESTDEV_MMIO_GPA, TESTDEV_MMIO_SIZE, testdev, mmio_read, mmio_write};
	const int error = bus_add_ports(bus, &ports);

	*testdev = (struct testdev){.owner = *owner, .console = console, .timer_deadline = ~0ull};
	return error ? error : bus_add_mmio(bus, &mmio);
}

bool testdev_timer_fired(struct testdev *testdev, uint64_t now)
{
	if (now < testdev->timer_deadline || testdev->timer_deadline == ~0ull)
		return false;
	testdev->timer_deadline = ~0ull;
	return true;
}
