/* SPDX-License-Identifier: Apache-2.0 */
/* The run loop and L0's emulation for level 1, on a machine that plays back exits. */
#include "fixture.h"

#include <errno.h>

#include "abi/pv_vmx.h"
#include "shadowvmcs/x86.h"

#define IO EXIT_REASON_IO_INSTRUCTION
#define MARK(mark, sample)                                                                                             \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(TESTDEV_PORT_MARK, 4), .length = 1, .rax = (mark),          \
		.rbx = (sample)                                                                                        \
	}
#define END(status)                                                                                                    \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(TESTDEV_PORT_END, 4), .length = 1, .rax = (status)          \
	}
#define OUT(port, value)                                                                                               \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(port, 4), .length = 1, .rax = (value)                       \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct script_vmm s;

static void setup(void)
{
	script_real_vmx = false;
}

static void teardown(void)
{
	script_fini(&s);
}

START_TEST(marks_cut_the_ledger)
{
	static const struct script_exit exits[] = {OUT(TESTDEV_PORT_PIO, 1), MARK(TESTDEV_MARK_CONTROL_BEGIN, 3),
	        OUT(TESTDEV_PORT_PIO, 2), MARK(TESTDEV_MARK_CONTROL_END, 3), MARK(TESTDEV_MARK_SAMPLE_BEGIN, 4),
	        OUT(TESTDEV_PORT_PIO, 3), OUT(TESTDEV_PORT_PIO, 4), MARK(TESTDEV_MARK_SAMPLE_END, 4), OUT(0x80, 0),
	        END(TESTDEV_END_OK)};
	static const struct {
		uint8_t phase, flags;
		uint16_t sample;
	} expected[] = {{LEDGER_SETUP, 0, 0}, {LEDGER_SETUP, LEDGER_FLAG_MARK, 0}, {LEDGER_CONTROL, 0, 3},
	        {LEDGER_SETUP, LEDGER_FLAG_MARK, 0}, {LEDGER_SETUP, LEDGER_FLAG_MARK, 0}, {LEDGER_MEASURED, 0, 4},
	        {LEDGER_MEASURED, 0, 4}, {LEDGER_SETUP, LEDGER_FLAG_MARK, 0}, {LEDGER_SETUP, 0, 0},
	        {LEDGER_SETUP, 0, 0}};

	script_init(&s, exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	ck_assert_int_eq(s.vmm.status, TESTDEV_END_OK);
	ck_assert_uint_eq(s.ledger.counted, COUNT(expected));
	for (unsigned i = 0; i < COUNT(expected); i++) {
		const struct ledger_record *record = script_record(&s, i);
		ck_assert_uint_eq(record->phase, expected[i].phase);
		ck_assert_uint_eq(record->flags, expected[i].flags);
		ck_assert_uint_eq(record->sample, expected[i].sample);
		ck_assert_uint_eq(record->level, 1);
		ck_assert_uint_eq(record->handler, LEDGER_BY_L0);
		ck_assert_uint_eq(record->reason, IO);
		ck_assert_uint_eq(record->detail, exits[i].qualification);
	}
}
END_TEST

/* The script's enter takes 1000, every reading of the clock 100: the record's times must be made of these. */
START_TEST(records_hold_guest_and_l0_time)
{
	static const struct script_exit exits[] = {OUT(TESTDEV_PORT_PIO, 1), OUT(TESTDEV_PORT_PIO, 1),
	        {.error = -EINTR}, OUT(TESTDEV_PORT_PIO, 1), END(TESTDEV_END_OK)};

	script_init(&s, exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	ck_assert_uint_eq(s.ledger.counted, 4);
	ck_assert_uint_eq(script_record(&s, 0)->guest_ticks, 1100);
	ck_assert_uint_eq(script_record(&s, 0)->l0_ticks, 100);
	ck_assert_uint_eq(script_record(&s, 1)->tsc - script_record(&s, 0)->tsc, 1200);
	/* A kick is no exit: the guest's time goes on over it. */
	ck_assert_uint_ge(script_record(&s, 2)->guest_ticks, 2200);
}
END_TEST

START_TEST(rip_moves_behind_each_instruction)
{
	static const struct script_exit exits[] = {
	        {.reason = EXIT_REASON_CPUID, .length = 2, .rax = TESTDEV_CPUID_LEAF},
	        {.reason = EXIT_REASON_VMCALL, .length = 3}, {.reason = EXIT_REASON_WBINVD, .length = 2},
	        {.reason = EXIT_REASON_INVLPG, .length = 3},
	        {.reason = EXIT_REASON_CONTROL_REGISTER_ACCESS, .qualification = 3, .length = 3, .rax = 0x5000},
	        {.reason = EXIT_REASON_RDTSC, .length = 2}, END(TESTDEV_END_OK)};
	static const unsigned moved[] = {0, 2, 5, 7, 10, 13, 15};

	script_init(&s, exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	for (unsigned i = 0; i < COUNT(moved); i++)
		ck_assert_uint_eq(script_of(&s.vmm)->entered[i].rip, 0x100000 + moved[i]);
	ck_assert_uint_eq(vmcs_get(&s.vmm.vmcs01, VMCS_GUEST_CR3), 0x5000);
}
END_TEST

/* Results that the next exit of a script would overwrite: stop behind the instruction. */
static void run_one(const struct script_exit *exit)
{
	static struct script_exit exits[2];

	exits[0] = *exit;
	exits[1] = (struct script_exit){.error = -EIO};
	script_init(&s, exits, 2);
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_str_eq(s.vmm.why.text, "the script says so");
}

START_TEST(cpuid_shows_who_answers)
{
	run_one(&(struct script_exit){.reason = EXIT_REASON_CPUID, .length = 2, .rax = TESTDEV_CPUID_LEAF});
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], TESTDEV_CPUID_MAGIC);
}
END_TEST

START_TEST(cpuid_shows_vmx_only_where_it_is_real)
{
	script_real_vmx = _i;
	run_one(&(struct script_exit){.reason = EXIT_REASON_CPUID, .length = 2, .rax = 1});
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RCX] >> 5 & 1, _i);
}
END_TEST

