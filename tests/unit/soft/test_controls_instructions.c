/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controls that make an instruction exit (SDM vol. 3, 26.1): each with the control set (the exit, its qualification,
 * length and instruction information) and clear (the instruction runs, and the VMCALL behind it exits).
 */
#include "guest.h"

#include <errno.h>

#include "l0/soft/msr.h"

#define NONE VMX_WORD_COUNT

struct instruction_case {
	enum vmx_control_word word;
	uint32_t control;
	const char *code;
	unsigned length;
	uint32_t reason;
	uint64_t qualification;
	uint32_t information;
};

#define PROC(name) VMX_WORD_PROC, VMX_BIT(PROC_##name)
#define PROC2(name) VMX_WORD_PROC2, VMX_BIT(PROC2_##name)
#define ALWAYS NONE, 0

/* Registers: RBX = GUEST_DATA, RCX = 0x10 (an MSR, a count), RDX = 0x1234, RSI = 2. */
static const struct instruction_case cases[] = {
        {PROC(HLT_EXITING), "f4", 1, EXIT_REASON_HLT, 0, 0},
        {PROC(INVLPG_EXITING), "0f 01 3b", 3, EXIT_REASON_INVLPG, GUEST_DATA, 0},
        {PROC(INVLPG_EXITING), "0f 01 7c 33 10", 5, EXIT_REASON_INVLPG, GUEST_DATA + 2 + 0x10, 0},
        {PROC(RDTSC_EXITING), "0f 31", 2, EXIT_REASON_RDTSC, 0, 0},
        {PROC(CR3_LOAD_EXITING), "0f 22 df", 3, EXIT_REASON_CONTROL_REGISTER_ACCESS, 0x703, 0},
        {PROC(CR3_STORE_EXITING), "0f 20 df", 3, EXIT_REASON_CONTROL_REGISTER_ACCESS, 0x713, 0},
        {PROC(CR8_LOAD_EXITING), "44 0f 22 c6", 4, EXIT_REASON_CONTROL_REGISTER_ACCESS, 0x608, 0},
        {PROC(CR8_STORE_EXITING), "44 0f 20 c7", 4, EXIT_REASON_CONTROL_REGISTER_ACCESS, 0x718, 0},
        {PROC(MOV_DR_EXITING), "0f 23 d6", 3, EXIT_REASON_MOV_DR, 0x602, 0},
        {PROC(MOV_DR_EXITING), "0f 21 fe", 3, EXIT_REASON_MOV_DR, 0x617, 0},
        {PROC(PAUSE_EXITING), "f3 90", 2, EXIT_REASON_PAUSE, 0, 0},
        {PROC2(WBINVD_EXITING), "0f 09", 2, EXIT_REASON_WBINVD, 0, 0},
        {PROC2(RDRAND_EXITING), "48 0f c7 f7", 4, EXIT_REASON_RDRAND, 0, 7 << 3 | 2 << 11},
        {PROC2(RDRAND_EXITING), "0f c7 f6", 3, EXIT_REASON_RDRAND, 0, 6 << 3 | 1 << 11},
        {PROC2(RDSEED_EXITING), "66 0f c7 ff", 4, EXIT_REASON_RDSEED, 0, 7 << 3},
        /* Tables 28-10 and 28-11: displacement, base and index, segment, operand size, which instruction. */
        {PROC2(DESCRIPTOR_TABLE_EXITING), "0f 01 03", 3, EXIT_REASON_GDTR_OR_IDTR_ACCESS, 0,
                2 << 7 | 1 << 11 | 3 << 15 | 1 << 22 | 3 << 23 | 0u << 28},
        {PROC2(DESCRIPTOR_TABLE_EXITING), "0f 01 4c b3 20", 5, EXIT_REASON_GDTR_OR_IDTR_ACCESS, 0x20,
                2 | 2 << 7 | 1 << 11 | 3 << 15 | 6 << 18 | 3 << 23 | 1u << 28},
        {PROC2(DESCRIPTOR_TABLE_EXITING), "0f 00 c7", 3, EXIT_REASON_LDTR_OR_TR_ACCESS, 0, 7 << 3 | 1 << 10 | 0u << 28},
        {PROC2(DESCRIPTOR_TABLE_EXITING), "66 0f 00 cf", 4, EXIT_REASON_LDTR_OR_TR_ACCESS, 0,
                7 << 3 | 1 << 10 | 1u << 28},
        {PROC2(DESCRIPTOR_TABLE_EXITING), "0f 00 03", 3, EXIT_REASON_LDTR_OR_TR_ACCESS, 0,
                2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 0u << 28},
        /* Without a control: always. */
        {ALWAYS, "0f a2", 2, EXIT_REASON_CPUID, 0, 0},
        {ALWAYS, "0f 08", 2, EXIT_REASON_INVD, 0, 0},
        {ALWAYS, "0f 01 c1", 3, EXIT_REASON_VMCALL, 0, 0},
        {ALWAYS, "0f 01 c2", 3, EXIT_REASON_VMLAUNCH, 0, 0},
        {ALWAYS, "0f 01 c3", 3, EXIT_REASON_VMRESUME, 0, 0},
        {ALWAYS, "0f 01 c4", 3, EXIT_REASON_VMXOFF, 0, 0},
        /* Table 28-13. */
        {ALWAYS, "66 0f c7 33", 4, EXIT_REASON_VMCLEAR, 0, 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23},
        {ALWAYS, "0f c7 75 f8", 4, EXIT_REASON_VMPTRLD, -8ull, 2 << 7 | 2 << 15 | 1 << 22 | 5 << 23},
        {ALWAYS, "0f c7 3c 24", 4, EXIT_REASON_VMPTRST, 0, 2 << 7 | 2 << 15 | 1 << 22 | 4 << 23},
        {ALWAYS, "f3 0f c7 74 8b 40", 6, EXIT_REASON_VMXON, 0x40, 2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23},
        {ALWAYS, "64 66 0f c7 34 25 00 10 00 00", 10, EXIT_REASON_VMCLEAR, 0x1000,
                2 << 7 | 4 << 15 | 1 << 22 | 1 << 27},
        {ALWAYS, "66 0f c7 35 10 00 00 00", 8, EXIT_REASON_VMCLEAR, GUEST_CODE + 8 + 0x10,
                2 << 7 | 3 << 15 | 1 << 22 | 1 << 27},
        {ALWAYS, "67 66 0f c7 33", 5, EXIT_REASON_VMCLEAR, 0, 1 << 7 | 3 << 15 | 1 << 22 | 3 << 23},
        {ALWAYS, "66 0f 38 80 3b", 5, EXIT_REASON_INVEPT, 0, 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 7u << 28},
        {ALWAYS, "66 44 0f 38 81 0b", 6, EXIT_REASON_INVVPID, 0, 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 9u << 28},
        /* Table 28-14: VMREAD and VMWRITE, register and memory. */
        {ALWAYS, "0f 78 d7", 3, EXIT_REASON_VMREAD, 0, 7 << 3 | 1 << 10 | 2u << 28},
        {ALWAYS, "0f 78 13", 3, EXIT_REASON_VMREAD, 0, 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 2u << 28},
        {ALWAYS, "0f 79 d7", 3, EXIT_REASON_VMWRITE, 0, 7 << 3 | 1 << 10 | 2u << 28},
        {ALWAYS, "0f 79 53 7f", 4, EXIT_REASON_VMWRITE, 0x7f, 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 2u << 28},
};

