/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine under a hostile L1 and a busy machine. The input is a program: L1 executes VMX instructions with any
 * operands, writes its memory (vmcs12 too, behind the engine's back) and its control registers; once in L2, the machine
 * takes exits of any kind, which are routed, reflected or resumed; interrupts arrive.
 *
 * After each entry vmcs02 is held against what must never be L1's (host state, L0's controls and bitmaps, EPT02),
 * against the whole set of VM-entry checks (the engine looks only at what changed), and against a vmcs02 made from
 * scratch (the engine merges only what changed).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_engine.h"
#include "shadowvmcs/transition.h"

enum { OPERATIONS_MAX = 400, LOW_BYTES = 0x60000, L2_BYTES = 0x10000 };
#define L1_HPA_BASE 0x6600000000ull

/* One for each kind of machine, with its memory as fixture_setup made it. */
static struct world {
	struct fixture f;
	struct fixture fresh;
	uint8_t *low, *l2, *pages;
	struct ept02_extent *extents;
} worlds[2];
static struct engine_run run;
static struct fixture *f;     /* run.f */
static struct nested *nested; /* run.nested */
static struct fuzz_input input;

static struct {
	unsigned long outcomes[VMX_REFUSED + 1], exits[2], reflected, aborts, faults, compared;
} statistics;

/* ---- L0 ---- */

static bool is_ram(uint64_t gpa)
{
	return gpa < LOW_BYTES || (gpa >= FIXTURE_GPA_L2_MEMORY && gpa < FIXTURE_GPA_L2_MEMORY + L2_BYTES);
}

static void *l1_page(void *ctx, uint64_t gpa)
{
	return is_ram(gpa) ? f->memory + (gpa & ~0xfffull) : NULL;
}

static uint64_t l1_to_host(void *ctx, uint64_t gpa)
{
	FUZZ_REQUIRE(is_ram(gpa));
	return L1_HPA_BASE + gpa;
}

static bool read_msr(void *ctx, uint32_t msr, uint64_t *value)
{
	*value = msr * 0x9e3779b97f4a7c15ull;
	return msr & 1;
}

static bool write_msr(void *ctx, uint32_t msr, uint64_t value)
{
	return (msr ^ value) & 1;
}

/* ---- values ---- */

static uint64_t some_address(void)
{
	const uint8_t byte = fuzz_u8(&input);

	if (byte < 0xc0)
		return byte % (LOW_BYTES >> 12) * 0x1000ull;
	return byte < 0xe0 ? FIXTURE_GPA_L2_MEMORY + byte % 32u * 0x1000 : fuzz_u64(&input);
}

static uint64_t some_value(uint64_t old)
{
	const uint8_t kind = fuzz_u8(&input);

	switch (kind % 8) {
	case 0:
		return 0;
	case 1:
		return old ^ 1ull << kind / 8 << (fuzz_u8(&input) & 32);
	case 2:
		return old ^ 1ull << fuzz_u8(&input) % 64;
	case 3:
		return kind / 8;
	case 4:
		return some_address();
	case 5:
		return fuzz_u16(&input);
	case 6:
		return ~0ull >> fuzz_u8(&input) % 64;
	default:
		return fuzz_u64(&input);
	}
}

static enum vmcs_field some_field(void)
{
	return (enum vmcs_field)(fuzz_u8(&input) % VMCS_FIELD_COUNT);
}

