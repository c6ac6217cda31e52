/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/lapic.h"

#include <string.h>

#include "shadowvmcs/caps.h"

/* Register numbers: offset in the xAPIC page / 16; also MSR number - 800H (table 11-6). */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_LVT_CMCI = 0x2f,
	REG_ICR_LOW = 0x30,
	REG_ICR_HIGH = 0x31,
	REG_LVT_TIMER = 0x32,
	REG_LVT_LINT0 = 0x35,
	REG_LVT_ERROR = 0x37,
	REG_TIMER_INITIAL = 0x38,
	REG_TIMER_CURRENT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

#define APIC_VERSION 0x00050014u /* integrated APIC, 6 LVT entries */
#define LVT_MASKED (1u << 16)
#define LVT_MODE(lvt) ((lvt) >> 8 & 7)
#define LVT_VECTOR 0xffu
#define LVT_BITS 0x1f7ffu
#define DELIVERY_FIXED 0u
#define DELIVERY_LOWEST 1u
#define DELIVERY_NMI 4u
#define DELIVERY_EXTINT 7u
#define TIMER_MODE(lvt) ((lvt) >> 17 & 3)
#define TIMER_ONE_SHOT 0u
#define TIMER_PERIODIC 1u
#define TIMER_TSC_DEADLINE 2u
#define SVR_ENABLED (1u << 8)
#define BASE_BSP (1ull << 8)
#define BASE_X2APIC (1ull << 10)
#define BASE_ENABLED (1ull << 11)
#define ESR_ILLEGAL_VECTOR_RECEIVED (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

static bool is_x2apic(const struct lapic *lapic)
{
	return lapic->base_msr & BASE_X2APIC;
}

static bool is_enabled(const struct lapic *lapic)
{
	return (lapic->base_msr & BASE_ENABLED) && (lapic->reg[REG_SVR] & SVR_ENABLED);
}

/* ---- IRR, ISR, TMR: 256 bits in eight registers ---- */

static void set_vector(struct lapic *lapic, unsigned first, uint8_t vector)
{
	lapic->reg[first + vector / 32] |= 1u << (vector % 32);
}

static void clear_vector(struct lapic *lapic, unsigned first, uint8_t vector)
{
	lapic->reg[first + vector / 32] &= ~(1u << (vector % 32));
}

static int highest_vector(const struct lapic *lapic, unsigned first)
{
	for (int word = 7; word >= 0; word--)
		if (lapic->reg[first + word])
			return word * 32 + 31 - __builtin_clz(lapic->reg[first + word]);
	return -1;
}

/** Processor priority, 11.8.3.1. */
static uint32_t processor_priority(const struct lapic *lapic)
{
	const int serving = highest_vector(lapic, REG_ISR);
	const uint32_t tpr = *lapic->tpr & 0xff;

	if (serving < 0 || (uint32_t)serving >> 4 <= tpr >> 4)
		return tpr;
	return (uint32_t)serving & 0xf0;
}

void lapic_raise(struct lapic *lapic, uint8_t vector)
{
	if (!is_enabled(lapic))
		return;
	if (vector < 16)
		lapic->reg[REG_ESR] |= ESR_ILLEGAL_VECTOR_RECEIVED;
	else
		set_vector(lapic, REG_IRR, vector);
}

void lapic_raise_line(struct lapic *lapic, uint8_t vector, bool level)
{
	/* The trigger-mode register says which vectors' EOIs go out to the I/O APIC (11.8.4). */
	if (level)
		set_vector(lapic, REG_TMR, vector);
	else
		clear_vector(lapic, REG_TMR, vector);
	lapic_raise(lapic, vector);
}

/* ---- timer: 11.5.4 ---- */

/** Clock ticks per count: bits 3, 1 and 0 of the divide configuration, 111b = 1. */
static unsigned divide_shift(const struct lapic *lapic)
{
	const uint32_t code = (lapic->reg[REG_TIMER_DIVIDE] & 3) | (lapic->reg[REG_TIMER_DIVIDE] >> 1 & 4);

	return (code + 1) & 7;
}

static void timer_arm(struct lapic *lapic)
{
	const uint64_t count = lapic->reg[REG_TIMER_INITIAL];

	lapic->timer_deadline = ~0ull;
	if (TIMER_MODE(lapic->reg[REG_LVT_TIMER]) != TIMER_TSC_DEADLINE && count)
		lapic->timer_deadline = lapic->timer_start + (count << divide_shift(lapic));
}

static void timer_fire(struct lapic *lapic)
{
	if (!(lapic->reg[REG_LVT_TIMER] & LVT_MASKED))
		lapic_raise(lapic, lapic->reg[REG_LVT_TIMER] & LVT_VECTOR);
}

