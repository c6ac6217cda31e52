/* SPDX-License-Identifier: Apache-2.0 */
/* vmcs12 + vmcs01 -> vmcs02: the value of each kind of field. test_merge.c holds what a merge does besides. */
#include "check_cases.h"

static struct fixture f;

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
}

static void teardown(void)
{
	fixture_teardown(&f);
}

static void merge(void)
{
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), 0);
}

static uint64_t get02(enum vmcs_field field)
{
	return f.nested.vmcs02.field[field];
}

/* ---- one field of vmcs02 after changes of vmcs12 and vmcs01 ---- */

#define FIELD_OF_PIN VMCS_PIN_BASED_VM_EXECUTION_CONTROLS
#define FIELD_OF_PROC VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS
#define FIELD_OF_PROC2 VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS
#define FIELD_OF_EXIT VMCS_PRIMARY_VM_EXIT_CONTROLS
#define FIELD_OF_ENTRY VMCS_VM_ENTRY_CONTROLS

struct merge_case {
	const char *what;
	struct change of12[CHANGES_MAX];
	struct change of01[CHANGES_MAX];
	enum vmcs_field field;
	uint64_t mask, value;
	void (*prepare)(void); /* before nested_init */
};
#define ALL (~0ull)
#define WANT(field, mask, value) VMCS_##field, (mask), (value)
#define BIT_ON(word, name) FIELD_OF_##word, VMX_BIT(word##_##name), VMX_BIT(word##_##name)
#define BIT_OFF(word, name) FIELD_OF_##word, VMX_BIT(word##_##name), 0

static void no_pages(void)
{
	f.config.io_bitmap02[1].hva = NULL;
	f.config.msr_bitmap02.hva = NULL;
}

static void no_io_bitmaps(void)
{
	f.machine.honours[VMX_WORD_PROC] &= ~VMX_BIT(PROC_USE_IO_BITMAPS);
}

static void no_vpid(void)
{
	f.machine.honours[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_ENABLE_VPID);
}

