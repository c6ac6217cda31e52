/* SPDX-License-Identifier: Apache-2.0 */
/* EPT: violations and their qualification, misconfigurations, accessed and dirty bits, unrestricted guests. SDM vol. 3,
 * 29.3. */
#include "hypervisor.h"

#define VIOLATION_READ 1u
#define VIOLATION_WRITE 2u
#define VIOLATION_FETCH 4u
#define VIOLATION_LINEAR 0x80u
#define VIOLATION_FINAL 0x100u
#define RIGHTS(rights) ((rights) << 3)
#define EPT_R 1u
#define EPT_W 2u
#define EPT_X 4u
#define EPT_WB (6u << 3)
#define EPT_A 0x100u
#define EPT_D 0x200u

static u64 *page, *other;
static u64 *leaf;
static u64 seen;

static void guest_read(void)
{
	seen = *(volatile u64 *)page;
	vmcall();
}

static void guest_write(void)
{
	*(volatile u64 *)page = 0x77;
	vmcall();
}

static void guest_fetch(void)
{
	asm volatile("call *%0" : : "r"(page) : "memory");
	vmcall();
}

static void map(u64 rights)
{
	*leaf = (u64)(uintptr_t)page | EPT_WB | rights;
	ept_flush();
}

static void expect_violation(void (*code)(void), u64 qualification, const char *what)
{
	guest_at(code);
	if (!expect_exit(REASON_EPT_VIOLATION, what))
		return;
	check_equal(vmread(EXIT_QUALIFICATION) & 0x1bf, qualification, "  its qualification");
	check_equal(vmread(GUEST_PHYSICAL), (u64)(uintptr_t)page, "  its physical address");
	check_equal(vmread(GUEST_LINEAR), (u64)(uintptr_t)page, "  its linear address");
}

static void test_violations(void)
{
	const u64 final = VIOLATION_LINEAR | VIOLATION_FINAL;

	map(0);
	expect_violation(guest_read, VIOLATION_READ | final, "a read of what is not mapped");
	expect_violation(guest_write, VIOLATION_WRITE | final, "a write");
	expect_violation(guest_fetch, VIOLATION_FETCH | final, "a fetch");
	map(EPT_R | EPT_W | EPT_X);
	expect_exit(REASON_VMCALL, "mapped, the fetch goes on");
	map(EPT_R);
	expect_violation(guest_write, VIOLATION_WRITE | final | RIGHTS(EPT_R), "a write to a read-only page");
	guest_at(guest_read);
	expect_exit(REASON_VMCALL, "a read of it");
	map(EPT_R | EPT_W);
	expect_violation(guest_fetch, VIOLATION_FETCH | final | RIGHTS(EPT_R | EPT_W), "a fetch without the right");
	if (rdmsr(VMX_EPT_VPID) & 1) {
		map(EPT_X);
		expect_violation(guest_read, VIOLATION_READ | final | RIGHTS(EPT_X), "a read of an execute-only page");
		guest_at(guest_fetch);
		expect_exit(REASON_VMCALL, "a fetch from it");
	}
	map(EPT_R | EPT_W | EPT_X);
}

/* The guest's own page tables are read through EPT. */
static void test_walk(void)
{
	const u64 table = (u64)(uintptr_t)page_pdpt;
	u64 *entry, old;

	ept_split(table);
	entry = ept_entry(table, 1);
	old = *entry;
	*entry = 0;
	ept_flush();
	invvpid(2, 0, 0);
	guest_at(guest_read);
	expect_exit(REASON_EPT_VIOLATION, "a violation in the guest's page walk");
	check_equal(vmread(EXIT_QUALIFICATION) & 0x181, VIOLATION_READ | VIOLATION_LINEAR, "  its qualification");
	check_equal(vmread(GUEST_PHYSICAL) & ~0xfffull, table, "  the table it wanted");
	*entry = old;
	ept_flush();
	expect_exit(REASON_VMCALL, "repaired, the guest goes on");
}

static void expect_misconfiguration(u64 value, const char *what)
{
	*leaf = value;
	ept_flush();
	guest_at(guest_read);
	if (expect_exit(REASON_EPT_MISCONFIGURATION, what))
		check_equal(vmread(GUEST_PHYSICAL), (u64)(uintptr_t)page, "  its physical address");
}

static void test_misconfigurations(void)
{
	const u64 at = (u64)(uintptr_t)page;

	expect_misconfiguration(at | EPT_WB | EPT_W, "write without read");
	expect_misconfiguration(at | EPT_WB | EPT_W | EPT_X, "write and execute without read");
	expect_misconfiguration(at | 2 << 3 | EPT_R, "memory type 2");
	expect_misconfiguration(at | 7 << 3 | EPT_R, "memory type 7");
	expect_misconfiguration(at | EPT_WB | EPT_R | 1ull << 51, "an address beyond the physical width");
	if (!(rdmsr(VMX_EPT_VPID) & 1))
		expect_misconfiguration(at | EPT_WB | EPT_X, "execute without read");
	map(EPT_R | EPT_W | EPT_X);
}

static void test_remap(void)
{
	page[0] = 1;
	other[0] = 2;
	guest_at(guest_read);
	pass_exit(REASON_VMCALL, "the first page");
	*leaf = (u64)(uintptr_t)other | EPT_WB | EPT_R | EPT_W | EPT_X;
	check_equal(invept(1, vmread(EPT_POINTER)), SUCCEEDED, "INVEPT of this EPT pointer");
	guest_at(guest_read);
	pass_exit(REASON_VMCALL, "the other page");
	check_equal(seen, 2, "a page moved beneath the guest");
	guest_at(guest_write);
	pass_exit(REASON_VMCALL, "a write");
	check(other[0] == 0x77 && page[0] == 1, "is written where it is now");
	map(EPT_R | EPT_W | EPT_X);
}