START_TEST(in_keeps_the_rest_of_rax)
{
	static const struct {
		unsigned size;
		uint64_t rax;
	} sizes[] = {{1, 0xffffffffffffff01}, {2, 0xffffffffffff0001}, {4, 0x00000001}};

	run_one(&(struct script_exit){.reason = IO,
	        .qualification = QUALIFY_IN(TESTDEV_PORT_LEVEL, sizes[_i].size),
	        .length = 1,
	        .rax = ~0ull});
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], sizes[_i].rax);
}
END_TEST

START_TEST(the_test_msr_reads_back)
{
	static const struct script_exit exits[] = {
	        {.reason = EXIT_REASON_WRMSR, .length = 2, .rcx = TESTDEV_MSR, .rax = 0xffffffff12345678},
	        {.reason = EXIT_REASON_RDMSR, .length = 2, .rcx = TESTDEV_MSR}, {.error = -EIO}};

	script_init(&s, exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], 0x12345678);
	ck_assert_uint_eq(script_record(&s, 0)->detail, TESTDEV_MSR);
}
END_TEST

START_TEST(an_unknown_msr_is_gp)
{
	run_one(&(struct script_exit){.reason = EXIT_REASON_RDMSR, .length = 2, .rcx = 0xdead});
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0x80000b0d);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].rip, 0x100000);
}
END_TEST

START_TEST(an_intercepted_exception_comes_back)
{
	run_one(&(struct script_exit){.reason = EXIT_REASON_EXCEPTION_OR_NMI, .interruption_info = 0x80000306});
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0x80000306);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].rip, 0x100000);
}
END_TEST

START_TEST(first_touch_maps_one_page)
{
	run_one(&(struct script_exit){
	        .reason = EXIT_REASON_EPT_VIOLATION, .qualification = 0x182, .gpa = (2 << 20) + 0x5678});
	ck_assert_uint_eq(script_of(&s.vmm)->maps, 1);
	ck_assert_uint_eq(script_of(&s.vmm)->mapped_gpa, (2 << 20) + 0x5000);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].rip, 0x100000);
	ck_assert_uint_eq(script_record(&s, 0)->detail, (2 << 20) + 0x5678);
}
END_TEST

START_TEST(an_event_cut_short_by_a_first_touch_comes_again)
{
	run_one(&(struct script_exit){.reason = EXIT_REASON_EPT_VIOLATION,
	        .qualification = 0x182,
	        .gpa = (2 << 20) + 0x5678,
	        .vectoring_info = 0x80000040});
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0x80000040);
}
END_TEST

START_TEST(device_stores_reach_the_device)
{
	run_one(&(struct script_exit){
	        .reason = EXIT_REASON_EPT_VIOLATION, .qualification = 0x182, .gpa = TESTDEV_MMIO_GPA, .rax = 77});
	ck_assert_uint_eq(s.vmm.testdev.mmio_value[0], 77);
}
END_TEST

