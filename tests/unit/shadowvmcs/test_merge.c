/* SPDX-License-Identifier: Apache-2.0 */
/* vmcs12 + vmcs01 -> vmcs02: bitmaps, EPT02, VPIDs, and what is done when. test_merge_fields.c holds the fields,
 * test_merge_random.c incremental against full merges. */
#include <errno.h>

#include "check_cases.h"

static struct fixture f;

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
}

static void setup_paravirtual(void)
{
	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
}

static void teardown(void)
{
	fixture_teardown(&f);
}

static void merge(void)
{
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), 0);
}

static uint64_t get02(enum vmcs_field field)
{
	return f.nested.vmcs02.field[field];
}

/* As the machine does when it enters vmcs02. */
static void machine_took_vmcs02(void)
{
	memset(&f.nested.vmcs02.dirty, 0, sizeof(f.nested.vmcs02.dirty));
}

static unsigned dirty_fields(const struct vmcs *v)
{
	unsigned count = 0;

	for (int w = 0; w < VMCS_MASK_WORDS; w++)
		count += (unsigned)__builtin_popcountll(v->dirty.word[w]);
	return count;
}

/* ---- bitmaps ---- */

static uint8_t *page02(const struct nested_page *page)
{
	return page->hva;
}

START_TEST(msr_bitmap_merged)
{
	uint8_t *l1 = fixture_memory(&f, FIXTURE_GPA_MSR_BITMAP);
	const uint8_t *merged;

	f.config.msr_bitmap01 = f.msr_bitmap01;
	f.msr_bitmap01[0x174 / 8] &= (uint8_t) ~(1 << (0x174 % 8));               /* read 0x174 */
	f.msr_bitmap01[2048 + 1024 + 0x100 / 8] &= (uint8_t) ~(1 << (0x100 % 8)); /* write 0xc0000100 */
	fixture_start(&f);
	merge();
	merged = page02(&f.config.msr_bitmap02);
	ck_assert_uint_eq(get02(VMCS_MSR_BITMAP), f.config.msr_bitmap02.hpa);
	ck_assert_uint_eq(merged[0x174 / 8], 0xef);
	ck_assert_uint_eq(merged[2048 + 1024 + 0x100 / 8], 0xfe);
	ck_assert_uint_eq(merged[0x175 / 8 + 1], 0xff);

	/* L1 writes its bitmap in memory: the next entry sees it, without a dirty bit. */
	l1[0x174 / 8] = 1 << (0x174 % 8);
	merge();
	ck_assert_uint_eq(merged[0x174 / 8], 0xff);
	l1[0x174 / 8] = 0;
	merge();
	ck_assert_uint_eq(merged[0x174 / 8], 0xef);

	/* No bitmap, or one that is nowhere: everything exits. */
	fixture_set(&f, VMCS_MSR_BITMAP, FIXTURE_MEMORY_BYTES);
	merge();
	ck_assert_uint_eq(merged[0x174 / 8], 0xff);
	fixture_set(&f, VMCS_MSR_BITMAP, FIXTURE_GPA_MSR_BITMAP);
	merge();
	ck_assert_uint_eq(merged[0x174 / 8], 0xef);
	fixture_clear_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_USE_MSR_BITMAPS));
	merge();
	ck_assert_uint_eq(merged[0x174 / 8], 0xff);
}
END_TEST

START_TEST(io_bitmaps_merged)
{
	uint8_t *l1 = fixture_memory(&f, FIXTURE_GPA_IO_BITMAP_B);
	const uint8_t *merged_a, *merged_b;

	f.config.io_bitmap01[0] = f.io_bitmap01[0];
	f.config.io_bitmap01[1] = f.io_bitmap01[1];
	memset(f.io_bitmap01[1], 0, 4096);
	f.io_bitmap01[0][0x60 / 8] = 0xfe;
	fixture_start(&f);
	fixture_set(&f, VMCS_IO_BITMAP_A, FIXTURE_GPA_IO_BITMAP_A);
	fixture_set(&f, VMCS_IO_BITMAP_B, FIXTURE_GPA_IO_BITMAP_B);
	merge();
	merged_a = page02(&f.config.io_bitmap02[0]);
	merged_b = page02(&f.config.io_bitmap02[1]);
	ck_assert_uint_eq(get02(VMCS_IO_BITMAP_A), f.config.io_bitmap02[0].hpa);
	ck_assert_uint_eq(get02(VMCS_IO_BITMAP_B), f.config.io_bitmap02[1].hpa);
	/* Neither I/O control in vmcs12: only L0's wishes count. */
	ck_assert_uint_eq(merged_a[0x60 / 8], 0xfe);
	ck_assert_uint_eq(merged_a[0x61], 0xff);
	ck_assert_uint_eq(merged_b[0x123], 0);
	fixture_set_bits(
	        &f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING));
	merge();
	ck_assert_uint_eq(merged_a[0x60 / 8], 0xff);
	ck_assert_uint_eq(merged_b[0x123], 0xff);
	fixture_set_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_USE_IO_BITMAPS));
	l1[0x123] = 0x10;
	merge();
	ck_assert_uint_eq(merged_a[0x60 / 8], 0xfe);
	ck_assert_uint_eq(merged_b[0x123], 0x10);
}
END_TEST

