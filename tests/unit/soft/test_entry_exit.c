/* SPDX-License-Identifier: Apache-2.0 */
/* State loaded at VM entry and saved at VM exit (SDM vol. 3, 27.3 and 28.3), and the controls that choose what moves.
 */
#include "guest.h"

#include <string.h>

#include "l0/soft/msr.h"

/* Fields that hold guest state whatever the controls say. */
static const enum vmcs_field always[] = {VMCS_GUEST_CR0, VMCS_GUEST_CR3, VMCS_GUEST_CR4, VMCS_GUEST_DR7, VMCS_GUEST_RSP,
        VMCS_GUEST_RFLAGS, VMCS_GUEST_GDTR_BASE, VMCS_GUEST_GDTR_LIMIT, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_IDTR_LIMIT,
        VMCS_GUEST_IA32_SYSENTER_CS, VMCS_GUEST_IA32_SYSENTER_ESP, VMCS_GUEST_IA32_SYSENTER_EIP, VMCS_GUEST_IA32_EFER,
        VMCS_GUEST_IA32_DEBUGCTL, VMCS_GUEST_ACTIVITY_STATE, VMCS_GUEST_INTERRUPTIBILITY_STATE,
        VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS};

/* In and out again: every field and register keeps an unusual value through an entry and an exit. */
START_TEST(test_round_trip)
{
	struct guest g;
	struct vmcs before;
	struct guest_regs regs;

	guest_setup(&g);
	guest_code(&g, "0f 01 c1");
	guest_set(&g, VMCS_GUEST_RFLAGS, 0x40ad7 & ~(RFLAGS_TF | RFLAGS_VM)); /* every status flag, IF, DF, AC */
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_CS, 0x1234);
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_ESP, 0xffff800000001111ull);
	guest_set(&g, VMCS_GUEST_IA32_SYSENTER_EIP, 0xffff800000002222ull);
	guest_set(&g, VMCS_GUEST_FS_BASE, 0xffff800000003333ull);
	guest_set(&g, VMCS_GUEST_GS_BASE, 0x4444);
	guest_set(&g, VMCS_GUEST_ES_SELECTOR, 0x7b);
	guest_set(&g, VMCS_GUEST_LDTR_SELECTOR, 0x48);
	guest_set(&g, VMCS_GUEST_LDTR_BASE, 0x123456789000ull);
	guest_set(&g, VMCS_GUEST_LDTR_LIMIT, 0x777);
	guest_set(&g, VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x82);
	guest_set(&g, VMCS_GUEST_DR7, 0x455);
	guest_set(&g, VMCS_GUEST_IA32_DEBUGCTL, 1);
	guest_set(&g, VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		g.regs.gpr[i] = 0x1111111111111111ull * i + 1;
	g.regs.cr2 = 0xdeadbeef000;
	for (unsigned i = 0; i < 4; i++)
		g.regs.dr[i] = 0x5000 + i;
	g.regs.dr6 = DR6_FIXED | 4;
	before = g.vmcs;
	regs = g.regs;
	guest_expect(&g, EXIT_REASON_VMCALL);
	for (unsigned i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		ck_assert_msg(g.vmcs.field[always[i]] == before.field[always[i]], "%s: %#llx became %#llx",
		        vmcs_field_infos[always[i]].name, (unsigned long long)before.field[always[i]],
		        (unsigned long long)g.vmcs.field[always[i]]);
	for (unsigned i = 0; i < SOFT_SEGMENT_COUNT; i++) {
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ES_SELECTOR + i), before.field[VMCS_GUEST_ES_SELECTOR + i]);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ES_BASE + i), before.field[VMCS_GUEST_ES_BASE + i]);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_ES_LIMIT + i), before.field[VMCS_GUEST_ES_LIMIT + i]);
		ck_assert_uint_eq(
		        guest_get(&g, VMCS_GUEST_ES_ACCESS_RIGHTS + i), before.field[VMCS_GUEST_ES_ACCESS_RIGHTS + i]);
	}
	g.regs.gpr[GPR_RSP] = regs.gpr[GPR_RSP]; /* not in struct guest_regs */
	ck_assert_int_eq(memcmp(&g.regs, &regs, sizeof(regs)), 0);
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++)
		ck_assert_uint_eq(g.vmcs.dirty.word[word], 0);
	guest_teardown(&g);
}
END_TEST

