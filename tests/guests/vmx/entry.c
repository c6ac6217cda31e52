/* SPDX-License-Identifier: Apache-2.0 */
/* Entries that fail, each for one reason; MSR lists. SDM vol. 3, 27.2 to 27.4 and 27.8. */
#include "hypervisor.h"

#define NONCANONICAL 0x8000000000000000ull

static void guest_call(void)
{
	for (;;)
		vmcall();
}

struct bad {
	u64 field, value;
	const char *what;
};

/* Error 7, invalid control fields. */
static const struct bad controls[] = {
        {CR3_TARGET_COUNT, 5, "5 CR3 targets"}, {VPID, 0, "VPID 0"},
        {EPT_POINTER, 0x1000 | 3 << 3 | 5, "an EPT pointer of memory type 5"},
        {EPT_POINTER, 0x1000 | 1 << 3 | 6, "an EPT walk of 2 levels"},
        {EPT_POINTER, 0x1000 | 3 << 3 | 6 | 1ull << 60, "an EPT pointer beyond the physical width"},
        {ENTRY_EVENT, EVENT_VALID | 1u << 8 | 0x20, "an event of the reserved type"},
        {ENTRY_EVENT, EVENT_VALID | EVENT_NMI | 3, "an NMI of another vector"},
        {ENTRY_EVENT, EVENT_VALID | EVENT_EXCEPTION | 32, "an exception of vector 32"},
        {ENTRY_EVENT, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR | VECTOR_UD, "an error code with #UD"},
        {ENTRY_EVENT, EVENT_VALID | EVENT_EXCEPTION | 1u << 12 | VECTOR_UD, "a reserved bit of the event"},
        {ENTRY_MSR_LOAD_COUNT, 1, NULL}, /* with the address below */
};

/* Error 8, invalid host state. */
static const struct bad hosts[] = {
        {HOST_CR0, 0x80000001, "CR0 without NE"},
        {HOST_CR4, CR4_VMXE, "CR4 without PAE"},
        {HOST_CR4, 0x20, "CR4 without VMXE"},
        {HOST_CR3, 1ull << 60, "CR3 beyond the physical width"},
        {HOST_SYSENTER_ESP, NONCANONICAL, "SYSENTER_ESP not canonical"},
        {HOST_SYSENTER_EIP, NONCANONICAL, "SYSENTER_EIP not canonical"},
        {HOST_CS, CODE_64 | 3, "CS with an RPL"},
        {HOST_CS, 0, "CS of 0"},
        {HOST_TR, 0, "TR of 0"},
        {HOST_TR, TSS | 4, "TR in an LDT"},
        {HOST_DS, DATA | 1, "DS with an RPL"},
        {HOST_FS_BASE, NONCANONICAL, "FS base not canonical"},
        {HOST_TR_BASE, NONCANONICAL, "TR base not canonical"},
        {HOST_GDTR_BASE, NONCANONICAL, "GDTR base not canonical"},
        {HOST_IDTR_BASE, NONCANONICAL, "IDTR base not canonical"},
        {HOST_EFER, 1ull << 40, "reserved bits of EFER"},
        {HOST_EFER, 0, "EFER without LMA for a 64-bit host"},
        {HOST_RIP, NONCANONICAL, "RIP not canonical"},
};

