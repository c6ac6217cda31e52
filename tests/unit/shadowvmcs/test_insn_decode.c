/* SPDX-License-Identifier: Apache-2.0 */
/* Real VMX instructions: operands from the exit information, results into registers and memory. */
#include <string.h>

#include "fixture.h"

/* Instruction-information field; SDM vol. 3, tables 28-9, 28-13, 28-14. */
#define SCALE(n) ((uint32_t)(n))
#define REG1(n) ((uint32_t)(n) << 3)
#define ADDRESS(size) ((uint32_t)(size) << 7) /* 0, 1, 2: 16, 32, 64 bits */
#define IN_REGISTER (1u << 10)
#define SEGMENT(n) ((uint32_t)(n) << 15)
#define INDEX(n) ((uint32_t)(n) << 18)
#define NO_INDEX (1u << 22)
#define BASE(n) ((uint32_t)(n) << 23)
#define NO_BASE (1u << 27)
#define REG2(n) ((uint32_t)(n) << 28)
enum { ES, CS, SS, DS, FS, GS };

/* [RBX], 64-bit, DS. */
#define AT_RBX (ADDRESS(2) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX))

enum { DATA = 0x200000, LENGTH = 4 };

static void start(struct fixture *f)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	fixture_start(f);
	f->vmcs01.field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = LENGTH;
	for (int i = 0; i < GPR_COUNT; i++)
		f->regs.gpr[i] = 0xbad0000000000000 + (uint64_t)i;
	f->regs.gpr[GPR_RBX] = DATA;
}

static void start_32bit(struct fixture *f)
{
	start(f);
	f->vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	f->vmcs01.field[VMCS_GUEST_CR0] = 0x31; /* no paging: linear = physical */
	f->vmcs01.field[VMCS_GUEST_CS_ACCESS_RIGHTS] = 0xc09b;
}

static bool decode(struct fixture *f, enum exit_reason reason, uint32_t info, uint64_t displacement,
        struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	f->vmcs01.field[VMCS_VM_EXIT_INSTRUCTION_INFORMATION] = info;
	f->vmcs01.field[VMCS_EXIT_QUALIFICATION] = displacement;
	return nested_vmx_decode(&f->nested, reason, &f->regs, operands, outcome);
}

/* As L0 does it: decode, execute, complete. */
static struct vmx_outcome run(struct fixture *f, enum exit_reason reason, uint32_t info, uint64_t displacement)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;

	if (decode(f, reason, info, displacement, &operands, &outcome))
		nested_vmx_instruction(&f->nested, reason, &operands, &outcome);
	nested_vmx_complete(&f->nested, reason, &f->regs, &operands, &outcome);
	return outcome;
}

/* The memory operand of a VMPTRLD, which tells which address was read. */
static void expect_address(struct fixture *f, uint32_t info, uint64_t displacement, uint64_t gpa)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	uint64_t before = fixture_read64(f, gpa);

	fixture_write64(f, gpa, 0x1122334455667788);
	ck_assert(decode(f, EXIT_REASON_VMPTRLD, info, displacement, &operands, &outcome));
	ck_assert_uint_eq(operands.gpa, 0x1122334455667788);
	fixture_write64(f, gpa, before);
}

static void expect_decode_fault(
        struct fixture *f, enum exit_reason reason, uint32_t info, uint64_t displacement, uint8_t vector)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;

	ck_assert(!decode(f, reason, info, displacement, &operands, &outcome));
	ck_assert_int_eq(outcome.kind, VMX_FAULT);
	ck_assert_uint_eq(outcome.vector, vector);
	ck_assert_int_eq(outcome.has_error, vector != 6);
}

/* ---- addresses ---- */

