/* SPDX-License-Identifier: Apache-2.0 */
/* What L0 does for a guest of any level whose exit is L0's own: the instruction, or the event, as the processor would.
 */
#include "l0/vmm.h"

#include <errno.h>
#include <string.h>

#include "shadowvmcs/ept12.h"
#include "shadowvmcs/x86.h"

#define RESUME_FLAG (1ull << 16)  /* RFLAGS.RF */
#define PENDING_STEP (1ull << 14) /* BS of the pending debug exceptions, table 25-4 */

/* ---- guest state ---- */

void emulate_set(struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	vmcs->field[field] = value;
	vmcs_mask_set(&vmcs->dirty, field);
	vmcs_mask_set(&vmcs->written, field);
	vmcs_mask_clear(&vmcs->stale, field);
}

uint64_t emulate_get(struct vmm *vmm, struct vmcs *vmcs, enum vmcs_field field)
{
	if (vmcs_mask_has(&vmcs->stale, field) && vmm->ops->fetch)
		vmm->ops->fetch(vmm->machine, vmcs);
	return vmcs_get(vmcs, field);
}

uint64_t emulate_gpr(const struct vmm *vmm, const struct vmcs *vmcs, unsigned number)
{
	return number == GPR_RSP ? vmcs_get(vmcs, VMCS_GUEST_RSP) : vmm->regs.gpr[number & 15];
}

/* What else ends with an instruction: RF, and under TF it has been a step (18.3.1.4). A machine that fetches RFLAGS on
 * demand steps for itself. */
