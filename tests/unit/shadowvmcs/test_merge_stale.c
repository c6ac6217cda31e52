/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that takes only dirty fields and keeps some registers until asked (the kvm machine), against one that obeys
 * and fills the whole VMCS: L1 and L2 must not see a difference. With and without marks of what it wrote. Fixed seeds.
 */
#include <string.h>

#include "random_vmcs.h"

enum { ROUNDS = 400, SEEDS = 12 };

/* What the lazy machine's two guests really hold; fields of the VMCS may be older. */
static uint64_t real01[VMCS_FIELD_COUNT], real02[VMCS_FIELD_COUNT];
static struct fixture lazy, whole;

static bool on_demand(unsigned field)
{
	return vmcs_mask_has(&lazy.machine.on_demand, (enum vmcs_field)field);
}

static void lazy_enter(uint64_t *real, struct vmcs *vmcs)
{
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_mask_has(&vmcs->dirty, (enum vmcs_field)field)) {
			ck_assert_msg(!vmcs_mask_has(&vmcs->stale, (enum vmcs_field)field), "%s is dirty and stale",
			        vmcs_field_infos[field].name);
			real[field] = vmcs->field[field];
		}
	}
	memset(&vmcs->dirty, 0, sizeof(vmcs->dirty));
}

static void lazy_exit(const uint64_t *real, struct vmcs *vmcs)
{
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_field_infos[field].how != VMCS_HOW_GUEST)
			continue;
		if (on_demand(field))
			vmcs_mask_set(&vmcs->stale, (enum vmcs_field)field);
		else
			vmcs_store(vmcs, (enum vmcs_field)field, real[field]);
	}
}

static void lazy_fetch(struct fixture *f, struct vmcs *vmcs)
{
	const uint64_t *real = vmcs == &f->vmcs01 ? real01 : real02;

	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_mask_has(&vmcs->stale, (enum vmcs_field)field))
			vmcs_store(vmcs, (enum vmcs_field)field, real[field]);
	}
}

static void compare(const uint64_t *real, const struct vmcs *vmcs, const char *which, unsigned round)
{
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_field_infos[field].how == VMCS_HOW_EXIT)
			continue;
		ck_assert_msg(real[field] == vmcs->field[field], "round %u: %s %s is %#llx, should be %#llx", round,
		        which, vmcs_field_infos[field].name, (unsigned long long)real[field],
		        (unsigned long long)vmcs->field[field]);
	}
}

/* ---- L1 ---- */

static uint64_t vmread(struct fixture *f, unsigned field)
{
	const struct vmx_operands operands = {.encoding = vmcs_field_infos[field].encoding};
	struct vmx_outcome outcome = {0};

	nested_vmx_instruction(&f->nested, EXIT_REASON_VMREAD, &operands, &outcome);
	ck_assert_uint_eq(outcome.kind, VMX_SUCCEED);
	return outcome.value;
}

static void vmwrite(struct fixture *f, unsigned field, uint64_t value)
{
	const struct vmx_operands operands = {.encoding = vmcs_field_infos[field].encoding, .value = value};
	struct vmx_outcome outcome = {0};

	nested_vmx_instruction(&f->nested, EXIT_REASON_VMWRITE, &operands, &outcome);
	ck_assert_uint_eq(outcome.kind, VMX_SUCCEED);
}

/* CR0 and CR3 stay as VMX instructions of the next round need them: protected mode, CPL 0. */
static bool keeps_l1_alive(unsigned field)
{
	switch ((int)field) {
	case VMCS_GUEST_CR0:
	case VMCS_GUEST_CS_ACCESS_RIGHTS:
	case VMCS_GUEST_SS_ACCESS_RIGHTS:
	case VMCS_GUEST_IA32_EFER:
	case VMCS_GUEST_RFLAGS:
		return true;
	default:
		return false;
	}
}