static void test_accessed_dirty(void)
{
	if (!(rdmsr(VMX_EPT_VPID) & EPT_CAP_AD)) {
		print("no accessed and dirty bits here\n");
		return;
	}
	vmwrite(EPT_POINTER, vmread(EPT_POINTER) | 1 << 6);
	map(EPT_R | EPT_W | EPT_X);
	guest_at(guest_read);
	pass_exit(REASON_VMCALL, "a read");
	check_equal(*leaf & (EPT_A | EPT_D), EPT_A, "a read sets the accessed bit");
	guest_at(guest_write);
	pass_exit(REASON_VMCALL, "a write");
	check_equal(*leaf & (EPT_A | EPT_D), EPT_A | EPT_D, "a write sets the dirty bit");
	check(*ept_entry((u64)(uintptr_t)page, 2) & EPT_A, "and the tables above are accessed");
	vmwrite(EPT_POINTER, vmread(EPT_POINTER) & ~(1ull << 6));
	ept_flush();
}

static void test_large(void)
{
	const u64 cap = rdmsr(VMX_EPT_VPID);
	u64 *entry = ept_entry(0x40000000, 3), old = *entry;

	if (!(cap & 1 << 17))
		return;
	entry = ept_entry(0, 3);
	old = *entry;
	*entry = 0 | PTE_LARGE | EPT_WB | EPT_R | EPT_W | EPT_X;
	ept_flush();
	page[0] = 99;
	guest_at(guest_read);
	expect_exit(REASON_VMCALL, "a 1 GiB page");
	check_equal(seen, 99, "  reads memory");
	*entry = 0 | PTE_LARGE | EPT_WB | EPT_R | EPT_W | EPT_X | 1 << 13;
	ept_flush();
	guest_at(guest_read);
	expect_exit(REASON_EPT_MISCONFIGURATION, "its reserved bits");
	*entry = old;
	ept_flush();
}

/* ---- a guest in real mode ---- */

#define REAL_CODE 0x7000u

static void real_segment(u64 index, u64 selector, u64 rights)
{
	vmwrite(GUEST_ES + 2 * index, selector);
	vmwrite(GUEST_ES_BASE + 2 * index, selector << 4);
	vmwrite(GUEST_ES_LIMIT + 2 * index, 0xffff);
	vmwrite(GUEST_ES_RIGHTS + 2 * index, rights);
}

static void test_unrestricted(void)
{
	static const u8 code[] = {0xb8, 0x34, 0x12, /* mov $0x1234, %ax */
	        0x8e, 0xd8,                         /* mov %ax, %ds */
	        0xa3, 0x10, 0x00,                   /* mov %ax, 0x10 */
	        0x0f, 0x01, 0xc1,                   /* vmcall */
	        0x66, 0x0f, 0x20, 0xc3,             /* mov %cr0, %ebx */
	        0xcd, 0x21,                         /* int $0x21 */
	        0xf4};
	static const u8 handler[] = {0xbe, 0x99, 0x00, 0x0f, 0x01, 0xc1}; /* mov $0x99, %si; vmcall */

	if (!offered(VMX_PROC2, PROC2_UNRESTRICTED)) {
		print("no unrestricted guests here\n");
		return;
	}
	memcpy((void *)REAL_CODE, code, sizeof(code));
	memcpy((void *)(REAL_CODE + 0x100), handler, sizeof(handler));
	vmcs_prepare();
	vmunset(ENTRY_CONTROLS, ENTRY_IA32E);
	vmwrite(GUEST_CR0, CR0_NE | 0x10);
	vmwrite(GUEST_CR4, CR4_VMXE);
	vmwrite(GUEST_CR3, 0);
	vmwrite(GUEST_EFER, 0);
	for (u64 i = 0; i < 6; i++)
		real_segment(i, 0, i == 1 ? 0x9b : 0x93);
	vmwrite(GUEST_IDTR_BASE, 0x8000);
	vmwrite(GUEST_IDTR_LIMIT, 0x3ff);
	*(u32 *)(0x8000 + 4 * 0x21) = (REAL_CODE + 0x100) >> 4 << 16;
	vmwrite(GUEST_RIP, REAL_CODE);
	vmwrite(GUEST_RSP, 0x6ff0);
	vmwrite(GUEST_RFLAGS, 2);
	expect_exit(REASON_VMCALL, "a guest in real mode");
	check_equal(vmread(GUEST_DS_BASE), 0x12340, "  loads segments as real mode does");
	check_equal(*(volatile u16 *)0x12350, 0x1234, "  and stores through them");
	skip();
	expect_exit(REASON_VMCALL, "INT through the real-mode vector table");
	check((u16)guest.rsi == 0x99 && !(guest.rbx & 1), "  its handler ran, still in real mode");
	check_equal(vmread(GUEST_CS), (REAL_CODE + 0x100) >> 4, "  CS from the table");
}

void test_main(void)
{
	vmx_start();
	if (!offered(VMX_PROC2, PROC2_EPT))
		give_up("no EPT here");
	page = page_alloc();
	other = page_alloc();
	vmcs_prepare();
	*(u8 *)page = 0xc3;
	ept_split((u64)(uintptr_t)page);
	leaf = ept_entry((u64)(uintptr_t)page, 1);
	test_violations();
	test_walk();
	test_misconfigurations();
	test_remap();
	test_accessed_dirty();
	test_large();
	test_unrestricted();
}
