/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, control and debug registers, ports, random numbers, time, floating-point state: what no control intercepts. */
#include "guest.h"

#include <string.h>

#include "l0/soft/cpuid.h"
#include "l0/soft/float.h"

static struct guest g;

static void setup(void)
{
	guest_setup(&g);
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
}
static void teardown(void)
{
	guest_teardown(&g);
}

/* ---- flags ---- */

/* push 0x3ed7; popfq; pushfq; pop rax; vmcall */
#define POPF_PUSHF "68 d7 3e 00 00 9d 9c 58 0f 01 c1"

START_TEST(popf_at_cpl_0_changes_iopl_and_if)
{
	guest_code(&g, POPF_PUSHF);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x3ed7);
}
END_TEST

START_TEST(popf_at_cpl_3_does_not)
{
	guest_enter_user(&g);
	guest_code(&g, POPF_PUSHF);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x0cd7);
}
END_TEST

START_TEST(cli_and_sti_obey_iopl)
{
	guest_enter_user(&g);
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x3002); /* IOPL 3 */
	guest_code(&g, "fb 90 9c 58 0f 01 c1");   /* sti; nop; pushfq; pop rax; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x3202);

	guest_set(&g, VMCS_GUEST_RIP, GUEST_USER_CODE);
	guest_set(&g, VMCS_GUEST_RFLAGS, 2);
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

/* ---- control and debug registers ---- */

START_TEST(privileged_instructions_are_gp_in_ring_3)
{
	static const char *const codes[] = {"f4", "0f 20 c0", "0f 22 d8", "0f 23 c0", "0f 01 3b", "0f 01 10",
	        "0f 00 d8", "0f 32", "0f 30", "0f 06", "0f 01 f0", "0f 09", "0f 08", "48 0f 07", "0f 01 f8", "fa"};

	guest_enter_user(&g);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1u << VECTOR_GP);
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		guest_set(&g, VMCS_GUEST_RIP, GUEST_USER_CODE + i * 16);
		guest_code(&g, codes[i]);
		ck_assert_msg(guest_run(&g) == EXIT_REASON_EXCEPTION_OR_NMI, "%s: exit %u", codes[i],
		        (unsigned)guest_get(&g, VMCS_EXIT_REASON));
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION) & 0xff, VECTOR_GP);
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 0);
	}
}
END_TEST

START_TEST(cr8_holds_four_bits)
{
	/* mov eax, 9; mov cr8, rax; mov rbx, cr8; mov eax, 0x10; mov cr8, rax */
	guest_code(&g, "b8 09 00 00 00 44 0f 22 c0 44 0f 20 c3 b8 10 00 00 00 44 0f 22 c0");
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 9);
}
END_TEST

START_TEST(debug_registers_keep_their_fixed_bits)
{
	/* mov eax, 0xffffdfff (no GD); mov dr7, rax; mov rbx, dr7; mov dr6, rax; mov rcx, dr6; xor eax, eax;
	 * mov dr7, rax; vmcall: SDM vol. 3, figure 18-1 */
	guest_code(&g, "b8 ff df ff ff 0f 23 f8 0f 21 fb 0f 23 f0 0f 21 f1 31 c0 0f 23 f8 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 0xffff0fff);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0xffffcfff);
}
END_TEST

START_TEST(dr4_is_dr6_unless_de)
{
	guest_code(&g, "0f 21 e0 0f 01 c1"); /* mov rax, dr4; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], DR6_FIXED);
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_DE);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect_handler(&g, VECTOR_UD);
}
END_TEST

START_TEST(clts_and_lmsw)
{
	guest_set(&g, VMCS_GUEST_CR0, guest_get(&g, VMCS_GUEST_CR0) | CR0_TS);
	/* clts; mov rax, cr0; mov ebx, 8; lmsw bx; mov rcx, cr0; vmcall */
	guest_code(&g, "0f 06 0f 20 c0 bb 08 00 00 00 0f 01 f3 0f 20 c1 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & CR0_TS, 0);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX] & (CR0_TS | CR0_PE), CR0_TS | CR0_PE); /* LMSW does not clear PE */
}
END_TEST

START_TEST(umip_keeps_tables_from_ring_3)
{
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_UMIP);
	guest_enter_user(&g);
	guest_code(&g, "0f 01 04 25 00 10 18 00"); /* sgdt [0x181000] */
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

/* ---- ports, time, random numbers ---- */

START_TEST(ports_obey_the_tss_map)
{
	guest_enter_user(&g);
	/* The map begins at 68H; port 60H is allowed, 61H is not. */
	guest_set(&g, VMCS_GUEST_TR_LIMIT, 0x88);
	memset(g.ram + GUEST_TSS + 0x68, 0xff, 0x21);
	g.ram[GUEST_TSS + 102] = 0x68;
	g.ram[GUEST_TSS + 103] = 0;
	g.ram[GUEST_TSS + 0x68 + 0xc] = 0xfe;
	guest_code(&g, "e4 60 e4 61");
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX] & 0xff, 0xff); /* nothing is there */
	ck_assert_uint_eq(guest_u64(&g, guest_get(&g, VMCS_GUEST_RSP) + 8), GUEST_USER_CODE + 2);
}
END_TEST