/* Fields that merge.c carries over in ways of their own, and that few checks look at. */
static enum vmcs_field some_merged_field(void)
{
	static const enum vmcs_field fields[] = {VMCS_EXCEPTION_BITMAP, VMCS_PAGE_FAULT_ERROR_CODE_MASK,
	        VMCS_PAGE_FAULT_ERROR_CODE_MATCH, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR4_GUEST_HOST_MASK,
	        VMCS_CR0_READ_SHADOW, VMCS_CR4_READ_SHADOW, VMCS_TSC_OFFSET, VMCS_TSC_MULTIPLIER, VMCS_TPR_THRESHOLD,
	        VMCS_EOI_EXIT_BITMAP1, VMCS_VIRTUAL_PROCESSOR_ID, VMCS_EPT_POINTER, VMCS_MSR_BITMAP, VMCS_IO_BITMAP_B,
	        VMCS_CR3_TARGET_COUNT, VMCS_CR3_TARGET_VALUE1, VMCS_PLE_GAP, VMCS_XSS_EXITING_BITMAP,
	        VMCS_VMX_PREEMPTION_TIMER_VALUE, VMCS_GUEST_DR7, VMCS_GUEST_IA32_DEBUGCTL, VMCS_GUEST_IA32_PAT,
	        VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, VMCS_GUEST_PDPTE2, VMCS_GUEST_CR0, VMCS_GUEST_CR3, VMCS_GUEST_CR4,
	        VMCS_GUEST_RFLAGS, VMCS_GUEST_INTERRUPTIBILITY_STATE, VMCS_GUEST_ACTIVITY_STATE,
	        VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, VMCS_HOST_CR3,
	        VMCS_HOST_CR4, VMCS_HOST_IA32_EFER, VMCS_HOST_IA32_PAT, VMCS_HOST_RIP, VMCS_HOST_FS_SELECTOR,
	        VMCS_HOST_GS_BASE};

	return fields[fuzz_u8(&input) % (sizeof(fields) / sizeof(fields[0]))];
}

/* ---- L1 ---- */

static struct vmcs *current(void)
{
	return nested->vmcs12 ? nested->vmcs12 : f->vmcs12;
}

/* What L1 wrote into vmcs12 since the last entry that succeeded. It takes back what an entry was refused for, so that
 * programs come to many entries from one vmcs12, each with something new. */
static struct {
	enum vmcs_field field;
	uint64_t old;
} written[16];
static unsigned written_count;

static void remember_written(enum vmcs_field field)
{
	if (written_count < sizeof(written) / sizeof(written[0])) {
		written[written_count].field = field;
		written[written_count++].old = current()->field[field];
	}
}

static void take_back(void)
{
	while (written_count > 0) {
		written_count--;
		vmcs_set(current(), written[written_count].field, written[written_count].old);
	}
}

static void instruction(enum exit_reason reason, const struct vmx_operands *operands)
{
	struct vmx_outcome outcome;

	nested_vmx_instruction(nested, reason, operands, &outcome);
	FUZZ_REQUIRE(outcome.kind <= VMX_REFUSED);
	FUZZ_REQUIRE((outcome.kind == VMX_ENTERED) == nested->in_l2);
	FUZZ_REQUIRE(!nested->vmcs12 || (uint8_t *)nested->vmcs12 == f->memory + nested->vmcs12_gpa);
	statistics.outcomes[outcome.kind]++;
	if (outcome.kind == VMX_ENTERED) {
		require_l0s_part(&run);
		require_all_checks(&run);
		statistics.compared += require_same_as_whole_merge(&run);
		written_count = 0;
	} else if (outcome.kind == VMX_ENTRY_FAILED) {
		require_l1_at_host_state(&run);
		take_back();
	} else if (reason == EXIT_REASON_VMLAUNCH || reason == EXIT_REASON_VMRESUME) {
		take_back();
	}
	require_vmcs01(&run);
}

static void any_instruction(void)
{
	static const uint8_t reasons[] = {EXIT_REASON_VMXON, EXIT_REASON_VMXOFF, EXIT_REASON_VMCLEAR,
	        EXIT_REASON_VMPTRLD, EXIT_REASON_VMPTRST, EXIT_REASON_VMREAD, EXIT_REASON_VMWRITE, EXIT_REASON_VMLAUNCH,
	        EXIT_REASON_VMRESUME, EXIT_REASON_INVEPT, EXIT_REASON_INVVPID, EXIT_REASON_VMCALL, EXIT_REASON_VMFUNC};
	const uint8_t byte = fuzz_u8(&input);
	struct vmx_operands operands = {0};

	/* One byte after the other: the order in which initializers are evaluated is the compiler's. */
	operands.gpa = some_address();
	operands.encoding = vmcs_field_infos[some_field()].encoding;
	operands.type = fuzz_u8(&input) % 5;
	if (byte & 0x80)
		operands.encoding = fuzz_u64(&input);
	else if (byte & 0x40)
		operands.encoding |= 1;
	operands.value = some_value(0);
	operands.descriptor[0] = byte & 0x20 ? fuzz_u64(&input) : current()->field[VMCS_EPT_POINTER];
	operands.descriptor[1] = some_value(0);
	instruction((enum exit_reason)reasons[byte % sizeof(reasons)], &operands);
}

