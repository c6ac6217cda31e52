/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile code on the soft CPU: the input chooses the mode and the registers, fills the descriptor tables and is the
 * code. Whatever it does, entering ends with an exit or a machine error within the instruction limit, and L0's own
 * pages behind the guest's RAM stay as they were.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "l0/soft/soft.h"

#define RAM_BYTES (2ull << 20)
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define GDT 0x6000ull
#define IDT 0x7000ull
#define TSS 0x8000ull
#define CODE 0x10000ull
#define STACK 0x20ff0ull
#define DATA 0x30000ull
#define TABLE_BYTES 256u
#define CODE_BYTES 2048u
#define INSTRUCTION_LIMIT 150u
#define ENTRIES_MAX 6u

enum { MODE_64_KERNEL, MODE_64_USER, MODE_COMPAT, MODE_PROTECTED_32, MODE_REAL, MODE_COUNT };

static struct fuzz_input input;
static struct machine *machine;
static struct vmcs vmcs;
static struct guest_regs regs;

static struct {
	unsigned long exits[80], errors, endless, modes[MODE_COUNT];
} statistics;

static void put64(uint64_t address, uint64_t value)
{
	memcpy(machine->ram + address, &value, 8);
}

static void set(enum vmcs_field field, uint64_t value)
{
	vmcs_set(&vmcs, field, value);
}

static void segment(unsigned index, uint16_t selector, uint64_t base, uint32_t limit, uint32_t rights)
{
	set(VMCS_GUEST_ES_SELECTOR + index, selector);
	set(VMCS_GUEST_ES_BASE + index, base);
	set(VMCS_GUEST_ES_LIMIT + index, limit);
	set(VMCS_GUEST_ES_ACCESS_RIGHTS + index, rights);
}

