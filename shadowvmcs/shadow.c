/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMCS shadowing: L1's VMREADs and VMWRITEs of the most used fields go to a shadow region instead of exiting.
 *
 *              L1: VMREAD, VMWRITE (no exit where the bitmaps hold a 0)
 *                        |
 *                        v              before a nested entry: read-write fields, if changed
 *   vmcs01's link ->  region  ------------------------------------------------------> vmcs12
 *                             <------------------------------------------------------
 *                                       after a reflection: read-write and read-only fields, if changed
 *
 * Between an entry by L1 and the next one the region is the truth for read-write fields, vmcs12 for all others; so
 * emulated VMREADs and VMWRITEs of a shadowed field (a paravirtual L1's, or a high half's) look there first.
 */
#include "shadow.h"

#include <string.h>

#include "nested.h"
#include "transition.h"

static struct vmcs *region_of(const struct nested *nested)
{
	return nested->config.shadow_region.hva;
}

static bool active(const struct nested *nested)
{
	return nested->config.shadow_mode == SHADOW_SHADOW && nested->vmcs12;
}

/* A field whose value may still be in the machine cannot be shadowed: the region would show an old one. */
static bool shadowed(const struct nested *nested, unsigned field)
{
	return vmcs_field_infos[field].shadow != VMCS_SHADOW_NONE &&
	       !vmcs_mask_has(&nested->config.machine.on_demand, (enum vmcs_field)field);
}

/* SDM vol. 3, 25.6.15: bit n of a bitmap stands for the encoding n (bits 14:0). */
static void let_through(uint8_t *bitmap, unsigned field)
{
	const uint32_t encoding = vmcs_field_infos[field].encoding;

	bitmap[encoding / 8] &= (uint8_t) ~(1u << encoding % 8);
	if (vmcs_encoding_width(encoding) == VMCS_WIDTH_64)
		bitmap[(encoding | 1) / 8] &= (uint8_t) ~(1u << (encoding | 1) % 8);
}

void shadow_init(struct nested *nested)
{
	struct vmcs *vmcs01 = nested->config.vmcs01;
	uint8_t *vmread = nested->config.vmread_bitmap.hva;
	uint8_t *vmwrite = nested->config.vmwrite_bitmap.hva;

	memset(vmread, 0xff, VMCS_REGION_BYTES);
	memset(vmwrite, 0xff, VMCS_REGION_BYTES);
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		if (!shadowed(nested, field))
			continue;
		let_through(vmread, field);
		vmcs_mask_set(&nested->shadow_all, (enum vmcs_field)field);
		if (vmcs_field_infos[field].shadow != VMCS_SHADOW_RW)
			continue;
		let_through(vmwrite, field);
		vmcs_mask_set(&nested->shadow_rw, (enum vmcs_field)field);
	}
	memset(region_of(nested), 0, sizeof(struct vmcs));
	region_of(nested)->revision_id = VMCS_REVISION_ID | VMCS_SHADOW_INDICATOR;
	if (nested->config.machine.hardware_shadowing) {
		vmcs_set(vmcs01, VMCS_VMREAD_BITMAP, nested->config.vmread_bitmap.hpa);
		vmcs_set(vmcs01, VMCS_VMWRITE_BITMAP, nested->config.vmwrite_bitmap.hpa);
	}
}

/*
 * The control is on only while L1 has a current VMCS: with it off every VMREAD exits, and the engine gives the #UD or
 * VMfailInvalid that L1 would get without one.
 */
static void set_control(struct nested *nested, bool on)
{
	struct vmcs *vmcs01 = nested->config.vmcs01;
	const uint64_t bit = VMX_BIT(PROC2_VMCS_SHADOWING);
	const uint64_t proc2 = vmcs_get(vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);

	if (!nested->config.machine.hardware_shadowing)
		return;
	vmcs_set(vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, on ? proc2 | bit : proc2 & ~bit);
	vmcs_set(vmcs01, VMCS_VMCS_LINK_POINTER, on ? nested->config.shadow_region.hpa : ~0ull);
}

