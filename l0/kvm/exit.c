/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's exits as VM exits: reason, qualification, length and the architectural RIP (SDM vol. 3, 28.2). */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/pv_vmx.h"
#include "shadowvmcs/ept12.h"

/* linux/kvm.h of Debian 12 does not know it yet. */
#define EXIT_MEMORY_FAULT 39

/* ---- port I/O ---- */

/* Exit qualification for I/O instructions, SDM vol. 3, table 28-5. */
#define IO_QUALIFICATION_IN (1u << 3)
#define IO_QUALIFICATION_IMMEDIATE (1u << 6)
#define IO_QUALIFICATION_PORT_SHIFT 16

_Static_assert(PV_VMX_PORT > SITE_PORT && PV_VMLAUNCH_PORT > SITE_PORT && PV_VMRESUME_PORT == SITE_PORT + 3,
        "L0's own ports are in a row");

/* IN and OUT: E4-E7 with the port in the instruction, EC-EF with the port in DX; 66 before 16-bit ones. */
static unsigned io_length(struct kvm_machine *m, struct kvm_vm *vm, bool rip_past, bool *immediate)
{
	const struct kvm_run *run = vm->run;
	const unsigned prefix = run->io.size == 2 ? 1 : 0;
	uint8_t bytes[2];

	*immediate = false;
	if (run->io.port > 0xff)
		return 1 + prefix;
	*immediate = true;
	if (run->io.port >= SITE_PORT && run->io.port <= PV_VMRESUME_PORT) /* L0's own: always in the instruction */
		return 2;
	const uint64_t at = rip_past ? run->s.regs.regs.rip - 2 : run->s.regs.regs.rip + prefix;
	*immediate = kvm_guest_bytes(m, vm, at, bytes, 2) == 2 && bytes[0] >= 0xe4 && bytes[0] <= 0xe7 &&
	             bytes[1] == run->io.port;
	return (*immediate ? 2 : 1) + prefix;
}

static int exit_io(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs)
{
	struct kvm_run *run = vm->run;
	const bool in = run->io.direction == KVM_EXIT_IO_IN;
	const bool rip_past = !in && m->port_rip_past;
	const uint64_t rip = run->s.regs.regs.rip;
	bool immediate;
	unsigned length;

	if (run->io.count != 1)
		return kvm_fail(m, -EOPNOTSUPP,
		        "string port I/O (%u elements at port %#x, RIP %#llx) is not supported by the kvm machine: use "
		        "IN and OUT",
		        run->io.count, run->io.port, (unsigned long long)rip);
	length = io_length(m, vm, rip_past, &immediate);
	vmcs->field[VMCS_GUEST_RIP] = rip_past ? rip - length : rip;
	vm->unfinished = in ? KVM_UNFINISHED_IN : KVM_UNFINISHED_OUT;
	vm->unfinished_length = (uint8_t)length;
	if (run->io.port == SITE_PORT) {
		const struct site *site = kvm_site_find(&m->sites[vm->level], vmcs->field[VMCS_GUEST_RIP]);
		if (site)
			return kvm_exit_site(m, vm, vmcs, site);
	}
	kvm_exit_set(vmcs, EXIT_REASON_IO_INSTRUCTION,
	        (uint64_t)run->io.port << IO_QUALIFICATION_PORT_SHIFT | (immediate ? IO_QUALIFICATION_IMMEDIATE : 0) |
	                (in ? IO_QUALIFICATION_IN : 0) | (run->io.size - 1u),
	        length);
	return KVM_EXIT_TAKEN;
}

/* ---- EPT violations ---- */

/* The site of the load or store at (or, with `behind`, ending at) rip. */
static const struct site *access_site(const struct kvm_sites *sites, uint64_t rip, bool behind)
{
	const struct site *site = behind ? NULL : kvm_site_find(sites, rip);

	for (uint64_t length = 1; behind && length <= 15 && !site; length++) {
		site = kvm_site_find(sites, rip - length);
		if (site && site->length != length)
			site = NULL;
	}
	return site && (site->kind == SITE_MMIO || site->kind == SITE_TOUCH) ? site : NULL;
}

/*
 * SDM vol. 3, table 28-7. KVM names only the guest-physical address; the linear one is filled in where the guest maps
 * it to itself, as own images do.
 */
