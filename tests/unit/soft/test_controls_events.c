/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event injection (SDM vol. 3, 27.6), exits while an event is delivered (28.2.4), interrupt and NMI windows, virtual
 * NMIs, monitor trap flag, preemption timer, blocking by STI and MOV SS (26.2 to 26.5).
 */
#include "guest.h"

#include <errno.h>

static void inject(struct guest *g, uint32_t info, uint32_t error, unsigned length)
{
	guest_set(g, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, info);
	guest_set(g, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, error);
	guest_set(g, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, length);
}

/* Type, error code and length of what is injected: frame and return address. */
static const struct {
	uint32_t info, error;
	unsigned length;
	bool has_error;
	bool resume; /**< RF in the pushed image: faults only */
} injections[] = {
        {0x80000040, 0, 0, false, false},    /* external interrupt */
        {0x80000202, 0, 0, false, false},    /* NMI */
        {0x80000306, 0, 0, false, true},     /* #UD */
        {0x80000b0d, 0x1230, 0, true, true}, /* #GP(0x1230) */
        {0x80000b0e, 7, 0, true, true},      /* #PF */
        {0x80000480, 0, 2, false, false},    /* INT 0x80 */
        {0x80000501, 0, 1, false, false},    /* INT1 */
        {0x80000603, 0, 1, false, false},    /* INT3 */
};

START_TEST(test_injection)
{
	struct guest g;
	uint64_t frame;
	const unsigned vector = injections[_i].info & 0xff;

	guest_setup(&g);
	guest_code(&g, "90 90");
	g.regs.cr2 = 0x1111;
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	inject(&g, injections[_i].info, injections[_i].error, injections[_i].length);
	guest_expect_handler(&g, vector);
	frame = guest_get(&g, VMCS_GUEST_RSP);
	ck_assert_uint_eq(frame, GUEST_STACK - (injections[_i].has_error ? 48 : 40));
	if (injections[_i].has_error) {
		ck_assert_uint_eq(guest_u64(&g, frame), injections[_i].error);
		frame += 8;
	}
	ck_assert_uint_eq(guest_u64(&g, frame), GUEST_CODE + injections[_i].length);
	ck_assert_uint_eq(!!(guest_u64(&g, frame + 16) & RFLAGS_RF), injections[_i].resume);
	/* CR2 is the VMM's business; the valid bit is consumed (27.6, 28.2). */
	ck_assert_uint_eq(g.regs.cr2, 0x1111);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) >> 31, 0);
	/* NMI delivery blocks NMIs. */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), vector == 2 ? INTERRUPTIBILITY_NMI : 0);
	guest_teardown(&g);
}
END_TEST

/* An exit in the middle of delivery reports the injected event, and RIP is where it was. */
static const struct {
	uint32_t info, error;
	unsigned length;
} interrupted[] = {
        {0x80000040, 0, 0},
        {0x80000202, 0, 0},
        {0x80000b0d, 0x1230, 0},
        {0x80000480, 0, 2},
        {0x80000603, 0, 1},
};

START_TEST(test_exit_during_delivery)
{
	struct guest g;
	struct guest_ept ept;

	guest_setup(&g);
	guest_own_ept(&g, &ept, false);
	guest_code(&g, "90 90");
	ept.pt[(GUEST_STACK - 1) >> 12] = 0;
	inject(&g, interrupted[_i].info, interrupted[_i].error, interrupted[_i].length);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), interrupted[_i].info);
	if (interrupted[_i].info & INTR_INFO_ERROR_CODE)
		ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_ERROR_CODE), interrupted[_i].error);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), interrupted[_i].length);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x182);
	/* NMIs are blocked from the entry on that injects one. */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE),
	        interrupted[_i].info == 0x80000202 ? INTERRUPTIBILITY_NMI : 0);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, 0);

	/* Mapped and injected again it arrives. */
	ept.pt[(GUEST_STACK - 1) >> 12] = ((GUEST_STACK - 1) & ~0xfffull) | 6 << 3 | 7;
	inject(&g, interrupted[_i].info, interrupted[_i].error, interrupted[_i].length);
	guest_expect_handler(&g, interrupted[_i].info & 0xff);
	guest_teardown(&g);
}
END_TEST

/* INT n of the guest itself that meets an EPT violation: type 4 and its length. */
START_TEST(test_exit_during_int_n)
{
	struct guest g;
	struct guest_ept ept;

	guest_setup(&g);
	guest_own_ept(&g, &ept, false);
	guest_code(&g, "cd 80");
	ept.pt[(GUEST_STACK - 1) >> 12] = 0;
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0x80000480);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), 2);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	guest_teardown(&g);
}
END_TEST

/* An injected event that wakes a halted guest; it returns behind the HLT. */
START_TEST(test_injection_wakes)
{
	struct guest g;

	guest_setup(&g);
	guest_set(&g, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	inject(&g, 0x80000040, 0, 0);
	guest_expect_handler(&g, 0x40);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_ACTIVE);
	guest_teardown(&g);
}
END_TEST

