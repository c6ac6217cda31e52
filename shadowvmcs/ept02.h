/* SPDX-License-Identifier: Apache-2.0 */
/**
 * EPT02, the shadow EPT: EPT12 composed with EPT01, kept per EPT12 root.
 *
 * The engine decides *what* is mapped; a backend does it: ept02_tree.c keeps a page-table tree in host-physical memory
 * (machines with real EPT: soft), the kvm machine keeps memory slots.
 *
 *   lazy   starts empty; each L2 access outside it walks EPT12 and maps one page of the smaller of both page sizes
 *   eager  on entry the whole EPT12 is walked and mapped as extents (runs contiguous in L2, in L1, and equal in
 * rights), so that an access outside it is an EPT violation by EPT12
 */
#ifndef TESTUDO_SHADOWVMCS_EPT02_H
#define TESTUDO_SHADOWVMCS_EPT02_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nested;

enum ept02_mode { EPT02_LAZY, EPT02_EAGER };

/** Who builds EPT02. Addresses are page aligned; sizes multiples of 4 KiB. All return 0 or -errno. */
struct ept02_backend {
	void *ctx;
	/** A new, empty EPT02; *eptp02 is the value for vmcs02's EPT pointer field (a real EPTP, or a machine's token).
	 */
	int (*root_create)(void *ctx, uint64_t *eptp02);
	void (*root_destroy)(void *ctx, uint64_t eptp02);
	/** Map [l2_gpa, +size) to L1-physical [l1_gpa, +size) with rights `access` (EPT_RWX). Nothing there was mapped
	 * before. -ENOSPC: no room (the engine then destroys the oldest other root, or empties this one, and tries once
	 * more). */
	int (*map)(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access);
	/** Remove whatever is mapped in [l2_gpa, +size); parts of mappings too. 1 when something was mapped there, 0
	 * when nothing was. -ENOSPC: no room to split a mapping; then nothing is removed. */
	int (*unmap)(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size);
	/** Forget cached translations of this EPT02 (after unmap). NULL: unmap does it. */
	void (*flush)(void *ctx, uint64_t eptp02);
	/** Bytes of the largest page the backend maps at once in lazy mode: 4096 or 2 MiB (1 GiB). */
	uint64_t page_size_max;
};

/** In eager mode one root less: its extents hold the new list while it is compared with the old one. */
#define EPT02_ROOTS 8
/** Extents remembered per root in eager mode. */
#define EPT02_EXTENTS 4096
/** Eager mode: table entries looked at plus pages asked for being RAM, in one walk of a whole EPT12. A hostile L1 can
 * make tables that refer to themselves reach 2^36 entries. Legal tables stay far below: 16 GiB in 4 KiB pages. */
#define EPT02_WORK_MAX (8u << 20)

struct ept02_extent {
	uint64_t l2_gpa, l1_gpa, size, access;
};

/** One EPT02. */
struct ept02_root {
	uint64_t eptp12; /**< key: EPTP without its memory type (the walk length keeps it from being 0); 0 = free */
	uint64_t eptp02;
	uint64_t last_used; /**< number of the nested entry that last used it */
	bool built;         /**< eager: extents reflect EPT12 as of the last synchronisation */
	/** eager: [l2_gpa, +size) the last violation reflected to L1 was about; re-walked on the next entry, since
	 * making an entry present or adding rights needs no INVEPT (SDM vol. 3, 29.4.3.4). size 0 = none. */
	uint64_t recheck_l2_gpa, recheck_size;
	uint32_t extent_count;
	struct ept02_extent *extents; /**< sorted by l2_gpa; from struct nested_config, EPT02_EXTENTS each */
};

struct ept02 {
	struct ept02_backend backend;
	enum ept02_mode mode;
	uint64_t entry_number;
	/** The EPTP of the last entry while nothing is to be done for it, and its eptp02: the steady-state entry is one
	 * compare. 0 = look it up. */
	uint64_t current_eptp12, current_eptp02;
	/** [begin, end) of L1-physical memory known to be RAM: RAM once seen stays (nested_ops.l1_page). */
	uint64_t ram_begin, ram_end;
	uint32_t work_max;            /**< EPT02_WORK_MAX; a test may lower it */
	int error;                    /**< -errno behind the last EPT02_FAILED */
	struct ept02_extent *scratch; /**< eager: see EPT02_ROOTS */
	struct ept02_root roots[EPT02_ROOTS];
};