static void set_violation(
        struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, uint64_t gpa, uint64_t access, uint32_t length)
{
	uint64_t qualification = access, bytes, walked;

	if (kvm_slots_memory(m, vm, gpa, &bytes))
		qualification |= (EPT_READ | EPT_EXECUTE) << EPT_VIOLATION_ALLOWED_SHIFT;
	if (kvm_guest_walk(m, vm, gpa, &walked) && walked == gpa) {
		qualification |= EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_TRANSLATED;
		vmcs->field[VMCS_GUEST_LINEAR_ADDRESS] = gpa;
	}
	kvm_exit_set(vmcs, EXIT_REASON_EPT_VIOLATION, qualification, length);
	vmcs->field[VMCS_GUEST_PHYSICAL_ADDRESS] = gpa;
}

/* May KVM have more pieces of this write (16 bytes, or over a page boundary)? */
static bool more_pieces(const struct kvm_run *run)
{
	return run->mmio.len == 8 || ((run->mmio.phys_addr + run->mmio.len) & 0xfff) == 0;
}

static int exit_mmio(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs)
{
	struct kvm_run *run = vm->run;
	const bool write = run->mmio.is_write;
	const uint64_t rip = run->s.regs.regs.rip;
	const struct site *site = access_site(&m->sites[vm->level], rip, write);

	vmcs->field[VMCS_GUEST_RIP] = site ? site->address : rip;
	if (!write || more_pieces(run))
		vm->unfinished = KVM_UNFINISHED_MMIO;
	if (write) {
		/* KVM has completed the store: RIP is behind it. */
		vm->rip_after = rip;
		vm->store = (struct kvm_store){
		        .pending = !site, .gpa = run->mmio.phys_addr, .rip_after = rip, .size = (uint8_t)run->mmio.len};
		memcpy(vm->store.data, run->mmio.data, sizeof(vm->store.data));
	}
	set_violation(m, vm, vmcs, run->mmio.phys_addr, write ? EPT_VIOLATION_WRITE : EPT_VIOLATION_READ,
	        site ? site->length : 0);
	return KVM_EXIT_TAKEN;
}

static void do_piece(const struct kvm_run *run, uint8_t *data, uint64_t gpa, const struct mmio_bus *bus)
{
	uint64_t value = 0;

	if (run->mmio.is_write) {
		memcpy(&value, data, run->mmio.len);
		bus->write(bus->ctx, gpa, run->mmio.len, value);
	} else {
		value = bus->read(bus->ctx, gpa, run->mmio.len);
		memcpy(data, &value, run->mmio.len);
	}
}

int kvm_emulate_mmio(
        struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs, uint64_t gpa, const struct mmio_bus *bus)
{
	struct kvm_machine *m = kvm_of(machine);
	struct kvm_vm *vm = kvm_vm_of(m, vmcs);
	struct kvm_run *run = vm->run;
	const uint64_t first = run->mmio.phys_addr;

	if (run->exit_reason != KVM_EXIT_MMIO)
		return kvm_fail(m, -EOPNOTSUPP, "level %u fetches instructions from a device at %#llx", vm->level,
		        (unsigned long long)gpa);
	vm->store.pending = false;
	if (vm->unfinished == KVM_FINISHED) {
		do_piece(run, run->mmio.data, gpa, bus);
		vmcs_set(vmcs, VMCS_GUEST_RIP, vm->rip_after);
		return 0;
	}
	/* A read, or an access in pieces: KVM goes on with each until the instruction is done. */
	for (;;) {
		do_piece(run, run->mmio.data, gpa + (run->mmio.phys_addr - first), bus);
		run->immediate_exit = 1;
		const int result = ioctl(vm->vcpu, KVM_RUN, 0);
		const int error = errno;
		run->immediate_exit = 0;
		if (result < 0 && error == EINTR)
			break;
		if (result < 0 || run->exit_reason != KVM_EXIT_MMIO)
			return kvm_fail(m, -EIO, "KVM does not complete a device access at %#llx (exit reason %u)",
			        (unsigned long long)gpa, run->exit_reason);
	}
	vm->unfinished = KVM_FINISHED;
	kvm_store_registers(m, vm, vmcs, regs);
	return 0;
}

/* ---- what KVM cannot run ---- */

static void instruction_text(struct kvm_machine *m, struct kvm_vm *vm, char *text, size_t size)
{
	uint8_t bytes[15];
	const size_t count = kvm_guest_bytes(m, vm, vm->run->s.regs.regs.rip, bytes, sizeof(bytes));

	snprintf(text, size, "unreadable");
	for (size_t i = 0; i < count && i * 3 + 3 < size; i++)
		snprintf(text + i * 3, size - i * 3, "%s%02x", i ? " " : "", bytes[i]);
}

