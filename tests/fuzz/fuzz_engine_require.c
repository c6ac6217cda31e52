/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of the engine whatever L1 does. */
#include "fuzz_engine.h"

#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "shadowvmcs/transition.h"

/* What L0 wants to exit does exit; without a bitmap of its own it wants everything. */
static void require_superset(const uint64_t *bitmap02, const uint8_t *bitmap01)
{
	for (unsigned i = 0; i < 4096 / sizeof(uint64_t); i++) {
		uint64_t wanted = ~0ull;
		if (bitmap01)
			memcpy(&wanted, bitmap01 + i * sizeof(wanted), sizeof(wanted));
		FUZZ_REQUIRE((bitmap02[i] & wanted) == wanted);
	}
}

void require_l0s_part(const struct engine_run *run)
{
	const struct nested *nested = run->nested;
	const struct vmcs *v02 = &nested->vmcs02, *v01 = &run->f->vmcs01, *v = &nested->checked12;
	const uint64_t proc02 = v02->field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS];
	const uint64_t proc2_02 = v02->field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS];
	const uint64_t pin01 = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING);
	const bool bitmaps = nested->config.machine.honours[VMX_WORD_PROC] & VMX_BIT(PROC_USE_MSR_BITMAPS);

	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_field_infos[field].how == VMCS_HOW_HOST)
			FUZZ_REQUIRE(v02->field[field] == v01->field[field]);
		FUZZ_REQUIRE(
		        !(v02->field[field] & ~vmcs_width_mask(vmcs_encoding_width(vmcs_field_infos[field].encoding))));
	}
	FUZZ_REQUIRE((v02->field[VMCS_PIN_BASED_VM_EXECUTION_CONTROLS] & pin01) == pin01);
	FUZZ_REQUIRE(proc2_02 & VMX_BIT(PROC2_ENABLE_EPT));
	FUZZ_REQUIRE(!(proc2_02 & (VMX_BIT(PROC2_VMCS_SHADOWING) | VMX_BIT(PROC2_ENABLE_VM_FUNCTIONS))));
	FUZZ_REQUIRE(v02->field[VMCS_VMCS_LINK_POINTER] == ~0ull);
	FUZZ_REQUIRE(v02->field[VMCS_MSR_BITMAP] == nested->config.msr_bitmap02.hpa);
	FUZZ_REQUIRE(v02->field[VMCS_IO_BITMAP_A] == nested->config.io_bitmap02[0].hpa);
	FUZZ_REQUIRE(v02->field[VMCS_IO_BITMAP_B] == nested->config.io_bitmap02[1].hpa);
	FUZZ_REQUIRE(!bitmaps || (proc02 & VMX_BIT(PROC_USE_MSR_BITMAPS)));
	FUZZ_REQUIRE(proc02 & (VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING)));
	require_superset(nested->config.msr_bitmap02.hva, nested->config.msr_bitmap01);
	for (unsigned p = 0; p < 2; p++)
		require_superset(nested->config.io_bitmap02[p].hva, nested->config.io_bitmap01[p]);
	FUZZ_REQUIRE(v02->field[VMCS_VM_ENTRY_MSR_LOAD_COUNT] == v01->field[VMCS_VM_ENTRY_MSR_LOAD_COUNT]);
	FUZZ_REQUIRE(v02->field[VMCS_VM_EXIT_MSR_LOAD_COUNT] == v01->field[VMCS_VM_EXIT_MSR_LOAD_COUNT]);
	FUZZ_REQUIRE(v02->field[VMCS_VM_EXIT_MSR_STORE_COUNT] == v01->field[VMCS_VM_EXIT_MSR_STORE_COUNT]);
	FUZZ_REQUIRE(v02->field[VMCS_VIRTUAL_PROCESSOR_ID] != v01->field[VMCS_VIRTUAL_PROCESSOR_ID]);
	if (PROC2(ENABLE_EPT)) /* an EPT02 of the fixture's backend */
		FUZZ_REQUIRE(v02->field[VMCS_EPT_POINTER] >> 32 == 0x77 &&
		             v02->field[VMCS_EPT_POINTER] != v01->field[VMCS_EPT_POINTER]);
	else
		FUZZ_REQUIRE(v02->field[VMCS_EPT_POINTER] == v01->field[VMCS_EPT_POINTER]);
}

