/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exit of L2 becomes an exit that L1 sees: SDM vol. 3, chapter 28, in its order. Exit information and guest state go
 * from vmcs02 to vmcs12 (and to checked12, see nested.h); then L1 goes on at its host state (host_state.c).
 *
 * Only fields whose value changed are written. Guest fields that are still in the machine are marked stale in vmcs12.
 */
#include "nested.h"

#include "transition.h"

/* VMX-abort indicators, 28.7. */
enum { ABORT_SAVING_MSRS = 1, ABORT_HOST_PDPTES = 2, ABORT_LOADING_MSRS = 4 };

#define FIELD02(name) (nested->vmcs02.field[VMCS_##name])

static void put12(struct nested *nested, enum vmcs_field field, uint64_t value)
{
	uint64_t *ours = &nested->checked12.field[field];
	uint64_t *theirs = &nested->vmcs12->field[field];

	if (((*ours ^ value) | (*theirs ^ value)) == 0 && !nested->config.copy_everything)
		return;
	*ours = value;
	*theirs = value;
	vmcs_mask_set(&nested->reflected, field);
	nested->counters[COUNTER_FIELDS_REFLECTED]++;
}

static void put12_from02(struct nested *nested, enum vmcs_field field)
{
	put12(nested, field, nested->vmcs02.field[field]);
}

/* Exit information, which checks and merges do not read: vmcs12 alone has it. */
static void put_information(struct nested *nested, enum vmcs_field field)
{
	const uint64_t value = nested->vmcs02.field[field];

	if (nested->vmcs12->field[field] == value && !nested->config.copy_everything)
		return;
	nested->vmcs12->field[field] = value;
	vmcs_mask_set(&nested->reflected, field);
	nested->counters[COUNTER_FIELDS_REFLECTED]++;
}

/* ---- 28.2 exit information ---- */

enum { DEFINES_INFORMATION = 1, DEFINES_LINEAR = 2, DEFINES_PHYSICAL = 4 };

/* 28.2.5 and 28.2.1: instruction information, guest-linear and guest-physical address by exit reason. */
static const uint8_t defines[EXIT_REASON_LIMIT] = {
        [EXIT_REASON_VMCLEAR] = DEFINES_INFORMATION,
        [EXIT_REASON_VMPTRLD] = DEFINES_INFORMATION,
        [EXIT_REASON_VMPTRST] = DEFINES_INFORMATION,
        [EXIT_REASON_VMREAD] = DEFINES_INFORMATION,
        [EXIT_REASON_VMWRITE] = DEFINES_INFORMATION,
        [EXIT_REASON_VMXON] = DEFINES_INFORMATION,
        [EXIT_REASON_CONTROL_REGISTER_ACCESS] = DEFINES_LINEAR,
        [EXIT_REASON_IO_INSTRUCTION] = DEFINES_INFORMATION | DEFINES_LINEAR,
        [EXIT_REASON_GDTR_OR_IDTR_ACCESS] = DEFINES_INFORMATION,
        [EXIT_REASON_LDTR_OR_TR_ACCESS] = DEFINES_INFORMATION,
        [EXIT_REASON_EPT_VIOLATION] = DEFINES_LINEAR | DEFINES_PHYSICAL,
        [EXIT_REASON_EPT_MISCONFIGURATION] = DEFINES_PHYSICAL,
        [EXIT_REASON_INVEPT] = DEFINES_INFORMATION,
        [EXIT_REASON_INVVPID] = DEFINES_INFORMATION,
        [EXIT_REASON_RDRAND] = DEFINES_INFORMATION,
        [EXIT_REASON_RDSEED] = DEFINES_INFORMATION,
        [EXIT_REASON_INVPCID] = DEFINES_INFORMATION,
        [EXIT_REASON_XSAVES] = DEFINES_INFORMATION,
        [EXIT_REASON_XRSTORS] = DEFINES_INFORMATION,
        [EXIT_REASON_UMWAIT] = DEFINES_INFORMATION,
        [EXIT_REASON_TPAUSE] = DEFINES_INFORMATION,
        [EXIT_REASON_LOADIWKEY] = DEFINES_INFORMATION,
};

