/* SPDX-License-Identifier: Apache-2.0 */
/* The run loop with L1 and L2: paravirtual VMX calls, routing, reflection, and what the ledger says of each. */
#include "fixture.h"

#include <errno.h>

#include "abi/pv_vmx.h"
#include "shadowvmcs/ept12.h"
#include "shadowvmcs/x86.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IO EXIT_REASON_IO_INSTRUCTION
#define PV(op, rcx_, rbx_)                                                                                             \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(PV_VMX_PORT, 1), .length = 2, .rax = (op), .rcx = (rcx_),   \
		.rbx = (rbx_)                                                                                          \
	}
#define LAUNCH                                                                                                         \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(PV_VMLAUNCH_PORT, 1), .length = 2                           \
	}
#define RESUME                                                                                                         \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(PV_VMRESUME_PORT, 1), .length = 2                           \
	}
#define OUT(port, value)                                                                                               \
	{                                                                                                              \
		.reason = IO, .qualification = QUALIFY_OUT(port, 4), .length = 1, .rax = (value)                       \
	}
#define CPUID                                                                                                          \
	{                                                                                                              \
		.reason = EXIT_REASON_CPUID, .length = 2                                                               \
	}
#define END OUT(TESTDEV_PORT_END, 0)
#define START PV(PV_VMXON, GPA_VMXON, 0), PV(PV_VMPTRLD, GPA_VMCS12, 0), LAUNCH

/* L1-physical addresses. */
#define GPA_VMXON 0x10000
#define GPA_VMCS12 0x11000
#define GPA_IO_A 0x12000
#define GPA_IO_B 0x13000
#define GPA_EPT12 0x20000
#define HOST_RIP 0x108000
#define L2_RIP 0x100000

static struct script_vmm s;

static struct vmcs *vmcs12(void)
{
	return (struct vmcs *)(s.vmm.machine->ram + GPA_VMCS12);
}

/* EPT12: one 2 MiB page of RAM at 0, one entry below it for a device. */
static void make_ept12(void)
{
	uint64_t *table = (uint64_t *)(s.vmm.machine->ram + GPA_EPT12);

	table[0] = (GPA_EPT12 + 0x1000) | EPT_RWX;
	table[512] = (GPA_EPT12 + 0x2000) | EPT_RWX;
	table[512 + 3] = (GPA_EPT12 + 0x3000) | EPT_RWX;
	table[1024] = EPT_RWX | EPT_LARGE | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT;
	/* L2-physical 0xd0000000 is L1-physical 0xd0000000: L1 gives L2 the test device of L0. */
	table[1536 + ((TESTDEV_MMIO_GPA >> 21) & 511)] =
	        (TESTDEV_MMIO_GPA & -(2ull << 20)) | EPT_RWX | EPT_LARGE | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT;
}

/* A vmcs12 as L1 would have written it: L0 makes a good VMCS for its own guest, so start from one. */
static void make_vmcs12(void)
{
	const struct nested_page no_bitmap = {NULL, 0};
	const struct vmm_intercepts none = {0};
	struct vmcs *v = vmcs12();
	struct guest_regs regs;

	vmcs01_init(v, s.vmm.machine, &none, &no_bitmap);
	vmcs01_start_64(v, &regs, L2_RIP, 0x4000, 0x20000, 0x1000);
	v->field[VMCS_PIN_BASED_VM_EXECUTION_CONTROLS] = 0x16 | VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING);
	v->field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] = 0x04006172 | VMX_BIT(PROC_HLT_EXITING) |
	                                                               VMX_BIT(PROC_USE_IO_BITMAPS) |
	                                                               VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS);
	v->field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] = VMX_BIT(PROC2_ENABLE_EPT);
	v->field[VMCS_PRIMARY_VM_EXIT_CONTROLS] = 0x36dfb | VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) |
	                                          VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) | VMX_BIT(EXIT_LOAD_IA32_EFER) |
	                                          VMX_BIT(EXIT_SAVE_IA32_EFER);
	v->field[VMCS_VM_ENTRY_CONTROLS] = 0x11fb | VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER);
	v->field[VMCS_IO_BITMAP_A] = GPA_IO_A;
	v->field[VMCS_IO_BITMAP_B] = GPA_IO_B;
	v->field[VMCS_EPT_POINTER] = GPA_EPT12 | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB;
	v->field[VMCS_GUEST_CR4] = CR4_PAE | CR4_VMXE;
	v->field[VMCS_HOST_CR3] = 0x4000;
	v->field[VMCS_HOST_RIP] = HOST_RIP;
	v->field[VMCS_HOST_RSP] = 0x1f000;
	v->launched = 0;
}