/** Take in what has expired by now. Periods that passed unseen make one interrupt, as one bit of IRR would. */
static void timer_update(struct lapic *lapic)
{
	const uint64_t now = lapic->clock(lapic->ctx);

	if (lapic->tsc_deadline && now >= lapic->tsc_deadline) {
		lapic->tsc_deadline = 0;
		timer_fire(lapic);
	}
	if (now < lapic->timer_deadline)
		return;
	timer_fire(lapic);
	if (TIMER_MODE(lapic->reg[REG_LVT_TIMER]) == TIMER_PERIODIC) {
		const uint64_t period = (uint64_t)lapic->reg[REG_TIMER_INITIAL] << divide_shift(lapic);

		lapic->timer_start += (now - lapic->timer_start) / period * period;
		timer_arm(lapic);
	} else {
		lapic->timer_deadline = ~0ull;
	}
}

static uint32_t timer_current(const struct lapic *lapic)
{
	const uint64_t left = lapic->timer_deadline - lapic->clock(lapic->ctx);

	if (lapic->timer_deadline == ~0ull)
		return 0;
	return (uint32_t)((left + (1ull << divide_shift(lapic)) - 1) >> divide_shift(lapic));
}

/* ---- interprocessor interrupts: this CPU is the only one ---- */

static bool reaches_self(const struct lapic *lapic, uint32_t low, uint32_t destination)
{
	switch (low >> 18 & 3) {
	case 1: /* self */
	case 2: /* all including self */
		return true;
	case 3:
		return false;
	}
	if (low & 1u << 11) { /* logical */
		if (is_x2apic(lapic))
			return destination & lapic->reg[REG_LDR];
		return destination & lapic->reg[REG_LDR] >> 24;
	}
	return destination == (is_x2apic(lapic) ? 0xffffffffu : 0xffu) || destination == 0;
}

static void send_ipi(struct lapic *lapic, uint32_t low, uint32_t destination)
{
	const uint32_t mode = low >> 8 & 7;

	if (!reaches_self(lapic, low, destination))
		return;
	if (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST)
		lapic_raise(lapic, low & LVT_VECTOR);
	else if (mode == DELIVERY_NMI)
		lapic->nmi_pending = true;
}

static void end_of_interrupt(struct lapic *lapic)
{
	const int vector = highest_vector(lapic, REG_ISR);

	if (vector < 0)
		return;
	clear_vector(lapic, REG_ISR, (uint8_t)vector);
	if (lapic->eoi && (lapic->reg[REG_TMR + vector / 32] >> (vector % 32) & 1))
		lapic->eoi(lapic->eoi_ctx, (uint8_t)vector);
}

/* ---- registers ---- */

static bool register_exists(unsigned reg)
{
	return reg == REG_ID || reg == REG_VERSION || (reg >= REG_TPR && reg <= REG_ESR && reg != 9 && reg != 0xc) ||
	       (reg >= REG_LVT_CMCI && reg <= REG_TIMER_CURRENT) || reg == REG_TIMER_DIVIDE || reg == REG_SELF_IPI;
}

static uint32_t read_register(struct lapic *lapic, unsigned reg)
{
	timer_update(lapic);
	switch (reg) {
	case REG_VERSION:
		return APIC_VERSION;
	case REG_TPR:
		return *lapic->tpr;
	case REG_PPR:
		return processor_priority(lapic);
	case REG_TIMER_CURRENT:
		return timer_current(lapic);
	case REG_EOI:
	case REG_SELF_IPI:
		return 0;
	default:
		return lapic->reg[reg];
	}
}

static void write_lvt(struct lapic *lapic, unsigned reg, uint32_t value)
{
	const uint32_t before = lapic->reg[reg];

	lapic->reg[reg] = value & (reg == REG_LVT_TIMER ? LVT_BITS | 3u << 17 : LVT_BITS);
	/* 11.4.7.2: while the APIC is disabled by software the mask bits stay set. */
	if (!(lapic->reg[REG_SVR] & SVR_ENABLED))
		lapic->reg[reg] |= LVT_MASKED;
	/* To and from TSC-deadline mode the timer is disarmed; between the others it counts on (11.5.4.1). */
	if (reg == REG_LVT_TIMER &&
	        (TIMER_MODE(value) == TIMER_TSC_DEADLINE) != (TIMER_MODE(before) == TIMER_TSC_DEADLINE)) {
		lapic->tsc_deadline = 0;
		lapic->timer_deadline = ~0ull;
	}
}

/* The count goes on from where it is, at the new rate. */
static void write_divide(struct lapic *lapic, uint32_t value)
{
	const uint64_t left = timer_current(lapic);

	lapic->reg[REG_TIMER_DIVIDE] = value & 0xb;
	if (lapic->timer_deadline == ~0ull)
		return;
	lapic->timer_deadline = lapic->clock(lapic->ctx) + (left << divide_shift(lapic));
	lapic->timer_start = lapic->timer_deadline - ((uint64_t)lapic->reg[REG_TIMER_INITIAL] << divide_shift(lapic));
}

