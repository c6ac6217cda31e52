/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft machine as L0 sees it: host-physical memory, EPT01, and enter = VM entry, run, VM exit.
 *
 * Host-physical space is one mapping: L1's RAM from 0 (so L1-physical = host-physical), then the pool of L0's own
 * pages: EPT01, EPT02, bitmaps, the shadow region. EPT01 maps the RAM and never the pool.
 */
#include "soft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "code.h"
#include "cpuid.h"
#include "tlb.h"

#define PAGE 4096ull
#define LARGE_PAGE (2ull << 20)
/** Pool pages: a 4 KiB-page EPT02 of all RAM, twice, and room for the rest. */
#define POOL_BYTES(ram_bytes) ((ram_bytes) / 128 + (32ull << 20))
#define RAM_LIMIT (64ull << 30)
#define DEFAULT_TSC_KHZ 1000000ull

static struct soft_machine *soft_of(struct machine *machine)
{
	return (struct soft_machine *)machine;
}

/*
 * Every control here is obeyed; README.md names the test of each. Not offered: what needs an interrupt controller
 * beneath the CPU (posted interrupts, APIC virtualization), features the CPU has not (XSAVES, MPX, PT, SGX, #VE, VM
 * functions, performance counters).
 */
static const struct machine_caps soft_caps = {
        .name = "soft",
        .honours = {[VMX_WORD_PIN] = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING) |
                                     VMX_BIT(PIN_VIRTUAL_NMIS) | VMX_BIT(PIN_PREEMPTION_TIMER),
                [VMX_WORD_PROC] =
                        VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING) | VMX_BIT(PROC_TSC_OFFSETTING) |
                        VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_INVLPG_EXITING) | VMX_BIT(PROC_MWAIT_EXITING) |
                        VMX_BIT(PROC_RDPMC_EXITING) | VMX_BIT(PROC_RDTSC_EXITING) | VMX_BIT(PROC_CR3_LOAD_EXITING) |
                        VMX_BIT(PROC_CR3_STORE_EXITING) | VMX_BIT(PROC_CR8_LOAD_EXITING) |
                        VMX_BIT(PROC_CR8_STORE_EXITING) | VMX_BIT(PROC_TPR_SHADOW) | VMX_BIT(PROC_NMI_WINDOW_EXITING) |
                        VMX_BIT(PROC_MOV_DR_EXITING) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) |
                        VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_MONITOR_TRAP_FLAG) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
                        VMX_BIT(PROC_MONITOR_EXITING) | VMX_BIT(PROC_PAUSE_EXITING) |
                        VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS),
                [VMX_WORD_PROC2] =
                        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_DESCRIPTOR_TABLE_EXITING) |
                        VMX_BIT(PROC2_ENABLE_RDTSCP) | VMX_BIT(PROC2_ENABLE_VPID) | VMX_BIT(PROC2_WBINVD_EXITING) |
                        VMX_BIT(PROC2_UNRESTRICTED_GUEST) | VMX_BIT(PROC2_PAUSE_LOOP_EXITING) |
                        VMX_BIT(PROC2_RDRAND_EXITING) | VMX_BIT(PROC2_ENABLE_INVPCID) | VMX_BIT(PROC2_VMCS_SHADOWING) |
                        VMX_BIT(PROC2_RDSEED_EXITING) | VMX_BIT(PROC2_ENABLE_PML) | VMX_BIT(PROC2_USE_TSC_SCALING),
                [VMX_WORD_EXIT] = VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS) | VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) |
                                  VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) | VMX_BIT(EXIT_SAVE_IA32_PAT) |
                                  VMX_BIT(EXIT_LOAD_IA32_PAT) | VMX_BIT(EXIT_SAVE_IA32_EFER) |
                                  VMX_BIT(EXIT_LOAD_IA32_EFER) | VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER),
                [VMX_WORD_ENTRY] = VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS) | VMX_BIT(ENTRY_IA32E_MODE_GUEST) |
                                   VMX_BIT(ENTRY_LOAD_IA32_PAT) | VMX_BIT(ENTRY_LOAD_IA32_EFER)},
        .ept_vpid = EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G |
                    EPT_CAP_INVEPT | EPT_CAP_AD | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID |
                    EPT_CAP_INVVPID_ADDRESS | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL |
                    EPT_CAP_INVVPID_SINGLE_KEEP_GLOBALS,
        /* Timer rate, EFER.LMA stored, activity state HLT, 4 CR3 targets, VMWRITE of any field, injection of
         * software events of length 0 (SDM vol. 3, A.6). */
        .misc = SOFT_TIMER_SHIFT | 1u << 5 | 1u << 6 | 4u << 16 | 1u << 29 | 1u << 30,
        .physical_address_bits = SOFT_PHYSICAL_BITS,
        .real_vmx = true,
        .ept02_tree = true,
        .ept02_lazy = true,
        .hardware_shadowing = true,
        .marks_written = true,
};

