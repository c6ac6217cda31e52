/* SPDX-License-Identifier: Apache-2.0 */
/* Paging and delivery outside IA-32e mode: 32-bit and PAE paging, 32-bit gates and TSS, real mode, virtual-8086 mode
 * (SDM vol. 3, 4.3, 4.4, 6.12, 21.1). */
#include "guest.h"

#include <string.h>

static void put32(struct guest *g, uint64_t address, uint32_t value)
{
	memcpy(g->ram + address, &value, 4);
}

static uint32_t get32(const struct guest *g, uint64_t address)
{
	return (uint32_t)guest_u64(g, address);
}

START_TEST(test_protected_frame)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	guest_code(&g, "90 0f 0b");
	guest_expect_handler(&g, VECTOR_UD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK - 12);
	ck_assert_uint_eq(get32(&g, GUEST_STACK - 12), GUEST_CODE + 1);
	ck_assert_uint_eq(get32(&g, GUEST_STACK - 8), GUEST_CS32);
	ck_assert_uint_eq(get32(&g, GUEST_STACK - 4), 2 | RFLAGS_RF);
	guest_teardown(&g);
}
END_TEST

/* Ring 3 to ring 0: SS:ESP from the 32-bit TSS, five words and the error code. */
START_TEST(test_protected_ring_change)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++) {
		guest_set(&g, VMCS_GUEST_ES_SELECTOR + i, GUEST_USER_SS);
		guest_set(&g, VMCS_GUEST_ES_ACCESS_RIGHTS + i, 0xc0f3);
	}
	guest_set(&g, VMCS_GUEST_CS_SELECTOR, GUEST_USER_CS32);
	guest_set(&g, VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc0fb);
	guest_code(&g, "fa"); /* cli: #GP(0) at IOPL 0 */
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_RING0_STACK - 24);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_SELECTOR), GUEST_SS);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 24), 0);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 20), GUEST_CODE);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 16), GUEST_USER_CS32);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 8), GUEST_STACK);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 4), GUEST_USER_SS);
	guest_teardown(&g);
}
END_TEST

/* A task gate exits (25.2): qualification = selector, source 3 = gate in the IDT. */
START_TEST(test_task_gate)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	guest_code(&g, "0f 0b");
	guest_put64(&g, GUEST_IDT + VECTOR_UD * 8, 0x0000850000280000ull);
	guest_expect(&g, EXIT_REASON_TASK_SWITCH);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0xc0000028);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0x80000306);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_real_mode)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_real(&g, 0x20000);
	guest_code(&g, "90 cd 21");
	put32(&g, 0x21 * 4, 0x2000 << 16 | 0x1234);
	guest_code_at(&g, 0x21234, "0f 01 c1");
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), 0x1234);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_BASE), 0x20000);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), 0x7000 - 6);
	ck_assert_uint_eq(guest_u64(&g, 0x7000 - 6) & 0xffffffffffff, 0x020220000003ull);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & RFLAGS_IF, 0);
	guest_teardown(&g);
}
END_TEST

/* From virtual-8086 mode: the data segments are pushed and become null. */
START_TEST(test_virtual_8086)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++) {
		guest_set(&g, VMCS_GUEST_ES_SELECTOR + i, 0x2000 + i);
		guest_set(&g, VMCS_GUEST_ES_BASE + i, 0x20000 + i * 16);
		guest_set(&g, VMCS_GUEST_ES_LIMIT + i, 0xffff);
		guest_set(&g, VMCS_GUEST_ES_ACCESS_RIGHTS + i, 0xf3);
	}
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_VM);
	guest_set(&g, VMCS_GUEST_RIP, 0x10);
	guest_set(&g, VMCS_GUEST_RSP, 0x800);
	guest_code(&g, "0f 0b");
	guest_expect_handler(&g, VECTOR_UD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_RING0_STACK - 36);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 36), 0x10);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 32), 0x2001);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 28), 2 | RFLAGS_RF | RFLAGS_VM);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 24), 0x800);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 20), 0x2002);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 16), 0x2000);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 12), 0x2003);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 8), 0x2004);
	ck_assert_uint_eq(get32(&g, GUEST_RING0_STACK - 4), 0x2005);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DS_SELECTOR), 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DS_ACCESS_RIGHTS) & AR_UNUSABLE, AR_UNUSABLE);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & RFLAGS_VM, 0);
	guest_teardown(&g);
}
END_TEST

/* ---- paging ---- */

#define READ "8a 03 0f 01 c1" /* mov al, [ebx]; vmcall */
#define WRITE "88 03 0f 01 c1"

