/* SPDX-License-Identifier: Apache-2.0 */
/*
 * L1's host state becomes vmcs01's guest state: what a VM exit loads, SDM vol. 3, 28.5. Values come from checked12,
 * which passed the checks on host state. Registers that the exit does not load keep L2's values.
 */
#include "nested.h"

#include "transition.h"

/* Access rights after a VM exit, 28.5.2 (layout in x86.h). */
#define AR_HOST_CODE64 0xa09bu
#define AR_HOST_CODE32 0xc09bu
#define AR_HOST_DATA 0xc093u
#define AR_HOST_TASK 0x8bu
#define LIMIT_FLAT 0xffffffffu
#define LIMIT_TASK 0x67u
#define LIMIT_TABLE 0xffffu

/* CR0 bits a VM exit leaves alone: ET, CD, NW and the reserved ones (28.5.1). */
#define CR0_KEPT (0xffffffff00000000ull | CR0_CD | CR0_NW | CR0_ET | 0x1ffaffc0ull)

struct host_load {
	struct nested *nested;
	const struct vmcs *v; /* checked12 */
	struct vmcs *vmcs01;
	bool ran; /* L2 ran: what is not loaded is L2's. Else the entry failed and it is still L1's. */
};

static void set01(const struct host_load *h, enum vmcs_field field, uint64_t value)
{
	transition_set(h->vmcs01, field, value);
	if (h->nested->config.copy_everything)
		vmcs_mask_set(&h->vmcs01->dirty, field);
}

/* ---- 28.5.1 control registers, debug registers, MSRs ---- */

/* Bits that L0 owns stay as L0 has them; L1 reads its own value in the read shadow. */
static void load_control_register(
        const struct host_load *h, enum vmcs_field guest, enum vmcs_field mask, enum vmcs_field shadow, uint64_t value)
{
	const uint64_t mask01 = h->vmcs01->field[mask];

	if (!mask01) {
		set01(h, guest, value);
		return;
	}
	set01(h, guest, (value & ~mask01) | (h->vmcs01->field[guest] & mask01));
	set01(h, shadow, value);
}

static void load_control_registers(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	const bool long_mode = EXIT(HOST_ADDRESS_SPACE_SIZE);
	const uint64_t cr0 = (FIELD(HOST_CR0) & ~CR0_KEPT) | (h->vmcs01->field[VMCS_GUEST_CR0] & CR0_KEPT);
	uint64_t cr4 = FIELD(HOST_CR4);

	cr4 = long_mode ? cr4 | CR4_PAE : cr4 & ~CR4_PCIDE;
	load_control_register(h, VMCS_GUEST_CR0, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR0_READ_SHADOW, cr0);
	set01(h, VMCS_GUEST_CR3, FIELD(HOST_CR3));
	load_control_register(h, VMCS_GUEST_CR4, VMCS_CR4_GUEST_HOST_MASK, VMCS_CR4_READ_SHADOW, cr4);
}

/* What a register that the exit does not load holds. */
static uint64_t kept(const struct host_load *h, enum vmcs_field guest)
{
	struct vmcs *from = h->ran ? &h->nested->vmcs02 : h->vmcs01;

	if (vmcs_mask_has(&from->stale, guest))
		transition_fetch(h->nested, from);
	return from->field[guest];
}

static void load_or_keep(const struct host_load *h, enum vmcs_field guest, bool loads, uint64_t value)
{
	set01(h, guest, loads ? value : kept(h, guest));
}

static void load_efer(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	const uint64_t mode = EFER_LMA | EFER_LME;
	uint64_t efer;

	if (EXIT(LOAD_IA32_EFER)) {
		set01(h, VMCS_GUEST_IA32_EFER, FIELD(HOST_IA32_EFER));
		return;
	}
	efer = kept(h, VMCS_GUEST_IA32_EFER);
	set01(h, VMCS_GUEST_IA32_EFER, EXIT(HOST_ADDRESS_SPACE_SIZE) ? efer | mode : efer & ~mode);
}

static void load_msrs(const struct host_load *h)
{
	const struct vmcs *v = h->v;

	set01(h, VMCS_GUEST_DR7, DR7_INITIAL);
	set01(h, VMCS_GUEST_IA32_DEBUGCTL, 0);
	set01(h, VMCS_GUEST_IA32_SYSENTER_CS, FIELD(HOST_IA32_SYSENTER_CS));
	set01(h, VMCS_GUEST_IA32_SYSENTER_ESP, FIELD(HOST_IA32_SYSENTER_ESP));
	set01(h, VMCS_GUEST_IA32_SYSENTER_EIP, FIELD(HOST_IA32_SYSENTER_EIP));
	load_efer(h);
}

