/* SPDX-License-Identifier: Apache-2.0 */
/* l0_boot: one stack with its console. Own images, or other people's multiboot kernels as L1. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "l0/acpi.h"
#include "l0/cell.h"
#include "l0/l0.h"

#define MIB (1ull << 20)
#define MEMORY_LEAST (32 * MIB)
#define MEMORY_MOST (2048 * MIB)
#define IMAGE_MOST (256 * MIB)

struct file {
	void *data;
	size_t bytes;
};

static int read_file(struct file *file, const char *path, struct refusal *why)
{
	FILE *stream = fopen(path, "rb");
	struct stat info;
	int error = 0;

	*file = (struct file){0};
	if (!stream)
		return refuse(why, -errno, "%s cannot be opened: %s", path, strerror(errno));
	if (fstat(fileno(stream), &info) < 0 || !S_ISREG(info.st_mode))
		error = refuse(why, -EINVAL, "%s is no regular file", path);
	else if ((uint64_t)info.st_size > IMAGE_MOST)
		error = refuse(why, -EFBIG, "%s has %lld MiB: %llu are the most for an image", path,
		        (long long)info.st_size >> 20, IMAGE_MOST >> 20);
	if (!error) {
		file->bytes = (size_t)info.st_size;
		file->data = malloc(file->bytes + 1);
		if (!file->data)
			error = refuse(why, -ENOMEM, "out of memory for %s", path);
		else if (fread(file->data, 1, file->bytes, stream) != file->bytes)
			error = refuse(why, -EIO, "%s cannot be read: %s", path, strerror(errno));
	}
	fclose(stream);
	return error;
}

struct boot {
	const struct boot_options *options;
	struct file image, l2_file, modules[BOOT_MODULES];
	struct image l1_image, l2_image;
	struct vmm vmm;
	struct pm_timer pm_timer;
};

static int check_options(const struct boot_options *options, const struct machine_ops *machine, struct refusal *why)
{
	if (!machine)
		return refuse(why, -ENOENT, "this build has no machine %s", options->machine);
	if (machine->run_native)
		return refuse(why, -EOPNOTSUPP, "the %s machine runs no images", machine->name);
	if (options->memory_bytes < MEMORY_LEAST || options->memory_bytes > MEMORY_MOST)
		return refuse(why, -EINVAL, "a guest has between %llu and %llu MiB of memory, not %llu",
		        MEMORY_LEAST >> 20, MEMORY_MOST >> 20, (unsigned long long)options->memory_bytes >> 20);
	if (options->instruction_limit && !machine->virtual_time)
		return refuse(why, -EOPNOTSUPP, "the %s machine counts no instructions: a limit needs --machine soft",
		        machine->name);
	return machine->probe(why);
}

static int set_sites(struct vmm *vmm, unsigned level, const struct image *image, struct refusal *why)
{
	const int error =
	        vmm->ops->set_sites ? vmm->ops->set_sites(vmm->machine, level, image->sites, image->site_count) : 0;

	return error ? refuse(why, error, "the machine does not take the sites of level %u: %s", level,
	                       strerror(-error))
	             : 0;
}

/* What a workload booted by hand is asked for: one short sample, so that its console is what one looks at. */
static struct boot_info workload_orders(const struct boot *boot)
{
	struct boot_info info = {.tsc_khz = boot->vmm.machine->tsc_khz,
	        .touch_base = LAYOUT_TOUCH_BASE,
	        .touch_size = 2 * MIB,
	        .touch_page_size = 4096,
	        .samples = 1,
	        .ops_per_sample = 100};
	const char *workload = boot->options->append ? boot->options->append : "null";

	strncpy(info.workload, workload, sizeof(info.workload) - 1);
	return info;
}

static int load_own_l2(struct boot *boot, const struct guest_space *space, struct refusal *why)
{
	const bool patch = boot->vmm.machine->caps.patches_sites;
	struct boot_info info = workload_orders(boot);
	int error;

	layout_prepare(space, &info);
	error = image_load_own(&boot->l2_image, space, LAYOUT_TOUCH_BASE, patch, boot->options->l2_image,
	        boot->l2_file.data, boot->l2_file.bytes, why);
	return error ? error : set_sites(&boot->vmm, 2, &boot->l2_image, why);
}

static int load_own(struct boot *boot, struct refusal *why)
{
	struct vmm *vmm = &boot->vmm;
	struct machine *machine = vmm->machine;
	const struct guest_space l1 = {machine->ram, machine->ram_bytes};
	const struct guest_space l2 = {machine->ram + LAYOUT_L2_BASE, machine->ram_bytes - LAYOUT_L2_BASE};
	struct boot_info info = workload_orders(boot);
	int error;

	if (boot->options->l2_image) {
		error = load_own_l2(boot, &l2, why);
		if (error)
			return error;
		info.flags = machine->caps.real_vmx ? 0 : BOOT_FLAG_PV_VMX;
		info.vmcs_mode = BOOT_VMCS_SHADOW;
		info.profile = BOOT_PROFILE_KVM;
		info.ept12_page_size = 2 * MIB;
		info.l2_base = LAYOUT_L2_BASE;
		info.l2_size = l2.bytes;
		info.l2_entry = boot->l2_image.entry;
		info.l1_heap_base = LAYOUT_L1_HEAP_BASE;
		info.l1_heap_size = LAYOUT_L1_HEAP_BYTES;
	}
	layout_prepare(&l1, &info);
	error = image_load_own(&boot->l1_image, &l1, LAYOUT_L1_LOG_BASE, machine->caps.patches_sites,
	        boot->options->image, boot->image.data, boot->image.bytes, why);
	if (!error)
		error = set_sites(vmm, 1, &boot->l1_image, why);
	if (!error)
		vmcs01_start_64(&vmm->vmcs01, &vmm->regs, boot->l1_image.entry, BOOT_GPA_PAGE_TABLES,
		        BOOT_GPA_STACK_TOP, BOOT_GPA_INFO);
	return error;
}

