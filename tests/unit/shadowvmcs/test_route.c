/* SPDX-License-Identifier: Apache-2.0 */
/* Which exits of L2 L1 wants: each basic exit reason both ways where both exist. */
#include "check_cases.h"

static struct fixture f;
static enum ept02_verdict verdict;
static uint64_t device_gpa;

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
}

static void teardown(void)
{
	fixture_teardown(&f);
}

static void enter_l2(void)
{
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), 0);
	f.nested.in_l2 = true;
}

static enum nested_owner route(uint32_t reason, uint64_t qualification)
{
	fixture_exit_l2(&f, reason, qualification);
	return nested_route(&f.nested, &f.regs, &verdict, &device_gpa);
}

struct route_case {
	const char *what;
	enum exit_reason reason;
	struct change of12[CHANGES_MAX];
	enum nested_owner owner;
	uint64_t qualification;
	struct {
		uint64_t rax, rcx, rdx;
	} regs;
};
#define L0 NESTED_TO_L0
#define L1 NESTED_TO_L1
#define BY(name, reason, on)                                                                                           \
	{name, EXIT_REASON_##reason, {on}, L1},                                                                        \
	{                                                                                                              \
		name ": not wanted", EXIT_REASON_##reason, {}, L0                                                      \
	}
#define ALWAYS(reason)                                                                                                 \
	{                                                                                                              \
#reason, EXIT_REASON_##reason, {}, L1                                                                  \
	}
#define NEVER(reason)                                                                                                  \
	{                                                                                                              \
#reason, EXIT_REASON_##reason, {}, L0                                                                  \
	}

static const struct route_case plain_cases[] = {
        NEVER(EXTERNAL_INTERRUPT),
        ALWAYS(TRIPLE_FAULT),
        NEVER(INIT_SIGNAL),
        NEVER(SIPI),
        NEVER(IO_SMI),
        NEVER(OTHER_SMI),
        BY("interrupt window", INTERRUPT_WINDOW, ON_PROC(INTERRUPT_WINDOW_EXITING)),
        BY("NMI window", NMI_WINDOW, ON_PROC(NMI_WINDOW_EXITING)),
        ALWAYS(TASK_SWITCH),
        ALWAYS(CPUID),
        ALWAYS(GETSEC),
        {"hlt", EXIT_REASON_HLT, {}, L1},
        {"hlt: not wanted", EXIT_REASON_HLT, {OFF_PROC(HLT_EXITING)}, L0},
        ALWAYS(INVD),
        BY("invlpg", INVLPG, ON_PROC(INVLPG_EXITING)),
        BY("rdpmc", RDPMC, ON_PROC(RDPMC_EXITING)),
        BY("rdtsc", RDTSC, ON_PROC(RDTSC_EXITING)),
        ALWAYS(RSM),
        ALWAYS(VMCALL),
        ALWAYS(VMCLEAR),
        ALWAYS(VMLAUNCH),
        ALWAYS(VMPTRLD),
        ALWAYS(VMPTRST),
        ALWAYS(VMREAD),
        ALWAYS(VMRESUME),
        ALWAYS(VMWRITE),
        ALWAYS(VMXOFF),
        ALWAYS(VMXON),
        BY("mov dr", MOV_DR, ON_PROC(MOV_DR_EXITING)),
        ALWAYS(ENTRY_FAILURE_GUEST_STATE),
        ALWAYS(ENTRY_FAILURE_MSR_LOADING),
        BY("mwait", MWAIT, ON_PROC(MWAIT_EXITING)),
        BY("monitor trap", MONITOR_TRAP_FLAG, ON_PROC(MONITOR_TRAP_FLAG)),
        BY("monitor", MONITOR, ON_PROC(MONITOR_EXITING)),
        BY("pause", PAUSE, ON_PROC(PAUSE_EXITING)),
        {"pause loop", EXIT_REASON_PAUSE, {ON_PROC2(PAUSE_LOOP_EXITING)}, L1},
        NEVER(ENTRY_FAILURE_MACHINE_CHECK),
        BY("TPR", TPR_BELOW_THRESHOLD, ON_PROC(TPR_SHADOW)),
        BY("APIC access", APIC_ACCESS, ON_PROC2(VIRTUALIZE_APIC_ACCESSES)),
        BY("EOI", VIRTUALIZED_EOI, ON_PROC2(VIRTUAL_INTERRUPT_DELIVERY)),
        BY("APIC write", APIC_WRITE, ON_PROC2(APIC_REGISTER_VIRTUALIZATION)),
        {"APIC write by interrupt delivery", EXIT_REASON_APIC_WRITE, {ON_PROC2(VIRTUAL_INTERRUPT_DELIVERY)}, L1},
        BY("lgdt", GDTR_OR_IDTR_ACCESS, ON_PROC2(DESCRIPTOR_TABLE_EXITING)),
        BY("lldt", LDTR_OR_TR_ACCESS, ON_PROC2(DESCRIPTOR_TABLE_EXITING)),
        ALWAYS(INVEPT),
        {"rdtscp", EXIT_REASON_RDTSCP, {ON_PROC2(ENABLE_RDTSCP), ON_PROC(RDTSC_EXITING)}, L1},
        {"rdtscp: not wanted", EXIT_REASON_RDTSCP, {ON_PROC2(ENABLE_RDTSCP)}, L0},
        BY("preemption timer", PREEMPTION_TIMER_EXPIRED, ON_PIN(PREEMPTION_TIMER)),
        ALWAYS(INVVPID),
        BY("wbinvd", WBINVD, ON_PROC2(WBINVD_EXITING)),
        ALWAYS(XSETBV),
        BY("rdrand", RDRAND, ON_PROC2(RDRAND_EXITING)),
        {"invpcid", EXIT_REASON_INVPCID, {ON_PROC2(ENABLE_INVPCID), ON_PROC(INVLPG_EXITING)}, L1},
        {"invpcid: not wanted", EXIT_REASON_INVPCID, {ON_PROC2(ENABLE_INVPCID)}, L0},
        ALWAYS(VMFUNC),
        {"encls", EXIT_REASON_ENCLS, {ON_PROC2(ENABLE_ENCLS_EXITING), SET(ENCLS_EXITING_BITMAP, 1 << 4)}, L1, 0, {4}},
        {"encls: other leaf", EXIT_REASON_ENCLS, {ON_PROC2(ENABLE_ENCLS_EXITING), SET(ENCLS_EXITING_BITMAP, 1 << 4)},
                L0, 0, {5}},
        {"encls: high leaf", EXIT_REASON_ENCLS, {ON_PROC2(ENABLE_ENCLS_EXITING), SET(ENCLS_EXITING_BITMAP, 1ull << 63)},
                L1, 0, {100}},
        {"encls: not wanted", EXIT_REASON_ENCLS, {SET(ENCLS_EXITING_BITMAP, ~0ull)}, L0},
        BY("rdseed", RDSEED, ON_PROC2(RDSEED_EXITING)),
        NEVER(PAGE_MODIFICATION_LOG_FULL),
        {"xsaves", EXIT_REASON_XSAVES, {ON_PROC2(ENABLE_XSAVES_XRSTORS), SET(XSS_EXITING_BITMAP, 0x100)}, L1, 0,
                {0x100}},
        {"xrstors, high component", EXIT_REASON_XRSTORS,
                {ON_PROC2(ENABLE_XSAVES_XRSTORS), SET(XSS_EXITING_BITMAP, 1ull << 40)}, L1, 0, {0, 0, 0x100}},
        {"xsaves: other component", EXIT_REASON_XSAVES,
                {ON_PROC2(ENABLE_XSAVES_XRSTORS), SET(XSS_EXITING_BITMAP, 0x100)}, L0, 0, {0x200}},
        {"xrstors: not wanted", EXIT_REASON_XRSTORS, {}, L0, 0, {~0ull, 0, ~0ull}},
        NEVER(SPP_EVENT),
        BY("umwait", UMWAIT, ON_PROC(RDTSC_EXITING)),
        BY("tpause", TPAUSE, ON_PROC(RDTSC_EXITING)),
        ALWAYS(LOADIWKEY),
        ALWAYS(ENQCMD_PASID_TRANSLATION_FAILURE),
        ALWAYS(ENQCMDS_PASID_TRANSLATION_FAILURE),
        ALWAYS(BUS_LOCK),
        ALWAYS(INSTRUCTION_TIMEOUT),
        ALWAYS(PCONFIG),
        ALWAYS(ENCLV),
        ALWAYS(SEAMCALL),
        ALWAYS(TDCALL),
        ALWAYS(RDMSRLIST),
        ALWAYS(WRMSRLIST),
};

/* ---- control registers: qualification as in SDM vol. 3, table 28-3 ---- */

#define MOV_TO(cr, gpr) ((cr) | 0 << 4 | (gpr) << 8)
#define MOV_FROM(cr, gpr) ((cr) | 1 << 4 | (gpr) << 8)
#define CLTS (2 << 4)
#define LMSW(source) (3 << 4 | (source) << 16)
#define CR EXIT_REASON_CONTROL_REGISTER_ACCESS
#define CR0_OWNS(mask, shadow) SET(CR0_GUEST_HOST_MASK, (mask)), SET(CR0_READ_SHADOW, (shadow))
#define CR4_OWNS(mask, shadow) SET(CR4_GUEST_HOST_MASK, (mask)), SET(CR4_READ_SHADOW, (shadow))

static const struct route_case cr_cases[] = {
        {"CR0: an owned bit changes", CR, {CR0_OWNS(CR0_TS, 0)}, L1, MOV_TO(0, GPR_RAX), {CR0_TS}},
        {"CR0: an owned bit stays", CR, {CR0_OWNS(CR0_TS, CR0_TS)}, L0, MOV_TO(0, GPR_RAX), {CR0_TS}},
        {"CR0: a bit L1 does not own", CR, {CR0_OWNS(CR0_TS, 0)}, L0, MOV_TO(0, GPR_RCX), {0, CR0_MP}},
        {"CR0: from RSP", CR, {CR0_OWNS(CR0_TS, 0), SET(GUEST_RSP, CR0_TS)}, L1, MOV_TO(0, GPR_RSP)},
        {"CR0: upper half outside IA-32e mode", CR,
                {CR0_OWNS(1ull << 40, 0), OFF_ENTRY(IA32E_MODE_GUEST), SET(GUEST_IA32_EFER, 0)}, L0, MOV_TO(0, GPR_RAX),
                {1ull << 40}},
        {"CR3 load", CR, {ON_PROC(CR3_LOAD_EXITING)}, L1, MOV_TO(3, GPR_RDX), {0, 0, 0x9000}},
        {"CR3 load: not wanted", CR, {}, L0, MOV_TO(3, GPR_RDX), {0, 0, 0x9000}},
        {"CR3 load: a target", CR,
                {ON_PROC(CR3_LOAD_EXITING), SET(CR3_TARGET_COUNT, 2), SET(CR3_TARGET_VALUE1, 0x9000)}, L0,
                MOV_TO(3, GPR_RDX), {0, 0, 0x9000}},
        {"CR3 load: a target beyond the count", CR,
                {ON_PROC(CR3_LOAD_EXITING), SET(CR3_TARGET_COUNT, 1), SET(CR3_TARGET_VALUE1, 0x9000)}, L1,
                MOV_TO(3, GPR_RDX), {0, 0, 0x9000}},
        {"CR3 store", CR, {ON_PROC(CR3_STORE_EXITING)}, L1, MOV_FROM(3, GPR_RAX)},
        {"CR3 store: not wanted", CR, {ON_PROC(CR3_LOAD_EXITING)}, L0, MOV_FROM(3, GPR_RAX)},
        {"CR4: an owned bit changes", CR, {CR4_OWNS(CR4_VMXE, 0)}, L1, MOV_TO(4, GPR_RAX), {CR4_VMXE}},
        {"CR4: an owned bit stays", CR, {CR4_OWNS(CR4_VMXE, CR4_VMXE)}, L0, MOV_TO(4, GPR_RAX), {CR4_VMXE | CR4_PAE}},
        {"CR8 load", CR, {ON_PROC(CR8_LOAD_EXITING)}, L1, MOV_TO(8, GPR_RAX)},
        {"CR8 load: not wanted", CR, {ON_PROC(CR8_STORE_EXITING)}, L0, MOV_TO(8, GPR_RAX)},
        {"CR8 store", CR, {ON_PROC(CR8_STORE_EXITING)}, L1, MOV_FROM(8, GPR_RAX)},
        {"CR8 store: not wanted", CR, {ON_PROC(CR8_LOAD_EXITING)}, L0, MOV_FROM(8, GPR_RAX)},
        {"a CR nobody has", CR, {ON_PROC(CR8_LOAD_EXITING)}, L0, MOV_TO(2, GPR_RAX)},
        {"CLTS of an owned TS", CR, {CR0_OWNS(CR0_TS, CR0_TS)}, L1, CLTS},
        {"CLTS of a clear TS", CR, {CR0_OWNS(CR0_TS, 0)}, L0, CLTS},
        {"CLTS of a TS not owned", CR, {CR0_OWNS(CR0_MP, CR0_TS)}, L0, CLTS},
        {"LMSW sets an owned PE", CR, {CR0_OWNS(CR0_PE, 0)}, L1, LMSW(1)},
        {"LMSW cannot clear PE", CR, {CR0_OWNS(CR0_PE, CR0_PE)}, L0, LMSW(0)},
        {"LMSW sets an owned TS", CR, {CR0_OWNS(CR0_TS, 0)}, L1, LMSW(8)},
        {"LMSW clears an owned TS", CR, {CR0_OWNS(CR0_TS, CR0_TS)}, L1, LMSW(0)},
        {"LMSW keeps an owned TS", CR, {CR0_OWNS(CR0_TS, CR0_TS)}, L0, LMSW(8)},
        {"LMSW does not write other bits", CR, {CR0_OWNS(CR0_NE, 0)}, L0, LMSW(0xffff)},
};

START_TEST(plain)
{
	const struct route_case *c = &plain_cases[_i];

	fixture_start(&f);
	apply_changes(f.vmcs12, c->of12);
	f.regs.gpr[GPR_RAX] = c->regs.rax;
	f.regs.gpr[GPR_RDX] = c->regs.rdx;
	enter_l2();
	ck_assert_msg(route(c->reason, 0) == c->owner, "%s", c->what);
	ck_assert_int_eq(verdict, EPT02_REPAIRED);
	ck_assert_uint_eq(f.nested.counters[COUNTER_L2_EXITS], 1);
	ck_assert_uint_eq(f.nested.counters[COUNTER_L0_ONLY], c->owner == L0);
}
END_TEST

START_TEST(control_registers)
{
	const struct route_case *c = &cr_cases[_i];

	fixture_start(&f);
	apply_changes(f.vmcs12, c->of12);
	f.regs.gpr[GPR_RAX] = c->regs.rax;
	f.regs.gpr[GPR_RCX] = c->regs.rcx;
	f.regs.gpr[GPR_RDX] = c->regs.rdx;
	enter_l2();
	ck_assert_msg(route(c->reason, c->qualification) == c->owner, "%s", c->what);
}
END_TEST

START_TEST(unknown_reasons_are_l0s)
{
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route(35, 0), NESTED_TO_L0);
	ck_assert_int_eq(route(EXIT_REASON_LIMIT, 0), NESTED_TO_L0);
	ck_assert_int_eq(route(0xffff, 0), NESTED_TO_L0);
}
END_TEST

