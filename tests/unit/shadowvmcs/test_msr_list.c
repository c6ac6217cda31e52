/* SPDX-License-Identifier: Apache-2.0 */
/* L1's MSR lists. SDM vol. 3, 27.4, 28.4, 28.6. */
#include <string.h>

#include "fixture.h"

enum { LIST = FIXTURE_GPA_MSR_LIST };

/* MSRs that no field holds. */
static struct {
	uint32_t msr;
	uint64_t value;
	unsigned writes;
} machine_msr;

static bool read_msr(void *ctx, uint32_t msr, uint64_t *value)
{
	(void)ctx;
	*value = machine_msr.value;
	return msr == machine_msr.msr;
}

static bool write_msr(void *ctx, uint32_t msr, uint64_t value)
{
	(void)ctx;
	if (msr != machine_msr.msr)
		return false;
	machine_msr.value = value;
	machine_msr.writes++;
	return true;
}

static void start(struct fixture *f)
{
	machine_msr.msr = 0xc0000082; /* IA32_LSTAR */
	machine_msr.value = 0x1111;
	machine_msr.writes = 0;
	fixture_setup(f, FIXTURE_REAL_VMX);
	f->config.ops.read_msr = read_msr;
	f->config.ops.write_msr = write_msr;
	fixture_start(f);
	f->nested.vmcs02.field[VMCS_GUEST_CR0] = 0x80000031;
	f->nested.vmcs02.field[VMCS_GUEST_IA32_EFER] = 0x500;
}

static void entry(struct fixture *f, unsigned index, uint64_t msr, uint64_t data)
{
	fixture_write64(f, LIST + index * 16, msr);
	fixture_write64(f, LIST + index * 16 + 8, data);
}

static uint32_t load_one(struct fixture *f, uint64_t msr, uint64_t data)
{
	entry(f, 0, msr, data);
	return nested_msr_load(&f->nested, &f->nested.vmcs02, LIST, 1);
}

START_TEST(test_fields)
{
	static const struct {
		uint32_t msr;
		enum vmcs_field field;
		uint64_t good, bad; /* bad 0: any value is good */
	} cases[] = {
	        {0x174, VMCS_GUEST_IA32_SYSENTER_CS, 0x1234, 0},
	        {0x175, VMCS_GUEST_IA32_SYSENTER_ESP, 0xffff800000000000, 1ull << 47},
	        {0x176, VMCS_GUEST_IA32_SYSENTER_EIP, 0x7fffffffffff, 1ull << 63},
	        {0x1d9, VMCS_GUEST_IA32_DEBUGCTL, 2, 4},
	        {0x277, VMCS_GUEST_IA32_PAT, 0x0606060606060606, 0x0206060606060606},
	        {0x38f, VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, 3, 1ull << 63},
	        {0xd90, VMCS_GUEST_IA32_BNDCFGS, 0x1003, 0x1004},
	        {0xc0000080, VMCS_GUEST_IA32_EFER, 0xd01, 1ull << 1},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		start(&f);
		const uint64_t before = f.nested.vmcs02.field[cases[i].field];
		if (cases[i].bad) {
			ck_assert_msg(load_one(&f, cases[i].msr, cases[i].bad) == 1, "bad value of %#x", cases[i].msr);
			ck_assert_uint_eq(f.nested.vmcs02.field[cases[i].field], before);
		}
		ck_assert_msg(load_one(&f, cases[i].msr, cases[i].good) == 0, "good value of %#x", cases[i].msr);
		ck_assert_uint_eq(f.nested.vmcs02.field[cases[i].field], cases[i].good);
		ck_assert(vmcs_mask_has(&f.nested.vmcs02.dirty, cases[i].field));
		ck_assert_uint_eq(machine_msr.writes, 0);

		entry(&f, 0, cases[i].msr, 0);
		ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 0);
		ck_assert_uint_eq(fixture_read64(&f, LIST + 8), cases[i].good);
		fixture_teardown(&f);
	}
}
END_TEST

/* LME cannot change while paging is on, LMA not at all. */
START_TEST(test_efer)
{
	struct fixture f;

	start(&f);
	ck_assert_uint_eq(load_one(&f, 0xc0000080, 0x1), 1);
	ck_assert_uint_eq(load_one(&f, 0xc0000080, 0x101), 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_EFER], 0x501);
	f.nested.vmcs02.field[VMCS_GUEST_CR0] = 0x31;
	f.nested.vmcs02.field[VMCS_GUEST_IA32_EFER] = 0;
	ck_assert_uint_eq(load_one(&f, 0xc0000080, 0x500), 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_EFER], 0x100);
	fixture_teardown(&f);
}
END_TEST

/* The field has 32 bits; WRMSR takes 64. */
START_TEST(test_sysenter_cs)
{
	struct fixture f;

	start(&f);
	ck_assert_uint_eq(load_one(&f, 0x174, 0x500001234), 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_SYSENTER_CS], 0x1234);
	fixture_teardown(&f);
}
END_TEST

static void machine_has_efer(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_IA32_EFER] = 0xd01;
}

static void machine_is_unpaged(struct fixture *f, struct vmcs *vmcs)
{
	(void)f;
	vmcs->field[VMCS_GUEST_CR0] = 0x31;
}

