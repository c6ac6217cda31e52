/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the guest-state area: SDM vol. 3, 27.3.1, in its order. Failure: exit reason 33. Segment registers
 * are in checks_segments.c. */
#include "nested.h"

#include <string.h>

#include "transition.h"

/* Exit qualification of a failed check, SDM vol. 3, 27.8. */
enum { QUALIFICATION_NONE = 0, QUALIFICATION_PDPTE = 2, QUALIFICATION_NMI = 3, QUALIFICATION_LINK_POINTER = 4 };

#define LINK_POINTER_NONE (~0ull)
/* Pending debug exceptions, 25.4.2 (table 25-4). */
#define PENDING_DEBUG_BS (1ull << 14)
#define PENDING_DEBUG_RESERVED (~0x500full)
#define DEBUGCTL_BTF (1ull << 1)
#define RFLAGS_RESERVED 0xffffffffffc08028ull
#define BNDCFGS_RESERVED 0xffcull
/* IA32_VMX_MISC: activity states, A.6. */
#define MISC_HLT (1ull << 6)
#define MISC_SHUTDOWN (1ull << 7)
#define MISC_WAIT_FOR_SIPI (1ull << 8)

/* The machine holds the field and runs with it: it is not L1's doing, and its value is not known here. */
static bool is_stale(const struct nested *nested, const struct vmcs *v, enum vmcs_field field)
{
	return vmcs_mask_has(&nested->vmcs02.stale, field) && !vmcs_mask_has(&v->dirty, field);
}

/* ---- 27.3.1.1 control registers, debug registers and MSRs ---- */

static bool cr_supported(const struct nested *nested, uint32_t fixed0, uint64_t value, uint64_t exempt)
{
	const uint64_t must = nested->caps.msr[fixed0 - VMX_MSR_FIRST] & ~exempt;
	const uint64_t may = nested->caps.msr[fixed0 + 1 - VMX_MSR_FIRST] | exempt;

	return (value & must) == must && !(value & ~may);
}
/* CD and NW are never checked. */
#define SUPPORTED(cr, name, exempt)                                                                                    \
	cr_supported(nested, MSR_IA32_VMX_##cr##_FIXED0, FIELD(name), (exempt) | cr##_NEVER_CHECKED)
#define CR0_NEVER_CHECKED (CR0_CD | CR0_NW)
#define CR4_NEVER_CHECKED 0ull

static bool address_in_width(const struct nested *nested, uint64_t address)
{
	return !(address & ~caps_physical_mask(&nested->config.machine));
}
#define IN_WIDTH(name) address_in_width(nested, FIELD(name))

static const char *check_msrs(const struct vmcs *v)
{
	const bool ia32e = ENTRY(IA32E_MODE_GUEST);

	CHECK(CANONICAL(GUEST_IA32_SYSENTER_ESP));
	CHECK(CANONICAL(GUEST_IA32_SYSENTER_EIP));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL), PERF_GLOBAL_VALID(GUEST_IA32_PERF_GLOBAL_CTRL)));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_PAT), PAT_VALID(GUEST_IA32_PAT)));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_EFER), !(FIELD(GUEST_IA32_EFER) & ~EFER_VALID_BITS)));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_EFER), !!(FIELD(GUEST_IA32_EFER) & EFER_LMA) == ia32e));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_EFER) && (FIELD(GUEST_CR0) & CR0_PG),
	        !!(FIELD(GUEST_IA32_EFER) & EFER_LMA) == !!(FIELD(GUEST_IA32_EFER) & EFER_LME)));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_BNDCFGS), !(FIELD(GUEST_IA32_BNDCFGS) & BNDCFGS_RESERVED)));
	CHECK(IMPLIES(ENTRY(LOAD_IA32_BNDCFGS), x86_canonical(FIELD(GUEST_IA32_BNDCFGS) & ~0xfffull)));
	return 0;
}

