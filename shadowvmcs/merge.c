/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checked12 + vmcs01 -> vmcs02, when L1 enters L2.
 *
 * Incremental (Turtles, section 3.5.1): vmcs02 keeps what the last merge and L2 itself left there, so only fields L1
 * wrote since then are carried over. What depends on several fields (control words and all that follows from them) is
 * made again as a whole when one of its inputs changed, vmcs12's or vmcs01's. Some things no dirty bit tells of and
 * each entry looks at them: bitmaps, which L1 writes in memory; registers that vmcs12 loads but does not save; the
 * event to inject; the preemption timer; EPT02.
 */
#include "nested.h"

#include <string.h>

#include "transition.h"

#define FIELD01(name) (v01->field[VMCS_##name])

const struct vmcs_mask transition_special_fields = VMCS_MASK_OF(TRANSITION_SPECIAL_FIELDS);

/* Fields of vmcs12 that more than the field itself depends on: any change makes every MERGE and OR field anew. */
#define WIDE_FIELDS(X, w)                                                                                              \
	X(w, PIN_BASED_VM_EXECUTION_CONTROLS)                                                                          \
	| X(w, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) |                                                        \
	        X(w, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) | X(w, PRIMARY_VM_EXIT_CONTROLS) |               \
	        X(w, VM_ENTRY_CONTROLS) | X(w, EXCEPTION_BITMAP) | X(w, PAGE_FAULT_ERROR_CODE_MASK) |                  \
	        X(w, PAGE_FAULT_ERROR_CODE_MATCH) | X(w, CR0_GUEST_HOST_MASK) | X(w, CR4_GUEST_HOST_MASK) |            \
	        X(w, TSC_MULTIPLIER) | X(w, MSR_BITMAP) | X(w, IO_BITMAP_A) | X(w, IO_BITMAP_B)
static const struct vmcs_mask wide_fields = VMCS_MASK_OF(WIDE_FIELDS);

/* One merge: what it reads, and how much of it is to be done. */
struct merge {
	struct nested *nested;
	const struct vmcs *v; /* checked12 */
	const struct vmcs *v01;
	bool everything; /* every field, changed or not */
	bool wide;       /* every MERGE and OR field */
};

static void set02(const struct merge *m, enum vmcs_field field, uint64_t value)
{
	struct vmcs *vmcs02 = &m->nested->vmcs02;

	m->nested->counters[COUNTER_FIELDS_MERGED]++;
	transition_set(vmcs02, field, value);
	/* Copying everything is to cost the machine what it cost before dirty bits were invented. */
	if (m->nested->config.copy_everything)
		vmcs_mask_set(&vmcs02->dirty, field);
}

static void set02_if_new(const struct merge *m, enum vmcs_field field, uint64_t value)
{
	const struct vmcs *vmcs02 = &m->nested->vmcs02;

	if (m->everything || vmcs02->field[field] != value || vmcs_mask_has(&vmcs02->stale, field))
		set02(m, field, value);
}

static bool is_dirty(const struct merge *m, enum vmcs_field field)
{
	return m->everything || vmcs_mask_has(&m->v->dirty, field);
}

/* ---- vmcs01's part ---- */

#define INPUTS01(X, w)                                                                                                 \
	X(w, PIN_BASED_VM_EXECUTION_CONTROLS)                                                                          \
	| X(w, PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) |                                                        \
	        X(w, SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) | X(w, PRIMARY_VM_EXIT_CONTROLS) |               \
	        X(w, EXCEPTION_BITMAP) | X(w, PAGE_FAULT_ERROR_CODE_MASK) | X(w, PAGE_FAULT_ERROR_CODE_MATCH) |        \
	        X(w, CR0_GUEST_HOST_MASK) | X(w, CR4_GUEST_HOST_MASK) | X(w, TSC_OFFSET) | X(w, TSC_MULTIPLIER) |      \
	        X(w, XSS_EXITING_BITMAP) | X(w, ENCLS_EXITING_BITMAP) | X(w, PLE_GAP) | X(w, PLE_WINDOW)

static const struct vmcs_mask inputs01 = VMCS_MASK_OF(INPUTS01);

/* No mark says that L0 changed one. VM_ENTRY_CONTROLS is a target of host_state.c, which clears its mark. */
static bool inputs01_stand(const struct nested *nested)
{
	const struct vmcs *vmcs01 = nested->config.vmcs01;

	return transition_marked(nested) && !nested->merge_all && !vmcs_mask_meets(&inputs01, &vmcs01->written) &&
	       vmcs01->field[VMCS_VM_ENTRY_CONTROLS] == nested->merge.entry_controls01;
}