/* "PATH ARGUMENTS" gives the file, and the text "NAME ARGUMENTS". */
static int load_modules(
        struct boot *boot, struct multiboot_image *image, const struct guest_space *space, struct refusal *why)
{
	const struct boot_options *options = boot->options;
	struct multiboot_file files[BOOT_MODULES];
	char path[4096];
	int error;

	for (unsigned i = 0; i < options->module_count; i++) {
		const char *text = options->modules[i];
		const size_t length = strcspn(text, " ");
		if (length >= sizeof(path))
			return refuse(why, -ENAMETOOLONG, "a module's path has %zu characters", length);
		memcpy(path, text, length);
		path[length] = 0;
		error = read_file(&boot->modules[i], path, why);
		if (error)
			return error;
		while (memchr(text, '/', strcspn(text, " ")))
			text = strchr(text, '/') + 1;
		files[i] = (struct multiboot_file){boot->modules[i].data, boot->modules[i].bytes, text};
	}
	return options->module_count ? multiboot_add_modules(image, space, files, options->module_count, why) : 0;
}

static uint64_t pm_clock(void *ctx)
{
	struct vmm *vmm = ctx;

	return vmm->ops->clock(vmm->machine);
}

static int load_foreign(struct boot *boot, struct refusal *why)
{
	struct vmm *vmm = &boot->vmm;
	const struct guest_space space = {vmm->machine->ram, vmm->machine->ram_bytes};
	struct multiboot_image image;
	int error = multiboot_load(
	        &image, &space, boot->options->image, boot->image.data, boot->image.bytes, boot->options->append, why);

	if (!error)
		error = load_modules(boot, &image, &space, why);
	if (error)
		return error;
	error = pm_timer_init(&boot->pm_timer, pm_clock, vmm, vmm->machine->tsc_khz, &vmm->bus);
	if (error)
		return refuse(why, error, "L0's devices overlap: %s", strerror(-error));
	vmcs01_start_multiboot(&vmm->vmcs01, &vmm->regs, image.entry, image.info);
	return 0;
}

/* An own L1 unmaps nothing at level 1; a workload at level 1 gets its first-touch region. */
static int make_vmm(struct boot *boot, struct ledger *nowhere, bool foreign, struct refusal *why)
{
	const struct boot_options *options = boot->options;
	struct vmm_config config = {.machine = machine_find(options->machine),
	        .memory = {.ram_bytes = options->memory_bytes & -(2 * MIB), .foreign = foreign},
	        .shadow_mode = SHADOW_SHADOW,
	        .ept02_auto = true,
	        .touch_page_size = 4096,
	        .ledger = nowhere};

	if (!foreign && !options->l2_image) {
		config.memory.unmapped_gpa = LAYOUT_TOUCH_BASE;
		config.memory.unmapped_bytes = 2 * MIB;
	}
	return vmm_create(&boot->vmm, &config, why);
}

static int run(struct boot *boot, struct refusal *why)
{
	const bool foreign = multiboot_is(boot->image.data, boot->image.bytes);
	struct ledger nowhere = {0};
	int error = make_vmm(boot, &nowhere, foreign, why);

	if (error)
		return error;
	boot->vmm.console.out = boot->options->console;
	boot->vmm.trace = boot->options->trace ? stderr : NULL;
	if (boot->options->instruction_limit)
		boot->vmm.clock_limit = boot->options->instruction_limit;
	error = foreign ? load_foreign(boot, why) : load_own(boot, why);
	if (!error) {
		error = vmm_run(&boot->vmm);
		if (error)
			*why = boot->vmm.why;
		else
			error = boot->vmm.status & 0xff;
	}
	vmm_destroy(&boot->vmm);
	return error;
}

int l0_boot(const struct boot_options *options, struct refusal *why)
{
	struct boot boot = {.options = options};
	int status = check_options(options, machine_find(options->machine), why);

	if (!status)
		status = read_file(&boot.image, options->image, why);
	if (!status && options->l2_image)
		status = read_file(&boot.l2_file, options->l2_image, why);
	if (!status)
		status = run(&boot, why);
	free(boot.image.data);
	free(boot.l2_file.data);
	for (unsigned i = 0; i < BOOT_MODULES; i++)
		free(boot.modules[i].data);
	image_free(&boot.l1_image);
	image_free(&boot.l2_image);
	return status;
}
