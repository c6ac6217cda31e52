/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seeded driver: inputs from a fixed seed, the same in each run.
 *
 *   fuzz_x [--runs N] [--seconds N] [--seed N]   N inputs, or as many as fit in the time
 *   fuzz_x --seed N --run N                      only that one (what a failure names)
 *   fuzz_x FILE...                               the inputs in these files (libFuzzer's crash files)
 *
 * Input number n depends on seed and n alone.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 4096, HANG_SECONDS = 60 };

static uint64_t seed = 1, run;
static uint8_t input[INPUT_MAX];

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* Mostly short inputs, so that many are tried; runs of one byte and small values reach deeper than noise does. */
static size_t make_input(void)
{
	uint64_t state = (seed * 0x9e3779b97f4a7c15ull) ^ (run + 1) * 0xbf58476d1ce4e5b9ull;
	size_t size_max, size, at = 0;

	if (state == 0)
		state = 1;
	next_random(&state);
	size_max = next_random(&state) % 4 ? 512 : INPUT_MAX;
	size = next_random(&state) % size_max;
	while (at < size) {
		const uint64_t kind = next_random(&state) % 8;
		const uint8_t byte = (uint8_t)next_random(&state);
		size_t length = 1 + next_random(&state) % 16;
		for (; length > 0 && at < size; length--, at++) {
			const uint8_t noise = (uint8_t)(next_random(&state) >> 32);
			input[at] = kind == 0 ? byte : kind < 3 ? noise & 7 : noise;
		}
	}
	return size;
}

/* What the handler says of the input that runs now; made before, since a handler may not format. */
static char which[96];
static size_t which_length;

static void name_input(void)
{
	which_length = (size_t)snprintf(which, sizeof(which), "; again with --seed %llu --run %llu\n",
	        (unsigned long long)seed, (unsigned long long)run);
}

static void say(const char *text, size_t length)
{
	if (write(STDERR_FILENO, text, length) < 0)
		_exit(2);
}

/* SIGABRT of a failed requirement or sanitizer (abort_on_error=1), SIGALRM of a run that does not end. */
static void report(int signal_number)
{
	static const char failed[] = "fuzz: an input failed", endless[] = "fuzz: an input did not end";

	if (signal_number == SIGALRM)
		say(endless, sizeof(endless) - 1);
	else
		say(failed, sizeof(failed) - 1);
	say(which, which_length);
	_exit(1);
}

static int run_file(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		fprintf(stderr, "fuzz: cannot read %s: %s\n", path, strerror(errno));
		return 1;
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	fuzz_one(bytes, size);
	return 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"runs", required_argument, NULL, 'n'},
	        {"seconds", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
	        {"run", required_argument, NULL, 'r'}, {0}};
	uint64_t first = 0, runs = 4000, done = 0;
	double seconds = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			runs = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = strtod(optarg, NULL);
			runs = UINT64_MAX;
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			first = strtoull(optarg, NULL, 0);
			runs = 1;
			break;
		default:
			return 2;
		}
	}
	if (optind < argc) {
		int failed = 0;
		for (int i = optind; i < argc; i++)
			failed |= run_file(argv[i]);
		return failed;
	}
	signal(SIGABRT, report);
	signal(SIGALRM, report);
	const double begin = now();
	for (run = first; done < runs; run++, done++) {
		if (done % 64 == 0) {
			alarm(HANG_SECONDS);
			if (seconds > 0 && now() - begin >= seconds)
				break;
		}
		name_input();
		fuzz_one(input, make_input());
	}
	printf("%llu inputs from seed %llu, none failed", (unsigned long long)done, (unsigned long long)seed);
	if (seconds > 0)
		printf(", %.0f a second", (double)done / (now() - begin));
	printf("\n%s", fuzz_summary() ? fuzz_summary() : "");
	return 0;
}
