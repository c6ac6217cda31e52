/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O and MSR bitmaps, CR masks and shadows, CR3 targets, TSC offset and scaling, TPR shadow (SDM vol. 3, 25.6 and
 * 26.1.3): what exits and what the instruction sees when it does not.
 */
#include "guest.h"

#include "l0/soft/msr.h"

static void prepare(struct guest *g, const char *code)
{
	guest_setup(g);
	guest_code_at(g, GUEST_CODE + guest_code(g, code), "0f 01 c1");
}

/* ---- I/O: table 28-5 ---- */

static const struct {
	const char *code;
	uint64_t qualification;
	unsigned length;
} io[] = {
        {"e4 60", 0x600048, 2},     /* in al, 0x60 */
        {"e6 60", 0x600040, 2},     /* out 0x60, al */
        {"66 e5 60", 0x600049, 3},  /* in ax, 0x60 */
        {"ed", 0x3f8000b, 1},       /* in eax, dx */
        {"ee", 0x3f80000, 1},       /* out dx, al */
        {"6c", 0x3f80018, 1},       /* insb */
        {"f3 6f", 0x3f80033, 2},    /* rep outsd */
        {"f3 66 6d", 0x3f80039, 3}, /* rep insw */
};

START_TEST(test_io_qualification)
{
	struct guest g;

	prepare(&g, io[_i].code);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING), true);
	g.regs.gpr[GPR_RDX] = 0x3f8;
	g.regs.gpr[GPR_RCX] = 3;
	g.regs.gpr[GPR_RSI] = GUEST_DATA;
	g.regs.gpr[GPR_RDI] = GUEST_DATA + 0x100;
	guest_expect(&g, EXIT_REASON_IO_INSTRUCTION);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), io[_i].qualification);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), io[_i].length);
	if (io[_i].qualification & 0x10) {
		const bool in = io[_i].qualification & 8;

		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_LINEAR_ADDRESS), in ? GUEST_DATA + 0x100 : GUEST_DATA);
		ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_INFORMATION) & 0x380, 2 << 7);
		if (!in)
			ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_INFORMATION) >> 15 & 7, SOFT_DS);
	}
	guest_teardown(&g);
}
END_TEST

/* With bitmaps the other control is ignored; any byte of the access counts; a wrap of the port space always exits. */
static const struct {
	const char *code;
	unsigned port, bit; /**< bit set in the bitmaps */
	bool exits;
} io_bits[] = {
        {"ec", 0x60, 0x60, true},
        {"ec", 0x60, 0x61, false},
        {"ed", 0x60, 0x63, true},
        {"ed", 0x60, 0x64, false},
        {"66 ed", 0x60, 0x61, true},
        {"ec", 0x8000, 0x8000, true},
        {"ec", 0x8000, 0, false},
        {"ed", 0x7ffe, 0x8001, true},
        {"ec", 0xffff, 0xffff, true},
        {"ed", 0xfffe, 0x10, true},
};

START_TEST(test_io_bitmaps)
{
	struct guest g;
	void *page[2];
	uint8_t *bitmap;

	prepare(&g, io_bits[_i].code);
	guest_set(&g, VMCS_IO_BITMAP_A, guest_l0_page(&g, &page[0]));
	guest_set(&g, VMCS_IO_BITMAP_B, guest_l0_page(&g, &page[1]));
	bitmap = page[io_bits[_i].bit >= 0x8000];
	bitmap[(io_bits[_i].bit & 0x7fff) / 8] |= (uint8_t)(1 << (io_bits[_i].bit % 8));
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING), true);
	g.regs.gpr[GPR_RDX] = io_bits[_i].port;
	guest_expect(&g, io_bits[_i].exits ? EXIT_REASON_IO_INSTRUCTION : EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_io_no_control)
{
	struct guest g;

	prepare(&g, "ec");
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

/* ---- MSRs ---- */

static const struct {
	const char *code;
	uint32_t msr;
	unsigned bit; /**< clear in the bitmap; all others are set */
	bool exits;
} msrs[] = {
        {"0f 32", MSR_IA32_SYSENTER_CS, 0x174, false},
        {"0f 32", MSR_IA32_SYSENTER_CS, 0x175, true},
        {"0f 30", MSR_IA32_SYSENTER_CS, 0x174, true}, /* the write has its own half */
        {"0f 30", MSR_IA32_SYSENTER_CS, 0x4000 + 0x174, false},
        {"0f 32", MSR_IA32_LSTAR, 0x2000 + 0x82, false},
        {"0f 30", MSR_IA32_LSTAR, 0x6000 + 0x82, false},
        {"0f 30", MSR_IA32_LSTAR, 0x2000 + 0x82, true},
        {"0f 32", 0x2000, 0, true}, /* beyond the bitmaps */
        {"0f 32", 0xc0002000, 0x2000, true},
        {"0f 32", 0x40000000, 0, true},
};

START_TEST(test_msr_bitmaps)
{
	struct guest g;
	uint8_t *bitmap;
	void *page;

	prepare(&g, msrs[_i].code);
	guest_set(&g, VMCS_MSR_BITMAP, guest_l0_page(&g, &page));
	bitmap = page;
	for (unsigned i = 0; i < 4096; i++)
		bitmap[i] = 0xff;
	bitmap[msrs[_i].bit / 8] &= (uint8_t) ~(1 << (msrs[_i].bit % 8));
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), true);
	g.regs.gpr[GPR_RCX] = msrs[_i].msr;
	guest_expect(&g, !msrs[_i].exits           ? EXIT_REASON_VMCALL
	                 : msrs[_i].code[4] == '2' ? EXIT_REASON_RDMSR
	                                           : EXIT_REASON_WRMSR);
	/* Without the control every access exits. */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), false);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, msrs[_i].code[4] == '2' ? EXIT_REASON_RDMSR : EXIT_REASON_WRMSR);
	guest_teardown(&g);
}
END_TEST

