/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMCS <-> vCPU. General registers, RIP, RSP and RFLAGS cross on each entry and exit through kvm_run
 * (KVM_CAP_SYNC_REGS, no system call). Segment and control registers stay in the vCPU: they are loaded when the VMCS's
 * dirty mask says that they changed, and read back when the engine asks (vmcs->stale, kvm_fetch).
 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shadowvmcs/x86.h"

/* Segment registers: VMCS fields beside the place in struct kvm_sregs. */
static const struct {
	uint16_t selector, base, limit, rights;
	uint16_t offset;
} segments[] = {
#define SEGMENT(NAME, name)                                                                                            \
	{                                                                                                              \
		VMCS_GUEST_##NAME##_SELECTOR, VMCS_GUEST_##NAME##_BASE, VMCS_GUEST_##NAME##_LIMIT,                     \
		        VMCS_GUEST_##NAME##_ACCESS_RIGHTS, offsetof(struct kvm_sregs, name)                            \
	}
        SEGMENT(ES, es), SEGMENT(CS, cs), SEGMENT(SS, ss), SEGMENT(DS, ds), SEGMENT(FS, fs), SEGMENT(GS, gs),
        SEGMENT(LDTR, ldt), SEGMENT(TR, tr)};
#define SEGMENTS (sizeof(segments) / sizeof(segments[0]))

/* 64-bit members of struct kvm_sregs and the 16-bit table limits. */
static const struct {
	uint16_t field, offset;
	bool is_limit;
} others[] = {{VMCS_GUEST_CR0, offsetof(struct kvm_sregs, cr0), false},
        {VMCS_GUEST_CR3, offsetof(struct kvm_sregs, cr3), false},
        {VMCS_GUEST_CR4, offsetof(struct kvm_sregs, cr4), false},
        {VMCS_GUEST_IA32_EFER, offsetof(struct kvm_sregs, efer), false},
        {VMCS_GUEST_GDTR_BASE, offsetof(struct kvm_sregs, gdt.base), false},
        {VMCS_GUEST_IDTR_BASE, offsetof(struct kvm_sregs, idt.base), false},
        {VMCS_GUEST_GDTR_LIMIT, offsetof(struct kvm_sregs, gdt.limit), true},
        {VMCS_GUEST_IDTR_LIMIT, offsetof(struct kvm_sregs, idt.limit), true}};
#define OTHERS (sizeof(others) / sizeof(others[0]))

struct vmcs_mask kvm_on_demand(void)
{
	struct vmcs_mask mask = {{0}};

	for (size_t i = 0; i < SEGMENTS; i++) {
		vmcs_mask_set(&mask, segments[i].selector);
		vmcs_mask_set(&mask, segments[i].base);
		vmcs_mask_set(&mask, segments[i].limit);
		vmcs_mask_set(&mask, segments[i].rights);
	}
	for (size_t i = 0; i < OTHERS; i++)
		vmcs_mask_set(&mask, others[i].field);
	return mask;
}

static bool masks_meet(const struct vmcs_mask *a, const struct vmcs_mask *b)
{
	uint64_t both = 0;

	for (unsigned i = 0; i < VMCS_MASK_WORDS; i++)
		both |= a->word[i] & b->word[i];
	return both != 0;
}

/* ---- segment and control registers ---- */

/* Access rights: VMCS format (SDM vol. 3, table 25-2) against KVM's one member per bit. */
static uint32_t rights_of(const struct kvm_segment *s)
{
	return (uint32_t)(s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 12 | s->l << 13 |
	                  s->db << 14 | s->g << 15) |
	       (s->unusable ? AR_UNUSABLE : 0);
}

/* A null selector makes a segment unusable (SDM vol. 3, 25.4.1): SS in ring 0 after a trap from ring 3. KVM-PVM leaves
 * the bit clear. CS and TR cannot be null. */
static bool is_null(const struct kvm_segment *s, unsigned selector)
{
	return selector != VMCS_GUEST_CS_SELECTOR && selector != VMCS_GUEST_TR_SELECTOR && !(s->selector & ~3);
}

static void set_rights(struct kvm_segment *s, uint32_t rights)
{
	s->type = rights & AR_TYPE_MASK;
	s->s = rights >> 4 & 1;
	s->dpl = rights >> 5 & 3;
	s->present = rights >> 7 & 1;
	s->avl = rights >> 12 & 1;
	s->l = rights >> 13 & 1;
	s->db = rights >> 14 & 1;
	s->g = rights >> 15 & 1;
	s->unusable = rights & AR_UNUSABLE ? 1 : 0;
}

