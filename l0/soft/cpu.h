/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The soft machine's CPU: one x86-64 processor with VT-x, always in VMX non-root operation (its root operation is L0
 * itself).
 *
 *   machine.c   machine_ops; physical memory; enter: vmentry -> run -> vmexit
 *   vmentry.c   VMCS -> cpu: load guest state, controls, injected event
 *   vmexit.c    cpu -> VMCS: save guest state, exit information
 *   intercept.c which instruction exits under which control (SDM vol. 3, 26.1)
 *   mmu.c       linear -> guest-physical -> host-physical, faults, EPT violations
 *   tlb.c       cached translations, tagged by VPID, PCID and EPT root
 *   event.c     exceptions and interrupts: priority, IDT delivery, double and triple faults
 *   control.c   control registers, MSRs, TSC as instructions write them
 *   decode.c    Zydis -> struct soft_insn; code.c caches runs of them by host-physical page
 *   run.c       the loop; exec_*.c the instructions by group; flags.h lazy flags
 *
 * A fault or a VM exit in the middle of an instruction unwinds to the run loop by longjmp (soft_unwind): everything
 * that can fault is done before anything architectural is changed, so no instruction needs undoing. Registers an
 * instruction changed are committed by its handler last.
 */
#ifndef TESTUDO_L0_SOFT_CPU_H
#define TESTUDO_L0_SOFT_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shadowvmcs/caps.h"
#include "shadowvmcs/regs.h"
#include "shadowvmcs/vmcs.h"

enum soft_segment_index {
	SOFT_ES,
	SOFT_CS,
	SOFT_SS,
	SOFT_DS,
	SOFT_FS,
	SOFT_GS,
	SOFT_LDTR,
	SOFT_TR,
	SOFT_SEGMENT_COUNT
};

/** A segment register with its hidden part. `rights` in the VMCS format (SDM vol. 3, table 25-2): bit 16 = unusable. */
struct soft_segment {
	uint64_t base;
	uint32_t limit; /**< in bytes, expanded */
	uint32_t rights;
	uint16_t selector;
};

struct soft_table {
	uint64_t base;
	uint16_t limit;
};

/** Operating mode, cached from EFER.LMA, CS.L, CR0.PE, RFLAGS.VM; decoded code is keyed by it. */
enum soft_mode {
	SOFT_MODE_REAL,
	SOFT_MODE_V8086,
	SOFT_MODE_16,
	SOFT_MODE_32,
	SOFT_MODE_COMPAT_16,
	SOFT_MODE_COMPAT_32,
	SOFT_MODE_64
};

union soft_xmm {
	uint8_t u8[16];
	uint16_t u16[8];
	uint32_t u32[4];
	uint64_t u64[2];
	int8_t i8[16];
	int16_t i16[8];
	int32_t i32[4];
	int64_t i64[2];
	float f32[4];
	double f64[2];
};

/** Why the run loop was left. */
enum soft_unwind_reason {
	SOFT_UNWIND_NONE,
	SOFT_UNWIND_EVENT, /**< an exception is pending in cpu->event: deliver it (or exit, by the exception bitmap) */
	SOFT_UNWIND_EXIT,  /**< a VM exit: its information is in the VMCS already */
	SOFT_UNWIND_UNSUPPORTED, /**< an instruction the CPU does not know: machine error with its bytes */
	SOFT_UNWIND_KICK,
};

/** Access kinds for translation; also bits 0..2 of an EPT violation qualification. */
enum soft_access { SOFT_READ = 1, SOFT_WRITE = 2, SOFT_FETCH = 4 };

struct soft_cpu;
struct soft_code_cache;
struct soft_tlb;
struct soft_tlb_entry;
struct soft_apic;

/** Host-physical memory: L1's RAM from 0, then L0's own pages. A guest reaches only what its EPT maps. */
struct soft_memory {
	uint8_t *base;
	uint64_t bytes;      /**< all of it */
	uint64_t ram_bytes;  /**< [0, ram_bytes) is L1's RAM */
	uint64_t pool_next;  /**< first free page of the pool (bump), see pool_free */
	uint64_t pool_free;  /**< head of the list of released pages; 0 = none */
	uint8_t *code_pages; /**< one byte per host-physical page: 1 = decoded code was cached from it */
};

