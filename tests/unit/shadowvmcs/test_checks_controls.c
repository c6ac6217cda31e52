/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the VMX controls, SDM vol. 3, 27.2.1: each check of checks.c fails once. */
#include "check_cases.h"

static const char *all(const struct nested *nested, const struct vmcs *v, uint64_t *qualification)
{
	*qualification = 0;
	return checks_controls(nested, v);
}

static const char *changed(
        const struct nested *nested, const struct vmcs *v, const struct vmcs_mask *mask, uint64_t *qualification)
{
	*qualification = 0;
	return checks_controls_changed(nested, v, mask);
}

static const struct check_functions controls = {all, changed};

static void no_monitor_trap(struct fixture *f)
{
	f->nested.caps.msr[MSR_IA32_VMX_TRUE_PROCBASED_CTLS - VMX_MSR_FIRST] &=
	        ~((uint64_t)VMX_BIT(PROC_MONITOR_TRAP_FLAG) << 32);
}

static void no_zero_length(struct fixture *f)
{
	f->nested.caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST] &= ~(1ull << 30);
}

static void vtpr_2(struct fixture *f)
{
	*(uint8_t *)fixture_memory(f, FIXTURE_GPA_VIRTUAL_APIC + 0x80) = 0x20;
}

#define TPR ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, FIXTURE_GPA_VIRTUAL_APIC)
#define POSTED TPR, ON_PROC2(VIRTUAL_INTERRUPT_DELIVERY), ON_PIN(POSTED_INTERRUPTS)
#define INFO(value) SET(VM_ENTRY_INTERRUPTION_INFORMATION, (value))

/* The last bytes below the width of physical addresses. */
#define TOP (1ull << VMX_PHYSICAL_ADDRESS_BITS)

