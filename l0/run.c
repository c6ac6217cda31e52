/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop: enter, record, then emulate for L1, or route and reflect.
 *
 *          +--> deliver what is pending --> enter(vmcs01 or vmcs02) --> record --+
 *          |                                                                     |
 *          |   L1's exit: VMX instruction -> engine; else emulate <--------------+
 *          |   L2's exit: route -> reflect to L1; else emulate    <--------------+
 *          +---------------------------------------------------------------------+
 */
#include "l0/vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "abi/pv_vmx.h"
#include "shadowvmcs/x86.h"

int vmm_fail(struct vmm *vmm, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(vmm->why.text, sizeof(vmm->why.text), format, args);
	va_end(args);
	return error;
}

/* ---- the ledger ---- */

static uint32_t saturated(uint64_t ticks)
{
	return ticks > ~0u ? ~0u : (uint32_t)ticks;
}

/* The last exit's record is complete when L0 is about to enter a guest again, at clock value `now`. */
static void record_publish(struct vmm *vmm, uint64_t now)
{
	struct ledger_record *record = &vmm->record;

	if (!vmm->recording)
		return;
	record->l0_ticks = vmm->ops->virtual_time ? 0 : saturated(now - record->tsc);
	ledger_write(vmm->config.ledger, record);
	if (vmm->stamps)
		stamps_note(vmm->stamps, record, now);
	vmm->recording = false;
}

static void record_begin(struct vmm *vmm, const struct vmcs *vmcs, uint64_t now)
{
	const uint32_t reason = (uint32_t)vmcs_get(vmcs, VMCS_EXIT_REASON);

	vmm->record = (struct ledger_record){.tsc = now,
	        .detail = vmcs_get(vmcs, VMCS_EXIT_QUALIFICATION),
	        .guest_ticks = saturated(now - vmm->entered_clock),
	        .reason = (uint16_t)reason,
	        .sample = vmm->sample,
	        .level = vmm->nested.in_l2 ? 2 : 1,
	        .handler = LEDGER_BY_L0,
	        .phase = vmm->phase,
	        .flags = reason & EXIT_REASON_ENTRY_FAILURE ? LEDGER_FLAG_ENTRY_FAILURE : 0};
	vmm->recording = true;
	switch (reason) {
	case EXIT_REASON_RDMSR:
	case EXIT_REASON_WRMSR:
		vmm->record.detail = (uint32_t)vmm->regs.gpr[GPR_RCX];
		break;
	case EXIT_REASON_EPT_VIOLATION:
	case EXIT_REASON_EPT_MISCONFIGURATION:
		vmm->record.detail = vmcs_get(vmcs, VMCS_GUEST_PHYSICAL_ADDRESS);
		break;
	}
}

/* The machine's own counts over the measured loops. The exit of the mark that ends a loop is not the loop's. */
static void count_machine(struct vmm *vmm, enum testdev_mark mark)
{
	struct machine_counts now, *sum = &vmm->machine_counts;

	if (!vmm->ops->count || (mark != TESTDEV_MARK_SAMPLE_BEGIN && mark != TESTDEV_MARK_SAMPLE_END) ||
	        vmm->ops->count(vmm->machine, &now))
		return;
	if (mark == TESTDEV_MARK_SAMPLE_END && vmm->counting) {
		sum->exits += now.exits - vmm->counts_before.exits - 1;
		sum->l2_entries += now.l2_entries - vmm->counts_before.l2_entries;
		vmm->machine_counted = true;
	}
	vmm->counting = mark == TESTDEV_MARK_SAMPLE_BEGIN;
	vmm->counts_before = now;
}

void vmm_mark(struct vmm *vmm, enum testdev_mark mark, uint64_t sample)
{
	count_machine(vmm, mark);
	switch (mark) {
	case TESTDEV_MARK_CONTROL_BEGIN:
		vmm->phase = LEDGER_CONTROL;
		break;
	case TESTDEV_MARK_SAMPLE_BEGIN:
		vmm->phase = LEDGER_MEASURED;
		break;
	case TESTDEV_MARK_CONTROL_END:
	case TESTDEV_MARK_SAMPLE_END:
		vmm->phase = LEDGER_SETUP;
		break;
	default: /* no mark: the guest's mistake, recorded as it came */
		return;
	}
	vmm->sample = vmm->phase == LEDGER_SETUP ? 0 : (uint16_t)sample;
	vmm->record.flags |= LEDGER_FLAG_MARK;
	vmm->record.phase = LEDGER_SETUP;
	vmm->record.sample = 0;
}

