/* SPDX-License-Identifier: Apache-2.0 */
/* EPT: rights, exit qualifications (SDM vol. 3, table 28-7), misconfigurations (29.3.3.1), accessed and dirty flags,
 * page-modification log, reference counts. */
#include "guest.h"

#include <string.h>

#define READ "8a 03 0f 01 c1"  /* mov al, [rbx]; vmcall */
#define WRITE "88 03 0f 01 c1" /* mov [rbx], al; vmcall */
#define FETCH "ff e3"          /* jmp rbx */

#define FINE 0

struct ept_case {
	const char *code;
	unsigned rights; /**< of the EPT entry of the page: R 1, W 2, X 4 */
	unsigned qualification;
};

static const struct ept_case final_cases[] = {
        {READ, 0, 0x181},
        {WRITE, 0, 0x182},
        {FETCH, 0, 0x184},
        {READ, 1, FINE},
        {WRITE, 1, 0x18a},
        {FETCH, 1, 0x18c},
        {READ, 3, FINE},
        {WRITE, 3, FINE},
        {FETCH, 3, 0x19c},
        {READ, 4, 0x1a1}, /* execute-only */
        {WRITE, 4, 0x1a2},
        {FETCH, 4, FINE},
        {READ, 5, FINE},
        {WRITE, 5, 0x1aa},
        {FETCH, 5, FINE},
        {WRITE, 7, FINE},
        {FETCH, 7, FINE},
};

static void prepare(struct guest *g, struct guest_ept *ept, const char *code, bool accessed_dirty)
{
	guest_setup(g);
	guest_own_ept(g, ept, accessed_dirty);
	guest_code(g, code);
	guest_code_at(g, GUEST_DATA, "0f 01 c1");
	g->regs.gpr[GPR_RBX] = GUEST_DATA;
}

static void set_rights(uint64_t *entry, unsigned rights)
{
	*entry = (*entry & ~7ull) | rights;
}

START_TEST(test_translated_access)
{
	const struct ept_case *c = &final_cases[_i];
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, c->code, false);
	set_rights(&ept.pt[GUEST_DATA >> 12], c->rights);
	g.regs.gpr[GPR_RBX] += c->code[0] == 'f' ? 0 : 0x678;
	if (c->qualification == FINE) {
		guest_expect(&g, EXIT_REASON_VMCALL);
	} else {
		guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
		ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), c->qualification);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), g.regs.gpr[GPR_RBX]);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_LINEAR_ADDRESS), g.regs.gpr[GPR_RBX]);
		/* 28.3.3: the saved RF is 1; RIP is at the access, or at its target for a fetch. */
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS), 2 | RFLAGS_RF);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), c->code[0] == 'f' ? GUEST_DATA : GUEST_CODE);
		ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0);
	}
	guest_teardown(&g);
}
END_TEST

/* The guest's page-table page is not accessible: bit 8 clear, address of the entry. */
static const struct {
	unsigned rights, qualification, qualification_ad;
} table_cases[] = {
        {0, 0x81, 0x83},
        {1, 0x8b, 0x8b}, /* readable: without A/D the flag update (read and write), with A/D any access writes */
        {4, 0xa1, 0xa3},
        {5, 0xab, 0xab},
};

START_TEST(test_paging_structure_access)
{
	struct guest g;
	struct guest_ept ept;
	const bool ad = _i & 1;
	const unsigned n = (unsigned)_i / 2;

	prepare(&g, &ept, READ, ad);
	/* The page under test is reached through a page table of its own, at GUEST_DATA + 0x2000. */
	guest_put64(&g, GUEST_PD + 8 * 8, (GUEST_DATA + 0x2000) | 7);
	guest_put64(&g, GUEST_DATA + 0x2000 + 8, GUEST_DATA | 3);
	g.regs.gpr[GPR_RBX] = (8ull << 21) + 0x1010;
	set_rights(&ept.pt[(GUEST_DATA + 0x2000) >> 12], table_cases[n].rights);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION),
	        ad ? table_cases[n].qualification_ad : table_cases[n].qualification);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), GUEST_DATA + 0x2000 + 8);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_LINEAR_ADDRESS), g.regs.gpr[GPR_RBX]);
	guest_teardown(&g);
}
END_TEST

