/* SPDX-License-Identifier: Apache-2.0 */
/* The capability MSRs L1 reads: SDM vol. 3, appendix A. */
#include <string.h>

#include "fixture.h"

static void offer(enum fixture_kind kind, struct machine_caps *machine, struct vmx_caps *caps)
{
	struct fixture f;

	fixture_setup(&f, kind);
	*machine = f.machine;
	fixture_teardown(&f);
	caps_offer(caps, machine);
}

static uint64_t msr(const struct vmx_caps *caps, uint32_t number)
{
	uint64_t value = 0;

	ck_assert_msg(caps_read_msr(caps, number, &value), "RDMSR of %#x", number);
	return value;
}

/* A.1 */
START_TEST(test_basic)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	const uint64_t basic = msr(&caps, 0x480);
	ck_assert_uint_eq(basic & 0xffffffff, VMCS_REVISION_ID);
	ck_assert_uint_eq(basic >> 31 & 1, 0);
	ck_assert_uint_eq(basic >> 32 & 0x1fff, 4096);
	ck_assert_uint_eq(basic >> 48 & 1, 0);
	ck_assert_uint_eq(basic >> 49 & 1, 0);
	ck_assert_uint_eq(basic >> 50 & 15, 6);
	ck_assert_uint_eq(basic >> 54 & 1, 1);
	ck_assert_uint_eq(basic >> 55 & 1, 1);
	ck_assert_uint_eq(basic >> 56, 0);
}
END_TEST

static const struct {
	uint32_t plain, truly;
	uint32_t default1, true_default1;
	enum vmx_control_word word;
} words[] = {
        {0x481, 0x48d, 0x00000016, 0x00000016, VMX_WORD_PIN},
        {0x482, 0x48e, 0x0401e172, 0x04006172, VMX_WORD_PROC},
        {0x483, 0x48f, 0x00036dff, 0x00036dfb, VMX_WORD_EXIT},
        {0x484, 0x490, 0x000011ff, 0x000011fb, VMX_WORD_ENTRY},
};

/* A.2: "if bit X is 1 in the low half it is 1 in the high half", and the TRUE MSRs only relax the plain ones. */
START_TEST(test_control_words)
{
	for (int kind = FIXTURE_REAL_VMX; kind <= FIXTURE_PARAVIRTUAL; kind++) {
		struct machine_caps machine;
		struct vmx_caps caps;

		offer((enum fixture_kind)kind, &machine, &caps);
		for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			const uint64_t plain = msr(&caps, words[i].plain), truly = msr(&caps, words[i].truly);

			ck_assert_uint_eq((uint32_t)plain, words[i].default1);
			ck_assert_uint_eq((uint32_t)truly, words[i].true_default1);
			ck_assert_uint_eq((uint32_t)plain & ~(uint32_t)(plain >> 32), 0);
			ck_assert_uint_eq((uint32_t)truly & ~(uint32_t)(truly >> 32), 0);
			ck_assert_uint_eq(caps_must_be_one(&caps, words[i].word), (uint32_t)truly);
			ck_assert_uint_eq(caps_may_be_one(&caps, words[i].word), (uint32_t)(truly >> 32));
			/* Nothing the machine does not honour, but for bits that are fixed to 1. */
			ck_assert_uint_eq(
			        (uint32_t)(truly >> 32) & ~(machine.honours[words[i].word] | words[i].true_default1),
			        0);
		}
	}
}
END_TEST

START_TEST(test_machine_limits_the_offer)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	for (int word = 0; word < VMX_WORD_COUNT; word++) {
		const uint32_t offered = caps_may_be_one(&caps, (enum vmx_control_word)word) &
		                         ~caps_must_be_one(&caps, (enum vmx_control_word)word);

		for (unsigned bit = 0; bit < 32; bit++) {
			struct machine_caps less = machine;
			struct vmx_caps fewer;

			if (!(offered >> bit & 1))
				continue;
			less.honours[word] &= ~(1u << bit);
			caps_offer(&fewer, &less);
			ck_assert_msg(!(caps_may_be_one(&fewer, (enum vmx_control_word)word) >> bit & 1),
			        "\"%s\" is offered though the machine does not honour it",
			        caps_control_name((enum vmx_control_word)word, bit));
		}
	}
}
END_TEST

