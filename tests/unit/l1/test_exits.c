/* SPDX-License-Identifier: Apache-2.0 */
/* The exit handlers, compiled for the host on a VMCS that counts: each path makes exactly the accesses that
 * profiles.def and exit_fields.def promise, each once, and does its job. */
#include <check.h>
#include <stdlib.h>

#include "abi/testdev.h"
#include "fixture.h"
#include "shadowvmcs/nested.h"
#include "shadowvmcs/x86.h"

#define QUALIFICATION(port, in, bytes) ((uint64_t)(port) << 16 | (in) << 3 | ((bytes)-1))
#define INJECT_TIMER (INTR_INFO_VALID | TESTDEV_TIMER_VECTOR)
#define INJECT_UD (INTR_INFO_VALID | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT | VECTOR_UD)

static const uint8_t store_eax_rdi[] = {0x89, 0x07}; /* mov %eax, (%rdi) */

static void set_instruction(const uint8_t *code, size_t bytes)
{
	memcpy(fixture_l2(FIXTURE_RIP), code, bytes);
}

/* ---- each path of exit_fields.def ---- */

static void prepare_CPUID(void)
{
	l1_l2_regs.rax = TESTDEV_CPUID_LEAF;
	l1_l2_regs.rbx = ~0ull;
}

static void verify_CPUID(void)
{
	ck_assert_uint_eq(l1_l2_regs.rax, TESTDEV_CPUID_MAGIC);
	ck_assert_uint_eq(l1_l2_regs.rbx, 0);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 2);
}

static void prepare_VMCALL(void)
{
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 3;
}

static void verify_VMCALL(void)
{
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 3);
}

static void prepare_RDTSC(void) {}

static void verify_RDTSC(void)
{
	ck_assert_uint_eq(l1_l2_regs.rdx << 32 | l1_l2_regs.rax, l1_read_tsc());
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 2);
}

static void prepare_RDMSR(void)
{
	l1_l2_regs.rcx = TESTDEV_MSR;
	l1.msr_value = 0x1122334455667788ull;
}

static void verify_RDMSR(void)
{
	ck_assert_uint_eq(l1_l2_regs.rax, 0x55667788);
	ck_assert_uint_eq(l1_l2_regs.rdx, 0x11223344);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 2);
}

static void prepare_WRMSR(void)
{
	l1_l2_regs.rcx = TESTDEV_MSR;
	l1_l2_regs.rax = 0xffffffff55667788ull;
	l1_l2_regs.rdx = 0x11223344;
}

static void verify_WRMSR(void)
{
	ck_assert_uint_eq(l1.msr_value, 0x1122334455667788ull);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 2);
}

static void prepare_PIO(void)
{
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_PIO, 0, 4);
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 1;
	l1_l2_regs.rax = 0xffffffff12345678ull;
}

static void verify_PIO(void)
{
	ck_assert_uint_eq(l1.pio_value, 0x12345678);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 1);
}

static void prepare_TIMER(void)
{
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_TIMER, 0, 4);
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 1;
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
}

static void verify_TIMER(void)
{
	ck_assert_uint_eq(l1.timer, L1_TIMER_ARMED);
	ck_assert_uint_eq(fixture.timer_arms, 0);
}

static void prepare_TOUCH_RESET(void)
{
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_TOUCH, 0, 4);
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 1;
	l1_l2_regs.rax = TESTDEV_TOUCH_RESET;
	l1_ept_touch(&l1.ept, FIXTURE_TOUCH_BASE + 0x5000);
}

static void verify_TOUCH_RESET(void)
{
	ck_assert_uint_eq(l1.ept.touch_entries[5], 0);
	ck_assert_uint_eq(fixture.invepts, 1);
}

static void prepare_MMIO(void)
{
	fixture.field[VMCS_GUEST_PHYSICAL_ADDRESS] = TESTDEV_MMIO_GPA;
	set_instruction(store_eax_rdi, sizeof(store_eax_rdi));
	l1_l2_regs.rax = 0x99abcdef;
}