void require_all_checks(const struct engine_run *run)
{
	const struct nested *nested = run->nested;
	const struct vmcs *v = &nested->checked12;
	uint64_t qualification;
	const char *failed = checks_controls(nested, v);

	failed = failed ? failed : checks_host_state(nested, v);
	failed = failed || !run->tame ? failed : checks_guest_state(nested, v, &qualification);
	if (failed)
		fuzz_fail("entered although a check fails", 0, failed);
}

bool require_same_as_whole_merge(const struct engine_run *run)
{
	const struct nested *nested = run->nested;
	static struct nested whole;
	const struct vmcs *v = &nested->checked12;

	if (FIELD(VM_ENTRY_MSR_LOAD_COUNT) != 0) /* the list was loaded after the merge */
		return false;
	whole = *nested;
	whole.merge_all = true;
	FUZZ_REQUIRE(merge_vmcs02(&whole) == 0);
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		/* What L2 left in the machine, checked12 does not have. */
		if (vmcs_mask_has(&nested->vmcs02.stale, (enum vmcs_field)field) ||
		        vmcs_mask_has(run->scribbled ? &nested->config.machine.on_demand : &nested->checked12.stale,
		                (enum vmcs_field)field) ||
		        whole.vmcs02.field[field] == nested->vmcs02.field[field])
			continue;
		fprintf(stderr, "%s is %#llx, a whole merge makes it %#llx\n", vmcs_field_infos[field].name,
		        (unsigned long long)nested->vmcs02.field[field], (unsigned long long)whole.vmcs02.field[field]);
		FUZZ_REQUIRE(!"merged as a whole");
	}
	return true;
}

void require_l1_at_host_state(const struct engine_run *run)
{
	const struct nested *nested = run->nested;
	const struct vmcs *v = &nested->checked12, *v01 = &run->f->vmcs01;

	FUZZ_REQUIRE(!nested->in_l2);
	FUZZ_REQUIRE(v01->field[VMCS_GUEST_RIP] == FIELD(HOST_RIP));
	FUZZ_REQUIRE(v01->field[VMCS_GUEST_RSP] == FIELD(HOST_RSP));
	FUZZ_REQUIRE(v01->field[VMCS_GUEST_CR3] == FIELD(HOST_CR3));
	FUZZ_REQUIRE(v01->field[VMCS_GUEST_RFLAGS] == RFLAGS_FIXED);
}

void require_vmcs01(const struct engine_run *run)
{
	const struct vmcs *v01 = &run->f->vmcs01;
	const uint64_t proc = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);
	const uint64_t proc2 = VMX_BIT(PROC2_VMCS_SHADOWING);
	const uint64_t entry = VMX_BIT(ENTRY_IA32E_MODE_GUEST);

	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		const enum vmcs_type type = vmcs_encoding_type(vmcs_field_infos[field].encoding);
		const bool event = field == VMCS_VM_ENTRY_INTERRUPTION_INFORMATION ||
		                   field == VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE ||
		                   field == VMCS_VM_ENTRY_INSTRUCTION_LENGTH;
		const bool own = field == VMCS_VMREAD_BITMAP || field == VMCS_VMWRITE_BITMAP ||
		                 field == VMCS_CR0_READ_SHADOW || field == VMCS_CR4_READ_SHADOW;
		uint64_t difference = v01->field[field] ^ run->first01.field[field];
		if ((type != VMCS_TYPE_CONTROL && type != VMCS_TYPE_HOST) || event || own)
			continue;
		if (field == VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
			difference &= ~proc;
		if (field == VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
			difference &= ~proc2;
		if (field == VMCS_VM_ENTRY_CONTROLS)
			difference &= ~entry;
		FUZZ_REQUIRE(difference == 0);
	}
}
