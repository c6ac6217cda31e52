/* SPDX-License-Identifier: Apache-2.0 */
/* L1 from its entry to L2's: boot info, VMX operation, memory for L2, launch. */
#include "l1.h"
#include "mmu_shadow.h"
#include "shadowvmcs/caps.h"
#include "shadowvmcs/x86.h"
#include "vmx.h"
#include "workloads/runtime/io.h"
#include "workloads/runtime/print.h"

struct l1 l1;
volatile bool l1_timer_fired;
l1_exit_function l1_exit_handler;

static union {
	uint32_t revision_id;
	uint8_t bytes[PAGE_BYTES];
} vmxon_region __attribute__((aligned(4096)));

void image_main(struct boot_info *info);

/* ---- boot info ---- */

static void check_info(const struct boot_info *info, const char *whose)
{
	if (info->magic != BOOT_INFO_MAGIC || info->version != BOOT_INFO_VERSION || info->size != sizeof(*info))
		print_and_end(TESTDEV_END_REFUSED,
		        "L1: %s boot info at %x has magic %x, version %u, size %u: this image and its L0 are of "
		        "different "
		        "builds, or no level-2 image was loaded.",
		        whose, (unsigned long)info, (unsigned long)info->magic, (unsigned long)info->version,
		        (unsigned long)info->size);
}

static void take_boot_info(struct boot_info *info)
{
	check_info(info, "its own");
	l1.boot = info;
	l1.l2_base = info->l2_base;
	l1.l2_size = info->l2_size;
	l1.pv = info->flags & BOOT_FLAG_PV_VMX;
	l1.pages = (struct l1_pages){info->l1_heap_base, info->l1_heap_base + info->l1_heap_size};
	info->log_count = 0;
	if (!l1.l2_size || l1.l2_base + l1.l2_size > info->memory_size)
		print_and_end(TESTDEV_END_REFUSED, "L1: L2's memory [%x, +%x) is not inside L1's %x bytes.", l1.l2_base,
		        l1.l2_size, info->memory_size);
	l1.boot2 = (struct boot_info *)(l1.l2_base + BOOT_GPA_INFO);
	check_info(l1.boot2, "L2's");
}

/* ---- VMX operation ---- */

#define CPUID_1_ECX_VMX (1u << 5)
/* IA32_FEATURE_CONTROL, SDM vol. 3, 24.7. */
#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_VMXON (1ull << 2)

static void require_vmx(void)
{
	uint32_t eax = 1, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	if (!(ecx & CPUID_1_ECX_VMX))
		print_and_end(TESTDEV_END_REFUSED, "L1: CPUID shows no VMX and boot info asks for no paravirtual "
		                                   "calls: this machine cannot run L1.");
}

static void enable_vmx(void)
{
	const uint64_t feature = cpu_rdmsr(MSR_IA32_FEATURE_CONTROL);
	uint64_t cr0, cr4;

	if (!(feature & FEATURE_CONTROL_LOCK))
		cpu_wrmsr(MSR_IA32_FEATURE_CONTROL, feature | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON);
	else if (!(feature & FEATURE_CONTROL_VMXON))
		print_and_end(TESTDEV_END_REFUSED, "L1: IA32_FEATURE_CONTROL is %x: locked with VMXON off.", feature);
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	cr0 = (cr0 | cpu_rdmsr(MSR_IA32_VMX_CR0_FIXED0)) & cpu_rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	cr4 = (cr4 | CR4_VMXE | cpu_rdmsr(MSR_IA32_VMX_CR4_FIXED0)) & cpu_rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	__asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

static void start_vmx(void)
{
	if (!l1.pv) {
		require_vmx();
		enable_vmx();
	}
	const uint32_t revision = cpu_rdmsr(MSR_IA32_VMX_BASIC) & 0x7fffffff;
	vmxon_region.revision_id = revision;
	l1_vmcs12.revision_id = revision;
	l1_check_vmx("VMXON", (uint64_t)&vmxon_region, vmx_on(l1.pv, (uint64_t)&vmxon_region));
	if (l1.pv) {
		uint64_t none = 0;
		l1_check_vmx("PV_FRAME", (uint64_t)&l1_l2_regs, vmx_pv_call(PV_FRAME, (uint64_t)&l1_l2_regs, &none, 0));
	}
	l1_check_vmx("VMCLEAR", (uint64_t)&l1_vmcs12, vmx_clear(l1.pv, (uint64_t)&l1_vmcs12));
	l1_check_vmx("VMPTRLD", (uint64_t)&l1_vmcs12, vmx_ptrld(l1.pv, (uint64_t)&l1_vmcs12));
}

/* ---- L2's memory ---- */

static void setup_memory(void)
{
	const struct l1_ept_layout layout = {
	        .l2_base = l1.l2_base,
	        .l2_size = l1.l2_size,
	        .touch_base = l1.boot2->touch_base,
	        .touch_size = l1.boot2->touch_size,
	        .page_bytes = l1.boot->ept12_page_size,
	        /* 0: the workload touches nothing. */
	        .touch_page_bytes = l1.boot2->touch_page_size ? l1.boot2->touch_page_size : PAGE_BYTES,
	};
	const char *error = l1_mmu_active() ? l1_mmu_setup() : l1_ept_build(&l1.ept, &layout, &l1.pages);

	if (error)
		print_and_end(TESTDEV_END_REFUSED, "L1: %s", error);
}

void image_main(struct boot_info *info)
{
	l1_idt_setup();
	take_boot_info(info);
	start_vmx();
	setup_memory();
	l1_bitmaps_setup();
	l1_vmcs12_setup();
	l1_exit_handler = l1_exit_select();
	const uint64_t result = l1.pv ? l1_launch_pv(BOOT_GPA_INFO) : l1_launch_real(BOOT_GPA_INFO);
	l1_report_entry_failure("VMLAUNCH", result);
}
