/* SPDX-License-Identifier: Apache-2.0 */
/* Life of struct nested; the snapshot of vmcs12; guest state that is fetched on demand; L1's VMX MSRs. */
#include <errno.h>
#include <string.h>

#include "fixture.h"

/* ---- set-up ---- */

static int try_init(void (*change)(struct nested_config *))
{
	static struct nested nested;
	struct fixture f;
	int error;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.machine = f.machine;
	change(&f.config);
	error = nested_init(&nested, &f.config);
	if (!error)
		nested_fini(&nested);
	fixture_teardown(&f);
	return error;
}

static void change_nothing(struct nested_config *config)
{
	(void)config;
}
static void change_vmcs01(struct nested_config *config)
{
	config->vmcs01 = NULL;
}
static void change_l1_page(struct nested_config *config)
{
	config->ops.l1_page = NULL;
}
static void change_lazy(struct nested_config *config)
{
	config->machine.ept02_lazy = false;
}
static void change_eager_without_extents(struct nested_config *config)
{
	config->ept02_mode = EPT02_EAGER;
}
static void change_mode(struct nested_config *config)
{
	config->shadow_mode = (enum shadow_mode)3;
}
static void change_shadow(struct nested_config *config)
{
	config->shadow_mode = SHADOW_SHADOW;
}
static void change_shadow_vmread(struct nested_config *config)
{
	config->shadow_mode = SHADOW_SHADOW;
	config->vmread_bitmap.hva = NULL;
}
static void change_shadow_vmwrite(struct nested_config *config)
{
	config->shadow_mode = SHADOW_SHADOW;
	config->vmwrite_bitmap.hva = NULL;
}
static void change_shadow_region(struct nested_config *config)
{
	config->shadow_mode = SHADOW_SHADOW;
	config->shadow_region.hva = NULL;
}
static void change_shadow_hardware(struct nested_config *config)
{
	config->shadow_mode = SHADOW_SHADOW;
	config->machine.hardware_shadowing = false;
}
static void change_shadow_paravirtual(struct nested_config *config)
{
	change_shadow_hardware(config);
	config->machine.real_vmx = false;
}

START_TEST(test_init_refuses_what_the_machine_cannot_honour)
{
	ck_assert_int_eq(try_init(change_nothing), 0);
	ck_assert_int_eq(try_init(change_vmcs01), -EINVAL);
	ck_assert_int_eq(try_init(change_l1_page), -EINVAL);
	ck_assert_int_eq(try_init(change_lazy), -EINVAL);
	ck_assert_int_eq(try_init(change_eager_without_extents), -EINVAL);
	ck_assert_int_eq(try_init(change_mode), -EINVAL);
	ck_assert_int_eq(try_init(change_shadow), 0);
	ck_assert_int_eq(try_init(change_shadow_vmread), -EINVAL);
	ck_assert_int_eq(try_init(change_shadow_vmwrite), -EINVAL);
	ck_assert_int_eq(try_init(change_shadow_region), -EINVAL);
	ck_assert_int_eq(try_init(change_shadow_hardware), -EINVAL);
	ck_assert_int_eq(try_init(change_shadow_paravirtual), 0);
}
END_TEST