static void trace_exit(const struct vmm *vmm, const struct vmcs *vmcs)
{
	static const char *const handlers[] = {"L0", "L1", "engine", "EPT02"};
	const struct ledger_record *record = &vmm->record;

	fprintf(vmm->trace, "L%u %-26s rip=%#llx detail=%#llx by %s\n", record->level, exit_reason_name(record->reason),
	        (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP), (unsigned long long)record->detail,
	        handlers[record->handler & 3]);
}

/* ---- interrupts and idling ---- */

/* clock() of the next event that comes by itself. */
static uint64_t next_event(const struct vmm *vmm)
{
	const uint64_t timer = vmm->testdev.timer_deadline;
	const uint64_t controllers = vmm->interrupts.on ? interrupts_deadline(&vmm->interrupts) : ~0ull;

	return timer < controllers ? timer : controllers;
}

/* Tell the machine when L0 must look up again: the timer's moment, or the end of a bounded run. */
static void update_deadline(struct vmm *vmm)
{
	const uint64_t event = next_event(vmm);
	const uint64_t deadline = event < vmm->clock_limit ? event : vmm->clock_limit;

	if (deadline == vmm->deadline)
		return;
	vmm->deadline = deadline;
	if (vmm->ops->set_deadline)
		vmm->ops->set_deadline(vmm->machine, deadline);
}

/* An NMI goes to L1: as an exit of L2 if L1 asked for those, else it is injected into the guest that runs. */
static void deliver_nmi(struct vmm *vmm)
{
	struct nested *nested = &vmm->nested;
	const struct vmcs *vmcs = vmm_vmcs(vmm);
	const uint32_t info = INTR_INFO_VALID | INTR_TYPE_NMI << INTR_INFO_TYPE_SHIFT | VECTOR_NMI;
	const uint64_t pin12 = vmcs_get(&nested->checked12, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS);

	if (nested->in_l2 && (pin12 & VMX_BIT(PIN_NMI_EXITING)))
		nested_reflect_made(nested, EXIT_REASON_EXCEPTION_OR_NMI, 0, info, 0);
	else if (vmcs_get(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE) & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS) ||
	         vmcs_get(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID)
		return; /* blocked: again after the next exit */
	else
		nested_inject(nested, info, 0, 0);
	vmm->interrupts.lapic.nmi_pending = false;
}

/* While an NMI waits for the end of another one, L1's IRET exits. */
static void update_nmi_window(struct vmm *vmm)
{
	const uint64_t window = vmm->interrupts.lapic.nmi_pending ? VMX_BIT(PROC_NMI_WINDOW_EXITING) : 0;
	const enum vmcs_field field = VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS;

	vmcs_set(&vmm->vmcs01, field,
	        (vmcs_get(&vmm->vmcs01, field) & ~(uint64_t)VMX_BIT(PROC_NMI_WINDOW_EXITING)) | window);
}

static void deliver_from_controllers(struct vmm *vmm)
{
	int vector;

	if (vmm->interrupts.lapic.nmi_pending)
		deliver_nmi(vmm);
	update_nmi_window(vmm);
	vector = interrupts_pending(&vmm->interrupts);
	if (vector >= 0 && nested_deliver_interrupt(&vmm->nested, (uint8_t)vector))
		interrupts_accept(&vmm->interrupts, (uint8_t)vector);
	vmcs_set(&vmm->vmcs01, VMCS_TPR_THRESHOLD, lapic_tpr_threshold(&vmm->interrupts.lapic));
	update_deadline(vmm);
}

static bool deliver_interrupt(struct vmm *vmm, uint8_t vector)
{
	if (!vmm->ops->raise_interrupt)
		return nested_deliver_interrupt(&vmm->nested, vector);
	vmm->ops->raise_interrupt(vmm->machine, vector);
	return true;
}