START_TEST(wide_port_needs_every_bit_of_the_map)
{
	guest_enter_user(&g);
	guest_set(&g, VMCS_GUEST_TR_LIMIT, 0x88);
	memset(g.ram + GUEST_TSS + 0x68, 0, 0x21);
	g.ram[GUEST_TSS + 102] = 0x68;
	g.ram[GUEST_TSS + 103] = 0;
	g.ram[GUEST_TSS + 0x68 + 0xc] = 0x08; /* port 63H */
	guest_code(&g, "e5 5f e5 60");        /* in eax, 0x5f: 5FH to 62H; in eax, 0x60: 60H to 63H */
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(guest_u64(&g, guest_get(&g, VMCS_GUEST_RSP) + 8), GUEST_USER_CODE + 2);
}
END_TEST

START_TEST(tsd_keeps_the_tsc_from_ring_3)
{
	guest_enter_user(&g);
	guest_code(&g, "0f 31 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) | CR4_TSD);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_USER_CODE);
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

START_TEST(random_numbers_are_the_same_in_each_run)
{
	uint64_t first, second;

	guest_code(&g, "48 0f c7 f0 48 0f c7 f3 0f 92 c1 0f 01 c1"); /* rdrand rax; rdrand rbx; setc cl; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	first = g.regs.gpr[GPR_RAX];
	second = g.regs.gpr[GPR_RBX];
	ck_assert_uint_ne(first, second);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX] & 0xff, 1);
	teardown();
	setup();
	guest_code(&g, "48 0f c7 f0 48 0f c7 f3 0f 92 c1 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], first);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], second);
}
END_TEST

/* ---- floating-point state ---- */

START_TEST(sse_needs_cr0_and_cr4)
{
	static const struct {
		uint64_t set_cr0, clear_cr4;
		unsigned vector;
	} settings[] = {{CR0_TS, 0, 7}, {CR0_EM, 0, VECTOR_UD}, {0, CR4_OSFXSR, VECTOR_UD}};
	const uint64_t cr0 = guest_get(&g, VMCS_GUEST_CR0), cr4 = guest_get(&g, VMCS_GUEST_CR4);

	guest_code(&g, "0f 58 c1"); /* addps xmm0, xmm1 */
	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
		guest_set(&g, VMCS_GUEST_CR0, cr0 | settings[i].set_cr0);
		guest_set(&g, VMCS_GUEST_CR4, cr4 & ~settings[i].clear_cr4);
		guest_expect_handler(&g, settings[i].vector);
	}
}
END_TEST

START_TEST(fxsave_and_fxrstor)
{
	guest_put64(&g, 0x150200, 0x3f80);
	g.regs.gpr[GPR_RAX] = 0x1122334455667788;
	/* movq xmm3, rax; ldmxcsr [0x150200]; fxsave [0x150000]; pxor xmm3, xmm3; stmxcsr [0x150204]; fxrstor
	 * [0x150000]; movq rbx, xmm3; vmcall */
	guest_code(&g,
	        "66 48 0f 6e d8 0f ae 14 25 00 02 15 00 0f ae 04 25 00 00 15 00 66 0f ef db 0f ae 1c 25 04 02 15 00 "
	        "0f ae 0c 25 00 00 15 00 66 48 0f 7e db 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RBX], 0x1122334455667788);
	ck_assert_uint_eq(guest_u64(&g, 0x150204) & 0xffffffff, 0x3f80);
	/* SDM vol. 1, table 10-2: FCW, MXCSR and its mask, XMM3. */
	ck_assert_uint_eq(guest_u64(&g, 0x150000) & 0xffff, 0x37f);
	ck_assert_uint_eq(guest_u64(&g, 0x150018), 0x3f80 | (uint64_t)MXCSR_ALLOWED << 32);
	ck_assert_uint_eq(guest_u64(&g, 0x150000 + 160 + 3 * 16), 0x1122334455667788);
}
END_TEST

START_TEST(xsave_and_xrstor)
{
	g.cpu->xcr0 = 3;
	g.regs.gpr[GPR_RBX] = 0x1122334455667788;
	/* mov eax, 3; xor edx, edx; movq xmm3, rbx; xsave [0x150000]; pxor xmm3, xmm3; xrstor [0x150000]; movq rcx,
	 * xmm3 */
	guest_code(&g,
	        "b8 03 00 00 00 31 d2 66 48 0f 6e db 0f ae 24 25 00 00 15 00 66 0f ef db 0f ae 2c 25 00 00 15 00 "
	        "66 48 0f 7e d9 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0x1122334455667788);
	ck_assert_uint_eq(guest_u64(&g, 0x150200), 3); /* XSTATE_BV */

	/* A component that is not marked present is initialized. */
	guest_put64(&g, 0x150200, 1);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 24);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0);
}
END_TEST

START_TEST(reserved_bits_of_mxcsr_are_gp)
{
	guest_put64(&g, GUEST_DATA, 0x10000);
	guest_code(&g, "0f ae 14 25 00 00 15 00"); /* ldmxcsr [0x150000] */
	guest_expect_handler(&g, VECTOR_GP);
}
END_TEST

START_TEST(unmasked_exception_is_xm_or_ud)
{
	g.cpu->mxcsr = MXCSR_DEFAULT & ~(MXCSR_DIVIDE << MXCSR_MASK_SHIFT);
	g.cpu->xmm[0].f64[0] = 1.0;
	g.cpu->xmm[1].f64[0] = 0.0;
	guest_code(&g, "f2 0f 5e c1"); /* divsd xmm0, xmm1 */
	guest_expect_handler(&g, 19);
	ck_assert_uint_eq(g.cpu->mxcsr & MXCSR_FLAGS, MXCSR_DIVIDE);
	ck_assert_double_eq(g.cpu->xmm[0].f64[0], 1.0); /* nothing was written */

	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_set(&g, VMCS_GUEST_CR4, guest_get(&g, VMCS_GUEST_CR4) & ~CR4_OSXMMEXCPT);
	guest_expect_handler(&g, VECTOR_UD);
}
END_TEST

START_TEST(aligned_moves_fault_on_unaligned_memory)
{
	guest_code(&g, "0f 10 04 25 08 00 15 00 0f 28 04 25 08 00 15 00"); /* movups xmm0, [0x150008]; movaps ... */
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(guest_u64(&g, guest_get(&g, VMCS_GUEST_RSP) + 8), GUEST_CODE + 8);
}
END_TEST

/* ---- CPUID ---- */

static void vendor(char text[13])
{
	struct soft_cpuid out;

	soft_cpuid(0, 0, &out);
	memcpy(text, &out.ebx, 4);
	memcpy(text + 4, &out.edx, 4);
	memcpy(text + 8, &out.ecx, 4);
	text[12] = 0;
}

START_TEST(cpuid_shows_what_is_there)
{
	struct soft_cpuid out;
	char text[13];

	vendor(text);
	ck_assert_str_eq(text, "GenuineIntel");
	soft_cpuid(1, 0, &out);
	ck_assert_uint_ne(out.ecx & CPUID_1_ECX_VMX, 0);
	ck_assert_uint_eq(out.ecx & CPUID_1_ECX_OSXSAVE, 0);
	ck_assert_uint_eq(out.edx & (1u << 25 | 1u << 26), 1u << 25 | 1u << 26);   /* SSE, SSE2 */
	ck_assert_uint_eq(out.ecx & (1u << 28 | 1u << 0 | 1u << 9 | 1u << 19), 0); /* AVX, SSE3, SSSE3, SSE4.1 */
	soft_cpuid(0x80000001, 0, &out);
	ck_assert_uint_ne(out.edx & 1u << 29, 0); /* long mode */
	soft_cpuid(0x80000008, 0, &out);
	ck_assert_uint_eq(out.eax & 0xff, VMX_PHYSICAL_ADDRESS_BITS);
	soft_cpuid(0x12345678, 0, &out);
	ck_assert_uint_eq(out.eax | out.ebx | out.ecx | out.edx, 0);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("system");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, popf_at_cpl_0_changes_iopl_and_if);
	tcase_add_test(cases, popf_at_cpl_3_does_not);
	tcase_add_test(cases, cli_and_sti_obey_iopl);
	tcase_add_test(cases, privileged_instructions_are_gp_in_ring_3);
	tcase_add_test(cases, cr8_holds_four_bits);
	tcase_add_test(cases, debug_registers_keep_their_fixed_bits);
	tcase_add_test(cases, dr4_is_dr6_unless_de);
	tcase_add_test(cases, clts_and_lmsw);
	tcase_add_test(cases, umip_keeps_tables_from_ring_3);
	tcase_add_test(cases, ports_obey_the_tss_map);
	tcase_add_test(cases, wide_port_needs_every_bit_of_the_map);
	tcase_add_test(cases, tsd_keeps_the_tsc_from_ring_3);
	tcase_add_test(cases, random_numbers_are_the_same_in_each_run);
	tcase_add_test(cases, sse_needs_cr0_and_cr4);
	tcase_add_test(cases, fxsave_and_fxrstor);
	tcase_add_test(cases, xsave_and_xrstor);
	tcase_add_test(cases, reserved_bits_of_mxcsr_are_gp);
	tcase_add_test(cases, unmasked_exception_is_xm_or_ud);
	tcase_add_test(cases, aligned_moves_fault_on_unaligned_memory);
	tcase_add_test(cases, cpuid_shows_what_is_there);
	return guest_main("soft: isa system", cases);
}