/* Fields of `which` from the VMCS into sregs. */
static void sregs_from_vmcs(struct kvm_sregs *sregs, const struct vmcs *vmcs, const struct vmcs_mask *which)
{
	for (size_t i = 0; i < SEGMENTS; i++) {
		struct kvm_segment *s = (struct kvm_segment *)((char *)sregs + segments[i].offset);
		if (vmcs_mask_has(which, segments[i].selector))
			s->selector = (uint16_t)vmcs->field[segments[i].selector];
		if (vmcs_mask_has(which, segments[i].base))
			s->base = vmcs->field[segments[i].base];
		if (vmcs_mask_has(which, segments[i].limit))
			s->limit = (uint32_t)vmcs->field[segments[i].limit];
		if (vmcs_mask_has(which, segments[i].rights))
			set_rights(s, (uint32_t)vmcs->field[segments[i].rights]);
	}
	for (size_t i = 0; i < OTHERS; i++) {
		char *member = (char *)sregs + others[i].offset;
		if (!vmcs_mask_has(which, others[i].field))
			continue;
		if (others[i].is_limit)
			*(uint16_t *)member = (uint16_t)vmcs->field[others[i].field];
		else
			*(uint64_t *)member = vmcs->field[others[i].field];
	}
}

static void take(struct vmcs *vmcs, unsigned field, uint64_t value)
{
	/* A dirty field was written after the exit: the VMCS knows better. */
	if (vmcs_mask_has(&vmcs->stale, field) && !vmcs_mask_has(&vmcs->dirty, field))
		vmcs_store(vmcs, (enum vmcs_field)field, value);
}

static void vmcs_from_sregs(struct vmcs *vmcs, const struct kvm_sregs *sregs)
{
	for (size_t i = 0; i < SEGMENTS; i++) {
		const struct kvm_segment *s = (const struct kvm_segment *)((const char *)sregs + segments[i].offset);
		take(vmcs, segments[i].selector, s->selector);
		take(vmcs, segments[i].base, s->base);
		take(vmcs, segments[i].limit, s->limit);
		take(vmcs, segments[i].rights, rights_of(s) | (is_null(s, segments[i].selector) ? AR_UNUSABLE : 0));
	}
	for (size_t i = 0; i < OTHERS; i++) {
		const char *member = (const char *)sregs + others[i].offset;
		take(vmcs, others[i].field, others[i].is_limit ? *(const uint16_t *)member : *(const uint64_t *)member);
	}
	vmcs->stale = (struct vmcs_mask){{0}};
}

static int read_sregs(struct kvm_vm *vm)
{
	if (vm->sregs_valid)
		return 0;
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &vm->sregs) < 0)
		return -errno;
	vm->sregs_valid = true;
	return 0;
}

/* Remember what L1's vCPU holds, for the comparison below. */
static void note_known(struct kvm_machine *m, struct kvm_vm *vm)
{
	if (vm->level != 1)
		return;
	vm->known.stale = m->base.caps.on_demand;
	vmcs_from_sregs(&vm->known, &vm->sregs);
}

void kvm_fetch(struct machine *machine, struct vmcs *vmcs)
{
	struct kvm_machine *m = kvm_of(machine);
	struct kvm_vm *vm = kvm_vm_of(m, vmcs);

	if (vmcs == m->last_l2_vmcs && m->last_l2)
		vm = m->last_l2; /* the VMCS may name another VM already */
	if (!vm)
		return;
	if (vm->level == 1)
		vm->sregs_valid = false; /* see load_system: what we think it holds is not enough here */
	/* KVM_GET_SREGS of a vCPU of ours does not fail; if it did, the last known state is the best there is. */
	read_sregs(vm);
	vm->sregs_valid = true;
	vmcs_from_sregs(vmcs, &vm->sregs);
	note_known(m, vm);
}

/*
 * Level 1: reflection writes the whole of L1's host state into vmcs01, exit after exit the same. Loading it each time
 * would double the price of a nested exit, and reading L1's registers to compare would too; so it is compared with what
 * the vCPU was last known to hold. An L1 that changes its own CR3 or segments and relies on the next reflected exit to
 * restore them from an unchanged host-state area sees its own values instead: README.md lists this deviation.
 */
