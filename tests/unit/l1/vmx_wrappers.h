/* SPDX-License-Identifier: Apache-2.0 */
/** Each wrapper of l1/vmx.h in a function of its own, built without sanitizers: to be disassembled, never executed. */
#ifndef TESTUDO_TESTS_L1_VMX_WRAPPERS_H
#define TESTUDO_TESTS_L1_VMX_WRAPPERS_H

#include <stdint.h>

uint64_t call_vmxon(uint64_t a, uint64_t *b);
uint64_t call_vmclear(uint64_t a, uint64_t *b);
uint64_t call_vmptrld(uint64_t a, uint64_t *b);
uint64_t call_vmread(uint64_t a, uint64_t *b);
uint64_t call_vmwrite(uint64_t a, uint64_t *b);
uint64_t call_invept(uint64_t a, uint64_t *b);
uint64_t call_pv(uint64_t a, uint64_t *b);

#endif
