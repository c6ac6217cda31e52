/* SPDX-License-Identifier: Apache-2.0 */
/* An exit of L2 as L1 sees it: exit information, saved guest state, MSR lists, events. Host state: test_host_state.c.
 */
#include "check_cases.h"

static struct fixture f;

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
}

static void setup_paravirtual(void)
{
	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
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
	memset(&f.nested.vmcs02.dirty, 0, sizeof(f.nested.vmcs02.dirty));
}

static uint64_t *field02(enum vmcs_field field)
{
	return &f.nested.vmcs02.field[field];
}

static void exit_and_reflect(uint32_t reason, uint64_t qualification)
{
	fixture_exit_l2(&f, reason, qualification);
	nested_reflect(&f.nested);
}

static bool any(const struct vmcs_mask *mask)
{
	return mask->word[0] | mask->word[1] | mask->word[2];
}

/* ---- exit information ---- */

#define MARK 0x5a5a
enum { LENGTH = 1, INFORMATION = 2, LINEAR = 4, PHYSICAL = 8, ERROR = 16, VECTORING_ERROR = 32 };

static const struct {
	uint32_t reason, info, vectoring;
	unsigned defined;
} exit_cases[] = {
        {EXIT_REASON_CPUID, 0, 0, LENGTH},
        {EXIT_REASON_VMCALL, 0, 0, LENGTH},
        {EXIT_REASON_VMREAD, 0, 0, LENGTH | INFORMATION},
        {EXIT_REASON_INVEPT, 0, 0, LENGTH | INFORMATION},
        {EXIT_REASON_CONTROL_REGISTER_ACCESS, 0, 0, LENGTH | LINEAR},
        {EXIT_REASON_MOV_DR, 0, 0, LENGTH},
        {EXIT_REASON_IO_INSTRUCTION, 0, 0, LENGTH | INFORMATION | LINEAR},
        {EXIT_REASON_RDMSR, 0, 0, LENGTH},
        {EXIT_REASON_GDTR_OR_IDTR_ACCESS, 0, 0, LENGTH | INFORMATION},
        {EXIT_REASON_EPT_VIOLATION, 0, 0, LINEAR | PHYSICAL},
        {EXIT_REASON_EPT_MISCONFIGURATION, 0, 0, PHYSICAL},
        {EXIT_REASON_EXCEPTION_OR_NMI, 0x80000306, 0, 0},
        {EXIT_REASON_EXCEPTION_OR_NMI, 0x80000b0e, 0, ERROR},
        {EXIT_REASON_EXCEPTION_OR_NMI, 0x80000603, 0, LENGTH},
        {EXIT_REASON_EPT_VIOLATION, 0, 0x80000b0e, LINEAR | PHYSICAL | VECTORING_ERROR},
        {EXIT_REASON_EPT_VIOLATION, 0, 0x80000480, LINEAR | PHYSICAL | LENGTH},
        {EXIT_REASON_EPT_VIOLATION, 0, 0x80000306, LINEAR | PHYSICAL},
        {EXIT_REASON_EXTERNAL_INTERRUPT, 0x80000020, 0, 0},
        {EXIT_REASON_TRIPLE_FAULT, 0, 0, 0},
        {EXIT_REASON_PREEMPTION_TIMER_EXPIRED, 0, 0, 0},
};

static void check_defined(enum vmcs_field field, bool defined)
{
	ck_assert_msg(fixture_get(&f, field) == (defined ? MARK : 0), "%s is %#llx", vmcs_field_infos[field].name,
	        (unsigned long long)fixture_get(&f, field));
}