/* A real instruction, from its exit information on. */
static void decoded_instruction(void)
{
	const enum exit_reason reason = (enum exit_reason)(EXIT_REASON_VMCALL + fuzz_u8(&input) % 10);
	struct vmx_operands operands;
	struct vmx_outcome outcome;

	f->vmcs01.field[VMCS_VM_EXIT_INSTRUCTION_INFORMATION] = (uint32_t)fuzz_u64(&input);
	f->vmcs01.field[VMCS_EXIT_QUALIFICATION] = some_value(0);
	f->vmcs01.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = fuzz_u8(&input) & 15;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		f->regs.gpr[i] = i % 3 ? some_value(0) : vmcs_field_infos[some_field()].encoding;
	if (nested_vmx_decode(nested, reason, &f->regs, &operands, &outcome)) {
		if (reason == EXIT_REASON_VMLAUNCH || reason == EXIT_REASON_VMRESUME) {
			instruction(reason, &operands);
			return;
		}
		nested_vmx_instruction(nested, reason, &operands, &outcome);
	}
	statistics.faults += outcome.kind == VMX_FAULT;
	nested_vmx_complete(nested, reason, &f->regs, &operands, &outcome);
	f->vmcs01.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] = 0; /* delivered */
	require_vmcs01(&run);
}

static void vmwrite_field(enum vmcs_field field, uint64_t value)
{
	const struct vmx_operands operands = {.encoding = vmcs_field_infos[field].encoding, .value = value};

	remember_written(field);
	instruction(EXIT_REASON_VMWRITE, &operands);
}

static const enum vmcs_field words[VMX_WORD_COUNT] = {VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
        VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
        VMCS_PRIMARY_VM_EXIT_CONTROLS, VMCS_VM_ENTRY_CONTROLS};

/* Those of the bits that are offered. */
static void set_control(enum vmx_control_word word, uint64_t bits)
{
	vmwrite_field(words[word], current()->field[words[word]] | (bits & caps_may_be_one(&nested->caps, word)));
}

/* A control bit the machine offers, or any. */
static void toggle_control(void)
{
	const unsigned word = fuzz_u8(&input) % VMX_WORD_COUNT;
	uint64_t value = current()->field[words[word]] ^ 1ull << fuzz_u8(&input) % 32;

	if (fuzz_u8(&input) % 8) {
		value |= caps_must_be_one(&nested->caps, (enum vmx_control_word)word);
		value &= caps_may_be_one(&nested->caps, (enum vmx_control_word)word);
	}
	vmwrite_field(words[word], value);
}

/* As with vmcs=direct, and as any L1 can, dirty bit or not. */
static void write_vmcs12_memory(void)
{
	const uint8_t byte = fuzz_u8(&input);
	const enum vmcs_field field = some_field();
	struct vmcs *vmcs12 = current();

	run.scribbled = true;
	remember_written(field);
	vmcs12->field[field] = some_value(vmcs12->field[field]);
	if (byte & 1)
		vmcs_mask_set(&vmcs12->dirty, field);
	if (byte % 16 == 2)
		vmcs12->stale.word[byte % VMCS_MASK_WORDS] = fuzz_u64(&input);
	if (byte % 16 == 4)
		vmcs12->dirty.word[byte % VMCS_MASK_WORDS] = fuzz_u64(&input);
	if (byte % 32 == 6)
		vmcs12->launched = fuzz_u8(&input) % 4;
	if (byte % 32 == 8)
		vmcs12->revision_id = fuzz_u8(&input) & 1 ? VMCS_REVISION_ID : (uint32_t)fuzz_u64(&input);
}

static void write_memory(void)
{
	const uint64_t page = some_address();
	const uint64_t gpa = (page + fuzz_u16(&input) % 512 * 8) & ~7ull;
	unsigned count = 1 + fuzz_u8(&input) % 8;

	run.scribbled = true;
	for (uint64_t at = gpa; count-- > 0 && is_ram(at); at += 8)
		fixture_write64(f, at, some_value(fixture_read64(f, at)));
}

