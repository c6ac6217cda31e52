/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO decoder against Zydis: every opcode byte, prefix combination and ModRM/SIB form it could meet. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "l1/mmio.h"

static ZydisDecoder decoder;

static void setup(void)
{
	ck_assert(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
}

/* Register number and width of a Zydis register; -1 for AH to BH and for what is no general register. */
static int gpr_number(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return -1;
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		return reg >= ZYDIS_REGISTER_SPL ? reg - ZYDIS_REGISTER_SPL + 4 : reg - ZYDIS_REGISTER_AL;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return ZydisRegisterGetId(reg);
	default:
		return -1;
	}
}

static void compare(const uint8_t *code)
{
	ZydisDecodedInstruction zydis;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	struct mmio_instruction ours;

	if (!mmio_decode(code, &ours))
		return;
	ck_assert_msg(
	        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, MMIO_INSTRUCTION_BYTES_MAX, &zydis, operands)),
	        "%02x %02x %02x %02x is no instruction", code[0], code[1], code[2], code[3]);
	ck_assert_uint_eq(ours.length, zydis.length);
	ck_assert(zydis.mnemonic == ZYDIS_MNEMONIC_MOV || (zydis.mnemonic == ZYDIS_MNEMONIC_MOVZX && !ours.store));
	ck_assert_uint_eq(ours.store, operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY);
	const ZydisDecodedOperand *memory = &operands[ours.store ? 0 : 1], *other = &operands[ours.store ? 1 : 0];
	ck_assert_int_eq(memory->type, ZYDIS_OPERAND_TYPE_MEMORY);
	ck_assert_uint_eq(ours.bytes * 8, memory->size);
	if (ours.immediate) {
		ck_assert_int_eq(other->type, ZYDIS_OPERAND_TYPE_IMMEDIATE);
		const uint64_t mask = ours.bytes == 8 ? ~0ull : (1ull << 8 * ours.bytes) - 1;
		ck_assert_uint_eq(ours.value & mask, other->imm.value.u & mask);
	} else {
		ck_assert_int_eq(ours.gpr, gpr_number(other->reg.value));
		if (!ours.store)
			ck_assert_uint_eq(ours.result_bytes * 8, other->size);
	}
}

static const uint8_t rexes[] = {0, 0x40, 0x41, 0x44, 0x48, 0x4f};

/* One encoding: an even prefix is none or a REX, an odd one the same behind 66. */
static void compare_form(uint8_t opcode, unsigned prefix, unsigned modrm, uint8_t sib)
{
	uint8_t code[MMIO_INSTRUCTION_BYTES_MAX];
	unsigned at = 0;

	memset(code, 0x81, sizeof(code));
	if (prefix & 1)
		code[at++] = 0x66;
	if (rexes[prefix / 2])
		code[at++] = rexes[prefix / 2];
	code[at++] = opcode;
	if (opcode == 0x0f)
		code[at++] = (uint8_t)(0xb6 + sib % 2);
	code[at++] = (uint8_t)modrm;
	code[at++] = sib;
	compare(code);
}

static bool is_ours(uint8_t opcode)
{
	return (opcode >= 0x88 && opcode <= 0x8b) || opcode == 0xc6 || opcode == 0xc7 || opcode == 0x0f;
}

START_TEST(agrees_with_zydis)
{
	static const uint8_t sibs[] = {0x00, 0x25, 0x65, 0xa4, 0xff, 0x0d};

	/* Opcodes the decoder shall refuse need not meet every ModRM byte. */
	for (unsigned opcode = 0; opcode < 256; opcode++)
		for (unsigned prefix = 0; prefix < 2 * sizeof(rexes); prefix++)
			for (unsigned modrm = 0; modrm < 256; modrm += is_ours((uint8_t)opcode) ? 1 : 37)
				for (unsigned sib = 0; sib < sizeof(sibs); sib++)
					compare_form((uint8_t)opcode, prefix, modrm, sibs[sib]);
}
END_TEST

/* What it must know, so that agreement is not won by refusing. */
START_TEST(knows_the_plain_moves)
{
	static const struct {
		uint8_t code[MMIO_INSTRUCTION_BYTES_MAX];
		uint8_t length, bytes, result_bytes, gpr;
		bool store, immediate;
	} known[] = {
	        {{0x89, 0x07}, 2, 4, 4, 0, true, false},                          /* mov %eax, (%rdi) */
	        {{0x8b, 0x07}, 2, 4, 4, 0, false, false},                         /* mov (%rdi), %eax */
	        {{0x4c, 0x89, 0x4f, 0x08}, 4, 8, 8, 9, true, false},              /* mov %r9, 8(%rdi) */
	        {{0x66, 0x89, 0x0c, 0x25, 0, 0, 0, 0}, 8, 2, 2, 1, true, false},  /* mov %cx, abs32 */
	        {{0x40, 0x88, 0x37}, 3, 1, 1, 6, true, false},                    /* mov %sil, (%rdi) */
	        {{0xc7, 0x07, 1, 2, 3, 4}, 6, 4, 0, 0, true, true},               /* movl $0x04030201, (%rdi) */
	        {{0x48, 0xc7, 0x47, 0x10, 1, 2, 3, 4}, 8, 8, 0, 0, true, true},   /* movq $, 16(%rdi) */
	        {{0x0f, 0xb6, 0x07}, 3, 1, 4, 0, false, false},                   /* movzbl (%rdi), %eax */
	        {{0x48, 0x0f, 0xb7, 0x05, 0, 0, 0, 0}, 8, 2, 8, 0, false, false}, /* movzwq 0(%rip), %rax */
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct mmio_instruction ours;
		ck_assert_msg(mmio_decode(known[i].code, &ours), "case %u is not known", i);
		ck_assert_uint_eq(ours.length, known[i].length);
		ck_assert_uint_eq(ours.bytes, known[i].bytes);
		ck_assert_uint_eq(ours.gpr, known[i].gpr);
		ck_assert_uint_eq(ours.store, known[i].store);
		ck_assert_uint_eq(ours.immediate, known[i].immediate);
		if (!ours.immediate)
			ck_assert_uint_eq(ours.result_bytes, known[i].result_bytes);
	}
}
END_TEST

START_TEST(refuses_the_rest)
{
	static const uint8_t refused[][MMIO_INSTRUCTION_BYTES_MAX] = {
	        {0x89, 0xc7},             /* mov %eax, %edi: no memory */
	        {0x88, 0x27},             /* mov %ah, (%rdi) */
	        {0x01, 0x07},             /* add %eax, (%rdi) */
	        {0xc7, 0x0f, 1, 2, 3, 4}, /* reg field 1: undefined */
	        {0xf3, 0xa4},             /* rep movsb */
	        {0x0f, 0xbe, 0x07},       /* movsx */
	        {0x67, 0x89, 0x07},       /* 32-bit address */
	        {0xf0, 0x89, 0x07},       /* lock: #UD */
	};

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct mmio_instruction ours;
		ck_assert_msg(!mmio_decode(refused[i], &ours), "case %u was taken", i);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: MMIO decoder");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, agrees_with_zydis);
	tcase_add_test(tcase, knows_the_plain_moves);
	tcase_add_test(tcase, refuses_the_rest);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
