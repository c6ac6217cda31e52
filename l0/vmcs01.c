/* SPDX-License-Identifier: Apache-2.0 */
/* The VMCS L0 makes to run L1 (or a workload at level 1). Sections are of SDM vol. 3. */
#include "l0/vmm.h"

#include <string.h>

#include "abi/boot_info.h"
#include "shadowvmcs/x86.h"

/* Bits that are 1 in every VMCS (the default1 class without those the "true" MSRs free), A.3 to A.5. */
#define PIN_DEFAULT1 0x00000016u
#define PROC_DEFAULT1 0x04006172u
#define EXIT_DEFAULT1 0x00036dfbu
#define ENTRY_DEFAULT1 0x000011fbu

#define PAT_RESET 0x0007040600070406ull

/* ---- controls and host state ---- */

static uint32_t honoured(const struct machine *machine, enum vmx_control_word word, uint32_t wanted)
{
	return (wanted & machine->caps.honours[word]) | machine->caps.always[word];
}

static void set_controls(struct vmcs *vmcs01, const struct machine *machine, const struct vmm_intercepts *intercepts)
{
	const uint32_t pin = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING) |
	                     VMX_BIT(PIN_VIRTUAL_NMIS); /* else IRET would not end the blocking after an NMI */
	const uint32_t proc = VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) |
	                      VMX_BIT(PROC_USE_MSR_BITMAPS) | VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS) |
	                      (intercepts->rdtsc ? VMX_BIT(PROC_RDTSC_EXITING) : 0) |
	                      (intercepts->invlpg ? VMX_BIT(PROC_INVLPG_EXITING) : 0) |
	                      (intercepts->mov_cr3 ? VMX_BIT(PROC_CR3_LOAD_EXITING) : 0);
	const uint32_t proc2 = VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID) |
	                       VMX_BIT(PROC2_UNRESTRICTED_GUEST) | VMX_BIT(PROC2_ENABLE_RDTSCP) |
	                       VMX_BIT(PROC2_ENABLE_INVPCID);
	const uint32_t exit = VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) |
	                      VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS) | VMX_BIT(EXIT_SAVE_IA32_EFER) |
	                      VMX_BIT(EXIT_LOAD_IA32_EFER) | VMX_BIT(EXIT_SAVE_IA32_PAT) | VMX_BIT(EXIT_LOAD_IA32_PAT);
	const uint32_t entry = VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS) |
	                       VMX_BIT(ENTRY_LOAD_IA32_EFER) | VMX_BIT(ENTRY_LOAD_IA32_PAT);

	vmcs_set(vmcs01, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, PIN_DEFAULT1 | honoured(machine, VMX_WORD_PIN, pin));
	vmcs_set(vmcs01, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        PROC_DEFAULT1 | honoured(machine, VMX_WORD_PROC, proc));
	vmcs_set(
	        vmcs01, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, honoured(machine, VMX_WORD_PROC2, proc2));
	vmcs_set(vmcs01, VMCS_PRIMARY_VM_EXIT_CONTROLS, EXIT_DEFAULT1 | honoured(machine, VMX_WORD_EXIT, exit));
	vmcs_set(vmcs01, VMCS_VM_ENTRY_CONTROLS, ENTRY_DEFAULT1 | honoured(machine, VMX_WORD_ENTRY, entry));
	vmcs_set(vmcs01, VMCS_EXCEPTION_BITMAP, intercepts->exceptions);
}

