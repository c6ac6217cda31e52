/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A guest on the soft machine for tests: memory, tables and a VMCS in which every test changes what it is about.
 *
 * 64-bit mode, CPL 0, EPT01 (identity), VPID 1. Guest-physical layout:
 *   0x3000 GDT   0x4000 TSS   0x5000 IDT   0x8000 + 16 * vector: the handlers, each a VMCALL
 *   0x10000 PML4, 0x11000 PDPT, 0x12000 PD, 0x13000 PT: [0, 2 MiB) in 4 KiB pages, up to 16 MiB in 2 MiB pages
 *   0x100000 code (supervisor)   0x180000 code of ring 3   0x150000 the page tests play with
 */
#ifndef TESTUDO_TESTS_SOFT_GUEST_H
#define TESTUDO_TESTS_SOFT_GUEST_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "l0/soft/soft.h"

#define GUEST_RAM (16ull << 20)
#define GUEST_GDT 0x3000ull
#define GUEST_TSS 0x4000ull
#define GUEST_IDT 0x5000ull
#define GUEST_HANDLERS 0x8000ull
#define GUEST_PML4 0x10000ull
#define GUEST_PDPT 0x11000ull
#define GUEST_PD 0x12000ull
#define GUEST_PT 0x13000ull
#define GUEST_CODE 0x100000ull
#define GUEST_DATA 0x150000ull
#define GUEST_USER_CODE 0x180000ull
#define GUEST_USER_DATA 0x181000ull
#define GUEST_STACK 0x90000ull
#define GUEST_RING0_STACK 0x98000ull
#define GUEST_IST_STACK 0xa0000ull
#define GUEST_USER_STACK 0x190000ull

#define GUEST_CS 0x08
#define GUEST_SS 0x10
#define GUEST_USER_SS 0x1b
#define GUEST_USER_CS 0x23
#define GUEST_TR 0x28
#define GUEST_CS32 0x38
#define GUEST_USER_CS32 0x43

struct guest {
	struct machine *machine;
	struct soft_cpu *cpu;
	uint8_t *ram;
	struct vmcs vmcs;
	struct guest_regs regs;
};

void guest_setup(struct guest *g);
void guest_teardown(struct guest *g);

/** Put code ("0f a2 f4") at the present RIP. Returns its length. */
unsigned guest_code(struct guest *g, const char *hex);
void guest_code_at(struct guest *g, uint64_t address, const char *hex);
/** Start in ring 3, at GUEST_USER_CODE. */
void guest_enter_user(struct guest *g);
/** 32-bit protected mode without paging (unrestricted guest) or with what the caller sets up. */
void guest_enter_protected_32(struct guest *g);
/** Real mode at `base`. */
void guest_enter_real(struct guest *g, uint64_t base);

static inline uint64_t guest_get(const struct guest *g, enum vmcs_field field)
{
	return g->vmcs.field[field];
}
static inline void guest_set(struct guest *g, enum vmcs_field field, uint64_t value)
{
	vmcs_set(&g->vmcs, field, value);
}
/** Set or clear bits of a control word. */
void guest_control(struct guest *g, enum vmx_control_word word, uint32_t bits, bool on);

/** Run to the next exit; its basic reason. */
uint32_t guest_run(struct guest *g);
/** Run, and fail unless it is this exit. */
void guest_expect(struct guest *g, uint32_t reason);
/** Run; the VMCALL of the handler of `vector` must be what ends it. */
void guest_expect_handler(struct guest *g, unsigned vector);

uint64_t *guest_pte(struct guest *g, uint64_t linear);
uint64_t guest_u64(const struct guest *g, uint64_t address);
void guest_put64(struct guest *g, uint64_t address, uint64_t value);

/** An EPT of the test's own over [0, 2 MiB) in 4 KiB pages (the rest in 2 MiB pages), made the guest's. */
struct guest_ept {
	uint64_t *pml4, *pdpt, *pd, *pt;
};
void guest_own_ept(struct guest *g, struct guest_ept *ept, bool accessed_dirty);
/** A page of L0's: its address for VMCS fields. */
uint64_t guest_l0_page(struct guest *g, void **hva);

/** Run the named suite's one case; the main of each test. */
int guest_main(const char *name, TCase *cases);

#endif
