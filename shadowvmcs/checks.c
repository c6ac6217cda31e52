/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the VMX controls: SDM vol. 3, 27.2.1, in its order. A failure is VM-instruction error 7. */
#include "nested.h"

#include "ept12.h"
#include "transition.h"

/* IA32_VMX_MISC, SDM vol. 3, A.6. */
#define MISC_CR3_TARGETS_SHIFT 16
#define MISC_CR3_TARGETS_MASK 0x1ffu
#define MISC_ZERO_LENGTH_INJECTION (1ull << 30)

#define MSR_LIST_ENTRY_BYTES 16
/* Offset of VTPR in the virtual-APIC page, 30.1.1. */
#define VIRTUAL_APIC_TPR 0x80

static bool allowed(const struct nested *nested, enum vmx_control_word word, uint64_t value)
{
	const uint32_t must = caps_must_be_one(&nested->caps, word);
	const uint32_t may = caps_may_be_one(&nested->caps, word);

	return (value & must) == must && !(value & ~(uint64_t)may);
}
#define ALLOWED(word, name) allowed(nested, VMX_WORD_##word, FIELD(name))

/* No bits beyond the physical-address width, and aligned. */
static bool aligned_address(const struct nested *nested, uint64_t address, uint64_t alignment)
{
	return !(address & (alignment - 1)) && !(address & ~caps_physical_mask(&nested->config.machine));
}
#define ALIGNED(name, bytes) aligned_address(nested, FIELD(name), bytes)

/* A page the machine itself is to use must be there; hardware would take any address. */
static bool is_ram(const struct nested *nested, uint64_t address)
{
	return nested->config.ops.l1_page(nested->config.ops.ctx, address) != 0;
}
#define IN_MEMORY(name) is_ram(nested, FIELD(name))

static bool list_address(const struct nested *nested, uint64_t address, uint64_t count)
{
	const uint64_t last = address + count * MSR_LIST_ENTRY_BYTES - 1;

	return !(address & 15) && !((address | last) & ~caps_physical_mask(&nested->config.machine));
}
#define LIST_VALID(name) (FIELD(name##_COUNT) == 0 || list_address(nested, FIELD(name##_ADDRESS), FIELD(name##_COUNT)))

#define EPTP_VALID(name) ept12_eptp_valid(nested, FIELD(name))

/* ---- 27.2.1.1 VM-execution controls ---- */

static const char *check_execution_words(const struct nested *nested, const struct vmcs *v)
{
	const bool secondary = PROC(ACTIVATE_SECONDARY_CONTROLS);
	const uint64_t misc = nested->caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST];
	const uint64_t cr3_targets_max = misc >> MISC_CR3_TARGETS_SHIFT & MISC_CR3_TARGETS_MASK;

	CHECK(ALLOWED(PIN, PIN_BASED_VM_EXECUTION_CONTROLS));
	CHECK(ALLOWED(PROC, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS));
	CHECK(IMPLIES(secondary, ALLOWED(PROC2, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)));
	CHECK(FIELD(CR3_TARGET_COUNT) <= cr3_targets_max);
	CHECK(IMPLIES(PROC(USE_IO_BITMAPS), ALIGNED(IO_BITMAP_A, 4096)));
	CHECK(IMPLIES(PROC(USE_IO_BITMAPS), ALIGNED(IO_BITMAP_B, 4096)));
	CHECK(IMPLIES(PROC(USE_MSR_BITMAPS), ALIGNED(MSR_BITMAP, 4096)));
	return 0;
}