static const char *check_registers(const struct nested *nested, const struct vmcs *v)
{
	const bool ia32e = ENTRY(IA32E_MODE_GUEST);
	const uint64_t cr0_exempt = PROC2(UNRESTRICTED_GUEST) ? CR0_PE | CR0_PG : 0;

	CHECK(SUPPORTED(CR0, GUEST_CR0, cr0_exempt));
	CHECK(IMPLIES(FIELD(GUEST_CR0) & CR0_PG, FIELD(GUEST_CR0) & CR0_PE));
	CHECK(SUPPORTED(CR4, GUEST_CR4, 0));
	CHECK(IMPLIES(FIELD(GUEST_CR4) & CR4_CET, FIELD(GUEST_CR0) & CR0_WP));
	CHECK(IMPLIES(ENTRY(LOAD_DEBUG_CONTROLS), !(FIELD(GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_VALID_BITS)));
	CHECK(IMPLIES(ia32e, FIELD(GUEST_CR0) & CR0_PG));
	CHECK(IMPLIES(ia32e, FIELD(GUEST_CR4) & CR4_PAE));
	CHECK(IMPLIES(!ia32e, !(FIELD(GUEST_CR4) & CR4_PCIDE)));
	CHECK(IN_WIDTH(GUEST_CR3));
	CHECK(IMPLIES(ENTRY(LOAD_DEBUG_CONTROLS), !(FIELD(GUEST_DR7) >> 32)));
	return check_msrs(v);
}

/* ---- 27.3.1.3 descriptor tables ---- */

static const char *check_descriptor_tables(const struct nested *nested, const struct vmcs *v)
{
	CHECK(CANONICAL(GUEST_GDTR_BASE));
	CHECK(CANONICAL(GUEST_IDTR_BASE));
	CHECK(!(FIELD(GUEST_GDTR_LIMIT) >> 16));
	CHECK(!(FIELD(GUEST_IDTR_LIMIT) >> 16));
	return 0;
}

/* ---- 27.3.1.4 RIP and RFLAGS ---- */

static bool injects(const struct vmcs *v, enum intr_type type)
{
	const uint32_t info = (uint32_t)FIELD(VM_ENTRY_INTERRUPTION_INFORMATION);

	return (info & INTR_INFO_VALID) && (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT == (uint32_t)type;
}

#define INJECTS(type) injects(v, INTR_TYPE_##type)

static const char *check_rip_rflags(const struct nested *nested, const struct vmcs *v)
{
	const bool ia32e = ENTRY(IA32E_MODE_GUEST);
	const bool cs_known = !is_stale(nested, v, VMCS_GUEST_CS_ACCESS_RIGHTS);
	const bool cs_64 = FIELD(GUEST_CS_ACCESS_RIGHTS) & AR_L;

	CHECK(IMPLIES(!ia32e || (cs_known && !cs_64), !(FIELD(GUEST_RIP) >> 32)));
	CHECK(IMPLIES(ia32e, CANONICAL(GUEST_RIP)));
	CHECK(!(FIELD(GUEST_RFLAGS) & RFLAGS_RESERVED));
	CHECK(FIELD(GUEST_RFLAGS) & RFLAGS_FIXED);
	CHECK(IMPLIES(ia32e, !(FIELD(GUEST_RFLAGS) & RFLAGS_VM)));
	CHECK(IMPLIES(!(FIELD(GUEST_CR0) & CR0_PE), !(FIELD(GUEST_RFLAGS) & RFLAGS_VM)));
	CHECK(IMPLIES(INJECTS(EXTERNAL), FIELD(GUEST_RFLAGS) & RFLAGS_IF));
	return 0;
}

/* ---- 27.3.1.5 non-register state ---- */

static bool activity_supported(const struct nested *nested, uint64_t activity)
{
	const uint64_t misc = nested->caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST];

	switch (activity) {
	case ACTIVITY_ACTIVE:
		return true;
	case ACTIVITY_HLT:
		return misc & MISC_HLT;
	case ACTIVITY_SHUTDOWN:
		return misc & MISC_SHUTDOWN;
	case ACTIVITY_WAIT_FOR_SIPI:
		return misc & MISC_WAIT_FOR_SIPI;
	default:
		return false;
	}
}

/* The events that may be injected into a CPU that is not active. */
static bool event_fits_activity(const struct vmcs *v)
{
	const uint32_t info = (uint32_t)FIELD(VM_ENTRY_INTERRUPTION_INFORMATION);
	const uint32_t vector = info & INTR_INFO_VECTOR_MASK;
	const bool machine_check = injects(v, INTR_TYPE_HARDWARE_EXCEPTION) && vector == 18;
	const bool debug = injects(v, INTR_TYPE_HARDWARE_EXCEPTION) && vector == VECTOR_DB;

	if (!(info & INTR_INFO_VALID))
		return true;
	switch (FIELD(GUEST_ACTIVITY_STATE)) {
	case ACTIVITY_HLT:
		return injects(v, INTR_TYPE_EXTERNAL) || injects(v, INTR_TYPE_NMI) || machine_check || debug ||
		       injects(v, INTR_TYPE_OTHER);
	case ACTIVITY_SHUTDOWN:
		return injects(v, INTR_TYPE_NMI) || machine_check;
	case ACTIVITY_WAIT_FOR_SIPI:
		return false;
	default:
		return true;
	}
}

#define BLOCKED_BY(bits) ((FIELD(GUEST_INTERRUPTIBILITY_STATE) & (bits)) != 0)

#define ACTIVITY_SUPPORTED activity_supported(nested, FIELD(GUEST_ACTIVITY_STATE))
#define EVENT_FITS_ACTIVITY event_fits_activity(v)
#define SS_DPL (FIELD(GUEST_SS_ACCESS_RIGHTS) >> AR_DPL_SHIFT & 3)

static const char *check_activity(const struct nested *nested, const struct vmcs *v)
{
	CHECK(ACTIVITY_SUPPORTED);
	CHECK(IMPLIES(FIELD(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT, SS_DPL == 0));
	CHECK(IMPLIES(BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS),
	        FIELD(GUEST_ACTIVITY_STATE) == ACTIVITY_ACTIVE));
	CHECK(EVENT_FITS_ACTIVITY);
	return 0;
}

static const char *check_interruptibility(const struct vmcs *v)
{
	const uint64_t reserved = ~(
	        uint64_t)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_SMI | INTERRUPTIBILITY_NMI);

	CHECK(!BLOCKED_BY(reserved));
	CHECK(!(BLOCKED_BY(INTERRUPTIBILITY_STI) && BLOCKED_BY(INTERRUPTIBILITY_MOV_SS)));
	CHECK(IMPLIES(!(FIELD(GUEST_RFLAGS) & RFLAGS_IF), !BLOCKED_BY(INTERRUPTIBILITY_STI)));
	CHECK(IMPLIES(INJECTS(EXTERNAL), !BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)));
	CHECK(!BLOCKED_BY(INTERRUPTIBILITY_SMI));
	CHECK(IMPLIES(INJECTS(NMI) && PIN(VIRTUAL_NMIS), !BLOCKED_BY(INTERRUPTIBILITY_NMI)));
	return 0;
}

