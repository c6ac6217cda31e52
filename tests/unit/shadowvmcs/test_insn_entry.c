/* SPDX-License-Identifier: Apache-2.0 */
/* VMLAUNCH and VMRESUME: launch state, each way an entry fails, and what is checked again after what. */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void start(struct fixture *f)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	fixture_start(f);
}

static struct vmx_outcome launch(struct fixture *f)
{
	struct vmx_outcome outcome;

	fixture_launch(f, &outcome);
	return outcome;
}

static struct vmx_outcome resume(struct fixture *f)
{
	struct vmx_outcome outcome;

	fixture_resume(f, &outcome);
	return outcome;
}

static void expect_fail(struct fixture *f, struct vmx_outcome outcome, uint32_t error)
{
	ck_assert_int_eq(outcome.kind, VMX_FAIL_VALID);
	ck_assert_uint_eq(outcome.error, error);
	ck_assert_uint_eq(fixture_get(f, VMCS_VM_INSTRUCTION_ERROR), error);
	ck_assert(!f->nested.in_l2);
}

/* SDM vol. 3, 27.8: L1 is at its host state with the reason and the qualification in vmcs12. */
static void expect_entry_failure(struct fixture *f, struct vmx_outcome outcome, uint32_t reason, uint64_t qualification)
{
	ck_assert_int_eq(outcome.kind, VMX_ENTRY_FAILED);
	ck_assert_uint_eq(fixture_get(f, VMCS_EXIT_REASON), EXIT_REASON_ENTRY_FAILURE | reason);
	ck_assert_uint_eq(fixture_get(f, VMCS_EXIT_QUALIFICATION), qualification);
	ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_GUEST_RIP), fixture_get(f, VMCS_HOST_RIP));
	ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_GUEST_RSP), fixture_get(f, VMCS_HOST_RSP));
	ck_assert(!f->nested.in_l2);
	ck_assert_ptr_nonnull(f->nested.failed_check);
}

/* L2 exits and L1 gets to see it. */
static void round_trip(struct fixture *f)
{
	fixture_exit_l2(f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f->nested);
	ck_assert(!f->nested.in_l2);
}

START_TEST(test_launch_and_resume)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert(f.nested.in_l2);
	ck_assert_ptr_null(f.nested.failed_check);
	ck_assert_uint_eq(f.vmcs12->launched, 1);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_RIP), fixture_get(&f, VMCS_GUEST_RIP));
	/* L1 stays at its VMLAUNCH. */
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), 0x100000);
	round_trip(&f);
	ck_assert_int_eq(resume(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(f.nested.counters[COUNTER_NESTED_ENTRIES], 2);
	ck_assert_uint_eq(f.nested.counters[COUNTER_ENTRY_FAILURES], 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_launch_state)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, resume(&f), VMX_ERROR_VMRESUME_NOT_LAUNCHED);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	round_trip(&f);
	expect_fail(&f, launch(&f), VMX_ERROR_VMLAUNCH_NOT_CLEAR);
	ck_assert_int_eq(resume(&f).kind, VMX_ENTERED);
	fixture_teardown(&f);
	ck_assert_int_eq(VMX_ERROR_VMRESUME_NOT_LAUNCHED, 5);
	ck_assert_int_eq(VMX_ERROR_VMLAUNCH_NOT_CLEAR, 4);
}
END_TEST

/* 31.3: the order is blocking by MOV SS, launch state, controls. */
START_TEST(test_mov_ss_blocking)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = 2;
	expect_fail(&f, launch(&f), 26);
	expect_fail(&f, resume(&f), 26);
	f.vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = 1; /* STI does not matter */
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_controls_fail)
{
	struct fixture f;

	start(&f);
	fixture_set(&f, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, 0);
	fixture_set(&f, VMCS_HOST_CR0, 0);
	fixture_set(&f, VMCS_GUEST_CR0, 0);
	expect_fail(&f, launch(&f), 7); /* before host and guest state */
	ck_assert_ptr_nonnull(strstr(f.nested.failed_check, "PIN"));
	ck_assert_uint_eq(f.vmcs12->launched, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_ENTRY_FAILURES], 1);
	/* The next failure for another reason does not keep the old one's text. */
	expect_fail(&f, resume(&f), 5);
	ck_assert_ptr_null(f.nested.failed_check);
	/* L1 goes on after the instruction, not at its host state. */
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), 0x100000);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_host_state_fails)
{
	struct fixture f;

	start(&f);
	fixture_set(&f, VMCS_HOST_CR0, 0);
	fixture_set(&f, VMCS_GUEST_CR0, 0);
	expect_fail(&f, launch(&f), 8); /* before guest state */
	ck_assert_ptr_nonnull(strstr(f.nested.failed_check, "HOST_CR0"));
	ck_assert_uint_eq(f.nested.counters[COUNTER_ENTRY_FAILURES], 1);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_guest_state_fails)
{
	struct fixture f;

	start(&f);
	fixture_set(&f, VMCS_GUEST_RFLAGS, 0);
	expect_entry_failure(&f, launch(&f), 33, 0);
	ck_assert_ptr_nonnull(strstr(f.nested.failed_check, "RFLAGS"));
	ck_assert_uint_eq(f.vmcs12->launched, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_ENTRY_FAILURES], 1);
	/* Put right, it is launched. */
	fixture_set(&f, VMCS_GUEST_RFLAGS, 2);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert_ptr_null(f.nested.failed_check);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_guest_state_qualification)
{
	struct fixture f;

	start(&f);
	fixture_set(&f, VMCS_VMCS_LINK_POINTER, 0x123);
	expect_entry_failure(&f, launch(&f), 33, 4);
	fixture_teardown(&f);
}
END_TEST

