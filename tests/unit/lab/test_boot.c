/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong with a boot of the lab, with programs that stand in for those of Debian. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/lab.h"
#include "lab/stream.h"

static char folder[64], text[4096];

static void on_text(void *ctx, const char *data, size_t bytes)
{
	(void)ctx;
	strncat(text, data, bytes);
}

static void put(const char *name, const char *content)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	fclose(file);
	chmod(path, 0755);
}

/* A bochs that sends `stream` and then does `then`; Bochs' arguments are -q -f SETTINGS -rc FILE. */
static struct lab_run *make_run(const char *then, const void *stream, size_t bytes)
{
	static struct lab_run run;
	char path[400], script[1024];
	FILE *file;

	strcpy(folder, "/tmp/test-lab-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/stream", folder);
	file = fopen(path, "w");
	if (bytes)
		fwrite(stream, 1, bytes, file);
	fclose(file);
	snprintf(script, sizeof(script),
	        "#!/bin/sh\nport=$(sed -n 's/^parport1:.*file=//p' \"$3\")\nserial=$(sed -n 's/^com1:.*dev=//p' "
	        "\"$3\")\n"
	        "cat %s/stream >\"$port\"\n%s\n",
	        folder, then);
	put("bochs", script);
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", folder);
	setenv("PATH", path, 1);
	setenv("TESTUDO_LAB_CACHE", folder, 1);
	setenv("TMPDIR", folder, 1);
	text[0] = '\0';
	run = (struct lab_run){.testudo = "/bin/true",
	        .image_sh = "exit 0\n",
	        .init_sh = "",
	        .command = "true",
	        .out_folder = folder,
	        .timeout_s = 20,
	        .on_text = on_text};
	return &run;
}

static void clean_up(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static size_t whole_stream(uint8_t *stream, const char *status)
{
	size_t used = lab_message_make(stream, LAB_BEGIN, NULL, 0);

	used += lab_message_make(stream + used, LAB_TEXT, "hello\n", 6);
	used += lab_message_make(stream + used, LAB_FILE, "result", 6);
	used += lab_message_make(stream + used, LAB_DATA, "12345", 5);
	return used + lab_message_make(stream + used, LAB_END, status, strlen(status));
}

START_TEST(a_good_boot)
{
	uint8_t stream[8 * LAB_MESSAGE_BYTES];
	struct lab_run *run = make_run("sleep 30", stream, whole_stream(stream, "4"));
	char path[128], line[16] = "";
	FILE *file;

	ck_assert_msg(lab_boot(run) == 0, "%s", run->why);
	ck_assert(run->booted && run->ended);
	ck_assert_int_eq(run->status, 4);
	ck_assert_str_eq(text, "hello\n");
	ck_assert_uint_eq(run->files_received, 1);
	snprintf(path, sizeof(path), "%s/result", folder);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ck_assert_str_eq(line, "12345");
	clean_up();
}
END_TEST

START_TEST(results_cut_short)
{
	uint8_t stream[8 * LAB_MESSAGE_BYTES];
	struct lab_run *run = make_run("exit 1", stream, whole_stream(stream, "0") - 3);

	ck_assert_int_eq(lab_boot(run), -EIO);
	ck_assert_ptr_nonnull(strstr(run->why, "before its results were complete (the command had begun)"));
	clean_up();
}
END_TEST

START_TEST(damaged_results)
{
	uint8_t stream[8 * LAB_MESSAGE_BYTES];
	const size_t bytes = whole_stream(stream, "0");
	struct lab_run *run;

	stream[12] ^= 1;
	run = make_run("sleep 30", stream, bytes);
	ck_assert_int_eq(lab_boot(run), -EBADMSG);
	clean_up();
}
END_TEST

/* The guest names the file that comes: it cannot leave the folder. */
START_TEST(a_file_elsewhere)
{
	uint8_t stream[LAB_MESSAGE_BYTES];
	struct lab_run *run =
	        make_run("sleep 30", stream, lab_message_make(stream, LAB_FILE, "../../etc/x", strlen("../../etc/x")));

	ck_assert_int_eq(lab_boot(run), -EBADMSG);
	clean_up();
}
END_TEST

START_TEST(kernel_panic)
{
	struct lab_run *run = make_run("echo 'Kernel panic - not syncing: no init' >\"$serial\"; sleep 30", NULL, 0);

	ck_assert_int_eq(lab_boot(run), -EIO);
	ck_assert_ptr_nonnull(strstr(run->why, "panicked: Kernel panic - not syncing: no init"));
	clean_up();
}
END_TEST

START_TEST(time_out)
{
	struct lab_run *run = make_run("sleep 30", NULL, 0);

	run->timeout_s = 1;
	ck_assert_int_eq(lab_boot(run), -ETIME);
	ck_assert_ptr_nonnull(strstr(run->why, "within 1 s (its kernel was booting)"));
	clean_up();
}
END_TEST

START_TEST(stopped)
{
	static const volatile sig_atomic_t signal_number = SIGINT;
	struct lab_run *run = make_run("sleep 30", NULL, 0);

	run->stopped = &signal_number;
	ck_assert_int_eq(lab_boot(run), -EINTR);
	clean_up();
}
END_TEST

START_TEST(no_image)
{
	struct lab_run *run = make_run("sleep 30", NULL, 0);

	run->image_sh = "echo 'the kernel package x cannot be downloaded: no network' >&2; exit 1\n";
	ck_assert_int_eq(lab_boot(run), -EIO);
	ck_assert_ptr_nonnull(strstr(run->why, "the kernel package x cannot be downloaded: no network"));
	clean_up();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lab boot");
	TCase *tests = tcase_create("boot");
	SRunner *runner = srunner_create(suite);
	char why[256];
	int failed;

	srunner_set_fork_status(runner, CK_FORK);
	if (lab_check(why, sizeof(why))) {
		printf("SKIP: %s\n", why);
		return 77;
	}
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_good_boot);
	tcase_add_test(tests, results_cut_short);
	tcase_add_test(tests, damaged_results);
	tcase_add_test(tests, a_file_elsewhere);
	tcase_add_test(tests, kernel_panic);
	tcase_add_test(tests, time_out);
	tcase_add_test(tests, stopped);
	tcase_add_test(tests, no_image);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
