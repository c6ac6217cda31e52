/* SPDX-License-Identifier: Apache-2.0 */
/** The loop: find the run at RIP, execute it, look for events when one may be due. */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include "code.h"
#include "exec.h"
#include "flags.h"

/** Bit of pending_debug: a single-step trap (SDM vol. 3, table 25-4). */
#define PENDING_DEBUG_BS (1ull << 14)

#define INTERRUPTIBILITY_SHADOW (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)

_Noreturn void soft_unwind(struct soft_cpu *cpu, enum soft_unwind_reason reason)
{
	longjmp(cpu->unwind, reason);
}

void soft_exec_undefined(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_fault(cpu, VECTOR_UD, false, 0);
}

void soft_exec_too_long(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_fault(cpu, VECTOR_GP, true, 0);
}

void soft_exec_unsupported(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint8_t bytes[SOFT_INSN_MAX_BYTES] = {0};
	const uint64_t base = cpu->mode == SOFT_MODE_64 ? 0 : cpu->seg[SOFT_CS].base;
	char text[96], hex[3 * SOFT_INSN_MAX_BYTES + 1] = "";
	const size_t got = soft_code_peek(cpu, base + cpu->insn_rip, bytes, insn->length);

	for (size_t i = 0; i < got; i++)
		snprintf(hex + 3 * i, 4, "%02x ", bytes[i]);
	soft_disassemble(bytes, got, cpu->mode, cpu->insn_rip, text, sizeof(text));
	snprintf(cpu->error, sizeof(cpu->error),
	        "the soft CPU does not know the instruction at RIP 0x%llx: %s(%s); build the guest without it",
	        (unsigned long long)cpu->insn_rip, hex, text);
	cpu->rip = cpu->insn_rip;
	soft_unwind(cpu, SOFT_UNWIND_UNSUPPORTED);
}

void soft_update_mode(struct soft_cpu *cpu)
{
	const enum soft_mode before = cpu->mode;
	const uint32_t cs = cpu->seg[SOFT_CS].rights;

	if (!(cpu->cr0 & CR0_PE))
		cpu->mode = SOFT_MODE_REAL;
	else if (cpu->rflags & FLAG_VM)
		cpu->mode = SOFT_MODE_V8086;
	else if (!(cpu->efer & EFER_LMA))
		cpu->mode = cs & AR_DB ? SOFT_MODE_32 : SOFT_MODE_16;
	else if (cs & AR_L)
		cpu->mode = SOFT_MODE_64;
	else
		cpu->mode = cs & AR_DB ? SOFT_MODE_COMPAT_32 : SOFT_MODE_COMPAT_16;
	/* The DPL of SS is the CPL in every mode (SDM vol. 3, 25.4.1), but real mode's SS says nothing. */
	cpu->cpl = cpu->mode == SOFT_MODE_REAL    ? 0
	           : cpu->mode == SOFT_MODE_V8086 ? 3
	                                          : cpu->seg[SOFT_SS].rights >> AR_DPL_SHIFT & 3;
	cpu->address_bits = cpu->mode == SOFT_MODE_64                                       ? 64
	                    : cpu->mode == SOFT_MODE_32 || cpu->mode == SOFT_MODE_COMPAT_32 ? 32
	                                                                                    : 16;
	/* RIP leads to the same code in 64-bit mode whatever CS is; elsewhere CS.base may have changed. */
	if (cpu->mode != before || cpu->mode != SOFT_MODE_64)
		soft_code_forget_jumps(cpu);
}

/** Execute the first `count` instructions of a run, fewer when something ends it. */
static void execute(struct soft_cpu *cpu, const struct soft_run *run, uint64_t count)
{
	const struct soft_insn *insn = run->insn;
	uint64_t rip = cpu->rip;

	cpu->insn_end = insn + count;
	do {
		cpu->insn = insn;
		cpu->insn_rip = rip;
		rip += insn->length;
		cpu->rip = rip;
		insn->handler(cpu, insn);
		cpu->retired++;
		insn++;
	} while (insn < cpu->insn_end);
	if (SOFT_UNLIKELY(cpu->mode != SOFT_MODE_64))
		cpu->rip = (uint32_t)cpu->rip;
}

