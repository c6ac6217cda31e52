/* SPDX-License-Identifier: Apache-2.0 */
/* 4-level paging: rights, error codes, accessed and dirty bits, the TLB. SDM vol. 3, chapter 4. */
#include "guest.h"

#define WINDOW 0x10000000000ull /* 1 TiB: PML4 entry 2 */
#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_RSVD 8u
#define PF_I 16u

static u64 *memory, *other;
static u64 *entry;

static volatile u64 *window(void)
{
	return (volatile u64 *)WINDOW;
}

/* The page behind WINDOW gets these rights; its translation is forgotten. */
static void map(u64 flags)
{
	*entry = (u64)(uintptr_t)memory | flags;
	invlpg(WINDOW);
}

static void try_read(void)
{
	GUARD("movq (%0), %%rax", : "r"(WINDOW + 8) : "rax", "memory");
}

static void try_write(void)
{
	GUARD("movq $1, (%0)", : "r"(WINDOW + 8) : "memory");
}

static void expect_pf(u64 error, const char *what)
{
	if (caught.vector == VECTOR_PF && caught.error == error && caught.cr2 == WINDOW + 8)
		check(true, "%s", what);
	else
		check(false, "%s: vector %u, error %x, CR2 %x; wanted #PF, %x", what, caught.vector, caught.error,
		        caught.cr2, error);
}

static void expect_none(const char *what)
{
	check_equal(caught.vector, NO_TRAP, what);
}

/* ---- supervisor rights ---- */

static void test_present(void)
{
	map(0);
	try_read();
	expect_pf(0, "a read of a page that is not present");
	try_write();
	expect_pf(PF_W, "a write to it");
	map(PTE_P | PTE_W);
	try_write();
	expect_none("a write to a writable page");
	check_equal(memory[1], 1, "arrives in memory");
	*entry = (u64)(uintptr_t)memory | PTE_P | PTE_W | 1ull << 51;
	invlpg(WINDOW);
	try_read();
	expect_pf(PF_P | PF_RSVD, "a reserved bit");
	*entry = 0;
	try_read();
	check(caught.vector == VECTOR_PF, "a faulting translation is not remembered");
}

static void test_write_protect(void)
{
	map(PTE_P);
	try_write();
	expect_pf(PF_P | PF_W, "a supervisor write to a read-only page with CR0.WP");
	write_cr0(read_cr0() & ~(u64)CR0_WP);
	try_write();
	expect_none("without CR0.WP it is written");
	write_cr0(read_cr0() | CR0_WP);
	try_write();
	expect_pf(PF_P | PF_W, "and with it again not");
}

/* RET stands at WINDOW + 8; when the fetch faults, the return address is still on the stack. */
static void try_fetch(void)
{
	*(u8 *)&memory[1] = 0xc3;
	GUARD("movq %%rsp, %%rbx; call *%0; 99: movq %%rbx, %%rsp", : "r"(WINDOW + 8) : "rbx", "memory");
}

static void test_no_execute(void)
{
	map(PTE_P | PTE_W);
	try_fetch();
	expect_none("a fetch from an executable page");
	map(PTE_P | PTE_W | PTE_NX);
	try_fetch();
	expect_pf(PF_P | PF_I, "a fetch from a no-execute page");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(1ull << 11));
	invlpg(WINDOW);
	try_read();
	expect_pf(PF_P | PF_RSVD, "bit 63 is reserved without EFER.NXE");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1ull << 11);
	invlpg(WINDOW);
	try_read();
	expect_none("and no-execute again with it");
}

static void test_smep_smap(void)
{
	const u32 features = cpuid(7, 0).b;

	map(PTE_P | PTE_W | PTE_U);
	try_fetch();
	expect_none("a supervisor fetch from a user page");
	if (features & 1u << 7) {
		write_cr4(read_cr4() | CR4_SMEP);
		try_fetch();
		expect_pf(PF_P | PF_I, "the same with SMEP");
		write_cr4(read_cr4() & ~(u64)CR4_SMEP);
	}
	if (!(features & 1u << 20))
		return;
	write_cr4(read_cr4() | CR4_SMAP);
	try_read();
	expect_pf(PF_P, "a supervisor read of a user page with SMAP");
	try_write();
	expect_pf(PF_P | PF_W, "a write");
	asm volatile("stac");
	try_read();
	asm volatile("clac");
	expect_none("allowed by RFLAGS.AC");
	write_cr4(read_cr4() & ~(u64)CR4_SMAP);
	try_read();
	expect_none("and without SMAP");
}

