/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The small kernel under the macro workloads in a guest: processes in ring 3 with page tables of their own, demand
 * paging, system calls, a timer.
 *
 * Linear memory of a process:
 *   0 .. memory_size  what the boot info describes, identity-mapped: the image's code and constants readable in ring 3,
 * the workloads' variables writable, everything else the kernel's alone. Shared by all processes. 1 GiB, 2 GiB      its
 * regions (macro.h), of 4 KiB and 2 MiB pages made at the first access; a child's stack ends the first one's last 64
 * KiB
 *
 * The kernel runs with interrupts off, on one stack, and changes no SSE state: of the processes alive at a time only
 * the first computes with it (README.md).
 */
#ifndef TESTUDO_WORKLOADS_KERNEL_H
#define TESTUDO_WORKLOADS_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "workloads/macro/macro.h"

/** INT3 is the system call: of the instructions made for it, KVM-PVM hands neither INT n (#UD) nor SYSCALL (no change
 * of ring) to its guest's kernel. */
#define KERNEL_SYSCALL_VECTOR 3

enum kernel_call {
	CALL_NULL,
	CALL_EXIT,    /* value */
	CALL_RELEASE, /* base, bytes */
	CALL_SPAWN,   /* entry, argument */
	CALL_WAIT,    /* process */
	CALL_YIELD,
	CALL_READ,  /* to, offset, bytes */
	CALL_TIMER, /* ticks */
	CALL_FAIL,  /* sentence */
};

#define KERNEL_REGION 0x40000000ull
#define KERNEL_REGION_LARGE 0x80000000ull
/** The first process's stack is the image's own; a child's is the end of its region of small pages. */
#define KERNEL_CHILD_STACK_TOP (KERNEL_REGION + (16ull << 20))
#define KERNEL_CHILD_STACK_BYTES 65536ull

/** What traps.S pushes, the CPU's own part last. */
struct kernel_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct kernel_process {
	/** RSP0 points behind it while the process runs, so that a trap fills it. */
	struct kernel_frame frame __attribute__((aligned(16)));
	enum { PROCESS_FREE, PROCESS_READY, PROCESS_WAITS, PROCESS_DONE } state;
	uint64_t waits_for;
	uint64_t value; /* what it returned */
	uint64_t *pml4;
};

/* ---- memory.c ---- */

/** Take over the memory above the image: tables and pages to give out, and what all processes share. */
void kernel_memory_setup(void);
/** An empty address space. Its tables are returned by kernel_space_free. */
uint64_t *kernel_space_make(void);
void kernel_space_free(uint64_t *pml4);
void kernel_space_load(const uint64_t *pml4);
/** The page of a region at this linear address, made if it is not there. NULL: the address is in no region. */
uint8_t *kernel_page_at(uint64_t *pml4, uint64_t linear);
/** Give back the pages of [base, base + bytes) of the space that is loaded. */
void kernel_release(uint64_t *pml4, uint64_t base, uint64_t bytes);

/* ---- process.c ---- */

/** Run a function in ring 3, in the first process, until it returns. */
uint64_t kernel_run(uint64_t (*entry)(uint64_t argument), uint64_t argument);
void kernel_setup(void);

/* ---- traps.S ---- */

extern const char kernel_entry_syscall[], kernel_entry_page_fault[], kernel_entry_timer[];
/** Readable in ring 3. */
extern uint64_t kernel_timer_count;
/** Save the caller, go to ring 3 by the frame; returns when kernel_leave is called. */
void kernel_enter(const struct kernel_frame *frame);
void __attribute__((noreturn)) kernel_leave(void);

/* ---- user.c ---- */

/** Where a process begins in ring 3: calls entry(argument) and exits with its value. */
void kernel_user_start(uint64_t (*entry)(uint64_t argument), uint64_t argument);

#endif
