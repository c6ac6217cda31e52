/* SPDX-License-Identifier: Apache-2.0 */
/* Local APIC (SDM vol. 3, chapter 11), I/O APIC, 8259 pair, 8254: registers, priorities, timers, in a clock the test
 * moves. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "l0/interrupts.h"

struct pc {
	struct bus bus;
	struct interrupts interrupts;
	uint64_t now;
};

static uint64_t clock_of(void *ctx)
{
	return ((struct pc *)ctx)->now;
}

/** 1 GHz: a tick is a nanosecond. */
static void setup(struct pc *pc)
{
	memset(pc, 0, sizeof(*pc));
	ck_assert_int_eq(interrupts_init(&pc->interrupts, pc, clock_of, 1000000, &pc->bus), 0);
}

static uint32_t apic_read(struct pc *pc, unsigned offset)
{
	return (uint32_t)bus_mmio_read(&pc->bus, LAPIC_GPA + offset, 4);
}

static void apic_write(struct pc *pc, unsigned offset, uint32_t value)
{
	bus_mmio_write(&pc->bus, LAPIC_GPA + offset, 4, value);
}

static uint32_t in(struct pc *pc, uint16_t port)
{
	const struct port_access access = {.port = port, .size = 1};

	return bus_in(&pc->bus, &access) & 0xff;
}

static void out(struct pc *pc, uint16_t port, uint32_t value)
{
	const struct port_access access = {.port = port, .size = 1};

	bus_out(&pc->bus, &access, value);
}

static void enable(struct pc *pc)
{
	apic_write(pc, 0xf0, 0x1ff);
}

static int pending(struct pc *pc)
{
	return interrupts_pending(&pc->interrupts);
}

/** What the CPU would take now. */
static void take(struct pc *pc, int vector)
{
	ck_assert_int_eq(pending(pc), vector);
	interrupts_accept(&pc->interrupts, (uint8_t)vector);
}

START_TEST(test_reset)
{
	struct pc pc;

	setup(&pc);
	ck_assert_uint_eq(apic_read(&pc, 0x20), 0);
	ck_assert_uint_eq(apic_read(&pc, 0x30) & 0xff, 0x14);
	ck_assert_uint_eq(apic_read(&pc, 0xf0), 0xff);
	ck_assert_uint_eq(apic_read(&pc, 0xe0), 0xffffffff);
	for (unsigned lvt = 0x320; lvt <= 0x370; lvt += 0x10)
		ck_assert_uint_eq(apic_read(&pc, lvt), 0x10000);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert(interrupts_deadline(&pc.interrupts) == ~0ull);
	/* 11.4.7.2: while disabled by software the masks cannot be cleared. */
	apic_write(&pc, 0x320, 0x40);
	ck_assert_uint_eq(apic_read(&pc, 0x320), 0x10040);
}
END_TEST

/* Self-IPIs by shorthand, by physical and by logical destination; others do not reach this CPU. */
static const struct {
	uint32_t high, low;
	bool arrives;
} ipis[] = {
        {0, 0x40041, true},          /* shorthand self */
        {0, 0x80041, true},          /* all including self */
        {0, 0xc0041, false},         /* all but self */
        {0, 0x4041, true},           /* physical 0 */
        {1u << 24, 0x4041, false},   /* physical 1 */
        {0xffu << 24, 0x4041, true}, /* broadcast */
        {1u << 24, 0x4841, true},    /* logical: LDR is 1 */
        {2u << 24, 0x4841, false},
};

START_TEST(test_ipi)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	apic_write(&pc, 0xd0, 1u << 24);
	apic_write(&pc, 0x310, ipis[_i].high);
	apic_write(&pc, 0x300, ipis[_i].low);
	ck_assert_int_eq(pending(&pc), ipis[_i].arrives ? 0x41 : -1);
	ck_assert_uint_eq(apic_read(&pc, 0x220), ipis[_i].arrives ? 2 : 0);
}
END_TEST

START_TEST(test_nmi_ipi)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	apic_write(&pc, 0x300, 0x44400);
	ck_assert(pc.interrupts.lapic.nmi_pending);
	ck_assert_int_eq(pending(&pc), -1);
}
END_TEST

