/* SPDX-License-Identifier: Apache-2.0 */
/** The firmware configuration port pair 0x510 (selector, 16 bits) and 0x511 (data, byte by byte), as far as test
 * kernels use it: signature, RAM size, CPU counts. Other keys read as zeros. */
#ifndef TESTUDO_L0_DEV_FW_CFG_H
#define TESTUDO_L0_DEV_FW_CFG_H

#include <stdint.h>

#include "l0/dev/bus.h"

struct fw_cfg {
	uint64_t ram_bytes;
	uint16_t key;
	uint8_t offset;
};

/** 0 or -errno (see bus_add_ports). */
int fw_cfg_init(struct fw_cfg *fw_cfg, uint64_t ram_bytes, struct bus *bus);

#endif
