/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of events (SDM vol. 3, chapter 6): the IDT in 64-bit, compatibility and protected mode, the IVT in real
 * mode.
 *
 * Order: gate, code segment, stack, then one write of the whole frame (which may fault or exit), and only then the
 * guest's registers.
 */
#include <string.h>

#include "event.h"
#include "flags.h"
#include "mmu.h"

enum gate_type { GATE_TASK = 5, GATE_16_INTERRUPT = 6, GATE_16_TRAP = 7, GATE_INTERRUPT = 14, GATE_TRAP = 15 };

/** One delivery: what is being delivered and what was found on the way. */
struct delivery {
	struct soft_cpu *cpu;
	uint64_t next;
	uint64_t flags_image;
	uint32_t external; /**< bit 0 of error codes (EXT, 6.13) */
	bool software;     /**< INT n, INT3, INTO: the gate's DPL counts */
	/* The gate. */
	uint8_t gate_type, ist;
	uint16_t selector;
	uint64_t offset;
	/* The code segment. */
	struct soft_segment code;
	uint64_t code_address; /**< linear address of its descriptor */
	uint8_t new_cpl;
};

struct descriptor {
	uint32_t low, high;
};

static uint32_t descriptor_rights(const struct descriptor *d)
{
	return d->high >> 8 & 0xf0ff;
}

static unsigned descriptor_dpl(const struct descriptor *d)
{
	return d->high >> 13 & 3;
}

static void descriptor_segment(const struct descriptor *d, uint16_t selector, struct soft_segment *segment)
{
	const uint32_t limit = (d->low & 0xffff) | (d->high & 0xf0000);

	segment->base = (uint32_t)(d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000));
	segment->rights = descriptor_rights(d);
	segment->limit = segment->rights & AR_G ? limit << 12 | 0xfff : limit;
	segment->selector = selector;
}

/** Read the descriptor of a selector; false: it lies beyond its table. */
static bool read_descriptor(struct soft_cpu *cpu, uint16_t selector, struct descriptor *d, uint64_t *address)
{
	const uint32_t offset = selector & ~7u;
	uint64_t base = cpu->gdtr.base, value;
	uint32_t limit = cpu->gdtr.limit;

	if (selector & SELECTOR_TI) {
		if (cpu->seg[SOFT_LDTR].rights & AR_UNUSABLE)
			return false;
		base = cpu->seg[SOFT_LDTR].base;
		limit = cpu->seg[SOFT_LDTR].limit;
	}
	if (offset + 7 > limit)
		return false;
	*address = base + offset;
	value = soft_read_system(cpu, *address, 8);
	d->low = (uint32_t)value;
	d->high = (uint32_t)(value >> 32);
	return true;
}

/** Task gates (25.2): a task switch always exits. */
_Noreturn static void exit_task_gate(struct soft_cpu *cpu, uint16_t selector)
{
	soft_exit(cpu, EXIT_REASON_TASK_SWITCH, selector | 3ull << 30);
}

static void read_gate(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const bool wide = soft_long_mode(cpu);
	const uint32_t vector = cpu->event.vector;
	const uint32_t offset = vector * (wide ? 16 : 8);
	const uint32_t error = vector * 8 + 2 + d->external;
	uint64_t low, high = 0;

	if (offset + (wide ? 15 : 7) > cpu->idtr.limit)
		soft_fault(cpu, VECTOR_GP, true, error);
	low = soft_read_system(cpu, cpu->idtr.base + offset, 8);
	if (wide)
		high = soft_read_system(cpu, cpu->idtr.base + offset + 8, 8);
	d->gate_type = low >> 40 & 31; /* with the S bit, which must be 0 */
	if (d->gate_type != GATE_INTERRUPT && d->gate_type != GATE_TRAP &&
	        (wide || (d->gate_type != GATE_TASK && d->gate_type != GATE_16_INTERRUPT &&
	                         d->gate_type != GATE_16_TRAP)))
		soft_fault(cpu, VECTOR_GP, true, error);
	if (d->software && (low >> 45 & 3) < cpu->cpl)
		soft_fault(cpu, VECTOR_GP, true, error);
	if (!(low >> 47 & 1))
		soft_fault(cpu, VECTOR_NP, true, error);
	d->selector = low >> 16 & 0xffff;
	if (d->gate_type == GATE_TASK)
		exit_task_gate(cpu, d->selector);
	d->ist = wide ? low >> 32 & 7 : 0;
	d->offset = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
	if (d->gate_type < GATE_INTERRUPT)
		d->offset &= 0xffff;
}