/* 11.8.3: priority classes, TPR, PPR, nesting, EOI. */
START_TEST(test_priority)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	apic_write(&pc, 0x300, 0x40045);
	apic_write(&pc, 0x300, 0x40061);
	take(&pc, 0x61);
	ck_assert_uint_eq(apic_read(&pc, 0x100 + 0x30), 2); /* ISR 61H */
	ck_assert_uint_eq(apic_read(&pc, 0xa0), 0x60);
	ck_assert_int_eq(pending(&pc), -1);
	apic_write(&pc, 0x300, 0x4006f); /* same class: waits */
	ck_assert_int_eq(pending(&pc), -1);
	apic_write(&pc, 0x300, 0x40070);
	take(&pc, 0x70);
	apic_write(&pc, 0xb0, 0); /* EOI of 70H */
	ck_assert_int_eq(pending(&pc), -1);
	apic_write(&pc, 0xb0, 0); /* of 61H */
	take(&pc, 0x6f);
	apic_write(&pc, 0xb0, 0);
	apic_write(&pc, 0x80, 0x40);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert_uint_eq(apic_read(&pc, 0xa0), 0x40);
	ck_assert_uint_eq(lapic_get_cr8(&pc.interrupts.lapic), 4);
	lapic_set_cr8(&pc.interrupts.lapic, 3);
	take(&pc, 0x45);
}
END_TEST

START_TEST(test_illegal_vector)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	apic_write(&pc, 0x300, 0x40005);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert_uint_ne(apic_read(&pc, 0x280), 0);
	apic_write(&pc, 0x280, 0);
	ck_assert_uint_eq(apic_read(&pc, 0x280), 0);
}
END_TEST

/* Divide configuration (figure 11-10): 2, 4, ..., 128, 1. */
START_TEST(test_timer_divide)
{
	static const struct {
		uint32_t code;
		unsigned by;
	} divisors[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
	struct pc pc;

	setup(&pc);
	enable(&pc);
	pc.now = 12345;
	apic_write(&pc, 0x3e0, divisors[_i].code);
	apic_write(&pc, 0x320, 0x50);
	apic_write(&pc, 0x380, 100);
	ck_assert_uint_eq(apic_read(&pc, 0x390), 100);
	ck_assert_uint_eq(interrupts_deadline(&pc.interrupts), 12345 + 100 * divisors[_i].by);
	pc.now += 60 * divisors[_i].by;
	ck_assert_uint_eq(apic_read(&pc, 0x390), 40);
	pc.now += 40 * divisors[_i].by - 1;
	ck_assert_int_eq(pending(&pc), -1);
	pc.now++;
	take(&pc, 0x50);
	ck_assert_uint_eq(apic_read(&pc, 0x390), 0);
	ck_assert(interrupts_deadline(&pc.interrupts) == ~0ull);
}
END_TEST

START_TEST(test_timer_periodic)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	apic_write(&pc, 0x3e0, 11);
	apic_write(&pc, 0x320, 0x20050);
	apic_write(&pc, 0x380, 1000);
	for (unsigned n = 1; n <= 3; n++) {
		pc.now = n * 1000;
		take(&pc, 0x50);
		apic_write(&pc, 0xb0, 0);
		ck_assert_uint_eq(interrupts_deadline(&pc.interrupts), (n + 1) * 1000);
	}
	/* Periods nobody looked at are one interrupt, and the phase stays. */
	pc.now = 7500;
	take(&pc, 0x50);
	apic_write(&pc, 0xb0, 0);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert_uint_eq(interrupts_deadline(&pc.interrupts), 8000);
	/* Masked it counts but does not interrupt; a count of 0 stops it. */
	apic_write(&pc, 0x320, 0x30050);
	pc.now = 9000;
	ck_assert_int_eq(pending(&pc), -1);
	apic_write(&pc, 0x380, 0);
	ck_assert(interrupts_deadline(&pc.interrupts) == ~0ull);
}
END_TEST

START_TEST(test_tsc_deadline)
{
	struct pc pc;
	uint64_t value;

	setup(&pc);
	enable(&pc);
	ck_assert(lapic_write_msr(&pc.interrupts.lapic, MSR_IA32_TSC_DEADLINE, 500));
	ck_assert(lapic_read_msr(&pc.interrupts.lapic, MSR_IA32_TSC_DEADLINE, &value));
	ck_assert_uint_eq(value, 0); /* ignored outside TSC-deadline mode (11.5.4.1) */
	apic_write(&pc, 0x320, 0x40060);
	ck_assert(lapic_write_msr(&pc.interrupts.lapic, MSR_IA32_TSC_DEADLINE, 500));
	ck_assert_uint_eq(interrupts_deadline(&pc.interrupts), 500);
	pc.now = 499;
	ck_assert_int_eq(pending(&pc), -1);
	pc.now = 500;
	take(&pc, 0x60);
	ck_assert(lapic_read_msr(&pc.interrupts.lapic, MSR_IA32_TSC_DEADLINE, &value));
	ck_assert_uint_eq(value, 0);
}
END_TEST