START_TEST(test_init_state)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.machine = f.machine;
	memset(&f.nested, 0xee, sizeof(f.nested));
	ck_assert_int_eq(nested_init(&f.nested, &f.config), 0);
	ck_assert(!f.nested.vmx_on && !f.nested.in_l2);
	ck_assert_uint_eq(f.nested.counters[COUNTER_REFLECTED], 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_RIP], 0);
	ck_assert_ptr_null(f.nested.vmcs12);
	ck_assert_uint_eq(f.nested.vmcs12_gpa, ~0ull);
	ck_assert_uint_eq(f.nested.vmxon_gpa, ~0ull);
	ck_assert_uint_eq(vmcs_get(&f.nested.vmcs02, VMCS_VMCS_LINK_POINTER), ~0ull);
	ck_assert_uint_eq(f.nested.vmcs02.revision_id, VMCS_REVISION_ID);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_reset)
{
	struct fixture f;
	uint64_t eptp02, allowed, gpa;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.shadow_mode = SHADOW_SHADOW;
	f.config.feature_control = 0;
	fixture_start(&f);
	ck_assert_int_eq(ept02_enter(&f.nested, fixture_get(&f, VMCS_EPT_POINTER), &eptp02), 0);
	ck_assert(nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, 5));
	ck_assert_int_eq(ept02_violation(&f.nested, fixture_get(&f, VMCS_EPT_POINTER), 0, EPT_READ, &allowed, &gpa),
	        EPT02_REPAIRED);
	ck_assert_uint_eq(f.mapping_count, 1);
	f.nested.in_l2 = true;
	f.nested.vmx_abort = 4;
	f.nested.pending_kind = NESTED_WAITS_WINDOW;
	f.nested.failed_check = "a check";
	fixture_snapshot(&f);
	f.nested.last_vmcs12 = f.vmcs12;
	f.nested.counters[COUNTER_REFLECTED] = 7;
	nested_reset(&f.nested);
	ck_assert(!f.nested.vmx_on && !f.nested.in_l2);
	ck_assert_uint_eq(f.nested.vmx_abort, 0);
	ck_assert_uint_eq(f.nested.pending_kind, 0);
	ck_assert_ptr_null(f.nested.failed_check);
	ck_assert_ptr_null(f.nested.last_vmcs12);
	ck_assert(f.nested.merge_all);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_RIP], 0);
	ck_assert_uint_eq(f.mapping_count, 0);
	ck_assert_ptr_null(f.nested.vmcs12);
	ck_assert_uint_eq(f.nested.vmcs12_gpa, ~0ull);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), ~0ull);
	ck_assert_uint_eq(f.nested.counters[COUNTER_REFLECTED], 7);
	uint64_t value = 1;
	ck_assert(nested_read_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, &value));
	ck_assert_uint_eq(value, 0);
	fixture_teardown(&f);
}
END_TEST

/* ---- MSRs ---- */

/* SDM vol. 3, 24.7: written once, then locked. */
START_TEST(test_feature_control)
{
	struct fixture f;
	uint64_t value = 1;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.config.feature_control = 0;
	fixture_start(&f);
	ck_assert(nested_read_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, &value));
	ck_assert_uint_eq(value, 0);
	ck_assert(!nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, 2)); /* VMX inside SMX: there is no SMX */
	ck_assert(!nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, 1ull << 18));
	ck_assert(nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_VMX_OUTSIDE_SMX));
	ck_assert(nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK));
	ck_assert(!nested_write_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, 5));
	ck_assert(nested_read_msr(&f.nested, MSR_IA32_FEATURE_CONTROL, &value));
	ck_assert_uint_eq(value, FEATURE_CONTROL_LOCK);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_capability_msrs_are_read_only)
{
	struct fixture f;
	uint64_t value = 0;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	ck_assert(nested_read_msr(&f.nested, MSR_IA32_VMX_BASIC, &value));
	ck_assert_uint_eq((uint32_t)value, VMCS_REVISION_ID);
	ck_assert(!nested_write_msr(&f.nested, MSR_IA32_VMX_BASIC, value));
	ck_assert(!nested_read_msr(&f.nested, 0x10, &value));
	ck_assert(!nested_write_msr(&f.nested, 0x10, 0));
	fixture_teardown(&f);
}
END_TEST

/* ---- snapshot ---- */

/* As after a nested entry: vmcs02 is this vmcs12's, nothing is dirty. */
static void start_entered(struct fixture *f, enum fixture_kind kind)
{
	fixture_setup(f, kind);
	fixture_start(f);
	fixture_snapshot(f);
	f->nested.merge_all = false;
	f->nested.last_vmcs12 = f->vmcs12;
	memset(&f->nested.checked12.dirty, 0, sizeof(f->nested.checked12.dirty));
}

