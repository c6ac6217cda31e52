/* SPDX-License-Identifier: Apache-2.0 */
/* Cells that cannot run are refused with the reason, cheaply and before anything is made. */
#include "fixture.h"

#include <errno.h>

#include "l0/cell.h"
#include "l0/l0.h"

static struct refusal why;

static int plan(struct cell_plan *made, const char *const settings[][2])
{
	struct cell cell;

	memset(&why, 0, sizeof(why));
	cell_defaults(&cell);
	for (unsigned i = 0; settings[i][0]; i++)
		ck_assert_int_eq(cell_set(&cell, settings[i][0], settings[i][1], NULL, 0), 0);
	return cell_plan_make(made, &cell, &why);
}

START_TEST(settings_become_numbers)
{
	static const char *const settings[][2] = {{"machine", "kvm"}, {"workload", "touch-2m"}, {"vmcs", "trap"},
	        {"profile", "haxm"}, {"ept12_page", "4k"}, {"merge", "full"}, {"samples", "7"}, {"ops", "33"},
	        {NULL, NULL}};
	struct cell_plan made;

	if (!machine_find("kvm"))
		return;
	ck_assert_msg(plan(&made, settings) == 0, "%s", why.text);
	ck_assert_uint_eq(made.level, 2);
	ck_assert_int_eq(made.vmcs, SHADOW_TRAP);
	ck_assert_uint_eq(made.profile, BOOT_PROFILE_HAXM);
	ck_assert(made.ept12_small && made.merge_full && !made.stamps && made.ept02_auto && !made.ops_auto);
	ck_assert_uint_eq(made.samples, 7);
	ck_assert_uint_eq(made.ops, 33);
	ck_assert_uint_eq(made.touch_page, 2u << 20);
}
END_TEST

static const struct {
	const char *const settings[4][2];
	const char *says;
} refused[] = {{{{"machine", "kvm"}, {"mmu", "shadow"}}, "page-fault exits"},
        {{{"machine", "kvm"}, {"ept02", "lazy"}}, "use ept02=eager"},
        {{{"machine", "kvm"}, {"level", "1"}, {"stamps", "on"}}, "needs level=2"}};

START_TEST(contradictions_are_refused)
{
	struct cell_plan made;

	if (!machine_find("kvm"))
		return;
	ck_assert_int_lt(plan(&made, refused[_i].settings), 0);
	ck_assert_msg(strstr(why.text, refused[_i].says) != NULL, "%s", why.text);
}
END_TEST

/* A refused cell has a result that says so, and nothing ran. */
START_TEST(a_refused_cell_says_why)
{
	static struct cell_result result;
	struct ledger ledger = {0};
	struct cell cell;

	cell_defaults(&cell);
	ck_assert_int_eq(cell_set(&cell, "machine", "kvm", NULL, 0), 0);
	ck_assert_int_eq(cell_set(&cell, "mmu", "shadow", NULL, 0), 0);
	l0_run_cell(&cell, &ledger, &result);
	ck_assert_uint_eq(result.status, CELL_REFUSED);
	ck_assert_str_ne(result.reason, "");
	ck_assert_uint_eq(result.records, 0);
	ck_assert_uint_eq(ledger.counted, 0);
	ck_assert_int_ne(l0_check_cell(&cell, &why), 0);
}
END_TEST

static const struct {
	struct boot_options options;
	const char *says;
} boots[] = {{{.machine = "none", .image = "x", .memory_bytes = 64u << 20}, "no machine none"},
        {{.machine = "kvm", .image = "x", .memory_bytes = 1u << 20}, "between 32 and 2048 MiB"},
        {{.machine = "kvm", .image = "x", .memory_bytes = 64u << 20, .instruction_limit = 5}, "needs --machine soft"}};

START_TEST(boots_are_refused)
{
	if (!machine_find("kvm"))
		return;
	ck_assert_int_lt(l0_boot(&boots[_i].options, &why), 0);
	ck_assert_msg(strstr(why.text, boots[_i].says) != NULL, "%s", why.text);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_test(tests, settings_become_numbers);
	tcase_add_loop_test(tests, contradictions_are_refused, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tests, a_refused_cell_says_why);
	tcase_add_loop_test(tests, boots_are_refused, 0, (int)(sizeof(boots) / sizeof(boots[0])));
}

int main(void)
{
	return run_tests("plan", add);
}