/* ---- host-physical memory ---- */

static uint64_t pool_take(void *ctx)
{
	struct soft_memory *memory = &((struct soft_machine *)ctx)->memory;
	uint64_t hpa = memory->pool_free;

	if (hpa) {
		memcpy(&memory->pool_free, memory->base + hpa, sizeof(memory->pool_free));
		memset(memory->base + hpa, 0, PAGE);
		return hpa;
	}
	if (memory->pool_next >= memory->bytes)
		return 0;
	hpa = memory->pool_next;
	memory->pool_next += PAGE;
	return hpa;
}

static void pool_give_back(void *ctx, uint64_t hpa)
{
	struct soft_memory *memory = &((struct soft_machine *)ctx)->memory;

	memcpy(memory->base + hpa, &memory->pool_free, sizeof(memory->pool_free));
	memory->pool_free = hpa;
}

static uint64_t *table_page(void *ctx, uint64_t hpa)
{
	return (uint64_t *)(((struct soft_machine *)ctx)->memory.base + hpa);
}

static uint64_t identity(void *ctx, uint64_t l1_gpa)
{
	return l1_gpa;
}

static void forget_eptp(void *ctx, uint64_t eptp)
{
	soft_tlb_flush_eptp(&((struct soft_machine *)ctx)->cpu, eptp);
}

static void soft_ept02_backend(struct machine *machine, struct ept02_backend *backend)
{
	ept02_tree_backend(&soft_of(machine)->tree, backend);
}

static int make_memory(struct soft_machine *soft, uint64_t ram_bytes)
{
	struct soft_memory *memory = &soft->memory;

	memory->ram_bytes = ram_bytes;
	memory->bytes = ram_bytes + POOL_BYTES(ram_bytes);
	memory->pool_next = ram_bytes;
	memory->base =
	        mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory->base == MAP_FAILED) {
		memory->base = NULL;
		return -errno;
	}
	memory->code_pages = calloc(memory->bytes / PAGE, 1);
	return memory->code_pages ? 0 : -ENOMEM;
}

/** EPT01 is a tree like EPT02, by the same builder: RAM in 2 MiB pages, but for the unmapped region. */
static int make_ept01(struct soft_machine *soft, const struct machine_config *config)
{
	const uint64_t hole = config->unmapped_gpa, hole_end = hole + config->unmapped_bytes;
	int error;

	soft->tree = (struct ept02_tree){.ctx = soft,
	        .page = table_page,
	        .alloc = pool_take,
	        .release = pool_give_back,
	        .l1_to_host = identity,
	        .flush = forget_eptp,
	        .page_size_max = LARGE_PAGE};
	ept02_tree_backend(&soft->tree, &soft->ept01);
	error = soft->ept01.root_create(soft->ept01.ctx, &soft->base.eptp01);
	if (error)
		return error;
	if (!config->unmapped_bytes)
		return soft->base.ops->map01(&soft->base, 0, config->ram_bytes);
	if (hole)
		error = soft->base.ops->map01(&soft->base, 0, hole);
	if (!error && hole_end < config->ram_bytes)
		error = soft->base.ops->map01(&soft->base, hole_end, config->ram_bytes - hole_end);
	return error;
}

static int map01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	struct soft_machine *soft = soft_of(machine);

	if ((l1_gpa | size) % PAGE || l1_gpa > machine->ram_bytes || size > machine->ram_bytes - l1_gpa)
		return -EINVAL;
	return soft->ept01.map(soft->ept01.ctx, machine->eptp01, l1_gpa, l1_gpa, size, EPT_RWX);
}

static int unmap01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	struct soft_machine *soft = soft_of(machine);
	int result;

	if ((l1_gpa | size) % PAGE)
		return -EINVAL;
	result = soft->ept01.unmap(soft->ept01.ctx, machine->eptp01, l1_gpa, size);
	forget_eptp(soft, machine->eptp01);
	return result < 0 ? result : 0;
}

static struct nested_page page_alloc(struct machine *machine)
{
	struct soft_machine *soft = soft_of(machine);
	const uint64_t hpa = pool_take(soft);

	return (struct nested_page){.hva = hpa ? soft->memory.base + hpa : NULL, .hpa = hpa};
}

/* ---- life ---- */

static int probe(struct refusal *why)
{
	return 0;
}

static void destroy(struct machine *machine)
{
	struct soft_machine *soft = soft_of(machine);

	if (soft->cpu.code)
		soft_code_destroy(soft->cpu.code);
	soft_tlb_destroy(soft->cpu.tlb);
	free(soft->memory.code_pages);
	if (soft->memory.base)
		munmap(soft->memory.base, soft->memory.bytes);
	free(soft);
}

