/* SPDX-License-Identifier: Apache-2.0 */
/** A case on the soft CPU: ring 3, 64-bit, under guest page tables and EPT01. */
#include <errno.h>
#include <string.h>

#include "isa_case.h"
#include "l0/soft/soft.h"

#define RAM_BYTES (4ull << 20)
/* Guest-physical layout. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT_CODE 0x4000ull
#define PT_DATA 0x5000ull
#define CODE 0x10000ull
#define DATA 0x20000ull

#define USER_CS 0x33
#define USER_SS 0x2b
#define PTE_RW 7ull
#define PTE_RO 5ull
#define PTE_NO_EXECUTE (1ull << 63)

static struct machine *machine;
static struct vmcs vmcs;
static struct soft_cpu *cpu;

static void put64(uint64_t address, uint64_t value)
{
	memcpy(machine->ram + address, &value, 8);
}

static void make_tables(void)
{
	put64(PML4, PDPT | PTE_RW);
	put64(PDPT, PD | PTE_RW);
	put64(PD + (ISA_CODE >> 21) * 8, PT_CODE | PTE_RW);
	put64(PD + (ISA_DATA >> 21) * 8, PT_DATA | PTE_RW);
	for (unsigned i = 0; i < ISA_CODE_PAGES; i++)
		put64(PT_CODE + i * 8, (CODE + i * ISA_PAGE) | PTE_RW);
	for (unsigned i = 0; i < ISA_DATA_PAGES; i++)
		put64(PT_DATA + i * 8,
		        (DATA + i * ISA_PAGE) | (i < ISA_WRITABLE_PAGES ? PTE_RW : PTE_RO) | PTE_NO_EXECUTE);
	memset(machine->ram + CODE, 0xcc, ISA_CODE_PAGES * ISA_PAGE);
}

static void segment(unsigned index, uint16_t selector, uint32_t rights)
{
	vmcs_set(&vmcs, VMCS_GUEST_ES_SELECTOR + index, selector);
	vmcs_set(&vmcs, VMCS_GUEST_ES_LIMIT + index, 0xffffffff);
	vmcs_set(&vmcs, VMCS_GUEST_ES_ACCESS_RIGHTS + index, rights);
}

static void make_vmcs(void)
{
	vmcs.revision_id = VMCS_REVISION_ID;
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++)
		segment(i, USER_SS, 0xc0f3);
	segment(SOFT_CS, USER_CS, 0xa0fb);
	segment(SOFT_LDTR, 0, AR_UNUSABLE);
	segment(SOFT_TR, 0x40, 0x8b);
	/* Too short for an I/O map: IN and OUT are #GP(0), as under an operating system. */
	vmcs_set(&vmcs, VMCS_GUEST_TR_LIMIT, 0x60);
	vmcs_set(&vmcs, VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP);
	vmcs_set(&vmcs, VMCS_GUEST_CR3, PML4);
	vmcs_set(&vmcs, VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	vmcs_set(&vmcs, VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE);
	vmcs_set(&vmcs, VMCS_GUEST_DR7, DR7_INITIAL);
	vmcs_set(&vmcs, VMCS_VMCS_LINK_POINTER, ~0ull);
	vmcs_set(&vmcs, VMCS_EXCEPTION_BITMAP, 0xffffffff);
	vmcs_set(&vmcs, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_PREEMPTION_TIMER));
	vmcs_set(&vmcs, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS) | VMX_BIT(PROC_HLT_EXITING));
	vmcs_set(&vmcs, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID));
	vmcs_set(&vmcs, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER));
	vmcs_set(&vmcs, VMCS_EPT_POINTER, machine->eptp01);
	vmcs_set(&vmcs, VMCS_VIRTUAL_PROCESSOR_ID, 1);
}

int isa_soft_open(void)
{
	const struct machine_config config = {.ram_bytes = RAM_BYTES};
	struct refusal why;
	const int error = machine_soft.create(&machine, &config, &why);

	if (error)
		return error;
	cpu = &((struct soft_machine *)machine)->cpu;
	make_tables();
	make_vmcs();
	return 0;
}

void isa_soft_close(void)
{
	machine_soft.destroy(machine);
}

uint8_t *isa_soft_data(void)
{
	return machine->ram + DATA;
}

static void put_code(uint64_t rip, const uint8_t *bytes, unsigned length)
{
	const uint64_t offset = rip - ISA_CODE;

	/* The part beyond the last page is not mapped anyway. */
	for (unsigned i = 0; i < length && offset + i < ISA_CODE_PAGES * ISA_PAGE; i++)
		machine->ram[CODE + offset + i] = bytes ? bytes[i] : 0xcc;
	soft_code_invalidate(cpu, CODE + offset, length);
}

bool isa_soft_execute(const struct isa_case *c, struct isa_state *after)
{
	struct guest_regs regs = {.dr6 = DR6_FIXED};
	uint32_t info;
	int result;

	put_code(c->before.rip, c->code, c->length);
	memcpy(regs.gpr, c->before.gpr, sizeof(regs.gpr));
	memcpy(cpu->xmm, c->before.xmm, sizeof(cpu->xmm));
	cpu->mxcsr = c->before.mxcsr;
	vmcs_set(&vmcs, VMCS_GUEST_RIP, c->before.rip);
	vmcs_set(&vmcs, VMCS_GUEST_RSP, c->before.gpr[GPR_RSP]);
	vmcs_set(&vmcs, VMCS_GUEST_RFLAGS, c->before.rflags);
	vmcs_set(&vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE, 0);
	vmcs_set(&vmcs, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	vmcs_set(&vmcs, VMCS_VMX_PREEMPTION_TIMER_VALUE, ISA_INSTRUCTION_LIMIT);
	result = machine_soft.enter(machine, &vmcs, &regs);
	put_code(c->before.rip, NULL, c->length);
	if (result || vmcs_get(&vmcs, VMCS_EXIT_REASON) != EXIT_REASON_EXCEPTION_OR_NMI)
		return false;

	memset(after, 0, sizeof(*after));
	memcpy(after->gpr, regs.gpr, sizeof(after->gpr));
	after->gpr[GPR_RSP] = vmcs_get(&vmcs, VMCS_GUEST_RSP);
	after->rip = vmcs_get(&vmcs, VMCS_GUEST_RIP);
	after->rflags = vmcs_get(&vmcs, VMCS_GUEST_RFLAGS);
	memcpy(after->xmm, cpu->xmm, sizeof(after->xmm));
	after->mxcsr = cpu->mxcsr;
	info = (uint32_t)vmcs_get(&vmcs, VMCS_VM_EXIT_INTERRUPTION_INFORMATION);
	after->vector = (uint8_t)info;
	if (after->vector == VECTOR_PF) {
		after->error = (uint32_t)vmcs_get(&vmcs, VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE);
		after->cr2 = vmcs_get(&vmcs, VMCS_EXIT_QUALIFICATION);
	}
	return true;
}