static const char *check_apic_virtualization(const struct nested *nested, const struct vmcs *v)
{
	CHECK(IMPLIES(PROC(TPR_SHADOW), ALIGNED(VIRTUAL_APIC_ADDRESS, 4096)));
	CHECK(IMPLIES(PROC(TPR_SHADOW), IN_MEMORY(VIRTUAL_APIC_ADDRESS)));
	CHECK(IMPLIES(PROC(TPR_SHADOW) && !PROC2(VIRTUAL_INTERRUPT_DELIVERY), FIELD(TPR_THRESHOLD) <= 15));
	CHECK(IMPLIES(!PROC(TPR_SHADOW), !PROC2(VIRTUALIZE_X2APIC_MODE)));
	CHECK(IMPLIES(!PROC(TPR_SHADOW), !PROC2(APIC_REGISTER_VIRTUALIZATION)));
	CHECK(IMPLIES(!PROC(TPR_SHADOW), !PROC2(VIRTUAL_INTERRUPT_DELIVERY)));
	CHECK(IMPLIES(!PIN(NMI_EXITING), !PIN(VIRTUAL_NMIS)));
	CHECK(IMPLIES(!PIN(VIRTUAL_NMIS), !PROC(NMI_WINDOW_EXITING)));
	CHECK(IMPLIES(PROC2(VIRTUALIZE_APIC_ACCESSES), ALIGNED(APIC_ACCESS_ADDRESS, 4096)));
	CHECK(IMPLIES(PROC2(VIRTUALIZE_APIC_ACCESSES), IN_MEMORY(APIC_ACCESS_ADDRESS)));
	CHECK(IMPLIES(PROC2(VIRTUALIZE_X2APIC_MODE), !PROC2(VIRTUALIZE_APIC_ACCESSES)));
	CHECK(IMPLIES(PROC2(VIRTUAL_INTERRUPT_DELIVERY), PIN(EXTERNAL_INTERRUPT_EXITING)));
	CHECK(IMPLIES(PIN(POSTED_INTERRUPTS), PROC2(VIRTUAL_INTERRUPT_DELIVERY)));
	CHECK(IMPLIES(PIN(POSTED_INTERRUPTS), EXIT(ACKNOWLEDGE_INTERRUPT)));
	CHECK(IMPLIES(PIN(POSTED_INTERRUPTS), FIELD(POSTED_INTERRUPT_NOTIFICATION_VECTOR) <= 255));
	CHECK(IMPLIES(PIN(POSTED_INTERRUPTS), ALIGNED(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, 64)));
	return 0;
}

static const char *check_memory_virtualization(const struct nested *nested, const struct vmcs *v)
{
	const bool functions = PROC2(ENABLE_VM_FUNCTIONS);
	const bool eptp_switching = functions && (FIELD(VM_FUNCTION_CONTROLS) & 1);
	const uint64_t functions_offered = nested->caps.msr[MSR_IA32_VMX_VMFUNC - VMX_MSR_FIRST];

	CHECK(IMPLIES(PROC2(ENABLE_VPID), FIELD(VIRTUAL_PROCESSOR_ID) != 0));
	CHECK(IMPLIES(PROC2(ENABLE_EPT), EPTP_VALID(EPT_POINTER)));
	CHECK(IMPLIES(PROC2(ENABLE_PML), PROC2(ENABLE_EPT)));
	CHECK(IMPLIES(PROC2(ENABLE_PML), ALIGNED(PML_ADDRESS, 4096)));
	CHECK(IMPLIES(PROC2(UNRESTRICTED_GUEST), PROC2(ENABLE_EPT)));
	CHECK(IMPLIES(PROC2(MODE_BASED_EXECUTE_CONTROL), PROC2(ENABLE_EPT)));
	CHECK(IMPLIES(functions, !(FIELD(VM_FUNCTION_CONTROLS) & ~functions_offered)));
	CHECK(IMPLIES(eptp_switching, PROC2(ENABLE_EPT)));
	CHECK(IMPLIES(eptp_switching, ALIGNED(EPTP_LIST_ADDRESS, 4096)));
	CHECK(IMPLIES(PROC2(VMCS_SHADOWING), ALIGNED(VMREAD_BITMAP, 4096)));
	CHECK(IMPLIES(PROC2(VMCS_SHADOWING), ALIGNED(VMWRITE_BITMAP, 4096)));
	CHECK(IMPLIES(PROC2(EPT_VIOLATION_VE), ALIGNED(VIRTUALIZATION_EXCEPTION_ADDRESS, 4096)));
	return 0;
}