static bool is_known(const struct kvm_machine *m, const struct kvm_vm *vm, const struct vmcs *vmcs)
{
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		uint64_t bits = vmcs->dirty.word[word] & m->base.caps.on_demand.word[word];
		for (; bits; bits &= bits - 1) {
			const unsigned field = word * 64 + (unsigned)__builtin_ctzll(bits);
			if (vmcs->field[field] != vm->known.field[field])
				return false;
		}
	}
	return true;
}

/* Segment and control registers that changed. They are read first: KVM sets all of them at once. */
static int load_system(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs)
{
	struct kvm_sregs *sregs = &vm->run->s.regs.sregs;
	int error;

	if (vm->level == 1 && vm->sregs_valid && is_known(m, vm, vmcs))
		return 0;
	vm->sregs_valid = false;
	error = read_sregs(vm);
	if (error)
		return kvm_fail(m, error, "KVM_GET_SREGS failed at level %u: %s", vm->level, strerror(-error));
	sregs_from_vmcs(&vm->sregs, vmcs, &vmcs->dirty);
	memset(vm->sregs.interrupt_bitmap, 0, sizeof(vm->sregs.interrupt_bitmap));
	*sregs = vm->sregs;
	vm->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
	note_known(m, vm);
	return 0;
}

#define SELDOM(X, w) X(w, GUEST_IA32_SYSENTER_CS) | X(w, GUEST_IA32_SYSENTER_ESP) | X(w, GUEST_IA32_SYSENTER_EIP)
static const struct vmcs_mask seldom = VMCS_MASK_OF(SELDOM);

/* SYSENTER MSRs: seldom changed, each with its own call. */
static int load_rest(struct kvm_machine *m, struct kvm_vm *vm, const struct vmcs *vmcs)
{
	static const struct {
		uint16_t field;
		uint32_t msr;
	} msrs[] = {{VMCS_GUEST_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_CS},
	        {VMCS_GUEST_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_ESP},
	        {VMCS_GUEST_IA32_SYSENTER_EIP, MSR_IA32_SYSENTER_EIP}};

	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		const uint64_t value = vmcs->field[msrs[i].field];
		if (vmcs_mask_has(&vmcs->dirty, msrs[i].field) &&
		        kvm_write_msr(&m->base, vm->level, msrs[i].msr, value))
			return kvm_fail(m, -EINVAL, "KVM refuses %#llx as the value of MSR %#x at level %u",
			        (unsigned long long)value, msrs[i].msr, vm->level);
	}
	return 0;
}

/* ---- L2 from one VM to another ---- */

static const uint32_t carried_msrs[KVM_CARRIED_MSRS] = {
        0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, MSR_IA32_PAT};

void kvm_carry_out(struct kvm_machine *m)
{
	struct kvm_vm *from = m->last_l2;
	struct kvm_carried *carried = &m->carried;

	kvm_fetch(&m->base, m->last_l2_vmcs);
	carried->msrs.head.nmsrs = KVM_CARRIED_MSRS;
	for (unsigned i = 0; i < KVM_CARRIED_MSRS; i++)
		carried->msrs.entries[i].index = carried_msrs[i];
	carried->valid = ioctl(from->vcpu, KVM_GET_FPU, &carried->fpu) >= 0 &&
	                 ioctl(from->vcpu, KVM_GET_MSRS, &carried->msrs) == KVM_CARRIED_MSRS;
	m->last_l2 = NULL;
}

static int carry_in(struct kvm_machine *m, struct kvm_vm *to, struct vmcs *vmcs)
{
	if (m->last_l2)
		kvm_carry_out(m);
	if (m->carried.valid && (ioctl(to->vcpu, KVM_SET_FPU, &m->carried.fpu) < 0 ||
	                                ioctl(to->vcpu, KVM_SET_MSRS, &m->carried.msrs) != KVM_CARRIED_MSRS))
		return kvm_fail(m, -EINVAL, "KVM refuses L2's own floating-point state and MSRs in another VM");
	m->last_l2 = to;
	m->last_l2_vmcs = vmcs;
	to->sregs_valid = false;
	/* Everything the VMCS holds is new to this vCPU. */
	for (unsigned i = 0; i < VMCS_MASK_WORDS; i++)
		vmcs->dirty.word[i] |= m->base.caps.on_demand.word[i];
	vmcs_mask_set(&vmcs->dirty, VMCS_GUEST_IA32_SYSENTER_CS);
	vmcs_mask_set(&vmcs->dirty, VMCS_GUEST_IA32_SYSENTER_ESP);
	vmcs_mask_set(&vmcs->dirty, VMCS_GUEST_IA32_SYSENTER_EIP);
	return 0;
}

