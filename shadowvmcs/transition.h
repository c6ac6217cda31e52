/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What the files of the transition half (checks, merge, route, reflect, events) share. Private to the engine.
 *
 * The short macros read a `const struct vmcs *v` in scope: FIELD(GUEST_RIP), PIN(NMI_EXITING), PROC2(ENABLE_EPT). They
 * stand in the text of failed checks, so they read as the SDM writes the rule.
 */
#ifndef TESTUDO_SHADOWVMCS_TRANSITION_H
#define TESTUDO_SHADOWVMCS_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "nested.h"
#include "x86.h"

#define FIELD(name) (v->field[VMCS_##name])
#define PIN(name) ((FIELD(PIN_BASED_VM_EXECUTION_CONTROLS) & VMX_BIT(PIN_##name)) != 0)
#define PROC(name) ((FIELD(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) & VMX_BIT(PROC_##name)) != 0)
#define PROC2(name) ((transition_proc2(v) & VMX_BIT(PROC2_##name)) != 0)
#define EXIT(name) ((FIELD(PRIMARY_VM_EXIT_CONTROLS) & VMX_BIT(EXIT_##name)) != 0)
#define ENTRY(name) ((FIELD(VM_ENTRY_CONTROLS) & VMX_BIT(ENTRY_##name)) != 0)
#define IMPLIES(condition, consequence) (!(condition) || (consequence))
#define CANONICAL(name) x86_canonical(FIELD(name))
#define PAT_VALID(name) x86_pat_valid(FIELD(name))
#define PERF_GLOBAL_VALID(name) (!(FIELD(name) & ~PERF_GLOBAL_CTRL_VALID_BITS))

/** Secondary controls in force: all 0 unless "activate secondary controls" is 1 (SDM vol. 3, 25.6.2). */
static inline uint32_t transition_proc2(const struct vmcs *v)
{
	return PROC(ACTIVATE_SECONDARY_CONTROLS) ? (uint32_t)FIELD(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) : 0;
}

/** PAE paging: the mode in which PDPTEs are state of the CPU (SDM vol. 3, 4.4). */
static inline bool transition_pae_paging(uint64_t cr0, uint64_t cr4, bool ia32e)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !ia32e;
}

static inline bool vmcs_mask_meets(const struct vmcs_mask *a, const struct vmcs_mask *b)
{
	uint64_t both = 0;

	for (int w = 0; w < VMCS_MASK_WORDS; w++)
		both |= a->word[w] & b->word[w];
	return both != 0;
}

static inline bool vmcs_mask_empty(const struct vmcs_mask *mask)
{
	return vmcs_mask_meets(mask, mask) == false;
}

