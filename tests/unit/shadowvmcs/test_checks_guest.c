/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the guest-state area, SDM vol. 3, 27.3.1: each check of checks_guest.c and checks_segments.c fails
 * once. */
#include "check_cases.h"

static const struct check_functions guest = {checks_guest_state, checks_guest_state_changed};

#define AR_V8086 0xf3
#define INFO(value) SET(VM_ENTRY_INTERRUPTION_INFORMATION, (value))
#define INTR_EXTERNAL INFO(0x80000020)
#define INTR_NMI INFO(0x80000202)

/* ---- valid states to start from ---- */

static void set_ar(struct fixture *f, enum vmcs_field field, uint64_t access_rights)
{
	fixture_set(f, field, access_rights);
}

/* 32-bit protected mode with PAE paging; PDPTEs not present. */
static void protected_32(struct fixture *f)
{
	fixture_clear_bits(f, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST));
	fixture_set(f, VMCS_GUEST_IA32_EFER, 0);
	set_ar(f, VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b);
}

static void protected_32_without_ept(struct fixture *f)
{
	protected_32(f);
	fixture_clear_bits(f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_ENABLE_EPT));
	fixture_set(f, VMCS_GUEST_CR3, 0xa020); /* the table is not page-aligned */
}

static void v8086(struct fixture *f)
{
	static const enum vmcs_field segments[][4] = {
#define SEGMENT(seg)                                                                                                   \
	{VMCS_GUEST_##seg##_SELECTOR, VMCS_GUEST_##seg##_BASE, VMCS_GUEST_##seg##_LIMIT,                               \
	        VMCS_GUEST_##seg##_ACCESS_RIGHTS}
	        SEGMENT(CS), SEGMENT(SS), SEGMENT(DS), SEGMENT(ES), SEGMENT(FS), SEGMENT(GS)};

	protected_32(f);
	fixture_set(f, VMCS_GUEST_RFLAGS, 2 | RFLAGS_VM);
	for (unsigned i = 0; i < 6; i++) {
		fixture_set(f, segments[i][0], 0x1000 + i);
		fixture_set(f, segments[i][1], (0x1000 + i) << 4);
		fixture_set(f, segments[i][2], 0xffff);
		set_ar(f, segments[i][3], AR_V8086);
	}
	fixture_set(f, VMCS_GUEST_RIP, 0x100);
}

static void unrestricted(struct fixture *f)
{
	fixture_set_bits(f, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_UNRESTRICTED_GUEST));
}

/* Real mode: what a start-up trampoline of an unrestricted guest looks like. */
static void real_mode(struct fixture *f)
{
	v8086(f);
	unrestricted(f);
	fixture_set(f, VMCS_GUEST_RFLAGS, 2);
	fixture_set(f, VMCS_GUEST_CR0, 0x30);
	set_ar(f, VMCS_GUEST_CS_ACCESS_RIGHTS, 0x93);
	set_ar(f, VMCS_GUEST_SS_ACCESS_RIGHTS, 0x93);
	set_ar(f, VMCS_GUEST_DS_ACCESS_RIGHTS, 0x93);
	set_ar(f, VMCS_GUEST_ES_ACCESS_RIGHTS, 0x93);
	set_ar(f, VMCS_GUEST_FS_ACCESS_RIGHTS, 0x93);
	set_ar(f, VMCS_GUEST_GS_ACCESS_RIGHTS, 0x93);
}

static void ring_3(struct fixture *f)
{
	fixture_set(f, VMCS_GUEST_CS_SELECTOR, 0x23);
	fixture_set(f, VMCS_GUEST_SS_SELECTOR, 0x1b);
	set_ar(f, VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb);
	set_ar(f, VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3);
}

static void with_ldt(struct fixture *f)
{
	fixture_set(f, VMCS_GUEST_LDTR_SELECTOR, 0x30);
	fixture_set(f, VMCS_GUEST_LDTR_LIMIT, 0xff);
	set_ar(f, VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x82);
}

static void if_set(struct fixture *f)
{
	fixture_set(f, VMCS_GUEST_RFLAGS, 2 | RFLAGS_IF);
}

static void sti_shadow(struct fixture *f)
{
	if_set(f);
	fixture_set(f, VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI);
}

static void cet_offered(struct fixture *f)
{
	f->nested.caps.msr[MSR_IA32_VMX_CR4_FIXED1 - VMX_MSR_FIRST] |= CR4_CET;
}