static void end_instruction(struct vmcs *vmcs)
{
	const uint64_t rflags = vmcs_get(vmcs, VMCS_GUEST_RFLAGS);

	vmcs_set(vmcs, VMCS_GUEST_RFLAGS, rflags & ~RESUME_FLAG);
	if (rflags & RFLAGS_TF)
		vmcs_set(vmcs, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
		        vmcs_get(vmcs, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_STEP);
}

void emulate_advance(struct vmcs *vmcs)
{
	const uint64_t blocking = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	vmcs_set(
	        vmcs, VMCS_GUEST_RIP, vmcs_get(vmcs, VMCS_GUEST_RIP) + vmcs_get(vmcs, VMCS_VM_EXIT_INSTRUCTION_LENGTH));
	/* Blocking by STI and MOV SS ends with the instruction after them: the one just done. */
	if (vmcs_get(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE) & blocking)
		vmcs_set(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE,
		        vmcs_get(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE) & ~blocking);
	if (!vmcs_mask_has(&vmcs->stale, VMCS_GUEST_RFLAGS) &&
	        (vmcs_get(vmcs, VMCS_GUEST_RFLAGS) & (RFLAGS_TF | RESUME_FLAG)))
		end_instruction(vmcs);
}

void emulate_fault(struct vmm *vmm, uint8_t vector, bool has_error, uint32_t error_code)
{
	nested_inject(&vmm->nested,
	        INTR_INFO_VALID | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT |
	                (has_error ? INTR_INFO_ERROR_CODE : 0) | vector,
	        error_code, 0);
}

void emulate_forget_linear(struct vmm *vmm, const struct vmcs *vmcs)
{
	if (vmm->ops->flush_vpid)
		vmm->ops->flush_vpid(vmm->machine, (uint16_t)vmcs_get(vmcs, VMCS_VIRTUAL_PROCESSOR_ID));
}

/* ---- instructions ---- */

static void emulate_rdtsc(struct vmm *vmm, struct vmcs *vmcs)
{
	const uint64_t controls = vmcs_get(vmcs, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
	uint64_t ticks = vmm->ops->clock(vmm->machine);

	if (controls & VMX_BIT(PROC_TSC_OFFSETTING))
		ticks += vmcs_get(vmcs, VMCS_TSC_OFFSET);
	vmm->regs.gpr[GPR_RAX] = (uint32_t)ticks;
	vmm->regs.gpr[GPR_RDX] = ticks >> 32;
	emulate_advance(vmcs);
}

/* A hypercall that does nothing. */
static void emulate_vmcall(struct vmm *vmm, struct vmcs *vmcs)
{
	vmm->regs.gpr[GPR_RAX] = 0;
	emulate_advance(vmcs);
}

static void emulate_xsetbv(struct vmm *vmm, struct vmcs *vmcs)
{
	const uint64_t *gpr = vmm->regs.gpr;
	const uint64_t value = gpr[GPR_RDX] << 32 | (uint32_t)gpr[GPR_RAX];

	if (!vmm->ops->xsetbv)
		emulate_fault(vmm, VECTOR_UD, false, 0);
	else if (vmm->ops->xsetbv(vmm->machine, (uint32_t)gpr[GPR_RCX], value))
		emulate_fault(vmm, VECTOR_GP, true, 0);
	else
		emulate_advance(vmcs);
}

static void emulate_hlt(struct vmcs *vmcs)
{
	emulate_advance(vmcs);
	/* The trap of a step comes before any wait. */
	if (!(vmcs_get(vmcs, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) & PENDING_STEP))
		vmcs_set(vmcs, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
}

/* ---- events ---- */

/* L0 wanted to see the exception; it is the guest's. */
static void give_back_exception(struct vmm *vmm, struct vmcs *vmcs)
{
	const uint32_t info = (uint32_t)vmcs_get(vmcs, VMCS_VM_EXIT_INTERRUPTION_INFORMATION);
	const uint32_t vector = info & INTR_INFO_VECTOR_MASK;

	if (vector == VECTOR_PF)
		vmm->regs.cr2 = vmcs_get(vmcs, VMCS_EXIT_QUALIFICATION);
	nested_inject(&vmm->nested, info & ~INTR_INFO_NMI_UNBLOCKING,
	        (uint32_t)vmcs_get(vmcs, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE),
	        (uint32_t)vmcs_get(vmcs, VMCS_VM_EXIT_INSTRUCTION_LENGTH));
}

static int triple_fault(struct vmm *vmm, struct vmcs *vmcs, unsigned level)
{
	const uint64_t cr3 = emulate_get(vmm, vmcs, VMCS_GUEST_CR3);

	return vmm_fail(vmm, -EFAULT, "level %u ended in a triple fault at RIP %#llx (CR2 %#llx, CR3 %#llx, RSP %#llx)",
	        level, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP), (unsigned long long)vmm->regs.cr2,
	        (unsigned long long)cr3, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RSP));
}

/* ---- memory ---- */

int emulate_device(struct vmm *vmm, struct vmcs *vmcs, uint64_t gpa, unsigned level)
{
	const struct mmio_bus bus = {&vmm->bus, bus_mmio_read, bus_mmio_write};
	int error;

	/* A PC's bus answers everywhere: all ones where nothing is. Own images have no business there. */
	if (!bus_mmio_find(&vmm->bus, gpa) && !vmm->config.memory.foreign)
		return vmm_fail(vmm, -EFAULT,
		        "level %u accessed %#llx, where there is neither memory nor a device, at RIP %#llx", level,
		        (unsigned long long)gpa, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP));
	error = vmm->ops->emulate_mmio(vmm->machine, vmcs, &vmm->regs, gpa, &bus);
	return error ? vmm_fail(vmm, error, "%s", vmm->machine->error) : 0;
}

static const char *access_name(uint64_t qualification)
{
	if (qualification & EPT_VIOLATION_FETCH)
		return "fetched from";
	return qualification & EPT_VIOLATION_WRITE ? "wrote to" : "read from";
}

