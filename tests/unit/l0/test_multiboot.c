/* SPDX-License-Identifier: Apache-2.0 */
/* Multiboot images: what the loader leaves in memory, and what it refuses. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "shadowvmcs/x86.h"

#define SPACE_BYTES (8ull << 20)

static struct guest_space space;
static struct test_elf elf;
static struct multiboot_image image;
static struct refusal why;

static void setup(void)
{
	uint32_t *header;

	space = (struct guest_space){calloc(1, SPACE_BYTES), SPACE_BYTES};
	memset(&why, 0, sizeof(why));
	test_elf_make(&elf);
	header = (uint32_t *)(elf.bytes + TEST_ELF_CODE + 16);
	header[0] = 0x1badb002;
	header[1] = 0;
	header[2] = -0x1badb002u;
}

static void teardown(void)
{
	free(space.memory);
}

static int load(const char *append)
{
	return multiboot_load(&image, &space, "some/where/kernel.flat", elf.bytes, TEST_ELF_BYTES, append, &why);
}

static uint32_t word(uint32_t gpa)
{
	uint32_t value;

	memcpy(&value, space.memory + gpa, sizeof(value));
	return value;
}

START_TEST(the_information_structure)
{
	ck_assert_msg(load("one two") == 0, "%s", why.text);
	ck_assert_uint_eq(image.entry, TEST_ELF_BASE);
	const uint32_t info = image.info;
	ck_assert_uint_eq(word(info) & 0x4d, 0x4d);
	ck_assert_uint_eq(word(info + 8), (SPACE_BYTES - (1 << 20)) / 1024);
	ck_assert_str_eq((char *)space.memory + word(info + 16), "kernel.flat one two");
	ck_assert_uint_eq(word(info + 20), 1);
	const uint32_t module = word(info + 24);
	const char *text = (const char *)space.memory + word(module);
	ck_assert_uint_eq(word(module + 4) - word(module), strlen(text));
	ck_assert(strstr(text, "NR_CPUS=1\n") && strstr(text, "MEMSIZE=8\n") && strstr(text, "TEST_DEVICE=0\n") &&
	          strstr(text, "BOOTLOADER=1\n"));
	/* The memory map: entries of 24 bytes, the last one the RAM above 1 MiB. */
	const uint32_t bytes = word(info + 44), map = word(info + 48);
	ck_assert_uint_eq(bytes % 24, 0);
	ck_assert_uint_eq(word(map + bytes - 24 + 4), 1 << 20);
	ck_assert_uint_eq(word(map + bytes - 24 + 12), SPACE_BYTES - (1 << 20));
}
END_TEST

START_TEST(the_command_line_has_the_name_first)
{
	ck_assert_int_eq(load(NULL), 0);
	ck_assert_str_eq((char *)space.memory + word(image.info + 16), "kernel.flat");
}
END_TEST

static uint8_t sum(uint32_t gpa, uint32_t bytes)
{
	uint8_t total = 0;

	for (uint32_t i = 0; i < bytes; i++)
		total = (uint8_t)(total + space.memory[gpa + i]);
	return total;
}

START_TEST(acpi_tables_are_found_and_add_up)
{
	uint32_t rsdp = 0, rsdt;

	ck_assert_int_eq(load(NULL), 0);
	for (uint32_t at = 0xe0000; at < 0x100000 && !rsdp; at += 16)
		rsdp = memcmp(space.memory + at, "RSD PTR ", 8) ? 0 : at;
	ck_assert_uint_ne(rsdp, 0);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	rsdt = word(rsdp + 16);
	ck_assert_mem_eq(space.memory + rsdt, "RSDT", 4);
	ck_assert_uint_eq(sum(rsdt, word(rsdt + 4)), 0);
	const uint32_t fadt = word(rsdt + 36);
	ck_assert_mem_eq(space.memory + fadt, "FACP", 4);
	ck_assert_uint_eq(sum(fadt, word(fadt + 4)), 0);
	ck_assert_uint_eq(word(fadt + 76), 0x608);
	const uint32_t madt = word(rsdt + 40);
	ck_assert_mem_eq(space.memory + madt, "APIC", 4);
	ck_assert_uint_eq(sum(madt, word(madt + 4)), 0);
}
END_TEST

START_TEST(registers_at_the_entry)
{
	struct script_vmm s;

	script_init(&s, NULL, 0);
	vmcs01_start_multiboot(&s.vmm.vmcs01, &s.vmm.regs, 0x100000, 0x90000);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RAX], 0x2badb002);
	ck_assert_uint_eq(s.vmm.regs.gpr[GPR_RBX], 0x90000);
	ck_assert_uint_eq(vmcs_get(&s.vmm.vmcs01, VMCS_GUEST_CR0) & (CR0_PE | CR0_PG), CR0_PE);
	ck_assert_uint_eq(vmcs_get(&s.vmm.vmcs01, VMCS_GUEST_CS_ACCESS_RIGHTS) & (AR_L | AR_DB), AR_DB);
	ck_assert(!(vmcs_get(&s.vmm.vmcs01, VMCS_VM_ENTRY_CONTROLS) & VMX_BIT(ENTRY_IA32E_MODE_GUEST)));
	script_fini(&s);
}
END_TEST

START_TEST(what_is_no_multiboot_elf_is_refused)
{
	static char line[6000];
	uint32_t *header = (uint32_t *)(elf.bytes + TEST_ELF_CODE + 16);

	ck_assert(multiboot_is(elf.bytes, TEST_ELF_BYTES));
	header[1] = 1u << 16;
	header[2] = -(header[0] + header[1]);
	ck_assert_int_eq(load(NULL), -ENOEXEC);
	ck_assert(strstr(why.text, "addresses in its header") != NULL);
	header[2]++;
	ck_assert(!multiboot_is(elf.bytes, TEST_ELF_BYTES));
	ck_assert_int_eq(load(NULL), -ENOEXEC);
	ck_assert(!multiboot_is(elf.bytes, 11));
	teardown();
	setup();
	memset(line, 'x', sizeof(line) - 1);
	ck_assert_int_eq(load(line), -E2BIG);
	elf.header.e_entry = 0x200000;
	ck_assert_int_eq(load(NULL), -ENOEXEC);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, the_information_structure);
	tcase_add_test(tests, the_command_line_has_the_name_first);
	tcase_add_test(tests, acpi_tables_are_found_and_add_up);
	tcase_add_test(tests, registers_at_the_entry);
	tcase_add_test(tests, what_is_no_multiboot_elf_is_refused);
}

int main(void)
{
	return run_tests("multiboot", add);
}