/* Registers that keep L2's values where the exit does not load them. */
static void load_kept(const struct host_load *h)
{
	const struct vmcs *v = h->v;

	load_or_keep(h, VMCS_GUEST_IA32_PAT, EXIT(LOAD_IA32_PAT), FIELD(HOST_IA32_PAT));
	load_or_keep(h, VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, EXIT(LOAD_IA32_PERF_GLOBAL_CTRL),
	        FIELD(HOST_IA32_PERF_GLOBAL_CTRL));
	load_or_keep(h, VMCS_GUEST_IA32_BNDCFGS, EXIT(CLEAR_IA32_BNDCFGS), 0);
}

/* ---- 28.5.2 segments and descriptor tables ---- */

static void load_data_segment(const struct host_load *h, enum vmcs_field selector, enum vmcs_field base,
        enum vmcs_field limit, enum vmcs_field access_rights, uint64_t selector_value, uint64_t base_value)
{
	set01(h, selector, selector_value);
	set01(h, base, base_value);
	set01(h, limit, LIMIT_FLAT);
	set01(h, access_rights, selector_value == 0 ? AR_UNUSABLE : AR_HOST_DATA);
}
#define LOAD_DATA_SEGMENT(seg, base)                                                                                   \
	load_data_segment(h, VMCS_GUEST_##seg##_SELECTOR, VMCS_GUEST_##seg##_BASE, VMCS_GUEST_##seg##_LIMIT,           \
	        VMCS_GUEST_##seg##_ACCESS_RIGHTS, FIELD(HOST_##seg##_SELECTOR), base)

static void load_segments(const struct host_load *h)
{
	const struct vmcs *v = h->v;

	set01(h, VMCS_GUEST_CS_SELECTOR, FIELD(HOST_CS_SELECTOR));
	set01(h, VMCS_GUEST_CS_BASE, 0);
	set01(h, VMCS_GUEST_CS_LIMIT, LIMIT_FLAT);
	set01(h, VMCS_GUEST_CS_ACCESS_RIGHTS, EXIT(HOST_ADDRESS_SPACE_SIZE) ? AR_HOST_CODE64 : AR_HOST_CODE32);
	LOAD_DATA_SEGMENT(SS, 0);
	LOAD_DATA_SEGMENT(DS, 0);
	LOAD_DATA_SEGMENT(ES, 0);
	LOAD_DATA_SEGMENT(FS, FIELD(HOST_FS_BASE));
	LOAD_DATA_SEGMENT(GS, FIELD(HOST_GS_BASE));
	set01(h, VMCS_GUEST_TR_SELECTOR, FIELD(HOST_TR_SELECTOR));
	set01(h, VMCS_GUEST_TR_BASE, FIELD(HOST_TR_BASE));
	set01(h, VMCS_GUEST_TR_LIMIT, LIMIT_TASK);
	set01(h, VMCS_GUEST_TR_ACCESS_RIGHTS, AR_HOST_TASK);
	set01(h, VMCS_GUEST_LDTR_SELECTOR, 0);
	set01(h, VMCS_GUEST_LDTR_ACCESS_RIGHTS, AR_UNUSABLE);
	set01(h, VMCS_GUEST_GDTR_BASE, FIELD(HOST_GDTR_BASE));
	set01(h, VMCS_GUEST_GDTR_LIMIT, LIMIT_TABLE);
	set01(h, VMCS_GUEST_IDTR_BASE, FIELD(HOST_IDTR_BASE));
	set01(h, VMCS_GUEST_IDTR_LIMIT, LIMIT_TABLE);
}

/* ---- 28.5.3 to 28.5.5 ---- */

/*
 * Blocking by NMI: an NMI exit leaves it on. With virtual NMIs L2's own blocking was virtual and L1 keeps what it had;
 * without, it was the CPU's and stays.
 */
static uint64_t interruptibility(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	const struct vmcs *vmcs02 = &h->nested->vmcs02;
	const uint32_t info = (uint32_t)vmcs02->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION];
	const bool nmi_exit = vmcs02->field[VMCS_EXIT_REASON] == EXIT_REASON_EXCEPTION_OR_NMI &&
	                      (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_NMI;
	const bool of_l1 = !h->ran || PIN(VIRTUAL_NMIS);

	if (h->ran && nmi_exit)
		return INTERRUPTIBILITY_NMI;
	return (of_l1 ? h->vmcs01 : vmcs02)->field[VMCS_GUEST_INTERRUPTIBILITY_STATE] & INTERRUPTIBILITY_NMI;
}

static void load_rest(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	const uint64_t ia32e = VMX_BIT(ENTRY_IA32E_MODE_GUEST);
	const uint64_t entry01 = h->vmcs01->field[VMCS_VM_ENTRY_CONTROLS] & ~ia32e;

	set01(h, VMCS_GUEST_RIP, FIELD(HOST_RIP));
	set01(h, VMCS_GUEST_RSP, FIELD(HOST_RSP));
	set01(h, VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	set01(h, VMCS_GUEST_INTERRUPTIBILITY_STATE, interruptibility(h));
	set01(h, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	set01(h, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	/* The mode that L0 enters L1 in. */
	set01(h, VMCS_VM_ENTRY_CONTROLS, EXIT(HOST_ADDRESS_SPACE_SIZE) ? entry01 | ia32e : entry01);
}

/* 28.5.4. False: VMX abort. */
static bool load_pdptes(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	uint64_t pdptes[4];

	if (!transition_pae_paging(FIELD(HOST_CR0), FIELD(HOST_CR4), EXIT(HOST_ADDRESS_SPACE_SIZE)))
		return true;
	if (!transition_read_pdptes(h->nested, FIELD(HOST_CR3), pdptes))
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (!transition_pdpte_valid(h->nested, pdptes[i]))
			return false;
		set01(h, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), pdptes[i]);
	}
	return true;
}

/* Guest fields of vmcs01 that a VM exit loads other than at each exit anew (load_rest), and what load_control_register
 * reads besides. */
#define SEGMENT_TARGETS(X, w, seg)                                                                                     \
	X(w, GUEST_##seg##_SELECTOR)                                                                                   \
	| X(w, GUEST_##seg##_BASE) | X(w, GUEST_##seg##_LIMIT) | X(w, GUEST_##seg##_ACCESS_RIGHTS)
#define LASTING_TARGETS(X, w)                                                                                          \
	SEGMENT_TARGETS(X, w, ES)                                                                                      \
	| SEGMENT_TARGETS(X, w, CS) | SEGMENT_TARGETS(X, w, SS) | SEGMENT_TARGETS(X, w, DS) |                          \
	        SEGMENT_TARGETS(X, w, FS) | SEGMENT_TARGETS(X, w, GS) | SEGMENT_TARGETS(X, w, TR) |                    \
	        SEGMENT_TARGETS(X, w, LDTR) | X(w, GUEST_GDTR_BASE) | X(w, GUEST_GDTR_LIMIT) | X(w, GUEST_IDTR_BASE) | \
	        X(w, GUEST_IDTR_LIMIT) | X(w, GUEST_CR0) | X(w, GUEST_CR3) | X(w, GUEST_CR4) |                         \
	        X(w, CR0_GUEST_HOST_MASK) | X(w, CR4_GUEST_HOST_MASK) | X(w, CR0_READ_SHADOW) |                        \
	        X(w, CR4_READ_SHADOW) | X(w, GUEST_DR7) | X(w, GUEST_IA32_DEBUGCTL) | X(w, GUEST_IA32_SYSENTER_CS) |   \
	        X(w, GUEST_IA32_SYSENTER_ESP) | X(w, GUEST_IA32_SYSENTER_EIP) | X(w, GUEST_IA32_EFER) |                \
	        X(w, GUEST_IA32_PAT) | X(w, GUEST_IA32_PERF_GLOBAL_CTRL) | X(w, GUEST_IA32_BNDCFGS) |                  \
	        X(w, GUEST_PDPTE0) | X(w, GUEST_PDPTE1) | X(w, GUEST_PDPTE2) | X(w, GUEST_PDPTE3)
#define EACH_EXIT_TARGETS(X, w)                                                                                        \
	X(w, GUEST_RIP)                                                                                                \
	| X(w, GUEST_RSP) | X(w, GUEST_RFLAGS) | X(w, GUEST_INTERRUPTIBILITY_STATE) | X(w, GUEST_ACTIVITY_STATE) |     \
	        X(w, GUEST_PENDING_DEBUG_EXCEPTIONS) | X(w, VM_ENTRY_CONTROLS)
/* Masks and shadows are not taken over here, so their marks are merge.c's to clear. */
#define TAKEN_TARGETS(X, w)                                                                                            \
	(LASTING_TARGETS(X, w) | EACH_EXIT_TARGETS(X, w)) &                                                            \
	        ~(uint64_t)(X(w, CR0_GUEST_HOST_MASK) | X(w, CR4_GUEST_HOST_MASK))

static const struct vmcs_mask lasting = VMCS_MASK_OF(LASTING_TARGETS);
#define KEPT_FIELDS(X, w) X(w, GUEST_IA32_PAT) | X(w, GUEST_IA32_PERF_GLOBAL_CTRL) | X(w, GUEST_IA32_BNDCFGS)

static const struct vmcs_mask kept_fields = VMCS_MASK_OF(KEPT_FIELDS);
static const struct vmcs_mask taken = VMCS_MASK_OF(TAKEN_TARGETS);
#define STORED_AGAIN(X, w)                                                                                             \
	X(w, GUEST_RIP)                                                                                                \
	| X(w, GUEST_RSP) | X(w, GUEST_RFLAGS) | X(w, GUEST_INTERRUPTIBILITY_STATE) | X(w, GUEST_ACTIVITY_STATE) |     \
	        X(w, GUEST_PENDING_DEBUG_EXCEPTIONS)
static const struct vmcs_mask stored_again = VMCS_MASK_OF(STORED_AGAIN);

/*
 * Exit after exit loads the same host state. What of it vmcs01 still holds need not be loaded again: the last exit
 * loaded it (host_state_loaded: and checked12's host state has not changed since, nested_snapshot_vmcs12), and no mark
 * says that L1, L0 or the machine changed it. A stale register of L1 may have changed unless the machine knows better.
 */
static bool stands(const struct host_load *h)
{
	const struct vmcs *vmcs01 = h->vmcs01, *vmcs02 = &h->nested->vmcs02;
	const struct vmcs *v = h->v;
	uint64_t changed = 0;

	if (!h->ran || !h->nested->host_state_loaded || !transition_marked(h->nested))
		return false;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++)
		changed |= vmcs01->written.word[word] & lasting.word[word];
	if (!h->nested->config.machine.keeps_l1_registers) {
		for (unsigned word = 0; word < VMCS_MASK_WORDS; word++)
			changed |= vmcs01->stale.word[word] & lasting.word[word];
	}
	/* What an exit does not load is L2's value of now. */
	if (!EXIT(LOAD_IA32_PAT))
		changed |= vmcs01->field[VMCS_GUEST_IA32_PAT] ^ vmcs02->field[VMCS_GUEST_IA32_PAT];
	if (!EXIT(LOAD_IA32_PERF_GLOBAL_CTRL))
		changed |= vmcs01->field[VMCS_GUEST_IA32_PERF_GLOBAL_CTRL] ^
		           vmcs02->field[VMCS_GUEST_IA32_PERF_GLOBAL_CTRL];
	if (!EXIT(CLEAR_IA32_BNDCFGS))
		changed |= vmcs01->field[VMCS_GUEST_IA32_BNDCFGS] ^ vmcs02->field[VMCS_GUEST_IA32_BNDCFGS];
	return changed == 0;
}

static void take_marks(const struct host_load *h)
{
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++)
		h->vmcs01->written.word[word] &= ~taken.word[word];
}

/* load_rest where the lasting state stands: the same values, not compared but all marked as new to the machine. The
 * marks for the engine are take_marks' to clear in any case. */
static void load_rest_again(const struct host_load *h)
{
	const struct vmcs *v = h->v;
	const uint64_t ia32e = VMX_BIT(ENTRY_IA32E_MODE_GUEST);
	struct vmcs *vmcs01 = h->vmcs01;
	const uint64_t blocking = interruptibility(h);
	const uint64_t entry01 = vmcs01->field[VMCS_VM_ENTRY_CONTROLS];
	const uint64_t entry = EXIT(HOST_ADDRESS_SPACE_SIZE) ? entry01 | ia32e : entry01 & ~ia32e;

	vmcs01->field[VMCS_GUEST_RIP] = FIELD(HOST_RIP);
	vmcs01->field[VMCS_GUEST_RSP] = FIELD(HOST_RSP);
	vmcs01->field[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED;
	vmcs01->field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = blocking;
	vmcs01->field[VMCS_GUEST_ACTIVITY_STATE] = ACTIVITY_ACTIVE;
	vmcs01->field[VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS] = 0;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		vmcs01->stale.word[word] &= ~stored_again.word[word];
		vmcs01->dirty.word[word] |= stored_again.word[word];
	}
	if (entry != entry01)
		transition_set(vmcs01, VMCS_VM_ENTRY_CONTROLS, entry);
}

bool host_state_load(struct nested *nested, bool ran)
{
	const struct host_load h = {
	        .nested = nested, .v = &nested->checked12, .vmcs01 = nested->config.vmcs01, .ran = ran};

	const struct vmcs *v = h.v;
	bool loaded = true;

	if (stands(&h)) {
		load_rest_again(&h);
	} else {
		load_control_registers(&h);
		load_msrs(&h);
		load_kept(&h);
		load_segments(&h);
		loaded = load_pdptes(&h);
		/* Else an exit reads L1's memory, L2's EFER, or asks the machine for what L2 has. */
		nested->host_state_loaded =
		        EXIT(LOAD_IA32_EFER) && !vmcs_mask_meets(&kept_fields, &nested->config.machine.on_demand) &&
		        !transition_pae_paging(FIELD(HOST_CR0), FIELD(HOST_CR4), EXIT(HOST_ADDRESS_SPACE_SIZE));
		load_rest(&h);
	}
	take_marks(&h);
	return loaded;
}