/* Every defined reason has a case here or a test of its own below. */
START_TEST(every_reason_has_a_case)
{
	static const enum exit_reason own[] = {EXIT_REASON_EXCEPTION_OR_NMI, EXIT_REASON_CONTROL_REGISTER_ACCESS,
	        EXIT_REASON_IO_INSTRUCTION, EXIT_REASON_RDMSR, EXIT_REASON_WRMSR, EXIT_REASON_EPT_VIOLATION,
	        EXIT_REASON_EPT_MISCONFIGURATION};
	bool seen[EXIT_REASON_LIMIT] = {0};

	for (unsigned i = 0; i < sizeof(plain_cases) / sizeof(plain_cases[0]); i++)
		seen[plain_cases[i].reason] = true;
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		seen[own[i]] = true;
	for (int reason = 0; reason < EXIT_REASON_LIMIT; reason++)
		ck_assert_msg(seen[reason] == (exit_reason_infos[reason].name != NULL), "reason %d", reason);
}
END_TEST

/* ---- exceptions ---- */

static enum nested_owner route_event(uint32_t info, uint32_t error_code)
{
	fixture_exit_l2(&f, EXIT_REASON_EXCEPTION_OR_NMI, 0);
	f.nested.vmcs02.field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = info;
	f.nested.vmcs02.field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE] = error_code;
	return nested_route(&f.nested, &f.regs, &verdict, &device_gpa);
}