static const struct check_case execution_cases[] = {
        {"ALLOWED(PIN, PIN_BASED_VM_EXECUTION_CONTROLS)", {OFF(PIN_BASED_VM_EXECUTION_CONTROLS, 1 << 1)}},
        {"ALLOWED(PIN, PIN_BASED_VM_EXECUTION_CONTROLS)", {ON(PIN_BASED_VM_EXECUTION_CONTROLS, 1u << 31)}},
        {"ALLOWED(PROC, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)",
                {OFF(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, 1 << 1)}},
        {"IMPLIES(secondary, ALLOWED(PROC2, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS))",
                {ON(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, 1u << 31)}},
        {NULL, {ON(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, 1u << 31), OFF_PROC(ACTIVATE_SECONDARY_CONTROLS)}},
        {"FIELD(CR3_TARGET_COUNT) <= cr3_targets_max", {SET(CR3_TARGET_COUNT, 5)}},
        {NULL, {SET(CR3_TARGET_COUNT, 4)}},
        {"IMPLIES(PROC(USE_IO_BITMAPS), ALIGNED(IO_BITMAP_A, 4096))",
                {ON_PROC(USE_IO_BITMAPS), SET(IO_BITMAP_A, 0x5010)}},
        {"IMPLIES(PROC(USE_IO_BITMAPS), ALIGNED(IO_BITMAP_B, 4096))", {ON_PROC(USE_IO_BITMAPS), SET(IO_BITMAP_B, TOP)}},
        {NULL, {SET(IO_BITMAP_A, 1), SET(IO_BITMAP_B, 1)}},
        {"IMPLIES(PROC(USE_MSR_BITMAPS), ALIGNED(MSR_BITMAP, 4096))", {SET(MSR_BITMAP, 0x4008)}},
        {"IMPLIES(PROC(TPR_SHADOW), ALIGNED(VIRTUAL_APIC_ADDRESS, 4096))",
                {ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, 0x8001)}},
        {"IMPLIES(PROC(TPR_SHADOW), IN_MEMORY(VIRTUAL_APIC_ADDRESS))",
                {ON_PROC(TPR_SHADOW), SET(VIRTUAL_APIC_ADDRESS, FIXTURE_MEMORY_BYTES)}},
        {"IMPLIES(PROC(TPR_SHADOW) && !PROC2(VIRTUAL_INTERRUPT_DELIVERY), FIELD(TPR_THRESHOLD) <= 15)",
                {TPR, SET(TPR_THRESHOLD, 16)}},
        {NULL, {TPR, SET(TPR_THRESHOLD, 0)}},
        {"IMPLIES(!PROC(TPR_SHADOW), !PROC2(VIRTUALIZE_X2APIC_MODE))", {ON_PROC2(VIRTUALIZE_X2APIC_MODE)}},
        {"IMPLIES(!PROC(TPR_SHADOW), !PROC2(APIC_REGISTER_VIRTUALIZATION))", {ON_PROC2(APIC_REGISTER_VIRTUALIZATION)}},
        {"IMPLIES(!PROC(TPR_SHADOW), !PROC2(VIRTUAL_INTERRUPT_DELIVERY))", {ON_PROC2(VIRTUAL_INTERRUPT_DELIVERY)}},
        {"IMPLIES(!PIN(NMI_EXITING), !PIN(VIRTUAL_NMIS))", {OFF_PIN(NMI_EXITING), ON_PIN(VIRTUAL_NMIS)}},
        {"IMPLIES(!PIN(VIRTUAL_NMIS), !PROC(NMI_WINDOW_EXITING))", {ON_PROC(NMI_WINDOW_EXITING)}},
        {NULL, {ON_PROC(NMI_WINDOW_EXITING), ON_PIN(VIRTUAL_NMIS)}},
        {"IMPLIES(PROC2(VIRTUALIZE_APIC_ACCESSES), ALIGNED(APIC_ACCESS_ADDRESS, 4096))",
                {ON_PROC2(VIRTUALIZE_APIC_ACCESSES), SET(APIC_ACCESS_ADDRESS, 1)}},
        {"IMPLIES(PROC2(VIRTUALIZE_APIC_ACCESSES), IN_MEMORY(APIC_ACCESS_ADDRESS))",
                {ON_PROC2(VIRTUALIZE_APIC_ACCESSES), SET(APIC_ACCESS_ADDRESS, 0xfee00000)}},
        {"IMPLIES(PROC2(VIRTUALIZE_X2APIC_MODE), !PROC2(VIRTUALIZE_APIC_ACCESSES))",
                {TPR, ON_PROC2(VIRTUALIZE_X2APIC_MODE), ON_PROC2(VIRTUALIZE_APIC_ACCESSES)}},
        {"IMPLIES(PROC2(VIRTUAL_INTERRUPT_DELIVERY), PIN(EXTERNAL_INTERRUPT_EXITING))",
                {TPR, ON_PROC2(VIRTUAL_INTERRUPT_DELIVERY), OFF_PIN(EXTERNAL_INTERRUPT_EXITING)}},
        {"IMPLIES(PIN(POSTED_INTERRUPTS), PROC2(VIRTUAL_INTERRUPT_DELIVERY))", {ON_PIN(POSTED_INTERRUPTS)}},
        {"IMPLIES(PIN(POSTED_INTERRUPTS), EXIT(ACKNOWLEDGE_INTERRUPT))", {POSTED}},
        {"IMPLIES(PIN(POSTED_INTERRUPTS), FIELD(POSTED_INTERRUPT_NOTIFICATION_VECTOR) <= 255)",
                {POSTED, ON_EXIT(ACKNOWLEDGE_INTERRUPT), SET(POSTED_INTERRUPT_NOTIFICATION_VECTOR, 256)}},
        {"IMPLIES(PIN(POSTED_INTERRUPTS), ALIGNED(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, 64))",
                {POSTED, ON_EXIT(ACKNOWLEDGE_INTERRUPT), SET(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, 0x20)}},
        {NULL, {POSTED, ON_EXIT(ACKNOWLEDGE_INTERRUPT), SET(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, 0x40)}},
        {"FIELD(TPR_THRESHOLD) <= vtpr_class", {TPR, SET(TPR_THRESHOLD, 3)}, vtpr_2},
        {NULL, {TPR, SET(TPR_THRESHOLD, 2)}, vtpr_2},
        {NULL, {TPR, SET(TPR_THRESHOLD, 3), ON_PROC2(VIRTUALIZE_APIC_ACCESSES), SET(APIC_ACCESS_ADDRESS, 0xa000)},
                vtpr_2},
};