static const struct merge_case word_cases[] = {
        {"pin: L1's", {ON_PIN(VIRTUAL_NMIS)}, {}, BIT_ON(PIN, VIRTUAL_NMIS)},
        {"pin: L0's", {OFF_PIN(NMI_EXITING)}, {}, BIT_ON(PIN, NMI_EXITING)},
        {"pin: L1's timer", {ON_PIN(PREEMPTION_TIMER)}, {}, BIT_ON(PIN, PREEMPTION_TIMER)},
        {"pin: not L0's timer", {}, {ON_PIN(PREEMPTION_TIMER)}, BIT_OFF(PIN, PREEMPTION_TIMER)},
        {"pin: no posted interrupts", {ON_PIN(POSTED_INTERRUPTS)}, {ON_PIN(POSTED_INTERRUPTS)},
                BIT_OFF(PIN, POSTED_INTERRUPTS)},
        {"proc: L1's", {ON_PROC(RDTSC_EXITING)}, {}, BIT_ON(PROC, RDTSC_EXITING)},
        {"proc: L0's", {OFF_PROC(HLT_EXITING)}, {ON_PROC(HLT_EXITING)}, BIT_ON(PROC, HLT_EXITING)},
        {"proc: neither", {OFF_PROC(HLT_EXITING)}, {}, BIT_OFF(PROC, HLT_EXITING)},
        {"proc: L1's window", {ON_PROC(INTERRUPT_WINDOW_EXITING)}, {}, BIT_ON(PROC, INTERRUPT_WINDOW_EXITING)},
        {"proc: a window of L1's own", {}, {ON_PROC(INTERRUPT_WINDOW_EXITING)},
                BIT_OFF(PROC, INTERRUPT_WINDOW_EXITING)},
        {"proc: an NMI window of L1's own", {}, {ON_PROC(NMI_WINDOW_EXITING)}, BIT_OFF(PROC, NMI_WINDOW_EXITING)},
        {"proc: L1's monitor trap", {ON_PROC(MONITOR_TRAP_FLAG)}, {}, BIT_ON(PROC, MONITOR_TRAP_FLAG)},
        {"proc: a monitor trap of L1's own", {}, {ON_PROC(MONITOR_TRAP_FLAG)}, BIT_OFF(PROC, MONITOR_TRAP_FLAG)},
        {"proc: I/O bitmaps are L0's to use", {}, {}, BIT_ON(PROC, USE_IO_BITMAPS)},
        {"proc: and replace unconditional exiting", {ON_PROC(UNCONDITIONAL_IO_EXITING)}, {},
                BIT_OFF(PROC, UNCONDITIONAL_IO_EXITING)},
        {"proc: no page for I/O bitmaps", {}, {}, BIT_ON(PROC, UNCONDITIONAL_IO_EXITING), no_pages},
        {"proc: a machine without I/O bitmaps", {}, {}, BIT_ON(PROC, UNCONDITIONAL_IO_EXITING), no_io_bitmaps},
        {"proc: MSR bitmaps are L0's to use", {OFF_PROC(USE_MSR_BITMAPS)}, {}, BIT_ON(PROC, USE_MSR_BITMAPS)},
        {"proc: no page for MSR bitmaps", {}, {}, BIT_OFF(PROC, USE_MSR_BITMAPS), no_pages},
        {"proc: L1's TPR shadow is not L2's", {}, {ON_PROC(TPR_SHADOW)}, BIT_OFF(PROC, TPR_SHADOW)},
        {"proc: so CR8 exits", {}, {ON_PROC(TPR_SHADOW)}, BIT_ON(PROC, CR8_LOAD_EXITING)},
        {"proc: with one for L2, CR8 does not", {ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, 0x8000)},
                {ON_PROC(TPR_SHADOW)}, BIT_OFF(PROC, CR8_LOAD_EXITING)},
        {"proc: without any, CR8 does not", {}, {}, BIT_OFF(PROC, CR8_STORE_EXITING)},
        {"proc: secondary controls", {OFF_PROC(ACTIVATE_SECONDARY_CONTROLS)}, {},
                BIT_ON(PROC, ACTIVATE_SECONDARY_CONTROLS)},
        {"proc2: L0's EPT", {OFF_PROC2(ENABLE_EPT)}, {}, BIT_ON(PROC2, ENABLE_EPT)},
        {"proc2: L0's VPID", {OFF_PROC2(ENABLE_VPID)}, {}, BIT_ON(PROC2, ENABLE_VPID)},
        {"proc2: a machine without VPID", {}, {}, BIT_OFF(PROC2, ENABLE_VPID), no_vpid},
        {"proc2: unrestricted guest is L1's word", {}, {}, BIT_OFF(PROC2, UNRESTRICTED_GUEST)},
        {"proc2: L1 lets L2 be unrestricted", {ON_PROC2(UNRESTRICTED_GUEST)}, {OFF_PROC2(UNRESTRICTED_GUEST)},
                BIT_ON(PROC2, UNRESTRICTED_GUEST)},
        {"proc2: RDTSCP is L1's word", {}, {ON_PROC2(ENABLE_RDTSCP)}, BIT_OFF(PROC2, ENABLE_RDTSCP)},
        {"proc2: INVPCID is L1's word", {ON_PROC2(ENABLE_INVPCID)}, {}, BIT_ON(PROC2, ENABLE_INVPCID)},
        {"proc2: either's WBINVD", {}, {ON_PROC2(WBINVD_EXITING)}, BIT_ON(PROC2, WBINVD_EXITING)},
        {"proc2: without secondary controls L1's say nothing",
                {ON_PROC2(WBINVD_EXITING), OFF_PROC(ACTIVATE_SECONDARY_CONTROLS)}, {}, BIT_OFF(PROC2, WBINVD_EXITING)},
        {"proc2: no shadowing for L2", {}, {ON_PROC2(VMCS_SHADOWING)}, BIT_OFF(PROC2, VMCS_SHADOWING)},
        {"proc2: L0's page-modification log", {}, {ON_PROC2(ENABLE_PML)}, BIT_ON(PROC2, ENABLE_PML)},
        {"exit: L0's", {OFF_EXIT(ACKNOWLEDGE_INTERRUPT)}, {}, BIT_ON(EXIT, ACKNOWLEDGE_INTERRUPT)},
        {"exit: not L1's", {ON_EXIT(CLEAR_IA32_BNDCFGS)}, {}, BIT_OFF(EXIT, CLEAR_IA32_BNDCFGS)},
        {"exit: saves what it can", {OFF_EXIT(SAVE_IA32_PAT)}, {}, BIT_ON(EXIT, SAVE_IA32_PAT)},
        {"exit: saves a running timer", {ON_PIN(PREEMPTION_TIMER)}, {}, BIT_ON(EXIT, SAVE_PREEMPTION_TIMER)},
        {"exit: no timer, nothing to save", {}, {}, BIT_OFF(EXIT, SAVE_PREEMPTION_TIMER)},
        {"entry: L1's mode", {OFF_ENTRY(IA32E_MODE_GUEST)}, {}, BIT_OFF(ENTRY, IA32E_MODE_GUEST)},
        {"entry: loads what it can", {OFF_ENTRY(LOAD_IA32_EFER)}, {OFF_ENTRY(LOAD_IA32_EFER)},
                BIT_ON(ENTRY, LOAD_IA32_EFER)},
        {"entry: L1's loads", {ON_ENTRY(LOAD_IA32_BNDCFGS)}, {}, BIT_ON(ENTRY, LOAD_IA32_BNDCFGS)},
};