static void start(const struct script_exit *exits, unsigned count)
{
	script_real_vmx = false;
	script_init(&s, exits, count);
	*(uint32_t *)(s.vmm.machine->ram + GPA_VMXON) = VMCS_REVISION_ID;
	make_ept12();
	make_vmcs12();
}

static void run(const struct script_exit *exits, unsigned count)
{
	start(exits, count);
	ck_assert_msg(vmm_run(&s.vmm) == 0, "%s", s.vmm.why.text);
}

static void teardown(void)
{
	script_fini(&s);
}

static void expect_record(
        unsigned n, unsigned level, unsigned reason, unsigned handler, unsigned flags, uint64_t detail)
{
	const struct ledger_record *record = script_record(&s, n);

	ck_assert_msg(record->level == level && record->reason == reason && record->handler == handler &&
	                      record->flags == flags && record->detail == detail,
	        "record %u: level %u %s handler %u flags %u detail %#lx", n, record->level,
	        exit_reason_name(record->reason), record->handler, record->flags, record->detail);
}

START_TEST(a_round_trip)
{
	static const struct script_exit exits[] = {START, CPUID, PV(PV_VMREAD, VMCS_ENC_EXIT_REASON, 0),
	        PV(PV_VMWRITE, VMCS_ENC_GUEST_RIP, L2_RIP + 2), RESUME, OUT(TESTDEV_PORT_CONSOLE, 'x'), END};

	run(exits, COUNT(exits));
	expect_record(0, 1, EXIT_REASON_VMXON, LEDGER_BY_ENGINE, 0, 0);
	expect_record(1, 1, EXIT_REASON_VMPTRLD, LEDGER_BY_ENGINE, 0, 0);
	expect_record(2, 1, EXIT_REASON_VMLAUNCH, LEDGER_BY_ENGINE, LEDGER_FLAG_ENTERS_L2, 0);
	expect_record(3, 2, EXIT_REASON_CPUID, LEDGER_BY_L1, 0, 0);
	expect_record(4, 1, EXIT_REASON_VMREAD, LEDGER_BY_ENGINE, 0, VMCS_ENC_EXIT_REASON);
	expect_record(5, 1, EXIT_REASON_VMWRITE, LEDGER_BY_ENGINE, 0, VMCS_ENC_GUEST_RIP);
	expect_record(6, 1, EXIT_REASON_VMRESUME, LEDGER_BY_ENGINE, LEDGER_FLAG_ENTERS_L2, 0);
	/* A port that L1's bitmap leaves clear is L0's alone. */
	expect_record(7, 2, IO, LEDGER_BY_L0, 0, QUALIFY_OUT(TESTDEV_PORT_CONSOLE, 4));
	ck_assert_str_eq(s.vmm.console.text, "x");

	static const uint8_t levels[] = {1, 1, 1, 2, 1, 1, 1, 2, 2};
	for (unsigned i = 0; i < COUNT(levels); i++)
		ck_assert_uint_eq(script_of(&s.vmm)->entered[i].level, levels[i]);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[3].rip, L2_RIP);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[4].rip, HOST_RIP);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[5].rip, HOST_RIP + 2);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[7].rip, L2_RIP + 2);
	ck_assert_uint_eq(s.vmm.nested.counters[COUNTER_L2_EXITS], 3);
	ck_assert_uint_eq(s.vmm.nested.counters[COUNTER_REFLECTED], 1);
	ck_assert_uint_ne(s.vmm.first_l2_exit_ns, 0);
}
END_TEST

#define GPA_FRAME 0x15000
#define HLT                                                                                                            \
	{                                                                                                              \
		.reason = EXIT_REASON_HLT, .length = 1                                                                 \
	}

/* With PV_FRAME a HLT that nothing could end is L1's VMRESUME; L2's registers are in the frame while L1 runs. */
START_TEST(a_hlt_with_interrupts_off_is_vmresume)
{
	static const struct script_exit exits[] = {PV(PV_VMXON, GPA_VMXON, 0), PV(PV_FRAME, GPA_FRAME, 0),
	        PV(PV_VMPTRLD, GPA_VMCS12, 0), LAUNCH, {.reason = EXIT_REASON_CPUID, .length = 2, .rax = 7, .rbx = 9},
	        HLT, OUT(TESTDEV_PORT_CONSOLE, 'x'), END};
	const uint64_t *frame;

	run(exits, COUNT(exits));
	expect_record(5, 1, EXIT_REASON_VMRESUME, LEDGER_BY_ENGINE, LEDGER_FLAG_ENTERS_L2, 0);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[5].level, 1);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[6].level, 2);
	frame = (const uint64_t *)(s.vmm.machine->ram + GPA_FRAME);
	ck_assert_uint_eq(frame[GPR_RAX], 7);
	ck_assert_uint_eq(frame[GPR_RBX], 9);
}
END_TEST

