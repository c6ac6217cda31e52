/* SPDX-License-Identifier: Apache-2.0 */
/* Which instruction exits under which control, with what qualification and length. SDM vol. 3, 26.1 and 28.2. */
#include "hypervisor.h"

void test_registers(void);

static u8 *msr_bitmap, *io_bitmap_a, *io_bitmap_b;

/* ---- always ---- */

static void guest_always(void)
{
	u32 a = 0x12345678, b, c = 9, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	check(a == 1 && b == 2 && c == 3 && d == 4, "the guest sees what the hypervisor answers");
	asm volatile("invd");
	asm volatile("vmcall" : : "a"(0x77), "b"(0x88));
	asm volatile(".byte 0x0f, 0x01, 0xc4"); /* VMXOFF */
	asm volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
	vmcall();
}

static void test_always(void)
{
	vmcs_prepare();
	vmwrite(GUEST_CR4, vmread(GUEST_CR4) | CR4_OSXSAVE);
	guest_at(guest_always);
	expect_exit(REASON_CPUID, "CPUID");
	check_equal(vmread(EXIT_LENGTH), 2, "its length");
	check(guest.rax == 0x12345678 && guest.rcx == 9, "its registers");
	guest = (struct guest_regs){.rax = 1, .rbx = 2, .rcx = 3, .rdx = 4};
	skip();
	expect_exit(REASON_INVD, "INVD");
	skip();
	expect_exit(REASON_VMCALL, "VMCALL");
	check(guest.rax == 0x77 && guest.rbx == 0x88 && vmread(EXIT_LENGTH) == 3, "its registers and length");
	skip();
	expect_exit(REASON_VMXOFF, "VMXOFF");
	skip();
	if (cpuid(1, 0).c & 1u << 26) {
		expect_exit(REASON_XSETBV, "XSETBV");
		skip();
		expect_exit(REASON_VMCALL, "the end");
	}
}

/* ---- by one control ---- */

static void g_hlt(void)
{
	asm volatile("hlt");
}
static void g_invlpg(void)
{
	asm volatile("invlpg 0x1234" : : : "memory");
}
static void g_rdpmc(void)
{
	asm volatile("rdpmc" : : "c"(0) : "rax", "rdx");
}
static void g_rdtsc(void)
{
	asm volatile("rdtsc" : : : "rax", "rdx");
}
static void g_rdtscp(void)
{
	asm volatile("rdtscp" : : : "rax", "rdx", "rcx");
}
static void g_pause(void)
{
	asm volatile("pause");
}
static void g_wbinvd(void)
{
	asm volatile("wbinvd");
}
static void g_sgdt(void)
{
	struct pointer p;
	asm volatile("sgdt %0" : "=m"(p));
}
static void g_lidt(void)
{
	asm volatile("lidt %0" : : "m"(idt_pointer));
}
static void g_sldt(void)
{
	u16 s;
	asm volatile("sldt %0" : "=r"(s));
}
static void g_str(void)
{
	u16 s;
	asm volatile("str %0" : "=r"(s));
}
static void g_monitor(void)
{
	asm volatile("monitor" : : "a"(0x1000), "c"(0), "d"(0));
}
static void g_mwait(void)
{
	asm volatile("mwait" : : "a"(0), "c"(0));
}
static void g_rdrand(void)
{
	u64 v;
	asm volatile("rdrand %0" : "=r"(v) : : "cc");
}
static void g_mov_dr(void)
{
	asm volatile("movq %%rax, %%dr6" : : "a"(0xffff0ff0));
}
static void g_cr3_store(void)
{
	asm volatile("movq %%cr3, %%rbx" : : : "rbx");
}
static void g_cr8_load(void)
{
	asm volatile("movq %%rcx, %%cr8" : : "c"(0));
}
static void g_cr8_store(void)
{
	asm volatile("movq %%cr8, %%rdx" : : : "rdx");
}

