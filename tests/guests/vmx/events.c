/* SPDX-License-Identifier: Apache-2.0 */
/* Events into and out of the guest: injection, windows, interrupts, NMIs, the preemption timer. SDM vol. 3, 27.6 and
 * 26.2. */
#include "hypervisor.h"

#define APIC_PAGE 0xfee00000ull
enum { APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_ICR = 0x300 };
#define ICR_SELF (1u << 18)
#define ICR_NMI (4u << 8)

static volatile u64 taken, taken_vector, taken_error;

static void apic_write(u32 reg, u32 value)
{
	*(volatile u32 *)(APIC_PAGE + reg) = value;
}

static void take(struct trap *trap)
{
	taken++;
	taken_vector = trap->vector;
	taken_error = trap->error;
	if (trap->vector == 0x71)
		apic_write(APIC_EOI, 0);
	if (trap->vector == VECTOR_UD)
		trap->rip += 2;
}

static void guest_idle(void)
{
	asm volatile("nop; nop; nop");
	vmcall();
}

static void inject(u32 event, u32 error, u32 length)
{
	taken = 0;
	vmwrite(ENTRY_EVENT, EVENT_VALID | event);
	vmwrite(ENTRY_EVENT_ERROR, error);
	vmwrite(ENTRY_EVENT_LENGTH, length);
}

/* ---- injection ---- */

static void test_injection(void)
{
	guest_at(guest_idle);
	vmset(GUEST_RFLAGS, RFLAGS_IF);
	inject(EVENT_INTERRUPT | 0x60, 0, 0);
	expect_exit(REASON_VMCALL, "an injected interrupt");
	check(taken == 1 && taken_vector == 0x60, "  went through the guest's IDT");
	check_equal(vmread(ENTRY_EVENT) & EVENT_VALID, 0, "  and is gone from the entry field");
	guest_at(guest_idle);
	inject(EVENT_EXCEPTION | EVENT_ERROR | VECTOR_GP, 0x1230, 0);
	expect_exit(REASON_VMCALL, "an injected #GP");
	check(taken == 1 && taken_vector == VECTOR_GP && taken_error == 0x1230, "  has its error code");
	guest_at(guest_idle);
	inject(EVENT_SOFTWARE | 0x60, 0, 1);
	expect_exit(REASON_VMCALL, "an injected software interrupt");
	check(taken == 1 && taken_vector == 0x60, "  arrived");
	vmwrite(EXCEPTION_BITMAP, 1 << VECTOR_GP);
	guest_at(guest_idle);
	inject(EVENT_EXCEPTION | EVENT_ERROR | VECTOR_GP, 0, 0);
	expect_exit(REASON_VMCALL, "injection does not consult the exception bitmap");
	vmwrite(EXCEPTION_BITMAP, 0);
	guest_at(guest_idle);
	vmwrite(GUEST_ACTIVITY, 1);
	vmset(GUEST_RFLAGS, RFLAGS_IF);
	inject(EVENT_INTERRUPT | 0x60, 0, 0);
	expect_exit(REASON_VMCALL, "an event wakes a guest that is halted");
	check_equal(vmread(GUEST_ACTIVITY), 0, "  which is active then");
}

/* The IDT is taken away beneath the guest: the delivery is cut short, and shown. */
static void test_vectoring(void)
{
	u64 *entry, old;

	ept_split(idt_pointer.base);
	entry = ept_entry(idt_pointer.base + 0x60 * 16, 1);
	old = *entry;
	*entry = 0;
	ept_flush();
	guest_at(guest_idle);
	vmset(GUEST_RFLAGS, RFLAGS_IF);
	inject(EVENT_INTERRUPT | 0x60, 0, 0);
	expect_exit(REASON_EPT_VIOLATION, "a violation while an event is delivered");
	check_equal(vmread(IDT_EVENT), EVENT_VALID | EVENT_INTERRUPT | 0x60, "  IDT-vectoring information names it");
	*entry = old;
	ept_flush();
	inject((u32)vmread(IDT_EVENT) & ~EVENT_VALID, 0, 0);
	expect_exit(REASON_VMCALL, "injected again");
	check(taken == 1 && taken_vector == 0x60, "  it arrives once");
	check_equal(vmread(IDT_EVENT) & EVENT_VALID, 0, "  and the information is gone");
}

/* ---- external interrupts ---- */