static void l1_runs(unsigned round)
{
	lazy_enter(real01, &lazy.vmcs01);
	compare(real01, &whole.vmcs01, "vmcs01", round);
	memset(&whole.vmcs01.dirty, 0, sizeof(whole.vmcs01.dirty));
	for (uint64_t i = next_random() % 4; i > 0; i--) {
		const unsigned field = random_field();
		if (vmcs_field_infos[field].how == VMCS_HOW_GUEST && !keeps_l1_alive(field))
			real01[field] = whole.vmcs01.field[field] = random_value(field, real01[field]);
	}
	lazy_exit(real01, &lazy.vmcs01);

	for (uint64_t i = next_random() % 6; i > 0; i--) {
		const unsigned field = random_field();
		const uint64_t value = random_value(field, whole.vmcs12->field[field]);
		/* L1's own host state must let it go on. */
		if (vmcs_encoding_type(vmcs_field_infos[field].encoding) == VMCS_TYPE_HOST ||
		        field == VMCS_PRIMARY_VM_EXIT_CONTROLS)
			continue;
		vmwrite(&lazy, field, value);
		vmwrite(&whole, field, value);
	}
	for (uint64_t i = next_random() % 3; i > 0; i--) {
		const unsigned field = random_field();
		ck_assert_msg(vmread(&lazy, field) == vmread(&whole, field), "round %u: VMREAD of %s", round,
		        vmcs_field_infos[field].name);
	}
	/* Which registers are saved and loaded. */
	if (next_random() % 4 == 0) {
		static const uint32_t bits[] = {VMX_BIT(EXIT_SAVE_IA32_EFER), VMX_BIT(EXIT_LOAD_IA32_EFER),
		        VMX_BIT(EXIT_SAVE_IA32_PAT), VMX_BIT(EXIT_LOAD_IA32_PAT), VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS)};
		const uint64_t value = whole.vmcs12->field[VMCS_PRIMARY_VM_EXIT_CONTROLS] ^ bits[next_random() % 5];
		vmwrite(&lazy, VMCS_PRIMARY_VM_EXIT_CONTROLS, value);
		vmwrite(&whole, VMCS_PRIMARY_VM_EXIT_CONTROLS, value);
	}
}

/* ---- L2 ---- */

static void enter(struct fixture *f)
{
	fixture_snapshot(f);
	ck_assert_int_eq(merge_vmcs02(&f->nested), 0);
	f->nested.in_l2 = true;
}

static void l2_runs(unsigned round)
{
	struct vmcs *vmcs02 = &whole.nested.vmcs02;

	enter(&lazy);
	enter(&whole);
	lazy_enter(real02, &lazy.nested.vmcs02);
	compare(real02, vmcs02, "vmcs02", round);
	for (uint64_t i = next_random() % 6; i > 0; i--) {
		const unsigned field = random_field();
		if (vmcs_field_infos[field].how == VMCS_HOW_GUEST)
			real02[field] = vmcs02->field[field] = random_l2_value(vmcs02, field, real02[field]);
	}
	lazy_exit(real02, &lazy.nested.vmcs02);
	fixture_exit_l2(&lazy, EXIT_REASON_CPUID, 0);
	fixture_exit_l2(&whole, EXIT_REASON_CPUID, 0);
	real02[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] = vmcs02->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION];
	nested_reflect(&lazy.nested);
	nested_reflect(&whole.nested);
}

static void start(struct fixture *f, bool keeps_registers, bool marks)
{
	fixture_setup(f, FIXTURE_PARAVIRTUAL);
	f->machine.marks_written = marks;
	f->machine.misc |= 1u << 29; /* VMWRITE to any field */
	if (!keeps_registers)
		memset(&f->machine.on_demand, 0, sizeof(f->machine.on_demand));
	else
		f->on_fetch = lazy_fetch;
	fixture_start(f);
}

START_TEST(no_difference)
{
	random_state = 0x9e3779b97f4a7c15ull + (uint64_t)_i * 0x7654321;
	start(&lazy, true, _i % 2);
	start(&whole, false, false);
	memcpy(real01, lazy.vmcs01.field, sizeof(real01));
	memcpy(real02, lazy.nested.vmcs02.field, sizeof(real02));
	for (unsigned round = 0; round < ROUNDS; round++) {
		l1_runs(round);
		l2_runs(round);
	}
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_field_infos[field].how != VMCS_HOW_EXIT)
			ck_assert_uint_eq(vmread(&lazy, field), vmread(&whole, field));
	}
	/* Registers stayed in the machine most of the time. */
	ck_assert_uint_lt(lazy.fetches, 2 * ROUNDS);
	fixture_teardown(&lazy);
	fixture_teardown(&whole);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: registers that stay in the machine");
	TCase *tcase = tcase_create("random");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, no_difference, 0, SEEDS);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
