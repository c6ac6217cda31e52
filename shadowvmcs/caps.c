/* SPDX-License-Identifier: Apache-2.0 */
#include "caps.h"

#include "x86.h"

/* Controls the engine has code for: checks.c refuses wrong settings, merge.c carries them into vmcs02, route.c knows
 * their exits. What is missing here is never offered to L1, even where a machine honours it. */
static const uint32_t engine_virtualizes[VMX_WORD_COUNT] = {
        [VMX_WORD_PIN] = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING) |
                         VMX_BIT(PIN_VIRTUAL_NMIS) | VMX_BIT(PIN_PREEMPTION_TIMER),
        /* All of them. */
        [VMX_WORD_PROC] = ~0u,
        [VMX_WORD_PROC2] = ~(VMX_BIT(PROC2_ENABLE_VM_FUNCTIONS) | VMX_BIT(PROC2_VMCS_SHADOWING) |
                             VMX_BIT(PROC2_ENABLE_PML) | VMX_BIT(PROC2_EPT_VIOLATION_VE) |
                             VMX_BIT(PROC2_CONCEAL_VMX_FROM_PT) | VMX_BIT(PROC2_MODE_BASED_EXECUTE_CONTROL)),
        [VMX_WORD_EXIT] = ~0u,
        [VMX_WORD_ENTRY] = ~(VMX_BIT(ENTRY_ENTRY_TO_SMM) | VMX_BIT(ENTRY_DEACTIVATE_DUAL_MONITOR)),
};

/* What the EPT12 walker, EPT02 and INVEPT/INVVPID emulation know of IA32_VMX_EPT_VPID_CAP. */
#define ENGINE_EPT_CAPS                                                                                                \
	(EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT |  \
	        EPT_CAP_AD | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)
#define ENGINE_VPID_CAPS                                                                                               \
	(EPT_CAP_INVVPID | EPT_CAP_INVVPID_ADDRESS | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL |                    \
	        EPT_CAP_INVVPID_SINGLE_KEEP_GLOBALS)

/*
 * Reserved control bits and early controls that the first VMX processors only knew as 1: the default1 class. The plain
 * MSRs (0x481..0x484) report the whole class as "must be 1"; the TRUE MSRs let CR3-load and CR3-store exiting and
 * save/load debug controls be 0 (SDM vol. 3, A.2, A.3.1, A.3.2, A.4, A.5).
 */
static const struct {
	uint32_t plain;
	uint32_t truly; /* those that stay 1 in the TRUE MSR */
	uint16_t plain_msr, true_msr;
} default1[VMX_WORD_COUNT] = {
        [VMX_WORD_PIN] = {0x00000016, 0x00000016, MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS},
        [VMX_WORD_PROC] = {0x0401e172, 0x04006172, MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS},
        [VMX_WORD_PROC2] = {0, 0, MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_PROCBASED_CTLS2},
        [VMX_WORD_EXIT] = {0x00036dff, 0x00036dfb, MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS},
        [VMX_WORD_ENTRY] = {0x000011ff, 0x000011fb, MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS},
};

/* IA32_VMX_BASIC, SDM vol. 3, A.1. */
#define BASIC_MEMORY_TYPE_WB (6ull << 50)
#define BASIC_INS_OUTS_INFORMATION (1ull << 54)
#define BASIC_TRUE_CONTROLS (1ull << 55)

/* IA32_VMX_MISC, SDM vol. 3, A.6. */
#define MISC_TIMER_RATE 0x1full
#define MISC_STORE_LMA (1ull << 5)
#define MISC_ACTIVITY_STATES (7ull << 6)
#define MISC_CR3_TARGETS_SHIFT 16
#define MISC_CR3_TARGETS (0x1ffull << MISC_CR3_TARGETS_SHIFT)
#define MISC_CR3_TARGETS_MAX 4ull
#define MISC_MSR_LIST_SIZE (7ull << 25)
#define MISC_VMWRITE_ANY (1ull << 29)
#define MISC_ZERO_LENGTH_INJECTION (1ull << 30)

