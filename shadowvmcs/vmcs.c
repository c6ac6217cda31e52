/* SPDX-License-Identifier: Apache-2.0 */
#include "vmcs.h"

const struct vmcs_field_info vmcs_field_infos[VMCS_FIELD_COUNT] = {
#define VMCS_FIELD(name_, encoding_, how_, shadow_, section_, text_)                                                   \
	[VMCS_##name_] = {.name = #name_,                                                                              \
	        .text = (text_),                                                                                       \
	        .section = (section_),                                                                                 \
	        .encoding = (encoding_),                                                                               \
	        .how = VMCS_HOW_##how_,                                                                                \
	        .shadow = VMCS_SHADOW_##shadow_},
#include "vmcs_fields.def"
#undef VMCS_FIELD
};

/*
 * Encoding -> index + 1 (0 = no such field). SDM vol. 3, 25.11.2:
 *
 *   31        15 14 13  12  11 10  9        1   0
 *  | reserved 0 |width | 0 |type |   index   | high |
 *
 * Width and type make the row, the index the column. No index of any row comes near 32.
 */
#define INDEX_LIMIT 32
#define ENCODING_RESERVED 0xffff9000u
#define ROW_OF(encoding) (((encoding) >> 11 & 0xc) | ((encoding) >> 10 & 3))
#define INDEX_OF(encoding) ((encoding) >> 1 & 0x1ff)

static const uint8_t field_plus_one[16][INDEX_LIMIT] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) [ROW_OF(encoding)][INDEX_OF(encoding)] = VMCS_##name + 1,
#include "vmcs_fields.def"
#undef VMCS_FIELD
};

#define VMCS_FIELD(name, encoding, how, shadow, section, text)                                                         \
	_Static_assert(INDEX_OF(encoding) < INDEX_LIMIT, #name " fits the table of encodings");                        \
	_Static_assert(((encoding) & (ENCODING_RESERVED | 1)) == 0, #name " has no reserved bit and is no high "       \
	                                                                  "access");
#include "vmcs_fields.def"
#undef VMCS_FIELD
_Static_assert(VMCS_FIELD_COUNT < 256, "an index fits the table's entries");

int vmcs_field_of_encoding(uint32_t encoding)
{
	const uint32_t index = INDEX_OF(encoding);

	if ((encoding & ENCODING_RESERVED) || index >= INDEX_LIMIT)
		return -1;
	/* Only 64-bit fields have a high half (SDM vol. 3, appendix B). */
	if (vmcs_encoding_is_high(encoding) && vmcs_encoding_width(encoding) != VMCS_WIDTH_64)
		return -1;
	return (int)field_plus_one[ROW_OF(encoding)][index] - 1;
}

bool vmcs_read_encoding(const struct vmcs *vmcs, uint32_t encoding, uint64_t *value)
{
	const int field = vmcs_field_of_encoding(encoding);

	if (field < 0)
		return false;
	if (vmcs_encoding_is_high(encoding))
		*value = vmcs->field[field] >> 32;
	else
		*value = vmcs->field[field] & vmcs_width_mask(vmcs_encoding_width(encoding));
	return true;
}

bool vmcs_write_encoding(struct vmcs *vmcs, uint32_t encoding, uint64_t value)
{
	const int field = vmcs_field_of_encoding(encoding);

	if (field < 0)
		return false;
	if (vmcs_encoding_is_high(encoding))
		value = (vmcs->field[field] & 0xffffffff) | value << 32;
	vmcs_set(vmcs, (enum vmcs_field)field, value & vmcs_width_mask(vmcs_encoding_width(encoding)));
	return true;
}
