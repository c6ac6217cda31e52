/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions outside 64-bit mode: real mode, 32-bit protected mode, and the way from one to the other. */
#include "guest.h"

#include <stdlib.h>
#include <string.h>

static struct guest g;

static void setup(void)
{
	guest_setup(&g);
}
static void teardown(void)
{
	guest_teardown(&g);
}

static void allow_msrs(void)
{
	guest_set(&g, VMCS_MSR_BITMAP, guest_l0_page(&g, NULL));
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), true);
}

/* ---- real mode ---- */

START_TEST(real_mode_addresses_through_segments)
{
	guest_enter_real(&g, 0x20000);
	/* mov ax, 0x1000; mov ds, ax; mov es, ax; mov word [0x20], 0x1234; mov bx, 0x20; mov cx, [bx]; push cx; pop dx;
	 * mov eax, 0x89abcdef; vmcall */
	guest_code(&g, "b8 00 10 8e d8 8e c0 c7 06 20 00 34 12 bb 20 00 8b 0f 51 5a 66 b8 ef cd ab 89 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, 0x10020) & 0xffff, 0x1234);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDX] & 0xffff, 0x1234);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x89abcdef);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DS_BASE), 0x10000);
}
END_TEST

START_TEST(real_mode_offsets_wrap_around)
{
	guest_enter_real(&g, 0x20000);
	/* cld; mov ax, 0x1000; mov ds, ax; mov es, ax; xor si, si; mov di, 0xfffe; mov cx, 3; rep stosb; vmcall */
	guest_code(&g, "fc b8 00 10 8e d8 8e c0 31 f6 bf fe ff b9 03 00 f3 aa 0f 01 c1");
	g.ram[0x1fffe] = g.ram[0x1ffff] = g.ram[0x10000] = 0x55;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x1fffe] | g.ram[0x1ffff] | g.ram[0x10000], 0);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDI] & 0xffff, 1);
}
END_TEST

START_TEST(real_mode_far_call_and_return)
{
	guest_enter_real(&g, 0x20000);
	guest_code(&g, "9a 10 00 00 10 0f 01 c1"); /* call 0x1000:0x10; vmcall */
	guest_code_at(&g, 0x10010, "b0 07 cb");    /* mov al, 7; retf */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), 5);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_SELECTOR), 0x2000);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 7);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), 0x7000);
}
END_TEST