START_TEST(exceptions)
{
	fixture_start(&f);
	fixture_set(&f, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_UD | 1u << 31);
	enter_l2();
	ck_assert_int_eq(route_event(0x80000306, 0), NESTED_TO_L1);
	ck_assert_int_eq(route_event(0x8000030d, 0), NESTED_TO_L0);
	ck_assert_int_eq(route_event(0x8000031f, 0), NESTED_TO_L1);
	ck_assert_int_eq(route_event(0x80000b0e, 2), NESTED_TO_L0);
	ck_assert_int_eq(route_event(0x80000603, 0), NESTED_TO_L0);
}
END_TEST

START_TEST(nmi)
{
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_event(0x80000202, 0), NESTED_TO_L1);
	fixture_clear_bits(&f, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_NMI_EXITING));
	fixture_set(&f, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_NMI);
	enter_l2();
	ck_assert_int_eq(route_event(0x80000202, 0), NESTED_TO_L0);
}
END_TEST

START_TEST(page_faults)
{
	/* bitmap bit, mask, match, error code, wanted */
	static const uint32_t cases[][5] = {{1, 0, 0, 7, 1}, {1, 1, 1, 3, 1}, {1, 1, 1, 2, 0}, {0, 1, 1, 3, 0},
	        {0, 1, 1, 2, 1}, {1, 0, 1, 0, 0}, {0, 0, 1, 5, 1}, {0, 0, 0, 5, 0}, {1, 0x10, 0x10, 0x14, 1}};

	fixture_start(&f);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture_set(&f, VMCS_EXCEPTION_BITMAP, cases[i][0] << VECTOR_PF);
		fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MASK, cases[i][1]);
		fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MATCH, cases[i][2]);
		enter_l2();
		ck_assert_msg(route_event(0x80000b0e, cases[i][3]) == (cases[i][4] ? L1 : L0), "case %u", i);
	}
}
END_TEST

