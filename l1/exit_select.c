/* SPDX-License-Identifier: Apache-2.0 */
/* Which copy of exits.c serves the boot info's settings. */
#include "access.h"
#include "vmx.h"
#include "workloads/runtime/print.h"

/* Every copy: X(access, profile), as digits that end its functions' names. */
#define PROFILES(X, access) X(access, 0) X(access, 1) X(access, 2) X(access, 3)
#define COPIES(X) PROFILES(X, 0) PROFILES(X, 1) PROFILES(X, 2) PROFILES(X, 3)

_Static_assert(L1_ACCESS_VMX == 0 && L1_ACCESS_PV_TRAP == 1 && L1_ACCESS_PV_SHADOW == 2 && L1_ACCESS_DIRECT == 3 &&
                       BOOT_PROFILE_MINIMAL == 0 && BOOT_PROFILE_KVM == 1 && BOOT_PROFILE_HAXM == 2 &&
                       BOOT_PROFILE_KVM_PIO == 3,
        "the digits of COPIES");

struct exit_copy {
	l1_exit_function plain, logged;
	uint64_t *(*cache)(void);
};

#define X(access, profile)                                                                                             \
	void l1_exit_plain_##access##profile(void);                                                                    \
	void l1_exit_logged_##access##profile(void);                                                                   \
	uint64_t *l1_exit_cache_##access##profile(void);
COPIES(X)
#undef X

#define X(access, profile)                                                                                             \
	[access][profile] = {                                                                                          \
	        l1_exit_plain_##access##profile, l1_exit_logged_##access##profile, l1_exit_cache_##access##profile},
static const struct exit_copy copies[4][4] = {COPIES(X)};
#undef X

/* The fields of each profile. */
static const struct {
	uint8_t profile, field;
} profile_fields[] = {
#define PROFILE_READ(profile, name) {BOOT_PROFILE_##profile, VMCS_##name},
#define PROFILE_WRITE(profile, name) {BOOT_PROFILE_##profile, VMCS_##name},
#include "profiles.def"
};

static unsigned access_of(const struct boot_info *boot)
{
	switch (boot->vmcs_mode) {
	case BOOT_VMCS_TRAP:
		return l1.pv ? L1_ACCESS_PV_TRAP : L1_ACCESS_VMX;
	case BOOT_VMCS_SHADOW:
		return l1.pv ? L1_ACCESS_PV_SHADOW : L1_ACCESS_VMX;
	case BOOT_VMCS_DIRECT:
		/* Only Testudo's engine keeps vmcs12 in this layout. */
		if ((l1_vmcs12.revision_id & ~VMCS_SHADOW_INDICATOR) != VMCS_REVISION_ID)
			print_and_end(TESTDEV_END_REFUSED,
			        "vmcs=direct needs the vmcs12 layout of Testudo's engine (revision %x); this CPU's is "
			        "%x.",
			        (unsigned long)VMCS_REVISION_ID, (unsigned long)l1_vmcs12.revision_id);
		return L1_ACCESS_DIRECT;
	}
	print_and_end(TESTDEV_END_REFUSED, "Boot info's vmcs_mode %u is none L1 knows (0 to 2).",
	        (unsigned long)boot->vmcs_mode);
}

/* Fields the profile writes without reading keep the value they have now. */
static void profile_prepare(unsigned profile, uint64_t *cache)
{
	for (unsigned i = 0; i < sizeof(profile_fields) / sizeof(profile_fields[0]); i++) {
		const unsigned field = profile_fields[i].field;
		if (profile_fields[i].profile == profile)
			l1_check_vmx("VMREAD", access_encodings[field],
			        vmx_read(l1.pv, access_encodings[field], &cache[field]));
	}
}

l1_exit_function l1_exit_select(void)
{
	const struct boot_info *boot = l1.boot;
	const bool logged = boot->flags & (BOOT_FLAG_EXIT_LOG | BOOT_FLAG_STAMPS);

	if (boot->profile > BOOT_PROFILE_KVM_PIO)
		print_and_end(TESTDEV_END_REFUSED, "Boot info's profile %u is none L1 knows (0 to 3).",
		        (unsigned long)boot->profile);
	const struct exit_copy *copy = &copies[access_of(boot)][boot->profile];
	profile_prepare(boot->profile, copy->cache());
	return logged ? copy->logged : copy->plain;
}
