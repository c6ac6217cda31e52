/* SPDX-License-Identifier: Apache-2.0 */
/* From a cell's settings to a VMM that is ready to run. */
#include <errno.h>
#include <string.h>

#include "l0/cell.h"
#include "workloads/guest_images.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static bool is(const struct cell *cell, enum cell_key key, const char *value)
{
	return !strcmp(cell->value[key], value);
}

/* ---- the plan ---- */

static const struct macro_info macros[] = {
#define MACRO(name, identifier, unit, virtual_ops, text) {name, virtual_ops},
#include "workloads/macros.def"
#undef MACRO
};

static const struct macro_info *find_macro(const char *workload)
{
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (!strcmp(macros[i].name, workload))
			return &macros[i];
	return NULL;
}

/* What the kernel's nesting leaves no choice in, and what it does not intercept of its own guest. */
static int check_nvmx(const struct cell_plan *plan, struct refusal *why)
{
	static const char *const silent[] = {"rdtsc", "invlpg", "mov-cr3"};

	if (plan->level == 2 && plan->vmcs == SHADOW_DIRECT)
		return refuse(why, -EOPNOTSUPP,
		        "vmcs=direct needs an L1 that knows vmcs12's layout, and on nvmx that is the kernel's own: use "
		        "vmcs=trap or shadow");
	if (plan->merge_full || !plan->ept02_auto)
		return refuse(why, -EOPNOTSUPP, "merge and ept02 are the kernel's own on nvmx: leave them as they are");
	if (plan->stamps)
		return refuse(why, -EOPNOTSUPP,
		        "stamps=on needs L0 to see the exits inside a round trip, and on nvmx the kernel keeps them");
	for (size_t i = 0; plan->level == 1 && i < sizeof(silent) / sizeof(silent[0]); i++)
		if (!strcmp(plan->workload, silent[i]))
			return refuse(why, -EOPNOTSUPP,
			        "KVM does not intercept %s of its own guest: there is no exit to measure", silent[i]);
	return 0;
}

static int check_sense(const struct cell_plan *plan, struct refusal *why)
{
	const bool kvm = !strcmp(plan->machine->name, "kvm");
	const int error = !strcmp(plan->machine->name, "nvmx") ? check_nvmx(plan, why) : 0;

	if (error)
		return error;
	if (!plan->level != !!plan->machine->run_native)
		return refuse(why, -EOPNOTSUPP,
		        "level=0 is a process of the host, which is machine=native, and that has no other level");
	if (!plan->level && !plan->macro)
		return refuse(why, -EOPNOTSUPP,
		        "%s is about an exit, and a process has none: level=0 runs macro workloads", plan->workload);
	if (plan->stamps && plan->macro)
		return refuse(why, -EOPNOTSUPP,
		        "stamps=on cuts one exit into parts, and %s makes many kinds: use a micro workload",
		        plan->workload);
	if (kvm && plan->mmu_shadow)
		return refuse(why, -EOPNOTSUPP,
		        "mmu=shadow needs page-fault exits, which KVM never hands over: use machine=soft");
	if (kvm && !plan->ept02_auto && plan->ept02 == EPT02_LAZY)
		return refuse(why, -EOPNOTSUPP,
		        "ept02=lazy needs every access outside EPT02 to be a precise exit, and KVM completes stores "
		        "before it tells: use ept02=eager");
	if (plan->stamps && plan->level != 2)
		return refuse(why, -EINVAL, "stamps=on needs level=2: they cut a nested round trip into parts");
	return 0;
}

/* The first-touch region: enough pages for a sample, and no more, since L1 must clear an entry for each. */
static void plan_touch(struct cell_plan *plan)
{
	plan->touch_base = plan->macro ? LAYOUT_MACRO_BYTES : LAYOUT_TOUCH_BASE;
	plan->touch_page = 4 * KIB;
	plan->touch_bytes = 2 * MIB;
	if (!strcmp(plan->workload, "touch-4k")) {
		plan->touch_bytes = 4 * MIB;
	} else if (!strcmp(plan->workload, "touch-2m")) {
		plan->touch_page = 2 * MIB;
		plan->touch_bytes = 64 * MIB;
	}
}