/* Controls of vmcs01 that vmcs02 depends on. L0 changes them rarely and any time: where no mark says that it did they
 * are not looked at, else compared. */
static bool inputs01_changed(struct nested *nested)
{
	static const enum vmcs_field inputs[] = {VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
	        VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMCS_PRIMARY_VM_EXIT_CONTROLS,
	        VMCS_VM_ENTRY_CONTROLS, VMCS_EXCEPTION_BITMAP, VMCS_PAGE_FAULT_ERROR_CODE_MASK,
	        VMCS_PAGE_FAULT_ERROR_CODE_MATCH, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR4_GUEST_HOST_MASK, VMCS_TSC_OFFSET,
	        VMCS_TSC_MULTIPLIER, VMCS_XSS_EXITING_BITMAP, VMCS_ENCLS_EXITING_BITMAP, VMCS_PLE_GAP, VMCS_PLE_WINDOW};
	/* Asked for while L1 ran; no part of vmcs02 (merge_fields.c). */
	const uint64_t windows = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING) | VMX_BIT(PROC_NMI_WINDOW_EXITING) |
	                         VMX_BIT(PROC_MONITOR_TRAP_FLAG);
	struct vmcs *vmcs01 = nested->config.vmcs01;
	uint64_t difference = 0;

	if (inputs01_stand(nested))
		return false;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++)
		vmcs01->written.word[word] &= ~inputs01.word[word];
	nested->merge.entry_controls01 = vmcs01->field[VMCS_VM_ENTRY_CONTROLS];
	/* L1's host state depends on the masks of CR0 and CR4. */
	nested->host_state_loaded = false;
	_Static_assert(sizeof(inputs) / sizeof(inputs[0]) ==
	                       sizeof(nested->merge.inputs01) / sizeof(nested->merge.inputs01[0]),
	        "each input is remembered");
	for (unsigned i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		uint64_t value = nested->config.vmcs01->field[inputs[i]];
		if (inputs[i] == VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
			value &= ~windows;
		difference |= value ^ nested->merge.inputs01[i];
		nested->merge.inputs01[i] = value;
	}
	return difference != 0;
}

/* vmcs01's value of a guest register that L2 inherits from L1. */
static uint64_t inherited(const struct merge *m, enum vmcs_field field)
{
	if (vmcs_mask_has(&m->v01->stale, field))
		transition_fetch(m->nested, m->nested->config.vmcs01);
	return m->v01->field[field];
}

/* ---- fields by kind ---- */

static void merge_field(const struct merge *m, enum vmcs_field field)
{
	switch (vmcs_field_infos[field].how) {
	case VMCS_HOW_GUEST:
		if (!vmcs_mask_has(&transition_special_fields, field))
			set02(m, field, m->v->field[field]);
		break;
	case VMCS_HOW_HOST:
		/* vmcs12's host state waits for the reflection. */
		if (m->everything)
			set02(m, field, m->v01->field[field]);
		break;
	case VMCS_HOW_OR:
		if (!m->wide || m->everything)
			set02(m, field, m->v->field[field] | m->v01->field[field]);
		break;
	case VMCS_HOW_MERGE:
		if ((!m->wide || m->everything) && field != VMCS_EPT_POINTER)
			set02(m, field, merge_functions[field](m->nested, m->v, m->v01));
		break;
	default:
		break;
	}
}

static void merge_everything(const struct merge *m)
{
	for (int field = 0; field < VMCS_FIELD_COUNT; field++)
		merge_field(m, (enum vmcs_field)field);
}

static void merge_dirty(const struct merge *m)
{
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		for (uint64_t bits = m->v->dirty.word[word]; bits != 0; bits &= bits - 1)
			merge_field(m, (enum vmcs_field)(word * 64 + (unsigned)__builtin_ctzll(bits)));
	}
}

/* Whatever depends on a control word. */
static void merge_wide(const struct merge *m)
{
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (merge_functions[field] && field != VMCS_EPT_POINTER)
			set02_if_new(m, (enum vmcs_field)field, merge_functions[field](m->nested, m->v, m->v01));
		else if (vmcs_field_infos[field].how == VMCS_HOW_OR)
			set02_if_new(m, (enum vmcs_field)field, m->v->field[field] | m->v01->field[field]);
	}
}