static void test_interrupt_exiting(void)
{
	vmset(PIN_CONTROLS, PIN_INTERRUPT);
	vmset(EXIT_CONTROLS, EXIT_ACKNOWLEDGE);
	apic_write(APIC_ICR, ICR_SELF | 0x71);
	guest_at(guest_idle);
	taken = 0;
	expect_exit(REASON_INTERRUPT, "an interrupt, whatever the guest's RFLAGS.IF");
	check_equal(vmread(EXIT_EVENT), EVENT_VALID | EVENT_INTERRUPT | 0x71, "  acknowledged: its vector");
	check_equal(taken, 0, "  taken from the controller, not delivered");
	apic_write(APIC_EOI, 0);
	vmunset(EXIT_CONTROLS, EXIT_ACKNOWLEDGE);
	apic_write(APIC_ICR, ICR_SELF | 0x71);
	expect_exit(REASON_INTERRUPT, "not acknowledged");
	check_equal(vmread(EXIT_EVENT) & EVENT_VALID, 0, "  no vector");
	take_interrupts();
	check_equal(taken, 1, "  and it waits for the hypervisor");
	guest_at(guest_idle);
	vmwrite(GUEST_ACTIVITY, 1);
	apic_write(APIC_ICR, ICR_SELF | 0x71);
	expect_exit(REASON_INTERRUPT, "it finds a halted guest too");
	check_equal(vmread(GUEST_ACTIVITY), 1, "  which stays halted");
	take_interrupts();
	vmunset(PIN_CONTROLS, PIN_INTERRUPT);
	guest_at(guest_idle);
	vmset(GUEST_RFLAGS, RFLAGS_IF);
	taken = 0;
	apic_write(APIC_ICR, ICR_SELF | 0x71);
	expect_exit(REASON_VMCALL, "without the control");
	check_equal(taken, 1, "  the guest's IDT gets it");
}

static void guest_sti(void)
{
	asm volatile("nop; sti; nop; nop; cli");
	vmcall();
}

static void test_interrupt_window(void)
{

	if (!offered(VMX_PROC, PROC_INTERRUPT_WINDOW))
		return;
	vmset(PROC_CONTROLS, PROC_INTERRUPT_WINDOW);
	guest_at(guest_sti);
	expect_exit(REASON_INTERRUPT_WINDOW, "the interrupt window");
	check(vmread(GUEST_RFLAGS) & RFLAGS_IF && !(vmread(GUEST_BLOCKING) & BLOCKED_BY_STI),
	        "  opens with IF and without blocking by STI");
	vmunset(PROC_CONTROLS, PROC_INTERRUPT_WINDOW);
	expect_exit(REASON_VMCALL, "closed again");
}

/* ---- NMIs ---- */

static void test_nmi(void)
{
	vmset(PIN_CONTROLS, PIN_NMI);
	guest_at(guest_idle);
	taken = 0;
	trap_handlers[VECTOR_NMI] = take;
	apic_write(APIC_ICR, ICR_SELF | ICR_NMI);
	check_equal(taken, 1, "an NMI in the hypervisor");
	if (!offered(VMX_PIN, PIN_VIRTUAL_NMI) || !offered(VMX_PROC, PROC_NMI_WINDOW))
		return;
	vmset(PIN_CONTROLS, PIN_VIRTUAL_NMI);
	vmset(PROC_CONTROLS, PROC_NMI_WINDOW);
	guest_at(guest_idle);
	expect_exit(REASON_NMI_WINDOW, "the NMI window is open at once");
	vmwrite(GUEST_BLOCKING, BLOCKED_BY_NMI);
	expect_exit(REASON_VMCALL, "with virtual NMIs blocked it is not");
	guest_at(guest_idle);
	inject(EVENT_NMI | VECTOR_NMI, 0, 0);
	expect_exit(REASON_NMI_WINDOW, "an injected NMI: the window opens with its IRET");
	check(taken == 1 && !(vmread(GUEST_BLOCKING) & BLOCKED_BY_NMI), "  after its handler");
	vmunset(PROC_CONTROLS, PROC_NMI_WINDOW);
	vmunset(PIN_CONTROLS, PIN_VIRTUAL_NMI | PIN_NMI);
}

static void guest_sends_nmi(void)
{
	apic_write(APIC_ICR, ICR_SELF | ICR_NMI);
	asm volatile("nop; nop");
	vmcall();
}

static void test_nmi_exiting(void)
{
	vmset(PIN_CONTROLS, PIN_NMI);
	guest_at(guest_sends_nmi);
	taken = 0;
	expect_exit(REASON_EXCEPTION, "an NMI with NMI exiting");
	check_equal(vmread(EXIT_EVENT), EVENT_VALID | EVENT_NMI | VECTOR_NMI, "  its information");
	/* The exit blocks NMIs until an IRET (28.5.5). */
	asm volatile("movq %%ss, %%rax; pushq %%rax; leaq 8(%%rsp), %%rax; pushq %%rax; pushfq; movq %%cs, %%rax; "
	             "pushq %%rax; pushq $1f; iretq; 1:"
	             :
	             :
	             : "rax", "memory");
	vmunset(PIN_CONTROLS, PIN_NMI);
	guest_at(guest_sends_nmi);
	expect_exit(REASON_VMCALL, "without NMI exiting");
	check_equal(taken, 1, "  the guest's handler has it");
}

