/* SPDX-License-Identifier: Apache-2.0 */
/** What stands in a guest's memory at start: the layout of abi/boot_info.h, and the plan of L1's and L2's memory. */
#ifndef TESTUDO_L0_LAYOUT_H
#define TESTUDO_L0_LAYOUT_H

#include "abi/boot_info.h"
#include "l0/image.h"

/* A workload's memory at any level: image and data below the first-touch region. */
#define LAYOUT_TOUCH_BASE (16ull << 20)
/* The same of a macro workload: its kernel has processes to feed. */
#define LAYOUT_MACRO_BYTES (34ull << 20)

/* L1's memory: its image from BOOT_GPA_IMAGE, then these, then L2's memory. */
#define LAYOUT_L1_LOG_BASE (3ull << 20)
#define LAYOUT_L1_LOG_ENTRIES 4096
#define LAYOUT_L1_HEAP_BASE (4ull << 20)
#define LAYOUT_L1_HEAP_BYTES (8ull << 20)
#define LAYOUT_L2_BASE (16ull << 20)

/** Identity map of the first 4 GiB, flat GDT, TSS; the boot info is filled in up to the orders and put in its place. */
void layout_prepare(const struct guest_space *space, struct boot_info *info);

#endif
