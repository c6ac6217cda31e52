/* SPDX-License-Identifier: Apache-2.0 */
/** Executing one VMX instruction of L1, and what tests expect of it. */
#ifndef TESTUDO_TESTS_SHADOWVMCS_INSN_HELPERS_H
#define TESTUDO_TESTS_SHADOWVMCS_INSN_HELPERS_H

#include <string.h>

#include "fixture.h"

static inline struct vmx_outcome run(struct fixture *f, enum exit_reason reason, const struct vmx_operands *operands)
{
	struct vmx_outcome outcome;

	memset(&outcome, 0xee, sizeof(outcome));
	nested_vmx_instruction(&f->nested, reason, operands, &outcome);
	return outcome;
}

static inline struct vmx_outcome run_address(struct fixture *f, enum exit_reason reason, uint64_t gpa)
{
	const struct vmx_operands operands = {.gpa = gpa};

	return run(f, reason, &operands);
}

static inline struct vmx_outcome vmread(struct fixture *f, uint64_t encoding)
{
	const struct vmx_operands operands = {.encoding = encoding};

	return run(f, EXIT_REASON_VMREAD, &operands);
}

static inline struct vmx_outcome vmwrite(struct fixture *f, uint64_t encoding, uint64_t value)
{
	const struct vmx_operands operands = {.encoding = encoding, .value = value};

	return run(f, EXIT_REASON_VMWRITE, &operands);
}

static inline struct vmx_outcome invalidate(
        struct fixture *f, enum exit_reason reason, uint64_t type, uint64_t first, uint64_t second)
{
	const struct vmx_operands operands = {.type = type, .descriptor = {first, second}};

	return run(f, reason, &operands);
}

static inline void expect_fail(struct fixture *f, struct vmx_outcome outcome, uint32_t error)
{
	ck_assert_int_eq(outcome.kind, VMX_FAIL_VALID);
	ck_assert_uint_eq(outcome.error, error);
	/* 31.2: the number is in the current VMCS, and L1 can read it there. */
	const struct vmx_outcome read = vmread(f, VMCS_ENC_VM_INSTRUCTION_ERROR);
	ck_assert_int_eq(read.kind, VMX_SUCCEED);
	ck_assert_uint_eq(read.value, error);
}

static inline void expect_fault(struct vmx_outcome outcome, uint8_t vector)
{
	ck_assert_int_eq(outcome.kind, VMX_FAULT);
	ck_assert_uint_eq(outcome.vector, vector);
	ck_assert_int_eq(outcome.has_error, vector != 6);
	if (outcome.has_error)
		ck_assert_uint_eq(outcome.error, 0);
}

#endif
