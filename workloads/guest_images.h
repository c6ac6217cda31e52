/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The guest images built into the host program: ELF64 x86-64 files as abi/boot_info.h describes.
 */
#ifndef TESTUDO_WORKLOADS_GUEST_IMAGES_H
#define TESTUDO_WORKLOADS_GUEST_IMAGES_H

#include <stddef.h>

struct guest_image {
	const char *name; /**< "l1", "micro", "macro" */
	const void *data; /**< the whole ELF file, 16-byte aligned */
	size_t size;      /**< its bytes */
};

extern const struct guest_image guest_image_l1;    /**< the tiny hypervisor */
extern const struct guest_image guest_image_micro; /**< every micro workload */
extern const struct guest_image guest_image_macro; /**< the small kernel and every macro workload */

/** The image of that name, or NULL. */
const struct guest_image *guest_image_find(const char *name);

#endif
