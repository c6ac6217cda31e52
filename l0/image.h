/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Loading images into guest memory. Files come from users: every offset, size and address is checked before it is used,
 * and what cannot be loaded is refused with one sentence.
 */
#ifndef TESTUDO_L0_IMAGE_H
#define TESTUDO_L0_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/sites.h"
#include "l0/machine.h"

/** Memory an image is loaded into: guest-physical [0, bytes). */
struct guest_space {
	uint8_t *memory;
	uint64_t bytes;
};

/** An image that was loaded. */
struct image {
	uint64_t entry;
	uint64_t begin, end;      /**< guest-physical range its segments cover */
	const struct site *sites; /**< NULL = none; malloced */
	size_t site_count;
};

/* ---- elf.c: both ELF classes, x86 only ---- */

struct elf {
	const uint8_t *data;
	size_t bytes;
	const char *name; /**< for sentences */
	bool is_64;
	uint64_t entry;
	uint64_t segment_offset, section_offset;
	unsigned segment_count, segment_bytes, section_count, section_bytes, names_index;
};

struct elf_segment {
	uint64_t offset, file_bytes, physical, virtual_address, memory_bytes;
	bool loads;
};

/** Check the headers. 0; -ENOEXEC with the sentence. `name` is kept, not copied. */
int elf_open(struct elf *elf, const char *name, const void *data, size_t bytes, struct refusal *why);
/** Segment i, checked against the file's size. 0 or -ENOEXEC. */
int elf_segment(const struct elf *elf, unsigned i, struct elf_segment *segment, struct refusal *why);
/** Section by name. 0; -ENOENT: no such section (no sentence); -ENOEXEC. */
int elf_section(
        const struct elf *elf, const char *name, const uint8_t **contents, uint64_t *bytes, struct refusal *why);
/** Copy all PT_LOAD segments into [low, high) of space by physical address, zero-filled to their memory sizes. */
int elf_load(const struct elf *elf, const struct guest_space *space, uint64_t low, uint64_t high, uint64_t *begin,
        uint64_t *end, struct refusal *why);

/* ---- image_own.c ---- */

/**
 * Load an own ELF64 image into [BOOT_GPA_IMAGE, high) of space, and replace the instructions of its site table when
 * `patch`. 0 or -errno with the sentence. Free with image_free.
 */
int image_load_own(struct image *image, const struct guest_space *space, uint64_t high, bool patch, const char *name,
        const void *data, size_t bytes, struct refusal *why);
void image_free(struct image *image);

/* ---- sites.c ---- */

/** Check a site table against the loaded code and replace what is to be replaced (abi/sites.h). 0 or -ENOEXEC. */
int sites_apply(
        const struct guest_space *space, const struct image *image, bool patch, const char *name, struct refusal *why);

/* ---- image_multiboot.c ---- */

struct multiboot_image {
	uint32_t entry;
	uint32_t info; /**< guest-physical address of the multiboot information structure */
	uint64_t end;  /**< of what was loaded: modules may follow */
};
/** A module: its bytes, and its text, whose first word is its name. */
struct multiboot_file {
	const void *data;
	size_t bytes;
	const char *text;
};
/** Is there a multiboot (version 1) header in the first 8 KiB? */
bool multiboot_is(const void *data, size_t bytes);
/**
 * Load a multiboot ELF32 or ELF64 image and everything a test kernel asks its loader for: information structure, memory
 * map, command line (whose first word is the program's name), one module with environment text, ACPI tables. 0 or
 * -errno with the sentence.
 */
int multiboot_load(struct multiboot_image *image, const struct guest_space *space, const char *name, const void *data,
        size_t bytes, const char *append, struct refusal *why);
/**
 * Modules (a hypervisor's first guest and its RAM disk) instead of the environment text, page-aligned behind the image
 * that multiboot_load loaded. 0 or -errno with the sentence.
 */
int multiboot_add_modules(struct multiboot_image *image, const struct guest_space *space,
        const struct multiboot_file *files, unsigned count, struct refusal *why);

#endif
