/* SPDX-License-Identifier: Apache-2.0 */
/* VMREAD and VMWRITE as the engine emulates them: every field, fields still in the machine, shadowed fields. */
#include "insn_helpers.h"

static void start(struct fixture *f)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	fixture_start(f);
}

static void machine_has_cr3(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_CR3] = 0xabc000;
}

START_TEST(test_every_field_is_written_and_read)
{
	struct fixture f;

	start(&f);
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		const uint32_t encoding = vmcs_field_infos[i].encoding;
		const uint64_t mask = vmcs_width_mask(vmcs_encoding_width(encoding));
		const uint64_t value = 0xa5a5a5a5a5a5a500 + (uint64_t)i;

		ck_assert_int_eq(vmwrite(&f, encoding, value).kind, VMX_SUCCEED);
		const struct vmx_outcome outcome = vmread(&f, encoding);
		ck_assert_int_eq(outcome.kind, VMX_SUCCEED);
		ck_assert_uint_eq(outcome.value, value & mask);
		ck_assert(vmcs_mask_has(&f.vmcs12->dirty, (enum vmcs_field)i));
	}
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_high_halves)
{
	struct fixture f;

	start(&f);
	vmwrite(&f, VMCS_ENC_TSC_OFFSET, 0x1111111122222222);
	vmwrite(&f, VMCS_ENC_TSC_OFFSET | 1, 0x33333333);
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_TSC_OFFSET).value, 0x3333333322222222);
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_TSC_OFFSET | 1).value, 0x33333333);
	expect_fail(&f, vmread(&f, VMCS_ENC_GUEST_RIP | 1), 12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_unsupported_components)
{
	struct fixture f;

	start(&f);
	expect_fail(&f, vmread(&f, 0x7fe), 12);
	expect_fail(&f, vmwrite(&f, 0x7fe, 0), 12);
	/* All 64 bits of the register count. */
	expect_fail(&f, vmread(&f, 1ull << 32 | VMCS_ENC_GUEST_RIP), 12);
	expect_fail(&f, vmwrite(&f, 1ull << 63 | VMCS_ENC_GUEST_RIP, 0), 12);
	expect_fail(&f, vmread(&f, 1u << 15 | VMCS_ENC_GUEST_RIP), 12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_read_only_components)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.misc &= ~(1ull << 29);
	fixture_start(&f);
	expect_fail(&f, vmwrite(&f, VMCS_ENC_EXIT_REASON, 1), 13);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), 0);
	ck_assert_int_eq(vmwrite(&f, VMCS_ENC_GUEST_RIP, 1).kind, VMX_SUCCEED);
	expect_fail(&f, vmwrite(&f, 0x47fe, 1), 12); /* unsupported comes first */
	fixture_teardown(&f);

	start(&f);
	ck_assert_int_eq(vmwrite(&f, VMCS_ENC_EXIT_REASON, 1).kind, VMX_SUCCEED);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), 1);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_no_current_vmcs)
{
	struct fixture f;

	start(&f);
	run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMCS12);
	ck_assert_int_eq(vmread(&f, VMCS_ENC_GUEST_RIP).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(vmwrite(&f, VMCS_ENC_GUEST_RIP, 0).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMLAUNCH, 0).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMRESUME, 0).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMCALL, 0).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_VMXON).kind, VMX_FAIL_INVALID);
	ck_assert_int_eq(invalidate(&f, EXIT_REASON_INVEPT, 0, 0, 0).kind, VMX_FAIL_INVALID);
	fixture_teardown(&f);
}
END_TEST

/* ---- fields that are still in the machine ---- */

static void start_stale(struct fixture *f, enum vmcs_field field)
{
	fixture_setup(f, FIXTURE_PARAVIRTUAL);
	fixture_start(f);
	f->nested.last_vmcs12 = f->vmcs12;
	memset(&f->vmcs12->dirty, 0, sizeof(f->vmcs12->dirty));
	vmcs_mask_set(&f->vmcs12->stale, field);
	vmcs_mask_set(&f->nested.vmcs02.stale, field);
}

