/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <x86intrin.h>

/* ioctl(vcpu, KVM_RUN, 0) without what the C library does around it: 0, or -errno. */
static inline int run_ioctl(int vcpu)
{
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "0"(SYS_ioctl), "D"((long)vcpu), "S"(KVM_RUN), "d"(0L)
	                 : "rcx", "r11", "memory");
	return (int)result;
}

/*
 * L1 was entered with registers that nobody needs. At its VMRESUME they are not needed either, RIP, RSP and RFLAGS are
 * what they were at the one before, and regs->kept stays; at any other exit they are, and are read now where KVM was
 * not asked to leave them in kvm_run.
 */
static int settle_registers(struct kvm_vm *vm, struct guest_regs *regs, bool left, int result)
{
	const struct kvm_run *run = vm->run;
	/* abi/pv_vmx.h, PV_FRAME. One by the port is told by its registers: KVM may stand at the OUT or behind it. */
	const bool resume = result >= 0 && run->exit_reason == KVM_EXIT_HLT && !run->if_flag;

	vm->expects_resume = resume;
	if (left && resume)
		return 0;
	regs->kept = false;
	return left ? ioctl(vm->vcpu, KVM_GET_REGS, &vm->run->s.regs.regs) : 0;
}

/* KVM_RUN until it ends for a reason: 0, -EINTR when kicked, or -errno. */
static int run_vcpu(struct kvm_machine *m, struct kvm_vm *vm, struct guest_regs *regs)
{
	const bool leaves = regs->kept && vm->expects_resume;
	struct kvm_run *run = vm->run;
	int result, error;

	run->kvm_valid_regs = leaves ? 0 : KVM_SYNC_X86_REGS;
	m->running = vm;
	/* kvm_kick sets `kicked` and then immediate_exit of the VM it finds in `running`: whichever order the two
	 * threads or the signal run in, one of the two is seen here or by KVM_RUN. */
	if (m->kicked)
		run->immediate_exit = 1;
	if (m->run_log_left)
		*m->run_log++ = __rdtsc();
	result = run_ioctl(vm->vcpu);
	error = -result;
	if (m->run_log_left) {
		*m->run_log++ = __rdtsc();
		m->run_log_left--;
	}
	m->running = NULL;
	run->immediate_exit = 0;
	if (regs->kept && settle_registers(vm, regs, leaves, result))
		return kvm_fail(m, -errno, "KVM_GET_REGS failed at level %u: %s", vm->level, strerror(errno));
	if (result >= 0)
		return 0;
	run->kvm_dirty_regs = 0;
	if (error == EINTR || error == EAGAIN) {
		m->kicked = 0;
		return -EINTR;
	}
	return kvm_fail(m, -error, "KVM_RUN failed at level %u, RIP %#llx: %s", vm->level,
	        (unsigned long long)run->s.regs.regs.rip, strerror(error));
}

int kvm_enter(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs)
{
	struct kvm_machine *m = kvm_of(machine);
	struct kvm_vm *vm = kvm_vm_of(m, vmcs);
	int outcome;

	if (!vm)
		return kvm_fail(m, -EINVAL, "the VMCS's EPT pointer %#llx names no VM of the kvm machine",
		        (unsigned long long)vmcs_get(vmcs, VMCS_EPT_POINTER));
	outcome = kvm_load(m, vm, vmcs, regs);
	if (outcome)
		return outcome;
	if (m->deadline != m->armed)
		kvm_arm(m);
	do {
		outcome = run_vcpu(m, vm, regs);
		if (outcome == 0)
			outcome = kvm_exit_take(m, vm, vmcs);
	} while (outcome == KVM_RUN_AGAIN);
	if (outcome == KVM_EXIT_TAKEN || outcome == -EINTR) {
		const uint64_t rip = vmcs->field[VMCS_GUEST_RIP];
		kvm_store_registers(m, vm, vmcs, regs);
		/* exit.c put the architectural RIP there, which KVM's may be behind. */
		if (outcome == KVM_EXIT_TAKEN)
			vmcs->field[VMCS_GUEST_RIP] = rip;
	}
	return outcome;
}
