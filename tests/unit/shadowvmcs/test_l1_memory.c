/* SPDX-License-Identifier: Apache-2.0 */
/* Walks of L1's page tables in its three formats, and accesses by linear address. SDM vol. 3, chapter 4. */
#include <string.h>

#include "fixture.h"
#include "shadowvmcs/insn.h"

/* The fixture's own tables map 2 MiB pages; tests make theirs here. */
enum { TABLE4 = 0x100000, TABLE3 = 0x101000, TABLE2 = 0x102000, TABLE1 = 0x103000, TABLE_OTHER = 0x104000 };

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ull << 63)

static void start(struct fixture *f)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	fixture_start(f);
}

/* Another index at each level, so that a mix-up shows. */
#define LINEAR4 (1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12)

static void start_4level(struct fixture *f, uint64_t pte)
{
	start(f);
	f->vmcs01.field[VMCS_GUEST_CR3] = TABLE4 | 0x18; /* PCD and PWT are no address bits */
	fixture_write64(f, TABLE4 + 1 * 8, TABLE3 | P | W | U);
	fixture_write64(f, TABLE3 + 2 * 8, TABLE2 | P | W | U);
	fixture_write64(f, TABLE2 + 3 * 8, TABLE1 | P | W | U);
	fixture_write64(f, TABLE1 + 4 * 8, pte);
}

static void expect_translation(struct fixture *f, uint64_t linear, bool write, uint64_t expected)
{
	uint64_t gpa = 0;
	uint32_t error = 0;

	ck_assert_msg(nested_l1_translate(&f->nested, linear, write, &gpa, &error), "#PF %#x", error);
	ck_assert_uint_eq(gpa, expected);
}

static void expect_fault(struct fixture *f, uint64_t linear, bool write, uint32_t expected)
{
	uint64_t gpa = 0;
	uint32_t error = 0x1000;

	ck_assert(!nested_l1_translate(&f->nested, linear, write, &gpa, &error));
	ck_assert_uint_eq(error, expected);
}

START_TEST(test_4level)
{
	struct fixture f;

	start_4level(&f, 0x345000 | P);
	expect_translation(&f, LINEAR4 + 0x678, false, 0x345678);
	ck_assert_uint_eq(fixture_read64(&f, TABLE1 + 4 * 8), 0x345000 | P | A);
	ck_assert_uint_eq(fixture_read64(&f, TABLE2 + 3 * 8) & (A | D), A);
	ck_assert_uint_eq(fixture_read64(&f, TABLE3 + 2 * 8) & (A | D), A);
	ck_assert_uint_eq(fixture_read64(&f, TABLE4 + 1 * 8) & (A | D), A);
	f.vmcs01.field[VMCS_GUEST_CR0] |= 1 << 16; /* WP */
	expect_fault(&f, LINEAR4, true, 3);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_dirty_flag)
{
	struct fixture f;

	start_4level(&f, 0x345000 | P | W);
	expect_translation(&f, LINEAR4, true, 0x345000);
	ck_assert_uint_eq(fixture_read64(&f, TABLE1 + 4 * 8), 0x345000 | P | W | A | D);
	ck_assert_uint_eq(fixture_read64(&f, TABLE2 + 3 * 8) & (A | D), A);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_large_pages)
{
	struct fixture f;

	start_4level(&f, 0);
	fixture_write64(&f, TABLE2 + 3 * 8, 0x400000 | P | W | PS | 0x1000 /* PAT */);
	expect_translation(&f, LINEAR4 + 0x678, true, 0x404678);
	ck_assert_uint_eq(fixture_read64(&f, TABLE2 + 3 * 8) & (A | D), A | D);
	fixture_write64(&f, TABLE2 + 3 * 8, 0x402000 | P | W | PS); /* address bits below the page's size */
	expect_fault(&f, LINEAR4, false, 9);
	fixture_write64(&f, TABLE3 + 2 * 8, 0x40000000 | P | W | PS);
	expect_translation(&f, LINEAR4 + 0x678, true, 0x40000000 + (3 << 21) + (4 << 12) + 0x678);
	fixture_write64(&f, TABLE3 + 2 * 8, 0x40200000 | P | W | PS);
	expect_fault(&f, LINEAR4, true, 11);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_not_present_at_each_level)
{
	static const uint64_t entries[] = {TABLE4 + 1 * 8, TABLE3 + 2 * 8, TABLE2 + 3 * 8, TABLE1 + 4 * 8};

	for (unsigned i = 0; i < 4; i++) {
		struct fixture f;

		start_4level(&f, 0x345000 | P | W);
		fixture_write64(&f, entries[i], fixture_read64(&f, entries[i]) & ~1ull);
		expect_fault(&f, LINEAR4, false, 0);
		expect_fault(&f, LINEAR4, true, 2);
		/* An access that faults sets no flags. */
		ck_assert_uint_eq(fixture_read64(&f, TABLE4 + 1 * 8) & A, 0);
		fixture_teardown(&f);
	}
}
END_TEST