static void no_activity_states(struct fixture *f)
{
	f->nested.caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST] &= ~(7ull << 6);
}

/* ---- 27.3.1.1 ---- */

static const struct check_case register_cases[] = {
        {"SUPPORTED(CR0, GUEST_CR0, cr0_exempt)", {OFF(GUEST_CR0, CR0_NE)}},
        {"SUPPORTED(CR0, GUEST_CR0, cr0_exempt)", {OFF(GUEST_CR0, CR0_PE)}},
        {"SUPPORTED(CR0, GUEST_CR0, cr0_exempt)", {ON(GUEST_CR0, 1ull << 40)}},
        {NULL, {ON(GUEST_CR0, CR0_CD | CR0_NW)}},
        {"IMPLIES(FIELD(GUEST_CR0) & CR0_PG, FIELD(GUEST_CR0) & CR0_PE)", {OFF(GUEST_CR0, CR0_PE)}, unrestricted},
        {"SUPPORTED(CR4, GUEST_CR4, 0)", {OFF(GUEST_CR4, CR4_VMXE)}},
        {"SUPPORTED(CR4, GUEST_CR4, 0)", {ON(GUEST_CR4, 1ull << 40)}},
        {"IMPLIES(FIELD(GUEST_CR4) & CR4_CET, FIELD(GUEST_CR0) & CR0_WP)", {ON(GUEST_CR4, CR4_CET)}, cet_offered},
        {"IMPLIES(ENTRY(LOAD_DEBUG_CONTROLS), !(FIELD(GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_VALID_BITS))",
                {ON_ENTRY(LOAD_DEBUG_CONTROLS), SET(GUEST_IA32_DEBUGCTL, 4)}},
        {NULL, {SET(GUEST_IA32_DEBUGCTL, 4)}},
        {"IMPLIES(ia32e, FIELD(GUEST_CR0) & CR0_PG)", {OFF(GUEST_CR0, CR0_PG)}, unrestricted},
        {"IMPLIES(ia32e, FIELD(GUEST_CR4) & CR4_PAE)", {OFF(GUEST_CR4, CR4_PAE)}},
        {"IMPLIES(!ia32e, !(FIELD(GUEST_CR4) & CR4_PCIDE))", {ON(GUEST_CR4, CR4_PCIDE)}, protected_32},
        {NULL, {ON(GUEST_CR4, CR4_PCIDE)}},
        {"IN_WIDTH(GUEST_CR3)", {ON(GUEST_CR3, BEYOND_WIDTH)}},
        {"IMPLIES(ENTRY(LOAD_DEBUG_CONTROLS), !(FIELD(GUEST_DR7) >> 32))",
                {ON_ENTRY(LOAD_DEBUG_CONTROLS), ON(GUEST_DR7, 1ull << 32)}},
        {NULL, {ON(GUEST_DR7, 1ull << 32)}},
        {"CANONICAL(GUEST_IA32_SYSENTER_ESP)", {SET(GUEST_IA32_SYSENTER_ESP, NON_CANONICAL)}},
        {"CANONICAL(GUEST_IA32_SYSENTER_EIP)", {SET(GUEST_IA32_SYSENTER_EIP, NON_CANONICAL)}},
        {"IMPLIES(ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL), PERF_GLOBAL_VALID(GUEST_IA32_PERF_GLOBAL_CTRL))",
                {ON_ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL), SET(GUEST_IA32_PERF_GLOBAL_CTRL, 1ull << 63)}},
        {"IMPLIES(ENTRY(LOAD_IA32_PAT), PAT_VALID(GUEST_IA32_PAT))", {SET(GUEST_IA32_PAT, 3)}},
        {NULL, {SET(GUEST_IA32_PAT, 3), OFF_ENTRY(LOAD_IA32_PAT)}},
        {"IMPLIES(ENTRY(LOAD_IA32_EFER), !(FIELD(GUEST_IA32_EFER) & ~EFER_VALID_BITS))", {ON(GUEST_IA32_EFER, 2)}},
        {"IMPLIES(ENTRY(LOAD_IA32_EFER), !!(FIELD(GUEST_IA32_EFER) & EFER_LMA) == ia32e)",
                {OFF(GUEST_IA32_EFER, EFER_LMA)}},
        {"IMPLIES(ENTRY(LOAD_IA32_EFER) && (FIELD(GUEST_CR0) & CR0_PG), "
         "!!(FIELD(GUEST_IA32_EFER) & EFER_LMA) == !!(FIELD(GUEST_IA32_EFER) & EFER_LME))",
                {OFF(GUEST_IA32_EFER, EFER_LME)}},
        {NULL, {SET(GUEST_IA32_EFER, 2), OFF_ENTRY(LOAD_IA32_EFER)}},
        {"IMPLIES(ENTRY(LOAD_IA32_BNDCFGS), !(FIELD(GUEST_IA32_BNDCFGS) & BNDCFGS_RESERVED))",
                {ON_ENTRY(LOAD_IA32_BNDCFGS), SET(GUEST_IA32_BNDCFGS, 4)}},
        {"IMPLIES(ENTRY(LOAD_IA32_BNDCFGS), x86_canonical(FIELD(GUEST_IA32_BNDCFGS) & ~0xfffull))",
                {ON_ENTRY(LOAD_IA32_BNDCFGS), SET(GUEST_IA32_BNDCFGS, NON_CANONICAL)}},
        {NULL, {SET(GUEST_IA32_BNDCFGS, 4)}},
};