/* ---- special guest fields ---- */

/* What vmcs12 asks for is what the last exit left in the machine (and in vmcs02, if it was fetched meanwhile). */
static bool stays_in_machine(const struct merge *m, enum vmcs_field field)
{
	return vmcs_mask_has(&m->v->stale, field) && !is_dirty(m, field);
}

/* Of bits L0 owns, vmcs02 has the value L0 insists on in vmcs01; what L2 sees of them is in the read shadow. */
static void merge_control_registers(const struct merge *m)
{
	static const struct {
		enum vmcs_field guest, mask, shadow;
	} registers[] = {{VMCS_GUEST_CR0, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR0_READ_SHADOW},
	        {VMCS_GUEST_CR4, VMCS_CR4_GUEST_HOST_MASK, VMCS_CR4_READ_SHADOW}};

	for (unsigned i = 0; i < 2; i++) {
		const enum vmcs_field guest = registers[i].guest;
		const uint64_t mask01 = m->v01->field[registers[i].mask];
		uint64_t value = m->v->field[guest];

		if (stays_in_machine(m, guest))
			continue;
		if (mask01) {
			value = (value & ~mask01) | (inherited(m, guest) & mask01);
			set02_if_new(
			        m, registers[i].shadow, merge_functions[registers[i].shadow](m->nested, m->v, m->v01));
		}
		set02_if_new(m, guest, value);
	}
}

/* A register that VM entry loads only on demand: if it does not, L2 goes on with L1's value. */
static void merge_loaded(const struct merge *m, enum vmcs_field field, bool loads)
{
	if (loads && stays_in_machine(m, field))
		return;
	set02_if_new(m, field, loads ? m->v->field[field] : inherited(m, field));
}

static void merge_efer(const struct merge *m)
{
	const struct vmcs *v = m->v;
	uint64_t efer;

	if (ENTRY(LOAD_IA32_EFER)) {
		merge_loaded(m, VMCS_GUEST_IA32_EFER, true);
		return;
	}
	/* 27.3.2.1: LMA follows the control, and LME too when paging is on. */
	efer = inherited(m, VMCS_GUEST_IA32_EFER) & ~EFER_LMA;
	if (FIELD(GUEST_CR0) & CR0_PG)
		efer &= ~EFER_LME;
	if (ENTRY(IA32E_MODE_GUEST))
		efer |= EFER_LMA | EFER_LME;
	set02_if_new(m, VMCS_GUEST_IA32_EFER, efer);
}

/* What the next entry injects, and the timer it starts. */
#define EVENT_FIELDS(X, w)                                                                                             \
	X(w, VM_ENTRY_INTERRUPTION_INFORMATION)                                                                        \
	| X(w, VM_ENTRY_EXCEPTION_ERROR_CODE) | X(w, VM_ENTRY_INSTRUCTION_LENGTH) | X(w, VMX_PREEMPTION_TIMER_VALUE)
static const struct vmcs_mask event_fields = VMCS_MASK_OF(EVENT_FIELDS);

/* Registers that L2 inherits where vmcs12 does not load them; nothing else decides their value. */
#define INHERITABLE_FIELDS(X, w)                                                                                       \
	X(w, GUEST_DR7)                                                                                                \
	| X(w, GUEST_IA32_DEBUGCTL) | X(w, GUEST_IA32_PAT) | X(w, GUEST_IA32_PERF_GLOBAL_CTRL) |                       \
	        X(w, GUEST_IA32_BNDCFGS)
static const struct vmcs_mask inheritable_fields = VMCS_MASK_OF(INHERITABLE_FIELDS);

/* The entry loads this special field from vmcs12 as it is. */
static bool entry_loads(const struct vmcs *v, const struct vmcs *v01, enum vmcs_field field)
{
	switch ((int)field) {
	case VMCS_GUEST_CR0:
		return FIELD01(CR0_GUEST_HOST_MASK) == 0;
	case VMCS_GUEST_CR4:
		return FIELD01(CR4_GUEST_HOST_MASK) == 0;
	case VMCS_GUEST_DR7:
	case VMCS_GUEST_IA32_DEBUGCTL:
		return ENTRY(LOAD_DEBUG_CONTROLS);
	case VMCS_GUEST_IA32_PAT:
		return ENTRY(LOAD_IA32_PAT);
	case VMCS_GUEST_IA32_EFER:
		return ENTRY(LOAD_IA32_EFER);
	case VMCS_GUEST_IA32_PERF_GLOBAL_CTRL:
		return ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL);
	case VMCS_GUEST_IA32_BNDCFGS:
		return ENTRY(LOAD_IA32_BNDCFGS);
	case VMCS_GUEST_PDPTE0:
	case VMCS_GUEST_PDPTE1:
	case VMCS_GUEST_PDPTE2:
	case VMCS_GUEST_PDPTE3:
		return PROC2(ENABLE_EPT);
	default: /* the PML index is L0's */
		return false;
	}
}

