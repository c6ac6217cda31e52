/* SPDX-License-Identifier: Apache-2.0 */
#include "mmio.h"

#include <stddef.h>

#define REX_R 4
#define REX_W 8

/* ModRM byte, SDM vol. 2, 2.1.3:  mod (7:6) | reg (5:3) | r/m (2:0). mod 3 is a register operand. */
#define MODRM_MOD(modrm) ((modrm) >> 6)
#define MODRM_REG(modrm) ((modrm) >> 3 & 7)
#define MODRM_RM(modrm) ((modrm)&7)
#define RM_SIB 4
#define RM_DISP32 5

/* Bytes of ModRM, SIB and displacement; 0 = the operand is a register (SDM vol. 2, tables 2-2 and 2-3). */
static unsigned memory_operand_length(const uint8_t *modrm)
{
	const unsigned mod = MODRM_MOD(modrm[0]), rm = MODRM_RM(modrm[0]);
	unsigned length = 1, base = rm;

	if (mod == 3)
		return 0;
	if (rm == RM_SIB) {
		base = modrm[1] & 7;
		length++;
	}
	if (mod == 1)
		return length + 1;
	if (mod == 2 || base == RM_DISP32)
		return length + 4;
	return length;
}

static uint64_t immediate_at(const uint8_t *code, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)code[i] << (8 * i);
	return bytes == 4 ? (uint64_t)(int64_t)(int32_t)value : value;
}

bool mmio_decode(const uint8_t *code, struct mmio_instruction *instruction)
{
	const uint8_t *at = code;
	unsigned wide = 4, rex = 0;

	*instruction = (struct mmio_instruction){0};
	if (*at == 0x66) {
		wide = 2;
		at++;
	}
	if ((*at & 0xf0) == 0x40) {
		rex = *at++;
		if (rex & REX_W)
			wide = 8;
	}
	switch (*at++) {
	case 0x88: /* MOV r/m8, r8 */
		instruction->store = true;
		/* fall through */
	case 0x8a: /* MOV r8, r/m8 */
		instruction->bytes = instruction->result_bytes = 1;
		break;
	case 0x89: /* MOV r/m, r */
		instruction->store = true;
		/* fall through */
	case 0x8b: /* MOV r, r/m */
		instruction->bytes = instruction->result_bytes = (uint8_t)wide;
		break;
	case 0xc6: /* MOV r/m8, imm8 */
		instruction->store = instruction->immediate = true;
		instruction->bytes = 1;
		break;
	case 0xc7: /* MOV r/m, imm */
		instruction->store = instruction->immediate = true;
		instruction->bytes = (uint8_t)wide;
		break;
	case 0x0f: /* MOVZX r, r/m8 and r/m16 */
		if (*at != 0xb6 && *at != 0xb7)
			return false;
		instruction->bytes = *at++ == 0xb6 ? 1 : 2;
		instruction->result_bytes = (uint8_t)wide;
		break;
	default:
		return false;
	}

	const unsigned reg = MODRM_REG(*at);
	const unsigned operand = memory_operand_length(at);
	if (!operand)
		return false;
	at += operand;
	if (instruction->immediate) {
		const unsigned bytes = instruction->bytes == 8 ? 4 : instruction->bytes;
		if (reg)
			return false;
		instruction->value = immediate_at(at, bytes);
		at += bytes;
	} else {
		instruction->gpr = (uint8_t)(reg | (rex & REX_R ? 8 : 0));
		/* Without REX, byte registers 4 to 7 are AH, CH, DH and BH. */
		if (!rex && reg >= 4 && (instruction->store ? instruction->bytes : instruction->result_bytes) == 1)
			return false;
	}
	instruction->length = (uint8_t)(at - code);
	return true;
}
