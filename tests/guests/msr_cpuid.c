/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID's leaves against one another and against what instructions do; MSRs and their faults. SDM vol. 2 and 4. */
#include "guest.h"

#define NONCANONICAL 0x8000000000000000ull
#define CANONICAL 0x0000123456789abcull

/* ---- CPUID ---- */

static void test_leaves(void)
{
	const struct cpuid zero = cpuid(0, 0), one = cpuid(1, 0), extended = cpuid(0x80000000, 0);
	const struct cpuid sizes = cpuid(0x80000008, 0);

	check(zero.a >= 7 && extended.a >= 0x80000008, "leaves up to 7 and 80000008H at least");
	check(zero.b == 0x756e6547 && zero.d == 0x49656e69 && zero.c == 0x6c65746e,
	        "the vendor kernels look for VMX at");
	check_equal((one.a >> 8) & 0xf, 6, "family 6");
	check((one.d & 0x2008179) == 0x2008179 || (one.d & 1 << 4), "a TSC");
	check(one.d & 1 << 5 && one.d & 1 << 6 && one.d & 1 << 9 && one.d & 1 << 26, "MSRs, PAE, an APIC, SSE2");
	check(cpuid(0x80000001, 0).d >> 29 & 1, "long mode");
	check((sizes.a & 0xff) >= 32 && (sizes.a >> 8 & 0xff) == 48, "physical and linear widths");
	check_equal(cpuid(zero.a + 1, 0).a == cpuid(zero.a, 0).a || !cpuid(zero.a + 1, 0).a, 1,
	        "a leaf beyond the last gives the last one's data, or nothing");
}

static void test_osxsave(void)
{
	if (!(cpuid(1, 0).c >> 26 & 1)) {
		print("no XSAVE here\n");
		return;
	}
	check_equal(cpuid(1, 0).c >> 27 & 1, 0, "OSXSAVE is CR4's bit: clear");
	GUARD("xgetbv", : "c"(0) : "rax", "rdx");
	check_equal(caught.vector, VECTOR_UD, "XGETBV without it: #UD");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check_equal(cpuid(1, 0).c >> 27 & 1, 1, "set");
	GUARD("xsetbv", : "c"(0), "a"(3), "d"(0));
	check_equal(caught.vector, NO_TRAP, "XSETBV of x87 and SSE");
	u32 low, high;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	check_equal(low, 3, "  XGETBV reads it");
	GUARD("xsetbv", : "c"(0), "a"(2), "d"(0));
	check_equal(caught.vector, VECTOR_GP, "XSETBV without the x87: #GP");
	GUARD("xsetbv", : "c"(1), "a"(1), "d"(0));
	check_equal(caught.vector, VECTOR_GP, "XSETBV of another register: #GP");
	write_cr4(read_cr4() & ~(u64)CR4_OSXSAVE);
}

/* Each CR4 bit may be set exactly where CPUID has its feature. */
static void test_cr4_bits(void)
{
	const struct cpuid one = cpuid(1, 0), seven = cpuid(7, 0);
	const struct {
		const char *name;
		u64 bit;
		bool there;
	} bits[] = {{"PGE", CR4_PGE, one.d >> 13 & 1}, {"OSFXSR", CR4_OSFXSR, one.d >> 24 & 1},
	        {"UMIP", CR4_UMIP, seven.c >> 2 & 1}, {"VMXE", CR4_VMXE, one.c >> 5 & 1},
	        {"FSGSBASE", 1 << 16, seven.b & 1}, {"PCIDE", CR4_PCIDE, one.c >> 17 & 1},
	        {"OSXSAVE", CR4_OSXSAVE, one.c >> 26 & 1}, {"SMEP", CR4_SMEP, seven.b >> 7 & 1},
	        {"SMAP", CR4_SMAP, seven.b >> 20 & 1}, {"LA57", 1 << 12, false}, {"PKE", 1 << 22, seven.c >> 3 & 1},
	        {"SMXE", 1 << 14, one.c >> 6 & 1}};
	const u64 cr4 = read_cr4();

	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		GUARD("movq %0, %%cr4", : "r"(cr4 | bits[i].bit));
		check(caught.vector == (bits[i].there ? NO_TRAP : VECTOR_GP), "CR4.%s %s", bits[i].name,
		        bits[i].there ? "can be set" : "is reserved");
		write_cr4(cr4);
	}
}

/* ---- MSRs ---- */

static void test_keeps(void)
{
	static const struct {
		u32 msr;
		const char *name;
		u64 value;
		bool address;
	} msrs[] = {{0x174, "SYSENTER_CS", 0x1234, false}, {0x175, "SYSENTER_ESP", CANONICAL, true},
	        {0x176, "SYSENTER_EIP", CANONICAL, true}, {0x277, "PAT", 0x07070707, false},
	        {0xc0000100, "FS_BASE", CANONICAL, true}, {0xc0000101, "GS_BASE", CANONICAL, true},
	        {0xc0000102, "KERNEL_GS_BASE", CANONICAL, true}, {0xc0000081, "STAR", 0x123456789abcdef0, false},
	        {0xc0000082, "LSTAR", CANONICAL, true}, {0xc0000083, "CSTAR", CANONICAL, true},
	        {0xc0000084, "FMASK", 0xffffffff, false}};

	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		const u64 old = rdmsr(msrs[i].msr);
		wrmsr(msrs[i].msr, msrs[i].value);
		const u64 now = rdmsr(msrs[i].msr);
		wrmsr(msrs[i].msr, old);
		check_equal(now, msrs[i].value, msrs[i].name);
		if (msrs[i].address)
			check_equal(try_wrmsr(msrs[i].msr, NONCANONICAL), VECTOR_GP, "  a non-canonical address: #GP");
	}
}

