/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_images.h"

#include <string.h>

_Static_assert(sizeof(struct guest_image) == 24, "laid out by guest_images_data.S");

const struct guest_image *guest_image_find(const char *name)
{
	static const struct guest_image *const images[] = {&guest_image_l1, &guest_image_micro, &guest_image_macro};

	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		if (!strcmp(images[i]->name, name))
			return images[i];
	return NULL;
}