static void enter_32_bit_paging(struct guest *g, const char *code)
{
	guest_setup(g);
	guest_enter_protected_32(g);
	for (unsigned i = 0; i < 1024; i++)
		put32(g, 0x20000 + i * 4, i << 22 | 0x83); /* 4 MiB pages */
	put32(g, 0x20000 + 4, 0x21000 | 7);                /* 4 MiB..8 MiB in 4 KiB pages */
	for (unsigned i = 0; i < 1024; i++)
		put32(g, 0x21000 + i * 4, (i << 12) + 0x400000 + 3);
	guest_set(g, VMCS_GUEST_CR3, 0x20000);
	guest_set(g, VMCS_GUEST_CR4, CR4_VMXE | CR4_PSE);
	guest_set(g, VMCS_GUEST_CR0, guest_get(g, VMCS_GUEST_CR0) | CR0_PG | CR0_WP);
	guest_code(g, code);
	guest_set(g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
}

START_TEST(test_32_bit_paging)
{
	struct guest g;

	enter_32_bit_paging(&g, WRITE);
	g.regs.gpr[GPR_RBX] = 0x412345;
	g.regs.gpr[GPR_RAX] = 0x77;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x412345], 0x77);
	ck_assert_uint_eq(get32(&g, 0x21000 + 0x12 * 4), 0x412000 | 0x63);
	ck_assert_uint_eq(get32(&g, 0x20000 + 4) & 0x60, 0x20);
	/* The large page the code is in got its accessed flag. */
	ck_assert_uint_eq(get32(&g, 0x20000), 0xa3);

	put32(&g, 0x21000 + 0x13 * 4, 0x413000 | 1);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = 0x413000;
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 3);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x413000);

	put32(&g, 0x20000 + 3 * 4, 3 << 22 | 1 << 21 | 0x83); /* reserved bit of a 4 MiB page */
	g.regs.gpr[GPR_RBX] = 0xc00000;
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 11);
	guest_teardown(&g);
}
END_TEST

/* PSE-36: bits 20:13 of the entry are address bits 39:32 (here beyond RAM, so the EPT says where it led). */
START_TEST(test_pse_36)
{
	struct guest g;

	enter_32_bit_paging(&g, READ);
	put32(&g, 0x20000 + 3 * 4, 1 << 22 | 2 << 13 | 0x83);
	g.regs.gpr[GPR_RBX] = 0xc00010;
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), (2ull << 32) + 0x400010);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_pae_paging)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	for (unsigned i = 0; i < 4; i++) {
		guest_put64(&g, 0x20000 + i * 8, 0x21000 + i * 0x1000 + 1);
		guest_set(&g, VMCS_GUEST_PDPTE0 + i, 0x21000 + i * 0x1000 + 1);
	}
	for (unsigned i = 0; i < 8; i++)
		guest_put64(&g, 0x21000 + i * 8, (uint64_t)i << 21 | 0x83);
	guest_put64(&g, 0x24000, 0x200000 | 0x83);              /* 3 GiB -> 2 MiB */
	guest_put64(&g, 0x24008, 0x200000 | 0x83 | 1ull << 52); /* reserved with PAE */
	guest_set(&g, VMCS_GUEST_CR3, 0x20000);
	guest_set(&g, VMCS_GUEST_CR4, CR4_VMXE | CR4_PAE);
	guest_set(&g, VMCS_GUEST_CR0, guest_get(&g, VMCS_GUEST_CR0) | CR0_PG | CR0_WP);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	guest_code(&g, WRITE);
	g.regs.gpr[GPR_RBX] = 0xc0000123;
	g.regs.gpr[GPR_RAX] = 0x66;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x200123], 0x66);
	ck_assert_uint_eq(guest_u64(&g, 0x24000), 0x200000 | 0xe3);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = 0xc0200000;
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 11);

	/* mov cr3, eax with a reserved bit in a PDPTE: #GP(0), the PDPTEs stay (4.4.1). */
	guest_code_at(&g, GUEST_CODE + 0x80, "0f 22 d8");
	guest_put64(&g, 0x30000, 0x21000 | 3);
	g.regs.gpr[GPR_RAX] = 0x30000;
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x80);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_GP);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR3), 0x20000);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PDPTE0), 0x21001);
	guest_teardown(&g);
}
END_TEST

/* From protected mode into IA-32e mode, as a multiboot kernel does it: EFER.LMA follows, and the entry control says so
 * at the exit (28.3.1). */
START_TEST(test_enter_ia32e)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), true);
	guest_set(&g, VMCS_MSR_BITMAP, guest_l0_page(&g, NULL));
	/* mov eax, cr4 with PAE; mov cr4, eax; mov cr3, ebx; rdmsr EFER; or LME; wrmsr; mov cr0 with PG; ljmp CS;
	 * vmcall */
	guest_code(&g, "0f 20 e0 83 c8 20 0f 22 e0 0f 22 db b9 80 00 00 c0 0f 32 0d 00 01 00 00 0f 30 0f 20 c0 "
	               "0d 00 00 00 80 0f 22 c0 ea 00 02 10 00 08 00");
	guest_code_at(&g, GUEST_CODE + 0x200, "48 b8 88 77 66 55 44 33 22 11 0f 01 c1");
	g.regs.gpr[GPR_RBX] = GUEST_PML4;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x1122334455667788ull);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_EFER), EFER_LMA | EFER_LME);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_ENTRY_CONTROLS) >> ENTRY_IA32E_MODE_GUEST_BIT & 1, 1);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("events 32");

	tcase_add_test(tests, test_protected_frame);
	tcase_add_test(tests, test_protected_ring_change);
	tcase_add_test(tests, test_task_gate);
	tcase_add_test(tests, test_real_mode);
	tcase_add_test(tests, test_virtual_8086);
	tcase_add_test(tests, test_32_bit_paging);
	tcase_add_test(tests, test_pse_36);
	tcase_add_test(tests, test_pae_paging);
	tcase_add_test(tests, test_enter_ia32e);
	return guest_main("soft: events outside IA-32e mode", tests);
}
