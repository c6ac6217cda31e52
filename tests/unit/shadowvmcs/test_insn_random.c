/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile L1: random VMX instructions on random operands, and random writes to the memory of its VMCSs and of the
 * shadow region in between. Nothing may crash, and what vmcs02 holds when L2 is entered must be L0's or have passed the
 * checks. Seeds are fixed: a failure repeats.
 */
#include <string.h>

#include "fixture.h"

static uint64_t state;

/* xorshift64* */
static uint64_t any(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t limit)
{
	return any() % limit;
}

static uint64_t any_address(void)
{
	static const uint64_t likely[] = {FIXTURE_GPA_VMXON, FIXTURE_GPA_VMCS12, FIXTURE_GPA_VMCS12,
	        FIXTURE_GPA_OTHER_VMCS12, FIXTURE_GPA_SHADOW12, FIXTURE_GPA_EPT12, FIXTURE_MEMORY_BYTES, ~0ull};

	return below(8) ? likely[below(sizeof(likely) / sizeof(likely[0]))] : any() >> below(64);
}

static uint64_t any_value(struct fixture *f, unsigned field)
{
	switch (below(6)) {
	case 0:
		return any();
	case 1:
		return any() >> below(64);
	case 2:
		return f->vmcs12->field[field] ^ 1ull << below(64);
	case 3:
		return any_address();
	default:
		return f->vmcs12->field[field];
	}
}

static void execute(struct fixture *f, enum exit_reason reason, uint64_t gpa)
{
	const struct vmx_operands operands = {.gpa = gpa};
	struct vmx_outcome outcome;

	nested_vmx_instruction(&f->nested, reason, &operands, &outcome);
}

/* A good VMCS again, so that entries succeed too. */
static void repair(struct fixture *f)
{
	execute(f, EXIT_REASON_VMXON, FIXTURE_GPA_VMXON);
	memset(f->vmcs12->field, 0, sizeof(f->vmcs12->field));
	fixture_fill_vmcs12(f, f->vmcs12);
	f->vmcs12->revision_id = VMCS_REVISION_ID;
	memset(&f->vmcs12->dirty, 0xff, sizeof(f->vmcs12->dirty));
	execute(f, EXIT_REASON_VMPTRLD, below(2) ? FIXTURE_GPA_OTHER_VMCS12 : FIXTURE_GPA_VMCS12);
	execute(f, EXIT_REASON_VMPTRLD, FIXTURE_GPA_VMCS12);
}

static void scribble(struct fixture *f)
{
	struct vmcs *vmcs = below(4) ? f->vmcs12 : fixture_memory(f, FIXTURE_GPA_OTHER_VMCS12);
	const unsigned field = (unsigned)below(VMCS_FIELD_COUNT);

	switch (below(6)) {
	case 0:
		vmcs->dirty.word[below(VMCS_MASK_WORDS)] = any();
		break;
	case 1:
		vmcs->stale.word[below(VMCS_MASK_WORDS)] = any();
		break;
	case 2:
		vmcs->launched = (uint32_t)below(2);
		break;
	case 3:
		((struct vmcs *)f->config.shadow_region.hva)->field[field] = any_value(f, field);
		break;
	default:
		vmcs->field[field] = any_value(f, field);
		vmcs_mask_set(&vmcs->dirty, (enum vmcs_field)field);
	}
}

static struct vmx_operands any_operands(struct fixture *f)
{
	const unsigned field = (unsigned)below(VMCS_FIELD_COUNT);

	return (struct vmx_operands){.gpa = any_address(),
	        .encoding = below(8) ? vmcs_field_infos[field].encoding | (below(8) == 0) : any() >> below(64),
	        .value = any_value(f, field),
	        .type = below(8) ? below(5) : any(),
	        .descriptor = {below(2) ? any_value(f, VMCS_EPT_POINTER) : any() >> below(64), any() >> below(64)}};
}

static enum exit_reason any_instruction(void)
{
	static const enum exit_reason reasons[] = {EXIT_REASON_VMCALL, EXIT_REASON_VMCLEAR, EXIT_REASON_VMPTRLD,
	        EXIT_REASON_VMPTRLD, EXIT_REASON_VMPTRST, EXIT_REASON_VMREAD, EXIT_REASON_VMWRITE, EXIT_REASON_VMWRITE,
	        EXIT_REASON_VMLAUNCH, EXIT_REASON_VMLAUNCH, EXIT_REASON_VMRESUME, EXIT_REASON_VMRESUME,
	        EXIT_REASON_VMXOFF, EXIT_REASON_VMXON, EXIT_REASON_VMXON, EXIT_REASON_INVEPT, EXIT_REASON_INVVPID};

	return reasons[below(sizeof(reasons) / sizeof(reasons[0]))];
}

static bool bits_within(uint64_t value, uint32_t allowed)
{
	return (value & ~(uint64_t)allowed) == 0;
}