/* Exit 33, invalid guest state. */
static const struct bad guests[] = {
        {GUEST_CR0, 0x80000001, "CR0 without NE"},
        {GUEST_CR4, 0x20, "CR4 without VMXE"},
        {GUEST_CR4, CR4_VMXE, "CR4 without PAE in IA-32e mode"},
        {GUEST_CR3, 1ull << 60, "CR3 beyond the physical width"},
        {GUEST_EFER, 1ull << 40, "reserved bits of EFER"},
        {GUEST_EFER, 0x800, "EFER.LMA against the entry control"},
        {GUEST_SYSENTER_ESP, NONCANONICAL, "SYSENTER_ESP not canonical"},
        {GUEST_RFLAGS, 0, "RFLAGS without bit 1"},
        {GUEST_RFLAGS, 2 | 1 << 15, "RFLAGS bit 15"},
        {GUEST_RFLAGS, 2 | 1 << 17, "RFLAGS.VM in IA-32e mode"},
        {GUEST_RIP, NONCANONICAL, "RIP not canonical"},
        {GUEST_CS_RIGHTS, 0xa091, "CS of read-only data type"},
        {GUEST_CS_RIGHTS, 0xe09b, "CS with L and D"},
        {GUEST_CS_RIGHTS, 0xa01b, "CS not present"},
        {GUEST_SS_RIGHTS, 0xc09b, "SS of code type"},
        {GUEST_DS_RIGHTS, 0xc09a, "DS of a code type that is not accessed"},
        {GUEST_TR_RIGHTS, 0x89, "TR not busy"},
        {GUEST_TR_RIGHTS, 1 << 16, "TR unusable"},
        {GUEST_TR, TSS | 4, "TR in an LDT"},
        {GUEST_TR_LIMIT, 0x1fffff, "TR's limit without granularity"},
        {GUEST_LDTR_RIGHTS, 0x93, "LDTR of data type"},
        {GUEST_GDTR_BASE, NONCANONICAL, "GDTR base not canonical"},
        {GUEST_IDTR_LIMIT, 0x10000, "IDTR limit of more than 16 bits"},
        {GUEST_FS_BASE, NONCANONICAL, "FS base not canonical"},
        {GUEST_CS_BASE, 1ull << 32, "CS base above 4 GiB"},
        {GUEST_ACTIVITY, 7, "an activity state that does not exist"},
        {GUEST_BLOCKING, 3, "blocking by STI and MOV SS"},
        {GUEST_BLOCKING, 1, "blocking by STI without IF"},
        {GUEST_BLOCKING, 1 << 5, "reserved bits of the interruptibility state"},
        {GUEST_PENDING_DEBUG, 1 << 5, "reserved bits of the pending debug exceptions"},
        {LINK_POINTER, 0x123, "a VMCS link pointer"},
};

static void test_controls(void)
{
	for (unsigned i = 0; controls[i].what; i++) {
		const u64 old = vmread((enum field)controls[i].field);
		vmwrite((enum field)controls[i].field, controls[i].value);
		expect_entry_error(7, controls[i].what);
		vmwrite((enum field)controls[i].field, old);
	}
	vmwrite(ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(ENTRY_MSR_LOAD, 0x1008);
	expect_entry_error(7, "an MSR list that is not aligned");
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmset(PROC_CONTROLS, PROC_MSR_BITMAPS);
	vmwrite(MSR_BITMAP, 0x1010);
	expect_entry_error(7, "an MSR bitmap that is not aligned");
	vmunset(PROC_CONTROLS, PROC_MSR_BITMAPS);
	vmset(PROC_CONTROLS, PROC_NMI_WINDOW);
	expect_entry_error(7, "NMI-window exiting without virtual NMIs");
	vmunset(PROC_CONTROLS, PROC_NMI_WINDOW);
	vmwrite(PROC2_CONTROLS, vmread(PROC2_CONTROLS) & ~(u64)PROC2_EPT);
	if (vmread(PROC2_CONTROLS) & PROC2_UNRESTRICTED)
		expect_entry_error(7, "an unrestricted guest without EPT");
	vmset(PROC2_CONTROLS, PROC2_EPT);
	for (u32 msr = VMX_PIN; msr <= VMX_ENTRY; msr++) {
		static const enum field words[] = {PIN_CONTROLS, PROC_CONTROLS, EXIT_CONTROLS, ENTRY_CONTROLS};
		const enum field word = words[msr - VMX_PIN];
		const u64 old = vmread(word), must = (u32)rdmsr(msr - VMX_PIN + VMX_TRUE_PIN);
		vmwrite(word, old & ~(must & -must));
		expect_entry_error(7, "a control word without a bit that must be 1");
		vmwrite(word, old);
	}
}

static void test_hosts(void)
{
	for (unsigned i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		const u64 old = vmread((enum field)hosts[i].field);
		vmwrite((enum field)hosts[i].field, hosts[i].value);
		expect_entry_error(8, hosts[i].what);
		vmwrite((enum field)hosts[i].field, old);
	}
}

static void test_guests(void)
{
	for (unsigned i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		const u64 old = vmread((enum field)guests[i].field);
		vmwrite((enum field)guests[i].field, guests[i].value);
		expect_exit(REASON_BAD_GUEST_STATE | ENTRY_FAILED, guests[i].what);
		vmwrite((enum field)guests[i].field, old);
	}
}

/* ---- MSR lists ---- */

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

#define KERNEL_GS 0xc0000102u
#define STAR 0xc0000081u

static void guest_reads_msr(void)
{
	guest.r15 = 0;
	asm volatile("rdmsr; vmcall" : : "c"(KERNEL_GS) : "rax", "rdx");
	wrmsr(KERNEL_GS, 0x3333);
	vmcall();
}

static void test_msr_lists(void)
{
	struct msr_entry *load = page_alloc(), *store = page_alloc(), *host = page_alloc();

	load[0] = (struct msr_entry){KERNEL_GS, 0, 0x1111};
	load[1] = (struct msr_entry){STAR, 0, 0x2222ull << 32};
	store[0] = (struct msr_entry){KERNEL_GS, 0, 0};
	host[0] = (struct msr_entry){KERNEL_GS, 0, 0x4444};
	vmwrite(ENTRY_MSR_LOAD, (u64)(uintptr_t)load);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 2);
	vmwrite(EXIT_MSR_STORE, (u64)(uintptr_t)store);
	vmwrite(EXIT_MSR_STORE_COUNT, 1);
	vmwrite(EXIT_MSR_LOAD, (u64)(uintptr_t)host);
	vmwrite(EXIT_MSR_LOAD_COUNT, 1);
	vmset(PROC_CONTROLS, PROC_MSR_BITMAPS);
	vmwrite(MSR_BITMAP, (u64)(uintptr_t)page_alloc());
	guest_at(guest_reads_msr);
	expect_exit(REASON_VMCALL, "an entry with an MSR-load list");
	check_equal(guest.rax & 0xffffffff, 0x1111, "  the guest has its MSR");
	check_equal(rdmsr(STAR), 0x2222ull << 32, "  both of the list");
	check_equal(store[0].value, 0x1111, "the exit stores the guest's");
	check_equal(rdmsr(KERNEL_GS), 0x4444, "and loads the hypervisor's");
	skip();
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	expect_exit(REASON_VMCALL, "the guest writes the MSR");
	check_equal(store[0].value, 0x3333, "  the store list has what it wrote");
	vmwrite(EXIT_MSR_STORE_COUNT, 0);
	vmwrite(EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 2);
	load[1] = (struct msr_entry){0xc0000100, 0, 0};
	guest_at(guest_call);
	expect_exit(REASON_BAD_MSR_LIST | ENTRY_FAILED, "FS_BASE in an MSR-load list");
	check_equal(vmread(EXIT_QUALIFICATION), 2, "  the second entry is the bad one");
	load[0] = (struct msr_entry){0x802, 0, 0};
	expect_exit(REASON_BAD_MSR_LIST | ENTRY_FAILED, "an x2APIC MSR in it");
	check_equal(vmread(EXIT_QUALIFICATION), 1, "  the first");
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmunset(PROC_CONTROLS, PROC_MSR_BITMAPS);
}