/* Each check that a change made fail fails again as long as the value is not put right, also after an entry. */
START_TEST(test_failures_repeat)
{
	static const struct {
		enum vmcs_field field;
		uint64_t bad;
		uint32_t error; /* 0: exit 33 */
	} cases[] = {
	        {VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, 0, 7},
	        {VMCS_PRIMARY_VM_EXIT_CONTROLS, 0, 7},
	        {VMCS_CR3_TARGET_COUNT, 200, 7},
	        {VMCS_EPT_POINTER, 0, 7},
	        {VMCS_HOST_CR4, 0, 8},
	        {VMCS_HOST_TR_SELECTOR, 0, 8},
	        {VMCS_HOST_RIP, 1ull << 50, 8},
	        {VMCS_GUEST_RFLAGS, 0, 0},
	        {VMCS_GUEST_RIP, 1ull << 50, 0},
	        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0x10000, 0},
	        {VMCS_GUEST_ACTIVITY_STATE, 9, 0},
	        {VMCS_GUEST_TR_ACCESS_RIGHTS, 0x10000, 0},
	        {VMCS_GUEST_CR4, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned entered = 0; entered < 2; entered++) {
			struct fixture f;

			start(&f);
			if (entered) {
				ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
				round_trip(&f);
			}
			const uint64_t good = fixture_get(&f, cases[i].field);
			fixture_set(&f, cases[i].field, cases[i].bad);
			for (unsigned again = 0; again < 3; again++) {
				const struct vmx_outcome outcome = entered ? resume(&f) : launch(&f);
				if (cases[i].error)
					expect_fail(&f, outcome, cases[i].error);
				else
					expect_entry_failure(&f, outcome, 33, 0);
				/* An unrelated change does not hide it. */
				fixture_set(&f, VMCS_GUEST_RSP, 0x20000 + again);
			}
			fixture_set(&f, cases[i].field, good);
			ck_assert_int_eq((entered ? resume(&f) : launch(&f)).kind, VMX_ENTERED);
			fixture_teardown(&f);
		}
	}
}
END_TEST

/* Without a dirty bit nothing is believed of L1's memory, with or without vmcs=direct. */
START_TEST(test_scribbled_memory_is_not_entered)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	round_trip(&f);
	f.vmcs12->field[VMCS_HOST_CR0] = 0;
	f.vmcs12->field[VMCS_GUEST_CR4] = 0;
	f.vmcs12->field[VMCS_EPT_POINTER] = 0;
	ck_assert_int_eq(resume(&f).kind, VMX_ENTERED);
	ck_assert_uint_ne(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_CR4), 0);
	fixture_teardown(&f);
}
END_TEST

/* A VMCS that was given up and taken again, or cleared, is checked and merged as a whole. */
START_TEST(test_another_vmcs_is_checked_as_a_whole)
{
	struct vmcs *other;
	struct vmx_outcome outcome;
	struct vmx_operands operands = {.gpa = FIXTURE_GPA_OTHER_VMCS12};
	struct fixture f;

	start(&f);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	round_trip(&f);
	other = fixture_memory(&f, FIXTURE_GPA_OTHER_VMCS12);
	*other = *f.vmcs12;
	other->launched = 0;
	other->field[VMCS_HOST_CR0] = 0; /* no dirty bit tells of it */
	memset(&other->dirty, 0, sizeof(other->dirty));
	nested_vmx_instruction(&f.nested, EXIT_REASON_VMPTRLD, &operands, &outcome);
	ck_assert_int_eq(outcome.kind, VMX_SUCCEED);
	ck_assert_int_eq(launch(&f).error, 8);
	other->field[VMCS_HOST_CR0] = fixture_get(&f, VMCS_HOST_CR0);
	other->field[VMCS_GUEST_FS_BASE] = 0x3344;
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_FS_BASE), 0x3344);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_msr_list)
{
	struct fixture f;

	start(&f);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST, 0x174);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST + 8, 0x1234);
	fixture_set(&f, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS, FIXTURE_GPA_MSR_LIST);
	fixture_set(&f, VMCS_VM_ENTRY_MSR_LOAD_COUNT, 1);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_IA32_SYSENTER_CS), 0x1234);
	fixture_teardown(&f);
}
END_TEST