static void verify_MMIO(void)
{
	ck_assert_uint_eq(l1.mmio_value, 0x99abcdef);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 2);
}

static void prepare_TOUCH(void)
{
	fixture.field[VMCS_GUEST_PHYSICAL_ADDRESS] = FIXTURE_TOUCH_BASE + 0x3008;
}

static void verify_TOUCH(void)
{
	ck_assert_uint_eq(l1.ept.touch_entries[3],
	        (l1.l2_base + FIXTURE_TOUCH_BASE + 0x3000) | EPT_RWX | EPT_MEMORY_TYPE_WB << 3);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP);
}

static void prepare_MOV_CR3(void)
{
	fixture.field[VMCS_EXIT_QUALIFICATION] = 3 | 9 << 8; /* MOV R9, CR3 */
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 4;
	l1_l2_regs.r9 = 0x4000;
}

static void verify_MOV_CR3(void)
{
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_CR3], 0x4000);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 4);
}

static void prepare_INVLPG(void)
{
	fixture.field[VMCS_EXIT_QUALIFICATION] = FIXTURE_RIP;
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 3;
}

static void verify_INVLPG(void)
{
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 3);
}

static void prepare_EXCEPTION(void)
{
	fixture.field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = INJECT_UD;
}

static void verify_EXCEPTION(void)
{
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_UD);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP);
}

static void prepare_HLT(void)
{
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	fixture.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_STI;
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 1;
	l1.timer = L1_TIMER_ARMED;
}

static void verify_HLT(void)
{
	ck_assert_uint_eq(fixture.timer_arms, 1);
	ck_assert_uint_eq(fixture.timer_waits, 1);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_INTERRUPTIBILITY_STATE], 0);
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_TIMER);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP + 1);
}

static const struct {
	const char *name;
	uint32_t reason;
	void (*prepare)(void), (*verify)(void);
} paths[] = {
#define prepare_SHADOW_FAULT NULL
#define verify_SHADOW_FAULT NULL
#define EXIT_PATH(path, reason, text) {#path, EXIT_REASON_##reason, prepare_##path, verify_##path},
#include "l1/exit_fields.def"
};

enum {
#define EXIT_PATH(path, reason, text) PATH_##path,
#include "l1/exit_fields.def"
	PATH_COUNT
};

static void expected_fields(unsigned profile, unsigned path, bool log, bool reads[], bool writes[])
{
#define PROFILE_READ(p, name) reads[VMCS_##name] |= BOOT_PROFILE_##p == profile;
#define PROFILE_WRITE(p, name) writes[VMCS_##name] |= BOOT_PROFILE_##p == profile;
#include "l1/profiles.def"
#define PATH_READ(p, name) reads[VMCS_##name] |= PATH_##p == path;
#define PATH_WRITE(p, name) writes[VMCS_##name] |= PATH_##p == path;
#define LOG_READ(name) reads[VMCS_##name] |= log;
#include "l1/exit_fields.def"
}

/* Loop: path * 8 + profile * 2 + log. */
START_TEST(path_makes_the_promised_accesses)
{
	const unsigned path = _i / 8, profile = _i / 2 % 4;
	const bool log = _i % 2;
	bool reads[VMCS_FIELD_COUNT] = {0}, writes[VMCS_FIELD_COUNT] = {0};

	if (!paths[path].prepare) /* test_mmu_shadow.c */
		return;
	fixture_setup(BOOT_MMU_EPT);
	/* Profiles that read the length would go wrong with none. */
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 2;
	paths[path].prepare();
	ck_assert(fixture_exit(profile, log, paths[path].reason));
	paths[path].verify();
	ck_assert_uint_eq(fixture.own_exits, profile == BOOT_PROFILE_KVM_PIO ? 12 : 0);
	expected_fields(profile, path, log, reads, writes);
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		ck_assert_msg(fixture.reads[field] == reads[field], "%s, profile %u: %s read %u times",
		        paths[path].name, profile, vmcs_field_infos[field].name, fixture.reads[field]);
		ck_assert_msg(fixture.writes[field] == writes[field], "%s, profile %u: %s written %u times",
		        paths[path].name, profile, vmcs_field_infos[field].name, fixture.writes[field]);
	}
	fixture_teardown();
}
END_TEST