/** What to do with an L2 access that EPT02 did not allow. */
enum ept02_verdict {
	EPT02_REPAIRED, /**< EPT02 has the page now: run L2 again (an L0-only exit) */
	EPT02_REFLECT_VIOLATION,
	EPT02_REFLECT_MISCONFIGURATION,
	EPT02_DEVICE, /**< EPT12 maps it to an L1-physical address that is no RAM: L0's device, at *l1_gpa */
	EPT02_FAILED, /**< the backend cannot map the page (ept02.error): L2 cannot go on */
};

/** Take backend, mode and extents from nested->config; no root yet. -EINVAL: eager without extents, or a backend that
 * lacks an operation or maps no whole pages. */
int ept02_init(struct nested *nested);

/**
 * On nested entry: find or make the EPT02 of vmcs12's EPTP, bring it up to date, return its eptp02 in *eptp02.
 * -E2BIG (eager): EPT12 needs more than EPT02_EXTENTS extents or EPT02_WORK_MAX steps; use lazy mode. -ENOSPC: the
 * backend has no room even with this root alone. Other -errno: the backend's.
 */
int ept02_enter(struct nested *nested, uint64_t eptp12, uint64_t *eptp02);

/**
 * L2 accessed l2_gpa (EPT_RWX bits in `access`) and EPT02 of eptp12 did not allow it. *allowed gets the EPT_RWX bits
 * that EPT12 does allow there (for bits 5:3 of the reflected exit qualification), *l1_gpa the L1-physical address for
 * EPT02_DEVICE and EPT02_REPAIRED (a machine that cannot run the access again completes it there). The EPT02 is that of
 * the last ept02_enter.
 *
 * A/D flags (EPTP bit 6): lazy mode sets them in EPT12 exactly when L2's accesses do: a page whose dirty flag is clear
 * is mapped without write access until the first write. Eager mode sets the accessed flags of all it maps up front; the
 * dirty flags as lazy mode does when every access outside EPT02 is a precise exit (machine_caps.ept02_lazy), else up
 * front too.
 */
enum ept02_verdict ept02_violation(
        struct nested *nested, uint64_t eptp12, uint64_t l2_gpa, uint64_t access, uint64_t *allowed, uint64_t *l1_gpa);

/** INVEPT: drop what was derived from eptp12 (~0: from any). */
void ept02_invalidate(struct nested *nested, uint64_t eptp12);

/** Destroy all roots. */
void ept02_fini(struct nested *nested);

/**
 * The tree backend: a 4-level EPT in pages taken from a pool, with pages of 4 KiB, 2 MiB and 1 GiB. page(ctx, hpa)
 * gives L0's pointer to a host-physical page, alloc gives the host-physical address of a zeroed page or 0 when there is
 * none, release gives it back. l1_to_host translates L1-physical to host-physical (EPT01) for a page known to be RAM.
 * flush forgets cached translations of eptp02 (also called when a root is destroyed). eptp02 may carry EPTP_AD. A
 * machine without 1 GiB pages in its EPT sets page_size_max to 2 MiB afterwards, and uses lazy mode.
 */
struct ept02_tree {
	void *ctx;
	uint64_t *(*page)(void *ctx, uint64_t hpa);
	uint64_t (*alloc)(void *ctx);
	void (*release)(void *ctx, uint64_t hpa);
	uint64_t (*l1_to_host)(void *ctx, uint64_t l1_gpa);
	void (*flush)(void *ctx, uint64_t eptp02);
	uint64_t page_size_max; /**< the largest page to use: 4096, 2 MiB or 1 GiB; 0 = 1 GiB */
};
void ept02_tree_backend(struct ept02_tree *tree, struct ept02_backend *backend);

#endif