/* 11.12: mode changes, MSR access, reserved accesses. */
START_TEST(test_x2apic)
{
	struct pc pc;
	struct lapic *lapic;
	uint64_t value;

	setup(&pc);
	lapic = &pc.interrupts.lapic;
	ck_assert(!lapic_read_msr(lapic, 0x802, &value)); /* not in x2APIC mode */
	ck_assert(!lapic_write_msr(lapic, MSR_IA32_APIC_BASE, LAPIC_GPA | 0x500));
	ck_assert(lapic_write_msr(lapic, MSR_IA32_APIC_BASE, LAPIC_GPA | 0xd00));
	ck_assert(!lapic_write_msr(lapic, MSR_IA32_APIC_BASE, LAPIC_GPA | 0x900)); /* only through disabled */
	ck_assert_uint_eq(apic_read(&pc, 0x30), 0xffffffff);                       /* the page is gone */
	ck_assert(lapic_read_msr(lapic, 0x802, &value));
	ck_assert_uint_eq(value, 0);
	ck_assert(lapic_read_msr(lapic, 0x80d, &value));
	ck_assert_uint_eq(value, 1);
	ck_assert(lapic_write_msr(lapic, 0x80f, 0x1ff));
	ck_assert(lapic_write_msr(lapic, 0x83f, 0x55)); /* self IPI */
	take(&pc, 0x55);
	ck_assert(!lapic_write_msr(lapic, 0x80b, 1)); /* EOI takes 0 only */
	ck_assert(lapic_write_msr(lapic, 0x80b, 0));
	ck_assert(lapic_write_msr(lapic, 0x830, 0xffffffff00004056ull));
	take(&pc, 0x56);
	ck_assert(!lapic_write_msr(lapic, 0x802, 0));
	ck_assert(!lapic_write_msr(lapic, 0x808, 1ull << 32));
	ck_assert(!lapic_read_msr(lapic, 0x831, &value));
	ck_assert(!lapic_read_msr(lapic, 0x83f, &value));
	ck_assert(lapic_write_msr(lapic, MSR_IA32_APIC_BASE, LAPIC_GPA | 0x100));
	ck_assert(!lapic_read_msr(lapic, 0x802, &value));
}
END_TEST

/* ---- 8259 ---- */

static void init_pic(struct pc *pc)
{
	out(pc, 0x20, 0x11);
	out(pc, 0x21, 0x20);
	out(pc, 0x21, 4);
	out(pc, 0x21, 1);
	out(pc, 0xa0, 0x11);
	out(pc, 0xa1, 0x28);
	out(pc, 0xa1, 2);
	out(pc, 0xa1, 1);
	out(pc, 0x21, 0);
	out(pc, 0xa1, 0);
}

static void pulse(struct pc *pc, unsigned line)
{
	pic_set_line(&pc->interrupts.pic, line, true);
	pic_set_line(&pc->interrupts.pic, line, false);
}

START_TEST(test_pic)
{
	struct pc pc;

	setup(&pc);
	pulse(&pc, 1);
	ck_assert_int_eq(pending(&pc), -1); /* masked at start */
	init_pic(&pc);
	pulse(&pc, 4);
	pulse(&pc, 1);
	take(&pc, 0x21); /* the lower line first */
	ck_assert_int_eq(pending(&pc), -1);
	out(&pc, 0x20, 0x0b);
	ck_assert_uint_eq(in(&pc, 0x20), 2); /* ISR */
	out(&pc, 0x20, 0x20);
	take(&pc, 0x24);
	pulse(&pc, 0);
	take(&pc, 0x20); /* interrupts line 4 */
	out(&pc, 0x20, 0x20);
	out(&pc, 0x20, 0x60 | 4); /* specific EOI */
	ck_assert_uint_eq(in(&pc, 0x20), 0);
	/* The second chip through line 2; its own lines' masks. */
	pulse(&pc, 8);
	take(&pc, 0x28);
	out(&pc, 0xa0, 0x20);
	out(&pc, 0x20, 0x20);
	out(&pc, 0xa1, 0x10);
	pulse(&pc, 12);
	ck_assert_int_eq(pending(&pc), -1);
	out(&pc, 0xa1, 0);
	take(&pc, 0x2c);
}
END_TEST

