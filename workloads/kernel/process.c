/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and their system calls. */
#include "workloads/kernel/kernel.h"

#include "workloads/runtime/idt.h"
#include "workloads/runtime/workload.h"

#define PROCESSES 4
#define VECTOR_PF 14
#define RFLAGS_START 0x202 /* IF */
#define TSS_RSP0 (BOOT_GPA_TSS + 4)

static struct kernel_process processes[PROCESSES];
static struct kernel_process *running;
static uint8_t file[SYS_FILE_BYTES];

/* The first process's stack; ring 3 writes it (macro.ld). */
static uint8_t first_stack[65536] __attribute__((section(".bss.user"), aligned(16)));

struct kernel_frame *kernel_trap(struct kernel_frame *frame);

static void begin(struct kernel_process *process, uint64_t entry, uint64_t argument, uint64_t stack_top)
{
	process->frame = (struct kernel_frame){.rdi = entry,
	        .rsi = argument,
	        .rip = (uint64_t)kernel_user_start,
	        .cs = BOOT_SELECTOR_USER_CODE,
	        .rflags = RFLAGS_START,
	        .rsp = stack_top - 8, /* as a CALL would leave it */
	        .ss = BOOT_SELECTOR_USER_DATA};
	process->state = PROCESS_READY;
}

static struct kernel_frame *switch_to(struct kernel_process *process)
{
	if (process != running) {
		running = process;
		*(volatile uint64_t *)TSS_RSP0 = (uint64_t)(&process->frame + 1);
		kernel_space_load(process->pml4);
	}
	return &process->frame;
}

/* The next process that can run, after the running one in turn. */
static struct kernel_frame *schedule(void)
{
	const unsigned from = (unsigned)(running - processes);

	for (unsigned i = 1; i <= PROCESSES; i++) {
		struct kernel_process *process = &processes[(from + i) % PROCESSES];

		if (process->state == PROCESS_READY)
			return switch_to(process);
	}
	print_and_end(TESTDEV_END_FAILED, "The guest kernel has no process that can run: each waits for another.");
}

/* ---- system calls ---- */

static uint64_t spawn(uint64_t entry, uint64_t argument)
{
	for (unsigned i = 1; i < PROCESSES; i++) {
		struct kernel_process *process = &processes[i];

		if (process->state != PROCESS_FREE)
			continue;
		process->pml4 = kernel_space_make();
		begin(process, entry, argument, KERNEL_CHILD_STACK_TOP);
		return i;
	}
	print_and_end(TESTDEV_END_FAILED,
	        "The guest kernel has room for %u processes, and the workload wants one more.",
	        (unsigned long)PROCESSES);
}

/* A process is over: its parent takes the value, and nothing of it is left. */
static void reap(struct kernel_process *process, struct kernel_process *parent)
{
	parent->frame.rax = process->value;
	parent->state = PROCESS_READY;
	kernel_space_free(process->pml4);
	process->state = PROCESS_FREE;
}

static struct kernel_frame *wait_for(uint64_t number)
{
	struct kernel_process *child = &processes[number % PROCESSES];

	if (child->state == PROCESS_FREE || child == running)
		print_and_end(TESTDEV_END_FAILED, "The workload waits for process %u, which is not there.", number);
	running->state = PROCESS_WAITS;
	running->waits_for = number;
	if (child->state == PROCESS_DONE)
		reap(child, running);
	return schedule();
}

static struct kernel_frame *end_process(uint64_t value)
{
	struct kernel_process *process = running;

	process->value = value;
	if (process == &processes[0])
		kernel_leave();
	process->state = PROCESS_DONE;
	for (unsigned i = 0; i < PROCESSES; i++) {
		if (processes[i].state != PROCESS_WAITS || &processes[processes[i].waits_for] != process)
			continue;
		/* Its tables are in use until another space is loaded. */
		switch_to(&processes[i]);
		reap(process, &processes[i]);
		return &processes[i].frame;
	}
	return schedule();
}

/* Copy page by page through the kernel's own map: pages that are not there yet are made. */
static void read_file(uint64_t to, uint64_t offset, uint64_t bytes)
{
	while (bytes) {
		const uint64_t part = bytes < 4096 - (to & 4095) ? bytes : 4096 - (to & 4095);
		uint8_t *page = kernel_page_at(running->pml4, to);

		if (!page || offset + part > SYS_FILE_BYTES)
			print_and_end(TESTDEV_END_FAILED,
			        "The workload reads %u bytes at %u of the file to %x, which cannot be.", bytes, offset,
			        to);
		__builtin_memcpy(page + (to & 4095), file + offset, part);
		to += part;
		offset += part;
		bytes -= part;
	}
}

/* With interrupts on, so that a hypervisor below does not take it for the way into a HLT. */
static void arm_timer(uint64_t microseconds)
{
	__asm__ volatile(
	        "sti\n\tnop\n\toutl %%eax, %%dx\n\tcli"
	        :
	        : "a"((uint32_t)(microseconds * workload_boot->tsc_khz / 1000)), "d"((uint16_t)TESTDEV_PORT_TIMER)
	        : "memory");
}

static struct kernel_frame *system_call(struct kernel_frame *frame)
{
	switch (frame->rax) {
	case CALL_NULL:
		break;
	case CALL_EXIT:
		return end_process(frame->rdi);
	case CALL_RELEASE:
		kernel_release(running->pml4, frame->rdi, frame->rsi);
		break;
	case CALL_SPAWN:
		frame->rax = spawn(frame->rdi, frame->rsi);
		break;
	case CALL_WAIT:
		return wait_for(frame->rdi);
	case CALL_YIELD:
		return schedule();
	case CALL_READ:
		read_file(frame->rdi, frame->rsi, frame->rdx);
		break;
	case CALL_TIMER:
		arm_timer(frame->rdi);
		break;
	case CALL_FAIL:
		print_and_end(TESTDEV_END_FAILED, "%s", (const char *)frame->rdi);
	default:
		print_and_end(TESTDEV_END_FAILED, "There is no system call %u.", frame->rax);
	}
	return frame;
}

struct kernel_frame *kernel_trap(struct kernel_frame *frame)
{
	uint64_t linear;

	if (frame->vector == KERNEL_SYSCALL_VECTOR)
		return system_call(frame);
	__asm__ volatile("mov %%cr2, %0" : "=r"(linear));
	/* Bit 0: the page is there, and the access not allowed. Bit 2: from ring 3. */
	if ((frame->error & 5) != 4 || !kernel_page_at(running->pml4, linear))
		print_and_end(TESTDEV_END_FAILED,
		        "The workload's access to %x at RIP %x is not allowed (#PF, error code %x).", linear,
		        frame->rip, frame->error);
	return frame;
}

/* ---- the kernel ---- */

void kernel_setup(void)
{
	kernel_memory_setup();
	for (uint64_t i = 0; i < SYS_FILE_BYTES; i++)
		file[i] = sys_file_byte(i);
	idt_set(VECTOR_PF, (void (*)(void))kernel_entry_page_fault);
	idt_set_user(KERNEL_SYSCALL_VECTOR, (void (*)(void))kernel_entry_syscall);
	idt_set(TESTDEV_TIMER_VECTOR, (void (*)(void))kernel_entry_timer);
	processes[0].pml4 = kernel_space_make();
}

uint64_t kernel_run(uint64_t (*entry)(uint64_t argument), uint64_t argument)
{
	begin(&processes[0], (uint64_t)entry, argument, (uint64_t)first_stack + sizeof(first_stack));
	kernel_enter(switch_to(&processes[0]));
	return processes[0].value;
}