/* L0 is no processor's host: these are values a processor would accept, for machines and checks that look at them. */
static void set_host_state(struct vmcs *vmcs01)
{
	vmcs_set(vmcs01, VMCS_HOST_CR0, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	vmcs_set(vmcs01, VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
	vmcs_set(vmcs01, VMCS_HOST_CS_SELECTOR, BOOT_SELECTOR_CODE);
	vmcs_set(vmcs01, VMCS_HOST_SS_SELECTOR, BOOT_SELECTOR_DATA);
	vmcs_set(vmcs01, VMCS_HOST_DS_SELECTOR, BOOT_SELECTOR_DATA);
	vmcs_set(vmcs01, VMCS_HOST_ES_SELECTOR, BOOT_SELECTOR_DATA);
	vmcs_set(vmcs01, VMCS_HOST_TR_SELECTOR, BOOT_SELECTOR_TSS);
	vmcs_set(vmcs01, VMCS_HOST_IA32_EFER, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
	vmcs_set(vmcs01, VMCS_HOST_IA32_PAT, PAT_RESET);
}

void vmcs01_init(struct vmcs *vmcs01, const struct machine *machine, const struct vmm_intercepts *intercepts,
        const struct nested_page *msr_bitmap01)
{
	memset(vmcs01, 0, sizeof(*vmcs01));
	vmcs01->revision_id = VMCS_REVISION_ID;
	set_controls(vmcs01, machine, intercepts);
	set_host_state(vmcs01);
	vmcs_set(vmcs01, VMCS_EPT_POINTER, machine->eptp01);
	vmcs_set(vmcs01, VMCS_VIRTUAL_PROCESSOR_ID, 1);
	vmcs_set(vmcs01, VMCS_MSR_BITMAP, msr_bitmap01->hpa);
	vmcs_set(vmcs01, VMCS_VMCS_LINK_POINTER, ~0ull);
	vmcs_set(vmcs01, VMCS_GUEST_IA32_PAT, PAT_RESET);
	vmcs_set(vmcs01, VMCS_GUEST_DR7, DR7_INITIAL);
}

void vmcs01_use_interrupts(struct vmcs *vmcs01, const struct nested_page *virtual_apic)
{
	const enum vmcs_field pin = VMCS_PIN_BASED_VM_EXECUTION_CONTROLS;
	const enum vmcs_field proc = VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS;

	vmcs_set(vmcs01, pin, vmcs_get(vmcs01, pin) | VMX_BIT(PIN_VIRTUAL_NMIS));
	vmcs_set(vmcs01, proc, vmcs_get(vmcs01, proc) | VMX_BIT(PROC_TPR_SHADOW) | VMX_BIT(PROC_TSC_OFFSETTING));
	vmcs_set(vmcs01, VMCS_VIRTUAL_APIC_ADDRESS, virtual_apic->hpa);
}

/* A clear bit: no exit. Layout: 25.6.9. */
static void let_through(uint8_t *bitmap, uint32_t msr, bool write)
{
	const uint32_t bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 1024 * 8 : 0);

	bitmap[bit / 8] &= (uint8_t) ~(1u << bit % 8);
	if (write)
		bitmap[2048 + bit / 8] &= (uint8_t) ~(1u << bit % 8);
}

void vmcs01_fill_msr_bitmap(uint8_t *bitmap)
{
	/* The CPU's own state: SYSENTER, PAT, EFER, SYSCALL, segment bases, TSC_AUX. */
	static const uint32_t own[] = {0x174, 0x175, 0x176, 0x277, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083,
	        0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103};

	memset(bitmap, 0xff, 4096);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		let_through(bitmap, own[i], true);
	let_through(bitmap, 0x10, false); /* the TSC, to read */
}

/* ---- guest state at start ---- */

static void set_segment(struct vmcs *vmcs, unsigned selector_field, unsigned base_field, unsigned limit_field,
        unsigned rights_field, uint16_t selector, uint64_t base, uint32_t limit, uint32_t rights)
{
	vmcs_set(vmcs, (enum vmcs_field)selector_field, selector);
	vmcs_set(vmcs, (enum vmcs_field)base_field, base);
	vmcs_set(vmcs, (enum vmcs_field)limit_field, limit);
	vmcs_set(vmcs, (enum vmcs_field)rights_field, rights);
}
#define SET_SEGMENT(vmcs, NAME, selector, base, limit, rights)                                                         \
	set_segment(vmcs, VMCS_GUEST_##NAME##_SELECTOR, VMCS_GUEST_##NAME##_BASE, VMCS_GUEST_##NAME##_LIMIT,           \
	        VMCS_GUEST_##NAME##_ACCESS_RIGHTS, selector, base, limit, rights)

#define RIGHTS_CODE64 (11u | AR_S | AR_P | AR_L | AR_G)
#define RIGHTS_CODE32 (11u | AR_S | AR_P | AR_DB | AR_G)
#define RIGHTS_DATA (3u | AR_S | AR_P | AR_DB | AR_G)
#define RIGHTS_TSS (11u | AR_P) /* busy 32- or 64-bit TSS */

static void set_flat_segments(struct vmcs *vmcs, uint32_t code_rights, uint64_t tss_base)
{
	SET_SEGMENT(vmcs, CS, BOOT_SELECTOR_CODE, 0, ~0u, code_rights);
	SET_SEGMENT(vmcs, SS, BOOT_SELECTOR_DATA, 0, ~0u, RIGHTS_DATA);
	SET_SEGMENT(vmcs, DS, BOOT_SELECTOR_DATA, 0, ~0u, RIGHTS_DATA);
	SET_SEGMENT(vmcs, ES, BOOT_SELECTOR_DATA, 0, ~0u, RIGHTS_DATA);
	SET_SEGMENT(vmcs, FS, BOOT_SELECTOR_DATA, 0, ~0u, RIGHTS_DATA);
	SET_SEGMENT(vmcs, GS, BOOT_SELECTOR_DATA, 0, ~0u, RIGHTS_DATA);
	SET_SEGMENT(vmcs, LDTR, 0, 0, 0, AR_UNUSABLE);
	SET_SEGMENT(vmcs, TR, BOOT_SELECTOR_TSS, tss_base, 0x67, RIGHTS_TSS);
}

void vmcs01_start_64(struct vmcs *vmcs01, struct guest_regs *regs, uint64_t entry, uint64_t cr3, uint64_t stack_top,
        uint64_t boot_info)
{
	set_flat_segments(vmcs01, RIGHTS_CODE64, BOOT_GPA_TSS);
	vmcs_set(vmcs01, VMCS_GUEST_GDTR_BASE, BOOT_GPA_GDT);
	vmcs_set(vmcs01, VMCS_GUEST_GDTR_LIMIT, BOOT_SELECTOR_TSS + 16 - 1);
	vmcs_set(vmcs01, VMCS_GUEST_CR0, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	vmcs_set(vmcs01, VMCS_GUEST_CR3, cr3);
	vmcs_set(vmcs01, VMCS_GUEST_CR4, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	vmcs_set(vmcs01, VMCS_GUEST_IA32_EFER, EFER_LME | EFER_LMA);
	vmcs_set(vmcs01, VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_set(vmcs01, VMCS_GUEST_RIP, entry);
	vmcs_set(vmcs01, VMCS_GUEST_RSP, stack_top);
	*regs = (struct guest_regs){.dr6 = 0xffff0ff0};
	regs->gpr[GPR_RDI] = boot_info;
}

void vmcs01_start_multiboot(struct vmcs *vmcs01, struct guest_regs *regs, uint32_t entry, uint32_t info)
{
	const uint64_t controls = vmcs_get(vmcs01, VMCS_VM_ENTRY_CONTROLS);

	set_flat_segments(vmcs01, RIGHTS_CODE32, 0);
	SET_SEGMENT(vmcs01, TR, 0, 0, 0x67, RIGHTS_TSS);
	vmcs_set(vmcs01, VMCS_VM_ENTRY_CONTROLS, controls & ~(uint64_t)VMX_BIT(ENTRY_IA32E_MODE_GUEST));
	/* In VMX non-root operation CR0.NE and CR4.VMXE are 1 (24.8), and before its VMXON a kernel knows nothing of
	 * that: L0 owns both bits, and the kernel sees them in the read shadows as it wrote them (emulate_cr.c). */
	vmcs_set(vmcs01, VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
	vmcs_set(vmcs01, VMCS_CR0_GUEST_HOST_MASK, CR0_NE);
	vmcs_set(vmcs01, VMCS_CR0_READ_SHADOW, CR0_PE | CR0_ET);
	vmcs_set(vmcs01, VMCS_GUEST_CR4, CR4_VMXE);
	vmcs_set(vmcs01, VMCS_CR4_GUEST_HOST_MASK, CR4_VMXE);
	vmcs_set(vmcs01, VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_set(vmcs01, VMCS_GUEST_RIP, entry);
	*regs = (struct guest_regs){.dr6 = 0xffff0ff0};
	regs->gpr[GPR_RAX] = 0x2badb002; /* the multiboot specification's mark of a loader that follows it */
	regs->gpr[GPR_RBX] = info;
}
