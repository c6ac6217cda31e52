/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The nested-VMX engine: the one header others include.
 *
 *                L1 (guest hypervisor)                         L2 (its guest)
 *        VMREAD/VMWRITE |     ^ reflected exits                 |
 *                       v     | (guest state = L1's host state) |
 *   L1 memory:     +---------------+                            |
 *                  |    vmcs12     |  made by L1, never loaded  |
 *                  +---------------+                            |
 *              merge |         ^ reflect (exit information,     |
 *   (guest state,    |         |  guest state)                  |
 *    controls)       v         |                                v
 *   L0:  +---------+     +---------------+             EPT02 = EPT12 o EPT01
 *        | vmcs01  |---->|    vmcs02     |  loaded to run L2
 *        +---------+ L0's|               |
 *     loaded to run L1   +---------------+
 *        controls and host state: L0's
 *
 * Who writes which: L0 alone writes vmcs01 and vmcs02. vmcs12 is L1's: the engine writes its exit-information and
 * guest-state fields on reflection, and L1's values on behalf of VMWRITE. The machine writes the exit information and
 * guest state of the VMCS it ran (vmcs01 or vmcs02) and clears its dirty mask.
 *
 * The engine allocates nothing, does no I/O and knows no machine. It is single-threaded: one struct nested per vCPU.
 */
#ifndef TESTUDO_SHADOWVMCS_NESTED_H
#define TESTUDO_SHADOWVMCS_NESTED_H

#include <stdbool.h>
#include <stdint.h>

#include "caps.h"
#include "counters.h"
#include "ept02.h"
#include "exit_reasons.h"
#include "regs.h"
#include "vmcs.h"

/** The engine's way out. `ctx` is passed back. None may fail by exiting. */
struct nested_ops {
	void *ctx;
	/** L0's pointer to the 4 KiB page of L1-physical memory that holds gpa; NULL when there is no RAM. Stays valid.
	 */
	void *(*l1_page)(void *ctx, uint64_t gpa);
	/** Bring the stale fields of vmcs02 (or vmcs01) up to date; clears vmcs->stale. NULL when the machine has no
	 * such fields. */
	void (*fetch)(void *ctx, struct vmcs *vmcs);
	/** Forget cached translations tagged with vpid (linear ones); 0 = all. NULL: the machine needs no telling. */
	void (*flush_vpid)(void *ctx, uint16_t vpid);
	/**
	 * RDMSR and WRMSR of an MSR that no VMCS field holds, for L1's VM-entry and VM-exit MSR lists (msr_list.c). The
	 * MSR is L2's while nested.in_l2 is set, else L1's, where a machine keeps them apart. False: #GP. NULL: every
	 * such MSR is refused.
	 */
	bool (*read_msr)(void *ctx, uint32_t msr, uint64_t *value);
	bool (*write_msr)(void *ctx, uint32_t msr, uint64_t value);
	/** Host-physical address, as this machine's VMCS address fields take it, of an L1-physical address that is RAM.
	 * NULL: they are the same. */
	uint64_t (*l1_to_host)(void *ctx, uint64_t gpa);
};

/** A page of L0's own that vmcs02 or vmcs01 points to. */
struct nested_page {
	void *hva;
	uint64_t hpa; /**< the address to put into the VMCS */
};

/** How L1 reaches vmcs12 (numbers as in abi/boot_info.h). */
enum shadow_mode { SHADOW_TRAP, SHADOW_SHADOW, SHADOW_DIRECT };

struct nested_config {
	struct nested_ops ops;
	struct machine_caps machine;
	struct ept02_backend ept02_backend;
	enum ept02_mode ept02_mode;
	enum shadow_mode shadow_mode;
	bool copy_everything; /**< merge and reflect copy every field each time (to measure what incremental merging
	                         gains) */
	struct vmcs *vmcs01;  /**< L0's; outlives the engine */
	struct nested_page msr_bitmap02; /**< all bits 1 at start */
	struct nested_page io_bitmap02[2];
	struct nested_page vmread_bitmap; /**< SHADOW_SHADOW: a bit is 0 where L1 may read without an exit */
	struct nested_page vmwrite_bitmap;
	struct nested_page shadow_region; /**< SHADOW_SHADOW: a struct vmcs */
	const uint8_t *msr_bitmap01;      /**< L0's wishes for L2: 4 KiB, or NULL = L0 wants every MSR */
	const uint8_t *io_bitmap01[2];    /**< L0's wishes for ports, or NULL = L0 wants every port */
	struct ept02_extent *extents;     /**< EPT02_ROOTS * EPT02_EXTENTS entries, or NULL in lazy mode */
	uint64_t feature_control;         /**< IA32_FEATURE_CONTROL as firmware leaves it: FEATURE_CONTROL_* or 0 */
};

/** What merge.c keeps from entry to entry. */
struct merge_state {
	/** Controls of vmcs01 that vmcs02 was last made from (merge.c, inputs01). */
	uint64_t inputs01[16];
	uint64_t entry_controls01;
	/** L1's bitmap pages in L0's address space; NULL: vmcs12 uses none, or its address is no RAM. */
	const uint8_t *msr_bitmap12;
	const uint8_t *io_bitmap12[2];
	/** One bit per 64-bit word of L0's bitmap that lets something through: only those words need merging. */
	uint64_t msr_open[8];
	uint64_t io_open[2][8];
	bool bitmaps_known;
	/*
	 * Guest state with the controls of the last merge (merge_learn_registers): fields that an exit saves; of those
	 * the ones to save whatever vmcs02.written says, because entries do not load them from vmcs12; special fields
	 * that entries load from vmcs12 as they are; special fields that L2 inherits from L1.
	 */
	struct vmcs_mask saved, always_saved, loaded, inherited;
	/** Special fields and event fields that stand in vmcs02 unless someone touched them (merge.c). */
	struct vmcs_mask watched;
	bool registers_known;
	bool fetch_each_entry; /**< a field that may stay in the machine is special and not saved */
	/** Some special field depends on more than vmcs12, vmcs02 and vmcs01 say: all of them at each entry. */
	bool registers_each_entry;
	/** The last entry succeeded, and its like need only what merge_rip does if L1 writes RIP alone. */
	bool plain_entries;
	/** The VPID12 that last used the VPID02 several of them share, 0 = none (nested_vpid02). */
	uint32_t shared_vpid12;
};

struct nested {
	struct nested_config config;
	struct vmx_caps caps; /**< offered to L1 */
	struct vmcs vmcs02;
	struct vmcs *vmcs12; /**< the current VMCS, in L1's memory; NULL = none */
	uint64_t vmcs12_gpa; /**< ~0 = none */
	uint64_t vmxon_gpa;
	bool vmx_on;                    /**< L1 is in VMX root (or non-root) operation */
	bool in_l2;                     /**< the next enter runs vmcs02 */
	bool merge_all;                 /**< vmcs02 was made from another vmcs12: the next merge copies everything */
	uint8_t pending_kind;           /**< NESTED_WAITS_*: exits L0 asked for to deliver an interrupt */
	const struct vmcs *last_vmcs12; /**< the vmcs12 vmcs02 was last made from */
	const char *failed_check;       /**< text of the VM-entry check that failed last; NULL = none */
	struct ept02 ept02;
	uint64_t counters[COUNTER_COUNT];
	/*
	 * The engine's own copy of vmcs12: the only one checks and merges read, because L1 can write vmcs12's memory at
	 * any time. nested_snapshot_vmcs12 takes L1's changes into it before each entry and notes them in
	 * checked12.dirty; merge_vmcs02 clears that mask when vmcs02 is made, so after a failed check the fields stay
	 * dirty and are checked again. Reflection writes guest state to both copies without setting dirty bits: vmcs02
	 * already holds those values. Exit information it writes to L1's memory alone: nothing here is decided by it.
	 */
	struct vmcs checked12;
	/** Fields of vmcs12 that reflection changed and the shadow region does not show yet. */
	struct vmcs_mask reflected;
	struct vmcs_mask shadow_rw, shadow_all; /**< shadowed fields: read-write ones, and these with the read-only */
	/** vmcs01's guest state is the host state of checked12, but for what vmcs01.written marks (host_state.c). */
	bool host_state_loaded;
	uint64_t feature_control; /**< IA32_FEATURE_CONTROL of L1 */
	struct merge_state merge;
	/** VMX-abort indicator (SDM vol. 3, 28.7) of an exit that could not be completed; 0 = none. L1 is then in the
	 * shutdown state and must not be entered again before a reset. */
	uint32_t vmx_abort;
};

/* nested.pending_kind (events.c). */
#define NESTED_WAITS_WINDOW 1u /* for an interrupt window of L2 */
#define NESTED_WAITS_ENTRY 2u  /* for the event vmcs12 injects to be delivered: one monitor-trap exit */

/* IA32_FEATURE_CONTROL, SDM vol. 3, 24.7. */
#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX (1ull << 2)

/* ---- set-up ---- */

/** 0, or -EINVAL when the configuration asks for what the machine cannot honour (ept02 lazy, shadow without bitmaps).
 */
int nested_init(struct nested *nested, const struct nested_config *config);
void nested_fini(struct nested *nested);

/** L1's CPU is reset: VMX operation ends, no VMCS is current, every EPT02 is dropped. Counters go on. */
void nested_reset(struct nested *nested);

/**
 * L1's RDMSR and WRMSR of IA32_FEATURE_CONTROL and the capability MSRs. False: #GP (no such MSR, locked, read-only,
 * reserved bits).
 */
bool nested_read_msr(const struct nested *nested, uint32_t msr, uint64_t *value);
bool nested_write_msr(struct nested *nested, uint32_t msr, uint64_t value);

/* ---- VMX instructions of L1 (insn.c, insn_decode.c) ---- */

/** Operands after decoding; what each instruction uses is in insn.c. */
struct vmx_operands {
	uint64_t gpa;           /**< memory operand of VMXON, VMCLEAR, VMPTRLD: its contents (an L1-physical address) */
	uint64_t encoding;      /**< VMREAD, VMWRITE: full register, checked for reserved bits by the engine */
	uint64_t value;         /**< VMWRITE */
	uint64_t type;          /**< INVEPT, INVVPID */
	uint64_t descriptor[2]; /**< INVEPT, INVVPID */
	uint64_t destination;   /**< VMREAD, VMPTRST to memory: L1-linear address; else unused */
	uint8_t destination_gpr; /**< VMREAD to a register */
	bool to_memory;
};

enum vmx_outcome_kind {
	VMX_SUCCEED,      /**< RFLAGS: CF, PF, AF, ZF, SF, OF cleared */
	VMX_FAIL_INVALID, /**< CF */
	VMX_FAIL_VALID,   /**< ZF, and the VM-instruction error field of vmcs12 is `error` */
	VMX_FAULT,        /**< inject exception `vector` with `error` (has_error) into L1; RIP stays */
	VMX_ENTERED,      /**< VMLAUNCH/VMRESUME: in_l2 is set; L1's RIP is not advanced */
	VMX_ENTRY_FAILED, /**< VM-entry failure after the checks on controls: exit 33/34 is in vmcs12 and L1 is at its
	                     host state */
	VMX_REFUSED, /**< all checks held, but vmcs02 or EPT02 cannot be made: `error` is the errno of merge_vmcs02. Not
	                architectural: L0 stops the guest and says so */
};

/** VM-instruction error numbers (SDM vol. 3, 31.4) that can occur without SMM and dual-monitor treatment. */
enum vmx_error {
	VMX_ERROR_VMCALL_IN_ROOT = 1,
	VMX_ERROR_VMCLEAR_ADDRESS = 2,
	VMX_ERROR_VMCLEAR_VMXON_POINTER = 3,
	VMX_ERROR_VMLAUNCH_NOT_CLEAR = 4,
	VMX_ERROR_VMRESUME_NOT_LAUNCHED = 5,
	VMX_ERROR_ENTRY_CONTROLS = 7,
	VMX_ERROR_ENTRY_HOST_STATE = 8,
	VMX_ERROR_VMPTRLD_ADDRESS = 9,
	VMX_ERROR_VMPTRLD_VMXON_POINTER = 10,
	VMX_ERROR_VMPTRLD_REVISION = 11,
	VMX_ERROR_UNSUPPORTED_COMPONENT = 12,
	VMX_ERROR_READ_ONLY_COMPONENT = 13,
	VMX_ERROR_VMXON_IN_ROOT = 15,
	VMX_ERROR_MOV_SS_BLOCKING = 26,
	VMX_ERROR_INVALIDATION_OPERAND = 28,
};

struct vmx_outcome {
	uint8_t kind; /**< enum vmx_outcome_kind */
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t cr2;   /**< with a #PF */
	uint64_t value; /**< result of VMREAD, VMPTRST */
};

/** Emulate the VMX instruction `reason` (EXIT_REASON_VMCLEAR ... INVVPID, VMCALL) with decoded operands. */
void nested_vmx_instruction(struct nested *nested, enum exit_reason reason, const struct vmx_operands *operands,
        struct vmx_outcome *outcome);

/**
 * A paravirtual L1's VMRESUME behind an entry like it, with at most another RIP: done, as nested_vmx_instruction would,
 * and true. False: nothing was done; nested_vmx_instruction is to.
 */
bool nested_resume(struct nested *nested);

/**
 * Decode a real VMX instruction that exited from L1: operands from vmcs01's exit information (SDM vol. 3, tables 28-13
 * and 28-14), L1's registers and L1's memory. False: *outcome is a fault (#UD, #GP, #SS, #PF).
 */
bool nested_vmx_decode(struct nested *nested, enum exit_reason reason, const struct guest_regs *regs,
        struct vmx_operands *operands, struct vmx_outcome *outcome);

/** Write the results of a real VMX instruction: RFLAGS, destination, RIP += length, or the fault into vmcs01's entry
 * fields. */
void nested_vmx_complete(struct nested *nested, enum exit_reason reason, struct guest_regs *regs,
        const struct vmx_operands *operands, struct vmx_outcome *outcome);

/**
 * Walk L1's own page tables (vmcs01's CR3; 4-level, PAE, 32-bit, or none with CR0.PG clear) for a supervisor access,
 * setting accessed and dirty flags. False: #PF with *error.
 */
bool nested_l1_translate(struct nested *nested, uint64_t linear, bool write, uint64_t *gpa, uint32_t *error);

/* ---- VM entry: checks.c, merge.c ---- */

/** SDM vol. 3, 27.2 and 27.3, in the SDM's order. NULL = all hold; else the text of the failed condition. */
const char *checks_controls(const struct nested *nested, const struct vmcs *vmcs12);   /* fails with error 7 */
const char *checks_host_state(const struct nested *nested, const struct vmcs *vmcs12); /* fails with error 8 */
/** *qualification: SDM vol. 3, 27.8 (0, 2 PDPTE, 3 NMI, 4 link pointer). Fails with exit reason 33. */
const char *checks_guest_state(const struct nested *nested, const struct vmcs *vmcs12, uint64_t *qualification);

/**
 * The same for a vmcs12 that passed them all before and in which only the fields of `changed` are new (and L2 ran):
 * groups of checks that read none of those fields are skipped. Guest fields in vmcs12->stale are taken as valid: the
 * machine has them, and runs with them.
 */
const char *checks_controls_changed(
        const struct nested *nested, const struct vmcs *vmcs12, const struct vmcs_mask *changed);
const char *checks_host_state_changed(
        const struct nested *nested, const struct vmcs *vmcs12, const struct vmcs_mask *changed);
const char *checks_guest_state_changed(const struct nested *nested, const struct vmcs *vmcs12,
        const struct vmcs_mask *changed, uint64_t *qualification);

/**
 * Take what L1 changed in vmcs12 (its dirty mask; everything after a change of vmcs12 or with copy_everything) into
 * checked12, reading each value once, and move the dirty bits there. The checks get &nested->checked12 (nested.c).
 */
void nested_snapshot_vmcs12(struct nested *nested);

/**
 * checked12 + vmcs01 -> vmcs02. Copies only the fields of checked12.dirty unless merge_all or copy_everything, then
 * clears checked12.dirty and merge_all and sets last_vmcs12. 0 or -errno.
 */
int merge_vmcs02(struct nested *nested);

/** The VPID that L2 runs with for L1's vpid12 (0: vmcs12 does not enable VPIDs); never vmcs01's. For INVVPID. */
uint16_t nested_vpid02(const struct nested *nested, uint16_t vpid12);

/**
 * The MSR lists of SDM vol. 3, 25.7.2 and 25.8.2, at L1-physical `address` (msr_list.c). MSRs that the guest-state area
 * holds are read from and written to `vmcs` (vmcs02 on entry and for the store on exit, vmcs01 for the load on exit),
 * others go to ops.read_msr and ops.write_msr. 0, or the number (from 1) of the entry that cannot be processed.
 */
uint32_t nested_msr_load(struct nested *nested, struct vmcs *vmcs, uint64_t address, uint32_t count);
uint32_t nested_msr_store(struct nested *nested, struct vmcs *vmcs, uint64_t address, uint32_t count);

/* ---- VM exit: route.c, reflect.c ---- */

enum nested_owner {
	NESTED_TO_L0, /**< L0 handles it and resumes L2 */
	NESTED_TO_L1, /**< reflect it */
};

/**
 * Does L1 want the exit that vmcs02 now holds? Counts it in L2_EXITS, and in L0_ONLY when L1 does not.
 *
 * EPT violations and misconfigurations: *verdict (else EPT02_REPAIRED: nothing to do for memory), and for EPT02_DEVICE
 * the L1-physical address in *device_gpa. What L1 is to see (its own permissions, a misconfiguration) is put into
 * vmcs02's exit information. An exit that L0 handles and that interrupted the delivery of an event must be followed by
 * nested_reinject.
 */
enum nested_owner nested_route(
        struct nested *nested, const struct guest_regs *regs, enum ept02_verdict *verdict, uint64_t *device_gpa);

/** Hand the exit in vmcs02 to L1: vmcs12 gets exit information and guest state, vmcs01's guest state becomes L1's host
 * state. */
void nested_reflect(struct nested *nested);

/**
 * Reflect an exit that the machine did not take (an external interrupt for L1 while L2 runs, a triple fault, ...). With
 * EXIT_REASON_ENTRY_FAILURE in `reason` only reason and qualification are written and no guest state is saved (SDM vol.
 * 3, 27.8): vmcs02 did not run.
 */
void nested_reflect_made(struct nested *nested, uint32_t reason, uint64_t qualification, uint32_t interruption_info,
        uint32_t error_code);

/** Merge L1's bitmaps into vmcs02's again: what a machine with asks_for_bitmaps calls before it looks into them. */
void nested_merge_bitmaps(struct nested *nested);

/** VMCS shadowing (shadow.c). Before an entry: changed read-write fields from the region into vmcs12. After: back. */
void shadow_to_vmcs12(struct nested *nested);
void shadow_from_vmcs12(struct nested *nested);

/** Bring vmcs12's stale guest fields up to date from vmcs02 (through ops.fetch). */
void nested_fetch(struct nested *nested);

/* ---- events (events.c) ---- */

/* Interruption-information format, SDM vol. 3, 25.8.3. */
#define INTR_INFO_VECTOR_MASK 0xffu
#define INTR_INFO_TYPE_SHIFT 8
#define INTR_INFO_TYPE_MASK 0x700u
#define INTR_INFO_ERROR_CODE 0x800u
#define INTR_INFO_NMI_UNBLOCKING 0x1000u
#define INTR_INFO_VALID 0x80000000u
enum intr_type {
	INTR_TYPE_EXTERNAL = 0,
	INTR_TYPE_NMI = 2,
	INTR_TYPE_HARDWARE_EXCEPTION = 3,
	INTR_TYPE_SOFTWARE_INTERRUPT = 4,
	INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
	INTR_TYPE_SOFTWARE_EXCEPTION = 6,
	INTR_TYPE_OTHER = 7
};

/**
 * Inject an event into the guest that runs next (vmcs01 or vmcs02): fills its VM-entry event fields. An exception for
 * L2 that vmcs12 intercepts is reflected instead, as the exit it would have been (of a #PF, the address in vmcs02's
 * exit qualification is taken).
 */
void nested_inject(struct nested *nested, uint32_t interruption_info, uint32_t error_code, uint32_t instruction_length);

/** After an L0-only exit with valid IDT-vectoring information: inject the interrupted event again (SDM vol. 3, 28.2.4).
 */
void nested_reinject(struct nested *nested);

/**
 * An external interrupt for L1 (vector) is pending. If L2 runs and vmcs12 asks for external-interrupt exits, reflects
 * exit 1: with "acknowledge interrupt on exit" the vector goes with it (returns true), else the interrupt stays pending
 * (returns false). If it can be injected now, does so and returns true; else asks for a window and returns false: call
 * again on the next exit. True: the interrupt is consumed.
 */
bool nested_deliver_interrupt(struct nested *nested, uint8_t vector);

#endif
