/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers of vmx.h, compiled for the host and disassembled (never executed): each holds its one VMX instruction
 * with the operands where the SDM wants them, and no other. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "abi/pv_vmx.h"
#include "vmx_wrappers.h"

typedef uint64_t (*wrapper)(uint64_t a, uint64_t *b);

static const struct {
	wrapper function;
	ZydisMnemonic mnemonic;
	ZydisOperandType first, second;
} cases[] = {
        {call_vmxon, ZYDIS_MNEMONIC_VMXON, ZYDIS_OPERAND_TYPE_MEMORY, ZYDIS_OPERAND_TYPE_UNUSED},
        {call_vmclear, ZYDIS_MNEMONIC_VMCLEAR, ZYDIS_OPERAND_TYPE_MEMORY, ZYDIS_OPERAND_TYPE_UNUSED},
        {call_vmptrld, ZYDIS_MNEMONIC_VMPTRLD, ZYDIS_OPERAND_TYPE_MEMORY, ZYDIS_OPERAND_TYPE_UNUSED},
        /* VMREAD r/m64, r64: the encoding is the second operand. VMWRITE r64, r/m64: it is the first. */
        {call_vmread, ZYDIS_MNEMONIC_VMREAD, ZYDIS_OPERAND_TYPE_REGISTER, ZYDIS_OPERAND_TYPE_REGISTER},
        {call_vmwrite, ZYDIS_MNEMONIC_VMWRITE, ZYDIS_OPERAND_TYPE_REGISTER, ZYDIS_OPERAND_TYPE_REGISTER},
        {call_invept, ZYDIS_MNEMONIC_INVEPT, ZYDIS_OPERAND_TYPE_REGISTER, ZYDIS_OPERAND_TYPE_MEMORY},
        {call_pv, ZYDIS_MNEMONIC_OUT, ZYDIS_OPERAND_TYPE_IMMEDIATE, ZYDIS_OPERAND_TYPE_REGISTER},
};

static bool is_vmx(const ZydisDecodedInstruction *instruction)
{
	return instruction->meta.isa_set == ZYDIS_ISA_SET_VTX || instruction->mnemonic == ZYDIS_MNEMONIC_OUT;
}

/* The one VMX (or OUT) instruction between the function's start and its RET. */
static void find(wrapper function, ZydisDecodedInstruction *found, ZydisDecodedOperand *operands)
{
	const uint8_t *code = (const uint8_t *)function;
	ZydisDecodedInstruction instruction;
	ZydisDecoder decoder;
	unsigned count = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	do {
		ZydisDecodedOperand here[ZYDIS_MAX_OPERAND_COUNT];
		ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, 15, &instruction, here)));
		if (is_vmx(&instruction)) {
			*found = instruction;
			memcpy(operands, here, sizeof(here));
			count++;
		}
		code += instruction.length;
	} while (instruction.mnemonic != ZYDIS_MNEMONIC_RET);
	ck_assert_uint_eq(count, 1);
}

START_TEST(each_wrapper_is_its_instruction)
{
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	find(cases[_i].function, &instruction, operands);
	ck_assert_int_eq(instruction.mnemonic, cases[_i].mnemonic);
	ck_assert_int_eq(operands[0].type, cases[_i].first);
	if (cases[_i].second != ZYDIS_OPERAND_TYPE_UNUSED)
		ck_assert_int_eq(operands[1].type, cases[_i].second);
}
END_TEST

START_TEST(paravirtual_call_writes_al_to_its_port)
{
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	find(call_pv, &instruction, operands);
	ck_assert_uint_eq(operands[0].imm.value.u, PV_VMX_PORT);
	ck_assert_int_eq(operands[1].reg.value, ZYDIS_REGISTER_AL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: VMX instructions");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, each_wrapper_is_its_instruction, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, paravirtual_call_writes_al_to_its_port);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
