/* SPDX-License-Identifier: Apache-2.0 */
/* The fact files against what the SDM's rules imply, and against a few values copied from its tables by hand. */
#include <string.h>

#include "fixture.h"

START_TEST(test_fields_are_sorted_and_unique)
{
	for (int i = 1; i < VMCS_FIELD_COUNT; i++) {
		ck_assert_msg(vmcs_field_infos[i].encoding > vmcs_field_infos[i - 1].encoding, "%s is out of order",
		        vmcs_field_infos[i].name);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(vmcs_field_infos[i].name, vmcs_field_infos[j].name);
	}
}
END_TEST

/* Table 25-21: bits 12 and 31:15 are reserved, bit 0 is for the high half. */
START_TEST(test_encodings_have_no_reserved_bits)
{
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		ck_assert_uint_eq(vmcs_field_infos[i].encoding & 0x9001, 0);
		ck_assert_ptr_nonnull(vmcs_field_infos[i].text);
		ck_assert_uint_gt(strlen(vmcs_field_infos[i].text), 3);
		ck_assert_msg(strncmp(vmcs_field_infos[i].section, "25.", 3) == 0, "%s: section %s",
		        vmcs_field_infos[i].name, vmcs_field_infos[i].section);
	}
}
END_TEST

/* Exit information is what a guest may only read; everything else is read and written or not shadowed at all. */
START_TEST(test_shadow_class_follows_type)
{
	unsigned ro = 0, rw = 0;

	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		const struct vmcs_field_info *info = &vmcs_field_infos[i];
		const bool read_only = vmcs_encoding_type(info->encoding) == VMCS_TYPE_READ_ONLY;

		if (info->shadow == VMCS_SHADOW_RO)
			ck_assert_msg(read_only, "%s is shadowed read-only", info->name);
		if (info->shadow == VMCS_SHADOW_RW)
			ck_assert_msg(!read_only, "%s is shadowed read-write", info->name);
		ro += info->shadow == VMCS_SHADOW_RO;
		rw += info->shadow == VMCS_SHADOW_RW;
	}
	ck_assert_uint_gt(ro, 8);
	ck_assert_uint_gt(rw, 20);
}
END_TEST

START_TEST(test_how_follows_type)
{
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		const struct vmcs_field_info *info = &vmcs_field_infos[i];
		const enum vmcs_type type = vmcs_encoding_type(info->encoding);

		ck_assert_msg((info->how == VMCS_HOW_HOST) == (type == VMCS_TYPE_HOST), "%s: host", info->name);
		if (info->how == VMCS_HOW_EXIT)
			ck_assert_msg(type == VMCS_TYPE_READ_ONLY, "%s: exit", info->name);
		if (info->how == VMCS_HOW_GUEST)
			ck_assert_msg(type == VMCS_TYPE_GUEST, "%s: guest", info->name);
		if (info->how == VMCS_HOW_OR || info->how == VMCS_HOW_ENTRY)
			ck_assert_msg(type == VMCS_TYPE_CONTROL, "%s: control", info->name);
		if (type == VMCS_TYPE_READ_ONLY)
			ck_assert_msg(
			        info->how == VMCS_HOW_EXIT || info->how == VMCS_HOW_NONE, "%s: read-only", info->name);
	}
}
END_TEST

