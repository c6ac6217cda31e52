/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions and software interrupts in ring 0: vectors, error codes, stacks. SDM vol. 3, chapter 6. */
#include "guest.h"

#define NONCANONICAL 0x8000000000000000ull

void test_debug(void);

static void expect(u64 vector, u64 error, const char *what)
{
	if (caught.vector == vector && caught.error == error)
		check(true, "%s", what);
	else
		check(false, "%s: vector %u, error %x; wanted %u, %x", what, caught.vector, caught.error, vector,
		        error);
}

/* ---- faults ---- */

static void test_instructions(void)
{
	const u64 zero = 0;
	u32 divisor = ~0u;

	GUARD("xorl %%edx, %%edx; movl $1, %%eax; divq %0", : "r"(zero) : "rax", "rdx");
	expect(VECTOR_DE, 0, "DIV by 0: #DE");
	GUARD("movl $-1, %%edx; movl $0x80000000, %%eax; idivl %0", : "r"(divisor) : "rax", "rdx");
	expect(VECTOR_DE, 0, "IDIV overflow: #DE");
	GUARD("ud2", :);
	expect(VECTOR_UD, 0, "UD2: #UD");
	GUARD(".byte 0xf0, 0x89, 0xc0", :);
	expect(VECTOR_UD, 0, "LOCK MOV: #UD");
	GUARD("movq (%0), %%rdx", : "a"(NONCANONICAL) : "rdx");
	expect(VECTOR_GP, 0, "a non-canonical address: #GP(0)");
	GUARD("movq %%rbp, %%rbx; movq %0, %%rbp; movq (%%rbp), %%rax; 99: movq %%rbx, %%rbp",
	        : "r"(NONCANONICAL)
	        : "rax", "rbx");
	expect(VECTOR_SS, 0, "a non-canonical address by RBP: #SS(0)");
	GUARD("movq %0, %%cr0", : "r"(read_cr0() | 1ull << 32));
	expect(VECTOR_GP, 0, "MOV to CR0 with a high bit: #GP(0)");
	GUARD("movq %0, %%cr0", : "r"(read_cr0() & ~1ull));
	expect(VECTOR_GP, 0, "MOV to CR0 with paging but no protection: #GP(0)");
	GUARD("movq %0, %%cr4", : "r"(read_cr4() | 1ull << 40));
	expect(VECTOR_GP, 0, "MOV to CR4 with a reserved bit: #GP(0)");
	GUARD("movq %0, %%cr4", : "r"(read_cr4() & ~0x20ull));
	expect(VECTOR_GP, 0, "MOV to CR4 without PAE in 64-bit mode: #GP(0)");
	GUARD("movq %0, %%cr8", : "r"(16ull));
	expect(VECTOR_GP, 0, "MOV of 16 to CR8: #GP(0)");
}

static void test_segments(void)
{
	GUARD("movw %w0, %%ds", : "r"(DATA_NOT_PRESENT));
	expect(VECTOR_NP, DATA_NOT_PRESENT, "a data segment that is not present: #NP(selector)");
	GUARD("movw %w0, %%ss", : "r"(DATA_NOT_PRESENT));
	expect(VECTOR_SS, DATA_NOT_PRESENT, "a stack segment that is not present: #SS(selector)");
	GUARD("movw %w0, %%es", : "r"(0xf8));
	expect(VECTOR_GP, 0xf8, "a selector beyond the GDT: #GP(selector)");
	GUARD("movw %w0, %%es", : "r"(0xc));
	expect(VECTOR_GP, 0xc, "a selector into no LDT: #GP(selector)");
	GUARD("movw %w0, %%es", : "r"(TSS));
	expect(VECTOR_GP, TSS, "a TSS as data segment: #GP(selector)");
	GUARD("movw %w0, %%ss", : "r"(CODE_64));
	expect(VECTOR_GP, CODE_64, "code as stack segment: #GP(selector)");
	GUARD("movw %w0, %%ss", : "r"(USER_DATA));
	expect(VECTOR_GP, USER_DATA & ~3, "a stack segment of another ring: #GP(selector)");
	GUARD("ltr %w0", : "r"(DATA));
	expect(VECTOR_GP, DATA, "LTR of no TSS: #GP(selector)");
	GUARD("ltr %w0", : "r"(TSS));
	expect(VECTOR_GP, TSS, "LTR of a busy TSS: #GP(selector)");
	GUARD("movq %%rsp, %%rbx; pushq %0; pushq $99f; lretq; 99: movq %%rbx, %%rsp", : "r"((u64)DATA) : "rbx");
	expect(VECTOR_GP, DATA, "a far return to data: #GP(selector)");
}

static void test_device_not_available(void)
{
	const u64 cr0 = read_cr0();

	write_cr0(cr0 | CR0_TS);
	GUARD("fnop", :);
	expect(VECTOR_NM, 0, "x87 with CR0.TS: #NM");
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	GUARD("xorps %%xmm0, %%xmm0", :);
	expect(VECTOR_NM, 0, "SSE with CR0.TS: #NM");
	asm volatile("clts");
	GUARD("xorps %%xmm0, %%xmm0", :);
	expect(NO_TRAP, caught.error, "SSE after CLTS: nothing");
	write_cr0((read_cr0() & ~(u64)CR0_MP) | CR0_EM);
	GUARD("xorps %%xmm0, %%xmm0", :);
	expect(VECTOR_UD, 0, "SSE with CR0.EM: #UD");
	write_cr0(cr0);
}

