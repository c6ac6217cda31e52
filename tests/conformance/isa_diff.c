/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isa_diff: random instructions on the soft CPU and on the host's CPU, held against each other.
 *
 *   isa_diff [--cases N] [--seed S]         compare (x86-64 hosts)
 *   isa_diff --one SEED --data-seed D       one case, printed in full
 *   isa_diff --record FILE [--cases N]      write cases with the host's outcome
 *   isa_diff --replay FILE                  the soft CPU against recorded cases (any host)
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "isa_case.h"

#define EXIT_SKIPPED 77
/** The data pages are made anew after so many seeds. */
#define SEEDS_PER_DATA 4096ull
#define SHOWN_DIFFERENCES 20
/** Flags that the kernel or the machine sets, not the instruction. */
#define COMPARED_FLAGS 0x200cd5ull
#define VECTOR_GP 13
#define VECTOR_SS 12
#define VECTOR_PF 14
#define PF_PRESENT 1u

static uint8_t template[ISA_DATA_BYTES];

static const char *const gpr_names[16] = {
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

/* ---- data pages: both sides start from the template ---- */

static void set_template(uint64_t data_seed, bool native)
{
	isa_make_data(data_seed, template);
	memcpy(isa_soft_data(), template, ISA_DATA_BYTES);
	if (native)
		isa_native_fill(template);
}

static void restore(uint8_t *data)
{
	if (memcmp(data, template, ISA_WRITABLE_BYTES))
		memcpy(data, template, ISA_WRITABLE_BYTES);
}

/* ---- comparison ---- */

/**
 * The host may be AMD's: a branch to a non-canonical address faults at its target there, or, of a CALL, its push faults
 * first. Intel's processors, and this one, fault before.
 */
static bool same_branch_fault(const struct isa_case *c, const struct isa_state *soft, const struct isa_state *native)
{
	return c->amd_branch_fault && soft->vector == VECTOR_GP && soft->rip == c->before.rip &&
	       (native->vector == VECTOR_GP ? native->rip != soft->rip
	                                    : native->vector == VECTOR_PF || native->vector == VECTOR_SS);
}

/** From here up lie the host's own pages, and its kernel: whether one is present is no matter of the case. */
#define HOST_PAGES 0x700000000000ull

/** The kernel's page of old system calls can be executed in ring 3. */
#define VSYSCALL_PAGE 0xffffffffff600000ull

static bool same_error(const struct isa_state *soft, const struct isa_state *native)
{
	const uint32_t ignored = soft->cr2 >= HOST_PAGES ? PF_PRESENT : 0;

	return !((soft->error ^ native->error) & ~ignored);
}

/*
 * CMPS reads two operands. Where both fault, processors differ in which comes first: Zen
 * 1 (family 17h model 1) takes (R)DI's, later ones (R)SI's. Nothing else may differ.
 */
static bool same_compare_fault(const struct isa_case *c, const struct isa_state *soft, const struct isa_state *native)
{
	uint8_t opcode = 0;

	for (uint8_t i = 0; i < c->length && (opcode & 0xfe) != 0xa6; i++)
		opcode = c->code[i];
	return (opcode & 0xfe) == 0xa6 && (soft->vector == VECTOR_PF || soft->vector == VECTOR_GP) &&
	       (native->vector == VECTOR_PF || native->vector == VECTOR_GP) && soft->rip == native->rip &&
	       soft->rflags == native->rflags && !memcmp(soft->gpr, native->gpr, sizeof(soft->gpr));
}

static bool states_equal(const struct isa_case *c, const struct isa_state *soft, const struct isa_state *native)
{
	const uint64_t flags = COMPARED_FLAGS & ~c->undefined_flags;

	if (same_branch_fault(c, soft, native) || same_compare_fault(c, soft, native) ||
	        soft->cr2 >> 12 == VSYSCALL_PAGE >> 12)
		return true;
	if (soft->vector != native->vector)
		return false;
	return soft->rip == native->rip && same_error(soft, native) && soft->cr2 == native->cr2 &&
	       !((soft->rflags ^ native->rflags) & flags) && soft->mxcsr == native->mxcsr &&
	       (c->undefined_destination || !memcmp(soft->gpr, native->gpr, sizeof(soft->gpr))) &&
	       !memcmp(soft->xmm, native->xmm, sizeof(soft->xmm));
}

static bool memory_equal(const struct isa_case *c, const struct isa_state *native)
{
	if (c->partial_memory && native->vector == VECTOR_PF)
		return true;
	return !memcmp(isa_soft_data(), isa_native_data(), ISA_WRITABLE_BYTES);
}

static void show_difference(const char *name, uint64_t before, uint64_t soft, uint64_t native)
{
	if (soft != native)
		printf("    %-8s before %016llx  soft %016llx  host %016llx\n", name, (unsigned long long)before,
		        (unsigned long long)soft, (unsigned long long)native);
}

static void show(const struct isa_case *c, const struct isa_state *soft, const struct isa_state *native)
{
	char text[128], name[16];

	isa_text(c, text, sizeof(text));
	printf("seed %llu: %s [", (unsigned long long)c->seed, text);
	for (unsigned i = 0; i < c->length; i++)
		printf("%s%02x", i ? " " : "", c->code[i]);
	printf("] at %llx\n", (unsigned long long)c->before.rip);
	show_difference("vector", 0, soft->vector, native->vector);
	show_difference("error", 0, soft->error, native->error);
	show_difference("cr2", 0, soft->cr2, native->cr2);
	show_difference("rip", c->before.rip, soft->rip, native->rip);
	show_difference("flags", c->before.rflags, soft->rflags & COMPARED_FLAGS & ~c->undefined_flags,
	        native->rflags & COMPARED_FLAGS & ~c->undefined_flags);
	show_difference("mxcsr", c->before.mxcsr, soft->mxcsr, native->mxcsr);
	for (unsigned i = 0; i < 16; i++)
		show_difference(gpr_names[i], c->before.gpr[i], soft->gpr[i], native->gpr[i]);
	for (unsigned i = 0; i < 32; i++) {
		snprintf(name, sizeof(name), "xmm%u.%u", i / 2, i % 2);
		show_difference(name, c->before.xmm[i / 2].u64[i % 2], soft->xmm[i / 2].u64[i % 2],
		        native->xmm[i / 2].u64[i % 2]);
	}
	for (unsigned i = 0; i < ISA_WRITABLE_BYTES; i++)
		if (isa_soft_data()[i] != isa_native_data()[i]) {
			printf("    data+%x: before %02x, soft %02x, host %02x\n", i, template[i], isa_soft_data()[i],
			        isa_native_data()[i]);
			break;
		}
}

/* ---- the compare run ---- */

static struct {
	uint64_t cases, differences, exceptions, endless;
} totals;

/** Execute the case on both sides. False: it differs. */
static bool compare_case(const struct isa_case *c, bool verbose)
{
	struct isa_state soft, native;
	bool equal;

	if (!isa_soft_execute(c, &soft)) {
		restore(isa_soft_data());
		totals.endless++;
		return true;
	}
	isa_native_execute(c, &native);
	equal = states_equal(c, &soft, &native) && memory_equal(c, &native);
	totals.cases++;
	totals.exceptions += soft.vector != 3;
	if (!equal || verbose)
		show(c, &soft, &native);
	restore(isa_soft_data());
	restore(isa_native_data());
	return equal;
}

static int compare(uint64_t first_seed, uint64_t wanted)
{
	struct timespec from, to;
	uint64_t seed = first_seed;
	struct isa_case c;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (; totals.cases < wanted; seed++) {
		if (seed == first_seed || seed % SEEDS_PER_DATA == 0)
			set_template(seed / SEEDS_PER_DATA, true);
		if (isa_generate(seed, template, &c) && !compare_case(&c, false) &&
		        ++totals.differences >= SHOWN_DIFFERENCES)
			break;
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%llu cases (seeds %llu to %llu), %llu ended by an exception of their own, %llu left out as endless: "
	       "%llu differences; %.1f s\n",
	        (unsigned long long)totals.cases, (unsigned long long)first_seed, (unsigned long long)seed - 1,
	        (unsigned long long)totals.exceptions, (unsigned long long)totals.endless,
	        (unsigned long long)totals.differences,
	        (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	return totals.differences ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int compare_one(uint64_t seed)
{
	struct isa_case c;

	set_template(seed / SEEDS_PER_DATA, true);
	if (!isa_generate(seed, template, &c)) {
		printf("seed %llu makes no case\n", (unsigned long long)seed);
		return EXIT_FAILURE;
	}
	return compare_case(&c, true) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- recorded cases: 32 bytes each, little-endian ---- */

struct record {
	uint64_t seed;
	uint64_t digest; /**< of everything that is defined afterwards */
	uint8_t code[15];
	uint8_t length;
};

static uint64_t mix(uint64_t digest, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	while (size--) /* FNV-1a */
		digest = (digest ^ *p++) * 0x100000001b3ull;
	return digest;
}

static uint64_t digest_of(const struct isa_case *c, const struct isa_state *after, const uint8_t *data)
{
	const uint64_t flags = after->rflags & COMPARED_FLAGS & ~c->undefined_flags;
	uint64_t digest = 0xcbf29ce484222325ull;

	digest = mix(digest, &after->vector, 1);
	if (after->cr2 < HOST_PAGES)
		digest = mix(digest, &after->error, 4);
	digest = mix(digest, &after->cr2, 8);
	digest = mix(digest, &after->rip, 8);
	digest = mix(digest, &flags, 8);
	digest = mix(digest, &after->mxcsr, 4);
	if (!c->undefined_destination)
		digest = mix(digest, after->gpr, sizeof(after->gpr));
	digest = mix(digest, after->xmm, sizeof(after->xmm));
	if (!c->partial_memory)
		digest = mix(digest, data, ISA_WRITABLE_BYTES);
	return digest;
}

static int record(const char *path, uint64_t first_seed, uint64_t wanted)
{
	FILE *file = fopen(path, "wb");
	uint64_t written = 0;
	struct isa_case c;

	if (!file) {
		fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	for (uint64_t seed = first_seed; written < wanted; seed++) {
		struct isa_state soft, native;
		struct record r = {.seed = seed};

		if (seed == first_seed || seed % SEEDS_PER_DATA == 0)
			set_template(seed / SEEDS_PER_DATA, true);
		if (!isa_generate(seed, template, &c) || c.length > sizeof(r.code) || !isa_soft_execute(&c, &soft)) {
			restore(isa_soft_data());
			continue;
		}
		isa_native_execute(&c, &native);
		/* A case that the two manufacturers do differently is no reference. */
		if (!same_branch_fault(&c, &soft, &native)) {
			r.digest = digest_of(&c, &native, isa_native_data());
			r.length = c.length;
			memcpy(r.code, c.code, sizeof(r.code));
			fwrite(&r, sizeof(r), 1, file);
			written++;
		}
		restore(isa_soft_data());
		restore(isa_native_data());
	}
	return fclose(file) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint64_t data_seed = ~0ull, cases = 0, differences = 0;
	struct record r;

	if (!file) {
		fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	while (fread(&r, sizeof(r), 1, file) == 1) {
		struct isa_case c = {.length = r.length};
		struct isa_state after;
		char text[128];

		if (r.seed / SEEDS_PER_DATA != data_seed) {
			data_seed = r.seed / SEEDS_PER_DATA;
			set_template(data_seed, false);
		}
		memset(c.code, 0xcc, sizeof(c.code));
		memcpy(c.code, r.code, r.length);
		cases++;
		if (!isa_make_state(r.seed, template, &c) || !isa_soft_execute(&c, &after) ||
		        digest_of(&c, &after, isa_soft_data()) != r.digest) {
			isa_text(&c, text, sizeof(text));
			printf("seed %llu: %s differs from the recorded outcome\n", (unsigned long long)r.seed, text);
			differences++;
		}
		restore(isa_soft_data());
	}
	fclose(file);
	printf("%llu recorded cases: %llu differences\n", (unsigned long long)cases, (unsigned long long)differences);
	return differences || !cases ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cases", required_argument, NULL, 'n'},
	        {"seed", required_argument, NULL, 's'}, {"one", required_argument, NULL, '1'},
	        {"record", required_argument, NULL, 'w'}, {"replay", required_argument, NULL, 'r'}, {0}};
	const char *record_path = NULL, *replay_path = NULL;
	uint64_t cases = 200000, seed = 1, one = 0;
	int option, error;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			cases = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case '1':
			one = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			record_path = optarg;
			break;
		case 'r':
			replay_path = optarg;
			break;
		default:
			return 2;
		}
	}
	error = isa_soft_open();
	if (error) {
		fprintf(stderr, "the soft machine cannot be made: %s\n", strerror(-error));
		return EXIT_FAILURE;
	}
	if (replay_path)
		return replay(replay_path);
	error = isa_native_open();
	if (error == -ENOTSUP) {
		printf("skipped: the host is not x86-64; the recorded cases are replayed instead\n");
		return EXIT_SKIPPED;
	}
	if (error) {
		fprintf(stderr, "the pages of the host's side cannot be made: %s\n", strerror(-error));
		return EXIT_FAILURE;
	}
	if (record_path)
		return record(record_path, seed, cases);
	return one ? compare_one(one) : compare(seed, cases);
}