void merge_learn_registers(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12, *v01 = nested->config.vmcs01;
	struct merge_state *state = &nested->merge;

	state->loaded = state->inherited = state->always_saved = (struct vmcs_mask){0};
	for (unsigned i = 0; i < VMCS_FIELD_COUNT; i++) {
		const enum vmcs_field field = (enum vmcs_field)i;
		const bool special = vmcs_mask_has(&transition_special_fields, field);
		const bool loads = special && entry_loads(v, v01, field);
		const bool saves = special ? transition_saves(v, field) : vmcs_field_infos[i].how == VMCS_HOW_GUEST;
		if (loads)
			vmcs_mask_set(&state->loaded, field);
		if (special && !loads && vmcs_mask_has(&inheritable_fields, field))
			vmcs_mask_set(&state->inherited, field);
		if (saves && special && !loads)
			vmcs_mask_set(&state->always_saved, field);
		vmcs_mask_clear(&state->saved, field);
		if (saves)
			vmcs_mask_set(&state->saved, field);
	}
	state->fetch_each_entry = false;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t special = transition_special_fields.word[word];
		state->watched.word[word] = (special & ~state->inherited.word[word]) | event_fields.word[word];
		if (nested->config.machine.on_demand.word[word] & special & ~state->saved.word[word])
			state->fetch_each_entry = true;
	}
	state->registers_each_entry = vmcs_mask_meets(&nested->config.machine.on_demand, &state->inherited) ||
	                              !PROC2(ENABLE_EPT) || !ENTRY(LOAD_IA32_EFER) || FIELD01(CR0_GUEST_HOST_MASK) ||
	                              FIELD01(CR4_GUEST_HOST_MASK) ||
	                              (transition_proc2(v01) & VMX_BIT(PROC2_ENABLE_PML));
	state->registers_known = true;
}

/*
 * Nothing is to be done for special fields and the event to inject: neither L1 (dirty), nor L2 or L0 (written) touched
 * one that comes from vmcs12, none stayed in the machine that vmcs12 does not expect there, and what L2 inherits is in
 * vmcs02 already.
 */
static bool registers_stand(const struct nested *nested)
{
	const struct merge_state *state = &nested->merge;
	const struct vmcs *vmcs02 = &nested->vmcs02;
	const struct vmcs *v = &nested->checked12, *v01 = nested->config.vmcs01;
	uint64_t touched = 0;

	if (state->registers_each_entry || !transition_marked(nested))
		return false;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t unsaved = vmcs02->stale.word[word] & ~v->stale.word[word];
		touched |= (vmcs02->written.word[word] | v->dirty.word[word] | unsaved) & state->watched.word[word];
	}
#define INHERITS(name)                                                                                                 \
	(vmcs_mask_has(&state->inherited, VMCS_##name) && vmcs02->field[VMCS_##name] != v01->field[VMCS_##name])
	return touched == 0 && !INHERITS(GUEST_DR7) && !INHERITS(GUEST_IA32_DEBUGCTL) && !INHERITS(GUEST_IA32_PAT) &&
	       !INHERITS(GUEST_IA32_PERF_GLOBAL_CTRL) && !INHERITS(GUEST_IA32_BNDCFGS);
#undef INHERITS
}

/* From here on vmcs02 and vmcs12 agree on these. */
static void take_marks(const struct merge *m)
{
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t agree = m->nested->merge.loaded.word[word] | event_fields.word[word];
		m->nested->vmcs02.written.word[word] &= ~(agree & ~m->v->stale.word[word]);
	}
}

