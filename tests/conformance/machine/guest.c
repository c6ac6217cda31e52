/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that behaves well or badly on demand: boot_info.workload names what it does. It runs at level 1 and at level
 * 2 and ends with TESTDEV_END_OK only if everything was as the architecture says.
 */
#include <stdbool.h>

#include "abi/boot_info.h"
#include "abi/sites.h"
#include "workloads/runtime/idt.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"

void image_main(struct boot_info *info);

#define WILD 0x70000000ul /* inside the identity map, neither memory nor a device at any level */

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			print_and_end(TESTDEV_END_FAILED, "this does not hold: " #condition);                          \
	} while (0)

static struct boot_info *boot;

/* ---- ends of a guest ---- */

static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = {0, 0};

	__asm__ volatile("lidt %0\n\tud2" : : "m"(no_idt));
}

static void hang(void)
{
	for (;;)
		__asm__ volatile("");
}

static void hang_masked(void)
{
	__asm__ volatile("cli");
	hang();
}

static void halt_forever(void)
{
	__asm__ volatile("cli\n\thlt");
}

static void wild_write(void)
{
	*(volatile uint32_t *)WILD = 1;
}

static void wild_read(void)
{
	(void)*(volatile uint32_t *)WILD;
}

static void wild_fetch(void)
{
	((void (*)(void))WILD)();
}

static void beyond_the_map(void)
{
	*(volatile uint32_t *)0x7000000000ul = 1; /* #PF in the guest itself */
}

/* ---- memory ---- */

/* Stores and read-modify-writes to pages without a second-level mapping, at instructions no site table names. */
static void unlisted_touch(void)
{
	volatile uint64_t *word = (volatile uint64_t *)boot->touch_base;

	io_out32(TESTDEV_PORT_TOUCH, TESTDEV_TOUCH_RESET);
	word[0] = 0x1122334455667788ul;
	CHECK(word[0] == 0x1122334455667788ul);
	*(volatile uint8_t *)(boot->touch_base + 0x1000) = 7;
	CHECK(*(volatile uint8_t *)(boot->touch_base + 0x1000) == 7);
	io_out32(TESTDEV_PORT_TOUCH, TESTDEV_TOUCH_RESET);
	word[0] += 1;
	CHECK(word[0] == 0x1122334455667789ul);
	io_out32(TESTDEV_PORT_TOUCH, TESTDEV_TOUCH_RESET);
	CHECK(*(volatile uint32_t *)boot->touch_base == 0x55667789u);
}

/* A PUSH whose page is missing: RSP must move once, the value must arrive. */
static void unlisted_push(void)
{
	const uint64_t top = boot->touch_base + 0x2000;
	uint64_t after;

	io_out32(TESTDEV_PORT_TOUCH, TESTDEV_TOUCH_RESET);
	__asm__ volatile("mov %%rsp, %%rbx\n\tmov %1, %%rsp\n\tpushq $0x1234\n\tmov %%rsp, %0\n\tmov %%rbx, %%rsp"
	                 : "=&r"(after)
	                 : "r"(top)
	                 : "rbx", "memory");
	CHECK(after == top - 8);
	CHECK(*(volatile uint64_t *)(top - 8) == 0x1234);
}

/* 32-bit device accesses at listed instructions: precise on every machine, so L1 can emulate them. */
static void mmio_listed(void)
{
	volatile uint8_t *page = (volatile uint8_t *)TESTDEV_MMIO_GPA;
	uint64_t value = 0;

	__asm__ volatile(SITE(SITE_MMIO, 0, "movl %%eax, (%%rdi)") : : "a"(0x13121110), "D"(page) : "memory");
	__asm__ volatile(SITE(SITE_MMIO, 0, "movl (%%rdi), %%ecx") : "=c"(value) : "D"(page) : "memory");
	CHECK(value == 0x13121110);
	__asm__ volatile(SITE(SITE_MMIO, 0, "movl %%ecx, (%%rdi)") : : "c"(77), "D"(page) : "memory");
	__asm__ volatile(SITE(SITE_MMIO, 0, "movl (%%rdi), %%esi") : "=S"(value) : "D"(page) : "memory");
	CHECK(value == 77);
}

/* Device accesses of every size, and read-modify-writes, at instructions no table names. */
static void mmio_sizes(void)
{
	volatile uint8_t *page = (volatile uint8_t *)TESTDEV_MMIO_GPA;

	for (unsigned i = 0; i < 4; i++)
		page[i] = (uint8_t)(0x10 + i);
	CHECK(*(volatile uint32_t *)page == 0x13121110);
	CHECK(*(volatile uint16_t *)(page + 1) == 0x1211);
	*(volatile uint16_t *)(page + 2) = 0xbeef;
	CHECK(*(volatile uint32_t *)page == 0xbeef1110);
	*(volatile uint64_t *)(page + 8) = 0x0123456789abcdeful;
	CHECK(*(volatile uint64_t *)(page + 8) == 0x0123456789abcdeful);
	__asm__ volatile("addl $1, (%0)" : : "r"(page) : "memory");
	CHECK(*(volatile uint32_t *)page == 0xbeef1111);
	__asm__ volatile("xchgl %%eax, (%1)"
	                 : "=a"(*(uint32_t *)(boot->touch_base - 64))
	                 : "r"(page), "a"(5)
	                 : "memory");
	CHECK(*(volatile uint32_t *)page == 5);
	CHECK(*(uint32_t *)(boot->touch_base - 64) == 0xbeef1111);
}

/* ---- ports ---- */

