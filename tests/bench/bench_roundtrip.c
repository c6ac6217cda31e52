/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How near its floor is a nested round trip on this host's KVM? In one run, taken in turn:
 *
 *   bare exit       KVM_RUN ended by a port write, in a loop that does nothing else
 *   two VMs         the same, two VMs entered alternately: no user-space multiplexer can do less
 *   level-1 exit    a port write of a workload on L0 (emulated, recorded)
 *   round trip      a port write of L2, reflected to L1, which resumes L2 (vmcs=shadow, profile=minimal)
 *   L0's share      of the round trip, what is not spent inside KVM_RUN
 *
 * Where ring 0 runs natively it fails when the round trip costs more than 1.31 times the two VMs entered in turn (8,000
 * instructions in the lab, where the floor is 6,123) or more than 2.6 level-1 exits. L0's share is no measure there:
 * each instruction saved inside KVM_RUN makes it larger. Where KVM emulates ring 0, L1's own instructions are most of a
 * round trip and the floor says nothing of it: there L0's share may be 10 % at most.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "l0/cell.h"
#include "l0/kvm/kvm.h"

#define RUNS 2000
#define WARMUP 200
#define SHARE_LIMIT 0.10
#define FLOOR_LIMIT 1.31
#define RATIO_LIMIT 2.6
/* A ring-0 instruction slower than this is emulated. */
#define NATIVE_NS 50.0

static uint64_t tsc_khz;
static uint64_t ticks[RUNS];

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double median(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return (double)values[count / 2];
}

static double ns_of(double t)
{
	return t * 1e6 / (double)tsc_khz;
}

static void fail(const char *what)
{
	printf("FAIL: %s\n", what);
	exit(EXIT_FAILURE);
}

/* ---- bare KVM_RUN ---- */

struct bare {
	struct machine *machine;
	struct kvm_vm *vm;
};

/* A VM in the state images start in, at `out %al, $0x80; jmp` to itself; run once, so that everything is loaded. */
static void bare_make(struct bare *bare)
{
	static const uint8_t code[] = {0xe6, 0x80, 0xeb, 0xfc};
	const struct machine_config config = {.ram_bytes = 4u << 20};
	struct vmm_intercepts none = {0};
	struct boot_info info = {0};
	struct guest_regs regs;
	struct nested_page bitmap;
	struct refusal why;
	struct vmcs vmcs;

	if (machine_kvm.create(&bare->machine, &config, &why))
		fail(why.text);
	layout_prepare(&(struct guest_space){bare->machine->ram, config.ram_bytes}, &info);
	memcpy(bare->machine->ram + BOOT_GPA_IMAGE, code, sizeof(code));
	bitmap = machine_kvm.page_alloc(bare->machine);
	vmcs01_init(&vmcs, bare->machine, &none, &bitmap);
	vmcs01_start_64(&vmcs, &regs, BOOT_GPA_IMAGE, BOOT_GPA_PAGE_TABLES, BOOT_GPA_STACK_TOP, BOOT_GPA_INFO);
	if (machine_kvm.enter(bare->machine, &vmcs, &regs))
		fail(bare->machine->error);
	bare->vm = kvm_of(bare->machine)->vms[0];
	tsc_khz = bare->machine->tsc_khz;
}

static void bare_run(const struct bare *bare)
{
	if (ioctl(bare->vm->vcpu, KVM_RUN, 0) < 0 || bare->vm->run->exit_reason != KVM_EXIT_IO)
		fail("a bare KVM_RUN did not end with a port write");
}

static double bare_median(const struct bare *bare, unsigned count)
{
	for (unsigned i = 0; i < RUNS + WARMUP; i++) {
		const uint64_t begin = __builtin_ia32_rdtsc();
		for (unsigned vm = 0; vm < count; vm++)
			bare_run(&bare[vm]);
		if (i >= WARMUP)
			ticks[i - WARMUP] = __builtin_ia32_rdtsc() - begin;
	}
	return median(ticks, RUNS);
}

/* ---- cells ---- */

struct trips {
	double total;       /* ticks from one exit of the measured level to the next */
	double share;       /* of that, ticks outside KVM_RUN */
	double instruction; /* ticks of one iteration of the empty loop */
};

static void on_sample(void *ctx, enum testdev_mark end, uint64_t sample, uint64_t ops, uint64_t guest_ticks)
{
	struct trips *trips = ctx;

	(void)sample;
	if (end == TESTDEV_MARK_CONTROL_END)
		trips->instruction = (double)guest_ticks / (double)ops;
}

