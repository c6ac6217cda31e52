/* SPDX-License-Identifier: Apache-2.0 */
/* VMX instructions of L1: outcomes, error numbers, faults; SDM vol. 3, 31.3 and 31.4. VMREAD and VMWRITE are in
 * test_insn_fields.c, VMLAUNCH and VMRESUME in test_insn_entry.c. */
#include "insn_helpers.h"

static const enum exit_reason all_instructions[] = {EXIT_REASON_VMCALL, EXIT_REASON_VMCLEAR, EXIT_REASON_VMLAUNCH,
        EXIT_REASON_VMPTRLD, EXIT_REASON_VMPTRST, EXIT_REASON_VMREAD, EXIT_REASON_VMRESUME, EXIT_REASON_VMWRITE,
        EXIT_REASON_VMXOFF, EXIT_REASON_VMXON, EXIT_REASON_INVEPT, EXIT_REASON_INVVPID};
#define INSTRUCTIONS (sizeof(all_instructions) / sizeof(all_instructions[0]))

static void start(struct fixture *f)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	fixture_start(f);
}

/* L1 before VMXON. */
static void start_outside(struct fixture *f)
{
	start(f);
	f->nested.vmx_on = false;
	f->nested.vmcs12 = NULL;
	f->nested.vmcs12_gpa = ~0ull;
	f->nested.vmxon_gpa = ~0ull;
}

/* ---- conditions of all instructions ---- */

static void unprotected_mode(struct fixture *f)
{
	f->vmcs01.field[VMCS_GUEST_CR0] &= ~1ull;
}
static void virtual_8086_mode(struct fixture *f)
{
	f->vmcs01.field[VMCS_GUEST_RFLAGS] |= 1ull << 17;
}
static void compatibility_mode(struct fixture *f)
{
	f->vmcs01.field[VMCS_GUEST_CS_ACCESS_RIGHTS] = 0xc09b;
}
static void outside_vmx_operation(struct fixture *f)
{
	f->nested.vmx_on = false;
}
/* L0 keeps CR0.PE set and shows it as L1 left it. */
static void unprotected_mode_in_shadow(struct fixture *f)
{
	f->vmcs01.field[VMCS_CR0_GUEST_HOST_MASK] = 1;
	f->vmcs01.field[VMCS_CR0_READ_SHADOW] = 0x80000030;
}

START_TEST(test_undefined_in_wrong_modes)
{
	static void (*const modes[])(struct fixture *) = {unprotected_mode, virtual_8086_mode, compatibility_mode,
	        outside_vmx_operation, unprotected_mode_in_shadow};

	for (unsigned mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++) {
		struct fixture f;

		start(&f);
		modes[mode](&f);
		for (unsigned i = 0; i < INSTRUCTIONS; i++) {
			if (all_instructions[i] == EXIT_REASON_VMXON && modes[mode] == outside_vmx_operation)
				continue;
			expect_fault(run_address(&f, all_instructions[i], FIXTURE_GPA_VMXON), 6);
		}
		fixture_teardown(&f);
	}
}
END_TEST

/* 32-bit protected mode is as good as 64-bit mode. */
START_TEST(test_protected_mode_is_allowed)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	f.vmcs01.field[VMCS_GUEST_CS_ACCESS_RIGHTS] = 0xc09b;
	ck_assert_int_eq(vmread(&f, VMCS_ENC_GUEST_RIP).kind, VMX_SUCCEED);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_user_mode)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_SS_ACCESS_RIGHTS] = 0xc0f3;
	for (unsigned i = 0; i < INSTRUCTIONS; i++)
		expect_fault(run_address(&f, all_instructions[i], FIXTURE_GPA_VMXON), 13);
	/* #UD comes first. */
	f.nested.vmx_on = false;
	expect_fault(vmread(&f, VMCS_ENC_GUEST_RIP), 6);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_other_instructions_are_undefined)
{
	struct fixture f;

	start(&f);
	expect_fault(run_address(&f, EXIT_REASON_VMFUNC, 0), 6);
	expect_fault(run_address(&f, EXIT_REASON_CPUID, 0), 6);
	fixture_teardown(&f);
}
END_TEST

/* A paravirtual L1's CPU has no VMX: its mode is not looked at (nor fetched from the machine), VMX operation is. */
START_TEST(test_paravirtual_mode_is_not_looked_at)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	f.vmcs01.stale = f.machine.on_demand;
	f.vmcs01.field[VMCS_GUEST_CR4] = 0x20;
	f.vmcs01.field[VMCS_GUEST_CR0] = 0;
	ck_assert_int_eq(vmread(&f, VMCS_ENC_GUEST_RIP).kind, VMX_SUCCEED);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXOFF, 0).kind, VMX_SUCCEED);
	expect_fault(vmread(&f, VMCS_ENC_GUEST_RIP), 6);
	f.nested.feature_control = 0;
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.fetches, 0);
	fixture_teardown(&f);
}
END_TEST