/* An MSR that passes and the CPU does not have: #GP(0). */
START_TEST(test_unknown_msr)
{
	struct guest g;

	prepare(&g, "0f 32");
	guest_set(&g, VMCS_MSR_BITMAP, guest_l0_page(&g, NULL));
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), true);
	g.regs.gpr[GPR_RCX] = 0x1fff;
	guest_expect_handler(&g, VECTOR_GP);
	guest_teardown(&g);
}
END_TEST

/* ---- CR0 and CR4: guest/host mask and read shadow (25.6.6) ---- */

START_TEST(test_cr0_mask)
{
	struct guest g;
	const uint64_t cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;

	/* mov rax, cr0: masked bits from the shadow, others from the register */
	prepare(&g, "0f 20 c0");
	guest_set(&g, VMCS_CR0_GUEST_HOST_MASK, CR0_TS | CR0_WP);
	guest_set(&g, VMCS_CR0_READ_SHADOW, CR0_TS);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], (cr0 & ~CR0_WP) | CR0_TS);

	/* mov cr0, rbx: unmasked bits change, masked ones equal to the shadow stay what they are */
	guest_code_at(&g, GUEST_CODE + 0x100, "0f 22 c3 0f 01 c1");
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x100);
	g.regs.gpr[GPR_RBX] = (cr0 & ~CR0_WP) | CR0_TS | CR0_MP;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR0), cr0 | CR0_MP);

	/* a masked bit that differs from the shadow */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE + 0x100);
	g.regs.gpr[GPR_RBX] = cr0;
	guest_expect(&g, EXIT_REASON_CONTROL_REGISTER_ACCESS);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x300);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR0), cr0 | CR0_MP);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_cr4_mask)
{
	struct guest g;

	prepare(&g, "0f 20 e0 0f 22 e3"); /* mov rax, cr4; mov cr4, rbx */
	guest_set(&g, VMCS_CR4_GUEST_HOST_MASK, CR4_VMXE);
	g.regs.gpr[GPR_RBX] = CR4_PAE | CR4_PGE | CR4_TSD;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], CR4_PAE | CR4_PGE);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR4), CR4_PAE | CR4_PGE | CR4_TSD | CR4_VMXE);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = CR4_PAE | CR4_VMXE;
	guest_expect(&g, EXIT_REASON_CONTROL_REGISTER_ACCESS);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0x304);
	guest_teardown(&g);
}
END_TEST

/* CLTS and LMSW under a mask (26.1.3, 26.3; table 28-3). */
START_TEST(test_clts_lmsw)
{
	static const struct {
		const char *code;
		uint64_t mask, shadow, qualification; /**< 0 = no exit */
		uint64_t cr0;                         /**< change of CR0 where it does not exit */
	} t[] = {
	        {"0f 06", 0, 0, 0, 0}, {"0f 06", CR0_TS, CR0_TS, 0x20, 0},
	        {"0f 06", CR0_TS, 0, 0, CR0_TS}, /* TS is 0 already as the guest sees it: nothing happens */
	        {"0f 01 f3", 0, 0, 0, CR0_MP}, {"0f 01 f3", CR0_MP, 0, 0x30 | 3ull << 16, 0}, /* lmsw bx = 3 */
	        {"0f 01 f3", CR0_MP, CR0_MP, 0, 0}, {"0f 01 f3", CR0_PE, CR0_PE, 0, CR0_MP},
	        {"0f 01 f3", CR0_PE, 0, 0x30 | 3ull << 16, 0}, /* would set PE */
	        {"0f 01 32", CR0_MP, 0, 0x70 | 2ull << 16, 0}, /* lmsw [rdx] = 2: cannot clear PE */
	};
	struct guest g;
	const uint64_t cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;

	prepare(&g, t[_i].code);
	g.regs.gpr[GPR_RBX] = 3;
	g.regs.gpr[GPR_RDX] = GUEST_DATA;
	g.ram[GUEST_DATA] = 2;
	guest_set(&g, VMCS_GUEST_CR0, cr0 | CR0_TS);
	guest_set(&g, VMCS_CR0_GUEST_HOST_MASK, t[_i].mask);
	guest_set(&g, VMCS_CR0_READ_SHADOW, t[_i].shadow);
	if (t[_i].qualification) {
		guest_expect(&g, EXIT_REASON_CONTROL_REGISTER_ACCESS);
		ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), t[_i].qualification);
		if (t[_i].qualification & 0x40)
			ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_LINEAR_ADDRESS), GUEST_DATA);
	} else {
		guest_expect(&g, EXIT_REASON_VMCALL);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR0), cr0 | t[_i].cr0);
	}
	guest_teardown(&g);
}
END_TEST

