/* SPDX-License-Identifier: Apache-2.0 */
/* mmu=shadow: L1's shadow page tables against a walk of them, over page tables of L2 made here. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "abi/testdev.h"
#include "fixture.h"
#include "l1/mmu_shadow.h"
#include "shadowvmcs/exit_reasons.h"
#include "shadowvmcs/nested.h"
#include "shadowvmcs/x86.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define ADDRESS 0x000ffffffffff000ull

#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define FAULT_RESERVED 8u

/* L2's tables, as abi/boot_info.h lays them out: PML4, PDPT, four page directories; and a page table for 4 KiB pages.
 */
#define PML4 0x4000ull
#define PDPT 0x5000ull
#define PD0 0x6000ull
#define PD3 0x9000ull
#define PT 0xa000ull
#define PT_LINEAR 0x600000ull /* what PT maps: 2 MiB at 6 MiB */

static void setup(void)
{
	fixture_setup(BOOT_MMU_SHADOW);
	uint64_t *pml4 = fixture_l2(PML4), *pdpt = fixture_l2(PDPT), *pd0 = fixture_l2(PD0), *pd3 = fixture_l2(PD3);

	for (unsigned i = 0; i < 256; i++)
		pml4[i] = PDPT | P | W | U; /* the same memory every 512 GiB */
	pdpt[0] = PD0 | P | W | U;
	pdpt[3] = PD3 | P | W | U;
	for (unsigned i = 0; i < 3; i++)
		pd0[i] = i * LARGE_PAGE_BYTES | P | W | PS;
	pd0[3] = PT | P | W | U;
	pd0[5] = 5 * LARGE_PAGE_BYTES | P | W | PS; /* L2 has no memory there */
	pd3[128] = TESTDEV_MMIO_GPA | P | W | PS;
	((uint64_t *)fixture_l2(PT))[0] = 0x700000 | P | W | U;
	((uint64_t *)fixture_l2(PT))[1] = 0x701000 | P;
	((uint64_t *)fixture_l2(PT))[2] = PD0 | P | W; /* one of L2's tables, mapped for it to edit */
	l1_mmu_load_cr3(PML4);
}

/* The shadow's translation: 0 = none. *entry gets the leaf. */
static uint64_t translate(uint64_t linear, uint64_t *entry)
{
	uint64_t table = l1_mmu_load_cr3(l1_mmu_guest_cr3());

	for (unsigned level = 4; level; level--) {
		const unsigned shift = 12 + 9 * (level - 1);
		*entry = ((uint64_t *)table)[linear >> shift & 511];
		if (!(*entry & P))
			return 0;
		if (level == 1 || (level == 2 && (*entry & PS)))
			return (*entry & ADDRESS & ~((1ull << shift) - 1)) | (linear & ((1ull << shift) - 1));
		table = *entry & ADDRESS;
	}
	return 0;
}

static enum l1_mmu_verdict fault(uint64_t linear, uint32_t error)
{
	uint64_t l2_gpa;

	return l1_mmu_page_fault(linear, error, FIXTURE_RIP, &l2_gpa);
}

START_TEST(fault_maps_what_l2_maps)
{
	uint64_t entry;

	ck_assert_uint_eq(translate(0x234567, &entry), 0);
	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	ck_assert_uint_eq(translate(0x234567, &entry), l1.l2_base + 0x234567);
	ck_assert(entry & PS);
	ck_assert(!(entry & U));
	/* 4 KiB pages of L2, and a user page. */
	ck_assert_int_eq(fault(PT_LINEAR + 8, FAULT_USER), L1_MMU_REPAIRED);
	ck_assert_uint_eq(translate(PT_LINEAR + 8, &entry), l1.l2_base + 0x700008);
	ck_assert(entry & U);
	ck_assert_uint_eq(translate(PT_LINEAR + 0x1000, &entry), 0);
}
END_TEST

