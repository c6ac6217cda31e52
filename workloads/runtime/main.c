/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the micro image: find out where it runs and which workload it is to be. */
#include "workload.h"

#include "idt.h"

struct boot_info *workload_boot;
unsigned workload_level;

void image_main(struct boot_info *info);

static bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void image_main(struct boot_info *info)
{
	idt_load("The workload");
	if (info->magic != BOOT_INFO_MAGIC || info->version != BOOT_INFO_VERSION || info->size != sizeof(*info))
		print_and_end(TESTDEV_END_REFUSED,
		        "Boot info at %x has magic %x, version %u, size %u, not %x, %u, %u: this image and its L0 are "
		        "of "
		        "different builds.",
		        (unsigned long)info, (unsigned long)info->magic, (unsigned long)info->version,
		        (unsigned long)info->size, (unsigned long)BOOT_INFO_MAGIC, (unsigned long)BOOT_INFO_VERSION,
		        sizeof(*info));
	workload_boot = info;
	workload_level = io_in32(TESTDEV_PORT_LEVEL);
	for (const struct workload *workload = __workloads_begin; workload < __workloads_end; workload++)
		if (text_equal(workload->name, info->workload))
			workload_measure(workload);
	print_and_end(
	        TESTDEV_END_REFUSED, "There is no micro workload \"%s\": see workloads/workloads.def.", info->workload);
}
