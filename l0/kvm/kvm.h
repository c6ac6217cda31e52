/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The kvm machine, shared by its files.
 *
 *   machine.c  machine_ops: create, destroy, what KVM honours
 *   probe.c    can this host run it; RIP at a port exit
 *   vm.c       one VM with one vCPU; KVM_RUN
 *   slots.c    memory slots: EPT01, and EPT02 as a backend of the engine
 *   state.c    VMCS <-> vCPU: general registers on each entry, the rest when it changed or is asked for
 *   finish.c   instructions KVM left half done at the last exit: complete or discard them
 *   enter.c    enter: load, KVM_RUN, store
 *   exit.c     KVM's exits as VM exits with their exit information
 *   msr.c      MSR exits by the MSR bitmap of the VMCS
 *   site.c     the site table
 *   timer.c    kicks, deadlines, idling
 *
 * L1 has one VM, and each EPT02 root one more, because in KVM the second-level mapping is a property of the VM. The
 * token in a VMCS's EPT pointer field says which VM runs it. L2's registers live in the vCPU of the root that ran last.
 */
#ifndef TESTUDO_L0_KVM_KVM_H
#define TESTUDO_L0_KVM_KVM_H

#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "abi/sites.h"
#include "l0/machine.h"

/** Tokens look like EPT pointers (write-back, 4 levels) so that a VMCS that holds one passes for a real one. */
#define KVM_TOKEN(index) (((uint64_t)(index) + 1) << 12 | 0x1e)
#define KVM_TOKEN_INDEX(token) (((token) >> 12) - 1)
#define KVM_VMS (1 + EPT02_ROOTS + 1)

/** L0's own pages have addresses far above any L1-physical one. */
#define KVM_POOL_BASE (1ull << 44)
#define KVM_POOL_PAGES 64

/** One memory slot: [gpa, +size) is L1-physical [l1_gpa, +size). */
struct kvm_slot {
	uint64_t gpa, size, l1_gpa;
	uint32_t id;
	bool read_only;
};

/** The slots of a VM, sorted by gpa, without overlaps. */
struct kvm_slots {
	struct kvm_slot *slot;
	uint32_t count, capacity;
	uint32_t *free_ids; /**< a stack */
	uint32_t free_count;
	uint32_t limit; /**< KVM_CAP_NR_MEMSLOTS */
};

/** What KVM has left to do for the instruction of the last exit (see finish.c). */
enum kvm_unfinished {
	KVM_FINISHED,
	KVM_UNFINISHED_OUT, /**< KVM advances RIP if it still stands at the OUT */
	KVM_UNFINISHED_IN,
	KVM_UNFINISHED_RDMSR,
	KVM_UNFINISHED_WRMSR,
	KVM_UNFINISHED_MMIO,
};

/** A store KVM reported after its completion, at an address no site names (facts in README.md). */
struct kvm_store {
	bool pending;
	uint64_t gpa, rip_after;
	uint8_t size;
	uint8_t data[8];
};

struct kvm_vm {
	int fd, vcpu;
	struct kvm_run *run;
	size_t run_bytes;
	unsigned level; /**< 1 or 2 */
	uint64_t token;
	enum kvm_unfinished unfinished;
	uint8_t unfinished_length; /**< bytes of that instruction, where RIP stands at it */
	/** The vCPU's segment and control registers. Level 2: valid until it runs. Level 1: as last loaded or fetched,
	 * see load_system. */
	struct kvm_sregs sregs;
	bool sregs_valid;
	/** Level 1: `sregs` as VMCS fields. */
	struct vmcs known;
	uint64_t rip_after; /**< level's RIP behind the MMIO write of the last exit */
	struct kvm_store store;
	struct kvm_slots slots;
	/** Level 1: the last exit after a reflected one was the VMRESUME, so the next will be: its registers are left
	 * where they are (PV_FRAME of abi/pv_vmx.h). */
	bool expects_resume;
};

/** What L2 has in a vCPU and no VMCS field holds, on its way from one VM to another. */
#define KVM_CARRIED_MSRS 6
struct kvm_carried {
	bool valid;
	struct kvm_fpu fpu;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[KVM_CARRIED_MSRS];
	} msrs;
};

/** Sites of one level: a hash table by address, a power of two in size, never full. */
struct kvm_sites {
	struct site *table;
	size_t mask;
};