/* Two guests on one CPU by turns: nothing of one shows in the other. */
START_TEST(test_two_guests)
{
	struct guest g;
	struct vmcs one, two;

	guest_setup(&g);
	guest_code(&g, "48 01 d8 0f 01 c1"); /* add rax, rbx; vmcall */
	guest_set(&g, VMCS_GUEST_GS_BASE, 0x1000);
	one = g.vmcs;
	vmcs_set(&g.vmcs, VMCS_GUEST_GS_BASE, 0x2000);
	vmcs_set(&g.vmcs, VMCS_VIRTUAL_PROCESSOR_ID, 2);
	two = g.vmcs;
	for (unsigned i = 0; i < 4; i++) {
		struct vmcs *vmcs = i & 1 ? &two : &one;
		struct guest_regs regs = {.gpr = {[GPR_RAX] = i, [GPR_RBX] = 100}};

		vmcs_set(vmcs, VMCS_GUEST_RIP, GUEST_CODE);
		ck_assert_int_eq(machine_soft.enter(g.machine, vmcs, &regs), 0);
		ck_assert_uint_eq(regs.gpr[GPR_RAX], 100 + i);
		ck_assert_uint_eq(vmcs_get(vmcs, VMCS_GUEST_GS_BASE), i & 1 ? 0x2000 : 0x1000);
	}
	guest_teardown(&g);
}
END_TEST

/* Load and save debug controls: DR7 and IA32_DEBUGCTL. */
START_TEST(test_debug_controls)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 21 f8 0f 23 fb 0f 01 c1"); /* mov rax, dr7; mov dr7, rbx; vmcall */
	guest_set(&g, VMCS_GUEST_DR7, 0x455);
	g.regs.gpr[GPR_RBX] = 0x401;
	g.regs.dr[0] = 0x123;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x455);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DR7), 0x401);

	guest_control(&g, VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS), false);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = 0x404;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_DR7), 0x401);

	/* Without loading: what root operation has, 400H (28.5.1). */
	guest_control(&g, VMX_WORD_ENTRY, VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS), false);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 0x400);
	guest_teardown(&g);
}
END_TEST

static void pass_msrs(struct guest *g)
{
	guest_set(g, VMCS_MSR_BITMAP, guest_l0_page(g, NULL));
	guest_control(g, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS), true);
}

#define RDMSR_WRMSR                                                                                                    \
	"0f 32 89 c6 89 d8 89 da 0f 30 0f 01 c1" /* rdmsr; mov esi, eax; mov eax, ebx; mov edx, ebx; wrmsr */

/* Load and save IA32_PAT. */
START_TEST(test_pat)
{
	struct guest g;

	guest_setup(&g);
	pass_msrs(&g);
	guest_code(&g, RDMSR_WRMSR);
	guest_set(&g, VMCS_GUEST_IA32_PAT, 0x0606060606060606ull);
	g.regs.gpr[GPR_RCX] = MSR_IA32_PAT;
	g.regs.gpr[GPR_RBX] = 0x01010101;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI], 0x00070406); /* the reset value: nothing was loaded */
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_PAT), 0x0606060606060606ull); /* nor saved */
	guest_control(&g, VMX_WORD_ENTRY, VMX_BIT(ENTRY_LOAD_IA32_PAT), true);
	guest_control(&g, VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_IA32_PAT), true);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI], 0x06060606);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_PAT), 0x0101010101010101ull);
	guest_teardown(&g);
}
END_TEST

/* Load and save IA32_EFER; without them LMA and LME follow the entry control and the field stays. */
START_TEST(test_efer)
{
	struct guest g;

	guest_setup(&g);
	pass_msrs(&g);
	guest_code(&g, "0f 32 89 c6 0d 01 00 00 00 0f 30 0f 01 c1"); /* rdmsr; mov esi, eax; or eax, SCE; wrmsr */
	guest_set(&g, VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME);
	g.regs.gpr[GPR_RCX] = MSR_IA32_EFER;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI], EFER_LMA | EFER_LME);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_EFER), EFER_LMA | EFER_LME | EFER_SCE);
	guest_set(&g, VMCS_GUEST_IA32_EFER, 0);
	guest_control(&g, VMX_WORD_ENTRY, VMX_BIT(ENTRY_LOAD_IA32_EFER), false);
	guest_control(&g, VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_IA32_EFER), false);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RSI] & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_IA32_EFER), 0);
	guest_teardown(&g);
}
END_TEST

