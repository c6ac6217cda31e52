/* SPDX-License-Identifier: Apache-2.0 */
/* Segment registers, descriptor tables, and transfers between privilege levels and modes. */
#include "guest.h"

#include <string.h>

static struct guest g;

static void setup(void)
{
	guest_setup(&g);
	/* INT 80H is for ring 3 too. */
	guest_put64(&g, GUEST_IDT + 0x80 * 16, guest_u64(&g, GUEST_IDT + 0x80 * 16) | 3ull << 45);
}
static void teardown(void)
{
	guest_teardown(&g);
}

/** The frame a handler finds: RIP, CS, RFLAGS, RSP, SS; with an error code below it. */
static uint64_t frame(unsigned word)
{
	return guest_u64(&g, guest_get(&g, VMCS_GUEST_RSP) + word * 8);
}

START_TEST(loads_of_data_segments)
{
	/* mov eax, 0x1b; mov ds, eax; mov ax, ds; xor ecx, ecx; mov es, ecx; mov edx, es; vmcall */
	guest_code(&g, "b8 1b 00 00 00 8e d8 66 8c d8 31 c9 8e c1 8c c2 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x1b);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDX], 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DS_ACCESS_RIGHTS), 0xc0f3);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DS_LIMIT), 0xffffffff);
	ck_assert(guest_get(&g, VMCS_GUEST_ES_ACCESS_RIGHTS) & AR_UNUSABLE);
}
END_TEST

START_TEST(load_sets_the_accessed_bit)
{
	guest_put64(&g, GUEST_GDT + 0x18, 0x00cff2000000ffffull);
	guest_code(&g, "b8 1b 00 00 00 8e d8 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, GUEST_GDT + 0x18), 0x00cff3000000ffffull);
}
END_TEST

/* The selector in the error code; SDM vol. 2, MOV: beyond the table, a system descriptor, not present, SS at the wrong
 * level. */
START_TEST(bad_selectors)
{
	static const struct {
		const char *code;
		unsigned vector;
		uint64_t error;
	} loads[] = {
	        {"b8 53 00 00 00 8e d8", VECTOR_GP, 0x50}, /* mov eax, 0x53; mov ds, eax: beyond the limit */
	        {"b8 28 00 00 00 8e d8", VECTOR_GP, 0x28}, /* a TSS */
	        {"b8 48 00 00 00 8e c0", VECTOR_NP, 0x48}, /* not present */
	        {"b8 1b 00 00 00 8e d0", VECTOR_GP, 0x18}, /* mov ss, eax with RPL 3 */
	        {"b8 08 00 00 00 8e d0", VECTOR_GP, 0x08}, /* code into SS */
	        {"b8 0c 00 00 00 8e d8", VECTOR_GP, 0x0c}, /* there is no LDT */
	};

	guest_put64(&g, GUEST_GDT + 0x48, 0x00cf13000000ffffull);
	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + i * 32);
		guest_code(&g, loads[i].code);
		guest_expect_handler(&g, loads[i].vector);
		ck_assert_uint_eq(frame(0), loads[i].error);
	}
}
END_TEST

START_TEST(attributes_of_selectors)
{
	/* mov ecx, 8; lar eax, ecx; lsl ebx, ecx; verr cx; setz dl; verw cx; setz dh; vmcall */
	guest_code(&g, "b9 08 00 00 00 0f 02 c1 0f 03 d9 0f 00 e1 0f 94 c2 0f 00 e9 0f 94 c6 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x00af9b00 & 0x00f0ff00);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 0xffffffff);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDX] & 0xffff, 0x0001); /* readable, not writable */
}
END_TEST

START_TEST(task_and_local_table_registers)
{
	guest_set(&g, VMCS_GUEST_GDTR_LIMIT, 0x7f);
	/* mov eax, 0x28; ltr ax; str bx; mov eax, 0; lldt ax; sldt cx; vmcall */
	guest_code(&g, "b8 28 00 00 00 0f 00 d8 66 0f 00 cb b8 00 00 00 00 0f 00 d0 66 0f 00 c1 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX] & 0xffff, 0x28);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX] & 0xffff, 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_TR_BASE), GUEST_TSS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_TR_ACCESS_RIGHTS), 0x8b);
	ck_assert_uint_eq(guest_u64(&g, GUEST_GDT + 0x28) >> 40 & 0xff, 0x8b); /* busy */
	ck_assert(guest_get(&g, VMCS_GUEST_LDTR_ACCESS_RIGHTS) & AR_UNUSABLE);

	/* A busy TSS cannot be loaded. */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(frame(0), 0x28);
}
END_TEST

START_TEST(table_registers)
{
	/* sgdt [0x150000]; sidt [0x150010]; smsw eax; vmcall */
	guest_code(&g, "0f 01 04 25 00 00 15 00 0f 01 0c 25 10 00 15 00 0f 01 e0 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, 0x150000), 0x4f | GUEST_GDT << 16);
	ck_assert_uint_eq(guest_u64(&g, 0x150010), 0xfff | GUEST_IDT << 16);
	ck_assert_uint_eq((uint32_t)g.regs.gpr[GPR_RAX], (uint32_t)guest_get(&g, VMCS_GUEST_CR0));
}
END_TEST

/* ---- far transfers ---- */

START_TEST(far_call_and_return_within_the_kernel)
{
	guest_put64(&g, 0x150000, 0x100100 | (uint64_t)GUEST_CS << 32);
	guest_code(&g, "48 8d 1c 25 00 00 15 00 ff 1b 0f 01 c1"); /* lea rbx, [0x150000]; call far [rbx]; vmcall */
	guest_code_at(&g, 0x100100, "8b 04 24 cb");               /* mov eax, [rsp]; retf */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 10);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], GUEST_CODE + 10);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK);
}
END_TEST

