/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that KVM left half done. After a port read, an MSR access or an MMIO access KVM keeps a completion for
 * the next KVM_RUN: it writes the result to its destination and advances RIP, on top of whatever registers were loaded.
 *
 *   what L0 or L1 made of the exit            what is done
 *   exactly what the completion would do      the data goes into kvm_run, nothing is loaded: no extra system call
 *   anything else (reflected, faulted, ...)   KVM_RUN with immediate_exit completes it at once; the registers that
 *                                             are wanted are loaded over the result
 *
 * A port write needs this only where KVM shows RIP at the OUT and the guest is to go on at that OUT again.
 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

/* Pieces of one MMIO access come out one by one; 16-byte stores over a page boundary make three. */
#define FLUSH_PIECES 8

int kvm_flush(struct kvm_machine *m, struct kvm_vm *vm)
{
	struct kvm_run *run = vm->run;
	int result, error;

	for (unsigned i = 0; i < FLUSH_PIECES; i++) {
		run->immediate_exit = 1;
		result = ioctl(vm->vcpu, KVM_RUN, 0);
		error = errno;
		run->immediate_exit = 0;
		if (result < 0) {
			vm->unfinished = KVM_FINISHED;
			return error == EINTR ? 0 : kvm_fail(m, -error, "KVM_RUN failed: %s", strerror(error));
		}
		if (run->exit_reason != KVM_EXIT_MMIO)
			break;
	}
	return kvm_fail(m, -EIO, "KVM does not complete an instruction (exit reason %u, RIP %#llx)", run->exit_reason,
	        (unsigned long long)run->s.regs.regs.rip);
}

/* Does `next` differ from what stood at the exit by nothing but RIP and, in `mask`, RAX and RDX? */
static bool only_result(const struct kvm_vm *vm, const struct kvm_regs *next, bool rdx)
{
	struct kvm_regs expected = vm->run->s.regs.regs;

	expected.rip += vm->unfinished_length;
	expected.rax = next->rax;
	if (rdx)
		expected.rdx = next->rdx;
	return !memcmp(&expected, next, sizeof(expected));
}

static bool finish_in(struct kvm_vm *vm, const struct kvm_regs *next)
{
	struct kvm_run *run = vm->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	/* SDM vol. 1, 3.4.1.1: a 32-bit result clears the upper half, smaller ones leave the rest alone. */
	const uint64_t kept = run->io.size == 4 ? 0 : ~0ull << (8 * run->io.size);

	if (!only_result(vm, next, false) || (next->rax & ~0xffffffffull && run->io.size == 4) ||
	        ((next->rax ^ run->s.regs.regs.rax) & kept))
		return false;
	memcpy(data, &next->rax, run->io.size);
	return true;
}

static bool finish_rdmsr(struct kvm_vm *vm, const struct kvm_regs *next)
{
	if (!only_result(vm, next, true) || next->rax >> 32 || next->rdx >> 32)
		return false;
	vm->run->msr.data = next->rdx << 32 | next->rax;
	vm->run->msr.error = 0;
	return true;
}

static bool only_advanced(const struct kvm_vm *vm, const struct kvm_regs *next)
{
	const struct kvm_regs *now = &vm->run->s.regs.regs;

	/* RIP first: it tells L1's next entry after VMRESUME from this without looking further. */
	return next->rip == now->rip + vm->unfinished_length && next->rflags == now->rflags &&
	       !memcmp(next, now, offsetof(struct kvm_regs, rip));
}

static bool finish_wrmsr(struct kvm_vm *vm, const struct kvm_regs *next)
{
	vm->run->msr.error = 0;
	return only_advanced(vm, next);
}

/* RIP behind the OUT already: nothing is left. Else KVM advances it, unless it is loaded with another address. */
static int finish_out(struct kvm_machine *m, struct kvm_vm *vm, const struct kvm_regs *next, bool *arrives)
{
	if (!m->port_rip_past) {
		if (next->rip == vm->run->s.regs.regs.rip) {
			*arrives = false;
			return kvm_flush(m, vm);
		}
		*arrives = *arrives && only_advanced(vm, next);
	} else {
		*arrives = false;
	}
	vm->unfinished = KVM_FINISHED;
	return 0;
}

int kvm_finish(struct kvm_machine *m, struct kvm_vm *vm, const struct kvm_regs *next, bool *arrives)
{
	const bool may_arrive = *arrives;
	bool done = false;

	if (vm->unfinished == KVM_UNFINISHED_OUT)
		return finish_out(m, vm, next, arrives);
	*arrives = false;
	switch (vm->unfinished) {
	case KVM_UNFINISHED_IN:
		done = may_arrive && finish_in(vm, next);
		break;
	case KVM_UNFINISHED_RDMSR:
		done = may_arrive && finish_rdmsr(vm, next);
		break;
	case KVM_UNFINISHED_WRMSR:
		done = may_arrive && finish_wrmsr(vm, next);
		break;
	case KVM_UNFINISHED_MMIO:
	case KVM_UNFINISHED_OUT:
	case KVM_FINISHED:
		break;
	}
	if (!done)
		return kvm_flush(m, vm);
	vm->unfinished = KVM_FINISHED;
	*arrives = true;
	return 0;
}
