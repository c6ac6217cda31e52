/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny hypervisor for the VMX test kernels, written from the SDM alone (vol. 3, chapters 24 to 31). */
#ifndef TESTUDO_TESTS_HYPERVISOR_H
#define TESTUDO_TESTS_HYPERVISOR_H

#include "../runtime/guest.h"

enum field {
#define FIELD(name, encoding) name = (encoding),
#include "fields.def"
#undef FIELD
};

/* Capability MSRs, appendix A. */
enum {
	VMX_BASIC = 0x480,
	VMX_PIN,
	VMX_PROC,
	VMX_EXIT,
	VMX_ENTRY,
	VMX_MISC,
	VMX_CR0_FIXED0,
	VMX_CR0_FIXED1,
	VMX_CR4_FIXED0,
	VMX_CR4_FIXED1,
	VMX_VMCS_ENUM,
	VMX_PROC2,
	VMX_EPT_VPID,
	VMX_TRUE_PIN,
	VMX_TRUE_PROC,
	VMX_TRUE_EXIT,
	VMX_TRUE_ENTRY
};

#define PIN_INTERRUPT (1u << 0)
#define PIN_NMI (1u << 3)
#define PIN_VIRTUAL_NMI (1u << 5)
#define PIN_TIMER (1u << 6)
#define PROC_INTERRUPT_WINDOW (1u << 2)
#define PROC_TSC_OFFSET (1u << 3)
#define PROC_HLT (1u << 7)
#define PROC_INVLPG (1u << 9)
#define PROC_MWAIT (1u << 10)
#define PROC_RDPMC (1u << 11)
#define PROC_RDTSC (1u << 12)
#define PROC_CR3_LOAD (1u << 15)
#define PROC_CR3_STORE (1u << 16)
#define PROC_CR8_LOAD (1u << 19)
#define PROC_CR8_STORE (1u << 20)
#define PROC_TPR_SHADOW (1u << 21)
#define PROC_NMI_WINDOW (1u << 22)
#define PROC_MOV_DR (1u << 23)
#define PROC_IO (1u << 24)
#define PROC_IO_BITMAPS (1u << 25)
#define PROC_MONITOR_TRAP (1u << 27)
#define PROC_MSR_BITMAPS (1u << 28)
#define PROC_MONITOR (1u << 29)
#define PROC_PAUSE (1u << 30)
#define PROC_SECONDARY (1u << 31)
#define PROC2_EPT (1u << 1)
#define PROC2_DESCRIPTOR_TABLES (1u << 2)
#define PROC2_RDTSCP (1u << 3)
#define PROC2_VPID (1u << 5)
#define PROC2_WBINVD (1u << 6)
#define PROC2_UNRESTRICTED (1u << 7)
#define PROC2_RDRAND (1u << 11)
#define PROC2_INVPCID (1u << 12)
#define EXIT_HOST_64 (1u << 9)
#define EXIT_ACKNOWLEDGE (1u << 15)
#define EXIT_SAVE_EFER (1u << 20)
#define EXIT_LOAD_EFER (1u << 21)
#define EXIT_SAVE_TIMER (1u << 22)
#define ENTRY_IA32E (1u << 9)
#define ENTRY_LOAD_PAT (1u << 14)
#define ENTRY_LOAD_EFER (1u << 15)
#define EPT_CAP_2M (1u << 16)
#define EPT_CAP_AD (1u << 21)

/* Basic exit reasons, appendix C. */
enum {
	REASON_EXCEPTION,
	REASON_INTERRUPT,
	REASON_TRIPLE_FAULT,
	REASON_INTERRUPT_WINDOW = 7,
	REASON_NMI_WINDOW,
	REASON_CPUID = 10,
	REASON_HLT = 12,
	REASON_INVD,
	REASON_INVLPG,
	REASON_RDPMC,
	REASON_RDTSC,
	REASON_VMCALL = 18,
	REASON_VMCLEAR,
	REASON_VMLAUNCH,
	REASON_VMPTRLD,
	REASON_VMPTRST,
	REASON_VMREAD,
	REASON_VMRESUME,
	REASON_VMWRITE,
	REASON_VMXOFF,
	REASON_VMXON,
	REASON_CR,
	REASON_DR,
	REASON_IO,
	REASON_RDMSR,
	REASON_WRMSR,
	REASON_BAD_GUEST_STATE,
	REASON_BAD_MSR_LIST,
	REASON_MWAIT = 36,
	REASON_MONITOR_TRAP,
	REASON_MONITOR = 39,
	REASON_PAUSE = 40,
	REASON_GDTR_IDTR = 46,
	REASON_LDTR_TR,
	REASON_EPT_VIOLATION,
	REASON_EPT_MISCONFIGURATION,
	REASON_RDTSCP = 51,
	REASON_TIMER,
	REASON_WBINVD = 54,
	REASON_XSETBV,
	REASON_RDRAND = 57
};
#define ENTRY_FAILED (1ull << 31)