/* ---- I/O ---- */

#define IO(port, size) ((uint64_t)(port) << 16 | ((size)-1))

static void set_port(uint32_t port)
{
	uint8_t *bitmap = fixture_memory(&f, port < 0x8000 ? FIXTURE_GPA_IO_BITMAP_A : FIXTURE_GPA_IO_BITMAP_B);

	bitmap[(port & 0x7fff) / 8] |= (uint8_t)(1 << port % 8);
}

START_TEST(io_without_bitmaps)
{
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x60, 1)), NESTED_TO_L0);
	fixture_set_bits(
	        &f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING));
	enter_l2();
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x60, 1)), NESTED_TO_L1);
}
END_TEST

START_TEST(io_bitmaps)
{
	fixture_start(&f);
	/* Bitmaps win over unconditional exiting. */
	fixture_set_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING));
	fixture_set(&f, VMCS_IO_BITMAP_A, FIXTURE_GPA_IO_BITMAP_A);
	fixture_set(&f, VMCS_IO_BITMAP_B, FIXTURE_GPA_IO_BITMAP_B);
	set_port(0x60);
	set_port(0x8000);
	enter_l2();
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x60, 1)), NESTED_TO_L1);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x61, 1)), NESTED_TO_L0);
	/* An access covers all its ports. */
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x5d, 4)), NESTED_TO_L1);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x5c, 4)), NESTED_TO_L0);
	/* Across the two bitmaps. */
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x7fff, 1)), NESTED_TO_L0);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x7fff, 2)), NESTED_TO_L1);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x8001, 4)), NESTED_TO_L0);
	/* Around the end of the port space. */
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0xffff, 1)), NESTED_TO_L0);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0xfffc, 4)), NESTED_TO_L0);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0xffff, 2)), NESTED_TO_L1);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0xfffd, 4)), NESTED_TO_L1);
}
END_TEST