START_TEST(far_return_to_compatibility_mode)
{
	guest_code(&g, "6a 38 68 00 01 10 00 48 cb");                 /* push 0x38; push 0x100100; retfq */
	guest_code_at(&g, 0x100100, "b8 ff ff ff ff 40 48 0f 01 c1"); /* mov eax, -1; inc eax; dec eax; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0xffffffff);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_SELECTOR), GUEST_CS32);
}
END_TEST

START_TEST(iretq_to_user_mode)
{
	/* push ss, rsp, rflags, cs, rip of ring 3; iretq */
	guest_code(&g, "6a 1b 68 00 00 19 00 68 02 02 00 00 6a 23 68 00 00 18 00 48 cf");
	guest_code_at(&g, GUEST_USER_CODE, "8c c8 0f 01 c1"); /* mov eax, cs; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], GUEST_USER_CS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_USER_STACK);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_SELECTOR), GUEST_USER_SS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS), 0x202);
	/* Segments of ring 0 are lost on the way out (SDM vol. 3, 5.8.6): DS was 10H, DPL 0. */
	ck_assert(guest_get(&g, VMCS_GUEST_DS_ACCESS_RIGHTS) & AR_UNUSABLE);
}
END_TEST

START_TEST(iretq_to_32_bit_user_mode_and_back_by_int)
{
	guest_code(&g, "6a 1b 68 00 00 19 00 68 02 02 00 00 6a 43 68 00 00 18 00 48 cf");
	guest_code_at(&g, GUEST_USER_CODE,
	        "b8 78 56 34 12 50 59 cd 80"); /* mov eax, 0x12345678; push eax; pop ecx; int 0x80 */
	guest_expect_handler(&g, 0x80);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0x12345678);
	ck_assert_uint_eq(frame(0), GUEST_USER_CODE + 9);
	ck_assert_uint_eq(frame(1), GUEST_USER_CS32);
	ck_assert_uint_eq(frame(3), GUEST_USER_STACK);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_SELECTOR), GUEST_CS);
}
END_TEST

START_TEST(iret_with_nested_task_is_gp_in_long_mode)
{
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x4002);
	guest_code(&g, "48 cf");
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

START_TEST(far_return_to_user_mode)
{
	guest_code(&g, "6a 1b 68 00 00 19 00 6a 23 68 00 00 18 00 48 cb");
	guest_code_at(&g, GUEST_USER_CODE, "8c c8 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], GUEST_USER_CS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_USER_STACK);
}
END_TEST

START_TEST(call_gate_to_the_kernel)
{
	/* A 64-bit call gate of DPL 3 at 48H. */
	guest_set(&g, VMCS_GUEST_GDTR_LIMIT, 0x5f);
	guest_put64(&g, GUEST_GDT + 0x48, 0x0200 | (uint64_t)GUEST_CS << 16 | 0xecull << 40 | 0x0010ull << 48);
	guest_put64(&g, GUEST_GDT + 0x50, 0);
	guest_enter_user(&g);
	guest_put64(&g, GUEST_USER_DATA, 0x12345678 | 0x4bull << 32); /* the offset does not matter */
	guest_code(&g, "ff 1c 25 00 10 18 00");                       /* call far [0x181000] */
	guest_code_at(&g, 0x100200, "0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), 0x100200);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_RING0_STACK - 32);
	ck_assert_uint_eq(frame(0), GUEST_USER_CODE + 7);
	ck_assert_uint_eq(frame(1), GUEST_USER_CS);
	ck_assert_uint_eq(frame(2), GUEST_USER_STACK);
	ck_assert_uint_eq(frame(3), GUEST_USER_SS);
	ck_assert(guest_get(&g, VMCS_GUEST_SS_ACCESS_RIGHTS) & AR_UNUSABLE);
}
END_TEST

START_TEST(task_switches_exit)
{
	guest_enter_protected_32(&g);
	guest_put64(&g, GUEST_GDT + 0x28, 0x0000890040000067ull);
	guest_code(&g, "ea 00 00 00 00 28 00"); /* jmp 0x28:0: SDM vol. 3, table 28-2: selector, source 2 */
	guest_expect(&g, EXIT_REASON_TASK_SWITCH);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x28 | 2u << 30);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), 7);
}
END_TEST

