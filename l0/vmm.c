/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a VMM together: machine, devices, vmcs01, engine; and the ways from the devices and the engine back to it. */
#include "l0/vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/boot_info.h"

#define PORT_DEBUG_EXIT 0xf4

/* ---- what the test device asks for ---- */

static void on_mark(void *ctx, const struct port_access *access, enum testdev_mark mark)
{
	struct vmm *vmm = ctx;
	const uint64_t sample = access->regs->gpr[GPR_RBX];

	vmm_mark(vmm, mark, sample);
	if (mark == TESTDEV_MARK_CHECKSUM) {
		vmm->have_checksum = true;
		vmm->checksum = access->regs->gpr[GPR_RCX];
	}
	if (vmm->on_sample && (mark == TESTDEV_MARK_CONTROL_END || mark == TESTDEV_MARK_SAMPLE_END))
		vmm->on_sample(
		        vmm->on_sample_ctx, mark, sample, access->regs->gpr[GPR_RCX], access->regs->gpr[GPR_RSI]);
}

static uint64_t on_clock(void *ctx)
{
	struct vmm *vmm = ctx;

	return vmm->ops->clock(vmm->machine);
}

static void on_end(void *ctx, uint32_t status)
{
	struct vmm *vmm = ctx;

	vmm->ended = true;
	vmm->status = (int)status;
}

static void on_touch_reset(void *ctx)
{
	struct vmm *vmm = ctx;
	const struct machine_config *memory = &vmm->config.memory;

	if (memory->unmapped_bytes)
		vmm->ops->unmap01(vmm->machine, memory->unmapped_gpa, memory->unmapped_bytes);
}

/* The debug-exit port of test kernels. */
static void on_debug_exit(void *ctx, const struct port_access *access, uint32_t value)
{
	(void)access;
	on_end(ctx, value & 0xff);
}

static int make_devices(struct vmm *vmm)
{
	const struct testdev_owner owner = {vmm, on_mark, on_clock, on_end, on_touch_reset};
	const struct port_range debug_exit = {PORT_DEBUG_EXIT, PORT_DEBUG_EXIT + 3, vmm, NULL, on_debug_exit};
	int error = testdev_init(&vmm->testdev, &owner, &vmm->console, &vmm->bus);

	if (!error)
		error = serial_init(&vmm->serial, &vmm->console, &vmm->bus);
	if (!error)
		error = fw_cfg_init(&vmm->fw_cfg, vmm->config.memory.ram_bytes, &vmm->bus);
	if (!error && vmm->config.memory.foreign)
		error = interrupts_init(&vmm->interrupts, vmm, on_clock, vmm->machine->tsc_khz, &vmm->bus);
	return error ? error : bus_add_ports(&vmm->bus, &debug_exit);
}

/* ---- what the engine asks for ---- */

static void *l1_page(void *ctx, uint64_t gpa)
{
	const struct vmm *vmm = ctx;

	return gpa < vmm->machine->ram_bytes ? vmm->machine->ram + (gpa & ~0xfffull) : NULL;
}

static void engine_fetch(void *ctx, struct vmcs *vmcs)
{
	struct vmm *vmm = ctx;

	vmm->ops->fetch(vmm->machine, vmcs);
}

static void engine_flush_vpid(void *ctx, uint16_t vpid)
{
	struct vmm *vmm = ctx;

	vmm->ops->flush_vpid(vmm->machine, vpid);
}

static bool engine_read_msr(void *ctx, uint32_t msr, uint64_t *value)
{
	return emulate_list_read_msr(ctx, msr, value);
}

static bool engine_write_msr(void *ctx, uint32_t msr, uint64_t value)
{
	return emulate_list_write_msr(ctx, msr, value);
}

static void merge_bitmaps(void *ctx)
{
	struct vmm *vmm = ctx;

	nested_merge_bitmaps(&vmm->nested);
}

/* ---- the engine ---- */

/* A paravirtual L1 looks into bitmaps and region itself: they stand in its memory (abi/boot_info.h). */
static bool alloc_shadow_pages(struct vmm *vmm, struct nested_config *config)
{
	uint8_t *ram = vmm->machine->ram;

	if (!vmm->machine->caps.real_vmx) {
		config->shadow_region = (struct nested_page){ram + BOOT_GPA_SHADOW_REGION, BOOT_GPA_SHADOW_REGION};
		config->vmread_bitmap = (struct nested_page){ram + BOOT_GPA_VMREAD_BITMAP, BOOT_GPA_VMREAD_BITMAP};
		config->vmwrite_bitmap = (struct nested_page){ram + BOOT_GPA_VMWRITE_BITMAP, BOOT_GPA_VMWRITE_BITMAP};
		return true;
	}
	config->shadow_region = vmm->ops->page_alloc(vmm->machine);
	config->vmread_bitmap = vmm->ops->page_alloc(vmm->machine);
	config->vmwrite_bitmap = vmm->ops->page_alloc(vmm->machine);
	return config->shadow_region.hva && config->vmread_bitmap.hva && config->vmwrite_bitmap.hva;
}