static void read_code_segment(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const uint32_t error = (d->selector & ~3u) | d->external;
	struct descriptor descriptor;
	uint32_t rights;

	if (!(d->selector & ~3u))
		soft_fault(cpu, VECTOR_GP, true, d->external);
	if (!read_descriptor(cpu, d->selector, &descriptor, &d->code_address))
		soft_fault(cpu, VECTOR_GP, true, error);
	rights = descriptor_rights(&descriptor);
	if ((rights & (AR_S | AR_TYPE_CODE)) != (AR_S | AR_TYPE_CODE) || descriptor_dpl(&descriptor) > cpu->cpl)
		soft_fault(cpu, VECTOR_GP, true, error);
	if (soft_long_mode(cpu) && (rights & (AR_L | AR_DB)) != AR_L)
		soft_fault(cpu, VECTOR_GP, true, error);
	if (!(rights & AR_P))
		soft_fault(cpu, VECTOR_NP, true, error);
	/* A conforming segment (type bit 2) runs at the interrupted CPL. */
	d->new_cpl = rights & 4 ? cpu->cpl : (uint8_t)descriptor_dpl(&descriptor);
	if (cpu->mode == SOFT_MODE_V8086 && d->new_cpl != 0)
		soft_fault(cpu, VECTOR_GP, true, error);
	descriptor_segment(&descriptor, (uint16_t)((d->selector & ~3u) | d->new_cpl), &d->code);
	d->code.rights |= AR_TYPE_ACCESSED;
}

/** Write a frame at `linear` with the rights of the new privilege level: all or nothing. */
static void write_frame(struct delivery *d, uint64_t linear, const void *frame, unsigned size)
{
	if (soft_long_mode(d->cpu) && (!soft_canonical(linear) || !soft_canonical(linear + size - 1)))
		soft_fault(d->cpu, VECTOR_SS, true, d->external);
	soft_write_as(d->cpu, linear, frame, size, d->new_cpl == 3);
}

static void set_accessed(struct delivery *d)
{
	const uint64_t byte = d->code_address + 5;
	const uint64_t value = soft_read_system(d->cpu, byte, 1);

	if (!(value & 1))
		soft_write_system(d->cpu, byte, 1, value | 1);
}

/** Everything that could fail has been done: the guest is in its handler. */
static void commit(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	uint64_t flags = soft_flags_get(cpu);

	flags &= ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
	if (d->gate_type == GATE_INTERRUPT || d->gate_type == GATE_16_INTERRUPT)
		flags &= ~RFLAGS_IF;
	soft_flags_set(cpu, flags);
	cpu->seg[SOFT_CS] = d->code;
	cpu->rip = d->offset;
	soft_update_mode(cpu);
	soft_tlb_context(cpu);
}

/** The stack pointer of 64-bit delivery: IST, the TSS's stack for the new CPL, or the present one. */
static uint64_t stack_64(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const struct soft_segment *tss = &cpu->seg[SOFT_TR];
	uint32_t offset;

	if (!d->ist && d->new_cpl == cpu->cpl)
		return cpu->gpr[GPR_RSP];
	offset = d->ist ? 36 + 8 * (d->ist - 1u) : 4 + 8u * d->new_cpl;
	if (offset + 7 > tss->limit)
		soft_fault(cpu, VECTOR_TS, true, (tss->selector & ~3u) | d->external);
	return soft_read_system(cpu, tss->base + offset, 8);
}

static void deliver_64(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const bool outward = d->new_cpl != cpu->cpl;
	const bool has_error = cpu->event.has_error;
	uint64_t stack = stack_64(d) & ~15ull;
	const uint64_t frame[6] = {cpu->event.error, d->next, cpu->seg[SOFT_CS].selector, d->flags_image,
	        cpu->gpr[GPR_RSP], cpu->seg[SOFT_SS].selector};
	const unsigned skip = has_error ? 0 : 1;
	const unsigned bytes = (6 - skip) * 8;

	if (!soft_canonical(d->offset))
		soft_fault(cpu, VECTOR_GP, true, d->external);
	stack -= bytes;
	write_frame(d, stack, frame + skip, bytes);
	set_accessed(d);
	if (outward)
		/* 6.14.4: SS becomes a null selector with the new CPL as its RPL. */
		cpu->seg[SOFT_SS] = (struct soft_segment){
		        .selector = d->new_cpl, .rights = AR_UNUSABLE | (uint32_t)d->new_cpl << AR_DPL_SHIFT};
	cpu->gpr[GPR_RSP] = stack;
	commit(d);
}

