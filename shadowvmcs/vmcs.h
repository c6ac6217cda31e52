/* SPDX-License-Identifier: Apache-2.0 */
/**
 * struct vmcs: the one representation of vmcs01, vmcs12 and vmcs02, and of the shadow VMCS region.
 *
 * Fields are held by *index* (enum vmcs_field, in the order of vmcs_fields.def); guests name them by *encoding*
 * (SDM vol. 3, appendix B). All values are held as 64 bits, zero-extended from their width.
 */
#ifndef TESTUDO_SHADOWVMCS_VMCS_H
#define TESTUDO_SHADOWVMCS_VMCS_H

#include <stdbool.h>
#include <stdint.h>

/** A field's index: VMCS_GUEST_RIP, ... */
enum vmcs_field {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) VMCS_##name,
#include "vmcs_fields.def"
#undef VMCS_FIELD
	VMCS_FIELD_COUNT
};

/** A field's encoding: VMCS_ENC_GUEST_RIP, ... */
enum vmcs_encoding {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) VMCS_ENC_##name = (encoding),
#include "vmcs_fields.def"
#undef VMCS_FIELD
};

/** How vmcs02 gets a field; see the head of vmcs_fields.def. */
enum vmcs_how {
	VMCS_HOW_NONE,
	VMCS_HOW_GUEST,
	VMCS_HOW_HOST,
	VMCS_HOW_OR,
	VMCS_HOW_MERGE,
	VMCS_HOW_ENTRY,
	VMCS_HOW_EXIT
};

enum vmcs_shadow_class { VMCS_SHADOW_NONE, VMCS_SHADOW_RO, VMCS_SHADOW_RW };

/* SDM vol. 3, 25.11.2: bits of an encoding. */
enum vmcs_width { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_NATURAL };
enum vmcs_type { VMCS_TYPE_CONTROL, VMCS_TYPE_READ_ONLY, VMCS_TYPE_GUEST, VMCS_TYPE_HOST };

/** Revision id in IA32_VMX_BASIC and in the first word of a VMCS region; bit 31 of the word marks a shadow VMCS. */
#define VMCS_REVISION_ID 0x54535455u /* "UTST" */
#define VMCS_SHADOW_INDICATOR 0x80000000u
/** Bytes of a VMCS region (IA32_VMX_BASIC bits 44:32). */
#define VMCS_REGION_BYTES 4096
/** 64-bit words of a bitmap with one bit per field index. */
#define VMCS_MASK_WORDS 3
_Static_assert(VMCS_FIELD_COUNT <= 64 * VMCS_MASK_WORDS, "a field mask has a bit for each field");

/** A set of fields, one bit per index. */
struct vmcs_mask {
	uint64_t word[VMCS_MASK_WORDS];
};

struct vmcs {
	uint32_t revision_id; /**< SDM vol. 3, 25.2 */
	uint32_t abort_indicator;
	uint32_t launched; /**< launch state: 0 clear, 1 launched */
	uint32_t reserved;
	/**
	 * Fields written since the reader of this VMCS last looked. vmcs12: written by L1 since the last entry (by the
	 * engine on VMWRITE; by L1 itself with vmcs=direct). vmcs01, vmcs02: written by the engine since the machine
	 * last entered it; the machine clears them. A machine that obeys the whole VMCS may ignore them.
	 */
	struct vmcs_mask dirty;
	/**
	 * Guest fields whose value still sits in the machine: field[] is out of date until fetched (nested_fetch). Only
	 * machines with a non-empty machine_caps.on_demand set bits here (the kvm machine: segment and control
	 * registers).
	 */
	struct vmcs_mask stale;
	/**
	 * vmcs01, vmcs02: fields that anyone changed since the engine last took them over. On machines with
	 * machine_caps.marks_written a clear bit means "as it was", and the engine does not look; so whoever changes a
	 * field marks it: vmcs_set for the engine and L0, the machine for guest state that it stores at an exit or on
	 * fetch. The engine alone clears bits: of vmcs02 when vmcs12 has the values (reflect.c), of vmcs01 when it
	 * holds L1's host state (host_state.c) and when vmcs02's controls follow it (merge.c).
	 */
	struct vmcs_mask written;
	uint64_t field[VMCS_FIELD_COUNT];
};
_Static_assert(sizeof(struct vmcs) <= VMCS_REGION_BYTES, "a VMCS fits its region");

