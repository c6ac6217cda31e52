/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC of one processor, in xAPIC and x2APIC mode, and the 8259 pair beside it. SDM vol. 3, chapter 11.
 */
#include "guest.h"

#define APIC_PAGE 0xfee00000ull
#define APIC_ENABLED (1u << 11)
#define APIC_X2 (1u << 10)
#define APIC_BSP (1u << 8)
enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_ISR = 0x100,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0
};
#define ICR_SELF (1u << 18)
#define ICR_ALL (2u << 18)
#define ICR_ALL_BUT_SELF (3u << 18)
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_ASSERT (1u << 14)

static bool x2apic;
static u64 arrived[256], order[8], order_count;

static u32 apic_read(u32 reg)
{
	return x2apic ? (u32)rdmsr(0x800 + reg / 16) : *(volatile u32 *)(APIC_PAGE + reg);
}

static void apic_write(u32 reg, u32 value)
{
	if (x2apic)
		wrmsr(0x800 + reg / 16, value);
	else
		*(volatile u32 *)(APIC_PAGE + reg) = value;
}

static void apic_ipi(u32 command, u32 to)
{
	if (x2apic) {
		wrmsr(0x830, (u64)to << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, to << 24);
	apic_write(APIC_ICR, command);
}

static bool apic_bit(u32 reg, unsigned vector)
{
	return apic_read(reg + vector / 32 * 16) >> vector % 32 & 1;
}

static void count(struct trap *trap)
{
	arrived[trap->vector]++;
	if (order_count < 8)
		order[order_count++] = trap->vector;
	apic_write(APIC_EOI, 0);
}

static void handle(unsigned vector, trap_handler handler)
{
	arrived[vector] = 0;
	trap_handlers[vector] = handler;
}

/* ---- modes ---- */

static void enable_xapic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(u64)(APIC_ENABLED | APIC_X2));
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_ENABLED);
	x2apic = false;
	apic_write(APIC_SPURIOUS, 0x1ff);
}

static void enable_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_ENABLED | APIC_X2);
	x2apic = true;
	apic_write(APIC_SPURIOUS, 0x1ff);
}

static void test_modes(void)
{
	const u64 base = APIC_PAGE | APIC_BSP;
	const u32 apic_version = apic_read(APIC_VERSION);

	check_equal(rdmsr(MSR_APIC_BASE) & ~(u64)APIC_X2, base | APIC_ENABLED, "the APIC is on, at its page");
	enable_x2apic();
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_ENABLED), VECTOR_GP, "x2APIC to xAPIC: #GP");
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_X2), VECTOR_GP, "x2APIC to the invalid mode: #GP");
	check_equal(try_wrmsr(MSR_APIC_BASE, base), NO_TRAP, "x2APIC to off");
	check_equal(cpuid(1, 0).d >> 9 & 1, 0, "CPUID hides an APIC that is off");
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_ENABLED | APIC_X2), VECTOR_GP, "off to x2APIC: #GP");
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_ENABLED), NO_TRAP, "off to xAPIC");
	check_equal(cpuid(1, 0).d >> 9 & 1, 1, "CPUID shows it again");
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_ENABLED | 1), VECTOR_GP, "reserved low bits: #GP");
	check_equal(try_wrmsr(MSR_APIC_BASE, base | APIC_ENABLED | 1ull << (cpuid(0x80000008, 0).a & 0xff)), VECTOR_GP,
	        "beyond the physical width: #GP");
	x2apic = false;
	check_equal(try_wrmsr(MSR_APIC_BASE, 0xfed40000 | APIC_BSP | APIC_ENABLED), NO_TRAP, "the page can be moved");
	check(*(volatile u32 *)(0xfed40000 + APIC_VERSION) == apic_version, "  and answers there");
	check_equal(apic_read(APIC_VERSION), ~0u, "  and no longer where it was");
	wrmsr(MSR_APIC_BASE, base | APIC_ENABLED);
	check_equal(apic_read(APIC_VERSION), apic_version, "  until it comes back");
}

