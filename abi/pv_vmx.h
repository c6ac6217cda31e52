/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Paravirtual VMX: how L1 issues VMX instructions on a machine whose CPU has none (the kvm machine).
 *
 * One `out %al, $PV_VMX_PORT` per instruction. Operands stay in registers:
 *   RAX  in: enum pv_vmx_op         out: result, see PV_VMX_RESULT_*
 *   RCX  in: VMCS field encoding (VMREAD, VMWRITE), invalidation type (INVEPT, INVVPID), else L1-physical address
 *   RBX  in: value (VMWRITE), first descriptor word (INVEPT: EPTP; INVVPID: VPID)    out: value (VMREAD, VMPTRST)
 *   RSI  in: second descriptor word (INVVPID: linear address)
 * A successful VMLAUNCH or VMRESUME does not return: L1 goes on at its HOST_RIP when an exit is reflected, as with the
 * real instruction.
 *
 * Instructions KVM keeps to itself are found through the site table (sites.h) and replaced by `out %al, $SITE_PORT`.
 */
#ifndef TESTUDO_ABI_PV_VMX_H
#define TESTUDO_ABI_PV_VMX_H

#define PV_VMX_PORT 0xe1
#define SITE_PORT 0xe0

enum pv_vmx_op {
	PV_VMXON = 1,
	PV_VMXOFF,
	PV_VMCLEAR,
	PV_VMPTRLD,
	PV_VMPTRST,
	PV_VMREAD,
	PV_VMWRITE,
	PV_VMLAUNCH,
	PV_VMRESUME,
	PV_INVEPT,
	PV_INVVPID,
	/** Bring the stale fields of the current vmcs12 up to date (vmcs=direct; see struct vmcs in shadowvmcs/vmcs.h).
	 */
	PV_VMFETCH,
};

/** RAX after the call: VMsucceed, VMfailInvalid, or VMfailValid with the VM-instruction error in bits 15:8. */
#define PV_VMX_RESULT_SUCCEED 0u
#define PV_VMX_RESULT_FAIL_INVALID 1u
#define PV_VMX_RESULT_FAIL_VALID 2u
#define PV_VMX_RESULT_KIND(rax) ((rax)&0xffu)
#define PV_VMX_RESULT_ERROR(rax) (((rax) >> 8) & 0xffu)

#endif