/* EPT01 has no mapping there: the first-touch region, a device, or a wild access of L1. */
int emulate_ept_violation(struct vmm *vmm, struct vmcs *vmcs)
{
	const struct machine_config *memory = &vmm->config.memory;
	const uint64_t gpa = vmcs_get(vmcs, VMCS_GUEST_PHYSICAL_ADDRESS);
	const uint64_t qualification = vmcs_get(vmcs, VMCS_EXIT_QUALIFICATION);
	const uint64_t page = vmm->config.touch_page_size;
	int error;

	if (gpa - memory->unmapped_gpa < memory->unmapped_bytes) {
		error = vmm->ops->map01(vmm->machine, gpa & ~(page - 1), page);
		return error ? vmm_fail(vmm, error, "L0 cannot map the page at %#llx: %s", (unsigned long long)gpa,
		                       strerror(-error))
		             : 0;
	}
	if (bus_mmio_find(&vmm->bus, gpa) || (memory->foreign && (qualification & EPT_VIOLATION_TRANSLATED) &&
	                                             !(qualification & EPT_VIOLATION_FETCH)))
		return emulate_device(vmm, vmcs, gpa, 1);
	return vmm_fail(vmm, -EFAULT,
	        "level 1 %s %#llx, outside its memory of %#llx bytes and every device, at RIP %#llx",
	        access_name(qualification), (unsigned long long)gpa, (unsigned long long)memory->ram_bytes,
	        (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP));
}

/* ---- dispatch ---- */

int emulate_exit(struct vmm *vmm, struct vmcs *vmcs, unsigned level)
{
	const uint32_t reason = (uint32_t)vmcs_get(vmcs, VMCS_EXIT_REASON);

	switch (reason) {
	case EXIT_REASON_IO_INSTRUCTION:
		return emulate_io(vmm, vmcs, level);
	case EXIT_REASON_CPUID:
		emulate_cpuid(vmm, vmcs);
		emulate_advance(vmcs);
		return 0;
	case EXIT_REASON_RDMSR:
	case EXIT_REASON_WRMSR:
		return emulate_msr(vmm, vmcs, level, reason == EXIT_REASON_WRMSR);
	case EXIT_REASON_CONTROL_REGISTER_ACCESS:
		return emulate_cr(vmm, vmcs, level);
	case EXIT_REASON_VMCALL:
		if (vmm->config.memory.foreign) /* not in VMX operation (SDM vol. 3, 31.3) */
			emulate_fault(vmm, VECTOR_UD, false, 0);
		else
			emulate_vmcall(vmm, vmcs);
		return 0;
	case EXIT_REASON_HLT:
		emulate_hlt(vmcs);
		return 0;
	case EXIT_REASON_RDTSC:
		emulate_rdtsc(vmm, vmcs);
		return 0;
	case EXIT_REASON_XSETBV:
		emulate_xsetbv(vmm, vmcs);
		return 0;
	case EXIT_REASON_INVLPG:
		emulate_forget_linear(vmm, vmcs);
		emulate_advance(vmcs);
		return 0;
	case EXIT_REASON_PAUSE:
	case EXIT_REASON_WBINVD:
	case EXIT_REASON_INVD: /* memory is coherent: nothing to write back */
		emulate_advance(vmcs);
		return 0;
	case EXIT_REASON_EPT_VIOLATION:
		return emulate_ept_violation(vmm, vmcs);
	case EXIT_REASON_EXCEPTION_OR_NMI:
		give_back_exception(vmm, vmcs);
		return 0;
	case EXIT_REASON_EXTERNAL_INTERRUPT: /* the host's own, or a window or trap the engine asked for: */
	case EXIT_REASON_INTERRUPT_WINDOW:   /* delivering what is pending is the run loop's next step */
	case EXIT_REASON_NMI_WINDOW:
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
	case EXIT_REASON_MONITOR_TRAP_FLAG:
		return 0;
	case EXIT_REASON_TRIPLE_FAULT:
		return triple_fault(vmm, vmcs, level);
	case EXIT_REASON_GETSEC: /* instructions this CPU does not have (SDM vol. 2) */
	case EXIT_REASON_RDTSCP:
	case EXIT_REASON_MONITOR:
	case EXIT_REASON_MWAIT:
	case EXIT_REASON_RDPMC:
	case EXIT_REASON_VMFUNC:
		emulate_fault(vmm, VECTOR_UD, false, 0);
		return 0;
	default:
		return vmm_fail(vmm, -EOPNOTSUPP, "L0 has no handler for exit %s (%u) of level %u at RIP %#llx",
		        exit_reason_name(reason & 0xffff), reason, level,
		        (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP));
	}
}
