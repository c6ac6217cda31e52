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

/* Members of a shadow class, from the fact file. */
#define LIST_RW_RW(name) VMCS_##name,
#define LIST_RW_RO(name)
#define LIST_RW_NONE(name)
#define LIST_RO_RW(name)
#define LIST_RO_RO(name) VMCS_##name,
#define LIST_RO_NONE(name)

static const uint8_t rw_fields[] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) LIST_RW_##shadow(name)
#include "vmcs_fields.def"
#undef VMCS_FIELD
};
static const uint8_t ro_fields[] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) LIST_RO_##shadow(name)
#include "vmcs_fields.def"
#undef VMCS_FIELD
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

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
		if (vmcs_field_infos[field].shadow == VMCS_SHADOW_RW)
			let_through(vmwrite, field);
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

void shadow_start(struct nested *nested)
{
	if (!active(nested))
		return;
	shadow_from_vmcs12(nested);
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

void shadow_to_vmcs12(struct nested *nested)
{
	uint64_t moved = 0;

	if (!active(nested))
		return;
	for (unsigned i = 0; i < LENGTH(rw_fields); i++) {
		const unsigned field = rw_fields[i];
		const uint64_t value = region_value(nested, field);

		if (value == nested->vmcs12->field[field] || !shadowed(nested, field))
			continue;
		vmcs_set(nested->vmcs12, (enum vmcs_field)field, value);
		moved++;
	}
	nested->counters[COUNTER_SHADOW_FIELDS_TO_VMCS12] += moved;
}

static unsigned put_if_changed(struct nested *nested, unsigned field)
{
	const uint64_t value = nested->vmcs12->field[field];

	if (region_of(nested)->field[field] == value || !shadowed(nested, field))
		return 0;
	region_of(nested)->field[field] = value;
	return 1;
}

void shadow_from_vmcs12(struct nested *nested)
{
	uint64_t moved = 0;

	if (!active(nested))
		return;
	for (unsigned i = 0; i < LENGTH(rw_fields); i++)
		moved += put_if_changed(nested, rw_fields[i]);
	for (unsigned i = 0; i < LENGTH(ro_fields); i++)
		moved += put_if_changed(nested, ro_fields[i]);
	nested->counters[COUNTER_SHADOW_FIELDS_FROM_VMCS12] += moved;
}

void shadow_put(struct nested *nested, unsigned field)
{
	if (active(nested))
		put_if_changed(nested, field);
}

void shadow_take(struct nested *nested, unsigned field)
{
	if (active(nested) && vmcs_field_infos[field].shadow == VMCS_SHADOW_RW && shadowed(nested, field))
		vmcs_set(nested->vmcs12, (enum vmcs_field)field, region_value(nested, field));
}
