/* SPDX-License-Identifier: Apache-2.0 */
/* VMCS shadowing (SDM vol. 3, 25.10, 31.3): VMREAD and VMWRITE in non-root operation. */
#include "guest.h"

#include <string.h>

#define READ_REG "0f 78 d0 0f 01 c1"  /* vmread rax, rdx; vmcall */
#define READ_MEM "0f 78 13 0f 01 c1"  /* vmread [rbx], rdx */
#define WRITE_REG "0f 79 d0 0f 01 c1" /* vmwrite rdx, rax */
#define WRITE_MEM "0f 79 13 0f 01 c1" /* vmwrite rdx, [rbx] */

struct shadow {
	struct guest g;
	uint8_t *read, *write;
	struct vmcs *region;
};

static void prepare(struct shadow *s, const char *code)
{
	struct guest *g = &s->g;
	void *page[3];

	guest_setup(g);
	guest_code(g, code);
	guest_set(g, VMCS_VMREAD_BITMAP, guest_l0_page(g, &page[0]));
	guest_set(g, VMCS_VMWRITE_BITMAP, guest_l0_page(g, &page[1]));
	guest_set(g, VMCS_VMCS_LINK_POINTER, guest_l0_page(g, &page[2]));
	guest_control(g, VMX_WORD_PROC2, VMX_BIT(PROC2_VMCS_SHADOWING), true);
	s->read = page[0];
	s->write = page[1];
	s->region = page[2];
	memset(s->read, 0xff, 4096);
	memset(s->write, 0xff, 4096);
	g->regs.gpr[GPR_RBX] = GUEST_DATA;
	guest_set(g, VMCS_GUEST_RFLAGS, 0x8d7 & ~RFLAGS_TF); /* every status flag set */
}

static void clear_bit(uint8_t *bitmap, unsigned encoding)
{
	bitmap[encoding / 8] &= (uint8_t) ~(1 << (encoding % 8));
}

#define STATUS 0x8d5ull

START_TEST(test_read)
{
	struct shadow s;
	const bool memory = _i;

	prepare(&s, memory ? READ_MEM : READ_REG);
	clear_bit(s.read, VMCS_ENC_GUEST_RIP);
	s.region->field[VMCS_GUEST_RIP] = 0x1122334455667788ull;
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_GUEST_RIP;
	guest_expect(&s.g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(memory ? guest_u64(&s.g, GUEST_DATA) : s.g.regs.gpr[GPR_RAX], 0x1122334455667788ull);
	ck_assert_uint_eq(guest_get(&s.g, VMCS_GUEST_RFLAGS) & STATUS, 0);

	/* Its bit set: an exit. The VMWRITE bitmap has no say. */
	s.read[VMCS_ENC_GUEST_RIP / 8] = 0xff;
	clear_bit(s.write, VMCS_ENC_GUEST_RIP);
	guest_set(&s.g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&s.g, EXIT_REASON_VMREAD);
	guest_teardown(&s.g);
}
END_TEST

START_TEST(test_write)
{
	struct shadow s;
	const bool memory = _i;

	prepare(&s, memory ? WRITE_MEM : WRITE_REG);
	clear_bit(s.write, VMCS_ENC_VM_ENTRY_INTERRUPTION_INFORMATION);
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_VM_ENTRY_INTERRUPTION_INFORMATION;
	s.g.regs.gpr[GPR_RAX] = 0xffffffff80000306ull;
	guest_put64(&s.g, GUEST_DATA, 0xffffffff80000306ull);
	guest_expect(&s.g, EXIT_REASON_VMCALL);
	/* A 32-bit field takes the low half; the region remembers that it was written. */
	ck_assert_uint_eq(s.region->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION], 0x80000306);
	ck_assert(vmcs_mask_has(&s.region->dirty, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION));
	ck_assert_uint_eq(guest_get(&s.g, VMCS_GUEST_RFLAGS) & STATUS, 0);
	s.write[VMCS_ENC_VM_ENTRY_INTERRUPTION_INFORMATION / 8] = 0xff;
	guest_set(&s.g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&s.g, EXIT_REASON_VMWRITE);
	guest_teardown(&s.g);
}
END_TEST