struct soft_cpu {
	/* ---- architectural state ---- */
	/** An address is gpr[base] + (gpr[index] << scale) + displacement whatever it is made of: an absent register is
	 * number 16, RIP is number 17. Copy 16 registers from and to struct guest_regs, not sizeof(gpr). */
	union {
		uint64_t gpr[18]; /* 0..15: RAX to R15, RSP among them */
		struct {
			uint64_t gpr_architectural[16];
			uint64_t gpr_zero; /* always 0 */
			uint64_t rip;      /* while an instruction executes: of the next one */
		};
	};
	uint64_t rflags; /**< all bits but the lazy ones (CF PF AF ZF SF OF): soft_flags_get() gives them all */
	/* Lazy flags, see flags.h. */
	uint64_t flag_result, flag_carries, flag_delta;
	uint32_t interruptibility; /**< VMCS format: STI, MOV SS, SMI, NMI blocking */
	uint32_t activity;         /**< VMCS format: 0 active, 1 HLT, 2 shutdown, 3 wait-for-SIPI */
	struct soft_segment seg[SOFT_SEGMENT_COUNT];
	struct soft_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t dr[8];
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux, pat, misc_enable, debugctl, xcr0, xss;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, spec_ctrl, mtrr_def_type, perf_global_ctrl, bndcfgs,
	        feature_control;
	uint64_t pdpte[4];
	uint64_t pending_debug; /**< VMCS format */
	uint64_t tsc_adjust;
	union soft_xmm xmm[16];
	uint32_t mxcsr;
	uint8_t x87[160]; /**< FXSAVE image bytes 0..159: control words and ST registers; FNINIT state at reset */

	/* ---- mode, cached ---- */
	enum soft_mode mode;
	uint8_t cpl;
	uint8_t address_bits; /**< default address size: 16, 32, 64 */

	/* ---- VMX non-root operation ---- */
	struct vmcs *vmcs; /**< the one in force */
	uint32_t pin, proc, proc2, exit_controls,
	        entry_controls; /**< copies of the controls; proc2 = 0 when not activated */
	uint32_t exception_bitmap;
	uint64_t eptp; /**< 0 when EPT is off (then guest-physical = host-physical of the pool's choice: never offered
	                  to a guest) */
	uint16_t vpid;
	uint64_t tsc_offset, tsc_multiplier;
	bool preemption_timer_on;
	uint64_t preemption_deadline;                /**< in retired instructions */
	uint32_t idt_vectoring, idt_vectoring_error; /**< of the event being delivered; 0 = none */
	uint8_t idt_vectoring_length;                /**< its instruction length (software events) */
	uint32_t inject; /**< VM-entry interruption information not delivered yet; 0 = none */

	/* ---- the pending exception or exit ---- */
	struct {
		uint8_t vector;
		uint8_t type; /**< enum intr_type */
		bool has_error;
		uint32_t error;
		uint64_t cr2;               /**< #PF */
		uint64_t debug_bits;        /**< #DB: bits for DR6 */
		uint8_t instruction_length; /**< software interrupts and exceptions */
		bool injected;              /**< by VM entry: CR2 and DR6 are the VMM's business */
		bool debug_fault;           /**< #DB that is a fault: code breakpoint, general detect */
	} event;
	jmp_buf unwind;

	/* ---- time and statistics ---- */
	uint64_t retired;      /**< instructions; the TSC of L0 */
	uint64_t delivered_at; /**< 1 + `retired` when the last fault was delivered (run.c); 0 = never */
	uint64_t random;       /**< state of RDRAND and RDSEED: 0 at reset, the same numbers in each run */
	/** soft_check_events is called before the instruction at which `retired` has reached this value, not before; it
	 * sets the next one (timers, limit; retired + 1 to look after each instruction). 0 = look before the next. */
	uint64_t stop_at;
	volatile int kicked;
	uint64_t deadline; /**< enter returns -EINTR when `retired` reaches it; ~0 = never */
	uint64_t walk_references_1d, walk_references_2d; /**< page-table entries read by walks without / with EPT */