static void prepare(struct guest *g, const char *code)
{
	guest_setup(g);
	guest_control(g, VMX_WORD_PROC, VMX_BIT(PROC_HLT_EXITING), false);
	g->regs.gpr[GPR_RBX] = GUEST_DATA;
	g->regs.gpr[GPR_RCX] = MSR_IA32_TSC;
	g->regs.gpr[GPR_RDX] = 0x1234;
	g->regs.gpr[GPR_RSI] = 2;
	g->regs.gpr[GPR_RDI] = GUEST_PML4;
	guest_code_at(g, GUEST_CODE + guest_code(g, code), "0f 01 c1");
}

START_TEST(test_exits)
{
	const struct instruction_case *c = &cases[_i];
	struct guest g;

	prepare(&g, c->code);
	if (c->word != NONE)
		guest_control(&g, c->word, c->control, true);
	guest_expect(&g, c->reason);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), c->length);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), c->qualification);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_INFORMATION), c->information);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_runs)
{
	const struct instruction_case *c = &cases[_i];
	struct guest g;

	if (c->word == NONE || c->reason == EXIT_REASON_HLT)
		return; /* HLT without exiting: test_hlt_waits */
	prepare(&g, c->code);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + c->length);
	guest_teardown(&g);
}
END_TEST

/* HLT without HLT exiting: the CPU waits; enter comes back for L0 to bring an event, and the state says HLT. */
START_TEST(test_hlt_waits)
{
	struct guest g;

	prepare(&g, "f4");
	ck_assert_int_eq(machine_soft.enter(g.machine, &g.vmcs, &g.regs), -EINTR);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ACTIVITY_STATE), 1);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE + 1);
	guest_set(&g, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, 0x80000040);
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x202);
	guest_expect_handler(&g, 0x40);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ACTIVITY_STATE), 0);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 1);
	guest_teardown(&g);
}
END_TEST