/* What the engine has no code for, whatever the machine can do. */
START_TEST(test_engine_limits_the_offer)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert_uint_ne(machine.honours[VMX_WORD_PROC2] & VMX_BIT(PROC2_VMCS_SHADOWING), 0);
	ck_assert_uint_eq(
	        caps_may_be_one(&caps, VMX_WORD_PROC2) &
	                (VMX_BIT(PROC2_VMCS_SHADOWING) | VMX_BIT(PROC2_ENABLE_VM_FUNCTIONS) |
	                        VMX_BIT(PROC2_EPT_VIOLATION_VE) | VMX_BIT(PROC2_ENABLE_PML) |
	                        VMX_BIT(PROC2_CONCEAL_VMX_FROM_PT) | VMX_BIT(PROC2_MODE_BASED_EXECUTE_CONTROL)),
	        0);
	ck_assert_uint_eq(caps_may_be_one(&caps, VMX_WORD_PIN) & VMX_BIT(PIN_POSTED_INTERRUPTS), 0);
	ck_assert_uint_eq(caps_may_be_one(&caps, VMX_WORD_ENTRY) &
	                          (VMX_BIT(ENTRY_ENTRY_TO_SMM) | VMX_BIT(ENTRY_DEACTIVATE_DUAL_MONITOR)),
	        0);
	/* And what every hypervisor of today needs is there. */
	ck_assert_uint_ne(caps_may_be_one(&caps, VMX_WORD_PROC2) & VMX_BIT(PROC2_ENABLE_EPT), 0);
	ck_assert_uint_ne(caps_may_be_one(&caps, VMX_WORD_PROC2) & VMX_BIT(PROC2_UNRESTRICTED_GUEST), 0);
	ck_assert_uint_ne(caps_may_be_one(&caps, VMX_WORD_PROC) & VMX_BIT(PROC_USE_MSR_BITMAPS), 0);
}
END_TEST

START_TEST(test_always_on_controls_must_be_one)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_PARAVIRTUAL, &machine, &caps);
	machine.always[VMX_WORD_PROC] = VMX_BIT(PROC_HLT_EXITING);
	machine.honours[VMX_WORD_PROC] &= ~VMX_BIT(PROC_HLT_EXITING);
	caps_offer(&caps, &machine);
	ck_assert_uint_ne(caps_must_be_one(&caps, VMX_WORD_PROC) & VMX_BIT(PROC_HLT_EXITING), 0);
	ck_assert_uint_ne(caps_may_be_one(&caps, VMX_WORD_PROC) & VMX_BIT(PROC_HLT_EXITING), 0);
	ck_assert_uint_ne((uint32_t)msr(&caps, 0x482) & VMX_BIT(PROC_HLT_EXITING), 0);
}
END_TEST

/* 27.2.1.1: a control that needs another one is not offered without it. */
START_TEST(test_dependent_controls)
{
	static const struct {
		enum vmx_control_word word;
		uint32_t bit;
		enum vmx_control_word gone_word;
		uint32_t gone;
	} cases[] = {
	        {VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_EPT), VMX_WORD_PROC2, VMX_BIT(PROC2_UNRESTRICTED_GUEST)},
	        {VMX_WORD_PIN, VMX_BIT(PIN_NMI_EXITING), VMX_WORD_PIN, VMX_BIT(PIN_VIRTUAL_NMIS)},
	        {VMX_WORD_PIN, VMX_BIT(PIN_NMI_EXITING), VMX_WORD_PROC, VMX_BIT(PROC_NMI_WINDOW_EXITING)},
	        {VMX_WORD_PIN, VMX_BIT(PIN_PREEMPTION_TIMER), VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER)},
	        {VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW), VMX_WORD_PROC2, VMX_BIT(PROC2_VIRTUALIZE_X2APIC_MODE)},
	        {VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW), VMX_WORD_PROC2, VMX_BIT(PROC2_APIC_REGISTER_VIRTUALIZATION)},
	        {VMX_WORD_PROC, VMX_BIT(PROC_TPR_SHADOW), VMX_WORD_PROC2, VMX_BIT(PROC2_VIRTUAL_INTERRUPT_DELIVERY)},
	        {VMX_WORD_PIN, VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING), VMX_WORD_PROC2,
	                VMX_BIT(PROC2_VIRTUAL_INTERRUPT_DELIVERY)},
	};
	struct machine_caps machine;
	struct vmx_caps caps;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		offer(FIXTURE_REAL_VMX, &machine, &caps);
		ck_assert_uint_ne(caps_may_be_one(&caps, cases[i].gone_word) & cases[i].gone, 0);
		machine.honours[cases[i].word] &= ~cases[i].bit;
		caps_offer(&caps, &machine);
		ck_assert_uint_eq(caps_may_be_one(&caps, cases[i].gone_word) & cases[i].gone, 0);
	}
}
END_TEST

