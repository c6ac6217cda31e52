/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The VMM: one machine, one vCPU, L1 and perhaps L2 on it, and L0's devices. What run.c turns and emulate.c works on.
 *
 *   run.c       the run loop: enter, record, emulate or route and reflect
 *   emulate*.c  what L0 does for a guest of any level
 *   pv_vmx.c    paravirtual VMX instructions of L1
 *   vmcs01.c    the VMCS L0 makes for L1
 *   dev/        ports, MMIO, the test device
 *   image*.c, layout.c  what stands in guest memory at start
 *   cell.c, boot.c      the two ways in: measure a cell, boot an image
 */
#ifndef TESTUDO_L0_VMM_H
#define TESTUDO_L0_VMM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "l0/dev/bus.h"
#include "l0/dev/fw_cfg.h"
#include "l0/dev/serial.h"
#include "l0/dev/testdev.h"
#include "l0/interrupts.h"
#include "l0/machine.h"
#include "l0/stamps.h"
#include "results/ledger.h"

/** What L0 intercepts of L1 beyond what it must, because the cell measures it there. */
struct vmm_intercepts {
	bool rdtsc, invlpg, mov_cr3;
	uint32_t exceptions; /**< exception bitmap */
};

struct vmm_config {
	const struct machine_ops *machine;
	struct machine_config memory;
	enum shadow_mode shadow_mode;
	enum ept02_mode ept02_mode;
	bool ept02_auto; /**< the machine's best mode instead: lazy where it can */
	bool copy_everything;
	struct vmm_intercepts intercepts;
	uint64_t touch_page_size; /**< what one EPT01 violation in the first-touch region maps */
	struct ledger *ledger;
};

struct vmm {
	struct vmm_config config;
	const struct machine_ops *ops;
	struct machine *machine;
	struct vmcs vmcs01;
	struct guest_regs regs;
	/** L2's registers while a paravirtual L1 runs, in its memory (abi/pv_vmx.h, PV_FRAME); NULL = it has none. */
	uint64_t *l2_frame;
	bool frame_due; /**< L2 runs, or ran: its registers are to go there when L1 is entered */
	struct nested nested;
	struct nested_page msr_bitmap01;
	struct ept02_extent *extents;

	struct bus bus;
	struct console console;
	struct testdev testdev;
	struct serial serial;
	struct fw_cfg fw_cfg;
	struct interrupts interrupts; /**< on for images that are not our own */

	struct nested_page virtual_apic; /**< foreign L1: its CR8 is the TPR in this page (TPR shadow of vmcs01) */
	uint64_t apic_base;              /**< IA32_APIC_BASE, kept only */
	int pending_vector;              /**< an interrupt waits for delivery; -1 = none */
	uint64_t deadline;               /**< what the machine was last told */
	uint64_t clock_limit;            /**< end the guest when clock() reaches it; ~0 = never */

	/* The exit being handled. */
	struct ledger_record record;
	bool recording;         /**< `record` waits for its l0_ticks */
	bool resumed;           /**< the last enter ended without an exit: guest_ticks go on */
	uint64_t entered_clock; /**< clock() at the last enter */
	uint8_t phase;
	uint16_t sample;
	uint64_t l2_exits_seen;
	uint64_t first_l2_exit_ns; /**< CLOCK_MONOTONIC; 0 = none yet */
	struct stamps *stamps;     /**< NULL = none */
	/** Called at the end of a sample of either loop, with what the guest counted. NULL = nobody asks. */
	void (*on_sample)(void *ctx, enum testdev_mark end, uint64_t sample, uint64_t ops, uint64_t ticks);
	void *on_sample_ctx;
	FILE *trace; /**< one line per exit; NULL = none */
	/** Of machines that count themselves: sums over the measured loops so far. */
	struct machine_counts machine_counts, counts_before;
	bool have_checksum;
	uint64_t checksum; /**< the last one the guest told */
	bool machine_counted, counting;

	bool ended; /**< by the test device or the debug-exit port */
	int status; /**< what the guest ended with: enum testdev_status, or the debug-exit value */
	struct refusal why;
};

/** Make the machine, the engine and the devices; L1's state and memory are the caller's next. 0 or -errno. */
int vmm_create(struct vmm *vmm, const struct vmm_config *config, struct refusal *why);
void vmm_destroy(struct vmm *vmm);