static void guest_tsc(void)
{
	guest.r15 = rdtsc();
	vmcall();
}

/* The TSC may be in each list. */
static void test_tsc_list(void)
{
	struct msr_entry *load = page_alloc(), *store = page_alloc(), *host = page_alloc();
	const u64 future = 1ull << 52;

	load[0] = (struct msr_entry){0x10, 0, future};
	store[0] = (struct msr_entry){0x10, 0, 0};
	host[0] = (struct msr_entry){0x10, 0, 1000000};
	vmwrite(ENTRY_MSR_LOAD, (u64)(uintptr_t)load);
	vmwrite(EXIT_MSR_STORE, (u64)(uintptr_t)store);
	vmwrite(EXIT_MSR_LOAD, (u64)(uintptr_t)host);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(EXIT_MSR_STORE_COUNT, 1);
	vmwrite(EXIT_MSR_LOAD_COUNT, 1);
	guest_at(guest_tsc);
	expect_exit(REASON_VMCALL, "the TSC in MSR lists");
	check(guest.rax >> 32 == 0 && store[0].value > future && store[0].value < future + 100000000,
	        "  the entry loads it, the exit stores it");
	check(rdtsc() >= 1000000 && rdtsc() < 100000000, "  and loads the hypervisor's");
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(EXIT_MSR_STORE_COUNT, 0);
	vmwrite(EXIT_MSR_LOAD_COUNT, 0);
}

static void test_pat(void)
{
	if (!offered(VMX_ENTRY, ENTRY_LOAD_PAT))
		return;
	vmset(ENTRY_CONTROLS, ENTRY_LOAD_PAT);
	vmwrite(GUEST_PAT, 2);
	expect_exit(REASON_BAD_GUEST_STATE | ENTRY_FAILED, "a PAT with type 2");
	vmwrite(GUEST_PAT, 0x0606060606060606);
	guest_at(guest_call);
	expect_exit(REASON_VMCALL, "a good PAT");
	vmunset(ENTRY_CONTROLS, ENTRY_LOAD_PAT);
}

void test_main(void)
{
	vmx_start();
	vmcs_prepare();
	guest_at(guest_call);
	expect_exit(REASON_VMCALL, "the guest as it should be");
	skip();
	test_controls();
	test_hosts();
	test_guests();
	guest_at(guest_call);
	expect_exit(REASON_VMCALL, "and again after all that");
	test_msr_lists();
	test_tsc_list();
	test_pat();
}
