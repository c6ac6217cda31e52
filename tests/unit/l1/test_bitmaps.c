/* SPDX-License-Identifier: Apache-2.0 */
/* L2's I/O and MSR bitmaps: what goes past L1, and that nothing else does. */
#include <check.h>
#include <stdlib.h>

#include "abi/testdev.h"
#include "fixture.h"

static bool port_exits(unsigned port)
{
	return l1_io_bitmap[port / 0x8000][port % 0x8000 / 8] >> port % 8 & 1;
}

static bool passed(unsigned port)
{
	const unsigned base = port & ~3u;

	return base == TESTDEV_PORT_MARK || base == TESTDEV_PORT_LEVEL || base == TESTDEV_PORT_CONSOLE ||
	       base == TESTDEV_PORT_END;
}

START_TEST(only_the_harness_ports_pass)
{
	l1_bitmaps_setup();
	for (unsigned port = 0; port < 0x10000; port++)
		ck_assert_msg(port_exits(port) == !passed(port), "port %x", port);
}
END_TEST

/* SDM vol. 3, 25.6.9: four bitmaps of 1 KiB: read low, read high, write low, write high. */
START_TEST(only_reading_the_tsc_passes)
{
	l1_bitmaps_setup();
	for (unsigned bit = 0; bit < 8 * sizeof(l1_msr_bitmap); bit++)
		ck_assert_msg((l1_msr_bitmap[bit / 8] >> bit % 8 & 1) == (bit != 0x10), "bit %x", bit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: bitmaps");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, only_the_harness_ports_pass);
	tcase_add_test(tcase, only_reading_the_tsc_passes);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