START_TEST(test_cr3_targets)
{
	struct guest g;

	prepare(&g, "0f 22 db"); /* mov cr3, rbx */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_CR3_LOAD_EXITING), true);
	g.regs.gpr[GPR_RBX] = GUEST_PML4;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 0; j < 4; j++)
			guest_set(&g, VMCS_CR3_TARGET_VALUE0 + j, j == i ? GUEST_PML4 : 0x1000 + j);
		guest_set(&g, VMCS_CR3_TARGET_COUNT, i + 1);
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
		guest_expect(&g, EXIT_REASON_VMCALL);
		guest_set(&g, VMCS_CR3_TARGET_COUNT, i);
		guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
		guest_expect(&g, EXIT_REASON_CONTROL_REGISTER_ACCESS);
	}
	guest_teardown(&g);
}
END_TEST

/* ---- time ---- */

static uint64_t rdtsc(struct guest *g)
{
	guest_set(g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(g, EXIT_REASON_VMCALL);
	return g->regs.gpr[GPR_RDX] << 32 | g->regs.gpr[GPR_RAX];
}

/* The TSC is the number of retired instructions; offset and multiplier as 25.6.5 says. */
START_TEST(test_tsc)
{
	struct guest g;
	uint64_t now;

	prepare(&g, "0f 31");
	now = machine_soft.clock(g.machine);
	ck_assert_uint_eq(rdtsc(&g), now);
	guest_set(&g, VMCS_TSC_OFFSET, 1000000);
	now = machine_soft.clock(g.machine);
	ck_assert_uint_eq(rdtsc(&g), now); /* the control decides */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_TSC_OFFSETTING), true);
	now = machine_soft.clock(g.machine);
	ck_assert_uint_eq(rdtsc(&g), now + 1000000);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_USE_TSC_SCALING), true);
	guest_set(&g, VMCS_TSC_MULTIPLIER, 3ull << 47); /* 1.5 */
	machine_soft.idle(g.machine, 1000);
	ck_assert_uint_eq(rdtsc(&g), 1500 + 1000000);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_tsc_msr)
{
	struct guest g;

	prepare(&g, "0f 32");
	guest_set(&g, VMCS_MSR_BITMAP, guest_l0_page(&g, NULL));
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS) | VMX_BIT(PROC_TSC_OFFSETTING), true);
	guest_set(&g, VMCS_TSC_OFFSET, 5000);
	g.regs.gpr[GPR_RCX] = MSR_IA32_TSC;
	ck_assert_uint_eq(rdtsc(&g), 5000);
	guest_teardown(&g);
}
END_TEST

/* ---- TPR shadow (25.6.8, 30.3) ---- */
START_TEST(test_tpr_shadow)
{
	struct guest g;
	uint8_t *apic;
	void *page;

	prepare(&g, "44 0f 22 c3 44 0f 20 c0"); /* mov cr8, rbx; mov rax, cr8 */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW), true);
	guest_set(&g, VMCS_VIRTUAL_APIC_ADDRESS, guest_l0_page(&g, &page));
	guest_set(&g, VMCS_TPR_THRESHOLD, 4);
	apic = page;
	apic[0x80] = 0xf0;
	g.regs.gpr[GPR_RBX] = 7;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(apic[0x80], 0x70);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 7);

	/* Below the threshold: an exit after the instruction. */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = 3;
	guest_expect(&g, EXIT_REASON_TPR_BELOW_THRESHOLD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 4);
	ck_assert_uint_eq(apic[0x80], 0x30);

	/* And at VM entry, before anything runs. */
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_TPR_BELOW_THRESHOLD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);

	/* Without the control CR8 is the CPU's own. */
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW), false);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(apic[0x80], 0x30);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 3);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("controls: bitmaps");

	tcase_add_loop_test(tests, test_io_qualification, 0, sizeof(io) / sizeof(io[0]));
	tcase_add_loop_test(tests, test_io_bitmaps, 0, sizeof(io_bits) / sizeof(io_bits[0]));
	tcase_add_test(tests, test_io_no_control);
	tcase_add_loop_test(tests, test_msr_bitmaps, 0, sizeof(msrs) / sizeof(msrs[0]));
	tcase_add_test(tests, test_unknown_msr);
	tcase_add_test(tests, test_cr0_mask);
	tcase_add_test(tests, test_cr4_mask);
	tcase_add_loop_test(tests, test_clts_lmsw, 0, 9);
	tcase_add_test(tests, test_cr3_targets);
	tcase_add_test(tests, test_tsc);
	tcase_add_test(tests, test_tsc_msr);
	tcase_add_test(tests, test_tpr_shadow);
	return guest_main("soft: controls: bitmaps, masks, time", tests);
}