static void fetch_user_mode(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_SS_ACCESS_RIGHTS] = 0xc0f3;
}

/* A real L1 whose segments are still in the machine: they are fetched, not guessed. */
START_TEST(test_mode_is_fetched)
{
	struct fixture f;

	start(&f);
	f.on_fetch = fetch_user_mode;
	vmcs_mask_set(&f.vmcs01.stale, VMCS_GUEST_SS_ACCESS_RIGHTS);
	expect_fault(vmread(&f, VMCS_ENC_GUEST_RIP), 13);
	ck_assert_uint_eq(f.fetches, 1);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_counter)
{
	struct fixture f;

	start(&f);
	vmread(&f, VMCS_ENC_GUEST_RIP);
	vmread(&f, 0x7fe);
	ck_assert_uint_eq(f.nested.counters[COUNTER_VMX_INSTRUCTIONS], 2);
	fixture_teardown(&f);
}
END_TEST

/* ---- VMXON, VMXOFF ---- */

START_TEST(test_vmxon)
{
	struct fixture f;

	start_outside(&f);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON).kind, VMX_SUCCEED);
	ck_assert(f.nested.vmx_on);
	ck_assert_uint_eq(f.nested.vmxon_gpa, FIXTURE_GPA_VMXON);
	ck_assert_ptr_null(f.nested.vmcs12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmxon_pointer)
{
	static const uint64_t bad[] = {
	        FIXTURE_GPA_VMXON + 8, 1ull << 46, FIXTURE_GPA_SHADOW12, 0xa000, FIXTURE_MEMORY_BYTES};
	struct fixture f;

	start_outside(&f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, bad[i]).kind, VMX_FAIL_INVALID);
		ck_assert(!f.nested.vmx_on);
	}
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_physical_width_is_the_machines)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.physical_address_bits = 14;
	fixture_start(&f);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_OTHER_VMCS12).kind, VMX_SUCCEED);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, 0x4000), 9);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmxon_needs_fixed_bits)
{
	struct fixture f;

	start_outside(&f);
	f.vmcs01.field[VMCS_GUEST_CR4] &= ~(1ull << 13); /* VMXE */
	expect_fault(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON), 6);
	/* L0 may have the bit set for itself: what counts is what L1 sees. */
	f.vmcs01.field[VMCS_GUEST_CR4] |= 1ull << 13;
	f.vmcs01.field[VMCS_CR4_GUEST_HOST_MASK] = 1ull << 13;
	expect_fault(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON), 6);
	f.vmcs01.field[VMCS_CR4_READ_SHADOW] = 1ull << 13;
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON).kind, VMX_SUCCEED);
	f.nested.vmx_on = false;
	f.vmcs01.field[VMCS_GUEST_CR4] |= 1ull << 31; /* not in CR4_FIXED1 */
	expect_fault(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON), 13);
	f.vmcs01.field[VMCS_GUEST_CR4] &= ~(1ull << 31);
	f.vmcs01.field[VMCS_GUEST_CR0] &= ~(1ull << 5); /* NE */
	expect_fault(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON), 13);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmxon_needs_feature_control)
{
	static const struct {
		uint64_t value;
		bool allowed;
	} cases[] = {{0, false}, {FEATURE_CONTROL_LOCK, false}, {FEATURE_CONTROL_VMX_OUTSIDE_SMX, false},
	        {FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX, true}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		start_outside(&f);
		f.nested.feature_control = cases[i].value;
		const struct vmx_outcome outcome = run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON);
		if (cases[i].allowed)
			ck_assert_int_eq(outcome.kind, VMX_SUCCEED);
		else
			expect_fault(outcome, 13);
		fixture_teardown(&f);
	}
}
END_TEST

START_TEST(test_vmxon_in_root_operation)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON), 15);
	run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMCS12);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON).kind, VMX_FAIL_INVALID);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmxoff)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXOFF, 0).kind, VMX_SUCCEED);
	ck_assert(!f.nested.vmx_on);
	ck_assert_ptr_null(f.nested.vmcs12);
	ck_assert_uint_eq(f.nested.vmxon_gpa, ~0ull);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON).kind, VMX_SUCCEED);
	ck_assert_uint_eq(run_address(&f, EXIT_REASON_VMPTRST, 0).value, ~0ull);
	fixture_teardown(&f);
}
END_TEST

/* ---- VMCLEAR, VMPTRLD, VMPTRST ---- */