START_TEST(test_pic_level)
{
	struct pc pc;

	setup(&pc);
	init_pic(&pc);
	out(&pc, 0x4d1, 0x02); /* line 9 */
	ck_assert_uint_eq(in(&pc, 0x4d1), 2);
	pic_set_line(&pc.interrupts.pic, 9, true);
	take(&pc, 0x29);
	out(&pc, 0xa0, 0x20);
	out(&pc, 0x20, 0x20);
	take(&pc, 0x29); /* still high */
	pic_set_line(&pc.interrupts.pic, 9, false);
	out(&pc, 0xa0, 0x20);
	out(&pc, 0x20, 0x20);
	ck_assert_int_eq(pending(&pc), -1);
}
END_TEST

/* LINT0 decides whether the pair is heard once the APIC is on. */
START_TEST(test_extint)
{
	struct pc pc;

	setup(&pc);
	init_pic(&pc);
	pulse(&pc, 1);
	ck_assert_int_eq(pending(&pc), 0x21);
	enable(&pc);
	ck_assert_int_eq(pending(&pc), -1);
	apic_write(&pc, 0x350, 0x700);
	ck_assert_int_eq(pending(&pc), 0x21);
}
END_TEST

/* ---- 8254 ---- */

static void load_counter(struct pc *pc, unsigned channel, unsigned mode, unsigned count)
{
	out(pc, 0x43, channel << 6 | 0x30 | mode << 1);
	out(pc, (uint16_t)(0x40 + channel), count & 0xff);
	out(pc, (uint16_t)(0x40 + channel), count >> 8);
}

static unsigned read_counter(struct pc *pc, unsigned channel)
{
	unsigned low;

	out(pc, 0x43, channel << 6);
	low = in(pc, (uint16_t)(0x40 + channel));
	return low | in(pc, (uint16_t)(0x40 + channel)) << 8;
}

START_TEST(test_pit_one_shot)
{
	struct pc pc;
	uint64_t deadline;

	setup(&pc);
	init_pic(&pc);
	pc.now = 1000000;
	load_counter(&pc, 0, 0, 11932); /* 10 ms */
	ck_assert_uint_eq(read_counter(&pc, 0), 11932);
	pc.now += 5000000;
	ck_assert_uint_eq(read_counter(&pc, 0), 11932 - 5965); /* 5 ms */
	deadline = interrupts_deadline(&pc.interrupts);
	ck_assert_uint_ge(deadline, 1000000 + 10000000);
	ck_assert_uint_le(deadline, 1000000 + 10001000);
	pc.now = deadline - 1;
	ck_assert_int_eq(pending(&pc), -1);
	pc.now = deadline;
	take(&pc, 0x20);
	out(&pc, 0x20, 0x20);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert(interrupts_deadline(&pc.interrupts) == ~0ull);
}
END_TEST

START_TEST(test_pit_periodic)
{
	struct pc pc;

	setup(&pc);
	init_pic(&pc);
	load_counter(&pc, 0, 2, 1193);
	for (unsigned n = 0; n < 5; n++) {
		pc.now = interrupts_deadline(&pc.interrupts);
		take(&pc, 0x20);
		out(&pc, 0x20, 0x20);
		ck_assert_int_eq(pending(&pc), -1);
	}
	/* Five periods of 1193 / 1.193182 MHz. */
	ck_assert_uint_ge(pc.now, 4999230);
	ck_assert_uint_le(pc.now, 4999245);
}
END_TEST

/* Channel 2 and its gate: how kernels measure a delay. */
START_TEST(test_pit_channel_2)
{
	struct pc pc;

	setup(&pc);
	out(&pc, 0x61, 0);
	load_counter(&pc, 2, 0, 1193);
	out(&pc, 0x61, 1);
	ck_assert_uint_eq(in(&pc, 0x61) & 0x21, 1);
	pc.now += 999000;
	ck_assert_uint_eq(in(&pc, 0x61) & 0x20, 0);
	pc.now += 2000;
	ck_assert_uint_eq(in(&pc, 0x61) & 0x20, 0x20);
	/* Read-back of status: output high, mode 0. */
	out(&pc, 0x43, 0xe8);
	ck_assert_uint_eq(in(&pc, 0x42), 0xb0);
}
END_TEST

/* ---- I/O APIC ---- */

static uint32_t io_read(struct pc *pc, unsigned reg)
{
	bus_mmio_write(&pc->bus, IOAPIC_GPA, 4, reg);
	return (uint32_t)bus_mmio_read(&pc->bus, IOAPIC_GPA + 0x10, 4);
}

static void io_write(struct pc *pc, unsigned reg, uint32_t value)
{
	bus_mmio_write(&pc->bus, IOAPIC_GPA, 4, reg);
	bus_mmio_write(&pc->bus, IOAPIC_GPA + 0x10, 4, value);
}