static const struct control {
	const char *name;
	void (*code)(void);
	u32 msr, bit, reason, length;
	u64 qualification;
} controls[] = {
        {"HLT", g_hlt, VMX_PROC, PROC_HLT, REASON_HLT, 1, 0},
        {"INVLPG", g_invlpg, VMX_PROC, PROC_INVLPG, REASON_INVLPG, 8, 0x1234},
        {"RDPMC", g_rdpmc, VMX_PROC, PROC_RDPMC, REASON_RDPMC, 2, 0},
        {"RDTSC", g_rdtsc, VMX_PROC, PROC_RDTSC, REASON_RDTSC, 2, 0},
        {"RDTSCP", g_rdtscp, VMX_PROC, PROC_RDTSC, REASON_RDTSCP, 3, 0},
        {"PAUSE", g_pause, VMX_PROC, PROC_PAUSE, REASON_PAUSE, 2, 0},
        {"MONITOR", g_monitor, VMX_PROC, PROC_MONITOR, REASON_MONITOR, 3, 0},
        {"MWAIT", g_mwait, VMX_PROC, PROC_MWAIT, REASON_MWAIT, 3, 0},
        {"MOV DR", g_mov_dr, VMX_PROC, PROC_MOV_DR, REASON_DR, 3, 6},
        {"MOV from CR3", g_cr3_store, VMX_PROC, PROC_CR3_STORE, REASON_CR, 3, 3 | 1 << 4 | 3 << 8},
        {"MOV to CR8", g_cr8_load, VMX_PROC, PROC_CR8_LOAD, REASON_CR, 4, 8 | 1 << 8},
        {"MOV from CR8", g_cr8_store, VMX_PROC, PROC_CR8_STORE, REASON_CR, 4, 8 | 1 << 4 | 2 << 8},
        {"SGDT", g_sgdt, VMX_PROC2, PROC2_DESCRIPTOR_TABLES, REASON_GDTR_IDTR, 0, ~0ull},
        {"LIDT", g_lidt, VMX_PROC2, PROC2_DESCRIPTOR_TABLES, REASON_GDTR_IDTR, 0, ~0ull},
        {"SLDT", g_sldt, VMX_PROC2, PROC2_DESCRIPTOR_TABLES, REASON_LDTR_TR, 0, ~0ull},
        {"STR", g_str, VMX_PROC2, PROC2_DESCRIPTOR_TABLES, REASON_LDTR_TR, 0, ~0ull},
        {"WBINVD", g_wbinvd, VMX_PROC2, PROC2_WBINVD, REASON_WBINVD, 2, 0},
        {"RDRAND", g_rdrand, VMX_PROC2, PROC2_RDRAND, REASON_RDRAND, 0, ~0ull},
};

static const struct control *current;

static void guest_one(void)
{
	current->code();
	vmcall();
}

static bool cpu_has(const struct control *control)
{
	if (control->code == g_monitor || control->code == g_mwait)
		return cpuid(1, 0).c & 1u << 3;
	return true;
}

static void test_one_control(const struct control *control)
{
	const enum field field = control->msr == VMX_PROC ? PROC_CONTROLS : PROC2_CONTROLS;

	current = control;
	if (!offered(control->msr, control->bit) || !cpu_has(control)) {
		print("not offered: %s\n", control->name);
		return;
	}
	vmset(field, control->bit);
	guest_at(guest_one);
	if (!expect_exit(control->reason, control->name))
		return;
	if (control->qualification != ~0ull)
		check_equal(vmread(EXIT_QUALIFICATION), control->qualification, "  its qualification");
	if (control->length)
		check_equal(vmread(EXIT_LENGTH), control->length, "  its length");
	vmunset(field, control->bit);
	if (control->code == g_hlt || control->code == g_rdpmc)
		return;
	expect_exit(REASON_VMCALL, "  and none without the control");
}

static void test_controls(void)
{
	vmcs_prepare();
	for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		test_one_control(&controls[i]);
}

/* ---- ports ---- */

