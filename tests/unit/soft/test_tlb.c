/* SPDX-License-Identifier: Apache-2.0 */
/* Cached translations: their tags (VPID, PCID, EPT root) and what invalidates them (SDM vol. 3, 4.10.4, 29.4.3). */
#include "guest.h"

/* Loads BL's byte twice around what the test does: the page first holds 0x11, its replacement 0x22. */
#define OTHER (GUEST_DATA + 0x1000)

static void prepare(struct guest *g, const char *code)
{
	guest_setup(g);
	guest_code(g, code);
	g->regs.gpr[GPR_RBX] = GUEST_DATA;
	g->ram[GUEST_DATA] = 0x11;
	g->ram[OTHER] = 0x22;
}

/** Load through the cached translation, remap behind the CPU's back, load again: AL. */
static unsigned load(struct guest *g)
{
	guest_set(g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(g, EXIT_REASON_VMCALL);
	return g->regs.gpr[GPR_RAX] & 0xff;
}

static void remap(struct guest *g, uint64_t flags)
{
	*guest_pte(g, GUEST_DATA) = OTHER | 0x63 | flags;
}

#define LOAD "8a 03 0f 01 c1" /* mov al, [rbx]; vmcall */

/* With a VPID translations outlive exits and entries; without one they do not (29.4.3.1). */
START_TEST(test_vpid_keeps)
{
	struct guest g;

	prepare(&g, LOAD);
	ck_assert_uint_eq(load(&g), 0x11);
	remap(&g, 0);
	ck_assert_uint_eq(load(&g), 0x11);
	machine_soft.flush_vpid(g.machine, 2);
	ck_assert_uint_eq(load(&g), 0x11);
	machine_soft.flush_vpid(g.machine, 1);
	ck_assert_uint_eq(load(&g), 0x22);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_no_vpid_flushes)
{
	struct guest g;

	prepare(&g, LOAD);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_VPID), false);
	ck_assert_uint_eq(load(&g), 0x11);
	remap(&g, 0);
	ck_assert_uint_eq(load(&g), 0x22);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_other_vpid)
{
	struct guest g;

	prepare(&g, LOAD);
	ck_assert_uint_eq(load(&g), 0x11);
	remap(&g, 0);
	guest_set(&g, VMCS_VIRTUAL_PROCESSOR_ID, 2);
	ck_assert_uint_eq(load(&g), 0x22);
	guest_set(&g, VMCS_VIRTUAL_PROCESSOR_ID, 1);
	ck_assert_uint_eq(load(&g), 0x11);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_other_ept_root)
{
	struct guest g;
	struct guest_ept ept;

	prepare(&g, LOAD);
	ck_assert_uint_eq(load(&g), 0x11);
	guest_own_ept(&g, &ept, false);
	ept.pt[GUEST_DATA >> 12] = OTHER | 6 << 3 | 7;
	ck_assert_uint_eq(load(&g), 0x22);
	/* A change of the EPT is seen after the flush L0's INVEPT does. */
	ept.pt[GUEST_DATA >> 12] = GUEST_DATA | 6 << 3 | 7;
	ck_assert_uint_eq(load(&g), 0x22);
	soft_tlb_flush_eptp(g.cpu, guest_get(&g, VMCS_EPT_POINTER));
	ck_assert_uint_eq(load(&g), 0x11);
	guest_teardown(&g);
}
END_TEST

/* mov al, [rbx]; <the guest remaps: mov [rdx], rcx>; <invalidation>; mov ah, [rbx]; vmcall */
#define AROUND(invalidation) "8a 03 48 89 0a " invalidation " 8a 23 0f 01 c1"

static unsigned around(struct guest *g, uint64_t flags)
{
	*guest_pte(g, GUEST_DATA) |= flags;
	g->regs.gpr[GPR_RCX] = OTHER | 0x63 | flags;
	g->regs.gpr[GPR_RDX] = GUEST_PT + (GUEST_DATA >> 12) * 8;
	g->regs.gpr[GPR_RSI] = GUEST_PML4;
	return load(g) | (g->regs.gpr[GPR_RAX] >> 8 & 0xff) << 8;
}

static const struct {
	const char *code;
	uint64_t flags; /**< of the PTE */
	unsigned second;
} invalidations[] = {
        {AROUND(""), 0, 0x11}, {AROUND("0f 01 3b"), 0, 0x22},                  /* invlpg [rbx] */
        {AROUND("0f 01 3b"), PTE_GLOBAL, 0x22}, {AROUND("0f 22 de"), 0, 0x22}, /* mov cr3, rsi */
        {AROUND("0f 22 de"), PTE_GLOBAL, 0x11},
        {AROUND("0f 20 e0 48 0f ba f8 07 0f 22 e0 8a 03"), PTE_GLOBAL, 0x22}, /* toggle CR4.PGE */
};

START_TEST(test_invalidation)
{
	struct guest g;

	prepare(&g, invalidations[_i].code);
	ck_assert_uint_eq(around(&g, invalidations[_i].flags) >> 8, invalidations[_i].second);
	guest_teardown(&g);
}
END_TEST

/* INVLPG of one address drops the whole 2 MiB page. */
START_TEST(test_invlpg_large)
{
	struct guest g;

	prepare(&g, AROUND("0f 01 3e")); /* invlpg [rsi] */
	g.regs.gpr[GPR_RBX] = 0x200000;
	g.ram[0x200000] = 0x11;
	g.ram[0x400000] = 0x22;
	g.regs.gpr[GPR_RCX] = 0x400000 | 0xe3;
	g.regs.gpr[GPR_RDX] = GUEST_PD + 8;
	g.regs.gpr[GPR_RSI] = 0x3ff000;
	load(&g);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xffff, 0x2211);
	guest_teardown(&g);
}
END_TEST

