/* SPDX-License-Identifier: Apache-2.0 */
/* Start of the macro image: the workload boot info names, measured by the micro workloads' harness (runtime/measure.c).
 */
#include "workloads/kernel/kernel.h"

#include "workloads/runtime/idt.h"
#include "workloads/runtime/text.h"
#include "workloads/runtime/workload.h"

struct boot_info *workload_boot;
unsigned workload_level;

static const struct macro *macro;
static uint64_t checksum;

void image_main(struct boot_info *info);

/* `macro` is the kernel's: ring 3 is told what it needs. */
static uint64_t run_prepare(uint64_t prepare)
{
	((void (*)(void))prepare)();
	return 0;
}

/* The way to ring 3 and back. */
static uint64_t run_nothing(uint64_t argument)
{
	return argument;
}

static void setup(void)
{
	kernel_setup();
	if (macro->prepare)
		kernel_run(run_prepare, (uint64_t)macro->prepare);
}

static void control(uint64_t ops)
{
	kernel_run(run_nothing, ops);
}

static void measured(uint64_t ops)
{
	const uint64_t found = kernel_run(macro->run, ops);

	if (checksum && found != checksum)
		print_and_end(TESTDEV_END_FAILED, "%s: one sample's checksum is %x, another's %x.", macro->name,
		        checksum, found);
	checksum = found;
	io_mark(TESTDEV_MARK_CHECKSUM, 0, checksum, 0);
}

void image_main(struct boot_info *info)
{
	struct workload workload = {.setup = setup, .control = control, .measured = measured};

	idt_load("The guest kernel");
	workload_check_boot(info);
	workload_boot = info;
	workload_level = io_in32(TESTDEV_PORT_LEVEL);
	for (unsigned i = 0; macro_table[i]; i++) {
		macro = macro_table[i];
		if (!text_equal(macro->name, info->workload))
			continue;
		workload.name = macro->name;
		workload_measure(&workload);
	}
	print_and_end(
	        TESTDEV_END_REFUSED, "There is no macro workload \"%s\": see workloads/macros.def.", info->workload);
}