/* The control off, or an encoding beyond bit 14: always an exit. */
START_TEST(test_always_exits)
{
	struct shadow s;

	prepare(&s, READ_REG);
	memset(s.read, 0, 4096);
	s.g.regs.gpr[GPR_RDX] = 0x8000 | VMCS_ENC_GUEST_RIP;
	guest_expect(&s.g, EXIT_REASON_VMREAD);
	s.g.regs.gpr[GPR_RDX] = 1ull << 40 | VMCS_ENC_GUEST_RIP;
	guest_expect(&s.g, EXIT_REASON_VMREAD);
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_GUEST_RIP;
	guest_control(&s.g, VMX_WORD_PROC2, VMX_BIT(PROC2_VMCS_SHADOWING), false);
	guest_expect(&s.g, EXIT_REASON_VMREAD);
	guest_teardown(&s.g);
}
END_TEST

/* VMfailInvalid without a linked region; VMfailValid(12) for a field that does not exist. */
START_TEST(test_failures)
{
	static const char *const codes[] = {READ_REG, WRITE_REG};
	struct shadow s;

	prepare(&s, codes[_i]);
	memset(s.read, 0, 4096);
	memset(s.write, 0, 4096);
	s.g.regs.gpr[GPR_RDX] = 0x7ffe; /* a 32-bit-wide host-state field that is not there */
	s.g.regs.gpr[GPR_RAX] = 0x55;
	guest_expect(&s.g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&s.g, VMCS_GUEST_RFLAGS) & STATUS, 0x40);
	ck_assert_uint_eq(s.region->field[VMCS_VM_INSTRUCTION_ERROR], 12);
	ck_assert_uint_eq(s.g.regs.gpr[GPR_RAX], 0x55);

	guest_set(&s.g, VMCS_VMCS_LINK_POINTER, ~0ull);
	guest_set(&s.g, VMCS_GUEST_RIP, GUEST_CODE);
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_GUEST_RIP;
	guest_expect(&s.g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(&s.g, VMCS_GUEST_RFLAGS) & STATUS, 1);
	guest_teardown(&s.g);
}
END_TEST

/* At CPL 3: the exit comes first, and #GP where there is none. */
START_TEST(test_user)
{
	struct shadow s;

	prepare(&s, READ_REG);
	guest_enter_user(&s.g);
	guest_code(&s.g, READ_REG);
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_GUEST_RIP;
	guest_expect(&s.g, EXIT_REASON_VMREAD);
	clear_bit(s.read, VMCS_ENC_GUEST_RIP);
	guest_expect_handler(&s.g, VECTOR_GP);
	guest_teardown(&s.g);
}
END_TEST

/* A memory operand that faults leaves region and flags alone. */
START_TEST(test_operand_fault)
{
	struct shadow s;

	prepare(&s, READ_MEM);
	clear_bit(s.read, VMCS_ENC_GUEST_RIP);
	s.g.regs.gpr[GPR_RDX] = VMCS_ENC_GUEST_RIP;
	*guest_pte(&s.g, GUEST_DATA) = 0;
	guest_set(&s.g, VMCS_EXCEPTION_BITMAP, 1 << VECTOR_PF);
	guest_expect(&s.g, EXIT_REASON_EXCEPTION_OR_NMI);
	ck_assert_uint_eq(guest_get(&s.g, VMCS_GUEST_RFLAGS) & STATUS, STATUS & 0x8d7);
	guest_teardown(&s.g);
}
END_TEST

/* In compatibility mode VMX instructions do not exist (#UD); VMCALL exits everywhere. */
START_TEST(test_compatibility_mode)
{
	struct shadow s;

	prepare(&s, READ_REG);
	guest_set(&s.g, VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b);
	guest_set(&s.g, VMCS_GUEST_CS_SELECTOR, GUEST_CS32);
	guest_expect_handler(&s.g, VECTOR_UD);
	guest_teardown(&s.g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("shadowing");

	tcase_add_loop_test(tests, test_read, 0, 2);
	tcase_add_loop_test(tests, test_write, 0, 2);
	tcase_add_test(tests, test_always_exits);
	tcase_add_loop_test(tests, test_failures, 0, 2);
	tcase_add_test(tests, test_user);
	tcase_add_test(tests, test_operand_fault);
	tcase_add_test(tests, test_compatibility_mode);
	return guest_main("soft: VMCS shadowing", tests);
}
