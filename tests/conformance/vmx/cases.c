/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An own image that runs the cases of cases.def and of the VMX instructions, and prints one line each: the case and
 * what the processor answered. The same lines must come out of every processor: the engine's, and the kernel's nested
 * VMX.
 */
#include "abi/boot_info.h"
#include "l1/vmx.h"
#include "shadowvmcs/caps.h"
#include "shadowvmcs/vmcs.h"
#include "shadowvmcs/x86.h"
#include "workloads/runtime/idt.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"

static const uint16_t encodings[VMCS_FIELD_COUNT] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) [VMCS_##name] = (encoding),
#include "shadowvmcs/vmcs_fields.def"
#undef VMCS_FIELD
};

static uint8_t vmxon_page[4096] __attribute__((aligned(4096)));
static uint8_t vmcs_page[2][4096] __attribute__((aligned(4096)));
static uint8_t bitmap_page[4096] __attribute__((aligned(4096)));
static uint8_t other_revision[4096] __attribute__((aligned(4096)));
static uint32_t revision;
static unsigned cases;

/* L2: one instruction. Enters by VMLAUNCH or VMRESUME; 0 after an exit, else a PV_VMX_RESULT_*. */
__asm__(".text\n"
        "l2_code: vmcall\n jmp l2_code\n"
        "enter_l2:\n"
        "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov $0x6c14, %eax\n vmwrite %rsp, %rax\n" /* HOST_RSP */
        "test %edi, %edi\n jz 1f\n vmlaunch\n jmp 2f\n"
        "1: vmresume\n"
        "2: mov $1, %ecx\n mov $2, %eax\n cmovc %ecx, %eax\n jmp 3f\n"
        "after_exit: xor %eax, %eax\n"
        "3: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");
uint64_t enter_l2(unsigned launch);
extern uint8_t l2_code[], after_exit[];

static uint64_t read_field(enum vmcs_field field)
{
	uint64_t value = 0;

	vmx_real_vmread(encodings[field], &value);
	return value;
}

static void write_field(enum vmcs_field field, uint64_t value)
{
	vmx_real_vmwrite(encodings[field], value);
}
#define WRITE(name, value) write_field(VMCS_##name, value)

/* ---- what is printed ---- */

/* VMsucceed, VMfailInvalid, or VMfailValid with its error number. */
static void say(const char *what, uint64_t result)
{
	cases++;
	if (result == PV_VMX_RESULT_SUCCEED)
		print("%s: succeed\n", what);
	else if (result == PV_VMX_RESULT_FAIL_INVALID)
		print("%s: fail invalid\n", what);
	else
		print("%s: fail %u\n", what, read_field(VMCS_VM_INSTRUCTION_ERROR));
}

static void say_entry(const char *what, uint64_t result)
{
	if (result) {
		say(what, result);
		return;
	}
	cases++;
	print("%s: exit reason %x\n", what, read_field(VMCS_EXIT_REASON));
}

/* ---- a VMCS that enters ---- */