	/* ---- the instruction being executed (for faults and exits) ---- */
	uint64_t insn_rip;
	const struct soft_insn *insn;     /**< decode.h; its length, operands and prefixes */
	const struct soft_insn *insn_end; /**< end of the run being executed; NULL: leave it after this instruction */
	bool shadow_set;      /**< this instruction began an STI or MOV SS shadow: it outlives the instruction */
	bool resume_flag_set; /**< this instruction (IRET) loaded RF: likewise */
	bool event_delivered; /**< this instruction went through the IDT (INT n): no single-step trap after it */

	/* ---- between instructions (event.c) ---- */
	bool mtf_armed;               /**< an instruction or injected event has completed since VM entry */
	bool mtf_pending;             /**< VM entry injected a pending MTF exit */
	bool tpr_check;               /**< the virtual TPR may have fallen below its threshold */
	bool nmi_unblocked;           /**< by the IRET being executed: bit 12 of exit information */
	uint8_t debug_hits;           /**< data breakpoints met by the instruction being executed: bits for DR6 */
	uint64_t ple_first, ple_last; /**< PAUSE-loop exiting: time of the first and the last PAUSE of the loop */

	struct soft_memory *memory;
	struct soft_code_cache *code;
	struct soft_tlb *tlb;
	struct soft_tlb_entry *tlb_fast; /**< the table of translations in force: see tlb.h */
	struct soft_apic *apic;
	char error[256];

	/** Set while L0 completes an MMIO instruction: accesses to this guest-physical page go to the bus. */
	const struct mmio_bus *mmio_bus;
	uint64_t mmio_page_gpa; /**< guest-physical page of the faulting access */
	uint64_t mmio_bus_gpa;  /**< what to add the page offset to on the bus */
};

/* ---- run.c ---- */
/** Run until an exit (0), a kick (-EINTR) or an unsupported instruction (-EOPNOTSUPP, cpu->error). State is loaded
 * already. */
int soft_run(struct soft_cpu *cpu);
/** Execute exactly one instruction (MMIO completion, tests). Same results; 1 = executed, no exit. */
int soft_step(struct soft_cpu *cpu);
/** Recompute mode, cpl, address_bits after CS, CR0, EFER or RFLAGS.VM changed. */
void soft_update_mode(struct soft_cpu *cpu);
_Noreturn void soft_unwind(struct soft_cpu *cpu, enum soft_unwind_reason reason);
/** Something that decides whether an event is due has changed (IF, TF, TPR, a control): end the run and look. */
static inline void soft_attention(struct soft_cpu *cpu)
{
	cpu->stop_at = 0;
	cpu->insn_end = NULL;
}

/* ---- flags.h / flags.c ---- */
uint64_t soft_flags_get(const struct soft_cpu *cpu); /**< full RFLAGS */
void soft_flags_set(struct soft_cpu *cpu, uint64_t rflags);

/* ---- event.c ---- */
/** Raise a fault at the current instruction: unwinds. */
_Noreturn void soft_fault(struct soft_cpu *cpu, uint8_t vector, bool has_error, uint32_t error);
_Noreturn void soft_page_fault(struct soft_cpu *cpu, uint64_t linear, uint32_t error);
/** #DB as a fault: general detect (bits = 1 << 13 of DR6). Unwinds. */
_Noreturn void soft_debug_fault(struct soft_cpu *cpu, uint64_t bits);
/** Deliver cpu->event through the IDT or take the exit the VMCS asks for. Called by the run loop after
 * SOFT_UNWIND_EVENT. 0 or 1 = exit. */
int soft_deliver_event(struct soft_cpu *cpu);
/** INT n, INT3, INTO, INT1: trap-like; RIP pushed is the next instruction. Unwinds on faults and exits. */
void soft_software_interrupt(struct soft_cpu *cpu, uint8_t vector, uint8_t type);
/** Between instructions: pending #DB, NMI and interrupt windows, interrupts, preemption timer, MTF. 0, or 1 = exit
 * taken. */