/* ---- user rights ---- */

extern const u8 user_read[], user_write[];
asm("user_read: movq (%rdi), %rax; int $0x80\n"
    "user_write: movq %rax, (%rdi); int $0x80\n");

static void test_user(void)
{
	map(PTE_P | PTE_W | PTE_U);
	run_user(user_write, 0, WINDOW + 8);
	check_equal(caught.vector, 0x80, "a user write to a user page");
	map(PTE_P | PTE_U);
	run_user(user_read, 0, WINDOW + 8);
	check_equal(caught.vector, 0x80, "a user read of a read-only page");
	run_user(user_write, 0, WINDOW + 8);
	expect_pf(PF_P | PF_W | PF_U, "a user write to it");
	map(PTE_P | PTE_W);
	run_user(user_read, 0, WINDOW + 8);
	expect_pf(PF_P | PF_U, "a user read of a supervisor page");
	map(0);
	run_user(user_write, 0, WINDOW + 8);
	expect_pf(PF_W | PF_U, "a user write to a page that is not present");
	/* Rights are those of every level together. */
	map(PTE_P | PTE_W | PTE_U);
	*page_entry(page_pml4, WINDOW, 3) &= ~PTE_U;
	invlpg(WINDOW);
	run_user(user_read, 0, WINDOW + 8);
	expect_pf(PF_P | PF_U, "a table above is the supervisor's");
	*page_entry(page_pml4, WINDOW, 3) |= PTE_U;
	invlpg(WINDOW);
}

/* ---- accessed and dirty ---- */

static void test_accessed_dirty(void)
{
	u64 *pd = page_entry(page_pml4, WINDOW, 2);

	*pd &= ~PTE_A;
	map(PTE_P | PTE_W);
	try_read();
	check_equal(*entry & (PTE_A | PTE_D), PTE_A, "a read sets the accessed bit alone");
	check(*pd & PTE_A, "in the tables above too");
	try_write();
	check_equal(*entry & (PTE_A | PTE_D), PTE_A | PTE_D, "a write sets the dirty bit");
	map(PTE_P);
	try_write();
	check_equal(*entry & PTE_D, 0, "a write that faults sets none");
	*pd &= ~PTE_P;
	invlpg(WINDOW);
	try_read();
	expect_pf(0, "a table that is not present");
	*pd |= PTE_P;
}

/* ---- translations kept and dropped ---- */

static void test_tlb(void)
{
	const u64 cr4 = read_cr4();
	u64 value;

	memory[0] = 1;
	other[0] = 2;
	map(PTE_P | PTE_W);
	check_equal(*window(), 1, "the first page");
	*entry = (u64)(uintptr_t)other | PTE_P | PTE_W;
	invlpg(WINDOW);
	check_equal(*window(), 2, "INVLPG makes the second one visible");
	*entry = (u64)(uintptr_t)memory | PTE_P | PTE_W;
	write_cr3(read_cr3());
	check_equal(*window(), 1, "so does MOV to CR3");
	write_cr4(cr4 | CR4_PGE);
	map(PTE_P | PTE_W | PTE_G);
	(void)*window();
	*entry = (u64)(uintptr_t)other | PTE_P | PTE_W | PTE_G;
	write_cr3(read_cr3());
	value = *window();
	check(value == 1 || value == 2, "a global page may outlive MOV to CR3: reads %u", value);
	write_cr4(cr4);
	check_equal(*window(), 2, "but not a change of CR4.PGE");
}