/** SS:ESP for the new CPL out of a 32- or 16-bit TSS (7.2.1, 7.6), with the checks of 6.12.1. */
static uint64_t stack_32(struct delivery *d, struct soft_segment *ss)
{
	struct soft_cpu *cpu = d->cpu;
	const struct soft_segment *tss = &cpu->seg[SOFT_TR];
	const bool wide = tss->rights & 8;
	const uint32_t offset = wide ? 4 + 8u * d->new_cpl : 2 + 4u * d->new_cpl;
	struct descriptor descriptor;
	uint64_t pointer, address;
	uint16_t selector;
	uint32_t error, rights;

	if (offset + (wide ? 5 : 3) > tss->limit)
		soft_fault(cpu, VECTOR_TS, true, (tss->selector & ~3u) | d->external);
	pointer = soft_read_system(cpu, tss->base + offset, wide ? 4 : 2);
	selector = (uint16_t)soft_read_system(cpu, tss->base + offset + (wide ? 4 : 2), 2);
	error = (selector & ~3u) | d->external;
	if (!(selector & ~3u))
		soft_fault(cpu, VECTOR_TS, true, d->external);
	if (!read_descriptor(cpu, selector, &descriptor, &address) || (selector & 3) != d->new_cpl)
		soft_fault(cpu, VECTOR_TS, true, error);
	rights = descriptor_rights(&descriptor);
	if (descriptor_dpl(&descriptor) != d->new_cpl ||
	        (rights & (AR_S | AR_TYPE_CODE | AR_TYPE_WRITABLE)) != (AR_S | AR_TYPE_WRITABLE))
		soft_fault(cpu, VECTOR_TS, true, error);
	if (!(rights & AR_P))
		soft_fault(cpu, VECTOR_SS, true, error);
	descriptor_segment(&descriptor, selector, ss);
	ss->rights |= AR_TYPE_ACCESSED;
	return pointer;
}

/** The frame of 16- and 32-bit delivery, lowest address first; returns its length in words of `width` bytes. */
static unsigned frame_32(const struct delivery *d, bool outward, uint32_t frame[10])
{
	const struct soft_cpu *cpu = d->cpu;
	unsigned n = 0;

	if (cpu->event.has_error)
		frame[n++] = cpu->event.error;
	frame[n++] = (uint32_t)d->next;
	frame[n++] = cpu->seg[SOFT_CS].selector;
	frame[n++] = (uint32_t)d->flags_image;
	if (!outward)
		return n;
	frame[n++] = (uint32_t)cpu->gpr[GPR_RSP];
	frame[n++] = cpu->seg[SOFT_SS].selector;
	if (cpu->mode == SOFT_MODE_V8086) {
		frame[n++] = cpu->seg[SOFT_ES].selector;
		frame[n++] = cpu->seg[SOFT_DS].selector;
		frame[n++] = cpu->seg[SOFT_FS].selector;
		frame[n++] = cpu->seg[SOFT_GS].selector;
	}
	return n;
}

static void deliver_32(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const bool virtual_8086 = cpu->mode == SOFT_MODE_V8086;
	const bool outward = d->new_cpl != cpu->cpl;
	const bool narrow = d->gate_type < GATE_INTERRUPT;
	struct soft_segment ss = cpu->seg[SOFT_SS];
	uint64_t pointer = outward ? stack_32(d, &ss) : cpu->gpr[GPR_RSP];
	const uint32_t mask = ss.rights & AR_DB ? 0xffffffff : 0xffff;
	uint32_t frame[10];
	uint16_t frame16[10];
	const unsigned words = frame_32(d, outward, frame);
	const unsigned bytes = words * (narrow ? 2 : 4);
	uint32_t low;

	if ((uint32_t)d->offset > d->code.limit)
		soft_fault(cpu, VECTOR_GP, true, d->external);
	for (unsigned i = 0; i < words; i++)
		frame16[i] = (uint16_t)frame[i];
	low = ((uint32_t)pointer - bytes) & mask;
	if (!(ss.rights & 4) && (low > ss.limit || low + bytes - 1 > ss.limit))
		soft_fault(cpu, VECTOR_SS, true, (outward ? ss.selector & ~3u : 0) | d->external);
	write_frame(d, (uint32_t)(ss.base + low), narrow ? (const void *)frame16 : frame, bytes);
	set_accessed(d);
	cpu->seg[SOFT_SS] = ss;
	if (virtual_8086)
		for (unsigned i = 0; i < 4; i++) {
			static const uint8_t data[] = {SOFT_ES, SOFT_DS, SOFT_FS, SOFT_GS};

			cpu->seg[data[i]] = (struct soft_segment){.rights = AR_UNUSABLE};
		}
	cpu->gpr[GPR_RSP] = outward ? low : (cpu->gpr[GPR_RSP] & ~(uint64_t)mask) | low;
	commit(d);
}

