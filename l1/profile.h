/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The access profile of this copy of exits.c (L1_PROFILE = BOOT_PROFILE_*): its fields are read into `profile_cache`
 * when an exit begins and written from there when it ends. Handlers use field_get() and field_set(), which cost a VMCS
 * access only where the profile (or the exit log) does not make it anyway.
 */
#ifndef TESTUDO_L1_PROFILE_H
#define TESTUDO_L1_PROFILE_H

#include "access.h"

#define PROFILE_MINIMAL BOOT_PROFILE_MINIMAL
#define PROFILE_KVM BOOT_PROFILE_KVM
#define PROFILE_HAXM BOOT_PROFILE_HAXM
#define PROFILE_KVM_PIO BOOT_PROFILE_KVM_PIO

/* The build says which; the header check compiles this file alone. */
#ifndef L1_PROFILE
#define L1_PROFILE BOOT_PROFILE_MINIMAL
#endif

static uint64_t profile_cache[VMCS_FIELD_COUNT];

/* Sets of fields as functions of a constant: the compiler folds each call to true or false. */

ACCESS_INLINE bool profile_reads(enum vmcs_field field)
{
	return false
#define PROFILE_READ(profile, name) || (PROFILE_##profile == L1_PROFILE && field == VMCS_##name)
#include "profiles.def"
	        ;
}

ACCESS_INLINE bool profile_writes(enum vmcs_field field)
{
	return false
#define PROFILE_WRITE(profile, name) || (PROFILE_##profile == L1_PROFILE && field == VMCS_##name)
#include "profiles.def"
	        ;
}

ACCESS_INLINE bool log_reads(enum vmcs_field field)
{
	return false
#define LOG_READ(name) || field == VMCS_##name
#include "exit_fields.def"
	        ;
}

/** Read the profile's fields, and with `log` those of the exit log that are not among them. */
ACCESS_INLINE void profile_begin(const bool log)
{
#define PROFILE_READ(profile, name)                                                                                    \
	if (PROFILE_##profile == L1_PROFILE)                                                                           \
		profile_cache[VMCS_##name] = access_read(VMCS_##name);
#include "profiles.def"
	if (!log)
		return;
#define LOG_READ(name)                                                                                                 \
	if (!profile_reads(VMCS_##name))                                                                               \
		profile_cache[VMCS_##name] = access_read(VMCS_##name);
#include "exit_fields.def"
}

/** Make the profile's other exits and write its fields. */
ACCESS_INLINE void profile_end(void)
{
#define PROFILE_L1_EXIT(profile, reason, count)                                                                        \
	for (unsigned i = 0; PROFILE_##profile == L1_PROFILE && i < (count); i++)                                      \
		access_exit_##reason();
#include "profiles.def"
#define PROFILE_WRITE(profile, name)                                                                                   \
	if (PROFILE_##profile == L1_PROFILE)                                                                           \
		access_write(VMCS_##name, profile_cache[VMCS_##name]);
#include "profiles.def"
	/* An event is injected once. Where the profile reads the field, the CPU has cleared its valid bit (SDM vol. 3,
	 * 28.2). */
	if (profile_writes(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) &&
	        !profile_reads(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION))
		profile_cache[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] = 0;
}

ACCESS_INLINE uint64_t field_get(enum vmcs_field field, const bool log)
{
	if (profile_reads(field) || (log && log_reads(field)))
		return profile_cache[field];
	return access_read(field);
}

ACCESS_INLINE void field_set(enum vmcs_field field, uint64_t value)
{
	if (profile_writes(field))
		profile_cache[field] = value;
	else
		access_write(field, value);
}

#endif
