/* SPDX-License-Identifier: Apache-2.0 */
/* Traps, ring 3, memory: what start.S calls and the tests use. */
#include "guest.h"

#define POOL_START 0x1000000u /* 16 MiB: behind every image */
#define GATE_INTERRUPT 0x8e

int runtime_main(void);
void trap_arrived(struct trap *trap);
void user_enter(u64 rip, u64 rsp, u64 rflags, u64 argument);
void user_left(void);

extern u64 user_kernel_rsp;
struct gate idt[256] __attribute__((aligned(16)));
struct pointer idt_pointer = {sizeof(idt) - 1, (u64)(uintptr_t)idt};
struct tss tss __attribute__((aligned(16)));
trap_handler trap_handlers[256];
volatile struct caught caught;
/* GUARD's assembly needs a name. */
asm(".globl caught_resume\n.set caught_resume, caught + 56");
_Static_assert(offsetof(struct caught, resume) == 56, "caught_resume");

static u8 ist_stack[4096] __attribute__((aligned(16)));
static u8 ring0_stack[8192] __attribute__((aligned(16)));
static u8 user_stack[4096] __attribute__((aligned(16)));
static u64 pool_next = POOL_START;
static bool in_user;

/* ---- traps ---- */

static void unexpected(const struct trap *trap)
{
	print("FAILED: trap %u, error code %x, at %x, RSP %x, CS %x, RFLAGS %x, CR2 %x\n", trap->vector, trap->error,
	        trap->rip, trap->rsp, trap->cs, trap->rflags, read_cr2());
	finish(1);
}

static void note(const struct trap *trap)
{
	caught.vector = trap->vector;
	caught.error = trap->error;
	caught.rip = trap->rip;
	caught.cr2 = read_cr2();
	caught.rflags = trap->rflags;
	caught.rsp = trap->rsp;
	caught.rax = trap->rax;
}

void trap_arrived(struct trap *trap)
{
	if (trap_handlers[trap->vector]) {
		trap_handlers[trap->vector](trap);
		return;
	}
	if ((trap->cs & 3) == 3 && in_user) {
		note(trap);
		in_user = false;
		trap->rip = (u64)(uintptr_t)user_left;
		trap->cs = CODE_64;
		trap->rsp = user_kernel_rsp;
		trap->ss = DATA;
		trap->rflags = 2;
		return;
	}
	if (!caught.resume)
		unexpected(trap);
	note(trap);
	trap->rip = caught.resume;
	trap->rflags &= ~(u64)RFLAGS_TF;
	caught.resume = 0;
}

void set_gate(unsigned vector, void (*entry)(void), unsigned ist, unsigned dpl)
{
	const u64 offset = (u64)(uintptr_t)entry;

	idt[vector] = (struct gate){(u16)offset, CODE_64, (u8)ist, (u8)(GATE_INTERRUPT | dpl << 5), (u16)(offset >> 16),
	        (u32)(offset >> 32), 0};
}

static void set_tables(void)
{
	const u64 base = (u64)(uintptr_t)&tss;

	for (unsigned i = 0; i < 256; i++)
		set_gate(i, (void (*)(void))(uintptr_t)trap_entries[i], i == VECTOR_DF ? 1 : 0, i == 0x80 ? 3 : 0);
	tss.rsp[0] = (u64)(uintptr_t)(ring0_stack + sizeof(ring0_stack));
	tss.ist[0] = (u64)(uintptr_t)(ist_stack + sizeof(ist_stack));
	tss.io_map = sizeof(tss);
	gdt[TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	gdt[TSS / 8 + 1] = base >> 32;
	asm volatile("lidt %0; ltr %w1" : : "m"(idt_pointer), "r"(TSS));
}

/* ---- ring 3 ---- */

void run_user(const void *code, u64 rflags, u64 argument)
{
	caught.vector = NO_TRAP;
	in_user = true;
	user_enter(user_address(code), user_address(user_stack) + sizeof(user_stack) - 64, rflags | 2, argument);
}

/* ---- memory ---- */

void *pages_alloc(unsigned count)
{
	void *pages = (void *)(uintptr_t)pool_next;

	pool_next += 4096ull * count;
	return memset(pages, 0, 4096ull * count);
}

void *page_alloc(void)
{
	return pages_alloc(1);
}

u64 *page_entry(u64 *pml4, u64 linear, unsigned level)
{
	u64 *table = pml4;

	for (unsigned at = 4; at > level; at--) {
		u64 *entry = &table[linear >> (12 + 9 * (at - 1)) & 511];
		if (!(*entry & PTE_P))
			*entry = (u64)(uintptr_t)page_alloc() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(uintptr_t)(*entry & PTE_ADDRESS);
	}
	return &table[linear >> (12 + 9 * (level - 1)) & 511];
}

void *memset(void *to, int value, size_t bytes)
{
	u8 *at = to;

	asm volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	u8 *at = to;

	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

bool command_word(const char *word)
{
	const char *at = (const char *)(uintptr_t)multiboot()->command_line;

	while (*at) {
		const char *w = word;
		while (*w && *at == *w)
			at++, w++;
		if (!*w && (*at == ' ' || !*at))
			return true;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return false;
}

/* ---- instructions that may fault ---- */

u64 try_rdmsr(u32 msr, u64 *value)
{
	u32 low = 0, high = 0;

	GUARD("rdmsr", "+a"(low), "=d"(high) : "c"(msr) : "memory");
	*value = (u64)high << 32 | low;
	return caught.vector;
}

u64 try_wrmsr(u32 msr, u64 value)
{
	GUARD("wrmsr", : "a"((u32)value), "d"((u32)(value >> 32)), "c"(msr) : "memory");
	return caught.vector;
}

int results_status(void);

int runtime_main(void)
{
	set_tables();
	test_main();
	return results_status();
}
