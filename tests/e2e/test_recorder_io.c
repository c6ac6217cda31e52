/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's writes: io_uring and what takes its place when it is refused; disks that are full. Each refusal of
 * space is tried with both ways of writing. Tests that this host does not allow say why and count as passed; those with
 * RLIMIT_FSIZE run everywhere.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<seccomp.h>)
#include <seccomp.h>
#define HAVE_SECCOMP 1
#endif

#include "fixture.h"
#include "results/recorder.h"
#include "results/writer.h"

#define RECORDS 300000

static struct recorder recorder;
static struct ledger_record *records;
static struct cell_result *result;
static struct run_info *info;
static struct cell cell;

static void setup(void)
{
	records = malloc(RECORDS * sizeof(*records));
	result = calloc(1, sizeof(*result));
	info = calloc(1, sizeof(*info));
	fixture_typical_records(records, RECORDS, 1);
	fixture_result(result, 10, 10);
	cell_defaults(&cell);
}

static void teardown(void)
{
	free(records);
	free(result);
	free(info);
}

static void use_io_uring(bool use)
{
	if (use)
		unsetenv(WRITER_NO_IO_URING);
	else
		setenv(WRITER_NO_IO_URING, "1", 1);
}

static void start(const char *path)
{
	struct recorder_config config = {.path = path};
	int err;

	unlink(path);
	err = recorder_start(&recorder, &config);
	ck_assert_msg(!err, "%s", recorder_error(&recorder));
	ck_assert_int_eq(recorder_begin_run(&recorder, info), 0);
}

static int run_cell(void)
{
	struct ledger ledger;
	int err = recorder_begin_cell(&recorder, &cell);

	if (err)
		return err;
	ledger_attach(&ledger, recorder.ring, LEDGER_WAIT);
	for (size_t i = 0; i < RECORDS; i++)
		ledger_write(&ledger, &records[i]);
	return recorder_end_cell(&recorder, result);
}

/* Records of a cell in the file are the first ones of what was published; how many. */
static size_t check_records(const char *path, size_t index)
{
	struct ledger_record *found;
	struct reader *reader;
	size_t count;

	ck_assert_int_eq(reader_open(&reader, path, NULL, 0), 0);
	ck_assert_uint_eq(reader_overview(reader)->damaged_bytes, 0);
	found = fixture_read_records(reader, index, &count);
	ck_assert_uint_le(count, RECORDS);
	ck_assert(!count || !memcmp(found, records, count * sizeof(*found)));
	free(found);
	reader_close(reader);
	return count;
}

static void whole_run(const char *expected_io)
{
	start(fixture_path());
	ck_assert_msg(strstr(recorder_io(&recorder), expected_io), "%s", recorder_io(&recorder));
	ck_assert_int_eq(run_cell(), 0);
	/* Equal cells would be rounds of one. */
	ck_assert_int_eq(cell_set(&cell, "timeout", "7", NULL, 0), 0);
	ck_assert_int_eq(run_cell(), 0);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	ck_assert_uint_eq(check_records(fixture_path(), 0), RECORDS);
	ck_assert_uint_eq(check_records(fixture_path(), 1), RECORDS);
}

START_TEST(io_uring_refused_by_the_environment)
{
	use_io_uring(false);
	whole_run("pwrite (TESTUDO_NO_IO_URING=1)");
}
END_TEST

START_TEST(whatever_this_host_offers)
{
	use_io_uring(true);
	whole_run("");
	printf("this host writes with %s\n", recorder_io(&recorder));
	fflush(stdout);
}
END_TEST

/* As container runtimes do it. */
START_TEST(io_uring_refused_by_seccomp)
{
#ifdef HAVE_SECCOMP
	static const int errors[] = {EPERM, ENOSYS};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	char expected[100];

	ck_assert_ptr_nonnull(filter);
	ck_assert_int_eq(
	        seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)errors[_i]), SCMP_SYS(io_uring_setup), 0), 0);
	ck_assert_int_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
	use_io_uring(true);
	snprintf(expected, sizeof(expected), "pwrite (io_uring refused: %s)", strerror(errors[_i]));
	whole_run(expected);
#else
	printf("SKIP io_uring refused by seccomp: built without libseccomp\n");
#endif
}
END_TEST

/* A full disk under a run: said at once, kept to, and what is in the file stays readable. */
static void fill_up(const char *path, int error)
{
	struct reader *reader;
	struct stat status;
	char sentence[300];
	size_t kept;

	start(path);
	ck_assert_int_eq(run_cell(), error);
	snprintf(sentence, sizeof(sentence), "%s", recorder_error(&recorder));
	ck_assert_ptr_nonnull(strstr(sentence, path));
	ck_assert_ptr_nonnull(strstr(sentence, strerror(-error)));
	ck_assert_int_eq(recorder_check(&recorder), error);
	/* A producer that waits is not left hanging, and the answer stays the same. */
	ck_assert_int_eq(run_cell(), error);
	ck_assert_int_eq(recorder_finish(&recorder), error);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), strerror(-error)));

	kept = check_records(path, 0);
	ck_assert_uint_lt(kept, RECORDS);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(reader_open(&reader, path, NULL, 0), 0);
	ck_assert_uint_eq(reader_overview(reader)->torn_bytes, 0);
	ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_RUNNING);
	/* The END frame is small; where it found room it says what happened. */
	if (reader_overview(reader)->ended)
		ck_assert_ptr_nonnull(strstr(reader_overview(reader)->end_reason, strerror(-error)));
	printf("full at %lld bytes: %zu records kept, end frame %s\n", (long long)status.st_size, kept,
	        reader_overview(reader)->ended ? "written" : "not written");
	fflush(stdout);
	reader_close(reader);
}

START_TEST(a_file_size_limit)
{
	const struct rlimit limit = {1000000, 1000000};

	use_io_uring(_i);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	fill_up(fixture_path(), -EFBIG);
}
END_TEST

/* A small tmpfs needs a mount: as root, or in a user namespace of our own. */
static const char *mount_small(const char *folder)
{
	static char why[100];

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS)) {
		snprintf(why, sizeof(why), "no namespace of our own: %s", strerror(errno));
		return why;
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", folder, "tmpfs", 0, "size=1m")) {
		snprintf(why, sizeof(why), "no mount: %s", strerror(errno));
		return why;
	}
	return NULL;
}

START_TEST(a_full_tmpfs)
{
	char folder[] = "/tmp/testudo-full-XXXXXX", path[64];
	const char *why;

	use_io_uring(_i);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	why = mount_small(folder);
	if (why) {
		printf("SKIP a full tmpfs: %s\n", why);
		fflush(stdout);
	} else {
		snprintf(path, sizeof(path), "%s/run.tdo", folder);
		fill_up(path, -ENOSPC);
		umount(folder);
	}
	rmdir(folder);
}
END_TEST

/* Nothing fits, not even the file's header: said at once. */
START_TEST(a_device_that_is_always_full)
{
	struct recorder_config config = {.path = "/dev/full", .append = true};

	ck_assert_int_eq(recorder_start(&recorder, &config), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "/dev/full: No space left on device"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recorder_io");
	TCase *tcase = tcase_create("recorder_io");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, whatever_this_host_offers);
	tcase_add_test(tcase, io_uring_refused_by_the_environment);
	tcase_add_loop_test(tcase, io_uring_refused_by_seccomp, 0, 2);
	tcase_add_loop_test(tcase, a_file_size_limit, 0, 2);
	tcase_add_loop_test(tcase, a_full_tmpfs, 0, 2);
	tcase_add_test(tcase, a_device_that_is_always_full);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
