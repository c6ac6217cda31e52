/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

static _Noreturn void fault(struct soft_cpu *cpu, uint8_t vector, uint16_t selector)
{
	soft_fault(cpu, vector, true, selector & ~3u);
}

bool soft_descriptor_read(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *descriptor)
{
	const uint32_t offset = selector & ~7u;
	uint64_t base = cpu->gdtr.base;
	uint32_t limit = cpu->gdtr.limit;

	if (selector & SELECTOR_TI) {
		if (cpu->seg[SOFT_LDTR].rights & AR_UNUSABLE)
			return false;
		base = cpu->seg[SOFT_LDTR].base;
		limit = cpu->seg[SOFT_LDTR].limit;
	}
	if (offset + 7 > limit)
		return false;
	descriptor->address = base + offset;
	descriptor->raw = soft_read_system(cpu, descriptor->address, 8);
	return true;
}

void soft_descriptor_need(struct soft_cpu *cpu, uint16_t selector, uint8_t vector, struct soft_descriptor *descriptor)
{
	if (!(selector & ~3u))
		soft_fault(cpu, vector, true, 0);
	if (!soft_descriptor_read(cpu, selector, descriptor))
		fault(cpu, vector, selector);
}

void soft_descriptor_accessed(struct soft_cpu *cpu, const struct soft_descriptor *descriptor)
{
	if (!(descriptor->raw >> 40 & AR_TYPE_ACCESSED))
		soft_write_system(cpu, descriptor->address + 5, 1, (uint8_t)(descriptor->raw >> 40) | AR_TYPE_ACCESSED);
}

void soft_descriptor_segment(const struct soft_descriptor *descriptor, uint16_t selector, struct soft_segment *segment)
{
	const uint64_t raw = descriptor->raw;
	const uint32_t limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));

	segment->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	segment->rights = soft_descriptor_rights(descriptor);
	if (segment->rights & AR_S)
		segment->rights |= AR_TYPE_ACCESSED;
	segment->limit = segment->rights & AR_G ? limit << 12 | 0xfff : limit;
	segment->selector = selector;
}

void soft_load_segment_real(struct soft_cpu *cpu, unsigned segment, uint16_t selector)
{
	struct soft_segment *seg = &cpu->seg[segment];

	seg->selector = selector;
	seg->base = (uint64_t)selector << 4;
	if (cpu->mode == SOFT_MODE_V8086) {
		seg->limit = 0xffff;
		seg->rights = AR_P | AR_S | 3u << AR_DPL_SHIFT | AR_TYPE_WRITABLE | AR_TYPE_ACCESSED;
	} else {
		/* The limit stays what it was: that is how "unreal" mode comes about. */
		seg->rights = (seg->rights & (AR_G | AR_DB)) | AR_P | AR_S | AR_TYPE_WRITABLE | AR_TYPE_ACCESSED;
	}
}

void soft_check_stack_segment(
        struct soft_cpu *cpu, uint16_t selector, unsigned cpl, uint8_t vector, struct soft_segment *ss)
{
	struct soft_descriptor descriptor;
	uint32_t rights;

	soft_descriptor_need(cpu, selector, vector, &descriptor);
	rights = soft_descriptor_rights(&descriptor);
	if ((selector & SELECTOR_RPL) != cpl || soft_descriptor_dpl(&descriptor) != cpl ||
	        (rights & (AR_S | AR_TYPE_CODE | AR_TYPE_WRITABLE)) != (AR_S | AR_TYPE_WRITABLE))
		fault(cpu, vector, selector);
	if (!(rights & AR_P))
		fault(cpu, VECTOR_SS, selector);
	soft_descriptor_accessed(cpu, &descriptor);
	soft_descriptor_segment(&descriptor, selector, ss);
}

static void load_stack(struct soft_cpu *cpu, uint16_t selector)
{
	const unsigned rpl = selector & SELECTOR_RPL;
	struct soft_segment ss;

	/* A null SS is allowed in 64-bit mode below CPL 3. */
	if (!(selector & ~3u) && cpu->mode == SOFT_MODE_64 && cpu->cpl < 3 && rpl == cpu->cpl)
		ss = (struct soft_segment){
		        .selector = selector, .rights = AR_UNUSABLE | (uint32_t)cpu->cpl << AR_DPL_SHIFT};
	else
		soft_check_stack_segment(cpu, selector, cpu->cpl, VECTOR_GP, &ss);
	cpu->seg[SOFT_SS] = ss;
}

static void load_data(struct soft_cpu *cpu, unsigned segment, uint16_t selector)
{
	struct soft_descriptor descriptor;
	uint32_t rights;
	unsigned dpl;

	if (!(selector & ~3u)) {
		cpu->seg[segment] = (struct soft_segment){.selector = selector, .rights = AR_UNUSABLE};
		return;
	}
	soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
	rights = soft_descriptor_rights(&descriptor);
	dpl = soft_descriptor_dpl(&descriptor);
	if (!(rights & AR_S) || (rights & (AR_TYPE_CODE | AR_TYPE_WRITABLE)) == AR_TYPE_CODE)
		fault(cpu, VECTOR_GP, selector);
	if ((rights & (AR_TYPE_CODE | AR_TYPE_CONFORMING)) != (AR_TYPE_CODE | AR_TYPE_CONFORMING) &&
	        ((selector & SELECTOR_RPL) > dpl || cpu->cpl > dpl))
		fault(cpu, VECTOR_GP, selector);
	if (!(rights & AR_P))
		fault(cpu, VECTOR_NP, selector);
	soft_descriptor_accessed(cpu, &descriptor);
	soft_descriptor_segment(&descriptor, selector, &cpu->seg[segment]);
}

void soft_load_segment(struct soft_cpu *cpu, unsigned segment, uint16_t selector)
{
	if (cpu->mode <= SOFT_MODE_V8086)
		soft_load_segment_real(cpu, segment, selector);
	else if (segment == SOFT_SS)
		load_stack(cpu, selector);
	else
		load_data(cpu, segment, selector);
}