/* The processor compares with VTPR in memory, which L1 writes without a VMWRITE: at every entry. */
static const char *check_tpr_threshold(const struct nested *nested, const struct vmcs *v)
{
	const uint8_t *page;
	unsigned vtpr_class;

	if (!PROC(TPR_SHADOW) || PROC2(VIRTUALIZE_APIC_ACCESSES) || PROC2(VIRTUAL_INTERRUPT_DELIVERY))
		return 0;
	page = nested->config.ops.l1_page(nested->config.ops.ctx, FIELD(VIRTUAL_APIC_ADDRESS));
	vtpr_class = page ? page[VIRTUAL_APIC_TPR] >> 4 : 0;
	CHECK(FIELD(TPR_THRESHOLD) <= vtpr_class);
	return 0;
}

/* ---- 27.2.1.2 VM-exit controls ---- */

static const char *check_exit_controls(const struct nested *nested, const struct vmcs *v)
{
	CHECK(ALLOWED(EXIT, PRIMARY_VM_EXIT_CONTROLS));
	CHECK(IMPLIES(!PIN(PREEMPTION_TIMER), !EXIT(SAVE_PREEMPTION_TIMER)));
	CHECK(LIST_VALID(VM_EXIT_MSR_STORE));
	CHECK(LIST_VALID(VM_EXIT_MSR_LOAD));
	return 0;
}

/* ---- 27.2.1.3 VM-entry controls ---- */

#define INTR_TYPE_RESERVED 1
#define INTR_INFO_RESERVED 0x7ffff000u

static bool vector_has_error_code(uint32_t vector)
{
	return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC;
}

/* The vectors that an event of this type can have. */
static bool vector_fits_type(uint32_t type, uint32_t vector)
{
	switch (type) {
	case INTR_TYPE_NMI:
		return vector == VECTOR_NMI;
	case INTR_TYPE_HARDWARE_EXCEPTION:
		return vector <= 31;
	case INTR_TYPE_OTHER:
		return vector == 0;
	default:
		return true;
	}
}

static const char *check_event_injection(const struct nested *nested, const struct vmcs *v)
{
	const uint32_t info = (uint32_t)FIELD(VM_ENTRY_INTERRUPTION_INFORMATION);
	const uint32_t type = (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT;
	const uint32_t vector = info & INTR_INFO_VECTOR_MASK;
	const bool exception = type == INTR_TYPE_HARDWARE_EXCEPTION;
	const bool error_code = info & INTR_INFO_ERROR_CODE;
	const bool protected_mode = !PROC2(UNRESTRICTED_GUEST) || (FIELD(GUEST_CR0) & CR0_PE);
	const bool software = type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION ||
	                      type == INTR_TYPE_SOFTWARE_EXCEPTION;
	const bool zero_length = nested->caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST] & MISC_ZERO_LENGTH_INJECTION;
	const bool can_trap = caps_may_be_one(&nested->caps, VMX_WORD_PROC) & VMX_BIT(PROC_MONITOR_TRAP_FLAG);

	if (!(info & INTR_INFO_VALID))
		return 0;
	CHECK(type != INTR_TYPE_RESERVED);
	CHECK(IMPLIES(type == INTR_TYPE_OTHER, can_trap));
	CHECK(vector_fits_type(type, vector));
	CHECK(error_code == (protected_mode && exception && vector_has_error_code(vector)));
	CHECK(!(info & INTR_INFO_RESERVED));
	CHECK(IMPLIES(error_code, !(FIELD(VM_ENTRY_EXCEPTION_ERROR_CODE) >> 16)));
	CHECK(IMPLIES(software, FIELD(VM_ENTRY_INSTRUCTION_LENGTH) <= 15));
	CHECK(IMPLIES(software && FIELD(VM_ENTRY_INSTRUCTION_LENGTH) == 0, zero_length));
	return 0;
}

static const char *check_entry_controls(const struct nested *nested, const struct vmcs *v)
{
	const char *failed;

	CHECK(ALLOWED(ENTRY, VM_ENTRY_CONTROLS));
	failed = check_event_injection(nested, v);
	if (failed)
		return failed;
	CHECK(LIST_VALID(VM_ENTRY_MSR_LOAD));
	CHECK(!ENTRY(ENTRY_TO_SMM) && !ENTRY(DEACTIVATE_DUAL_MONITOR));
	return 0;
}

