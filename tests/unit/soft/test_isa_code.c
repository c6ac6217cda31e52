/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of decoded code: self-modifying code, aliases, page crossings, and that every instruction counts once. */
#include "guest.h"

#include <string.h>

#include "l0/soft/code.h"

static struct guest g;

static void setup(void)
{
	guest_setup(&g);
}
static void teardown(void)
{
	guest_teardown(&g);
}

START_TEST(store_to_the_next_instruction)
{
	guest_code(&g, "c6 05 01 00 00 00 42 b0 11 0f 01 c1"); /* mov byte [rip + 1], 0x42; mov al, 0x11; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x42);
}
END_TEST

START_TEST(loop_that_patches_its_callee)
{
	/* mov ecx, 3; 1: call 2f; add ebx, eax; inc byte [2f + 1]; dec ecx; jnz 1b; vmcall; 2: mov eax, 1; ret */
	guest_code(&g, "b9 03 00 00 00 e8 0f 00 00 00 01 c3 fe 05 08 00 00 00 ff c9 75 ef 0f 01 c1 b8 01 00 00 00 c3");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 1 + 2 + 3);
}
END_TEST

START_TEST(store_through_another_linear_address)
{
	/* 0x151000 is the code page's second name. */
	*guest_pte(&g, 0x151000) = GUEST_CODE | 3;
	guest_code(&g,
	        "c6 04 25 0a 10 15 00 42 90 b0 11 0f 01 c1"); /* mov byte [0x15100a], 0x42; nop; mov al, 0x11; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x42);
}
END_TEST

START_TEST(string_store_over_the_code_that_follows)
{
	/* mov edi, 0x10000c; mov al, 0x42; mov cl, 1; rep stosb; mov bl, 0x11 (at 0x10000b); vmcall */
	g.regs.gpr[GPR_RCX] = 0;
	guest_code(&g, "bf 0c 00 10 00 b0 42 b1 01 f3 aa b3 11 0f 01 c1");
	g.ram[GUEST_CODE + 1] = 0x0c;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX] & 0xff, 0x42);
}
END_TEST

START_TEST(code_that_another_level_changed)
{
	guest_code(&g, "b0 11 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	g.ram[GUEST_CODE + 1] = 0x42;
	soft_code_invalidate(g.cpu, GUEST_CODE + 1, 1);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0x42);
}
END_TEST

START_TEST(remapped_code_page_after_invlpg)
{
	guest_code_at(&g, 0x151000, "b0 11 c3"); /* mov al, 0x11; ret */
	guest_code_at(&g, 0x152000, "b0 42 c3");
	g.regs.gpr[GPR_RDX] = 0x152000 | 3;
	/* call 0x151000; mov ah, al; mov [PTE of 0x151000], rdx; invlpg [0x151000]; call 0x151000; vmcall */
	guest_code(&g, "b9 00 10 15 00 ff d1 88 c4 48 89 14 25 88 3a 01 00 0f 01 39 ff d1 0f 01 c1");
	ck_assert_ptr_eq(guest_pte(&g, 0x151000), (uint64_t *)(g.ram + 0x13a88));
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xffff, 0x1142);
}
END_TEST