static void guest_ports(void)
{
	out8(0x80, 0);
	in32(0x1234);
	asm volatile("outw %%ax, $0x42" : : "a"(7));
	vmcall();
}

static void guest_outs(void)
{
	static const u8 text[] = "abc";
	const u8 *from = text;
	u64 count = 3;

	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x9999) : "memory");
	vmcall();
}

static u64 port(u64 number, u64 size, bool in, bool string, bool rep, bool immediate)
{
	return (size - 1) | (u64)in << 3 | (u64)string << 4 | (u64)rep << 5 | (u64)immediate << 6 | number << 16;
}

static void expect_port(u64 qualification, const char *what)
{
	if (expect_exit(REASON_IO, what))
		check_equal(vmread(EXIT_QUALIFICATION), qualification, "  its qualification");
	skip();
}

static void test_ports(void)
{
	vmset(PROC_CONTROLS, PROC_IO);
	guest_at(guest_ports);
	expect_exit(REASON_IO, "unconditional I/O exiting");
	skip();
	vmunset(PROC_CONTROLS, PROC_IO);
	vmset(PROC_CONTROLS, PROC_IO_BITMAPS);
	vmwrite(IO_BITMAP_A, (u64)(uintptr_t)io_bitmap_a);
	vmwrite(IO_BITMAP_B, (u64)(uintptr_t)io_bitmap_b);
	guest_at(guest_ports);
	expect_exit(REASON_VMCALL, "clear I/O bitmaps: no exit");
	io_bitmap_a[0x80 / 8] |= 1;
	io_bitmap_a[0x1237 / 8] |= 1 << (0x1237 % 8); /* the last of four bytes */
	io_bitmap_a[0x42 / 8] |= 1 << 2;
	io_bitmap_b[(0x9999 - 0x8000) / 8] |= 1 << (0x9999 % 8);
	guest_at(guest_ports);
	expect_port(port(0x80, 1, false, false, false, true), "OUT of a byte in bitmap A");
	expect_port(port(0x1234, 4, true, false, false, false), "IN of which one byte is in the bitmap");
	expect_port(port(0x42, 2, false, false, false, true), "OUT of a word by immediate port");
	expect_exit(REASON_VMCALL, "  then the end");
	guest_at(guest_outs);
	expect_exit(REASON_IO, "REP OUTS in bitmap B");
	check_equal(vmread(EXIT_QUALIFICATION), port(0x9999, 1, false, true, true, false), "  its qualification");
	check_equal(guest.rcx, 3, "  before its first element");
	vmunset(PROC_CONTROLS, PROC_IO_BITMAPS);
}

/* ---- MSRs ---- */

static void guest_msrs(void)
{
	wrmsr(0x174, 0x10);
	rdmsr(0x174);
	wrmsr(0xc0000102, 0x1234);
	rdmsr(0xc0000102);
	rdmsr(0x12345678);
	vmcall();
}

static void test_msrs(void)
{
	guest_at(guest_msrs);
	expect_exit(REASON_WRMSR, "WRMSR without bitmaps");
	check(guest.rcx == 0x174 && (u32)guest.rax == 0x10, "its registers");
	vmset(PROC_CONTROLS, PROC_MSR_BITMAPS);
	vmwrite(MSR_BITMAP, (u64)(uintptr_t)msr_bitmap);
	guest_at(guest_msrs);
	expect_exit(REASON_RDMSR, "clear bitmaps: only an MSR beyond their ranges");
	check_equal(guest.rcx, 0x12345678, "  that one");
	skip();
	expect_exit(REASON_VMCALL, "  then the end");
	msr_bitmap[2048 + 0x174 / 8] |= 1 << (0x174 % 8);
	msr_bitmap[1024 + 0x102 / 8] |= 1 << (0x102 % 8);
	guest_at(guest_msrs);
	expect_exit(REASON_WRMSR, "a write bit, low range");
	skip();
	expect_exit(REASON_RDMSR, "a read bit, high range");
	check_equal(guest.rcx, 0xc0000102, "  of the MSR it is for");
	check_equal(rdmsr(0xc0000102), 0x1234, "the guest's write reached the MSR");
	vmunset(PROC_CONTROLS, PROC_MSR_BITMAPS);
}