/* ---- what is looked at without a dirty bit ---- */

START_TEST(nothing_changed_nothing_done)
{
	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	const uint64_t before = f.nested.counters[COUNTER_FIELDS_MERGED];
	merge();
	ck_assert_uint_eq(f.nested.counters[COUNTER_FIELDS_MERGED], before);
	ck_assert_uint_eq(dirty_fields(&f.nested.vmcs02), 0);
	fixture_set(&f, VMCS_GUEST_RIP, 0x4242);
	merge();
	ck_assert_uint_eq(f.nested.counters[COUNTER_FIELDS_MERGED], before + 1);
	ck_assert_uint_eq(dirty_fields(&f.nested.vmcs02), 1);
	ck_assert(vmcs_mask_has(&f.nested.vmcs02.dirty, VMCS_GUEST_RIP));
	ck_assert_uint_eq(dirty_fields(&f.nested.checked12), 0);
}
END_TEST

START_TEST(copy_everything_copies_everything)
{
	f.config.copy_everything = true;
	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	const uint64_t before = f.nested.counters[COUNTER_FIELDS_MERGED];
	merge();
	ck_assert_uint_gt(f.nested.counters[COUNTER_FIELDS_MERGED], before + 120);
	ck_assert_uint_gt(dirty_fields(&f.nested.vmcs02), 120);
}
END_TEST

/* vmcs12 that does not save a register has it loaded with the old value again. */
START_TEST(loaded_but_not_saved)
{
	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_SAVE_IA32_PAT));
	fixture_set(&f, VMCS_GUEST_IA32_PAT, 6);
	merge();
	f.nested.vmcs02.field[VMCS_GUEST_IA32_PAT] = 4; /* L2 wrote it */
	merge();
	ck_assert_uint_eq(get02(VMCS_GUEST_IA32_PAT), 6);
	fixture_set_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_SAVE_IA32_PAT));
	merge();
	f.nested.vmcs02.field[VMCS_GUEST_IA32_PAT] = 4;
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	merge();
	ck_assert_uint_eq(get02(VMCS_GUEST_IA32_PAT), 4);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_IA32_PAT), 4);
}
END_TEST

START_TEST(timer_starts_again)
{
	fixture_start(&f);
	fixture_set_bits(&f, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_PREEMPTION_TIMER));
	fixture_set(&f, VMCS_VMX_PREEMPTION_TIMER_VALUE, 1000);
	merge();
	f.nested.vmcs02.field[VMCS_VMX_PREEMPTION_TIMER_VALUE] = 3;
	merge();
	ck_assert_uint_eq(get02(VMCS_VMX_PREEMPTION_TIMER_VALUE), 1000);
}
END_TEST

START_TEST(pdptes_from_memory)
{
	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	fixture_clear_bits(&f, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST));
	fixture_set(&f, VMCS_GUEST_IA32_EFER, 0);
	fixture_set(&f, VMCS_GUEST_CR3, 0xa020);
	fixture_set(&f, VMCS_GUEST_PDPTE1, 0x5001);
	fixture_write64(&f, 0xa028, 0xb001);
	merge();
	ck_assert_uint_eq(get02(VMCS_GUEST_PDPTE1), 0xb001);
	fixture_write64(&f, 0xa028, 0xc001);
	merge();
	ck_assert_uint_eq(get02(VMCS_GUEST_PDPTE1), 0xc001);
	fixture_set_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	merge();
	ck_assert_uint_eq(get02(VMCS_GUEST_PDPTE1), 0x5001);
}
END_TEST

/* ---- memory ---- */

START_TEST(ept02_per_eptp)
{
	fixture_start(&f);
	merge();
	const uint64_t eptp02 = get02(VMCS_EPT_POINTER);
	ck_assert_uint_eq(f.roots_created, 1);
	ck_assert_uint_eq(eptp02, f.next_eptp02);
	fixture_clear_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	merge();
	ck_assert_uint_eq(get02(VMCS_EPT_POINTER), f.vmcs01.field[VMCS_EPT_POINTER]);
	fixture_set_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	merge();
	ck_assert_uint_eq(get02(VMCS_EPT_POINTER), eptp02);
	ck_assert_uint_eq(f.roots_created, 1);
}
END_TEST