START_TEST(real_mode_loop_counts_in_cx)
{
	guest_enter_real(&g, 0x20000);
	g.regs.gpr[GPR_RCX] = 0xabcd0000;
	guest_code(&g, "b9 05 00 31 c0 40 e2 fd 0f 01 c1"); /* mov cx, 5; xor ax, ax; 1: inc ax; loop 1b; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 5);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0xabcd0000);
}
END_TEST

/* A start-up trampoline: real mode, protected mode, long mode, as SDM vol. 3, 10.8.5 and 10.9.1. */
START_TEST(trampoline_from_real_to_64_bit_mode)
{
	allow_msrs();
	guest_enter_real(&g, 0x20000);
	guest_set(&g, VMCS_CR4_GUEST_HOST_MASK, 0);
	/* The table the trampoline loads: limit, base. */
	guest_put64(&g, 0x600, 0x4f | GUEST_GDT << 16);
	/* cli; xor ax, ax; mov ds, ax; lgdt [0x600]; mov eax, cr0; or al, 1; mov cr0, eax; jmp dword 0x38:0x100100 */
	guest_code(&g, "fa b8 00 00 8e d8 0f 01 16 00 06 0f 20 c0 0c 01 0f 22 c0 66 ea 00 01 10 00 38 00");
	/* mov ax, 0x10; mov ds, ax; mov ss, ax; mov esp, 0x90000; CR4.PAE; CR3 = 0x10000; EFER.LME; CR0.PG;
	 * jmp 0x08:0x100200 */
	guest_code_at(&g, 0x100100,
	        "66 b8 10 00 8e d8 8e d0 bc 00 00 09 00 0f 20 e0 83 c8 20 0f 22 e0 b8 00 00 01 00 0f 22 d8 "
	        "b9 80 00 00 c0 0f 32 0d 00 01 00 00 0f 30 0f 20 c0 0d 00 00 00 80 0f 22 c0 ea 00 02 10 00 08 00");
	/* mov rax, 0x1122334455667788; push rax; pop rbx; vmcall */
	guest_code_at(&g, 0x100200, "48 b8 88 77 66 55 44 33 22 11 50 5b 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), 0x10020c);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 0x1122334455667788);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_EFER) & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_ACCESS_RIGHTS) & (AR_L | AR_DB), AR_L);
}
END_TEST

/* ---- 32-bit protected mode ---- */

START_TEST(pusha_popa)
{
	guest_enter_protected_32(&g);
	/* eax..edi = 1, 2, 3, 4, -, 6, 7, 8; pushad; xor eax, eax; xor edi, edi; mov ebx, [esp + 16]; popad; vmcall */
	guest_code(&g, "b8 01 00 00 00 b9 02 00 00 00 ba 03 00 00 00 bb 04 00 00 00 bd 06 00 00 00 be 07 00 00 00 "
	               "bf 08 00 00 00 60 31 c0 31 ff 8b 5c 24 10 61 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 1);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 4);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDI], 8);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK);
	/* The fourth word pushed after EDX and EBX's is ESP as it was before. */
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 5 * 4) & 0xffffffff, GUEST_STACK);
}
END_TEST

START_TEST(decimal_adjustment)
{
	guest_enter_protected_32(&g);
	guest_code(&g, "b0 79 04 35 27 0f 01 c1"); /* mov al, 0x79; add al, 0x35; daa: SDM vol. 2, DAA's example */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x14);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & 0x11, 0x11); /* CF and AF */
}
END_TEST

START_TEST(aam_aad)
{
	guest_enter_protected_32(&g);
	guest_code(&g, "b0 3f d4 0a 66 89 c1 d5 0a 0f 01 c1"); /* mov al, 63; aam; mov cx, ax; aad; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX] & 0xffff, 0x0603);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xffff, 63);
}
END_TEST

START_TEST(sixteen_bit_addresses)
{
	guest_enter_protected_32(&g);
	g.regs.gpr[GPR_RBX] = g.regs.gpr[GPR_RSI] = 0xffff0000; /* beyond 16 bits nothing counts */
	g.ram[0x1025] = 0x5a;
	guest_code(&g,
	        "66 bb 00 10 66 be 20 00 67 8a 40 05 0f 01 c1"); /* mov bx, 0x1000; mov si, 0x20; mov al, [bx+si+5] */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x5a);
}
END_TEST

START_TEST(access_beyond_a_segment_is_gp)
{
	guest_enter_protected_32(&g);
	guest_set(&g, VMCS_GUEST_FS_LIMIT, 0x1001);
	guest_set(&g, VMCS_GUEST_FS_ACCESS_RIGHTS, 0x4093);
	guest_code(&g, "64 a1 ff 0f 00 00 0f 01 c1"); /* mov eax, fs:[0xfff]: its last byte is 0x1002 */
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

START_TEST(expand_down_segment_ends_below)
{
	guest_enter_protected_32(&g);
	guest_set(&g, VMCS_GUEST_FS_LIMIT, 0xffe);
	guest_set(&g, VMCS_GUEST_FS_ACCESS_RIGHTS, 0x4097); /* expand-down: 0xfff and up is within */
	guest_put64(&g, 0xfff, 0x77);
	guest_code(&g, "64 a1 ff 0f 00 00 64 a1 fe 0f 00 00 0f 01 c1");
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x77);
}
END_TEST