int cell_plan_make(struct cell_plan *plan, const struct cell *cell, struct refusal *why)
{
	*plan = (struct cell_plan){.machine = machine_find(cell->value[CELL_MACHINE]),
	        .level = (unsigned)cell_int(cell, CELL_LEVEL, 2),
	        .workload = cell->value[CELL_WORKLOAD],
	        .vmcs = is(cell, CELL_VMCS, "trap")     ? SHADOW_TRAP
	                : is(cell, CELL_VMCS, "shadow") ? SHADOW_SHADOW
	                                                : SHADOW_DIRECT,
	        .profile = is(cell, CELL_PROFILE, "minimal") ? BOOT_PROFILE_MINIMAL
	                   : is(cell, CELL_PROFILE, "kvm")   ? BOOT_PROFILE_KVM
	                   : is(cell, CELL_PROFILE, "haxm")  ? BOOT_PROFILE_HAXM
	                                                     : BOOT_PROFILE_KVM_PIO,
	        .ept12_small = is(cell, CELL_EPT12_PAGE, "4k"),
	        .ept02 = is(cell, CELL_EPT02, "lazy") ? EPT02_LAZY : EPT02_EAGER,
	        .ept02_auto = is(cell, CELL_EPT02, "auto"),
	        .mmu_shadow = is(cell, CELL_MMU, "shadow"),
	        .merge_full = is(cell, CELL_MERGE, "full"),
	        .exit_log = is(cell, CELL_EXIT_LOG, "on"),
	        .stamps = is(cell, CELL_STAMPS, "on"),
	        .samples = cell_int(cell, CELL_SAMPLES, 9),
	        .ops_auto = is(cell, CELL_OPS, "auto"),
	        .ops = cell_int(cell, CELL_OPS, 1),
	        .warmup = 2};
	if (!plan->machine)
		return refuse(why, -EOPNOTSUPP, "this build has no machine %s: configure it with -D%s=enabled",
		        cell->value[CELL_MACHINE], cell->value[CELL_MACHINE]);
	plan->macro = find_macro(plan->workload);
	plan_touch(plan);
	return check_sense(plan, why);
}

/* ---- the VMM ---- */

/* What is measured at level 1 is what L0 intercepts there; at level 2 that is L1's choice. */
static struct vmm_intercepts intercepts_of(const struct cell_plan *plan)
{
	struct vmm_intercepts intercepts = {0};

	if (plan->level == 1) {
		intercepts.rdtsc = !strcmp(plan->workload, "rdtsc");
		intercepts.invlpg = !strcmp(plan->workload, "invlpg");
		intercepts.mov_cr3 = !strcmp(plan->workload, "mov-cr3");
		intercepts.exceptions = !strcmp(plan->workload, "exception") ? 1u << 6 : 0; /* #UD */
	}
	return intercepts;
}

static int make_vmm(struct cell_setup *setup, const struct cell_plan *plan, struct ledger *ledger, struct refusal *why)
{
	const uint64_t workload_bytes = plan->touch_base + plan->touch_bytes;
	struct vmm_config config = {.machine = plan->machine,
	        .memory = {.ram_bytes = plan->level == 2 ? LAYOUT_L2_BASE + workload_bytes : workload_bytes},
	        .shadow_mode = plan->vmcs,
	        .ept02_mode = plan->ept02,
	        .ept02_auto = plan->ept02_auto,
	        .copy_everything = plan->merge_full,
	        .intercepts = intercepts_of(plan),
	        .touch_page_size = plan->touch_page,
	        .ledger = ledger};

	if (plan->level == 1) {
		config.memory.unmapped_gpa = plan->touch_base;
		config.memory.unmapped_bytes = plan->touch_bytes;
	}
	return vmm_create(&setup->vmm, &config, why);
}

/* ---- guest memory ---- */

static void put_orders(struct boot_info *info, const struct cell_plan *plan, const struct machine *machine)
{
	info->tsc_khz = machine->tsc_khz;
	info->flags |= (machine->caps.patches_sites ? BOOT_FLAG_SITES : 0) | (plan->stamps ? BOOT_FLAG_STAMPS : 0);
	info->touch_base = plan->touch_base;
	info->touch_size = plan->touch_bytes;
	info->touch_page_size = plan->touch_page;
	info->samples = plan->samples;
	info->ops_per_sample = plan->ops;
	info->warmup_ops = plan->warmup;
	strncpy(info->workload, plan->workload, sizeof(info->workload) - 1);
}

static int load_workload(struct image *image, const struct guest_space *space, const struct cell_plan *plan,
        const struct machine *machine, struct refusal *why)
{
	const struct guest_image *file = plan->macro ? &guest_image_macro : &guest_image_micro;
	struct boot_info info = {0};

	put_orders(&info, plan, machine);
	layout_prepare(space, &info);
	return image_load_own(image, space, plan->touch_base, machine->caps.patches_sites, "the workload image",
	        file->data, file->size, why);
}