/** Machine nvmx: where KVM's statistics of its vCPU stand (l0/nvmx/counts.c). */
#define NVMX_STATS 3
struct kvm_stats {
	bool opened;
	int fd;
	uint64_t offset[NVMX_STATS];
};

struct kvm_machine {
	struct machine base; /**< first */
	/** Machine nvmx: the only VM has VMX, the kernel runs L2 and has the interrupt controllers (l0/nvmx). */
	bool nests;
	int kvm;
	size_t run_bytes;
	struct kvm_cpuid2 *cpuid;
	struct kvm_vm *vms[KVM_VMS]; /**< [0] is L1's */
	struct kvm_vm *last_l2;      /**< whose vCPU holds L2's registers; NULL before L2 first ran */
	struct vmcs *last_l2_vmcs;
	struct kvm_carried carried;
	struct kvm_vm *volatile running; /**< for kicks: whose KVM_RUN may be under way */
	struct kvm_sites sites[3];       /**< by level */
	bool port_rip_past;              /**< at a port write's exit RIP is behind the OUT (PVM), not at it */
	uint8_t *pool;
	unsigned pool_used;
	/* timer.c */
	volatile sig_atomic_t kicked;
	pid_t thread;
	bool timer_made;
	timer_t timer;
	uint64_t deadline, armed;
	/** For benchmarks: TSC before and after each KVM_RUN, in pairs; NULL = not kept. */
	uint64_t *run_log;
	size_t run_log_left; /**< pairs */
	struct kvm_stats stats;
};

static inline struct kvm_machine *kvm_of(struct machine *machine)
{
	return (struct kvm_machine *)machine;
}

/** The VM that runs this VMCS, or NULL when its EPT pointer names none. */
static inline struct kvm_vm *kvm_vm_of(struct kvm_machine *m, const struct vmcs *vmcs)
{
	const uint64_t index = KVM_TOKEN_INDEX(vmcs_get(vmcs, VMCS_EPT_POINTER));

	return index < KVM_VMS ? m->vms[index] : NULL;
}

extern const struct machine_ops machine_kvm;

/** What machines kvm and nvmx have in common: make a machine of `ops` and `caps` with L1's VM, and end it. */
int kvm_machine_create(struct machine **machine, const struct machine_ops *ops, const struct machine_caps *caps,
        bool nests, const struct machine_config *config, struct refusal *why);
void kvm_machine_destroy(struct machine *machine);
struct nested_page kvm_page_alloc(struct machine *machine);

/* ---- probe.c ---- */
/** Path of the device: $TESTUDO_KVM_DEVICE, else /dev/kvm. */
const char *kvm_device_path(void);
/** Open the device and check API version and every capability. The descriptor, or -errno with the sentence. */
int kvm_open(struct refusal *why);
/** Find out m->port_rip_past with two instructions in L1's VM; its memory is zero again afterwards. */
int kvm_probe_port_rip(struct kvm_machine *m, struct refusal *why);

/* ---- vm.c ---- */
int kvm_vm_create(struct kvm_machine *m, unsigned level, struct kvm_vm **vm, struct refusal *why);
void kvm_vm_destroy(struct kvm_vm *vm);
/** CPUID of every vCPU: what KVM supports less what the machine does not virtualize. Malloced; NULL = -errno in *error.
 */
struct kvm_cpuid2 *kvm_cpuid_make(int kvm, bool nests, int *error);

/* ---- slots.c ---- */
int kvm_slots_map(
        struct kvm_machine *m, struct kvm_vm *vm, uint64_t gpa, uint64_t l1_gpa, uint64_t size, bool read_only);
int kvm_slots_unmap(struct kvm_machine *m, struct kvm_vm *vm, uint64_t gpa, uint64_t size);
/** Memory behind a guest-physical address of this VM, and how many bytes follow in the same slot; NULL: none. */
uint8_t *kvm_slots_memory(struct kvm_machine *m, const struct kvm_vm *vm, uint64_t gpa, uint64_t *bytes);
void kvm_slots_free(struct kvm_slots *slots);
int kvm_map01(struct machine *machine, uint64_t l1_gpa, uint64_t size);
int kvm_unmap01(struct machine *machine, uint64_t l1_gpa, uint64_t size);
void kvm_ept02_backend(struct machine *machine, struct ept02_backend *backend);