static void put(struct nested *nested, unsigned field)
{
	const uint64_t value = nested->vmcs12->field[field];

	if (region_of(nested)->field[field] == value)
		return;
	region_of(nested)->field[field] = value;
	nested->counters[COUNTER_SHADOW_FIELDS_FROM_VMCS12]++;
}

/* `all`: the region held something else before; else vmcs12's values when L1 entered L2. */
static void put_fields(struct nested *nested, bool all)
{
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		uint64_t bits = nested->shadow_all.word[word] & (all ? ~0ull : nested->reflected.word[word]);
		nested->reflected.word[word] = 0;
		for (; bits != 0; bits &= bits - 1)
			put(nested, word * 64 + (unsigned)__builtin_ctzll(bits));
	}
}

void shadow_start(struct nested *nested)
{
	if (!active(nested))
		return;
	put_fields(nested, true);
	region_of(nested)->dirty = (struct vmcs_mask){0};
	set_control(nested, true);
}

void shadow_stop(struct nested *nested)
{
	if (active(nested))
		set_control(nested, false);
}

static uint64_t region_value(const struct nested *nested, unsigned field)
{
	const enum vmcs_width width = vmcs_encoding_width(vmcs_field_infos[field].encoding);

	/* A paravirtual L1's region is its own memory: read once, and only the bits the field has. */
	return *(volatile const uint64_t *)&region_of(nested)->field[field] & vmcs_width_mask(width);
}

static void take(struct nested *nested, unsigned field)
{
	const uint64_t value = region_value(nested, field);

	if (value == nested->vmcs12->field[field])
		return;
	vmcs_set(nested->vmcs12, (enum vmcs_field)field, value);
	nested->counters[COUNTER_SHADOW_FIELDS_TO_VMCS12]++;
}

/*
 * Read-write fields that are marked dirty in the region, once; all of them where nobody marks. The marks of a
 * paravirtual L1 are its own to set (abi/boot_info.h): a write without one is lost or comes late, to nobody's harm but
 * L1's.
 */
void shadow_to_vmcs12(struct nested *nested)
{
	if (!active(nested))
		return;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		volatile uint64_t *dirty = &region_of(nested)->dirty.word[word];
		uint64_t bits = nested->shadow_rw.word[word];
		if (nested->config.machine.marks_written) {
			const uint64_t marked = *dirty;
			if (marked == 0)
				continue;
			*dirty = 0;
			bits &= marked;
		}
		for (; bits != 0; bits &= bits - 1)
			take(nested, word * 64 + (unsigned)__builtin_ctzll(bits));
	}
}

bool shadow_rip_alone(const struct nested *nested, bool *marked)
{
	uint64_t others = 0;

	*marked = false;
	if (!active(nested))
		return true;
	if (!nested->config.machine.marks_written)
		return false;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t rip = VMCS_GUEST_RIP / 64 == word ? 1ull << VMCS_GUEST_RIP % 64 : 0;
		/* Read once: the region may be in L1's memory. */
		const volatile uint64_t *dirty = &region_of(nested)->dirty.word[word];
		const uint64_t bits = *dirty & nested->shadow_rw.word[word];
		*marked |= (bits & rip) != 0;
		others |= bits & ~rip;
	}
	return others == 0;
}

uint64_t shadow_rip(const struct nested *nested)
{
	return region_value(nested, VMCS_GUEST_RIP);
}

void shadow_take_rip_mark(struct nested *nested)
{
	vmcs_mask_clear(&region_of(nested)->dirty, VMCS_GUEST_RIP);
}

void shadow_from_vmcs12(struct nested *nested)
{
	if (active(nested))
		put_fields(nested, !nested->config.machine.marks_written);
}

void shadow_put(struct nested *nested, unsigned field)
{
	if (active(nested) && vmcs_mask_has(&nested->shadow_all, (enum vmcs_field)field))
		region_of(nested)->field[field] = nested->vmcs12->field[field];
}

void shadow_take(struct nested *nested, unsigned field)
{
	if (active(nested) && vmcs_mask_has(&nested->shadow_rw, (enum vmcs_field)field))
		vmcs_set(nested->vmcs12, (enum vmcs_field)field, region_value(nested, field));
}