static bool alloc_pages(struct vmm *vmm, struct nested_config *config)
{
	config->msr_bitmap02 = vmm->ops->page_alloc(vmm->machine);
	config->io_bitmap02[0] = vmm->ops->page_alloc(vmm->machine);
	config->io_bitmap02[1] = vmm->ops->page_alloc(vmm->machine);
	if (!config->msr_bitmap02.hva || !config->io_bitmap02[0].hva || !config->io_bitmap02[1].hva)
		return false;
	memset(config->msr_bitmap02.hva, 0xff, 4096);
	memset(config->io_bitmap02[0].hva, 0xff, 4096);
	memset(config->io_bitmap02[1].hva, 0xff, 4096);
	if (config->ept02_mode == EPT02_EAGER) {
		vmm->extents = calloc((size_t)EPT02_ROOTS * EPT02_EXTENTS, sizeof(*vmm->extents));
		config->extents = vmm->extents;
		if (!vmm->extents)
			return false;
	}
	return config->shadow_mode != SHADOW_SHADOW || alloc_shadow_pages(vmm, config);
}

static int make_engine(struct vmm *vmm, struct refusal *why)
{
	const struct machine_ops *ops = vmm->ops;
	struct nested_config config = {.ops = {.ctx = vmm,
	                                       .l1_page = l1_page,
	                                       .fetch = ops->fetch ? engine_fetch : NULL,
	                                       .flush_vpid = ops->flush_vpid ? engine_flush_vpid : NULL,
	                                       .read_msr = ops->read_msr ? engine_read_msr : NULL,
	                                       .write_msr = ops->write_msr ? engine_write_msr : NULL},
	        .machine = vmm->machine->caps,
	        .ept02_mode = vmm->config.ept02_mode,
	        .shadow_mode = ops->multiplexes ? SHADOW_TRAP : vmm->config.shadow_mode,
	        .copy_everything = vmm->config.copy_everything,
	        .vmcs01 = &vmm->vmcs01,
	        .msr_bitmap01 = vmm->msr_bitmap01.hva,
	        .feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX};
	int error;

	if (!alloc_pages(vmm, &config))
		return refuse(why, -ENOMEM, "out of memory for the engine's pages");
	ops->ept02_backend(vmm->machine, &config.ept02_backend);
	error = nested_init(&vmm->nested, &config);
	vmm->machine->merge_bitmaps = merge_bitmaps;
	vmm->machine->merge_bitmaps_ctx = vmm;
	if (error)
		return refuse(why, error, "the %s machine cannot do what the cell asks of the engine: %s", ops->name,
		        strerror(-error));
	return 0;
}

int vmm_create(struct vmm *vmm, const struct vmm_config *config, struct refusal *why)
{
	int error;

	*vmm = (struct vmm){.config = *config,
	        .ops = config->machine,
	        .pending_vector = -1,
	        .deadline = ~0ull,
	        .clock_limit = ~0ull,
	        .apic_base = 0xfee00900}; /* enabled, bootstrap processor */
	error = vmm->ops->create(&vmm->machine, &config->memory, why);
	if (error)
		return error;
	if (config->ept02_auto)
		vmm->config.ept02_mode = vmm->machine->caps.ept02_lazy ? EPT02_LAZY : EPT02_EAGER;
	error = make_devices(vmm);
	if (error) {
		refuse(why, error, "L0's devices overlap: %s", strerror(-error));
		goto fail;
	}
	vmm->msr_bitmap01 = vmm->ops->page_alloc(vmm->machine);
	if (!vmm->msr_bitmap01.hva) {
		error = refuse(why, -ENOMEM, "out of memory for the MSR bitmap");
		goto fail;
	}
	vmcs01_fill_msr_bitmap(vmm->msr_bitmap01.hva);
	vmcs01_init(&vmm->vmcs01, vmm->machine, &config->intercepts, &vmm->msr_bitmap01);
	if (vmm->interrupts.on) {
		vmm->virtual_apic = vmm->ops->page_alloc(vmm->machine);
		if (!vmm->virtual_apic.hva) {
			error = refuse(why, -ENOMEM, "out of memory for the virtual-APIC page");
			goto fail;
		}
		vmcs01_use_interrupts(&vmm->vmcs01, &vmm->virtual_apic);
		vmm->interrupts.lapic.tpr = (uint32_t *)((uint8_t *)vmm->virtual_apic.hva + 0x80);
	}
	error = make_engine(vmm, why);
	if (error)
		goto fail;
	return 0;
fail:
	free(vmm->extents);
	vmm->ops->destroy(vmm->machine);
	*vmm = (struct vmm){0};
	return error;
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm->machine)
		return;
	nested_fini(&vmm->nested);
	vmm->ops->destroy(vmm->machine);
	free(vmm->extents);
	*vmm = (struct vmm){0};
}
