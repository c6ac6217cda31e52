/* SPDX-License-Identifier: Apache-2.0 */
#include "ept02.h"

#include <errno.h>
#include <string.h>

#include "ept02_internal.h"
#include "ept12.h"
#include "nested.h"

/* The memory type of EPT12's own tables changes nothing that EPT02 holds. */
static uint64_t root_key(uint64_t eptp12)
{
	return eptp12 & (EPT_ADDRESS_MASK | EPTP_WALK_MASK | EPTP_AD);
}

static bool same_tables(uint64_t eptp12_a, uint64_t eptp12_b)
{
	return !((eptp12_a ^ eptp12_b) & EPT_ADDRESS_MASK);
}

static unsigned root_count(const struct ept02 *ept02)
{
	return ept02->mode == EPT02_EAGER ? EPT02_ROOTS - 1 : EPT02_ROOTS;
}

int ept02_init(struct nested *nested)
{
	const struct nested_config *config = &nested->config;
	const struct ept02_backend *backend = &config->ept02_backend;
	struct ept02 *ept02 = &nested->ept02;
	const uint64_t page = backend->page_size_max;

	if (!backend->root_create || !backend->root_destroy || !backend->map || !backend->unmap)
		return -EINVAL;
	if (config->ept02_mode == EPT02_EAGER && !config->extents)
		return -EINVAL;
	if (config->ept02_mode == EPT02_LAZY && page != ept12_reach(1) && page != ept12_reach(2) &&
	        page != ept12_reach(3))
		return -EINVAL;

	memset(ept02, 0, sizeof(*ept02));
	ept02->backend = *backend;
	ept02->mode = config->ept02_mode;
	ept02->work_max = EPT02_WORK_MAX;
	if (ept02->mode == EPT02_EAGER) {
		for (unsigned i = 0; i < root_count(ept02); i++)
			ept02->roots[i].extents = config->extents + (uint64_t)i * EPT02_EXTENTS;
		ept02->scratch = config->extents + (uint64_t)root_count(ept02) * EPT02_EXTENTS;
	}
	return 0;
}

/* ---- roots ---- */

static struct ept02_root *find_root(struct ept02 *ept02, uint64_t eptp12)
{
	const uint64_t key = root_key(eptp12);

	for (unsigned i = 0; i < root_count(ept02); i++) {
		if (ept02->roots[i].eptp12 == key && key != 0)
			return &ept02->roots[i];
	}
	return NULL;
}

/* The root that was not used for the longest time, other than `keep`; NULL when there is none. */
static struct ept02_root *oldest_root(struct ept02 *ept02, const struct ept02_root *keep)
{
	struct ept02_root *oldest = NULL;

	for (unsigned i = 0; i < root_count(ept02); i++) {
		struct ept02_root *root = &ept02->roots[i];
		if (root->eptp12 != 0 && root != keep && (!oldest || root->last_used < oldest->last_used))
			oldest = root;
	}
	return oldest;
}

void ept02_destroy(struct nested *nested, struct ept02_root *root)
{
	struct ept02 *ept02 = &nested->ept02;

	ept02->backend.root_destroy(ept02->backend.ctx, root->eptp02);
	*root = (struct ept02_root){.extents = root->extents};
	ept02->current_eptp12 = 0;
}

static bool evict_other(struct nested *nested, const struct ept02_root *keep)
{
	struct ept02_root *oldest = oldest_root(&nested->ept02, keep);

	if (!oldest)
		return false;
	ept02_destroy(nested, oldest);
	return true;
}

static int create_root(struct nested *nested, uint64_t eptp12, struct ept02_root **created)
{
	struct ept02 *ept02 = &nested->ept02;
	struct ept02_root *root = NULL;
	int error;

	for (unsigned i = 0; i < root_count(ept02) && !root; i++) {
		if (ept02->roots[i].eptp12 == 0)
			root = &ept02->roots[i];
	}
	if (!root) {
		root = oldest_root(ept02, NULL);
		ept02_destroy(nested, root);
	}
	do {
		error = ept02->backend.root_create(ept02->backend.ctx, &root->eptp02);
	} while (error == -ENOSPC && evict_other(nested, root));
	if (error)
		return error;
	root->eptp12 = root_key(eptp12);
	nested->counters[COUNTER_EPT02_ROOTS]++;
	*created = root;
	return 0;
}

/* ---- what is mapped, and room for it ---- */

int ept02_map(struct nested *nested, struct ept02_root *root, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size,
        uint64_t access)
{
	const struct ept02_backend *backend = &nested->ept02.backend;
	int error;

	do {
		error = backend->map(backend->ctx, root->eptp02, l2_gpa, l1_gpa, size, access);
	} while (error == -ENOSPC && evict_other(nested, root));
	if (!error)
		nested->counters[COUNTER_EPT02_MAPPINGS]++;
	return error;
}