static void write_register(struct lapic *lapic, unsigned reg, uint32_t value)
{
	timer_update(lapic);
	switch (reg) {
	case REG_TPR:
		*lapic->tpr = value & 0xff;
		break;
	case REG_EOI:
		end_of_interrupt(lapic);
		break;
	case REG_ID:
	case REG_LDR:
		if (!is_x2apic(lapic))
			lapic->reg[reg] = value & 0xff000000u;
		break;
	case REG_DFR:
		lapic->reg[reg] = value | 0x0fffffffu;
		break;
	case REG_SVR:
		lapic->reg[reg] = value & 0x3ff;
		if (!(value & SVR_ENABLED))
			for (unsigned lvt = REG_LVT_TIMER; lvt <= REG_LVT_ERROR; lvt++)
				lapic->reg[lvt] |= LVT_MASKED;
		break;
	case REG_ESR:
		lapic->reg[reg] = 0;
		break;
	case REG_ICR_LOW:
		lapic->reg[reg] = value & ~(1u << 12); /* delivered at once: the status bit reads 0 */
		send_ipi(lapic, value, is_x2apic(lapic) ? lapic->reg[REG_ICR_HIGH] : lapic->reg[REG_ICR_HIGH] >> 24);
		break;
	case REG_SELF_IPI:
		lapic_raise(lapic, value & LVT_VECTOR);
		break;
	case REG_TIMER_INITIAL:
		lapic->reg[reg] = value;
		lapic->timer_start = lapic->clock(lapic->ctx);
		timer_arm(lapic);
		break;
	case REG_TIMER_DIVIDE:
		write_divide(lapic, value);
		break;
	case REG_ICR_HIGH:
		lapic->reg[reg] = value;
		break;
	default:
		if (reg == REG_LVT_CMCI || (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR))
			write_lvt(lapic, reg, value);
	}
}

/* ---- xAPIC page: 32-bit registers at multiples of 16 ---- */

static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	struct lapic *lapic = ctx;
	const unsigned reg = (unsigned)(offset >> 4);

	if (is_x2apic(lapic) || !(lapic->base_msr & BASE_ENABLED) || offset >= 0x400)
		return ~0ull;
	if (!register_exists(reg)) {
		lapic->reg[REG_ESR] |= ESR_ILLEGAL_REGISTER;
		return 0;
	}
	return read_register(lapic, reg) >> (8 * (offset & 3));
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct lapic *lapic = ctx;
	const unsigned reg = (unsigned)(offset >> 4);

	if (is_x2apic(lapic) || !(lapic->base_msr & BASE_ENABLED) || offset >= 0x400 || offset & 15)
		return;
	if (register_exists(reg) && reg != REG_SELF_IPI)
		write_register(lapic, reg, (uint32_t)value);
}

/* ---- MSRs ---- */

static void reset_registers(struct lapic *lapic)
{
	memset(lapic->reg, 0, sizeof(lapic->reg));
	*lapic->tpr = 0;
	lapic->reg[REG_SVR] = 0xff;
	lapic->reg[REG_DFR] = 0xffffffffu;
	for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
		lapic->reg[reg] = LVT_MASKED;
	lapic->reg[REG_LVT_CMCI] = LVT_MASKED;
	lapic->timer_deadline = ~0ull;
	lapic->tsc_deadline = 0;
}

/** 11.12.5: disabled <-> xAPIC -> x2APIC -> disabled; everything else faults. */
static bool write_base(struct lapic *lapic, uint64_t value)
{
	const uint64_t modes = BASE_ENABLED | BASE_X2APIC;
	const uint64_t before = lapic->base_msr & modes, after = value & modes;
	const uint64_t page_before = lapic->base_msr & ~0xfffull, page = value & ~0xfffull;

	if (after == BASE_X2APIC || (before == modes && after == BASE_ENABLED) || (before == 0 && after == modes))
		return false;
	if (value >> VMX_PHYSICAL_ADDRESS_BITS || (value & 0xfff & ~(modes | BASE_BSP)))
		return false;
	if (page != page_before && bus_move_mmio(lapic->bus, lapic, page_before, page))
		return false; /* another device is there */
	if (after == 0 && before != 0)
		reset_registers(lapic);
	lapic->base_msr = value;
	if (after == modes && before != modes) {
		lapic->reg[REG_ID] = 0;
		lapic->reg[REG_LDR] = 1; /* cluster 0, logical ID 0 (11.12.10.2) */
	}
	return true;
}