#define TSC12(offset) ON_PROC(TSC_OFFSETTING), SET(TSC_OFFSET, (uint64_t)(offset))
#define SCALE12(multiplier) ON_PROC2(USE_TSC_SCALING), SET(TSC_MULTIPLIER, (multiplier))

static const struct merge_case field_cases[] = {
        {"guest field", {SET(GUEST_RIP, 0x1234)}, {}, WANT(GUEST_RIP, ALL, 0x1234)},
        {"host field is L0's", {SET(HOST_RIP, 0x1234)}, {SET(HOST_RIP, 0x77)}, WANT(HOST_RIP, ALL, 0x77)},
        {"or: exception bitmap", {SET(EXCEPTION_BITMAP, 0x40)}, {SET(EXCEPTION_BITMAP, 0x2)},
                WANT(EXCEPTION_BITMAP, ALL, 0x42)},
        {"or: XSS bitmap", {SET(XSS_EXITING_BITMAP, 0x100)}, {SET(XSS_EXITING_BITMAP, 1)},
                WANT(XSS_EXITING_BITMAP, ALL, 0x101)},
        {"or: CR0 mask", {SET(CR0_GUEST_HOST_MASK, 8)}, {SET(CR0_GUEST_HOST_MASK, 0x20)},
                WANT(CR0_GUEST_HOST_MASK, ALL, 0x28)},
        {"entry: event", {SET(VM_ENTRY_INTERRUPTION_INFORMATION, 0x80000b0e), SET(VM_ENTRY_EXCEPTION_ERROR_CODE, 2)},
                {}, WANT(VM_ENTRY_INTERRUPTION_INFORMATION, ALL, 0x80000b0e)},
        {"entry: error code", {SET(VM_ENTRY_EXCEPTION_ERROR_CODE, 2)}, {}, WANT(VM_ENTRY_EXCEPTION_ERROR_CODE, ALL, 2)},
        {"entry: length", {SET(VM_ENTRY_INSTRUCTION_LENGTH, 3)}, {}, WANT(VM_ENTRY_INSTRUCTION_LENGTH, ALL, 3)},
        {"TSC offsets add up", {TSC12(-5)}, {ON_PROC(TSC_OFFSETTING), SET(TSC_OFFSET, 100)}, WANT(TSC_OFFSET, ALL, 95)},
        {"TSC offset not used by L1", {SET(TSC_OFFSET, 7)}, {ON_PROC(TSC_OFFSETTING), SET(TSC_OFFSET, 100)},
                WANT(TSC_OFFSET, ALL, 100)},
        {"TSC offset not used by L0", {TSC12(7)}, {SET(TSC_OFFSET, 100)}, WANT(TSC_OFFSET, ALL, 7)},
        {"TSC offset of L0 scaled by L1", {TSC12(7), SCALE12(3ull << 47)},
                {ON_PROC(TSC_OFFSETTING), SET(TSC_OFFSET, (uint64_t)-100)}, WANT(TSC_OFFSET, ALL, (uint64_t)-143)},
        {"TSC multipliers", {TSC12(0), SCALE12(3ull << 47)},
                {ON_PROC(TSC_OFFSETTING), ON_PROC2(USE_TSC_SCALING), SET(TSC_MULTIPLIER, 3ull << 48)},
                WANT(TSC_MULTIPLIER, ALL, 9ull << 47)},
        {"TSC multiplier without offsetting is off", {SCALE12(3ull << 47)}, {}, WANT(TSC_MULTIPLIER, ALL, 1ull << 48)},
        {"CR3 targets", {SET(CR3_TARGET_COUNT, 2), SET(CR3_TARGET_VALUE1, 0x9000)}, {},
                WANT(CR3_TARGET_VALUE1, ALL, 0x9000)},
        {"CR3 target count", {SET(CR3_TARGET_COUNT, 2)}, {}, WANT(CR3_TARGET_COUNT, ALL, 2)},
        {"CR3 targets when L0 wants CR3 loads", {SET(CR3_TARGET_COUNT, 2)}, {ON_PROC(CR3_LOAD_EXITING)},
                WANT(CR3_TARGET_COUNT, ALL, 0)},
        {"CR0 without L0", {SET(GUEST_CR0, 0x80050031)}, {}, WANT(GUEST_CR0, ALL, 0x80050031)},
        {"CR0: L0-owned bits as L0 has them", {SET(GUEST_CR0, 0x80000031)},
                {SET(CR0_GUEST_HOST_MASK, 0x10001), SET(GUEST_CR0, 0x80010030)}, WANT(GUEST_CR0, ALL, 0x80010030)},
        {"CR0 shadow: L1's bits", {SET(CR0_GUEST_HOST_MASK, 8), SET(CR0_READ_SHADOW, 8)}, {},
                WANT(CR0_READ_SHADOW, ALL, 8)},
        {"CR0 shadow: L0's bits show what L1 gave", {SET(GUEST_CR0, 0x80010031), SET(CR0_READ_SHADOW, 0)},
                {SET(CR0_GUEST_HOST_MASK, 0x10000)}, WANT(CR0_READ_SHADOW, ALL, 0x10000)},
        {"CR0 shadow: bits of both show L1's shadow",
                {SET(GUEST_CR0, 0x80010031), SET(CR0_READ_SHADOW, 0), SET(CR0_GUEST_HOST_MASK, 0x10000)},
                {SET(CR0_GUEST_HOST_MASK, 0x10000)}, WANT(CR0_READ_SHADOW, ALL, 0)},
        {"CR4: L0-owned bits", {SET(GUEST_CR4, 0x20)}, {SET(CR4_GUEST_HOST_MASK, 0x2000)},
                WANT(GUEST_CR4, ALL, 0x2020)},
        {"CR4 shadow", {SET(GUEST_CR4, 0x20)}, {SET(CR4_GUEST_HOST_MASK, 0x2000)}, WANT(CR4_READ_SHADOW, ALL, 0)},
        {"VPID", {SET(VIRTUAL_PROCESSOR_ID, 5)}, {}, WANT(VIRTUAL_PROCESSOR_ID, ALL, 0x8005)},
        {"VPID of L0 is never L2's", {SET(VIRTUAL_PROCESSOR_ID, 1)}, {}, WANT(VIRTUAL_PROCESSOR_ID, ALL, 0x8001)},
        {"VPIDs that share", {SET(VIRTUAL_PROCESSOR_ID, 0x9abc)}, {}, WANT(VIRTUAL_PROCESSOR_ID, ALL, 0x8000)},
        {"no VPID", {OFF_PROC2(ENABLE_VPID)}, {}, WANT(VIRTUAL_PROCESSOR_ID, ALL, 0x8000)},
        {"a machine without VPID", {}, {}, WANT(VIRTUAL_PROCESSOR_ID, ALL, 0), no_vpid},
        {"link pointer", {SET(VMCS_LINK_POINTER, 0x3000)}, {}, WANT(VMCS_LINK_POINTER, ALL, ALL)},
        {"MSR lists are L0's", {SET(VM_EXIT_MSR_LOAD_COUNT, 3)}, {SET(VM_EXIT_MSR_LOAD_COUNT, 1)},
                WANT(VM_EXIT_MSR_LOAD_COUNT, ALL, 1)},
        {"MSR list for the entry too", {SET(VM_ENTRY_MSR_LOAD_ADDRESS, 0x7000)}, {SET(VM_ENTRY_MSR_LOAD_ADDRESS, 0x1)},
                WANT(VM_ENTRY_MSR_LOAD_ADDRESS, ALL, 1)},
        {"MSR store list", {SET(VM_EXIT_MSR_STORE_COUNT, 9)}, {}, WANT(VM_EXIT_MSR_STORE_COUNT, ALL, 0)},
        {"virtual-APIC page", {ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, 0x8000)}, {},
                WANT(VIRTUAL_APIC_ADDRESS, ALL, 0x8000)},
        {"virtual-APIC page not used", {SET(VIRTUAL_APIC_ADDRESS, 0x8000)}, {}, WANT(VIRTUAL_APIC_ADDRESS, ALL, 0)},
        {"APIC-access page", {ON_PROC2(VIRTUALIZE_APIC_ACCESSES), SET(APIC_ACCESS_ADDRESS, 0xa000)}, {},
                WANT(APIC_ACCESS_ADDRESS, ALL, 0xa000)},
        {"TPR threshold", {ON_PROC(TPR_SHADOW), SET(TPR_THRESHOLD, 3)}, {}, WANT(TPR_THRESHOLD, ALL, 3)},
        {"TPR threshold not used", {SET(TPR_THRESHOLD, 3)}, {}, WANT(TPR_THRESHOLD, ALL, 0)},
        {"EOI bitmap", {SET(EOI_EXIT_BITMAP2, 0x55)}, {}, WANT(EOI_EXIT_BITMAP2, ALL, 0x55)},
        {"PML page is L0's", {SET(PML_ADDRESS, 0x1000)}, {SET(PML_ADDRESS, 0x7000)}, WANT(PML_ADDRESS, ALL, 0x7000)},
        {"PML index is L0's", {SET(PML_INDEX, 3)}, {ON_PROC2(ENABLE_PML), SET(PML_INDEX, 511)},
                WANT(PML_INDEX, ALL, 511)},
        {"VM functions", {SET(VM_FUNCTION_CONTROLS, 1)}, {}, WANT(VM_FUNCTION_CONTROLS, ALL, 0)},
        {"PLE window of L1", {ON_PROC2(PAUSE_LOOP_EXITING), SET(PLE_WINDOW, 9)}, {SET(PLE_WINDOW, 7)},
                WANT(PLE_WINDOW, ALL, 9)},
        {"PLE gap of L0", {SET(PLE_GAP, 9)}, {ON_PROC2(PAUSE_LOOP_EXITING), SET(PLE_GAP, 7)}, WANT(PLE_GAP, ALL, 7)},
        {"preemption timer", {SET(VMX_PREEMPTION_TIMER_VALUE, 1000)}, {}, WANT(VMX_PREEMPTION_TIMER_VALUE, ALL, 1000)},
        {"EFER loaded", {SET(GUEST_IA32_EFER, 0xd01)}, {}, WANT(GUEST_IA32_EFER, ALL, 0xd01)},
        {"EFER inherited, IA-32e", {OFF_ENTRY(LOAD_IA32_EFER), SET(GUEST_IA32_EFER, 0)}, {SET(GUEST_IA32_EFER, 0xd00)},
                WANT(GUEST_IA32_EFER, ALL, 0xd00)},
        {"EFER inherited, 32 bits", {OFF_ENTRY(LOAD_IA32_EFER), OFF_ENTRY(IA32E_MODE_GUEST)},
                {SET(GUEST_IA32_EFER, 0xd01)}, WANT(GUEST_IA32_EFER, ALL, 0x801)},
        {"EFER inherited, no paging: LME stays",
                {OFF_ENTRY(LOAD_IA32_EFER), OFF_ENTRY(IA32E_MODE_GUEST), SET(GUEST_CR0, 0x31)},
                {SET(GUEST_IA32_EFER, 0xd01)}, WANT(GUEST_IA32_EFER, ALL, 0x901)},
        {"PAT loaded", {SET(GUEST_IA32_PAT, 6)}, {}, WANT(GUEST_IA32_PAT, ALL, 6)},
        {"PAT inherited", {SET(GUEST_IA32_PAT, 6), OFF_ENTRY(LOAD_IA32_PAT)}, {SET(GUEST_IA32_PAT, 4)},
                WANT(GUEST_IA32_PAT, ALL, 4)},
        {"DR7 loaded", {ON_ENTRY(LOAD_DEBUG_CONTROLS), SET(GUEST_DR7, 0x401)}, {}, WANT(GUEST_DR7, ALL, 0x401)},
        {"DR7 inherited", {SET(GUEST_DR7, 0x401)}, {SET(GUEST_DR7, 0x402)}, WANT(GUEST_DR7, ALL, 0x402)},
        {"DEBUGCTL inherited", {SET(GUEST_IA32_DEBUGCTL, 1)}, {SET(GUEST_IA32_DEBUGCTL, 2)},
                WANT(GUEST_IA32_DEBUGCTL, ALL, 2)},
        {"PERF_GLOBAL_CTRL loaded", {ON_ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL), SET(GUEST_IA32_PERF_GLOBAL_CTRL, 3)}, {},
                WANT(GUEST_IA32_PERF_GLOBAL_CTRL, ALL, 3)},
        {"BNDCFGS inherited", {SET(GUEST_IA32_BNDCFGS, 1)}, {SET(GUEST_IA32_BNDCFGS, 0x1001)},
                WANT(GUEST_IA32_BNDCFGS, ALL, 0x1001)},
        {"EPT01 for an L1 without EPT", {OFF_PROC2(ENABLE_EPT)}, {SET(EPT_POINTER, 0x771e)},
                WANT(EPT_POINTER, ALL, 0x771e)},
        {"PDPTEs with EPT", {SET(GUEST_PDPTE2, 0xa001)}, {}, WANT(GUEST_PDPTE2, ALL, 0xa001)},
};