START_TEST(ept02_fails)
{
	f.map_result = -ENOMEM;
	fixture_start(&f);
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), -ENOMEM);
	ck_assert(f.nested.merge_all);
	ck_assert_uint_gt(dirty_fields(&f.nested.checked12), 0);
	f.map_result = 0;
	merge();
	ck_assert(!f.nested.merge_all);
	ck_assert_ptr_eq(f.nested.last_vmcs12, f.vmcs12);
}
END_TEST

START_TEST(vpid_flushes)
{
	fixture_start(&f);
	merge();
	merge();
	ck_assert_uint_eq(f.vpid_flushes, 0);
	/* Without VPIDs the architecture flushes at each entry. */
	fixture_clear_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_VPID));
	merge();
	merge();
	ck_assert_uint_eq(f.vpid_flushes, 2);
	ck_assert_uint_eq(f.vpid_flushed, 0x8000);
	/* VPIDs of the upper half share one, which changes hands with a flush. */
	fixture_set_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_VPID));
	fixture_set(&f, VMCS_VIRTUAL_PROCESSOR_ID, 0x9000);
	merge();
	merge();
	ck_assert_uint_eq(f.vpid_flushes, 3);
	fixture_set(&f, VMCS_VIRTUAL_PROCESSOR_ID, 0x9001);
	merge();
	ck_assert_uint_eq(f.vpid_flushes, 4);
	fixture_set(&f, VMCS_VIRTUAL_PROCESSOR_ID, 7);
	merge();
	ck_assert_uint_eq(f.vpid_flushes, 4);
}
END_TEST

START_TEST(vpid02_is_injective_below_the_shared_one)
{
	fixture_start(&f);
	ck_assert_uint_eq(nested_vpid02(&f.nested, 0), 0x8000);
	for (unsigned vpid = 1; vpid < 0x8000; vpid++)
		ck_assert_uint_eq(nested_vpid02(&f.nested, (uint16_t)vpid), 0x8000 | vpid);
	for (unsigned vpid = 0x8000; vpid < 0x10000; vpid++)
		ck_assert_uint_eq(nested_vpid02(&f.nested, (uint16_t)vpid), 0x8000);
}
END_TEST

static uint64_t shifted(void *ctx, uint64_t gpa)
{
	(void)ctx;
	return gpa + 0x100000000;
}

START_TEST(pages_by_the_machines_addresses)
{
	f.config.ops.l1_to_host = shifted;
	fixture_start(&f);
	apply_changes(f.vmcs12, (struct change[CHANGES_MAX]){ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, 0x8000)});
	merge();
	ck_assert_uint_eq(get02(VMCS_VIRTUAL_APIC_ADDRESS), 0x100008000);
}
END_TEST

/* ---- fields that stay in the machine ---- */

START_TEST(stale_fields_stay_in_the_machine)
{
	struct vmcs *vmcs02 = &f.nested.vmcs02;

	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	vmcs_mask_set(&vmcs02->stale, VMCS_GUEST_CR3);
	vmcs_mask_set(&vmcs02->stale, VMCS_GUEST_IA32_EFER);
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	ck_assert(vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_IA32_EFER));
	fixture_set(&f, VMCS_GUEST_RIP, 0x4242);
	merge();
	ck_assert(vmcs_mask_has(&vmcs02->stale, VMCS_GUEST_CR3));
	ck_assert(vmcs_mask_has(&vmcs02->stale, VMCS_GUEST_IA32_EFER));
	ck_assert_uint_eq(dirty_fields(vmcs02), 1);
	ck_assert_uint_eq(f.fetches, 0);
}
END_TEST

/* What L1 may write without a fetch, and what the checks would compare with a register that only the machine knows. */
static const struct {
	struct change change;
	bool fetches;
} fetch_cases[] = {
        {SET(GUEST_RIP, 0x4242), false},
        {SET(GUEST_RFLAGS, 0x202), false},
        {SET(GUEST_CR3, 0x9000), false},
        {SET(EXCEPTION_BITMAP, 1), false},
        {SET(GUEST_SS_ACCESS_RIGHTS, 0xc0f3), true},
        {SET(GUEST_ES_SELECTOR, 0), true},
        {SET(GUEST_CR0, 0x80000033), true},
        {SET(GUEST_CR4, 0x20), true},
        {SET(GUEST_IA32_EFER, 0xd01), true},
        {OFF_ENTRY(IA32E_MODE_GUEST), true},
        {OFF_ENTRY(LOAD_IA32_EFER), true},
        {OFF_PROC2(ENABLE_EPT), true},
        {OFF_EXIT(SAVE_IA32_EFER), true},
        {OFF_EXIT(SAVE_IA32_PAT), false},
};