/* With PCIDs, MOV to CR3 with bit 63 keeps what the PCID has, and another PCID does not see it. */
START_TEST(test_pcid)
{
	struct guest g;

	prepare(&g, LOAD);
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_PCIDE);
	guest_set(&g, VMCS_GUEST_CR3, GUEST_PML4 | 5);
	ck_assert_uint_eq(load(&g), 0x11);
	remap(&g, 0);
	ck_assert_uint_eq(load(&g), 0x11);
	guest_set(&g, VMCS_GUEST_CR3, GUEST_PML4 | 6);
	ck_assert_uint_eq(load(&g), 0x22);

	/* mov cr3, rsi; mov al, [rbx]; vmcall */
	guest_code_at(&g, GUEST_CODE + 0x100, "0f 22 de 8a 03 0f 01 c1");
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x100);
	g.regs.gpr[GPR_RSI] = 1ull << 63 | GUEST_PML4 | 5;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x11);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR3), GUEST_PML4 | 5);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x100);
	g.regs.gpr[GPR_RSI] = GUEST_PML4 | 5;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x22);
	guest_teardown(&g);
}
END_TEST

/* INVPCID (SDM vol. 2): type 0 one address, 1 one PCID without globals, 2 all, 3 all without globals. */
static const struct {
	uint64_t type, pcid, flags;
	unsigned second;
} invpcid[] = {
        {0, 5, 0, 0x22},
        {0, 6, 0, 0x11},
        {1, 5, 0, 0x22},
        {1, 6, 0, 0x11},
        {1, 5, PTE_GLOBAL, 0x11},
        {2, 0, PTE_GLOBAL, 0x22},
        {3, 0, PTE_GLOBAL, 0x11},
        {3, 0, 0, 0x22},
};

START_TEST(test_invpcid)
{
	struct guest g;

	prepare(&g, AROUND("66 0f 38 82 3e")); /* invpcid rdi, [rsi] */
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_PCIDE);
	guest_set(&g, VMCS_GUEST_CR3, GUEST_PML4 | 5);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_INVPCID), true);
	*guest_pte(&g, GUEST_DATA) |= invpcid[_i].flags;
	g.regs.gpr[GPR_RCX] = OTHER | 0x63 | invpcid[_i].flags;
	g.regs.gpr[GPR_RDX] = GUEST_PT + (GUEST_DATA >> 12) * 8;
	g.regs.gpr[GPR_RDI] = invpcid[_i].type;
	g.regs.gpr[GPR_RSI] = GUEST_DATA + 0x2000;
	guest_put64(&g, GUEST_DATA + 0x2000, invpcid[_i].pcid);
	guest_put64(&g, GUEST_DATA + 0x2008, GUEST_DATA);
	load(&g);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] >> 8 & 0xff, invpcid[_i].second);
	guest_teardown(&g);
}
END_TEST

/* A first write through a translation cached by a read sets the dirty flag. */
START_TEST(test_dirty_after_read)
{
	struct guest g;

	prepare(&g, "8a 03 88 03 0f 01 c1");
	*guest_pte(&g, GUEST_DATA) = GUEST_DATA | 3;
	load(&g);
	ck_assert_uint_eq(*guest_pte(&g, GUEST_DATA) & 0x60, 0x60);
	guest_teardown(&g);
}
END_TEST

/* Code fetched through a translation follows an INVLPG, too; also while a data breakpoint keeps accesses off the fast
 * path (_i = 1). */
START_TEST(test_code_remap)
{
	struct guest g;

	guest_setup(&g);
	g.regs.dr[0] = GUEST_USER_DATA;
	if (_i)
		guest_set(&g, VMCS_GUEST_DR7, 0x401 | 1 << 16);
	/* call rbx; mov [rdx], rcx; invlpg [rbx]; call rbx; vmcall */
	guest_code(&g, "ff d3 48 89 0a 0f 01 3b ff d3 0f 01 c1");
	guest_code_at(&g, GUEST_DATA, "04 01 c3"); /* add al, 1; ret */
	guest_code_at(&g, OTHER, "04 10 c3");
	g.regs.gpr[GPR_RBX] = GUEST_DATA;
	g.regs.gpr[GPR_RCX] = OTHER | 0x63;
	g.regs.gpr[GPR_RDX] = GUEST_PT + (GUEST_DATA >> 12) * 8;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x11);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("tlb");

	tcase_add_test(tests, test_vpid_keeps);
	tcase_add_test(tests, test_no_vpid_flushes);
	tcase_add_test(tests, test_other_vpid);
	tcase_add_test(tests, test_other_ept_root);
	tcase_add_loop_test(tests, test_invalidation, 0, sizeof(invalidations) / sizeof(invalidations[0]));
	tcase_add_test(tests, test_invlpg_large);
	tcase_add_test(tests, test_pcid);
	tcase_add_loop_test(tests, test_invpcid, 0, sizeof(invpcid) / sizeof(invpcid[0]));
	tcase_add_test(tests, test_dirty_after_read);
	tcase_add_loop_test(tests, test_code_remap, 0, 2);
	return guest_main("soft: tlb", tests);
}