/* Without PV_FRAME it is a wait; nothing ends this one. */
START_TEST(a_hlt_without_a_frame_waits)
{
	static const struct script_exit exits[] = {START, CPUID, HLT, END};

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EDEADLK);
	expect_record(4, 1, EXIT_REASON_HLT, LEDGER_BY_L0, 0, 0);
}
END_TEST

START_TEST(the_level_port_says_2)
{
	static const struct script_exit exits[] = {START,
	        {.reason = IO, .qualification = QUALIFY_IN(TESTDEV_PORT_LEVEL, 4), .length = 1}, {.error = -EIO}};

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], 2);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[4].rip, L2_RIP + 1);
}
END_TEST

START_TEST(an_intercepted_port_goes_to_l1)
{
	static const struct script_exit exits[] = {START, OUT(TESTDEV_PORT_PIO, 5), END};

	start(exits, COUNT(exits));
	memset(s.vmm.machine->ram + GPA_IO_A + TESTDEV_PORT_PIO / 8, 0xff, 1);
	ck_assert_int_eq(vmm_run(&s.vmm), 0);
	expect_record(3, 2, IO, LEDGER_BY_L1, 0, QUALIFY_OUT(TESTDEV_PORT_PIO, 4));
	ck_assert_uint_eq(s.vmm.testdev.pio_value, 0);
	ck_assert_uint_eq(vmcs12()->field[VMCS_EXIT_QUALIFICATION], QUALIFY_OUT(TESTDEV_PORT_PIO, 4));
}
END_TEST

START_TEST(a_device_behind_ept12_is_l0s)
{
	static const struct script_exit exits[] = {START,
	        {.reason = EXIT_REASON_EPT_VIOLATION, .qualification = 0x182, .gpa = TESTDEV_MMIO_GPA, .rax = 99}, END};

	run(exits, COUNT(exits));
	expect_record(3, 2, EXIT_REASON_EPT_VIOLATION, LEDGER_BY_L0, 0, TESTDEV_MMIO_GPA);
	ck_assert_uint_eq(s.vmm.testdev.mmio_value[0], 99);
}
END_TEST

START_TEST(a_hole_of_ept12_is_l1s)
{
	static const struct script_exit exits[] = {
	        START, {.reason = EXIT_REASON_EPT_VIOLATION, .qualification = 0x182, .gpa = 0x40000000}, END};

	run(exits, COUNT(exits));
	expect_record(3, 2, EXIT_REASON_EPT_VIOLATION, LEDGER_BY_L1, 0, 0x40000000);
	ck_assert_uint_eq(vmcs12()->field[VMCS_GUEST_PHYSICAL_ADDRESS], 0x40000000);
}
END_TEST

START_TEST(a_triple_fault_of_l2_goes_to_l1)
{
	static const struct script_exit exits[] = {START, {.reason = EXIT_REASON_TRIPLE_FAULT}, END};

	run(exits, COUNT(exits));
	expect_record(3, 2, EXIT_REASON_TRIPLE_FAULT, LEDGER_BY_L1, 0, 0);
}
END_TEST

/* The timer that L1 armed fires while L2 runs: L1 gets an external-interrupt exit with the vector. */
START_TEST(an_interrupt_for_l1_ends_l2)
{
	static const struct script_exit exits[] = {PV(PV_VMXON, GPA_VMXON, 0), PV(PV_VMPTRLD, GPA_VMCS12, 0),
	        OUT(TESTDEV_PORT_TIMER, 2000), LAUNCH, OUT(TESTDEV_PORT_CONSOLE, '.'), END};

	run(exits, COUNT(exits));
	ck_assert_uint_eq(script_of(&s.vmm)->entered[5].level, 1);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[5].rip, HOST_RIP);
	ck_assert_uint_eq(vmcs12()->field[VMCS_EXIT_REASON], EXIT_REASON_EXTERNAL_INTERRUPT);
	ck_assert_uint_eq(
	        vmcs12()->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION], INTR_INFO_VALID | TESTDEV_TIMER_VECTOR);
}
END_TEST