START_TEST(test_secondary_controls_exist_only_when_activated)
{
	struct machine_caps machine;
	struct vmx_caps caps;
	uint64_t value;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert_uint_eq((uint32_t)msr(&caps, 0x48b), 0);
	ck_assert_uint_eq(msr(&caps, 0x48b) >> 32, caps_may_be_one(&caps, VMX_WORD_PROC2));
	ck_assert(!caps_read_msr(&caps, 0x491, &value));

	machine.honours[VMX_WORD_PROC] &= ~VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS);
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(caps_may_be_one(&caps, VMX_WORD_PROC2), 0);
	ck_assert(!caps_read_msr(&caps, 0x48b, &value));
	ck_assert(!caps_read_msr(&caps, 0x48c, &value));
}
END_TEST

/* A.6 */
START_TEST(test_misc)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert_uint_eq(msr(&caps, 0x485), machine.misc);
	machine.misc = ~0ull;
	caps_offer(&caps, &machine);
	const uint64_t misc = msr(&caps, 0x485);
	ck_assert_uint_eq(misc >> 16 & 0x1ff, 4);
	ck_assert_uint_eq(misc >> 32, 0); /* MSEG revision: no SMM */
	ck_assert_uint_eq(misc & (1u << 14 | 1u << 15 | 1u << 28), 0);
	machine.misc = 2u << 16 | 3u << 25;
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x485) & ~(1ull << 5), 2u << 16 | 3u << 25);
	machine.misc = 0;
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x485), 1u << 5); /* follows from unrestricted guest */
	machine.honours[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_UNRESTRICTED_GUEST);
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x485), 0);
}
END_TEST

/* A.7, A.8 */
START_TEST(test_fixed_bits)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert_uint_eq(msr(&caps, 0x486), 0x80000021);
	ck_assert_uint_eq(msr(&caps, 0x487), 0xffffffff);
	ck_assert_uint_eq(msr(&caps, 0x488), 0x2000);
	ck_assert_uint_eq(msr(&caps, 0x489), machine.cr4_fixed1 | 0x2000);
	machine.cr4_fixed1 = 0x20;
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x489), 0x2020);
	machine.real_vmx = false;
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x488), 0);
	ck_assert_uint_eq(msr(&caps, 0x489), 0x20);
}
END_TEST

/* A.9: no encoding has a larger index, and one has this. */
START_TEST(test_vmcs_enum)
{
	struct machine_caps machine;
	struct vmx_caps caps;
	unsigned highest = 0;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	for (uint32_t encoding = 0; encoding < 0x8000; encoding++) {
		if (vmcs_field_of_encoding(encoding) >= 0 && (encoding >> 1 & 0x1ff) > highest)
			highest = encoding >> 1 & 0x1ff;
	}
	ck_assert_uint_eq(msr(&caps, 0x48a), highest << 1);
}
END_TEST

