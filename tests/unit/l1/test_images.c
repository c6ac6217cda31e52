/* SPDX-License-Identifier: Apache-2.0 */
/* The guest images as L0 gets them: layout, instructions, sites, and that every workload is there. */
#include <check.h>
#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "abi/boot_info.h"
#include "abi/sites.h"
#include "workloads/guest_images.h"

static const struct guest_image *const images[] = {&guest_image_l1, &guest_image_micro};

static const void *at(const struct guest_image *image, uint64_t offset, uint64_t bytes)
{
	ck_assert_msg(offset <= image->size && bytes <= image->size - offset, "%s is cut short", image->name);
	return (const uint8_t *)image->data + offset;
}

static const Elf64_Ehdr *header(const struct guest_image *image)
{
	return at(image, 0, sizeof(Elf64_Ehdr));
}

static const Elf64_Shdr *section(const struct guest_image *image, const char *name)
{
	const Elf64_Ehdr *ehdr = header(image);
	const Elf64_Shdr *table = at(image, ehdr->e_shoff, ehdr->e_shnum * sizeof(Elf64_Shdr));
	const Elf64_Shdr *names = &table[ehdr->e_shstrndx];

	for (unsigned i = 0; i < ehdr->e_shnum; i++)
		if (!strcmp(at(image, names->sh_offset + table[i].sh_name, strlen(name) + 1), name))
			return &table[i];
	return NULL;
}

/* The file's bytes at a linear address of the image. */
static const void *linear(const struct guest_image *image, uint64_t address, uint64_t bytes)
{
	const Elf64_Ehdr *ehdr = header(image);
	const Elf64_Phdr *phdr = at(image, ehdr->e_phoff, ehdr->e_phnum * sizeof(Elf64_Phdr));

	for (unsigned i = 0; i < ehdr->e_phnum; i++)
		if (address - phdr[i].p_vaddr < phdr[i].p_filesz)
			return at(image, phdr[i].p_offset + (address - phdr[i].p_vaddr), bytes);
	ck_abort_msg("%s has nothing at %llx", image->name, (unsigned long long)address);
	return NULL;
}

START_TEST(layout_is_what_the_loader_wants)
{
	const struct guest_image *image = images[_i];
	const Elf64_Ehdr *ehdr = header(image);
	const Elf64_Phdr *phdr = at(image, ehdr->e_phoff, ehdr->e_phnum * sizeof(Elf64_Phdr));

	ck_assert_ptr_eq(guest_image_find(image->name), image);
	ck_assert_ptr_null(guest_image_find("none"));
	ck_assert_mem_eq(ehdr->e_ident, ELFMAG, SELFMAG);
	ck_assert_int_eq(ehdr->e_type, ET_EXEC);
	ck_assert_int_eq(ehdr->e_machine, EM_X86_64);
	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type != PT_LOAD)
			continue;
		ck_assert_uint_eq(phdr[i].p_vaddr, phdr[i].p_paddr);
		ck_assert_uint_ge(phdr[i].p_vaddr, BOOT_GPA_IMAGE);
		ck_assert_uint_le(phdr[i].p_vaddr + phdr[i].p_memsz, BOOT_GPA_IMAGE + (2ull << 20));
		ck_assert_msg(
		        (phdr[i].p_flags & (PF_W | PF_X)) != (PF_W | PF_X), "a segment is writable and executable");
	}
	ck_assert_uint_eq(ehdr->e_entry, BOOT_GPA_IMAGE);
}
END_TEST

/* Ring 0 of a guest has no operating system that would save vector or floating-point state. */
static bool touches_vector(const ZydisDecodedInstruction *instruction, const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < instruction->operand_count; i++) {
		if (operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(operands[i].reg.value)) {
		case ZYDIS_REGCLASS_X87:
		case ZYDIS_REGCLASS_MMX:
		case ZYDIS_REGCLASS_XMM:
		case ZYDIS_REGCLASS_YMM:
		case ZYDIS_REGCLASS_ZMM:
			return true;
		default:
			break;
		}
	}
	return false;
}

START_TEST(only_general_registers_are_used)
{
	const struct guest_image *image = images[_i];
	const Elf64_Shdr *text = section(image, ".text");
	const uint8_t *code = at(image, text->sh_offset, text->sh_size);
	ZydisDecoder decoder;
	uint64_t offset = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	while (offset < text->sh_size) {
		ZydisDecodedInstruction instruction;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		ck_assert_msg(ZYAN_SUCCESS(ZydisDecoderDecodeFull(
		                      &decoder, code + offset, text->sh_size - offset, &instruction, operands)),
		        "%s: no instruction at %llx", image->name, (unsigned long long)(text->sh_addr + offset));
		ck_assert_msg(instruction.meta.isa_ext != ZYDIS_ISA_EXT_X87 && !touches_vector(&instruction, operands),
		        "%s: %s at %llx", image->name, ZydisMnemonicGetString(instruction.mnemonic),
		        (unsigned long long)(text->sh_addr + offset));
		offset += instruction.length;
	}
}
END_TEST

/* ---- sites ---- */

