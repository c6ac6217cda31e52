/* SPDX-License-Identifier: Apache-2.0 */
/* What exit handlers need of the machine under L1. */
#include "l1.h"
#include "vmx.h"
#include "workloads/runtime/idt.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"

_Static_assert(PV_VMREAD == 6 && PV_VMWRITE == 7, "PV_VMREAD_NUMBER and PV_VMWRITE_NUMBER of exit_entry.S");

uint64_t l1_read_tsc(void)
{
	return cpu_rdtsc();
}

void l1_set_cr2(uint64_t linear)
{
	__asm__ volatile("mov %0, %%cr2" : : "r"(linear));
}

void l1_timer_arm(uint32_t ticks)
{
	io_out32(TESTDEV_PORT_TIMER, ticks);
}

void l1_timer_wait(void)
{
	while (!l1_timer_fired)
		cpu_wait_for_interrupt();
	l1_timer_fired = false;
}

void l1_interrupts_take(void)
{
	__asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
	/* KVM-PVM, which emulates ring 0, may not look for interrupts in so short a window. The timer is the only
	 * source. */
	while (!l1_timer_fired)
		cpu_wait_for_interrupt();
}

void l1_invept(void)
{
	l1_check_vmx("INVEPT", l1.ept.eptp, vmx_invept(l1.pv, VMX_INVEPT_SINGLE, l1.ept.eptp));
}

void l1_vmcs12_fetch(void)
{
	uint64_t none = 0;

	if (!l1.pv)
		print_and_end(TESTDEV_END_FAILED,
		        "vmcs12 has stale fields on a machine with real VMX: its engine fetches them itself there.");
	l1_check_vmx("VMFETCH", (uint64_t)&l1_vmcs12, vmx_pv_call(PV_VMFETCH, 0, &none, 0));
}

/* In exit_entry.S: sets l1_timer_fired. */
void l1_timer_entry(void);

void l1_idt_setup(void)
{
	idt_load("L1");
	idt_set(TESTDEV_TIMER_VECTOR, l1_timer_entry);
}