/* ---- windows ---- */

START_TEST(test_interrupt_window)
{
	static const struct {
		const char *code;
		uint64_t rflags;
		uint32_t blocking;
		unsigned rip;
	} windows[] = {
	        {"90 90 90", 0x202, 0, 0},                    /* open: before any instruction */
	        {"90 90 90", 0x202, INTERRUPTIBILITY_STI, 1}, /* one instruction later */
	        {"90 90 90", 0x202, INTERRUPTIBILITY_MOV_SS, 1},
	        {"90 fb 90 90", 0x2, 0, 3},                      /* STI: after the instruction behind it */
	        {"fb fb 90 90", 0x2, 0, 2},                      /* only the first STI blocks */
	        {"90 68 02 02 00 00 9d 90", 0x2, 0, 7},          /* POPF: at once */
	        {"8e d1 90 90", 0x202, INTERRUPTIBILITY_STI, 3}, /* MOV SS */
	};
	struct guest g;

	guest_setup(&g);
	guest_code(&g, windows[_i].code);
	g.regs.gpr[GPR_RCX] = GUEST_SS;
	guest_set(&g, VMCS_GUEST_RFLAGS, windows[_i].rflags);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, windows[_i].blocking);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING), true);
	guest_expect(&g, EXIT_REASON_INTERRUPT_WINDOW);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + windows[_i].rip);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), 0);
	guest_teardown(&g);
}
END_TEST

/* Without the control nothing exits; with it a halted guest with IF = 1 does, and stays halted. */
START_TEST(test_interrupt_window_off_and_halted)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "fb 90 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_set(&g, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING), true);
	guest_expect(&g, EXIT_REASON_INTERRUPT_WINDOW);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_HLT);
	guest_teardown(&g);
}
END_TEST

/* STI blocking is there for the exit of the instruction behind it. */
START_TEST(test_sti_shadow_in_vmcs)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "fb 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), INTERRUPTIBILITY_STI);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_code_at(&g, GUEST_CODE + 0x10, "8e d1 0f 01 c1");
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x10);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, 0);
	g.regs.gpr[GPR_RCX] = GUEST_SS;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), INTERRUPTIBILITY_MOV_SS);
	guest_teardown(&g);
}
END_TEST

/* Virtual NMIs: injection blocks them, IRET unblocks, the window exits right behind the IRET. */
START_TEST(test_nmi_window)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90");
	guest_code_at(&g, GUEST_HANDLERS + 2 * 16, "90 48 cf"); /* nop; iretq */
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_NMI_EXITING) | VMX_BIT(PIN_VIRTUAL_NMIS), true);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_NMI_WINDOW_EXITING), true);
	inject(&g, 0x80000202, 0, 0);
	guest_expect(&g, EXIT_REASON_NMI_WINDOW);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), 0);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 2);
	/* Open from the start. */
	guest_expect(&g, EXIT_REASON_NMI_WINDOW);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 2);
	guest_teardown(&g);
}
END_TEST

/* 26.3: with NMI exiting and without virtual NMIs, IRET leaves NMI blocking as it is. */
START_TEST(test_iret_and_nmi_blocking)
{
	static const struct {
		uint32_t pin;
		uint32_t blocking_after;
	} t[] = {
	        {0, 0},
	        {VMX_BIT(PIN_NMI_EXITING), INTERRUPTIBILITY_NMI},
	        {VMX_BIT(PIN_NMI_EXITING) | VMX_BIT(PIN_VIRTUAL_NMIS), 0},
	};
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 01 c1");
	guest_code_at(&g, GUEST_HANDLERS + 2 * 16, "48 cf");
	guest_control(&g, VMX_WORD_PIN, t[_i].pin, true);
	inject(&g, 0x80000202, 0, 0);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), t[_i].blocking_after);
	guest_teardown(&g);
}
END_TEST

/* A fault or EPT violation of the IRET itself says that it had unblocked NMIs: bit 12 (28.2.3, table 28-7). */
START_TEST(test_nmi_unblocking_due_to_iret)
{
	struct guest g;
	struct guest_ept ept;

	guest_setup(&g);
	guest_own_ept(&g, &ept, false);
	guest_code(&g, "48 cf");
	guest_set(&g, VMCS_GUEST_RSP, GUEST_DATA);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI);
	ept.pt[GUEST_DATA >> 12] = 0;
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x1181);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE), 0);

	*guest_pte(&g, GUEST_DATA) = 0;
	soft_tlb_flush_all(g.cpu);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80001b0e);
	guest_teardown(&g);
}
END_TEST

/* ---- monitor trap flag (26.5.2) ---- */