/* ---- what a path does beyond its one usual case ---- */

START_TEST(pio_reads_back_in_the_access_width)
{
	fixture_setup(BOOT_MMU_EPT);
	l1.pio_value = 0x11223344;
	l1_l2_regs.rax = ~0ull;
	prepare_PIO();
	l1_l2_regs.rax = ~0ull;
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_PIO, 1, 1);
	ck_assert(fixture_exit(_i, false, EXIT_REASON_IO_INSTRUCTION));
	ck_assert_uint_eq(l1_l2_regs.rax, 0xffffffffffffff44ull);
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_PIO, 1, 2);
	ck_assert(fixture_exit(_i, false, EXIT_REASON_IO_INSTRUCTION));
	ck_assert_uint_eq(l1_l2_regs.rax, 0xffffffffffff3344ull);
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(TESTDEV_PORT_PIO, 1, 4);
	ck_assert(fixture_exit(_i, false, EXIT_REASON_IO_INSTRUCTION));
	ck_assert_uint_eq(l1_l2_regs.rax, 0x11223344);
	fixture_teardown();
}
END_TEST

START_TEST(other_msr_is_a_general_protection_fault)
{
	fixture_setup(BOOT_MMU_EPT);
	l1_l2_regs.rcx = 0x1234;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_RDMSR));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], 0x80000b0d);
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE], 0);
	ck_assert_uint_eq(fixture.field[VMCS_GUEST_RIP], FIXTURE_RIP);
	fixture_teardown();
}
END_TEST

/* An event is injected once: the next exit's epilogue must not write it again. */
START_TEST(event_is_injected_once)
{
	fixture_setup(BOOT_MMU_EPT);
	prepare_EXCEPTION();
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXCEPTION_OR_NMI));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_UD);
	/* The exit clears the valid bit (SDM vol. 3, 28.2). */
	fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] &= ~(uint64_t)INTR_INFO_VALID;
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 3;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_VMCALL));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & INTR_INFO_VALID, 0);
	fixture_teardown();
}
END_TEST

/* A first touch by the delivery of an event: the event must not be lost (SDM vol. 3, 28.2.4). */
START_TEST(interrupted_event_is_injected_again)
{
	fixture_setup(BOOT_MMU_EPT);
	prepare_TOUCH();
	fixture.field[VMCS_IDT_VECTORING_INFORMATION] = INJECT_TIMER | 1u << 12; /* bit 12 is undefined */
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EPT_VIOLATION));
	verify_TOUCH();
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_TIMER);

	/* INT3 with an error code's flag set in the field: length and code go along. */
	fixture.field[VMCS_IDT_VECTORING_INFORMATION] = INTR_INFO_VALID | INTR_INFO_ERROR_CODE |
	                                                INTR_TYPE_SOFTWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT |
	                                                VECTOR_BP;
	fixture.field[VMCS_IDT_VECTORING_ERROR_CODE] = 0x18;
	fixture.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = 1;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EPT_VIOLATION));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE], 0x18);
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INSTRUCTION_LENGTH], 1);
	fixture_teardown();
}
END_TEST

START_TEST(timer_armed_with_interrupts_on_runs_at_once)
{
	fixture_setup(BOOT_MMU_EPT);
	prepare_TIMER();
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_IO_INSTRUCTION));
	ck_assert_uint_eq(fixture.timer_arms, 1);
	ck_assert_uint_eq(l1.timer, L1_TIMER_RUNS);

	/* Its interrupt, while L2 can take it. */
	fixture.interrupt_pending = true;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXTERNAL_INTERRUPT));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_TIMER);
	ck_assert_uint_eq(l1.timer, L1_TIMER_OFF);
	fixture_teardown();
}
END_TEST

