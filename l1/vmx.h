/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The VMX instructions, each on both paths: the real instruction, and the paravirtual call of abi/pv_vmx.h.
 *
 * All give their result in the form of abi/pv_vmx.h (PV_VMX_RESULT_*). The real ones cannot tell the error number of a
 * VMfailValid: it is in the VM-instruction error field. VMLAUNCH and VMRESUME are in exit_entry.S, since every general
 * register holds the guest's value when they run.
 */
#ifndef TESTUDO_L1_VMX_H
#define TESTUDO_L1_VMX_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/pv_vmx.h"

/* ---- real instructions; SDM vol. 3, chapter 31 ---- */

/* VMfailInvalid sets CF, VMfailValid sets ZF (SDM vol. 3, 31.2). */
#define VMX_REAL(instruction, ...)                                                                                     \
	({                                                                                                             \
		uint8_t invalid_, valid_;                                                                              \
		__asm__ volatile(instruction : "=@ccc"(invalid_), "=@ccz"(valid_) : __VA_ARGS__ : "memory");           \
		invalid_ ? PV_VMX_RESULT_FAIL_INVALID : valid_ ? PV_VMX_RESULT_FAIL_VALID : PV_VMX_RESULT_SUCCEED;     \
	})

static inline uint64_t vmx_real_vmxon(uint64_t gpa)
{
	return VMX_REAL("vmxon %2", "m"(gpa));
}

static inline uint64_t vmx_real_vmclear(uint64_t gpa)
{
	return VMX_REAL("vmclear %2", "m"(gpa));
}

static inline uint64_t vmx_real_vmptrld(uint64_t gpa)
{
	return VMX_REAL("vmptrld %2", "m"(gpa));
}

static inline uint64_t vmx_real_vmwrite(uint64_t encoding, uint64_t value)
{
	return VMX_REAL("vmwrite %3, %2", "r"(encoding), "r"(value));
}

static inline uint64_t vmx_real_vmread(uint64_t encoding, uint64_t *value)
{
	uint8_t invalid, valid;

	__asm__ volatile("vmread %3, %2" : "=@ccc"(invalid), "=@ccz"(valid), "=r"(*value) : "r"(encoding));
	return invalid ? PV_VMX_RESULT_FAIL_INVALID : valid ? PV_VMX_RESULT_FAIL_VALID : PV_VMX_RESULT_SUCCEED;
}

struct vmx_descriptor {
	uint64_t word[2];
};

static inline uint64_t vmx_real_invept(uint64_t type, uint64_t eptp)
{
	const struct vmx_descriptor descriptor = {{eptp, 0}};

	return VMX_REAL("invept %2, %3", "m"(descriptor), "r"(type));
}

/* ---- paravirtual calls ---- */

/** `rbx` is read and written: the value in, and the value out of VMREAD. */
static inline uint64_t vmx_pv_call(enum pv_vmx_op op, uint64_t rcx, uint64_t *rbx, uint64_t rsi)
{
	uint64_t rax = op;

	__asm__ volatile("out %%al, %3" : "+a"(rax), "+b"(*rbx) : "c"(rcx), "i"(PV_VMX_PORT), "S"(rsi) : "memory");
	return rax;
}

/* ---- either, by a flag: for set-up, where an instruction more does not matter ---- */

static inline uint64_t vmx_on(bool pv, uint64_t gpa)
{
	uint64_t rbx = 0;
	return pv ? vmx_pv_call(PV_VMXON, gpa, &rbx, 0) : vmx_real_vmxon(gpa);
}

static inline uint64_t vmx_clear(bool pv, uint64_t gpa)
{
	uint64_t rbx = 0;
	return pv ? vmx_pv_call(PV_VMCLEAR, gpa, &rbx, 0) : vmx_real_vmclear(gpa);
}

static inline uint64_t vmx_ptrld(bool pv, uint64_t gpa)
{
	uint64_t rbx = 0;
	return pv ? vmx_pv_call(PV_VMPTRLD, gpa, &rbx, 0) : vmx_real_vmptrld(gpa);
}

static inline uint64_t vmx_read(bool pv, uint32_t encoding, uint64_t *value)
{
	return pv ? vmx_pv_call(PV_VMREAD, encoding, value, 0) : vmx_real_vmread(encoding, value);
}

static inline uint64_t vmx_write(bool pv, uint32_t encoding, uint64_t value)
{
	return pv ? vmx_pv_call(PV_VMWRITE, encoding, &value, 0) : vmx_real_vmwrite(encoding, value);
}

/** INVEPT types, SDM vol. 3, 31.3. */
#define VMX_INVEPT_SINGLE 1

static inline uint64_t vmx_invept(bool pv, uint64_t type, uint64_t eptp)
{
	return pv ? vmx_pv_call(PV_INVEPT, type, &eptp, 0) : vmx_real_invept(type, eptp);
}

#endif
