/* SPDX-License-Identifier: Apache-2.0 */
/** VMCS shadowing, as the engine's own files use it (shadow.c). All do nothing unless the mode is SHADOW_SHADOW. */
#ifndef TESTUDO_SHADOWVMCS_SHADOW_H
#define TESTUDO_SHADOWVMCS_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

struct nested;

/** Write the VMREAD and VMWRITE bitmaps: the shadow classes of vmcs_fields.def minus machine_caps.on_demand. */
void shadow_init(struct nested *nested);

/** vmcs12 became current: fill the region from it, and let VMREAD and VMWRITE of L1 use the region. */
void shadow_start(struct nested *nested);

/** vmcs12 is about to be no longer current: every VMREAD and VMWRITE exits again. The region is not read. */
void shadow_stop(struct nested *nested);

/** The engine wrote `field` of vmcs12 outside a reflection (an emulated VMWRITE, the VM-instruction error). */
void shadow_put(struct nested *nested, unsigned field);

/** An emulated VMREAD or VMWRITE is about to use `field` of vmcs12: take a value L1 wrote to the region meanwhile. */
void shadow_take(struct nested *nested, unsigned field);

/** Is RIP at most what L1 wrote in the region? *marked: it wrote it (shadow_rip). False also where nobody marks. */
bool shadow_rip_alone(const struct nested *nested, bool *marked);
uint64_t shadow_rip(const struct nested *nested);
/** The region's RIP is in vmcs12 now. */
void shadow_take_rip_mark(struct nested *nested);

#endif
