/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions and their delivery: frames, IST, ring change, gate faults, double and triple faults, traps, breakpoints
 * (SDM vol. 3, chapters 6 and 18). Handlers are VMCALLs (guest.h), so the exit says which one ran. */
#include "guest.h"

#include <string.h>

#define GATE(handler, type, dpl)                                                                                       \
	(((handler)&0xffff) | (uint64_t)GUEST_CS << 16 | (0x8000ull | (dpl) << 13 | (type) << 8) << 32)

static void set_gate(struct guest *g, unsigned vector, uint64_t gate)
{
	guest_put64(g, GUEST_IDT + vector * 16, gate);
}

static uint64_t handler(unsigned vector)
{
	return GUEST_HANDLERS + vector * 16;
}

static void expect_exception(struct guest *g, uint32_t info, uint32_t error)
{
	guest_expect(g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), info);
	ck_assert_uint_eq(guest_get(g, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), error);
}

/* Faults push the faulting RIP, with or without an error code. */
START_TEST(test_fault_frames)
{
	static const struct {
		const char *code;
		unsigned vector;
		bool error;
	} faults[] = {
	        {"0f 0b", VECTOR_UD, false}, {"31 c9 f7 f1", VECTOR_DE, false}, /* xor ecx, ecx; div ecx */
	        {"48 c7 c0 78 00 00 00 8e d8", VECTOR_GP, true}, /* mov rax, 0x78; mov ds, eax: beyond the GDT */
	};
	struct guest g;
	uint64_t rip = GUEST_CODE, frame;

	guest_setup(&g);
	guest_code(&g, faults[_i].code);
	rip += _i == 1 ? 2 : _i == 2 ? 7 : 0;
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	guest_expect_handler(&g, faults[_i].vector);
	frame = guest_get(&g, VMCS_GUEST_RSP);
	ck_assert_uint_eq(frame, GUEST_STACK - (faults[_i].error ? 48 : 40));
	if (faults[_i].error) {
		ck_assert_uint_eq(guest_u64(&g, frame), 0x78);
		frame += 8;
	}
	ck_assert_uint_eq(guest_u64(&g, frame), rip);
	ck_assert_uint_eq(guest_u64(&g, frame + 8), GUEST_CS);
	ck_assert_uint_eq(guest_u64(&g, frame + 16) & (RFLAGS_RF | RFLAGS_IF), RFLAGS_RF | RFLAGS_IF);
	/* An interrupt gate clears IF; RF, TF and NT are clear in the handler. */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & (RFLAGS_RF | RFLAGS_IF | RFLAGS_TF | RFLAGS_NT), 0);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_trap_gate_keeps_if)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	set_gate(&g, VECTOR_UD, GATE(handler(VECTOR_UD), 15, 0));
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	guest_expect_handler(&g, VECTOR_UD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & RFLAGS_IF, RFLAGS_IF);
	guest_teardown(&g);
}
END_TEST

/* The stack is aligned to 16 bytes before anything is pushed (6.14.2). */
START_TEST(test_stack_alignment)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	guest_set(&g, VMCS_GUEST_RSP, GUEST_STACK - 3);
	guest_expect_handler(&g, VECTOR_UD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK - 16 - 40);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 16 - 16), GUEST_STACK - 3);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_ist)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	set_gate(&g, VECTOR_UD, GATE(handler(VECTOR_UD), 14, 0) | 1ull << 32);
	guest_expect_handler(&g, VECTOR_UD);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_IST_STACK - 40);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_SELECTOR), GUEST_SS);
	guest_teardown(&g);
}
END_TEST

/* From ring 3: RSP0 of the TSS, SS a null selector with RPL 0, the old SS:RSP in the frame. */
START_TEST(test_ring_change)
{
	struct guest g;
	uint64_t frame;

	guest_setup(&g);
	guest_enter_user(&g);
	guest_code(&g, "0f 0b");
	guest_expect_handler(&g, VECTOR_UD);
	frame = guest_get(&g, VMCS_GUEST_RSP);
	ck_assert_uint_eq(frame, GUEST_RING0_STACK - 40);
	ck_assert_uint_eq(guest_u64(&g, frame), GUEST_USER_CODE);
	ck_assert_uint_eq(guest_u64(&g, frame + 8), GUEST_USER_CS);
	ck_assert_uint_eq(guest_u64(&g, frame + 24), GUEST_USER_STACK);
	ck_assert_uint_eq(guest_u64(&g, frame + 32), GUEST_USER_SS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_SELECTOR), 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CS_SELECTOR), GUEST_CS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_SS_ACCESS_RIGHTS) >> 5 & 3, 0);
	guest_teardown(&g);
}
END_TEST