/* IA-32e mode guest: the same code bytes run in 64-bit mode or in 32-bit mode. */
START_TEST(test_ia32e_mode_guest)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "48 ff c0 0f 01 c1"); /* inc rax; in 32-bit mode: dec eax; inc eax */
	g.regs.gpr[GPR_RAX] = 5;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 6);
	guest_teardown(&g);

	guest_setup(&g);
	guest_enter_protected_32(&g);
	guest_code(&g, "48 ff c0 0f 01 c1");
	g.regs.gpr[GPR_RAX] = 5;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.regs.gpr[GPR_RAX], 5);
	ck_assert_uint_eq(guest_get(&g, VMCS_VM_ENTRY_CONTROLS) >> ENTRY_IA32E_MODE_GUEST_BIT & 1, 0);
	guest_teardown(&g);
}
END_TEST

/* Unrestricted guest: without it CR0.PE and CR0.PG cannot be cleared (#GP), with it they can. */
START_TEST(test_unrestricted_guest)
{
	struct guest g;
	const uint64_t cr0 = CR0_PE | CR0_NE | CR0_ET;

	guest_setup(&g);
	guest_enter_protected_32(&g);
	guest_code(&g, "0f 22 c3 90 0f 01 c1"); /* mov cr0, ebx */
	g.regs.gpr[GPR_RBX] = CR0_NE;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR0), CR0_NE | CR0_ET);
	guest_set(&g, VMCS_GUEST_CR0, cr0);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_UNRESTRICTED_GUEST), false);
	guest_set(&g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_GP);
	guest_expect(&g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_CR0), cr0);
	guest_teardown(&g);
}
END_TEST

/* Activate secondary controls: without it the secondary word counts as 0, EPT and all. */
START_TEST(test_activate_secondary)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 09 0f 01 c1"); /* wbinvd */
	guest_control(&g, VMX_WORD_PROC2, VMX_BIT(PROC2_WBINVD_EXITING), true);
	guest_expect(&g, EXIT_REASON_WBINVD);
	guest_control(&g, VMX_WORD_PROC, VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS), false);
	guest_expect(&g, EXIT_REASON_VMCALL);
	guest_teardown(&g);
}
END_TEST

/* What a hostile VMCS may hold in guest fields never harms L0: random values, entered many times. */
START_TEST(test_random_vmcs)
{
	uint64_t state = 0x9e3779b97f4a7c15ull + (uint64_t)_i;
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "0f 0b");
	for (unsigned round = 0; round < 300; round++) {
		struct vmcs vmcs = g.vmcs;
		struct guest_regs regs = g.regs;

		for (unsigned change = 0; change < 8; change++) {
			unsigned field;

			state = state * 6364136223846793005ull + 1442695040888963407ull;
			field = (unsigned)(state >> 33) % VMCS_FIELD_COUNT;
			vmcs.field[field] = state >> (state >> 58) &
			                    vmcs_width_mask(vmcs_encoding_width(vmcs_field_infos[field].encoding));
		}
		machine_soft.set_deadline(g.machine, machine_soft.clock(g.machine) + 200);
		machine_soft.enter(g.machine, &vmcs, &regs);
	}
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("entry and exit");

	tcase_add_test(tests, test_round_trip);
	tcase_add_test(tests, test_two_guests);
	tcase_add_test(tests, test_debug_controls);
	tcase_add_test(tests, test_pat);
	tcase_add_test(tests, test_efer);
	tcase_add_test(tests, test_ia32e_mode_guest);
	tcase_add_test(tests, test_unrestricted_guest);
	tcase_add_test(tests, test_activate_secondary);
	tcase_add_loop_test(tests, test_random_vmcs, 0, 8);
	return guest_main("soft: entry and exit", tests);
}