/** What is known of a field, by index. */
struct vmcs_field_info {
	const char *name;    /**< identifier, "GUEST_RIP" */
	const char *text;    /**< as in the SDM, "Guest RIP" */
	const char *section; /**< SDM vol. 3 */
	uint16_t encoding;
	uint8_t how;    /**< enum vmcs_how */
	uint8_t shadow; /**< enum vmcs_shadow_class */
};
extern const struct vmcs_field_info vmcs_field_infos[VMCS_FIELD_COUNT];

static inline enum vmcs_width vmcs_encoding_width(uint32_t encoding)
{
	return (enum vmcs_width)((encoding >> 13) & 3);
}
static inline enum vmcs_type vmcs_encoding_type(uint32_t encoding)
{
	return (enum vmcs_type)((encoding >> 10) & 3);
}
/** True for the access to bits 63:32 of a 64-bit field. */
static inline bool vmcs_encoding_is_high(uint32_t encoding)
{
	return encoding & 1;
}

/**
 * The index of an encoding (full or high access), or -1 when there is no such field.
 * Constant time: a table over width, type and index.
 */
int vmcs_field_of_encoding(uint32_t encoding);

/** The mask of bits a field of this width can hold (bits above are dropped on a write). */
static inline uint64_t vmcs_width_mask(enum vmcs_width width)
{
	static const uint64_t masks[] = {
	        [VMCS_WIDTH_16] = 0xffff,
	        [VMCS_WIDTH_64] = ~0ull,
	        [VMCS_WIDTH_32] = 0xffffffff,
	        [VMCS_WIDTH_NATURAL] = ~0ull,
	};

	return masks[width & 3];
}

/** Read by index. The caller has fetched stale fields. */
static inline uint64_t vmcs_get(const struct vmcs *vmcs, enum vmcs_field field)
{
	return vmcs->field[field];
}

static inline void vmcs_mask_set(struct vmcs_mask *mask, enum vmcs_field field)
{
	mask->word[field / 64] |= 1ull << (field % 64);
}
static inline void vmcs_mask_clear(struct vmcs_mask *mask, enum vmcs_field field)
{
	mask->word[field / 64] &= ~(1ull << (field % 64));
}
static inline bool vmcs_mask_has(const struct vmcs_mask *mask, enum vmcs_field field)
{
	return mask->word[field / 64] >> (field % 64) & 1;
}

/*
 * Constant field masks. A list macro names fields: #define SOME(X, w) X(w, GUEST_RIP) | X(w, GUEST_RSP)
 * and VMCS_MASK_OF(SOME) is the initializer of its mask.
 */
#define VMCS_MASK_BIT(w, name) (VMCS_##name / 64 == (w) ? 1ull << (VMCS_##name % 64) : 0)
#define VMCS_MASK_OF(list)                                                                                             \
	{                                                                                                              \
		{                                                                                                      \
			list(VMCS_MASK_BIT, 0), list(VMCS_MASK_BIT, 1), list(VMCS_MASK_BIT, 2)                         \
		}                                                                                                      \
	}

/** Write by index; marks the field dirty and written when the value changes. */
static inline void vmcs_set(struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	if (vmcs->field[field] != value) {
		vmcs->field[field] = value;
		vmcs_mask_set(&vmcs->dirty, field);
		vmcs_mask_set(&vmcs->written, field);
	}
}

/** A machine stores guest state at an exit: marks the field written when the value changes. */
static inline void vmcs_store(struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	if (vmcs->field[field] != value) {
		vmcs->field[field] = value;
		vmcs_mask_set(&vmcs->written, field);
	}
}

/** VMREAD's and VMWRITE's data movement by encoding, high halves included. False: no such field. */
bool vmcs_read_encoding(const struct vmcs *vmcs, uint32_t encoding, uint64_t *value);
bool vmcs_write_encoding(struct vmcs *vmcs, uint32_t encoding, uint64_t value);

#endif