/* Rights are ANDed over the levels; a missing upper entry clears bits 5:3. */
START_TEST(test_upper_levels)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, WRITE, false);
	g.regs.gpr[GPR_RBX] = 0x201000; /* under PD entry 1, a 2 MiB leaf */
	set_rights(&ept.pd[1], 5);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x1aa);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), 0x201000);
	ept.pd[1] = 0;
	soft_tlb_flush_all(g.cpu);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x182);
	guest_teardown(&g);
}
END_TEST

/* Values of the page's EPT entry that are misconfigured, and one that is not. */
static const struct {
	uint64_t entry;
	bool large; /**< as a PDE that maps 2 MiB */
	bool fine;
} misconfigurations[] = {
        {2 | 6 << 3, false, false},              /* write-only */
        {6 | 6 << 3, false, false},              /* write and execute */
        {7 | 2 << 3, false, false},              /* memory type 2 */
        {7 | 3 << 3, false, false},              /* 3 */
        {7 | 7 << 3, false, false},              /* 7 */
        {7 | 6 << 3 | 1ull << 46, false, false}, /* above MAXPHYADDR */
        {7 | 6 << 3 | 1ull << 51, false, false},
        {7 | 6 << 3 | 1 << 7 | 1 << 12, true, false}, /* address bit 12 in a 2 MiB leaf */
        {7 | 6 << 3 | 1 << 7 | 1 << 20, true, false}, {7 | 0 << 3 | 1 << 7, true, true}, /* uncacheable */
        {7 | 1 << 3, true, false}, /* bits 6:3 of an entry that references a table */
        {7 | 1 << 6, true, false}, {7 | 4 << 3 | 1 << 7 | 3ull << 52 | 1 << 11, true, true}, /* ignored bits */
};

START_TEST(test_misconfiguration)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, READ, false);
	g.regs.gpr[GPR_RBX] = misconfigurations[_i].large ? 0x400123 : GUEST_DATA + 0x123;
	if (misconfigurations[_i].large)
		ept.pd[2] = 0x400000 | misconfigurations[_i].entry;
	else
		ept.pt[GUEST_DATA >> 12] = GUEST_DATA | misconfigurations[_i].entry;
	guest_expect(&g, misconfigurations[_i].fine ? EXIT_REASON_VMCALL : EXIT_REASON_EPT_MISCONFIGURATION);
	if (!misconfigurations[_i].fine)
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), g.regs.gpr[GPR_RBX]);
	guest_teardown(&g);
}
END_TEST

/* 29.3.5: accessed in every entry used, dirty in the leaf of a write; the guest's tables count as written. */
START_TEST(test_accessed_dirty)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, READ, true);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(ept.pml4[0] >> 8 & 3, 1);
	ck_assert_uint_eq(ept.pdpt[0] >> 8 & 3, 1);
	ck_assert_uint_eq(ept.pd[0] >> 8 & 3, 1);
	ck_assert_uint_eq(ept.pt[GUEST_DATA >> 12] >> 8 & 3, 1);
	ck_assert_uint_eq(ept.pt[GUEST_CODE >> 12] >> 8 & 3, 1);
	ck_assert_uint_eq(ept.pt[GUEST_PML4 >> 12] >> 8 & 3, 3);
	ck_assert_uint_eq(ept.pt[GUEST_PT >> 12] >> 8 & 3, 3);
	ck_assert_uint_eq(ept.pt[0x40] >> 8 & 3, 0);

	/* The read translation is cached: the write must still find its way to the dirty flag. */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_code(&g, WRITE);
	soft_code_invalidate(g.cpu, GUEST_CODE, 16);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(ept.pt[GUEST_DATA >> 12] >> 8 & 3, 3);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_no_accessed_dirty)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, WRITE, false);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(ept.pml4[0] >> 8 & 3, 0);
	ck_assert_uint_eq(ept.pt[GUEST_DATA >> 12] >> 8 & 3, 0);
	guest_teardown(&g);
}
END_TEST

