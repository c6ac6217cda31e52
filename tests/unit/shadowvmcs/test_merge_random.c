/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incremental merging and reflection against copying everything: two engines see the same L1 and L2, one copies only
 * what changed, the other all fields each time. After each entry both must have the same vmcs02, after each exit the
 * same vmcs12 and vmcs01. With and without a machine that marks what it wrote. Fixed seeds.
 */
#include <string.h>

#include "random_vmcs.h"

enum { ROUNDS = 400, SEEDS = 12 };

struct pair {
	struct fixture incremental, everything;
};

static void write_both(struct pair *p, unsigned field, uint64_t value)
{
	fixture_set(&p->incremental, (enum vmcs_field)field, value);
	fixture_set(&p->everything, (enum vmcs_field)field, value);
}

static void l1_runs(struct pair *p)
{
	for (uint64_t i = next_random() % 6; i > 0; i--) {
		const unsigned field = random_field();
		write_both(p, field, random_value(field, fixture_get(&p->incremental, (enum vmcs_field)field)));
	}
	if (next_random() % 8 == 0) { /* a bitmap in memory */
		const uint64_t at = FIXTURE_GPA_MSR_BITMAP + next_random() % (3 * 4096);
		const uint8_t value = (uint8_t)next_random();
		*(uint8_t *)fixture_memory(&p->incremental, at) = value;
		*(uint8_t *)fixture_memory(&p->everything, at) = value;
	}
}

/* L0 changes a control of vmcs01 now and then (one that merge.c remembers). */
static void l0_runs(struct pair *p)
{
	static const enum vmcs_field controls[] = {VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
	        VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMCS_EXCEPTION_BITMAP,
	        VMCS_PAGE_FAULT_ERROR_CODE_MASK, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR4_GUEST_HOST_MASK, VMCS_TSC_OFFSET,
	        VMCS_VM_ENTRY_CONTROLS, VMCS_PRIMARY_VM_EXIT_CONTROLS};

	if (next_random() % 10 != 0)
		return;
	const enum vmcs_field field = controls[next_random() % (sizeof(controls) / sizeof(controls[0]))];
	const uint64_t value = random_value(field, p->incremental.vmcs01.field[field]);
	vmcs_set(&p->incremental.vmcs01, field, value);
	vmcs_set(&p->everything.vmcs01, field, value);
}

static void set_both02(struct pair *p, unsigned field, uint64_t value)
{
	vmcs_store(&p->incremental.nested.vmcs02, (enum vmcs_field)field, value);
	vmcs_store(&p->everything.nested.vmcs02, (enum vmcs_field)field, value);
}

/* L1's own registers change while it handles an exit. */
static void l1_registers(struct pair *p)
{
	for (uint64_t i = next_random() % 3; i > 0; i--) {
		const unsigned field = random_field();
		const uint64_t value =
		        random_l2_value(&p->incremental.vmcs01, field, p->incremental.vmcs01.field[field]);
		if (vmcs_field_infos[field].how != VMCS_HOW_GUEST)
			continue;
		vmcs_store(&p->incremental.vmcs01, (enum vmcs_field)field, value);
		vmcs_store(&p->everything.vmcs01, (enum vmcs_field)field, value);
	}
}

/* L2 changes registers and exits. */
static void l2_runs(struct pair *p)
{
	const struct vmcs *vmcs02 = &p->incremental.nested.vmcs02;
	const uint32_t reason = (uint32_t)(next_random() % EXIT_REASON_LIMIT);

	for (uint64_t i = next_random() % 8; i > 0; i--) {
		const unsigned field = random_field();
		if (vmcs_field_infos[field].how == VMCS_HOW_GUEST)
			set_both02(p, field, random_l2_value(vmcs02, field, vmcs02->field[field]));
	}
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (vmcs_field_infos[field].how == VMCS_HOW_EXIT && next_random() % 4 == 0)
			set_both02(p, (unsigned)field, random_value((unsigned)field, 0));
	}
	fixture_exit_l2(&p->incremental, reason, 0);
	fixture_exit_l2(&p->everything, reason, 0);
}

static void compare(const struct vmcs *a, const struct vmcs *b, const char *which, unsigned round, bool exits)
{
	for (int field = 0; field < VMCS_FIELD_COUNT; field++) {
		const bool is_exit = vmcs_field_infos[field].how == VMCS_HOW_EXIT;
		if (is_exit && !exits)
			continue;
		ck_assert_msg(a->field[field] == b->field[field], "round %u: %s %s is %#llx, copied %#llx", round,
		        which, vmcs_field_infos[field].name, (unsigned long long)a->field[field],
		        (unsigned long long)b->field[field]);
	}
}

static void start(struct fixture *f, bool copy_everything, bool marks)
{
	fixture_setup(f, FIXTURE_REAL_VMX);
	f->machine.marks_written = marks;
	f->config.copy_everything = copy_everything;
	f->config.msr_bitmap01 = f->msr_bitmap01;
	f->config.io_bitmap01[0] = f->io_bitmap01[0];
	f->config.io_bitmap01[1] = f->io_bitmap01[1];
	memset(f->msr_bitmap01 + 100, 0x5a, 60);
	memset(f->io_bitmap01[1] + 7, 0, 1000);
	fixture_start(f);
}

static void enter(struct fixture *f)
{
	fixture_snapshot(f);
	ck_assert_int_eq(merge_vmcs02(&f->nested), 0);
	f->nested.in_l2 = true;
	memset(&f->nested.vmcs02.dirty, 0, sizeof(f->nested.vmcs02.dirty));
}

static void exit_to_l1(struct fixture *f)
{
	nested_reflect(&f->nested);
	memset(&f->vmcs01.dirty, 0, sizeof(f->vmcs01.dirty));
}

START_TEST(incremental_is_everything)
{
	static struct pair p;

	random_state = 0x9e3779b97f4a7c15ull + (uint64_t)_i * 0x1234567;
	start(&p.incremental, false, _i % 2);
	start(&p.everything, true, _i % 2);
	for (unsigned round = 0; round < ROUNDS; round++) {
		l1_runs(&p);
		l1_registers(&p);
		l0_runs(&p);
		enter(&p.incremental);
		enter(&p.everything);
		compare(&p.incremental.nested.vmcs02, &p.everything.nested.vmcs02, "vmcs02", round, true);
		ck_assert_mem_eq(p.incremental.config.msr_bitmap02.hva, p.everything.config.msr_bitmap02.hva, 4096);
		ck_assert_mem_eq(p.incremental.config.io_bitmap02[1].hva, p.everything.config.io_bitmap02[1].hva, 4096);
		l2_runs(&p);
		exit_to_l1(&p.incremental);
		exit_to_l1(&p.everything);
		compare(&p.incremental.vmcs01, &p.everything.vmcs01, "vmcs01", round, true);
		compare(p.incremental.vmcs12, p.everything.vmcs12, "vmcs12", round, false);
		compare(&p.incremental.nested.checked12, p.incremental.vmcs12, "checked12", round, false);
	}
	ck_assert_uint_lt(p.incremental.nested.counters[COUNTER_FIELDS_MERGED] * 2,
	        p.everything.nested.counters[COUNTER_FIELDS_MERGED]);
	fixture_teardown(&p.incremental);
	fixture_teardown(&p.everything);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: incremental merging");
	TCase *tcase = tcase_create("random");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, incremental_is_everything, 0, SEEDS);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