/* ---- exceptions ---- */

static void guest_ud(void)
{
	GUARD("ud2", :);
	vmcall();
}

static void guest_pf(void)
{
	GUARD("movb $1, (%0)", : "r"(0x123456789000) : "memory");
	vmcall();
}

static void guest_int3(void)
{
	GUARD("int3", :);
	vmcall();
}

static void test_exceptions(void)
{
	guest_at(guest_ud);
	expect_exit(REASON_VMCALL, "#UD outside the exception bitmap stays in the guest");
	check_equal(caught.vector, VECTOR_UD, "  and its handler has it");
	vmwrite(EXCEPTION_BITMAP, 1 << VECTOR_UD | 1 << VECTOR_PF | 1 << VECTOR_BP);
	guest_at(guest_ud);
	expect_exit(REASON_EXCEPTION, "#UD in the bitmap");
	check_equal(vmread(EXIT_EVENT), EVENT_VALID | EVENT_EXCEPTION | VECTOR_UD, "  its information");
	guest_at(guest_pf);
	expect_exit(REASON_EXCEPTION, "#PF in the bitmap");
	check_equal(vmread(EXIT_EVENT), EVENT_VALID | EVENT_ERROR | EVENT_EXCEPTION | VECTOR_PF, "  its information");
	check_equal(vmread(EXIT_EVENT_ERROR), 2, "  its error code");
	check_equal(vmread(EXIT_QUALIFICATION), 0x123456789000, "  its address");
	vmwrite(PF_MASK, 1);
	vmwrite(PF_MATCH, 1);
	guest_at(guest_pf);
	expect_exit(REASON_VMCALL, "#PF whose error code does not match stays in the guest");
	check_equal(caught.vector, VECTOR_PF, "  and its handler has it");
	vmwrite(EXCEPTION_BITMAP, 1 << VECTOR_BP);
	guest_at(guest_pf);
	expect_exit(REASON_EXCEPTION, "without the bit, what does not match exits");
	vmwrite(PF_MASK, 0);
	vmwrite(PF_MATCH, 0);
	guest_at(guest_int3);
	expect_exit(REASON_EXCEPTION, "INT3");
	check_equal(vmread(EXIT_EVENT), EVENT_VALID | 6u << 8 | VECTOR_BP, "  a software exception");
	check_equal(vmread(EXIT_LENGTH), 1, "  its length");
	vmwrite(EXCEPTION_BITMAP, 0);
}

static void guest_triple(void)
{
	const struct pointer none = {0, 0};

	asm volatile("lidt %0; ud2" : : "m"(none));
}

static void test_triple_fault(void)
{
	guest_at(guest_triple);
	expect_exit(REASON_TRIPLE_FAULT, "a triple fault");
	vmwrite(GUEST_IDTR_BASE, idt_pointer.base);
	vmwrite(GUEST_IDTR_LIMIT, idt_pointer.limit);
}

/* ---- VMX instructions of the guest ---- */

static void guest_vmread(void)
{
	u64 value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"(0x1234ull) : "cc");
	vmcall();
}

static void test_vmx(void)
{
	guest_at(guest_vmread);
	expect_exit(REASON_VMREAD, "VMREAD in the guest");
	skip();
	expect_exit(REASON_VMCALL, "  the end");
}

void test_main(void)
{
	msr_bitmap = page_alloc();
	io_bitmap_a = page_alloc();
	io_bitmap_b = page_alloc();
	write_cr4(read_cr4() | CR4_OSFXSR);
	vmx_start();
	test_always();
	test_controls();
	test_ports();
	test_msrs();
	test_exceptions();
	test_triple_fault();
	test_vmx();
	test_registers();
}