/* A table outside L1's memory holds no entries. */
START_TEST(test_table_is_no_ram)
{
	struct fixture f;

	start_4level(&f, 0x345000 | P | W);
	fixture_write64(&f, TABLE2 + 3 * 8, FIXTURE_MEMORY_BYTES | P | W | U);
	expect_fault(&f, LINEAR4, false, 0);
	f.vmcs01.field[VMCS_GUEST_CR3] = FIXTURE_MEMORY_BYTES;
	expect_fault(&f, LINEAR4, false, 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_reserved_bits)
{
	static const uint64_t entries[] = {TABLE4 + 1 * 8, TABLE3 + 2 * 8, TABLE2 + 3 * 8, TABLE1 + 4 * 8};

	for (unsigned i = 0; i < 4; i++) {
		struct fixture f;

		start_4level(&f, 0x345000 | P | W);
		const uint64_t good = fixture_read64(&f, entries[i]);
		fixture_write64(&f, entries[i], good | 1ull << 46); /* beyond the physical width */
		expect_fault(&f, LINEAR4, false, 9);
		fixture_write64(&f, entries[i], good | NX); /* reserved without EFER.NXE */
		expect_fault(&f, LINEAR4, false, 9);
		f.vmcs01.field[VMCS_GUEST_IA32_EFER] |= 1ull << 11;
		expect_translation(&f, LINEAR4, false, 0x345000); /* and no obstacle to data with it */
		fixture_teardown(&f);
	}
	struct fixture f;
	start_4level(&f, 0x345000 | P | W);
	fixture_write64(&f, TABLE4 + 1 * 8, TABLE3 | P | W | PS);
	expect_fault(&f, LINEAR4, true, 11);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_rights)
{
	static const uint64_t entries[] = {TABLE4 + 1 * 8, TABLE3 + 2 * 8, TABLE2 + 3 * 8, TABLE1 + 4 * 8};

	for (unsigned i = 0; i < 4; i++) {
		struct fixture f;

		start_4level(&f, 0x345000 | P | W | U);
		fixture_write64(&f, entries[i], fixture_read64(&f, entries[i]) & ~(uint64_t)W);
		f.vmcs01.field[VMCS_GUEST_CR0] |= 1 << 16; /* WP */
		expect_fault(&f, LINEAR4, true, 3);
		expect_translation(&f, LINEAR4, false, 0x345000);
		f.vmcs01.field[VMCS_GUEST_CR0] &= ~(1ull << 16);
		expect_translation(&f, LINEAR4, true, 0x345000);
		fixture_teardown(&f);
	}
}
END_TEST

/* 4.6.1: SMAP keeps a supervisor from user pages unless EFLAGS.AC says otherwise. */
START_TEST(test_smap)
{
	struct fixture f;

	start_4level(&f, 0x345000 | P | W | U);
	f.vmcs01.field[VMCS_GUEST_CR4] |= 1 << 21;
	expect_fault(&f, LINEAR4, false, 1);
	expect_fault(&f, LINEAR4, true, 3);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] |= 1 << 18;
	expect_translation(&f, LINEAR4, true, 0x345000);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] &= ~(1ull << 18);
	fixture_write64(&f, TABLE3 + 2 * 8, TABLE2 | P | W); /* one supervisor entry makes it a supervisor page */
	expect_translation(&f, LINEAR4, true, 0x345000);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_paging_off)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_CR0] = 0x31;
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	expect_translation(&f, 0x12345678, true, 0x12345678);
	fixture_teardown(&f);
}
END_TEST

/* PAE: linear address 0xc060_4678: indices 3, 3, 4. */
START_TEST(test_pae)
{
	const uint64_t linear = 3ull << 30 | 3ull << 21 | 4ull << 12 | 0x678;
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	f.vmcs01.field[VMCS_GUEST_CR3] = TABLE3 + 0x20; /* 32-byte aligned */
	fixture_write64(&f, TABLE3 + 0x20 + 3 * 8, TABLE2 | P);
	fixture_write64(&f, TABLE2 + 3 * 8, TABLE1 | P | W);
	fixture_write64(&f, TABLE1 + 4 * 8, 0x345000 | P | W);
	expect_translation(&f, linear, true, 0x345678);
	ck_assert_uint_eq(fixture_read64(&f, TABLE3 + 0x20 + 3 * 8), TABLE2 | P); /* PDPTEs have no flags */
	fixture_write64(&f, TABLE3 + 0x20 + 3 * 8, TABLE2 | P | W);               /* bit 1 is reserved in them */
	expect_fault(&f, linear, false, 9);
	fixture_write64(&f, TABLE3 + 0x20 + 3 * 8, TABLE2 | P);
	fixture_write64(&f, TABLE2 + 3 * 8, TABLE1 | P);
	f.vmcs01.field[VMCS_GUEST_CR0] |= 1 << 16; /* WP */
	expect_fault(&f, linear, true, 3);
	fixture_write64(&f, TABLE2 + 3 * 8, 0x600000 | P | W | PS);
	expect_translation(&f, linear, false, 0x604678);
	fixture_teardown(&f);
}
END_TEST