/* 29.3.6: each dirty flag that is set is logged, downwards; a full log exits before the access. */
START_TEST(test_page_modification_log)
{
	struct guest g;
	struct guest_ept ept;
	void *hva;
	const uint64_t *log;

	prepare(&g, &ept, WRITE, true);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_PML), true);
	guest_set(&g, VMCS_PML_ADDRESS, guest_l0_page(&g, &hva));
	guest_set(&g, VMCS_PML_INDEX, 511);
	log = hva;
	guest_expect(&g, EXIT_REASON_VMCALL);
	/* PML4, PDPT, PD, PT of the fetch, then the data page. */
	ck_assert_uint_eq(guest_get(&g, VMCS_PML_INDEX), 511 - 5);
	ck_assert_uint_eq(log[511], GUEST_PML4);
	ck_assert_uint_eq(log[508], GUEST_PT);
	ck_assert_uint_eq(log[507], GUEST_DATA);

	ept.pt[GUEST_DATA >> 12] &= ~EPT_DIRTY;
	soft_tlb_flush_all(g.cpu);
	guest_set(&g, VMCS_PML_INDEX, 0xffff);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_PAGE_MODIFICATION_LOG_FULL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_eq(ept.pt[GUEST_DATA >> 12] & EPT_DIRTY, 0);
	guest_teardown(&g);
}
END_TEST

/* 4 levels by 4 levels: 24 entries read for one access (4 EPT entries for each of 4 guest entries and for the page). */
START_TEST(test_reference_count)
{
	struct guest g;
	struct guest_ept ept;
	uint64_t before;

	prepare(&g, &ept, "90 0f 01 c1", false);
	/* All flags are set already: no update adds a walk. */
	for (unsigned i = 0; i < 512; i++)
		((uint64_t *)(g.ram + GUEST_PT))[i] |= 0x60;
	for (unsigned i = 0; i < 3; i++)
		*(uint64_t *)(g.ram + GUEST_PML4 + i * 4096) |= 0x20;
	before = g.cpu->walk_references_2d;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.cpu->walk_references_2d - before, 24);
	ck_assert_uint_eq(g.cpu->walk_references_1d, 0);
	guest_teardown(&g);
}
END_TEST

/* An EPT pointer or entry beyond L0's memory never becomes a host access. */
START_TEST(test_out_of_bounds)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, READ, false);
	ept.pt[GUEST_DATA >> 12] = 1ull << 40 | 6 << 3 | 7;
	guest_expect(&g, EXIT_REASON_EPT_MISCONFIGURATION);
	guest_set(&g, VMCS_EPT_POINTER, 1ull << 40 | EPTP_WALK_4 | 6);
	guest_expect(&g, EXIT_REASON_EPT_MISCONFIGURATION);
	guest_teardown(&g);
}
END_TEST

/* Execute-only code runs; reading itself does not. */
START_TEST(test_execute_only)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, &ept, "48 8b 05 f9 ff ff ff f4", false); /* mov rax, [rip - 7] */
	set_rights(&ept.pt[GUEST_CODE >> 12], 4);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x1a1);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), GUEST_CODE);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("ept");

	tcase_add_loop_test(tests, test_translated_access, 0, sizeof(final_cases) / sizeof(final_cases[0]));
	tcase_add_loop_test(tests, test_paging_structure_access, 0, 8);
	tcase_add_test(tests, test_upper_levels);
	tcase_add_loop_test(tests, test_misconfiguration, 0, sizeof(misconfigurations) / sizeof(misconfigurations[0]));
	tcase_add_test(tests, test_accessed_dirty);
	tcase_add_test(tests, test_no_accessed_dirty);
	tcase_add_test(tests, test_page_modification_log);
	tcase_add_test(tests, test_reference_count);
	tcase_add_test(tests, test_out_of_bounds);
	tcase_add_test(tests, test_execute_only);
	return guest_main("soft: ept", tests);
}