static inline void deliver_pending(struct vmm *vmm)
{
	if (vmm->interrupts.on)
		deliver_from_controllers(vmm);
	if (vmm->testdev.timer_deadline != ~0ull && testdev_timer_fired(&vmm->testdev, vmm->ops->clock(vmm->machine)))
		vmm->pending_vector = TESTDEV_TIMER_VECTOR;
	if (vmm->pending_vector >= 0 && deliver_interrupt(vmm, (uint8_t)vmm->pending_vector))
		vmm->pending_vector = -1;
	if (vmm->testdev.timer_deadline != vmm->deadline && !vmm->interrupts.on)
		update_deadline(vmm);
}

static bool halted(const struct vmcs *vmcs)
{
	return vmcs_get(vmcs, VMCS_GUEST_ACTIVITY_STATE) == ACTIVITY_HLT &&
	       !(vmcs_get(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID);
}

/* Would the machine itself end the wait of a halted guest: by the preemption timer, or a window that is open? */
static bool machine_ends_wait(const struct vmcs *vmcs)
{
	const uint64_t pin = vmcs_get(vmcs, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS);
	const uint64_t proc = vmcs_get(vmcs, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
	const uint64_t blocking = vmcs_get(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE);

	if (pin & VMX_BIT(PIN_PREEMPTION_TIMER))
		return true;
	if ((proc & VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING)) && (vmcs_get(vmcs, VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
	        !(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		return true;
	return (proc & VMX_BIT(PROC_NMI_WINDOW_EXITING)) &&
	       !(blocking & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS));
}

/* The guest that runs next waits for an event: bring one. 0: the guest can be entered. */
static int wait_for_event(struct vmm *vmm)
{
	while (halted(vmm_vmcs(vmm)) && !machine_ends_wait(vmm_vmcs(vmm))) {
		const struct vmcs *vmcs = vmm_vmcs(vmm);
		const uint64_t event = next_event(vmm);
		if (vmm->pending_vector >= 0 || event == ~0ull)
			return vmm_fail(vmm, -EDEADLK,
			        "level %u halted at RIP %#llx with nothing to wake it (%s, interrupts %s)",
			        vmm->nested.in_l2 ? 2 : 1, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP),
			        vmm->pending_vector >= 0 ? "an interrupt is pending" : "no timer is armed",
			        vmcs_get(vmcs, VMCS_GUEST_RFLAGS) & RFLAGS_IF ? "on" : "off");
		vmm->ops->idle(vmm->machine, event);
		deliver_pending(vmm);
	}
	return 0;
}

static int over_limit(struct vmm *vmm)
{
	return vmm_fail(vmm, -ETIME, "the limit of %llu instructions was reached at level %u, RIP %#llx",
	        (unsigned long long)vmm->clock_limit, vmm->nested.in_l2 ? 2 : 1,
	        (unsigned long long)vmcs_get(vmm_vmcs(vmm), VMCS_GUEST_RIP));
}

/* ---- exits ---- */

/* The port of the paravirtual VMX call that this exit of L1 is, by a write to it or by HLT; 0: none. */
static uint16_t pv_call_of(const struct vmm *vmm, uint32_t reason)
{
	const struct vmcs *vmcs01 = &vmm->vmcs01;
	const uint16_t port = (uint16_t)(vmcs_get(vmcs01, VMCS_EXIT_QUALIFICATION) >> 16);

	if (reason == EXIT_REASON_HLT)
		return vmm->l2_frame && !(vmcs_get(vmcs01, VMCS_GUEST_RFLAGS) & RFLAGS_IF) ? PV_VMRESUME_PORT : 0;
	return reason == EXIT_REASON_IO_INSTRUCTION && !vmm->machine->caps.real_vmx && pv_vmx_port(port) ? port : 0;
}

static int l1_exit(struct vmm *vmm)
{
	struct vmcs *vmcs01 = &vmm->vmcs01;
	const uint32_t reason = (uint32_t)vmcs_get(vmcs01, VMCS_EXIT_REASON);
	int error;

	vmm->nested.counters[COUNTER_L1_EXITS]++;
	if (reason < EXIT_REASON_LIMIT && exit_reason_infos[reason].group == EXIT_GROUP_VMX &&
	        vmm->machine->caps.real_vmx && (reason != EXIT_REASON_VMCALL || vmm->nested.vmx_on)) {
		vmm->record.handler = LEDGER_BY_ENGINE;
		return real_vmx_exit(vmm, (enum exit_reason)reason);
	}
	const uint16_t pv_port = pv_call_of(vmm, reason);
	if (pv_port) {
		vmm->record.handler = LEDGER_BY_ENGINE;
		return pv_vmx_exit(vmm, pv_port);
	}
	error = emulate_exit(vmm, vmcs01, 1);
	/* The exit may have cut short the delivery of an event (a first touch of the stack, say): L1 is owed it. */
	if (!(vmcs_get(vmcs01, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID))
		nested_reinject(&vmm->nested);
	return error;
}

static int l2_exit(struct vmm *vmm)
{
	struct nested *nested = &vmm->nested;
	struct vmcs *vmcs02 = &nested->vmcs02;
	enum ept02_verdict verdict = EPT02_REPAIRED;
	uint64_t device_gpa = 0;
	int error = 0;

	if (nested_route(nested, &vmm->regs, &verdict, &device_gpa) == NESTED_TO_L1) {
		vmm->record.handler = LEDGER_BY_L1;
		if (vmm->trace)
			trace_exit(vmm, vmcs02);
		nested_reflect(nested);
		return 0;
	}
	switch (vmm->record.reason) {
	case EXIT_REASON_EPT_VIOLATION:
	case EXIT_REASON_EPT_MISCONFIGURATION:
		if (verdict == EPT02_DEVICE)
			error = emulate_device(vmm, vmcs02, device_gpa, 2);
		else if (verdict == EPT02_FAILED)
			error = vmm_fail(vmm, nested->ept02.error, "L0 cannot map what EPT12 gives L2 at %#llx: %s",
			        (unsigned long long)vmm->record.detail, strerror(-nested->ept02.error));
		else
			vmm->record.handler = LEDGER_BY_EPT02;
		break;
	default:
		error = emulate_exit(vmm, vmcs02, 2);
	}
	if (vmm->trace)
		trace_exit(vmm, vmcs02);
	nested_reinject(nested);
	return error;
}

static void note_first_l2_exit(struct vmm *vmm)
{
	struct timespec now;

	if (vmm->l2_exits_seen++ == 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		vmm->first_l2_exit_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	}
}

static int handle_exit(struct vmm *vmm)
{
	int error;

	if (vmm->nested.in_l2) {
		note_first_l2_exit(vmm);
		error = l2_exit(vmm);
	} else {
		error = l1_exit(vmm);
		if (vmm->trace)
			trace_exit(vmm, &vmm->vmcs01);
	}
	if (!error && vmm->nested.vmx_abort)
		error = vmm_fail(vmm, -EIO, "a VMX abort (indicator %u): L1's host state or MSR list cannot be loaded",
		        vmm->nested.vmx_abort);
	return error;
}

int vmm_step(struct vmm *vmm)
{
	uint64_t now;
	int error;

	deliver_pending(vmm);
	if (halted(vmm_vmcs(vmm)) && (error = wait_for_event(vmm)))
		return error;
	now = vmm->ops->clock(vmm->machine);
	record_publish(vmm, now);
	if (!vmm->resumed)
		vmm->entered_clock = now;
	if (vmm->frame_due && !vmm->nested.in_l2)
		pv_frame_put(vmm);
	struct vmcs *vmcs = vmm_vmcs(vmm);
	error = vmm->ops->enter(vmm->machine, vmcs, &vmm->regs);
	vmm->resumed = error == -EINTR;
	if (vmm->resumed)
		return vmm->ops->clock(vmm->machine) < vmm->clock_limit ? 0 : over_limit(vmm);
	if (error)
		return vmm_fail(vmm, error, "%s", vmm->machine->error);
	record_begin(vmm, vmcs, vmm->ops->clock(vmm->machine));
	return handle_exit(vmm);
}

int vmm_run(struct vmm *vmm)
{
	int error = 0;

	update_deadline(vmm);
	while (!vmm->ended && !error)
		error = vmm_step(vmm);
	record_publish(vmm, vmm->ops->clock(vmm->machine));
	return error;
}