/** Real-address mode, 21.1.4: FLAGS, CS and IP on the stack, no error code. */
static void deliver_real(struct delivery *d)
{
	struct soft_cpu *cpu = d->cpu;
	const uint32_t offset = cpu->event.vector * 4u;
	const uint16_t frame[3] = {(uint16_t)d->next, cpu->seg[SOFT_CS].selector, (uint16_t)d->flags_image};
	const uint16_t sp = (uint16_t)(cpu->gpr[GPR_RSP] - sizeof(frame));
	uint64_t entry;

	if (offset + 3 > cpu->idtr.limit)
		soft_fault(cpu, VECTOR_GP, false, 0);
	entry = soft_read_system(cpu, cpu->idtr.base + offset, 4);
	d->new_cpl = 0;
	write_frame(d, (uint32_t)(cpu->seg[SOFT_SS].base + sp), frame, sizeof(frame));
	cpu->gpr[GPR_RSP] = (cpu->gpr[GPR_RSP] & ~0xffffull) | sp;
	d->code = cpu->seg[SOFT_CS];
	d->code.selector = (uint16_t)(entry >> 16);
	d->code.base = (uint64_t)d->code.selector << 4;
	d->offset = entry & 0xffff;
	d->gate_type = GATE_INTERRUPT;
	soft_flags_set(cpu, soft_flags_get(cpu) & ~RFLAGS_AC);
	commit(d);
}

/** What the exception itself changes before its handler runs. */
static void side_effects(struct soft_cpu *cpu)
{
	if (cpu->event.injected || cpu->event.type != INTR_TYPE_HARDWARE_EXCEPTION)
		return;
	if (cpu->event.vector == VECTOR_PF)
		cpu->cr2 = cpu->event.cr2;
	if (cpu->event.vector == VECTOR_DB) {
		/* 18.2.3: bits 3:0 are replaced, BS and BD accumulate; GD and BTF are cleared. */
		cpu->dr[6] = (cpu->dr[6] & ~0xfull) | cpu->event.debug_bits | DR6_FIXED;
		cpu->dr[7] &= ~DR7_GD;
		cpu->debugctl &= ~DEBUGCTL_BTF;
	}
}

static uint32_t vectoring_info(const struct soft_cpu *cpu)
{
	uint32_t info = INTR_INFO_VALID | (uint32_t)cpu->event.type << INTR_INFO_TYPE_SHIFT | cpu->event.vector;

	return cpu->event.has_error ? info | INTR_INFO_ERROR_CODE : info;
}

void soft_idt_deliver(struct soft_cpu *cpu, uint64_t next, bool resume)
{
	const uint8_t type = cpu->event.type;
	struct delivery d = {.cpu = cpu, .next = next};

	if (cpu->mode == SOFT_MODE_REAL)
		cpu->event.has_error = false;
	cpu->idt_vectoring = vectoring_info(cpu);
	cpu->idt_vectoring_error = cpu->event.error;
	cpu->idt_vectoring_length = cpu->event.instruction_length;
	d.software = type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_SOFTWARE_EXCEPTION;
	d.external = !d.software;
	d.flags_image = soft_flags_get(cpu) | (resume ? RFLAGS_RF : 0);
	side_effects(cpu);
	if (cpu->mode == SOFT_MODE_REAL) {
		deliver_real(&d);
	} else {
		read_gate(&d);
		read_code_segment(&d);
		if (soft_long_mode(cpu))
			deliver_64(&d);
		else
			deliver_32(&d);
	}
	cpu->idt_vectoring = 0;
	cpu->interruptibility &= ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	if (type == INTR_TYPE_NMI)
		cpu->interruptibility |= INTERRUPTIBILITY_NMI;
	soft_attention(cpu);
}