/* Run a pio cell and take the KVM_RUNs of its measured loop: `runs` of them make one operation. */
static void measure(struct trips *trips, const char *level, unsigned runs)
{
	static uint64_t log[2 * 4 * (RUNS + WARMUP)], outside[RUNS];
	const size_t pairs = (size_t)runs * (RUNS + WARMUP);
	struct ledger nowhere = {0};
	struct cell_setup setup;
	struct cell_plan plan;
	struct refusal why;
	struct cell cell;

	cell_defaults(&cell);
	cell_set(&cell, "level", level, NULL, 0);
	cell_set(&cell, "workload", "pio", NULL, 0);
	cell_set(&cell, "profile", "minimal", NULL, 0);
	if (cell_plan_make(&plan, &cell, &why))
		fail(why.text);
	plan.samples = 1;
	plan.ops = RUNS + 2 * WARMUP;
	plan.warmup = 0;
	if (cell_setup_make(&setup, &plan, &nowhere, &why))
		fail(why.text);
	setup.vmm.on_sample = on_sample;
	setup.vmm.on_sample_ctx = trips;
	struct kvm_machine *m = kvm_of(setup.vmm.machine);
	/* The log begins where the measured loop does: the sample mark is the first exit after the control loop's. */
	while (setup.vmm.phase != LEDGER_MEASURED) {
		if (vmm_step(&setup.vmm))
			fail(setup.vmm.why.text);
	}
	m->run_log = log;
	m->run_log_left = pairs;
	if (vmm_run(&setup.vmm))
		fail(setup.vmm.why.text);
	for (unsigned i = 0; i < RUNS; i++) {
		const uint64_t *trip = log + 2ul * runs * (i + WARMUP / 2);
		uint64_t inside = 0;
		ticks[i] = trip[2 * runs + 1] - trip[1];
		for (unsigned r = 1; r <= runs; r++)
			inside += trip[2 * r + 1] - trip[2 * r];
		outside[i] = ticks[i] - inside;
	}
	trips->share = median(outside, RUNS);
	trips->total = median(ticks, RUNS);
	cell_setup_free(&setup);
}

static void line(const char *what, double t, double unit)
{
	printf("%-44s %10.0f ns %10.0f ticks %6.2f\n", what, ns_of(t), t, t / unit);
}

int main(void)
{
	struct trips level_1, level_2;
	struct bare bare[2];
	struct refusal why;
	double one, two;

	if (machine_kvm.probe(&why)) {
		printf("SKIP: %s\n", why.text);
		return 77;
	}
	bare_make(&bare[0]);
	bare_make(&bare[1]);
	one = bare_median(bare, 1);
	two = bare_median(bare, 2);
	measure(&level_1, "1", 1);
	measure(&level_2, "2", 2);
	printf("medians of %d; the last column in level-1 exits\n", RUNS);
	line("bare KVM_RUN, ended by a port write", one, level_1.total);
	line("two VMs entered in turn, one exit each", two, level_1.total);
	line("level-1 port exit through L0", level_1.total, level_1.total);
	line("nested round trip (pio, shadow, minimal)", level_2.total, level_1.total);
	line("L0's own share of the level-1 exit", level_1.share, level_1.total);
	line("L0's own share of the round trip", level_2.share, level_1.total);
	printf("L0's share of the round trip: %.1f %%; round trip / two VMs: %.2f\n",
	        100 * level_2.share / level_2.total, level_2.total / two);
	for (int i = 0; i < 2; i++)
		machine_kvm.destroy(bare[i].machine);
	if (ns_of(level_1.instruction) > NATIVE_NS) {
		printf("ring 0 is emulated here (%.0f ns for an iteration of an empty loop): L0's share is limited to "
		       "%.0f %%, "
		       "not the round trip\n",
		        ns_of(level_1.instruction), 100 * SHARE_LIMIT);
		if (level_2.share > SHARE_LIMIT * level_2.total)
			fail("L0's share of the nested round trip is above its limit");
		return 0;
	}
	if (level_2.total > FLOOR_LIMIT * two)
		fail("the nested round trip costs more than 1.31 times two KVM_RUN");
	if (level_2.total > RATIO_LIMIT * level_1.total)
		fail("the nested round trip costs too many level-1 exits");
	return 0;
}