START_TEST(test_first_snapshot_takes_everything)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	f.nested.merge_all = false;
	memset(&f.vmcs12->dirty, 0, sizeof(f.vmcs12->dirty));
	fixture_snapshot(&f); /* another vmcs12 than last time (none) */
	ck_assert(f.nested.merge_all);
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		ck_assert_uint_eq(f.nested.checked12.field[i], f.vmcs12->field[i]);
		ck_assert(vmcs_mask_has(&f.nested.checked12.dirty, (enum vmcs_field)i));
	}
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_snapshot_takes_dirty_fields_only)
{
	const struct vmcs_mask none = {0};
	struct fixture f;

	start_entered(&f, FIXTURE_REAL_VMX);
	fixture_set(&f, VMCS_GUEST_RIP, 0x777);
	f.vmcs12->field[VMCS_GUEST_RSP] = 0x888; /* without its dirty bit */
	fixture_snapshot(&f);
	ck_assert(!f.nested.merge_all);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_RIP], 0x777);
	ck_assert_uint_ne(f.nested.checked12.field[VMCS_GUEST_RSP], 0x888);
	ck_assert_mem_eq(&f.vmcs12->dirty, &none, sizeof(none));
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		ck_assert_int_eq(vmcs_mask_has(&f.nested.checked12.dirty, (enum vmcs_field)i), i == VMCS_GUEST_RIP);
	/* Fields of an entry that failed stay dirty. */
	fixture_set(&f, VMCS_GUEST_RSP, 0x999);
	fixture_snapshot(&f);
	ck_assert(vmcs_mask_has(&f.nested.checked12.dirty, VMCS_GUEST_RIP));
	ck_assert(vmcs_mask_has(&f.nested.checked12.dirty, VMCS_GUEST_RSP));
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_snapshot_copies_everything_when_told)
{
	struct fixture f;

	start_entered(&f, FIXTURE_REAL_VMX);
	f.nested.config.copy_everything = true;
	f.vmcs12->field[VMCS_GUEST_RSP] = 0x888;
	fixture_snapshot(&f);
	ck_assert(!f.nested.merge_all);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_RSP], 0x888);
	ck_assert(vmcs_mask_has(&f.nested.checked12.dirty, VMCS_GUEST_RIP));
	fixture_teardown(&f);
}
END_TEST

/* With vmcs=direct, L1 writes the memory of vmcs12: values wider than the field, dirty bits of no field. */
START_TEST(test_snapshot_of_hostile_memory)
{
	struct fixture f;

	start_entered(&f, FIXTURE_REAL_VMX);
	f.vmcs12->field[VMCS_GUEST_CS_SELECTOR] = ~0ull;
	f.vmcs12->field[VMCS_GUEST_CS_LIMIT] = ~0ull;
	memset(&f.vmcs12->dirty, 0xff, sizeof(f.vmcs12->dirty));
	fixture_snapshot(&f);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_CS_SELECTOR], 0xffff);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_CS_LIMIT], 0xffffffff);
	for (int i = VMCS_FIELD_COUNT; i < 64 * VMCS_MASK_WORDS; i++)
		ck_assert(!(f.nested.checked12.dirty.word[i / 64] >> (i % 64) & 1));
	fixture_teardown(&f);
}
END_TEST

/* checked12.stale: what the checks may skip. Only fields the machine can keep, and none that L1 wrote. */
START_TEST(test_snapshot_of_stale_fields)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	memset(&f.vmcs12->stale, 0xff, sizeof(f.vmcs12->stale));
	f.vmcs12->field[VMCS_GUEST_CR3] = 0x5000;
	vmcs_mask_set(&f.vmcs12->dirty, VMCS_GUEST_CR3);
	fixture_snapshot(&f);
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		ck_assert_int_eq(vmcs_mask_has(&f.nested.checked12.stale, (enum vmcs_field)i),
		        vmcs_mask_has(&f.machine.on_demand, (enum vmcs_field)i) && i != VMCS_GUEST_CR3);
	f.nested.merge_all = true;
	fixture_snapshot(&f);
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		ck_assert(!vmcs_mask_has(&f.nested.checked12.stale, (enum vmcs_field)i));
	fixture_teardown(&f);
}
END_TEST

/* ---- fetching ---- */

static void machine_has_cr0(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_CR0] = 0x80000033;
	vmcs->field[VMCS_GUEST_CR3] = 0xabc000;
}

/* L2 ran and left CR0 and CR3 in the machine. */
static void leave_in_machine(struct fixture *f)
{
	f->on_fetch = machine_has_cr0;
	vmcs_mask_set(&f->nested.vmcs02.stale, VMCS_GUEST_CR0);
	vmcs_mask_set(&f->nested.vmcs02.stale, VMCS_GUEST_CR3);
	vmcs_mask_set(&f->vmcs12->stale, VMCS_GUEST_CR0);
	vmcs_mask_set(&f->vmcs12->stale, VMCS_GUEST_CR3);
}

