/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Boot info: what L0 tells an own image (L1, or a workload at any level).
 *
 * An image starts in 64-bit mode, CPL 0, interrupts off, paging on with an identity map of its first 4 GiB (2 MiB
 * pages; EFER.NXE clear), SSE usable (CR4.OSFXSR, CR4.OSXMMEXCPT), a flat GDT (BOOT_SELECTOR_*), no IDT, RSP =
 * boot_info.stack_top, RDI = the guest-physical
 * (= linear) address of its struct boot_info.
 *
 * L0 lays out the memory of each image the same way, at offset 0 of that image's guest-physical space; for level 2
 * that space stands at boot_info.l2_base of L1's memory:
 *
 *   0x00001000  struct boot_info             0x00003000  GDT and TSS
 *   0x00004000  page tables (6 pages)        0x0000a000  shadow region (L1 only, vmcs=shadow on a paravirtual machine)
 *   0x0000b000  VMREAD bitmap                0x0000c000  VMWRITE bitmap
 *   0x00010000  stack, 64 KiB, grows down from 0x00020000
 *   0x00100000  the image's ELF segments (linked there)
 *   touch_base  the first-touch region (level 1: no EPT01 mapping at start; level 2: no EPT12 mapping at start)
 */
#ifndef TESTUDO_ABI_BOOT_INFO_H
#define TESTUDO_ABI_BOOT_INFO_H

#define BOOT_INFO_MAGIC 0x4f445554 /* "TUDO" */
#define BOOT_INFO_VERSION 1

#define BOOT_GPA_INFO 0x1000
#define BOOT_GPA_GDT 0x3000
#define BOOT_GPA_TSS 0x3800
#define BOOT_GPA_PAGE_TABLES 0x4000
/** A struct vmcs. Who writes a field of it marks it in its dirty mask; L0 looks at no other at an entry. */
#define BOOT_GPA_SHADOW_REGION 0xa000
#define BOOT_GPA_VMREAD_BITMAP 0xb000
#define BOOT_GPA_VMWRITE_BITMAP 0xc000
#define BOOT_GPA_STACK_TOP 0x20000
#define BOOT_GPA_IMAGE 0x100000

/* Selectors of the flat GDT. */
#define BOOT_SELECTOR_CODE 0x08
#define BOOT_SELECTOR_DATA 0x10
#define BOOT_SELECTOR_USER_DATA 0x1b
#define BOOT_SELECTOR_USER_CODE 0x23
#define BOOT_SELECTOR_TSS 0x28

/* How L1 reads and writes vmcs12 (boot_info.vmcs_mode); also the engine's enum shadow_mode. */
#define BOOT_VMCS_TRAP 0
#define BOOT_VMCS_SHADOW 1
#define BOOT_VMCS_DIRECT 2

/* Which VMCS accesses L1 makes on each exit (boot_info.profile). */
#define BOOT_PROFILE_MINIMAL 0
#define BOOT_PROFILE_KVM 1
#define BOOT_PROFILE_HAXM 2
#define BOOT_PROFILE_KVM_PIO 3

/* How L1 gives L2 its memory (boot_info.mmu_mode). */
#define BOOT_MMU_EPT 0
#define BOOT_MMU_SHADOW 1

/* Flags (boot_info.flags). */
#define BOOT_FLAG_PV_VMX 1u   /* issue VMX instructions through pv_vmx.h */
#define BOOT_FLAG_EXIT_LOG 2u /* L1 keeps the exit log at log_base */
#define BOOT_FLAG_STAMPS 4u   /* L1 and the workload write TSC stamps into boot_info.stamps */
#define BOOT_FLAG_SITES 8u    /* the image's sites were replaced (information only) */

#ifndef __ASSEMBLER__
#include <stdint.h>

/** TSC stamps of the last nested round trip, written only with BOOT_FLAG_STAMPS. L1's copy holds the l1_ ones. */
struct boot_stamps {
	uint64_t l1_handler_begin; /**< L1's exit entry point, first instruction after saving registers */
	uint64_t l1_handler_end;   /**< just before VMRESUME */
	uint64_t l2_before;        /**< in the workload, just before the measured operation */
	uint64_t l2_after;         /**< just after it */
};

struct boot_info {
	uint32_t magic;       /**< BOOT_INFO_MAGIC */
	uint32_t version;     /**< BOOT_INFO_VERSION */
	uint32_t size;        /**< sizeof(struct boot_info) */
	uint32_t flags;       /**< BOOT_FLAG_* */
	uint64_t memory_size; /**< bytes of guest-physical memory from 0 */
	uint64_t stack_top;
	uint64_t cr3;        /**< the identity map */
	uint64_t touch_base; /**< the first-touch region, 2 MiB aligned; part of memory_size */
	uint64_t touch_size; /**< its bytes, a multiple of 2 MiB */
	uint64_t tsc_khz;    /**< frequency of the guest's TSC; 0 = unknown */

	/* The workload's orders. */
	uint64_t samples;         /**< samples of the measured loop (and as many of the control loop) */
	uint64_t ops_per_sample;  /**< operations per sample */
	uint64_t warmup_ops;      /**< operations before the first sample */
	uint64_t touch_page_size; /**< 4096 or 2 MiB: stride of the first-touch workload */
	char workload[32];        /**< name of the micro workload to run (its file's name) */

	/* L1's orders (zero in a workload's boot info). */
	uint32_t vmcs_mode; /**< BOOT_VMCS_* */
	uint32_t profile;   /**< BOOT_PROFILE_* */
	uint32_t mmu_mode;  /**< BOOT_MMU_* */
	uint32_t reserved;
	uint64_t ept12_page_size; /**< 4096 or 2 MiB: the leaves L1 uses outside the first-touch region, and inside it
	                               what touch_page_size of the workload asks for */
	uint64_t l2_base;         /**< where L2's guest-physical 0 stands in L1's memory; 2 MiB aligned */
	uint64_t l2_size;         /**< bytes; a multiple of 2 MiB */
	uint64_t l2_entry;        /**< L2's RIP */
	uint64_t log_base;        /**< the exit log: struct exit_log_entry[log_capacity], in L1's memory */
	uint64_t log_capacity;
	uint64_t log_count;    /**< written by L1: exits seen since start (may exceed the capacity: the first ones are
	                          kept) */
	uint64_t l1_heap_base; /**< memory free for L1's own pages (VMXON, VMCS, bitmaps, EPT12) */
	uint64_t l1_heap_size;

	struct boot_stamps stamps;
};
_Static_assert(sizeof(struct boot_info) <= 4096, "boot info is one page");

/** One entry of L1's exit log: the same image on two machines must write the same log. */
struct exit_log_entry {
	uint32_t reason;
	uint32_t instruction_length;
	uint64_t qualification;
	uint64_t guest_rip;
	uint64_t interruption_info;
	uint64_t idt_vectoring_info;
	uint64_t guest_physical_address; /**< EPT violations; else 0 */
};
_Static_assert(sizeof(struct exit_log_entry) == 48, "read back by L0");
#endif

#endif