static void run_case(const struct merge_case *c)
{
	if (c->prepare)
		c->prepare();
	fixture_start(&f);
	apply_changes(f.vmcs12, c->of12);
	apply_changes(&f.vmcs01, c->of01);
	merge();
	ck_assert_msg((get02(c->field) & c->mask) == c->value, "%s: %#llx, expected %#llx", c->what,
	        (unsigned long long)(get02(c->field) & c->mask), (unsigned long long)c->value);
}

/* The same when vmcs02 was already made without the changes. */
static void run_case_later(const struct merge_case *c)
{
	if (c->prepare)
		c->prepare();
	fixture_start(&f);
	apply_changes(&f.vmcs01, (struct change[CHANGES_MAX]){SET(HOST_RIP, 0x77)});
	merge();
	apply_changes(f.vmcs12, c->of12);
	apply_changes(&f.vmcs01, c->of01);
	memset(&f.vmcs01.dirty, 0, sizeof(f.vmcs01.dirty));
	merge();
	ck_assert_msg((get02(c->field) & c->mask) == c->value, "%s, later: %#llx, expected %#llx", c->what,
	        (unsigned long long)(get02(c->field) & c->mask), (unsigned long long)c->value);
}

START_TEST(words)
{
	run_case(&word_cases[_i]);
}
END_TEST