static void test_registers(void)
{
	const u32 version = apic_read(APIC_VERSION);
	u64 value;

	check((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15, "an integrated APIC's version");
	check((version >> 16 & 0xff) >= 3, "with its local vector table");
	check_equal(x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24, cpuid(1, 0).b >> 24, "the id CPUID names");
	apic_write(APIC_TPR, 0x20);
	check_equal(read_cr8(), 2, "CR8 is the task priority");
	write_cr8(5);
	check_equal(apic_read(APIC_TPR), 0x50, "both ways");
	check_equal(apic_read(APIC_PPR), 0x50, "and the processor priority with nothing in service");
	write_cr8(0);
	if (!x2apic)
		return;
	check_equal(try_wrmsr(0x802, 1), VECTOR_GP, "x2APIC: the id cannot be written");
	check_equal(try_wrmsr(0x80b, 1), VECTOR_GP, "x2APIC: EOI takes 0 only");
	check_equal(try_rdmsr(0x80b, &value), VECTOR_GP, "x2APIC: EOI cannot be read");
	check_equal(try_rdmsr(0x831, &value), VECTOR_GP, "x2APIC: no second half of the ICR");
	check_equal(try_wrmsr(0x808, 1ull << 32), VECTOR_GP, "x2APIC: reserved bits of the TPR");
}

/* ---- interrupts ---- */

static u64 seen_isr, seen_irr, seen_ppr;

static void look(struct trap *trap)
{
	seen_isr = apic_bit(APIC_ISR, 0x61);
	seen_irr = apic_bit(APIC_IRR, 0x61);
	seen_ppr = apic_read(APIC_PPR);
	count(trap);
}

static void test_self_ipi(void)
{
	handle(0x61, look);
	apic_ipi(ICR_SELF | 0x61, 0);
	check(apic_bit(APIC_IRR, 0x61), "with interrupts off, an IPI waits in the IRR");
	take_interrupts();
	check_equal(arrived[0x61], 1, "and arrives once they are on");
	check(seen_isr && !seen_irr && seen_ppr == 0x60, "in its handler: in service, no longer requested, priority 6");
	check(!apic_bit(APIC_ISR, 0x61) && !apic_bit(APIC_IRR, 0x61), "EOI ends it");
	apic_ipi(ICR_ASSERT | 0x61, x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24);
	take_interrupts();
	check_equal(arrived[0x61], 2, "an IPI by its own id");
	apic_ipi(ICR_ALL | ICR_ASSERT | 0x61, 0);
	take_interrupts();
	check_equal(arrived[0x61], 3, "an IPI to all");
	apic_ipi(ICR_ASSERT | 0x61, x2apic ? ~0u : 0xff);
	take_interrupts();
	check_equal(arrived[0x61], 4, "an IPI to the broadcast id");
	apic_ipi(ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT, 0);
	apic_ipi(ICR_ALL_BUT_SELF | ICR_STARTUP, 0);
	apic_ipi(ICR_ALL_BUT_SELF | 0x61, 0);
	take_interrupts();
	check_equal(arrived[0x61], 4, "INIT, start-up and an IPI to all others: there are none");
	if (x2apic) {
		wrmsr(0x83f, 0x61);
		take_interrupts();
		check_equal(arrived[0x61], 5, "the self-IPI register");
	}
}

static void test_priority(void)
{
	handle(0x62, count);
	handle(0x73, count);
	handle(0x84, count);
	order_count = 0;
	apic_ipi(ICR_SELF | 0x62, 0);
	apic_ipi(ICR_SELF | 0x84, 0);
	apic_ipi(ICR_SELF | 0x73, 0);
	asm volatile("sti; nop; nop; nop; nop; nop; cli" : : : "memory");
	check(order_count == 3 && order[0] == 0x84 && order[1] == 0x73 && order[2] == 0x62, "the highest vector first");
	write_cr8(7);
	apic_ipi(ICR_SELF | 0x73, 0);
	apic_ipi(ICR_SELF | 0x84, 0);
	take_interrupts();
	check(arrived[0x84] == 2 && arrived[0x73] == 1, "the task priority holds its class and those below back");
	write_cr8(6);
	take_interrupts();
	check_equal(arrived[0x73], 2, "until it falls");
	write_cr8(0);
}

static void open_inside(struct trap *trap)
{
	apic_ipi(ICR_SELF | 0x62, 0);
	apic_ipi(ICR_SELF | 0x84, 0);
	asm volatile("sti; nop; nop; nop; cli" : : : "memory");
	seen_isr = arrived[0x84];
	seen_irr = arrived[0x62];
	count(trap);
}

static void test_nesting(void)
{
	handle(0x62, count);
	handle(0x73, open_inside);
	handle(0x84, count);
	apic_ipi(ICR_SELF | 0x73, 0);
	asm volatile("sti; nop; nop; nop; nop; cli" : : : "memory");
	check(seen_isr == 1 && seen_irr == 0, "a handler is interrupted by a higher class only");
	check_equal(arrived[0x62], 1, "the lower one comes after its EOI");
}

static void test_sti_shadow(void)
{

	handle(0x62, count);
	apic_ipi(ICR_SELF | 0x62, 0);
	asm volatile("sti; nop; cli" : : : "memory");
	check_equal(arrived[0x62], 1, "STI, NOP, CLI: between NOP and CLI");
	apic_ipi(ICR_SELF | 0x62, 0);
	asm volatile("sti; cli; nop" : : : "memory");
	check_equal(arrived[0x62], 1, "STI, CLI: never");
	take_interrupts();
	check_equal(arrived[0x62], 2, "but it stays pending");
	apic_ipi(ICR_SELF | 0x62, 0);
	asm volatile("sti; hlt; cli" : : : "memory");
	check_equal(arrived[0x62], 3, "STI, HLT: the interrupt ends HLT");
}

static u64 nmis, nmi_depth, nmi_most;

static void on_nmi(struct trap *trap)
{
	nmis++;
	nmi_depth++;
	nmi_most = nmi_depth > nmi_most ? nmi_depth : nmi_most;
	if (nmis == 1) { /* another one waits for IRET, and no more than one */
		apic_ipi(ICR_SELF | ICR_NMI, 0);
		apic_ipi(ICR_NMI | ICR_ASSERT, x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24);
		apic_ipi(ICR_NMI | ICR_ASSERT, x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24);
	}
	nmi_depth--;
}

static void test_nmi(void)
{
	trap_handlers[VECTOR_NMI] = on_nmi;
	nmis = nmi_most = 0;
	apic_ipi(ICR_NMI | ICR_ASSERT, x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24);
	asm volatile("nop; nop; nop" : : : "memory");
	check_equal(nmis, 2, "an NMI, and one of those sent while it was handled");
	check_equal(nmi_most, 1, "after its IRET");
}

static void test_off(void)
{
	volatile u32 *page = (volatile u32 *)APIC_PAGE;

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(u64)(APIC_ENABLED | APIC_X2));
	check_equal(page[APIC_VERSION / 4], ~0u, "an APIC that is off: its page reads all ones");
	memset((void *)APIC_PAGE, 0xff, 4096);
	write_cr8(9);
	check_equal(read_cr8(), 9, "CR8 still keeps a value");
	write_cr8(0);
	enable_xapic();
	check(page[APIC_VERSION / 4] != ~0u, "and answers once it is on");
}

