/* SPDX-License-Identifier: Apache-2.0 */
/* The site table: only true entries are taken, and only those a machine cannot intercept are replaced. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/pv_vmx.h"

#define SPACE_BYTES (2ull << 20)

static struct guest_space space;
static struct test_elf elf;
static struct image image;
static struct refusal why;

static void setup(void)
{
	space = (struct guest_space){calloc(1, SPACE_BYTES), SPACE_BYTES};
	test_elf_make(&elf);
	memset(&why, 0, sizeof(why));
}

static void teardown(void)
{
	free(space.memory);
}

static int load_with(const char *code, unsigned length, struct site site, bool patch)
{
	memcpy(elf.bytes + TEST_ELF_CODE, code, length);
	test_elf_add_sites(&elf, &site, 1);
	return image_load_own(&image, &space, SPACE_BYTES, patch, "test image", elf.bytes, TEST_ELF_BYTES, &why);
}

static const struct {
	uint8_t kind, operand, length;
	const char *code;
	bool replaced;
} known[] = {{SITE_CPUID, 0, 2, "\x0f\xa2", true}, {SITE_VMCALL, 0, 3, "\x0f\x01\xc1", true},
        {SITE_RDTSC, 0, 2, "\x0f\x31", true}, {SITE_MOV_TO_CR3, 0, 3, "\x0f\x22\xd8", true},
        {SITE_MOV_TO_CR3, 7, 3, "\x0f\x22\xdf", true}, {SITE_MOV_TO_CR3, 9, 4, "\x41\x0f\x22\xd9", true},
        {SITE_INVLPG, 7, 3, "\x0f\x01\x3f", true}, {SITE_INVLPG, 8, 4, "\x41\x0f\x01\x38", true},
        {SITE_UD2, 0, 2, "\x0f\x0b", true}, {SITE_WBINVD, 0, 2, "\x0f\x09", true}, {SITE_PAUSE, 0, 2, "\xf3\x90", true},
        {SITE_MMIO, 0, 2, "\x89\x07", false}, {SITE_TOUCH, 0, 3, "\x48\x89\x07", false}};
#define KNOWN (int)(sizeof(known) / sizeof(known[0]))

START_TEST(each_kind_is_replaced_in_place)
{
	const struct site site = {TEST_ELF_BASE, known[_i].length, known[_i].kind, known[_i].operand, {0}};
	const uint8_t *code = space.memory + TEST_ELF_BASE;

	ck_assert_msg(load_with(known[_i].code, known[_i].length, site, true) == 0, "%s", why.text);
	if (known[_i].replaced) {
		ck_assert_uint_eq(code[0], 0xe6);
		ck_assert_uint_eq(code[1], SITE_PORT);
		for (unsigned i = 2; i < known[_i].length; i++)
			ck_assert_uint_eq(code[i], 0x90);
	} else {
		ck_assert_mem_eq(code, known[_i].code, known[_i].length);
	}
	ck_assert_uint_eq(code[known[_i].length], 0x90);
	ck_assert_uint_eq(image.site_count, 1);
	image_free(&image);
}
END_TEST

START_TEST(a_machine_that_intercepts_leaves_them)
{
	const struct site site = {TEST_ELF_BASE, known[_i].length, known[_i].kind, known[_i].operand, {0}};

	ck_assert_int_eq(load_with(known[_i].code, known[_i].length, site, false), 0);
	ck_assert_mem_eq(space.memory + TEST_ELF_BASE, known[_i].code, known[_i].length);
	image_free(&image);
}
END_TEST

static const struct {
	struct site site;
	const char *code;
	const char *says;
} lies[] = {{{TEST_ELF_BASE, 2, SITE_CPUID, 0, {0}}, "\x0f\xa3", "not the instruction"},
        {{TEST_ELF_BASE, 3, SITE_CPUID, 0, {0}}, "\x0f\xa2\x90", "not the instruction"},
        {{TEST_ELF_BASE, 1, SITE_CPUID, 0, {0}}, "\x0f", "not the instruction"},
        {{TEST_ELF_BASE, 3, SITE_MOV_TO_CR3, 1, {0}}, "\x0f\x22\xd8", "not the instruction"},
        {{TEST_ELF_BASE, 3, SITE_INVLPG, 4, {0}}, "\x0f\x01\x3c", "not the instruction"},
        {{TEST_ELF_BASE, 2, 99, 0, {0}}, "\x0f\xa2", "not the instruction"},
        {{TEST_ELF_BASE, 2, 0, 0, {0}}, "\x0f\xa2", "not the instruction"},
        {{TEST_ELF_BASE + 127, 2, SITE_CPUID, 0, {0}}, "", "outside the image"},
        {{TEST_ELF_BASE - 1, 2, SITE_CPUID, 0, {0}}, "", "outside the image"},
        {{~0ull, 2, SITE_CPUID, 0, {0}}, "", "outside the image"}};

START_TEST(lies_are_refused)
{
	ck_assert_int_eq(load_with(lies[_i].code, (unsigned)strlen(lies[_i].code), lies[_i].site, true), -ENOEXEC);
	ck_assert_msg(strstr(why.text, lies[_i].says) != NULL, "%s", why.text);
}
END_TEST

START_TEST(a_table_of_odd_size_is_refused)
{
	const struct site site = {TEST_ELF_BASE, 2, SITE_CPUID, 0, {0}};
	Elf64_Shdr *sections;

	memcpy(elf.bytes + TEST_ELF_CODE, "\x0f\xa2", 2);
	test_elf_add_sites(&elf, &site, 1);
	sections = (Elf64_Shdr *)(elf.bytes + elf.header.e_shoff);
	sections[1].sh_size = 15;
	ck_assert_int_eq(
	        image_load_own(&image, &space, SPACE_BYTES, true, "test image", elf.bytes, TEST_ELF_BYTES, &why),
	        -ENOEXEC);
	ck_assert(strstr(why.text, "no multiple") != NULL);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, each_kind_is_replaced_in_place, 0, KNOWN);
	tcase_add_loop_test(tests, a_machine_that_intercepts_leaves_them, 0, KNOWN);
	tcase_add_loop_test(tests, lies_are_refused, 0, (int)(sizeof(lies) / sizeof(lies[0])));
	tcase_add_test(tests, a_table_of_odd_size_is_refused);
}

int main(void)
{
	return run_tests("sites", add);
}
