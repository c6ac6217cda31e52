/* SPDX-License-Identifier: Apache-2.0 */
/* 4-level paging: rights and error codes (SDM vol. 3, 4.6 and 4.7), accessed and dirty flags, reserved bits, faults of
 * accesses that cross a page. */
#include "guest.h"

#include <string.h>

#define READ "8a 03 0f 01 c1"  /* mov al, [rbx]; vmcall */
#define WRITE "88 03 0f 01 c1" /* mov [rbx], al; vmcall */
#define FETCH "ff e3"          /* jmp rbx */

enum { WP = 1, SMEP = 2, SMAP = 4, AC = 8, NO_NXE = 16 };
#define NX (1ull << 63)
#define FINE (-1)

struct access_case {
	const char *code;
	uint64_t pte;
	bool user;
	unsigned settings;
	int error; /**< page-fault error code, or FINE */
};

/* Each line is a sentence of 4.6.1 (rights) and 4.7 (error code). */
static const struct access_case cases[] = {
        {READ, 0, false, WP, 0},
        {WRITE, 0, false, WP, 2},
        {FETCH, 0, false, WP, 16},
        {FETCH, 0, false, WP | NO_NXE, 0}, /* the I/D flag needs NXE or SMEP */
        {FETCH, 0, false, WP | NO_NXE | SMEP, 16},
        {READ, 0, true, WP, 4},
        {WRITE, 0, true, WP, 6},
        {FETCH, 0, true, WP, 20},
        {READ, 1, false, WP, FINE},
        {WRITE, 1, false, WP, 3},
        {WRITE, 1, false, 0, FINE}, /* CR0.WP = 0: supervisor writes everywhere */
        {WRITE, 3, false, WP, FINE},
        {READ, 1, true, WP, 5},
        {WRITE, 3, true, WP, 7},
        {FETCH, 3, true, WP, 21},
        {READ, 5, true, WP, FINE},
        {WRITE, 5, true, WP, 7},
        {WRITE, 5, true, 0, 7}, /* user writes never pass a read-only page */
        {WRITE, 7, true, WP, FINE},
        {FETCH, 5, true, WP, FINE},
        {FETCH, 5 | NX, true, WP, 21},
        {READ, 5 | NX, true, WP, FINE},
        {FETCH, 1, false, WP, FINE},
        {FETCH, 1 | NX, false, WP, 17},
        {FETCH, 5, false, WP, FINE},
        {FETCH, 5, false, WP | SMEP, 17},
        {FETCH, 5, true, WP | SMEP, FINE},
        {READ, 5, false, WP, FINE},
        {READ, 5, false, WP | SMAP, 1},
        {WRITE, 7, false, WP | SMAP, 3},
        {READ, 5, false, WP | SMAP | AC, FINE},
        {WRITE, 7, false, WP | SMAP | AC, FINE},
        {WRITE, 5, false, WP | SMAP | AC, 3},
        {READ, 1, false, WP | SMAP, FINE},
        {READ, 7, true, WP | SMAP, FINE},
        {FETCH, 5, false, WP | SMAP, FINE}, /* SMAP is about data */
        {READ, 1 | NX, false, WP | NO_NXE, 9},
        {WRITE, 3 | NX, true, WP | NO_NXE, 15},
        {READ, 3 | 1ull << 46, false, WP, 9}, /* above MAXPHYADDR */
        {READ, 3 | 1ull << 51, false, WP, 9},
        {FETCH, 3 | 1ull << 51, false, WP, 25},
        {READ, 3 | 1ull << 52, false, WP, FINE}, /* ignored bits */
        {READ, 3 | 1ull << 9, false, WP, FINE},
};

static void set_bit(struct guest *g, enum vmcs_field field, uint64_t bit, bool on)
{
	guest_set(g, field, on ? guest_get(g, field) | bit : guest_get(g, field) & ~bit);
}

static void prepare(struct guest *g, const struct access_case *c)
{
	guest_setup(g);
	if (c->user)
		guest_enter_user(g);
	guest_code(g, c->code);
	guest_code_at(g, GUEST_DATA, "0f 01 c1");
	*guest_pte(g, GUEST_DATA) = GUEST_DATA | c->pte;
	g->regs.gpr[GPR_RBX] = GUEST_DATA;
	set_bit(g, VMCS_GUEST_CR0, CR0_WP, c->settings & WP);
	set_bit(g, VMCS_GUEST_CR4, CR4_SMEP, c->settings & SMEP);
	set_bit(g, VMCS_GUEST_CR4, CR4_SMAP, c->settings & SMAP);
	set_bit(g, VMCS_GUEST_RFLAGS, RFLAGS_AC, c->settings & AC);
	set_bit(g, VMCS_GUEST_IA32_EFER, EFER_NXE, !(c->settings & NO_NXE));
	guest_set(g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
}

START_TEST(test_access)
{
	const struct access_case *c = &cases[_i];
	struct guest g;

	prepare(&g, c);
	if (c->error == FINE) {
		guest_expect(&g, EXIT_REASON_VMCALL);
		/* 4.8: accessed after any access, dirty after a write only. */
		ck_assert_uint_eq(*guest_pte(&g, GUEST_DATA) >> 5 & 1, 1);
		ck_assert_uint_eq(*guest_pte(&g, GUEST_DATA) >> 6 & 1, strcmp(c->code, WRITE) == 0);
	} else {
		guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000b0e);
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), (unsigned)c->error);
		ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), GUEST_DATA);
		ck_assert_uint_eq(*guest_pte(&g, GUEST_DATA) >> 5 & 3, 0);
		/* An intercepted page fault leaves CR2 alone (28.2.1). */
		ck_assert_uint_eq(g.regs.cr2, 0);
	}
	guest_teardown(&g);
}
END_TEST