/* ---- fast system calls ---- */

START_TEST(syscall_and_sysret)
{
	g.cpu->star = 0x08ull << 32 | 0x10ull << 48;
	g.cpu->lstar = 0x100100;
	g.cpu->sfmask = 0x200;
	guest_enter_user(&g);
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	guest_code(&g, "0f 05 8c c8 0f 01 c1");                 /* syscall; mov eax, cs; vmcall */
	guest_code_at(&g, 0x100100, "9c 5b 48 89 ca 48 0f 07"); /* pushfq; pop rbx; mov rdx, rcx; sysretq */
	guest_set(&g, VMCS_GUEST_RSP, GUEST_USER_STACK);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], GUEST_USER_CS);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDX], GUEST_USER_CODE + 2);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX] & 0x200, 0); /* IF was masked */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & 0x200, 0x200);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_SELECTOR), GUEST_USER_SS);
}
END_TEST

START_TEST(syscall_needs_sce_and_64_bit_mode)
{
	guest_set(&g, VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME);
	guest_code(&g, "0f 05");
	guest_expect_handler(&g, VECTOR_UD);
}
END_TEST

START_TEST(sysenter_and_sysexit)
{
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_CS, GUEST_CS);
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_ESP, GUEST_RING0_STACK);
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_EIP, 0x100100);
	guest_enter_user(&g);
	guest_code(&g, "0f 34");
	/* mov ecx, 0x18fff0; mov edx, 0x180010; sysexit (64-bit) */
	guest_code_at(&g, 0x100100, "b9 f0 ff 18 00 ba 10 00 18 00 48 0f 35");
	guest_code_at(&g, GUEST_USER_CODE + 0x10, "8c c8 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], (GUEST_CS + 32) | 3);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), 0x18fff0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_USER_CODE + 0x12);
}
END_TEST

START_TEST(fs_and_gs_bases)
{
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_FSGSBASE);
	guest_set(&g, VMCS_GUEST_GS_BASE, 0x1111);
	g.cpu->kernel_gs_base = 0x2222;
	g.regs.gpr[GPR_RBX] = 0x3333;
	/* swapgs; rdgsbase rax; wrfsbase rbx; rdfsbase rcx; vmcall */
	guest_code(&g, "0f 01 f8 f3 48 0f ae c8 f3 48 0f ae d3 f3 48 0f ae c1 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x2222);
	ck_assert_uint_eq(g.cpu->kernel_gs_base, 0x1111);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0x3333);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_FS_BASE), 0x3333);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("segments");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, loads_of_data_segments);
	tcase_add_test(cases, load_sets_the_accessed_bit);
	tcase_add_test(cases, bad_selectors);
	tcase_add_test(cases, attributes_of_selectors);
	tcase_add_test(cases, task_and_local_table_registers);
	tcase_add_test(cases, table_registers);
	tcase_add_test(cases, far_call_and_return_within_the_kernel);
	tcase_add_test(cases, far_return_to_compatibility_mode);
	tcase_add_test(cases, iretq_to_user_mode);
	tcase_add_test(cases, iretq_to_32_bit_user_mode_and_back_by_int);
	tcase_add_test(cases, iret_with_nested_task_is_gp_in_long_mode);
	tcase_add_test(cases, far_return_to_user_mode);
	tcase_add_test(cases, call_gate_to_the_kernel);
	tcase_add_test(cases, task_switches_exit);
	tcase_add_test(cases, syscall_and_sysret);
	tcase_add_test(cases, syscall_needs_sce_and_64_bit_mode);
	tcase_add_test(cases, sysenter_and_sysexit);
	tcase_add_test(cases, fs_and_gs_bases);
	return guest_main("soft: isa segments", cases);
}
