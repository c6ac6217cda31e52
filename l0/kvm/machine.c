/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shadowvmcs/x86.h"

#define HUGE_PAGE (2ull << 20)
/* Linux 5.14; where it is not known, pages come when they are touched. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int kvm_fail(struct kvm_machine *m, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(m->base.error, sizeof(m->base.error), format, args);
	va_end(args);
	return error;
}

/*
 * What KVM lets user space intercept, and the instructions the site table adds (INVLPG, RDTSC, MOV to CR3, PAUSE,
 * WBINVD). Nothing else is offered to L1: README.md says why for each.
 */
static const struct machine_caps kvm_caps = {
        .name = "kvm",
        .honours = {[VMX_WORD_PIN] = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING),
                [VMX_WORD_PROC] = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING) | VMX_BIT(PROC_HLT_EXITING) |
                                  VMX_BIT(PROC_INVLPG_EXITING) | VMX_BIT(PROC_RDTSC_EXITING) |
                                  VMX_BIT(PROC_CR3_LOAD_EXITING) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) |
                                  VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
                                  VMX_BIT(PROC_PAUSE_EXITING) | VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS),
                [VMX_WORD_PROC2] =
                        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID) | VMX_BIT(PROC2_WBINVD_EXITING),
                [VMX_WORD_EXIT] = VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) |
                                  VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_LOAD_IA32_EFER),
                [VMX_WORD_ENTRY] = VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER)},
        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE |
                    EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID | EPT_CAP_INVVPID_ADDRESS | EPT_CAP_INVVPID_SINGLE |
                    EPT_CAP_INVVPID_ALL | EPT_CAP_INVVPID_SINGLE_KEEP_GLOBALS,
        .misc = 1u << 6, /* activity state HLT; 0 CR3 targets */
        .cr4_fixed1 = 0x7ff | CR4_VMXE | CR4_PCIDE | 1u << 16 | 1u << 18 | 1u << 20 | 1u << 21,
        .patches_sites = true,
        .marks_written = true,
        .keeps_l1_registers = true, /* see load_system in state.c */
        .asks_for_bitmaps = true,
};

static int probe(struct refusal *why)
{
	const int kvm = kvm_open(why);

	if (kvm < 0)
		return kvm;
	close(kvm);
	return 0;
}

