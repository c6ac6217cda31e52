/* SPDX-License-Identifier: Apache-2.0 */
#include "vmx_wrappers.h"

#include "l1/vmx.h"

uint64_t call_vmxon(uint64_t a, uint64_t *b)
{
	(void)b;
	return vmx_real_vmxon(a);
}

uint64_t call_vmclear(uint64_t a, uint64_t *b)
{
	(void)b;
	return vmx_real_vmclear(a);
}

uint64_t call_vmptrld(uint64_t a, uint64_t *b)
{
	(void)b;
	return vmx_real_vmptrld(a);
}

uint64_t call_vmread(uint64_t a, uint64_t *b)
{
	return vmx_real_vmread(a, b);
}

uint64_t call_vmwrite(uint64_t a, uint64_t *b)
{
	return vmx_real_vmwrite(a, (uint64_t)b);
}

uint64_t call_invept(uint64_t a, uint64_t *b)
{
	return vmx_real_invept(a, (uint64_t)b);
}

uint64_t call_pv(uint64_t a, uint64_t *b)
{
	return vmx_pv_call(PV_VMREAD, a, b, 0);
}