START_TEST(test_address_forms)
{
	struct fixture f;

	start(&f);
	expect_address(&f, AT_RBX, 0, DATA);
	expect_address(&f, AT_RBX, 0x18, DATA + 0x18);
	expect_address(&f, AT_RBX, (uint64_t)-0x20, DATA - 0x20);
	expect_address(&f, ADDRESS(2) | SEGMENT(DS) | NO_INDEX | NO_BASE, 0x3000, 0x3000);
	f.regs.gpr[GPR_R15] = 0x40;
	for (unsigned scale = 0; scale < 4; scale++)
		expect_address(&f, ADDRESS(2) | SEGMENT(DS) | BASE(GPR_RBX) | INDEX(GPR_R15) | SCALE(scale), 8,
		        DATA + 8 + (0x40 << scale));
	expect_address(&f, ADDRESS(2) | SEGMENT(DS) | NO_BASE | INDEX(GPR_RBX) | SCALE(1), 0, DATA * 2);
	fixture_teardown(&f);
}
END_TEST

/* RSP is in vmcs01, not among the registers. */
START_TEST(test_rsp_as_base)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_RSP] = DATA + 0x100;
	expect_address(&f, ADDRESS(2) | SEGMENT(SS) | NO_INDEX | BASE(GPR_RSP), 8, DATA + 0x108);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_32bit_addresses_in_64bit_mode)
{
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RBX] = 0xffffffff00000000 | DATA;
	expect_address(&f, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0x10, DATA + 0x10);
	/* The truncation comes before the base of FS is added. */
	f.vmcs01.field[VMCS_GUEST_FS_BASE] = 0x1000;
	expect_address(&f, ADDRESS(1) | SEGMENT(FS) | NO_INDEX | BASE(GPR_RBX), 0x10, DATA + 0x1010);
	fixture_teardown(&f);
}
END_TEST

/* In 64-bit mode only FS and GS have a base, and no segment a limit. */
START_TEST(test_segments_in_64bit_mode)
{
	static const enum vmcs_field bases[] = {VMCS_GUEST_ES_BASE, VMCS_GUEST_CS_BASE, VMCS_GUEST_SS_BASE,
	        VMCS_GUEST_DS_BASE, VMCS_GUEST_FS_BASE, VMCS_GUEST_GS_BASE};
	struct fixture f;

	start(&f);
	for (unsigned i = 0; i < 6; i++)
		f.vmcs01.field[bases[i]] = 0x1000 * (i + 1);
	f.vmcs01.field[VMCS_GUEST_DS_LIMIT] = 0;
	f.vmcs01.field[VMCS_GUEST_DS_ACCESS_RIGHTS] = 0x10000;
	for (unsigned i = 0; i < 6; i++)
		expect_address(&f, ADDRESS(2) | SEGMENT(i) | NO_INDEX | BASE(GPR_RBX), 0,
		        DATA + (i >= FS ? 0x1000 * (i + 1) : 0));
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_canonical)
{
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RBX] = 1ull << 47;
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0, 13);
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, ADDRESS(2) | SEGMENT(SS) | NO_INDEX | BASE(GPR_RBX), 0, 12);
	f.regs.gpr[GPR_RBX] = (1ull << 47) - 4; /* its last byte is not canonical */
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0, 13);
	expect_decode_fault(&f, EXIT_REASON_VMPTRST, AT_RBX, 0, 13);
	f.regs.gpr[GPR_RBX] = (1ull << 47) - 8; /* the last that is, but nothing is there */
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0, 14);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_page_fault)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RBX] = 1ull << 30; /* L1's tables map 8 MiB */
	ck_assert(!decode(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0x18, &operands, &outcome));
	ck_assert_uint_eq(outcome.vector, 14);
	ck_assert_uint_eq(outcome.error, 0);
	ck_assert_uint_eq(outcome.cr2, (1ull << 30) + 0x18);
	fixture_teardown(&f);
}
END_TEST

/* ---- segments outside 64-bit mode ---- */