static const ZydisMnemonic site_mnemonics[] = {
        [SITE_CPUID] = ZYDIS_MNEMONIC_CPUID,
        [SITE_VMCALL] = ZYDIS_MNEMONIC_VMCALL,
        [SITE_RDTSC] = ZYDIS_MNEMONIC_RDTSC,
        [SITE_MOV_TO_CR3] = ZYDIS_MNEMONIC_MOV,
        [SITE_INVLPG] = ZYDIS_MNEMONIC_INVLPG,
        [SITE_UD2] = ZYDIS_MNEMONIC_UD2,
        [SITE_MMIO] = ZYDIS_MNEMONIC_MOV,
        [SITE_TOUCH] = ZYDIS_MNEMONIC_MOV,
};

START_TEST(sites_are_the_instructions_they_name)
{
	const Elf64_Shdr *sites_section = section(&guest_image_micro, SITE_SECTION);
	ZydisDecoder decoder;
	unsigned seen[SITE_TOUCH + 1] = {0};

	ck_assert_ptr_nonnull(sites_section);
	ck_assert_uint_eq(sites_section->sh_size % sizeof(struct site), 0);
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	const struct site *sites = at(&guest_image_micro, sites_section->sh_offset, sites_section->sh_size);
	for (uint64_t i = 0; i < sites_section->sh_size / sizeof(struct site); i++) {
		const uint8_t *code = linear(&guest_image_micro, sites[i].address, 15);
		ZydisDecodedInstruction instruction;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

		ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, 15, &instruction, operands)));
		ck_assert_uint_le(sites[i].kind, SITE_TOUCH);
		ck_assert_int_eq(instruction.mnemonic, site_mnemonics[sites[i].kind]);
		ck_assert_uint_eq(sites[i].length, instruction.length);
		ck_assert_uint_ge(sites[i].length, 2);
		if (sites[i].kind == SITE_MOV_TO_CR3) {
			ck_assert_int_eq(operands[0].reg.value, ZYDIS_REGISTER_CR3);
			ck_assert_int_eq(operands[1].reg.value, ZYDIS_REGISTER_RAX + sites[i].operand);
		}
		if (sites[i].kind == SITE_INVLPG)
			ck_assert_int_eq(operands[0].mem.base, ZYDIS_REGISTER_RAX + sites[i].operand);
		seen[sites[i].kind]++;
	}
	for (unsigned kind = SITE_CPUID; kind <= SITE_TOUCH; kind++)
		ck_assert_msg(seen[kind], "no site of kind %u", kind);
}
END_TEST

/* What KVM keeps to itself stands in the table, wherever the image executes it but for the harness's own RDTSC. */
START_TEST(no_such_instruction_is_missing_from_the_sites)
{
	const Elf64_Shdr *text = section(&guest_image_micro, ".text");
	const Elf64_Shdr *sites_section = section(&guest_image_micro, SITE_SECTION);
	const struct site *sites = at(&guest_image_micro, sites_section->sh_offset, sites_section->sh_size);
	const uint8_t *code = at(&guest_image_micro, text->sh_offset, text->sh_size);
	ZydisDecoder decoder;
	ZydisDecodedInstruction instruction;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (uint64_t offset = 0; offset < text->sh_size; offset += instruction.length) {
		bool listed = false;
		ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
		        &decoder, NULL, code + offset, text->sh_size - offset, &instruction)));
		for (uint64_t i = 0; i < sites_section->sh_size / sizeof(struct site); i++)
			listed |= sites[i].address == text->sh_addr + offset;
		switch (instruction.mnemonic) {
		case ZYDIS_MNEMONIC_CPUID:
		case ZYDIS_MNEMONIC_VMCALL:
		case ZYDIS_MNEMONIC_INVLPG:
		case ZYDIS_MNEMONIC_UD2:
		case ZYDIS_MNEMONIC_WBINVD:
			ck_assert_msg(listed, "%s at %llx is not in the site table",
			        ZydisMnemonicGetString(instruction.mnemonic),
			        (unsigned long long)(text->sh_addr + offset));
			break;
		default:
			break;
		}
	}
}
END_TEST

START_TEST(every_workload_is_linked)
{
	static const char *const names[] = {
#define WORKLOAD(name, reason, unit, text) name,
#include "workloads/workloads.def"
#undef WORKLOAD
	};
	const Elf64_Shdr *table = section(&guest_image_micro, ".testudo.workloads");
	const unsigned count = sizeof(names) / sizeof(names[0]);

	/* An array of struct workload (runtime/workload.h, which only guests can compile); the name comes first. */
	ck_assert_ptr_nonnull(table);
	ck_assert_uint_eq(table->sh_size % count, 0);
	const uint64_t entry_bytes = table->sh_size / count;
	for (unsigned i = 0; i < count; i++) {
		bool found = false;
		for (unsigned j = 0; j < count; j++) {
			const uint64_t *name =
			        at(&guest_image_micro, table->sh_offset + j * entry_bytes, sizeof(*name));
			found |= !strcmp(linear(&guest_image_micro, *name, strlen(names[i]) + 1), names[i]);
		}
		ck_assert_msg(found, "workload %s is not in the image", names[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: guest images");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, layout_is_what_the_loader_wants, 0, 2);
	tcase_add_loop_test(tcase, only_general_registers_are_used, 0, 2);
	tcase_add_test(tcase, sites_are_the_instructions_they_name);
	tcase_add_test(tcase, no_such_instruction_is_missing_from_the_sites);
	tcase_add_test(tcase, every_workload_is_linked);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