/* INT n from ring 3 needs a gate of DPL 3; an exception does not. */
START_TEST(test_gate_dpl)
{
	struct guest g;

	guest_setup(&g);
	guest_enter_user(&g);
	guest_code(&g, "cd 80");
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(guest_u64(&g, GUEST_RING0_STACK - 48), 0x80 * 8 + 2);
	guest_teardown(&g);

	guest_setup(&g);
	guest_enter_user(&g);
	guest_code(&g, "cd 80");
	set_gate(&g, 0x80, GATE(handler(0x80), 14, 3));
	guest_expect_handler(&g, 0x80);
	/* A trap: the return address is behind the instruction, RF is not set. */
	ck_assert_uint_eq(guest_u64(&g, GUEST_RING0_STACK - 40), GUEST_USER_CODE + 2);
	ck_assert_uint_eq(guest_u64(&g, GUEST_RING0_STACK - 24) & RFLAGS_RF, 0);
	guest_teardown(&g);
}
END_TEST

/* Bad gates: error code vector * 8 + 2 (IDT) with EXT for an exception, none for INT n. */
static const struct {
	uint64_t gate;
	unsigned vector;
	uint32_t error;
} bad_gates[] = {
        {GATE(0x8060, 14, 0) & ~(0x8000ull << 32), VECTOR_NP, 6 * 8 + 3},       /* not present */
        {GATE(0x8060, 12, 0), VECTOR_GP, 6 * 8 + 3},                            /* a call gate */
        {GATE(0x8060, 14, 0) & ~0xffff0000ull, VECTOR_GP, 1},                   /* null CS */
        {(GATE(0x8060, 14, 0) & ~0xffff0000ull) | 0x10 << 16, VECTOR_GP, 0x11}, /* CS is data */
        {(GATE(0x8060, 14, 0) & ~0xffff0000ull) | 0x38 << 16, VECTOR_GP, 0x39}, /* CS is 32-bit */
        {(GATE(0x8060, 14, 0) & ~0xffff0000ull) | 0x23 << 16, VECTOR_GP, 0x21}, /* CS of DPL 3 */
        {(GATE(0x8060, 14, 0) & ~0xffff0000ull) | 0x78 << 16, VECTOR_GP, 0x79}, /* beyond the GDT */
};

START_TEST(test_bad_gate)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	set_gate(&g, VECTOR_UD, bad_gates[_i].gate);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1u << bad_gates[_i].vector);
	expect_exception(&g, 0x80000b00 | bad_gates[_i].vector, bad_gates[_i].error);
	/* The first exception is the one that was being delivered (28.2.4). */
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0x80000306);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_idt_limit)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "cd 20");
	guest_set(&g, VMCS_GUEST_IDTR_LIMIT, 0x20 * 16 + 14);
	guest_expect_handler(&g, VECTOR_GP);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 48), 0x20 * 8 + 2);
	guest_teardown(&g);
}
END_TEST

/* Table 6-5: what an exception during the delivery of another becomes. */
START_TEST(test_double_fault)
{
	struct guest g;

	/* #GP whose gate is not present: contributory twice. */
	guest_setup(&g);
	guest_code(&g, "48 c7 c0 78 00 00 00 8e d8");
	set_gate(&g, VECTOR_GP, 0);
	guest_expect_handler(&g, VECTOR_DF);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 48), 0);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 7);
	guest_teardown(&g);

	/* #UD (benign) whose gate is not present: the #NP is delivered. */
	guest_setup(&g);
	guest_code(&g, "0f 0b");
	set_gate(&g, VECTOR_UD, GATE(0, 14, 0) & ~(0x8000ull << 32));
	guest_expect_handler(&g, VECTOR_NP);
	guest_teardown(&g);

	/* #PF while a #PF is delivered (its stack is gone): double. */
	guest_setup(&g);
	guest_code(&g, "8a 03");
	g.regs.gpr[GPR_RBX] = GUEST_DATA;
	*guest_pte(&g, GUEST_DATA) = 0;
	guest_set(&g, VMCS_GUEST_RSP, GUEST_DATA + 0x800);
	set_gate(&g, VECTOR_DF, GATE(handler(VECTOR_DF), 14, 0) | 1ull << 32);
	guest_expect_handler(&g, VECTOR_DF);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_IST_STACK - 48);
	ck_assert_uint_eq(g.regs.cr2, (GUEST_DATA + 0x800 - 48));
	guest_teardown(&g);
}
END_TEST