static void machine_has_efer(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_IA32_EFER] = 0x7777777700000d01;
}

START_TEST(test_vmread_fetches)
{
	struct fixture f;

	start_stale(&f, VMCS_GUEST_CR3);
	f.on_fetch = machine_has_cr3;
	vmread(&f, VMCS_ENC_GUEST_RIP);
	ck_assert_uint_eq(f.fetches, 0);
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_GUEST_CR3).value, 0xabc000);
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_GUEST_CR3).value, 0xabc000);
	ck_assert_uint_eq(f.fetches, 1);
	fixture_teardown(&f);
}
END_TEST

/* Writing the very value vmcs12 held before L2 changed the register is a change. */
START_TEST(test_vmwrite_of_a_stale_field)
{
	struct fixture f;

	start_stale(&f, VMCS_GUEST_CR3);
	vmwrite(&f, VMCS_ENC_GUEST_CR3, fixture_get(&f, VMCS_GUEST_CR3));
	ck_assert_uint_eq(f.fetches, 0);
	ck_assert(vmcs_mask_has(&f.vmcs12->dirty, VMCS_GUEST_CR3));
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_CR3));
	fixture_teardown(&f);

	start_stale(&f, VMCS_GUEST_IA32_EFER);
	f.on_fetch = machine_has_efer;
	vmwrite(&f, VMCS_ENC_GUEST_IA32_EFER | 1, 0x55);
	ck_assert_uint_eq(f.fetches, 1);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_IA32_EFER), 0x5500000d01);
	ck_assert(vmcs_mask_has(&f.vmcs12->dirty, VMCS_GUEST_IA32_EFER));
	fixture_teardown(&f);
}
END_TEST

/* ---- emulated accesses beside VMCS shadowing ---- */

START_TEST(test_shadowed_fields)
{
	struct vmcs *region;
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.shadow_mode = SHADOW_SHADOW;
	fixture_start(&f);
	region = f.config.shadow_region.hva;
	region->field[VMCS_GUEST_RIP] = 0x4000; /* L1's VMWRITE, which did not exit */
	ck_assert_uint_eq(vmread(&f, VMCS_ENC_GUEST_RIP).value, 0x4000);
	vmwrite(&f, VMCS_ENC_GUEST_RSP, 0x5000);
	ck_assert_uint_eq(region->field[VMCS_GUEST_RSP], 0x5000);
	/* The VM-instruction error is where L1 reads it. */
	vmread(&f, 0x7fe);
	ck_assert_uint_eq(region->field[VMCS_VM_INSTRUCTION_ERROR], 12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_shadow_region_follows_the_current_vmcs)
{
	struct vmcs *region;
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.shadow_mode = SHADOW_SHADOW;
	fixture_start(&f);
	region = f.config.shadow_region.hva;
	region->field[VMCS_GUEST_RIP] = 0x4000;
	run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_OTHER_VMCS12);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x4000); /* went home */
	ck_assert_uint_eq(region->field[VMCS_GUEST_RIP], 0);        /* the other one's */
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), f.config.shadow_region.hpa);
	run_address(&f, EXIT_REASON_VMCLEAR, FIXTURE_GPA_OTHER_VMCS12);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), ~0ull);
	run_address(&f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_VMCS12);
	ck_assert_uint_eq(region->field[VMCS_GUEST_RIP], 0x4000);
	run_address(&f, EXIT_REASON_VMXOFF, 0);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), ~0ull);
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("insn_fields");
	TCase *tests = tcase_create("fields");

	tcase_add_test(tests, test_every_field_is_written_and_read);
	tcase_add_test(tests, test_high_halves);
	tcase_add_test(tests, test_unsupported_components);
	tcase_add_test(tests, test_read_only_components);
	tcase_add_test(tests, test_no_current_vmcs);
	tcase_add_test(tests, test_vmread_fetches);
	tcase_add_test(tests, test_vmwrite_of_a_stale_field);
	tcase_add_test(tests, test_shadowed_fields);
	tcase_add_test(tests, test_shadow_region_follows_the_current_vmcs);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