START_TEST(exit_information)
{
	const unsigned defined = exit_cases[_i].defined;
	static const enum vmcs_field marked[] = {VMCS_VM_EXIT_INSTRUCTION_LENGTH, VMCS_VM_EXIT_INSTRUCTION_INFORMATION,
	        VMCS_GUEST_LINEAR_ADDRESS, VMCS_GUEST_PHYSICAL_ADDRESS, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE,
	        VMCS_IDT_VECTORING_ERROR_CODE};

	fixture_start(&f);
	enter_l2();
	fixture_exit_l2(&f, exit_cases[_i].reason, 0x77);
	*field02(VMCS_VM_EXIT_INTERRUPTION_INFORMATION) = exit_cases[_i].info;
	*field02(VMCS_IDT_VECTORING_INFORMATION) = exit_cases[_i].vectoring;
	for (unsigned i = 0; i < 6; i++)
		*field02(marked[i]) = MARK;
	nested_reflect(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), exit_cases[_i].reason);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_QUALIFICATION), 0x77);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), exit_cases[_i].info);
	ck_assert_uint_eq(fixture_get(&f, VMCS_IDT_VECTORING_INFORMATION), exit_cases[_i].vectoring);
	for (unsigned i = 0; i < 6; i++)
		check_defined(marked[i], defined & 1u << i);
	ck_assert(!f.nested.in_l2);
	ck_assert_uint_eq(f.nested.counters[COUNTER_REFLECTED], 1);
}
END_TEST

/* A reason that no table knows: everything the machine left is passed on. */
START_TEST(unknown_reason)
{
	fixture_start(&f);
	enter_l2();
	fixture_exit_l2(&f, 0x7fff, 0x77);
	*field02(VMCS_GUEST_PHYSICAL_ADDRESS) = MARK;
	nested_reflect(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), 0x7fff);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_PHYSICAL_ADDRESS), MARK);
}
END_TEST

/* L1 scribbles over vmcs12's exit information while L2 runs (vmcs=direct): the exit writes it all the same. */
START_TEST(scribbled_over)
{
	fixture_start(&f);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0x77);
	f.vmcs12->field[VMCS_EXIT_QUALIFICATION] = 0xbad;
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0x77);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_QUALIFICATION), 0x77);
	/* And the engine's copy follows even where L1 guessed right. */
	f.vmcs12->field[VMCS_GUEST_RIP] = 0x9999;
	enter_l2();
	*field02(VMCS_GUEST_RIP) = 0x9999;
	exit_and_reflect(EXIT_REASON_CPUID, 0x77);
	ck_assert_uint_eq(f.nested.checked12.field[VMCS_GUEST_RIP], 0x9999);
}
END_TEST

START_TEST(injection_is_consumed)
{
	fixture_start(&f);
	fixture_set(&f, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, 0x80000306);
	enter_l2();
	ck_assert_uint_eq(*field02(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), 0x80000306);
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), 0x306);
	enter_l2();
	ck_assert_uint_eq(*field02(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), 0x306);
}
END_TEST

/* ---- guest state ---- */

static bool is_plain_guest_field(int field)
{
	switch (field) {
	case VMCS_GUEST_CR0:
	case VMCS_GUEST_CR4:
	case VMCS_GUEST_DR7:
	case VMCS_GUEST_IA32_DEBUGCTL:
	case VMCS_GUEST_IA32_PERF_GLOBAL_CTRL:
	case VMCS_PML_INDEX:
		return false;
	default:
		return vmcs_field_infos[field].how == VMCS_HOW_GUEST;
	}
}

START_TEST(guest_fields_saved)
{
	fixture_start(&f);
	enter_l2();
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (is_plain_guest_field(field))
			*field02((enum vmcs_field)field) = 0x1000u + (unsigned)field;
	}
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (is_plain_guest_field(field))
			ck_assert_msg(f.vmcs12->field[field] == 0x1000u + (unsigned)field, "%s",
			        vmcs_field_infos[field].name);
	}
	/* L1 wrote none of them. */
	ck_assert(!any(&f.vmcs12->dirty));
	ck_assert(!any(&f.nested.checked12.dirty));
}
END_TEST