/* A.10 */
START_TEST(test_ept_vpid_cap)
{
	const uint64_t vpid_part = 0xfff00000000ull;
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert_uint_eq(msr(&caps, 0x48c), machine.ept_vpid);
	machine.ept_vpid = ~0ull;
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x48c) & EPT_CAP_ADVANCED_EXIT_INFO, 0);
	ck_assert_uint_eq(msr(&caps, 0x48c) & 1u << 7, 0); /* 5-level walks */
	machine.honours[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_ENABLE_EPT);
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x48c) & ~vpid_part, 0);
	ck_assert_uint_ne(msr(&caps, 0x48c), 0);
	machine.honours[VMX_WORD_PROC2] |= VMX_BIT(PROC2_ENABLE_EPT);
	machine.honours[VMX_WORD_PROC2] &= ~VMX_BIT(PROC2_ENABLE_VPID);
	caps_offer(&caps, &machine);
	ck_assert_uint_eq(msr(&caps, 0x48c) & vpid_part, 0);
	ck_assert_uint_ne(msr(&caps, 0x48c), 0);
}
END_TEST

START_TEST(test_msr_range)
{
	struct machine_caps machine;
	struct vmx_caps caps;
	uint64_t value;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	ck_assert(!caps_read_msr(&caps, 0x47f, &value));
	ck_assert(!caps_read_msr(&caps, 0x492, &value));
	ck_assert(!caps_read_msr(&caps, 0xc0000480, &value));
	for (uint32_t number = 0x480; number <= 0x490; number++)
		ck_assert(caps_read_msr(&caps, number, &value));
}
END_TEST

/* A machine that claims bits nobody defined does not get them through. */
START_TEST(test_unknown_bits_are_not_offered)
{
	struct machine_caps machine;
	struct vmx_caps caps;

	offer(FIXTURE_REAL_VMX, &machine, &caps);
	for (int word = 0; word < VMX_WORD_COUNT; word++)
		machine.honours[word] = ~0u;
	caps_offer(&caps, &machine);
	for (int word = 0; word < VMX_WORD_COUNT; word++) {
		const uint32_t optional = caps_may_be_one(&caps, (enum vmx_control_word)word) &
		                          ~caps_must_be_one(&caps, (enum vmx_control_word)word);

		for (unsigned bit = 0; bit < 32; bit++) {
			if (optional >> bit & 1)
				ck_assert_ptr_nonnull(caps_control_name((enum vmx_control_word)word, bit));
		}
	}
}
END_TEST

START_TEST(test_control_names)
{
	ck_assert_str_eq(caps_control_name(VMX_WORD_PROC2, 1), "Enable EPT");
	ck_assert_str_eq(caps_control_name(VMX_WORD_PIN, 0), "External-interrupt exiting");
	ck_assert_ptr_null(caps_control_name(VMX_WORD_PIN, 1));
	ck_assert_ptr_null(caps_control_name(VMX_WORD_PIN, 32));
	ck_assert_ptr_null(caps_control_name(VMX_WORD_COUNT, 0));
}
END_TEST

START_TEST(test_physical_width)
{
	struct machine_caps machine = {0};

	ck_assert_uint_eq(caps_physical_mask(&machine), (1ull << 46) - 1);
	machine.physical_address_bits = 39;
	ck_assert_uint_eq(caps_physical_mask(&machine), (1ull << 39) - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("caps");
	TCase *tests = tcase_create("caps");

	tcase_add_test(tests, test_basic);
	tcase_add_test(tests, test_control_words);
	tcase_add_test(tests, test_machine_limits_the_offer);
	tcase_add_test(tests, test_engine_limits_the_offer);
	tcase_add_test(tests, test_always_on_controls_must_be_one);
	tcase_add_test(tests, test_dependent_controls);
	tcase_add_test(tests, test_secondary_controls_exist_only_when_activated);
	tcase_add_test(tests, test_misc);
	tcase_add_test(tests, test_fixed_bits);
	tcase_add_test(tests, test_vmcs_enum);
	tcase_add_test(tests, test_ept_vpid_cap);
	tcase_add_test(tests, test_msr_range);
	tcase_add_test(tests, test_unknown_bits_are_not_offered);
	tcase_add_test(tests, test_control_names);
	tcase_add_test(tests, test_physical_width);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
