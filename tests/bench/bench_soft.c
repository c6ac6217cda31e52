/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the soft CPU: a gcc -O2 integer workload in ring 3 under two-level paging, and the same bytes natively, in
 * one run. Usage: bench_soft WORKLOAD (the flat binary of soft_workload.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "l0/soft/soft.h"

#define WORKLOAD_BASE 0x30000000ull
#define HEAP_BASE 0x30200000ull
#define LARGE_PAGE (2ull << 20)
#define HEAP_BYTES LARGE_PAGE
#define STACK_TOP (HEAP_BASE + HEAP_BYTES - 64)
#define RAM_BYTES (16ull << 20)
/* Guest-physical layout: guest tables, the landing (a VMCALL), code, heap with the stack at its end. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT_CODE 0x4000ull
#define PT_HEAP 0x5000ull
#define CODE 0x200000ull
#define HEAP 0x400000ull
#define LANDING (WORKLOAD_BASE + 0x1f0000)
#define RUNS 5
#define WANTED_MIPS 150.0

/** CPU time: other work on the host does not count. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put64(struct machine *machine, uint64_t address, uint64_t value)
{
	memcpy(machine->ram + address, &value, 8);
}

/** Both regions in 4 KiB pages; EPT01 beneath is the machine's own. */
static void make_tables(struct machine *machine)
{
	put64(machine, PML4, PDPT | 7);
	put64(machine, PDPT, PD | 7);
	put64(machine, PD + (WORKLOAD_BASE >> 21) * 8, PT_CODE | 7);
	put64(machine, PD + (HEAP_BASE >> 21) * 8, PT_HEAP | 7);
	for (uint64_t i = 0; i < 512; i++) {
		put64(machine, PT_CODE + i * 8, (CODE + i * 4096) | 7);
		put64(machine, PT_HEAP + i * 8, (HEAP + i * 4096) | 7);
	}
}

static void make_vmcs(struct machine *machine, struct vmcs *vmcs)
{
	memset(vmcs, 0, sizeof(*vmcs));
	vmcs->revision_id = VMCS_REVISION_ID;
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++) {
		vmcs_set(vmcs, VMCS_GUEST_ES_SELECTOR + i, i == SOFT_CS ? 0x33 : 0x2b);
		vmcs_set(vmcs, VMCS_GUEST_ES_LIMIT + i, 0xffffffff);
		vmcs_set(vmcs, VMCS_GUEST_ES_ACCESS_RIGHTS + i, i == SOFT_CS ? 0xa0fb : 0xc0f3);
	}
	vmcs_set(vmcs, VMCS_GUEST_LDTR_ACCESS_RIGHTS, AR_UNUSABLE);
	vmcs_set(vmcs, VMCS_GUEST_TR_ACCESS_RIGHTS, 0x8b);
	vmcs_set(vmcs, VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP);
	vmcs_set(vmcs, VMCS_GUEST_CR3, PML4);
	vmcs_set(vmcs, VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_OSFXSR);
	vmcs_set(vmcs, VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME);
	vmcs_set(vmcs, VMCS_GUEST_DR7, DR7_INITIAL);
	vmcs_set(vmcs, VMCS_GUEST_RIP, WORKLOAD_BASE);
	vmcs_set(vmcs, VMCS_GUEST_RSP, STACK_TOP - 8);
	vmcs_set(vmcs, VMCS_GUEST_RFLAGS, 0x2);
	vmcs_set(vmcs, VMCS_VMCS_LINK_POINTER, ~0ull);
	vmcs_set(vmcs, VMCS_EXCEPTION_BITMAP, 0xffffffff);
	vmcs_set(vmcs, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS));
	vmcs_set(vmcs, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID));
	vmcs_set(vmcs, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER));
	vmcs_set(vmcs, VMCS_EPT_POINTER, machine->eptp01);
	vmcs_set(vmcs, VMCS_VIRTUAL_PROCESSOR_ID, 1);
}