START_TEST(test_32bit_mode)
{
	struct fixture f;

	start_32bit(&f);
	f.vmcs01.field[VMCS_GUEST_DS_BASE] = 0x1000;
	f.regs.gpr[GPR_RBX] = DATA;
	expect_address(&f, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0, DATA + 0x1000);
	/* CS.L means nothing without IA-32e mode. */
	f.vmcs01.field[VMCS_GUEST_CS_ACCESS_RIGHTS] = 0xa09b;
	expect_address(&f, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0, DATA + 0x1000);
	/* Linear addresses wrap at 4 GiB. */
	f.vmcs01.field[VMCS_GUEST_DS_BASE] = 0xffff0000;
	expect_address(&f, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0, DATA - 0x10000);
	f.vmcs01.field[VMCS_GUEST_DS_BASE] = 0;
	expect_address(&f, ADDRESS(0) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0x12345, 0x2345);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_segment_limits)
{
	const uint32_t info = ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX);
	struct fixture f;

	start_32bit(&f);
	f.vmcs01.field[VMCS_GUEST_DS_LIMIT] = DATA + 7;
	expect_address(&f, info, 0, DATA);
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, info, 1, 13);
	f.vmcs01.field[VMCS_GUEST_SS_LIMIT] = DATA + 6;
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, ADDRESS(1) | SEGMENT(SS) | NO_INDEX | BASE(GPR_RBX), 0, 12);
	/* Expand-down: what lies above the limit. */
	f.vmcs01.field[VMCS_GUEST_DS_ACCESS_RIGHTS] = 0xc097;
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, info, 0, 13);
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, info, 7, 13);
	expect_address(&f, info, 8, DATA + 8);
	f.vmcs01.field[VMCS_GUEST_DS_ACCESS_RIGHTS] = 0xc09b; /* code */
	expect_address(&f, info, 0, DATA);
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, info, 1, 13);
	f.vmcs01.field[VMCS_GUEST_DS_ACCESS_RIGHTS] = 0x8097; /* 16-bit: up to 0xffff */
	f.vmcs01.field[VMCS_GUEST_DS_LIMIT] = 0xff;
	f.regs.gpr[GPR_RBX] = 0xfff8;
	expect_address(&f, info, 0, 0xfff8);
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, info, 1, 13);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_segment_types)
{
	const uint32_t info = ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX);
	static const struct {
		uint32_t rights;
		bool reads, writes;
	} cases[] = {
	        {0xc093, true, true},    /* data, writable */
	        {0xc091, true, false},   /* data */
	        {0xc09b, true, false},   /* code, readable */
	        {0xc099, false, false},  /* code */
	        {0x1c093, false, false}, /* unusable */
	};
	struct fixture f;

	start_32bit(&f);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmx_operands operands;
		struct vmx_outcome outcome;

		f.vmcs01.field[VMCS_GUEST_DS_ACCESS_RIGHTS] = cases[i].rights;
		ck_assert_int_eq(decode(&f, EXIT_REASON_VMPTRLD, info, 0, &operands, &outcome), cases[i].reads);
		ck_assert_int_eq(decode(&f, EXIT_REASON_VMPTRST, info, 0, &operands, &outcome), cases[i].writes);
		ck_assert_int_eq(decode(&f, EXIT_REASON_VMREAD, info, 0, &operands, &outcome), cases[i].writes);
		ck_assert_int_eq(decode(&f, EXIT_REASON_VMWRITE, info, 0, &operands, &outcome), cases[i].reads);
	}
	fixture_teardown(&f);
}
END_TEST

/* ---- operands ---- */