static void merge_registers(const struct merge *m)
{
	const struct vmcs *v = m->v;

	merge_control_registers(m);
	merge_efer(m);
	merge_loaded(m, VMCS_GUEST_DR7, ENTRY(LOAD_DEBUG_CONTROLS));
	merge_loaded(m, VMCS_GUEST_IA32_DEBUGCTL, ENTRY(LOAD_DEBUG_CONTROLS));
	merge_loaded(m, VMCS_GUEST_IA32_PAT, ENTRY(LOAD_IA32_PAT));
	merge_loaded(m, VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, ENTRY(LOAD_IA32_PERF_GLOBAL_CTRL));
	merge_loaded(m, VMCS_GUEST_IA32_BNDCFGS, ENTRY(LOAD_IA32_BNDCFGS));
	if (transition_proc2(m->v01) & VMX_BIT(PROC2_ENABLE_PML))
		set02_if_new(m, VMCS_PML_INDEX, m->v01->field[VMCS_PML_INDEX]);
}

/* With EPT in vmcs02 the CPU takes PDPTEs from the VMCS; L1 without EPT expects them from memory (27.3.2.4). */
static void merge_pdptes(const struct merge *m)
{
	const struct vmcs *v = m->v;
	uint64_t pdptes[4] = {FIELD(GUEST_PDPTE0), FIELD(GUEST_PDPTE1), FIELD(GUEST_PDPTE2), FIELD(GUEST_PDPTE3)};

	if (!PROC2(ENABLE_EPT) && transition_pae_paging(FIELD(GUEST_CR0), FIELD(GUEST_CR4), ENTRY(IA32E_MODE_GUEST)))
		transition_read_pdptes(m->nested, FIELD(GUEST_CR3), pdptes);
	for (unsigned i = 0; i < 4; i++) {
		const enum vmcs_field field = (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i);
		if (!stays_in_machine(m, field))
			set02_if_new(m, field, pdptes[i]);
	}
}

/* ---- memory ---- */

static int merge_ept_pointer(const struct merge *m)
{
	const struct vmcs *v = m->v, *v01 = m->v01;
	uint64_t eptp02 = FIELD01(EPT_POINTER);

	/* L1 without EPT gives L2 shadow page tables in its own physical addresses: EPT01 is what lies beneath. */
	if (PROC2(ENABLE_EPT) && FIELD(EPT_POINTER) == m->nested->ept02.current_eptp12 && FIELD(EPT_POINTER) != 0) {
		eptp02 = m->nested->ept02.current_eptp02; /* as ept02_enter would say */
	} else if (PROC2(ENABLE_EPT)) {
		const int error = ept02_enter(m->nested, FIELD(EPT_POINTER), &eptp02);
		if (error)
			return error;
	}
	set02_if_new(m, VMCS_EPT_POINTER, eptp02);
	return 0;
}

/* 29.4.3.1: an entry without VPIDs drops what is cached for VPID 0. A VPID02 that several VPID12 share changes hands.
 */
static void flush_shared_vpid(const struct merge *m)
{
	const struct vmcs *v = m->v;
	const struct nested_ops *ops = &m->nested->config.ops;
	const uint16_t shared = ops->flush_vpid ? nested_vpid02(m->nested, 0) : 0;
	const uint16_t vpid12 = PROC2(ENABLE_VPID) ? (uint16_t)FIELD(VIRTUAL_PROCESSOR_ID) : 0;

	if (shared == 0 || nested_vpid02(m->nested, vpid12) != shared)
		return;
	if (vpid12 == 0 || m->nested->merge.shared_vpid12 != vpid12)
		ops->flush_vpid(ops->ctx, shared);
	m->nested->merge.shared_vpid12 = vpid12;
}

/* ---- fields that stay in the machine ---- */

bool merge_needs_fetch(const struct nested *nested)
{
	const struct vmcs *v = nested->vmcs12, *v01 = nested->config.vmcs01;
	const struct merge_state *state = &nested->merge;

	/* What the last merge found holds while L1 changed no field that decides. */
	if (state->registers_known && !state->fetch_each_entry && !state->registers_each_entry &&
	        !FIELD01(CR0_GUEST_HOST_MASK) && !FIELD01(CR4_GUEST_HOST_MASK) &&
	        !vmcs_mask_meets(&v->dirty, &checks_compared_fields) && !vmcs_mask_meets(&v->dirty, &wide_fields))
		return false;
	if (!vmcs_mask_meets(&v->stale, &nested->config.machine.on_demand))
		return false;
	/* Checks compare them with what L1 wrote; without EPT the paging mode decides where PDPTEs come from; if EFER
	 * is not loaded, LME depends on CR0; bits that L0 owns are split between register and shadow. */
	if (vmcs_mask_meets(&v->dirty, &checks_compared_fields) || !PROC2(ENABLE_EPT) || !ENTRY(LOAD_IA32_EFER) ||
	        FIELD01(CR0_GUEST_HOST_MASK) || FIELD01(CR4_GUEST_HOST_MASK))
		return true;
	/* The next exit will not save it, so vmcs12 must have what the last one saved. */
	VMCS_FOR_EACH(field, nested->config.machine.on_demand)
	{
		if (vmcs_mask_has(&v->stale, field) && vmcs_mask_has(&transition_special_fields, field) &&
		        !transition_saves(v, field))
			return true;
	}
	return false;
}

