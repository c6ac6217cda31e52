/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers kernels calibrate and schedule with: the local APIC's in its three modes, the 8254's channels 0 and 2, the
 * TSC. SDM vol. 3, 11.5.4 and 18.17.
 */
#include "guest.h"

#define APIC_PAGE 0xfee00000ull
#define PIT_HZ 1193182u
enum {
	APIC_EOI = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0
};
#define TIMER_PERIODIC (1u << 17)
#define TIMER_DEADLINE (2u << 17)
#define LVT_MASKED (1u << 16)
#define LVT_EXTINT (7u << 8)
#define MSR_TSC 0x10u
#define MSR_TSC_ADJUST 0x3bu
#define MSR_TSC_DEADLINE 0x6e0u
#define VECTOR_TIMER 0xee

static volatile u64 ticks, tick_tsc;

static void apic_write(u32 reg, u32 value)
{
	*(volatile u32 *)(APIC_PAGE + reg) = value;
}
static u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(APIC_PAGE + reg);
}

static void tick(struct trap *trap)
{
	ticks++;
	tick_tsc = rdtsc();
	apic_write(APIC_EOI, 0);
}

static void wait_ticks(u64 count)
{
	const u64 start = rdtsc();

	sti();
	while (ticks < count && rdtsc() - start < 20000000)
		pause();
	cli();
}

/* ---- local APIC ---- */

static void test_one_shot(void)
{
	u64 start;

	ticks = 0;
	apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	start = rdtsc();
	apic_write(APIC_TIMER_INITIAL, 0x10000);
	check(apic_read(APIC_TIMER_CURRENT) <= 0x10000 && apic_read(APIC_TIMER_CURRENT) > 0, "one-shot: it counts");
	wait_ticks(1);
	check(ticks == 1 && tick_tsc - start >= 0x10000, "one-shot: after its count, not before");
	check_equal(apic_read(APIC_TIMER_CURRENT), 0, "one-shot: at 0");
	wait_ticks(2);
	check_equal(ticks, 1, "one-shot: once");
}

static void test_divide(void)
{
	u64 by_1, by_16, start = rdtsc();

	ticks = 0;
	apic_write(APIC_TIMER_INITIAL, 0x8000);
	wait_ticks(1);
	by_1 = tick_tsc - start;
	apic_write(APIC_TIMER_DIVIDE, 3); /* by 16 */
	start = rdtsc();
	apic_write(APIC_TIMER_INITIAL, 0x8000);
	wait_ticks(2);
	by_16 = tick_tsc - start;
	check(by_16 > 12 * by_1 && by_16 < 20 * by_1, "dividing by 16 takes 16 times as long");
	apic_write(APIC_TIMER_DIVIDE, 0xb);
}

static void test_periodic(void)
{
	u64 start;

	ticks = 0;
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | TIMER_PERIODIC);
	start = rdtsc();
	apic_write(APIC_TIMER_INITIAL, 0x20000);
	wait_ticks(5);
	check(ticks == 5 && tick_tsc - start >= 5ull * 0x20000, "periodic: five periods, five interrupts");
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | TIMER_PERIODIC | LVT_MASKED);
	ticks = 0;
	start = rdtsc();
	sti();
	while (rdtsc() - start < 0x80000)
		pause();
	cli();
	check_equal(ticks, 0, "masked: none");
	apic_write(APIC_TIMER_INITIAL, 0);
	check_equal(apic_read(APIC_TIMER_CURRENT), 0, "an initial count of 0 stops it");
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | TIMER_PERIODIC);
	ticks = 0;
	apic_write(APIC_TIMER_INITIAL, 0x10000);
	while (ticks < 3)
		asm volatile("sti; hlt; cli" : : : "memory");
	check(true, "periodic: it ends HLT, again and again");
	apic_write(APIC_TIMER_INITIAL, 0);
}

static void test_deadline(void)
{
	u64 deadline;

	if (!(cpuid(1, 0).c & 1u << 24)) {
		print("no TSC deadline here\n");
		return;
	}
	ticks = 0;
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | TIMER_DEADLINE);
	deadline = rdtsc() + 100000;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	check_equal(rdmsr(MSR_TSC_DEADLINE), deadline, "deadline: armed");
	wait_ticks(1);
	check(ticks == 1 && tick_tsc >= deadline, "deadline: reached");
	check_equal(rdmsr(MSR_TSC_DEADLINE), 0, "deadline: then it reads 0");
	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	take_interrupts();
	check_equal(ticks, 2, "a deadline in the past: at once");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 10000);
	wrmsr(MSR_TSC_DEADLINE, 0);
	wait_ticks(3);
	check_equal(ticks, 2, "0 disarms it");
	apic_write(APIC_TIMER_INITIAL, 1000);
	check_equal(apic_read(APIC_TIMER_CURRENT), 0, "the initial count means nothing in this mode");
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

