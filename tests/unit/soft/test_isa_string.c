/* SPDX-License-Identifier: Apache-2.0 */
/* String instructions: direction, conditions, restart after faults and events. */
#include "guest.h"

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

START_TEST(rep_movsb_stops_at_the_fault_and_goes_on)
{
	*guest_pte(&g, 0x151000) = 0;
	memset(g.ram + 0x152000, 0x5a, 64);
	g.regs.gpr[GPR_RSI] = 0x152000;
	g.regs.gpr[GPR_RDI] = 0x150ff0;
	g.regs.gpr[GPR_RCX] = 32;
	guest_code(&g, "f3 a4 0f 01 c1"); /* rep movsb; vmcall */
	guest_expect_handler(&g, VECTOR_PF);
	ck_assert_uint_eq(g.regs.cr2, 0x151000);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 16);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI], 0x152010);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDI], 0x151000);
	ck_assert_uint_eq(g.ram[0x150fff], 0x5a);

	*guest_pte(&g, 0x151000) = 0x151000 | 3;
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0);
	ck_assert_uint_eq(g.ram[0x15100f], 0x5a);
}
END_TEST

START_TEST(backwards_by_quadwords)
{
	g.regs.gpr[GPR_RAX] = 0x1122334455667788;
	g.regs.gpr[GPR_RDI] = 0x150018;
	g.regs.gpr[GPR_RCX] = 2;
	guest_code(&g, "fd f3 48 ab 0f 01 c1"); /* std; rep stosq; vmcall */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_u64(&g, 0x150018), 0x1122334455667788);
	ck_assert_uint_eq(guest_u64(&g, 0x150010), 0x1122334455667788);
	ck_assert_uint_eq(guest_u64(&g, 0x150008), 0);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDI], 0x150008);
}
END_TEST

START_TEST(repne_scasb_finds_the_end_of_a_string)
{
	memcpy(g.ram + 0x150000, "testudo", 8);
	g.regs.gpr[GPR_RAX] = 0;
	g.regs.gpr[GPR_RDI] = 0x150000;
	g.regs.gpr[GPR_RCX] = ~0ull;
	guest_code(&g, "f2 ae 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(~g.regs.gpr[GPR_RCX] - 1, 7);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & 0x40, 0x40);
}
END_TEST

START_TEST(repe_cmpsb_stops_at_the_difference)
{
	memcpy(g.ram + 0x150000, "testudo", 7);
	memcpy(g.ram + 0x151000, "testify", 7);
	g.regs.gpr[GPR_RSI] = 0x150000;
	g.regs.gpr[GPR_RDI] = 0x151000;
	g.regs.gpr[GPR_RCX] = 7;
	guest_code(&g, "f3 a6 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 2);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & 0x41, 0); /* 'u' is above 'i' */
}
END_TEST

START_TEST(count_of_zero_does_nothing)
{
	g.regs.gpr[GPR_RDI] = ~0ull << 30; /* it would fault */
	g.regs.gpr[GPR_RCX] = 0;
	guest_code(&g, "f3 a4 f3 aa 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
}
END_TEST

/* An event between two elements: RIP is at the instruction and the registers say how far it got. */
START_TEST(long_rep_is_interrupted_by_the_preemption_timer)
{
	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), true);
	guest_set(&g, VMCS_VMX_PREEMPTION_TIMER_VALUE, 2);
	g.regs.gpr[GPR_RSI] = 0x200000;
	g.regs.gpr[GPR_RCX] = 8u << 20;
	guest_code(&g, "f3 ac 0f 01 c1"); /* rep lodsb */
	guest_expect(&g, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_uint_gt(g.regs.gpr[GPR_RCX], 0);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI] + g.regs.gpr[GPR_RCX], 0x200000 + (8u << 20));

	guest_control(&g, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), false);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0);
}
END_TEST

START_TEST(a_kick_ends_a_long_rep)
{
	g.regs.gpr[GPR_RSI] = 0x200000;
	g.regs.gpr[GPR_RCX] = 8u << 20;
	guest_code(&g, "f3 ac 0f 01 c1");
	machine_soft.kick(g.machine);
	ck_assert_int_eq(machine_soft.enter(g.machine, &g.vmcs, &g.regs), -4 /* EINTR */);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
}
END_TEST

START_TEST(segment_override_is_of_the_source_only)
{
	guest_set(&g, VMCS_GUEST_GS_BASE, 0x1000);
	g.ram[0x151000] = 0x77;
	g.regs.gpr[GPR_RSI] = 0x150000;
	g.regs.gpr[GPR_RDI] = 0x150100;
	guest_code(&g, "65 a4 0f 01 c1"); /* movsb from gs:[rsi] */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x150100], 0x77);
}
END_TEST

START_TEST(address_size_of_32_bits)
{
	g.regs.gpr[GPR_RDI] = 0xffffffff00150000;
	g.regs.gpr[GPR_RCX] = 0xffffffff00000002;
	g.regs.gpr[GPR_RAX] = 0x5a;
	guest_code(&g, "67 f3 aa 0f 01 c1");
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x150001], 0x5a);
	ck_assert_uint_eq(g.ram[0x150002], 0);
	ck_assert_uint_eq(g.regs.gpr[GPR_RDI], 0x150002); /* a 32-bit result clears the upper half */
	ck_assert_uint_eq(g.regs.gpr[GPR_RCX], 0);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("string");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, rep_movsb_stops_at_the_fault_and_goes_on);
	tcase_add_test(cases, backwards_by_quadwords);
	tcase_add_test(cases, repne_scasb_finds_the_end_of_a_string);
	tcase_add_test(cases, repe_cmpsb_stops_at_the_difference);
	tcase_add_test(cases, count_of_zero_does_nothing);
	tcase_add_test(cases, long_rep_is_interrupted_by_the_preemption_timer);
	tcase_add_test(cases, a_kick_ends_a_long_rep);
	tcase_add_test(cases, segment_override_is_of_the_source_only);
	tcase_add_test(cases, address_size_of_32_bits);
	return guest_main("soft: isa string", cases);
}