/** Register values at power-up that no VMCS field sets (SDM vol. 3, table 10-1). */
static void reset_cpu(struct soft_cpu *cpu)
{
	cpu->efer = EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA; /* what L0 in root operation would have */
	cpu->pat = 0x0007040600070406ull;
	cpu->mxcsr = 0x1f80;
	cpu->xcr0 = 1;
	cpu->misc_enable = 1;
	cpu->x87[0] = 0x7f; /* FCW = 037FH, all tags empty (FXSAVE format) */
	cpu->x87[1] = 0x03;
	cpu->flag_result = 1; /* ZF = 0 */
	cpu->deadline = ~0ull;
}

static int create(struct machine **machine, const struct machine_config *config, struct refusal *why)
{
	struct soft_machine *soft;
	int error = -ENOMEM;

	*machine = NULL;
	if (!config->ram_bytes || config->ram_bytes % LARGE_PAGE || config->ram_bytes > RAM_LIMIT)
		return refuse(why, -EINVAL, "%llu bytes of RAM: give a multiple of 2 MiB up to 64 GiB",
		        (unsigned long long)config->ram_bytes);
	soft = calloc(1, sizeof(*soft));
	if (!soft)
		return refuse(why, -ENOMEM, "no memory for the soft CPU");
	soft->base.ops = &machine_soft;
	soft->base.caps = soft_caps;
	soft->base.caps.cr4_fixed1 = soft_cr4_allowed;
	soft->base.ram_bytes = config->ram_bytes;
	soft->base.tsc_khz = config->tsc_hz_hint ? config->tsc_hz_hint / 1000 : DEFAULT_TSC_KHZ;
	soft->base.tsc_is_clock = true;
	soft->cpu.memory = &soft->memory;
	soft->cpu.tlb = soft_tlb_create();
	soft->cpu.code = soft_code_create();
	if (soft->cpu.tlb && soft->cpu.code)
		error = make_memory(soft, config->ram_bytes);
	if (!error)
		error = make_ept01(soft, config);
	if (error) {
		destroy(&soft->base);
		return refuse(why, error, "no memory for a soft machine of %llu MiB: %s",
		        (unsigned long long)(config->ram_bytes >> 20), strerror(-error));
	}
	soft->base.ram = soft->memory.base;
	reset_cpu(&soft->cpu);
	*machine = &soft->base;
	return 0;
}

/* ---- running ---- */

static int enter(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs)
{
	struct soft_machine *soft = soft_of(machine);
	struct soft_cpu *cpu = &soft->cpu;
	const bool pending = soft->pending_exit == vmcs;
	int result;

	soft->pending_exit = NULL;
	/* An event to inject goes first: the instruction is executed again after it. */
	if (pending && !(vmcs_get(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID))
		return 0;
	soft_vmentry(cpu, vmcs, regs);
	result = soft_run(cpu);
	/* Without an exit: an event that was to be injected stays in the VMCS until it has been delivered. */
	if (result && !cpu->inject)
		vmcs_store(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
		        vmcs_get(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION) & ~(uint64_t)INTR_INFO_VALID);
	soft_vmexit_save(cpu, regs);
	if (result && result != -EINTR)
		memcpy(machine->error, cpu->error, sizeof(machine->error));
	return result;
}

static void kick(struct machine *machine)
{
	soft_of(machine)->cpu.kicked = 1;
}

/** What ends with an instruction (run.c does it for those it executes under TF, RF or a shadow). */
static void finish_instruction(struct soft_cpu *cpu, uint64_t rflags_before)
{
	cpu->interruptibility &= ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	cpu->rflags &= ~RFLAGS_RF;
	if (rflags_before & RFLAGS_TF)
		cpu->pending_debug |= DR6_BS;
}

static int mmio_refused(struct machine *machine, const struct vmcs *vmcs, uint64_t gpa, const char *how)
{
	snprintf(machine->error, sizeof(machine->error), "access to the device at %#llx, RIP %#llx, %s",
	        (unsigned long long)gpa, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP), how);
	return -EIO;
}

/* One instruction touches a handful of pages; more exits than that without progress never end (a string copy from
 * one device to another). */
#define PENDING_EXITS_MAX 8

/** The instruction needs something else first, say a page that EPT02 does not have yet: L0 gets that as an exit of its
 * own, and the instruction is executed again. */
static int keep_exit(struct soft_machine *soft, const struct vmcs *vmcs, uint64_t gpa)
{
	if (soft->pending_clock != soft->cpu.retired || soft->pending_rcx != soft->cpu.gpr[GPR_RCX])
		soft->pending_count = 0;
	soft->pending_clock = soft->cpu.retired;
	soft->pending_rcx = soft->cpu.gpr[GPR_RCX];
	if (soft->pending_count++ == PENDING_EXITS_MAX)
		return mmio_refused(&soft->base, vmcs, gpa, "in an instruction that moves data between devices");
	soft->pending_exit = vmcs;
	return 0;
}