START_TEST(test_fetch)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	nested_fetch(&f.nested);
	ck_assert_uint_eq(f.fetches, 0);
	leave_in_machine(&f);
	nested_fetch(&f.nested);
	ck_assert_uint_eq(f.fetches, 1);
	ck_assert_uint_eq(f.nested.counters[COUNTER_STALE_FETCHES], 1);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR0), 0x80000033);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_CR3], 0xabc000);
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_CR0));
	ck_assert(!vmcs_mask_has(&f.vmcs12->dirty, VMCS_GUEST_CR0));
	nested_fetch(&f.nested);
	ck_assert_uint_eq(f.fetches, 1);
	fixture_teardown(&f);
}
END_TEST

/* Of a CR0 bit that L0 owns and L1 does not, L1 sees L2's view (SDM vol. 3, 25.6.6), as on any reflection. */
START_TEST(test_fetch_of_a_control_register)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	leave_in_machine(&f);
	f.vmcs01.field[VMCS_CR0_GUEST_HOST_MASK] = 1 << 1;
	f.nested.vmcs02.field[VMCS_CR0_READ_SHADOW] = 0;
	nested_fetch(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR0), 0x80000031);
	fixture_teardown(&f);
}
END_TEST

/* L0 fetched for itself before: the values are in vmcs02 already. */
START_TEST(test_fetch_without_the_machine)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	vmcs_mask_set(&f.vmcs12->stale, VMCS_GUEST_CR3);
	f.nested.vmcs02.field[VMCS_GUEST_CR3] = 0x123000;
	nested_fetch(&f.nested);
	ck_assert_uint_eq(f.fetches, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), 0x123000);
	fixture_teardown(&f);
}
END_TEST

/* A field L1 wrote meanwhile keeps L1's value, with vmcs=direct even if L1 left the mark. */
START_TEST(test_fetch_keeps_what_l1_wrote)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	leave_in_machine(&f);
	fixture_set(&f, VMCS_GUEST_CR3, 0x5000);
	nested_fetch(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), 0x5000);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR0), 0x80000033);
	leave_in_machine(&f);
	f.vmcs12->field[VMCS_GUEST_CR3] = 0x6000;
	vmcs_mask_set(&f.vmcs12->dirty, VMCS_GUEST_CR3);
	nested_fetch(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), 0x6000);
	fixture_teardown(&f);
}
END_TEST

/* Marks L1 made up: of fields the machine never keeps, or in a vmcs12 that vmcs02 is not of. */
START_TEST(test_fetch_believes_no_made_up_marks)
{
	struct fixture f;

	start_entered(&f, FIXTURE_PARAVIRTUAL);
	vmcs_mask_set(&f.vmcs12->stale, VMCS_GUEST_RIP);
	f.nested.vmcs02.field[VMCS_GUEST_RIP] = 0x666;
	nested_fetch(&f.nested);
	ck_assert_uint_ne(fixture_get(&f, VMCS_GUEST_RIP), 0x666);

	leave_in_machine(&f);
	f.nested.last_vmcs12 = NULL;
	nested_fetch(&f.nested);
	ck_assert_uint_eq(f.fetches, 0);
	ck_assert_uint_ne(fixture_get(&f, VMCS_GUEST_CR3), 0xabc000);
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_CR3));
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nested");
	TCase *tests = tcase_create("nested");

	tcase_add_test(tests, test_init_refuses_what_the_machine_cannot_honour);
	tcase_add_test(tests, test_init_state);
	tcase_add_test(tests, test_reset);
	tcase_add_test(tests, test_feature_control);
	tcase_add_test(tests, test_capability_msrs_are_read_only);
	tcase_add_test(tests, test_first_snapshot_takes_everything);
	tcase_add_test(tests, test_snapshot_takes_dirty_fields_only);
	tcase_add_test(tests, test_snapshot_copies_everything_when_told);
	tcase_add_test(tests, test_snapshot_of_hostile_memory);
	tcase_add_test(tests, test_snapshot_of_stale_fields);
	tcase_add_test(tests, test_fetch);
	tcase_add_test(tests, test_fetch_of_a_control_register);
	tcase_add_test(tests, test_fetch_without_the_machine);
	tcase_add_test(tests, test_fetch_keeps_what_l1_wrote);
	tcase_add_test(tests, test_fetch_believes_no_made_up_marks);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
