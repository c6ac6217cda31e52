/* SPDX-License-Identifier: Apache-2.0 */
/* pio: a 4-byte OUT to the test device's port. */
#include "workloads/runtime/workload.h"

#define PIO_VALUE 0x50494f21u

static inline void operation(void)
{
	__asm__ volatile("outl %0, %1" : : "a"(PIO_VALUE), "d"((uint16_t)TESTDEV_PORT_PIO));
}

static inline void nothing(void)
{
	__asm__ volatile("" : : "a"(PIO_VALUE), "d"((uint16_t)TESTDEV_PORT_PIO));
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

static void before(void)
{
	io_out32(TESTDEV_PORT_PIO, ~PIO_VALUE);
}

static void after(uint64_t ops)
{
	uint32_t value = io_in32(TESTDEV_PORT_PIO);

	if (value != PIO_VALUE)
		print_and_end(TESTDEV_END_FAILED,
		        "Port %x reads %x after %u writes of %x: the device below lost a write.",
		        (unsigned long)TESTDEV_PORT_PIO, (unsigned long)value, ops, (unsigned long)PIO_VALUE);
}

WORKLOAD_DEFINE(pio) = {.name = "pio", .before = before, .control = control, .measured = measured, .after = after};