static void write_l1_register(void)
{
	static const enum vmcs_field registers[] = {VMCS_GUEST_CR0, VMCS_GUEST_CR3, VMCS_GUEST_CR4,
	        VMCS_GUEST_IA32_EFER, VMCS_GUEST_RFLAGS, VMCS_GUEST_SS_ACCESS_RIGHTS, VMCS_GUEST_CS_ACCESS_RIGHTS,
	        VMCS_GUEST_DS_LIMIT, VMCS_GUEST_INTERRUPTIBILITY_STATE, VMCS_GUEST_DS_ACCESS_RIGHTS};
	const enum vmcs_field field = registers[fuzz_u8(&input) % (sizeof(registers) / sizeof(registers[0]))];

	f->vmcs01.field[field] = some_value(f->vmcs01.field[field]);
}

/* Features that need several things to fit: MSR lists, bitmaps, the virtual-APIC page. */
static void use_feature(void)
{
	static const enum vmcs_field lists[][2] = {
	        {VMCS_VM_ENTRY_MSR_LOAD_ADDRESS, VMCS_VM_ENTRY_MSR_LOAD_COUNT},
	        {VMCS_VM_EXIT_MSR_STORE_ADDRESS, VMCS_VM_EXIT_MSR_STORE_COUNT},
	        {VMCS_VM_EXIT_MSR_LOAD_ADDRESS, VMCS_VM_EXIT_MSR_LOAD_COUNT},
	};
	static const uint32_t msrs[] = {MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_PAT, MSR_IA32_EFER,
	        MSR_IA32_DEBUGCTL, MSR_IA32_FS_BASE, 0x4d1, 0x8ff};
	const uint8_t byte = fuzz_u8(&input);
	const unsigned list = byte % 8;

	if (list < 3) {
		const unsigned count = byte / 8 % 4;
		for (unsigned i = 0; i < count; i++) {
			const uint64_t at = FIXTURE_GPA_MSR_LIST + list * 64 + i * 16;
			fixture_write64(f, at, msrs[fuzz_u8(&input) % 8]);
			fixture_write64(f, at + 8, fuzz_u8(&input) & 1 ? 0x0007040600070406ull : some_value(0));
		}
		vmwrite_field(lists[list][0], FIXTURE_GPA_MSR_LIST + list * 64);
		vmwrite_field(lists[list][1], count);
	} else if (list < 5) {
		const uint64_t pages[] = {FIXTURE_GPA_MSR_BITMAP, FIXTURE_GPA_IO_BITMAP_A, FIXTURE_GPA_IO_BITMAP_B};
		const uint64_t at = pages[byte / 8 % 3] + fuzz_u16(&input) % 512 * 8;
		vmwrite_field(VMCS_IO_BITMAP_A, FIXTURE_GPA_IO_BITMAP_A);
		vmwrite_field(VMCS_IO_BITMAP_B, FIXTURE_GPA_IO_BITMAP_B);
		fixture_write64(f, at, some_value(fixture_read64(f, at)));
	} else {
		vmwrite_field(VMCS_VIRTUAL_APIC_ADDRESS, FIXTURE_GPA_VIRTUAL_APIC);
		vmwrite_field(VMCS_APIC_ACCESS_ADDRESS, FIXTURE_GPA_VIRTUAL_APIC + 0x2000);
		vmwrite_field(VMCS_TPR_THRESHOLD, byte / 8 % 4);
		if (list > 5)
			set_control(VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW) | VMX_BIT(PROC_TSC_OFFSETTING));
		if (list > 6)
			set_control(VMX_WORD_PROC2,
			        VMX_BIT(PROC2_VIRTUALIZE_APIC_ACCESSES) | VMX_BIT(PROC2_USE_TSC_SCALING));
		*((uint8_t *)fixture_memory(f, FIXTURE_GPA_VIRTUAL_APIC) + 0x80) = fuzz_u8(&input);
	}
}

