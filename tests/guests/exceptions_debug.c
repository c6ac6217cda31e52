/* SPDX-License-Identifier: Apache-2.0 */
/* Single steps, breakpoints, and what they leave in DR6. SDM vol. 3, chapter 18. */
#include "guest.h"

#define DR6_INIT 0xffff0ff0ull
#define DR6_B0 1u
#define DR6_BD (1u << 13)
#define DR6_BS (1u << 14)
#define DR7_INIT 0x400u
#define DR7_G0 2u
#define DR7_GD (1u << 13)
#define DR7_WRITE0 (1u << 16)
#define DR7_LEN8 (2u << 18)

void test_debug(void);

static u64 steps[16], step_dr6, step_count;
extern const u8 step_1[], step_2[], step_3[], break_here[], after_write[], after_shadow[], after_popf[];

static void step(struct trap *trap)
{
	if (step_count < 16)
		steps[step_count] = trap->rip;
	step_count++;
	step_dr6 = read_dr6();
	write_dr6(DR6_INIT);
	if (trap->rip == (u64)(uintptr_t)break_here)
		trap->rflags |= RFLAGS_RF; /* else the breakpoint comes again */
}

static void reset(void)
{
	step_count = 0;
	step_dr6 = 0;
	write_dr6(DR6_INIT);
}

static u64 at(const u8 *label)
{
	return (u64)(uintptr_t)label;
}

static void test_single_step(void)
{
	reset();
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n"
	             "after_popf: nop\n"
	             "step_1: nop\n"
	             "step_2: pushfq; step_3: andl $~0x100, (%%rsp); popfq"
	             :
	             :
	             : "memory", "cc");
	check_equal(
	        step_count, 5, "TF traps after each instruction, from the one after POPF to the one that clears it");
	check(steps[0] == at(step_1) && steps[1] == at(step_2) && steps[2] == at(step_3), "at the instruction behind");
	check_equal(step_dr6, DR6_INIT | DR6_BS, "DR6.BS");
	/* The flags INT n saves have TF; its handler runs without. */
	reset();
	trap_handlers[0x52] = step;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; int $0x52; pushfq; andl $~0x100, (%%rsp); popfq"
	             :
	             :
	             : "memory");
	check_equal(step_count, 4, "INT n under TF: the handler is not stepped");
	trap_handlers[0x52] = NULL;
	/* Instructions a hypervisor beneath may do for the processor are steps too. */
	reset();
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; cpuid; inb $0x80, %%al; sti; hlt; cli; pushfq; "
	             "andl $~0x100, (%%rsp); popfq"
	             :
	             :
	             : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	check_equal(step_count, 8, "CPUID, IN and HLT are stepped, and HLT does not wait");
	reset();
	asm volatile("movw %%ss, %%ax; pushfq; orl $0x100, (%%rsp); popfq; movw %%ax, %%ss; nop; after_shadow: pushfq; "
	             "andl $~0x100, (%%rsp); popfq"
	             :
	             :
	             : "memory", "rax");
	check(steps[0] == at(after_shadow), "MOV SS holds a trap back until after the next instruction");
}

static void test_breakpoints(void)
{
	static u64 watched;

	reset();
	write_dr0(at(break_here));
	write_dr7(DR7_INIT | DR7_G0);
	asm volatile("break_here: nop");
	check(step_count == 1 && steps[0] == at(break_here), "an instruction breakpoint is a fault, once with RF");
	check_equal(step_dr6, DR6_INIT | DR6_B0, "DR6.B0");
	reset();
	write_dr0((u64)(uintptr_t)&watched);
	write_dr7(DR7_INIT | DR7_G0 | DR7_WRITE0 | DR7_LEN8);
	asm volatile("movq (%0), %%rax; movq $5, (%0); after_write: nop" : : "r"(&watched) : "rax", "memory");
	check(step_count == 1 && steps[0] == at(after_write), "a data breakpoint is a trap, after the write only");
	check_equal(watched, 5, "and the write is done");
	reset();
	asm volatile("movb $6, 7(%0)" : : "r"(&watched) : "memory");
	check_equal(step_count, 1, "any byte of the watched range counts");
	write_dr7(DR7_INIT);
	reset();
	asm volatile("movq $7, (%0)" : : "r"(&watched) : "memory");
	check_equal(step_count, 0, "nothing once it is off");
}

static void test_general_detect(void)
{
	trap_handlers[VECTOR_DB] = NULL;
	write_dr6(DR6_INIT);
	write_dr7(DR7_INIT | DR7_GD);
	GUARD("movq %%dr7, %%rax", : : "rax");
	check(caught.vector == VECTOR_DB && read_dr6() == (DR6_INIT | DR6_BD), "DR7.GD: MOV DR is a #DB with DR6.BD");
	check_equal(read_dr7(), DR7_INIT, "and GD is clear in the handler");
	write_cr4(read_cr4() | CR4_DE);
	GUARD("movq %%dr4, %%rax", : : "rax");
	check_equal(caught.vector, VECTOR_UD, "DR4 with CR4.DE: #UD");
	write_cr4(read_cr4() & ~(u64)CR4_DE);
	GUARD("movq %%dr4, %%rax", : : "rax");
	check_equal(caught.vector, NO_TRAP, "DR4 without: DR6");
	GUARD("movq %0, %%dr7", : "r"(1ull << 32));
	check_equal(caught.vector, VECTOR_GP, "high bits of DR7: #GP");
	write_dr6(DR6_INIT);
	GUARD(".byte 0xf1", :);
	check_equal(caught.vector, VECTOR_DB, "INT1: #DB");
	check_equal(read_dr6(), DR6_INIT, "which sets nothing in DR6");
}

void test_debug(void)
{
	trap_handlers[VECTOR_DB] = step;
	test_single_step();
	test_breakpoints();
	test_general_detect();
}