START_TEST(small_leaves_where_asked_for)
{
	uint64_t entry;

	l1.boot->ept12_page_size = PAGE_BYTES;
	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	ck_assert_uint_eq(translate(0x234567, &entry), l1.l2_base + 0x234567);
	ck_assert(!(entry & PS));
	ck_assert_uint_eq(translate(0x235000, &entry), 0);
}
END_TEST

START_TEST(faults_of_l2s_own_making_are_l2s)
{
	ck_assert_int_eq(fault(4 * LARGE_PAGE_BYTES, 0), L1_MMU_GUEST_FAULT);         /* not present */
	ck_assert_int_eq(fault(1ull << 30, 0), L1_MMU_GUEST_FAULT);                   /* no directory */
	ck_assert_int_eq(fault(PT_LINEAR + 0x1000, FAULT_WRITE), L1_MMU_GUEST_FAULT); /* read-only */
	ck_assert_int_eq(fault(0x234567, FAULT_USER), L1_MMU_GUEST_FAULT);            /* supervisor's */
}
END_TEST

START_TEST(accessed_and_dirty_flags_are_l2s_to_see)
{
	const uint64_t *pd0 = fixture_l2(PD0), *pml4 = fixture_l2(PML4);
	uint64_t entry;

	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	ck_assert_uint_eq(pd0[1] & (A | D), A);
	ck_assert_uint_eq(pml4[0] & A, A);
	translate(0x234567, &entry);
	ck_assert(!(entry & W));
	ck_assert_int_eq(fault(0x234567, P | FAULT_WRITE), L1_MMU_REPAIRED);
	ck_assert_uint_eq(pd0[1] & (A | D), A | D);
	translate(0x234567, &entry);
	ck_assert(entry & W);
}
END_TEST

/* A store to a page table exits, is done, and what may have come of the old entry is gone. */
START_TEST(tables_are_write_protected)
{
	const uint8_t store[] = {0x48, 0x89, 0x07};         /* mov %rax, (%rdi) */
	const uint64_t target = PT_LINEAR + 0x2000 + 8 * 1; /* PD0's entry 1 */
	uint64_t entry;

	memcpy(fixture_l2(FIXTURE_RIP), store, sizeof(store));
	ck_assert_int_eq(fault(0x234567, FAULT_WRITE), L1_MMU_REPAIRED);
	ck_assert_int_eq(fault(target, 0), L1_MMU_REPAIRED);
	translate(target, &entry);
	ck_assert(!(entry & W));

	l1_l2_regs.rax = 2 * LARGE_PAGE_BYTES | P | W | PS;
	ck_assert_int_eq(fault(target, P | FAULT_WRITE), L1_MMU_EMULATED);
	ck_assert_uint_eq(l1_mmu_emulated_length(), sizeof(store));
	ck_assert_uint_eq(((uint64_t *)fixture_l2(PD0))[1], l1_l2_regs.rax);
	ck_assert_uint_eq(translate(0x234567, &entry), 0);
	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	ck_assert_uint_eq(translate(0x234567, &entry), l1.l2_base + 0x434567);
}
END_TEST

START_TEST(table_mapped_writable_before_it_was_a_table)
{
	const uint64_t alias = PT_LINEAR + 0x2000; /* PD0 */
	uint64_t entry;

	/* The alias's own walk makes PD0 a table: it must come out read-only although L2's entry says writable. */
	ck_assert_int_eq(fault(alias, 0), L1_MMU_REPAIRED);
	translate(alias, &entry);
	ck_assert(!(entry & W));
	/* A 2 MiB page that holds tables is mapped in 4 KiB leaves, the others of which are writable. */
	ck_assert_int_eq(fault(0x100000, FAULT_WRITE), L1_MMU_REPAIRED);
	translate(0x100000, &entry);
	ck_assert(!(entry & PS));
	ck_assert(entry & W);
}
END_TEST

