/* SPDX-License-Identifier: Apache-2.0 */
/* The memory an image finds at start, against abi/boot_info.h. */
#include "fixture.h"

#include <stdlib.h>

#include "l0/layout.h"
#include "shadowvmcs/x86.h"

#define SPACE_BYTES (2ull << 20)

static uint64_t walk(const uint8_t *memory, uint64_t cr3, uint64_t linear)
{
	uint64_t entry = cr3;

	for (int shift = 39; shift >= 21; shift -= 9) {
		memcpy(&entry, memory + (entry & 0xffffff000) + (linear >> shift & 511) * 8, 8);
		if (!(entry & 1))
			return ~0ull;
	}
	ck_assert(entry & 0x80);
	return (entry & 0xfffffffe00000) | (linear & 0x1fffff);
}

START_TEST(the_map_is_the_identity)
{
	const struct guest_space space = {calloc(1, SPACE_BYTES), SPACE_BYTES};
	struct boot_info info = {.samples = 7};
	const struct boot_info *placed = (const struct boot_info *)(space.memory + BOOT_GPA_INFO);
	static const uint64_t addresses[] = {0, 0x100000, 0x3fffffff, 0x40000000, 0xd0000000, 0xffffffff};

	layout_prepare(&space, &info);
	ck_assert_uint_eq(placed->magic, BOOT_INFO_MAGIC);
	ck_assert_uint_eq(placed->version, BOOT_INFO_VERSION);
	ck_assert_uint_eq(placed->size, sizeof(*placed));
	ck_assert_uint_eq(placed->memory_size, SPACE_BYTES);
	ck_assert_uint_eq(placed->samples, 7);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		ck_assert_uint_eq(walk(space.memory, placed->cr3, addresses[i]), addresses[i]);
	ck_assert_uint_eq(walk(space.memory, placed->cr3, 0x100000000), ~0ull);
	free(space.memory);
}
END_TEST

/* Segment registers of vmcs01 and the descriptors their selectors name must say the same. */
START_TEST(the_gdt_matches_the_segments)
{
	const struct guest_space space = {calloc(1, SPACE_BYTES), SPACE_BYTES};
	struct boot_info info = {0};
	struct script_vmm s;
	static const struct {
		enum vmcs_field selector, base, limit, rights;
	} segments[] = {{VMCS_GUEST_CS_SELECTOR, VMCS_GUEST_CS_BASE, VMCS_GUEST_CS_LIMIT, VMCS_GUEST_CS_ACCESS_RIGHTS},
	        {VMCS_GUEST_SS_SELECTOR, VMCS_GUEST_SS_BASE, VMCS_GUEST_SS_LIMIT, VMCS_GUEST_SS_ACCESS_RIGHTS},
	        {VMCS_GUEST_TR_SELECTOR, VMCS_GUEST_TR_BASE, VMCS_GUEST_TR_LIMIT, VMCS_GUEST_TR_ACCESS_RIGHTS}};

	layout_prepare(&space, &info);
	script_init(&s, NULL, 0);
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		const uint64_t *field = s.vmm.vmcs01.field;
		uint64_t low;
		memcpy(&low, space.memory + BOOT_GPA_GDT + field[segments[i].selector], 8);
		const uint64_t base = (low >> 16 & 0xffffff) | (low >> 56) << 24;
		const uint32_t raw_limit = (uint32_t)((low & 0xffff) | (low >> 32 & 0xf0000));
		const uint32_t limit = low >> 55 & 1 ? raw_limit << 12 | 0xfff : raw_limit;
		ck_assert_uint_eq(base, field[segments[i].base]);
		ck_assert_uint_eq(limit, field[segments[i].limit]);
		ck_assert_uint_eq(low >> 40 & 0xf0ff, field[segments[i].rights] & 0xf0ff);
	}
	script_fini(&s);
	free(space.memory);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_test(tests, the_map_is_the_identity);
	tcase_add_test(tests, the_gdt_matches_the_segments);
}

int main(void)
{
	return run_tests("layout", add);
}
