/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses by linear address (SDM vol. 3, chapter 4): canonical check, translation of every page the access touches,
 * then the data. Walks of the guest's tables are in paging.c, of the EPT in ept.c.
 */
#include "mmu.h"

#include <string.h>

#include "tlb.h"

uint8_t *soft_translate_as(struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear)
{
	struct soft_mapping mapping;
	const struct soft_gpa_access final = {
	        .access = kind->access, .linear = linear, .linear_valid = true, .translated = true};
	unsigned rights, cached;
	uint8_t *host;

	soft_paging_walk(cpu, kind, linear, &mapping);
	host = soft_ept_translate(cpu, mapping.gpa, &final, &rights);
	if (!host)
		return NULL;
	cached = rights & mapping.rights;
	if (cached && !cpu->mmio_bus)
		soft_tlb_fill(cpu, linear, host - (mapping.gpa & 0xfff), cached, kind->user, mapping.page_shift,
		        mapping.global);
	return host;
}

/** A host pointer when the TLB has the page with this right: linear, or NULL. */
static uint8_t *cached(struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear)
{
	const struct soft_tlb_entry *entry = &soft_tlb_table(cpu, kind->user)->entry[(linear >> 12) % SOFT_TLB_ENTRIES];
	const uint64_t tag = kind->access == SOFT_WRITE   ? entry->write
	                     : kind->access == SOFT_FETCH ? entry->fetch
	                                                  : entry->read;

	if (cpu->mmio_bus || tag != (linear & SOFT_PAGE_MASK))
		return NULL;
	return (uint8_t *)(uintptr_t)(linear + entry->addend);
}

static uint8_t *translate(struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear)
{
	uint8_t *host = cached(cpu, kind, linear);

	return host ? host : soft_translate_as(cpu, kind, linear);
}

static void check_canonical(struct soft_cpu *cpu, uint64_t linear)
{
	if (!soft_canonical(linear))
		soft_fault(cpu, VECTOR_GP, true, 0);
}

/** Data breakpoints DR0-3 (SDM vol. 3, 18.2.4): a trap after the instruction. */
static void watch(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write)
{
	for (unsigned n = 0; n < 4; n++) {
		const unsigned kind = cpu->dr[7] >> (16 + 4 * n) & 3;
		const unsigned field = cpu->dr[7] >> (18 + 4 * n) & 3;
		const unsigned bytes = field == 2 ? 8 : field + 1;
		const uint64_t first = cpu->dr[n] & ~(uint64_t)(bytes - 1);

		/* Kinds: 1 writes, 3 reads and writes; 2 is I/O (the I/O instructions' business), 0 code. */
		if (kind != 3 && !(kind == 1 && write))
			continue;
		if (linear < first + bytes && first < linear + size) {
			cpu->debug_hits |= (uint8_t)(1u << n);
			soft_attention(cpu);
		}
	}
}

/** The parts of an access in one or two pages; all of it is translated before any data moves. */
struct span {
	uint8_t *host[2]; /**< NULL: MMIO being completed */
	unsigned size[2];
	uint64_t linear[2];
};

static void span_translate(
        struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear, unsigned size, struct span *span)
{
	const unsigned left = 4096 - (linear & 0xfff);

	check_canonical(cpu, linear);
	span->linear[0] = linear;
	span->size[0] = size <= left ? size : left;
	span->size[1] = size - span->size[0];
	span->linear[1] = linear + span->size[0];
	if (cpu->mode != SOFT_MODE_64)
		span->linear[1] = (uint32_t)span->linear[1];
	if (span->size[1])
		check_canonical(cpu, span->linear[1]);
	span->host[0] = translate(cpu, kind, linear);
	span->host[1] = span->size[1] ? translate(cpu, kind, span->linear[1]) : NULL;
	if (soft_data_breakpoints(cpu) && kind->access != SOFT_FETCH)
		watch(cpu, linear, size, kind->access == SOFT_WRITE);
}

static uint64_t bus_address(const struct soft_cpu *cpu, uint64_t linear)
{
	return cpu->mmio_bus_gpa + (linear & 0xfff);
}