/* ---- events ---- */

static int read_events(struct kvm_vm *vm, struct kvm_vcpu_events *events)
{
	if (ioctl(vm->vcpu, KVM_GET_VCPU_EVENTS, events) < 0)
		return -errno;
	/* Nothing of ours stays queued between entries; what KVM queued itself for an instruction it could not run (a
	 * #UD behind KVM_EXIT_INTERNAL_ERROR) must go, or the entry ends in a triple fault. */
	events->exception.injected = 0;
	events->interrupt.injected = 0;
	events->nmi.injected = 0;
	events->nmi.pending = 0;
	events->flags &= ~(uint32_t)KVM_VCPUEVENT_VALID_PAYLOAD;
	return 0;
}

static int load_event(struct kvm_machine *m, struct kvm_vm *vm, uint32_t info, uint32_t error_code)
{
	struct kvm_vcpu_events events;
	const int error = read_events(vm, &events);

	if (error)
		return kvm_fail(m, error, "KVM_GET_VCPU_EVENTS failed: %s", strerror(-error));
	switch (info & INTR_INFO_TYPE_MASK) {
	case INTR_TYPE_EXTERNAL << INTR_INFO_TYPE_SHIFT:
		events.interrupt.injected = 1;
		events.interrupt.nr = info & INTR_INFO_VECTOR_MASK;
		events.interrupt.soft = 0;
		break;
	case INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT:
		events.exception.injected = 1;
		events.exception.nr = info & INTR_INFO_VECTOR_MASK;
		events.exception.has_error_code = info & INTR_INFO_ERROR_CODE ? 1 : 0;
		events.exception.error_code = error_code;
		break;
	case INTR_TYPE_NMI << INTR_INFO_TYPE_SHIFT:
		events.nmi.injected = 1;
		break;
	default:
		return kvm_fail(m, -EOPNOTSUPP,
		        "the kvm machine cannot inject an event of type %u (vector %u): only interrupts, NMIs and "
		        "hardware exceptions",
		        (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT, info & INTR_INFO_VECTOR_MASK);
	}
	vm->run->s.regs.events = events;
	vm->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
	return 0;
}

int kvm_raise(struct kvm_machine *m, struct kvm_vm *vm, uint8_t vector, bool has_error, uint32_t error_code)
{
	return load_event(m, vm,
	        INTR_INFO_VALID | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT |
	                (has_error ? INTR_INFO_ERROR_CODE : 0) | vector,
	        error_code);
}

/* ---- entry and exit ---- */

/* The registers to run with. `next` holds what the vCPU has, for those that are kept. */
static void registers_from(struct kvm_regs *next, const struct vmcs *vmcs, const struct guest_regs *regs)
{
	next->rsp = vmcs->field[VMCS_GUEST_RSP];
	next->rip = vmcs->field[VMCS_GUEST_RIP];
	next->rflags = vmcs->field[VMCS_GUEST_RFLAGS];
	if (regs->kept)
		return;
	next->rax = regs->gpr[GPR_RAX];
	next->rbx = regs->gpr[GPR_RBX];
	next->rcx = regs->gpr[GPR_RCX];
	next->rdx = regs->gpr[GPR_RDX];
	next->rsi = regs->gpr[GPR_RSI];
	next->rdi = regs->gpr[GPR_RDI];
	next->rbp = regs->gpr[GPR_RBP];
	memcpy(&next->r8, &regs->gpr[GPR_R8], 8 * sizeof(uint64_t));
}

/* A store that KVM completed before telling (no site named it): done now if L1 gave L2 the page and left RIP alone. */
static void do_late_store(struct kvm_machine *m, struct kvm_vm *vm, const struct vmcs *vmcs)
{
	uint64_t bytes;
	uint8_t *memory;

	vm->store.pending = false;
	if (vmcs->field[VMCS_GUEST_RIP] != vm->store.rip_after)
		return;
	memory = kvm_slots_memory(m, vm, vm->store.gpa, &bytes);
	if (memory && bytes >= vm->store.size)
		memcpy(memory, vm->store.data, vm->store.size);
}

static bool registers_same(const struct kvm_regs *now, const struct vmcs *vmcs, const struct guest_regs *regs)
{
	const uint64_t *gpr = regs->gpr;

	if (regs->kept)
		return ((now->rsp ^ vmcs->field[VMCS_GUEST_RSP]) | (now->rflags ^ vmcs->field[VMCS_GUEST_RFLAGS])) == 0;
	return ((now->rax ^ gpr[GPR_RAX]) | (now->rbx ^ gpr[GPR_RBX]) | (now->rcx ^ gpr[GPR_RCX]) |
	               (now->rdx ^ gpr[GPR_RDX]) | (now->rsi ^ gpr[GPR_RSI]) | (now->rdi ^ gpr[GPR_RDI]) |
	               (now->rbp ^ gpr[GPR_RBP]) | (now->r8 ^ gpr[GPR_R8]) | (now->r9 ^ gpr[GPR_R9]) |
	               (now->r10 ^ gpr[GPR_R10]) | (now->r11 ^ gpr[GPR_R11]) | (now->r12 ^ gpr[GPR_R12]) |
	               (now->r13 ^ gpr[GPR_R13]) | (now->r14 ^ gpr[GPR_R14]) | (now->r15 ^ gpr[GPR_R15]) |
	               (now->rsp ^ vmcs->field[VMCS_GUEST_RSP]) | (now->rflags ^ vmcs->field[VMCS_GUEST_RFLAGS])) == 0;
}

/*
 * Registers where KVM has nothing left to do, and the common end of a port write, as kvm_finish would have it but
 * without a copy of the registers: the guest arrives behind the OUT, where KVM stands or gets by itself, or it goes on
 * elsewhere (L1 after an exit of L2) and KVM leaves RIP alone. Not where KVM stands at the OUT and the guest is to
 * execute it again, nor with an event: it is to be delivered behind the OUT.
 */
static bool load_directly(const struct kvm_machine *m, struct kvm_vm *vm, const struct vmcs *vmcs,
        const struct guest_regs *regs, bool event)
{
	struct kvm_regs *loaded = &vm->run->s.regs.regs;
	const uint64_t rip = vmcs->field[VMCS_GUEST_RIP];
	uint64_t arrives_at = loaded->rip;

	if (vm->unfinished == KVM_UNFINISHED_OUT) {
		if (event || (!m->port_rip_past && rip == loaded->rip))
			return false;
		if (!m->port_rip_past)
			arrives_at += vm->unfinished_length;
		vm->unfinished = KVM_FINISHED;
	} else if (vm->unfinished != KVM_FINISHED) {
		return false;
	}
	if (rip == arrives_at && registers_same(loaded, vmcs, regs))
		return true;
	registers_from(loaded, vmcs, regs);
	vm->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	return true;
}

/* Registers where KVM left an instruction half done. */
static int load_registers(struct kvm_machine *m, struct kvm_vm *vm, const struct vmcs *vmcs,
        const struct guest_regs *regs, bool may_arrive)
{
	struct kvm_regs *loaded = &vm->run->s.regs.regs;
	struct kvm_regs next = *loaded;
	bool arrives = may_arrive;
	int error;

	registers_from(&next, vmcs, regs);
	error = kvm_finish(m, vm, &next, &arrives);
	if (!error && !arrives && (next.rip != loaded->rip || memcmp(&next, loaded, sizeof(next)))) {
		*loaded = next;
		vm->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	}
	return error;
}

int kvm_load(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, const struct guest_regs *regs)
{
	const bool event = vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & INTR_INFO_VALID;
	int error = 0;

	if (vm->level == 2 && vm != m->last_l2)
		error = carry_in(m, vm, vmcs);
	if (vm->store.pending)
		do_late_store(m, vm, vmcs);
	if (error)
		return error;
	if (!load_directly(m, vm, vmcs, regs, event))
		error = load_registers(m, vm, vmcs, regs, !event);
	if (error)
		return error;
	if (masks_meet(&vmcs->dirty, &m->base.caps.on_demand))
		error = load_system(m, vm, vmcs);
	if (!error && masks_meet(&vmcs->dirty, &seldom))
		error = load_rest(m, vm, vmcs);
	vmcs->dirty = (struct vmcs_mask){{0}};
	if (!error && event) {
		error = load_event(m, vm, (uint32_t)vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION],
		        (uint32_t)vmcs->field[VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE]);
		/* SDM vol. 3, 28.2: the valid bit is cleared on every exit. */
		vmcs_store(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
		        vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & ~(uint64_t)INTR_INFO_VALID);
	}
	vm->run->request_interrupt_window =
	        vmcs->field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] >> PROC_INTERRUPT_WINDOW_EXITING_BIT &
	        1;
	return error;
}

