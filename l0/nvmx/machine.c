/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/nvmx/nvmx.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/testdev.h"
#include "l0/kvm_module.h"
#include "shadowvmcs/x86.h"

/* What L0's engine may ask of vmcs01 is nothing: the kernel has its own. What stands here lets vmcs01 be made. */
static const struct machine_caps nvmx_caps = {
        .name = "nvmx",
        .honours = {[VMX_WORD_PIN] = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING),
                [VMX_WORD_PROC] = VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) |
                                  VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
                                  VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS),
                [VMX_WORD_PROC2] = VMX_BIT(PROC2_ENABLE_EPT),
                [VMX_WORD_EXIT] = VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_SAVE_IA32_EFER) |
                                  VMX_BIT(EXIT_LOAD_IA32_EFER),
                [VMX_WORD_ENTRY] = VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER)},
        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE,
        .misc = 1u << 6,
        .cr4_fixed1 = 0x7ff | CR4_VMXE | CR4_PCIDE | 1u << 16 | 1u << 18 | 1u << 20 | 1u << 21,
        .real_vmx = true,
        .marks_written = true,
        .keeps_l1_registers = true,
};

/* ---- can this host? ---- */

static bool offers_vmx(int kvm)
{
	int error;
	struct kvm_cpuid2 *cpuid = kvm_cpuid_make(kvm, true, &error);
	bool vmx = false;

	for (uint32_t i = 0; cpuid && i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1)
			vmx = cpuid->entries[i].ecx & 1u << 5;
	free(cpuid);
	return vmx;
}

static int check_nesting(int kvm, struct refusal *why)
{
	struct kvm_module module;

	kvm_module_read(&module);
	if (!module.loaded)
		return refuse(why, -EOPNOTSUPP,
		        "the kernel nests VMX with module kvm_intel only, which is not loaded here (no VT-x, or "
		        "another "
		        "KVM): use the lab (testudo lab run)");
	if (module.nested == KVM_MODULE_OFF)
		return refuse(
		        why, -EOPNOTSUPP, "kvm_intel has nested=0: modprobe -r kvm_intel; modprobe kvm_intel nested=1");
	if (!offers_vmx(kvm) || ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE) <= 0)
		return refuse(
		        why, -EOPNOTSUPP, "this KVM does not offer VMX to its guests (kvm_intel nested=1 is needed)");
	return 0;
}

static int probe(struct refusal *why)
{
	const int kvm = kvm_open(why);
	int error;

	if (kvm < 0)
		return kvm;
	error = check_nesting(kvm, why);
	close(kvm);
	return error;
}

static int create(struct machine **machine, const struct machine_config *config, struct refusal *why)
{
	const int error = probe(why);

	return error ? error : kvm_machine_create(machine, &machine_nvmx, &nvmx_caps, true, config, why);
}

/* ---- interrupts and levels ---- */

/* An edge on the 8259's line 0 (kvm/vm.c, make_controllers), whose vector this is. */
static void raise_interrupt(struct machine *machine, uint8_t vector)
{
	struct kvm_irq_level line = {.irq = vector - TESTDEV_TIMER_VECTOR, .level = 1};
	const int vm = kvm_of(machine)->vms[0]->fd;

	ioctl(vm, KVM_IRQ_LINE, &line);
	line.level = 0;
	ioctl(vm, KVM_IRQ_LINE, &line);
}

/* Asked once in the life of a guest: no need to be quick. */
static unsigned guest_level(struct machine *machine)
{
	struct kvm_machine *m = kvm_of(machine);
	const int bytes = ioctl(m->kvm, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);
	struct kvm_nested_state *state = calloc(1, (size_t)bytes);
	unsigned level = 1;

	if (!state)
		return level;
	state->size = (uint32_t)bytes;
	if (ioctl(m->vms[0]->vcpu, KVM_GET_NESTED_STATE, state) >= 0 && state->flags & KVM_STATE_NESTED_GUEST_MODE)
		level = 2;
	free(state);
	return level;
}

const struct machine_ops machine_nvmx = {
        .name = "nvmx",
        .multiplexes = true,
        .probe = probe,
        .create = create,
        .destroy = kvm_machine_destroy,
        .enter = kvm_enter,
        .fetch = kvm_fetch,
        .kick = kvm_kick,
        .map01 = kvm_map01,
        .unmap01 = kvm_unmap01,
        .emulate_mmio = kvm_emulate_mmio,
        .page_alloc = kvm_page_alloc,
        .ept02_backend = kvm_ept02_backend, /* EPT02 is the kernel's: never asked */
        .clock = kvm_clock,
        .set_deadline = kvm_set_deadline,
        .read_msr = kvm_read_msr,
        .write_msr = kvm_write_msr,
        .idle = kvm_idle,
        .raise_interrupt = raise_interrupt,
        .guest_level = guest_level,
        .count = nvmx_count,
        .set_sites = kvm_set_sites,
};