START_TEST(test_vmclear)
{
	struct fixture f;

	start(&f);
	f.vmcs12->launched = 1;
	f.nested.last_vmcs12 = f.vmcs12;
	vmcs_mask_set(&f.vmcs12->stale, VMCS_GUEST_CR0);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMCS12).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.vmcs12->launched, 0);
	ck_assert_ptr_null(f.nested.vmcs12);
	ck_assert_uint_eq(f.nested.vmcs12_gpa, ~0ull);
	ck_assert_ptr_null(f.nested.last_vmcs12);
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_CR0));
	ck_assert_int_eq(vmread(&f, VMCS_ENC_GUEST_RIP).kind, VMX_FAIL_INVALID);
	ck_assert_uint_eq(run_address(&f, EXIT_REASON_VMPTRST, 0).value, ~0ull);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmclear_of_another)
{
	struct vmcs *other;
	struct fixture f;

	start(&f);
	other = fixture_memory(&f, FIXTURE_GPA_OTHER_VMCS12);
	other->launched = 1;
	memset(&other->dirty, 0xff, sizeof(other->dirty)); /* what the memory held before */
	memset(&other->stale, 0xff, sizeof(other->stale));
	f.nested.last_vmcs12 = f.vmcs12;
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_OTHER_VMCS12).kind, VMX_SUCCEED);
	ck_assert_uint_eq(other->launched, 0);
	ck_assert(!vmcs_mask_has(&other->dirty, VMCS_GUEST_RIP) && !vmcs_mask_has(&other->stale, VMCS_GUEST_CR0));
	ck_assert_ptr_eq(f.nested.vmcs12, f.vmcs12);
	ck_assert_ptr_eq(f.nested.last_vmcs12, f.vmcs12);
	/* Where there is no RAM nothing is cleared, which is no error. */
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_MEMORY_BYTES).kind, VMX_SUCCEED);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmclear_fails)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMCS12 + 1), 2);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMCLEAR, 1ull << 46), 2);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMXON), 3);
	ck_assert_ptr_eq(f.nested.vmcs12, f.vmcs12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmptrld)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_OTHER_VMCS12).kind, VMX_SUCCEED);
	ck_assert_ptr_eq(f.nested.vmcs12, fixture_memory(&f, FIXTURE_GPA_OTHER_VMCS12));
	ck_assert_uint_eq(run_address(&f, EXIT_REASON_VMPTRST, 0).value, FIXTURE_GPA_OTHER_VMCS12);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_VMCS12).kind, VMX_SUCCEED);
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_GUEST_RIP).value, 0x100000);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmptrld_fails)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_OTHER_VMCS12 + 2048), 9);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, 1ull << 63), 9);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_VMXON), 10);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, 0xa000), 11);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_SHADOW12), 11);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_MEMORY_BYTES), 11);
	ck_assert_ptr_eq(f.nested.vmcs12, f.vmcs12);
	run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMCS12);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMPTRLD, 0xa000).kind, VMX_FAIL_INVALID);
	fixture_teardown(&f);
}
END_TEST

static void machine_has_cr3(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_CR3] = 0xabc000;
}

/* What L2 left in the machine belongs into the VMCS that is given up. */
START_TEST(test_vmptrld_fetches_for_the_old_one)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	f.nested.last_vmcs12 = f.vmcs12;
	memset(&f.vmcs12->dirty, 0, sizeof(f.vmcs12->dirty));
	f.on_fetch = machine_has_cr3;
	vmcs_mask_set(&f.vmcs12->stale, VMCS_GUEST_CR3);
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_CR3);
	run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_VMCS12); /* the same one: nothing happens */
	ck_assert_uint_eq(f.fetches, 0);
	run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_OTHER_VMCS12);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), 0xabc000);
	fixture_teardown(&f);
}
END_TEST

/* ---- INVEPT, INVVPID, VMCALL ---- */

static void make_mapping(struct fixture *f)
{
	uint64_t eptp02, allowed, gpa;

	ck_assert_int_eq(ept02_enter(&f->nested, fixture_get(f, VMCS_EPT_POINTER), &eptp02), 0);
	ck_assert_int_eq(ept02_violation(&f->nested, fixture_get(f, VMCS_EPT_POINTER), 0, EPT_READ, &allowed, &gpa),
	        EPT02_REPAIRED);
	ck_assert_uint_eq(f->mapping_count, 1);
}

