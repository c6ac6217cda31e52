/* SPDX-License-Identifier: Apache-2.0 */
/**
 * VMX capabilities: what a machine can honour is what L1 is offered, no more.
 *
 * The IA32_VMX_* MSRs as SDM vol. 3 appendix A defines them. A machine fills in which control bits and features it
 * honours; caps_offer() turns that into the MSR values L1 reads and the checks obey.
 */
#ifndef TESTUDO_SHADOWVMCS_CAPS_H
#define TESTUDO_SHADOWVMCS_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmcs.h"

enum vmx_control_word { VMX_WORD_PIN, VMX_WORD_PROC, VMX_WORD_PROC2, VMX_WORD_EXIT, VMX_WORD_ENTRY, VMX_WORD_COUNT };

/** Masks of single control bits: PIN_NMI_EXITING, PROC2_ENABLE_EPT, EXIT_LOAD_IA32_PAT, ... */
enum {
#define VMX_CONTROL(word, bit, name, text) word##_##name##_BIT = (bit),
#include "vmx_controls.def"
#undef VMX_CONTROL
};
#define VMX_BIT(name) (1u << name##_BIT)

/* MSR numbers, SDM vol. 3 appendix A. */
#define MSR_IA32_FEATURE_CONTROL 0x3a
#define MSR_IA32_VMX_BASIC 0x480
#define MSR_IA32_VMX_PINBASED_CTLS 0x481
#define MSR_IA32_VMX_PROCBASED_CTLS 0x482
#define MSR_IA32_VMX_EXIT_CTLS 0x483
#define MSR_IA32_VMX_ENTRY_CTLS 0x484
#define MSR_IA32_VMX_MISC 0x485
#define MSR_IA32_VMX_CR0_FIXED0 0x486
#define MSR_IA32_VMX_CR0_FIXED1 0x487
#define MSR_IA32_VMX_CR4_FIXED0 0x488
#define MSR_IA32_VMX_CR4_FIXED1 0x489
#define MSR_IA32_VMX_VMCS_ENUM 0x48a
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP 0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS 0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS 0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS 0x490
#define MSR_IA32_VMX_VMFUNC 0x491
#define VMX_MSR_FIRST MSR_IA32_VMX_BASIC
#define VMX_MSR_COUNT 18

/* IA32_VMX_EPT_VPID_CAP, SDM vol. 3 A.10. */
#define EPT_CAP_EXECUTE_ONLY (1ull << 0)
#define EPT_CAP_WALK_4 (1ull << 6)
#define EPT_CAP_UC (1ull << 8)
#define EPT_CAP_WB (1ull << 14)
#define EPT_CAP_2M (1ull << 16)
#define EPT_CAP_1G (1ull << 17)
#define EPT_CAP_INVEPT (1ull << 20)
#define EPT_CAP_AD (1ull << 21)
#define EPT_CAP_ADVANCED_EXIT_INFO (1ull << 22)
#define EPT_CAP_INVEPT_SINGLE (1ull << 25)
#define EPT_CAP_INVEPT_ALL (1ull << 26)
#define EPT_CAP_INVVPID (1ull << 32)
#define EPT_CAP_INVVPID_ADDRESS (1ull << 40)
#define EPT_CAP_INVVPID_SINGLE (1ull << 41)
#define EPT_CAP_INVVPID_ALL (1ull << 42)
#define EPT_CAP_INVVPID_SINGLE_KEEP_GLOBALS (1ull << 43)

/** What a machine can honour, and what only it knows of itself. Static data of each machine. */
struct machine_caps {
	const char *name; /**< "soft", "kvm" */
	/** Control bits the machine obeys when they are 1 in a VMCS, by word. Bits not here are never offered to L1. */
	uint32_t honours[VMX_WORD_COUNT];
	/** Control bits that are always 1 on this machine although the SDM lets them be 0 (it cannot switch them off).
	 */
	uint32_t always[VMX_WORD_COUNT];
	uint64_t ept_vpid;   /**< IA32_VMX_EPT_VPID_CAP */
	uint64_t misc;       /**< IA32_VMX_MISC */
	uint64_t cr4_fixed1; /**< CR4 bits the machine lets a guest set */
	/** MAXPHYADDR as CPUID 80000008H shows it to L1; 0 stands for VMX_PHYSICAL_ADDRESS_BITS. */
	uint8_t physical_address_bits;
	/** Guest fields that stay in the machine until asked for (vmcs.stale). Empty: the machine fills the whole VMCS.
	 */
	struct vmcs_mask on_demand;
	bool real_vmx;      /**< L1 executes real VMX instructions; false: paravirtual calls (abi/pv_vmx.h) */
	bool ept02_tree;    /**< takes EPT02 as a page-table tree in host-physical memory; false: through ept02_backend
	                       only */
	bool ept02_lazy;    /**< EPT02 may be built on demand: every access outside it is a precise exit */
	bool patches_sites; /**< replaces the instructions of the site table (abi/sites.h) */
	bool hardware_shadowing; /**< VMREAD and VMWRITE in non-root obey the VMREAD/VMWRITE bitmaps and the linked
	                            region */
	/** Keeps vmcs.written, and where it executes L1's VMWRITE to a shadow region (or L1 does so itself,
	 * paravirtual) the region's dirty mask is kept too. False: the engine compares every field. */
	bool marks_written;
	/** Of L1's on_demand registers it is enough to load those whose value in vmcs01 changes: the handlers of exits
	 * do not change them (l0/kvm/README.md says what that means for an L1 that does). */
	bool keeps_l1_registers;
	/** Looks into vmcs02's bitmaps only after nested_merge_bitmaps; they need not be merged at each entry. */
	bool asks_for_bitmaps;
};

/** Width of L1-physical addresses where the machine says nothing else. */
#define VMX_PHYSICAL_ADDRESS_BITS 46

/** The bits an L1-physical address may have; those above are reserved in VMCS addresses and table entries. */
static inline uint64_t caps_physical_mask(const struct machine_caps *machine)
{
	const unsigned bits =
	        machine->physical_address_bits ? machine->physical_address_bits : VMX_PHYSICAL_ADDRESS_BITS;

	return (1ull << bits) - 1;
}

/** The capability MSRs, indexed by number - VMX_MSR_FIRST. */
struct vmx_caps {
	uint64_t msr[VMX_MSR_COUNT];
};

/** What L1 is offered on this machine. L1 is never offered VMX controls the engine does not virtualize. */
void caps_offer(struct vmx_caps *caps, const struct machine_caps *machine);

/** Allowed-0 and allowed-1 settings of a control word ("true" MSRs, SDM vol. 3 A.3 to A.5). */
uint32_t caps_must_be_one(const struct vmx_caps *caps, enum vmx_control_word word);
uint32_t caps_may_be_one(const struct vmx_caps *caps, enum vmx_control_word word);

/** RDMSR of 0x480..0x491. False: no such MSR (#GP). */
bool caps_read_msr(const struct vmx_caps *caps, uint32_t msr, uint64_t *value);

/** Name of a control bit as in the SDM, or NULL. */
const char *caps_control_name(enum vmx_control_word word, unsigned bit);

#endif
