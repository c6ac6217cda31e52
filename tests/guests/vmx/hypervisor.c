/* SPDX-License-Identifier: Apache-2.0 */
/* VMXON, a VMCS, EPT, entries: SDM vol. 3, 24.7, 25, 31.5. */
#include "hypervisor.h"

#define MSR_FEATURE_CONTROL 0x3au
#define CPUID_VMX (1u << 5)
#define LARGE 0x200000ull

void vmx_exited(void);

struct guest_regs guest;
u64 vmxon_region;
u64 *ept_root;
static u8 guest_stack[8192] __attribute__((aligned(16)));
static bool launched;

/* ---- fields ---- */

u64 vmread(enum field field)
{
	u64 value = 0;

	if (try_vmread(field, &value) != SUCCEEDED) {
		print("VMREAD %x: ", (u64)field);
		give_up("the field cannot be read");
	}
	return value;
}

void vmwrite(enum field field, u64 value)
{
	if (try_vmwrite(field, value) != SUCCEEDED) {
		print("VMWRITE %x, %x: ", (u64)field, value);
		give_up("the field cannot be written");
	}
}

/* ---- capabilities ---- */

/* The "true" MSR of a control word where there is one (A.2). */
static u64 capability(u32 msr)
{
	if (msr <= VMX_ENTRY && rdmsr(VMX_BASIC) >> 55 & 1)
		return rdmsr(msr - VMX_PIN + VMX_TRUE_PIN);
	return rdmsr(msr);
}

bool offered(u32 msr, u32 bit)
{
	if (msr == VMX_PROC2 && !offered(VMX_PROC, PROC_SECONDARY))
		return false;
	return capability(msr) >> 32 & bit;
}

static u32 adjusted(u32 msr, u32 wanted)
{
	const u64 allowed = capability(msr);

	return (wanted | (u32)allowed) & (u32)(allowed >> 32);
}

/* ---- VMX operation ---- */

void vmx_start(void)
{
	if (!(cpuid(1, 0).c & CPUID_VMX))
		give_up("CPUID shows no VMX");
	if (!(rdmsr(MSR_FEATURE_CONTROL) & 1))
		wrmsr(MSR_FEATURE_CONTROL, 5);
	write_cr0((read_cr0() | rdmsr(VMX_CR0_FIXED0)) & rdmsr(VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(VMX_CR4_FIXED0)) & rdmsr(VMX_CR4_FIXED1));
	vmxon_region = vmcs_new();
	if (vmxon(vmxon_region) != SUCCEEDED)
		give_up("VMXON fails");
}

u64 vmcs_new(void)
{
	u32 *region = page_alloc();

	region[0] = (u32)rdmsr(VMX_BASIC) & 0x7fffffff;
	return (u64)(uintptr_t)region;
}

/* ---- EPT ---- */

u64 *ept_entry(u64 physical, unsigned level)
{
	u64 *table = ept_root;

	for (unsigned at = 4; at > level; at--) {
		u64 *entry = &table[physical >> (12 + 9 * (at - 1)) & 511];
		if (!(*entry & 7))
			*entry = (u64)(uintptr_t)page_alloc() | 7;
		table = (u64 *)(uintptr_t)(*entry & PTE_ADDRESS);
	}
	return &table[physical >> (12 + 9 * (level - 1)) & 511];
}

void ept_split(u64 physical)
{
	u64 *entry = ept_entry(physical, 2);
	u64 *table = page_alloc();

	for (unsigned i = 0; i < 512; i++)
		table[i] = ((physical & -LARGE) + i * 4096ull) | 6 << 3 | 7;
	*entry = (u64)(uintptr_t)table | 7;
	ept_flush();
}

void ept_flush(void)
{
	if (invept(2, 0) != SUCCEEDED)
		give_up("INVEPT of all contexts fails");
}

static void make_ept(void)
{
	ept_root = page_alloc();
	for (u64 at = 0; at < 4ull << 30; at += LARGE)
		*ept_entry(at, 2) = at | PTE_LARGE | 6 << 3 | 7;
	vmwrite(EPT_POINTER, (u64)(uintptr_t)ept_root | 3 << 3 | 6);
}

/* ---- a VMCS ---- */