static bool software_event(uint32_t info)
{
	const uint32_t type = (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT;

	return (info & INTR_INFO_VALID) &&
	       (type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION ||
	               type == INTR_TYPE_SOFTWARE_EXCEPTION);
}

/* 28.2.5: exits by an instruction, and by or during the delivery of a software interrupt or exception. */
static bool defines_length(uint32_t reason, uint32_t info, uint32_t vectoring)
{
	switch (exit_reason_infos[reason].group) {
	case EXIT_GROUP_INSTRUCTION:
	case EXIT_GROUP_CONTROL:
	case EXIT_GROUP_MSR:
	case EXIT_GROUP_IO:
	case EXIT_GROUP_VMX:
		return true;
	default:
		return software_event(info) || software_event(vectoring);
	}
}

static void record_exit(struct nested *nested)
{
	const uint32_t reason = (uint32_t)FIELD02(EXIT_REASON) & 0xffff;
	const uint32_t info = (uint32_t)FIELD02(VM_EXIT_INTERRUPTION_INFORMATION);
	const uint32_t vectoring = (uint32_t)FIELD02(IDT_VECTORING_INFORMATION);
	const bool known = reason < EXIT_REASON_LIMIT && !nested->config.copy_everything;
	const unsigned defined = known ? defines[reason] : ~0u;
	const uint32_t error_codes = INTR_INFO_VALID | INTR_INFO_ERROR_CODE;

	put_information(nested, VMCS_EXIT_REASON);
	put_information(nested, VMCS_EXIT_QUALIFICATION);
	put_information(nested, VMCS_VM_EXIT_INTERRUPTION_INFORMATION);
	put_information(nested, VMCS_IDT_VECTORING_INFORMATION);
	if (!known || (info & error_codes) == error_codes)
		put_information(nested, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE);
	if (!known || (vectoring & error_codes) == error_codes)
		put_information(nested, VMCS_IDT_VECTORING_ERROR_CODE);
	if (!known || defines_length(reason, info, vectoring))
		put_information(nested, VMCS_VM_EXIT_INSTRUCTION_LENGTH);
	if (defined & DEFINES_INFORMATION)
		put_information(nested, VMCS_VM_EXIT_INSTRUCTION_INFORMATION);
	if (defined & DEFINES_LINEAR)
		put_information(nested, VMCS_GUEST_LINEAR_ADDRESS);
	if (defined & DEFINES_PHYSICAL)
		put_information(nested, VMCS_GUEST_PHYSICAL_ADDRESS);
	/* 25.8.3: every VM exit clears the valid bit. */
	put12(nested, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
	        nested->checked12.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & ~(uint64_t)INTR_INFO_VALID);
}

/* ---- 28.3 guest state ---- */

bool transition_saves(const struct vmcs *v, enum vmcs_field field)
{
	switch ((int)field) {
	case VMCS_GUEST_CR0:
	case VMCS_GUEST_CR4:
	case VMCS_GUEST_IA32_BNDCFGS:
		return true;
	case VMCS_GUEST_DR7:
	case VMCS_GUEST_IA32_DEBUGCTL:
		return EXIT(SAVE_DEBUG_CONTROLS);
	case VMCS_GUEST_IA32_PAT:
		return EXIT(SAVE_IA32_PAT);
	case VMCS_GUEST_IA32_EFER:
		return EXIT(SAVE_IA32_EFER);
	case VMCS_GUEST_PDPTE0:
	case VMCS_GUEST_PDPTE1:
	case VMCS_GUEST_PDPTE2:
	case VMCS_GUEST_PDPTE3:
		return PROC2(ENABLE_EPT);
	default: /* IA32_PERF_GLOBAL_CTRL has no control to save it; the PML index is L0's */
		return false;
	}
}

/*
 * CR0 or CR4 as L1 is to see it: from the register, where bits that L1 owns are still as L1 left them, since L2 cannot
 * change them; but bits that L0 owns as well as L1 left them, and bits that only L0 owns from the read shadow, where L0
 * keeps L2's view.
 */
static uint64_t control_register12(
        const struct nested *nested, enum vmcs_field guest, enum vmcs_field mask, enum vmcs_field shadow)
{
	const uint64_t mask01 = nested->config.vmcs01->field[mask];
	const uint64_t mask12 = nested->checked12.field[mask];

	return (nested->vmcs02.field[guest] & ~mask01) | (nested->checked12.field[guest] & mask01 & mask12) |
	       (nested->vmcs02.field[shadow] & mask01 & ~mask12);
}

uint64_t transition_guest12(const struct nested *nested, enum vmcs_field field)
{
	if (field == VMCS_GUEST_CR0)
		return control_register12(nested, field, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR0_READ_SHADOW);
	if (field == VMCS_GUEST_CR4)
		return control_register12(nested, field, VMCS_CR4_GUEST_HOST_MASK, VMCS_CR4_READ_SHADOW);
	return nested->vmcs02.field[field];
}

/*
 * A field that is not written since the last exit holds what vmcs12 holds: that exit saved it, or the entry after it
 * loaded it from there (always_saved has the others). Fields that stayed in the machine are marked stale instead.
 */
static void save_fields(struct nested *nested)
{
	struct vmcs *vmcs02 = &nested->vmcs02;
	const struct merge_state *state = &nested->merge;
	const bool marked = transition_marked(nested);

	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t saved = state->saved.word[word];
		const uint64_t stale = vmcs02->stale.word[word] & saved;
		const uint64_t written = marked ? vmcs02->written.word[word] | state->always_saved.word[word] : ~0ull;
		uint64_t bits = written & saved & ~stale;

		vmcs02->written.word[word] &= ~bits;
		nested->checked12.stale.word[word] = stale;
		nested->vmcs12->stale.word[word] = stale;
		for (; bits != 0; bits &= bits - 1) {
			const enum vmcs_field field = (enum vmcs_field)(word * 64 + (unsigned)__builtin_ctzll(bits));
			const bool split = field == VMCS_GUEST_CR0 || field == VMCS_GUEST_CR4;
			put12(nested, field, split ? transition_guest12(nested, field) : vmcs02->field[field]);
		}
	}
}