START_TEST(test_double_fault_exit)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "48 c7 c0 78 00 00 00 8e d8");
	set_gate(&g, VECTOR_GP, 0);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_DF);
	expect_exception(&g, 0x80000b08, 0);
	/* A double fault's exit is not "during delivery" (28.2.4). */
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0);
	guest_teardown(&g);
}
END_TEST

/* The second exception exits by its own bit before it becomes a double fault. */
START_TEST(test_second_exception_exits)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "48 c7 c0 78 00 00 00 8e d8");
	set_gate(&g, VECTOR_GP, GATE(0, 14, 0) & ~(0x8000ull << 32));
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_NP);
	expect_exception(&g, 0x80000b0b, 13 * 8 + 3);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0x80000b0d);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_ERROR_CODE), 0x78);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_triple_fault)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	guest_set(&g, VMCS_GUEST_IDTR_LIMIT, 0);
	guest_expect(&g, EXIT_REASON_TRIPLE_FAULT);
	ck_assert_uint_eq(guest_get(&g, VMCS_IDT_VECTORING_INFORMATION), 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	guest_teardown(&g);
}
END_TEST

/* INT3 and INTO: software exceptions, subject to the exception bitmap, with their length. */
START_TEST(test_software_exception)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "cc");
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_BP);
	expect_exception(&g, 0x80000603, 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), 1);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 0);
	guest_expect_handler(&g, VECTOR_BP);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 1);
	guest_teardown(&g);
}
END_TEST

/* INT 14 is not a page fault: no bitmap, no error code. */
START_TEST(test_int_n_is_no_exception)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "cd 0e");
	guest_set(&g, VMCS_EXCEPTION_BITMAP, ~0u);
	guest_expect_handler(&g, VECTOR_PF);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RSP), GUEST_STACK - 40);
	guest_teardown(&g);
}
END_TEST

/* 25.6.3: a #PF exits when its error code under the mask equals the match and bit 14 is 1, or the other way round. */
static const struct {
	uint32_t bitmap, mask, match;
	bool exits;
} page_fault_filters[] = {
        {1 << 14, 0, 0, true},
        {0, 0, 0, false},
        {1 << 14, 2, 2, true},
        {1 << 14, 2, 0, false},
        {0, 2, 0, true},
        {0, 2, 2, false},
        {0, 0, 1, true},
        {1 << 14, 0, 1, false},
        {1 << 14, 0x1f, 2, true},
        {1 << 14, 0x1f, 3, false},
};

START_TEST(test_page_fault_filter)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "88 03"); /* error code 2 */
	g.regs.gpr[GPR_RBX] = GUEST_DATA;
	*guest_pte(&g, GUEST_DATA) = 0;
	guest_set(&g, VMCS_EXCEPTION_BITMAP, page_fault_filters[_i].bitmap);
	guest_set(&g, VMCS_PAGE_FAULT_ERROR_CODE_MASK, page_fault_filters[_i].mask);
	guest_set(&g, VMCS_PAGE_FAULT_ERROR_CODE_MATCH, page_fault_filters[_i].match);
	if (page_fault_filters[_i].exits)
		expect_exception(&g, 0x80000b0e, 2);
	else
		guest_expect_handler(&g, VECTOR_PF);
	guest_teardown(&g);
}
END_TEST

/* ---- traps ---- */

/* TF: one instruction, then #DB with BS; the frame points behind it and the handler runs with TF clear. */
START_TEST(test_single_step)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90");
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_TF);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 1);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 24) & (RFLAGS_TF | RFLAGS_RF), RFLAGS_TF);
	ck_assert_uint_eq(g.regs.dr6, DR6_FIXED | DR6_BS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & RFLAGS_TF, 0);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_single_step_exit)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 90");
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_TF);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_DB);
	expect_exception(&g, 0x80000301, 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), DR6_BS);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 1);
	ck_assert_uint_eq(g.regs.dr6, DR6_FIXED); /* an intercepted #DB leaves DR6 alone */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
	guest_teardown(&g);
}
END_TEST