/* SDM vol. 3, A.7. */
#define CR0_FIXED0 (CR0_PE | CR0_NE | CR0_PG)
#define CR0_FIXED1 0xffffffffull

/* Bits of a control word that the fact file knows. */
static uint32_t named(int word)
{
	uint32_t bits = 0;

	for (unsigned bit = 0; bit < 32; bit++)
		bits |= caps_control_name((enum vmx_control_word)word, bit) ? 1u << bit : 0;
	return bits;
}

static uint64_t *msr_of(struct vmx_caps *caps, uint32_t msr)
{
	return &caps->msr[msr - VMX_MSR_FIRST];
}

static bool allows(const uint32_t offered[VMX_WORD_COUNT], enum vmx_control_word word, uint32_t bit)
{
	return offered[word] & bit;
}

/* Controls that cannot be 1 without another one (SDM vol. 3, 27.2.1.1) go when that one is not offered. */
static void drop_dependents(uint32_t offered[VMX_WORD_COUNT])
{
	if (!allows(offered, VMX_WORD_PROC, VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS)))
		offered[VMX_WORD_PROC2] = 0;
	if (!allows(offered, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_EPT)))
		offered[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_UNRESTRICTED_GUEST);
	if (!allows(offered, VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW)))
		offered[VMX_WORD_PROC2] &=
		        ~(VMX_BIT(PROC2_VIRTUALIZE_X2APIC_MODE) | VMX_BIT(PROC2_APIC_REGISTER_VIRTUALIZATION) |
		                VMX_BIT(PROC2_VIRTUAL_INTERRUPT_DELIVERY));
	if (!allows(offered, VMX_WORD_PIN, VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING)))
		offered[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_VIRTUAL_INTERRUPT_DELIVERY);
	if (!allows(offered, VMX_WORD_PIN, VMX_BIT(PIN_NMI_EXITING)))
		offered[VMX_WORD_PIN] &= ~VMX_BIT(PIN_VIRTUAL_NMIS);
	if (!allows(offered, VMX_WORD_PIN, VMX_BIT(PIN_VIRTUAL_NMIS)))
		offered[VMX_WORD_PROC] &= ~VMX_BIT(PROC_NMI_WINDOW_EXITING);
	if (!allows(offered, VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER)))
		offered[VMX_WORD_EXIT] &= ~VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER);
}

static uint64_t misc_offered(const struct machine_caps *machine, const uint32_t offered[VMX_WORD_COUNT])
{
	uint64_t misc = machine->misc & (MISC_TIMER_RATE | MISC_STORE_LMA | MISC_ACTIVITY_STATES | MISC_MSR_LIST_SIZE |
	                                        MISC_VMWRITE_ANY | MISC_ZERO_LENGTH_INJECTION);
	uint64_t targets = (machine->misc & MISC_CR3_TARGETS) >> MISC_CR3_TARGETS_SHIFT;

	if (targets > MISC_CR3_TARGETS_MAX)
		targets = MISC_CR3_TARGETS_MAX;
	misc |= targets << MISC_CR3_TARGETS_SHIFT;
	/* A.6: bit 5 is 1 wherever unrestricted guests are supported. */
	if (allows(offered, VMX_WORD_PROC2, VMX_BIT(PROC2_UNRESTRICTED_GUEST)))
		misc |= MISC_STORE_LMA;
	return misc;
}

/* A.9: bits 9:1 hold the highest index of any encoding. */
static uint64_t vmcs_enum(void)
{
	uint32_t highest = 0;

	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		const uint32_t index = vmcs_field_infos[field].encoding & 0x3fe;
		if (index > highest)
			highest = index;
	}
	return highest;
}