/* An unrestricted guest enters and leaves IA-32e mode by itself; the next entry is to find it there (A.6, bit 5). */
static void save_mode(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const uint64_t ia32e = VMX_BIT(ENTRY_IA32E_MODE_GUEST);
	const uint64_t entry = FIELD(VM_ENTRY_CONTROLS);
	const uint64_t now = FIELD02(GUEST_IA32_EFER) & EFER_LMA ? entry | ia32e : entry & ~ia32e;

	if (!PROC2(UNRESTRICTED_GUEST) || now == entry)
		return;
	put12(nested, VMCS_VM_ENTRY_CONTROLS, now);
	merge_update_controls(nested);
}

static void save_guest_state(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	struct vmcs *vmcs02 = &nested->vmcs02;
	const bool needs_mode = PROC2(UNRESTRICTED_GUEST) && vmcs_mask_has(&vmcs02->stale, VMCS_GUEST_IA32_EFER);

	if (!nested->merge.registers_known)
		merge_learn_registers(nested);
	if (nested->config.copy_everything || needs_mode)
		transition_fetch(nested, vmcs02);
	save_fields(nested);
	if (EXIT(SAVE_PREEMPTION_TIMER))
		put12_from02(nested, VMCS_VMX_PREEMPTION_TIMER_VALUE);
	save_mode(nested);
	if (transition_proc2(nested->config.vmcs01) & VMX_BIT(PROC2_ENABLE_PML))
		transition_set(nested->config.vmcs01, VMCS_PML_INDEX, FIELD02(PML_INDEX));
}

/* ---- 28.4 to 28.6 ---- */

/* The logical processor is in the shutdown state afterwards; L0 sees nested->vmx_abort. */
static void vmx_abort(struct nested *nested, uint32_t indicator)
{
	if (nested->vmx_abort)
		return;
	nested->vmx_abort = indicator;
	nested->vmcs12->abort_indicator = indicator;
}

