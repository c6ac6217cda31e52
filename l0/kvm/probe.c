/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/pv_vmx.h"

#include "shadowvmcs/x86.h"

static const struct {
	int cap;
	int least; /**< smallest value KVM_CHECK_EXTENSION may give */
	const char *name;
	const char *use;
} needed[] = {
        {KVM_CAP_USER_MEMORY, 1, "KVM_CAP_USER_MEMORY", "guest memory"},
        {KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS, "KVM_CAP_SYNC_REGS", "registers without system calls"},
        {KVM_CAP_IMMEDIATE_EXIT, 1, "KVM_CAP_IMMEDIATE_EXIT", "discarding half-done instructions"},
        {KVM_CAP_READONLY_MEM, 1, "KVM_CAP_READONLY_MEM", "write protection in EPT02"},
        {KVM_CAP_X86_USER_SPACE_MSR, 1, "KVM_CAP_X86_USER_SPACE_MSR", "RDMSR and WRMSR exits"},
        {KVM_CAP_X86_MSR_FILTER, 1, "KVM_CAP_X86_MSR_FILTER", "RDMSR and WRMSR exits"},
        {KVM_CAP_VCPU_EVENTS, 1, "KVM_CAP_VCPU_EVENTS", "injecting events"},
        {KVM_CAP_EXT_CPUID, 1, "KVM_CAP_EXT_CPUID", "the guest's CPUID"},
        {KVM_CAP_SET_TSS_ADDR, 1, "KVM_CAP_SET_TSS_ADDR", "vCPUs"},
};

const char *kvm_device_path(void)
{
	const char *path = getenv("TESTUDO_KVM_DEVICE");

	return path && *path ? path : "/dev/kvm";
}

/* Debian gives the device to group kvm; elsewhere it may be root's alone. */
static int refuse_permission(int error, const char *path, struct refusal *why)
{
	struct stat device;

	if (!stat(path, &device) && (device.st_mode & 060) == 060 && device.st_gid)
		return refuse(why, -error,
		        "no permission to open %s: add yourself to its group (sudo usermod -aG $(stat -c %%G %s) "
		        "$USER) and log in again",
		        path, path);
	return refuse(why, -error,
	        "no permission to open %s: no group may use it; give it to one of yours (sudo chgrp $(id -gn) %s; sudo "
	        "chmod 660 %s)",
	        path, path, path);
}

static int refuse_device(int error, struct refusal *why)
{
	const char *path = kvm_device_path();

	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return refuse(why, -error,
		        "there is no %s: load kvm_intel, kvm_amd or kvm_pvm, or turn on virtualization in the firmware",
		        path);
	case EACCES:
	case EPERM:
		return refuse_permission(error, path, why);
	default:
		return refuse(why, -error, "%s cannot be opened: %s", path, strerror(error));
	}
}

static int check_capabilities(int kvm, struct refusal *why)
{
	const char *deny = getenv("TESTUDO_KVM_DENY");

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		const int value = ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap);
		const bool denied = deny && !strcmp(deny, needed[i].name);
		const bool mask = needed[i].cap == KVM_CAP_SYNC_REGS;
		if (!denied && value > 0 && (mask ? (value & needed[i].least) == needed[i].least : true))
			continue;
		return refuse(why, -EOPNOTSUPP, "this KVM lacks %s (%s): it needs Linux 5.10 or newer", needed[i].name,
		        needed[i].use);
	}
	return 0;
}

int kvm_open(struct refusal *why)
{
	int kvm = open(kvm_device_path(), O_RDWR | O_CLOEXEC);
	int version, error;

	if (kvm < 0)
		return refuse_device(errno, why);
	version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		error = version < 0 ? refuse(why, -ENODEV,
		                              "%s is no KVM device: load kvm_intel, kvm_amd or kvm_pvm, or unset "
		                              "TESTUDO_KVM_DEVICE",
		                              kvm_device_path())
		                    : refuse(why, -EOPNOTSUPP, "KVM API version %d: version %d is needed", version,
		                              KVM_API_VERSION);
		close(kvm);
		return error;
	}
	error = check_capabilities(kvm, why);
	if (error) {
		close(kvm);
		return error;
	}
	return kvm;
}

/* ---- RIP at a port exit ---- */

#define PROBE_TABLES 0x1000
#define PROBE_CODE 0x8000
#define PROBE_BYTES 0x9000

/* 64-bit mode over an identity map of the first 2 MiB: the mode guests run in, since KVM may treat others differently.
 */
static void probe_state(struct kvm_machine *m, struct kvm_vm *vm)
{
	struct kvm_sregs *sregs = &vm->run->s.regs.sregs;
	const struct kvm_segment code = {.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	const struct kvm_segment data = {
	        .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	uint64_t *tables = (uint64_t *)(m->base.ram + PROBE_TABLES);

	tables[0] = (PROBE_TABLES + 0x1000) | 3;
	tables[512] = (PROBE_TABLES + 0x2000) | 3;
	tables[1024] = 0x83;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = data;
	sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs->cr3 = PROBE_TABLES;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
	vm->run->s.regs.regs = (struct kvm_regs){.rip = PROBE_CODE, .rflags = RFLAGS_FIXED};
}

int kvm_probe_port_rip(struct kvm_machine *m, struct refusal *why)
{
	static const uint8_t code[] = {0xe6, SITE_PORT, 0xf4}; /* out %al, $SITE_PORT; hlt */
	struct kvm_vm *vm = m->vms[0];
	struct kvm_run *run = vm->run;
	int error = 0;

	memcpy(m->base.ram + PROBE_CODE, code, sizeof(code));
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &run->s.regs.sregs) < 0)
		return refuse(why, -errno, "KVM_GET_SREGS failed: %s", strerror(errno));
	probe_state(m, vm);
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	if (ioctl(vm->vcpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_IO || run->io.port != SITE_PORT) {
		error = refuse(why, -EOPNOTSUPP,
		        "this KVM does not run a port write in 64-bit mode (exit reason %u, %s): it cannot be used",
		        run->exit_reason, errno ? strerror(errno) : "no error");
	} else {
		m->port_rip_past = run->s.regs.regs.rip == PROBE_CODE + 2;
		vm->unfinished = KVM_UNFINISHED_OUT;
		error = kvm_flush(m, vm);
	}
	memset(m->base.ram, 0, PROBE_BYTES);
	return error;
}