int ept02_unmap(struct nested *nested, struct ept02_root *root, uint64_t l2_gpa, uint64_t size)
{
	const struct ept02_backend *backend = &nested->ept02.backend;
	int removed;

	do {
		removed = backend->unmap(backend->ctx, root->eptp02, l2_gpa, size);
	} while (removed == -ENOSPC && evict_other(nested, root));
	if (removed > 0)
		nested->counters[COUNTER_EPT02_UNMAPPINGS]++;
	return removed;
}

void ept02_flush(struct nested *nested, const struct ept02_root *root)
{
	const struct ept02_backend *backend = &nested->ept02.backend;

	if (backend->flush)
		backend->flush(backend->ctx, root->eptp02);
}

int ept02_empty(struct nested *nested, struct ept02_root *root)
{
	const int error = ept02_unmap(nested, root, 0, EPT02_L2_LIMIT);

	if (error < 0) {
		ept02_destroy(nested, root);
		return error;
	}
	root->extent_count = 0;
	ept02_flush(nested, root);
	return 0;
}

/* The known range grows page by page; L1's RAM is seldom more than one range. */
static void remember_ram(struct ept02 *ept02, uint64_t page)
{
	if (page == ept02->ram_end && ept02->ram_begin < ept02->ram_end) {
		ept02->ram_end += EPT02_PAGE;
	} else if (page + EPT02_PAGE == ept02->ram_begin && ept02->ram_begin < ept02->ram_end) {
		ept02->ram_begin = page;
	} else {
		ept02->ram_begin = page;
		ept02->ram_end = page + EPT02_PAGE;
	}
}

uint64_t ept02_ram_run(struct nested *nested, uint64_t l1_gpa, uint64_t size, bool *ram, uint32_t *work)
{
	const struct nested_ops *ops = &nested->config.ops;
	struct ept02 *ept02 = &nested->ept02;
	const uint64_t end = l1_gpa + size;
	uint64_t at = l1_gpa;

	*ram = false;
	while (at < end && *work <= ept02->work_max) {
		const bool known = at >= ept02->ram_begin && at < ept02->ram_end;
		const bool here = known || ops->l1_page(ops->ctx, at) != NULL;
		if (at == l1_gpa)
			*ram = here;
		else if (here != *ram)
			break;
		if (!known) {
			++*work;
			if (here)
				remember_ram(ept02, at);
		}
		at = known ? ept02->ram_end : at + EPT02_PAGE;
	}
	return (at < end ? at : end) - l1_gpa;
}

static bool all_ram(struct nested *nested, uint64_t l1_gpa, uint64_t size)
{
	uint32_t work = 0;
	bool ram;

	return ept02_ram_run(nested, l1_gpa, size, &ram, &work) == size && ram;
}

/* ---- lazy ---- */

/* The largest page around the address that EPT12, the backend and L1's RAM all allow. Leaves are aligned in both
 * spaces, so a smaller page inside one is too. */
static uint64_t lazy_page_size(struct nested *nested, const struct ept12_walk *walk)
{
	uint64_t size = nested->ept02.backend.page_size_max;

	if (size > walk->page_size)
		size = walk->page_size;
	while (size > EPT02_PAGE && !all_ram(nested, walk->l1_gpa & -size, size))
		size >>= 9;
	return size;
}

static int lazy_repair(struct nested *nested, struct ept02_root *root, uint64_t l2_gpa, const struct ept12_walk *walk)
{
	const uint64_t size = lazy_page_size(nested, walk);
	/* Without write access, so that the first write comes out and sets the dirty flag in EPT12. */
	const uint64_t access = walk->dirty ? walk->allowed : walk->allowed & ~EPT_WRITE;
	/* What is mapped there has fewer rights, or is what EPT12 said before. */
	const int removed = ept02_unmap(nested, root, l2_gpa & -size, size);
	int error;

	if (removed < 0 && removed != -ENOSPC)
		return removed;
	if (removed > 0)
		ept02_flush(nested, root);
	error = removed == -ENOSPC ? -ENOSPC
	                           : ept02_map(nested, root, l2_gpa & -size, walk->l1_gpa & -size, size, access);
	if (error != -ENOSPC)
		return error;
	/* No other root is left to make room: forget this one's pages. L2 will ask again for those it needs. */
	error = ept02_empty(nested, root);
	return error ? error : ept02_map(nested, root, l2_gpa & -size, walk->l1_gpa & -size, size, access);
}

/* ---- entries, violations, invalidations ---- */

/* Is the reach of the entry that ended the reflected walk still without any translation? The common case: L1 emulates a
 * device there and leaves EPT12 as it is. */
static bool still_absent(struct nested *nested, const struct ept02_root *root, uint64_t eptp12)
{
	struct ept12_walk walk;

	ept12_walk(nested, eptp12, root->recheck_l2_gpa, 0, false, &walk);
	return walk.result != EPT12_MAPPED && walk.page_size >= root->recheck_size;
}

