/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of the instruction half share (insn.c, insn_decode.c, l1_memory.c, entry.c). Private to the engine.
 */
#ifndef TESTUDO_SHADOWVMCS_INSN_H
#define TESTUDO_SHADOWVMCS_INSN_H

#include <stdbool.h>
#include <stdint.h>

#include "nested.h"
#include "x86.h"

/** A guest-state field of L1: fetched first when the machine still has it. */
uint64_t insn_l1_field(const struct nested *nested, enum vmcs_field field);

/** 64-bit mode (the only IA-32e mode in which VMX instructions exist); else L1 is in 32-bit protected mode. */
bool insn_l1_is_64bit(const struct nested *nested);

void insn_fault(struct vmx_outcome *outcome, uint8_t vector, uint32_t error_code);
void insn_undefined(struct vmx_outcome *outcome);

/** VMfail(error): VMfailValid with a current VMCS, else VMfailInvalid (SDM vol. 3, 31.2). */
void insn_fail(struct nested *nested, enum vmx_error error, struct vmx_outcome *outcome);
void insn_fail_invalid(struct vmx_outcome *outcome);

/**
 * #UD and #GP that VMX instruction `reason` meets before it touches an operand: VMX operation, CPU mode, privilege
 * level. True: none.
 */
bool insn_allowed(const struct nested *nested, enum exit_reason reason, struct vmx_outcome *outcome);

/** VMLAUNCH or VMRESUME, after insn_allowed (entry.c). */
void insn_enter(struct nested *nested, enum exit_reason reason, struct vmx_outcome *outcome);

/** Read or write L1's memory at a linear address, as the CPU would for a supervisor (l1_memory.c). All or nothing:
 * false is a #PF in *outcome, with its CR2. size <= 16. */
bool insn_l1_read(struct nested *nested, uint64_t linear, void *data, unsigned size, struct vmx_outcome *outcome);
bool insn_l1_write(
        struct nested *nested, uint64_t linear, const void *data, unsigned size, struct vmx_outcome *outcome);

#endif
