/* SPDX-License-Identifier: Apache-2.0 */
/* VMX instructions of L1: as paravirtual calls (abi/pv_vmx.h), and as real ones. The engine does the instruction. */
#include "l0/vmm.h"

#include <errno.h>
#include <string.h>

#include "abi/pv_vmx.h"
#include "shadowvmcs/x86.h"

static const uint16_t reasons[] = {[PV_VMXON] = EXIT_REASON_VMXON,
        [PV_VMXOFF] = EXIT_REASON_VMXOFF,
        [PV_VMCLEAR] = EXIT_REASON_VMCLEAR,
        [PV_VMPTRLD] = EXIT_REASON_VMPTRLD,
        [PV_VMPTRST] = EXIT_REASON_VMPTRST,
        [PV_VMREAD] = EXIT_REASON_VMREAD,
        [PV_VMWRITE] = EXIT_REASON_VMWRITE,
        [PV_VMLAUNCH] = EXIT_REASON_VMLAUNCH,
        [PV_VMRESUME] = EXIT_REASON_VMRESUME,
        [PV_INVEPT] = EXIT_REASON_INVEPT,
        [PV_INVVPID] = EXIT_REASON_INVVPID,
        /* No real instruction: VMREAD of the stale fields, all at once. */
        [PV_VMFETCH] = EXIT_REASON_VMREAD,
        [PV_FRAME] = EXIT_REASON_VMPTRLD}; /* nor here: a pointer for later exits */

bool pv_vmx_port(uint16_t port)
{
	return port == PV_VMX_PORT || port == PV_VMLAUNCH_PORT || port == PV_VMRESUME_PORT;
}

/* The call: by its port, or by RAX. 0 = none. */
static unsigned operation(uint16_t port, uint64_t rax)
{
	if (port == PV_VMLAUNCH_PORT)
		return PV_VMLAUNCH;
	if (port == PV_VMRESUME_PORT)
		return PV_VMRESUME;
	if (rax < PV_VMXON || rax > PV_FRAME || rax == PV_VMLAUNCH || rax == PV_VMRESUME)
		return 0;
	return (unsigned)rax;
}

static struct vmx_operands operands_of(const struct guest_regs *regs)
{
	return (struct vmx_operands){.gpa = regs->gpr[GPR_RCX],
	        .encoding = regs->gpr[GPR_RCX],
	        .type = regs->gpr[GPR_RCX],
	        .value = regs->gpr[GPR_RBX],
	        .descriptor = {regs->gpr[GPR_RBX], regs->gpr[GPR_RSI]}};
}

/* What the record says of a VMX instruction beyond its reason. */
static void note(struct vmm *vmm, enum exit_reason reason, uint64_t encoding, enum vmx_outcome_kind kind)
{
	vmm->record.reason = (uint16_t)reason;
	vmm->record.detail = reason == EXIT_REASON_VMREAD || reason == EXIT_REASON_VMWRITE ? encoding : 0;
	if (kind == VMX_ENTERED)
		vmm->record.flags |= LEDGER_FLAG_ENTERS_L2;
	else if (kind == VMX_ENTRY_FAILED || reason == EXIT_REASON_VMLAUNCH || reason == EXIT_REASON_VMRESUME)
		vmm->record.flags |= LEDGER_FLAG_ENTRY_FAILURE;
}

static void pv_complete(struct vmm *vmm, const struct vmx_outcome *outcome, bool has_value)
{
	uint64_t *gpr = vmm->regs.gpr;

	switch (outcome->kind) {
	case VMX_SUCCEED:
		gpr[GPR_RAX] = PV_VMX_RESULT_SUCCEED;
		if (has_value)
			gpr[GPR_RBX] = outcome->value;
		break;
	case VMX_FAIL_INVALID:
		gpr[GPR_RAX] = PV_VMX_RESULT_FAIL_INVALID;
		break;
	case VMX_FAIL_VALID:
		gpr[GPR_RAX] = PV_VMX_RESULT_FAIL_VALID | outcome->error << 8;
		break;
	case VMX_FAULT:
		emulate_fault(vmm, outcome->vector, outcome->has_error, outcome->error);
		return;
	case VMX_ENTERED: /* L1 goes on at its HOST_RIP, not behind the call */
	case VMX_ENTRY_FAILED:
	case VMX_REFUSED:
		return;
	}
	emulate_advance(&vmm->vmcs01);
}

/* vmcs02 or EPT02 cannot be made: no fault of L1's that the architecture has a word for. */
static int check_refused(struct vmm *vmm, const struct vmx_outcome *outcome)
{
	const int error = -(int)outcome->error;

	if (outcome->kind != VMX_REFUSED)
		return 0;
	return vmm_fail(vmm, error ? error : -EIO, "L0 cannot enter L2: %s%s%s", strerror(-error),
	        vmm->machine->error[0] ? ": " : "", vmm->machine->error);
}

/* ---- L2's registers in L1's memory ---- */