/* L0's own state stays L0's, and L2 gets no control that nobody offered. */
static void check_vmcs02(const struct fixture *f)
{
	const struct vmcs *v = &f->nested.vmcs02;
	const uint32_t fixed = caps_must_be_one(&f->nested.caps, VMX_WORD_PROC);

	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		if (vmcs_field_infos[i].how == VMCS_HOW_HOST)
			ck_assert_msg(v->field[i] == f->vmcs01.field[i], "%s is not L0's", vmcs_field_infos[i].name);
		const enum vmcs_width width = vmcs_encoding_width(vmcs_field_infos[i].encoding);
		ck_assert_msg((v->field[i] & ~vmcs_width_mask(width)) == 0, "%s is too wide", vmcs_field_infos[i].name);
	}
	ck_assert(bits_within(v->field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS],
	        f->machine.honours[VMX_WORD_PROC] | fixed));
	ck_assert(bits_within(v->field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS],
	        f->machine.honours[VMX_WORD_PROC2] & ~VMX_BIT(PROC2_VMCS_SHADOWING)));
	ck_assert_uint_eq(v->field[VMCS_MSR_BITMAP], f->config.msr_bitmap02.hpa);
	ck_assert_uint_eq(v->field[VMCS_IO_BITMAP_A], f->config.io_bitmap02[0].hpa);
	ck_assert_uint_eq(v->field[VMCS_VMCS_LINK_POINTER], ~0ull);
	ck_assert_uint_eq(v->field[VMCS_VM_ENTRY_MSR_LOAD_COUNT], 0);
	ck_assert_uint_eq(v->field[VMCS_VM_EXIT_MSR_STORE_COUNT], 0);
}

static void check_invariants(const struct fixture *f, const struct vmx_outcome *outcome)
{
	const struct nested *n = &f->nested;

	ck_assert_int_le(outcome->kind, VMX_REFUSED);
	ck_assert_int_eq(n->in_l2, outcome->kind == VMX_ENTERED);
	if (n->vmcs12) {
		ck_assert(n->vmx_on);
		ck_assert_ptr_eq(n->vmcs12, f->memory + n->vmcs12_gpa);
		ck_assert_uint_eq(n->vmcs12_gpa & 0xfff, 0);
		ck_assert_uint_ne(n->vmcs12_gpa, n->vmxon_gpa);
	} else {
		ck_assert_uint_eq(n->vmcs12_gpa, ~0ull);
		ck_assert_int_ne(outcome->kind, VMX_FAIL_VALID);
		ck_assert_int_ne(outcome->kind, VMX_ENTERED);
	}
	if (outcome->kind == VMX_ENTRY_FAILED)
		ck_assert_ptr_nonnull(n->failed_check);
}

/* Back to an L1 that can go on: what L1's host state made of vmcs01 may be anything. */
static void restore_l1(struct fixture *f, const struct vmcs *vmcs01)
{
	const uint64_t proc2 = f->vmcs01.field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS];
	const uint64_t link = f->vmcs01.field[VMCS_VMCS_LINK_POINTER];

	f->vmcs01 = *vmcs01;
	f->vmcs01.field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS] = proc2;
	f->vmcs01.field[VMCS_VMCS_LINK_POINTER] = link;
	f->nested.vmx_abort = 0;
}

static void live(enum fixture_kind kind, enum shadow_mode mode, uint64_t seed, unsigned steps)
{
	unsigned entered = 0, failed = 0;
	struct vmx_outcome outcome;
	struct vmcs vmcs01;
	struct fixture f;

	state = seed;
	fixture_setup(&f, kind);
	f.config.shadow_mode = mode;
	fixture_start(&f);
	vmcs01 = f.vmcs01;
	for (unsigned i = 0; i < steps; i++) {
		if (below(12) == 0)
			repair(&f);
		for (uint64_t n = below(4); n > 0; n--)
			scribble(&f);
		const struct vmx_operands operands = any_operands(&f);
		nested_vmx_instruction(&f.nested, any_instruction(), &operands, &outcome);
		check_invariants(&f, &outcome);
		failed += outcome.kind == VMX_ENTRY_FAILED;
		if (outcome.kind == VMX_ENTERED) {
			entered++;
			check_vmcs02(&f);
			fixture_exit_l2(&f, (uint32_t)below(EXIT_REASON_LIMIT), any());
			f.nested.vmcs02.stale = f.machine.on_demand;
			nested_reflect(&f.nested);
		}
		restore_l1(&f, &vmcs01);
	}
	ck_assert_uint_gt(entered, steps / 200);
	ck_assert_uint_gt(failed, steps / 200);
	fixture_teardown(&f);
}

START_TEST(test_hostile_l1)
{
	for (int mode = SHADOW_TRAP; mode <= SHADOW_DIRECT; mode++)
		live((enum fixture_kind)_i, (enum shadow_mode)mode, 0x7e57000 + (uint64_t)mode, 8000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("insn_random");
	TCase *tests = tcase_create("random");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, test_hostile_l1, FIXTURE_REAL_VMX, FIXTURE_PARAVIRTUAL + 1);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