#define EVENT_VALID (1u << 31)
#define EVENT_ERROR (1u << 11)
#define EVENT_INTERRUPT (0u << 8)
#define EVENT_NMI (2u << 8)
#define EVENT_EXCEPTION (3u << 8)
#define EVENT_SOFTWARE (4u << 8)
#define BLOCKED_BY_STI 1u
#define BLOCKED_BY_NMI 8u

/** Result of a VMX instruction. */
enum { SUCCEEDED, FAIL_INVALID, FAIL_VALID };

struct guest_regs {
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};
extern struct guest_regs guest;

int vmx_switch(struct guest_regs *regs, bool launch);

static inline int vmx_address_instruction_result(bool cf, bool zf)
{
	return cf ? FAIL_INVALID : zf ? FAIL_VALID : SUCCEEDED;
}
#define ADDRESS_INSTRUCTION(name)                                                                                      \
	static inline int name(u64 address)                                                                            \
	{                                                                                                              \
		bool cf, zf;                                                                                           \
		asm volatile(#name " %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(address) : "memory");                        \
		return vmx_address_instruction_result(cf, zf);                                                         \
	}
ADDRESS_INSTRUCTION(vmxon)
ADDRESS_INSTRUCTION(vmclear)
ADDRESS_INSTRUCTION(vmptrld)
static inline int vmxoff(void)
{
	bool cf, zf;
	asm volatile("vmxoff" : "=@ccc"(cf), "=@ccz"(zf) : : "memory");
	return vmx_address_instruction_result(cf, zf);
}
static inline int try_vmread(u64 encoding, u64 *value)
{
	bool cf, zf;
	asm volatile("vmread %3, %2" : "=@ccc"(cf), "=@ccz"(zf), "=r"(*value) : "r"(encoding));
	return vmx_address_instruction_result(cf, zf);
}
static inline int try_vmwrite(u64 encoding, u64 value)
{
	bool cf, zf;
	asm volatile("vmwrite %3, %2" : "=@ccc"(cf), "=@ccz"(zf) : "r"(encoding), "rm"(value) : "memory");
	return vmx_address_instruction_result(cf, zf);
}
struct invalidation {
	u64 first, second;
};
static inline int invept(u64 type, u64 eptp)
{
	const struct invalidation descriptor = {eptp, 0};
	bool cf, zf;
	asm volatile("invept %2, %3" : "=@ccc"(cf), "=@ccz"(zf) : "m"(descriptor), "r"(type) : "memory");
	return vmx_address_instruction_result(cf, zf);
}
static inline int invvpid(u64 type, u64 vpid, u64 linear)
{
	const struct invalidation descriptor = {vpid, linear};
	bool cf, zf;
	asm volatile("invvpid %2, %3" : "=@ccc"(cf), "=@ccz"(zf) : "m"(descriptor), "r"(type) : "memory");
	return vmx_address_instruction_result(cf, zf);
}
/** End the kernel when they fail. */
u64 vmread(enum field field);
void vmwrite(enum field field, u64 value);
static inline void vmset(enum field field, u64 bits)
{
	vmwrite(field, vmread(field) | bits);
}
static inline void vmunset(enum field field, u64 bits)
{
	vmwrite(field, vmread(field) & ~bits);
}
/** May this bit of the control word be 1? `msr`: VMX_PIN, ... VMX_PROC2. */
bool offered(u32 msr, u32 bit);

/** CR4.VMXE and VMXON of a fresh region. Ends the kernel when there is no VMX. */
void vmx_start(void);
extern u64 vmxon_region;
u64 vmcs_new(void);
/** A fresh current VMCS for a 64-bit guest in this address space, with EPT and VPID where they are. */
u64 vmcs_prepare(void);
/** The guest goes on at `code` with an empty stack and all else quiet. */
void guest_at(void (*code)(void));
/** Enter; the whole exit reason, or ~0: the instruction failed (vmx_error). Launches the first time. */
u64 enter(void);
u64 vmx_error(void);
/** enter() once and compare. False: say so and go on. */
bool expect_exit(u64 reason, const char *what);
/** Like expect_exit, but only speaks when it fails. */
bool pass_exit(u64 reason, const char *what);
/** Behind the instruction that exited. */
void skip(void);
void expect_entry_error(u64 error, const char *what);

/** EPT of the current VMCS: identity, 2 MiB pages below 4 GiB. */
extern u64 *ept_root;
u64 *ept_entry(u64 physical, unsigned level);
/** Make 4 KiB pages of the 2 MiB page at `physical`. */
void ept_split(u64 physical);
void ept_flush(void);

static inline void vmcall(void)
{
	asm volatile("vmcall" : : : "memory");
}

#endif