static const struct {
	struct script_exit exit;
	const char *says[3];
} fatal[] = {{{.reason = EXIT_REASON_TRIPLE_FAULT}, {"level 1", "triple fault", "RIP 0x100000"}},
        {{.reason = EXIT_REASON_EPT_VIOLATION, .qualification = 2, .gpa = 0x123456789000},
                {"level 1 wrote to", "0x123456789000", "RIP 0x100000"}},
        {{.reason = EXIT_REASON_EPT_VIOLATION, .qualification = 4, .gpa = 0x70000000},
                {"fetched from", "0x70000000", "RIP"}},
        {{.reason = EXIT_REASON_HLT, .length = 1}, {"halted", "nothing to wake it", "0x100001"}},
        {{.reason = EXIT_REASON_TASK_SWITCH}, {"TASK_SWITCH", "level 1", "no handler"}},
        {{.reason = EXIT_REASON_CONTROL_REGISTER_ACCESS, .qualification = 4, .length = 3}, {"CR4", "level 1", ""}}};

START_TEST(what_cannot_go_on_ends_with_a_sentence)
{
	script_init(&s, &fatal[_i].exit, 1);
	ck_assert_int_lt(vmm_run(&s.vmm), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_msg(strstr(s.vmm.why.text, fatal[_i].says[i]) != NULL, "%s", s.vmm.why.text);
	/* The exit itself is in the ledger. */
	ck_assert_uint_eq(s.ledger.counted, 1);
}
END_TEST

START_TEST(the_timer_wakes_a_halt)
{
	static const struct script_exit exits[] = {
	        OUT(TESTDEV_PORT_TIMER, 100000), {.reason = EXIT_REASON_HLT, .length = 1}, END(TESTDEV_END_OK)};

	script_init(&s, exits, COUNT(exits));
	vmcs_set(&s.vmm.vmcs01, VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	ck_assert_uint_eq(script_of(&s.vmm)->idles, 1);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[2].entry_info, INTR_INFO_VALID | TESTDEV_TIMER_VECTOR);
	ck_assert_uint_eq(s.ledger.counted, 3);
}
END_TEST

/* With interrupts off the interrupt waits for a window; its exit brings it in. */
START_TEST(a_masked_interrupt_waits_for_its_window)
{
	static const struct script_exit masked[] = {OUT(TESTDEV_PORT_TIMER, 0), {.error = -EIO}};
	static const struct script_exit opened[] = {{.reason = EXIT_REASON_INTERRUPT_WINDOW}, END(TESTDEV_END_OK)};
	const uint64_t window = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);

	script_init(&s, masked, COUNT(masked));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert(vmcs_get(&s.vmm.vmcs01, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) & window);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0);
	/* The guest turns interrupts on; the window opens. */
	script_of(&s.vmm)->exits = opened;
	script_of(&s.vmm)->next = 0;
	vmcs_set(&s.vmm.vmcs01, VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	ck_assert(!(vmcs_get(&s.vmm.vmcs01, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) & window));
	ck_assert_int_eq(s.vmm.pending_vector, -1);
}
END_TEST

START_TEST(a_bounded_run_ends)
{
	static const struct script_exit exits[] = {{.error = -EINTR}};

	script_init(&s, exits, COUNT(exits));
	s.vmm.clock_limit = 500;
	ck_assert_int_eq(vmm_run(&s.vmm), -ETIME);
	ck_assert(strstr(s.vmm.why.text, "limit of 500 instructions") != NULL);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, marks_cut_the_ledger);
	tcase_add_test(tests, records_hold_guest_and_l0_time);
	tcase_add_test(tests, rip_moves_behind_each_instruction);
	tcase_add_test(tests, cpuid_shows_who_answers);
	tcase_add_loop_test(tests, cpuid_shows_vmx_only_where_it_is_real, 0, 2);
	tcase_add_loop_test(tests, in_keeps_the_rest_of_rax, 0, 3);
	tcase_add_test(tests, the_test_msr_reads_back);
	tcase_add_test(tests, an_unknown_msr_is_gp);
	tcase_add_test(tests, an_intercepted_exception_comes_back);
	tcase_add_test(tests, first_touch_maps_one_page);
	tcase_add_test(tests, an_event_cut_short_by_a_first_touch_comes_again);
	tcase_add_test(tests, device_stores_reach_the_device);
	tcase_add_loop_test(tests, what_cannot_go_on_ends_with_a_sentence, 0, (int)COUNT(fatal));
	tcase_add_test(tests, the_timer_wakes_a_halt);
	tcase_add_test(tests, a_masked_interrupt_waits_for_its_window);
	tcase_add_test(tests, a_bounded_run_ends);
}

int main(void)
{
	return run_tests("run", add);
}
