/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot (version 1) images as other people's test kernels are. What they ask of a loader stands below 1 MiB:
 *
 *   0x0040e, 0x00413 what a BIOS says of the end of low memory
 *   0x90000 information structure   0x90100 module list   0x90200 memory map
 *   0x91000 command line            0x92000 the module: environment text
 *   0xe0000 ACPI tables (acpi.c)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "l0/acpi.h"
#include "l0/image.h"

#define HEADER_MAGIC 0x1badb002u
#define HEADER_SEARCH 8192
#define HEADER_FLAG_ADDRESSES (1u << 16) /* load addresses in the header instead of ELF's */

#define GPA_BIOS_EBDA 0x40eu   /* 16 bits: segment of what follows low memory */
#define GPA_BIOS_MEMORY 0x413u /* 16 bits: KiB of low memory */
#define GPA_INFO 0x90000u
#define GPA_MODULES 0x90100u
#define GPA_MEMORY_MAP 0x90200u
#define GPA_COMMAND_LINE 0x91000u
#define GPA_ENVIRONMENT 0x92000u
#define TEXT_BYTES 0x1000
#define LOAD_LOW 0x100000u

/* Information structure, as far as it is filled in. */
#define INFO_MEMORY (1u << 0)
#define INFO_COMMAND_LINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MEMORY_MAP (1u << 6)
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, command_line, modules, modules_address, syms[4], map_bytes,
	        map_address;
};

struct multiboot_module {
	uint32_t start, end, text, reserved;
};

struct memory_map_entry {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type; /* 1: RAM, 2: reserved */
} __attribute__((packed));

static const uint32_t *find_header(const void *data, size_t bytes)
{
	const size_t end = bytes < HEADER_SEARCH ? bytes : HEADER_SEARCH;

	for (size_t at = 0; at + 12 <= end; at += 4) {
		const uint32_t *header = (const void *)((const uint8_t *)data + at);
		if (header[0] == HEADER_MAGIC && header[0] + header[1] + header[2] == 0)
			return header;
	}
	return NULL;
}

bool multiboot_is(const void *data, size_t bytes)
{
	return find_header(data, bytes) != NULL;
}

static void put_memory_map(uint8_t *memory, uint64_t bytes, struct multiboot_info *info)
{
	const struct memory_map_entry map[] = {
	        {20, 0, 0x90000, 1}, {20, 0x90000, 0x70000, 2}, {20, LOAD_LOW, bytes - LOAD_LOW, 1}};

	memcpy(memory + GPA_MEMORY_MAP, map, sizeof(map));
	info->map_address = GPA_MEMORY_MAP;
	info->map_bytes = sizeof(map);
	info->mem_lower = 0x90000 / 1024;
	info->mem_upper = (uint32_t)((bytes - LOAD_LOW) / 1024);
}

/* Hypervisors look there for a place for their start-up code. */
static void put_bios_data(uint8_t *memory)
{
	const uint16_t segment = GPA_INFO >> 4, kib = GPA_INFO / 1024;

	memcpy(memory + GPA_BIOS_EBDA, &segment, sizeof(segment));
	memcpy(memory + GPA_BIOS_MEMORY, &kib, sizeof(kib));
}

/* The first word is the program's name, as boot loaders give it. */
static int put_command_line(uint8_t *memory, const char *name, const char *append, struct refusal *why)
{
	const char *slash = strrchr(name, '/');
	const int length = snprintf((char *)memory + GPA_COMMAND_LINE, TEXT_BYTES, "%s%s%s", slash ? slash + 1 : name,
	        append && *append ? " " : "", append ? append : "");

	if (length >= TEXT_BYTES)
		return refuse(
		        why, -E2BIG, "the command line has %d characters: %d are the most", length, TEXT_BYTES - 1);
	return 0;
}

static void put_environment(uint8_t *memory, uint64_t bytes, struct multiboot_info *info)
{
	const int length = snprintf((char *)memory + GPA_ENVIRONMENT, TEXT_BYTES,
	        "NR_CPUS=1\nMEMSIZE=%llu\nTEST_DEVICE=0\nBOOTLOADER=1\n", (unsigned long long)(bytes >> 20));
	const struct multiboot_module module = {GPA_ENVIRONMENT, GPA_ENVIRONMENT + (uint32_t)length, 0, 0};

	memcpy(memory + GPA_MODULES, &module, sizeof(module));
	info->modules = 1;
	info->modules_address = GPA_MODULES;
}

int multiboot_load(struct multiboot_image *image, const struct guest_space *space, const char *name, const void *data,
        size_t bytes, const char *append, struct refusal *why)
{
	const uint32_t *header = find_header(data, bytes);
	struct multiboot_info info = {.flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MEMORY_MAP,
	        .command_line = GPA_COMMAND_LINE};
	uint64_t begin, end;
	struct elf elf;
	int error;

	if (!header)
		return refuse(why, -ENOEXEC, "%s has no multiboot header in its first %d bytes", name, HEADER_SEARCH);
	if (header[1] & HEADER_FLAG_ADDRESSES)
		return refuse(
		        why, -ENOEXEC, "%s is a multiboot image with addresses in its header: build it as ELF", name);
	error = elf_open(&elf, name, data, bytes, why);
	if (!error)
		error = elf_load(&elf, space, LOAD_LOW, space->bytes, &begin, &end, why);
	if (error)
		return error;
	if (elf.entry < begin || elf.entry >= end || elf.entry > UINT32_MAX)
		return refuse(why, -ENOEXEC, "%s: the entry point %#llx is outside the image", name,
		        (unsigned long long)elf.entry);
	put_memory_map(space->memory, space->bytes, &info);
	error = put_command_line(space->memory, name, append, why);
	if (error)
		return error;
	put_environment(space->memory, space->bytes, &info);
	put_bios_data(space->memory);
	acpi_put_tables(space->memory);
	memcpy(space->memory + GPA_INFO, &info, sizeof(info));
	image->entry = (uint32_t)elf.entry;
	image->info = GPA_INFO;
	image->end = end;
	return 0;
}

int multiboot_add_modules(struct multiboot_image *image, const struct guest_space *space,
        const struct multiboot_file *files, unsigned count, struct refusal *why)
{
	struct multiboot_info *info = (struct multiboot_info *)(space->memory + GPA_INFO);
	struct multiboot_module *modules = (struct multiboot_module *)(space->memory + GPA_MODULES);
	uint64_t text = GPA_ENVIRONMENT;

	if (count > (GPA_MEMORY_MAP - GPA_MODULES) / sizeof(*modules))
		return refuse(why, -E2BIG, "%u modules are too many", count);
	for (unsigned i = 0; i < count; i++) {
		const uint64_t start = (image->end + 0xfff) & ~0xfffull;
		const size_t length = strlen(files[i].text) + 1;
		if (start > space->bytes || files[i].bytes > space->bytes - start)
			return refuse(
			        why, -ENOMEM, "module %s does not fit: give the guest more memory", files[i].text);
		if (text + length > GPA_ENVIRONMENT + TEXT_BYTES)
			return refuse(why, -E2BIG, "the modules' texts have more than %d characters", TEXT_BYTES);
		memcpy(space->memory + start, files[i].data, files[i].bytes);
		memcpy(space->memory + text, files[i].text, length);
		modules[i] = (struct multiboot_module){
		        (uint32_t)start, (uint32_t)(start + files[i].bytes), (uint32_t)text, 0};
		image->end = start + files[i].bytes;
		text += length;
	}
	info->modules = count;
	return 0;
}