int soft_check_events(struct soft_cpu *cpu);

/* ---- intercept.c / vmexit.c ---- */
/** Take a VM exit for the current instruction: fills reason, qualification, instruction length and information;
 * unwinds. Instruction-like exits leave RIP at the instruction. */
_Noreturn void soft_exit_instruction(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification);
/** A fault-like or event exit that is not an instruction's; unwinds. */
_Noreturn void soft_exit(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification);
/** Intercepts by group: return when the instruction may execute, unwind with the exit otherwise. */
void soft_intercept_simple(
        struct soft_cpu *cpu, uint32_t reason); /**< CPUID, HLT, INVD, WBINVD, RDTSC(P), RDPMC, PAUSE, MONITOR, MWAIT,
                                                   RDRAND, RDSEED, XSETBV, INVLPG..., by their control */
void soft_intercept_io(
        struct soft_cpu *cpu, uint16_t port, unsigned size, bool in, bool string, bool rep, bool immediate);
void soft_intercept_msr(struct soft_cpu *cpu, uint32_t msr, bool write);
/** All VMX instructions, INVEPT and INVVPID included: the whole handler. Returns only when VMCS shadowing did a VMREAD
 * or VMWRITE, with its operands and RFLAGS; else unwinds with #UD, #GP or the exit. */
void soft_intercept_vmx(struct soft_cpu *cpu, uint32_t reason);
/** LGDT, LIDT, SGDT, SIDT (which = 0..3: SGDT, SIDT, LGDT, LIDT) and SLDT, STR, LLDT, LTR (4..7). */
void soft_intercept_descriptor_table(struct soft_cpu *cpu, unsigned which);
/** MOV DR: after the #GP and #UD checks on CR4.DE and CPL. */
void soft_intercept_dr(struct soft_cpu *cpu, unsigned dr, unsigned gpr, bool read);
/** CLTS and LMSW: return when the instruction may execute; LMSW: the CR0 to write with masked bits already put back. */
bool soft_intercept_clts(struct soft_cpu *cpu); /**< false: CLTS does nothing (TS is masked and shown as 0) */
uint64_t soft_intercept_lmsw(struct soft_cpu *cpu, uint16_t source, bool memory, uint64_t linear);
/** MOV to/from CR, CLTS, LMSW: mask, shadow and CR3-target rules. Returns the value to use. */
uint64_t soft_intercept_cr_write(struct soft_cpu *cpu, unsigned cr, unsigned gpr, uint64_t value);
uint64_t soft_intercept_cr_read(struct soft_cpu *cpu, unsigned cr, unsigned gpr);

/* ---- mmu.c: all unwind with #PF, #GP/#SS (canonical), or an EPT exit ----
 * soft_load and soft_store in tlb.h are the fast way in. A non-canonical address is #GP(0) here; who accesses through
 * SS turns that into #SS(0) by checking first when the fast path missed. */
/** Host pointer for `size` bytes at `linear` that do not cross a page; NULL when the access is MMIO being completed. */
uint8_t *soft_translate(struct soft_cpu *cpu, uint64_t linear, enum soft_access access, bool user);
uint64_t soft_read(struct soft_cpu *cpu, uint64_t linear, unsigned size); /**< 1, 2, 4, 8; crosses pages atomically */
void soft_write(struct soft_cpu *cpu, uint64_t linear, unsigned size, uint64_t value);
void soft_read_bytes(struct soft_cpu *cpu, uint64_t linear, void *buffer, unsigned size);
void soft_write_bytes(struct soft_cpu *cpu, uint64_t linear, const void *buffer, unsigned size);
/** As supervisor whatever the CPL (descriptor tables, IDT delivery). */
uint64_t soft_read_system(struct soft_cpu *cpu, uint64_t linear, unsigned size);
void soft_write_system(struct soft_cpu *cpu, uint64_t linear, unsigned size, uint64_t value);
/** Check that a later write of size bytes will not fault (read-modify-write, pushes of several words). */
void soft_probe_write(struct soft_cpu *cpu, uint64_t linear, unsigned size);
/** Fetch: host-physical address of the code byte at RIP's linear address. Unwinds with #PF or an EPT exit. */
uint64_t soft_translate_fetch(struct soft_cpu *cpu, uint64_t linear);
void soft_tlb_flush_all(struct soft_cpu *cpu); /**< everything */
void soft_tlb_flush_vpid(struct soft_cpu *cpu, uint16_t vpid);
void soft_tlb_flush_eptp(struct soft_cpu *cpu, uint64_t eptp);
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear);
void soft_tlb_flush_cr3(struct soft_cpu *cpu, bool globals);
/** Switch the current VPID/EPTP/CR3/CPL context of the TLB fast path (after entry, CR writes, CPL change). */
void soft_tlb_context(struct soft_cpu *cpu);

