/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The local APIC of the one CPU (SDM vol. 3, chapter 11): xAPIC page, x2APIC MSRs, timer, self-IPIs. Times are values
 * of the machine's clock, which L1's TSC follows.
 */
#ifndef TESTUDO_L0_DEV_LAPIC_H
#define TESTUDO_L0_DEV_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/dev/bus.h"

#define LAPIC_GPA 0xfee00000ull
#define MSR_IA32_APIC_BASE 0x1bu
#define LAPIC_BASE_ENABLED (1u << 11)
#define MSR_IA32_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8ffu

struct lapic {
	void *ctx;
	uint64_t (*clock)(void *ctx);
	struct bus *bus;
	uint64_t base_msr; /**< IA32_APIC_BASE: bit 11 enabled, bit 10 x2APIC, bit 8 BSP */
	/** The registers, by offset / 16 of the xAPIC page (table 11-1). */
	uint32_t reg[64];
	uint64_t timer_start;    /**< clock() at the last write of the initial count */
	uint64_t timer_deadline; /**< clock() of the next expiry; ~0 = none */
	uint64_t tsc_deadline;   /**< IA32_TSC_DEADLINE; 0 = not armed */
	/** Told of each EOI of a level-triggered vector; NULL = nobody. */
	void (*eoi)(void *ctx, uint8_t vector);
	void *eoi_ctx;
	bool nmi_pending; /**< an NMI was sent to this CPU */
	/** The task-priority register: in `reg`, or in the virtual-APIC page where MOV to CR8 writes it. */
	uint32_t *tpr;
};

/** Reset and put the xAPIC page on the bus. 0 or -errno (see bus_add_mmio). */
int lapic_init(struct lapic *lapic, void *ctx, uint64_t (*clock)(void *ctx), struct bus *bus);

/** IA32_APIC_BASE (its page moves on the bus; memory at the new place stays memory), IA32_TSC_DEADLINE and the x2APIC
 * MSRs. False: no such MSR here, or #GP. */
bool lapic_owns_msr(uint32_t msr);
bool lapic_read_msr(struct lapic *lapic, uint32_t msr, uint64_t *value);
bool lapic_write_msr(struct lapic *lapic, uint32_t msr, uint64_t value);

/** A fixed interrupt arrives: a message, or the I/O APIC's, edge- or level-triggered. */
void lapic_raise(struct lapic *lapic, uint8_t vector);
void lapic_raise_line(struct lapic *lapic, uint8_t vector, bool level);

/** The vector to deliver now, or -1; timer expiries up to clock() are taken in first. It stays pending until
 * lapic_accept. */
int lapic_pending(struct lapic *lapic);
/** The CPU took it: from IRR to ISR. */
void lapic_accept(struct lapic *lapic, uint8_t vector);

/** Does LINT0 let the 8259's interrupts through? */
bool lapic_passes_extint(const struct lapic *lapic);

/** clock() value at which lapic_pending may change by itself; ~0 = never. */
uint64_t lapic_deadline(const struct lapic *lapic);

/** The task-priority register as CR8 shows it (bits 7:4). */
uint64_t lapic_get_cr8(const struct lapic *lapic);
/** Below which task priority (bits 7:4) an interrupt that waits can be taken; 0: none waits for that. */
uint32_t lapic_tpr_threshold(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint64_t cr8);

#endif