/* What an exit writes is counted, and unchanged fields are not written. */
START_TEST(only_changes_are_written)
{
	fixture_start(&f);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	memset(&f.vmcs01.dirty, 0, sizeof(f.vmcs01.dirty));
	enter_l2();
	const uint64_t before = f.nested.counters[COUNTER_FIELDS_REFLECTED];
	*field02(VMCS_GUEST_RIP) += 2;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_FIELDS_REFLECTED], before + 1);
	ck_assert(!any(&f.vmcs01.dirty));
}
END_TEST

START_TEST(copy_everything_copies_everything)
{
	f.config.copy_everything = true;
	fixture_start(&f);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	enter_l2();
	const uint64_t before = f.nested.counters[COUNTER_FIELDS_REFLECTED];
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_gt(f.nested.counters[COUNTER_FIELDS_REFLECTED], before + 60);
}
END_TEST

struct save_case {
	enum vmcs_field field;
	struct change of12[CHANGES_MAX];
	bool saved;
};
#define SAVED_BY(field, control)                                                                                       \
	{VMCS_##field, {ON_EXIT(control)}, true},                                                                      \
	{                                                                                                              \
		VMCS_##field, {OFF_EXIT(control)}, false                                                               \
	}
static const struct save_case save_cases[] = {
        SAVED_BY(GUEST_DR7, SAVE_DEBUG_CONTROLS),
        SAVED_BY(GUEST_IA32_DEBUGCTL, SAVE_DEBUG_CONTROLS),
        SAVED_BY(GUEST_IA32_PAT, SAVE_IA32_PAT),
        SAVED_BY(GUEST_IA32_EFER, SAVE_IA32_EFER),
        SAVED_BY(VMX_PREEMPTION_TIMER_VALUE, SAVE_PREEMPTION_TIMER),
        {VMCS_GUEST_IA32_BNDCFGS, {}, true},
        {VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, {}, false},
        {VMCS_PML_INDEX, {}, false},
        {VMCS_GUEST_PDPTE0, {}, true},
        {VMCS_GUEST_PDPTE3, {OFF_PROC2(ENABLE_EPT)}, false},
};

START_TEST(saved_on_demand)
{
	const struct save_case *c = &save_cases[_i];

	fixture_start(&f);
	apply_changes(f.vmcs12, c->of12);
	const uint64_t before = fixture_get(&f, c->field);
	enter_l2();
	*field02(c->field) = 0x1d01;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_msg(fixture_get(&f, c->field) == (c->saved ? 0x1d01 : before), "%s", vmcs_field_infos[c->field].name);
}
END_TEST

/* L2 changes bits nobody owns; L1's bits stay as L1 left them; L0's bits show L2's view in the read shadow. */
START_TEST(control_registers)
{
	fixture_start(&f);
	f.vmcs01.field[VMCS_CR0_GUEST_HOST_MASK] = CR0_TS | CR0_MP;
	fixture_set(&f, VMCS_CR0_GUEST_HOST_MASK, CR0_WP | CR0_MP);
	fixture_set(&f, VMCS_GUEST_CR0, 0x80000031 | CR0_WP | CR0_MP);
	enter_l2();
	ck_assert_uint_eq(*field02(VMCS_CR0_READ_SHADOW) & CR0_TS, 0);
	*field02(VMCS_GUEST_CR0) |= CR0_AM;       /* L2 */
	*field02(VMCS_CR0_READ_SHADOW) |= CR0_TS; /* L0, for L2's MOV to CR0 */
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR0), 0x80000031 | CR0_WP | CR0_MP | CR0_AM | CR0_TS);
}
END_TEST

START_TEST(cr4)
{
	fixture_start(&f);
	f.vmcs01.field[VMCS_CR4_GUEST_HOST_MASK] = CR4_VMXE;
	fixture_set(&f, VMCS_GUEST_CR4, CR4_PAE);
	enter_l2();
	ck_assert_uint_eq(*field02(VMCS_GUEST_CR4), CR4_PAE | CR4_VMXE);
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR4), CR4_PAE);
}
END_TEST