static void test_pcid(void)
{
	const u64 cr3 = read_cr3(), cr4 = read_cr4();
	u64 *second = page_alloc();

	if (!(cpuid(1, 0).c & 1u << 17)) {
		print("no PCID here\n");
		return;
	}
	memcpy(second, page_pml4, 4096);
	second[WINDOW >> 39] = 0;
	*page_entry(second, WINDOW, 1) = (u64)(uintptr_t)other | PTE_P | PTE_W;
	memory[0] = 1;
	other[0] = 2;
	map(PTE_P | PTE_W);
	GUARD("movq %0, %%cr4", : "r"(cr4 | CR4_PCIDE));
	expect_none("CR4.PCIDE with PCID 0");
	write_cr3(cr3 | 5);
	check_equal(*window(), 1, "PCID 5 reads its page");
	write_cr3((u64)(uintptr_t)second | 6);
	check_equal(*window(), 2, "PCID 6 reads another");
	write_cr3((cr3 | 5) | 1ull << 63);
	check_equal(*window(), 1, "PCID 5 again, kept");
	check_equal(read_cr3() >> 63, 0, "bit 63 is not part of CR3");
	if (cpuid(7, 0).b & 1u << 10) {
		const struct {
			u64 pcid, linear;
		} descriptor = {5, WINDOW};
		*entry = (u64)(uintptr_t)other | PTE_P | PTE_W;
		asm volatile("invpcid %0, %1" : : "m"(descriptor), "r"(0ull) : "memory");
		check_equal(*window(), 2, "INVPCID of one address");
		GUARD("invpcid %0, %1", : "m"(descriptor), "r"(4ull) : "memory");
		check_equal(caught.vector, VECTOR_GP, "an unknown type of INVPCID: #GP");
	}
	write_cr3(cr3);
	write_cr4(cr4);
	write_cr3(cr3);
	GUARD("movq %0, %%cr3", : "r"(cr3 | 1ull << 63));
	check_equal(caught.vector, VECTOR_GP, "bit 63 of CR3 without PCIDE: #GP");
}

static void test_large(void)
{
	u64 *pd = page_entry(page_pml4, WINDOW + (1ull << 30), 2);

	*pd = PTE_P | PTE_W | PTE_LARGE;
	check_equal(*(volatile u64 *)(WINDOW + (1ull << 30) + (u64)(uintptr_t)&boot_magic % 0x200000),
	        *(volatile u64 *)((u64)(uintptr_t)&boot_magic % 0x200000), "a 2 MiB page");
	*pd = PTE_P | PTE_W | PTE_LARGE | 1 << 13;
	GUARD("movq (%0), %%rax", : "r"(WINDOW + (1ull << 30) + 0x1ff000) : "rax");
	check(caught.vector == VECTOR_PF && caught.error == (PF_P | PF_RSVD), "reserved bits of a 2 MiB page");
	if (cpuid(0x80000001, 0).d & 1u << 26) {
		*page_entry(page_pml4, WINDOW + (2ull << 30), 3) = PTE_P | PTE_W | PTE_LARGE;
		check_equal(
		        *(volatile u64 *)(WINDOW + (2ull << 30) + (u64)(uintptr_t)memory), memory[0], "a 1 GiB page");
	}
}

/* An access across two pages of which the second is missing changes nothing in the first. */
static void test_split(void)
{
	map(PTE_P | PTE_W);
	*page_entry(page_pml4, WINDOW + 4096, 1) = 0;
	invlpg(WINDOW + 4096);
	memory[511] = 0x1111111111111111;
	GUARD("movq $-1, (%0)", : "r"(WINDOW + 4092) : "memory");
	check(caught.vector == VECTOR_PF && caught.cr2 == WINDOW + 4096, "CR2 names the second page");
	check_equal(memory[511], 0x1111111111111111, "and the first is unchanged");
}

void test_main(void)
{
	memory = page_alloc();
	other = page_alloc();
	entry = page_entry(page_pml4, WINDOW, 1);
	test_present();
	test_write_protect();
	test_no_execute();
	test_smep_smap();
	test_user();
	test_accessed_dirty();
	test_tlb();
	test_pcid();
	test_large();
	test_split();
}