START_TEST(words_later)
{
	run_case_later(&word_cases[_i]);
}
END_TEST

START_TEST(fields)
{
	run_case(&field_cases[_i]);
}
END_TEST

START_TEST(fields_later)
{
	/* L0 says itself when it changes vmcs01's pages and lists: those are not looked at in each entry. */
	const struct merge_case *c = &field_cases[_i];
	const bool list = c->field == VMCS_VM_EXIT_MSR_LOAD_COUNT || c->field == VMCS_VM_ENTRY_MSR_LOAD_ADDRESS ||
	                  c->field == VMCS_PML_ADDRESS;

	if (!list)
		run_case_later(c);
}
END_TEST

/* ---- whose word a control is ---- */

enum word_of { UNSAID, L1_ALONE, L0_ALONE, EITHER, NOBODY, ALWAYS_ON };
static const struct {
	enum vmx_control_word word;
	enum vmcs_field field;
	uint8_t of[32];
} words_of[] = {
        {VMX_WORD_PIN, FIELD_OF_PIN,
                {[PIN_EXTERNAL_INTERRUPT_EXITING_BIT] = EITHER,
                        [PIN_NMI_EXITING_BIT] = EITHER,
                        [PIN_VIRTUAL_NMIS_BIT] = EITHER,
                        [PIN_PREEMPTION_TIMER_BIT] = L1_ALONE,
                        [PIN_POSTED_INTERRUPTS_BIT] = NOBODY}},
        {VMX_WORD_PROC, FIELD_OF_PROC,
                {[PROC_INTERRUPT_WINDOW_EXITING_BIT] = L1_ALONE,
                        [PROC_TSC_OFFSETTING_BIT] = EITHER,
                        [PROC_HLT_EXITING_BIT] = EITHER,
                        [PROC_INVLPG_EXITING_BIT] = EITHER,
                        [PROC_MWAIT_EXITING_BIT] = EITHER,
                        [PROC_RDPMC_EXITING_BIT] = EITHER,
                        [PROC_RDTSC_EXITING_BIT] = EITHER,
                        [PROC_CR3_LOAD_EXITING_BIT] = EITHER,
                        [PROC_CR3_STORE_EXITING_BIT] = EITHER,
                        [PROC_CR8_LOAD_EXITING_BIT] = EITHER,
                        [PROC_CR8_STORE_EXITING_BIT] = EITHER,
                        [PROC_TPR_SHADOW_BIT] = L1_ALONE,
                        [PROC_NMI_WINDOW_EXITING_BIT] = L1_ALONE,
                        [PROC_MOV_DR_EXITING_BIT] = EITHER,
                        [PROC_UNCONDITIONAL_IO_EXITING_BIT] = NOBODY,
                        [PROC_USE_IO_BITMAPS_BIT] = ALWAYS_ON,
                        [PROC_MONITOR_TRAP_FLAG_BIT] = L1_ALONE,
                        [PROC_USE_MSR_BITMAPS_BIT] = ALWAYS_ON,
                        [PROC_MONITOR_EXITING_BIT] = EITHER,
                        [PROC_PAUSE_EXITING_BIT] = EITHER,
                        [PROC_ACTIVATE_SECONDARY_CONTROLS_BIT] = EITHER}},
        {VMX_WORD_PROC2, FIELD_OF_PROC2,
                {[PROC2_VIRTUALIZE_APIC_ACCESSES_BIT] = L1_ALONE,
                        [PROC2_ENABLE_EPT_BIT] = EITHER,
                        [PROC2_DESCRIPTOR_TABLE_EXITING_BIT] = EITHER,
                        [PROC2_ENABLE_RDTSCP_BIT] = L1_ALONE,
                        [PROC2_VIRTUALIZE_X2APIC_MODE_BIT] = L1_ALONE,
                        [PROC2_ENABLE_VPID_BIT] = ALWAYS_ON,
                        [PROC2_WBINVD_EXITING_BIT] = EITHER,
                        [PROC2_UNRESTRICTED_GUEST_BIT] = L1_ALONE,
                        [PROC2_APIC_REGISTER_VIRTUALIZATION_BIT] = L1_ALONE,
                        [PROC2_VIRTUAL_INTERRUPT_DELIVERY_BIT] = L1_ALONE,
                        [PROC2_PAUSE_LOOP_EXITING_BIT] = EITHER,
                        [PROC2_RDRAND_EXITING_BIT] = EITHER,
                        [PROC2_ENABLE_INVPCID_BIT] = L1_ALONE,
                        [PROC2_ENABLE_VM_FUNCTIONS_BIT] = NOBODY,
                        [PROC2_VMCS_SHADOWING_BIT] = NOBODY,
                        [PROC2_ENABLE_ENCLS_EXITING_BIT] = EITHER,
                        [PROC2_RDSEED_EXITING_BIT] = EITHER,
                        [PROC2_ENABLE_PML_BIT] = L0_ALONE,
                        [PROC2_EPT_VIOLATION_VE_BIT] = NOBODY,
                        [PROC2_CONCEAL_VMX_FROM_PT_BIT] = L0_ALONE,
                        [PROC2_ENABLE_XSAVES_XRSTORS_BIT] = L1_ALONE,
                        [PROC2_MODE_BASED_EXECUTE_CONTROL_BIT] = NOBODY,
                        [PROC2_USE_TSC_SCALING_BIT] = EITHER}},
        {VMX_WORD_EXIT, FIELD_OF_EXIT,
                {[EXIT_SAVE_DEBUG_CONTROLS_BIT] = ALWAYS_ON,
                        [EXIT_HOST_ADDRESS_SPACE_SIZE_BIT] = L0_ALONE,
                        [EXIT_LOAD_IA32_PERF_GLOBAL_CTRL_BIT] = L0_ALONE,
                        [EXIT_ACKNOWLEDGE_INTERRUPT_BIT] = L0_ALONE,
                        [EXIT_SAVE_IA32_PAT_BIT] = ALWAYS_ON,
                        [EXIT_LOAD_IA32_PAT_BIT] = L0_ALONE,
                        [EXIT_SAVE_IA32_EFER_BIT] = ALWAYS_ON,
                        [EXIT_LOAD_IA32_EFER_BIT] = L0_ALONE,
                        [EXIT_SAVE_PREEMPTION_TIMER_BIT] = NOBODY, /* goes with L1's timer */
                        [EXIT_CLEAR_IA32_BNDCFGS_BIT] = L0_ALONE}},
        {VMX_WORD_ENTRY, FIELD_OF_ENTRY,
                {[ENTRY_LOAD_DEBUG_CONTROLS_BIT] = ALWAYS_ON,
                        [ENTRY_IA32E_MODE_GUEST_BIT] = L1_ALONE,
                        [ENTRY_ENTRY_TO_SMM_BIT] = NOBODY,
                        [ENTRY_DEACTIVATE_DUAL_MONITOR_BIT] = NOBODY,
                        [ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL_BIT] = EITHER,
                        [ENTRY_LOAD_IA32_PAT_BIT] = ALWAYS_ON,
                        [ENTRY_LOAD_IA32_EFER_BIT] = ALWAYS_ON,
                        [ENTRY_LOAD_IA32_BNDCFGS_BIT] = EITHER}},
};

