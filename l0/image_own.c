/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/boot_info.h"
#include "l0/image.h"

static int take_sites(struct image *image, const struct elf *elf, struct refusal *why)
{
	const uint8_t *contents;
	struct site *sites;
	uint64_t bytes;
	const int error = elf_section(elf, SITE_SECTION, &contents, &bytes, why);

	if (error == -ENOENT || (!error && bytes == 0))
		return 0;
	if (error)
		return error;
	if (bytes % sizeof(struct site))
		return refuse(why, -ENOEXEC, "%s: section %s has %llu bytes, no multiple of %zu: rebuild it", elf->name,
		        SITE_SECTION, (unsigned long long)bytes, sizeof(struct site));
	sites = malloc(bytes);
	if (!sites)
		return refuse(why, -ENOMEM, "out of memory for the sites of %s", elf->name);
	memcpy(sites, contents, bytes);
	image->sites = sites;
	image->site_count = bytes / sizeof(struct site);
	return 0;
}

int image_load_own(struct image *image, const struct guest_space *space, uint64_t high, bool patch, const char *name,
        const void *data, size_t bytes, struct refusal *why)
{
	struct elf elf;
	int error;

	*image = (struct image){0};
	error = elf_open(&elf, name, data, bytes, why);
	if (error)
		return error;
	if (!elf.is_64)
		return refuse(why, -ENOEXEC, "%s is a 32-bit ELF file: own images are 64-bit", name);
	error = elf_load(&elf, space, BOOT_GPA_IMAGE, high, &image->begin, &image->end, why);
	if (error)
		return error;
	image->entry = elf.entry;
	if (elf.entry < image->begin || elf.entry >= image->end)
		return refuse(why, -ENOEXEC, "%s: the entry point %#llx is outside the image", name,
		        (unsigned long long)elf.entry);
	error = take_sites(image, &elf, why);
	if (!error)
		error = sites_apply(space, image, patch, name, why);
	if (error)
		image_free(image);
	return error;
}

void image_free(struct image *image)
{
	free((void *)image->sites);
	*image = (struct image){0};
}