START_TEST(test_vmwrite_operands)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RCX] = VMCS_ENC_GUEST_RIP | 1ull << 40;
	f.regs.gpr[GPR_R9] = 0x123456789abcdef0;
	ck_assert(decode(&f, EXIT_REASON_VMWRITE, IN_REGISTER | REG1(GPR_R9) | REG2(GPR_RCX), 0, &operands, &outcome));
	ck_assert_uint_eq(operands.encoding, VMCS_ENC_GUEST_RIP | 1ull << 40);
	ck_assert_uint_eq(operands.value, 0x123456789abcdef0);
	f.vmcs01.field[VMCS_GUEST_RSP] = 0x777;
	ck_assert(decode(&f, EXIT_REASON_VMWRITE, IN_REGISTER | REG1(GPR_RSP) | REG2(GPR_RCX), 0, &operands, &outcome));
	ck_assert_uint_eq(operands.value, 0x777);
	fixture_write64(&f, DATA, 0xfedcba9876543210);
	ck_assert(decode(&f, EXIT_REASON_VMWRITE, AT_RBX | REG1(GPR_R9) | REG2(GPR_RCX), 0, &operands, &outcome));
	ck_assert_uint_eq(operands.value, 0xfedcba9876543210);
	fixture_teardown(&f);

	/* Outside 64-bit mode operands have 32 bits. */
	start_32bit(&f);
	f.regs.gpr[GPR_RCX] = VMCS_ENC_GUEST_RIP | 1ull << 40;
	f.regs.gpr[GPR_RDX] = 0x123456789abcdef0;
	ck_assert(decode(&f, EXIT_REASON_VMWRITE, IN_REGISTER | REG1(GPR_RDX) | REG2(GPR_RCX), 0, &operands, &outcome));
	ck_assert_uint_eq(operands.encoding, VMCS_ENC_GUEST_RIP);
	ck_assert_uint_eq(operands.value, 0x9abcdef0);
	fixture_write64(&f, DATA, 0xfedcba9876543210);
	ck_assert(decode(&f, EXIT_REASON_VMWRITE, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX) | REG2(GPR_RCX),
	        0, &operands, &outcome));
	ck_assert_uint_eq(operands.value, 0x76543210);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_invalidation_operands)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_R10] = 2;
	f.regs.gpr[GPR_RBX] = DATA + 0x1ff8; /* the descriptor straddles a page */
	fixture_write64(&f, DATA + 0x1ff8, 0x1111);
	fixture_write64(&f, DATA + 0x2000, 0x2222);
	for (int i = 0; i < 2; i++) {
		ck_assert(decode(&f, i ? EXIT_REASON_INVEPT : EXIT_REASON_INVVPID, AT_RBX | REG2(GPR_R10), 0, &operands,
		        &outcome));
		ck_assert_uint_eq(operands.type, 2);
		ck_assert_uint_eq(operands.descriptor[0], 0x1111);
		ck_assert_uint_eq(operands.descriptor[1], 0x2222);
	}
	fixture_teardown(&f);
}
END_TEST

/* The operand is not touched when the instruction faults or fails for another reason first. */
START_TEST(test_operand_is_not_touched)
{
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RBX] = 1ull << 47;
	ck_assert(decode(&f, EXIT_REASON_VMXON, AT_RBX, 0, &operands, &outcome)); /* error 15 */
	f.vmcs01.field[VMCS_GUEST_SS_ACCESS_RIGHTS] = 0xc0f3;
	f.regs.gpr[GPR_RBX] = 1ull << 30;
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0, 13); /* no #PF */
	f.vmcs01.field[VMCS_GUEST_SS_ACCESS_RIGHTS] = 0xc093;
	f.nested.vmcs12 = NULL;
	ck_assert(decode(&f, EXIT_REASON_VMREAD, AT_RBX, 0, &operands, &outcome)); /* VMfailInvalid */
	f.nested.vmx_on = false;
	expect_decode_fault(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0, 6);
	expect_decode_fault(&f, EXIT_REASON_VMCALL, 0, 0, 6);
	expect_decode_fault(&f, EXIT_REASON_VMXON, AT_RBX, 0, 14);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_instructions_without_operands)
{
	static const enum exit_reason reasons[] = {
	        EXIT_REASON_VMXOFF, EXIT_REASON_VMLAUNCH, EXIT_REASON_VMRESUME, EXIT_REASON_VMCALL};
	struct vmx_operands operands;
	struct vmx_outcome outcome;
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RBX] = 1ull << 47;
	for (unsigned i = 0; i < 4; i++)
		ck_assert(decode(&f, reasons[i], AT_RBX, 0, &operands, &outcome));
	fixture_teardown(&f);
}
END_TEST

/* ---- results ---- */

#define FLAGS_ALL 0x8d5u /* CF, PF, AF, ZF, SF, OF */

START_TEST(test_flags_and_rip)
{
	struct fixture f;

	start(&f);
	fixture_write64(&f, DATA, FIXTURE_GPA_OTHER_VMCS12);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 0x202 | FLAGS_ALL;
	f.vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = 1 | 2 | 8;
	ck_assert_int_eq(run(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RFLAGS), 0x202);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), 0x100000 + LENGTH);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_INTERRUPTIBILITY_STATE), 8); /* NMI blocking stays */
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);

	fixture_write64(&f, DATA, 1);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 0x202 | FLAGS_ALL;
	ck_assert_int_eq(run(&f, EXIT_REASON_VMPTRLD, AT_RBX, 0).kind, VMX_FAIL_VALID);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RFLAGS), 0x202 | 0x40);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), 0x100000 + 2 * LENGTH);

	fixture_write64(&f, DATA, FIXTURE_GPA_OTHER_VMCS12);
	run(&f, EXIT_REASON_VMCLEAR, AT_RBX, 0);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 0x202 | FLAGS_ALL;
	ck_assert_int_eq(run(&f, EXIT_REASON_VMCALL, 0, 0).kind, VMX_FAIL_INVALID);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RFLAGS), 0x202 | 1);
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_RIP));
	fixture_teardown(&f);
}
END_TEST

