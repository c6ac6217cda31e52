/* SPDX-License-Identifier: Apache-2.0 */
/* Into ring 3 and back: gates, SYSCALL and SYSRET, SYSENTER and SYSEXIT, compatibility mode, what ring 3 may not do.
 * SDM vol. 3, 6.8. */
#include "guest.h"

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define EFER_SCE 1u

/* SYSCALL: note what the processor left, and go back with RAX = 0x55, or for good by INT 80H. */
asm("syscall_entry:\n"
    "	movq %rcx, entry_rcx_\n"
    "	movq %r11, entry_r11_\n"
    "	movq %rsp, entry_rsp_\n"
    "	movq $stack_for_entries, %rsp\n"
    "	pushfq; popq entry_flags_\n"
    "	movq %cs, %rdx; movq %rdx, entry_cs_\n"
    "	movq %ss, %rdx; movq %rdx, entry_ss_\n"
    "	movq entry_rsp_, %rsp\n"
    "	movl $0x55, %eax\n"
    "	sysretq\n"
    "sysenter_entry:\n"
    "	movq %rsp, entry_rsp_\n"
    "	movq %cs, %rdx; movq %rdx, entry_cs_\n"
    "	movq %ss, %rdx; movq %rdx, entry_ss_\n"
    "	pushfq; popq entry_flags_\n"
    "	movq %rdi, %rdx\n"
    "	movq %rsi, %rcx\n"
    "	movl $0x66, %eax\n"
    "	sysexitq\n"
    ".data\n.align 16\n.skip 512\nstack_for_entries:\n"
    "entry_rcx_: .quad 0\nentry_r11_: .quad 0\nentry_rsp_: .quad 0\nentry_flags_: .quad 0\n"
    "entry_cs_: .quad 0\nentry_ss_: .quad 0\n.text\n");
extern u64 entry_rcx_, entry_r11_, entry_rsp_, entry_flags_, entry_cs_, entry_ss_;
extern const u8 syscall_entry[], sysenter_entry[], stack_for_entries[];

extern const u8 user_syscall[], user_after_syscall[], user_sysenter[], user_after_sysenter[], user_flags[], user_cli[],
        user_in[], user_hlt[], user_wrmsr[], user_mov_cr[], user_int[], user_ac[], user_popf[], user_rdtsc[],
        user_iret_up[];
asm("user_syscall: std; syscall\n"
    "user_after_syscall: int $0x80\n"
    "user_sysenter: leaq user_after_sysenter(%rip), %rdi; movq %rsp, %rsi; sysenter\n"
    "user_after_sysenter: int $0x80\n"
    "user_flags: pushfq; popq %rax; int $0x80\n"
    "user_cli: cli; int $0x80\n"
    "user_in: inb $0x80, %al; int $0x80\n"
    "user_hlt: hlt\n"
    "user_wrmsr: wrmsr\n"
    "user_mov_cr: movq %cr0, %rax\n"
    "user_int: int $0x40\n"
    "user_ac: movl 1(%rsp), %eax; int $0x80\n"
    "user_popf: pushq $0x3202; popfq; pushfq; popq %rax; int $0x80\n"
    "user_rdtsc: rdtsc; int $0x80\n"
    "user_iret_up: pushq $0x10; pushq %rsp; pushfq; pushq $8; pushq %rdi; iretq\n");

static void test_gates(void)
{
	run_user(user_flags, RFLAGS_IF, 0);
	check_equal(caught.vector, 0x80, "INT 80H through a gate of DPL 3");
	check(caught.rax & RFLAGS_IF, "  the flags of ring 3 were as given");
	run_user(user_int, 0, 0);
	check(caught.vector == VECTOR_GP && caught.error == 0x40 * 8 + 2,
	        "INT through a gate of DPL 0: #GP(IDT, vector)");
	run_user(user_cli, 0, 0);
	check(caught.vector == VECTOR_GP && caught.error == 0, "CLI: #GP(0)");
	run_user(user_hlt, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "HLT: #GP");
	run_user(user_wrmsr, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "WRMSR: #GP");
	run_user(user_mov_cr, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "MOV from CR0: #GP");
	run_user(user_in, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "IN without permission: #GP");
	run_user(user_in, 3 << 12, 0);
	check_equal(caught.vector, 0x80, "IN with IOPL 3");
	run_user(user_popf, 0, 0);
	check_equal(caught.rax & 0x3200, 0, "POPF changes neither IF nor IOPL");
	run_user(user_iret_up, 0, 0);
	check(caught.vector == VECTOR_GP && caught.error == 8, "IRET to ring 0: #GP(selector)");
	write_cr4(read_cr4() | CR4_TSD);
	run_user(user_rdtsc, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "RDTSC with CR4.TSD: #GP");
	write_cr4(read_cr4() & ~(u64)CR4_TSD);
	run_user(user_rdtsc, 0, 0);
	check_equal(caught.vector, 0x80, "and without it");
}