/* MWAIT, MONITOR and RDPMC: privileged or with registers of their own. */
START_TEST(test_monitor_mwait_rdpmc)
{
	static const struct {
		uint32_t control;
		const char *code;
		uint32_t reason;
	} three[] = {
	        {VMX_BIT(PROC_MONITOR_EXITING), "0f 01 c8", EXIT_REASON_MONITOR},
	        {VMX_BIT(PROC_MWAIT_EXITING), "0f 01 c9", EXIT_REASON_MWAIT},
	        {VMX_BIT(PROC_RDPMC_EXITING), "0f 33", EXIT_REASON_RDPMC},
	};
	struct guest g;

	prepare(&g, three[_i].code);
	guest_control(&g, VMX_WORD_PROC, three[_i].control, true);
	g.regs.gpr[GPR_RCX] = 0;
	g.regs.gpr[GPR_RDX] = 0;
	guest_expect(&g, three[_i].reason);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 0);
	guest_control(&g, VMX_WORD_PROC, three[_i].control, false);
	/* No counter exists: an RDPMC that does not exit faults. */
	if (three[_i].reason == EXIT_REASON_RDPMC)
		guest_expect_handler(&g, VECTOR_GP);
	else
		guest_expect(&g, EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

/* #UD unless enabled (26.3); with RDTSC or INVLPG exiting an exit of their own. */
START_TEST(test_rdtscp)
{
	struct guest g;

	prepare(&g, "0f 01 f9");
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_UD);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000306);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_RDTSCP), true);
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_RDTSC_EXITING), true);
	guest_expect(&g, EXIT_REASON_RDTSCP);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_LENGTH), 3);
	guest_teardown(&g);
}
END_TEST

START_TEST(test_invpcid)
{
	struct guest g;

	prepare(&g, "66 0f 38 82 4b 08"); /* invpcid rcx, [rbx + 8] */
	g.regs.gpr[GPR_RCX] = 2;
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_UD);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_INVPCID), true);
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_INVLPG_EXITING), true);
	guest_expect(&g, EXIT_REASON_INVPCID);
	ck_assert_uint_eq(guest_get(&g, VMCS_EXIT_QUALIFICATION), 8);
	ck_assert_uint_eq(
	        guest_get(&g, VMCS_VM_EXIT_INSTRUCTION_INFORMATION), 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23 | 1u << 28);
	guest_teardown(&g);
}
END_TEST

/* Privilege comes before the exit (26.1.1). */
START_TEST(test_privilege_first)
{
	static const char *const privileged[] = {"f4", "0f 01 3b", "0f 22 df", "0f 09", "0f 32", "0f 23 d6", "fa"};
	struct guest g;

	guest_setup(&g);
	guest_enter_user(&g);
	guest_code(&g, privileged[_i]);
	guest_control(&g, VMX_WORD_PROC,
	        VMX_BIT(PROC_INVLPG_EXITING) | VMX_BIT(PROC_CR3_LOAD_EXITING) | VMX_BIT(PROC_MOV_DR_EXITING), true);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_WBINVD_EXITING), true);
	guest_expect_handler(&g, VECTOR_GP);
	guest_teardown(&g);
}
END_TEST

/* 26.1.3: at CPL 0, a PAUSE more than PLE_Window after the first of its loop; gaps over PLE_Gap begin a new loop. */
START_TEST(test_pause_loop)
{
	struct guest g;
	uint64_t began;

	prepare(&g, "f3 90 eb fc"); /* pause; jmp back */
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_PAUSE_LOOP_EXITING), true);
	guest_set(&g, VMCS_PLE_GAP, 10);
	guest_set(&g, VMCS_PLE_WINDOW, 1000);
	began = machine_soft.clock(g.machine);
	guest_expect(&g, EXIT_REASON_PAUSE);
	ck_assert_uint_ge(machine_soft.clock(g.machine) - began, 1000);
	ck_assert_uint_le(machine_soft.clock(g.machine) - began, 1010);
	guest_teardown(&g);

	prepare(&g, "f3 90 b9 20 00 00 00 e2 fe ff ca 75 f3 0f 01 c1"); /* a loop of 32 steps between PAUSEs */
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_PAUSE_LOOP_EXITING), true);
	guest_set(&g, VMCS_PLE_GAP, 10);
	guest_set(&g, VMCS_PLE_WINDOW, 100);
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("controls: instructions");
	const int count = sizeof(cases) / sizeof(cases[0]);

	tcase_add_loop_test(tests, test_exits, 0, count);
	tcase_add_loop_test(tests, test_runs, 0, count);
	tcase_add_test(tests, test_hlt_waits);
	tcase_add_loop_test(tests, test_monitor_mwait_rdpmc, 0, 3);
	tcase_add_test(tests, test_rdtscp);
	tcase_add_test(tests, test_invpcid);
	tcase_add_loop_test(tests, test_privilege_first, 0, 7);
	tcase_add_test(tests, test_pause_loop);
	return guest_main("soft: controls: instructions", tests);
}
