/* SPDX-License-Identifier: Apache-2.0 */
/** Decoding of the MOV instructions a 64-bit guest uses on device memory. Pure: no guest state is needed. */
#ifndef TESTUDO_L1_MMIO_H
#define TESTUDO_L1_MMIO_H

#include <stdbool.h>
#include <stdint.h>

struct mmio_instruction {
	uint8_t length;       /**< bytes of the whole instruction */
	uint8_t bytes;        /**< of the memory access: 1, 2, 4 or 8 */
	uint8_t result_bytes; /**< of the register written by a load (wider than `bytes` for MOVZX) */
	uint8_t gpr;          /**< register number: source of a store, destination of a load */
	bool store;
	bool immediate; /**< a store of `value` instead of a register */
	uint64_t value;
};

/** Longest instruction, SDM vol. 2, 2.3.11. The caller gives so many readable bytes. */
#define MMIO_INSTRUCTION_BYTES_MAX 15

/**
 * Opcodes 88, 89, 8A, 8B, C6 /0, C7 /0, 0F B6, 0F B7 with a memory operand; prefixes 66 and REX. False: any other
 * instruction, and AH to BH as an operand.
 */
bool mmio_decode(const uint8_t *code, struct mmio_instruction *instruction);

#endif