static inline void store_general(struct guest_regs *regs, const struct kvm_regs *now)
{
	regs->gpr[GPR_RAX] = now->rax;
	regs->gpr[GPR_RBX] = now->rbx;
	regs->gpr[GPR_RCX] = now->rcx;
	regs->gpr[GPR_RDX] = now->rdx;
	regs->gpr[GPR_RSI] = now->rsi;
	regs->gpr[GPR_RDI] = now->rdi;
	regs->gpr[GPR_RBP] = now->rbp;
	memcpy(&regs->gpr[GPR_R8], &now->r8, 8 * sizeof(uint64_t));
}

int kvm_fetch_registers(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs)
{
	struct kvm_machine *m = kvm_of(machine);
	struct kvm_vm *vm = kvm_vm_of(m, vmcs);

	if (ioctl(vm->vcpu, KVM_GET_REGS, &vm->run->s.regs.regs) < 0)
		return kvm_fail(m, -errno, "KVM_GET_REGS failed at level %u: %s", vm->level, strerror(errno));
	regs->kept = false;
	store_general(regs, &vm->run->s.regs.regs);
	return 0;
}

void kvm_store_registers(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, struct guest_regs *regs)
{
	const struct kvm_regs *now = &vm->run->s.regs.regs;

	if (!regs->kept)
		store_general(regs, now);
	vmcs_store(vmcs, VMCS_GUEST_RSP, now->rsp);
	vmcs->field[VMCS_GUEST_RIP] = now->rip;
	vmcs_mask_set(&vmcs->written, VMCS_GUEST_RIP); /* exit.c may have written it before */
	vmcs_store(vmcs, VMCS_GUEST_RFLAGS, now->rflags);
	/* KVM says only whether an interrupt could be delivered: with IF set it could not just behind STI or MOV SS. */
	vmcs_store(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE,
	        vm->run->if_flag && !vm->run->ready_for_interrupt_injection ? INTERRUPTIBILITY_STI : 0);
	vmcs_store(vmcs, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE); /* it ran; L0 does the halting */
	vmcs->stale = m->base.caps.on_demand;
	if (vm->level == 2)
		vm->sregs_valid = false;
}