void caps_offer(struct vmx_caps *caps, const struct machine_caps *machine)
{
	uint32_t offered[VMX_WORD_COUNT];
	uint64_t ept_vpid = 0;

	*caps = (struct vmx_caps){0};
	for (int word = 0; word < VMX_WORD_COUNT; word++)
		offered[word] =
		        (machine->honours[word] | machine->always[word]) & engine_virtualizes[word] & named(word);
	drop_dependents(offered);

	for (int word = 0; word < VMX_WORD_COUNT; word++) {
		const uint32_t must = default1[word].truly | (machine->always[word] & offered[word]);
		const uint64_t may = offered[word] | must;
		*msr_of(caps, default1[word].plain_msr) =
		        (may | default1[word].plain) << 32 | must | default1[word].plain;
		*msr_of(caps, default1[word].true_msr) = may << 32 | must;
	}
	if (allows(offered, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_EPT)))
		ept_vpid |= machine->ept_vpid & ENGINE_EPT_CAPS;
	if (allows(offered, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_VPID)))
		ept_vpid |= machine->ept_vpid & ENGINE_VPID_CAPS;

	*msr_of(caps, MSR_IA32_VMX_BASIC) = VMCS_REVISION_ID | (uint64_t)VMCS_REGION_BYTES << 32 |
	                                    BASIC_MEMORY_TYPE_WB | BASIC_INS_OUTS_INFORMATION | BASIC_TRUE_CONTROLS;
	*msr_of(caps, MSR_IA32_VMX_MISC) = misc_offered(machine, offered);
	*msr_of(caps, MSR_IA32_VMX_CR0_FIXED0) = CR0_FIXED0;
	*msr_of(caps, MSR_IA32_VMX_CR0_FIXED1) = CR0_FIXED1;
	/* A paravirtual L1 runs on a CPU without VMX, which has no CR4.VMXE to set. */
	*msr_of(caps, MSR_IA32_VMX_CR4_FIXED0) = machine->real_vmx ? CR4_VMXE : 0;
	*msr_of(caps, MSR_IA32_VMX_CR4_FIXED1) = machine->cr4_fixed1 | (machine->real_vmx ? CR4_VMXE : 0);
	*msr_of(caps, MSR_IA32_VMX_VMCS_ENUM) = vmcs_enum();
	*msr_of(caps, MSR_IA32_VMX_EPT_VPID_CAP) = ept_vpid;
}

static uint64_t true_msr(const struct vmx_caps *caps, enum vmx_control_word word)
{
	return caps->msr[default1[word].true_msr - VMX_MSR_FIRST];
}

uint32_t caps_must_be_one(const struct vmx_caps *caps, enum vmx_control_word word)
{
	return (uint32_t)true_msr(caps, word);
}

uint32_t caps_may_be_one(const struct vmx_caps *caps, enum vmx_control_word word)
{
	return (uint32_t)(true_msr(caps, word) >> 32);
}

bool caps_read_msr(const struct vmx_caps *caps, uint32_t msr, uint64_t *value)
{
	const uint32_t proc2 = caps_may_be_one(caps, VMX_WORD_PROC2);

	if (msr < VMX_MSR_FIRST || msr >= VMX_MSR_FIRST + VMX_MSR_COUNT)
		return false;
	/* A.3.3, A.10, A.11: these MSRs exist only with the controls they speak of. */
	if (msr == MSR_IA32_VMX_PROCBASED_CTLS2 &&
	        !(caps_may_be_one(caps, VMX_WORD_PROC) & VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS)))
		return false;
	if (msr == MSR_IA32_VMX_EPT_VPID_CAP && !(proc2 & (VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID))))
		return false;
	if (msr == MSR_IA32_VMX_VMFUNC && !(proc2 & VMX_BIT(PROC2_ENABLE_VM_FUNCTIONS)))
		return false;
	*value = caps->msr[msr - VMX_MSR_FIRST];
	return true;
}

const char *caps_control_name(enum vmx_control_word word, unsigned bit)
{
	static const char *const names[VMX_WORD_COUNT][32] = {
#define VMX_CONTROL(word_, bit_, name_, text_) [VMX_WORD_##word_][bit_] = (text_),
#include "vmx_controls.def"
#undef VMX_CONTROL
	};

	return word < VMX_WORD_COUNT && bit < 32 ? names[word][bit] : (const char *)0;
}