START_TEST(io_bitmap_nowhere)
{
	fixture_start(&f);
	fixture_set_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_USE_IO_BITMAPS));
	fixture_set(&f, VMCS_IO_BITMAP_A, FIXTURE_GPA_IO_BITMAP_A);
	fixture_set(&f, VMCS_IO_BITMAP_B, FIXTURE_MEMORY_BYTES);
	enter_l2();
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x60, 1)), NESTED_TO_L0);
	ck_assert_int_eq(route(EXIT_REASON_IO_INSTRUCTION, IO(0x8060, 1)), NESTED_TO_L1);
}
END_TEST

/* ---- MSRs ---- */

static enum nested_owner route_msr(enum exit_reason reason, uint32_t msr)
{
	f.regs.gpr[GPR_RCX] = 0xdead00000000 | msr; /* the upper half is ignored */
	return route(reason, 0);
}

START_TEST(msr_bitmaps)
{
	uint8_t *bitmap = fixture_memory(&f, FIXTURE_GPA_MSR_BITMAP);

	bitmap[0x10 / 8] = 1;                        /* read 0x10 */
	bitmap[1024 + 0x1fff / 8] = 0x80;            /* read 0xc0001fff */
	bitmap[2048 + 0x1fff / 8] = 0x80;            /* write 0x1fff */
	bitmap[3072 + 0x102 / 8] = 1 << (0x102 % 8); /* write 0xc0000102 */
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0x10), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0x10), NESTED_TO_L0);
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0xc0001fff), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0xc0001fff), NESTED_TO_L0);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0x1fff), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0x1fff), NESTED_TO_L0);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0xc0000102), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0xc0000102), NESTED_TO_L0);
	/* Outside both ranges. */
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0x2000), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0xc0002000), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0xbfffffff), NESTED_TO_L1);
	/* L1 changes its mind in memory. */
	bitmap[0x10 / 8] = 0;
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0x10), NESTED_TO_L0);
}
END_TEST

