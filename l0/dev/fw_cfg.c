/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/fw_cfg.h"

#define PORT_SELECT 0x510
#define PORT_DATA 0x511

enum { KEY_SIGNATURE = 0, KEY_ID = 1, KEY_RAM_SIZE = 3, KEY_CPUS = 5, KEY_MAX_CPUS = 15 };

/* Values are little endian; the signature is the text "QEMU", read byte by byte. */
static uint64_t value_of(const struct fw_cfg *fw_cfg)
{
	switch (fw_cfg->key) {
	case KEY_SIGNATURE:
		return 0x554d4551;
	case KEY_ID:
	case KEY_CPUS:
	case KEY_MAX_CPUS:
		return 1;
	case KEY_RAM_SIZE:
		return fw_cfg->ram_bytes;
	default:
		return 0;
	}
}

static uint32_t port_in(void *ctx, const struct port_access *access)
{
	struct fw_cfg *fw_cfg = ctx;
	uint8_t byte = 0;

	if (access->port != PORT_DATA)
		return ~0u;
	if (fw_cfg->offset < 8)
		byte = (uint8_t)(value_of(fw_cfg) >> (8 * fw_cfg->offset++));
	return byte;
}

static void port_out(void *ctx, const struct port_access *access, uint32_t value)
{
	struct fw_cfg *fw_cfg = ctx;

	if (access->port != PORT_SELECT)
		return;
	fw_cfg->key = (uint16_t)value;
	fw_cfg->offset = 0;
}

int fw_cfg_init(struct fw_cfg *fw_cfg, uint64_t ram_bytes, struct bus *bus)
{
	const struct port_range ports = {PORT_SELECT, PORT_DATA, fw_cfg, port_in, port_out};

	*fw_cfg = (struct fw_cfg){.ram_bytes = ram_bytes};
	return bus_add_ports(bus, &ports);
}
