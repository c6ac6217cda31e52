/* SPDX-License-Identifier: Apache-2.0 */
/* Memory slots as EPT02: random maps and unmaps, held against a plain table of pages. Needs /dev/kvm. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "l0/kvm/kvm.h"
#include "shadowvmcs/ept12.h"

#define PAGES 64
#define RAM_BYTES (4ull << 20)
#define NONE ~0ull

static struct machine *machine;
static struct ept02_backend backend;
static uint64_t eptp02;
static uint64_t model[PAGES]; /* L1-physical page behind each L2-physical one */

static void setup(void)
{
	const struct machine_config config = {.ram_bytes = RAM_BYTES};
	struct refusal why;

	ck_assert_msg(machine_kvm.create(&machine, &config, &why) == 0, "%s", why.text);
	machine_kvm.ept02_backend(machine, &backend);
	ck_assert_int_eq(backend.root_create(backend.ctx, &eptp02), 0);
	for (unsigned i = 0; i < PAGES; i++)
		model[i] = NONE;
}

static void teardown(void)
{
	backend.root_destroy(backend.ctx, eptp02);
	machine_kvm.destroy(machine);
}

static struct kvm_vm *vm(void)
{
	return kvm_of(machine)->vms[KVM_TOKEN_INDEX(eptp02)];
}

/* Every page, the order of the slots, and that none touches the next. */
static void compare(void)
{
	const struct kvm_slots *slots = &vm()->slots;

	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t bytes;
		const uint8_t *memory = kvm_slots_memory(kvm_of(machine), vm(), i * 4096ull + 5, &bytes);
		if (model[i] == NONE)
			ck_assert_ptr_null(memory);
		else
			ck_assert_ptr_eq(memory, machine->ram + model[i] * 4096 + 5);
	}
	for (uint32_t i = 1; i < slots->count; i++)
		ck_assert_uint_le(slots->slot[i - 1].gpa + slots->slot[i - 1].size, slots->slot[i].gpa);
}

static bool all_free(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (model[first + i] != NONE)
			return false;
	}
	return true;
}

START_TEST(random_maps_and_unmaps)
{
	srand(20261120);
	for (unsigned step = 0; step < 300; step++) {
		const unsigned first = (unsigned)rand() % PAGES, left = PAGES - first;
		const unsigned count = 1 + (unsigned)rand() % (left < 12 ? left : 12);
		const uint64_t l1_page = (unsigned)rand() % (RAM_BYTES / 4096 - count);
		if (rand() % 3) {
			const bool fits = all_free(first, count);
			const int error = backend.map(backend.ctx, eptp02, first * 4096ull, l1_page * 4096,
			        count * 4096ull, rand() % 4 ? EPT_RWX : EPT_READ | EPT_EXECUTE);
			ck_assert_int_eq(error, fits ? 0 : -EEXIST);
			for (unsigned i = 0; fits && i < count; i++)
				model[first + i] = l1_page + i;
		} else {
			const bool none = all_free(first, count);
			ck_assert_int_eq(
			        backend.unmap(backend.ctx, eptp02, first * 4096ull, count * 4096ull), none ? 0 : 1);
			for (unsigned i = 0; i < count; i++)
				model[first + i] = NONE;
		}
		compare();
	}
	ck_assert_int_ge(backend.unmap(backend.ctx, eptp02, 0, 1ull << 48), 0);
	ck_assert_uint_eq(vm()->slots.count, 0);
}
END_TEST

START_TEST(no_memory_outside_l1s)
{
	ck_assert_int_eq(backend.map(backend.ctx, eptp02, 0, RAM_BYTES - 4096, 8192, EPT_RWX), -EFAULT);
	ck_assert_int_eq(backend.map(backend.ctx, eptp02, 0, ~0ull - 4095, 4096, EPT_RWX), -EFAULT);
	ck_assert_uint_eq(vm()->slots.count, 0);
}
END_TEST

/* Out of slots: the engine is told, and nothing has changed. */
START_TEST(no_slots_left)
{
	vm()->slots.limit = 2;
	ck_assert_int_eq(backend.map(backend.ctx, eptp02, 0, 0, 3 * 4096, EPT_RWX), 0);
	ck_assert_int_eq(backend.map(backend.ctx, eptp02, 0x10000, 0, 4096, EPT_RWX), 0);
	ck_assert_int_eq(backend.map(backend.ctx, eptp02, 0x20000, 0, 4096, EPT_RWX), -ENOSPC);
	ck_assert_int_eq(backend.unmap(backend.ctx, eptp02, 4096, 4096), -ENOSPC);
	model[0] = 0;
	model[1] = 1;
	model[2] = 2;
	model[16] = 0;
	compare();
	ck_assert_int_eq(backend.unmap(backend.ctx, eptp02, 0, 2 * 4096), 1);
	model[0] = model[1] = NONE;
	compare();
}
END_TEST

START_TEST(roots_are_bounded)
{
	uint64_t more[KVM_VMS];
	unsigned made = 0;

	while (made < KVM_VMS && backend.root_create(backend.ctx, &more[made]) == 0)
		made++;
	ck_assert_uint_eq(made, KVM_VMS - 2);
	ck_assert_int_eq(backend.root_create(backend.ctx, &more[0]), -ENOSPC);
	backend.root_destroy(backend.ctx, more[0]);
	ck_assert_int_eq(backend.root_create(backend.ctx, &more[0]), 0);
	for (unsigned i = 0; i < made; i++)
		backend.root_destroy(backend.ctx, more[i]);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, random_maps_and_unmaps);
	tcase_add_test(tests, no_memory_outside_l1s);
	tcase_add_test(tests, no_slots_left);
	tcase_add_test(tests, roots_are_bounded);
}

int main(void)
{
	struct refusal why;

	if (machine_kvm.probe(&why)) {
		printf("SKIP: %s\n", why.text);
		return 77;
	}
	return run_tests("kvm slots", add);
}