static const struct check_case memory_cases[] = {
        {"IMPLIES(PROC2(ENABLE_VPID), FIELD(VIRTUAL_PROCESSOR_ID) != 0)", {SET(VIRTUAL_PROCESSOR_ID, 0)}},
        {NULL, {SET(VIRTUAL_PROCESSOR_ID, 0), OFF_PROC2(ENABLE_VPID)}},
        {"IMPLIES(PROC2(ENABLE_EPT), EPTP_VALID(EPT_POINTER))", {SET(EPT_POINTER, FIXTURE_GPA_EPT12)}},
        {NULL, {SET(EPT_POINTER, 0), OFF_PROC2(ENABLE_EPT)}},
        {"IMPLIES(PROC2(ENABLE_PML), PROC2(ENABLE_EPT))", {ON_PROC2(ENABLE_PML), OFF_PROC2(ENABLE_EPT)}},
        {"IMPLIES(PROC2(ENABLE_PML), ALIGNED(PML_ADDRESS, 4096))", {ON_PROC2(ENABLE_PML), SET(PML_ADDRESS, 8)}},
        {"IMPLIES(PROC2(UNRESTRICTED_GUEST), PROC2(ENABLE_EPT))",
                {ON_PROC2(UNRESTRICTED_GUEST), OFF_PROC2(ENABLE_EPT)}},
        {"IMPLIES(PROC2(MODE_BASED_EXECUTE_CONTROL), PROC2(ENABLE_EPT))",
                {ON_PROC2(MODE_BASED_EXECUTE_CONTROL), OFF_PROC2(ENABLE_EPT)}},
        {"IMPLIES(functions, !(FIELD(VM_FUNCTION_CONTROLS) & ~functions_offered))",
                {ON_PROC2(ENABLE_VM_FUNCTIONS), SET(VM_FUNCTION_CONTROLS, 2)}},
        {"IMPLIES(eptp_switching, PROC2(ENABLE_EPT))",
                {ON_PROC2(ENABLE_VM_FUNCTIONS), SET(VM_FUNCTION_CONTROLS, 1), OFF_PROC2(ENABLE_EPT)}},
        {"IMPLIES(eptp_switching, ALIGNED(EPTP_LIST_ADDRESS, 4096))",
                {ON_PROC2(ENABLE_VM_FUNCTIONS), SET(VM_FUNCTION_CONTROLS, 1), SET(EPTP_LIST_ADDRESS, 8)}},
        {NULL, {SET(VM_FUNCTION_CONTROLS, 1), SET(EPTP_LIST_ADDRESS, 8)}},
        {NULL, {ON_PROC2(ENABLE_VM_FUNCTIONS), SET(EPTP_LIST_ADDRESS, 8)}},
        {"IMPLIES(PROC2(VMCS_SHADOWING), ALIGNED(VMREAD_BITMAP, 4096))",
                {ON_PROC2(VMCS_SHADOWING), SET(VMREAD_BITMAP, 8)}},
        {"IMPLIES(PROC2(VMCS_SHADOWING), ALIGNED(VMWRITE_BITMAP, 4096))",
                {ON_PROC2(VMCS_SHADOWING), SET(VMWRITE_BITMAP, TOP)}},
        {"IMPLIES(PROC2(EPT_VIOLATION_VE), ALIGNED(VIRTUALIZATION_EXCEPTION_ADDRESS, 4096))",
                {ON_PROC2(EPT_VIOLATION_VE), SET(VIRTUALIZATION_EXCEPTION_ADDRESS, 8)}},
};

static const struct check_case exit_cases[] = {
        {"ALLOWED(EXIT, PRIMARY_VM_EXIT_CONTROLS)", {OFF(PRIMARY_VM_EXIT_CONTROLS, 1 << 1)}},
        {"IMPLIES(!PIN(PREEMPTION_TIMER), !EXIT(SAVE_PREEMPTION_TIMER))", {ON_EXIT(SAVE_PREEMPTION_TIMER)}},
        {NULL, {ON_EXIT(SAVE_PREEMPTION_TIMER), ON_PIN(PREEMPTION_TIMER)}},
        {"LIST_VALID(VM_EXIT_MSR_STORE)", {SET(VM_EXIT_MSR_STORE_COUNT, 1), SET(VM_EXIT_MSR_STORE_ADDRESS, 8)}},
        {"LIST_VALID(VM_EXIT_MSR_LOAD)", {SET(VM_EXIT_MSR_LOAD_COUNT, 2), SET(VM_EXIT_MSR_LOAD_ADDRESS, TOP - 16)}},
        {NULL, {SET(VM_EXIT_MSR_LOAD_COUNT, 1), SET(VM_EXIT_MSR_LOAD_ADDRESS, TOP - 16)}},
        {NULL, {SET(VM_EXIT_MSR_STORE_COUNT, 0), SET(VM_EXIT_MSR_STORE_ADDRESS, 8)}},
};

