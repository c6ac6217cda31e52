/* SPDX-License-Identifier: Apache-2.0 */
/* A foreign multiboot kernel as L1 (foreign.S): serial port, exceptions, local APIC, 8259, 8254, NMIs, x2APIC.
 * Argument: the kernel. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "l0/l0.h"

static const char *kernel;

static int boot(char *console, size_t bytes, uint64_t limit, struct refusal *why)
{
	FILE *stream = fmemopen(console, bytes, "w");
	const struct boot_options options = {.machine = "soft",
	        .image = kernel,
	        .memory_bytes = 64ull << 20,
	        .instruction_limit = limit,
	        .console = stream};
	int status;

	ck_assert_ptr_nonnull(stream);
	memset(why, 0, sizeof(*why));
	status = l0_boot(&options, why);
	fclose(stream);
	return status;
}

START_TEST(test_every_step)
{
	char console[256] = "";
	struct refusal why;
	const int status = boot(console, sizeof(console), 100000000, &why);

	ck_assert_msg(status >= 0, "%s", why.text);
	ck_assert_int_eq(status, 127);
	ck_assert_str_eq(console, "foreign kernel\n");
}
END_TEST

/* A bounded run ends by itself. */
START_TEST(test_limit)
{
	char console[256] = "";
	struct refusal why;

	ck_assert_int_lt(boot(console, sizeof(console), 100, &why), 0);
	ck_assert_ptr_nonnull(strstr(why.text, "limit"));
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("soft: foreign kernel");
	TCase *tests = tcase_create("foreign kernel");
	SRunner *runner;
	int failed;

	kernel = argc > 1 ? argv[1] : "";
	tcase_add_test(tests, test_every_step);
	tcase_add_test(tests, test_limit);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