/* ---- reading guest memory by linear address ---- */

static bool table_entry(struct kvm_machine *m, struct kvm_vm *vm, uint64_t gpa, uint64_t *entry)
{
	uint64_t bytes;
	const uint8_t *memory = kvm_slots_memory(m, vm, gpa, &bytes);

	if (!memory || bytes < sizeof(*entry))
		return false;
	memcpy(entry, memory, sizeof(*entry));
	return *entry & 1;
}

bool kvm_guest_walk(struct kvm_machine *m, struct kvm_vm *vm, uint64_t linear, uint64_t *gpa)
{
	const uint64_t address_mask = 0x000ffffffffff000ull;
	uint64_t entry = vm->sregs.cr3;

	if (!(vm->sregs.cr0 & CR0_PG)) {
		*gpa = linear;
		return true;
	}
	if (!(vm->sregs.efer & EFER_LMA))
		return false;
	for (unsigned shift = 39; shift >= 12; shift -= 9) {
		if (!table_entry(m, vm, (entry & address_mask) + (linear >> shift & 511) * 8, &entry))
			return false;
		if (shift == 12 || (shift <= 30 && (entry & 1u << 7))) {
			const uint64_t offset_mask = (1ull << shift) - 1;
			*gpa = (entry & address_mask & ~offset_mask) | (linear & offset_mask);
			return true;
		}
	}
	return false;
}

size_t kvm_guest_bytes(struct kvm_machine *m, struct kvm_vm *vm, uint64_t linear, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t gpa, left;
		const uint8_t *memory = NULL;
		if (kvm_guest_walk(m, vm, linear + i, &gpa))
			memory = kvm_slots_memory(m, vm, gpa, &left);
		if (!memory)
			return i;
		bytes[i] = *memory;
	}
	return size;
}