START_TEST(odd_table_stores_are_refused)
{
	const uint8_t add[] = {0x48, 0x01, 0x07}; /* add %rax, (%rdi) */

	memcpy(fixture_l2(FIXTURE_RIP), add, sizeof(add));
	ck_assert_int_eq(fault(PT_LINEAR + 0x2000, 0), L1_MMU_REPAIRED);
	ck_assert_int_eq(fault(PT_LINEAR + 0x2000, P | FAULT_WRITE), L1_MMU_FAILED);
	ck_assert_ptr_nonnull(strstr(l1_mmu_error(), "page table"));
}
END_TEST

START_TEST(device_and_holes)
{
	uint64_t l2_gpa;

	ck_assert_int_eq(l1_mmu_page_fault(TESTDEV_MMIO_GPA + 4, FAULT_WRITE, FIXTURE_RIP, &l2_gpa), L1_MMU_DEVICE);
	ck_assert_uint_eq(l2_gpa, TESTDEV_MMIO_GPA + 4);
	ck_assert_int_eq(fault(5 * LARGE_PAGE_BYTES, 0), L1_MMU_FAILED);
	ck_assert_int_eq(fault(0x234567, P | FAULT_RESERVED), L1_MMU_FAILED);
}
END_TEST

START_TEST(touch_region_goes_page_by_page)
{
	uint64_t entry;

	for (unsigned page = 0; page < 4; page++)
		ck_assert_int_eq(fault(FIXTURE_TOUCH_BASE + page * PAGE_BYTES, FAULT_WRITE), L1_MMU_REPAIRED);
	ck_assert_uint_eq(translate(FIXTURE_TOUCH_BASE, &entry), l1.l2_base + FIXTURE_TOUCH_BASE);
	ck_assert_uint_eq(translate(FIXTURE_TOUCH_BASE + 4 * PAGE_BYTES, &entry), 0);
	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	l1_mmu_touch_reset();
	ck_assert_uint_eq(translate(FIXTURE_TOUCH_BASE, &entry), 0);
	ck_assert_uint_ne(translate(0x234567, &entry), 0);

	l1.boot2->touch_page_size = LARGE_PAGE_BYTES;
	ck_assert_int_eq(fault(FIXTURE_TOUCH_BASE, FAULT_WRITE), L1_MMU_REPAIRED);
	ck_assert_uint_ne(translate(FIXTURE_TOUCH_BASE + 0x1ff000, &entry), 0);
	l1_mmu_touch_reset();
	ck_assert_uint_eq(translate(FIXTURE_TOUCH_BASE + 0x1ff000, &entry), 0);
}
END_TEST

START_TEST(each_cr3_has_its_shadow)
{
	const uint64_t shadow = l1_mmu_load_cr3(PML4);
	uint64_t entry;

	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
	ck_assert_uint_ne(l1_mmu_load_cr3(0x20000), shadow);
	ck_assert_uint_eq(l1_mmu_guest_cr3(), 0x20000);
	ck_assert_uint_eq(translate(0x234567, &entry), 0);
	/* Back: the old shadow is still good, since nothing it came from could change unseen. */
	ck_assert_uint_eq(l1_mmu_load_cr3(PML4), shadow);
	ck_assert_uint_ne(translate(0x234567, &entry), 0);
	/* More than there are roots: the oldest starts anew. */
	for (unsigned i = 0; i < 16; i++)
		l1_mmu_load_cr3(0x30000 + i * PAGE_BYTES);
	l1_mmu_load_cr3(PML4);
	ck_assert_uint_eq(translate(0x234567, &entry), 0);
	ck_assert_int_eq(fault(0x234567, 0), L1_MMU_REPAIRED);
}
END_TEST

/* More tables than the pool holds: all start anew, and each fault still maps its page. */
START_TEST(pool_is_emptied_when_full)
{
	uint64_t entry;

	for (uint64_t i = 0; i < 256; i++) {
		const uint64_t linear = (i << 39) + PT_LINEAR;
		ck_assert_int_eq(fault(linear, 0), L1_MMU_REPAIRED);
		ck_assert_uint_eq(translate(linear, &entry), l1.l2_base + 0x700000);
	}
	ck_assert_uint_eq(translate(PT_LINEAR, &entry), 0);
}
END_TEST

