/* SPDX-License-Identifier: Apache-2.0 */
/* The counts L1's tables promise: profiles, and exit multiplication by workload, against figures worked out by hand. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "abi/boot_info.h"
#include "l1/expected.h"
#include "shadowvmcs/exit_reasons.h"

enum {
	MINIMAL = BOOT_PROFILE_MINIMAL,
	KVM = BOOT_PROFILE_KVM,
	HAXM = BOOT_PROFILE_HAXM,
	KVM_PIO = BOOT_PROFILE_KVM_PIO,
	PROFILES
};

START_TEST(profiles_have_their_numbers)
{
	unsigned reads[PROFILES] = {0}, writes[PROFILES] = {0};

#define PROFILE_READ(profile, name) reads[profile]++;
#define PROFILE_WRITE(profile, name) writes[profile]++;
#include "l1/profiles.def"
	ck_assert_uint_eq(reads[MINIMAL], 2);
	ck_assert_uint_eq(writes[MINIMAL], 1);
	ck_assert_uint_eq(reads[KVM], 7);
	ck_assert_uint_eq(writes[KVM], 4);
	ck_assert_uint_eq(reads[HAXM], 33);
	ck_assert_uint_eq(writes[HAXM], 22);
	/* Turtles, section 4.3: 31 - 14 accesses. */
	ck_assert_uint_eq(reads[KVM_PIO] + writes[KVM_PIO], 17);
}
END_TEST

static void check_profile_field(unsigned field, bool write, unsigned *seen)
{
	const struct vmcs_field_info *info = &vmcs_field_infos[field];

	ck_assert_msg(!(*seen & (write ? 2 : 1)), "%s stands twice in a profile", info->name);
	*seen |= write ? 2 : 1;
	ck_assert_msg(info->shadow == VMCS_SHADOW_RW || (info->shadow == VMCS_SHADOW_RO && !write),
	        "%s is not shadowed for this access", info->name);
	/* The guest's segments (indices up to TR) and control registers are fetched on demand on some machines. */
	ck_assert_msg(strncmp(info->name, "GUEST_CR", 8) && !strstr(info->name, "_SELECTOR") &&
	                      !strstr(info->name, "_LIMIT") && !strstr(info->name, "ACCESS_RIGHTS") &&
	                      !strstr(info->name, "S_BASE"),
	        "%s may be on demand", info->name);
}

START_TEST(profile_fields_are_distinct_and_shadowed)
{
	unsigned seen[PROFILES][VMCS_FIELD_COUNT] = {{0}};

#define PROFILE_READ(profile, name) check_profile_field(VMCS_##name, false, &seen[profile][VMCS_##name]);
#define PROFILE_WRITE(profile, name) check_profile_field(VMCS_##name, true, &seen[profile][VMCS_##name]);
#include "l1/profiles.def"
}
END_TEST

/* With vmcs=trap, mmu=ept: L1's exits of one operation, worked out by hand from the tables' text. */
static const struct {
	const char *workload;
	unsigned l2_exits;
	unsigned l1_exits[PROFILES]; /* minimal, kvm, haxm, kvm-pio */
} trap_cases[] = {
        {"null", 0, {0, 0, 0, 0}},
        {"cpuid", 1, {4, 12, 56, 30}},
        {"vmcall", 1, {4, 12, 56, 30}},
        {"pio", 1, {6, 12, 56, 30}},       /* + qualification, length */
        {"mmio", 1, {5, 13, 56, 31}},      /* + guest-physical address */
        {"rdmsr", 1, {4, 12, 56, 30}},     /**/
        {"wrmsr", 1, {4, 12, 56, 30}},     /**/
        {"mov-cr3", 1, {7, 13, 57, 31}},   /* + qualification, length; GUEST_CR3 */
        {"invlpg", 1, {6, 12, 56, 30}},    /* + qualification, length */
        {"rdtsc", 1, {4, 12, 56, 30}},     /**/
        {"exception", 1, {6, 12, 56, 30}}, /* + interruption information in and out */
        {"hlt", 2,
                {7 + 9, 13 + 15, 56 + 58,
                        30 + 32}},        /* timer: + 3 reads; HLT: + RFLAGS; interruptibility, injection; OUT, HLT */
        {"touch-4k", 1, {6, 13, 56, 31}}, /* + guest-physical address, IDT-vectoring information */
        {"touch-2m", 1, {6, 13, 56, 31}},
};

START_TEST(trapped_counts)
{
	for (unsigned profile = 0; profile < PROFILES; profile++) {
		const struct l1_expected_settings settings = {
		        .workload = trap_cases[_i].workload, .vmcs_mode = BOOT_VMCS_TRAP, .profile = profile};
		struct l1_expected expected;

		ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
		ck_assert_uint_eq(expected.l2_exits, trap_cases[_i].l2_exits);
		ck_assert_msg(expected.l1_exits == trap_cases[_i].l1_exits[profile],
		        "%s, profile %u: %u L1 exits, not %u", settings.workload, profile, expected.l1_exits,
		        trap_cases[_i].l1_exits[profile]);
	}
}
END_TEST

