/* SPDX-License-Identifier: Apache-2.0 */
/* The VMX instructions themselves: their faults, failures and error numbers (SDM vol. 3, 31), and every field. */
#include "hypervisor.h"

static const struct {
	const char *name;
	u32 encoding;
} fields[] = {
#define FIELD(name, encoding) {#name, encoding},
#include "fields.def"
#undef FIELD
};

extern const u8 user_vmxoff[];
asm("user_vmxoff: vmxoff; int $0x80");

static void expect_error(int result, u64 error, const char *what)
{
	if (result == FAIL_VALID && vmx_error() == error)
		check(true, "%s", what);
	else
		check(false, "%s: result %u, wanted VMfailValid(%u)", what, (u64)result, error);
}

static void test_before(void)
{
	u64 region = 0;

	GUARD("vmxoff", :);
	check_equal(caught.vector, VECTOR_UD, "VMXOFF outside VMX operation: #UD");
	GUARD("vmcall", :);
	check_equal(caught.vector, VECTOR_UD, "VMCALL outside VMX operation: #UD");
	write_cr4(read_cr4() & ~(u64)CR4_VMXE);
	GUARD("vmxon %0", : "m"(region));
	check_equal(caught.vector, VECTOR_UD, "VMXON without CR4.VMXE: #UD");
	write_cr4(read_cr4() | CR4_VMXE);
	check(read_cr4() & CR4_VMXE, "CR4.VMXE reads as written");
	write_cr0(read_cr0() & ~(u64)CR0_NE);
	GUARD("vmxon %0", : "m"(region));
	check_equal(caught.vector, VECTOR_GP, "VMXON without CR0.NE: #GP");
	write_cr0(read_cr0() | CR0_NE);
	region = vmcs_new();
	check_equal(vmxon(region + 1), FAIL_INVALID, "VMXON of an address that is not aligned");
	check_equal(vmxon(region | 1ull << 60), FAIL_INVALID, "VMXON of an address beyond the physical width");
	*(u32 *)(uintptr_t)region ^= 1;
	check_equal(vmxon(region), FAIL_INVALID, "VMXON with another revision");
}

static void test_in_operation(void)
{
	const u64 vmcs = vmcs_new(), width = cpuid(0x80000008, 0).a & 0xff;
	u64 value, stored = 0;

	GUARD("movq %0, %%cr4", : "r"(read_cr4() & ~(u64)CR4_VMXE));
	check_equal(caught.vector, VECTOR_GP, "in VMX operation CR4.VMXE cannot be cleared");
	GUARD("movq %0, %%cr0", : "r"(read_cr0() & ~(u64)CR0_NE));
	check_equal(caught.vector, VECTOR_GP, "nor CR0.NE");
	check_equal(try_vmread(GUEST_RIP, &value), FAIL_INVALID, "VMREAD without a current VMCS");
	check_equal(vmxon(vmxon_region), FAIL_INVALID, "VMXON again, without a current VMCS");
	check_equal(vmptrld(vmcs), SUCCEEDED, "VMPTRLD");
	asm volatile("vmptrst %0" : "=m"(stored));
	check_equal(stored, vmcs, "VMPTRST gives it back");
	expect_error(vmxon(vmxon_region), 15, "VMXON in VMX root operation: error 15");
	expect_error(vmclear(vmcs + 1), 2, "VMCLEAR of an address that is not aligned: error 2");
	expect_error(vmclear(vmcs | 1ull << width), 2, "VMCLEAR beyond the physical width: error 2");
	expect_error(vmclear(vmxon_region), 3, "VMCLEAR of the VMXON region: error 3");
	expect_error(vmptrld(vmcs + 1), 9, "VMPTRLD of an address that is not aligned: error 9");
	expect_error(vmptrld(vmcs | 1ull << width), 9, "VMPTRLD beyond the physical width: error 9");
	expect_error(vmptrld(vmxon_region), 10, "VMPTRLD of the VMXON region: error 10");
	value = vmcs_new();
	*(u32 *)(uintptr_t)value ^= 1;
	expect_error(vmptrld(value), 11, "VMPTRLD of another revision: error 11");
	expect_error(try_vmread(0x2c7e, &value), 12, "VMREAD of no field: error 12");
	expect_error(try_vmwrite(0x2c7e, 0), 12, "VMWRITE of no field: error 12");
	check_equal(vmclear(vmcs), SUCCEEDED, "VMCLEAR of the current VMCS");
	check_equal(try_vmread(GUEST_RIP, &value), FAIL_INVALID, "after it there is none");
	check_equal(vmclear(vmcs), SUCCEEDED, "VMCLEAR again");
	asm volatile("vmptrst %0" : "=m"(stored));
	check_equal(stored, ~0ull, "VMPTRST gives all ones");
	run_user(user_vmxoff, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "a VMX instruction in ring 3: #GP");
}

static u64 width_mask(u32 encoding)
{
	switch (encoding >> 13 & 3) {
	case 0:
		return 0xffff;
	case 2:
		return 0xffffffff;
	default:
		return ~0ull;
	}
}

static bool read_only(u32 encoding)
{
	return (encoding >> 10 & 3) == 1;
}