/* KVM's emulator gives up where the instruction cannot be fetched: an EPT violation if RIP is outside every slot. */
static int exit_internal_error(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs)
{
	const uint32_t suberror = vm->run->internal.suberror;
	const uint64_t rip = vm->run->s.regs.regs.rip;
	char text[48];
	uint64_t gpa, bytes;

	if (ioctl(vm->vcpu, KVM_GET_SREGS, &vm->sregs) >= 0)
		vm->sregs_valid = true;
	if (suberror == KVM_INTERNAL_ERROR_EMULATION && kvm_guest_walk(m, vm, rip, &gpa) &&
	        !kvm_slots_memory(m, vm, gpa, &bytes)) {
		struct kvm_vcpu_events events;
		/* kvm_intel leaves a #UD queued: rerun, it would be delivered, and then a triple fault. */
		if (ioctl(vm->vcpu, KVM_GET_VCPU_EVENTS, &events) >= 0) {
			events.exception.injected = 0;
			events.exception.pending = 0;
			ioctl(vm->vcpu, KVM_SET_VCPU_EVENTS, &events);
		}
		vmcs->field[VMCS_GUEST_RIP] = rip;
		set_violation(m, vm, vmcs, gpa, EPT_VIOLATION_FETCH, 0);
		return KVM_EXIT_TAKEN;
	}
	instruction_text(m, vm, text, sizeof(text));
	return kvm_fail(m, -EIO, "KVM cannot run the instruction at RIP %#llx of level %u (bytes %s; suberror %u)",
	        (unsigned long long)rip, vm->level, text, suberror);
}

static int exit_triple_fault(struct kvm_vm *vm, struct vmcs *vmcs)
{
	vmcs->field[VMCS_GUEST_RIP] = vm->run->s.regs.regs.rip;
	kvm_exit_set(vmcs, EXIT_REASON_TRIPLE_FAULT, 0, 0);
	return KVM_EXIT_TAKEN;
}

static int exit_unexpected(struct kvm_machine *m, struct kvm_vm *vm)
{
	const struct kvm_run *run = vm->run;
	const unsigned long long rip = run->s.regs.regs.rip;

	switch (run->exit_reason) {
	case KVM_EXIT_FAIL_ENTRY:
		return kvm_fail(m, -EIO, "KVM could not enter level %u at RIP %#llx: hardware reason %#llx", vm->level,
		        rip, (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case EXIT_MEMORY_FAULT:
		return kvm_fail(m, -EFAULT, "KVM cannot reach guest memory of level %u at RIP %#llx", vm->level, rip);
	case KVM_EXIT_UNKNOWN:
		return kvm_fail(m, -EIO, "KVM met an unknown hardware exit %#llx of level %u at RIP %#llx",
		        (unsigned long long)run->hw.hardware_exit_reason, vm->level, rip);
	default:
		return kvm_fail(m, -EIO,
		        "KVM ended level %u at RIP %#llx with exit reason %u, which Testudo does not use", vm->level,
		        rip, run->exit_reason);
	}
}

int kvm_exit_take(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs)
{
	const uint64_t rip = vm->run->s.regs.regs.rip;

	switch (vm->run->exit_reason) {
	case KVM_EXIT_IO:
		return exit_io(m, vm, vmcs);
	case KVM_EXIT_MMIO:
		return exit_mmio(m, vm, vmcs);
	case KVM_EXIT_X86_RDMSR:
		return kvm_exit_msr(m, vm, vmcs, false);
	case KVM_EXIT_X86_WRMSR:
		return kvm_exit_msr(m, vm, vmcs, true);
	case KVM_EXIT_HLT: /* one byte; KVM is behind it already */
		vmcs->field[VMCS_GUEST_RIP] = rip - 1;
		kvm_exit_set(vmcs, EXIT_REASON_HLT, 0, 1);
		return KVM_EXIT_TAKEN;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		vmcs->field[VMCS_GUEST_RIP] = rip;
		kvm_exit_set(vmcs, EXIT_REASON_INTERRUPT_WINDOW, 0, 0);
		return KVM_EXIT_TAKEN;
	case KVM_EXIT_SHUTDOWN:
		return exit_triple_fault(vm, vmcs);
	case KVM_EXIT_INTERNAL_ERROR:
		return exit_internal_error(m, vm, vmcs);
	default:
		return exit_unexpected(m, vm);
	}
}