/* POPF that sets TF: the trap comes after the instruction behind it. */
START_TEST(test_popf_sets_tf)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "68 02 01 00 00 9d 90 90"); /* push 0x102; popf; nop; nop */
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 7);
	guest_teardown(&g);
}
END_TEST

static const struct {
	uint64_t dr7;
	const char *code;
	unsigned dr6;
	unsigned rip; /**< in the frame, from GUEST_CODE */
	bool fault;
} breakpoints[] = {
        {0x401, "90 90", 1, 0, true},                       /* DR0: execution at GUEST_CODE */
        {0x404, "90 90", 2, 1, true},                       /* DR1: execution at GUEST_CODE + 1 */
        {0x410 | 1ull << 24, "88 03 90", 4, 2, false},      /* DR2: write of one byte */
        {0x410 | 0xdull << 24, "48 89 03 90", 4, 3, false}, /* write of four bytes inside a store of eight */
        {0x440 | 0xfull << 28, "8a 03 90", 8, 2, false},    /* DR3: read or write of four bytes */
};

START_TEST(test_breakpoints)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, breakpoints[_i].code);
	g.regs.dr[0] = GUEST_CODE;
	g.regs.dr[1] = GUEST_CODE + 1;
	g.regs.dr[2] = GUEST_DATA;
	g.regs.dr[3] = GUEST_DATA;
	g.regs.gpr[GPR_RBX] = GUEST_DATA;
	guest_set(&g, VMCS_GUEST_DR7, breakpoints[_i].dr7);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(g.regs.dr6, DR6_FIXED | breakpoints[_i].dr6);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + breakpoints[_i].rip);
	ck_assert_uint_eq(!!(guest_u64(&g, GUEST_STACK - 24) & RFLAGS_RF), breakpoints[_i].fault);
	guest_teardown(&g);
}
END_TEST

/* RF lets the instruction under a breakpoint pass, once. */
START_TEST(test_resume_flag)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "90 eb fd"); /* nop; jmp back */
	g.regs.dr[0] = GUEST_CODE;
	guest_set(&g, VMCS_GUEST_DR7, 0x401);
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_RF);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_DB);
	expect_exception(&g, 0x80000301, 0);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 1);
	ck_assert_uint_eq(machine_soft.clock(g.machine), 2);
	guest_teardown(&g);
}
END_TEST

/* MOV SS holds the data breakpoint of its own load back until the next instruction has run (6.8.3). */
START_TEST(test_mov_ss_holds_traps)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "8e 13 90 90"); /* mov ss, [rbx]; nop */
	g.ram[GUEST_DATA] = GUEST_SS;
	g.regs.dr[0] = GUEST_DATA;
	g.regs.gpr[GPR_RBX] = GUEST_DATA;
	guest_set(&g, VMCS_GUEST_DR7, 0x401 | 3ull << 16);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 3);
	ck_assert_uint_eq(g.regs.dr6, DR6_FIXED | 1);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("events");

	tcase_add_loop_test(tests, test_fault_frames, 0, 3);
	tcase_add_test(tests, test_trap_gate_keeps_if);
	tcase_add_test(tests, test_stack_alignment);
	tcase_add_test(tests, test_ist);
	tcase_add_test(tests, test_ring_change);
	tcase_add_test(tests, test_gate_dpl);
	tcase_add_loop_test(tests, test_bad_gate, 0, sizeof(bad_gates) / sizeof(bad_gates[0]));
	tcase_add_test(tests, test_idt_limit);
	tcase_add_test(tests, test_double_fault);
	tcase_add_test(tests, test_double_fault_exit);
	tcase_add_test(tests, test_second_exception_exits);
	tcase_add_test(tests, test_triple_fault);
	tcase_add_test(tests, test_software_exception);
	tcase_add_test(tests, test_int_n_is_no_exception);
	tcase_add_loop_test(
	        tests, test_page_fault_filter, 0, sizeof(page_fault_filters) / sizeof(page_fault_filters[0]));
	tcase_add_test(tests, test_single_step);
	tcase_add_test(tests, test_single_step_exit);
	tcase_add_test(tests, test_popf_sets_tf);
	tcase_add_loop_test(tests, test_breakpoints, 0, sizeof(breakpoints) / sizeof(breakpoints[0]));
	tcase_add_test(tests, test_resume_flag);
	tcase_add_test(tests, test_mov_ss_holds_traps);
	return guest_main("soft: events", tests);
}