bool lapic_owns_msr(uint32_t msr)
{
	return msr == MSR_IA32_APIC_BASE || msr == MSR_IA32_TSC_DEADLINE ||
	       (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

bool lapic_read_msr(struct lapic *lapic, uint32_t msr, uint64_t *value)
{
	const unsigned reg = msr - MSR_X2APIC_FIRST;

	if (msr == MSR_IA32_APIC_BASE) {
		*value = lapic->base_msr;
		return true;
	}
	if (msr == MSR_IA32_TSC_DEADLINE) {
		timer_update(lapic);
		*value = lapic->tsc_deadline;
		return true;
	}
	if (!is_x2apic(lapic) || reg >= 64 || !register_exists(reg) || reg == REG_EOI || reg == REG_SELF_IPI ||
	        reg == REG_DFR || reg == REG_ICR_HIGH)
		return false;
	*value = read_register(lapic, reg);
	if (reg == REG_ICR_LOW)
		*value |= (uint64_t)lapic->reg[REG_ICR_HIGH] << 32;
	return true;
}

static bool x2apic_writable(unsigned reg)
{
	switch (reg) {
	case REG_ID:
	case REG_VERSION:
	case REG_PPR:
	case REG_LDR:
	case REG_DFR:
	case REG_ICR_HIGH:
	case REG_TIMER_CURRENT:
		return false;
	default:
		return reg < 64 && register_exists(reg) && !(reg >= REG_ISR && reg < REG_ESR);
	}
}

bool lapic_write_msr(struct lapic *lapic, uint32_t msr, uint64_t value)
{
	const unsigned reg = msr - MSR_X2APIC_FIRST;

	if (msr == MSR_IA32_APIC_BASE)
		return write_base(lapic, value);
	if (msr == MSR_IA32_TSC_DEADLINE) {
		if (TIMER_MODE(lapic->reg[REG_LVT_TIMER]) == TIMER_TSC_DEADLINE)
			lapic->tsc_deadline = value;
		return true;
	}
	if (!is_x2apic(lapic) || !x2apic_writable(reg))
		return false;
	if (reg == REG_ICR_LOW)
		lapic->reg[REG_ICR_HIGH] = (uint32_t)(value >> 32);
	else if (value >> 32)
		return false;
	if ((reg == REG_EOI || reg == REG_ESR) && value)
		return false;
	write_register(lapic, reg, (uint32_t)value);
	return true;
}

/* ---- towards the CPU ---- */

int lapic_pending(struct lapic *lapic)
{
	int vector;

	timer_update(lapic);
	if (!is_enabled(lapic))
		return -1;
	vector = highest_vector(lapic, REG_IRR);
	return vector >= 0 && (uint32_t)vector >> 4 > processor_priority(lapic) >> 4 ? vector : -1;
}

void lapic_accept(struct lapic *lapic, uint8_t vector)
{
	clear_vector(lapic, REG_IRR, vector);
	set_vector(lapic, REG_ISR, vector);
}

bool lapic_passes_extint(const struct lapic *lapic)
{
	const uint32_t lint0 = lapic->reg[REG_LVT_LINT0];

	/* Disabled it is wired through to the CPU (11.4.3); firmware leaves LINT0 so, too (virtual wire). */
	if (!is_enabled(lapic))
		return true;
	return !(lint0 & LVT_MASKED) && LVT_MODE(lint0) == DELIVERY_EXTINT;
}

uint64_t lapic_deadline(const struct lapic *lapic)
{
	if (lapic->tsc_deadline && lapic->tsc_deadline < lapic->timer_deadline)
		return lapic->tsc_deadline;
	return lapic->timer_deadline;
}

uint64_t lapic_get_cr8(const struct lapic *lapic)
{
	return *lapic->tpr >> 4 & 15;
}

void lapic_set_cr8(struct lapic *lapic, uint64_t cr8)
{
	*lapic->tpr = (uint32_t)(cr8 & 15) << 4;
}

uint32_t lapic_tpr_threshold(const struct lapic *lapic)
{
	const int vector = is_enabled(lapic) ? highest_vector(lapic, REG_IRR) : -1;

	return vector >= 0 && (uint32_t)vector >> 4 <= (*lapic->tpr >> 4 & 15) ? (uint32_t)vector >> 4 : 0;
}

int lapic_init(struct lapic *lapic, void *ctx, uint64_t (*clock)(void *ctx), struct bus *bus)
{
	const struct mmio_range range = {LAPIC_GPA, 0x1000, lapic, mmio_read, mmio_write};

	memset(lapic, 0, sizeof(*lapic));
	lapic->ctx = ctx;
	lapic->clock = clock;
	lapic->bus = bus;
	lapic->tpr = &lapic->reg[REG_TPR];
	lapic->base_msr = LAPIC_GPA | BASE_ENABLED | BASE_BSP;
	reset_registers(lapic);
	return bus_add_mmio(bus, &range);
}
