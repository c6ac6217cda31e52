/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings, widths and the data movement of VMREAD and VMWRITE. */
#include <string.h>

#include "fixture.h"

START_TEST(test_every_encoding_is_found)
{
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		const uint32_t encoding = vmcs_field_infos[i].encoding;

		ck_assert_int_eq(vmcs_field_of_encoding(encoding), i);
		ck_assert_int_eq(
		        vmcs_field_of_encoding(encoding | 1), vmcs_encoding_width(encoding) == VMCS_WIDTH_64 ? i : -1);
	}
}
END_TEST

/* All 32-bit encodings that have no reserved bit, and each reserved bit added to a good one. */
START_TEST(test_no_other_encoding_is_found)
{
	int found = 0, expected = 0;

	for (uint32_t encoding = 0; encoding < 0x8000; encoding++)
		found += vmcs_field_of_encoding(encoding) >= 0;
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		expected += vmcs_encoding_width(vmcs_field_infos[i].encoding) == VMCS_WIDTH_64 ? 2 : 1;
	ck_assert_int_eq(found, expected);

	for (unsigned bit = 0; bit < 32; bit++) {
		if (bit == 12 || bit >= 15)
			ck_assert_int_eq(vmcs_field_of_encoding(VMCS_ENC_GUEST_RIP | 1u << bit), -1);
	}
	ck_assert_int_eq(vmcs_field_of_encoding(VMCS_ENC_GUEST_RIP | 32u << 1), -1);
	ck_assert_int_eq(vmcs_field_of_encoding(VMCS_ENC_GUEST_RIP | 256u << 1), -1);
}
END_TEST

START_TEST(test_writes_keep_to_the_width)
{
	static const struct {
		uint32_t encoding;
		uint64_t kept;
	} cases[] = {
	        {VMCS_ENC_VIRTUAL_PROCESSOR_ID, 0xcdef},
	        {VMCS_ENC_EXCEPTION_BITMAP, 0x89abcdef},
	        {VMCS_ENC_EPT_POINTER, 0x0123456789abcdef},
	        {VMCS_ENC_GUEST_RIP, 0x0123456789abcdef},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmcs vmcs = {0};
		uint64_t value = 0;
		const int field = vmcs_field_of_encoding(cases[i].encoding);

		ck_assert(vmcs_write_encoding(&vmcs, cases[i].encoding, 0x0123456789abcdef));
		ck_assert_uint_eq(vmcs.field[field], cases[i].kept);
		ck_assert(vmcs_read_encoding(&vmcs, cases[i].encoding, &value));
		ck_assert_uint_eq(value, cases[i].kept);
	}
}
END_TEST

/* A value L1 put into the memory of its VMCS itself may be wider than the field. */
START_TEST(test_reads_keep_to_the_width)
{
	struct vmcs vmcs = {0};
	uint64_t value;

	vmcs.field[VMCS_GUEST_CS_SELECTOR] = ~0ull;
	vmcs.field[VMCS_GUEST_CS_LIMIT] = ~0ull;
	ck_assert(vmcs_read_encoding(&vmcs, VMCS_ENC_GUEST_CS_SELECTOR, &value));
	ck_assert_uint_eq(value, 0xffff);
	ck_assert(vmcs_read_encoding(&vmcs, VMCS_ENC_GUEST_CS_LIMIT, &value));
	ck_assert_uint_eq(value, 0xffffffff);
}
END_TEST

START_TEST(test_high_half)
{
	struct vmcs vmcs = {0};
	uint64_t value;

	vmcs.field[VMCS_EPT_POINTER] = 0x1111111122222222;
	ck_assert(vmcs_read_encoding(&vmcs, VMCS_ENC_EPT_POINTER | 1, &value));
	ck_assert_uint_eq(value, 0x11111111);
	/* Bits 63:32 of the source are not used. */
	ck_assert(vmcs_write_encoding(&vmcs, VMCS_ENC_EPT_POINTER | 1, 0x3333333344444444));
	ck_assert_uint_eq(vmcs.field[VMCS_EPT_POINTER], 0x4444444422222222);
	ck_assert(vmcs_mask_has(&vmcs.dirty, VMCS_EPT_POINTER));
	ck_assert(vmcs_write_encoding(&vmcs, VMCS_ENC_EPT_POINTER, 0x55));
	ck_assert_uint_eq(vmcs.field[VMCS_EPT_POINTER], 0x55);
}
END_TEST

START_TEST(test_unknown_encodings_move_nothing)
{
	struct vmcs vmcs, before;
	uint64_t value = 42;

	memset(&vmcs, 0, sizeof(vmcs));
	before = vmcs;
	ck_assert(!vmcs_read_encoding(&vmcs, 0x7fe, &value));
	ck_assert(!vmcs_read_encoding(&vmcs, VMCS_ENC_GUEST_RIP | 1, &value));
	ck_assert(!vmcs_write_encoding(&vmcs, 0x7fe, 1));
	ck_assert_uint_eq(value, 42);
	ck_assert_mem_eq(&vmcs, &before, sizeof(vmcs));
}
END_TEST

START_TEST(test_dirty_marks_changes_only)
{
	struct vmcs vmcs = {0};
	const struct vmcs_mask none = {0};

	vmcs_set(&vmcs, VMCS_GUEST_RIP, 0);
	ck_assert_mem_eq(&vmcs.dirty, &none, sizeof(none));
	vmcs_set(&vmcs, VMCS_GUEST_RIP, 1);
	ck_assert(vmcs_mask_has(&vmcs.dirty, VMCS_GUEST_RIP));
	vmcs_mask_clear(&vmcs.dirty, VMCS_GUEST_RIP);
	ck_assert_mem_eq(&vmcs.dirty, &none, sizeof(none));
	/* Each field has a bit of its own. */
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		vmcs_mask_set(&vmcs.dirty, (enum vmcs_field)i);
		for (int j = 0; j < VMCS_FIELD_COUNT; j++)
			ck_assert_int_eq(vmcs_mask_has(&vmcs.dirty, (enum vmcs_field)j), i == j);
		vmcs_mask_clear(&vmcs.dirty, (enum vmcs_field)i);
	}
}
END_TEST

START_TEST(test_width_masks)
{
	ck_assert_uint_eq(vmcs_width_mask(VMCS_WIDTH_16), 0xffff);
	ck_assert_uint_eq(vmcs_width_mask(VMCS_WIDTH_32), 0xffffffff);
	ck_assert_uint_eq(vmcs_width_mask(VMCS_WIDTH_64), ~0ull);
	ck_assert_uint_eq(vmcs_width_mask(VMCS_WIDTH_NATURAL), ~0ull);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vmcs");
	TCase *tests = tcase_create("vmcs");

	tcase_add_test(tests, test_every_encoding_is_found);
	tcase_add_test(tests, test_no_other_encoding_is_found);
	tcase_add_test(tests, test_writes_keep_to_the_width);
	tcase_add_test(tests, test_reads_keep_to_the_width);
	tcase_add_test(tests, test_high_half);
	tcase_add_test(tests, test_unknown_encodings_move_nothing);
	tcase_add_test(tests, test_dirty_marks_changes_only);
	tcase_add_test(tests, test_width_masks);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