START_TEST(mode_of_an_unrestricted_guest)
{
	const uint64_t ia32e = VMX_BIT(ENTRY_IA32E_MODE_GUEST);

	fixture_start(&f);
	fixture_set_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_UNRESTRICTED_GUEST));
	fixture_clear_bits(&f, VMCS_VM_ENTRY_CONTROLS, ia32e);
	fixture_set(&f, VMCS_GUEST_IA32_EFER, 0);
	enter_l2();
	*field02(VMCS_GUEST_IA32_EFER) = EFER_LMA | EFER_LME;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_ENTRY_CONTROLS) & ia32e, ia32e);
	ck_assert_uint_eq(*field02(VMCS_VM_ENTRY_CONTROLS) & ia32e, ia32e);
	enter_l2();
	*field02(VMCS_GUEST_IA32_EFER) = 0;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_ENTRY_CONTROLS) & ia32e, 0);
}
END_TEST

START_TEST(page_modification_log_goes_on)
{
	fixture_start(&f);
	f.vmcs01.field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] |= VMX_BIT(PROC2_ENABLE_PML);
	f.vmcs01.field[VMCS_PML_INDEX] = 511;
	enter_l2();
	*field02(VMCS_PML_INDEX) = 500;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.vmcs01.field[VMCS_PML_INDEX], 500);
	ck_assert_uint_eq(fixture_get(&f, VMCS_PML_INDEX), 0);
}
END_TEST

/* ---- fields that stay in the machine ---- */

START_TEST(stale_fields_are_marked)
{
	fixture_start(&f);
	enter_l2();
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_CR3);
	const uint64_t cr3 = fixture_get(&f, VMCS_GUEST_CR3);
	*field02(VMCS_GUEST_CR3) = 0xbad000;
	*field02(VMCS_GUEST_RIP) = 0x4242;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert(vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_CR3));
	ck_assert(!vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_RIP));
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), cr3);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x4242);
	ck_assert_uint_eq(f.fetches, 0);
	/* The next exit has them all. */
	enter_l2();
	memset(&f.nested.vmcs02.stale, 0, sizeof(f.nested.vmcs02.stale));
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert(!any(&f.vmcs12->stale));
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_CR3), 0xbad000);
}
END_TEST

static void fetched_mode(struct fixture *fixture, struct vmcs *vmcs)
{
	(void)fixture;
	vmcs->field[VMCS_GUEST_IA32_EFER] = 0;
}

/* Whether an unrestricted guest is in IA-32e mode must be known at once: L1 reads its entry controls. */
START_TEST(mode_is_fetched)
{
	fixture_start(&f);
	fixture_set_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_UNRESTRICTED_GUEST));
	enter_l2();
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_EFER);
	f.on_fetch = fetched_mode;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.fetches, 1);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_ENTRY_CONTROLS) & VMX_BIT(ENTRY_IA32E_MODE_GUEST), 0);
}
END_TEST

/* Otherwise it can stay where it is. */
START_TEST(mode_is_not_fetched)
{
	fixture_start(&f);
	enter_l2();
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_EFER);
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.fetches, 0);
	ck_assert(vmcs_mask_has(&f.vmcs12->stale, VMCS_GUEST_IA32_EFER));
}
END_TEST

/* ---- MSR lists ---- */

static void put_msr(unsigned at, uint32_t index, uint64_t data)
{
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST + 16 * at, index);
	fixture_write64(&f, FIXTURE_GPA_MSR_LIST + 16 * at + 8, data);
}

