/* SPDX-License-Identifier: Apache-2.0 */
/** VMX instructions: everything about them is an intercept (vmx.c). */
#include "exec.h"
#include "shadowvmcs/exit_reasons.h"

#define VMX_INSTRUCTION(name, reason)                                                                                  \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		soft_intercept_vmx(cpu, EXIT_REASON_##reason);                                                         \
	}

VMX_INSTRUCTION(vmcall, VMCALL)
VMX_INSTRUCTION(vmclear, VMCLEAR)
VMX_INSTRUCTION(vmlaunch, VMLAUNCH)
VMX_INSTRUCTION(vmresume, VMRESUME)
VMX_INSTRUCTION(vmptrld, VMPTRLD)
VMX_INSTRUCTION(vmptrst, VMPTRST)
VMX_INSTRUCTION(vmread, VMREAD)
VMX_INSTRUCTION(vmwrite, VMWRITE)
VMX_INSTRUCTION(vmxoff, VMXOFF)
VMX_INSTRUCTION(vmxon, VMXON)
VMX_INSTRUCTION(invept, INVEPT)
VMX_INSTRUCTION(invvpid, INVVPID)
VMX_INSTRUCTION(vmfunc, VMFUNC)