/* L1's MSR-load list cannot be loaded on the way out of L2: L1 must not run again (SDM vol. 3, 28.7). */
START_TEST(a_vmx_abort_on_reflection_ends_the_guest)
{
	static const struct script_exit exits[] = {START, CPUID, END};
	const uint64_t list = 0x14000;

	start(exits, COUNT(exits));
	vmcs12()->field[VMCS_VM_EXIT_MSR_LOAD_COUNT] = 1;
	vmcs12()->field[VMCS_VM_EXIT_MSR_LOAD_ADDRESS] = list;
	*(uint64_t *)(s.vmm.machine->ram + list) = 0xc0000100; /* IA32_FS_BASE may not be in a list */
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_msg(strstr(s.vmm.why.text, "VMX abort"), "%s", s.vmm.why.text);
	ck_assert_uint_eq(script_of(&s.vmm)->next, 4); /* VMXON, VMPTRLD, VMLAUNCH, CPUID, and no more */
}
END_TEST

START_TEST(a_failed_launch_is_marked)
{
	static const struct script_exit exits[] = {
	        PV(PV_VMXON, GPA_VMXON, 0), PV(PV_VMPTRLD, GPA_VMCS12, 0), RESUME, {.error = -EIO}};

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	expect_record(2, 1, EXIT_REASON_VMRESUME, LEDGER_BY_ENGINE, LEDGER_FLAG_ENTRY_FAILURE, 0);
	/* VMfailValid, error 5: VMRESUME with a VMCS that was not launched. */
	ck_assert_uint_eq(PV_VMX_RESULT_KIND(s.vmm.regs.gpr[GPR_RAX]), PV_VMX_RESULT_FAIL_VALID);
	ck_assert_uint_eq(PV_VMX_RESULT_ERROR(s.vmm.regs.gpr[GPR_RAX]), 5);
	/* What an L1 with a frame looks at, behind its VMRESUME. */
	ck_assert_uint_eq(vmcs_get(&s.vmm.vmcs01, VMCS_GUEST_RFLAGS) & RFLAGS_CF, RFLAGS_CF);
}
END_TEST

START_TEST(vmread_gives_the_value)
{
	static const struct script_exit exits[] = {PV(PV_VMXON, GPA_VMXON, 0), PV(PV_VMPTRLD, GPA_VMCS12, 0),
	        PV(PV_VMREAD, VMCS_ENC_HOST_RIP, 0), {.error = -EIO}};

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], PV_VMX_RESULT_SUCCEED);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RBX], HOST_RIP);
}
END_TEST

/* A frame stands in L1's memory, aligned, whole: nothing else is taken. */
START_TEST(a_frame_outside_memory_is_refused)
{
	const uint64_t places[] = {0x2004, ~7ull, 1ull << 40, 0x2000};
	const struct script_exit exits[] = {PV(PV_FRAME, places[_i], 0), {.error = -EIO}};
	const bool good = places[_i] == 0x2000;

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], good ? PV_VMX_RESULT_SUCCEED : PV_VMX_RESULT_FAIL_INVALID);
	ck_assert(good == (s.vmm.l2_frame != NULL));
}
END_TEST

START_TEST(an_unknown_call_is_ud)
{
	static const uint64_t calls[] = {0, PV_FRAME + 1, PV_VMLAUNCH, PV_VMRESUME, ~0ull};
	struct script_exit exits[] = {PV(calls[_i], 0, 0), {.error = -EIO}};

	start(exits, COUNT(exits));
	ck_assert_int_eq(vmm_run(&s.vmm), -EIO);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].entry_info, 0x80000306);
	ck_assert_uint_eq(script_of(&s.vmm)->entered[1].rip, L2_RIP);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, a_round_trip);
	tcase_add_test(tests, a_hlt_with_interrupts_off_is_vmresume);
	tcase_add_test(tests, a_hlt_without_a_frame_waits);
	tcase_add_test(tests, the_level_port_says_2);
	tcase_add_test(tests, an_intercepted_port_goes_to_l1);
	tcase_add_test(tests, a_device_behind_ept12_is_l0s);
	tcase_add_test(tests, a_hole_of_ept12_is_l1s);
	tcase_add_test(tests, a_triple_fault_of_l2_goes_to_l1);
	tcase_add_test(tests, an_interrupt_for_l1_ends_l2);
	tcase_add_test(tests, a_vmx_abort_on_reflection_ends_the_guest);
	tcase_add_test(tests, a_failed_launch_is_marked);
	tcase_add_test(tests, vmread_gives_the_value);
	tcase_add_loop_test(tests, a_frame_outside_memory_is_refused, 0, 4);
	tcase_add_loop_test(tests, an_unknown_call_is_ud, 0, 5);
}

int main(void)
{
	return run_tests("run, nested", add);
}
