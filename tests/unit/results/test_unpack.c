/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over msgpack that nobody vouches for, held against the heads of the msgpack specification. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/unpack.h"

/* {"k": value}, with the value's bytes. */
static const struct {
	const char *what, *value;
	size_t bytes;
	bool good;
} values[] = {
        {"positive fixint", "\x7f", 1, true},
        {"negative fixint", "\xe0", 1, true},
        {"nil", "\xc0", 1, true},
        {"never used", "\xc1", 1, false},
        {"false", "\xc2", 1, true},
        {"true", "\xc3", 1, true},
        {"uint 8", "\xcc\xff", 2, true},
        {"uint 64", "\xcf\0\0\0\0\0\0\0\1", 9, true},
        {"uint 64 cut", "\xcf\0\0\0\0\0\0\0", 8, false},
        {"int 8", "\xd0\x80", 2, true},
        {"int 64 cut", "\xd3\0\0\0", 4, false},
        {"float 32", "\xca\0\0\0\0", 5, true},
        {"float 64", "\xcb\0\0\0\0\0\0\0\0", 9, true},
        {"fixstr", "\xa2hi", 3, true},
        {"fixstr cut", "\xa3hi", 3, false},
        {"str 8", "\xd9\2hi", 4, true},
        {"str 16", "\xda\0\2hi", 5, true},
        {"str 32", "\xdb\0\0\0\2hi", 7, true},
        {"str 32 of four gigabytes", "\xdb\xff\xff\xff\xffhi", 7, false},
        {"bin 8", "\xc4\2hi", 4, true},
        {"bin 32 cut in its length", "\xc6\0\0", 3, false},
        {"ext 8", "\xc7\1\5x", 4, true},
        {"fixext 16 cut", "\xd8\1xxxxxxxx", 10, false},
        {"fixext 1", "\xd4\5x", 3, true},
        {"fixarray", "\x92\1\2", 3, true},
        {"fixarray cut", "\x93\1\2", 3, false},
        {"array 16", "\xdc\0\2\1\2", 5, true},
        {"array 32", "\xdd\0\0\0\1\1", 6, true},
        {"array 32 of four billion", "\xdd\xff\xff\xff\xff\1", 6, false},
        {"map 16", "\xde\0\1\1\2", 5, true},
        {"map 32 of four billion", "\xdf\xff\xff\xff\xff\1\2", 7, false},
        {"two values", "\1\2", 2, false},
        {"seven nested arrays", "\x91\x91\x91\x91\x91\x91\x91\1", 8, true},
        {"eight nested arrays", "\x91\x91\x91\x91\x91\x91\x91\x91\1", 9, false},
        {"empty array", "\x90", 1, true},
        {"empty map", "\x80", 1, true},
};

START_TEST(heads)
{
	size_t count = 3 + values[_i].bytes;
	uint8_t *bytes = malloc(count);

	memcpy(bytes, "\x81\xa1k", 3);
	memcpy(bytes + 3, values[_i].value, values[_i].bytes);
	ck_assert_msg(unpack_check(bytes, count) == values[_i].good, "%s", values[_i].what);
	/* One byte less is never the same object. */
	ck_assert_msg(!unpack_check(bytes, count - 1) || !values[_i].good, "%s, cut", values[_i].what);
	free(bytes);
}
END_TEST

START_TEST(only_maps_are_payloads)
{
	ck_assert(!unpack_check((const uint8_t *)"\x90", 1));
	ck_assert(!unpack_check((const uint8_t *)"\1", 1));
	ck_assert(!unpack_check((const uint8_t *)"", 0));
	ck_assert(unpack_check((const uint8_t *)"\x80", 1));
}
END_TEST

START_TEST(peeking)
{
	/* {"a": [1, 2], "n": 300, "m": -1, "s": "n"} */
	static const char bytes[] = "\x84\xa1"
	                            "a\x92\1\2\xa1n\xcd\1\x2c\xa1m\xff\xa1s\xa1n";
	uint64_t value = 5;

	ck_assert(unpack_check((const uint8_t *)bytes, sizeof(bytes) - 1));
	ck_assert(unpack_peek_uint((const uint8_t *)bytes, sizeof(bytes) - 1, "n", &value));
	ck_assert_uint_eq(value, 300);
	ck_assert(!unpack_peek_uint((const uint8_t *)bytes, sizeof(bytes) - 1, "m", &value));
	ck_assert(!unpack_peek_uint((const uint8_t *)bytes, sizeof(bytes) - 1, "a", &value));
	ck_assert(!unpack_peek_uint((const uint8_t *)bytes, sizeof(bytes) - 1, "none", &value));
	ck_assert_uint_eq(value, 300);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unpack");
	TCase *tcase = tcase_create("unpack");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, heads, 0, sizeof(values) / sizeof(values[0]));
	tcase_add_test(tcase, only_maps_are_payloads);
	tcase_add_test(tcase, peeking);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