START_TEST(test_invept)
{
	struct fixture f;

	start(&f);
	const uint64_t eptp = fixture_get(&f, VMCS_EPT_POINTER);
	make_mapping(&f);
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVEPT, 1, 0x50000 | (eptp & 0xfff), 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.mapping_count, 1); /* another EPT's */
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVEPT, 1, eptp, 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.mapping_count, 0);
	make_mapping(&f);
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVEPT, 2, 0, 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.mapping_count, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_INVEPT], 3);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_invept_fails)
{
	struct fixture f;

	start(&f);
	const uint64_t eptp = fixture_get(&f, VMCS_EPT_POINTER);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 0, eptp, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 3, eptp, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 1ull << 32 | 1, eptp, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 1, eptp & ~(7ull << 3), 0), 28); /* no walk length */
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 1, eptp | 1ull << 50, 0), 28);
	ck_assert_uint_eq(f.nested.counters[COUNTER_INVEPT], 0);
	fixture_teardown(&f);

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.ept_vpid &= ~EPT_CAP_INVEPT_ALL;
	fixture_start(&f);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVEPT, 2, 0, 0), 28);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_invvpid)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVVPID, 2, 0, 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.vpid_flushes, 1);
	ck_assert_uint_eq(f.vpid_flushed, 0);
	for (uint64_t type = 0; type <= 3; type++) {
		if (type == 2)
			continue;
		ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVVPID, type, 5, 0x1000).kind, VMX_SUCCEED);
		ck_assert_uint_eq(f.vpid_flushed, nested_vpid02(&f.nested, 5));
	}
	ck_assert_uint_eq(f.vpid_flushes, 4);
	ck_assert_uint_eq(f.nested.counters[COUNTER_INVVPID], 4);
	f.nested.config.ops.flush_vpid = NULL;
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVVPID, 2, 0, 0).kind, VMX_SUCCEED);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_invvpid_fails)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 4, 5, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, ~0ull, 5, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 0, 0, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 1, 0, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 3, 0, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 2, 0x10000, 0), 28);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 0, 5, 1ull << 47), 28);
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVVPID, 1, 5, 1ull << 47).kind, VMX_SUCCEED);
	ck_assert_uint_eq(f.vpid_flushes, 1);
	fixture_teardown(&f);

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.ept_vpid &= ~EPT_CAP_INVVPID_ADDRESS;
	fixture_start(&f);
	expect_fail(&f, invalidate(&f, EXIT_REASON_INVVPID, 0, 5, 0), 28);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_invalidations_that_are_not_offered)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.ept_vpid &= ~(EPT_CAP_INVEPT | EPT_CAP_INVVPID);
	fixture_start(&f);
	expect_fault(invalidate(&f, EXIT_REASON_INVEPT, 2, 0, 0), 6);
	expect_fault(invalidate(&f, EXIT_REASON_INVVPID, 2, 0, 0), 6);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmcall_in_root_operation)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, run_address(&f, EXIT_REASON_VMCALL, 0), 1);
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("insn");
	TCase *common = tcase_create("common"), *pointers = tcase_create("pointers");
	TCase *invalidation = tcase_create("invalidation");

	tcase_add_test(common, test_undefined_in_wrong_modes);
	tcase_add_test(common, test_protected_mode_is_allowed);
	tcase_add_test(common, test_user_mode);
	tcase_add_test(common, test_other_instructions_are_undefined);
	tcase_add_test(common, test_paravirtual_mode_is_not_looked_at);
	tcase_add_test(common, test_mode_is_fetched);
	tcase_add_test(common, test_counter);
	tcase_add_test(pointers, test_vmxon);
	tcase_add_test(pointers, test_vmxon_pointer);
	tcase_add_test(pointers, test_physical_width_is_the_machines);
	tcase_add_test(pointers, test_vmxon_needs_fixed_bits);
	tcase_add_test(pointers, test_vmxon_needs_feature_control);
	tcase_add_test(pointers, test_vmxon_in_root_operation);
	tcase_add_test(pointers, test_vmxoff);
	tcase_add_test(pointers, test_vmclear);
	tcase_add_test(pointers, test_vmclear_of_another);
	tcase_add_test(pointers, test_vmclear_fails);
	tcase_add_test(pointers, test_vmptrld);
	tcase_add_test(pointers, test_vmptrld_fails);
	tcase_add_test(pointers, test_vmptrld_fetches_for_the_old_one);
	tcase_add_test(invalidation, test_invept);
	tcase_add_test(invalidation, test_invept_fails);
	tcase_add_test(invalidation, test_invvpid);
	tcase_add_test(invalidation, test_invvpid_fails);
	tcase_add_test(invalidation, test_invalidations_that_are_not_offered);
	tcase_add_test(invalidation, test_vmcall_in_root_operation);
	suite_add_tcase(suite, common);
	suite_add_tcase(suite, pointers);
	suite_add_tcase(suite, invalidation);
	return fixture_run(suite);
}
