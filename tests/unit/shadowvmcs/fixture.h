/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What every test of the engine stands on: an L1 with memory, a machine that honours everything, and a vmcs12 for a
 * 64-bit L2 that passes every VM-entry check. A test changes one thing and looks at what follows.
 *
 *   struct fixture f;
 *   fixture_setup(&f, FIXTURE_REAL_VMX);   defaults; the test may now change f.machine and f.config
 *   fixture_start(&f);                     the state after VMXON, VMCLEAR and VMPTRLD of vmcs12
 *   fixture_set(&f, VMCS_GUEST_CR0, 0);    as L1's VMWRITE: the value and the dirty bit
 *   fixture_launch(&f, &outcome);          VMLAUNCH through nested_vmx_instruction
 *   fixture_teardown(&f);
 */
#ifndef TESTUDO_TESTS_SHADOWVMCS_FIXTURE_H
#define TESTUDO_TESTS_SHADOWVMCS_FIXTURE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "shadowvmcs/ept12.h"
#include "shadowvmcs/nested.h"

/* L1-physical addresses. Pages without a name here are free for the test. */
#define FIXTURE_MEMORY_BYTES (8ull << 20)
#define FIXTURE_GPA_VMXON 0x1000
#define FIXTURE_GPA_VMCS12 0x2000
#define FIXTURE_GPA_OTHER_VMCS12 0x3000 /* revision id set, otherwise zero */
#define FIXTURE_GPA_MSR_BITMAP 0x4000
#define FIXTURE_GPA_IO_BITMAP_A 0x5000
#define FIXTURE_GPA_IO_BITMAP_B 0x6000
#define FIXTURE_GPA_MSR_LIST 0x7000
#define FIXTURE_GPA_VIRTUAL_APIC 0x8000
#define FIXTURE_GPA_SHADOW12 0x9000   /* a page with the revision id of a shadow VMCS */
#define FIXTURE_GPA_L1_TABLES 0x20000 /* L1's page tables: linear = physical for the 8 MiB, 2 MiB supervisor pages */
#define FIXTURE_GPA_EPT12 0x40000     /* root of EPT12; its tables follow (FIXTURE_EPT12_TABLES pages) */
#define FIXTURE_EPT12_TABLES 32
#define FIXTURE_GPA_L2_MEMORY 0x400000ull /* L2-physical 0 .. 4 MiB stands here, two 2 MiB pages, RWX, WB */
#define FIXTURE_L2_BYTES (4ull << 20)

enum fixture_kind {
	FIXTURE_REAL_VMX,    /**< like soft: obeys the whole VMCS, real VMX instructions, EPT02 lazy */
	FIXTURE_PARAVIRTUAL, /**< like kvm: few controls, segments and control registers on demand, EPT02 eager */
};

/** What the engine asked of the recording EPT02 backend. */
enum { FIXTURE_MAPPINGS = 512 };
struct fixture_mapping {
	uint64_t eptp02, l2_gpa, l1_gpa, size, access;
};

struct fixture {
	uint8_t *memory; /**< L1-physical memory */
	struct machine_caps machine;
	struct nested_config config;
	struct vmcs vmcs01;
	struct nested nested;
	struct vmcs *vmcs12; /**< in L1's memory, at FIXTURE_GPA_VMCS12 */
	struct guest_regs regs;

	/* L0's own pages. */
	uint8_t *pages;
	uint8_t *msr_bitmap01; /**< all ones; f.config.msr_bitmap01 is NULL unless the test sets it to this */
	uint8_t *io_bitmap01[2];

	/* What the engine asked of L0. */
	unsigned fetches;
	void (*on_fetch)(struct fixture *f, struct vmcs *vmcs); /**< the test's own; stale is cleared after it */
	unsigned vpid_flushes;
	uint16_t vpid_flushed; /**< argument of the last flush_vpid */

	/* The recording EPT02 backend (f.config.ept02_backend). */
	unsigned roots_created, roots_destroyed, ept02_flushes, unmaps;
	uint64_t next_eptp02;
	unsigned mapping_count;
	struct fixture_mapping mappings[FIXTURE_MAPPINGS]; /**< what is mapped now */
	int map_result;                                    /**< given back by map when not 0 */
	unsigned ept12_tables_used;
};

/** Defaults; nothing of the engine has run yet. */
void fixture_setup(struct fixture *f, enum fixture_kind kind);

/** nested_init with f->machine and f->config, then the state after VMXON, VMCLEAR and VMPTRLD of vmcs12. */
void fixture_start(struct fixture *f);

void fixture_teardown(struct fixture *f);

/** Fill in a vmcs12 that passes every VM-entry check with the offered capabilities (f->nested.caps). */
void fixture_fill_vmcs12(struct fixture *f, struct vmcs *vmcs12);

/** As L1's VMWRITE: vmcs_set on vmcs12 in L1's memory. */
void fixture_set(struct fixture *f, enum vmcs_field field, uint64_t value);
uint64_t fixture_get(const struct fixture *f, enum vmcs_field field);

/** Set and clear bits of a control field of vmcs12. */
void fixture_set_bits(struct fixture *f, enum vmcs_field field, uint64_t bits);
void fixture_clear_bits(struct fixture *f, enum vmcs_field field, uint64_t bits);

/** vmcs12 as L1's VMWRITEs left it is taken into nested.checked12 (what VMLAUNCH does before its checks). */
void fixture_snapshot(struct fixture *f);

/** A pointer to L1-physical memory. */
void *fixture_memory(struct fixture *f, uint64_t gpa);
uint64_t fixture_read64(struct fixture *f, uint64_t gpa);
void fixture_write64(struct fixture *f, uint64_t gpa, uint64_t value);

/**
 * Make an EPT12 leaf: l2_gpa -> l1_gpa of `size` (4096, 2 MiB, 1 GiB) with the given low entry bits (rights, memory
 * type); tables are taken from the pages after FIXTURE_GPA_EPT12. An existing larger leaf on the way is replaced by a
 * table.
 */
void fixture_ept12_map(struct fixture *f, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t bits);

/** The L1-physical address of the EPT12 entry of l2_gpa at a level (4 = PML4E ... 1 = PTE), 0 when there is none. */
uint64_t fixture_ept12_entry_gpa(struct fixture *f, uint64_t l2_gpa, unsigned level);

/** VMLAUNCH by L1 (fixture_launch.c). fixture_enter expects VMX_ENTERED. */
void fixture_launch(struct fixture *f, struct vmx_outcome *outcome);
void fixture_resume(struct fixture *f, struct vmx_outcome *outcome);
void fixture_enter(struct fixture *f);

/** What the machine does for an L2 exit, as far as the engine sees: exit information in vmcs02, dirty mask cleared. */
void fixture_exit_l2(struct fixture *f, uint32_t reason, uint64_t qualification);

/** Run a suite as the test programs do: output by Check, exit status 0 only when all passed. */
int fixture_run(Suite *suite);

#endif