static void test_fields(void)
{
	const u64 pattern = 0x5a96c3e1b48d7f20;
	const bool write_any = rdmsr(VMX_MISC) >> 29 & 1;
	u64 value = 0, highest = 0;
	unsigned bad = 0, halves = 0;

	vmclear(vmcs_prepare());
	vmcs_prepare();
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const u32 encoding = fields[i].encoding;
		highest = (encoding >> 1 & 0x1ff) > highest ? encoding >> 1 & 0x1ff : highest;
		if (read_only(encoding) && !write_any) {
			bad += try_vmwrite(encoding, 0) != FAIL_VALID || vmx_error() != 13;
			continue;
		}
		if (try_vmwrite(encoding, pattern) != SUCCEEDED || try_vmread(encoding, &value) != SUCCEEDED ||
		        value != (pattern & width_mask(encoding))) {
			print("field %s: %x\n", fields[i].name, value);
			bad++;
		}
		if ((encoding >> 13 & 3) == 1) { /* the upper half of a 64-bit field by its odd encoding */
			bool good = try_vmread(encoding + 1, &value) == SUCCEEDED && value == pattern >> 32;
			good = good && try_vmwrite(encoding + 1, 0x11112222) == SUCCEEDED &&
			       try_vmread(encoding, &value) == SUCCEEDED &&
			       value == (0x11112222ull << 32 | (u32)pattern);
			halves += !good;
		}
	}
	check_equal(bad, 0, "each field keeps what is written, as wide as it is");
	check_equal(halves, 0, "each 64-bit field has its upper half");
	check((rdmsr(VMX_VMCS_ENUM) >> 1 & 0x1ff) >= highest, "IA32_VMX_VMCS_ENUM covers them");
	asm volatile("vmread %1, %0" : "=m"(value) : "r"((u64)GUEST_RSP) : "cc");
	check_equal(value, pattern, "VMREAD to memory");
}

/* A VMCS keeps its fields while another one is current, and over VMCLEAR. */
static void test_switching(void)
{
	const u64 a = vmcs_new(), b = vmcs_new();

	vmclear(a);
	vmclear(b);
	vmptrld(a);
	vmwrite(GUEST_RIP, 0xaaaa);
	vmptrld(b);
	vmwrite(GUEST_RIP, 0xbbbb);
	vmptrld(a);
	check_equal(vmread(GUEST_RIP), 0xaaaa, "VMPTRLD switches between two");
	vmclear(a);
	vmptrld(b);
	check_equal(vmread(GUEST_RIP), 0xbbbb, "and back");
	vmptrld(a);
	check_equal(vmread(GUEST_RIP), 0xaaaa, "also after VMCLEAR");
}

static void guest_call(void)
{
	for (;;)
		vmcall();
}

static void test_launch_state(void)
{
	u64 vmcs = vmcs_prepare();

	guest_at(guest_call);
	check(vmx_switch(&guest, false) == FAIL_VALID && vmx_error() == 5, "VMRESUME of a clear VMCS: error 5");
	check(!vmx_switch(&guest, true) && vmread(EXIT_REASON) == REASON_VMCALL, "VMLAUNCH");
	skip();
	check(vmx_switch(&guest, true) == FAIL_VALID && vmx_error() == 4, "VMLAUNCH of a launched VMCS: error 4");
	check(!vmx_switch(&guest, false) && vmread(EXIT_REASON) == REASON_VMCALL, "VMRESUME");
	vmclear(vmcs);
	vmptrld(vmcs);
	skip();
	check(!vmx_switch(&guest, true) && vmread(EXIT_REASON) == REASON_VMCALL, "VMLAUNCH after VMCLEAR");
	skip();
	asm volatile("movw %0, %%ss; vmresume" : : "r"((u16)DATA) : "cc");
	check_equal(vmx_error(), 26, "an entry with events blocked by MOV SS: error 26");
	vmclear(vmcs);
	check_equal(vmx_switch(&guest, true), FAIL_INVALID, "VMLAUNCH without a current VMCS");
}

static void test_invalidations(void)
{
	vmcs_prepare();
	check_equal(invept(2, 0), SUCCEEDED, "INVEPT of all contexts");
	check_equal(invept(1, vmread(EPT_POINTER)), SUCCEEDED, "INVEPT of one");
	expect_error(invept(0, 0), 28, "INVEPT of no type: error 28");
	expect_error(invept(1, 0), 28, "INVEPT of a bad EPT pointer: error 28");
	check_equal(invvpid(2, 0, 0), SUCCEEDED, "INVVPID of all contexts");
	check_equal(invvpid(1, 1, 0), SUCCEEDED, "INVVPID of one");
	check_equal(invvpid(0, 1, 0x1000), SUCCEEDED, "INVVPID of one address");
	expect_error(invvpid(1, 0, 0), 28, "INVVPID of VPID 0: error 28");
	expect_error(invvpid(0, 1, 1ull << 63), 28, "INVVPID of a non-canonical address: error 28");
	expect_error(invvpid(7, 1, 0), 28, "INVVPID of no type: error 28");
	asm volatile("vmcall" : : : "memory", "cc");
	check_equal(vmx_error(), 1, "VMCALL in VMX root operation: error 1");
}

void test_main(void)
{
	test_before();
	vmx_start();
	test_in_operation();
	test_fields();
	test_switching();
	test_launch_state();
	test_invalidations();
	check_equal(vmxoff(), SUCCEEDED, "VMXOFF");
	GUARD("vmxoff", :);
	check_equal(caught.vector, VECTOR_UD, "and no VMX operation any more");
	write_cr4(read_cr4() & ~(u64)CR4_VMXE);
	check(!(read_cr4() & CR4_VMXE), "CR4.VMXE can be cleared again");
}