/* ---- the 8259 pair ---- */

static void test_pic(void)
{
	out8(0x20, 0x11);
	out8(0x21, 0x90);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0xa0, 0x11);
	out8(0xa1, 0x98);
	out8(0xa1, 2);
	out8(0xa1, 1);
	out8(0x21, 0xfb);
	out8(0xa1, 0xff);
	check(in8(0x21) == 0xfb && in8(0xa1) == 0xff, "the 8259s keep their masks");
	out8(0x21, 0xff);
	out8(0x20, 0x0a);
	check_equal(in8(0x20), 0, "and have no request");
}

/* ---- I/O APIC, with the lines test kernels can raise ---- */

#define IO_APIC_PAGE 0xfec00000ull
#define LINE_PORT 0x2000

static void io_apic_write(u32 reg, u32 value)
{
	*(volatile u32 *)IO_APIC_PAGE = reg;
	*(volatile u32 *)(IO_APIC_PAGE + 0x10) = value;
}

static u32 io_apic_read(u32 reg)
{
	*(volatile u32 *)IO_APIC_PAGE = reg;
	return *(volatile u32 *)(IO_APIC_PAGE + 0x10);
}

static void count_level(struct trap *trap)
{
	out8(LINE_PORT + 5, 0);
	count(trap);
}

static void test_io_apic(void)
{
	check((io_apic_read(1) >> 16 & 0xff) >= 23, "the I/O APIC has its pins");
	handle(0x65, count);
	io_apic_write(0x10 + 2 * 4 + 1, 0);
	io_apic_write(0x10 + 2 * 4, 0x65);
	out8(LINE_PORT + 4, 1);
	out8(LINE_PORT + 4, 0);
	take_interrupts();
	check_equal(arrived[0x65], 1, "an edge on a pin");
	io_apic_write(0x10 + 2 * 4, 0x10065);
	out8(LINE_PORT + 4, 1);
	out8(LINE_PORT + 4, 0);
	take_interrupts();
	check_equal(arrived[0x65], 1, "masked: none");
	handle(0x66, count_level);
	io_apic_write(0x10 + 2 * 5, 0x8066);
	out8(LINE_PORT + 5, 1);
	take_interrupts();
	check_equal(arrived[0x66], 1, "a level, lowered by its handler: once");
	check(!(io_apic_read(0x10 + 2 * 5) & 1 << 14), "  EOI ends the remote IRR");
	io_apic_write(0x10 + 2 * 5, 0x10000);
}

static void test_all(void)
{
	print(x2apic ? "x2APIC\n" : "xAPIC\n");
	test_registers();
	test_self_ipi();
	test_priority();
	test_nesting();
	test_sti_shadow();
	test_nmi();
}

void test_main(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	enable_xapic();
	test_all();
	test_off();
	test_modes();
	enable_x2apic();
	test_all();
	test_pic();
	test_io_apic();
}
