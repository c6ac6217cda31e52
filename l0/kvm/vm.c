/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/testdev.h"

/* kvm_intel wants three pages for a TSS and one for an identity map below 4 GiB that no guest memory covers. */
#define IDENTITY_MAP_GPA 0xfeffc000ull
#define TSS_GPA 0xfeffd000ull

#define CPUID_ENTRIES 256

/*
 * Instructions that VMX can intercept and KVM runs by itself must not exist for the guest, or a control L1 leaves at 0
 * ("enable RDTSCP", "enable INVPCID") would not be obeyed. VMX itself is reached through abi/pv_vmx.h.
 */
static void cpuid_restrict(struct kvm_cpuid_entry2 *entry, bool nests)
{
	if (nests && entry->function != TESTDEV_CPUID_LEAF)
		return;
	switch (entry->function) {
	case 1:
		entry->ecx &= ~(1u << 5 | 1u << 3 | 1u << 24); /* VMX, MONITOR, TSC deadline */
		break;
	case 7:
		if (entry->index == 0)
			entry->ebx &= ~(1u << 10); /* INVPCID */
		break;
	case 0x80000001:
		entry->ecx &= ~(1u << 2);  /* SVM */
		entry->edx &= ~(1u << 27); /* RDTSCP */
		break;
	case TESTDEV_CPUID_LEAF: /* else KVM's signature */
		entry->eax = TESTDEV_CPUID_MAGIC;
		entry->ebx = entry->ecx = entry->edx = 0;
		break;
	}
}

struct kvm_cpuid2 *kvm_cpuid_make(int kvm, bool nests, int *error)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	uint32_t kept = 0;

	if (!cpuid) {
		*error = -ENOMEM;
		return NULL;
	}
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		*error = -errno;
		free(cpuid);
		return NULL;
	}
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		/* KVM's own paravirtual features: this hypervisor is not KVM. */
		if (entry->function > TESTDEV_CPUID_LEAF && entry->function < 0x50000000)
			continue;
		cpuid_restrict(entry, nests);
		cpuid->entries[kept++] = *entry;
	}
	cpuid->nent = kept;
	return cpuid;
}

/* Every guest RDMSR and WRMSR comes out: msr.c obeys the MSR bitmap of the VMCS, which KVM knows nothing of. */
static int filter_msrs(int vm_fd)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
	        .args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER}};
	/* KVM takes a filter that denies by default only with at least one range. */
	uint8_t none[8] = {0};
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY,
	        .ranges[0] = {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .nmsrs = 1, .bitmap = none}};

	if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0 || ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return -errno;
	return 0;
}

/* nvmx: the kernel does every MSR it knows; only what it does not know comes out, the test device's. */
static int hand_over_unknown_msrs(int vm_fd)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};

	return ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/*
 * nvmx: nested VMX wants interrupts from controllers in the kernel (an injected one would go to L2 past L1's "external-
 * interrupt exiting"). One line of the 8259 in automatic-EOI mode is the test device's timer; the local APIC's LINT0
 * passes the 8259's interrupts on, as after reset.
 */
static int make_controllers(int vm_fd)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};

	if (ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
		return -errno;
	chip.chip.pic.irq_base = TESTDEV_TIMER_VECTOR;
	chip.chip.pic.imr = 0xfe;
	chip.chip.pic.auto_eoi = 1;
	return ioctl(vm_fd, KVM_SET_IRQCHIP, &chip) < 0 ? -errno : 0;
}

/* Guest TSC = host TSC where KVM lets us say so; base.tsc_is_clock stays true only then. */
static void zero_tsc_offset(struct kvm_machine *m, const struct kvm_vm *vm)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
	        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)(uintptr_t)&offset};

	if (ioctl(vm->vcpu, KVM_SET_DEVICE_ATTR, &attr) < 0) {
		m->base.tsc_is_clock = false;
		return;
	}
	offset = 1;
	if (ioctl(vm->vcpu, KVM_GET_DEVICE_ATTR, &attr) < 0 || offset != 0)
		m->base.tsc_is_clock = false;
}

static int set_up_vm(struct kvm_machine *m, struct kvm_vm *vm)
{
	uint64_t identity = IDENTITY_MAP_GPA;

	vm->fd = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return -errno;
	/* KVM_SET_IDENTITY_MAP_ADDR must precede the first vCPU. */
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA) < 0)
		return -errno;
	if (!m->nests)
		return filter_msrs(vm->fd);
	const int error = make_controllers(vm->fd);
	return error ? error : hand_over_unknown_msrs(vm->fd);
}

static int set_up_vcpu(struct kvm_machine *m, struct kvm_vm *vm)
{
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		return -errno;
	vm->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED) {
		vm->run = NULL;
		return -errno;
	}
	if (ioctl(vm->vcpu, KVM_SET_CPUID2, m->cpuid) < 0)
		return -errno;
	zero_tsc_offset(m, vm);
	return 0;
}

int kvm_vm_create(struct kvm_machine *m, unsigned level, struct kvm_vm **created, struct refusal *why)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int error, limit;

	if (!vm)
		return refuse(why, -ENOMEM, "out of memory for a VM");
	vm->fd = vm->vcpu = -1;
	vm->level = level;
	vm->run_bytes = m->run_bytes;
	error = set_up_vm(m, vm);
	if (error) {
		refuse(why, error, "KVM cannot make a VM for level %u: %s", level, strerror(-error));
		goto fail;
	}
	error = set_up_vcpu(m, vm);
	if (error) {
		refuse(why, error, "KVM cannot make a vCPU for level %u: %s", level, strerror(-error));
		goto fail;
	}
	limit = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	vm->slots.limit = limit > 0 ? (uint32_t)limit : 32;
	*created = vm;
	return 0;
fail:
	kvm_vm_destroy(vm);
	return error;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (!vm)
		return;
	if (vm->run)
		munmap(vm->run, vm->run_bytes);
	if (vm->vcpu >= 0)
		close(vm->vcpu);
	if (vm->fd >= 0)
		close(vm->fd);
	kvm_slots_free(&vm->slots);
	free(vm);
}
