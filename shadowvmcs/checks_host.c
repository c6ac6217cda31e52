/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the host-state area: SDM vol. 3, 27.2.2 to 27.2.4, in its order. Failure: error 8. */
#include "nested.h"

#include "transition.h"

static bool cr_supported(const struct nested *nested, uint32_t fixed0, uint64_t value)
{
	const uint64_t must = nested->caps.msr[fixed0 - VMX_MSR_FIRST];
	const uint64_t may = nested->caps.msr[fixed0 + 1 - VMX_MSR_FIRST]; /* ..._FIXED1 */

	return (value & must) == must && !(value & ~may);
}
#define SUPPORTED(cr, name) cr_supported(nested, MSR_IA32_VMX_##cr##_FIXED0, FIELD(name))

static bool address_in_width(const struct nested *nested, uint64_t address)
{
	return !(address & ~caps_physical_mask(&nested->config.machine));
}
#define IN_WIDTH(name) address_in_width(nested, FIELD(name))

/* ---- 27.2.2 control registers and MSRs ---- */

static const char *check_registers(const struct nested *nested, const struct vmcs *v)
{
	const bool long_mode = EXIT(HOST_ADDRESS_SPACE_SIZE);

	CHECK(SUPPORTED(CR0, HOST_CR0));
	CHECK(SUPPORTED(CR4, HOST_CR4));
	CHECK(IMPLIES(FIELD(HOST_CR4) & CR4_CET, FIELD(HOST_CR0) & CR0_WP));
	CHECK(IN_WIDTH(HOST_CR3));
	CHECK(CANONICAL(HOST_IA32_SYSENTER_ESP));
	CHECK(CANONICAL(HOST_IA32_SYSENTER_EIP));
	CHECK(IMPLIES(EXIT(LOAD_IA32_PERF_GLOBAL_CTRL), PERF_GLOBAL_VALID(HOST_IA32_PERF_GLOBAL_CTRL)));
	CHECK(IMPLIES(EXIT(LOAD_IA32_PAT), PAT_VALID(HOST_IA32_PAT)));
	CHECK(IMPLIES(EXIT(LOAD_IA32_EFER), !(FIELD(HOST_IA32_EFER) & ~EFER_VALID_BITS)));
	CHECK(IMPLIES(EXIT(LOAD_IA32_EFER), !!(FIELD(HOST_IA32_EFER) & EFER_LMA) == long_mode));
	CHECK(IMPLIES(EXIT(LOAD_IA32_EFER), !!(FIELD(HOST_IA32_EFER) & EFER_LME) == long_mode));
	return 0;
}

/* ---- 27.2.3 segments and descriptor tables ---- */

#define FLAT_SELECTOR(name) (!(FIELD(name) & (SELECTOR_RPL | SELECTOR_TI)))

static const char *check_segments(const struct nested *nested, const struct vmcs *v)
{
	CHECK(FLAT_SELECTOR(HOST_ES_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_CS_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_SS_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_DS_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_FS_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_GS_SELECTOR));
	CHECK(FLAT_SELECTOR(HOST_TR_SELECTOR));
	CHECK(FIELD(HOST_CS_SELECTOR) != 0);
	CHECK(FIELD(HOST_TR_SELECTOR) != 0);
	CHECK(IMPLIES(!EXIT(HOST_ADDRESS_SPACE_SIZE), FIELD(HOST_SS_SELECTOR) != 0));
	CHECK(CANONICAL(HOST_FS_BASE));
	CHECK(CANONICAL(HOST_GS_BASE));
	CHECK(CANONICAL(HOST_GDTR_BASE));
	CHECK(CANONICAL(HOST_IDTR_BASE));
	CHECK(CANONICAL(HOST_TR_BASE));
	return 0;
}

/* ---- 27.2.4 address-space size ---- */

static const char *check_address_space(const struct nested *nested, const struct vmcs *v)
{
	const bool l1_in_ia32e = transition_l1_long_mode(nested);
	const bool long_mode = EXIT(HOST_ADDRESS_SPACE_SIZE);

	CHECK(IMPLIES(!l1_in_ia32e, !ENTRY(IA32E_MODE_GUEST)));
	CHECK(IMPLIES(!l1_in_ia32e, !long_mode));
	CHECK(IMPLIES(l1_in_ia32e, long_mode));
	/* That a 32-bit host enters no IA-32e guest follows from the three above. */
	CHECK(IMPLIES(!long_mode, !(FIELD(HOST_CR4) & CR4_PCIDE)));
	CHECK(IMPLIES(!long_mode, !(FIELD(HOST_RIP) >> 32)));
	CHECK(IMPLIES(long_mode, FIELD(HOST_CR4) & CR4_PAE));
	CHECK(IMPLIES(long_mode, CANONICAL(HOST_RIP)));
	return 0;
}

/* ---- groups ---- */

#define REGISTER_FIELDS(X, w)                                                                                          \
	X(w, PRIMARY_VM_EXIT_CONTROLS)                                                                                 \
	| X(w, HOST_CR0) | X(w, HOST_CR3) | X(w, HOST_CR4) | X(w, HOST_IA32_SYSENTER_ESP) |                            \
	        X(w, HOST_IA32_SYSENTER_EIP) | X(w, HOST_IA32_PERF_GLOBAL_CTRL) | X(w, HOST_IA32_PAT) |                \
	        X(w, HOST_IA32_EFER)
#define SEGMENT_FIELDS(X, w)                                                                                           \
	X(w, PRIMARY_VM_EXIT_CONTROLS)                                                                                 \
	| X(w, HOST_ES_SELECTOR) | X(w, HOST_CS_SELECTOR) | X(w, HOST_SS_SELECTOR) | X(w, HOST_DS_SELECTOR) |          \
	        X(w, HOST_FS_SELECTOR) | X(w, HOST_GS_SELECTOR) | X(w, HOST_TR_SELECTOR) | X(w, HOST_FS_BASE) |        \
	        X(w, HOST_GS_BASE) | X(w, HOST_TR_BASE) | X(w, HOST_GDTR_BASE) | X(w, HOST_IDTR_BASE)

#define ALL_FIELDS(X, w) REGISTER_FIELDS(X, w) | SEGMENT_FIELDS(X, w)

static const struct check_group groups[] = {
        {VMCS_MASK_OF(REGISTER_FIELDS), check_registers},
        {VMCS_MASK_OF(SEGMENT_FIELDS), check_segments},
};
enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

/* The address-space size also depends on L1's mode, which no field of vmcs12 shows: at every entry. */
const char *checks_host_state_changed(
        const struct nested *nested, const struct vmcs *vmcs12, const struct vmcs_mask *changed)
{
	static const struct vmcs_mask any = VMCS_MASK_OF(ALL_FIELDS);
	const char *failed = 0;

	if (!changed || vmcs_mask_meets(&any, changed))
		failed = check_groups(nested, vmcs12, groups, GROUPS, changed);
	return failed ? failed : check_address_space(nested, vmcs12);
}

const char *checks_host_state(const struct nested *nested, const struct vmcs *vmcs12)
{
	return checks_host_state_changed(nested, vmcs12, 0);
}