START_TEST(test_monitor_trap_flag)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90 0f 0b");
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_MONITOR_TRAP_FLAG), true);
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 1);
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 2);
	/* The delivery of a fault is a boundary, too. */
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_HANDLERS + VECTOR_UD * 16);
	/* After an injected event: before the first instruction of its handler. */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	inject(&g, 0x80000040, 0, 0);
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_HANDLERS + 0x40 * 16);
	/* "Other event", vector 0: a pending MTF exit, whatever the control. */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_MONITOR_TRAP_FLAG), false);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	inject(&g, 0x80000700, 0, 0);
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	/* Off: the guest runs to its #UD handler. */
	guest_expect_handler(&g, VECTOR_UD);
	guest_teardown(&g);
}
END_TEST

/* MTF comes before the single-step trap, which stays pending in the VMCS. */
START_TEST(test_monitor_trap_before_single_step)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90");
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_TF);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_MONITOR_TRAP_FLAG), true);
	guest_expect(&g, EXIT_REASON_MONITOR_TRAP_FLAG);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), DR6_BS);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_MONITOR_TRAP_FLAG), false);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 1);
	guest_teardown(&g);
}
END_TEST

/* ---- preemption timer (26.5.1) ---- */

START_TEST(test_preemption_timer)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "eb fe"); /* jmp . */
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), true);
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 10);
	guest_expect(&g, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	/* IA32_VMX_MISC bits 4:0 say how many TSC ticks one count takes. */
	ck_assert_uint_eq(machine_soft.clock(g.machine), 10ull << (g.machine->caps.misc & 31));
	/* Not saved without the control. */
	ck_assert_uint_eq(guest_get(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE), 10);

	/* 0: before the first instruction. */
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 0);
	guest_expect(&g, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 10ull << 5);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_save_preemption_timer)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "b9 80 00 00 00 e2 fe 0f 01 c1"); /* mov ecx, 128; loop .; vmcall */
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), true);
	guest_control(&g, VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER), true);
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 100);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE), 100 - (129 >> 5));
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 2);
	guest_expect(&g, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	ck_assert_uint_eq(guest_get(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE), 0);
	/* Off. */
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), false);
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

/* A halted guest's timer goes on in virtual time. */
START_TEST(test_preemption_timer_halted)
{
	struct guest g;

	guest_setup(&g);
	guest_set(&g, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), true);
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 1000);
	guest_expect(&g, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 1000 << 5);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_HLT);
	guest_teardown(&g);
}
END_TEST

/* L0's own deadline: enter comes back without an exit, at that instruction. */
START_TEST(test_deadline)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "eb fe");
	machine_soft.set_deadline(g.machine, 1234);
	ck_assert_int_eq(machine_soft.enter(g.machine, &g.vmcs, &g.regs), -EINTR);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 1234);
	machine_soft.set_deadline(g.machine, ~0ull);
	machine_soft.kick(g.machine);
	ck_assert_int_eq(machine_soft.enter(g.machine, &g.vmcs, &g.regs), -EINTR);
	guest_teardown(&g);
}
END_TEST

/* A kick before the injected event was delivered leaves it in the VMCS. */
START_TEST(test_kick_keeps_injection)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90");
	inject(&g, 0x80000040, 0, 0);
	machine_soft.kick(g.machine);
	ck_assert_int_eq(machine_soft.enter(g.machine, &g.vmcs, &g.regs), -EINTR);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), 0x80000040);
	guest_expect_handler(&g, 0x40);
	guest_teardown(&g);
}
END_TEST

/* Pending debug exceptions in the VMCS are delivered at entry (27.7.3), unless MOV SS holds them back. */
START_TEST(test_pending_debug_at_entry)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90");
	guest_set(&g, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, DR6_BS);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_set(&g, VMCS_GUEST_RSP, GUEST_STACK);
	guest_set(&g, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, PENDING_DEBUG_ENABLED | 2);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_MOV_SS);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 1);
	ck_assert_uint_eq(g.regs.dr6 & 0xf, 2);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("controls: events");

	tcase_add_loop_test(tests, test_injection, 0, sizeof(injections) / sizeof(injections[0]));
	tcase_add_loop_test(tests, test_exit_during_delivery, 0, sizeof(interrupted) / sizeof(interrupted[0]));
	tcase_add_test(tests, test_exit_during_int_n);
	tcase_add_test(tests, test_injection_wakes);
	tcase_add_loop_test(tests, test_interrupt_window, 0, 7);
	tcase_add_test(tests, test_interrupt_window_off_and_halted);
	tcase_add_test(tests, test_sti_shadow_in_vmcs);
	tcase_add_test(tests, test_nmi_window);
	tcase_add_loop_test(tests, test_iret_and_nmi_blocking, 0, 3);
	tcase_add_test(tests, test_nmi_unblocking_due_to_iret);
	tcase_add_test(tests, test_monitor_trap_flag);
	tcase_add_test(tests, test_monitor_trap_before_single_step);
	tcase_add_test(tests, test_preemption_timer);
	tcase_add_test(tests, test_save_preemption_timer);
	tcase_add_test(tests, test_preemption_timer_halted);
	tcase_add_test(tests, test_deadline);
	tcase_add_test(tests, test_kick_keeps_injection);
	tcase_add_test(tests, test_pending_debug_at_entry);
	return guest_main("soft: controls: events", tests);
}