/* 32-bit paging: linear address 0x00c0_4678: indices 3, 4. */
START_TEST(test_32bit)
{
	const uint64_t linear = 3ull << 22 | 4ull << 12 | 0x678;
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	f.vmcs01.field[VMCS_GUEST_CR4] = 0x2010; /* PSE, VMXE */
	f.vmcs01.field[VMCS_GUEST_CR3] = TABLE2;
	const uint32_t pde = TABLE1 | P | W, pte = 0x345000 | P | W;
	memcpy(fixture_memory(&f, TABLE2 + 3 * 4), &pde, 4);
	memcpy(fixture_memory(&f, TABLE1 + 4 * 4), &pte, 4);
	expect_translation(&f, linear, true, 0x345678);
	/* 4 MiB page with bits 39:32 in 20:13. */
	const uint32_t large = 0x400000 | 1 << 13 | P | W | PS;
	memcpy(fixture_memory(&f, TABLE2 + 3 * 4), &large, 4);
	expect_translation(&f, linear, true, 0x100400000 + 0x4678);
	const uint32_t reserved = large | 1u << 21;
	memcpy(fixture_memory(&f, TABLE2 + 3 * 4), &reserved, 4);
	expect_fault(&f, linear, false, 9);
	/* Nor can it lie beyond the physical width. */
	f.nested.config.machine.physical_address_bits = 32;
	memcpy(fixture_memory(&f, TABLE2 + 3 * 4), &large, 4);
	expect_fault(&f, linear, false, 9);
	f.nested.config.machine.physical_address_bits = 0;
	/* Without PSE bit 7 means nothing. */
	f.vmcs01.field[VMCS_GUEST_CR4] = 0x2000;
	const uint32_t small = TABLE1 | P | W | PS;
	memcpy(fixture_memory(&f, TABLE2 + 3 * 4), &small, 4);
	expect_translation(&f, linear, true, 0x345678);
	fixture_teardown(&f);
}
END_TEST

/* ---- accesses ---- */

/* Two pages that are neighbours in linear addresses only. */
static void start_split(struct fixture *f)
{
	start_4level(f, 0x345000 | P | W);
	fixture_write64(f, TABLE1 + 5 * 8, 0x222000 | P | W);
}

START_TEST(test_access_across_pages)
{
	const char text[] = "0123456789abcdef";
	char back[16];
	struct vmx_outcome outcome;
	struct fixture f;

	start_split(&f);
	ck_assert(insn_l1_write(&f.nested, LINEAR4 + 0xffb, text, 16, &outcome));
	ck_assert_mem_eq(fixture_memory(&f, 0x345ffb), "01234", 5);
	ck_assert_mem_eq(fixture_memory(&f, 0x222000), "56789abcdef", 11);
	ck_assert(insn_l1_read(&f.nested, LINEAR4 + 0xffb, back, 16, &outcome));
	ck_assert_mem_eq(back, text, 16);
	fixture_teardown(&f);
}
END_TEST

/* All or nothing; CR2 is the first byte of the page that faults. */
START_TEST(test_fault_on_the_second_page)
{
	struct vmx_outcome outcome = {0};
	struct fixture f;

	start_split(&f);
	f.vmcs01.field[VMCS_GUEST_CR0] |= 1 << 16;
	fixture_write64(&f, TABLE1 + 5 * 8, 0x222000 | P);
	ck_assert(!insn_l1_write(&f.nested, LINEAR4 + 0xffc, "xxxxyyyy", 8, &outcome));
	ck_assert_int_eq(outcome.kind, VMX_FAULT);
	ck_assert_uint_eq(outcome.vector, 14);
	ck_assert(outcome.has_error);
	ck_assert_uint_eq(outcome.error, 3);
	ck_assert_uint_eq(outcome.cr2, LINEAR4 + 0x1000);
	ck_assert_uint_eq(fixture_read64(&f, 0x345ff8), 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_access_to_no_ram)
{
	struct vmx_outcome outcome = {0};
	uint64_t value = 0;
	struct fixture f;

	start_4level(&f, 0x40000000 | P | W);
	ck_assert(insn_l1_write(&f.nested, LINEAR4, &value, 8, &outcome));
	ck_assert(insn_l1_read(&f.nested, LINEAR4, &value, 8, &outcome));
	ck_assert_uint_eq(value, ~0ull);
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1_memory");
	TCase *walks = tcase_create("walks"), *accesses = tcase_create("accesses");

	tcase_add_test(walks, test_4level);
	tcase_add_test(walks, test_dirty_flag);
	tcase_add_test(walks, test_large_pages);
	tcase_add_test(walks, test_not_present_at_each_level);
	tcase_add_test(walks, test_table_is_no_ram);
	tcase_add_test(walks, test_reserved_bits);
	tcase_add_test(walks, test_rights);
	tcase_add_test(walks, test_smap);
	tcase_add_test(walks, test_paging_off);
	tcase_add_test(walks, test_pae);
	tcase_add_test(walks, test_32bit);
	tcase_add_test(accesses, test_access_across_pages);
	tcase_add_test(accesses, test_fault_on_the_second_page);
	tcase_add_test(accesses, test_access_to_no_ram);
	suite_add_tcase(suite, walks);
	suite_add_tcase(suite, accesses);
	return fixture_run(suite);
}
