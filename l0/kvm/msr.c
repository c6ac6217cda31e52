/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM hands over every RDMSR and WRMSR (vm.c, filter_msrs). Whether it is a VM exit is decided here, by the controls
 * and the MSR bitmap of the VMCS that runs (SDM vol. 3, 26.1.3); the others are done with KVM's own copy of the MSR.
 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "shadowvmcs/x86.h"

#define MSR_LENGTH 2 /* 0F 32, 0F 30 */

static bool bitmap_wants(struct kvm_machine *m, const struct vmcs *vmcs, uint32_t msr, bool write)
{
	const uint64_t controls = vmcs->field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS];
	const uint64_t page = vmcs->field[VMCS_MSR_BITMAP] - KVM_POOL_BASE;
	uint32_t bit = msr;

	if (!(controls >> PROC_USE_MSR_BITMAPS_BIT & 1) || page >= KVM_POOL_PAGES * 4096ull || page % 4096)
		return true;
	/* Four KiB: reads of 0..1FFF, of C0000000..C0001FFF, writes of the same. SDM vol. 3, 25.6.9. */
	if (msr >= 0xc0000000 && msr <= 0xc0001fff)
		bit = msr - 0xc0000000 + 1024 * 8;
	else if (msr > 0x1fff)
		return true;
	if (write)
		bit += 2048 * 8;
	return m->pool[page + bit / 8] >> (bit % 8) & 1;
}

static int one_msr(const struct kvm_vm *vm, unsigned long request, uint32_t msr, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} list = {.head.nmsrs = 1, .entry = {.index = msr, .data = *value}};

	if (ioctl(vm->vcpu, request, &list) != 1)
		return -EINVAL;
	*value = list.entry.data;
	return 0;
}

static struct kvm_vm *vm_of_level(struct kvm_machine *m, unsigned level)
{
	return level == 1 ? m->vms[0] : m->last_l2;
}

int kvm_read_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t *value)
{
	const struct kvm_vm *vm = vm_of_level(kvm_of(machine), level);

	*value = 0;
	return vm ? one_msr(vm, KVM_GET_MSRS, msr, value) : -EINVAL;
}

int kvm_write_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t value)
{
	const struct kvm_vm *vm = vm_of_level(kvm_of(machine), level);

	return vm ? one_msr(vm, KVM_SET_MSRS, msr, &value) : -EINVAL;
}

/* MSRs whose VMCS field is not fetched on demand must not drift apart from it. */
static void note_in_vmcs(struct vmcs *vmcs, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_CS, value);
		break;
	case MSR_IA32_SYSENTER_ESP:
		vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_ESP, value);
		break;
	case MSR_IA32_SYSENTER_EIP:
		vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_EIP, value);
		break;
	case MSR_IA32_PAT:
		vmcs_store(vmcs, VMCS_GUEST_IA32_PAT, value);
		break;
	}
}

int kvm_exit_msr(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, bool write)
{
	struct kvm_run *run = vm->run;
	const uint32_t msr = run->msr.index;
	uint64_t value = run->msr.data;

	if (vm->level == 2 && m->base.merge_bitmaps)
		m->base.merge_bitmaps(m->base.merge_bitmaps_ctx);
	if (bitmap_wants(m, vmcs, msr, write)) {
		vmcs->field[VMCS_GUEST_RIP] = run->s.regs.regs.rip;
		vm->unfinished = write ? KVM_UNFINISHED_WRMSR : KVM_UNFINISHED_RDMSR;
		vm->unfinished_length = MSR_LENGTH;
		kvm_exit_set(vmcs, write ? EXIT_REASON_WRMSR : EXIT_REASON_RDMSR, 0, MSR_LENGTH);
		return KVM_EXIT_TAKEN;
	}
	/* error makes KVM raise #GP(0) in the guest. */
	run->msr.error = one_msr(vm, write ? KVM_SET_MSRS : KVM_GET_MSRS, msr, &value) ? 1 : 0;
	if (write && !run->msr.error)
		note_in_vmcs(vmcs, msr, value);
	run->msr.data = value;
	return KVM_RUN_AGAIN;
}