/* Back to a vmcs12 that passes every check, so that programs get on. */
static void sound_vmcs12(void)
{
	struct vmx_operands operands = {.gpa = FIXTURE_GPA_VMCS12};

	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_encoding_type(vmcs_field_infos[field].encoding) == VMCS_TYPE_GUEST)
			f->vmcs01.field[field] = run.first01.field[field];
	}
	f->vmcs12->revision_id = VMCS_REVISION_ID;
	*(uint32_t *)fixture_memory(f, FIXTURE_GPA_VMXON) = VMCS_REVISION_ID;
	operands.gpa = FIXTURE_GPA_VMXON;
	instruction(EXIT_REASON_VMXON, &operands);
	operands.gpa = FIXTURE_GPA_VMCS12;
	instruction(EXIT_REASON_VMCLEAR, &operands);
	memset(f->vmcs12->field, 0, sizeof(f->vmcs12->field));
	fixture_fill_vmcs12(f, f->vmcs12);
	instruction(EXIT_REASON_VMPTRLD, &operands);
	instruction(EXIT_REASON_VMLAUNCH, &operands);
}

/* ---- L2 and the machine ---- */

static void fill_exit(void)
{
	struct vmcs *v = &nested->vmcs02;
	const uint8_t byte = fuzz_u8(&input);
	static const uint8_t frequent[] = {EXIT_REASON_EPT_VIOLATION, EXIT_REASON_EPT_VIOLATION,
	        EXIT_REASON_EXCEPTION_OR_NMI, EXIT_REASON_IO_INSTRUCTION, EXIT_REASON_RDMSR, EXIT_REASON_WRMSR,
	        EXIT_REASON_CONTROL_REGISTER_ACCESS, EXIT_REASON_CPUID, EXIT_REASON_VMCALL, EXIT_REASON_HLT,
	        EXIT_REASON_EXTERNAL_INTERRUPT, EXIT_REASON_EPT_MISCONFIGURATION};

	memset(&v->dirty, 0, sizeof(v->dirty));
	v->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] &= ~(uint64_t)INTR_INFO_VALID;
	v->field[VMCS_EXIT_REASON] =
	        byte < 0xc0 ? frequent[byte % sizeof(frequent)] : fuzz_u8(&input) % EXIT_REASON_LIMIT;
	v->field[VMCS_EXIT_QUALIFICATION] = some_value(0);
	v->field[VMCS_GUEST_PHYSICAL_ADDRESS] =
	        byte & 1 ? fuzz_u16(&input) * 0x100ull : some_value(0) & 0xffffffffffffull;
	v->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = byte & 2 ? INTR_INFO_VALID | (fuzz_u16(&input) & 0x1fff) : 0;
	v->field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE] = byte;
	v->field[VMCS_IDT_VECTORING_INFORMATION] = byte & 4 ? INTR_INFO_VALID | (fuzz_u16(&input) & 0xfff) : 0;
	v->field[VMCS_IDT_VECTORING_ERROR_CODE] = byte;
	v->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = byte % 16;
	v->field[VMCS_GUEST_RIP] = (v->field[VMCS_GUEST_RIP] + byte) & 0x7fffffff;
	if (byte & 8) {
		v->field[VMCS_VM_EXIT_INSTRUCTION_INFORMATION] = (uint32_t)fuzz_u64(&input);
		v->field[VMCS_GUEST_LINEAR_ADDRESS] = some_value(0);
		f->regs.gpr[GPR_RCX] = some_value(0);
		f->regs.gpr[GPR_RAX] = some_value(0);
	}
	if (!run.tame) {
		for (unsigned i = fuzz_u8(&input) % 4u; i > 0; i--) {
			const enum vmcs_field field = some_field();
			if (vmcs_encoding_type(vmcs_field_infos[field].encoding) == VMCS_TYPE_GUEST &&
			        field != VMCS_VMCS_LINK_POINTER)
				v->field[field] =
				        some_value(v->field[field]) &
				        vmcs_width_mask(vmcs_encoding_width(vmcs_field_infos[field].encoding));
		}
	}
	v->stale = nested->config.machine.on_demand;
}