START_TEST(msr_lists)
{
	fixture_start(&f);
	put_msr(0, MSR_IA32_PAT, 0);
	put_msr(4, MSR_IA32_SYSENTER_EIP, 0x1234);
	fixture_set(&f, VMCS_VM_EXIT_MSR_STORE_COUNT, 1);
	fixture_set(&f, VMCS_VM_EXIT_MSR_STORE_ADDRESS, FIXTURE_GPA_MSR_LIST);
	fixture_set(&f, VMCS_VM_EXIT_MSR_LOAD_COUNT, 1);
	fixture_set(&f, VMCS_VM_EXIT_MSR_LOAD_ADDRESS, FIXTURE_GPA_MSR_LIST + 64);
	fixture_set(&f, VMCS_HOST_IA32_SYSENTER_EIP, 0x5678);
	enter_l2();
	*field02(VMCS_GUEST_IA32_PAT) = 6;
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	/* Stored: L2's. Loaded: after the host state, so the list wins. */
	ck_assert_uint_eq(fixture_read64(&f, FIXTURE_GPA_MSR_LIST + 8), 6);
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_IA32_SYSENTER_EIP], 0x1234);
	ck_assert_uint_eq(f.nested.vmx_abort, 0);
}
END_TEST

START_TEST(msr_store_aborts)
{
	fixture_start(&f);
	fixture_set(&f, VMCS_VM_EXIT_MSR_STORE_COUNT, 1);
	fixture_set(&f, VMCS_VM_EXIT_MSR_STORE_ADDRESS, FIXTURE_MEMORY_BYTES);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.nested.vmx_abort, 1);
	ck_assert_uint_eq(f.vmcs12->abort_indicator, 1);
}
END_TEST

START_TEST(msr_load_aborts)
{
	fixture_start(&f);
	put_msr(0, MSR_IA32_FS_BASE, 0);
	fixture_set(&f, VMCS_VM_EXIT_MSR_LOAD_COUNT, 1);
	fixture_set(&f, VMCS_VM_EXIT_MSR_LOAD_ADDRESS, FIXTURE_GPA_MSR_LIST);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.nested.vmx_abort, 4);
	ck_assert_uint_eq(f.vmcs12->abort_indicator, 4);
}
END_TEST

/* ---- exits that the machine did not take ---- */

START_TEST(made)
{
	fixture_start(&f);
	enter_l2();
	*field02(VMCS_GUEST_RIP) = 0x4242;
	nested_reflect_made(&f.nested, EXIT_REASON_EXCEPTION_OR_NMI, 0x99, 0x80000b0e, 5);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_QUALIFICATION), 0x99);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), 0x80000b0e);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE), 5);
	ck_assert_uint_eq(fixture_get(&f, VMCS_IDT_VECTORING_INFORMATION), 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x4242);
	ck_assert(!f.nested.in_l2);
}
END_TEST

/* An event that vmcs02 still had to inject is not lost. */
START_TEST(made_before_the_event)
{
	fixture_start(&f);
	fixture_set(&f, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, 0x80000480);
	fixture_set(&f, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, 2);
	enter_l2();
	nested_reflect_made(&f.nested, EXIT_REASON_EXTERNAL_INTERRUPT, 0, 0x80000020, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_IDT_VECTORING_INFORMATION), 0x80000480);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_EXIT_INSTRUCTION_LENGTH), 2);
	ck_assert_uint_eq(fixture_get(&f, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), 0x480);
	ck_assert_uint_eq(*field02(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID, 0);
}
END_TEST

/* SDM vol. 3, 27.8: reason and qualification only, the event stays valid, and L1 is at its host state. */
START_TEST(entry_failure)
{
	fixture_start(&f);
	fixture_set(&f, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, 0x80000306);
	fixture_set(&f, VMCS_VM_EXIT_INTERRUPTION_INFORMATION, 0x1111);
	fixture_clear_bits(&f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_LOAD_IA32_PAT));
	fixture_snapshot(&f);
	const struct vmcs before = *f.vmcs12;
	f.vmcs01.field[VMCS_GUEST_IA32_PAT] = 4;
	*field02(VMCS_GUEST_RIP) = 0xbad;
	*field02(VMCS_GUEST_IA32_PAT) = 0xbad;
	nested_reflect_made(&f.nested, EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE, 2, 0, 0);
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (field == VMCS_EXIT_REASON)
			ck_assert_uint_eq(f.vmcs12->field[field], 0x80000021);
		else if (field == VMCS_EXIT_QUALIFICATION)
			ck_assert_uint_eq(f.vmcs12->field[field], 2);
		else
			ck_assert_msg(
			        f.vmcs12->field[field] == before.field[field], "%s", vmcs_field_infos[field].name);
	}
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_RIP], fixture_get(&f, VMCS_HOST_RIP));
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_IA32_PAT], 4);
	ck_assert_uint_eq(f.nested.counters[COUNTER_REFLECTED], 0);
}
END_TEST