START_TEST(msrs_without_bitmap)
{
	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_USE_MSR_BITMAPS));
	enter_l2();
	ck_assert_int_eq(route_msr(EXIT_REASON_RDMSR, 0x10), NESTED_TO_L1);
	ck_assert_int_eq(route_msr(EXIT_REASON_WRMSR, 0x10), NESTED_TO_L1);
}
END_TEST

/* ---- memory ---- */

static enum nested_owner route_violation(uint64_t l2_gpa, uint64_t qualification)
{
	fixture_exit_l2(&f, EXIT_REASON_EPT_VIOLATION, qualification);
	f.nested.vmcs02.field[VMCS_GUEST_PHYSICAL_ADDRESS] = l2_gpa;
	return nested_route(&f.nested, &f.regs, &verdict, &device_gpa);
}

#define WB (EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)
#define L2_HOLE 0x10000000ull

START_TEST(violation_repaired)
{
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_violation(0x1000, EPT_VIOLATION_READ), NESTED_TO_L0);
	ck_assert_int_eq(verdict, EPT02_REPAIRED);
	ck_assert_uint_eq(f.mapping_count, 1);
}
END_TEST

/* L1 sees what its own EPT12 allows, whatever EPT02 allowed. */
START_TEST(violation_reflected)
{
	const uint64_t linear = EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_TRANSLATED;

	fixture_ept12_map(&f, L2_HOLE, FIXTURE_GPA_L2_MEMORY, 4096, EPT_READ | EPT_EXECUTE | WB);
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_violation(L2_HOLE, EPT_VIOLATION_WRITE | linear), NESTED_TO_L1);
	ck_assert_int_eq(verdict, EPT02_REFLECT_VIOLATION);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_EXIT_QUALIFICATION],
	        EPT_VIOLATION_WRITE | linear | (EPT_READ | EPT_EXECUTE) << EPT_VIOLATION_ALLOWED_SHIFT);
	/* A hole, where the machine claims EPT02 allowed something. */
	ck_assert_int_eq(route_violation(L2_HOLE + 0x1000, EPT_VIOLATION_READ | linear | 7 << 3), NESTED_TO_L1);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_EXIT_QUALIFICATION], EPT_VIOLATION_READ | linear);
}
END_TEST

