/* SPDX-License-Identifier: Apache-2.0 */
/* VMCS shadowing: bitmaps, and what moves between the region and vmcs12. */
#include <string.h>

#include "fixture.h"
#include "shadowvmcs/shadow.h"

static struct vmcs *region(struct fixture *f)
{
	return f->config.shadow_region.hva;
}

static void start(struct fixture *f, enum fixture_kind kind)
{
	fixture_setup(f, kind);
	memset(f->config.shadow_region.hva, 0x5a, sizeof(struct vmcs));
	f->config.shadow_mode = SHADOW_SHADOW;
	fixture_start(f);
}

static bool bit(const struct nested_page *bitmap, uint32_t encoding)
{
	return ((const uint8_t *)bitmap->hva)[encoding / 8] >> encoding % 8 & 1;
}

/* SDM vol. 3, 25.6.15: a 0 for exactly the encodings that need no exit, of full and high accesses. */
static void check_bitmaps(struct fixture *f)
{
	unsigned readable = 0, writable = 0;

	for (uint32_t encoding = 0; encoding < 0x8000; encoding++) {
		const int field = vmcs_field_of_encoding(encoding);
		const bool shadowed = field >= 0 && !vmcs_mask_has(&f->machine.on_demand, (enum vmcs_field)field);
		const bool reads = shadowed && vmcs_field_infos[field].shadow != VMCS_SHADOW_NONE;
		const bool writes = shadowed && vmcs_field_infos[field].shadow == VMCS_SHADOW_RW;

		ck_assert_msg(bit(&f->config.vmread_bitmap, encoding) == !reads, "VMREAD bit of %#x", encoding);
		ck_assert_msg(bit(&f->config.vmwrite_bitmap, encoding) == !writes, "VMWRITE bit of %#x", encoding);
		readable += reads;
		writable += writes;
	}
	ck_assert_uint_gt(writable, 25);
	ck_assert_uint_gt(readable, writable + 8);
}

START_TEST(test_bitmaps)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	check_bitmaps(&f);
	ck_assert(!bit(&f.config.vmread_bitmap, VMCS_ENC_EXIT_REASON));
	ck_assert(bit(&f.config.vmwrite_bitmap, VMCS_ENC_EXIT_REASON));
	ck_assert(!bit(&f.config.vmwrite_bitmap, VMCS_ENC_GUEST_RIP));
	ck_assert(!bit(&f.config.vmread_bitmap, VMCS_ENC_GUEST_PHYSICAL_ADDRESS | 1));
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_on_demand_fields_are_not_shadowed)
{
	struct fixture f;

	start(&f, FIXTURE_PARAVIRTUAL);
	check_bitmaps(&f);
	ck_assert_uint_eq(vmcs_field_infos[VMCS_GUEST_CR0].shadow, VMCS_SHADOW_RW);
	ck_assert(bit(&f.config.vmread_bitmap, VMCS_ENC_GUEST_CR0));
	ck_assert(bit(&f.config.vmwrite_bitmap, VMCS_ENC_GUEST_CR0));
	/* Nor is what L1 scribbles into their place of the region taken. */
	region(&f)->field[VMCS_GUEST_CR0] = 0x1234;
	shadow_to_vmcs12(&f.nested);
	ck_assert_uint_ne(fixture_get(&f, VMCS_GUEST_CR0), 0x1234);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_vmcs01_links_the_region)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	ck_assert_uint_eq(region(&f)->revision_id, VMCS_REVISION_ID | VMCS_SHADOW_INDICATOR);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), f.config.shadow_region.hpa);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMREAD_BITMAP), f.config.vmread_bitmap.hpa);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMWRITE_BITMAP), f.config.vmwrite_bitmap.hpa);
	const uint64_t proc2 = vmcs_get(&f.vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
	ck_assert_uint_ne(proc2 & VMX_BIT(PROC2_VMCS_SHADOWING), 0);
	ck_assert_uint_ne(proc2 & VMX_BIT(PROC2_ENABLE_EPT), 0);

	shadow_stop(&f.nested);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), ~0ull);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS),
	        proc2 & ~(uint64_t)VMX_BIT(PROC2_VMCS_SHADOWING));
	fixture_teardown(&f);
}
END_TEST