/** For each field of `mask` (an lvalue of struct vmcs_mask, not changed). */
#define VMCS_FOR_EACH(field, mask)                                                                                     \
	for (int field##_w = 0; field##_w < VMCS_MASK_WORDS; field##_w++)                                              \
		for (uint64_t field##_bits = (mask).word[field##_w], field;                                            \
		        field##_bits != 0 && (field = 64u * field##_w + __builtin_ctzll(field##_bits), true);          \
		        field##_bits &= field##_bits - 1)

/** A group of checks and the fields of vmcs12 it reads. */
struct check_group {
	struct vmcs_mask fields;
	const char *(*check)(const struct nested *nested, const struct vmcs *v);
};
/** One VM-entry check: its text is what the ledger shows when it fails. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return #condition;                                                                             \
	} while (0)

/** The groups that read a field of `changed` (NULL: all of them), in order. */
static inline const char *check_groups(const struct nested *nested, const struct vmcs *v,
        const struct check_group *groups, unsigned count, const struct vmcs_mask *changed)
{
	for (unsigned i = 0; i < count; i++) {
		if (changed && !vmcs_mask_meets(&groups[i].fields, changed))
			continue;
		const char *failed = groups[i].check(nested, v);
		if (failed)
			return failed;
	}
	return 0;
}

/** Does the machine say what it wrote (vmcs.written)? Copying everything is to do without, as before it was invented.
 */
static inline bool transition_marked(const struct nested *nested)
{
	return nested->config.machine.marks_written && !nested->config.copy_everything;
}

/** IA32_EFER.LMA of L1 as it executes VMLAUNCH. Where the machine keeps EFER to itself, the "IA-32e mode guest" control
 * vmcs01 was entered with says the same. */
static inline bool transition_l1_long_mode(const struct nested *nested)
{
	const struct vmcs *v = nested->config.vmcs01;

	if (vmcs_mask_has(&v->stale, VMCS_GUEST_IA32_EFER))
		return ENTRY(IA32E_MODE_GUEST);
	return FIELD(GUEST_IA32_EFER) & EFER_LMA;
}

/* SDM vol. 3, 25.4.1 and the MSRs' own sections: bits that may be 1. */
#define EFER_VALID_BITS (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define DEBUGCTL_VALID_BITS 0xffc3ull
/** Eight general and three fixed counters. */
#define PERF_GLOBAL_CTRL_VALID_BITS 0x7000000ffull

/* checks_segments.c */
const char *checks_segments(const struct nested *nested, const struct vmcs *vmcs12);

/* checks_guest.c */

/** Guest fields that checks compare with registers which a machine may keep to itself. */
extern const struct vmcs_mask checks_compared_fields;

/** Four PDPTEs from the table CR3 points to in L1's memory. False: the table is no RAM. */
bool transition_read_pdptes(const struct nested *nested, uint64_t cr3, uint64_t pdptes[4]);

/** SDM vol. 3, 4.4.1: not present, or no reserved bit set. */
bool transition_pdpte_valid(const struct nested *nested, uint64_t pdpte);

/* merge_fields.c */

/** vmcs02's value of a MERGE field; NULL for fields of another kind. */
typedef uint64_t merge_function(const struct nested *nested, const struct vmcs *v, const struct vmcs *v01);
extern merge_function *const merge_functions[VMCS_FIELD_COUNT];

/* merge_bitmaps.c */

/** Look up L1's bitmap pages for checked12 (and, the first time, what L0's bitmaps let through). */
void merge_find_bitmaps(struct nested *nested);

/* merge.c */

/**
 * Guest fields whose value in force while L2 runs is not simply vmcs12's: loaded only if a VM-entry control says so
 * and saved only if a VM-exit control says so, partly owned by L0, or read from memory.
 */
#define TRANSITION_SPECIAL_FIELDS(X, w)                                                                                \
	X(w, GUEST_CR0)                                                                                                \
	| X(w, GUEST_CR4) | X(w, GUEST_DR7) | X(w, GUEST_IA32_DEBUGCTL) | X(w, GUEST_IA32_PAT) |                       \
	        X(w, GUEST_IA32_EFER) | X(w, GUEST_IA32_PERF_GLOBAL_CTRL) | X(w, GUEST_IA32_BNDCFGS) |                 \
	        X(w, GUEST_PDPTE0) | X(w, GUEST_PDPTE1) | X(w, GUEST_PDPTE2) | X(w, GUEST_PDPTE3) | X(w, PML_INDEX)
extern const struct vmcs_mask transition_special_fields;

/** Set a field of vmcs01 or vmcs02, also where the machine's own value is newer: the machine must take this one. */
static inline void transition_set(struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	if (vmcs_mask_has(&vmcs->stale, field)) {
		vmcs_mask_clear(&vmcs->stale, field);
		vmcs->field[field] = value;
		vmcs_mask_set(&vmcs->dirty, field);
		vmcs_mask_set(&vmcs->written, field);
		return;
	}
	vmcs_set(vmcs, field, value);
}

/** Bring `vmcs` up to date when it has stale fields. */
static inline void transition_fetch(struct nested *nested, struct vmcs *vmcs)
{
	if (nested->config.ops.fetch && !vmcs_mask_empty(&vmcs->stale))
		nested->config.ops.fetch(nested->config.ops.ctx, vmcs);
}

/**
 * Must vmcs12's stale fields be fetched before the entry that L1 asks for? They need not when nothing but the machine
 * will look at them. Reads vmcs12 in L1's memory: a lie there costs L1 a wrong value of its own guest, nothing else.
 */
bool merge_needs_fetch(const struct nested *nested);

/** What exits save and entries load of guest state with checked12's controls: merge_state's masks. */
void merge_learn_registers(struct nested *nested);

/**
 * merge_vmcs02 for an entry before which L1 wrote at most RIP, to `rip` (`dirty`: it did); checked12.stale is that of
 * this entry, checked12.dirty is empty, and the last entry from this vmcs12 succeeded. False: more than RIP is to be
 * merged or looked at, and nothing is done yet.
 */
bool merge_rip(struct nested *nested, uint64_t rip, bool dirty);

/** vmcs02's control words again, after pending_kind or vmcs12's entry controls changed. */
void merge_update_controls(struct nested *nested);

/* host_state.c */

/** SDM vol. 3, 28.5: checked12's host state into vmcs01's guest state. `ran`: L2 ran, so registers that the exit does
 * not load keep L2's values. False: VMX abort, the host's PDPTEs are invalid. */
bool host_state_load(struct nested *nested, bool ran);

/* reflect.c */

/** Does an exit with the controls of `v` save this special field (TRANSITION_SPECIAL_FIELDS)? */
bool transition_saves(const struct vmcs *v, enum vmcs_field field);

/** A guest field as L1 is to see it, from vmcs02's (up-to-date) value. */
uint64_t transition_guest12(const struct nested *nested, enum vmcs_field field);

/* events.c */

/** Does vmcs12 intercept this exception (SDM vol. 3, 25.6.3)? */
bool transition_wants_exception(const struct vmcs *vmcs12, uint32_t vector, uint32_t error_code);

#endif
