/* SPDX-License-Identifier: Apache-2.0 */
/* The example in another language reads what the recorder wrote. argv[1]: read_run.py. Skipped where Python or its
 * msgpack is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "results/recorder.h"

/* Python decodes every column itself and prints a sum over all fields: the whole format, not only what the example
 * needs. Sums are modulo 2^64. */
static const char decode_everything[] =
        "import msgpack, struct, sys\n"
        "data, at, total = open(sys.argv[1], 'rb').read(), 16, 0\n"
        "while at < len(data):\n"
        "    length, kind = struct.unpack_from('<II', data, at + 4)\n"
        "    f = msgpack.unpackb(data[at + 16:at + 16 + length])\n"
        "    at += 16 + length\n"
        "    if kind != 3: continue\n"
        "    n, zeros = f['n'], [0] * f['n']\n"
        "    gap, skipped = zeros[:], 0\n"
        "    pairs = f.get('gap', [])\n"
        "    for skip, value in zip(pairs[::2], pairs[1::2]):\n"
        "        gap[skipped + skip] = value\n"
        "        skipped += skip + 1\n"
        "    runs = f.get('sample', [0, n])\n"
        "    samples = [s for s, count in zip(runs[::2], runs[1::2]) for _ in range(count)]\n"
        "    details, last, tsc, l0 = iter(f.get('detail', [])), {}, 0, 0\n"
        "    for i in range(n):\n"
        "        k = f['kind'][i]\n"
        "        reason, level, handler, phase, flags, detail = f['kinds'][k]\n"
        "        g0, l0_0, d0 = last.get(k, (0, 0, 0))\n"
        "        guest = g0 + f.get('guest', zeros)[i]\n"
        "        own = l0_0 + f.get('l0', zeros)[i]\n"
        "        if detail is None: detail = (d0 + next(details)) % 2**64\n"
        "        last[k] = guest, own, detail\n"
        "        tsc = f['tsc'] if i == 0 else (tsc + l0 + guest + gap[i]) % 2**64\n"
        "        l0 = own\n"
        "        fields = tsc, detail, guest, own, reason, samples[i], level, handler, phase, flags\n"
        "        total += sum((j + 1) * x for j, x in enumerate(fields))\n"
        "print(total % 2**64)\n";

static void write_run(const struct ledger_record *records, size_t count)
{
	struct recorder_config config = {.path = fixture_path()};
	struct run_info *info = calloc(1, sizeof(*info));
	struct cell_result *result = calloc(1, sizeof(*result));
	struct recorder recorder;
	struct ledger ledger;
	struct cell cell;

	cell_defaults(&cell);
	fixture_result(result, 10, 10);
	strcpy(result->console, "hello \xff");
	result->console_bytes = 7;
	run_info_set(info, "cpu", "%s", "Größe");
	ck_assert_int_eq(recorder_start(&recorder, &config), 0);
	ck_assert_int_eq(recorder_begin_run(&recorder, info), 0);
	ck_assert_int_eq(recorder_begin_cell(&recorder, &cell), 0);
	ledger_attach(&ledger, recorder.ring, LEDGER_WAIT);
	for (size_t i = 0; i < count; i++)
		ledger_write(&ledger, &records[i]);
	ck_assert_int_eq(recorder_end_cell(&recorder, result), 0);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	free(info);
	free(result);
}

/* First line a command prints; false when it fails. */
static bool run(const char *command, char *line, size_t bytes)
{
	FILE *pipe = popen(command, "r");

	line[0] = '\0';
	if (!pipe)
		return false;
	if (fgets(line, (int)bytes, pipe))
		line[strcspn(line, "\n")] = '\0';
	return !pclose(pipe);
}

static uint64_t sum(const struct ledger_record *records, size_t count)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++) {
		const struct ledger_record *r = &records[i];

		total += r->tsc + 2 * r->detail + 3ull * r->guest_ticks + 4ull * r->l0_ticks + 5ull * r->reason +
		         6ull * r->sample + 7ull * r->level + 8ull * r->handler + 9ull * r->phase + 10ull * r->flags;
	}
	return total;
}

static const char *example, *python;

/* The python3 of the PATH may be one without Debian's packages. */
static const char *find_python(void)
{
	static const char *const names[] = {"python3", "/usr/bin/python3"};
	char command[100], line[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(command, sizeof(command), "%s -c 'import msgpack' 2>/dev/null", names[i]);
		if (run(command, line, sizeof(line)))
			return names[i];
	}
	return NULL;
}

START_TEST(the_example_counts_exits)
{
	struct ledger_record records[13 * 100];
	char command[600], line[300];

	fixture_typical_records(records, 13 * 100, 1);
	write_run(records, 13 * 100);
	snprintf(command, sizeof(command), "%s %s %s", python, example, fixture_path());
	ck_assert(run(command, line, sizeof(line)));
	ck_assert_str_eq(line, "0 cpuid L1:23=700 L1:24=100 L1:25=400 L2:10=100");
}
END_TEST

START_TEST(every_field_of_every_record)
{
	size_t count = 80000;
	struct ledger_record *records = malloc(count * sizeof(*records));
	char command[4096], line[300], expected[64];

	fixture_typical_records(records, count - 2000, 1);
	fixture_random_records(records + count - 2000, 2000, 2);
	write_run(records, count);
	snprintf(command, sizeof(command), "%s - %s <<'END'\n%sEND\n", python, fixture_path(), decode_everything);
	ck_assert(run(command, line, sizeof(line)));
	snprintf(expected, sizeof(expected), "%llu", (unsigned long long)sum(records, count));
	ck_assert_str_eq(line, expected);
	free(records);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failed;

	python = find_python();
	if (!python) {
		printf("SKIP: python3 or its msgpack is not installed (Debian: python3-msgpack)\n");
		return 77;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: test_recorder_python READ_RUN.PY\n");
		return EXIT_FAILURE;
	}
	example = argv[1];
	suite = suite_create("recorder_python");
	tcase = tcase_create("recorder_python");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, the_example_counts_exits);
	tcase_add_test(tcase, every_field_of_every_record);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