START_TEST(test_stale_fields_are_fetched)
{
	struct fixture f;

	start(&f);
	f.on_fetch = machine_has_efer;
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_EFER);
	entry(&f, 0, 0xc0000080, 0);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 0);
	ck_assert_uint_eq(fixture_read64(&f, LIST + 8), 0xd01);
	ck_assert_uint_eq(f.fetches, 1);
	/* What a load depends on is fetched too: EFER.LMA, and CR0.PG for a change of LME. */
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_EFER);
	f.nested.vmcs02.field[VMCS_GUEST_IA32_EFER] = 0;
	ck_assert_uint_eq(load_one(&f, 0xc0000080, 0x101), 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_EFER], 0x501);
	ck_assert_uint_eq(f.fetches, 2);
	f.on_fetch = machine_is_unpaged;
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_CR0);
	ck_assert_uint_eq(load_one(&f, 0xc0000080, 1), 0);
	/* A value loaded over a stale one is the machine's to take, even if it looks unchanged. */
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_PAT);
	memset(&f.nested.vmcs02.dirty, 0, sizeof(f.nested.vmcs02.dirty));
	ck_assert_uint_eq(load_one(&f, 0x277, f.nested.vmcs02.field[VMCS_GUEST_IA32_PAT]), 0);
	ck_assert(!vmcs_mask_has(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_PAT));
	ck_assert(vmcs_mask_has(&f.nested.vmcs02.dirty, VMCS_GUEST_IA32_PAT));
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_msrs_of_the_machine)
{
	struct fixture f;

	start(&f);
	ck_assert_uint_eq(load_one(&f, 0xc0000082, 0x2222), 0);
	ck_assert_uint_eq(machine_msr.value, 0x2222);
	ck_assert_uint_eq(load_one(&f, 0xc0000083, 0x2222), 1);
	entry(&f, 0, 0xc0000082, 0);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 0);
	ck_assert_uint_eq(fixture_read64(&f, LIST + 8), 0x2222);
	entry(&f, 0, 0xc0000083, 0x77);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 1);
	ck_assert_uint_eq(fixture_read64(&f, LIST + 8), 0x77);

	f.nested.config.ops.read_msr = NULL;
	f.nested.config.ops.write_msr = NULL;
	ck_assert_uint_eq(load_one(&f, 0xc0000082, 0), 1);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 1);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_forbidden_entries)
{
	static const uint64_t loads[] = {0xc0000100, 0xc0000101, 0x800, 0x8ff, 0x9b, 1ull << 32 | 0x174};
	static const uint64_t stores[] = {0x800, 0x8ff, 0x9e, 1ull << 63 | 0x174};
	struct fixture f;

	start(&f);
	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		machine_msr.msr = (uint32_t)loads[i];
		ck_assert_msg(load_one(&f, loads[i], 0) == 1, "load of %#llx", (unsigned long long)loads[i]);
	}
	for (unsigned i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		machine_msr.msr = (uint32_t)stores[i];
		entry(&f, 0, stores[i], 0);
		ck_assert_msg(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1) == 1, "store of %#llx",
		        (unsigned long long)stores[i]);
	}
	/* A store may name the bases, which are fields. */
	f.nested.vmcs02.field[VMCS_GUEST_FS_BASE] = 0x5555;
	entry(&f, 0, 0xc0000100, 0);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST, 1), 0);
	ck_assert_uint_eq(fixture_read64(&f, LIST + 8), 0x5555);
	fixture_teardown(&f);
}
END_TEST

/* In order, up to the first that fails, whose number is given from 1. */
START_TEST(test_order)
{
	struct fixture f;

	start(&f);
	entry(&f, 0, 0x174, 1);
	entry(&f, 1, 0x174, 2);
	entry(&f, 2, 0xc0000100, 3);
	entry(&f, 3, 0x174, 4);
	ck_assert_uint_eq(nested_msr_load(&f.nested, &f.nested.vmcs02, LIST, 4), 3);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_SYSENTER_CS], 2);
	ck_assert_uint_eq(nested_msr_load(&f.nested, &f.nested.vmcs02, LIST, 0), 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_lists_of_any_length_and_place)
{
	struct fixture f;

	start(&f);
	for (unsigned i = 0; i < 600; i++)
		entry(&f, i + 0x1000, 0x174, i);
	ck_assert_uint_eq(nested_msr_load(&f.nested, &f.nested.vmcs02, LIST + 0x10000, 512), 0);
	ck_assert_uint_eq(f.nested.vmcs02.field[VMCS_GUEST_IA32_SYSENTER_CS], 511);
	ck_assert_uint_eq(nested_msr_load(&f.nested, &f.nested.vmcs02, LIST + 0x10000, ~0u), 513);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, LIST + 0x10000, ~0u), 513);
	/* A list that leaves L1's memory. */
	fixture_write64(&f, FIXTURE_MEMORY_BYTES - 16, 0x174);
	ck_assert_uint_eq(nested_msr_load(&f.nested, &f.nested.vmcs02, FIXTURE_MEMORY_BYTES - 16, 2), 2);
	ck_assert_uint_eq(nested_msr_store(&f.nested, &f.nested.vmcs02, FIXTURE_MEMORY_BYTES - 16, 2), 2);
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("msr_list");
	TCase *tests = tcase_create("msr_list");

	tcase_add_test(tests, test_fields);
	tcase_add_test(tests, test_efer);
	tcase_add_test(tests, test_sysenter_cs);
	tcase_add_test(tests, test_stale_fields_are_fetched);
	tcase_add_test(tests, test_msrs_of_the_machine);
	tcase_add_test(tests, test_forbidden_entries);
	tcase_add_test(tests, test_order);
	tcase_add_test(tests, test_lists_of_any_length_and_place);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