/* 1.0 / 0.0 with the divide-by-zero exception unmasked. */
static void test_simd(void)
{
	static const u32 unmasked = 0x1f80 & ~0x200u, masked = 0x1f80;
	static const double one = 1, zero = 0;

	asm volatile("ldmxcsr %0" : : "m"(unmasked));
	GUARD("movsd %0, %%xmm0; divsd %1, %%xmm0", : "m"(one), "m"(zero));
	expect(VECTOR_XM, 0, "an unmasked SSE exception: #XM");
	asm volatile("ldmxcsr %0" : : "m"(masked));
	GUARD("ldmxcsr %0", : "m"((u32){0xffff0000}));
	expect(VECTOR_GP, 0, "LDMXCSR with reserved bits: #GP(0)");
}

/* ---- the table ---- */

static u64 last_vector, vectors_seen, hits[256];

static void count(struct trap *trap)
{
	last_vector = trap->vector;
	hits[trap->vector]++;
}

/* INT n at run time: the instruction is patched, which also tries the coherence of code. */
static void int_n(unsigned vector)
{
	static volatile u8 code[3] = {0xcd, 0, 0xc3};

	code[1] = (u8)vector;
	asm volatile("call *%0" : : "r"(code) : "memory");
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

static void test_every_vector(void)
{
	unsigned wanted = 0;

	for (unsigned vector = 0; vector < 256; vector++) {
		if (has_error_code(vector)) /* INT n pushes none: the entry is not made for it */
			continue;
		trap_handlers[vector] = count;
		last_vector = NO_TRAP;
		int_n(vector);
		wanted++;
		vectors_seen += last_vector == vector && hits[vector] == 1;
		trap_handlers[vector] = NULL;
	}
	check_equal(vectors_seen, wanted, "INT n reaches each of its vectors");
}

static void test_gates(void)
{
	struct pointer small = idt_pointer;
	const struct gate good = idt[0x50];

	idt[0x50].type &= 0x7f;
	GUARD("int $0x50", :);
	expect(VECTOR_NP, 0x50 * 8 + 2, "a gate that is not present: #NP(IDT, vector)");
	idt[0x50] = good;
	idt[0x50].type = 0x85; /* a task gate */
	GUARD("int $0x50", :);
	expect(VECTOR_GP, 0x50 * 8 + 2, "a task gate in 64-bit mode: #GP(IDT, vector)");
	idt[0x50] = good;
	idt[0x50].selector = DATA;
	GUARD("int $0x50", :);
	expect(VECTOR_GP, DATA, "a gate to a data segment: #GP(selector)");
	idt[0x50] = good;
	small.limit = 0x50 * 16 - 1;
	asm volatile("lidt %0" : : "m"(small));
	GUARD("int $0x50", :);
	expect(VECTOR_GP, 0x50 * 8 + 2, "a vector beyond the IDT: #GP(IDT, vector)");
	asm volatile("lidt %0" : : "m"(idt_pointer));
	GUARD("int3", :);
	expect(VECTOR_BP, 0, "INT3: #BP");
}

/* ---- stacks ---- */

static u8 other_stack[4096] __attribute__((aligned(16)));
static u64 handler_rsp;

static void note_rsp(struct trap *trap)
{
	handler_rsp = (u64)(uintptr_t)trap;
}

static void test_ist(void)
{
	tss.ist[1] = (u64)(uintptr_t)(other_stack + sizeof(other_stack)) - 8;
	idt[0x51].ist = 2;
	trap_handlers[0x51] = note_rsp;
	asm volatile("int $0x51");
	/* The stack is aligned to 16 bytes before the first push (6.14.2). */
	check_equal(handler_rsp, (u64)(uintptr_t)(other_stack + sizeof(other_stack)) - 16 - sizeof(struct trap),
	        "an IST stack, aligned");
	idt[0x51].ist = 0;
	trap_handlers[0x51] = NULL;
}

/* A push faults, and so does the delivery of that fault: #DF, whose stack is IST 1. */
static void test_double_fault(void)
{
	GUARD("movq %%rsp, %%rbx; movq %0, %%rsp; pushq %%rax; 99: movq %%rbx, %%rsp", : "r"(NONCANONICAL) : "rbx");
	expect(VECTOR_DF, 0, "a stack fault that cannot be delivered: #DF(0)");
	check_equal(caught.rsp, NONCANONICAL, "its frame shows the bad stack");
	idt[VECTOR_DE].type &= 0x7f;
	GUARD("xorl %%edx, %%edx; xorl %%eax, %%eax; divl %0", : "r"(0) : "rax", "rdx");
	expect(VECTOR_DF, 0, "#DE without a gate: #DF(0)");
	idt[VECTOR_DE].type |= 0x80;
	idt[VECTOR_UD].type &= 0x7f;
	GUARD("ud2", :);
	expect(VECTOR_NP, VECTOR_UD * 8 + 2 + 1, "#UD without a gate: #NP(IDT, external)");
	idt[VECTOR_UD].type |= 0x80;
}

void test_main(void)
{
	test_instructions();
	test_segments();
	test_device_not_available();
	test_simd();
	test_every_vector();
	test_gates();
	test_ist();
	test_double_fault();
	test_debug();
}
