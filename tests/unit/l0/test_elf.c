/* SPDX-License-Identifier: Apache-2.0 */
/* Own images: a good one loads, and each way of being malformed is refused with a sentence that names it. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

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

static int load(size_t bytes)
{
	/* A copy of exactly that size, so that a read past its end is a report of the sanitizer's. */
	uint8_t *copy = malloc(bytes ? bytes : 1);
	memcpy(copy, elf.bytes, bytes);
	const int error = image_load_own(&image, &space, SPACE_BYTES, true, "test image", copy, bytes, &why);
	free(copy);
	return error;
}

START_TEST(a_good_image_loads)
{
	memset(space.memory + TEST_ELF_BASE, 0xff, 256);
	ck_assert_msg(load(TEST_ELF_BYTES) == 0, "%s", why.text);
	ck_assert_uint_eq(image.entry, TEST_ELF_BASE);
	ck_assert_uint_eq(image.begin, TEST_ELF_BASE);
	ck_assert_uint_eq(image.end, TEST_ELF_BASE + 128);
	ck_assert_uint_eq(space.memory[TEST_ELF_BASE + 63], 0x90);
	ck_assert_uint_eq(space.memory[TEST_ELF_BASE + 64], 0);
	ck_assert_uint_eq(space.memory[TEST_ELF_BASE + 127], 0);
	ck_assert_uint_eq(space.memory[TEST_ELF_BASE + 128], 0xff);
	image_free(&image);
}
END_TEST

static void no_magic(void)
{
	elf.bytes[0] = 'E';
}
static void other_class(void)
{
	elf.header.e_ident[EI_CLASS] = 7;
}
static void class_32(void)
{
	/* The 32-bit header has its program headers elsewhere: say that there are some. */
	elf.header.e_ident[EI_CLASS] = ELFCLASS32;
	Elf32_Ehdr *header = (Elf32_Ehdr *)elf.bytes;
	header->e_phoff = 64;
	header->e_phnum = 1;
	header->e_phentsize = sizeof(Elf32_Phdr);
}
static void big_endian(void)
{
	elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
}
static void arm(void)
{
	elf.header.e_machine = EM_AARCH64;
}
static void shared_object(void)
{
	elf.header.e_type = ET_DYN;
}
static void no_segments(void)
{
	elf.header.e_phnum = 0;
}
static void headers_beyond(void)
{
	elf.header.e_phoff = TEST_ELF_BYTES - 8;
}
static void headers_wrap(void)
{
	elf.header.e_phoff = ~0ull - 8;
}
static void small_headers(void)
{
	elf.header.e_phentsize = 8;
}
static void segment_beyond_file(void)
{
	test_elf_segment(&elf, 0)->p_filesz = TEST_ELF_BYTES;
	test_elf_segment(&elf, 0)->p_memsz = TEST_ELF_BYTES;
}
static void segment_offset_wraps(void)
{
	test_elf_segment(&elf, 0)->p_offset = ~0ull;
}
static void more_file_than_memory(void)
{
	test_elf_segment(&elf, 0)->p_memsz = 8;
}
static void outside_memory(void)
{
	test_elf_segment(&elf, 0)->p_paddr = SPACE_BYTES - 64;
}
static void address_wraps(void)
{
	test_elf_segment(&elf, 0)->p_paddr = ~0ull - 16;
}
static void in_boot_area(void)
{
	test_elf_segment(&elf, 0)->p_paddr = 0x3000;
}
static void overlapping(void)
{
	elf.header.e_phnum = 2;
	*test_elf_segment(&elf, 1) = *test_elf_segment(&elf, 0);
	test_elf_segment(&elf, 1)->p_paddr += 100;
}
static void nothing_to_load(void)
{
	test_elf_segment(&elf, 0)->p_type = PT_NOTE;
}
static void entry_outside(void)
{
	elf.header.e_entry = TEST_ELF_BASE + 128;
}
static void sections_beyond(void)
{
	elf.header.e_shoff = TEST_ELF_BYTES - 16;
	elf.header.e_shnum = 3;
	elf.header.e_shentsize = sizeof(Elf64_Shdr);
}

static const struct {
	void (*damage)(void);
	const char *says;
} malformed[] = {{no_magic, "no ELF file"}, {other_class, "unknown ELF class"}, {class_32, "32-bit"},
        {big_endian, "little endian"}, {arm, "not x86"}, {shared_object, "no executable"},
        {no_segments, "no program headers"}, {headers_beyond, "program headers"}, {headers_wrap, "program headers"},
        {small_headers, "program headers"}, {segment_beyond_file, "cut off: segment 0"},
        {segment_offset_wraps, "cut off: segment 0"}, {more_file_than_memory, "more bytes in the file"},
        {outside_memory, "images load into"}, {address_wraps, "images load into"}, {in_boot_area, "images load into"},
        {overlapping, "segments 0 and 1 overlap"}, {nothing_to_load, "no segment to load"},
        {entry_outside, "entry point"}, {sections_beyond, "section headers"}};

START_TEST(malformed_images_are_refused)
{
	malformed[_i].damage();
	ck_assert_int_eq(load(TEST_ELF_BYTES), -ENOEXEC);
	ck_assert_msg(strstr(why.text, malformed[_i].says) != NULL, "case %d: \"%s\"", _i, why.text);
	ck_assert(strstr(why.text, "test image") != NULL);
}
END_TEST

/* Whatever length a file is cut to, it is refused or loads, and nothing outside it is read. */
START_TEST(truncated_images_are_refused)
{
	const struct site site = {TEST_ELF_BASE, 2, SITE_CPUID, 0, {0}};

	memcpy(elf.bytes + TEST_ELF_CODE, "\x0f\xa2", 2);
	test_elf_add_sites(&elf, &site, 1);
	ck_assert_msg(load(TEST_ELF_BYTES) == 0, "%s", why.text);
	image_free(&image);
	for (size_t bytes = 0; bytes < 0x1c00 + 3 * sizeof(Elf64_Shdr); bytes += bytes < 256 ? 1 : 61) {
		ck_assert_msg(load(bytes) != 0, "an image of %zu bytes was taken", bytes);
		ck_assert_str_ne(why.text, "");
	}
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_good_image_loads);
	tcase_add_loop_test(tests, malformed_images_are_refused, 0, sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_test(tests, truncated_images_are_refused);
}

int main(void)
{
	return run_tests("elf", add);
}