/* The frame has the registers in order of number, without RSP, which is in the VMCS. */
#define FRAME_LOW GPR_RSP
#define FRAME_HIGH (PV_FRAME_REGISTERS - FRAME_LOW)

static void frame_set(struct vmm *vmm, uint64_t gpa, struct vmx_outcome *outcome)
{
	const uint64_t bytes = PV_FRAME_REGISTERS * sizeof(uint64_t);

	if (gpa % sizeof(uint64_t) || gpa > vmm->machine->ram_bytes || vmm->machine->ram_bytes - gpa < bytes)
		outcome->kind = VMX_FAIL_INVALID;
	else
		vmm->l2_frame = (uint64_t *)(vmm->machine->ram + gpa);
}

static inline void frame_take(struct vmm *vmm)
{
	if (!vmm->l2_frame)
		return;
	memcpy(vmm->regs.gpr, vmm->l2_frame, FRAME_LOW * sizeof(uint64_t));
	memcpy(vmm->regs.gpr + GPR_RSP + 1, vmm->l2_frame + FRAME_LOW, FRAME_HIGH * sizeof(uint64_t));
	vmm->regs.kept = false;
	vmm->frame_due = true;
}

void pv_frame_put(struct vmm *vmm)
{
	memcpy(vmm->l2_frame, vmm->regs.gpr, FRAME_LOW * sizeof(uint64_t));
	memcpy(vmm->l2_frame + FRAME_LOW, vmm->regs.gpr + GPR_RSP + 1, FRAME_HIGH * sizeof(uint64_t));
	vmm->frame_due = false;
	vmm->regs.kept = true;
}

static int pv_vmx_call(struct vmm *vmm, uint16_t port)
{
	const unsigned op = operation(port, vmm->regs.gpr[GPR_RAX]);
	const struct vmx_operands operands = operands_of(&vmm->regs);
	struct vmx_outcome outcome = {.kind = VMX_SUCCEED};

	if (op == 0) {
		emulate_fault(vmm, VECTOR_UD, false, 0);
		return 0;
	}
	const enum exit_reason reason = (enum exit_reason)reasons[op];
	if (op == PV_FRAME) {
		frame_set(vmm, operands.gpa, &outcome);
	} else if (op == PV_VMFETCH) {
		if (vmm->nested.vmcs12)
			nested_fetch(&vmm->nested);
		else
			outcome.kind = VMX_FAIL_INVALID;
	} else {
		/* The only launch has seen the true L1: from here on the machine may compare with what it knows. */
		if (op == PV_VMLAUNCH && vmm->ops->fetch)
			vmm->ops->fetch(vmm->machine, &vmm->vmcs01);
		nested_vmx_instruction(&vmm->nested, reason, &operands, &outcome);
	}
	note(vmm, reason, operands.encoding, (enum vmx_outcome_kind)outcome.kind);
	/* A VMRESUME may have left L1's registers in the machine (PV_FRAME); one that fails gives L1 a result in RAX.
	 */
	if (vmm->regs.kept && outcome.kind != VMX_ENTERED &&
	        vmm->ops->fetch_registers(vmm->machine, &vmm->vmcs01, &vmm->regs))
		return vmm_fail(vmm, -EIO, "%s", vmm->machine->error);
	pv_complete(vmm, &outcome, op == PV_VMREAD || op == PV_VMPTRST);
	if (outcome.kind == VMX_ENTERED) {
		if (op == PV_VMRESUME)
			frame_take(vmm);
		vmm->frame_due = vmm->l2_frame != NULL;
	} else if (op == PV_VMRESUME && (outcome.kind == VMX_FAIL_INVALID || outcome.kind == VMX_FAIL_VALID)) {
		vmcs_set(&vmm->vmcs01, VMCS_GUEST_RFLAGS, vmcs_get(&vmm->vmcs01, VMCS_GUEST_RFLAGS) | RFLAGS_CF);
	}
	return check_refused(vmm, &outcome);
}

int pv_vmx_exit(struct vmm *vmm, uint16_t port)
{
	if (port != PV_VMRESUME_PORT || !nested_resume(&vmm->nested))
		return pv_vmx_call(vmm, port);
	frame_take(vmm);
	note(vmm, EXIT_REASON_VMRESUME, 0, VMX_ENTERED);
	return 0;
}

int real_vmx_exit(struct vmm *vmm, enum exit_reason reason)
{
	struct vmx_operands operands = {0};
	struct vmx_outcome outcome = {.kind = VMX_SUCCEED};

	if (nested_vmx_decode(&vmm->nested, reason, &vmm->regs, &operands, &outcome))
		nested_vmx_instruction(&vmm->nested, reason, &operands, &outcome);
	note(vmm, reason, operands.encoding, (enum vmx_outcome_kind)outcome.kind);
	if (outcome.kind != VMX_REFUSED)
		nested_vmx_complete(&vmm->nested, reason, &vmm->regs, &operands, &outcome);
	return check_refused(vmm, &outcome);
}