START_TEST(misconfiguration_reflected)
{
	/* Write without read. */
	fixture_ept12_map(&f, L2_HOLE, FIXTURE_GPA_L2_MEMORY, 4096, EPT_WRITE | WB);
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_violation(L2_HOLE, EPT_VIOLATION_READ), NESTED_TO_L1);
	ck_assert_int_eq(verdict, EPT02_REFLECT_MISCONFIGURATION);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_EXIT_REASON], EXIT_REASON_EPT_MISCONFIGURATION);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_EXIT_QUALIFICATION], 0);
}
END_TEST

START_TEST(misconfiguration_of_ept02_repaired)
{
	fixture_start(&f);
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EPT_MISCONFIGURATION, 0);
	f.nested.vmcs02.field[VMCS_GUEST_PHYSICAL_ADDRESS] = 0x1000;
	ck_assert_int_eq(nested_route(&f.nested, &f.regs, &verdict, &device_gpa), NESTED_TO_L0);
	ck_assert_int_eq(verdict, EPT02_REPAIRED);
}
END_TEST

START_TEST(device_of_l0)
{
	fixture_ept12_map(&f, L2_HOLE, 0xfee00000, 4096, EPT_RWX | WB);
	fixture_start(&f);
	enter_l2();
	ck_assert_int_eq(route_violation(L2_HOLE + 0x80, EPT_VIOLATION_WRITE), NESTED_TO_L0);
	ck_assert_int_eq(verdict, EPT02_DEVICE);
	ck_assert_uint_eq(device_gpa, 0xfee00080);
}
END_TEST

/* L1 without EPT: L2's physical addresses are L1's, and what EPT01 lacks is L0's device. */
START_TEST(device_without_ept12)
{
	fixture_start(&f);
	fixture_clear_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	enter_l2();
	ck_assert_int_eq(route_violation(0xfee00080, EPT_VIOLATION_WRITE), NESTED_TO_L0);
	ck_assert_int_eq(verdict, EPT02_DEVICE);
	ck_assert_uint_eq(device_gpa, 0xfee00080);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: route");
	TCase *tcase = tcase_create("route");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, plain, 0, COUNT(plain_cases));
	tcase_add_loop_test(tcase, control_registers, 0, COUNT(cr_cases));
	tcase_add_test(tcase, unknown_reasons_are_l0s);
	tcase_add_test(tcase, every_reason_has_a_case);
	tcase_add_test(tcase, exceptions);
	tcase_add_test(tcase, nmi);
	tcase_add_test(tcase, page_faults);
	tcase_add_test(tcase, io_without_bitmaps);
	tcase_add_test(tcase, io_bitmaps);
	tcase_add_test(tcase, io_bitmap_nowhere);
	tcase_add_test(tcase, msr_bitmaps);
	tcase_add_test(tcase, msrs_without_bitmap);
	tcase_add_test(tcase, violation_repaired);
	tcase_add_test(tcase, violation_reflected);
	tcase_add_test(tcase, misconfiguration_reflected);
	tcase_add_test(tcase, misconfiguration_of_ept02_repaired);
	tcase_add_test(tcase, device_of_l0);
	tcase_add_test(tcase, device_without_ept12);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