/* ---- decode.c: operands of the current instruction as exit information names them (SDM vol. 3, 28.2.5) ---- */
struct soft_operands {
	bool memory;          /**< there is a memory operand: segment .. displacement are valid */
	uint8_t segment;      /**< enum soft_segment_index, after overrides */
	uint8_t base, index;  /**< register numbers; SOFT_NO_REGISTER = none */
	uint8_t scale;        /**< 0..3: index << scale */
	int64_t displacement; /**< sign-extended; RIP-relative: displacement, with `rip_relative` */
	bool rip_relative;    /**< add the address of the next instruction */
	uint8_t address_bits; /**< 16, 32, 64 */
	uint8_t operand_bits; /**< 16, 32, 64 */
	uint8_t reg1;         /**< register operand when the r/m operand is a register (ModRM.rm), or the only one */
	uint8_t reg2;         /**< ModRM.reg (the register operand beside an r/m operand) */
};
#define SOFT_NO_REGISTER 0xff
/** Of cpu->insn; every instruction that intercept.c knows with instruction information (descriptor tables, VMX,
 * INVPCID, RDRAND, RDSEED, XSAVES, INVLPG, INS, OUTS). */
void soft_insn_operands(const struct soft_insn *insn, struct soft_operands *operands);

/* ---- control.c: control registers, MSRs and TSC as instructions use them, after the intercepts ---- */
/** MOV to CR: checks (#GP), PDPTE loads, TLB invalidation, mode. Unwind on faults. `value` is the full new register. */
void soft_write_cr0(struct soft_cpu *cpu, uint64_t value);
void soft_write_cr3(struct soft_cpu *cpu, uint64_t value); /**< bit 63 with CR4.PCIDE: keep translations */
void soft_write_cr4(struct soft_cpu *cpu, uint64_t value);
/** RDMSR and WRMSR of the MSRs the CPU itself has. False: #GP(0). */
bool soft_read_msr(struct soft_cpu *cpu, uint32_t msr, uint64_t *value);
bool soft_write_msr(struct soft_cpu *cpu, uint32_t msr, uint64_t value);
/** INVPCID after its intercepts: checks (#GP) and invalidation. */
void soft_invpcid(struct soft_cpu *cpu, uint64_t type, const uint64_t descriptor[2]);
/** RDTSC's value: retired instructions, scaled and offset. */
uint64_t soft_read_tsc(const struct soft_cpu *cpu);

/* ---- event.c, called by instructions ---- */
/** At the start of IRET: NMI blocking ends, even when the IRET then faults (SDM vol. 3, 28.3). */
void soft_unblock_nmi(struct soft_cpu *cpu);

/* ---- code.c ---- */
/** Code bytes at host-physical page changed (guest store, L0 store, DMA): drop decoded runs. Cheap when none were
 * cached. */
void soft_code_invalidate(struct soft_cpu *cpu, uint64_t hpa, unsigned size);

/* ---- vmentry.c / vmexit.c ---- */
/** Load cpu from vmcs and regs; fault-free (the engine checked it), but a bad VMCS must not harm L0. */
void soft_vmentry(struct soft_cpu *cpu, struct vmcs *vmcs, const struct guest_regs *regs);
/** Save guest state into vmcs and regs after an exit. */
void soft_vmexit_save(struct soft_cpu *cpu, struct guest_regs *regs);

#endif
