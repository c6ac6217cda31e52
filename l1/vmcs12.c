/* SPDX-License-Identifier: Apache-2.0 */
/* vmcs12: L2 starts as abi/boot_info.h promises every image; what it does exits to L1. */
#include "l1.h"
#include "mmu_shadow.h"
#include "shadowvmcs/caps.h"
#include "shadowvmcs/x86.h"
#include "vmx.h"
#include "workloads/runtime/idt.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"
#include "workloads/runtime/text.h"

struct vmcs l1_vmcs12 __attribute__((aligned(4096)));

static void write_field(enum vmcs_encoding encoding, uint64_t value)
{
	l1_check_vmx("VMWRITE", encoding, vmx_write(l1.pv, encoding, value));
}

#define WRITE(name, value) write_field(VMCS_ENC_##name, value)

static uint64_t read_cr0(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr3(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr4(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

/* SDM vol. 3, A.7 and A.8: bits that must be 1, and bits that may be. */
static uint64_t fixed(uint64_t value, uint32_t fixed0_msr)
{
	return (value | cpu_rdmsr(fixed0_msr)) & cpu_rdmsr(fixed0_msr + 1);
}

/* ---- controls ---- */

/*
 * A control word: `needed` bits must be offered, `wanted` ones are taken where they are (SDM vol. 3, A.3 to A.5: bits
 * 31:0 of the MSR must be 1, bits 63:32 may be).
 */
static uint32_t controls(const char *name, uint32_t msr, uint32_t needed, uint32_t wanted)
{
	const uint64_t offered = cpu_rdmsr(msr);
	const uint32_t may_be_one = (uint32_t)(offered >> 32);

	if (needed & ~may_be_one)
		print_and_end(TESTDEV_END_REFUSED,
		        "L1 needs bits %x of the %s VM-execution controls, which this machine does not offer (MSR %x "
		        "is %x).",
		        (unsigned long)(needed & ~may_be_one), name, (unsigned long)msr, offered);
	return ((needed | wanted) & may_be_one) | (uint32_t)offered;
}

/* SDM vol. 3, A.1: bit 55 says that the TRUE MSRs are there; each stands 12 above its plain one. */
static uint32_t control_msr(uint32_t plain)
{
	return cpu_rdmsr(MSR_IA32_VMX_BASIC) >> 55 & 1 ? plain + 12 : plain;
}

_Static_assert(MSR_IA32_VMX_TRUE_PINBASED_CTLS == MSR_IA32_VMX_PINBASED_CTLS + 12 &&
                       MSR_IA32_VMX_TRUE_ENTRY_CTLS == MSR_IA32_VMX_ENTRY_CTLS + 12,
        "distance of the TRUE MSRs");

static void write_controls(void)
{
	const bool shadow = l1_mmu_active();
	const char *workload = l1.boot2->workload;
	uint32_t primary = VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_USE_MSR_BITMAPS);
	const uint32_t flushing = VMX_BIT(PROC_INVLPG_EXITING) | VMX_BIT(PROC_CR3_LOAD_EXITING);
	uint32_t secondary = 0;

	/* The harness of the other workloads reads the counter, and its clock must not exit. */
	if (text_equal(workload, "rdtsc"))
		primary |= VMX_BIT(PROC_RDTSC_EXITING);
	/* What L2 does to its own translations concerns L1 only where a workload measures it, or where L1 makes them.
	 */
	if (shadow || text_equal(workload, "invlpg"))
		primary |= VMX_BIT(PROC_INVLPG_EXITING);
	if (shadow || text_equal(workload, "mov-cr3"))
		primary |= VMX_BIT(PROC_CR3_LOAD_EXITING);
	if (shadow) {
		primary |= VMX_BIT(PROC_CR3_STORE_EXITING);
	} else {
		primary |= VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS);
		secondary |= VMX_BIT(PROC2_ENABLE_EPT);
	}
	WRITE(PIN_BASED_VM_EXECUTION_CONTROLS,
	        controls("pin-based", control_msr(MSR_IA32_VMX_PINBASED_CTLS), VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING),
	                VMX_BIT(PIN_NMI_EXITING)));
	l1.primary_controls = controls("primary", control_msr(MSR_IA32_VMX_PROCBASED_CTLS), primary, 0);
	WRITE(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, l1.primary_controls);
	/* A VPID keeps L1's and L2's translations through exits and entries (SDM vol. 3, 29.4.3.1). Not where L1 itself
	 * handles what drops L2's: it relies on each entry forgetting them all. */
	if (secondary)
		secondary = controls("secondary", MSR_IA32_VMX_PROCBASED_CTLS2, secondary,
		        l1.primary_controls & flushing ? 0 : VMX_BIT(PROC2_ENABLE_VPID));
	WRITE(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, secondary);
	if (secondary & VMX_BIT(PROC2_ENABLE_VPID))
		WRITE(VIRTUAL_PROCESSOR_ID, 1);
	WRITE(PRIMARY_VM_EXIT_CONTROLS,
	        controls("VM-exit", control_msr(MSR_IA32_VMX_EXIT_CTLS), VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE),
	                VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_LOAD_IA32_EFER)));
	WRITE(VM_ENTRY_CONTROLS, controls("VM-entry", control_msr(MSR_IA32_VMX_ENTRY_CTLS),
	                                 VMX_BIT(ENTRY_IA32E_MODE_GUEST), VMX_BIT(ENTRY_LOAD_IA32_EFER)));

	WRITE(EXCEPTION_BITMAP, 1u << VECTOR_UD | (shadow ? 1u << VECTOR_PF : 0));
	WRITE(IO_BITMAP_A, (uint64_t)l1_io_bitmap[0]);
	WRITE(IO_BITMAP_B, (uint64_t)l1_io_bitmap[1]);
	WRITE(MSR_BITMAP, (uint64_t)l1_msr_bitmap);
	if (!shadow)
		WRITE(EPT_POINTER, l1.ept.eptp);
}

