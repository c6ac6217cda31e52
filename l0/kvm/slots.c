/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory slots as second-level page tables. A slot maps a run of guest-physical addresses to a run of L0's memory, with
 * or without write access; what no slot covers is an EPT violation. KVM cannot take away execute or read access alone:
 * slots.c grants them (README.md lists it).
 */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shadowvmcs/ept12.h"

void kvm_slots_free(struct kvm_slots *slots)
{
	free(slots->slot);
	free(slots->free_ids);
	*slots = (struct kvm_slots){0};
}

/* Index of the first slot that ends behind gpa. */
static uint32_t first_behind(const struct kvm_slots *slots, uint64_t gpa)
{
	uint32_t low = 0, high = slots->count;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		if (slots->slot[middle].gpa + slots->slot[middle].size <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint8_t *kvm_slots_memory(struct kvm_machine *m, const struct kvm_vm *vm, uint64_t gpa, uint64_t *bytes)
{
	const uint32_t i = first_behind(&vm->slots, gpa);
	const struct kvm_slot *slot = &vm->slots.slot[i];

	if (i == vm->slots.count || slot->gpa > gpa)
		return NULL;
	*bytes = slot->gpa + slot->size - gpa;
	return m->base.ram + slot->l1_gpa + (gpa - slot->gpa);
}

static int tell_kvm(struct kvm_machine *m, const struct kvm_vm *vm, const struct kvm_slot *slot, uint64_t size)
{
	struct kvm_userspace_memory_region region = {.slot = slot->id,
	        .flags = slot->read_only && size ? KVM_MEM_READONLY : 0,
	        .guest_phys_addr = slot->gpa,
	        .memory_size = size,
	        .userspace_addr = (uint64_t)(uintptr_t)(m->base.ram + slot->l1_gpa)};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

/* Room for one more slot, and an id for it left over. */
static int make_room(struct kvm_slots *slots)
{
	const uint32_t capacity = slots->capacity ? slots->capacity * 2 : 64;
	struct kvm_slot *slot;
	uint32_t *ids;

	if (slots->count < slots->capacity)
		return 0;
	slot = realloc(slots->slot, capacity * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slots->slot = slot;
	ids = realloc(slots->free_ids, capacity * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	slots->free_ids = ids;
	/* Ids in use are 0 .. old capacity - 1 when every one is taken, which is when this runs. */
	for (uint32_t id = capacity; id > slots->capacity; id--)
		slots->free_ids[slots->free_count++] = id - 1;
	slots->capacity = capacity;
	return 0;
}

static int insert(struct kvm_machine *m, struct kvm_vm *vm, uint32_t at, struct kvm_slot added)
{
	struct kvm_slots *slots = &vm->slots;
	int error;

	if (slots->count >= slots->limit)
		return -ENOSPC;
	error = make_room(slots);
	if (error)
		return error;
	added.id = slots->free_ids[slots->free_count - 1];
	error = tell_kvm(m, vm, &added, added.size);
	if (error)
		return error;
	slots->free_count--;
	memmove(&slots->slot[at + 1], &slots->slot[at], (slots->count - at) * sizeof(added));
	slots->slot[at] = added;
	slots->count++;
	return 0;
}

static int remove_at(struct kvm_machine *m, struct kvm_vm *vm, uint32_t at)
{
	struct kvm_slots *slots = &vm->slots;
	const int error = tell_kvm(m, vm, &slots->slot[at], 0);

	if (error)
		return error;
	slots->free_ids[slots->free_count++] = slots->slot[at].id;
	slots->count--;
	memmove(&slots->slot[at], &slots->slot[at + 1], (slots->count - at) * sizeof(slots->slot[0]));
	return 0;
}

int kvm_slots_map(
        struct kvm_machine *m, struct kvm_vm *vm, uint64_t gpa, uint64_t l1_gpa, uint64_t size, bool read_only)
{
	const struct kvm_slot added = {.gpa = gpa, .size = size, .l1_gpa = l1_gpa, .read_only = read_only};
	const uint32_t at = first_behind(&vm->slots, gpa);

	if (l1_gpa > m->base.ram_bytes || size > m->base.ram_bytes - l1_gpa)
		return -EFAULT;
	if (at < vm->slots.count && vm->slots.slot[at].gpa < gpa + size)
		return -EEXIST;
	return insert(m, vm, at, added);
}

/* Take [gpa, end) out of slot `at`: it goes, and what stood before and behind comes back as slots of their own. */
static int cut(struct kvm_machine *m, struct kvm_vm *vm, uint32_t at, uint64_t gpa, uint64_t end)
{
	const struct kvm_slot old = vm->slots.slot[at];
	struct kvm_slot before = old, behind = old;
	int error = remove_at(m, vm, at);

	if (!error && old.gpa + old.size > end) {
		behind.gpa = end;
		behind.l1_gpa = old.l1_gpa + (end - old.gpa);
		behind.size = old.gpa + old.size - end;
		error = insert(m, vm, at, behind);
	}
	if (!error && old.gpa < gpa) {
		before.size = gpa - old.gpa;
		error = insert(m, vm, at, before);
	}
	return error;
}

int kvm_slots_unmap(struct kvm_machine *m, struct kvm_vm *vm, uint64_t gpa, uint64_t size)
{
	struct kvm_slots *slots = &vm->slots;
	const uint64_t end = gpa + size;
	uint32_t at = first_behind(slots, gpa);
	int removed = 0;

	/* Only a slot that sticks out on both sides makes one more. */
	if (at < slots->count && slots->slot[at].gpa < gpa && slots->slot[at].gpa + slots->slot[at].size > end &&
	        slots->count >= slots->limit)
		return -ENOSPC;
	while (at < slots->count && slots->slot[at].gpa < end) {
		const bool keeps_front = slots->slot[at].gpa < gpa;
		const int error = cut(m, vm, at, gpa, end);
		if (error)
			return error;
		removed = 1;
		if (keeps_front)
			at++;
	}
	return removed;
}

/* ---- EPT01 ---- */

int kvm_map01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	struct kvm_machine *m = kvm_of(machine);

	return kvm_slots_map(m, m->vms[0], l1_gpa, l1_gpa, size, false);
}

int kvm_unmap01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	struct kvm_machine *m = kvm_of(machine);
	const int removed = kvm_slots_unmap(m, m->vms[0], l1_gpa, size);

	return removed < 0 ? removed : 0;
}

/* ---- EPT02 ---- */

static int root_create(void *ctx, uint64_t *eptp02)
{
	struct kvm_machine *m = ctx;
	struct refusal why;
	unsigned index = 1;
	int error;

	while (index < KVM_VMS && m->vms[index])
		index++;
	if (index == KVM_VMS)
		return -ENOSPC;
	error = kvm_vm_create(m, 2, &m->vms[index], &why);
	if (error)
		return kvm_fail(m, error, "%s", why.text);
	m->vms[index]->token = KVM_TOKEN(index);
	*eptp02 = m->vms[index]->token;
	return 0;
}

static void root_destroy(void *ctx, uint64_t eptp02)
{
	struct kvm_machine *m = ctx;
	const uint64_t index = KVM_TOKEN_INDEX(eptp02);
	struct kvm_vm *vm = m->vms[index];

	/* L2's registers would go with the VM: keep them for the next one. */
	if (vm == m->last_l2)
		kvm_carry_out(m);
	m->vms[index] = NULL;
	kvm_vm_destroy(vm);
}

static int root_map(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	struct kvm_machine *m = ctx;

	return kvm_slots_map(m, m->vms[KVM_TOKEN_INDEX(eptp02)], l2_gpa, l1_gpa, size, !(access & EPT_WRITE));
}

static int root_unmap(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size)
{
	struct kvm_machine *m = ctx;

	return kvm_slots_unmap(m, m->vms[KVM_TOKEN_INDEX(eptp02)], l2_gpa, size);
}

/* flush: KVM forgets a slot's translations when the slot goes. */
void kvm_ept02_backend(struct machine *machine, struct ept02_backend *backend)
{
	*backend = (struct ept02_backend){.ctx = kvm_of(machine),
	        .root_create = root_create,
	        .root_destroy = root_destroy,
	        .map = root_map,
	        .unmap = root_unmap,
	        .page_size_max = 1ull << 30};
}