/* The permission bitmap of the TSS: port 80H alone. */
static void test_io_bitmap(void)
{
	static struct {
		struct tss tss;
		u8 map[32];
	} big;
	u64 *descriptor = &gdt[TSS / 8];
	const u64 base = (u64)(uintptr_t)&big, old[2] = {descriptor[0] & ~(2ull << 40), descriptor[1]};

	big.tss = tss;
	big.tss.io_map = sizeof(tss);
	memset(big.map, 0xff, sizeof(big.map));
	big.map[0x80 / 8] = 0xfe;
	descriptor[0] = (sizeof(big) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(TSS));
	run_user(user_in, 0, 0);
	check_equal(caught.vector, 0x80, "IN the TSS's bitmap permits");
	big.map[0x80 / 8] = 0xff;
	run_user(user_in, 0, 0);
	check_equal(caught.vector, VECTOR_GP, "and one it does not");
	descriptor[0] = old[0];
	descriptor[1] = old[1];
	asm volatile("ltr %w0" : : "r"(TSS));
}

static void test_alignment(void)
{
	run_user(user_ac, RFLAGS_AC, 0);
	check_equal(caught.vector, 0x80, "an unaligned access without CR0.AM");
	write_cr0(read_cr0() | CR0_AM);
	run_user(user_ac, RFLAGS_AC, 0);
	check(caught.vector == VECTOR_AC && caught.error == 0, "with CR0.AM and RFLAGS.AC: #AC(0)");
	run_user(user_ac, 0, 0);
	check_equal(caught.vector, 0x80, "with CR0.AM alone: nothing");
	write_cr0(read_cr0() & ~(u64)CR0_AM);
}

static void test_syscall(void)
{
	run_user(user_syscall, 0, 0);
	check_equal(caught.vector, VECTOR_UD, "SYSCALL without EFER.SCE: #UD");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, (u64)0x23 << 48 | (u64)CODE_64 << 32);
	wrmsr(MSR_LSTAR, (u64)(uintptr_t)syscall_entry);
	wrmsr(MSR_FMASK, RFLAGS_IF | 1 << 10);
	run_user(user_syscall, RFLAGS_IF, 0);
	check_equal(caught.vector, 0x80, "SYSCALL and SYSRET");
	check_equal(caught.rax, 0x55, "  through the entry");
	check_equal(entry_rcx_, user_address(user_after_syscall), "RCX has the return address");
	check((entry_r11_ & (RFLAGS_IF | 1 << 10)) == (RFLAGS_IF | 1 << 10), "R11 the flags");
	check_equal(entry_flags_ & (RFLAGS_IF | 1 << 10), 0, "which FMASK clears");
	check(entry_cs_ == CODE_64 && entry_ss_ == DATA, "CS and SS of STAR");
	check(entry_rsp_ > USER_BASE, "RSP is the user's");
	check(caught.rflags & 1 << 10, "SYSRET brings the flags back");
}

static void test_sysenter(void)
{
	wrmsr(0x174, 0);
	run_user(user_sysenter, 0, 0);
	check(caught.vector == VECTOR_GP && caught.error == 0, "SYSENTER without SYSENTER_CS: #GP(0)");
	wrmsr(0x174, SYSENTER_CODE);
	wrmsr(0x175, (u64)(uintptr_t)stack_for_entries);
	wrmsr(0x176, (u64)(uintptr_t)sysenter_entry);
	run_user(user_sysenter, RFLAGS_IF, 0);
	check_equal(caught.vector, 0x80, "SYSENTER and SYSEXIT");
	check_equal(caught.rax, 0x66, "  through the entry");
	check(entry_cs_ == SYSENTER_CODE && entry_ss_ == SYSENTER_CODE + 8, "CS and SS of SYSENTER_CS");
	check_equal(entry_rsp_, (u64)(uintptr_t)stack_for_entries, "RSP of SYSENTER_ESP");
	check_equal(entry_flags_ & RFLAGS_IF, 0, "interrupts are off");
}

/* 32-bit code under the 64-bit kernel. */
static u64 compat_result;

static void test_compatibility(void)
{
	asm volatile("pushq %1; pushq $1f; lretq\n"
	             ".code32\n"
	             "1: movl $0x7fffffff, %%eax; addl $2, %%eax; pushl $0x12345678; popl %%ebx\n"
	             "incl %%ecx\n" /* a REX prefix in 64-bit mode */
	             "ljmp $8, $2f\n"
	             ".code64\n"
	             "2: movq %%rax, %0"
	             : "=m"(compat_result)
	             : "i"(CODE_32)
	             : "rax", "rbx", "rcx", "memory", "cc");
	check_equal(compat_result, 0x80000001, "compatibility mode and back");
}

void test_main(void)
{
	test_gates();
	test_io_bitmap();
	test_alignment();
	test_syscall();
	test_sysenter();
	test_compatibility();
}