START_TEST(fetched_when_needed)
{
	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	f.nested.vmcs02.stale = f.machine.on_demand;
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	ck_assert_uint_eq(f.fetches, 0);
	vmcs_mask_clear(&f.vmcs12->stale, fetch_cases[_i].change.field);
	apply_change(f.vmcs12, &fetch_cases[_i].change);
	fixture_snapshot(&f);
	ck_assert_uint_eq(f.fetches, fetch_cases[_i].fetches);
}
END_TEST

START_TEST(fetched_for_bits_l0_owns)
{
	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	f.nested.vmcs02.stale = f.machine.on_demand;
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	f.vmcs01.field[VMCS_CR4_GUEST_HOST_MASK] = CR4_VMXE;
	fixture_snapshot(&f);
	ck_assert_uint_eq(f.fetches, 1);
}
END_TEST

/* Not saved, so vmcs12 has a value of its own, which is loaded again. */
START_TEST(stale_but_not_saved)
{
	struct vmcs *vmcs02 = &f.nested.vmcs02;

	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_SAVE_IA32_EFER));
	merge();
	machine_took_vmcs02();
	vmcs_mask_set(&vmcs02->stale, VMCS_GUEST_IA32_EFER);
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_IA32_EFER));
	merge();
	ck_assert(!vmcs_mask_has(&vmcs02->stale, VMCS_GUEST_IA32_EFER));
	ck_assert(vmcs_mask_has(&vmcs02->dirty, VMCS_GUEST_IA32_EFER));
}
END_TEST

/* The machine must take L1's value even if it equals the last one the engine saw. */
START_TEST(stale_field_written_by_l1)
{
	struct vmcs *vmcs02 = &f.nested.vmcs02;

	fixture_start(&f);
	merge();
	machine_took_vmcs02();
	vmcs_mask_set(&vmcs02->stale, VMCS_GUEST_CR3);
	vmcs_mask_set(&f.vmcs12->dirty, VMCS_GUEST_CR3);
	merge();
	ck_assert(!vmcs_mask_has(&vmcs02->stale, VMCS_GUEST_CR3));
	ck_assert(vmcs_mask_has(&vmcs02->dirty, VMCS_GUEST_CR3));
}
END_TEST

static void fetched_efer(struct fixture *fixture, struct vmcs *vmcs)
{
	(void)fixture;
	vmcs->field[VMCS_GUEST_IA32_EFER] = 0xd01;
}

/* L2 inherits a register of L1's that is still in the machine. */
START_TEST(inherited_from_the_machine)
{
	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_LOAD_IA32_EFER));
	vmcs_mask_set(&f.vmcs01.stale, VMCS_GUEST_IA32_EFER);
	f.on_fetch = fetched_efer;
	merge();
	ck_assert_uint_eq(f.fetches, 1);
	ck_assert_uint_eq(get02(VMCS_GUEST_IA32_EFER), 0xd01);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: merge");
	TCase *tcase = tcase_create("real VMX"), *paravirtual = tcase_create("paravirtual");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, msr_bitmap_merged);
	tcase_add_test(tcase, io_bitmaps_merged);
	tcase_add_test(tcase, nothing_changed_nothing_done);
	tcase_add_test(tcase, copy_everything_copies_everything);
	tcase_add_test(tcase, loaded_but_not_saved);
	tcase_add_test(tcase, timer_starts_again);
	tcase_add_test(tcase, pdptes_from_memory);
	tcase_add_test(tcase, ept02_per_eptp);
	tcase_add_test(tcase, vpid_flushes);
	tcase_add_test(tcase, vpid02_is_injective_below_the_shared_one);
	tcase_add_test(tcase, pages_by_the_machines_addresses);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(paravirtual, setup_paravirtual, teardown);
	tcase_add_test(paravirtual, ept02_fails);
	tcase_add_test(paravirtual, stale_fields_stay_in_the_machine);
	tcase_add_loop_test(paravirtual, fetched_when_needed, 0, sizeof(fetch_cases) / sizeof(fetch_cases[0]));
	tcase_add_test(paravirtual, fetched_for_bits_l0_owns);
	tcase_add_test(paravirtual, stale_but_not_saved);
	tcase_add_test(paravirtual, stale_field_written_by_l1);
	tcase_add_test(paravirtual, inherited_from_the_machine);
	suite_add_tcase(suite, paravirtual);
	return fixture_run(suite);
}