static void test_faults(void)
{
	const u64 efer = rdmsr(MSR_EFER);
	u64 value;

	check_equal(try_rdmsr(0x12345678, &value), VECTOR_GP, "RDMSR of none: #GP");
	check_equal(try_wrmsr(0x12345678, 0), VECTOR_GP, "WRMSR of none: #GP");
	check_equal(try_wrmsr(0x277, 2), VECTOR_GP, "a PAT with type 2: #GP");
	check_equal(try_wrmsr(MSR_EFER, efer | 1 << 1), VECTOR_GP, "EFER bit 1: #GP");
	check_equal(try_wrmsr(MSR_EFER, efer & ~(1ull << 8)), VECTOR_GP, "EFER.LME with paging on: #GP");
	check_equal(try_wrmsr(MSR_EFER, efer | 1), NO_TRAP, "EFER.SCE");
	check_equal(rdmsr(MSR_EFER), efer | 1, "  and it stays");
	wrmsr(MSR_EFER, efer);
	check_equal(try_wrmsr(0x480, 0), VECTOR_GP, "WRMSR of a capability MSR: #GP");
	check_equal(try_wrmsr(0xc0000084, 1ull << 32), VECTOR_GP, "FMASK has 32 bits: #GP");
}

/* What kernels read at start without asking CPUID for more than a feature bit. */
static void test_machine(void)
{
	u64 value, banks;

	check_equal(try_rdmsr(0x8b, &value), NO_TRAP, "the microcode revision can be read");
	check_equal(try_rdmsr(0x1a0, &value), NO_TRAP, "MISC_ENABLE can be read");
	check(value & 1, "  with fast strings");
	if (cpuid(1, 0).d >> 12 & 1) {
		check_equal(try_rdmsr(0xfe, &value), NO_TRAP, "MTRRCAP can be read");
		check_equal(try_rdmsr(0x2ff, &value), NO_TRAP, "and the MTRRs' default type");
	}
	if (cpuid(1, 0).d >> 14 & 1) {
		check_equal(try_rdmsr(0x179, &banks), NO_TRAP, "MCG_CAP can be read");
		check_equal(try_rdmsr(0x400 + 4 * (banks & 0xff), &value), VECTOR_GP, "  no bank beyond its count");
	}
	check_equal(try_rdmsr(0x3a, &value), NO_TRAP, "FEATURE_CONTROL can be read");
	check_equal(value & 5, 5, "  locked, with VMX");
	check_equal(try_wrmsr(0x3a, 0), VECTOR_GP, "  so that it cannot be written");
}

static void test_segments(void)
{
	static u64 cell = 0x1122334455667788;
	u64 value;

	wrmsr(0xc0000101, (u64)(uintptr_t)&cell);
	wrmsr(0xc0000102, 0);
	asm volatile("movq %%gs:0, %0" : "=r"(value));
	check_equal(value, cell, "GS_BASE is GS's base");
	asm volatile("swapgs");
	check_equal(rdmsr(0xc0000102), (u64)(uintptr_t)&cell, "SWAPGS");
	check_equal(rdmsr(0xc0000101), 0, "  both ways");
	if (cpuid(7, 0).b & 1) {
		GUARD("rdfsbase %%rax", : : "rax");
		check_equal(caught.vector, VECTOR_UD, "RDFSBASE without CR4.FSGSBASE: #UD");
		write_cr4(read_cr4() | 1 << 16);
		asm volatile("wrfsbase %1; rdfsbase %0" : "=r"(value) : "r"(CANONICAL));
		check_equal(value, CANONICAL, "WRFSBASE, RDFSBASE");
		check_equal(rdmsr(0xc0000100), CANONICAL, "  the same register as the MSR");
		write_cr4(read_cr4() & ~(1ull << 16));
	}
}

extern const u8 user_sgdt[], user_smsw[], user_cpuid[];
asm("user_sgdt: sgdt -64(%rsp); int $0x80\n"
    "user_smsw: smsw %ax; int $0x80\n"
    "user_cpuid: xorl %eax, %eax; cpuid; int $0x80\n");

static void test_user(void)
{
	run_user(user_sgdt, 0, 0);
	check_equal(caught.vector, 0x80, "SGDT in ring 3");
	if (cpuid(7, 0).c >> 2 & 1) {
		write_cr4(read_cr4() | CR4_UMIP);
		run_user(user_sgdt, 0, 0);
		check_equal(caught.vector, VECTOR_GP, "with UMIP: #GP");
		run_user(user_smsw, 0, 0);
		check_equal(caught.vector, VECTOR_GP, "SMSW too");
		write_cr4(read_cr4() & ~(u64)CR4_UMIP);
	}
	run_user(user_cpuid, 0, 0);
	check_equal(caught.vector, 0x80, "CPUID in ring 3");
}

void test_main(void)
{
	test_leaves();
	test_osxsave();
	test_cr4_bits();
	test_keeps();
	test_faults();
	test_machine();
	test_segments();
	test_user();
}