/* ---- 27.3.1.2 ---- */

#define V8086_CASES(seg)                                                                                               \
	{"BASE(" #seg ") == SELECTOR(" #seg ") << 4", {ON(GUEST_##seg##_BASE, 1)}, v8086},                             \
	        {"LIMIT(" #seg ") == LIMIT_V8086", {SET(GUEST_##seg##_LIMIT, 0xfffff)}, v8086},                        \
	{                                                                                                              \
		"AR(" #seg ") == AR_V8086", {SET(GUEST_##seg##_ACCESS_RIGHTS, 0x93)}, v8086                            \
	}

#define DATA_CASES(seg)                                                                                                \
	{"IMPLIES(USABLE(" #seg "), data_type_valid(TYPE(" #seg ")))", {OFF(GUEST_##seg##_ACCESS_RIGHTS, 1)}},         \
	        {"IMPLIES(USABLE(" #seg "), data_type_valid(TYPE(" #seg ")))",                                         \
	                {SET(GUEST_##seg##_ACCESS_RIGHTS, 0xc099)}},                                                   \
	        {"IMPLIES(USABLE(" #seg "), AR(" #seg ") & AR_S)", {OFF(GUEST_##seg##_ACCESS_RIGHTS, AR_S)}},          \
	        {"IMPLIES(USABLE(" #seg ") && !unrestricted && TYPE(" #seg ") <= 11, DPL(" #seg ") >= RPL(" #seg "))", \
	                {ON(GUEST_##seg##_SELECTOR, 3)}},                                                              \
	        {"IMPLIES(USABLE(" #seg "), AR(" #seg ") & AR_P)", {OFF(GUEST_##seg##_ACCESS_RIGHTS, AR_P)}},          \
	        {"IMPLIES(USABLE(" #seg "), !(AR(" #seg ") & AR_RESERVED))",                                           \
	                {ON(GUEST_##seg##_ACCESS_RIGHTS, 1 << 8)}},                                                    \
	        {"IMPLIES(USABLE(" #seg "), granularity_fits(AR(" #seg "), LIMIT(" #seg ")))",                         \
	                {OFF(GUEST_##seg##_ACCESS_RIGHTS, AR_G)}},                                                     \
	        {"IMPLIES(USABLE(" #seg "), granularity_fits(AR(" #seg "), LIMIT(" #seg ")))",                         \
	                {SET(GUEST_##seg##_LIMIT, 0xfffff000)}},                                                       \
	        {NULL, {ON(GUEST_##seg##_SELECTOR, 3)}, unrestricted},                                                 \
	{                                                                                                              \
		NULL,                                                                                                  \
		{                                                                                                      \
			SET(GUEST_##seg##_ACCESS_RIGHTS, AR_UNUSABLE | 0xfe6)                                          \
		}                                                                                                      \
	}

static const struct check_case segment_cases[] = {
        {"!(SELECTOR(TR) & SELECTOR_TI)", {ON(GUEST_TR_SELECTOR, 4)}},
        {"IMPLIES(USABLE(LDTR), !(SELECTOR(LDTR) & SELECTOR_TI))", {ON(GUEST_LDTR_SELECTOR, 4)}, with_ldt},
        {NULL, {ON(GUEST_LDTR_SELECTOR, 4)}},
        {"IMPLIES(!v8086 && !unrestricted, RPL(SS) == RPL(CS))", {ON(GUEST_SS_SELECTOR, 3)}},
        {"CANONICAL(GUEST_TR_BASE)", {SET(GUEST_TR_BASE, NON_CANONICAL)}},
        {"CANONICAL(GUEST_FS_BASE)", {SET(GUEST_FS_BASE, NON_CANONICAL)}},
        {"CANONICAL(GUEST_GS_BASE)", {SET(GUEST_GS_BASE, NON_CANONICAL)}},
        {"IMPLIES(USABLE(LDTR), CANONICAL(GUEST_LDTR_BASE))", {SET(GUEST_LDTR_BASE, NON_CANONICAL)}, with_ldt},
        {NULL, {SET(GUEST_LDTR_BASE, NON_CANONICAL)}},
        {"!(BASE(CS) >> 32)", {SET(GUEST_CS_BASE, 1ull << 32)}},
        {"IMPLIES(USABLE(SS), !(BASE(SS) >> 32))", {SET(GUEST_SS_BASE, 1ull << 32)}},
        {"IMPLIES(USABLE(DS), !(BASE(DS) >> 32))", {SET(GUEST_DS_BASE, 1ull << 32)}},
        {"IMPLIES(USABLE(ES), !(BASE(ES) >> 32))", {SET(GUEST_ES_BASE, 1ull << 32)}},
        {NULL, {SET(GUEST_DS_BASE, 1ull << 32), ON(GUEST_DS_ACCESS_RIGHTS, AR_UNUSABLE)}},
        V8086_CASES(CS),
        V8086_CASES(SS),
        V8086_CASES(DS),
        V8086_CASES(ES),
        V8086_CASES(FS),
        V8086_CASES(GS),
        {"cs_type_valid(TYPE(CS), unrestricted)", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa093)}},
        {NULL, {SET(GUEST_CS_ACCESS_RIGHTS, 0xc093)}, unrestricted},
        {"cs_type_valid(TYPE(CS), unrestricted)", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa09a)}},
        {"AR(CS) & AR_S", {OFF(GUEST_CS_ACCESS_RIGHTS, AR_S)}},
        {"cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS))", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa0fb)}},
        {"cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS))", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa0ff)}},
        {NULL, {SET(GUEST_CS_ACCESS_RIGHTS, 0xa09f)}, ring_3},
        {"cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS))", {SET(GUEST_CS_ACCESS_RIGHTS, 0xc0f3)}, unrestricted},
        {"cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS))", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa09b)}, ring_3},
        {"cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS))", {SET(GUEST_CS_ACCESS_RIGHTS, 0xa099)}, ring_3},
        {NULL, {SET(GUEST_DS_ACCESS_RIGHTS, 0xc091), SET(GUEST_ES_ACCESS_RIGHTS, 0xc09b)}},
        {"AR(CS) & AR_P", {OFF(GUEST_CS_ACCESS_RIGHTS, AR_P)}},
        {"!(AR(CS) & AR_RESERVED)", {ON(GUEST_CS_ACCESS_RIGHTS, 1 << 17)}},
        {"IMPLIES(ENTRY(IA32E_MODE_GUEST) && (AR(CS) & AR_L), !(AR(CS) & AR_DB))", {ON(GUEST_CS_ACCESS_RIGHTS, AR_DB)}},
        {"granularity_fits(AR(CS), LIMIT(CS))", {SET(GUEST_CS_LIMIT, 0xfffff000)}},
        {"granularity_fits(AR(CS), LIMIT(CS))", {OFF(GUEST_CS_ACCESS_RIGHTS, AR_G)}},
        {"IMPLIES(!unrestricted, DPL(SS) == RPL(SS))",
                {SET(GUEST_CS_ACCESS_RIGHTS, 0xa09f), SET(GUEST_SS_ACCESS_RIGHTS, 0xc0f3)}},
        {"IMPLIES(TYPE(CS) == TYPE_DATA_WRITABLE || !(FIELD(GUEST_CR0) & CR0_PE), DPL(SS) == 0)",
                {SET(GUEST_CS_ACCESS_RIGHTS, 0xc093), SET(GUEST_SS_ACCESS_RIGHTS, 0xc0f3)}, unrestricted},
        {"IMPLIES(TYPE(CS) == TYPE_DATA_WRITABLE || !(FIELD(GUEST_CR0) & CR0_PE), DPL(SS) == 0)",
                {SET(GUEST_CS_ACCESS_RIGHTS, 0x9f), SET(GUEST_SS_ACCESS_RIGHTS, 0xf3)}, real_mode},
        {"TYPE(SS) == 3 || TYPE(SS) == 7", {SET(GUEST_SS_ACCESS_RIGHTS, 0xc091)}},
        {NULL, {SET(GUEST_SS_ACCESS_RIGHTS, 0xc097)}},
        {"AR(SS) & AR_S", {OFF(GUEST_SS_ACCESS_RIGHTS, AR_S)}},
        {"AR(SS) & AR_P", {OFF(GUEST_SS_ACCESS_RIGHTS, AR_P)}},
        {"!(AR(SS) & AR_RESERVED)", {ON(GUEST_SS_ACCESS_RIGHTS, 1 << 11)}},
        {"granularity_fits(AR(SS), LIMIT(SS))", {SET(GUEST_SS_LIMIT, 0xfffff000)}},
        {NULL, {SET(GUEST_SS_ACCESS_RIGHTS, AR_UNUSABLE)}},
        DATA_CASES(DS),
        DATA_CASES(ES),
        DATA_CASES(FS),
        DATA_CASES(GS),
        {"TYPE(TR) == TYPE_BUSY_TSS32 || (TYPE(TR) == TYPE_BUSY_TSS16 && !ia32e)", {SET(GUEST_TR_ACCESS_RIGHTS, 0x83)}},
        {"TYPE(TR) == TYPE_BUSY_TSS32 || (TYPE(TR) == TYPE_BUSY_TSS16 && !ia32e)", {SET(GUEST_TR_ACCESS_RIGHTS, 0x89)}},
        {NULL, {SET(GUEST_TR_ACCESS_RIGHTS, 0x83)}, protected_32},
        {"!(AR(TR) & AR_S)", {ON(GUEST_TR_ACCESS_RIGHTS, AR_S)}},
        {"AR(TR) & AR_P", {OFF(GUEST_TR_ACCESS_RIGHTS, AR_P)}},
        {"granularity_fits(AR(TR), LIMIT(TR))", {ON(GUEST_TR_ACCESS_RIGHTS, AR_G)}},
        {"USABLE(TR)", {ON(GUEST_TR_ACCESS_RIGHTS, AR_UNUSABLE)}},
        {"!(AR(TR) & AR_RESERVED)", {ON(GUEST_TR_ACCESS_RIGHTS, 1u << 31)}},
        {"IMPLIES(USABLE(LDTR), TYPE(LDTR) == TYPE_LDT)", {SET(GUEST_LDTR_ACCESS_RIGHTS, 0x83)}, with_ldt},
        {"IMPLIES(USABLE(LDTR), !(AR(LDTR) & AR_S))", {ON(GUEST_LDTR_ACCESS_RIGHTS, AR_S)}, with_ldt},
        {"IMPLIES(USABLE(LDTR), AR(LDTR) & AR_P)", {OFF(GUEST_LDTR_ACCESS_RIGHTS, AR_P)}, with_ldt},
        {"IMPLIES(USABLE(LDTR), !(AR(LDTR) & AR_RESERVED))", {ON(GUEST_LDTR_ACCESS_RIGHTS, 1 << 8)}, with_ldt},
        {"IMPLIES(USABLE(LDTR), granularity_fits(AR(LDTR), LIMIT(LDTR)))", {SET(GUEST_LDTR_LIMIT, 1 << 20)}, with_ldt},
};

/* ---- 27.3.1.3, 27.3.1.4 ---- */

static const struct check_case rip_cases[] = {
        {"CANONICAL(GUEST_GDTR_BASE)", {SET(GUEST_GDTR_BASE, NON_CANONICAL)}},
        {"CANONICAL(GUEST_IDTR_BASE)", {SET(GUEST_IDTR_BASE, NON_CANONICAL)}},
        {"!(FIELD(GUEST_GDTR_LIMIT) >> 16)", {SET(GUEST_GDTR_LIMIT, 0x10000)}},
        {"!(FIELD(GUEST_IDTR_LIMIT) >> 16)", {SET(GUEST_IDTR_LIMIT, 0x10000)}},
        {"IMPLIES(!ia32e || (cs_known && !cs_64), !(FIELD(GUEST_RIP) >> 32))",
                {SET(GUEST_CS_ACCESS_RIGHTS, 0xc09b), SET(GUEST_RIP, 1ull << 32)}},
        {"IMPLIES(!ia32e || (cs_known && !cs_64), !(FIELD(GUEST_RIP) >> 32))", {SET(GUEST_RIP, 1ull << 32)},
                protected_32},
        {"IMPLIES(ia32e, CANONICAL(GUEST_RIP))", {SET(GUEST_RIP, NON_CANONICAL)}},
        {NULL, {SET(GUEST_RIP, 0xffffffff81000000)}},
        {"!(FIELD(GUEST_RFLAGS) & RFLAGS_RESERVED)", {ON(GUEST_RFLAGS, 1 << 3)}},
        {"!(FIELD(GUEST_RFLAGS) & RFLAGS_RESERVED)", {ON(GUEST_RFLAGS, 1 << 15)}},
        {"!(FIELD(GUEST_RFLAGS) & RFLAGS_RESERVED)", {ON(GUEST_RFLAGS, 1 << 22)}},
        {"FIELD(GUEST_RFLAGS) & RFLAGS_FIXED", {OFF(GUEST_RFLAGS, RFLAGS_FIXED)}},
        {"IMPLIES(INJECTS(EXTERNAL), FIELD(GUEST_RFLAGS) & RFLAGS_IF)", {INTR_EXTERNAL}},
        {NULL, {INTR_EXTERNAL}, if_set},
};

/* The VM flag makes the segments wrong first, unless they are those of virtual-8086 mode. */
static const struct check_case vm_flag_cases[] = {
        {"IMPLIES(ia32e, !(FIELD(GUEST_RFLAGS) & RFLAGS_VM))",
                {ON_ENTRY(IA32E_MODE_GUEST), SET(GUEST_IA32_EFER, EFER_LMA | EFER_LME)}, v8086},
        {"IMPLIES(!(FIELD(GUEST_CR0) & CR0_PE), !(FIELD(GUEST_RFLAGS) & RFLAGS_VM))",
                {ON_PROC2(UNRESTRICTED_GUEST), SET(GUEST_CR0, 0x30)}, v8086},
        {"BASE(CS) == SELECTOR(CS) << 4", {ON(GUEST_RFLAGS, RFLAGS_VM)}},
};

/* ---- 27.3.1.5, 27.3.1.6 ---- */

#define ACTIVITY(name) SET(GUEST_ACTIVITY_STATE, ACTIVITY_##name)
#define BLOCKING(bits) SET(GUEST_INTERRUPTIBILITY_STATE, (bits))

static const struct check_case state_cases[] = {
        {"ACTIVITY_SUPPORTED", {SET(GUEST_ACTIVITY_STATE, 4)}},
        {"ACTIVITY_SUPPORTED", {ACTIVITY(HLT)}, no_activity_states},
        {"ACTIVITY_SUPPORTED", {ACTIVITY(SHUTDOWN)}, no_activity_states},
        {"ACTIVITY_SUPPORTED", {ACTIVITY(WAIT_FOR_SIPI)}, no_activity_states},
        {NULL, {ACTIVITY(HLT)}},
        {NULL, {ACTIVITY(SHUTDOWN)}},
        {NULL, {ACTIVITY(WAIT_FOR_SIPI)}},
        {"IMPLIES(FIELD(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT, SS_DPL == 0)", {ACTIVITY(HLT)}, ring_3},
        {"IMPLIES(BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS), FIELD(GUEST_ACTIVITY_STATE) == "
         "ACTIVITY_ACTIVE)",
                {ACTIVITY(HLT)}, sti_shadow},
        {"EVENT_FITS_ACTIVITY", {ACTIVITY(HLT), INFO(0x80000480)}},
        {"EVENT_FITS_ACTIVITY", {ACTIVITY(HLT), INFO(0x80000306)}},
        {NULL, {ACTIVITY(HLT), INFO(0x80000301)}},
        {NULL, {ACTIVITY(HLT), INFO(0x80000312)}},
        {NULL, {ACTIVITY(HLT), INTR_NMI}},
        {NULL, {ACTIVITY(HLT), INFO(0x80000700)}},
        {NULL, {ACTIVITY(HLT), INTR_EXTERNAL}, if_set},
        {"EVENT_FITS_ACTIVITY", {ACTIVITY(SHUTDOWN), INFO(0x80000301)}},
        {NULL, {ACTIVITY(SHUTDOWN), INTR_NMI}},
        {"EVENT_FITS_ACTIVITY", {ACTIVITY(WAIT_FOR_SIPI), INTR_NMI}},
        {"!BLOCKED_BY(reserved)", {BLOCKING(1 << 5)}},
        {"!BLOCKED_BY(reserved)", {BLOCKING(INTERRUPTIBILITY_ENCLAVE)}},
        {"!(BLOCKED_BY(INTERRUPTIBILITY_STI) && BLOCKED_BY(INTERRUPTIBILITY_MOV_SS))", {BLOCKING(3)}, if_set},
        {"IMPLIES(!(FIELD(GUEST_RFLAGS) & RFLAGS_IF), !BLOCKED_BY(INTERRUPTIBILITY_STI))",
                {BLOCKING(INTERRUPTIBILITY_STI)}},
        {"IMPLIES(!(FIELD(GUEST_RFLAGS) & RFLAGS_IF), !BLOCKED_BY(INTERRUPTIBILITY_STI))",
                {OFF(GUEST_RFLAGS, RFLAGS_IF)}, sti_shadow},
        {"IMPLIES(INJECTS(EXTERNAL), !BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))", {INTR_EXTERNAL},
                sti_shadow},
        {"IMPLIES(INJECTS(EXTERNAL), !BLOCKED_BY(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))",
                {INTR_EXTERNAL, BLOCKING(INTERRUPTIBILITY_MOV_SS)}, if_set},
        {"!BLOCKED_BY(INTERRUPTIBILITY_SMI)", {BLOCKING(INTERRUPTIBILITY_SMI)}},
        {"IMPLIES(INJECTS(NMI) && PIN(VIRTUAL_NMIS), !BLOCKED_BY(INTERRUPTIBILITY_NMI))",
                {INTR_NMI, ON_PIN(VIRTUAL_NMIS), BLOCKING(INTERRUPTIBILITY_NMI)}},
        {NULL, {INTR_NMI, BLOCKING(INTERRUPTIBILITY_NMI)}},
        {"IMPLIES(INJECTS(NMI), !BLOCKED_BY(INTERRUPTIBILITY_MOV_SS))", {INTR_NMI, BLOCKING(INTERRUPTIBILITY_MOV_SS)},
                NULL, 3},
        {"!(FIELD(GUEST_PENDING_DEBUG_EXCEPTIONS) & PENDING_DEBUG_RESERVED)",
                {SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1 << 4)}},
        {"!(FIELD(GUEST_PENDING_DEBUG_EXCEPTIONS) & PENDING_DEBUG_RESERVED)",
                {SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1 << 13)}},
        {NULL, {SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 0x500f)}},
        {"IMPLIES(held && single_step, bs)", {ON(GUEST_RFLAGS, RFLAGS_TF)}, sti_shadow},
        {"IMPLIES(held && single_step, bs)", {ON(GUEST_RFLAGS, RFLAGS_TF), ACTIVITY(HLT)}},
        {NULL, {ON(GUEST_RFLAGS, RFLAGS_TF), SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1 << 14)}, sti_shadow},
        {"IMPLIES(held && !single_step, !bs)", {SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1 << 14)}, sti_shadow},
        {"IMPLIES(held && !single_step, !bs)",
                {ON(GUEST_RFLAGS, RFLAGS_TF), SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1 << 14),
                        SET(GUEST_IA32_DEBUGCTL, 2)},
                sti_shadow},
        {"!(FIELD(VMCS_LINK_POINTER) & 0xfff)", {SET(VMCS_LINK_POINTER, FIXTURE_GPA_OTHER_VMCS12 + 8)}, NULL, 4},
        {"IN_WIDTH(VMCS_LINK_POINTER)", {SET(VMCS_LINK_POINTER, BEYOND_WIDTH)}, NULL, 4},
        {"LINK_REGION_MATCHES", {SET(VMCS_LINK_POINTER, 0xa000)}, NULL, 4},
        {"LINK_REGION_MATCHES", {SET(VMCS_LINK_POINTER, FIXTURE_GPA_SHADOW12)}, NULL, 4},
        {"LINK_REGION_MATCHES", {SET(VMCS_LINK_POINTER, FIXTURE_MEMORY_BYTES)}, NULL, 4},
        {NULL, {SET(VMCS_LINK_POINTER, FIXTURE_GPA_SHADOW12), ON_PROC2(VMCS_SHADOWING)}},
        {NULL, {SET(VMCS_LINK_POINTER, FIXTURE_GPA_OTHER_VMCS12)}},
        {"FIELD(VMCS_LINK_POINTER) != nested->vmcs12_gpa", {SET(VMCS_LINK_POINTER, FIXTURE_GPA_VMCS12)}, NULL, 4},
        {"PDPTES_VALID", {SET(GUEST_PDPTE0, 3)}, protected_32, 2},
        {"PDPTES_VALID", {SET(GUEST_PDPTE1, 1 | 1 << 5)}, protected_32, 2},
        {"PDPTES_VALID", {SET(GUEST_PDPTE2, 1 | BEYOND_WIDTH)}, protected_32, 2},
        {"PDPTES_VALID", {SET(GUEST_PDPTE3, 1 | 1ull << 63)}, protected_32, 2},
        {NULL, {SET(GUEST_PDPTE3, 0xa001)}, protected_32},
        {NULL, {SET(GUEST_PDPTE3, 2)}, protected_32},
        {NULL, {SET(GUEST_PDPTE3, 3)}},
        {NULL, {SET(GUEST_PDPTE3, 3)}, protected_32_without_ept},
        {"PDPTES_VALID", {SET(GUEST_CR3, FIXTURE_MEMORY_BYTES)}, protected_32_without_ept, 2},
};

START_TEST(registers)
{
	run_check_case(&guest, &register_cases[_i]);
}
END_TEST

START_TEST(segments)
{
	run_check_case(&guest, &segment_cases[_i]);
}
END_TEST

START_TEST(rip)
{
	run_check_case(&guest, &rip_cases[_i]);
}
END_TEST

START_TEST(vm_flag)
{
	run_check_case(&guest, &vm_flag_cases[_i]);
}
END_TEST

START_TEST(state)
{
	run_check_case(&guest, &state_cases[_i]);
}
END_TEST

START_TEST(valid_modes)
{
	static void (*const modes[])(struct fixture *) = {
	        protected_32, protected_32_without_ept, v8086, real_mode, unrestricted, ring_3, with_ldt, sti_shadow};
	const struct check_case c = {.text = NULL, .prepare = modes[_i]};

	run_check_case(&guest, &c);
}
END_TEST

/* PDPTEs in memory change without a VMWRITE. */
START_TEST(pdptes_in_memory)
{
	const struct vmcs_mask nothing = {0};
	uint64_t qualification;
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	protected_32_without_ept(&f);
	fixture_write64(&f, 0xa020 + 8, 0xb001);
	fixture_snapshot(&f);
	ck_assert_ptr_null(checks_guest_state(&f.nested, &f.nested.checked12, &qualification));
	fixture_write64(&f, 0xa020 + 24, 0xb003);
	ck_assert_str_eq(
	        checks_guest_state_changed(&f.nested, &f.nested.checked12, &nothing, &qualification), "PDPTES_VALID");
	ck_assert_uint_eq(qualification, 2);
	fixture_teardown(&f);
}
END_TEST

/* Where the machine keeps CS, L1 may set a RIP that fits either kind of code segment; in vmcs12 it is known. */
START_TEST(stale_code_segment)
{
	uint64_t qualification;
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	fixture_set(&f, VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b);
	fixture_set(&f, VMCS_GUEST_RIP, 0xffffffff81000000);
	fixture_snapshot(&f);
	struct vmcs *v = &f.nested.checked12;
	ck_assert_str_eq(checks_guest_state(&f.nested, v, &qualification),
	        "IMPLIES(!ia32e || (cs_known && !cs_64), !(FIELD(GUEST_RIP) >> 32))");
	vmcs_mask_clear(&v->dirty, VMCS_GUEST_CS_ACCESS_RIGHTS);
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_CS_ACCESS_RIGHTS);
	ck_assert_ptr_null(checks_guest_state(&f.nested, v, &qualification));
	v->field[VMCS_GUEST_RIP] = NON_CANONICAL;
	ck_assert_str_eq(checks_guest_state(&f.nested, v, &qualification), "IMPLIES(ia32e, CANONICAL(GUEST_RIP))");
	fixture_teardown(&f);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: VM-entry checks: guest state");
	TCase *tcase = tcase_create("cases");

	tcase_add_loop_test(tcase, registers, 0, COUNT(register_cases));
	tcase_add_loop_test(tcase, segments, 0, COUNT(segment_cases));
	tcase_add_loop_test(tcase, rip, 0, COUNT(rip_cases));
	tcase_add_loop_test(tcase, vm_flag, 0, COUNT(vm_flag_cases));
	tcase_add_loop_test(tcase, state, 0, COUNT(state_cases));
	tcase_add_loop_test(tcase, valid_modes, 0, 8);
	tcase_add_test(tcase, pdptes_in_memory);
	tcase_add_test(tcase, stale_code_segment);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