/** Run the workload as a guest; its result, time and instructions. 0 or -errno. */
static int run_guest(const uint8_t *image, size_t bytes, uint64_t *result, double *seconds, uint64_t *instructions)
{
	static const uint8_t vmcall[] = {0x0f, 0x01, 0xc1};
	const struct machine_config config = {.ram_bytes = RAM_BYTES};
	struct guest_regs regs = {.gpr[GPR_RDI] = HEAP_BASE};
	struct machine *machine;
	struct refusal why;
	struct vmcs vmcs;
	uint64_t before;
	double start;
	int error = machine_soft.create(&machine, &config, &why);

	if (error)
		return error;
	make_tables(machine);
	memcpy(machine->ram + CODE, image, bytes);
	memcpy(machine->ram + CODE + (LANDING - WORKLOAD_BASE), vmcall, sizeof(vmcall));
	put64(machine, HEAP + (STACK_TOP - 8 - HEAP_BASE), LANDING);
	make_vmcs(machine, &vmcs);
	before = machine_soft.clock(machine);
	start = now();
	error = machine_soft.enter(machine, &vmcs, &regs);
	*seconds = now() - start;
	*instructions = machine_soft.clock(machine) - before;
	*result = regs.gpr[GPR_RAX];
	if (!error && (vmcs_get(&vmcs, VMCS_EXIT_REASON) != EXIT_REASON_VMCALL ||
	                      vmcs_get(&vmcs, VMCS_GUEST_RIP) != LANDING)) {
		fprintf(stderr, "exit %llu at RIP %#llx\n", (unsigned long long)vmcs_get(&vmcs, VMCS_EXIT_REASON),
		        (unsigned long long)vmcs_get(&vmcs, VMCS_GUEST_RIP));
		error = -EIO;
	}
	machine_soft.destroy(machine);
	return error;
}

#if defined(__x86_64__)
static double run_native(const uint8_t *image, size_t bytes, uint64_t *result)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	uint64_t (*entry)(void *) = (uint64_t(*)(void *))WORKLOAD_BASE;
	void *code = mmap((void *)WORKLOAD_BASE, LARGE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
	void *heap = mmap((void *)HEAP_BASE, HEAP_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
	double start, seconds;

	if (code == MAP_FAILED || heap == MAP_FAILED)
		return 0;
	memcpy(code, image, bytes);
	start = now();
	*result = entry(heap);
	seconds = now() - start;
	munmap(code, LARGE_PAGE);
	munmap(heap, HEAP_BYTES);
	return seconds;
}
#else
static double run_native(const uint8_t *image, size_t bytes, uint64_t *result)
{
	return 0;
}
#endif

int main(int argc, char **argv)
{
	static uint8_t image[LARGE_PAGE / 2];
	double best = 1e9, native = 1e9;
	uint64_t result = 0, native_result = 0, instructions = 0;
	size_t bytes;
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;

	if (!file) {
		fprintf(stderr, "usage: bench_soft WORKLOAD\n");
		return 2;
	}
	bytes = fread(image, 1, sizeof(image), file);
	fclose(file);
	for (unsigned i = 0; i < RUNS; i++) {
		double seconds;

		if (run_guest(image, bytes, &result, &seconds, &instructions))
			return EXIT_FAILURE;
		best = seconds < best ? seconds : best;
		seconds = run_native(image, bytes, &native_result);
		native = seconds < native ? seconds : native;
	}
	printf("soft: %.1f M instructions in %.3f s: %.1f MIPS (best of %d)\n", (double)instructions / 1e6, best,
	        (double)instructions / 1e6 / best, RUNS);
	if (native > 0)
		printf("native: %.3f s, %.0f MIPS; soft takes %.1f times as long\n", native,
		        (double)instructions / 1e6 / native, best / native);
	if (native > 0 && result != native_result) {
		fprintf(stderr, "results differ: soft %llx, native %llx\n", (unsigned long long)result,
		        (unsigned long long)native_result);
		return EXIT_FAILURE;
	}
	if ((double)instructions / 1e6 / best < WANTED_MIPS) {
		fprintf(stderr, "fewer than %.0f MIPS\n", WANTED_MIPS);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