static int emulate_mmio(
        struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs, uint64_t gpa, const struct mmio_bus *bus)
{
	struct soft_cpu *cpu = &soft_of(machine)->cpu;
	const uint64_t page_gpa = vmcs_get(vmcs, VMCS_GUEST_PHYSICAL_ADDRESS) & SOFT_PAGE_MASK;
	const bool kicked = cpu->kicked;
	uint64_t rflags;
	int result;

	/* The access was the delivery of an event's: no instruction can complete it. */
	if (vmcs_get(vmcs, VMCS_IDT_VECTORING_INFORMATION) & INTR_INFO_VALID)
		return mmio_refused(machine, vmcs, gpa, "while an event was being delivered; move the guest's tables");
	soft_vmentry(cpu, vmcs, regs);
	cpu->mmio_bus = bus;
	cpu->mmio_page_gpa = page_gpa;
	cpu->mmio_bus_gpa = gpa & SOFT_PAGE_MASK;
	cpu->kicked = 0;
	cpu->stop_at = ~0ull; /* this instruction and nothing else */
	soft_tlb_context(cpu);
	rflags = cpu->rflags;
	result = soft_step(cpu);
	cpu->mmio_bus = NULL;
	soft_tlb_context(cpu);
	if (kicked)
		cpu->kicked = 1;
	if (result == 1)
		finish_instruction(cpu, rflags);
	soft_vmexit_save(cpu, regs);
	if (result < 0)
		memcpy(machine->error, cpu->error, sizeof(machine->error));
	if (result != 0)
		return result < 0 ? result : 0;
	return keep_exit(soft_of(machine), vmcs, gpa);
}

static void flush_vpid(struct machine *machine, uint16_t vpid)
{
	if (vpid)
		soft_tlb_flush_vpid(&soft_of(machine)->cpu, vpid);
	else
		soft_tlb_flush_all(&soft_of(machine)->cpu);
}

static uint64_t soft_clock(struct machine *machine)
{
	return soft_of(machine)->cpu.retired;
}

static void set_deadline(struct machine *machine, uint64_t deadline)
{
	soft_of(machine)->cpu.deadline = deadline;
}

static int idle(struct machine *machine, uint64_t deadline)
{
	struct soft_cpu *cpu = &soft_of(machine)->cpu;
	const struct timespec nap = {.tv_nsec = 1000000};

	if (deadline != ~0ull) {
		if (cpu->retired < deadline)
			cpu->retired = deadline;
		return 0;
	}
	/* Nothing in the guest's world can happen any more: only someone outside can end this. */
	while (!cpu->kicked)
		nanosleep(&nap, NULL);
	cpu->kicked = 0;
	return -EINTR;
}

/** One set of MSRs as in a CPU: whoever runs has them, and L1 switches them for L2 (levels share them). */
static int machine_read_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t *value)
{
	return soft_read_msr(&soft_of(machine)->cpu, msr, value) ? 0 : -EINVAL;
}

static int machine_write_msr(struct machine *machine, unsigned level, uint32_t msr, uint64_t value)
{
	return soft_write_msr(&soft_of(machine)->cpu, msr, value) ? 0 : -EINVAL;
}

static void machine_cpuid(struct machine *machine, uint32_t leaf, uint32_t subleaf, uint32_t registers[4])
{
	struct soft_cpuid out;

	soft_cpuid(leaf, subleaf, &out);
	registers[0] = out.eax;
	registers[1] = out.ebx;
	registers[2] = out.ecx;
	registers[3] = out.edx;
}

/** x87 and SSE state, as leaf 0DH says; the x87 is always on. */
static int machine_xsetbv(struct machine *machine, uint32_t index, uint64_t value)
{
	if (index || !(value & 1) || value & ~3ull)
		return -EINVAL;
	soft_of(machine)->cpu.xcr0 = value;
	return 0;
}

const struct machine_ops machine_soft = {
        .name = "soft",
        .probe = probe,
        .create = create,
        .destroy = destroy,
        .enter = enter,
        .kick = kick,
        .map01 = map01,
        .unmap01 = unmap01,
        .emulate_mmio = emulate_mmio,
        .page_alloc = page_alloc,
        .ept02_backend = soft_ept02_backend,
        .flush_vpid = flush_vpid,
        .clock = soft_clock,
        .virtual_time = true,
        .idle = idle,
        .read_msr = machine_read_msr,
        .write_msr = machine_write_msr,
        .set_deadline = set_deadline,
        .cpuid = machine_cpuid,
        .xsetbv = machine_xsetbv,
};
