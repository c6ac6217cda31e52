/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test kernels share. They stand for other people's kernels: nothing here comes from abi/, only from the SDM,
 * the multiboot specification and the ports such kernels use.
 */
#ifndef TESTUDO_TESTS_GUEST_H
#define TESTUDO_TESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/** A test kernel: runs its checks. The exit status is 0 when there were some and none failed. */
void test_main(void);

/* ---- results, on the serial port ---- */

/** %s %c %d %u %x (64-bit values all). */
void print(const char *format, ...);
/** "ok: text" or "FAILED: text". */
void check(bool good, const char *format, ...);
/** A failure shows both values. */
void check_equal(u64 got, u64 wanted, const char *what);
/** Ends the kernel through port 0xf4. */
_Noreturn void finish(int status);
_Noreturn void give_up(const char *why);

/* ---- traps ---- */

struct trap {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/** Called instead of the default (caught, below). */
typedef void (*trap_handler)(struct trap *trap);
extern trap_handler trap_handlers[256];

#define NO_TRAP 256u
/** The last trap under GUARD or in ring 3. */
struct caught {
	u64 vector; /**< NO_TRAP: none */
	u64 error, rip, cr2, rflags, rsp, rax;
	u64 resume; /**< where GUARD goes on; 0: a trap ends the kernel */
};
extern volatile struct caught caught;

/**
 * Execute instructions of which one may fault; caught.vector says so. Execution goes on at the first label 99, the one
 * behind the code unless the code has its own.
 */
#define GUARD(code, outputs...)                                                                                        \
	do {                                                                                                           \
		caught.vector = NO_TRAP;                                                                               \
		asm volatile("movq $99f, caught_resume\n\t" code "\n99:\n\tmovq $0, caught_resume" : outputs);         \
	} while (0)

struct gate {
	u16 offset_0, selector;
	u8 ist, type;
	u16 offset_16;
	u32 offset_32, reserved;
};
extern struct gate idt[256];
void set_gate(unsigned vector, void (*entry)(void), unsigned ist, unsigned dpl);
struct pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));
extern struct pointer gdt_pointer, idt_pointer;
struct tss {
	u32 reserved;
	u64 rsp[3], reserved_28, ist[7], reserved_92;
	u16 reserved_100, io_map;
} __attribute__((packed));
extern struct tss tss;
extern u64 gdt[];
extern u8 trap_entries[256][16];

enum {
	CODE_64 = 0x08,
	DATA = 0x10,
	CODE_32 = 0x18,
	USER_CODE = 0x33,
	USER_DATA = 0x2b,
	TSS = 0x38,
	CODE_16 = 0x48,
	SYSENTER_CODE = 0x58,
	DATA_NOT_PRESENT = 0x88
};

/* ---- ring 3 ---- */

/** The first GiB of memory again, for ring 3. */
#define USER_BASE 0x8000000000ull
#define user_address(pointer) ((u64)(uintptr_t)(pointer) + USER_BASE)
/** Run position-independent code at `code` in ring 3 until it traps: see caught. RDI = argument. */
void run_user(const void *code, u64 rflags, u64 argument);

/* ---- memory ---- */

/** Zeroed pages, never given back. */
void *page_alloc(void);
void *pages_alloc(unsigned count);
void *memset(void *to, int value, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);
bool text_equal(const char *a, const char *b);
/** Is `word` one of the words of the command line? */
bool command_word(const char *word);

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_LARGE 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull
extern u64 page_pml4[512], page_pdpt[512], page_pd[2048];
/** The entry of `linear` at `level` (1 = page table), tables made on the way. */
u64 *page_entry(u64 *pml4, u64 linear, unsigned level);

/* ---- what the loader gave ---- */

struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, command_line, modules, modules_address, symbols[4], map_bytes,
	        map_address;
};
extern u32 boot_magic, boot_info_address;
static inline const struct multiboot_info *multiboot(void)
{
	return (const struct multiboot_info *)(uintptr_t)boot_info_address;
}

/* ---- instructions ---- */

static inline u8 in8(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline u32 in32(u16 port)
{
	u32 value;
	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline void out8(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void out16(u16 port, u16 value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static inline void out32(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}
static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "a"((u32)value), "d"((u32)(value >> 32)), "c"(msr) : "memory");
}
/** The vector of the fault, or NO_TRAP. */
u64 try_rdmsr(u32 msr, u64 *value);
u64 try_wrmsr(u32 msr, u64 value);
static inline u64 rdtsc(void)
{
	u32 low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}
struct cpuid {
	u32 a, b, c, d;
};
static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;
	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
	return r;
}
#define CONTROL_REGISTER(name)                                                                                         \
	static inline u64 read_##name(void)                                                                            \
	{                                                                                                              \
		u64 value;                                                                                             \
		asm volatile("movq %%" #name ", %0" : "=r"(value));                                                    \
		return value;                                                                                          \
	}                                                                                                              \
	static inline void write_##name(u64 value)                                                                     \
	{                                                                                                              \
		asm volatile("movq %0, %%" #name : : "r"(value) : "memory");                                           \
	}
CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr2)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)
CONTROL_REGISTER(cr8)
CONTROL_REGISTER(dr0)
CONTROL_REGISTER(dr1)
CONTROL_REGISTER(dr6)
CONTROL_REGISTER(dr7)
static inline void invlpg(u64 linear)
{
	asm volatile("invlpg (%0)" : : "r"(linear) : "memory");
}
static inline u64 read_rflags(void)
{
	u64 value;
	asm volatile("pushfq; popq %0" : "=r"(value));
	return value;
}
static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}
static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}
static inline void pause(void)
{
	asm volatile("pause" : : : "memory");
}
/** Interrupts on for one instruction: what is pending arrives. */
static inline void take_interrupts(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

enum {
	VECTOR_DE,
	VECTOR_DB,
	VECTOR_NMI,
	VECTOR_BP,
	VECTOR_OF,
	VECTOR_BR,
	VECTOR_UD,
	VECTOR_NM,
	VECTOR_DF,
	VECTOR_TS = 10,
	VECTOR_NP,
	VECTOR_SS,
	VECTOR_GP,
	VECTOR_PF,
	VECTOR_MF = 16,
	VECTOR_AC,
	VECTOR_MC,
	VECTOR_XM
};

#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_PG (1u << 31)
#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_PGE (1u << 7)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_VMXE (1u << 13)
#define CR4_PCIDE (1u << 17)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define RFLAGS_CF 1u
#define RFLAGS_ZF (1u << 6)
#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)
#define RFLAGS_NT (1u << 14)
#define RFLAGS_RF (1u << 16)
#define RFLAGS_AC (1u << 18)
#define MSR_EFER 0xc0000080u
#define MSR_APIC_BASE 0x1bu

#endif
