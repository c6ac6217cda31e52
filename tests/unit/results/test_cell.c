/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: defaults, validation, canonical spelling, names. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Every default must be a value that cell_set takes and leaves as it is: the list cannot contradict itself. */
START_TEST(defaults_are_canonical)
{
	struct cell cell, again;

	cell_defaults(&cell);
	again = cell;
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		ck_assert_int_eq(
		        cell_set(&again, cell_key_infos[key].name, cell_key_infos[key].default_value, NULL, 0), 0);
	ck_assert(cell_equal(&cell, &again));
}
END_TEST

START_TEST(values_become_canonical)
{
	struct cell cell;

	cell_defaults(&cell);
	ck_assert_int_eq(cell_set(&cell, "EPT12_Page", "4K", NULL, 0), 0);
	ck_assert_str_eq(cell.value[CELL_EPT12_PAGE], "4k");
	ck_assert_int_eq(cell_set(&cell, "samples", "0007", NULL, 0), 0);
	ck_assert_str_eq(cell.value[CELL_SAMPLES], "7");
	ck_assert_int_eq(cell_set(&cell, "workload", "MOV-cr3", NULL, 0), 0);
	ck_assert_str_eq(cell.value[CELL_WORKLOAD], "mov-cr3");
	ck_assert_int_eq(cell_set(&cell, "ops", "AUTO", NULL, 0), 0);
	ck_assert_uint_eq(cell_int(&cell, CELL_OPS, 123), 123);
	ck_assert_int_eq(cell_set(&cell, "ops", "100000000", NULL, 0), 0);
	ck_assert_uint_eq(cell_int(&cell, CELL_OPS, 123), 100000000);
}
END_TEST

static const struct {
	const char *key, *value;
	int error;
	const char *says;
} refused[] = {
        {"machin", "kvm", -ENOENT, "machine, level, workload"},
        {"machine", "kv", -EINVAL, "kvm, soft"},
        {"machine", "kvmx", -EINVAL, "kvm, soft"},
        {"machine", "", -EINVAL, "kvm, soft"},
        {"machine", "kvm|soft", -EINVAL, "kvm, soft"},
        {"level", "3", -EINVAL, "1, 2"},
        {"workload", "cpuids", -EINVAL, "vmcall"},
        {"samples", "0", -EINVAL, "1 to 1000"},
        {"samples", "1001", -EINVAL, "1 to 1000"},
        {"samples", "-1", -EINVAL, "1 to 1000"},
        {"samples", "+9", -EINVAL, "1 to 1000"},
        {"samples", " 9", -EINVAL, "1 to 1000"},
        {"samples", "9x", -EINVAL, "1 to 1000"},
        {"samples", "auto", -EINVAL, "1 to 1000"},
        {"ops", "99999999999999999999999", -EINVAL, "1 to 100000000, auto"},
        {"timeout", "86401", -EINVAL, "1 to 86400"},
};

START_TEST(others_are_refused_with_a_sentence)
{
	struct cell cell, before;
	char why[256];

	cell_defaults(&cell);
	before = cell;
	ck_assert_int_eq(cell_set(&cell, refused[_i].key, refused[_i].value, why, sizeof(why)), refused[_i].error);
	ck_assert_ptr_nonnull(strstr(why, refused[_i].says));
	if (refused[_i].value[0])
		ck_assert_ptr_nonnull(strstr(why, refused[_i].error == -ENOENT ? refused[_i].key : refused[_i].value));
	ck_assert(cell_equal(&cell, &before));
	ck_assert_int_eq(cell_set(&cell, refused[_i].key, refused[_i].value, NULL, 0), refused[_i].error);
	/* A sentence that does not fit is cut, not written beyond its room. */
	memset(why, '#', sizeof(why));
	cell_set(&cell, refused[_i].key, refused[_i].value, why, 20);
	ck_assert_uint_lt(strlen(why), 20);
	ck_assert_int_eq(why[20], '#');
}
END_TEST

START_TEST(names_tell_cells_apart)
{
	struct cell cell;
	char name[128];

	cell_defaults(&cell);
	cell_name(&cell, name, sizeof(name));
	ck_assert_str_eq(name, "kvm level 2 cpuid vmcs=shadow profile=kvm");
	cell_set(&cell, "level", "1", NULL, 0);
	cell_name(&cell, name, sizeof(name));
	ck_assert_str_eq(name, "kvm level 1 cpuid");
	cell_set(&cell, "merge", "full", NULL, 0);
	cell_set(&cell, "samples", "3", NULL, 0);
	cell_name(&cell, name, sizeof(name));
	ck_assert_str_eq(name, "kvm level 1 cpuid merge=full samples=3");
	cell_name(&cell, name, 10);
	ck_assert_str_eq(name, "kvm level");
}
END_TEST

START_TEST(every_status_has_a_name)
{
	ck_assert_str_eq(cell_status_name(CELL_RUNNING), "running");
	ck_assert_str_eq(cell_status_name(CELL_OK), "ok");
	ck_assert_str_eq(cell_status_name(CELL_FAILED), "failed");
	ck_assert_str_eq(cell_status_name(CELL_REFUSED), "refused");
	ck_assert_str_eq(cell_status_name((enum cell_status)99), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cell");
	TCase *tcase = tcase_create("cell");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, defaults_are_canonical);
	tcase_add_test(tcase, values_become_canonical);
	tcase_add_loop_test(tcase, others_are_refused_with_a_sentence, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, names_tell_cells_apart);
	tcase_add_test(tcase, every_status_has_a_name);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