START_TEST(write_through_cs_is_gp)
{
	guest_enter_protected_32(&g);
	guest_code(&g, "2e c6 05 00 00 15 00 01 0f 01 c1"); /* mov byte cs:[0x150000], 1 */
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

START_TEST(stack_beyond_its_segment_is_ss)
{
	guest_enter_protected_32(&g);
	guest_set(&g, VMCS_GUEST_RSP, 2);
	guest_set(&g, VMCS_GUEST_SS_LIMIT, 0xfffff);
	guest_code(&g, "8b 45 00 0f 01 c1"); /* mov eax, [ebp] */
	g.regs.gpr[GPR_RBP] = 0xffffe;
	guest_control(&g, VMX_WORD_PROC, 0, true);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1u << VECTOR_SS);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION) & 0xff, VECTOR_SS);
}
END_TEST

START_TEST(mixed_push_sizes)
{
	guest_enter_protected_32(&g);
	guest_code(&g, "68 78 56 34 12 66 68 34 12 66 58 59 0f 01 c1"); /* push 0x12345678; push word 0x1234; pop ax;
	                                                                   pop ecx */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xffff, 0x1234);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0x12345678);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK);
}
END_TEST

START_TEST(bound_and_into_raise_their_exceptions)
{
	guest_enter_protected_32(&g);
	guest_put64(&g, GUEST_DATA, 5 | 10ull << 32);
	g.regs.gpr[GPR_RAX] = 10;
	guest_code(&g,
	        "62 05 00 00 15 00 b0 7f 04 01 ce 0f 01 c1"); /* bound eax, [0x150000]; mov al, 0x7f; add al, 1; into */
	guest_expect_handler(&g, VECTOR_OF);

	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RAX] = 11;
	guest_expect_handler(&g, 5);
}
END_TEST

/* In 64-bit mode the same bytes are other instructions, or none. */
START_TEST(removed_instructions_are_undefined_in_64_bit_mode)
{
	static const char *const codes[] = {
	        "60", "61", "27", "d4 0a", "ce", "9a 00 00 00 00 00 00", "0e", "62 05 00 00 15 00"};

	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1u << VECTOR_UD);
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + i * 16);
		guest_code(&g, codes[i]);
		guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION) & 0xff, VECTOR_UD);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + i * 16);
	}
}
END_TEST

START_TEST(enter_with_nesting)
{
	g.regs.gpr[GPR_RBP] = 0x1111;
	/* push rbp; mov rbp, rsp; enter 0x20, 2; mov rax, [rbp]; leave; vmcall */
	guest_code(&g, "55 48 89 e5 c8 20 00 02 48 8b 45 00 c9 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	/* The frame holds the old RBP, the RBP of the level above, and its own address. */
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], GUEST_STACK - 8);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 32), GUEST_STACK - 16);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBP], GUEST_STACK - 8);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK - 8);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("modes");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, real_mode_addresses_through_segments);
	tcase_add_test(cases, real_mode_offsets_wrap_around);
	tcase_add_test(cases, real_mode_far_call_and_return);
	tcase_add_test(cases, real_mode_loop_counts_in_cx);
	tcase_add_test(cases, trampoline_from_real_to_64_bit_mode);
	tcase_add_test(cases, pusha_popa);
	tcase_add_test(cases, decimal_adjustment);
	tcase_add_test(cases, aam_aad);
	tcase_add_test(cases, sixteen_bit_addresses);
	tcase_add_test(cases, access_beyond_a_segment_is_gp);
	tcase_add_test(cases, expand_down_segment_ends_below);
	tcase_add_test(cases, write_through_cs_is_gp);
	tcase_add_test(cases, stack_beyond_its_segment_is_ss);
	tcase_add_test(cases, mixed_push_sizes);
	tcase_add_test(cases, bound_and_into_raise_their_exceptions);
	tcase_add_test(cases, removed_instructions_are_undefined_in_64_bit_mode);
	tcase_add_test(cases, enter_with_nesting);
	return guest_main("soft: isa modes", cases);
}