/* A machine that is given plain memory as region has no control to set. */
START_TEST(test_paravirtual_machine_keeps_vmcs01)
{
	struct fixture f;

	start(&f, FIXTURE_PARAVIRTUAL);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_VMCS_LINK_POINTER), ~0ull);
	ck_assert_uint_eq(vmcs_get(&f.vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS) &
	                          VMX_BIT(PROC2_VMCS_SHADOWING),
	        0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_start_fills_the_region)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	for (unsigned i = 0; i < VMCS_FIELD_COUNT; i++) {
		const bool shadowed = vmcs_field_infos[i].shadow != VMCS_SHADOW_NONE;

		ck_assert_msg(
		        region(&f)->field[i] == (shadowed ? f.vmcs12->field[i] : 0), "%s", vmcs_field_infos[i].name);
	}
	ck_assert_uint_ne(region(&f)->field[VMCS_GUEST_RIP], 0);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_changes_go_to_vmcs12)
{
	const struct vmcs_mask none = {0};
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	memset(&f.vmcs12->dirty, 0, sizeof(f.vmcs12->dirty));
	shadow_to_vmcs12(&f.nested);
	ck_assert_mem_eq(&f.vmcs12->dirty, &none, sizeof(none));
	ck_assert_uint_eq(f.nested.counters[COUNTER_SHADOW_FIELDS_TO_VMCS12], 0);

	const uint64_t reason = fixture_get(&f, VMCS_EXIT_REASON);
	region(&f)->field[VMCS_GUEST_RIP] = 0x123456;
	region(&f)->field[VMCS_EXCEPTION_BITMAP] = 0xf00000042;
	region(&f)->field[VMCS_EXIT_REASON] = reason + 1; /* read-only */
	region(&f)->field[VMCS_GUEST_FS_BASE] = 0x777;    /* not shadowed */
	shadow_to_vmcs12(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x123456);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXCEPTION_BITMAP), 0x42);
	ck_assert_uint_eq(fixture_get(&f, VMCS_EXIT_REASON), reason);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_FS_BASE), 0);
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		ck_assert_int_eq(vmcs_mask_has(&f.vmcs12->dirty, (enum vmcs_field)i),
		        i == VMCS_GUEST_RIP || i == VMCS_EXCEPTION_BITMAP);
	ck_assert_uint_eq(f.nested.counters[COUNTER_SHADOW_FIELDS_TO_VMCS12], 2);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_changes_come_from_vmcs12)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	const uint64_t before = f.nested.counters[COUNTER_SHADOW_FIELDS_FROM_VMCS12];
	shadow_from_vmcs12(&f.nested);
	ck_assert_uint_eq(f.nested.counters[COUNTER_SHADOW_FIELDS_FROM_VMCS12], before);
	f.vmcs12->field[VMCS_EXIT_REASON] = 12;
	f.vmcs12->field[VMCS_GUEST_RSP] = 0x9999;
	f.vmcs12->field[VMCS_GUEST_FS_BASE] = 0x777; /* not shadowed */
	shadow_from_vmcs12(&f.nested);
	ck_assert_uint_eq(region(&f)->field[VMCS_EXIT_REASON], 12);
	ck_assert_uint_eq(region(&f)->field[VMCS_GUEST_RSP], 0x9999);
	ck_assert_uint_eq(region(&f)->field[VMCS_GUEST_FS_BASE], 0);
	ck_assert_uint_eq(f.nested.counters[COUNTER_SHADOW_FIELDS_FROM_VMCS12], before + 2);
	fixture_teardown(&f);
}
END_TEST

/* Where writes are marked, only marked fields of the region and only what reflection changed are looked at. */
START_TEST(test_marks_decide)
{
	struct fixture f;
	struct vmcs *shadow;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	f.machine.marks_written = true;
	f.config.shadow_mode = SHADOW_SHADOW;
	fixture_start(&f);
	shadow = region(&f);
	shadow->field[VMCS_GUEST_RSP] = 0x1111;
	vmcs_set(shadow, VMCS_GUEST_RIP, 0x2222);
	vmcs_set(shadow, VMCS_EXIT_REASON, 0x33); /* read-only: a mark of it moves nothing */
	shadow_to_vmcs12(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x2222);
	ck_assert(vmcs_mask_has(&f.vmcs12->dirty, VMCS_GUEST_RIP));
	ck_assert_uint_ne(fixture_get(&f, VMCS_GUEST_RSP), 0x1111);
	ck_assert_uint_ne(fixture_get(&f, VMCS_EXIT_REASON), 0x33);
	/* A mark counts once. */
	shadow->field[VMCS_GUEST_RIP] = 0x4444;
	shadow_to_vmcs12(&f.nested);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x2222);

	f.vmcs12->field[VMCS_GUEST_RIP] = 0x5555;
	f.vmcs12->field[VMCS_GUEST_RSP] = 0x6666;
	vmcs_mask_set(&f.nested.reflected, VMCS_GUEST_RIP);
	shadow_from_vmcs12(&f.nested);
	ck_assert_uint_eq(shadow->field[VMCS_GUEST_RIP], 0x5555);
	ck_assert_uint_eq(shadow->field[VMCS_GUEST_RSP], 0x1111);
	/* Another vmcs12: everything. */
	shadow_start(&f.nested);
	ck_assert_uint_eq(shadow->field[VMCS_GUEST_RSP], 0x6666);
	fixture_teardown(&f);
}
END_TEST