/* Aligned to 2 MiB and on huge pages where the host has them, as EPT01 of a real machine would be. */
static int make_memory(struct kvm_machine *m, uint64_t bytes)
{
	uint8_t *area = mmap(
	        NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t skip;

	if (area == MAP_FAILED)
		return -errno;
	skip = -(uintptr_t)area & (HUGE_PAGE - 1);
	if (skip)
		munmap(area, skip);
	if (skip < HUGE_PAGE)
		munmap(area + skip + bytes, HUGE_PAGE - skip);
	m->base.ram = area + skip;
	m->base.ram_bytes = bytes;
	madvise(m->base.ram, bytes, MADV_HUGEPAGE);
	/* The host's own first touch (zeroing a page) must not be measured as the guest's. */
	madvise(m->base.ram, bytes, MADV_POPULATE_WRITE);
	m->pool = mmap(NULL, KVM_POOL_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->pool == MAP_FAILED) {
		m->pool = NULL;
		return -errno;
	}
	return 0;
}

static int map_l1_memory(struct kvm_machine *m, const struct machine_config *config)
{
	const uint64_t hole_end = config->unmapped_gpa + config->unmapped_bytes;
	int error = 0;

	if (!config->unmapped_bytes)
		return kvm_map01(&m->base, 0, config->ram_bytes);
	if (config->unmapped_gpa)
		error = kvm_map01(&m->base, 0, config->unmapped_gpa);
	if (!error && hole_end < config->ram_bytes)
		error = kvm_map01(&m->base, hole_end, config->ram_bytes - hole_end);
	return error;
}

static int set_up(struct kvm_machine *m, const struct machine_config *config, struct refusal *why)
{
	int error = make_memory(m, config->ram_bytes);

	if (error)
		return refuse(why, error, "no memory for a guest of %llu MiB: %s",
		        (unsigned long long)(config->ram_bytes >> 20), strerror(-error));
	m->run_bytes = (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->cpuid = kvm_cpuid_make(m->kvm, m->nests, &error);
	if (!m->cpuid)
		return refuse(why, error, "KVM_GET_SUPPORTED_CPUID failed: %s", strerror(-error));
	error = kvm_vm_create(m, 1, &m->vms[0], why);
	if (error)
		return error;
	m->vms[0]->token = m->base.eptp01 = KVM_TOKEN(0);
	error = map_l1_memory(m, config);
	if (error)
		return refuse(why, error, "KVM refuses a memory slot of %llu MiB: %s",
		        (unsigned long long)(config->ram_bytes >> 20), strerror(-error));
	const int khz = ioctl(m->vms[0]->vcpu, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return refuse(why, -EOPNOTSUPP, "KVM does not know the frequency of the TSC");
	m->base.tsc_khz = (uint64_t)khz;
	error = kvm_timer_init(m, why);
	return error ? error : kvm_probe_port_rip(m, why);
}

void kvm_machine_destroy(struct machine *machine)
{
	struct kvm_machine *m = kvm_of(machine);

	if (!machine)
		return;
	kvm_timer_fini(m);
	for (unsigned i = 0; i < KVM_VMS; i++)
		kvm_vm_destroy(m->vms[i]);
	for (unsigned level = 0; level < sizeof(m->sites) / sizeof(m->sites[0]); level++)
		free(m->sites[level].table);
	if (m->base.ram)
		munmap(m->base.ram, m->base.ram_bytes);
	if (m->pool)
		munmap(m->pool, KVM_POOL_PAGES * 4096);
	free(m->cpuid);
	if (m->stats.opened)
		close(m->stats.fd);
	if (m->kvm >= 0)
		close(m->kvm);
	free(m);
}

int kvm_machine_create(struct machine **machine, const struct machine_ops *ops, const struct machine_caps *caps,
        bool nests, const struct machine_config *config, struct refusal *why)
{
	struct kvm_machine *m;
	int error;

	if (config->foreign)
		return refuse(why, -EOPNOTSUPP, "the %s machine runs own images only: use --machine soft", ops->name);
	m = calloc(1, sizeof(*m));
	if (!m)
		return refuse(why, -ENOMEM, "out of memory");
	m->base.ops = ops;
	m->base.caps = *caps;
	m->base.caps.on_demand = kvm_on_demand();
	m->nests = nests;
	m->base.tsc_is_clock = true; /* until vm.c finds otherwise */
	m->kvm = kvm_open(why);
	error = m->kvm < 0 ? m->kvm : set_up(m, config, why);
	if (error) {
		kvm_machine_destroy(&m->base);
		return error;
	}
	*machine = &m->base;
	return 0;
}

static int create(struct machine **machine, const struct machine_config *config, struct refusal *why)
{
	return kvm_machine_create(machine, &machine_kvm, &kvm_caps, false, config, why);
}

struct nested_page kvm_page_alloc(struct machine *machine)
{
	struct kvm_machine *m = kvm_of(machine);
	struct nested_page page = {0};

	if (m->pool_used < KVM_POOL_PAGES) {
		page.hva = m->pool + m->pool_used * 4096;
		page.hpa = KVM_POOL_BASE + m->pool_used * 4096;
		m->pool_used++;
	}
	return page;
}

const struct machine_ops machine_kvm = {
        .name = "kvm",
        .probe = probe,
        .create = create,
        .destroy = kvm_machine_destroy,
        .enter = kvm_enter,
        .fetch = kvm_fetch,
        .fetch_registers = kvm_fetch_registers,
        .kick = kvm_kick,
        .map01 = kvm_map01,
        .unmap01 = kvm_unmap01,
        .emulate_mmio = kvm_emulate_mmio,
        .page_alloc = kvm_page_alloc,
        .ept02_backend = kvm_ept02_backend,
        .clock = kvm_clock,
        .set_deadline = kvm_set_deadline,
        .read_msr = kvm_read_msr,
        .write_msr = kvm_write_msr,
        .idle = kvm_idle,
        .set_sites = kvm_set_sites,
};