/** [0, 2 MiB) by 4 KiB pages, some of them as the input wants; the tables are writable by the guest. */
static void make_memory(void)
{
	static const uint64_t gdt[] = {0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x00cff3000000ffffull,
	        0x00affb000000ffffull, 0x0000890080000067ull, 0, 0x00cf9b000000ffffull, 0x00cffb000000ffffull,
	        0x00009b000000ffffull, 0x000093000000ffffull};
	const unsigned odd_pages = fuzz_u8(&input) % 4;

	put64(PML4, PDPT | 7);
	put64(PDPT, PD | 7);
	put64(PD, PT | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(PT + i * 8, i << 12 | 7);
	for (unsigned i = 0; i < odd_pages; i++)
		put64(PT + (fuzz_u16(&input) % 512) * 8ull, fuzz_u64(&input));
	for (unsigned i = 0; i < sizeof(gdt) / sizeof(gdt[0]); i++)
		put64(GDT + i * 8, gdt[i]);
	for (unsigned i = 0; i < 32; i++)
		put64(IDT + i * 16, (CODE + i * 32) % 0x10000 | 1ull << 19 | 0x8e00ull << 32 | (CODE >> 16) << 48);
	/* Descriptors and gates of the input's own behind the good ones. */
	for (unsigned i = fuzz_u8(&input) % 6; i > 0; i--)
		put64((i & 1 ? GDT + 0x58 : IDT) + (uint64_t)i * 8, fuzz_u64(&input));
	for (unsigned i = 0; i < 13; i++)
		put64(TSS + 4 + i * 8, STACK - 0x1000);
	for (unsigned i = 0; i < 8; i++)
		put64(DATA + i * 8, fuzz_u64(&input));
}

/** Openings that noise alone seldom makes: system instructions, far transfers, strings, SSE. */
static const struct {
	uint8_t length, bytes[4];
} openings[] = {{2, {0x0f, 0x00}}, {2, {0x0f, 0x01}}, {3, {0x0f, 0x01, 0xd0}}, {3, {0x0f, 0x01, 0xf8}},
        {2, {0x0f, 0x02}}, {2, {0x0f, 0x03}}, {2, {0x0f, 0x05}}, {2, {0x0f, 0x06}}, {2, {0x0f, 0x07}},
        {3, {0x48, 0x0f, 0x07}}, {2, {0x0f, 0x20}}, {2, {0x0f, 0x21}}, {2, {0x0f, 0x22}}, {2, {0x0f, 0x23}},
        {2, {0x0f, 0x30}}, {2, {0x0f, 0x31}}, {2, {0x0f, 0x32}}, {2, {0x0f, 0x34}}, {2, {0x0f, 0x35}},
        {2, {0x0f, 0xa2}}, {2, {0x0f, 0xae}}, {2, {0x0f, 0xb2}}, {2, {0x0f, 0xc7}}, {3, {0x0f, 0x38, 0x80}},
        {3, {0x66, 0x0f, 0x38}}, {4, {0x66, 0x0f, 0x38, 0x82}}, {3, {0xf3, 0x0f, 0xae}}, {2, {0x0f, 0x78}},
        {2, {0x0f, 0x79}}, {2, {0x0f, 0xb4}}, {2, {0x0f, 0xb5}}, {1, {0x8e}}, {1, {0x8c}}, {1, {0x9a}}, {1, {0x9c}},
        {1, {0x9d}}, {1, {0xcf}}, {2, {0x48, 0xcf}}, {1, {0xcb}}, {1, {0xca}}, {2, {0x48, 0xcb}}, {2, {0xff, 0x1c}},
        {2, {0xff, 0x2c}}, {1, {0xea}}, {1, {0xcd}}, {1, {0xcc}}, {1, {0xce}}, {1, {0xf1}}, {1, {0xf4}}, {1, {0xfa}},
        {1, {0xfb}}, {1, {0xec}}, {1, {0xee}}, {1, {0xe4}}, {2, {0xf3, 0x6c}}, {2, {0xf3, 0x6e}}, {2, {0xf3, 0xa4}},
        {3, {0xf3, 0x48, 0xa5}}, {2, {0xf2, 0xae}}, {1, {0xc8}}, {1, {0xc9}}, {1, {0x60}}, {1, {0x61}}, {1, {0x1f}},
        {1, {0x17}}, {2, {0x0f, 0xa1}}, {1, {0xc4}}, {1, {0xc5}}, {1, {0x62}}, {1, {0x63}}, {2, {0x66, 0x0f}},
        {2, {0xf2, 0x0f}}, {2, {0xf3, 0x0f}}, {3, {0x0f, 0x01, 0xc1}}};

/** What is left of the input is code: noise, with an opening before it now and then. Then zeros. */
static void make_code(void)
{
	uint8_t *code = machine->ram + CODE;
	size_t at = 0;

	while (input.left && at + 16 < CODE_BYTES) {
		const uint8_t kind = fuzz_u8(&input);

		if (kind & 1) {
			const unsigned n = fuzz_u8(&input) % (sizeof(openings) / sizeof(openings[0]));

			memcpy(code + at, openings[n].bytes, openings[n].length);
			at += openings[n].length;
		}
		for (unsigned i = kind >> 5; i > 0; i--)
			code[at++] = fuzz_u8(&input);
	}
}

static void make_registers(void)
{
	for (unsigned i = 0; i < 16; i++) {
		const uint8_t kind = fuzz_u8(&input);

		regs.gpr[i] = kind & 1   ? DATA + kind * 8
		              : kind & 2 ? kind
		              : kind & 4 ? CODE + kind * 4
		                         : fuzz_u64(&input);
	}
	regs.dr6 = DR6_FIXED;
	regs.dr[0] = CODE + fuzz_u8(&input);
	regs.dr[1] = DATA + fuzz_u8(&input);
}

static void make_mode(unsigned mode)
{
	const bool user = mode == MODE_64_USER || mode == MODE_COMPAT;
	const uint32_t data_rights = user ? 0xc0f3 : 0xc093;

	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++)
		segment(i, user ? 0x1b : 0x10, 0, 0xffffffff, data_rights);
	set(VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP);
	set(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE);
	set(VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE);
	set(VMCS_VM_ENTRY_CONTROLS,
	        VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER) | VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS));
	switch (mode) {
	case MODE_64_KERNEL:
		segment(SOFT_CS, 0x08, 0, 0xffffffff, 0xa09b);
		break;
	case MODE_64_USER:
		segment(SOFT_CS, 0x23, 0, 0xffffffff, 0xa0fb);
		break;
	case MODE_COMPAT:
		segment(SOFT_CS, 0x43, 0, 0xffffffff, 0xc0fb);
		break;
	case MODE_PROTECTED_32:
		segment(SOFT_CS, 0x38, 0, 0xffffffff, 0xc09b);
		set(VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_ET);
		break;
	default:
		for (unsigned i = SOFT_ES; i <= SOFT_GS; i++)
			segment(i, CODE >> 4, CODE, 0xffff, i == SOFT_CS ? 0x9b : 0x93);
		set(VMCS_GUEST_CR0, CR0_NE | CR0_ET);
	}
	if (mode >= MODE_PROTECTED_32) {
		set(VMCS_GUEST_CR4, CR4_VMXE | CR4_OSFXSR);
		set(VMCS_GUEST_IA32_EFER, 0);
		set(VMCS_VM_ENTRY_CONTROLS, 0);
	}
	set(VMCS_GUEST_RIP, mode == MODE_REAL ? 0 : CODE);
	set(VMCS_GUEST_RSP, mode == MODE_REAL ? 0x8000 : STACK);
}