/** Run until the guest ends: 0 (see status), or -errno with vmm->why. */
int vmm_run(struct vmm *vmm);
/** One turn of the loop: one entry, and its exit handled. vmm_run does this until vmm->ended. */
int vmm_step(struct vmm *vmm);

/** The VMCS that runs next. */
static inline struct vmcs *vmm_vmcs(struct vmm *vmm)
{
	return vmm->nested.in_l2 ? &vmm->nested.vmcs02 : &vmm->vmcs01;
}

/** Sentence into vmm->why; returns `error`. */
int vmm_fail(struct vmm *vmm, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** A phase mark of the test device. */
void vmm_mark(struct vmm *vmm, enum testdev_mark mark, uint64_t sample);

/* ---- vmcs01.c ---- */
/** Controls and host state; guest state is the image's (vmcs01_start_64, vmcs01_start_multiboot). */
void vmcs01_init(struct vmcs *vmcs01, const struct machine *machine, const struct vmm_intercepts *intercepts,
        const struct nested_page *msr_bitmap01);
/** What the interrupt controllers of a foreign L1 need: its CR8 in the virtual-APIC page, NMI windows, a TSC of its
 * own.
 */
void vmcs01_use_interrupts(struct vmcs *vmcs01, const struct nested_page *virtual_apic);
/** 64-bit mode as abi/boot_info.h says, at `entry`. */
void vmcs01_start_64(struct vmcs *vmcs01, struct guest_regs *regs, uint64_t entry, uint64_t cr3, uint64_t stack_top,
        uint64_t boot_info);
/** Flat 32-bit protected mode as the multiboot specification says. */
void vmcs01_start_multiboot(struct vmcs *vmcs01, struct guest_regs *regs, uint32_t entry, uint32_t info);
/** MSRs whose guest accesses need no exit. */
void vmcs01_fill_msr_bitmap(uint8_t *bitmap);

/* ---- emulate*.c, pv_vmx.c: 0, or -errno with vmm->why: the guest cannot go on ---- */
/** L0 handles the exit that `vmcs` holds for the guest of `level`. */
int emulate_exit(struct vmm *vmm, struct vmcs *vmcs, unsigned level);
int emulate_msr(struct vmm *vmm, struct vmcs *vmcs, unsigned level, bool write);
/** MSRs of MSR lists that no VMCS field holds; false: such an entry cannot be processed. */
bool emulate_list_read_msr(struct vmm *vmm, uint32_t msr, uint64_t *value);
bool emulate_list_write_msr(struct vmm *vmm, uint32_t msr, uint64_t value);
void emulate_cpuid(struct vmm *vmm, struct vmcs *vmcs);
int emulate_cr(struct vmm *vmm, struct vmcs *vmcs, unsigned level);
int emulate_io(struct vmm *vmm, struct vmcs *vmcs, unsigned level);
int emulate_ept_violation(struct vmm *vmm, struct vmcs *vmcs);
int emulate_device(struct vmm *vmm, struct vmcs *vmcs, uint64_t gpa, unsigned level);
/** Drop the guest's translations of linear addresses. */
void emulate_forget_linear(struct vmm *vmm, const struct vmcs *vmcs);
/** Go on behind the instruction that exited. */
void emulate_advance(struct vmcs *vmcs);
/** Raise an exception in the guest that runs. */
void emulate_fault(struct vmm *vmm, uint8_t vector, bool has_error, uint32_t error_code);
/** Write a guest field whatever the VMCS held: a stale field must be loaded even when its old value looks the same. */
void emulate_set(struct vmcs *vmcs, enum vmcs_field field, uint64_t value);
/** Read a guest field, fetched from the machine when it is stale. */
uint64_t emulate_get(struct vmm *vmm, struct vmcs *vmcs, enum vmcs_field field);
uint64_t emulate_gpr(const struct vmm *vmm, const struct vmcs *vmcs, unsigned number);

/** Is this port write of L1 a paravirtual VMX instruction? Then does it. */
bool pv_vmx_port(uint16_t port);
int pv_vmx_exit(struct vmm *vmm, uint16_t port);
/** L1 runs next: L2's registers go to its frame. Call when frame_due. */
void pv_frame_put(struct vmm *vmm);
/** A real VMX instruction of L1. */
int real_vmx_exit(struct vmm *vmm, enum exit_reason reason);

#endif