/* 17.3.1.4: a single step ends after the emulated instruction too. */
START_TEST(test_single_step)
{
	struct fixture f;

	start(&f);
	f.vmcs01.field[VMCS_GUEST_RFLAGS] = 0x102;
	run(&f, EXIT_REASON_VMCALL, 0, 0);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 1 << 14);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_rip_wraps_outside_64bit_mode)
{
	struct fixture f;

	start_32bit(&f);
	f.vmcs01.field[VMCS_GUEST_RIP] = 0xfffffffe;
	run(&f, EXIT_REASON_VMCALL, 0, 0);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), LENGTH - 2);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmread_results)
{
	struct fixture f;

	start(&f);
	fixture_set(&f, VMCS_TSC_OFFSET, 0x123456789abcdef0);
	f.regs.gpr[GPR_RCX] = VMCS_ENC_TSC_OFFSET;
	run(&f, EXIT_REASON_VMREAD, IN_REGISTER | REG1(GPR_R12) | REG2(GPR_RCX), 0);
	ck_assert_uint_eq(f.regs.gpr[GPR_R12], 0x123456789abcdef0);
	run(&f, EXIT_REASON_VMREAD, IN_REGISTER | REG1(GPR_RSP) | REG2(GPR_RCX), 0);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RSP), 0x123456789abcdef0);
	ck_assert_uint_eq(f.regs.gpr[GPR_RSP], 0xbad0000000000000 + GPR_RSP);
	run(&f, EXIT_REASON_VMREAD, AT_RBX | REG1(GPR_R12) | REG2(GPR_RCX), 0x10);
	ck_assert_uint_eq(fixture_read64(&f, DATA + 0x10), 0x123456789abcdef0);
	fixture_teardown(&f);

	start_32bit(&f);
	fixture_set(&f, VMCS_TSC_OFFSET, 0x123456789abcdef0);
	fixture_write64(&f, DATA, ~0ull);
	f.regs.gpr[GPR_RCX] = VMCS_ENC_TSC_OFFSET;
	run(&f, EXIT_REASON_VMREAD, IN_REGISTER | REG1(GPR_RDX) | REG2(GPR_RCX), 0);
	ck_assert_uint_eq(f.regs.gpr[GPR_RDX], 0x9abcdef0);
	run(&f, EXIT_REASON_VMREAD, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX) | REG2(GPR_RCX), 0);
	ck_assert_uint_eq(fixture_read64(&f, DATA), 0xffffffff9abcdef0);
	fixture_teardown(&f);
}
END_TEST

/* A VMREAD that fails writes nothing. */
START_TEST(test_failed_vmread)
{
	struct fixture f;

	start(&f);
	f.regs.gpr[GPR_RCX] = 0x7fe;
	ck_assert_int_eq(
	        run(&f, EXIT_REASON_VMREAD, IN_REGISTER | REG1(GPR_R12) | REG2(GPR_RCX), 0).kind, VMX_FAIL_VALID);
	ck_assert_uint_eq(f.regs.gpr[GPR_R12], 0xbad0000000000000 + GPR_R12);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmptrst)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(run(&f, EXIT_REASON_VMPTRST, AT_RBX, 0).kind, VMX_SUCCEED);
	ck_assert_uint_eq(fixture_read64(&f, DATA), FIXTURE_GPA_VMCS12);
	fixture_teardown(&f);

	/* 64 bits in every mode. */
	start_32bit(&f);
	f.nested.vmcs12_gpa = ~0ull;
	run(&f, EXIT_REASON_VMPTRST, ADDRESS(1) | SEGMENT(DS) | NO_INDEX | BASE(GPR_RBX), 0);
	ck_assert_uint_eq(fixture_read64(&f, DATA), ~0ull);
	fixture_teardown(&f);
}
END_TEST

