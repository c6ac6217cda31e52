/* SPDX-License-Identifier: Apache-2.0 */
/* Events L0 gives to L1 and L2. */
#include "check_cases.h"

static struct fixture f;

#define EVENT VMCS_VM_ENTRY_INTERRUPTION_INFORMATION
#define PROC_FIELD VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS
#define WINDOW VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING)
#define TRAP VMX_BIT(PROC_MONITOR_TRAP_FLAG)

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
}

static void setup_paravirtual(void)
{
	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
}

static void teardown(void)
{
	fixture_teardown(&f);
}

static void enter_l2(void)
{
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), 0);
	f.nested.in_l2 = true;
	memset(&f.nested.vmcs02.dirty, 0, sizeof(f.nested.vmcs02.dirty));
}

static uint64_t get01(enum vmcs_field field)
{
	return f.vmcs01.field[field];
}

static uint64_t get02(enum vmcs_field field)
{
	return f.nested.vmcs02.field[field];
}

static void l1_ignores_interrupts(void)
{
	fixture_clear_bits(&f, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING));
}

/* ---- injection ---- */

START_TEST(inject_into_l1)
{
	nested_inject(&f.nested, 0x80000b0d, 0x18, 0);
	ck_assert_uint_eq(get01(EVENT), 0x80000b0d);
	ck_assert_uint_eq(get01(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE), 0x18);
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, EVENT));
	ck_assert_uint_eq(f.nested.counters[COUNTER_EVENTS_INJECTED], 1);
}
END_TEST

START_TEST(inject_into_l2)
{
	enter_l2();
	nested_inject(&f.nested, 0x80000480, 0, 2);
	ck_assert_uint_eq(get02(EVENT), 0x80000480);
	ck_assert_uint_eq(get02(VMCS_VM_ENTRY_INSTRUCTION_LENGTH), 2);
	ck_assert_uint_eq(get01(EVENT), 0);
	ck_assert(f.nested.in_l2);
}
END_TEST

/* An exception that L1 intercepts is the exit it would have been. */
START_TEST(inject_what_l1_intercepts)
{
	fixture_set(&f, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_GP);
	enter_l2();
	nested_inject(&f.nested, 0x80000b0d, 0x18, 0);
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000b0d);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 0x18);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_QUALIFICATION), 0);
	ck_assert_uint_eq(get02(EVENT) & INTR_INFO_VALID, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_EVENTS_INJECTED], 0);
}
END_TEST

START_TEST(inject_page_fault)
{
	fixture_set(&f, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MASK, 1);
	fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MATCH, 1);
	enter_l2();
	f.nested.vmcs02.field[VMCS_EXIT_QUALIFICATION] = 0x5000;
	nested_inject(&f.nested, 0x80000b0e, 2, 0); /* not present: filtered out */
	ck_assert(f.nested.in_l2);
	ck_assert_uint_eq(get02(EVENT), 0x80000b0e);
	f.nested.vmcs02.field[EVENT] = 0;
	nested_inject(&f.nested, 0x80000b0e, 3, 0);
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_QUALIFICATION), 0x5000);
}
END_TEST

/* ---- injection again ---- */

START_TEST(reinject)
{
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EPT_VIOLATION, 0);
	f.nested.vmcs02.field[VMCS_IDT_VECTORING_INFORMATION] = 0x80001b0e; /* bit 12 is undefined */
	f.nested.vmcs02.field[VMCS_IDT_VECTORING_ERROR_CODE] = 4;
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get02(EVENT), 0x80000b0e);
	ck_assert_uint_eq(get02(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE), 4);
	/* Once. */
	f.nested.vmcs02.field[EVENT] = 0;
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get02(EVENT), 0);
}
END_TEST

START_TEST(reinject_software_interrupt)
{
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EPT_VIOLATION, 0);
	f.nested.vmcs02.field[VMCS_IDT_VECTORING_INFORMATION] = 0x80000480;
	f.nested.vmcs02.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 2;
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get02(EVENT), 0x80000480);
	ck_assert_uint_eq(get02(VMCS_VM_ENTRY_INSTRUCTION_LENGTH), 2);
}
END_TEST

