/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Between ept02.c (roots, room, verdicts) and ept02_eager.c (extents). Others include ept02.h.
 */
#ifndef TESTUDO_SHADOWVMCS_EPT02_INTERNAL_H
#define TESTUDO_SHADOWVMCS_EPT02_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ept02.h"

/** 4-level EPT: L2-physical addresses end here. */
#define EPT02_L2_LIMIT (1ull << 48)
#define EPT02_PAGE 4096ull

/** Map through the backend. -ENOSPC only when no other root is left that could make room. */
int ept02_map(struct nested *nested, struct ept02_root *root, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size,
        uint64_t access);

/** Unmap through the backend, without flushing: 1 when something was mapped there, 0, or -errno (-ENOSPC as above). */
int ept02_unmap(struct nested *nested, struct ept02_root *root, uint64_t l2_gpa, uint64_t size);

void ept02_flush(struct nested *nested, const struct ept02_root *root);

/** Unmap all and flush; the root stays. 0 or -errno, and then the root is gone. */
int ept02_empty(struct nested *nested, struct ept02_root *root);

void ept02_destroy(struct nested *nested, struct ept02_root *root);

/** Bytes of [l1_gpa, +size), from l1_gpa on, that are alike: RAM (*ram) or none. *work grows by the pages asked for,
 * and the run ends early when it exceeds ept02.work_max. */
uint64_t ept02_ram_run(struct nested *nested, uint64_t l1_gpa, uint64_t size, bool *ram, uint32_t *work);

/**
 * Eager: walk EPT12 over [begin, end) of L2-physical memory and bring the root's mappings there up to date; mappings
 * that did not change are left alone. Errors as ept02_enter; after -E2BIG nothing has changed, after others the root is
 * gone.
 */
int ept02_eager_sync(struct nested *nested, struct ept02_root *root, uint64_t begin, uint64_t end);

#endif