/* ---- through the exit handlers ---- */

static const uint32_t page_fault_info =
        INTR_INFO_VALID | INTR_INFO_ERROR_CODE | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT | VECTOR_PF;

static void prepare_fault(uint64_t linear, uint32_t error)
{
	fixture.field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = page_fault_info;
	fixture.field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE] = error;
	fixture.field[VMCS_EXIT_QUALIFICATION] = linear;
}

START_TEST(exit_path_makes_the_promised_accesses)
{
	const unsigned reads[3] = {2 + 4, 7 + 1, 33}, writes[3] = {1, 4, 22};
	unsigned read, written;
	uint64_t entry;

	prepare_fault(0x234567, 0);
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXCEPTION_OR_NMI));
	ck_assert_uint_ne(translate(0x234567, &entry), 0);
	fixture_count(&read, &written);
	ck_assert_uint_eq(read, reads[_i]);
	ck_assert_uint_eq(written, writes[_i]);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP);
}
END_TEST

START_TEST(l2s_own_fault_is_given_to_it)
{
	prepare_fault(4 * LARGE_PAGE_BYTES, FAULT_WRITE);
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXCEPTION_OR_NMI));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], page_fault_info);
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE], FAULT_WRITE);
	ck_assert_uint_eq(fixture.cr2, 4 * LARGE_PAGE_BYTES);
}
END_TEST

START_TEST(interrupted_delivery_goes_on)
{
	const uint64_t timer = INTR_INFO_VALID | TESTDEV_TIMER_VECTOR;

	prepare_fault(0x234567, 0);
	fixture.field[VMCS_IDT_VECTORING_INFORMATION] = timer;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXCEPTION_OR_NMI));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], timer);
	/* Not repairable: said, not lost. */
	prepare_fault(4 * LARGE_PAGE_BYTES, 0);
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_EXCEPTION_OR_NMI));
}
END_TEST

START_TEST(cr3_is_l2s_own_in_both_directions)
{
	const uint64_t shadow = l1_mmu_load_cr3(PML4);

	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 3;
	fixture.field[VMCS_EXIT_QUALIFICATION] = 3 | 1 << 4 | GPR_RBX << 8; /* MOV CR3, RBX */
	ck_assert(fixture_exit(_i, false, EXIT_REASON_CONTROL_REGISTER_ACCESS));
	ck_assert_uint_eq(l1_l2_regs.rbx, PML4);
	fixture.field[VMCS_EXIT_QUALIFICATION] = 3 | GPR_RBX << 8;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_CONTROL_REGISTER_ACCESS));
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_CR3], shadow);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: shadow paging");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, fixture_teardown);
	tcase_add_test(tcase, fault_maps_what_l2_maps);
	tcase_add_test(tcase, small_leaves_where_asked_for);
	tcase_add_test(tcase, faults_of_l2s_own_making_are_l2s);
	tcase_add_test(tcase, accessed_and_dirty_flags_are_l2s_to_see);
	tcase_add_test(tcase, tables_are_write_protected);
	tcase_add_test(tcase, table_mapped_writable_before_it_was_a_table);
	tcase_add_test(tcase, odd_table_stores_are_refused);
	tcase_add_test(tcase, device_and_holes);
	tcase_add_test(tcase, touch_region_goes_page_by_page);
	tcase_add_test(tcase, each_cr3_has_its_shadow);
	tcase_add_test(tcase, pool_is_emptied_when_full);
	tcase_add_loop_test(tcase, exit_path_makes_the_promised_accesses, 0, 3);
	tcase_add_loop_test(tcase, l2s_own_fault_is_given_to_it, 0, 3);
	tcase_add_loop_test(tcase, interrupted_delivery_goes_on, 0, 3);
	tcase_add_loop_test(tcase, cr3_is_l2s_own_in_both_directions, 0, 3);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
