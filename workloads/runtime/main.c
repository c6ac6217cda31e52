/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the micro image: find out where it runs and which workload it is to be. */
#include "workload.h"

#include "idt.h"
#include "text.h"

struct boot_info *workload_boot;
unsigned workload_level;

void image_main(struct boot_info *info);

void image_main(struct boot_info *info)
{
	idt_load("The workload");
	workload_check_boot(info);
	workload_boot = info;
	workload_level = io_in32(TESTDEV_PORT_LEVEL);
	for (const struct workload *workload = __workloads_begin; workload < __workloads_end; workload++)
		if (text_equal(workload->name, info->workload))
			workload_measure(workload);
	print_and_end(
	        TESTDEV_END_REFUSED, "There is no micro workload \"%s\": see workloads/workloads.def.", info->workload);
}
