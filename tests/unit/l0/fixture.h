/* SPDX-License-Identifier: Apache-2.0 */
/** What L0's tests stand on: ELF files made in memory, and a machine that plays back a script of exits. */
#ifndef TESTUDO_TESTS_L0_FIXTURE_H
#define TESTUDO_TESTS_L0_FIXTURE_H

#include <check.h>
#include <elf.h>
#include <stdint.h>
#include <string.h>

#include "l0/image.h"
#include "l0/vmm.h"

/* ---- ELF files ---- */

#define TEST_ELF_BYTES 8192
#define TEST_ELF_CODE 0x1000   /* file offset of the first segment */
#define TEST_ELF_SITES 0x1800  /* file offset of the site table */
#define TEST_ELF_BASE 0x100000 /* where it loads */

/** A valid own image: one segment of 64 bytes in the file and 128 in memory, no sites. Tests then damage it. */
struct test_elf {
	union {
		uint8_t bytes[TEST_ELF_BYTES];
		Elf64_Ehdr header;
	};
};
void test_elf_make(struct test_elf *elf);
Elf64_Phdr *test_elf_segment(struct test_elf *elf, unsigned i);
/** Add a section table whose second section is the site table. */
void test_elf_add_sites(struct test_elf *elf, const struct site *sites, size_t count);

/* ---- the scripted machine ---- */

/** One exit the machine is to take; `before` may look at and change what the guest would have. */
struct script_exit {
	uint32_t reason;
	uint64_t qualification;
	uint32_t length;
	uint64_t rax, rcx, rbx, rsi;
	uint64_t gpa;
	uint32_t interruption_info;
	uint32_t vectoring_info; /**< of the event whose delivery the exit cut short */
	int error;               /**< enter returns this instead of an exit */
};

#define SCRIPT_MAX 64
#define SCRIPT_RAM (4ull << 20)

struct script_machine {
	struct machine base;
	const struct script_exit *exits;
	unsigned count, next;
	uint64_t clock; /**< advances by 100 on each reading */
	struct {
		uint64_t level, eptp, rip;
		uint32_t entry_info;
	} entered[SCRIPT_MAX]; /**< what each enter was asked to run */
	unsigned idles, kicks, maps, unmaps;
	uint64_t mapped_gpa;
	unsigned pool_used;
	uint64_t next_eptp02;
	uint8_t pool[32][4096] __attribute__((aligned(4096)));
};

/** The machine_ops to put into a vmm_config; the script is set on the machine made last. */
extern const struct machine_ops script_ops;
/** Honours real VMX or paravirtual calls. Set before vmm_create. */
extern bool script_real_vmx;

static inline struct script_machine *script_of(struct vmm *vmm)
{
	return (struct script_machine *)vmm->machine;
}

/** A VMM on the scripted machine with a ledger of `capacity` records; script_fini frees both. */
struct script_vmm {
	struct vmm vmm;
	struct ledger ledger;
};
void script_init(struct script_vmm *s, const struct script_exit *exits, unsigned count);
void script_fini(struct script_vmm *s);
/** The n-th published record. */
const struct ledger_record *script_record(const struct script_vmm *s, unsigned n);

/* Qualification of OUT (IN) of `size` bytes at a port. */
#define QUALIFY_OUT(port, size) ((uint64_t)(port) << 16 | ((size)-1))
#define QUALIFY_IN(port, size) (QUALIFY_OUT(port, size) | 8)

/** Run the tests of one file; returns the exit status of main. */
int run_tests(const char *name, void (*add)(TCase *));

#endif