/* ---- groups ---- */

#define CONTROL_WORDS(X, w)                                                                                            \
	X(w, PIN_BASED_VM_EXECUTION_CONTROLS)                                                                          \
	| X(w, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) | X(w, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
#define EXECUTION_FIELDS(X, w)                                                                                         \
	CONTROL_WORDS(X, w) | X(w, CR3_TARGET_COUNT) | X(w, IO_BITMAP_A) | X(w, IO_BITMAP_B) | X(w, MSR_BITMAP)
#define APIC_FIELDS(X, w)                                                                                              \
	CONTROL_WORDS(X, w)                                                                                            \
	| X(w, PRIMARY_VM_EXIT_CONTROLS) | X(w, VIRTUAL_APIC_ADDRESS) | X(w, TPR_THRESHOLD) |                          \
	        X(w, APIC_ACCESS_ADDRESS) | X(w, POSTED_INTERRUPT_NOTIFICATION_VECTOR) |                               \
	        X(w, POSTED_INTERRUPT_DESCRIPTOR_ADDRESS)
#define MEMORY_FIELDS(X, w)                                                                                            \
	CONTROL_WORDS(X, w)                                                                                            \
	| X(w, VIRTUAL_PROCESSOR_ID) | X(w, EPT_POINTER) | X(w, PML_ADDRESS) | X(w, VM_FUNCTION_CONTROLS) |            \
	        X(w, EPTP_LIST_ADDRESS) | X(w, VMREAD_BITMAP) | X(w, VMWRITE_BITMAP) |                                 \
	        X(w, VIRTUALIZATION_EXCEPTION_ADDRESS)
#define EXIT_FIELDS(X, w)                                                                                              \
	X(w, PIN_BASED_VM_EXECUTION_CONTROLS)                                                                          \
	| X(w, PRIMARY_VM_EXIT_CONTROLS) | X(w, VM_EXIT_MSR_STORE_COUNT) | X(w, VM_EXIT_MSR_STORE_ADDRESS) |           \
	        X(w, VM_EXIT_MSR_LOAD_COUNT) | X(w, VM_EXIT_MSR_LOAD_ADDRESS)
#define ENTRY_FIELDS(X, w)                                                                                             \
	CONTROL_WORDS(X, w)                                                                                            \
	| X(w, VM_ENTRY_CONTROLS) | X(w, VM_ENTRY_INTERRUPTION_INFORMATION) | X(w, VM_ENTRY_EXCEPTION_ERROR_CODE) |    \
	        X(w, VM_ENTRY_INSTRUCTION_LENGTH) | X(w, GUEST_CR0) | X(w, VM_ENTRY_MSR_LOAD_COUNT) |                  \
	        X(w, VM_ENTRY_MSR_LOAD_ADDRESS)

#define ALL_FIELDS(X, w)                                                                                               \
	EXECUTION_FIELDS(X, w) | APIC_FIELDS(X, w) | MEMORY_FIELDS(X, w) | EXIT_FIELDS(X, w) | ENTRY_FIELDS(X, w)

static const struct check_group groups[] = {
        {VMCS_MASK_OF(EXECUTION_FIELDS), check_execution_words},
        {VMCS_MASK_OF(APIC_FIELDS), check_apic_virtualization},
        {VMCS_MASK_OF(MEMORY_FIELDS), check_memory_virtualization},
        {VMCS_MASK_OF(EXIT_FIELDS), check_exit_controls},
        {VMCS_MASK_OF(ENTRY_FIELDS), check_entry_controls},
};
enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

const char *checks_controls_changed(
        const struct nested *nested, const struct vmcs *vmcs12, const struct vmcs_mask *changed)
{
	static const struct vmcs_mask any = VMCS_MASK_OF(ALL_FIELDS);
	const char *failed = 0;

	if (!changed || vmcs_mask_meets(&any, changed))
		failed = check_groups(nested, vmcs12, groups, GROUPS, changed);
	return failed ? failed : check_tpr_threshold(nested, vmcs12);
}

const char *checks_controls(const struct nested *nested, const struct vmcs *vmcs12)
{
	return checks_controls_changed(nested, vmcs12, 0);
}
