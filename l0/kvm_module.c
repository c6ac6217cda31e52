/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/kvm_module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARAMETERS "/sys/module/kvm_intel/parameters/"

static enum kvm_module_switch read_switch(const char *name)
{
	char path[128], value = 0;
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return KVM_MODULE_ANY;
	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	return value == 'Y' || value == '1'   ? KVM_MODULE_ON
	       : value == 'N' || value == '0' ? KVM_MODULE_OFF
	                                      : KVM_MODULE_ANY;
}

void kvm_module_read(struct kvm_module *module)
{
	*module = (struct kvm_module){.loaded = !access("/sys/module/kvm_intel", F_OK),
	        .nested = read_switch("nested"),
	        .shadow_vmcs = read_switch("enable_shadow_vmcs"),
	        .ept = read_switch("ept"),
	        .vpid = read_switch("vpid")};
}

static enum kvm_module_switch setting(const struct cell *cell, enum cell_key key)
{
	const char *value = cell->value[key];

	return !strcmp(value, "on") ? KVM_MODULE_ON : !strcmp(value, "off") ? KVM_MODULE_OFF : KVM_MODULE_ANY;
}

void kvm_module_of_cell(struct kvm_module *wanted, const struct cell *cell)
{
	const bool nvmx = !strcmp(cell->value[CELL_MACHINE], "nvmx");

	*wanted = (struct kvm_module){.nested = KVM_MODULE_ANY,
	        .vpid = KVM_MODULE_ANY,
	        .shadow_vmcs = setting(cell, CELL_KVM_SHADOW_VMCS),
	        .ept = setting(cell, CELL_KVM_EPT)};
	if (nvmx && wanted->shadow_vmcs == KVM_MODULE_ANY && !strcmp(cell->value[CELL_LEVEL], "2"))
		wanted->shadow_vmcs = strcmp(cell->value[CELL_VMCS], "trap") ? KVM_MODULE_ON : KVM_MODULE_OFF;
}

static bool serves(enum kvm_module_switch wanted, enum kvm_module_switch is)
{
	return wanted == KVM_MODULE_ANY || wanted == is;
}

static const char *const words[] = {"off", "on", "unknown"};

int kvm_module_check(const struct cell *cell, struct refusal *why)
{
	struct kvm_module wanted, is;

	kvm_module_of_cell(&wanted, cell);
	if (wanted.shadow_vmcs == KVM_MODULE_ANY && wanted.ept == KVM_MODULE_ANY)
		return 0;
	kvm_module_read(&is);
	if (!is.loaded)
		return refuse(why, -EOPNOTSUPP,
		        "kvm.shadow_vmcs and kvm.ept are settings of module kvm_intel, which is not loaded here: use "
		        "the "
		        "lab (testudo lab run)");
	if (!serves(wanted.shadow_vmcs, is.shadow_vmcs))
		return refuse(why, -EOPNOTSUPP,
		        "the cell wants VMCS shadowing %s and kvm_intel has it %s: use testudo run --reload-kvm as "
		        "root, or "
		        "the lab",
		        words[wanted.shadow_vmcs], words[is.shadow_vmcs]);
	if (!serves(wanted.ept, is.ept))
		return refuse(why, -EOPNOTSUPP,
		        "the cell wants EPT %s and kvm_intel has it %s: use testudo run --reload-kvm as root, or the "
		        "lab",
		        words[wanted.ept], words[is.ept]);
	return 0;
}

/* ---- reloading ---- */

static int run_modprobe(char *const arguments[])
{
	const pid_t child = fork();
	int status;

	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* The last VM's file may be released a moment after the process that had it. */
static int unload(void)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	for (int tries = 0; syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK); tries++) {
		if (errno != EAGAIN && errno != EBUSY && errno != EWOULDBLOCK)
			return -errno;
		if (tries == 300)
			return -EBUSY;
		nanosleep(&moment, NULL);
	}
	return 0;
}

static int load(const struct kvm_module *wanted)
{
	const char *file = getenv("TESTUDO_KVM_MODULE");
	char shadow[32], ept[16], nested[] = "nested=1", all[80];
	char modprobe[] = "modprobe", name[] = "kvm_intel";
	char *const arguments[] = {modprobe, name, nested, shadow, ept, NULL};
	int fd, error;

	snprintf(shadow, sizeof(shadow), "enable_shadow_vmcs=%d", wanted->shadow_vmcs != KVM_MODULE_OFF);
	snprintf(ept, sizeof(ept), "ept=%d", wanted->ept != KVM_MODULE_OFF);
	if (!file)
		return run_modprobe(arguments);
	snprintf(all, sizeof(all), "%s %s %s", nested, shadow, ept);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = syscall(SYS_finit_module, fd, all, 0) ? -errno : 0;
	close(fd);
	return error;
}

int kvm_module_switch_to(const struct cell *cell, struct refusal *why)
{
	struct kvm_module wanted, is;
	int error;

	kvm_module_of_cell(&wanted, cell);
	kvm_module_read(&is);
	if (!is.loaded)
		return kvm_module_check(cell, why);
	if (serves(wanted.shadow_vmcs, is.shadow_vmcs) && serves(wanted.ept, is.ept))
		return 0;
	if (wanted.shadow_vmcs == KVM_MODULE_ANY)
		wanted.shadow_vmcs = is.shadow_vmcs;
	if (wanted.ept == KVM_MODULE_ANY)
		wanted.ept = is.ept;
	error = unload();
	if (error)
		return refuse(why, error, "module kvm_intel cannot be unloaded to change its settings: %s%s",
		        strerror(-error),
		        error == -EPERM   ? " (root is needed)"
		        : error == -EBUSY ? " (another VM runs)"
		                          : "");
	error = load(&wanted);
	return error ? refuse(why, error, "module kvm_intel cannot be loaded again: %s", strerror(-error)) : 0;
}
