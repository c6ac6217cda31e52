/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Paravirtual VMX: how L1 issues VMX instructions on a machine whose CPU has none (the kvm machine).
 *
 * One `out %al, $PV_VMX_PORT` per instruction. Operands stay in registers:
 *   RAX  in: enum pv_vmx_op         out: result, see PV_VMX_RESULT_*
 *   RCX  in: VMCS field encoding (VMREAD, VMWRITE), invalidation type (INVEPT, INVVPID), else L1-physical address
 *   RBX  in: value (VMWRITE), first descriptor word (INVEPT: EPTP; INVVPID: VPID)    out: value (VMREAD, VMPTRST)
 *   RSI  in: second descriptor word (INVVPID: linear address)
 * VMLAUNCH and VMRESUME have ports of their own, because every general register, RAX too, already holds L2's value when
 * they are issued: `out %al, $PV_VMLAUNCH_PORT`, `out %al, $PV_VMRESUME_PORT`. A successful one does not return: L1
 * goes on at its HOST_RIP when an exit is reflected, as with the real instruction; a failed one returns with the result
 * in RAX.
 *
 * PV_FRAME gives L0 a place for L2's registers: RCX = the L1-physical address of 15 quadwords, RAX, RCX, RDX, RBX, RBP,
 * RSI, RDI, R8 to R15, 8-byte aligned. From then on a reflected exit finds L2's registers there, a VMRESUME takes them
 * from there, and L1's own are undefined at HOST_RIP, RSP apart. L1 issues VMRESUME at one place only, with RSP and
 * RFLAGS always the same. Where HOST_RIP is the instruction behind it, HOST_RSP is that RSP and RFLAGS is 2, nothing of
 * L1's vCPU changes at a reflected exit and nothing of it need be read at the VMRESUME. A VMRESUME that fails sets CF;
 * the result is in RAX.
 *
 * With PV_FRAME a HLT while RFLAGS.IF is 0, which would wait for ever, is VMRESUME too. It is the cheaper exit of KVM,
 * which looks for no device behind it and has nothing to complete at the next entry. L1 waits with IF = 1.
 *
 * Instructions KVM keeps to itself are found through the site table (sites.h) and replaced by `out %al, $SITE_PORT`.
 */
#ifndef TESTUDO_ABI_PV_VMX_H
#define TESTUDO_ABI_PV_VMX_H

#define PV_VMX_PORT 0xe1
#define PV_VMLAUNCH_PORT 0xe2
#define PV_VMRESUME_PORT 0xe3
#define SITE_PORT 0xe0

/** Quadwords of the place that PV_FRAME names. */
#define PV_FRAME_REGISTERS 15

#ifndef __ASSEMBLER__
/** RAX of a call through PV_VMX_PORT; PV_VMLAUNCH and PV_VMRESUME name the calls through their own ports. */
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
	/** Where L2's registers are while L1 runs, see above. */
	PV_FRAME,
};
#endif

/** RAX after the call: VMsucceed, VMfailInvalid, or VMfailValid with the VM-instruction error in bits 15:8. */
#define PV_VMX_RESULT_SUCCEED 0u
#define PV_VMX_RESULT_FAIL_INVALID 1u
#define PV_VMX_RESULT_FAIL_VALID 2u
#define PV_VMX_RESULT_KIND(rax) ((rax)&0xffu)
#define PV_VMX_RESULT_ERROR(rax) (((rax) >> 8) & 0xffu)

#endif