static int load_l1(struct cell_setup *setup, const struct cell_plan *plan, struct refusal *why)
{
	const struct machine *machine = setup->vmm.machine;
	struct boot_info info = {.tsc_khz = machine->tsc_khz,
	        .flags = (machine->caps.real_vmx ? 0 : BOOT_FLAG_PV_VMX) |
	                 (machine->caps.patches_sites ? BOOT_FLAG_SITES : 0) |
	                 (plan->exit_log ? BOOT_FLAG_EXIT_LOG : 0) | (plan->stamps ? BOOT_FLAG_STAMPS : 0),
	        .vmcs_mode = (uint32_t)plan->vmcs,
	        .profile = plan->profile,
	        .mmu_mode = plan->mmu_shadow ? BOOT_MMU_SHADOW : BOOT_MMU_EPT,
	        .ept12_page_size = plan->ept12_small ? 4 * KIB : 2 * MIB,
	        .l2_base = LAYOUT_L2_BASE,
	        .l2_size = setup->l2.bytes,
	        .l2_entry = setup->l2_image.entry,
	        .log_base = LAYOUT_L1_LOG_BASE,
	        .log_capacity = LAYOUT_L1_LOG_ENTRIES,
	        .l1_heap_base = LAYOUT_L1_HEAP_BASE,
	        .l1_heap_size = LAYOUT_L1_HEAP_BYTES};

	strncpy(info.workload, plan->workload, sizeof(info.workload) - 1);
	layout_prepare(&setup->l1, &info);
	return image_load_own(&setup->l1_image, &setup->l1, LAYOUT_L1_LOG_BASE, machine->caps.patches_sites,
	        "the L1 image", guest_image_l1.data, guest_image_l1.size, why);
}

static int tell_sites(struct cell_setup *setup, unsigned level, const struct image *image, struct refusal *why)
{
	const struct vmm *vmm = &setup->vmm;
	const int error =
	        vmm->ops->set_sites ? vmm->ops->set_sites(vmm->machine, level, image->sites, image->site_count) : 0;

	return error ? refuse(why, error, "the machine does not take the sites of level %u: %s", level,
	                       strerror(-error))
	             : 0;
}

static int load_images(struct cell_setup *setup, const struct cell_plan *plan, struct refusal *why)
{
	struct machine *machine = setup->vmm.machine;
	int error;

	setup->l1 = (struct guest_space){machine->ram, machine->ram_bytes};
	if (plan->level == 1) {
		error = load_workload(&setup->l1_image, &setup->l1, plan, machine, why);
		return error ? error : tell_sites(setup, 1, &setup->l1_image, why);
	}
	setup->l2 = (struct guest_space){machine->ram + LAYOUT_L2_BASE, machine->ram_bytes - LAYOUT_L2_BASE};
	error = load_workload(&setup->l2_image, &setup->l2, plan, machine, why);
	if (!error)
		error = load_l1(setup, plan, why);
	if (!error)
		error = tell_sites(setup, 1, &setup->l1_image, why);
	return error ? error : tell_sites(setup, 2, &setup->l2_image, why);
}

int cell_setup_make(struct cell_setup *setup, const struct cell_plan *plan, struct ledger *ledger, struct refusal *why)
{
	struct vmm *vmm = &setup->vmm;
	int error;

	*setup = (struct cell_setup){0};
	error = make_vmm(setup, plan, ledger, why);
	if (error)
		return error;
	if (plan->stamps && !vmm->machine->tsc_is_clock)
		error = refuse(why, -EOPNOTSUPP,
		        "stamps=on needs the guest's TSC to be the host's, and this KVM does not let Testudo set its "
		        "offset to 0");
	if (!error)
		error = load_images(setup, plan, why);
	if (error) {
		cell_setup_free(setup);
		return error;
	}
	vmcs01_start_64(&vmm->vmcs01, &vmm->regs, setup->l1_image.entry, BOOT_GPA_PAGE_TABLES, BOOT_GPA_STACK_TOP,
	        BOOT_GPA_INFO);
	if (plan->stamps) {
		setup->stamps.l1 = cell_setup_boot(setup);
		setup->stamps.l2 = (const struct boot_info *)(setup->l2.memory + BOOT_GPA_INFO);
		vmm->stamps = &setup->stamps;
	}
	return 0;
}

void cell_setup_free(struct cell_setup *setup)
{
	vmm_destroy(&setup->vmm);
	image_free(&setup->l1_image);
	image_free(&setup->l2_image);
}