/* ---- faults ---- */

static void expect_injected(const struct fixture *f, uint32_t info, uint32_t error)
{
	ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION), info);
	if (info & INTR_INFO_ERROR_CODE)
		ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE), error);
	ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_GUEST_RIP), 0x100000);
	ck_assert_uint_eq(vmcs_get(&f->vmcs01, VMCS_GUEST_RFLAGS) & ~0x10000ull, 2);
}

START_TEST(test_faults_are_injected)
{
	struct fixture f;

	start(&f);
	f.nested.vmx_on = false;
	run(&f, EXIT_REASON_VMREAD, AT_RBX, 0);
	expect_injected(&f, 0x80000306, 0);
	fixture_teardown(&f);

	start(&f);
	f.vmcs01.field[VMCS_GUEST_SS_ACCESS_RIGHTS] = 0xc0f3;
	run(&f, EXIT_REASON_VMXOFF, 0, 0);
	expect_injected(&f, 0x80000b0d, 0);
	fixture_teardown(&f);
}
END_TEST

/* VMREAD to memory that cannot be written: #PF with its address, and the instruction has not happened. */
START_TEST(test_fault_of_the_destination)
{
	struct fixture f;

	start(&f);
	f.regs.cr2 = 0x1234;
	f.regs.gpr[GPR_RCX] = VMCS_ENC_GUEST_RIP;
	f.regs.gpr[GPR_RBX] = 1ull << 30;
	const struct vmx_outcome outcome = run(&f, EXIT_REASON_VMREAD, AT_RBX | REG2(GPR_RCX), 0);
	ck_assert_int_eq(outcome.kind, VMX_FAULT);
	expect_injected(&f, 0x80000b0e, 2);
	ck_assert_uint_eq(f.regs.cr2, 1ull << 30);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_entry_does_not_advance)
{
	struct fixture f;

	start(&f);
	ck_assert_int_eq(run(&f, EXIT_REASON_VMLAUNCH, 0, 0).kind, VMX_ENTERED);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), 0x100000);
	fixture_teardown(&f);

	start(&f);
	fixture_set(&f, VMCS_GUEST_RFLAGS, 0);
	ck_assert_int_eq(run(&f, EXIT_REASON_VMLAUNCH, 0, 0).kind, VMX_ENTRY_FAILED);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_GUEST_RIP), fixture_get(&f, VMCS_HOST_RIP));
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("insn_decode");
	TCase *addresses = tcase_create("addresses"), *operands = tcase_create("operands");
	TCase *results = tcase_create("results");

	tcase_add_test(addresses, test_address_forms);
	tcase_add_test(addresses, test_rsp_as_base);
	tcase_add_test(addresses, test_32bit_addresses_in_64bit_mode);
	tcase_add_test(addresses, test_segments_in_64bit_mode);
	tcase_add_test(addresses, test_canonical);
	tcase_add_test(addresses, test_page_fault);
	tcase_add_test(addresses, test_32bit_mode);
	tcase_add_test(addresses, test_segment_limits);
	tcase_add_test(addresses, test_segment_types);
	tcase_add_test(operands, test_vmwrite_operands);
	tcase_add_test(operands, test_invalidation_operands);
	tcase_add_test(operands, test_operand_is_not_touched);
	tcase_add_test(operands, test_instructions_without_operands);
	tcase_add_test(results, test_flags_and_rip);
	tcase_add_test(results, test_single_step);
	tcase_add_test(results, test_rip_wraps_outside_64bit_mode);
	tcase_add_test(results, test_vmread_results);
	tcase_add_test(results, test_failed_vmread);
	tcase_add_test(results, test_vmptrst);
	tcase_add_test(results, test_faults_are_injected);
	tcase_add_test(results, test_fault_of_the_destination);
	tcase_add_test(results, test_entry_does_not_advance);
	suite_add_tcase(suite, addresses);
	suite_add_tcase(suite, operands);
	suite_add_tcase(suite, results);
	return fixture_run(suite);
}