/** A bus access is of 1, 2, 4 or 8 bytes; others are split. */
static unsigned bus_chunk(unsigned size)
{
	return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

static void bus_read(struct soft_cpu *cpu, uint64_t linear, uint8_t *buffer, unsigned size)
{
	while (size) {
		const unsigned chunk = bus_chunk(size);
		const uint64_t value = cpu->mmio_bus->read(cpu->mmio_bus->ctx, bus_address(cpu, linear), chunk);

		memcpy(buffer, &value, chunk);
		buffer += chunk;
		linear += chunk;
		size -= chunk;
	}
}

static void bus_write(struct soft_cpu *cpu, uint64_t linear, const uint8_t *buffer, unsigned size)
{
	while (size) {
		const unsigned chunk = bus_chunk(size);
		uint64_t value = 0;

		memcpy(&value, buffer, chunk);
		cpu->mmio_bus->write(cpu->mmio_bus->ctx, bus_address(cpu, linear), chunk, value);
		buffer += chunk;
		linear += chunk;
		size -= chunk;
	}
}

static void span_read(struct soft_cpu *cpu, const struct span *span, uint8_t *buffer)
{
	for (unsigned part = 0; part < 2 && span->size[part]; part++) {
		if (span->host[part])
			memcpy(buffer, span->host[part], span->size[part]);
		else
			bus_read(cpu, span->linear[part], buffer, span->size[part]);
		buffer += span->size[part];
	}
}

static void span_write(struct soft_cpu *cpu, const struct span *span, const uint8_t *buffer)
{
	for (unsigned part = 0; part < 2 && span->size[part]; part++) {
		if (span->host[part]) {
			const uint64_t hpa = (uint64_t)(span->host[part] - cpu->memory->base);

			memcpy(span->host[part], buffer, span->size[part]);
			if (cpu->memory->code_pages[hpa >> 12])
				soft_code_invalidate(cpu, hpa, span->size[part]);
		} else {
			bus_write(cpu, span->linear[part], buffer, span->size[part]);
		}
		buffer += span->size[part];
	}
}

static void read_as(
        struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear, void *buffer, unsigned size)
{
	struct span span;

	span_translate(cpu, kind, linear, size, &span);
	span_read(cpu, &span, buffer);
}

static void write_as(
        struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear, const void *buffer, unsigned size)
{
	struct span span;

	span_translate(cpu, kind, linear, size, &span);
	span_write(cpu, &span, buffer);
}

static struct soft_access_kind explicit_access(const struct soft_cpu *cpu, enum soft_access access)
{
	return (struct soft_access_kind){.access = access, .user = cpu->cpl == 3};
}

uint8_t *soft_translate(struct soft_cpu *cpu, uint64_t linear, enum soft_access access, bool user)
{
	const struct soft_access_kind kind = {.access = access, .user = user};

	check_canonical(cpu, linear);
	if (soft_data_breakpoints(cpu) && access != SOFT_FETCH)
		watch(cpu, linear, 1, access == SOFT_WRITE);
	return translate(cpu, &kind, linear);
}

/** Operands of 2, 4 and 8 bytes; wider ones have alignment rules of their own. */
static void check_alignment(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	if (size <= 8 && (linear & (size - 1)) && soft_alignment_checked(cpu))
		soft_fault(cpu, VECTOR_AC, true, 0);
}

uint64_t soft_read(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_READ);
	uint64_t value = 0;

	check_alignment(cpu, linear, size);
	read_as(cpu, &kind, linear, &value, size);
	return value;
}

void soft_write(struct soft_cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_WRITE);

	check_alignment(cpu, linear, size);
	write_as(cpu, &kind, linear, &value, size);
}

void soft_read_bytes(struct soft_cpu *cpu, uint64_t linear, void *buffer, unsigned size)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_READ);

	read_as(cpu, &kind, linear, buffer, size);
}

void soft_write_bytes(struct soft_cpu *cpu, uint64_t linear, const void *buffer, unsigned size)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_WRITE);

	write_as(cpu, &kind, linear, buffer, size);
}

uint64_t soft_read_system(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const struct soft_access_kind kind = {.access = SOFT_READ, .implicit = true};
	uint64_t value = 0;

	read_as(cpu, &kind, linear, &value, size);
	return value;
}

void soft_write_system(struct soft_cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
	const struct soft_access_kind kind = {.access = SOFT_WRITE, .implicit = true};

	write_as(cpu, &kind, linear, &value, size);
}

void soft_write_as(struct soft_cpu *cpu, uint64_t linear, const void *buffer, unsigned size, bool user)
{
	const struct soft_access_kind kind = {.access = SOFT_WRITE, .user = user};

	write_as(cpu, &kind, linear, buffer, size);
}

void soft_probe_write(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_WRITE);
	struct span span;

	check_alignment(cpu, linear, size);
	span_translate(cpu, &kind, linear, size, &span);
}

uint64_t soft_translate_fetch(struct soft_cpu *cpu, uint64_t linear)
{
	const struct soft_access_kind kind = explicit_access(cpu, SOFT_FETCH);
	const uint8_t *host;

	check_canonical(cpu, linear);
	host = translate(cpu, &kind, linear);
	return (uint64_t)(host - cpu->memory->base);
}

void *soft_host_page(const struct soft_cpu *cpu, uint64_t hpa)
{
	hpa &= SOFT_PAGE_MASK;
	if (hpa >= cpu->memory->bytes)
		return NULL;
	return cpu->memory->base + hpa;
}