START_TEST(interrupt_waits_for_the_window)
{
	fixture_setup(BOOT_MMU_EPT);
	l1.timer = L1_TIMER_RUNS;
	fixture.interrupt_pending = true;
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_EXTERNAL_INTERRUPT));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], 0);
	ck_assert(fixture.field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] &
	          VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING));
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	ck_assert(fixture_exit(_i, false, EXIT_REASON_INTERRUPT_WINDOW));
	ck_assert_uint_eq(fixture.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], INJECT_TIMER);
	ck_assert(!(fixture.field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] &
	            VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING)));
	fixture_teardown();
}
END_TEST

/* What L1 cannot handle is reported, never passed over. */
START_TEST(unhandled_exits_are_reported)
{
	fixture_setup(BOOT_MMU_EPT);
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_TRIPLE_FAULT));
	ck_assert_str_eq(fixture.report, "has no handler in L1's exit table");
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE));
	ck_assert(!fixture_exit(_i, false, 0xffff));
	fixture.field[VMCS_EXIT_QUALIFICATION] = QUALIFICATION(0x80, 0, 1);
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_IO_INSTRUCTION));
	fixture.field[VMCS_GUEST_PHYSICAL_ADDRESS] = FIXTURE_L2_SIZE;
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_EPT_VIOLATION));
	prepare_HLT();
	fixture.field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_HLT));
	prepare_HLT();
	l1.timer = L1_TIMER_OFF;
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_HLT));
	prepare_MMIO();
	fixture.field[VMCS_GUEST_RIP] = FIXTURE_L2_SIZE;
	ck_assert(!fixture_exit(_i, false, EXIT_REASON_EPT_VIOLATION));
	fixture_teardown();
}
END_TEST

START_TEST(exit_log_keeps_the_first_exits)
{
	struct exit_log_entry log[2] = {0};

	fixture_setup(BOOT_MMU_EPT);
	l1.boot->flags = BOOT_FLAG_EXIT_LOG | BOOT_FLAG_STAMPS;
	l1.boot->log_base = (uint64_t)log;
	l1.boot->log_capacity = 2;
	prepare_PIO();
	/* What a machine leaves in a field that this exit does not define must not reach the log. */
	fixture.field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = 0xdead;
	for (unsigned i = 0; i < 3; i++)
		ck_assert(fixture_exit(_i, true, EXIT_REASON_IO_INSTRUCTION));
	ck_assert_uint_eq(l1.boot->log_count, 3);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(log[i].reason, EXIT_REASON_IO_INSTRUCTION);
		ck_assert_uint_eq(log[i].instruction_length, 1);
		ck_assert_uint_eq(log[i].qualification, QUALIFICATION(TESTDEV_PORT_PIO, 0, 4));
		ck_assert_uint_eq(log[i].guest_rip, FIXTURE_RIP + i);
		ck_assert_uint_eq(log[i].interruption_info, 0);
		ck_assert_uint_eq(log[i].idt_vectoring_info, 0);
		ck_assert_uint_eq(log[i].guest_physical_address, 0);
	}
	ck_assert_uint_eq(l1.boot->stamps.l1_handler_begin, l1_read_tsc());
	ck_assert_uint_eq(l1.boot->stamps.l1_handler_end, l1_read_tsc());
	fixture_teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: exits");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, path_makes_the_promised_accesses, 0, 8 * PATH_COUNT);
	tcase_add_loop_test(tcase, pio_reads_back_in_the_access_width, 0, 3);
	tcase_add_loop_test(tcase, other_msr_is_a_general_protection_fault, 0, 3);
	tcase_add_loop_test(tcase, event_is_injected_once, 0, 3);
	tcase_add_loop_test(tcase, interrupted_event_is_injected_again, 0, 3);
	tcase_add_loop_test(tcase, timer_armed_with_interrupts_on_runs_at_once, 0, 3);
	tcase_add_loop_test(tcase, interrupt_waits_for_the_window, 0, 3);
	tcase_add_loop_test(tcase, unhandled_exits_are_reported, 0, 3);
	tcase_add_loop_test(tcase, exit_log_keeps_the_first_exits, 0, 3);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