/* ---- state.c ---- */
/** The fields that stay in the vCPU until asked for. */
struct vmcs_mask kvm_on_demand(void);
/** Load what the next KVM_RUN needs to run `vmcs` with `regs`; consumes vmcs->dirty and the event to inject. 0 or
 * -errno with base.error. */
int kvm_load(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, const struct guest_regs *regs);
/** After KVM_RUN: general registers into vmcs and regs (regs->kept: not gpr); the rest becomes stale. */
void kvm_store_registers(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, struct guest_regs *regs);
void kvm_fetch(struct machine *machine, struct vmcs *vmcs);
/** The general registers that an exit left in the vCPU. */
int kvm_fetch_registers(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs);
/** L2 leaves the VM it ran in last (its EPT12 changed): keep its state, in the VMCS and m->carried. */
void kvm_carry_out(struct kvm_machine *m);
/** Queue an exception for the vCPU's next run, whatever the VMCS says. */
int kvm_raise(struct kvm_machine *m, struct kvm_vm *vm, uint8_t vector, bool has_error, uint32_t error);
/** Linear to guest-physical by the guest's own tables, as last known to L0. False: not mapped, or not in memory. */
bool kvm_guest_walk(struct kvm_machine *m, struct kvm_vm *vm, uint64_t linear, uint64_t *gpa);
/** Instruction bytes at a linear address; how many were readable (at most `size`). */
size_t kvm_guest_bytes(struct kvm_machine *m, struct kvm_vm *vm, uint64_t linear, uint8_t *bytes, size_t size);

/* ---- finish.c ---- */
/** Deal with vm->unfinished before registers `next` are loaded. *arrives, in: KVM may complete the instruction in the
 * next KVM_RUN; out: it will, and arrive at `next` by itself (nothing to load). 0 or -errno. */
int kvm_finish(struct kvm_machine *m, struct kvm_vm *vm, const struct kvm_regs *next, bool *arrives);
/** Let KVM complete, or discard, what is unfinished, without running the guest. */
int kvm_flush(struct kvm_machine *m, struct kvm_vm *vm);

/* ---- enter.c, exit.c, msr.c ---- */
int kvm_enter(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs);
enum kvm_exit_outcome { KVM_EXIT_TAKEN, KVM_RUN_AGAIN };
/** Turn vm->run's exit into exit information in vmcs. An outcome, or -errno with base.error. Registers are in run. */
int kvm_exit_take(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs);
int kvm_exit_msr(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, bool write);
int kvm_read_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t *value);
int kvm_write_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t value);
int kvm_emulate_mmio(
        struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs, uint64_t gpa, const struct mmio_bus *bus);
/** Set the exit fields every exit has; the others keep what they held, as on a processor. */
static inline void kvm_exit_set(struct vmcs *vmcs, uint32_t reason, uint64_t qualification, uint32_t length)
{
	vmcs->field[VMCS_EXIT_REASON] = reason;
	vmcs->field[VMCS_EXIT_QUALIFICATION] = qualification;
	vmcs->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = length;
	vmcs->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = 0;
	vmcs->field[VMCS_IDT_VECTORING_INFORMATION] = 0;
}

/* ---- site.c ---- */
int kvm_set_sites(struct machine *machine, unsigned level, const void *sites, size_t count);
const struct site *kvm_site_find(const struct kvm_sites *sites, uint64_t rip);
/** The exit of a replaced instruction. An outcome, or -errno. */
int kvm_exit_site(struct kvm_machine *m, struct kvm_vm *vm, struct vmcs *vmcs, const struct site *site);

/* ---- timer.c ---- */
void kvm_kick(struct machine *machine);
void kvm_set_deadline(struct machine *machine, uint64_t deadline);
/** Arm the host timer for the deadline when that changed. */
void kvm_arm(struct kvm_machine *m);
int kvm_idle(struct machine *machine, uint64_t deadline);
uint64_t kvm_clock(struct machine *machine);
int kvm_timer_init(struct kvm_machine *m, struct refusal *why);
void kvm_timer_fini(struct kvm_machine *m);

/** Fill in base.error, printf-like; returns `error`. */
int kvm_fail(struct kvm_machine *m, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