static const char *check_nmi_blocking(const struct vmcs *v)
{
	CHECK(IMPLIES(INJECTS(NMI), !BLOCKED_BY(INTERRUPTIBILITY_MOV_SS)));
	return 0;
}

static const char *check_pending_debug(const struct vmcs *v)
{
	const bool held = BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS) ||
	                  FIELD(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT;
	const bool single_step = (FIELD(GUEST_RFLAGS) & RFLAGS_TF) && !(FIELD(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF);
	const bool bs = FIELD(GUEST_PENDING_DEBUG_EXCEPTIONS) & PENDING_DEBUG_BS;

	CHECK(!(FIELD(GUEST_PENDING_DEBUG_EXCEPTIONS) & PENDING_DEBUG_RESERVED));
	CHECK(IMPLIES(held && single_step, bs));
	CHECK(IMPLIES(held && !single_step, !bs));
	return 0;
}

static const char *check_non_register(const struct nested *nested, const struct vmcs *v)
{
	const char *failed = check_activity(nested, v);

	if (!failed)
		failed = check_interruptibility(v);
	return failed ? failed : check_pending_debug(v);
}

static bool link_region_matches(const struct nested *nested, const struct vmcs *v)
{
	const void *page = nested->config.ops.l1_page(nested->config.ops.ctx, FIELD(VMCS_LINK_POINTER));
	const uint32_t wanted = VMCS_REVISION_ID | (PROC2(VMCS_SHADOWING) ? VMCS_SHADOW_INDICATOR : 0);
	uint32_t revision;

	if (!page)
		return false;
	memcpy(&revision, page, sizeof(revision));
	return revision == wanted;
}

#define LINK_REGION_MATCHES link_region_matches(nested, v)

static const char *check_link_pointer(const struct nested *nested, const struct vmcs *v)
{
	if (FIELD(VMCS_LINK_POINTER) == LINK_POINTER_NONE)
		return 0;
	CHECK(!(FIELD(VMCS_LINK_POINTER) & 0xfff));
	CHECK(IN_WIDTH(VMCS_LINK_POINTER));
	CHECK(LINK_REGION_MATCHES);
	CHECK(FIELD(VMCS_LINK_POINTER) != nested->vmcs12_gpa);
	return 0;
}

/* ---- 27.3.1.6 PDPTEs ---- */

bool transition_read_pdptes(const struct nested *nested, uint64_t cr3, uint64_t pdptes[4])
{
	/* 4.4.1: bits 31:5 of CR3 hold the table's address. */
	const uint64_t gpa = cr3 & 0xffffffe0;
	const uint8_t *page = nested->config.ops.l1_page(nested->config.ops.ctx, gpa);

	if (!page)
		return false;
	memcpy(pdptes, page + (gpa & 0xfff), 4 * sizeof(pdptes[0]));
	return true;
}

bool transition_pdpte_valid(const struct nested *nested, uint64_t pdpte)
{
	const uint64_t reserved = ~caps_physical_mask(&nested->config.machine) | 0x1e6;

	return !(pdpte & 1) || !(pdpte & reserved);
}

static bool pdptes_valid(const struct nested *nested, const struct vmcs *v)
{
	uint64_t pdptes[4] = {FIELD(GUEST_PDPTE0), FIELD(GUEST_PDPTE1), FIELD(GUEST_PDPTE2), FIELD(GUEST_PDPTE3)};

	/* Without EPT they come from memory (27.3.2.4); L1 shadow paging puts its own table at CR3. */
	if (!PROC2(ENABLE_EPT) && !transition_read_pdptes(nested, FIELD(GUEST_CR3), pdptes))
		return false;
	return transition_pdpte_valid(nested, pdptes[0]) && transition_pdpte_valid(nested, pdptes[1]) &&
	       transition_pdpte_valid(nested, pdptes[2]) && transition_pdpte_valid(nested, pdptes[3]);
}

#define PDPTES_VALID pdptes_valid(nested, v)

static const char *check_pdptes(const struct nested *nested, const struct vmcs *v)
{
	if (!transition_pae_paging(FIELD(GUEST_CR0), FIELD(GUEST_CR4), ENTRY(IA32E_MODE_GUEST)))
		return 0;
	CHECK(PDPTES_VALID);
	return 0;
}

/* ---- groups ---- */

#define MODE_FIELDS(X, w)                                                                                              \
	X(w, GUEST_CR0)                                                                                                \
	| X(w, VM_ENTRY_CONTROLS) | X(w, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) |                              \
	        X(w, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
#define REGISTER_FIELDS(X, w)                                                                                          \
	MODE_FIELDS(X, w)                                                                                              \
	| X(w, GUEST_CR3) | X(w, GUEST_CR4) | X(w, GUEST_IA32_DEBUGCTL) | X(w, GUEST_DR7) |                            \
	        X(w, GUEST_IA32_SYSENTER_ESP) | X(w, GUEST_IA32_SYSENTER_EIP) | X(w, GUEST_IA32_PERF_GLOBAL_CTRL) |    \
	        X(w, GUEST_IA32_PAT) | X(w, GUEST_IA32_EFER) | X(w, GUEST_IA32_BNDCFGS)
#define SEGMENT(X, w, seg)                                                                                             \
	X(w, GUEST_##seg##_SELECTOR)                                                                                   \
	| X(w, GUEST_##seg##_BASE) | X(w, GUEST_##seg##_LIMIT) | X(w, GUEST_##seg##_ACCESS_RIGHTS)
#define SEGMENTS(X, w)                                                                                                 \
	SEGMENT(X, w, ES)                                                                                              \
	| SEGMENT(X, w, CS) | SEGMENT(X, w, SS) | SEGMENT(X, w, DS) | SEGMENT(X, w, FS) | SEGMENT(X, w, GS) |          \
	        SEGMENT(X, w, LDTR) | SEGMENT(X, w, TR)
#define SEGMENT_FIELDS(X, w) MODE_FIELDS(X, w) | SEGMENTS(X, w)
#define STATE_OF_MODE_FIELDS(X, w)                                                                                     \
	SEGMENTS(X, w) | X(w, GUEST_CR0) | X(w, GUEST_CR4) | X(w, GUEST_IA32_EFER) | X(w, VM_ENTRY_CONTROLS)
#define TABLE_FIELDS(X, w)                                                                                             \
	X(w, GUEST_GDTR_BASE) | X(w, GUEST_GDTR_LIMIT) | X(w, GUEST_IDTR_BASE) | X(w, GUEST_IDTR_LIMIT)
#define RIP_FIELDS(X, w)                                                                                               \
	X(w, GUEST_RIP)                                                                                                \
	| X(w, GUEST_RFLAGS) | X(w, GUEST_CS_ACCESS_RIGHTS) | X(w, VM_ENTRY_CONTROLS) | X(w, GUEST_CR0) |              \
	        X(w, VM_ENTRY_INTERRUPTION_INFORMATION)
#define NON_REGISTER_FIELDS(X, w)                                                                                      \
	X(w, GUEST_ACTIVITY_STATE)                                                                                     \
	| X(w, GUEST_INTERRUPTIBILITY_STATE) | X(w, GUEST_SS_ACCESS_RIGHTS) | X(w, GUEST_RFLAGS) |                     \
	        X(w, VM_ENTRY_INTERRUPTION_INFORMATION) | X(w, PIN_BASED_VM_EXECUTION_CONTROLS) |                      \
	        X(w, GUEST_PENDING_DEBUG_EXCEPTIONS) | X(w, GUEST_IA32_DEBUGCTL)

/* All that these groups read, but RIP. */
#define BUT_RIP(X, w)                                                                                                  \
	(REGISTER_FIELDS(X, w) | SEGMENT_FIELDS(X, w) | TABLE_FIELDS(X, w) | RIP_FIELDS(X, w) |                        \
	        NON_REGISTER_FIELDS(X, w)) &                                                                           \
	        ~(uint64_t)(X(w, GUEST_RIP))
static const struct vmcs_mask but_rip = VMCS_MASK_OF(BUT_RIP);

static const struct check_group before_segments[] = {{VMCS_MASK_OF(REGISTER_FIELDS), check_registers}};
static const struct vmcs_mask segment_fields = VMCS_MASK_OF(SEGMENT_FIELDS);
static const struct check_group after_segments[] = {
        {VMCS_MASK_OF(TABLE_FIELDS), check_descriptor_tables},
        {VMCS_MASK_OF(RIP_FIELDS), check_rip_rflags},
        {VMCS_MASK_OF(NON_REGISTER_FIELDS), check_non_register},
};
enum { AFTER_SEGMENTS = sizeof(after_segments) / sizeof(after_segments[0]) };

/* Segments, CR0, CR4 and EFER are checked against one another. RIP, RFLAGS and CR3, which L1 writes all the time, need
 * no register that a machine keeps (see cs_known). */
const struct vmcs_mask checks_compared_fields = VMCS_MASK_OF(STATE_OF_MODE_FIELDS);

/* L1 that emulates an instruction writes RFLAGS; segments depend on its VM flag alone. */
static bool segments_changed(const struct nested *nested, const struct vmcs *v, const struct vmcs_mask *changed)
{
	if (!changed || vmcs_mask_meets(&segment_fields, changed))
		return true;
	return vmcs_mask_has(changed, VMCS_GUEST_RFLAGS) &&
	       ((FIELD(GUEST_RFLAGS) ^ nested->vmcs02.field[VMCS_GUEST_RFLAGS]) & RFLAGS_VM);
}

static const char *check_state(const struct nested *nested, const struct vmcs *vmcs12, const struct vmcs_mask *changed)
{
	const char *failed = check_groups(nested, vmcs12, before_segments, 1, changed);

	if (!failed && segments_changed(nested, vmcs12, changed))
		failed = checks_segments(nested, vmcs12);
	if (!failed)
		failed = check_groups(nested, vmcs12, after_segments, AFTER_SEGMENTS, changed);
	return failed;
}

const char *checks_guest_state_changed(const struct nested *nested, const struct vmcs *vmcs12,
        const struct vmcs_mask *changed, uint64_t *qualification)
{
	const char *failed;

	*qualification = QUALIFICATION_NONE;
	/* Most entries come from an L1 that emulated an instruction and changed RIP alone. */
	if (changed && !vmcs_mask_meets(&but_rip, changed))
		failed = vmcs_mask_has(changed, VMCS_GUEST_RIP) ? check_rip_rflags(nested, vmcs12) : 0;
	else
		failed = check_state(nested, vmcs12, changed);
	if (failed)
		return failed;
	/* These three look at memory, or are told apart by the qualification; all are cheap. */
	*qualification = QUALIFICATION_NMI;
	failed = check_nmi_blocking(vmcs12);
	if (failed)
		return failed;
	*qualification = QUALIFICATION_LINK_POINTER;
	failed = check_link_pointer(nested, vmcs12);
	if (failed)
		return failed;
	*qualification = QUALIFICATION_PDPTE;
	failed = check_pdptes(nested, vmcs12);
	if (!failed)
		*qualification = QUALIFICATION_NONE;
	return failed;
}

const char *checks_guest_state(const struct nested *nested, const struct vmcs *vmcs12, uint64_t *qualification)
{
	return checks_guest_state_changed(nested, vmcs12, 0, qualification);
}
