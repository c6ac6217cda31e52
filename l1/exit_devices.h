/* SPDX-License-Identifier: Apache-2.0 */
/** Exits that reach L2's test device and its first-touch region. Part of exits.c. */
#ifndef TESTUDO_L1_EXIT_DEVICES_H
#define TESTUDO_L1_EXIT_DEVICES_H

#include "abi/testdev.h"
#include "exit_common.h"
#include "mmio.h"
#include "mmu_shadow.h"

/* Exit qualification for I/O instructions, SDM vol. 3, table 28-5:
 *  31:16 port | 6 immediate operand | 5 REP | 4 string | 3 IN | 2:0 bytes - 1 */
#define IO_BYTES(qualification) (((qualification)&7) + 1)
#define IO_IN (1u << 3)
#define IO_STRING (1u << 4)
#define IO_PORT(qualification) ((qualification) >> 16 & 0xffff)

ACCESS_INLINE void device_timer(const bool log)
{
	const uint32_t ticks = (uint32_t)l1_l2_regs.rax;

	/* With interrupts off L2 is about to halt. The real timer starts then: were it to fire between here and the
	 * HLT, an exit more would depend on time. */
	l1.timer = field_get(VMCS_GUEST_RFLAGS, log) & RFLAGS_IF ? L1_TIMER_RUNS : L1_TIMER_ARMED;
	l1.timer_ticks = ticks;
	l1_timer_fired = false;
	if (l1.timer == L1_TIMER_RUNS)
		l1_timer_arm(ticks);
}

ACCESS_INLINE void device_touch(void)
{
	if ((uint32_t)l1_l2_regs.rax != TESTDEV_TOUCH_RESET)
		l1_report_exit("writes no value of enum testdev_touch");
	if (l1_mmu_active()) {
		l1_mmu_touch_reset();
	} else {
		l1_ept_touch_reset(&l1.ept);
		l1_invept();
	}
}

ACCESS_INLINE void exit_io(const bool log)
{
	const uint64_t qualification = field_get(VMCS_EXIT_QUALIFICATION, log);
	const uint64_t length = field_get(VMCS_VM_EXIT_INSTRUCTION_LENGTH, log);
	const bool in = qualification & IO_IN;

	if (qualification & IO_STRING)
		l1_report_exit("is a string I/O instruction, which L1 does not emulate");
	exit_skip(length);
	switch (IO_PORT(qualification)) {
	case TESTDEV_PORT_PIO:
		if (in)
			exit_register_set(&l1_l2_regs.rax, IO_BYTES(qualification), l1.pio_value);
		else
			l1.pio_value = (uint32_t)l1_l2_regs.rax & 0xffffffffu >> (32 - 8 * IO_BYTES(qualification));
		break;
	case TESTDEV_PORT_TIMER:
		if (in)
			l1_report_exit("reads the timer's port, which can only be written");
		device_timer(log);
		break;
	case TESTDEV_PORT_TOUCH:
		if (in)
			l1_report_exit("reads the first-touch port, which can only be written");
		device_touch();
		break;
	default:
		l1_report_exit("is an access to a port where L2 has no device");
	}
}

#define HLT_BYTES 1

ACCESS_INLINE void exit_hlt(const bool log)
{
	if (!(field_get(VMCS_GUEST_RFLAGS, log) & RFLAGS_IF))
		l1_report_exit("halts L2 with interrupts off: nothing can wake it");
	if (l1.timer == L1_TIMER_OFF)
		l1_report_exit("halts L2 with no timer armed: nothing can wake it");
	if (l1.timer == L1_TIMER_ARMED)
		l1_timer_arm(l1.timer_ticks);
	l1_timer_wait();
	l1.timer = L1_TIMER_OFF;
	exit_skip(exit_length(HLT_BYTES, log));
	/* HLT comes in the shadow of STI, in which no interrupt may be injected (SDM vol. 3, 27.3.1.5). */
	field_set(VMCS_GUEST_INTERRUPTIBILITY_STATE, 0);
	exit_inject(INTR_TYPE_EXTERNAL, TESTDEV_TIMER_VECTOR);
}

/* The instruction at RIP loads or stores a register of the test device's page. L2 runs on the identity map that
 * abi/boot_info.h promises, so its RIP is an L2-physical address. */
EXIT_OUTLINE void device_mmio(uint64_t l2_gpa)
{
	const uint64_t rip = profile_cache[VMCS_GUEST_RIP];
	struct mmio_instruction instruction;

	if (rip >= l1.l2_size - MMIO_INSTRUCTION_BYTES_MAX)
		l1_report_exit("is an access to the test device's page by code outside L2's memory");
	if (!mmio_decode((const uint8_t *)(l1.l2_base + rip), &instruction) ||
	        (!instruction.immediate && instruction.gpr == GPR_RSP))
		l1_report_exit("is an access to the test device's page by an instruction other than a plain MOV");
	uint64_t *gpr = l2_reg(&l1_l2_regs, instruction.gpr);
	const bool first_register = l2_gpa == TESTDEV_MMIO_GPA;
	if (instruction.store) {
		const uint64_t value = instruction.immediate ? instruction.value : *gpr;
		if (first_register)
			l1.mmio_value =
			        (uint32_t)(instruction.bytes >= 4 ? value
			                                          : value & 0xffffu >> (16 - 8 * instruction.bytes));
	} else {
		const uint64_t value = first_register ? l1.mmio_value : 0;
		exit_register_set(gpr, instruction.result_bytes,
		        instruction.bytes >= 4 ? value : value & 0xffffu >> (16 - 8 * instruction.bytes));
	}
	exit_skip(instruction.length);
}

ACCESS_INLINE void exit_ept_violation(const bool log)
{
	const uint64_t l2_gpa = field_get(VMCS_GUEST_PHYSICAL_ADDRESS, log);

	if (l2_gpa - l1.ept.layout.touch_base < l1.ept.layout.touch_size) {
		const uint64_t event = field_get(VMCS_IDT_VECTORING_INFORMATION, log);
		l1_ept_touch(&l1.ept, l2_gpa);
		if (exit_came_in_event(event))
			exit_inject_again(event, log);
	} else if (l2_gpa - TESTDEV_MMIO_GPA < TESTDEV_MMIO_SIZE) {
		device_mmio(l2_gpa);
	} else {
		l1_report_exit("is an access to L2-physical memory that L2 does not have");
	}
}

#endif