/* The machine stops: shutdown after a VMX abort, or memory that cannot be mapped. */
static void reset(void)
{
	nested_reset(nested);
	FUZZ_REQUIRE(!nested->in_l2 && !nested->vmx_on);
	nested_write_msr(nested, MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	sound_vmcs12();
}

static void after_reflection(void)
{
	statistics.reflected++;
	require_l1_at_host_state(&run);
	require_vmcs01(&run);
	if (nested->vmx_abort) {
		statistics.aborts++;
		reset();
	}
}

static void l2_exit(void)
{
	enum ept02_verdict verdict;
	uint64_t device_gpa = 0;
	enum nested_owner owner;

	fill_exit();
	owner = nested_route(nested, &f->regs, &verdict, &device_gpa);
	statistics.exits[owner == NESTED_TO_L1]++;
	if (verdict == EPT02_FAILED) {
		reset();
	} else if (owner == NESTED_TO_L1) {
		nested_reflect(nested);
		after_reflection();
	} else {
		nested_reinject(nested);
		require_l0s_part(&run);
	}
}

static void l2_event(void)
{
	const uint8_t byte = fuzz_u8(&input), error_code = fuzz_u8(&input);

	if (byte & 1)
		nested_deliver_interrupt(nested, fuzz_u8(&input));
	else if (byte & 2)
		nested_reflect_made(nested, EXIT_REASON_TRIPLE_FAULT, 0, 0, 0);
	else
		nested_inject(nested, INTR_INFO_VALID | (fuzz_u16(&input) & 0xfff), error_code, 0);
	if (nested->in_l2) {
		require_l0s_part(&run);
	} else {
		/* An unacknowledged interrupt may already be waiting for L1. */
		f->vmcs01.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] = 0;
		after_reflection();
	}
}

/* ---- the program ---- */

static void l1_step(uint8_t operation)
{
	static const struct vmx_operands none;
	enum vmcs_field field;

	switch (operation % 16) {
	case 0:
		any_instruction();
		break;
	case 1:
	case 2:
		field = operation & 0x80 ? some_field() : some_merged_field();
		vmwrite_field(field, some_value(current()->field[field]));
		break;
	case 3:
		toggle_control();
		break;
	case 4:
		write_vmcs12_memory();
		break;
	case 5:
		write_memory();
		break;
	case 6:
		decoded_instruction();
		break;
	case 7:
		write_l1_register();
		break;
	case 8:
		if (operation & 0x80)
			sound_vmcs12();
		break;
	case 9:
		if (operation == 9)
			reset();
		nested_deliver_interrupt(nested, operation);
		f->vmcs01.field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] = 0;
		break;
	case 10:
		if (nested->config.shadow_mode == SHADOW_SHADOW) { /* VMWRITE without an exit */
			struct vmcs *region = nested->config.shadow_region.hva;
			field = some_field();
			region->field[field] = some_value(region->field[field]);
		}
		break;
	case 11:
		use_feature();
		break;
	default:
		instruction(current()->launched ? EXIT_REASON_VMRESUME : EXIT_REASON_VMLAUNCH, &none);
	}
}

static void setup_once(struct world *world, enum fixture_kind kind)
{
	f = &world->f;
	fixture_setup(f, kind);
	world->low = malloc(LOW_BYTES);
	world->l2 = malloc(L2_BYTES);
	world->pages = malloc(9 * 4096);
	world->extents = calloc((size_t)EPT02_ROOTS * EPT02_EXTENTS, sizeof(*world->extents));
	FUZZ_REQUIRE(world->low && world->l2 && world->pages && world->extents);
	memcpy(world->low, f->memory, LOW_BYTES);
	memcpy(world->l2, f->memory + FIXTURE_GPA_L2_MEMORY, L2_BYTES);
	memcpy(world->pages, f->pages, 9 * 4096);
	world->fresh = *f;
}