/* 27.4: exit reason 34, the number of the entry as qualification, and what was loaded before it is undone. */
START_TEST(test_msr_list_fails)
{
	struct fixture f;

	start(&f);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST, 0x174);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST + 8, 0x1234);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST + 16, 0xc0000100); /* IA32_FS_BASE cannot be in a list */
	fixture_set(&f, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS, FIXTURE_GPA_MSR_LIST);
	fixture_set(&f, VMCS_VM_ENTRY_MSR_LOAD_COUNT, 2);
	expect_entry_failure(&f, launch(&f), 34, 2);
	ck_assert_uint_eq(f.vmcs12->launched, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_ENTRY_FAILURES], 1);
	ck_assert_uint_eq(f.nested.counters[COUNTER_NESTED_ENTRIES], 0);
	fixture_set(&f, VMCS_VM_ENTRY_MSR_LOAD_COUNT, 0);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_IA32_SYSENTER_CS), 0);
	fixture_teardown(&f);
}
END_TEST

/* L0's own limits are no failure of L1's: the guest cannot go on. */
static int no_memory(void *ctx, uint64_t *eptp02)
{
	(void)ctx;
	(void)eptp02;
	return -ENOMEM;
}

START_TEST(test_machine_refuses)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.ept02_backend.root_create = no_memory;
	fixture_start(&f);
	const struct vmx_outcome outcome = launch(&f);
	ck_assert_int_eq(outcome.kind, VMX_REFUSED);
	ck_assert_uint_eq(outcome.error, ENOMEM);
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(f.vmcs12->launched, 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_shadow_region_is_taken_first)
{
	struct vmcs *region;
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.shadow_mode = SHADOW_SHADOW;
	fixture_start(&f);
	region = f.config.shadow_region.hva;
	region->field[VMCS_GUEST_RIP] = 0x4444;
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_RIP), 0x4444);
	/* vmcs02 itself has no shadowing: L2's VMREAD is L1's to see. */
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) &
	                          VMX_BIT(PROC2_VMCS_SHADOWING),
	        0);
	f.nested.vmcs02.field[VMCS_GUEST_RIP] = 0x5555;
	round_trip(&f);
	ck_assert_uint_eq(region->field[VMCS_GUEST_RIP], 0x5555);
	ck_assert_uint_eq(region->field[VMCS_EXIT_REASON], EXIT_REASON_CPUID);
	region->field[VMCS_GUEST_RFLAGS] = 0;
	expect_entry_failure(&f, resume(&f), 33, 0);
	ck_assert_uint_eq(region->field[VMCS_EXIT_REASON], EXIT_REASON_ENTRY_FAILURE | 33);
	fixture_teardown(&f);
}
END_TEST

/* vmcs=direct: L1 writes vmcs12 and its dirty bits in memory. */
START_TEST(test_direct_writes)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	f.config.shadow_mode = SHADOW_DIRECT;
	fixture_start(&f);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	round_trip(&f);
	f.vmcs12->field[VMCS_GUEST_RIP] = 0x4444;
	vmcs_mask_set(&f.vmcs12->dirty, VMCS_GUEST_RIP);
	ck_assert_int_eq(resume(&f).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_GUEST_RIP), 0x4444);
	fixture_teardown(&f);
}
END_TEST

/* The steady state of the kvm machine: no fetch, only what L1 wrote is merged. */
START_TEST(test_steady_state_is_cheap)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	ck_assert_int_eq(launch(&f).kind, VMX_ENTERED);
	for (unsigned i = 0; i < 3; i++) {
		fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
		f.nested.vmcs02.stale = f.machine.on_demand;
		nested_reflect(&f.nested);
		fixture_set(&f, VMCS_GUEST_RIP, fixture_get(&f, VMCS_GUEST_RIP) + 2);
		const uint64_t merged = f.nested.counters[COUNTER_FIELDS_MERGED];
		ck_assert_int_eq(resume(&f).kind, VMX_ENTERED);
		ck_assert_uint_eq(f.nested.counters[COUNTER_FIELDS_MERGED], merged + 1);
	}
	ck_assert_uint_eq(f.fetches, 0);
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("insn_entry");
	TCase *tests = tcase_create("entry");

	tcase_add_test(tests, test_launch_and_resume);
	tcase_add_test(tests, test_launch_state);
	tcase_add_test(tests, test_mov_ss_blocking);
	tcase_add_test(tests, test_controls_fail);
	tcase_add_test(tests, test_host_state_fails);
	tcase_add_test(tests, test_guest_state_fails);
	tcase_add_test(tests, test_guest_state_qualification);
	tcase_add_test(tests, test_failures_repeat);
	tcase_add_test(tests, test_scribbled_memory_is_not_entered);
	tcase_add_test(tests, test_another_vmcs_is_checked_as_a_whole);
	tcase_add_test(tests, test_msr_list);
	tcase_add_test(tests, test_msr_list_fails);
	tcase_add_test(tests, test_machine_refuses);
	tcase_add_test(tests, test_shadow_region_is_taken_first);
	tcase_add_test(tests, test_direct_writes);
	tcase_add_test(tests, test_steady_state_is_cheap);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