START_TEST(test_single_fields)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	region(&f)->field[VMCS_GUEST_RIP] = 0x4444;
	region(&f)->field[VMCS_GUEST_RSP] = 0x5555;
	shadow_take(&f.nested, VMCS_GUEST_RIP);
	ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), 0x4444);
	ck_assert_uint_ne(fixture_get(&f, VMCS_GUEST_RSP), 0x5555);
	/* A read-only field of the region is never a source. */
	region(&f)->field[VMCS_EXIT_REASON] = 77;
	shadow_take(&f.nested, VMCS_EXIT_REASON);
	ck_assert_uint_ne(fixture_get(&f, VMCS_EXIT_REASON), 77);
	f.vmcs12->field[VMCS_VM_INSTRUCTION_ERROR] = 12;
	shadow_put(&f.nested, VMCS_VM_INSTRUCTION_ERROR);
	ck_assert_uint_eq(region(&f)->field[VMCS_VM_INSTRUCTION_ERROR], 12);
	fixture_teardown(&f);
}
END_TEST

/* In the other modes the pages are not touched and vmcs01 is left alone. */
START_TEST(test_other_modes_do_nothing)
{
	for (int mode = SHADOW_TRAP; mode <= SHADOW_DIRECT; mode += SHADOW_DIRECT) {
		struct fixture f;
		struct vmcs vmcs01;

		fixture_setup(&f, FIXTURE_REAL_VMX);
		f.config.shadow_mode = (enum shadow_mode)mode;
		vmcs01 = f.vmcs01;
		fixture_start(&f);
		memset(f.config.shadow_region.hva, 0x5a, sizeof(struct vmcs));
		const uint64_t rip = fixture_get(&f, VMCS_GUEST_RIP);
		shadow_to_vmcs12(&f.nested);
		shadow_take(&f.nested, VMCS_GUEST_RIP);
		shadow_from_vmcs12(&f.nested);
		shadow_put(&f.nested, VMCS_GUEST_RIP);
		ck_assert_uint_eq(fixture_get(&f, VMCS_GUEST_RIP), rip);
		ck_assert_uint_eq(region(&f)->field[VMCS_GUEST_RIP], 0x5a5a5a5a5a5a5a5a);
		ck_assert_mem_eq(&vmcs01, &f.vmcs01, sizeof(vmcs01));
		fixture_teardown(&f);
	}
}
END_TEST

START_TEST(test_nothing_moves_without_a_current_vmcs)
{
	struct fixture f;

	start(&f, FIXTURE_REAL_VMX);
	f.nested.vmcs12 = NULL;
	const struct vmcs before = *region(&f);
	shadow_to_vmcs12(&f.nested);
	shadow_from_vmcs12(&f.nested);
	shadow_take(&f.nested, VMCS_GUEST_RIP);
	shadow_put(&f.nested, VMCS_GUEST_RIP);
	ck_assert_mem_eq(&before, region(&f), sizeof(before));
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadow");
	TCase *tests = tcase_create("shadow");

	tcase_add_test(tests, test_bitmaps);
	tcase_add_test(tests, test_on_demand_fields_are_not_shadowed);
	tcase_add_test(tests, test_vmcs01_links_the_region);
	tcase_add_test(tests, test_paravirtual_machine_keeps_vmcs01);
	tcase_add_test(tests, test_start_fills_the_region);
	tcase_add_test(tests, test_changes_go_to_vmcs12);
	tcase_add_test(tests, test_changes_come_from_vmcs12);
	tcase_add_test(tests, test_marks_decide);
	tcase_add_test(tests, test_single_fields);
	tcase_add_test(tests, test_other_modes_do_nothing);
	tcase_add_test(tests, test_nothing_moves_without_a_current_vmcs);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