START_TEST(reinject_nmi_unblocks)
{
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EPT_VIOLATION, 0);
	f.nested.vmcs02.field[VMCS_IDT_VECTORING_INFORMATION] = 0x80000202;
	f.nested.vmcs02.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_NMI;
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get02(EVENT), 0x80000202);
	ck_assert_uint_eq(get02(VMCS_GUEST_INTERRUPTIBILITY_STATE), 0);
	ck_assert(vmcs_mask_has(&f.nested.vmcs02.dirty, VMCS_GUEST_INTERRUPTIBILITY_STATE));
}
END_TEST

START_TEST(reinject_into_l1)
{
	f.vmcs01.field[VMCS_IDT_VECTORING_INFORMATION] = 0x80000020;
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get01(EVENT), 0x80000020);
}
END_TEST

START_TEST(nothing_to_reinject)
{
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EPT_VIOLATION, 0);
	nested_reinject(&f.nested);
	ck_assert_uint_eq(get02(EVENT), 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_EVENTS_INJECTED], 0);
}
END_TEST

/* ---- external interrupts ---- */

START_TEST(interrupt_for_l1)
{
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 2 | RFLAGS_IF;
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get01(EVENT), 0x80000031);
}
END_TEST

static const struct {
	enum vmcs_field field;
	uint64_t value;
} blockers[] = {{VMCS_GUEST_RFLAGS, 2}, {VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI},
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_MOV_SS}, {EVENT, 0x80000306},
        {VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN}};

START_TEST(interrupt_must_wait)
{
	const uint64_t good = blockers[_i].field == VMCS_GUEST_RFLAGS ? 2 | RFLAGS_IF : 0;

	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 2 | RFLAGS_IF;
	f.vmcs01.field[blockers[_i].field] = blockers[_i].value;
	ck_assert(!nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get01(PROC_FIELD) & WINDOW, WINDOW);
	ck_assert_uint_ne(get01(EVENT), 0x80000031);
	/* The window comes: delivered, and no longer asked for. */
	f.vmcs01.field[blockers[_i].field] = good;
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get01(EVENT), 0x80000031);
	ck_assert_uint_eq(get01(PROC_FIELD) & WINDOW, 0);
}
END_TEST

START_TEST(halted_l1_takes_an_interrupt)
{
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 2 | RFLAGS_IF;
	f.vmcs01.field[VMCS_GUEST_ACTIVITY_STATE] = ACTIVITY_HLT;
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
}
END_TEST

START_TEST(interrupt_ends_l2)
{
	fixture_set_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT));
	enter_l2();
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), EXIT_REASON_EXTERNAL_INTERRUPT);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000031);
	ck_assert_uint_eq(get01(EVENT), 0);
}
END_TEST

/* Not acknowledged: L1 sees that there is one, and takes it when it enables interrupts. */
START_TEST(interrupt_ends_l2_and_stays_pending)
{
	enter_l2();
	ck_assert(!nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), EXIT_REASON_EXTERNAL_INTERRUPT);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0);
	ck_assert_uint_eq(get01(PROC_FIELD) & WINDOW, WINDOW);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] |= RFLAGS_IF;
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get01(EVENT), 0x80000031);
}
END_TEST

/* L1 does not want interrupt exits: L2 takes L1's interrupts. */
START_TEST(interrupt_into_l2)
{
	l1_ignores_interrupts();
	fixture_set(&f, VMCS_GUEST_RFLAGS, 2 | RFLAGS_IF);
	enter_l2();
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(f.nested.in_l2);
	ck_assert_uint_eq(get02(EVENT), 0x80000031);
}
END_TEST

START_TEST(window_of_l2)
{
	enum ept02_verdict verdict;
	uint64_t device_gpa;

	l1_ignores_interrupts();
	enter_l2();
	ck_assert(!nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get02(PROC_FIELD) & WINDOW, WINDOW);
	ck_assert(vmcs_mask_has(&f.nested.vmcs02.dirty, PROC_FIELD));
	ck_assert_uint_eq(get01(PROC_FIELD) & WINDOW, 0);
	/* The window exit is L0's own. */
	fixture_exit_l2(&f, EXIT_REASON_INTERRUPT_WINDOW, 0);
	f.nested.vmcs02.field[VMCS_GUEST_RFLAGS] |= RFLAGS_IF;
	ck_assert_int_eq(nested_route(&f.nested, &f.regs, &verdict, &device_gpa), NESTED_TO_L0);
	ck_assert_uint_eq(get02(PROC_FIELD) & WINDOW, 0);
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(get02(EVENT), 0x80000031);
}
END_TEST

