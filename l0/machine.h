/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A machine: what executes guest instructions beneath L0. `enter` is the one door through which vmcs01 and vmcs02 go.
 *
 * Each machine is a folder (kvm/, soft/) that exports one `const struct machine_ops`. Everything above the machine (run
 * loop, devices, engine) is the same for all; what differs is said by struct machine_caps (shadowvmcs/caps.h) and by
 * the optional operations below.
 */
#ifndef TESTUDO_L0_MACHINE_H
#define TESTUDO_L0_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shadowvmcs/nested.h"

struct machine;

/** Why something cannot be done: one sentence that says what, which value, what to do. */
struct refusal {
	char text[256];
};
/** Fill in a refusal, printf-like; returns `error` so that callers can `return refuse(...)`. */
int refuse(struct refusal *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct machine_config {
	uint64_t ram_bytes;    /**< L1-physical memory from address 0; a multiple of 2 MiB */
	uint64_t unmapped_gpa; /**< [unmapped_gpa, +unmapped_bytes) has RAM behind it but no EPT01 mapping at start */
	uint64_t unmapped_bytes;
	uint64_t tsc_hz_hint; /**< soft: frequency to announce; 0 = default */
	bool foreign;         /**< an image that knows nothing of Testudo: full VMX, no sites, no paravirtual calls */
};

/** Counts of a machine that multiplexes L1 and L2 itself, since its start. */
struct machine_counts {
	uint64_t exits;      /**< VM exits of both levels, those by the host's own interrupts left out */
	uint64_t l2_entries; /**< VM entries to L2 that L1 asked for */
};

/** The bus behind emulated MMIO: L0's devices at level's physical address `gpa`. size is 1, 2, 4 or 8 bytes. */
struct mmio_bus {
	void *ctx;
	uint64_t (*read)(void *ctx, uint64_t gpa, unsigned size);
	void (*write)(void *ctx, uint64_t gpa, unsigned size, uint64_t value);
};

/** Common head of each machine's own struct. */
struct machine {
	const struct machine_ops *ops;
	struct machine_caps caps; /**< as probed on this host */
	uint8_t *ram;             /**< L1-physical memory */
	uint64_t ram_bytes;
	uint64_t eptp01;  /**< EPT01: the value for vmcs01's EPT pointer field (a real EPTP, or the machine's token) */
	uint64_t tsc_khz; /**< ticks of clock() per millisecond; 0 = unknown */
	/** Of machines with caps.asks_for_bitmaps, made by L0: to be called before a bitmap of vmcs02 is looked into.
	 */
	void (*merge_bitmaps)(void *ctx);
	void *merge_bitmaps_ctx;
	bool tsc_is_clock; /**< RDTSC at every level gives what clock() gives (VMCS TSC offsets aside) */
	char error[256];   /**< the sentence behind the last -errno of enter */
};

struct cell_result;

struct machine_ops {
	const char *name;

	/** Can this host run it? 0, or -errno with the reason (no /dev/kvm, permission, a missing capability). Cheap;
	 * no guest runs. */
	int (*probe)(struct refusal *why);

	/** The machine is no guest's: it runs a macro workload as a process and fills in samples, checksum and tsc_khz.
	 * The other functions are NULL then. 0, or -errno with the reason; NULL: a machine with guests. */
	int (*run_native)(
	        const char *workload, uint64_t samples, uint64_t ops, struct cell_result *result, struct refusal *why);

	/** Make one. 0, or -errno with the reason. */
	int (*create)(struct machine **machine, const struct machine_config *config, struct refusal *why);
	void (*destroy)(struct machine *machine);

	/**
	 * Run the guest of `vmcs` (vmcs01 or vmcs02) with `regs` until its next VM exit, and leave the exit information
	 * and the guest state in `vmcs` as the SDM says, except fields in caps.on_demand, which are marked in
	 * vmcs->stale. Consumes vmcs->dirty. 0 = an exit; -EINTR = kicked, no exit (the VMCS is consistent); other
	 * -errno = the guest cannot go on, machine->error says why in one sentence.
	 */
	int (*enter)(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs);

	/** Bring the stale fields of `vmcs` up to date. NULL when caps.on_demand is empty. */
	void (*fetch)(struct machine *machine, struct vmcs *vmcs);

	/** After an exit that left regs->kept set: fill in gpr, and clear it. NULL: no exit does. 0 or -errno. */
	int (*fetch_registers)(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs);

	/** Make the current or next enter return -EINTR soon. Async-signal-safe and callable from another thread. */
	void (*kick)(struct machine *machine);

	/** EPT01: give or take L1-physical RAM (first-touch region). Sizes are multiples of 4 KiB. 0 or -errno. */
	int (*map01)(struct machine *machine, uint64_t l1_gpa, uint64_t size);
	int (*unmap01)(struct machine *machine, uint64_t l1_gpa, uint64_t size);

	/** The access that ended the last enter (an EPT violation or misconfiguration) is for a device: do it through
	 * the bus at `gpa` and complete the instruction (RIP is advanced). 0, or -errno when the instruction is not one
	 * MMIO can use. */
	int (*emulate_mmio)(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs, uint64_t gpa,
	        const struct mmio_bus *bus);

	/** A zeroed 4 KiB page of L0's own that a VMCS of this machine may point to; hva NULL when there is none left.
	 */
	struct nested_page (*page_alloc)(struct machine *machine);

	/** The builder of EPT02 on this machine. */
	void (*ept02_backend)(struct machine *machine, struct ept02_backend *backend);

	/** Forget linear translations tagged with vpid (0 = all). NULL: no need. */
	void (*flush_vpid)(struct machine *machine, uint16_t vpid);

	/** The guest's TSC as L0 sees it: real ticks on kvm, retired instructions on soft. */
	uint64_t (*clock)(struct machine *machine);

	/** MSRs that no VMCS field holds (SYSCALL MSRs, KERNEL_GS_BASE, TSC_AUX), of the guest of `level`. 0, or
	 * -EINVAL: the machine has no such MSR, or the value is not valid (#GP). NULL: none. */
	int (*read_msr)(struct machine *machine, unsigned level, uint32_t msr, uint64_t *value);
	int (*write_msr)(struct machine *machine, unsigned level, uint32_t msr, uint64_t value);

	/** CPUID as the machine's processor itself would show it (VMX included, OSXSAVE clear): EAX, EBX, ECX, EDX. L0
	 * adds what depends on the guest. NULL: L0's own small model. */
	void (*cpuid)(struct machine *machine, uint32_t leaf, uint32_t subleaf, uint32_t registers[4]);

	/** XSETBV of XCR `index`, which always exits (SDM vol. 3, 26.1.2). 0, or -EINVAL: #GP. NULL: no XSAVE here. */
	int (*xsetbv)(struct machine *machine, uint32_t index, uint64_t value);

	/** True: the machine runs L2 and answers L1's VMX instructions itself; L0's engine has nothing to do. */
	bool multiplexes;

	/** True: ledger times come from clock() and L0's own time is not counted (deterministic machines). */
	bool virtual_time;

	/** Make enter return -EINTR once clock() has reached `deadline` (~0: never), also while the guest runs without
	 * an exit. Replaces the deadline before. NULL: L0 looks at the clock after exits only. */
	void (*set_deadline)(struct machine *machine, uint64_t deadline);

	/** The guest halted and the next event is at clock value `deadline` (~0: none): wait, or advance virtual time.
	 * Returns 0 when the deadline is reached, -EINTR when kicked. */
	int (*idle)(struct machine *machine, uint64_t deadline);

	/** Raise interrupt `vector`: the machine has interrupt controllers of its own, and its guest gets it when it
	 * can. NULL: L0 delivers interrupts through the VMCS. */
	void (*raise_interrupt)(struct machine *machine, uint8_t vector);

	/** Level of the guest whose exit was the last one, of machines whose vmcs01 runs L2, too. NULL: L0 knows. */
	unsigned (*guest_level)(struct machine *machine);

	/** What the machine itself has counted so far. NULL: L0 sees every exit. 0 or -errno. */
	int (*count)(struct machine *machine, struct machine_counts *counts);

	/** Tell the machine the site table of the image that is (or will be) at [base, ...) of the guest of `level`.
	 * NULL: ignored. */
	int (*set_sites)(struct machine *machine, unsigned level, const void *sites, size_t count);
};

/** NULL-terminated: the machines built into this binary. */
extern const struct machine_ops *const machines[];

/** The machine of that name, or NULL. */
const struct machine_ops *machine_find(const char *name);

#endif