START_TEST(instruction_across_two_pages)
{
	/* mov eax, imm32 at 0x150ffe, its last two bytes in the next page, which is another one the second time. */
	guest_code_at(&g, 0x150ffe, "b8 11 22 33 44 c3");
	guest_code_at(&g, 0x153000, "55 66 77 c3");
	g.regs.gpr[GPR_RDX] = 0x153000 | 3;
	g.regs.gpr[GPR_RCX] = 0x150ffe;
	/* call rcx; mov ebx, eax; mov [PTE of 0x151000], rdx; invlpg [rcx + 2]; call rcx; vmcall */
	guest_code(&g, "ff d1 89 c3 48 89 14 25 88 3a 01 00 0f 01 79 02 ff d1 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 0x44332211);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x77665511);
}
END_TEST

START_TEST(fetch_fault_in_the_second_page)
{
	*guest_pte(&g, 0x151000) = 0;
	guest_code_at(&g, 0x150ffe, "b8 11");
	guest_set(&g, VMCS_GUEST_RIP, 0x150ffe);
	guest_expect_handler(&g, VECTOR_PF);
	ck_assert_uint_eq(g.regs.cr2, 0x151000);
	ck_assert_uint_eq(guest_u64(&g, guest_get(&g, VMCS_GUEST_RSP) + 8), 0x150ffe);
}
END_TEST

/* RDTSC shows retired instructions: MOV and 60 NOPs lie between the two, and the first RDTSC itself. */
START_TEST(every_instruction_counts_once)
{
	memset(g.ram + GUEST_CODE, 0x90, 80);
	guest_code_at(&g, GUEST_CODE, "0f 31 89 c1");
	guest_code_at(&g, GUEST_CODE + 64, "0f 31 29 c8 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 62);
	ck_assert_uint_eq(g.cpu->retired, 2 + 60 + 2);
}
END_TEST

START_TEST(code_and_data_in_one_line_still_work)
{
	/* mov ecx, 1000; 1: inc dword [rip + 4]; dec ecx ... the counter lies right behind the code. */
	guest_code(&g, "b9 e8 03 00 00 ff 05 07 00 00 00 ff c9 75 f6 0f 01 c1 00 00 00 00");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, GUEST_CODE + 18) & 0xffffffff, 1000);
	ck_assert_uint_eq(g.cpu->retired, 1 + 3 * 1000);
}
END_TEST

START_TEST(illegal_encodings)
{
	static const struct {
		const char *code;
		unsigned vector;
	} codes[] = {
	        {"f0 01 c0", VECTOR_UD},                                        /* lock add eax, eax */
	        {"f0 8b 03", VECTOR_UD},                                        /* lock mov */
	        {"0f 0b", VECTOR_UD},                                           /* ud2 */
	        {"c5 f8 77", VECTOR_UD},                                        /* vzeroupper: AVX is not in CPUID */
	        {"0f 6f c1", VECTOR_UD},                                        /* movq mm0, mm1: nor is MMX */
	        {"66 0f 38 00 c1", VECTOR_UD},                                  /* pshufb: nor is SSSE3 */
	        {"8e c8", VECTOR_UD},                                           /* mov cs, eax */
	        {"0f 20 c8", VECTOR_UD},                                        /* mov rax, cr1 */
	        {"66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", VECTOR_GP}, /* 16 bytes */
	};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + i * 32);
		guest_code(&g, codes[i].code);
		guest_expect_handler(&g, codes[i].vector);
	}
}
END_TEST

/* What the CPU claims and does not have ends the run with a message that says what and where. */
START_TEST(unsupported_instruction_names_itself)
{
	guest_code(&g, "90 d9 e8"); /* nop; fld1 */
	ck_assert_int_lt(machine_soft.enter(g.machine, &g.vmcs, &g.regs), 0);
	ck_assert_ptr_nonnull(strstr(g.machine->error, "d9 e8"));
	ck_assert_ptr_nonnull(strstr(g.machine->error, "fld1"));
	ck_assert_ptr_nonnull(strstr(g.machine->error, "0x100001"));
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("code");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, store_to_the_next_instruction);
	tcase_add_test(cases, loop_that_patches_its_callee);
	tcase_add_test(cases, store_through_another_linear_address);
	tcase_add_test(cases, string_store_over_the_code_that_follows);
	tcase_add_test(cases, code_that_another_level_changed);
	tcase_add_test(cases, remapped_code_page_after_invlpg);
	tcase_add_test(cases, instruction_across_two_pages);
	tcase_add_test(cases, fetch_fault_in_the_second_page);
	tcase_add_test(cases, every_instruction_counts_once);
	tcase_add_test(cases, code_and_data_in_one_line_still_work);
	tcase_add_test(cases, illegal_encodings);
	tcase_add_test(cases, unsupported_instruction_names_itself);
	return guest_main("soft: isa code", cases);
}