/* Rights of upper levels are ANDed (user, write) and ORed (execute-disable). */
START_TEST(test_upper_levels)
{
	static const struct {
		uint64_t entry, clear, set;
		const char *code;
		bool user;
		uint64_t error;
	} upper[] = {
	        {GUEST_PML4, 1, 0, READ, false, 0},
	        {GUEST_PDPT, 4, 0, READ, true, 5},
	        {GUEST_PD, 2, 0, WRITE, true, 7},
	        {GUEST_PML4, 0, 1ull << 7, READ, true, 13}, /* PS is reserved in a PML4E */
	        {GUEST_PDPT, 0, 1ull << 47, READ, true, 13},
	        {GUEST_PD, 0, NX, FETCH, true, 21},
	};
	struct guest g;
	uint64_t linear;

	guest_setup(&g);
	/* Everything at 512 GiB again: its own three tables over the same page table. */
	linear = 1ull << 39;
	for (unsigned i = 0; i < 3; i++) {
		static const uint64_t table[] = {GUEST_PML4 + 8, 0x14000, 0x15000},
		                      next[] = {0x14000, 0x15000, GUEST_PT};
		uint64_t value = next[i] | 7;
		const uint64_t home = i == 0 ? GUEST_PML4 : i == 1 ? GUEST_PDPT : GUEST_PD;

		if (upper[_i].entry == home)
			value = (value & ~upper[_i].clear) | upper[_i].set;
		guest_put64(&g, table[i], value);
	}
	if (upper[_i].user)
		guest_enter_user(&g);
	*guest_pte(&g, GUEST_DATA) = GUEST_DATA | 7;
	guest_code(&g, upper[_i].code);
	g.regs.gpr[GPR_RBX] = linear + GUEST_DATA;
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), upper[_i].error);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), linear + GUEST_DATA);
	guest_teardown(&g);
}
END_TEST

/* 2 MiB pages: bits 20:13 are reserved; the flags go into the PDE. 1 GiB pages likewise. */
START_TEST(test_large_pages)
{
	struct guest g;
	uint64_t *pd;

	guest_setup(&g);
	pd = (uint64_t *)(g.ram + GUEST_PD);
	guest_code(&g, WRITE);
	g.regs.gpr[GPR_RBX] = 0x212345;
	g.regs.gpr[GPR_RAX] = 0x5a;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(pd[1], 0x200000 | 0x83 | 0x60);
	ck_assert_uint_eq(g.ram[0x212345], 0x5a);

	guest_put64(&g, GUEST_PDPT + 8, 0x83); /* 1 GiB at 1 GiB: all RAM again */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = (1ull << 30) + 0x212346;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x212346], 0x5a);
	ck_assert_uint_eq(guest_u64(&g, GUEST_PDPT + 8), 0xe3);

	pd[2] |= 1 << 13;
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	g.regs.gpr[GPR_RBX] = 0x400000;
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 11);
	guest_teardown(&g);
}
END_TEST

/* A store that crosses into a page that is not there changes nothing, and the fault is about the second page. */
START_TEST(test_split_store_is_atomic)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "48 89 03 0f 01 c1"); /* mov [rbx], rax */
	g.regs.gpr[GPR_RBX] = GUEST_DATA + 0xffc;
	g.regs.gpr[GPR_RAX] = ~0ull;
	*guest_pte(&g, GUEST_DATA + 0x1000) = 0;
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), GUEST_DATA + 0x1000);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 2);
	ck_assert_uint_eq(guest_u64(&g, GUEST_DATA + 0xff8), 0);
	ck_assert_uint_eq(guest_u64(&g, GUEST_DATA + 0x1000), 0);

	/* With the page there the same instruction writes both. */
	*guest_pte(&g, GUEST_DATA + 0x1000) = (GUEST_DATA + 0x1000) | 3;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, GUEST_DATA + 0xff8), 0xffffffff00000000ull);
	ck_assert_uint_eq(guest_u64(&g, GUEST_DATA + 0x1000), 0xffffffff);
	guest_teardown(&g);
}
END_TEST

/* Delivered through the IDT a page fault loads CR2 and pushes its error code. */
START_TEST(test_delivered_page_fault)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, WRITE);
	g.regs.gpr[GPR_RBX] = GUEST_DATA + 0x123;
	*guest_pte(&g, GUEST_DATA) = 0;
	guest_expect_handler(&g, VECTOR_PF);
	ck_assert_uint_eq(g.regs.cr2, GUEST_DATA + 0x123);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK - 48);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 48), 2);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 32), GUEST_CS);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 24), 2 | RFLAGS_RF);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 16), GUEST_STACK);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 8), GUEST_SS);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_non_canonical)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, READ);
	g.regs.gpr[GPR_RBX] = 1ull << 47;
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_GP);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000b0d);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 0);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("paging");

	tcase_add_loop_test(tests, test_access, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tests, test_upper_levels, 0, 6);
	tcase_add_test(tests, test_large_pages);
	tcase_add_test(tests, test_split_store_is_atomic);
	tcase_add_test(tests, test_delivered_page_fault);
	tcase_add_test(tests, test_non_canonical);
	return guest_main("soft: paging", tests);
}