START_TEST(every_workload_has_a_case)
{
	const char *const names[] = {
#define WORKLOAD(name, reason, unit, text) name,
#include "workloads/workloads.def"
#undef WORKLOAD
	};

	ck_assert_uint_eq(sizeof(names) / sizeof(names[0]), sizeof(trap_cases) / sizeof(trap_cases[0]));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_str_eq(names[i], trap_cases[i].workload);
}
END_TEST

/* Shadowed or direct, nothing but the entry is left, and what the handler itself executes. */
START_TEST(shadowed_and_direct_counts)
{
	struct l1_expected_settings settings = {.workload = trap_cases[_i].workload};
	struct l1_expected expected;

	for (unsigned mode = BOOT_VMCS_SHADOW; mode <= BOOT_VMCS_DIRECT; mode++) {
		for (unsigned profile = 0; profile < PROFILES; profile++) {
			settings.vmcs_mode = mode;
			settings.profile = profile;
			ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
			ck_assert_uint_eq(expected.l1_exits, trap_cases[_i].l2_exits * (profile == KVM_PIO ? 13 : 1) +
			                                             (strcmp(settings.workload, "hlt") ? 0 : 2));
		}
	}
}
END_TEST

/* On a machine that keeps CR3 until asked, the one workload that writes it pays: a call more. */
START_TEST(on_demand_fields_cost_a_call)
{
	struct l1_expected_settings settings = {.workload = "mov-cr3", .profile = KVM, .vmcs_mode = BOOT_VMCS_SHADOW};
	struct l1_expected expected;

	vmcs_mask_set(&settings.on_demand, VMCS_GUEST_CR3);
	ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
	ck_assert_uint_eq(expected.accesses, 1);
	ck_assert_uint_eq(expected.l1_exits, 2);
	settings.vmcs_mode = BOOT_VMCS_DIRECT;
	ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
	ck_assert_uint_eq(expected.fetches, 1);
	ck_assert_uint_eq(expected.l1_exits, 2);
}
END_TEST

START_TEST(lazy_ept02_repairs_each_first_touch)
{
	struct l1_expected_settings settings = {.workload = "touch-4k", .ept02_lazy = true};
	struct l1_expected expected;

	ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
	ck_assert_uint_eq(expected.l2_exits, 2);
	ck_assert_uint_eq(expected.reflected, 1);
	ck_assert_uint_eq(expected.l1_exits, 6);
	settings.workload = "mmio"; /* a violation, but no mapping comes of it */
	ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
	ck_assert_uint_eq(expected.l2_exits, 1);
	settings.workload = "touch-4k";
	settings.mmu_mode = BOOT_MMU_SHADOW; /* no EPT12 */
	ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
	ck_assert_uint_eq(expected.l2_exits, 1);
}
END_TEST

START_TEST(exit_log_reads_its_seven_fields)
{
	struct l1_expected_settings settings = {.workload = "cpuid", .vmcs_mode = BOOT_VMCS_TRAP, .exit_log = true};
	/* Of the seven, profile minimal reads two by itself, kvm and kvm-pio all but the guest-physical address, haxm
	 * all. */
	const unsigned l1_exits[PROFILES] = {4 + 5, 12 + 1, 56, 30 + 1};
	struct l1_expected expected;

	for (unsigned profile = 0; profile < PROFILES; profile++) {
		settings.profile = profile;
		ck_assert_int_eq(l1_expected_counts(&settings, &expected), 0);
		ck_assert_uint_eq(expected.l1_exits, l1_exits[profile]);
	}
}
END_TEST

START_TEST(unknown_workload_is_refused)
{
	const struct l1_expected_settings settings = {.workload = "cpu-id"};
	struct l1_expected expected;

	ck_assert_int_eq(l1_expected_counts(&settings, &expected), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: expected counts");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	const int cases = sizeof(trap_cases) / sizeof(trap_cases[0]);

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, profiles_have_their_numbers);
	tcase_add_test(tcase, profile_fields_are_distinct_and_shadowed);
	tcase_add_loop_test(tcase, trapped_counts, 0, cases);
	tcase_add_test(tcase, every_workload_has_a_case);
	tcase_add_loop_test(tcase, shadowed_and_direct_counts, 0, cases);
	tcase_add_test(tcase, on_demand_fields_cost_a_call);
	tcase_add_test(tcase, lazy_ept02_repairs_each_first_touch);
	tcase_add_test(tcase, exit_log_reads_its_seven_fields);
	tcase_add_test(tcase, unknown_workload_is_refused);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