/* What L0 wants of its guests, beyond the fixture's little. */
static void l0_wishes(uint8_t wishes)
{
	uint64_t *field = f->vmcs01.field;

	if (wishes & 1) {
		field[VMCS_EXCEPTION_BITMAP] = wishes & 0x10 ? 1u << VECTOR_PF | 1u << 1 : 1u << 1;
		field[VMCS_PAGE_FAULT_ERROR_CODE_MASK] = wishes & 0x20 ? 4 : 0;
		field[VMCS_PAGE_FAULT_ERROR_CODE_MATCH] = wishes & 0x40 ? 4 : 0;
	}
	if (wishes & 2) {
		field[VMCS_CR0_GUEST_HOST_MASK] = CR0_NE | (wishes & 0x10 ? CR0_CD | CR0_NW | CR0_TS : 0);
		field[VMCS_CR0_READ_SHADOW] = field[VMCS_GUEST_CR0];
		field[VMCS_CR4_GUEST_HOST_MASK] = CR4_VMXE | (wishes & 0x20 ? CR4_PAE : 0);
		field[VMCS_CR4_READ_SHADOW] = field[VMCS_GUEST_CR4];
	}
	if (wishes & 4) {
		field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] |= VMX_BIT(PROC_TSC_OFFSETTING);
		field[VMCS_TSC_OFFSET] = 0ull - wishes * 0x123456789ull;
	}
	if (wishes & 8)
		field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] |= VMX_BIT(PROC_CR3_LOAD_EXITING);
}

static void start(void)
{
	const uint8_t kind = fuzz_u8(&input), flags = fuzz_u8(&input);
	struct world *world = &worlds[kind & 1];

	f = run.f = &world->f;
	*f = world->fresh;
	memcpy(f->memory, world->low, LOW_BYTES);
	memcpy(f->memory + FIXTURE_GPA_L2_MEMORY, world->l2, L2_BYTES);
	memcpy(f->pages, world->pages, 9 * 4096);
	nested = run.nested = &f->nested;
	f->config.ops.l1_page = l1_page;
	f->config.ops.read_msr = read_msr;
	f->config.ops.write_msr = write_msr;
	f->config.ops.l1_to_host = kind & 2 ? l1_to_host : NULL;
	f->config.shadow_mode = (enum shadow_mode)(flags % 3);
	f->config.copy_everything = flags & 0x10;
	f->config.extents = world->extents;
	if (!(kind & 1))
		f->config.ept02_mode = flags & 0x20 ? EPT02_EAGER : EPT02_LAZY;
	f->config.msr_bitmap01 = flags & 0x40 ? f->msr_bitmap01 : NULL;
	if (flags & 0x40) /* L0 lets some ports and MSRs through */
		memset(f->pages + 6 * 4096 + 64, 0x5a, 3 * 4096 - 128);
	f->config.io_bitmap01[0] = flags & 0x80 ? f->io_bitmap01[0] : NULL;
	f->config.io_bitmap01[1] = flags & 0x80 ? f->io_bitmap01[1] : NULL;
	l0_wishes(fuzz_u8(&input));
	run.tame = kind & 4;
	run.scribbled = false;
	written_count = 0;
	fixture_start(f);
	run.first01 = f->vmcs01;
}

int fuzz_one(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready) {
		setup_once(&worlds[0], FIXTURE_REAL_VMX);
		setup_once(&worlds[1], FIXTURE_PARAVIRTUAL);
		ready = true;
	}
	input = (struct fuzz_input){data, size};
	start();
	for (unsigned i = 0; i < OPERATIONS_MAX && input.left > 0; i++) {
		const uint8_t operation = fuzz_u8(&input);
		if (!nested->in_l2)
			l1_step(operation);
		else if (operation % 8 == 0)
			l2_event();
		else
			l2_exit();
	}
	nested_fini(nested);
	return 0;
}

const char *fuzz_summary(void)
{
	static char text[512];

	snprintf(text, sizeof(text),
	        "outcomes: succeed %lu, fail invalid %lu, fail valid %lu, fault %lu, entered %lu, entry failed %lu, "
	        "refused %lu; faults of operands %lu\n"
	        "exits to L0 %lu, to L1 %lu; reflected %lu, VMX aborts %lu; merges compared %lu\n",
	        statistics.outcomes[VMX_SUCCEED], statistics.outcomes[VMX_FAIL_INVALID],
	        statistics.outcomes[VMX_FAIL_VALID], statistics.outcomes[VMX_FAULT], statistics.outcomes[VMX_ENTERED],
	        statistics.outcomes[VMX_ENTRY_FAILED], statistics.outcomes[VMX_REFUSED], statistics.faults,
	        statistics.exits[0], statistics.exits[1], statistics.reflected, statistics.aborts, statistics.compared);
	return text;
}