/* The machine itself refused vmcs02: the same. */
START_TEST(entry_failure_of_the_machine)
{
	fixture_start(&f);
	enter_l2();
	const uint64_t rip = fixture_get(&f, VMCS_GUEST_RIP);
	*field02(VMCS_GUEST_RIP) = 0xbad;
	exit_and_reflect(EXIT_REASON_ENTRY_FAILURE_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE, 0);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), 0x80000021);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), rip);
	ck_assert(!f.nested.in_l2);
}
END_TEST

/* ---- around it ---- */

START_TEST(shadow_region_is_filled)
{
	f.config.shadow_mode = SHADOW_SHADOW;
	fixture_start(&f);
	enter_l2();
	*field02(VMCS_GUEST_RIP) = 0x4242;
	exit_and_reflect(EXIT_REASON_CPUID, 0x33);
	const struct vmcs *region = f.config.shadow_region.hva;
	ck_assert_uint_eq(region->field[VMCS_GUEST_RIP], 0x4242);
	ck_assert_uint_eq(region->field[VMCS_EXIT_REASON], EXIT_REASON_CPUID);
	ck_assert_uint_eq(region->field[VMCS_EXIT_QUALIFICATION], 0x33);
}
END_TEST

START_TEST(translations_of_l1_dropped_without_vpid)
{
	fixture_start(&f);
	enter_l2();
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.vpid_flushes, 0);
	fixture_clear_bits(&f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_VPID));
	enter_l2();
	ck_assert_uint_eq(f.vpid_flushes, 1);
	exit_and_reflect(EXIT_REASON_CPUID, 0);
	ck_assert_uint_eq(f.vpid_flushes, 2);
	ck_assert_uint_eq(f.vpid_flushed, f.vmcs01.field[VMCS_VIRTUAL_PROCESSOR_ID]);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: reflect");
	TCase *tcase = tcase_create("real VMX"), *paravirtual = tcase_create("paravirtual");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, exit_information, 0, COUNT(exit_cases));
	tcase_add_test(tcase, unknown_reason);
	tcase_add_test(tcase, scribbled_over);
	tcase_add_test(tcase, injection_is_consumed);
	tcase_add_test(tcase, guest_fields_saved);
	tcase_add_test(tcase, only_changes_are_written);
	tcase_add_test(tcase, copy_everything_copies_everything);
	tcase_add_loop_test(tcase, saved_on_demand, 0, COUNT(save_cases));
	tcase_add_test(tcase, control_registers);
	tcase_add_test(tcase, cr4);
	tcase_add_test(tcase, mode_of_an_unrestricted_guest);
	tcase_add_test(tcase, page_modification_log_goes_on);
	tcase_add_test(tcase, msr_lists);
	tcase_add_test(tcase, msr_store_aborts);
	tcase_add_test(tcase, msr_load_aborts);
	tcase_add_test(tcase, made);
	tcase_add_test(tcase, made_before_the_event);
	tcase_add_test(tcase, entry_failure);
	tcase_add_test(tcase, entry_failure_of_the_machine);
	tcase_add_test(tcase, shadow_region_is_filled);
	tcase_add_test(tcase, translations_of_l1_dropped_without_vpid);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(paravirtual, setup_paravirtual, teardown);
	tcase_add_test(paravirtual, stale_fields_are_marked);
	tcase_add_test(paravirtual, mode_is_fetched);
	tcase_add_test(paravirtual, mode_is_not_fetched);
	suite_add_tcase(suite, paravirtual);
	return fixture_run(suite);
}