/* ---- 8254 ---- */

/* TSC ticks of `count` PIT clocks, by channel 2 with its gate in port 61H, as calibrations do. */
static u64 channel_2(u16 count)
{
	u64 start;

	out8(0x61, (in8(0x61) & ~2u) | 1);
	out8(0x43, 0xb0); /* channel 2, both bytes, mode 0 */
	out8(0x42, (u8)count);
	out8(0x42, (u8)(count >> 8));
	start = rdtsc();
	while (!(in8(0x61) & 0x20))
		if (rdtsc() - start > 4000000000)
			return 0;
	return rdtsc() - start;
}

static void test_calibration(void)
{
	const u64 once = channel_2(11932), twice = channel_2(23864); /* 10 and 20 ms */
	u64 hz = cpuid(0, 0).a >= 0x15 ? (u64)cpuid(0x15, 0).c : 0;

	check(once && twice > once * 19 / 10 && twice < once * 21 / 10, "channel 2 counts evenly: %u and %u ticks",
	        once, twice);
	if (hz && cpuid(0x15, 0).a == cpuid(0x15, 0).b)
		check(once > hz / 110 && once < hz / 90, "10 ms of it are 10 ms of the TSC CPUID announces");
}

static u16 channel_0_now(void)
{
	u16 value;

	out8(0x43, 0);
	value = in8(0x40);
	return (u16)(value | in8(0x40) << 8);
}

static void pit_tick(struct trap *trap)
{
	ticks++;
	out8(0x20, 0x20);
}

static void test_channel_0(void)
{
	const u16 reload = 5966; /* 5 ms */
	u16 first, second;

	out8(0x20, 0x11);
	out8(0x21, 0x90);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0x21, 0xfe); /* line 0 only */
	out8(0x43, 0x34); /* channel 0, both bytes, mode 2 */
	out8(0x40, (u8)reload);
	out8(0x40, reload >> 8);
	first = channel_0_now();
	second = channel_0_now();
	check(first <= reload && second <= first, "channel 0 counts down from its reload value");
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	trap_handlers[0x90] = pit_tick;
	ticks = 0;
	for (unsigned i = 0; i < 3; i++)
		asm volatile("sti; hlt; cli" : : : "memory");
	check_equal(ticks, 3, "its interrupts come through the 8259 and LINT0");
	out8(0x21, 0xff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

/* ---- TSC ---- */

static void test_tsc(void)
{
	u64 before = rdtsc(), now, value;
	bool forward = true;

	for (unsigned i = 0; i < 1000; i++, before = now) {
		now = rdtsc();
		forward = forward && now > before;
	}
	check(forward, "the TSC grows with each reading");
	value = rdmsr(MSR_TSC);
	check(rdtsc() > value && rdtsc() - value < 100000000, "the MSR and RDTSC agree");
	wrmsr(MSR_TSC, 0);
	check(rdtsc() < 100000000, "a write to the MSR sets it");
	if (cpuid(7, 0).b & 2) {
		const u64 adjust = rdmsr(MSR_TSC_ADJUST);
		before = rdtsc();
		wrmsr(MSR_TSC_ADJUST, adjust + 1000000000000);
		check(rdtsc() - before >= 1000000000000, "TSC_ADJUST moves it");
		wrmsr(MSR_TSC_ADJUST, adjust);
	}
	if (cpuid(0x80000001, 0).d & 1u << 27) {
		u32 aux, low, high;
		wrmsr(0xc0000103, 0x12345);
		asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
		check_equal(aux, 0x12345, "RDTSCP gives TSC_AUX");
	}
	write_cr4(read_cr4() | CR4_TSD);
	GUARD("rdtsc", : : "rax", "rdx");
	check_equal(caught.vector, NO_TRAP, "CR4.TSD leaves ring 0 its RDTSC");
	write_cr4(read_cr4() & ~(u64)CR4_TSD);
}

void test_main(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~0x400ull) | 0x800);
	apic_write(APIC_SPURIOUS, 0x1ff);
	trap_handlers[VECTOR_TIMER] = tick;
	test_one_shot();
	test_divide();
	test_periodic();
	test_deadline();
	test_calibration();
	test_channel_0();
	test_tsc();
}