/* ---- host state: where and how L1 goes on at an exit ---- */

static void write_host_state(void)
{
	WRITE(HOST_CR0, read_cr0());
	WRITE(HOST_CR3, read_cr3());
	WRITE(HOST_CR4, read_cr4());
	WRITE(HOST_IA32_EFER, cpu_rdmsr(MSR_IA32_EFER));
	WRITE(HOST_CS_SELECTOR, BOOT_SELECTOR_CODE);
	WRITE(HOST_SS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_DS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_ES_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_FS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_GS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_TR_SELECTOR, BOOT_SELECTOR_TSS);
	WRITE(HOST_FS_BASE, 0);
	WRITE(HOST_GS_BASE, 0);
	WRITE(HOST_TR_BASE, BOOT_GPA_TSS);
	WRITE(HOST_GDTR_BASE, BOOT_GPA_GDT);
	WRITE(HOST_IDTR_BASE, idt_base());
	WRITE(HOST_IA32_SYSENTER_CS, 0);
	WRITE(HOST_IA32_SYSENTER_ESP, 0);
	WRITE(HOST_IA32_SYSENTER_EIP, 0);
	WRITE(HOST_RSP, (uint64_t)(l1.pv ? (uint8_t *)&l1_l2_regs : l1_exit_stack_top));
	WRITE(HOST_RIP, (uint64_t)(l1.pv ? l1_exit_entry_pv : l1_exit_entry_real));
}

/* ---- guest state: L2's entry, in the state abi/boot_info.h describes ---- */

#define AR_CODE_64 (AR_G | AR_L | AR_P | AR_S | AR_TYPE_CODE | AR_TYPE_WRITABLE | AR_TYPE_ACCESSED)
#define AR_DATA (AR_G | AR_DB | AR_P | AR_S | AR_TYPE_WRITABLE | AR_TYPE_ACCESSED)
#define AR_TSS_BUSY (AR_P | 0xbu)
#define TSS_LIMIT 0x67
#define GDT_LIMIT (BOOT_SELECTOR_TSS + 16 - 1)
#define FLAT_LIMIT 0xffffffffu