static void make_vmcs(unsigned mode)
{
	memset(&vmcs, 0, sizeof(vmcs));
	vmcs.revision_id = VMCS_REVISION_ID;
	make_mode(mode);
	segment(SOFT_LDTR, 0, 0, 0, AR_UNUSABLE);
	segment(SOFT_TR, 0x28, TSS, 0x67, 0x8b);
	set(VMCS_GUEST_GDTR_BASE, GDT);
	set(VMCS_GUEST_GDTR_LIMIT, TABLE_BYTES - 1);
	set(VMCS_GUEST_IDTR_BASE, mode == MODE_REAL ? 0 : IDT);
	set(VMCS_GUEST_IDTR_LIMIT, 0x1ff);
	set(VMCS_GUEST_CR3, PML4);
	/* Now and then TF, and breakpoints. */
	set(VMCS_GUEST_RFLAGS, (fuzz_u16(&input) & 0xcd5) | (fuzz_u8(&input) < 16 ? 0x100 : 0) | 2);
	set(VMCS_GUEST_DR7, DR7_INITIAL | (fuzz_u8(&input) < 16 ? 0x0010000fu : 0));
	set(VMCS_VMCS_LINK_POINTER, ~0ull);
	set(VMCS_EXCEPTION_BITMAP, fuzz_u8(&input) & 1 ? 0xffffffff : fuzz_u8(&input));
	set(VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_PREEMPTION_TIMER));
	set(VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS) | VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_TSC_OFFSETTING));
	set(VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID) | VMX_BIT(PROC2_UNRESTRICTED_GUEST) |
	                VMX_BIT(PROC2_ENABLE_RDTSCP) | VMX_BIT(PROC2_ENABLE_INVPCID));
	set(VMCS_EPT_POINTER, machine->eptp01);
	set(VMCS_VIRTUAL_PROCESSOR_ID, 1);
}

/** FNV-1a over the pool pages in use: EPT01. */
static uint64_t pool_digest(void)
{
	const struct soft_memory *memory = &((struct soft_machine *)machine)->memory;
	uint64_t digest = 0xcbf29ce484222325ull;

	for (uint64_t at = memory->ram_bytes; at < memory->pool_next; at += 8) {
		uint64_t word;

		memcpy(&word, memory->base + at, 8);
		digest = (digest ^ word) * 0x100000001b3ull;
	}
	return digest;
}

/** Step over what exited, as L0 would, and go on. */
static void run(void)
{
	for (unsigned entries = 0; entries < ENTRIES_MAX; entries++) {
		const uint64_t before = machine_soft.clock(machine);
		unsigned reason;
		int result;

		set(VMCS_VMX_PREEMPTION_TIMER_VALUE, INSTRUCTION_LIMIT);
		result = machine_soft.enter(machine, &vmcs, &regs);
		FUZZ_REQUIRE(machine_soft.clock(machine) - before < 1u << 20);
		if (result) {
			FUZZ_REQUIRE(machine->error[0]);
			statistics.errors++;
			return;
		}
		reason = vmcs_get(&vmcs, VMCS_EXIT_REASON) & 0xffff;
		FUZZ_REQUIRE(reason < 80);
		statistics.exits[reason]++;
		if (reason == EXIT_REASON_PREEMPTION_TIMER_EXPIRED) {
			statistics.endless++;
			return;
		}
		if (reason == EXIT_REASON_TRIPLE_FAULT || reason == EXIT_REASON_EPT_VIOLATION ||
		        reason == EXIT_REASON_ENTRY_FAILURE_GUEST_STATE)
			return;
		FUZZ_REQUIRE(vmcs_get(&vmcs, VMCS_VM_EXIT_INSTRUCTION_LENGTH) <= 15);
		set(VMCS_GUEST_RIP, vmcs_get(&vmcs, VMCS_GUEST_RIP) +
		                            (reason ? vmcs_get(&vmcs, VMCS_VM_EXIT_INSTRUCTION_LENGTH) : 1));
		set(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, 0);
	}
}

int fuzz_one(const uint8_t *data, size_t size)
{
	const struct machine_config config = {.ram_bytes = RAM_BYTES};
	struct refusal why;
	uint64_t digest;
	unsigned mode;

	input = (struct fuzz_input){.data = data, .left = size};
	FUZZ_REQUIRE(!machine_soft.create(&machine, &config, &why));
	mode = fuzz_u8(&input) % MODE_COUNT;
	statistics.modes[mode]++;
	memset(&regs, 0, sizeof(regs));
	make_memory();
	make_registers();
	make_vmcs(mode);
	make_code();
	digest = pool_digest();
	run();
	FUZZ_REQUIRE(pool_digest() == digest);
	machine_soft.destroy(machine);
	return 0;
}

const char *fuzz_summary(void)
{
	static char text[200];
	unsigned kinds = 0;

	for (unsigned i = 0; i < 80; i++)
		kinds += statistics.exits[i] != 0;
	snprintf(text, sizeof(text),
	        "%u kinds of exits, %lu exceptions, %lu timer, %lu unsupported; modes %lu %lu %lu %lu %lu", kinds,
	        statistics.exits[0], statistics.endless, statistics.errors, statistics.modes[0], statistics.modes[1],
	        statistics.modes[2], statistics.modes[3], statistics.modes[4]);
	return text;
}