/** One instruction under TF, RF or an interrupt shadow: what holds for exactly one instruction ends with it. */
static void execute_single(struct soft_cpu *cpu, const struct soft_run *run)
{
	const bool trap = cpu->rflags & FLAG_TF;

	cpu->shadow_set = cpu->resume_flag_set = cpu->event_delivered = false;
	execute(cpu, run, 1);
	if (!cpu->shadow_set)
		cpu->interruptibility &= ~(uint32_t)INTERRUPTIBILITY_SHADOW;
	if (!cpu->resume_flag_set)
		cpu->rflags &= ~(uint64_t)FLAG_RF;
	/* INT n clears TF on its way into the handler and leaves no trap behind (SDM vol. 3, 18.3.1.4). */
	if (trap && !cpu->event_delivered)
		cpu->pending_debug |= PENDING_DEBUG_BS;
	cpu->stop_at = 0;
}

static bool needs_single(const struct soft_cpu *cpu)
{
	return (cpu->rflags & (FLAG_TF | FLAG_RF)) || (cpu->interruptibility & INTERRUPTIBILITY_SHADOW);
}

/** Look for events, then execute one run (or instruction). 1 = went on, 0 = exit, -EINTR. */
static int advance(struct soft_cpu *cpu, uint64_t most)
{
	const struct soft_run *run;
	uint64_t count;

	if (SOFT_UNLIKELY(cpu->kicked)) {
		cpu->kicked = 0;
		return -EINTR;
	}
	if (SOFT_UNLIKELY(cpu->retired >= cpu->stop_at)) {
		if (soft_check_events(cpu))
			return 0;
		if (cpu->activity != ACTIVITY_ACTIVE) {
			/* Nothing happens before the next deadline: virtual time goes there at once. */
			if (cpu->stop_at == ~0ull || cpu->stop_at <= cpu->retired)
				return -EINTR;
			cpu->retired = cpu->stop_at;
			return 1;
		}
		if (needs_single(cpu)) {
			execute_single(cpu, soft_code_find(cpu));
			return 1;
		}
	}
	run = soft_code_find(cpu);
	count = run->count;
	if (SOFT_UNLIKELY(count > most))
		count = most;
	if (SOFT_UNLIKELY(cpu->stop_at - cpu->retired < count))
		count = cpu->stop_at > cpu->retired ? cpu->stop_at - cpu->retired : 1;
	execute(cpu, run, count);
	return 1;
}

/** What a longjmp to cpu->unwind means for the loop: 1 = go on, else the result of soft_run. */
static int unwound(struct soft_cpu *cpu, int reason)
{
	switch (reason) {
	case SOFT_UNWIND_EVENT:
		/* A handler whose first instruction faults, again and again, retires nothing. Time must pass all the
		 * same, or no deadline would ever end it: a fault on the heels of another costs a tick. */
		if (cpu->retired + 1 == cpu->delivered_at)
			cpu->retired++;
		cpu->delivered_at = cpu->retired + 1;
		return soft_deliver_event(cpu) ? 0 : 1;
	case SOFT_UNWIND_EXIT:
		return 0;
	case SOFT_UNWIND_KICK:
		return -EINTR;
	default:
		return -EOPNOTSUPP;
	}
}

static int run_loop(struct soft_cpu *cpu, bool once)
{
	const int reason = setjmp(cpu->unwind);
	int result;

	if (reason) {
		result = unwound(cpu, reason);
		if (result <= 0 || once)
			return result;
	}
	do
		result = advance(cpu, once ? 1 : SOFT_RUN_MAX);
	while (result > 0 && !once);
	return result;
}

int soft_run(struct soft_cpu *cpu)
{
	return run_loop(cpu, false);
}

int soft_step(struct soft_cpu *cpu)
{
	return run_loop(cpu, true);
}