static bool ends_in(const char *name, const char *end)
{
	return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

/* The name says the type where the SDM's name does. */
START_TEST(test_names_follow_type)
{
	for (int i = 0; i < VMCS_FIELD_COUNT; i++) {
		const struct vmcs_field_info *info = &vmcs_field_infos[i];
		const enum vmcs_type type = vmcs_encoding_type(info->encoding);

		if (strncmp(info->name, "HOST_", 5) == 0)
			ck_assert_msg(type == VMCS_TYPE_HOST, "%s", info->name);
		if (strncmp(info->name, "GUEST_", 6) == 0 && strcmp(info->name, "GUEST_PHYSICAL_ADDRESS") != 0 &&
		        strcmp(info->name, "GUEST_LINEAR_ADDRESS") != 0)
			ck_assert_msg(type == VMCS_TYPE_GUEST, "%s", info->name);
		if (ends_in(info->name, "_SELECTOR"))
			ck_assert_msg(vmcs_encoding_width(info->encoding) == VMCS_WIDTH_16, "%s", info->name);
		if (ends_in(info->name, "_ACCESS_RIGHTS") || ends_in(info->name, "_LIMIT"))
			ck_assert_msg(vmcs_encoding_width(info->encoding) == VMCS_WIDTH_32, "%s", info->name);
		if (ends_in(info->name, "_BASE"))
			ck_assert_msg(vmcs_encoding_width(info->encoding) == VMCS_WIDTH_NATURAL, "%s", info->name);
		if (ends_in(info->name, "_BITMAP") && strcmp(info->name, "EXCEPTION_BITMAP") != 0)
			ck_assert_msg(vmcs_encoding_width(info->encoding) == VMCS_WIDTH_64, "%s", info->name);
	}
}
END_TEST

/* Copied from appendix B by hand: one or two of each width and type. */
START_TEST(test_some_encodings)
{
	ck_assert_uint_eq(VMCS_ENC_VIRTUAL_PROCESSOR_ID, 0x0000);
	ck_assert_uint_eq(VMCS_ENC_GUEST_TR_SELECTOR, 0x080e);
	ck_assert_uint_eq(VMCS_ENC_HOST_TR_SELECTOR, 0x0c0c);
	ck_assert_uint_eq(VMCS_ENC_EPT_POINTER, 0x201a);
	ck_assert_uint_eq(VMCS_ENC_TSC_MULTIPLIER, 0x2032);
	ck_assert_uint_eq(VMCS_ENC_GUEST_PHYSICAL_ADDRESS, 0x2400);
	ck_assert_uint_eq(VMCS_ENC_VMCS_LINK_POINTER, 0x2800);
	ck_assert_uint_eq(VMCS_ENC_HOST_IA32_EFER, 0x2c02);
	ck_assert_uint_eq(VMCS_ENC_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, 0x401e);
	ck_assert_uint_eq(VMCS_ENC_VM_INSTRUCTION_ERROR, 0x4400);
	ck_assert_uint_eq(VMCS_ENC_EXIT_REASON, 0x4402);
	ck_assert_uint_eq(VMCS_ENC_GUEST_ACTIVITY_STATE, 0x4826);
	ck_assert_uint_eq(VMCS_ENC_VMX_PREEMPTION_TIMER_VALUE, 0x482e);
	ck_assert_uint_eq(VMCS_ENC_HOST_IA32_SYSENTER_CS, 0x4c00);
	ck_assert_uint_eq(VMCS_ENC_CR4_READ_SHADOW, 0x6006);
	ck_assert_uint_eq(VMCS_ENC_EXIT_QUALIFICATION, 0x6400);
	ck_assert_uint_eq(VMCS_ENC_GUEST_LINEAR_ADDRESS, 0x640a);
	ck_assert_uint_eq(VMCS_ENC_GUEST_RIP, 0x681e);
	ck_assert_uint_eq(VMCS_ENC_HOST_RIP, 0x6c16);
}
END_TEST

START_TEST(test_exit_reasons)
{
	unsigned known = 0;

	for (uint32_t i = 0; i < EXIT_REASON_LIMIT; i++) {
		const struct exit_reason_info *info = &exit_reason_infos[i];

		if (!info->name) {
			ck_assert_str_eq(exit_reason_name(i), "UNKNOWN");
			continue;
		}
		known++;
		ck_assert_str_eq(exit_reason_name(i), info->name);
		ck_assert_int_eq(info->text[strlen(info->text) - 1], '.');
		ck_assert_uint_le(info->owner, EXIT_OWNER_BOTH);
		ck_assert_uint_lt(info->group, EXIT_GROUP_COUNT);
		for (uint32_t j = 0; j < i; j++)
			ck_assert(!exit_reason_infos[j].name || strcmp(exit_reason_infos[j].name, info->name) != 0);
	}
	/* Table C-1 has 35, 38, 42 and 71 reserved. */
	ck_assert_uint_eq(known, EXIT_REASON_LIMIT - 4);
	ck_assert_str_eq(exit_reason_name(EXIT_REASON_LIMIT), "UNKNOWN");
	ck_assert_str_eq(exit_reason_name(0xffff), "UNKNOWN");
	ck_assert_str_eq(exit_reason_name(48), "EPT_VIOLATION");
	ck_assert_uint_eq(EXIT_REASON_VMRESUME, 24);
	ck_assert_uint_eq(EXIT_REASON_INVVPID, 53);
}
END_TEST

START_TEST(test_counters)
{
	for (int i = 0; i < COUNTER_COUNT; i++) {
		const struct counter_info *info = &counter_infos[i];
		const size_t length = strlen(info->text);

		ck_assert_uint_gt(strlen(info->unit), 2);
		ck_assert_msg(length > 10 && info->text[length - 1] == '.', "%s has no sentence", info->name);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(info->name, counter_infos[j].name);
	}
	ck_assert_str_eq(counter_infos[COUNTER_REFLECTED].name, "REFLECTED");
}
END_TEST

static const struct {
	enum vmx_control_word word;
	unsigned bit;
	const char *text;
} controls[] = {
#define VMX_CONTROL(word, bit, name, text) {VMX_WORD_##word, bit, text},
#include "shadowvmcs/vmx_controls.def"
#undef VMX_CONTROL
};

START_TEST(test_controls_are_unique)
{
	for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		ck_assert_uint_lt(controls[i].bit, 32);
		ck_assert_str_eq(caps_control_name(controls[i].word, controls[i].bit), controls[i].text);
		for (unsigned j = 0; j < i; j++) {
			if (controls[j].word != controls[i].word)
				continue;
			ck_assert_uint_ne(controls[j].bit, controls[i].bit);
			ck_assert_str_ne(controls[j].text, controls[i].text);
		}
	}
	ck_assert_uint_eq(VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS), 0x80000000u);
	ck_assert_uint_eq(VMX_BIT(PROC2_UNRESTRICTED_GUEST), 0x80);
	ck_assert_uint_eq(VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE), 0x200);
	ck_assert_uint_eq(VMX_BIT(ENTRY_IA32E_MODE_GUEST), 0x200);
	ck_assert_uint_eq(VMX_BIT(PIN_VIRTUAL_NMIS), 0x20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("facts");
	TCase *tests = tcase_create("facts");

	tcase_add_test(tests, test_fields_are_sorted_and_unique);
	tcase_add_test(tests, test_encodings_have_no_reserved_bits);
	tcase_add_test(tests, test_shadow_class_follows_type);
	tcase_add_test(tests, test_how_follows_type);
	tcase_add_test(tests, test_names_follow_type);
	tcase_add_test(tests, test_some_encodings);
	tcase_add_test(tests, test_exit_reasons);
	tcase_add_test(tests, test_counters);
	tcase_add_test(tests, test_controls_are_unique);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