START_TEST(test_ioapic_registers)
{
	struct pc pc;

	setup(&pc);
	ck_assert_uint_eq(io_read(&pc, 1), 0x00170020);
	for (unsigned line = 0; line < 24; line++)
		ck_assert_uint_eq(io_read(&pc, 0x10 + 2 * line), 0x10000);
	io_write(&pc, 0, 3u << 24);
	ck_assert_uint_eq(io_read(&pc, 0), 3u << 24);
	io_write(&pc, 0x13, 0x05000000);
	ck_assert_uint_eq(io_read(&pc, 0x13), 0x05000000);
	io_write(&pc, 0x12, 0xffffffff); /* remote IRR and delivery status are read-only */
	ck_assert_uint_eq(io_read(&pc, 0x12), 0x1afff);
}
END_TEST

START_TEST(test_ioapic_edge)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	io_write(&pc, 0x10 + 2 * 5, 0x45);
	out(&pc, 0x2005, 1);
	take(&pc, 0x45);
	apic_write(&pc, 0xb0, 0);
	out(&pc, 0x2005, 1); /* still high: no edge */
	ck_assert_int_eq(pending(&pc), -1);
	out(&pc, 0x2005, 0);
	out(&pc, 0x2005, 1);
	take(&pc, 0x45);
	apic_write(&pc, 0xb0, 0);
	io_write(&pc, 0x10 + 2 * 5, 0x10045);
	out(&pc, 0x2005, 0);
	out(&pc, 0x2005, 1);
	ck_assert_int_eq(pending(&pc), -1);
}
END_TEST

/* Level: remote IRR from delivery to EOI, again while the pin is high, masked in between. */
START_TEST(test_ioapic_level)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	io_write(&pc, 0x10 + 2 * 9, 0x8049);
	out(&pc, 0x2009, 1);
	take(&pc, 0x49);
	ck_assert_uint_eq(io_read(&pc, 0x10 + 2 * 9), 0xc049);
	ck_assert_uint_eq(apic_read(&pc, 0x180 + 0x20), 1u << 9);
	apic_write(&pc, 0xb0, 0);
	take(&pc, 0x49);
	out(&pc, 0x2009, 0);
	apic_write(&pc, 0xb0, 0);
	ck_assert_int_eq(pending(&pc), -1);
	ck_assert_uint_eq(io_read(&pc, 0x10 + 2 * 9), 0x8049);
	io_write(&pc, 0x10 + 2 * 9, 0x18049);
	out(&pc, 0x2009, 1);
	ck_assert_int_eq(pending(&pc), -1);
	io_write(&pc, 0x10 + 2 * 9, 0x8049);
	take(&pc, 0x49);
}
END_TEST

/* The 8254 on pin 2, and an NMI from a pin. */
START_TEST(test_ioapic_timer_and_nmi)
{
	struct pc pc;

	setup(&pc);
	enable(&pc);
	io_write(&pc, 0x10 + 2 * 2, 0x50);
	load_counter(&pc, 0, 2, 1193);
	pc.now = interrupts_deadline(&pc.interrupts);
	take(&pc, 0x50);
	io_write(&pc, 0x10 + 2 * 7, 0x400);
	out(&pc, 0x2007, 1);
	ck_assert(pc.interrupts.lapic.nmi_pending);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l0: interrupts");
	TCase *tests = tcase_create("interrupts");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, test_reset);
	tcase_add_loop_test(tests, test_ipi, 0, sizeof(ipis) / sizeof(ipis[0]));
	tcase_add_test(tests, test_nmi_ipi);
	tcase_add_test(tests, test_priority);
	tcase_add_test(tests, test_illegal_vector);
	tcase_add_loop_test(tests, test_timer_divide, 0, 8);
	tcase_add_test(tests, test_timer_periodic);
	tcase_add_test(tests, test_tsc_deadline);
	tcase_add_test(tests, test_x2apic);
	tcase_add_test(tests, test_pic);
	tcase_add_test(tests, test_pic_level);
	tcase_add_test(tests, test_extint);
	tcase_add_test(tests, test_pit_one_shot);
	tcase_add_test(tests, test_pit_periodic);
	tcase_add_test(tests, test_pit_channel_2);
	tcase_add_test(tests, test_ioapic_registers);
	tcase_add_test(tests, test_ioapic_edge);
	tcase_add_test(tests, test_ioapic_level);
	tcase_add_test(tests, test_ioapic_timer_and_nmi);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
