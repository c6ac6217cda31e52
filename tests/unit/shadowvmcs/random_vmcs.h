/* SPDX-License-Identifier: Apache-2.0 */
/** Pseudo-random VMCS contents for the property tests of merge and reflection. The seed is the test's. */
#ifndef TESTUDO_TESTS_SHADOWVMCS_RANDOM_VMCS_H
#define TESTUDO_TESTS_SHADOWVMCS_RANDOM_VMCS_H

#include "fixture.h"

static uint64_t random_state;

static inline uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/** A value that fits the field: 0, all ones, anything, a page address, or the old one with a bit flipped. */
static inline uint64_t random_value(unsigned field, uint64_t old)
{
	uint64_t value;

	switch (next_random() % 6) {
	case 0:
		value = 0;
		break;
	case 1:
		value = next_random();
		break;
	case 2:
		value = (next_random() % (2 * FIXTURE_MEMORY_BYTES)) & ~0xfffull;
		break;
	case 3:
		value = ~0ull;
		break;
	default:
		value = old ^ 1ull << next_random() % 64;
	}
	return value & vmcs_width_mask(vmcs_encoding_width(vmcs_field_infos[field].encoding));
}

/** Any field but EPTP, which must stay valid since nothing checks here, and the counts of exit MSR lists, which would
 * abort. */
static inline unsigned random_field(void)
{
	for (;;) {
		const unsigned field = (unsigned)(next_random() % VMCS_FIELD_COUNT);
		if (field != VMCS_EPT_POINTER && field != VMCS_VM_EXIT_MSR_STORE_COUNT &&
		        field != VMCS_VM_EXIT_MSR_LOAD_COUNT)
			return field;
	}
}

/** A value L2 can give a guest register: of CR0 and CR4 only bits that no level owns change. */
static inline uint64_t random_l2_value(const struct vmcs *vmcs02, unsigned field, uint64_t old)
{
	const uint64_t value = random_value(field, old);
	uint64_t mask = 0;

	if (field == VMCS_GUEST_CR0)
		mask = vmcs02->field[VMCS_CR0_GUEST_HOST_MASK];
	else if (field == VMCS_GUEST_CR4)
		mask = vmcs02->field[VMCS_CR4_GUEST_HOST_MASK];
	return (value & ~mask) | (old & mask);
}

#endif
