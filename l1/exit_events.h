/* SPDX-License-Identifier: Apache-2.0 */
/** Exits by events: exceptions, interrupts. Part of exits.c. */
#ifndef TESTUDO_L1_EXIT_EVENTS_H
#define TESTUDO_L1_EXIT_EVENTS_H

#include "abi/testdev.h"
#include "exit_common.h"
#include "exit_devices.h"
#include "mmu_shadow.h"

#define INTR_INFO_TYPE(information) ((information)&INTR_INFO_TYPE_MASK)
#define HARDWARE_EXCEPTION ((unsigned)INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT)

#define IN_EVENT "came while L2 was taking an event, and L1 can neither repair it nor make a double fault of it"

/* mmu=shadow: every #PF of L2 comes here first. */
EXIT_OUTLINE void page_fault(const bool log)
{
	const uint64_t linear = field_get(VMCS_EXIT_QUALIFICATION, log);
	const uint32_t error = (uint32_t)field_get(VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE, log);
	const uint64_t event = field_get(VMCS_IDT_VECTORING_INFORMATION, log);
	uint64_t l2_gpa = 0;
	const enum l1_mmu_verdict verdict = l1_mmu_page_fault(linear, error, profile_cache[VMCS_GUEST_RIP], &l2_gpa);

	if (verdict != L1_MMU_REPAIRED && exit_came_in_event(event))
		l1_report_exit(IN_EVENT);
	switch (verdict) {
	case L1_MMU_REPAIRED:
		if (exit_came_in_event(event))
			exit_inject_again(event, log);
		break;
	case L1_MMU_DEVICE:
		device_mmio(l2_gpa);
		break;
	case L1_MMU_EMULATED:
		exit_skip(l1_mmu_emulated_length());
		break;
	case L1_MMU_GUEST_FAULT:
		l1_set_cr2(linear);
		exit_inject_error(VECTOR_PF, error);
		break;
	case L1_MMU_FAILED:
		l1_report_exit(l1_mmu_error());
	}
}

ACCESS_INLINE void exit_exception(const bool log)
{
	const uint32_t information = (uint32_t)field_get(VMCS_VM_EXIT_INTERRUPTION_INFORMATION, log);

	if (INTR_INFO_TYPE(information) != HARDWARE_EXCEPTION)
		l1_report_exit("is an NMI or a software exception, which L1 did not ask for");
	if ((information & INTR_INFO_VECTOR_MASK) == VECTOR_PF && l1_mmu_active()) {
		page_fault(log);
		return;
	}
	if (profile_reads(VMCS_IDT_VECTORING_INFORMATION) &&
	        exit_came_in_event(profile_cache[VMCS_IDT_VECTORING_INFORMATION]))
		l1_report_exit(IN_EVENT);
	if (information & INTR_INFO_ERROR_CODE)
		exit_inject_error(information & INTR_INFO_VECTOR_MASK,
		        (uint32_t)field_get(VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE, log));
	else
		exit_inject(INTR_TYPE_HARDWARE_EXCEPTION, information & INTR_INFO_VECTOR_MASK);
}

/* The timer's interrupt is due: inject it, or wait until L2 can take it. */
EXIT_OUTLINE void deliver_timer(const bool log)
{
	const uint64_t blocked = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	if (!(field_get(VMCS_GUEST_RFLAGS, log) & RFLAGS_IF) ||
	        (field_get(VMCS_GUEST_INTERRUPTIBILITY_STATE, log) & blocked)) {
		l1.primary_controls |= VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);
		field_set(VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, l1.primary_controls);
		return;
	}
	l1_timer_fired = false;
	l1.timer = L1_TIMER_OFF;
	exit_inject(INTR_TYPE_EXTERNAL, TESTDEV_TIMER_VECTOR);
}

ACCESS_INLINE void exit_external_interrupt(const bool log)
{
	l1_interrupts_take();
	if (l1_timer_fired)
		deliver_timer(log);
}

ACCESS_INLINE void exit_interrupt_window(const bool log)
{
	l1.primary_controls &= ~VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);
	field_set(VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, l1.primary_controls);
	if (l1_timer_fired)
		deliver_timer(log);
}

#endif