/* A window that L0 asked for is forgotten when L1 runs, and one that L1 asked for survives L0's. */
START_TEST(windows_of_both)
{
	l1_ignores_interrupts();
	fixture_set_bits(&f, PROC_FIELD, WINDOW);
	enter_l2();
	ck_assert(!nested_deliver_interrupt(&f.nested, 0x31));
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	ck_assert_uint_eq(f.nested.pending_kind, 0);
	ck_assert_uint_eq(get02(PROC_FIELD) & WINDOW, WINDOW);
	fixture_clear_bits(&f, PROC_FIELD, WINDOW);
	enter_l2();
	ck_assert_uint_eq(get02(PROC_FIELD) & WINDOW, 0);
}
END_TEST

/* The event that vmcs12 injects goes first: L2 is entered for it and trapped right after. */
START_TEST(entry_event_comes_first)
{
	enum ept02_verdict verdict;
	uint64_t device_gpa;

	fixture_set_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT));
	fixture_set(&f, EVENT, 0x80000306);
	enter_l2();
	ck_assert(!nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(f.nested.in_l2);
	ck_assert_uint_eq(get02(PROC_FIELD) & TRAP, TRAP);
	fixture_exit_l2(&f, EXIT_REASON_MONITOR_TRAP_FLAG, 0);
	ck_assert_int_eq(nested_route(&f.nested, &f.regs, &verdict, &device_gpa), NESTED_TO_L0);
	ck_assert_uint_eq(get02(PROC_FIELD) & TRAP, 0);
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_IDT_VECTORING_INFORMATION), 0);
}
END_TEST

/* Where nothing can trap, L1 gets the event back as one whose delivery was interrupted. */
START_TEST(entry_event_comes_back)
{
	fixture_set_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT));
	fixture_set(&f, EVENT, 0x80000306);
	enter_l2();
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_IDT_VECTORING_INFORMATION), 0x80000306);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000031);
}
END_TEST

static void interrupts_enabled(struct fixture *fixture, struct vmcs *vmcs)
{
	(void)fixture;
	vmcs->field[VMCS_GUEST_RFLAGS] = 2 | RFLAGS_IF;
}

START_TEST(stale_flags_are_fetched)
{
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 2;
	vmcs_mask_set(&f.vmcs01.stale, VMCS_GUEST_RFLAGS);
	f.on_fetch = interrupts_enabled;
	ck_assert(nested_deliver_interrupt(&f.nested, 0x31));
	ck_assert_uint_eq(f.fetches, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: events");
	TCase *tcase = tcase_create("real VMX"), *paravirtual = tcase_create("paravirtual");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, inject_into_l1);
	tcase_add_test(tcase, inject_into_l2);
	tcase_add_test(tcase, inject_what_l1_intercepts);
	tcase_add_test(tcase, inject_page_fault);
	tcase_add_test(tcase, reinject);
	tcase_add_test(tcase, reinject_software_interrupt);
	tcase_add_test(tcase, reinject_nmi_unblocks);
	tcase_add_test(tcase, reinject_into_l1);
	tcase_add_test(tcase, nothing_to_reinject);
	tcase_add_test(tcase, interrupt_for_l1);
	tcase_add_loop_test(tcase, interrupt_must_wait, 0, sizeof(blockers) / sizeof(blockers[0]));
	tcase_add_test(tcase, halted_l1_takes_an_interrupt);
	tcase_add_test(tcase, interrupt_ends_l2);
	tcase_add_test(tcase, interrupt_ends_l2_and_stays_pending);
	tcase_add_test(tcase, interrupt_into_l2);
	tcase_add_test(tcase, window_of_l2);
	tcase_add_test(tcase, windows_of_both);
	tcase_add_test(tcase, entry_event_comes_first);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(paravirtual, setup_paravirtual, teardown);
	tcase_add_test(paravirtual, entry_event_comes_back);
	tcase_add_test(paravirtual, stale_flags_are_fetched);
	suite_add_tcase(suite, paravirtual);
	return fixture_run(suite);
}