static bool expected(uint8_t of, bool on12, bool on01)
{
	switch (of) {
	case L1_ALONE:
		return on12;
	case L0_ALONE:
		return on01;
	case EITHER:
		return on12 || on01;
	default:
		return of == ALWAYS_ON;
	}
}

static void put_bit(struct vmcs *v, enum vmcs_field field, unsigned bit, bool on)
{
	const uint64_t mask = 1ull << bit;

	vmcs_set(v, field, on ? v->field[field] | mask : v->field[field] & ~mask);
}

START_TEST(whose_word)
{
	const enum vmcs_field field = words_of[_i].field;

	fixture_start(&f);
	merge();
	for (unsigned bit = 0; bit < 32; bit++) {
		const uint8_t of = words_of[_i].of[bit];
		const char *name = caps_control_name(words_of[_i].word, bit);
		ck_assert_msg((of != UNSAID) == (name != NULL), "bit %u of word %d", bit, _i);
		if (!name)
			continue;
		const uint64_t before12 = fixture_get(&f, field), before01 = f.vmcs01.field[field];
		for (unsigned combination = 0; combination < 4; combination++) {
			const bool on12 = combination & 1, on01 = combination & 2;
			put_bit(f.vmcs12, field, bit, on12);
			put_bit(&f.vmcs01, field, bit, on01);
			/* The word of the secondary controls needs the bit that activates them. */
			if (words_of[_i].word == VMX_WORD_PROC2) {
				put_bit(f.vmcs12, FIELD_OF_PROC, PROC_ACTIVATE_SECONDARY_CONTROLS_BIT, true);
				put_bit(&f.vmcs01, FIELD_OF_PROC, PROC_ACTIVATE_SECONDARY_CONTROLS_BIT, true);
			}
			merge();
			ck_assert_msg((get02(field) >> bit & 1) == expected(of, on12, on01), "%s: L1 %d, L0 %d", name,
			        on12, on01);
		}
		fixture_set(&f, field, before12);
		vmcs_set(&f.vmcs01, field, before01);
	}
}
END_TEST

