/* SPDX-License-Identifier: Apache-2.0 */
/* Control registers of the guest: masks, read shadows, CR3 targets, CLTS, LMSW; the TSC offset. SDM vol. 3, 26.1.3. */
#include "hypervisor.h"

void test_registers(void);

static u64 seen, seen_2;

static void guest_cr4(void)
{
	seen = read_cr4();
	write_cr4(seen ^ CR4_TSD);
	seen_2 = read_cr4();
	write_cr4(seen_2 ^ CR4_DE);
	vmcall();
}

static void test_cr4(void)
{
	const u64 cr4 = read_cr4();

	vmwrite(GUEST_CR4, cr4);
	vmwrite(CR4_MASK, CR4_DE | CR4_VMXE);
	vmwrite(CR4_SHADOW, CR4_DE);
	guest_at(guest_cr4);
	expect_exit(REASON_CR, "a write that changes a masked bit of CR4");
	check_equal(vmread(EXIT_QUALIFICATION) & 0x3f, 4, "  its qualification");
	check_equal(seen, (cr4 & ~(u64)CR4_VMXE) | CR4_DE, "masked bits are read from the shadow");
	check_equal(seen_2, seen ^ CR4_TSD, "other bits are the guest's");
	check_equal(vmread(GUEST_CR4), cr4 ^ CR4_TSD, "and the real register keeps the masked ones");
	vmwrite(CR4_MASK, 0);
	vmwrite(GUEST_CR4, cr4);
}

static void guest_cr0(void)
{
	seen = read_cr0();
	asm volatile("clts");
	asm volatile("lmsw %w0" : : "r"(0xf) : "memory");
	asm volatile("smsw %0" : "=r"(seen_2));
	vmcall();
}

static void test_cr0(void)
{
	vmwrite(CR0_MASK, CR0_TS);
	vmwrite(CR0_SHADOW, CR0_TS);
	guest_at(guest_cr0);
	expect_exit(REASON_CR, "CLTS of a masked TS that the shadow shows");
	check_equal(vmread(EXIT_QUALIFICATION), 2 << 4, "  its qualification");
	check(seen & CR0_TS, "the guest reads TS from the shadow");
	vmwrite(CR0_SHADOW, 0);
	skip();
	expect_exit(REASON_CR, "LMSW that would set a masked TS");
	check_equal(vmread(EXIT_QUALIFICATION), 3 << 4 | 0xfull << 16, "  its qualification");
	skip();
	expect_exit(REASON_VMCALL, "SMSW");
	check(!(seen_2 & CR0_TS), "  reads the shadow");
	vmwrite(CR0_MASK, 0);
}

static void guest_cr3(void)
{
	write_cr3(read_cr3());
	vmcall();
}

static void test_cr3(void)
{
	if (!offered(VMX_PROC, PROC_CR3_LOAD))
		return;
	vmset(PROC_CONTROLS, PROC_CR3_LOAD);
	guest_at(guest_cr3);
	expect_exit(REASON_CR, "MOV to CR3");
	check_equal(vmread(EXIT_QUALIFICATION) & 0x3f, 3, "  its qualification");
	if ((rdmsr(VMX_MISC) >> 16 & 0x1ff) >= 2) {
		vmwrite(CR3_TARGET_COUNT, 2);
		vmwrite(CR3_TARGET0, 0x1000);
		vmwrite(CR3_TARGET1, read_cr3());
		guest_at(guest_cr3);
		expect_exit(REASON_VMCALL, "MOV of a CR3 target");
		vmwrite(CR3_TARGET_COUNT, 0);
	}
	vmunset(PROC_CONTROLS, PROC_CR3_LOAD);
}

static void guest_bad_cr(void)
{
	GUARD("movq %0, %%cr4", : "r"(read_cr4() & ~(u64)CR4_VMXE));
	vmcall();
	GUARD("movq %0, %%cr0", : "r"(read_cr0() & ~(u64)CR0_NE));
	vmcall();
}

/* In non-root operation too CR4.VMXE and CR0.NE are fixed (24.8). */
static void test_fixed(void)
{
	guest_at(guest_bad_cr);
	expect_exit(REASON_VMCALL, "a guest that clears CR4.VMXE");
	check_equal(caught.vector, VECTOR_GP, "  gets #GP");
	skip();
	expect_exit(REASON_VMCALL, "a guest that clears CR0.NE");
	check_equal(caught.vector, VECTOR_GP, "  gets #GP");
}

static void guest_tsc(void)
{
	seen = rdtsc();
	vmcall();
}

static void test_tsc_offset(void)
{
	const u64 offset = 1ull << 50;

	if (!offered(VMX_PROC, PROC_TSC_OFFSET))
		return;
	vmset(PROC_CONTROLS, PROC_TSC_OFFSET);
	vmwrite(TSC_OFFSET, offset);
	guest_at(guest_tsc);
	expect_exit(REASON_VMCALL, "RDTSC with an offset");
	check(seen - offset < rdtsc() && rdtsc() - (seen - offset) < 100000000, "  is the TSC and the offset");
	vmunset(PROC_CONTROLS, PROC_TSC_OFFSET);
}

static void guest_cr8(void)
{
	write_cr8(3);
	seen = read_cr8();
	write_cr8(1);
	vmcall();
}

static void test_tpr_shadow(void)
{
	u8 *page = page_alloc();

	if (!offered(VMX_PROC, PROC_TPR_SHADOW))
		return;
	write_cr8(6);
	guest_at(guest_cr8);
	expect_exit(REASON_VMCALL, "CR8 of a guest that has the processor's");
	check_equal(read_cr8(), 1, "  is the hypervisor's too");
	write_cr8(6);
	vmset(PROC_CONTROLS, PROC_TPR_SHADOW);
	vmwrite(VIRTUAL_APIC, (u64)(uintptr_t)page);
	vmwrite(TPR_THRESHOLD, 0);
	guest_at(guest_cr8);
	expect_exit(REASON_VMCALL, "CR8 with a TPR shadow");
	check(page[0x80] == 0x10 && seen == 3 && read_cr8() == 6, "  is in the virtual-APIC page");
	page[0x80] = 0x40;
	vmwrite(TPR_THRESHOLD, 2);
	guest_at(guest_cr8);
	expect_exit(43, "a TPR below its threshold");
	vmunset(PROC_CONTROLS, PROC_TPR_SHADOW);
	vmwrite(TPR_THRESHOLD, 0);
	write_cr8(0);
}

void test_registers(void)
{
	vmcs_prepare();
	test_cr4();
	test_cr0();
	test_cr3();
	test_fixed();
	test_tsc_offset();
	test_tpr_shadow();
}
