/* SPDX-License-Identifier: Apache-2.0 */
#include "expected.h"

#include <errno.h>
#include <string.h>

#include "abi/boot_info.h"
#include "shadowvmcs/exit_reasons.h"

enum path {
#define EXIT_PATH(path, reason, text) PATH_##path,
#include "exit_fields.def"
	PATH_COUNT
};

enum direction { READ, WRITE };

struct field_use {
	uint8_t who; /* profile or path */
	uint8_t field;
	uint8_t direction;
};

static const struct field_use profile_uses[] = {
#define PROFILE_READ(profile, name) {BOOT_PROFILE_##profile, VMCS_##name, READ},
#define PROFILE_WRITE(profile, name) {BOOT_PROFILE_##profile, VMCS_##name, WRITE},
#include "profiles.def"
};

static const struct field_use path_uses[] = {
#define PATH_READ(path, name) {PATH_##path, VMCS_##name, READ},
#define PATH_WRITE(path, name) {PATH_##path, VMCS_##name, WRITE},
#include "exit_fields.def"
};

static const struct {
	uint8_t profile, count;
} profile_exits[] = {
#define PROFILE_L1_EXIT(profile, reason, count) {BOOT_PROFILE_##profile, count},
#include "profiles.def"
};

static const uint8_t log_uses[] = {
#define LOG_READ(name) VMCS_##name,
#include "exit_fields.def"
};

static const uint8_t own_exits[] = {
#define PATH_L1_EXIT(path, reason) PATH_##path,
#include "exit_fields.def"
};

static const struct {
	const char *workload;
	uint8_t path;
} workload_paths[] = {
#define WORKLOAD_PATH(workload, path) {workload, PATH_##path},
#include "exit_fields.def"
};

static const char *const workloads[] = {
#define WORKLOAD(name, reason, unit, text) name,
#include "workloads/workloads.def"
#undef WORKLOAD
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The fields one exit of this path reads and writes: each once, whoever wants it. */
static void fields_used(const struct l1_expected_settings *settings, enum path path, struct vmcs_mask uses[2])
{
	memset(uses, 0, 2 * sizeof(uses[0]));
	for (size_t i = 0; i < LENGTH(profile_uses); i++)
		if (profile_uses[i].who == settings->profile)
			vmcs_mask_set(&uses[profile_uses[i].direction], profile_uses[i].field);
	for (size_t i = 0; i < LENGTH(path_uses); i++)
		if (path_uses[i].who == path)
			vmcs_mask_set(&uses[path_uses[i].direction], path_uses[i].field);
	for (size_t i = 0; settings->exit_log && i < LENGTH(log_uses); i++)
		vmcs_mask_set(&uses[READ], log_uses[i]);
}

static bool access_exits(const struct l1_expected_settings *settings, unsigned field, enum direction direction)
{
	const uint8_t shadow = vmcs_field_infos[field].shadow;

	if (settings->vmcs_mode == BOOT_VMCS_TRAP)
		return true;
	if (settings->vmcs_mode == BOOT_VMCS_DIRECT)
		return false;
	return shadow == VMCS_SHADOW_NONE || (direction == WRITE && shadow == VMCS_SHADOW_RO) ||
	       vmcs_mask_has(&settings->on_demand, field);
}

static void add_path(const struct l1_expected_settings *settings, enum path path, struct l1_expected *expected)
{
	struct vmcs_mask uses[2];
	bool stale = false;

	fields_used(settings, path, uses);
	expected->reflected++;
	expected->l2_exits++;
	/* L1 has made an EPT12 entry; EPT02 gets its own at the next access. */
	expected->l2_exits += path == PATH_TOUCH && settings->ept02_lazy;
	expected->vmx_entries++;
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		for (enum direction direction = READ; direction <= WRITE; direction++) {
			if (!vmcs_mask_has(&uses[direction], field))
				continue;
			expected->accesses += access_exits(settings, field, direction);
			stale |= vmcs_mask_has(&settings->on_demand, field);
		}
	}
	/* One call brings every stale field up to date. */
	expected->fetches += stale && settings->vmcs_mode == BOOT_VMCS_DIRECT;
	for (size_t i = 0; i < LENGTH(own_exits); i++)
		expected->others += own_exits[i] == path;
	for (size_t i = 0; i < LENGTH(profile_exits); i++)
		expected->others += profile_exits[i].profile == settings->profile ? profile_exits[i].count : 0;
}

/* With L1's shadow paging there is no EPT violation: what would be one is a #PF of L2. */
static enum path path_with(const struct l1_expected_settings *settings, enum path path)
{
	if (settings->mmu_mode == BOOT_MMU_SHADOW && (path == PATH_MMIO || path == PATH_TOUCH))
		return PATH_SHADOW_FAULT;
	return path;
}

int l1_expected_counts(const struct l1_expected_settings *settings, struct l1_expected *expected)
{
	bool known = false;

	*expected = (struct l1_expected){0};
	for (size_t i = 0; i < LENGTH(workloads); i++)
		known |= !strcmp(workloads[i], settings->workload);
	if (!known)
		return -ENOENT;
	for (size_t i = 0; i < LENGTH(workload_paths); i++)
		if (!strcmp(workload_paths[i].workload, settings->workload))
			add_path(settings, path_with(settings, workload_paths[i].path), expected);
	expected->l1_exits = expected->vmx_entries + expected->accesses + expected->fetches + expected->others;
	return 0;
}