static uint64_t cr(unsigned which)
{
	uint64_t value = 0;

	if (which == 0)
		__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	else if (which == 3)
		__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	else
		__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

/* SDM vol. 3, A.3 to A.5: the bits that must be 1, and of the wanted ones those that may. */
static uint64_t controls(uint32_t msr, uint32_t wanted)
{
	const uint64_t offered = cpu_rdmsr(msr);

	return (wanted & (uint32_t)(offered >> 32)) | (uint32_t)offered;
}

#define SEGMENT(name, selector, base, limit, rights)                                                                   \
	do {                                                                                                           \
		WRITE(GUEST_##name##_SELECTOR, selector);                                                              \
		WRITE(GUEST_##name##_BASE, base);                                                                      \
		WRITE(GUEST_##name##_LIMIT, limit);                                                                    \
		WRITE(GUEST_##name##_ACCESS_RIGHTS, rights);                                                           \
	} while (0)

static void write_segments(void)
{
	SEGMENT(CS, BOOT_SELECTOR_CODE, 0, 0xffffffff, 0xa09b);
	SEGMENT(SS, BOOT_SELECTOR_DATA, 0, 0xffffffff, 0xc093);
	SEGMENT(DS, BOOT_SELECTOR_DATA, 0, 0xffffffff, 0xc093);
	SEGMENT(ES, BOOT_SELECTOR_DATA, 0, 0xffffffff, 0xc093);
	SEGMENT(FS, BOOT_SELECTOR_DATA, 0, 0xffffffff, 0xc093);
	SEGMENT(GS, BOOT_SELECTOR_DATA, 0, 0xffffffff, 0xc093);
	SEGMENT(LDTR, 0, 0, 0, 0x10000);
	SEGMENT(TR, BOOT_SELECTOR_TSS, BOOT_GPA_TSS, 0x67, 0x8b);
	WRITE(GUEST_GDTR_BASE, BOOT_GPA_GDT);
	WRITE(GUEST_GDTR_LIMIT, BOOT_SELECTOR_TSS + 15);
	WRITE(GUEST_IDTR_BASE, 0);
	WRITE(GUEST_IDTR_LIMIT, 0);
}

static void write_host(void)
{
	WRITE(HOST_CR0, cr(0));
	WRITE(HOST_CR3, cr(3));
	WRITE(HOST_CR4, cr(4));
	WRITE(HOST_IA32_EFER, cpu_rdmsr(MSR_IA32_EFER));
	WRITE(HOST_CS_SELECTOR, BOOT_SELECTOR_CODE);
	WRITE(HOST_SS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_DS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_ES_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_FS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_GS_SELECTOR, BOOT_SELECTOR_DATA);
	WRITE(HOST_TR_SELECTOR, BOOT_SELECTOR_TSS);
	WRITE(HOST_TR_BASE, BOOT_GPA_TSS);
	WRITE(HOST_GDTR_BASE, BOOT_GPA_GDT);
	WRITE(HOST_IDTR_BASE, idt_base());
	WRITE(HOST_RIP, (uint64_t)after_exit);
}

static void write_controls(void)
{
	WRITE(PIN_BASED_VM_EXECUTION_CONTROLS, controls(MSR_IA32_VMX_PINBASED_CTLS, 0));
	WRITE(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        controls(MSR_IA32_VMX_PROCBASED_CTLS,
	                VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS)));
	WRITE(PRIMARY_VM_EXIT_CONTROLS,
	        controls(MSR_IA32_VMX_EXIT_CTLS, VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_SAVE_IA32_EFER) |
	                                                 VMX_BIT(EXIT_LOAD_IA32_EFER)));
	WRITE(VM_ENTRY_CONTROLS,
	        controls(MSR_IA32_VMX_ENTRY_CTLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER)));
	WRITE(EXCEPTION_BITMAP, ~0ull); /* whatever goes wrong in L2 is an exit */
	WRITE(IO_BITMAP_A, (uint64_t)bitmap_page);
	WRITE(IO_BITMAP_B, (uint64_t)bitmap_page);
	WRITE(MSR_BITMAP, (uint64_t)bitmap_page);
}

static void write_guest(void)
{
	write_segments();
	WRITE(GUEST_CR0, cr(0));
	WRITE(GUEST_CR3, cr(3));
	WRITE(GUEST_CR4, cr(4));
	WRITE(GUEST_IA32_EFER, cpu_rdmsr(MSR_IA32_EFER));
	WRITE(GUEST_DR7, DR7_INITIAL);
	WRITE(GUEST_RSP, BOOT_GPA_STACK_TOP - 0x8000);
	WRITE(GUEST_RIP, (uint64_t)l2_code);
	WRITE(GUEST_RFLAGS, RFLAGS_FIXED);
	WRITE(VMCS_LINK_POINTER, ~0ull);
}

static const uint8_t zeros[] = {VMCS_PAGE_FAULT_ERROR_CODE_MASK, VMCS_PAGE_FAULT_ERROR_CODE_MATCH,
        VMCS_CR3_TARGET_COUNT, VMCS_VM_EXIT_MSR_STORE_COUNT, VMCS_VM_EXIT_MSR_LOAD_COUNT, VMCS_VM_ENTRY_MSR_LOAD_COUNT,
        VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, VMCS_VM_ENTRY_INSTRUCTION_LENGTH,
        VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR4_GUEST_HOST_MASK,
        VMCS_GUEST_IA32_DEBUGCTL, VMCS_GUEST_INTERRUPTIBILITY_STATE, VMCS_GUEST_ACTIVITY_STATE,
        VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, VMCS_GUEST_IA32_SYSENTER_CS, VMCS_GUEST_IA32_SYSENTER_ESP,
        VMCS_GUEST_IA32_SYSENTER_EIP, VMCS_HOST_IA32_SYSENTER_CS, VMCS_HOST_IA32_SYSENTER_ESP,
        VMCS_HOST_IA32_SYSENTER_EIP, VMCS_HOST_FS_BASE, VMCS_HOST_GS_BASE};

static void make_vmcs(void)
{
	*(uint32_t *)vmcs_page[0] = revision;
	vmx_real_vmclear((uint64_t)vmcs_page[0]);
	vmx_real_vmptrld((uint64_t)vmcs_page[0]);
	for (unsigned i = 0; i < sizeof(zeros); i++)
		write_field(zeros[i], 0);
	write_controls();
	write_host();
	write_guest();
}

/* ---- cases.def ---- */

enum op { SET, OR, ANDNOT };

struct change {
	uint8_t field, op;
	uint64_t value;
};

static const struct {
	const char *what;
	struct change change[2];
} entries[] = {
#define ENTRY_CASE(what, field, op, value) {what, {{VMCS_##field, op, value}, {VMCS_GUEST_RIP, OR, 0}}},
#define ENTRY_CASE2(what, field, op, value, field2, op2, value2)                                                       \
	{what, {{VMCS_##field, op, value}, {VMCS_##field2, op2, value2}}},
#include "cases.def"
};

static void run_entries(void)
{
	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		make_vmcs();
		for (unsigned c = 0; c < 2; c++) {
			const struct change *change = &entries[i].change[c];
			const uint64_t was = change->op == SET ? 0 : read_field(change->field);

			write_field(change->field, change->op == ANDNOT ? was & ~change->value : was | change->value);
		}
		say_entry(entries[i].what, enter_l2(1));
	}
}

/* ---- the instructions, SDM vol. 3, chapter 31 ---- */

static void run_before_vmxon(void)
{
	say("VMXON of an address that is not aligned", vmx_real_vmxon((uint64_t)vmxon_page + 1));
	say("VMXON beyond the physical width", vmx_real_vmxon((uint64_t)vmxon_page | 1ull << 60));
	say("VMXON of another revision", vmx_real_vmxon((uint64_t)other_revision));
	say("VMXON", vmx_real_vmxon((uint64_t)vmxon_page));
}

static void run_without_vmcs(void)
{
	uint64_t value = 0;

	say("VMREAD without a current VMCS", vmx_real_vmread(encodings[VMCS_GUEST_RIP], &value));
	say("VMWRITE without a current VMCS", vmx_real_vmwrite(encodings[VMCS_GUEST_RIP], 0));
	say("VMREAD of no field, without a current VMCS", vmx_real_vmread(0x2c7e, &value));
	say("VMLAUNCH without a current VMCS", enter_l2(1));
	say("VMRESUME without a current VMCS", enter_l2(0));
	say("VMXON again, without a current VMCS", vmx_real_vmxon((uint64_t)vmxon_page));
	say("VMCLEAR of an address that is not aligned, without a current VMCS",
	        vmx_real_vmclear((uint64_t)vmcs_page[0] + 1));
	say("VMPTRLD of an address that is not aligned, without a current VMCS",
	        vmx_real_vmptrld((uint64_t)vmcs_page[0] + 1));
	say("INVEPT of type 0, without a current VMCS", vmx_real_invept(0, 0));
}

static void run_pointers(void)
{
	uint64_t pointer = 0;

	say("VMCLEAR", vmx_real_vmclear((uint64_t)vmcs_page[0]));
	say("VMPTRLD", vmx_real_vmptrld((uint64_t)vmcs_page[0]));
	__asm__ volatile("vmptrst %0" : "=m"(pointer));
	say("VMPTRST gives it back",
	        pointer == (uint64_t)vmcs_page[0] ? PV_VMX_RESULT_SUCCEED : PV_VMX_RESULT_FAIL_INVALID);
	say("VMXON in root operation", vmx_real_vmxon((uint64_t)vmxon_page));
	say("VMCLEAR not aligned", vmx_real_vmclear((uint64_t)vmcs_page[1] + 8));
	say("VMCLEAR beyond the physical width", vmx_real_vmclear((uint64_t)vmcs_page[1] | 1ull << 60));
	say("VMCLEAR of the VMXON region", vmx_real_vmclear((uint64_t)vmxon_page));
	say("VMPTRLD not aligned", vmx_real_vmptrld((uint64_t)vmcs_page[1] + 8));
	say("VMPTRLD beyond the physical width", vmx_real_vmptrld((uint64_t)vmcs_page[1] | 1ull << 60));
	say("VMPTRLD of the VMXON region", vmx_real_vmptrld((uint64_t)vmxon_page));
	say("VMPTRLD of another revision", vmx_real_vmptrld((uint64_t)other_revision));
	say("INVEPT of type 0", vmx_real_invept(0, 0));
	say("INVEPT of type 3", vmx_real_invept(3, 0));
	say("INVEPT of a bad EPT pointer", vmx_real_invept(1, 0));
	say("INVEPT of all contexts", vmx_real_invept(2, 0));
	say("VMRESUME of a clear VMCS", enter_l2(0));
	say("VMCLEAR of the current VMCS", vmx_real_vmclear((uint64_t)vmcs_page[0]));
	say("VMCLEAR again", vmx_real_vmclear((uint64_t)vmcs_page[0]));
	__asm__ volatile("vmptrst %0" : "=m"(pointer));
	say("VMPTRST gives all ones", pointer == ~0ull ? PV_VMX_RESULT_SUCCEED : PV_VMX_RESULT_FAIL_INVALID);
}

/* Launch state over two VMCSs. */
static void run_launch_state(void)
{
	make_vmcs();
	say_entry("VMLAUNCH", enter_l2(1));
	say_entry("VMLAUNCH of a launched VMCS", enter_l2(1));
	WRITE(GUEST_RIP, (uint64_t)l2_code);
	say_entry("VMRESUME", enter_l2(0));
	*(uint32_t *)vmcs_page[1] = revision;
	vmx_real_vmclear((uint64_t)vmcs_page[1]);
	vmx_real_vmptrld((uint64_t)vmcs_page[1]);
	say_entry("VMRESUME of another, clear VMCS", enter_l2(0));
	vmx_real_vmptrld((uint64_t)vmcs_page[0]);
	WRITE(GUEST_RIP, (uint64_t)l2_code);
	say_entry("VMRESUME of the first again", enter_l2(0));
	vmx_real_vmclear((uint64_t)vmcs_page[0]);
	vmx_real_vmptrld((uint64_t)vmcs_page[0]);
	say_entry("VMRESUME after VMCLEAR", enter_l2(0));
}

static const struct {
	const char *name;
	uint16_t encoding;
} fields[] = {{"VIRTUAL_PROCESSOR_ID", 0x0000}, {"GUEST_ES_SELECTOR", 0x0800}, {"GUEST_TR_SELECTOR", 0x080e},
        {"HOST_TR_SELECTOR", 0x0c0c}, {"IO_BITMAP_A", 0x2000}, {"IO_BITMAP_A, upper half", 0x2001},
        {"MSR_BITMAP", 0x2004}, {"TSC_OFFSET", 0x2010}, {"EPT_POINTER", 0x201a}, {"VMCS_LINK_POINTER", 0x2800},
        {"GUEST_IA32_EFER", 0x2806}, {"HOST_IA32_EFER", 0x2c02}, {"PIN_BASED_VM_EXECUTION_CONTROLS", 0x4000},
        {"EXCEPTION_BITMAP", 0x4004}, {"VM_ENTRY_CONTROLS", 0x4012}, {"GUEST_CS_LIMIT", 0x4802},
        {"GUEST_ACTIVITY_STATE", 0x4826}, {"HOST_IA32_SYSENTER_CS", 0x4c00}, {"CR0_GUEST_HOST_MASK", 0x6000},
        {"GUEST_CR0", 0x6800}, {"GUEST_RSP", 0x681c}, {"GUEST_RIP", 0x681e}, {"HOST_RIP", 0x6c16},
        {"no field: 16-bit guest 0x40", 0x0880}, {"no field: 64-bit host 0x7e", 0x2c7e},
        {"no field: 32-bit, upper half", 0x4001}, {"no field: natural, upper half", 0x681f},
        {"no field: 16-bit, upper half", 0x0801}, {"no field: 32-bit control 0x7e", 0x407e},
        {"no field: bit 15", 0x8000 | 0x681e}};

/* Written, read back, and as wide as the field is. */
static void run_fields(void)
{
	make_vmcs();
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint64_t value = 0;

		say(fields[i].name, vmx_real_vmwrite(fields[i].encoding, 0x5a96c3e1b48d7f20));
		say(fields[i].name, vmx_real_vmread(fields[i].encoding, &value));
		print("  %x\n", value);
	}
}

void image_main(struct boot_info *info);

void image_main(struct boot_info *info)
{
	const uint64_t feature = cpu_rdmsr(MSR_IA32_FEATURE_CONTROL);

	(void)info;
	idt_load("The VMX cases");
	if (!(feature & 1))
		cpu_wrmsr(MSR_IA32_FEATURE_CONTROL, feature | 5);
	__asm__ volatile("mov %0, %%cr0"
	                 :
	                 : "r"((cr(0) | cpu_rdmsr(MSR_IA32_VMX_CR0_FIXED0)) & cpu_rdmsr(MSR_IA32_VMX_CR0_FIXED1)));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr(4) | CR4_VMXE | cpu_rdmsr(MSR_IA32_VMX_CR4_FIXED0)));
	revision = cpu_rdmsr(MSR_IA32_VMX_BASIC) & 0x7fffffff;
	*(uint32_t *)vmxon_page = revision;
	*(uint32_t *)vmcs_page[0] = *(uint32_t *)vmcs_page[1] = revision;
	*(uint32_t *)other_revision = revision ^ 1;
	run_before_vmxon();
	run_without_vmcs();
	run_pointers();
	run_launch_state();
	run_fields();
	run_entries();
	print("%u cases\n", (unsigned long)cases);
	io_end(TESTDEV_END_OK);
}
