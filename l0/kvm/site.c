/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site table: L0 replaced instructions KVM keeps to itself by a port write, so the exit's RIP says which
 * instruction the image really has there, and with it the architectural exit.
 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shadowvmcs/x86.h"

/* Spreads addresses that differ in their low bits over the whole table. */
static size_t slot_of(const struct kvm_sites *sites, uint64_t address)
{
	return (size_t)(address * 0x9e3779b97f4a7c15ull >> 32) & sites->mask;
}

const struct site *kvm_site_find(const struct kvm_sites *sites, uint64_t rip)
{
	if (!sites->table)
		return NULL;
	for (size_t i = slot_of(sites, rip);; i = (i + 1) & sites->mask) {
		if (sites->table[i].kind == 0)
			return NULL;
		if (sites->table[i].address == rip)
			return &sites->table[i];
	}
}

int kvm_set_sites(struct machine *machine, unsigned level, const void *sites, size_t count)
{
	struct kvm_machine *m = kvm_of(machine);
	const struct site *site = sites;
	struct kvm_sites made = {.mask = 7};

	if (level < 1 || level >= sizeof(m->sites) / sizeof(m->sites[0]))
		return -EINVAL;
	while (made.mask < 2 * count)
		made.mask = made.mask * 2 + 1;
	made.table = calloc(made.mask + 1, sizeof(*made.table));
	if (!made.table)
		return -ENOMEM;
	for (size_t n = 0; n < count; n++) {
		size_t i = slot_of(&made, site[n].address);
		while (made.table[i].kind != 0)
			i = (i + 1) & made.mask;
		made.table[i] = site[n];
	}
	free(m->sites[level].table);
	m->sites[level] = made;
	return 0;
}

/* Register by its x86 number. */
static uint64_t register_of(const struct kvm_regs *regs, unsigned number)
{
	const uint64_t values[16] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp, regs->rsi,
	        regs->rdi, regs->r8, regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15};

	return values[number & 15];
}

/* #UD: an exit if the exception bitmap says so (SDM vol. 3, 26.2), else the guest's own exception. */
static int exit_ud(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, uint64_t rip)
{
	int error;

	if (vmcs->field[VMCS_EXCEPTION_BITMAP] >> VECTOR_UD & 1) {
		kvm_exit_set(vmcs, EXIT_REASON_EXCEPTION_OR_NMI, 0, 0);
		vmcs->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] =
		        INTR_INFO_VALID | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT | VECTOR_UD;
		return KVM_EXIT_TAKEN;
	}
	if (!m->port_rip_past) {
		error = kvm_flush(m, vm);
		if (error)
			return error;
	}
	vm->unfinished = KVM_FINISHED;
	vm->run->s.regs.regs.rip = rip;
	vm->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	error = kvm_raise(m, vm, VECTOR_UD, false, 0);
	return error ? error : KVM_RUN_AGAIN;
}

int kvm_exit_site(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, const struct site *site)
{
	const struct kvm_regs *regs = &vm->run->s.regs.regs;
	uint64_t qualification = 0;
	uint32_t reason;

	switch (site->kind) {
	case SITE_CPUID:
		reason = EXIT_REASON_CPUID;
		break;
	case SITE_VMCALL:
		reason = EXIT_REASON_VMCALL;
		break;
	case SITE_RDTSC:
		reason = EXIT_REASON_RDTSC;
		break;
	case SITE_WBINVD:
		reason = EXIT_REASON_WBINVD;
		break;
	case SITE_PAUSE:
		reason = EXIT_REASON_PAUSE;
		break;
	case SITE_MOV_TO_CR3: /* table 28-3: bits 3:0 the CR, 5:4 = 0 MOV to CR, 11:8 the register */
		reason = EXIT_REASON_CONTROL_REGISTER_ACCESS;
		qualification = 3 | (uint64_t)site->operand << 8;
		break;
	case SITE_INVLPG: /* the linear address */
		reason = EXIT_REASON_INVLPG;
		qualification = register_of(regs, site->operand);
		break;
	case SITE_UD2:
		return exit_ud(m, vm, vmcs, site->address);
	default:
		return kvm_fail(m, -EINVAL, "the site at %#llx of level %u has kind %u, which is never replaced",
		        (unsigned long long)site->address, vm->level, site->kind);
	}
	kvm_exit_set(vmcs, reason, qualification, site->length);
	return KVM_EXIT_TAKEN;
}