#define WRITE_SEGMENT(name, selector, base, limit, rights)                                                             \
	do {                                                                                                           \
		WRITE(GUEST_##name##_SELECTOR, selector);                                                              \
		WRITE(GUEST_##name##_BASE, base);                                                                      \
		WRITE(GUEST_##name##_LIMIT, limit);                                                                    \
		WRITE(GUEST_##name##_ACCESS_RIGHTS, rights);                                                           \
	} while (0)

static void write_guest_segments(void)
{
	WRITE_SEGMENT(CS, BOOT_SELECTOR_CODE, 0, FLAT_LIMIT, AR_CODE_64);
	WRITE_SEGMENT(SS, BOOT_SELECTOR_DATA, 0, FLAT_LIMIT, AR_DATA);
	WRITE_SEGMENT(DS, BOOT_SELECTOR_DATA, 0, FLAT_LIMIT, AR_DATA);
	WRITE_SEGMENT(ES, BOOT_SELECTOR_DATA, 0, FLAT_LIMIT, AR_DATA);
	WRITE_SEGMENT(FS, BOOT_SELECTOR_DATA, 0, FLAT_LIMIT, AR_DATA);
	WRITE_SEGMENT(GS, BOOT_SELECTOR_DATA, 0, FLAT_LIMIT, AR_DATA);
	WRITE_SEGMENT(LDTR, 0, 0, 0, AR_UNUSABLE);
	WRITE_SEGMENT(TR, BOOT_SELECTOR_TSS, BOOT_GPA_TSS, TSS_LIMIT, AR_TSS_BUSY);
	WRITE(GUEST_GDTR_BASE, BOOT_GPA_GDT);
	WRITE(GUEST_GDTR_LIMIT, GDT_LIMIT);
	WRITE(GUEST_IDTR_BASE, 0);
	WRITE(GUEST_IDTR_LIMIT, 0);
}

static void write_guest_state(void)
{
	/* L1 and L2 start in the same state, so L1's own control registers are right for L2, too. L2 sees CR4 without
	 * VMXE, which VMX operation needs under it. */
	const uint64_t cr4 = read_cr4();

	write_guest_segments();
	WRITE(GUEST_CR0, fixed(read_cr0(), MSR_IA32_VMX_CR0_FIXED0));
	WRITE(GUEST_CR4, fixed(cr4, MSR_IA32_VMX_CR4_FIXED0));
	WRITE(GUEST_CR3, l1_mmu_active() ? l1_mmu_load_cr3(l1.boot2->cr3) : l1.boot2->cr3);
	WRITE(CR0_GUEST_HOST_MASK, 0);
	WRITE(CR0_READ_SHADOW, 0);
	WRITE(CR4_GUEST_HOST_MASK, CR4_VMXE);
	WRITE(CR4_READ_SHADOW, cr4 & ~CR4_VMXE);
	WRITE(GUEST_IA32_EFER, cpu_rdmsr(MSR_IA32_EFER));
	WRITE(GUEST_DR7, DR7_INITIAL);
	WRITE(GUEST_RSP, l1.boot2->stack_top);
	WRITE(GUEST_RIP, l1.boot->l2_entry);
	WRITE(GUEST_RFLAGS, RFLAGS_FIXED);
	WRITE(VMCS_LINK_POINTER, ~0ull);
}

/* VMCLEAR leaves fields undefined (SDM vol. 3, 25.11.3): those that stay as they are are 0. */
static void write_zeros(void)
{
	WRITE(PAGE_FAULT_ERROR_CODE_MASK, 0);
	WRITE(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	WRITE(CR3_TARGET_COUNT, 0);
	WRITE(VM_EXIT_MSR_STORE_COUNT, 0);
	WRITE(VM_EXIT_MSR_LOAD_COUNT, 0);
	WRITE(VM_ENTRY_MSR_LOAD_COUNT, 0);
	WRITE(VM_ENTRY_INTERRUPTION_INFORMATION, 0);
	WRITE(VM_ENTRY_EXCEPTION_ERROR_CODE, 0);
	WRITE(VM_ENTRY_INSTRUCTION_LENGTH, 0);
	WRITE(GUEST_IA32_DEBUGCTL, 0);
	WRITE(GUEST_INTERRUPTIBILITY_STATE, 0);
	WRITE(GUEST_ACTIVITY_STATE, 0);
	WRITE(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
	WRITE(GUEST_IA32_SYSENTER_CS, 0);
	WRITE(GUEST_IA32_SYSENTER_ESP, 0);
	WRITE(GUEST_IA32_SYSENTER_EIP, 0);
}

void l1_vmcs12_setup(void)
{
	write_zeros();
	write_controls();
	write_host_state();
	write_guest_state();
}