#define ERROR_CODE_CHECK "error_code == (protected_mode && exception && vector_has_error_code(vector))"
static const struct check_case entry_cases[] = {
        {"ALLOWED(ENTRY, VM_ENTRY_CONTROLS)", {OFF(VM_ENTRY_CONTROLS, 1 << 1)}},
        {"type != INTR_TYPE_RESERVED", {INFO(0x80000120)}},
        {NULL, {INFO(0x00000120)}},
        {"IMPLIES(type == INTR_TYPE_OTHER, can_trap)", {INFO(0x80000700)}, no_monitor_trap},
        {NULL, {INFO(0x80000700)}},
        {"vector_fits_type(type, vector)", {INFO(0x80000203)}},
        {"vector_fits_type(type, vector)", {INFO(0x80000320)}},
        {"vector_fits_type(type, vector)", {INFO(0x80000701)}},
        {NULL, {INFO(0x80000202)}},
        {ERROR_CODE_CHECK, {INFO(0x8000030d)}},
        {ERROR_CODE_CHECK, {INFO(0x80000b06)}},
        {ERROR_CODE_CHECK, {INFO(0x80000820)}},
        {NULL, {INFO(0x80000b0d), SET(VM_ENTRY_EXCEPTION_ERROR_CODE, 0xffff)}},
        {NULL, {INFO(0x80000306)}},
        /* In real mode no exception pushes an error code. */
        {ERROR_CODE_CHECK, {ON_PROC2(UNRESTRICTED_GUEST), SET(GUEST_CR0, 0x20), INFO(0x80000b0d)}},
        {NULL, {ON_PROC2(UNRESTRICTED_GUEST), SET(GUEST_CR0, 0x20), INFO(0x8000030d)}},
        {NULL, {ON_PROC2(UNRESTRICTED_GUEST), INFO(0x80000b0d)}},
        {ERROR_CODE_CHECK, {SET(GUEST_CR0, 0x20), INFO(0x8000030d)}},
        {"!(info & INTR_INFO_RESERVED)", {INFO(0x80001306)}},
        {"IMPLIES(error_code, !(FIELD(VM_ENTRY_EXCEPTION_ERROR_CODE) >> 16))",
                {INFO(0x80000b0e), SET(VM_ENTRY_EXCEPTION_ERROR_CODE, 0x10000)}},
        {"IMPLIES(software, FIELD(VM_ENTRY_INSTRUCTION_LENGTH) <= 15)",
                {INFO(0x80000480), SET(VM_ENTRY_INSTRUCTION_LENGTH, 16)}},
        {NULL, {INFO(0x80000480), SET(VM_ENTRY_INSTRUCTION_LENGTH, 15)}},
        {"IMPLIES(software && FIELD(VM_ENTRY_INSTRUCTION_LENGTH) == 0, zero_length)", {INFO(0x80000603)},
                no_zero_length},
        {NULL, {INFO(0x80000603)}},
        {"LIST_VALID(VM_ENTRY_MSR_LOAD)",
                {SET(VM_ENTRY_MSR_LOAD_COUNT, 1), SET(VM_ENTRY_MSR_LOAD_ADDRESS, BEYOND_WIDTH)}},
        {"!ENTRY(ENTRY_TO_SMM) && !ENTRY(DEACTIVATE_DUAL_MONITOR)", {ON_ENTRY(ENTRY_TO_SMM)}},
        {"!ENTRY(ENTRY_TO_SMM) && !ENTRY(DEACTIVATE_DUAL_MONITOR)", {ON_ENTRY(DEACTIVATE_DUAL_MONITOR)}},
};

START_TEST(execution)
{
	run_check_case(&controls, &execution_cases[_i]);
}
END_TEST

START_TEST(memory)
{
	run_check_case(&controls, &memory_cases[_i]);
}
END_TEST

START_TEST(exits)
{
	run_check_case(&controls, &exit_cases[_i]);
}
END_TEST

START_TEST(entries)
{
	run_check_case(&controls, &entry_cases[_i]);
}
END_TEST

/* VTPR is memory: L1 changes it without a VMWRITE, and the check must see it although no field is dirty. */
START_TEST(threshold_is_looked_at_every_time)
{
	const struct vmcs_mask nothing = {0};
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	allow_all_controls(&f);
	vtpr_2(&f);
	const struct change changes[CHANGES_MAX] = {TPR, SET(TPR_THRESHOLD, 2)};
	apply_changes(f.vmcs12, changes);
	fixture_snapshot(&f);
	ck_assert_ptr_null(checks_controls(&f.nested, &f.nested.checked12));
	*(uint8_t *)fixture_memory(&f, FIXTURE_GPA_VIRTUAL_APIC + 0x80) = 0x10;
	ck_assert_str_eq(checks_controls_changed(&f.nested, &f.nested.checked12, &nothing),
	        "FIELD(TPR_THRESHOLD) <= vtpr_class");
	fixture_teardown(&f);
}
END_TEST

/* With the capabilities as offered, a control that is not offered fails by its word. */
START_TEST(not_offered)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	fixture_set_bits(&f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_RDTSC_EXITING));
	fixture_snapshot(&f);
	ck_assert_str_eq(checks_controls(&f.nested, &f.nested.checked12),
	        "ALLOWED(PROC, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)");
	fixture_teardown(&f);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: VM-entry checks: controls");
	TCase *tcase = tcase_create("cases");

	tcase_add_loop_test(tcase, execution, 0, COUNT(execution_cases));
	tcase_add_loop_test(tcase, memory, 0, COUNT(memory_cases));
	tcase_add_loop_test(tcase, exits, 0, COUNT(exit_cases));
	tcase_add_loop_test(tcase, entries, 0, COUNT(entry_cases));
	tcase_add_test(tcase, threshold_is_looked_at_every_time);
	tcase_add_test(tcase, not_offered);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