static void set_controls(void)
{
	const u32 proc2 = PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED | PROC2_RDTSCP | PROC2_INVPCID;

	vmwrite(PIN_CONTROLS, adjusted(VMX_PIN, 0));
	vmwrite(PROC_CONTROLS, adjusted(VMX_PROC, PROC_SECONDARY));
	vmwrite(PROC2_CONTROLS, adjusted(VMX_PROC2, proc2));
	vmwrite(EXIT_CONTROLS, adjusted(VMX_EXIT, EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
	vmwrite(ENTRY_CONTROLS, adjusted(VMX_ENTRY, ENTRY_IA32E | ENTRY_LOAD_EFER));
	vmwrite(LINK_POINTER, ~0ull);
	vmwrite(VPID, 1);
	make_ept();
}

static void set_host(void)
{
	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, read_cr3());
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_CS, CODE_64);
	vmwrite(HOST_SS, DATA);
	vmwrite(HOST_DS, DATA);
	vmwrite(HOST_ES, DATA);
	vmwrite(HOST_TR, TSS);
	vmwrite(HOST_TR_BASE, (u64)(uintptr_t)&tss);
	vmwrite(HOST_GDTR_BASE, gdt_pointer.base);
	vmwrite(HOST_IDTR_BASE, idt_pointer.base);
	vmwrite(HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(HOST_RIP, (u64)(uintptr_t)vmx_exited);
}

static void set_segments(void)
{
	for (u64 i = 0; i < 6; i++) { /* ES, CS, SS, DS, FS, GS: encodings two apart */
		vmwrite(GUEST_ES + 2 * i, i == 1 ? CODE_64 : DATA);
		vmwrite(GUEST_ES_LIMIT + 2 * i, 0xffffffff);
		vmwrite(GUEST_ES_RIGHTS + 2 * i, i == 1 ? 0xa09b : 0xc093);
	}
	vmwrite(GUEST_LDTR_RIGHTS, 1 << 16);
	vmwrite(GUEST_TR, TSS);
	vmwrite(GUEST_TR_BASE, (u64)(uintptr_t)&tss);
	vmwrite(GUEST_TR_LIMIT, sizeof(tss) - 1);
	vmwrite(GUEST_TR_RIGHTS, 0x8b);
	vmwrite(GUEST_GDTR_BASE, gdt_pointer.base);
	vmwrite(GUEST_GDTR_LIMIT, gdt_pointer.limit);
	vmwrite(GUEST_IDTR_BASE, idt_pointer.base);
	vmwrite(GUEST_IDTR_LIMIT, idt_pointer.limit);
}

u64 vmcs_prepare(void)
{
	const u64 vmcs = vmcs_new();

	if (vmclear(vmcs) != SUCCEEDED || vmptrld(vmcs) != SUCCEEDED)
		give_up("VMCLEAR or VMPTRLD of a fresh region fails");
	launched = false;
	set_controls();
	set_host();
	set_segments();
	vmwrite(GUEST_CR0, read_cr0());
	vmwrite(GUEST_CR3, read_cr3());
	vmwrite(GUEST_CR4, read_cr4());
	vmwrite(GUEST_EFER, rdmsr(MSR_EFER));
	vmwrite(GUEST_DR7, 0x400);
	return vmcs;
}

void guest_at(void (*code)(void))
{
	vmwrite(GUEST_RIP, (u64)(uintptr_t)code);
	vmwrite(GUEST_RSP, (u64)(uintptr_t)(guest_stack + sizeof(guest_stack)) - 8);
	vmwrite(GUEST_RFLAGS, 2);
	vmwrite(GUEST_ACTIVITY, 0);
	vmwrite(GUEST_BLOCKING, 0);
	vmwrite(GUEST_PENDING_DEBUG, 0);
	caught.resume = 0;
}

/* ---- entries ---- */

u64 enter(void)
{
	if (vmx_switch(&guest, !launched))
		return ~0ull;
	if (!(vmread(EXIT_REASON) & ENTRY_FAILED))
		launched = true;
	return vmread(EXIT_REASON);
}

u64 vmx_error(void)
{
	return vmread(INSTRUCTION_ERROR);
}

static bool compare_exit(u64 reason, const char *what, bool speak)
{
	const u64 got = enter();

	if (got == reason) {
		if (speak)
			check(true, "%s", what);
		return true;
	}
	if (got == ~0ull)
		check(false, "%s: the entry failed with error %u, wanted exit %u", what, vmx_error(), reason);
	else
		check(false, "%s: exit %x, wanted %x; qualification %x, RIP %x, event %x", what, got, reason,
		        vmread(EXIT_QUALIFICATION), vmread(GUEST_RIP), vmread(EXIT_EVENT));
	return false;
}

bool expect_exit(u64 reason, const char *what)
{
	return compare_exit(reason, what, true);
}

bool pass_exit(u64 reason, const char *what)
{
	return compare_exit(reason, what, false);
}

void skip(void)
{
	vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_LENGTH));
}

void expect_entry_error(u64 error, const char *what)
{
	const u64 got = enter();

	if (got == ~0ull && vmx_error() == error)
		check(true, "%s", what);
	else
		check(false, "%s: %x, error %u; wanted error %u", what, got, vmx_error(), error);
}