/* ---- the whole ---- */

static void merge_each_entry(const struct merge *m)
{
	const struct vmcs *v = m->v;

	if (m->wide || !registers_stand(m->nested)) {
		merge_registers(m);
		merge_pdptes(m);
		set02_if_new(m, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, FIELD(VM_ENTRY_INTERRUPTION_INFORMATION));
		set02_if_new(m, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, FIELD(VM_ENTRY_EXCEPTION_ERROR_CODE));
		set02_if_new(m, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, FIELD(VM_ENTRY_INSTRUCTION_LENGTH));
		set02_if_new(m, VMCS_VMX_PREEMPTION_TIMER_VALUE, FIELD(VMX_PREEMPTION_TIMER_VALUE));
		take_marks(m);
	}
	if (!m->nested->config.machine.asks_for_bitmaps)
		nested_merge_bitmaps(m->nested);
	flush_shared_vpid(m);
}

/* What an entry with these controls looks at whatever is dirty (checks_*_changed, merge_each_entry) and merge_rip does
 * not: nothing. Controls stay until a field of vmcs12 is dirty, save what save_mode changes for unrestricted guests. */
static bool plain_entries(const struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const struct merge_state *state = &nested->merge;

	return transition_marked(nested) && !PROC(TPR_SHADOW) && PROC2(ENABLE_EPT) && !PROC2(UNRESTRICTED_GUEST) &&
	       ENTRY(IA32E_MODE_GUEST) && FIELD(VM_ENTRY_MSR_LOAD_COUNT) == 0 && !state->fetch_each_entry &&
	       !state->registers_each_entry;
}

bool merge_rip(struct nested *nested, uint64_t rip, bool dirty)
{
	const struct vmcs *v = &nested->checked12;
	const struct ept02 *ept02 = &nested->ept02;
	const struct merge m = {.nested = nested, .v = v, .v01 = nested->config.vmcs01};

	if (!nested->merge.plain_entries || !inputs01_stand(nested) || !registers_stand(nested))
		return false;
	/* As merge_ept_pointer: the root of the last entry is still there. */
	if (FIELD(EPT_POINTER) == 0 || FIELD(EPT_POINTER) != ept02->current_eptp12 ||
	        nested->vmcs02.field[VMCS_EPT_POINTER] != ept02->current_eptp02)
		return false;
	if (dirty)
		set02(&m, VMCS_GUEST_RIP, rip);
	if (!nested->config.machine.asks_for_bitmaps)
		nested_merge_bitmaps(nested);
	if (nested->config.ops.flush_vpid)
		flush_shared_vpid(&m);
	return true;
}

int merge_vmcs02(struct nested *nested)
{
	const bool everything = nested->merge_all || nested->config.copy_everything;
	struct merge m = {
	        .nested = nested, .v = &nested->checked12, .v01 = nested->config.vmcs01, .everything = everything};
	int error;

	m.wide = inputs01_changed(nested) || everything || vmcs_mask_meets(&nested->checked12.dirty, &wide_fields);
	if (m.wide) {
		merge_find_bitmaps(nested);
		merge_learn_registers(nested);
	}
	if (everything)
		merge_everything(&m);
	else
		merge_dirty(&m);
	if (m.wide && !everything)
		merge_wide(&m);
	merge_each_entry(&m);
	error = merge_ept_pointer(&m);
	if (error)
		return error;
	nested->checked12.dirty = (struct vmcs_mask){0};
	nested->merge_all = false;
	nested->last_vmcs12 = nested->vmcs12;
	nested->merge.plain_entries = plain_entries(nested);
	return 0;
}

void merge_update_controls(struct nested *nested)
{
	static const enum vmcs_field fields[] = {
	        VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMCS_VM_ENTRY_CONTROLS};

	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		transition_set(&nested->vmcs02, fields[i],
		        merge_functions[fields[i]](nested, &nested->checked12, nested->config.vmcs01));
	}
}