/* ---- timers and traps ---- */

static void guest_spin(void)
{
	for (;;)
		pause();
}

static void test_preemption_timer(void)
{
	const u64 shift = rdmsr(VMX_MISC) & 31;
	u64 start;

	if (!offered(VMX_PIN, PIN_TIMER)) {
		print("no preemption timer here\n");
		return;
	}
	vmset(PIN_CONTROLS, PIN_TIMER);
	vmwrite(PREEMPTION_TIMER, 1000);
	guest_at(guest_spin);
	start = rdtsc();
	expect_exit(REASON_TIMER, "the preemption timer");
	check(rdtsc() - start >= 999ull << shift, "  not before its time");
	vmwrite(PREEMPTION_TIMER, 0);
	guest_at(guest_idle);
	expect_exit(REASON_TIMER, "a timer of 0 exits before the first instruction");
	check_equal(vmread(GUEST_RIP), (u64)(uintptr_t)guest_idle, "  at RIP");
	vmwrite(PREEMPTION_TIMER, 100000);
	vmwrite(GUEST_ACTIVITY, 1);
	expect_exit(REASON_TIMER, "it counts in a halted guest");
	vmwrite(PREEMPTION_TIMER, 1 << 30);
	guest_at(guest_idle);
	pass_exit(REASON_VMCALL, "an exit before its time");
	check_equal(vmread(PREEMPTION_TIMER), 1 << 30, "without the control to save it the field keeps its value");
	if (offered(VMX_EXIT, EXIT_SAVE_TIMER)) {
		vmset(EXIT_CONTROLS, EXIT_SAVE_TIMER);
		vmwrite(PREEMPTION_TIMER, 1 << 30);
		guest_at(guest_idle);
		expect_exit(REASON_VMCALL, "an exit before its time");
		check(vmread(PREEMPTION_TIMER) <= 1 << 30 && vmread(PREEMPTION_TIMER) > (1 << 30) - 10000000,
		        "  saves what is left");
		vmunset(EXIT_CONTROLS, EXIT_SAVE_TIMER);
	}
	vmunset(PIN_CONTROLS, PIN_TIMER);
}

static void test_monitor_trap(void)
{
	if (!offered(VMX_PROC, PROC_MONITOR_TRAP)) {
		print("no monitor trap here\n");
		return;
	}
	vmset(PROC_CONTROLS, PROC_MONITOR_TRAP);
	guest_at(guest_idle);
	expect_exit(REASON_MONITOR_TRAP, "the monitor trap");
	check_equal(vmread(GUEST_RIP), (u64)(uintptr_t)guest_idle + 1, "  after one instruction");
	expect_exit(REASON_MONITOR_TRAP, "and again");
	check_equal(vmread(GUEST_RIP), (u64)(uintptr_t)guest_idle + 2, "  after the next");
	guest_at(guest_idle);
	inject(EVENT_EXCEPTION | VECTOR_UD, 0, 0);
	expect_exit(REASON_MONITOR_TRAP, "after an injected event");
	check_equal(vmread(GUEST_RIP), (u64)(uintptr_t)trap_entries[VECTOR_UD], "  at its handler");
	vmunset(PROC_CONTROLS, PROC_MONITOR_TRAP);
}

static void guest_hlt(void)
{
	asm volatile("sti; hlt; cli");
	vmcall();
}

/* HLT without HLT exiting: the guest sleeps on the hypervisor's controller. */
static void test_hlt(void)
{
	vmunset(PROC_CONTROLS, PROC_HLT);
	guest_at(guest_hlt);
	taken = 0;
	apic_write(APIC_ICR, ICR_SELF | 0x71);
	expect_exit(REASON_VMCALL, "HLT in the guest");
	check_equal(taken, 1, "  ended by an interrupt it takes itself");
}

void test_main(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~0x400ull) | 0x800);
	apic_write(APIC_SPURIOUS, 0x1ff);
	trap_handlers[0x60] = take;
	trap_handlers[0x71] = take;
	trap_handlers[VECTOR_GP] = take;
	vmx_start();
	vmcs_prepare();
	test_injection();
	test_vectoring();
	test_interrupt_exiting();
	test_interrupt_window();
	test_nmi();
	test_nmi_exiting();
	test_preemption_timer();
	test_monitor_trap();
	test_hlt();
}