/* ---- page-fault error-code mask and match ---- */

static bool page_fault_exits(uint64_t bitmap, uint64_t mask, uint64_t match, uint32_t error_code)
{
	return ((error_code & mask) == match) == !!(bitmap & 1 << VECTOR_PF);
}

/* Whatever both levels ask for: every #PF that one of them wants exits, and none other when one wants none or both want
 * the same. */
START_TEST(page_fault_filters)
{
	const uint64_t values[] = {0, 1, 2, 3};

	fixture_start(&f);
	merge();
	for (unsigned i = 0; i < 1 << 10; i++) {
		const uint64_t b12 = i & 1 ? 1 << VECTOR_PF : 0, b01 = i & 2 ? 1 << VECTOR_PF : 0;
		const uint64_t mask12 = values[i >> 2 & 3], match12 = values[i >> 4 & 3];
		const uint64_t mask01 = values[i >> 6 & 3], match01 = values[i >> 8 & 3];
		bool want12[4], want01[4], got[4], none12 = true, none01 = true, same = true;

		fixture_set(&f, VMCS_EXCEPTION_BITMAP, b12);
		fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MASK, mask12);
		fixture_set(&f, VMCS_PAGE_FAULT_ERROR_CODE_MATCH, match12);
		f.vmcs01.field[VMCS_EXCEPTION_BITMAP] = b01;
		f.vmcs01.field[VMCS_PAGE_FAULT_ERROR_CODE_MASK] = mask01;
		f.vmcs01.field[VMCS_PAGE_FAULT_ERROR_CODE_MATCH] = match01;
		merge();
		for (uint32_t code = 0; code < 4; code++) {
			want12[code] = page_fault_exits(b12, mask12, match12, code);
			want01[code] = page_fault_exits(b01, mask01, match01, code);
			got[code] = page_fault_exits(get02(VMCS_EXCEPTION_BITMAP),
			        get02(VMCS_PAGE_FAULT_ERROR_CODE_MASK), get02(VMCS_PAGE_FAULT_ERROR_CODE_MATCH), code);
			ck_assert_msg(got[code] || !(want12[code] || want01[code]), "case %u, error code %u is lost", i,
			        code);
			none12 &= !want12[code];
			none01 &= !want01[code];
			same &= want12[code] == want01[code];
		}
		/* L0's usual wish, none at all, costs L2 nothing. */
		if (b01 == 0 && mask01 == 0 && match01 == 0) {
			for (uint32_t code = 0; code < 4; code++)
				ck_assert_msg(
				        got[code] == want12[code], "case %u, error code %u exits for nobody", i, code);
		}
	}
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: fields of vmcs02");
	TCase *tcase = tcase_create("fields");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, words, 0, COUNT(word_cases));
	tcase_add_loop_test(tcase, words_later, 0, COUNT(word_cases));
	tcase_add_loop_test(tcase, fields, 0, COUNT(field_cases));
	tcase_add_loop_test(tcase, fields_later, 0, COUNT(field_cases));
	tcase_add_loop_test(tcase, whose_word, 0, COUNT(words_of));
	tcase_add_test(tcase, page_fault_filters);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
