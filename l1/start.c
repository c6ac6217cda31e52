/* SPDX-License-Identifier: Apache-2.0 */
/* Start of L1: check the boot info. */
#include "abi/boot_info.h"
#include "workloads/runtime/idt.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"

void image_main(struct boot_info *info);

void image_main(struct boot_info *info)
{
	idt_load("L1");
	print_and_end(TESTDEV_END_REFUSED, "L1 found no level-2 image in boot info at %x.", (unsigned long)info);
}