static void store_msrs(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const uint32_t count = (uint32_t)FIELD(VM_EXIT_MSR_STORE_COUNT);

	if (count && nested_msr_store(nested, &nested->vmcs02, FIELD(VM_EXIT_MSR_STORE_ADDRESS), count))
		vmx_abort(nested, ABORT_SAVING_MSRS);
}

static void load_msrs(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const uint32_t count = (uint32_t)FIELD(VM_EXIT_MSR_LOAD_COUNT);

	if (count && nested_msr_load(nested, nested->config.vmcs01, FIELD(VM_EXIT_MSR_LOAD_ADDRESS), count))
		vmx_abort(nested, ABORT_LOADING_MSRS);
}

/* 29.4.3.1: an exit without VPIDs drops what is cached for VPID 0, which is L1's. */
static void flush_l1(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const struct nested_ops *ops = &nested->config.ops;
	const uint16_t vpid01 = (uint16_t)nested->config.vmcs01->field[VMCS_VIRTUAL_PROCESSOR_ID];

	if (!PROC2(ENABLE_VPID) && ops->flush_vpid && vpid01 != 0)
		ops->flush_vpid(ops->ctx, vpid01);
}

/* L1 runs from here on. */
static void enter_l1(struct nested *nested, bool ran)
{
	const bool loaded = host_state_load(nested, ran);

	nested->in_l2 = false;
	if (!loaded)
		vmx_abort(nested, ABORT_HOST_PDPTES);
	load_msrs(nested);
	flush_l1(nested);
	if (nested->pending_kind) {
		nested->pending_kind = 0;
		merge_update_controls(nested);
	}
	shadow_from_vmcs12(nested);
}

/* SDM vol. 3, 27.8: only these two fields are written, and no guest state is saved. */
static void reflect_entry_failure(struct nested *nested, uint32_t reason, uint64_t qualification)
{
	put12(nested, VMCS_EXIT_REASON, reason);
	put12(nested, VMCS_EXIT_QUALIFICATION, qualification);
	enter_l1(nested, false);
}

void nested_reflect(struct nested *nested)
{
	if (FIELD02(EXIT_REASON) & EXIT_REASON_ENTRY_FAILURE) {
		reflect_entry_failure(nested, (uint32_t)FIELD02(EXIT_REASON), FIELD02(EXIT_QUALIFICATION));
		return;
	}
	nested->counters[COUNTER_REFLECTED]++;
	record_exit(nested);
	save_guest_state(nested);
	store_msrs(nested);
	enter_l1(nested, true);
}

/* An event that vmcs02 was to inject and did not get to counts as one whose delivery the exit interrupted (28.2.4). */
static void take_back_event(struct nested *nested)
{
	const uint32_t info = (uint32_t)FIELD02(VM_ENTRY_INTERRUPTION_INFORMATION);
	const uint32_t type = (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT;

	FIELD02(IDT_VECTORING_INFORMATION) = 0;
	if (!(info & INTR_INFO_VALID) || type == INTR_TYPE_OTHER)
		return;
	FIELD02(IDT_VECTORING_INFORMATION) = info;
	FIELD02(IDT_VECTORING_ERROR_CODE) = FIELD02(VM_ENTRY_EXCEPTION_ERROR_CODE);
	FIELD02(VM_EXIT_INSTRUCTION_LENGTH) = FIELD02(VM_ENTRY_INSTRUCTION_LENGTH);
	transition_set(&nested->vmcs02, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, info & ~(uint64_t)INTR_INFO_VALID);
}

void nested_reflect_made(
        struct nested *nested, uint32_t reason, uint64_t qualification, uint32_t interruption_info, uint32_t error_code)
{
	if (reason & EXIT_REASON_ENTRY_FAILURE) {
		reflect_entry_failure(nested, reason, qualification);
		return;
	}
	FIELD02(EXIT_REASON) = reason;
	FIELD02(EXIT_QUALIFICATION) = qualification;
	FIELD02(VM_EXIT_INTERRUPTION_INFORMATION) = interruption_info;
	FIELD02(VM_EXIT_INTERRUPTION_ERROR_CODE) = error_code;
	take_back_event(nested);
	nested_reflect(nested);
}
