/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/pit.h"

#include <string.h>

static bool is_periodic(const struct pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/** Counts since the channel began. */
static uint64_t elapsed(const struct pit *pit, const struct pit_channel *channel)
{
	const uint64_t ticks = pit->clock(pit->ctx) - channel->start;

	return (uint64_t)((unsigned __int128)ticks * PIT_HZ / (pit->clock_khz * 1000));
}

/** Clock ticks until `counts` have passed, rounded up. */
static uint64_t ticks_of(const struct pit *pit, uint64_t counts)
{
	return (uint64_t)(((unsigned __int128)counts * pit->clock_khz * 1000 + PIT_HZ - 1) / PIT_HZ);
}

static uint16_t count_now(const struct pit *pit, const struct pit_channel *channel)
{
	const uint64_t counts = elapsed(pit, channel);

	if (!channel->armed)
		return (uint16_t)channel->reload;
	if (is_periodic(channel)) {
		const uint64_t step = channel->mode == 3 ? 2 : 1; /* a square wave counts by two */

		return (uint16_t)(channel->reload - counts * step % channel->reload);
	}
	return (uint16_t)(channel->reload - counts);
}

static bool output(const struct pit *pit, const struct pit_channel *channel)
{
	const uint64_t counts = elapsed(pit, channel);

	if (!channel->armed)
		return channel->mode != 0;
	switch (channel->mode) {
	case 2:
		return counts % channel->reload != channel->reload - 1;
	case 3:
		return counts % channel->reload < (channel->reload + 1) / 2;
	default:
		return counts >= channel->reload;
	}
}

/** Rising edges of the output since the channel began. */
static uint64_t edges(const struct pit *pit, const struct pit_channel *channel)
{
	const uint64_t counts = elapsed(pit, channel);

	if (!channel->armed)
		return 0;
	return is_periodic(channel) ? counts / channel->reload : counts >= channel->reload;
}

bool pit_take_interrupt(struct pit *pit)
{
	struct pit_channel *channel = &pit->channel[0];
	const uint64_t seen = edges(pit, channel);
	const bool fresh = seen > channel->delivered;

	channel->delivered = seen;
	return fresh;
}

uint64_t pit_deadline(const struct pit *pit)
{
	const struct pit_channel *channel = &pit->channel[0];

	if (!channel->armed || (!is_periodic(channel) && channel->delivered))
		return ~0ull;
	return channel->start + ticks_of(pit, (channel->delivered + 1) * channel->reload);
}

static void load(struct pit *pit, struct pit_channel *channel, uint16_t value)
{
	channel->reload = value ? value : 0x10000;
	channel->start = pit->clock(pit->ctx);
	channel->delivered = 0;
	channel->armed = true;
}

static void write_channel(struct pit *pit, struct pit_channel *channel, uint8_t value)
{
	switch (channel->access) {
	case 1:
		load(pit, channel, value);
		break;
	case 2:
		load(pit, channel, (uint16_t)(value << 8));
		break;
	default:
		if (channel->write_high)
			load(pit, channel, (uint16_t)(value << 8 | channel->low));
		else
			channel->low = value;
		channel->write_high = !channel->write_high;
	}
}

static uint8_t read_channel(struct pit *pit, struct pit_channel *channel)
{
	const uint16_t value = channel->latched ? channel->latch : count_now(pit, channel);
	const bool high = channel->access == 2 || (channel->access == 3 && channel->read_high);

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	if (channel->access == 3)
		channel->read_high = !channel->read_high;
	if (channel->access != 3 || !channel->read_high)
		channel->latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

static void latch(struct pit *pit, struct pit_channel *channel)
{
	if (channel->latched)
		return;
	channel->latch = count_now(pit, channel);
	channel->latched = true;
}

static void latch_status(struct pit *pit, struct pit_channel *channel)
{
	channel->status =
	        (uint8_t)(output(pit, channel) << 7 | !channel->armed << 6 | channel->access << 4 | channel->mode << 1);
	channel->status_latched = true;
}

/** 11: read-back of several channels; bits 5 and 4 low: latch count, latch status. */
static void read_back(struct pit *pit, uint8_t value)
{
	for (unsigned n = 0; n < 3; n++) {
		if (!(value >> (n + 1) & 1))
			continue;
		if (!(value & 0x20))
			latch(pit, &pit->channel[n]);
		if (!(value & 0x10))
			latch_status(pit, &pit->channel[n]);
	}
}

static void write_control(struct pit *pit, uint8_t value)
{
	struct pit_channel *channel;

	if (value >> 6 == 3) {
		read_back(pit, value);
		return;
	}
	channel = &pit->channel[value >> 6];
	if (!(value >> 4 & 3)) {
		latch(pit, channel);
		return;
	}
	*channel = (struct pit_channel){.access = value >> 4 & 3, .mode = value >> 1 & 7, .reload = 0x10000};
	if (channel->mode > 5)
		channel->mode -= 4; /* 6 and 7 are 2 and 3 */
}

static uint32_t port_in(void *ctx, const struct port_access *access)
{
	struct pit *pit = ctx;

	return access->port == 0x43 ? 0xff : read_channel(pit, &pit->channel[access->port - 0x40]);
}

static void port_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct pit *pit = ctx;

	if (access->port == 0x43)
		write_control(pit, (uint8_t)value);
	else
		write_channel(pit, &pit->channel[access->port - 0x40], (uint8_t)value);
}

/** Port 61H: bit 5 is channel 2's output; bit 4 toggles with memory refresh (15 us), which some kernels wait for. */
static uint32_t port61_in(void *ctx, const struct port_access *access)
{
	struct pit *pit = ctx;
	const uint64_t refresh = pit->clock(pit->ctx) * 1000 / pit->clock_khz / 15000;

	return (pit->port61 & 3u) | (uint32_t)(refresh & 1) << 4 | (uint32_t)output(pit, &pit->channel[2]) << 5;
}

static void port61_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct pit *pit = ctx;
	struct pit_channel *channel = &pit->channel[2];

	/* A rising gate starts the count again. */
	if ((value & 1) && !(pit->port61 & 1) && channel->armed)
		channel->start = pit->clock(pit->ctx);
	pit->port61 = (uint8_t)(value & 3);
}

int pit_init(struct pit *pit, void *ctx, uint64_t (*clock)(void *ctx), uint64_t clock_khz, struct bus *bus)
{
	const struct port_range timer = {0x40, 0x43, pit, port_in, port_out};
	const struct port_range gate = {0x61, 0x61, pit, port61_in, port61_out};
	int error;

	memset(pit, 0, sizeof(*pit));
	pit->ctx = ctx;
	pit->clock = clock;
	pit->clock_khz = clock_khz ? clock_khz : 1000000;
	for (unsigned n = 0; n < 3; n++)
		pit->channel[n] = (struct pit_channel){.access = 3, .mode = 3, .reload = 0x10000};
	error = bus_add_ports(bus, &timer);
	return error ? error : bus_add_ports(bus, &gate);
}
