/* SPDX-License-Identifier: Apache-2.0 */
/**
 * L1's state and what its parts offer one another. One vCPU, one guest: everything is static.
 *
 *   start.c    boot info, capabilities, VMXON        vmcs12.c   the VMCS for L2
 *   ept.c      EPT12                                 bitmaps.c  I/O and MSR bitmaps
 *   exits.c    the exit loop, once per VMCS access and profile: exit_table.def names the handlers
 *   platform.c what handlers need of the machine     report.c   sentences about what went wrong
 */
#ifndef TESTUDO_L1_L1_H
#define TESTUDO_L1_L1_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "ept.h"
#include "shadowvmcs/vmcs.h"

/** L2's general registers at an exit, as exit_entry.S saves them: in order of register number, without RSP. */
struct l2_regs {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

/** The register of that number; not for RSP (4), which is in the VMCS. */
static inline uint64_t *l2_reg(struct l2_regs *regs, unsigned number)
{
	return &regs->rax + (number > 4 ? number - 1 : number);
}

enum l1_timer {
	L1_TIMER_OFF,
	L1_TIMER_ARMED, /**< L2 armed it with interrupts off: it starts when L2 halts */
	L1_TIMER_RUNS,  /**< the real timer runs for L2 */
};

struct l1 {
	struct boot_info *boot;  /**< L1's own */
	struct boot_info *boot2; /**< L2's, seen through L1's memory */
	uint64_t l2_base, l2_size;
	bool pv; /**< VMX instructions are paravirtual calls */

	/* L2's test device, as L1 emulates it. */
	uint32_t pio_value;
	uint32_t mmio_value;
	uint64_t msr_value;
	enum l1_timer timer;
	uint32_t timer_ticks;

	uint64_t primary_controls; /**< primary processor-based controls as last written */
	struct l1_ept ept;
	struct l1_pages pages;
};
extern struct l1 l1;

/** Set by L1's own interrupt handler when the timer's interrupt came. */
extern volatile bool l1_timer_fired;

/** Where exit_entry.S saves L2's registers. */
extern struct l2_regs l1_l2_regs;

/** vmcs12: the page L1 gives to VMPTRLD. With vmcs=direct L1 reads and writes it here. */
extern struct vmcs l1_vmcs12;

/* ---- exits.c, one pair of functions per VMCS access and profile; exit_select.c picks ---- */

/** Handles one exit; exit_entry.S calls it and then resumes L2. */
typedef void (*l1_exit_function)(void);

/** The function for the boot info's settings. Reads each field of the profile once, checked, so that the exit path need
 *  not check. Call with vmcs12 set up; ends L1 with a sentence when a field cannot be read. */
l1_exit_function l1_exit_select(void);

/* ---- exit_entry.S ---- */

extern l1_exit_function l1_exit_handler;                 /**< what the exit entry calls */
extern uint8_t l1_exit_stack_top[];                      /**< HOST_RSP */
extern uint8_t l1_exit_entry_real[], l1_exit_entry_pv[]; /**< HOST_RIP */
/** VMLAUNCH with RDI = L2's boot info. Returns only on failure: PV_VMX_RESULT_*. */
uint64_t l1_launch_real(uint64_t rdi);
uint64_t l1_launch_pv(uint64_t rdi);

/* ---- vmcs12.c, bitmaps.c ---- */

/** Fill in the current VMCS for L2. Ends L1 with a sentence when something it needs is not offered. */
void l1_vmcs12_setup(void);
/** The pages the bitmaps are in, filled in by l1_bitmaps_setup(). */
extern uint8_t l1_io_bitmap[2][PAGE_BYTES], l1_msr_bitmap[PAGE_BYTES];
void l1_bitmaps_setup(void);

/* ---- platform.c: what exit handlers need of the machine; the unit tests have their own ---- */

uint64_t l1_read_tsc(void);
/** L2's CR2: no VMCS holds it. */
void l1_set_cr2(uint64_t linear);
/** Arm the real timer `ticks` from now. */
void l1_timer_arm(uint32_t ticks);
/** Wait, interrupts on, until the timer's interrupt came (l1_timer_fired). */
void l1_timer_wait(void);
/** Let a pending interrupt in, for a moment. */
void l1_interrupts_take(void);
/** INVEPT, single context, of L1's EPT12. */
void l1_invept(void);
/** Bring vmcs12's stale fields up to date (vmcs=direct). */
void l1_vmcs12_fetch(void);
/** Interrupt entry for TESTDEV_TIMER_VECTOR, and L1's IDT. */
void l1_idt_setup(void);

/* ---- report.c: print a sentence and end ---- */

/** An exit L1 has no handler for, or cannot handle: `why` says which. */
void __attribute__((noreturn)) l1_report_exit(const char *why);
/** VMLAUNCH or VMRESUME gave `result` (PV_VMX_RESULT_*). */
void __attribute__((noreturn)) l1_report_entry_failure(const char *instruction, uint64_t result);
/** Any VMX instruction of the set-up. */
void l1_check_vmx(const char *instruction, uint64_t operand, uint64_t result);

#endif