static void pio_sizes(void)
{
	uint8_t byte;
	uint16_t word;
	uint64_t kept = ~0ul;

	io_out32(TESTDEV_PORT_PIO, 0xa1b2c3d4);
	__asm__ volatile("inb %%dx, %%al" : "=a"(byte) : "d"((uint16_t)TESTDEV_PORT_PIO));
	__asm__ volatile("inw %%dx, %%ax" : "=a"(word) : "d"((uint16_t)TESTDEV_PORT_PIO));
	CHECK(byte == 0xd4 && word == 0xc3d4);
	CHECK(io_in32(TESTDEV_PORT_PIO) == 0xa1b2c3d4);
	__asm__ volatile("inw %%dx, %%ax" : "+a"(kept) : "d"((uint16_t)TESTDEV_PORT_PIO));
	CHECK(kept == 0xffffffffffffc3d4ul);
	kept = ~0ul;
	__asm__ volatile("inl %%dx, %%eax" : "+a"(kept) : "d"((uint16_t)TESTDEV_PORT_PIO));
	CHECK(kept == 0xa1b2c3d4ul);
	__asm__ volatile("outw %%ax, %%dx" : : "a"(0x7788), "d"((uint16_t)TESTDEV_PORT_PIO));
	CHECK(io_in32(TESTDEV_PORT_PIO) == 0x7788);
	/* Ports in the instruction: nobody answers there. */
	__asm__ volatile("inb $0x80, %%al" : "=a"(byte));
	CHECK(byte == 0xff);
	__asm__ volatile("outb %%al, $0x80\n\toutw %%ax, $0x82\n\toutl %%eax, $0x84" : : "a"(0));
	__asm__ volatile("inw $0x80, %%ax" : "=a"(word));
	CHECK(word == 0xffff);
}

/* ---- MSRs ---- */

/* #GP of RDMSR and WRMSR: skip the two bytes. */
__asm__(".text\n"
        "gp_entry:\n"
        "	addq $8, %rsp\n"
        "	addq $2, (%rsp)\n"
        "	incq gp_counter(%rip)\n"
        "	iretq\n");
void gp_entry(void);
extern volatile uint64_t gp_counter;
volatile uint64_t gp_counter;

static void msrs(void)
{
	static const uint32_t own[] = {0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102};

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		cpu_wrmsr(own[i], 0x1000 + i);
		CHECK(cpu_rdmsr(own[i]) == 0x1000 + i);
	}
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		CHECK(cpu_rdmsr(own[i]) == 0x1000 + i);
	cpu_wrmsr(TESTDEV_MSR, 0x123456789abcdef0ul);
	CHECK(cpu_rdmsr(TESTDEV_MSR) == 0x123456789abcdef0ul);
	CHECK((cpu_rdmsr(0xc0000080) & 0x500) == 0x500);
	const uint64_t before = cpu_rdmsr(0x10);
	CHECK(cpu_rdmsr(0x10) > before);
	idt_set(13, gp_entry);
	(void)cpu_rdmsr(0xc0001eee);
	CHECK(gp_counter == 1);
	cpu_wrmsr(0xc0001eee, 1);
	CHECK(gp_counter == 2);
}

/* ---- time ---- */

extern volatile uint64_t timer_counter;
volatile uint64_t timer_counter;
__asm__(".text\n"
        "timer_entry:\n"
        "	incq timer_counter(%rip)\n"
        "	iretq\n");
void timer_entry(void);

/* The timer reaches a guest that makes no exits, and not before its time. */
static void spin_for_timer(void)
{
	idt_set(TESTDEV_TIMER_VECTOR, timer_entry);
	for (uint64_t i = 1; i <= 3; i++) {
		const uint64_t armed = cpu_rdmsr(0x10);
		io_out32(TESTDEV_PORT_TIMER, 3000000);
		__asm__ volatile("sti");
		while (timer_counter < i)
			;
		__asm__ volatile("cli");
		CHECK(cpu_rdmsr(0x10) - armed >= 3000000);
	}
}

static void halt_for_timer(void)
{
	idt_set(TESTDEV_TIMER_VECTOR, timer_entry);
	for (uint64_t i = 1; i <= 3; i++) {
		const uint64_t armed = cpu_rdmsr(0x10);
		io_out32(TESTDEV_PORT_TIMER, 1000000);
		cpu_wait_for_interrupt();
		CHECK(timer_counter == i);
		CHECK(cpu_rdmsr(0x10) - armed >= 1000000);
	}
}

/* ---- which ---- */

static const struct {
	const char *name;
	void (*run)(void);
} behaviours[] = {{"triple-fault", triple_fault}, {"hang", hang}, {"hang-masked", hang_masked},
        {"halt-forever", halt_forever}, {"wild-write", wild_write}, {"wild-read", wild_read},
        {"wild-fetch", wild_fetch}, {"beyond-the-map", beyond_the_map}, {"unlisted-touch", unlisted_touch},
        {"unlisted-push", unlisted_push}, {"mmio-sizes", mmio_sizes}, {"mmio-listed", mmio_listed},
        {"pio-sizes", pio_sizes}, {"msrs", msrs}, {"spin-for-timer", spin_for_timer},
        {"halt-for-timer", halt_for_timer}};

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void image_main(struct boot_info *info)
{
	boot = info;
	idt_load("The test guest");
	for (unsigned i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		if (same(info->workload, behaviours[i].name)) {
			behaviours[i].run();
			io_end(TESTDEV_END_OK);
		}
	}
	print_and_end(TESTDEV_END_REFUSED, "The test guest knows no behaviour \"%s\".", info->workload);
}