static int eager_enter(struct nested *nested, struct ept02_root *root, uint64_t eptp12)
{
	int error = 0;

	if (!root->built)
		error = ept02_eager_sync(nested, root, 0, EPT02_L2_LIMIT);
	else if (root->recheck_size != 0 && !still_absent(nested, root, eptp12))
		error = ept02_eager_sync(nested, root, root->recheck_l2_gpa, root->recheck_l2_gpa + root->recheck_size);
	if (error)
		return error;
	root->built = true;
	root->recheck_size = 0;
	return 0;
}

int ept02_enter(struct nested *nested, uint64_t eptp12, uint64_t *eptp02)
{
	struct ept02 *ept02 = &nested->ept02;
	struct ept02_root *root;
	int error;

	if (eptp12 == ept02->current_eptp12 && eptp12 != 0) {
		*eptp02 = ept02->current_eptp02;
		return 0;
	}
	if (!ept12_eptp_valid(nested, eptp12))
		return -EINVAL;
	root = find_root(ept02, eptp12);
	if (!root) {
		error = create_root(nested, eptp12, &root);
		if (error)
			return error;
	}
	root->last_used = ++ept02->entry_number;
	if (ept02->mode == EPT02_EAGER) {
		error = eager_enter(nested, root, eptp12);
		if (error)
			return error;
	}
	ept02->current_eptp12 = eptp12;
	ept02->current_eptp02 = root->eptp02;
	/* With A/D enabled L2's page walks count as writes to its page tables (SDM vol. 3, 29.3.3.2). A processor that
	 * walks EPT02 itself must see them so, for the dirty flags of EPT12. */
	if ((eptp12 & EPTP_AD) && nested->config.machine.ept02_tree)
		ept02->current_eptp02 |= EPTP_AD;
	*eptp02 = ept02->current_eptp02;
	return 0;
}

static void recheck_at_entry(
        struct ept02 *ept02, struct ept02_root *root, uint64_t l2_gpa, const struct ept12_walk *walk)
{
	if (ept02->mode != EPT02_EAGER || l2_gpa >= EPT02_L2_LIMIT)
		return;
	root->recheck_l2_gpa = l2_gpa & -walk->page_size;
	root->recheck_size = walk->page_size;
	ept02->current_eptp12 = 0;
}

enum ept02_verdict ept02_violation(
        struct nested *nested, uint64_t eptp12, uint64_t l2_gpa, uint64_t access, uint64_t *allowed, uint64_t *l1_gpa)
{
	const struct nested_ops *ops = &nested->config.ops;
	struct ept02 *ept02 = &nested->ept02;
	struct ept02_root *root = find_root(ept02, eptp12);
	struct ept12_walk walk;

	if (!root) {
		ept02->error = -EINVAL;
		return EPT02_FAILED;
	}
	ept12_walk(nested, eptp12, l2_gpa, access, true, &walk);
	*allowed = walk.allowed;
	*l1_gpa = walk.l1_gpa;
	if (walk.result != EPT12_MAPPED || walk.allowed == 0) {
		recheck_at_entry(ept02, root, l2_gpa, &walk);
		/* Where no memory answers, a processor reads all ones: an entry with reserved bits set. */
		return walk.result == EPT12_MISCONFIGURED || walk.result == EPT12_TABLE_NOT_RAM
		               ? EPT02_REFLECT_MISCONFIGURATION
		               : EPT02_REFLECT_VIOLATION;
	}
	if (!ops->l1_page(ops->ctx, walk.l1_gpa))
		return EPT02_DEVICE;
	if (ept02->mode == EPT02_LAZY) {
		ept02->error = lazy_repair(nested, root, l2_gpa, &walk);
	} else {
		const uint64_t page = l2_gpa & -walk.page_size;
		ept02->error = ept02_eager_sync(nested, root, page, page + walk.page_size);
	}
	if (ept02->error)
		return EPT02_FAILED;
	nested->counters[COUNTER_EPT02_FAULTS]++;
	return EPT02_REPAIRED;
}

void ept02_invalidate(struct nested *nested, uint64_t eptp12)
{
	struct ept02 *ept02 = &nested->ept02;

	for (unsigned i = 0; i < root_count(ept02); i++) {
		struct ept02_root *root = &ept02->roots[i];
		if (root->eptp12 == 0 || (eptp12 != ~0ull && !same_tables(root->eptp12, eptp12)))
			continue;
		/* INVEPT acts on all translations of these tables, whatever the EPTP's other bits (SDM vol. 3, 29.4.2).
		 */
		root->built = false;
		if (ept02->mode == EPT02_LAZY)
			ept02_empty(nested, root); /* on an error the root is gone, which is as good */
	}
	ept02->current_eptp12 = 0;
}

void ept02_fini(struct nested *nested)
{
	for (unsigned i = 0; i < EPT02_ROOTS; i++) {
		if (nested->ept02.roots[i].eptp12 != 0)
			ept02_destroy(nested, &nested->ept02.roots[i]);
	}
}
