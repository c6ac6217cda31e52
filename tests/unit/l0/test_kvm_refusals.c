/* SPDX-License-Identifier: Apache-2.0 */
/* Why KVM cannot be used, one sentence each that says what to do. None of these needs /dev/kvm. */
#include "fixture.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct refusal why;

static int probe_with(const char *device, const char *deny)
{
	setenv("TESTUDO_KVM_DEVICE", device, 1);
	if (deny)
		setenv("TESTUDO_KVM_DENY", deny, 1);
	else
		unsetenv("TESTUDO_KVM_DENY");
	memset(&why, 0, sizeof(why));
	return machine_find("kvm")->probe(&why);
}

static void expect(const char *says)
{
	ck_assert_msg(strstr(why.text, says) != NULL, "\"%s\" is not in: %s", says, why.text);
}

START_TEST(no_device)
{
	ck_assert_int_eq(probe_with("/nonexistent/kvm", NULL), -ENOENT);
	expect("there is no /nonexistent/kvm");
	expect("load kvm_intel, kvm_amd or kvm_pvm");
}
END_TEST

/* Exit status 0: nobody is refused the device, and the sentence says so and what to do. */
static int probe_as_nobody(const char *path, const char *advice)
{
	pid_t child = fork();
	int status = -1;

	/* Root may open anything: become somebody else, and come back by leaving the process. */
	if (child == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) || setegid(65534) || seteuid(65534)))
			_exit(2);
		_exit(probe_with(path, NULL) == -EACCES && strstr(why.text, "no permission") && strstr(why.text, advice)
		                ? 0
		                : 1);
	}
	waitpid(child, &status, 0);
	return status;
}

START_TEST(no_permission)
{
	char path[] = "/tmp/testudo-kvm-XXXXXX";
	const int file = mkstemp(path);
	int for_nobody, for_a_group = 0;

	ck_assert_int_ge(file, 0);
	fchmod(file, 0);
	for_nobody = probe_as_nobody(path, "no group may use it");
	/* Only root can give a file to a group that it then is not in. */
	if (geteuid() == 0 && !fchown(file, 0, 1) && !fchmod(file, 0660))
		for_a_group = probe_as_nobody(path, "add yourself to its group");
	close(file);
	unlink(path);
	ck_assert_int_eq(for_nobody, 0);
	ck_assert_int_eq(for_a_group, 0);
}
END_TEST

START_TEST(no_kvm_device_at_all)
{
	ck_assert_int_eq(probe_with("/dev/null", NULL), -ENODEV);
	expect("/dev/null is no KVM device");
}
END_TEST

static const char *const capabilities[] = {"KVM_CAP_USER_MEMORY", "KVM_CAP_SYNC_REGS", "KVM_CAP_IMMEDIATE_EXIT",
        "KVM_CAP_READONLY_MEM", "KVM_CAP_X86_USER_SPACE_MSR", "KVM_CAP_X86_MSR_FILTER", "KVM_CAP_VCPU_EVENTS",
        "KVM_CAP_EXT_CPUID", "KVM_CAP_SET_TSS_ADDR"};

/* Each capability is asked for, by name. On a host without KVM there is nothing to ask. */
START_TEST(a_missing_capability_is_named)
{
	if (probe_with("/dev/kvm", NULL) != 0)
		return;
	ck_assert_int_eq(probe_with("/dev/kvm", capabilities[_i]), -EOPNOTSUPP);
	expect(capabilities[_i]);
	expect("Linux 5.10 or newer");
}
END_TEST

START_TEST(foreign_images_need_another_machine)
{
	const struct machine_config config = {.ram_bytes = 4u << 20, .foreign = true};
	struct machine *machine;

	ck_assert_int_eq(machine_find("kvm")->create(&machine, &config, &why), -EOPNOTSUPP);
	expect("--machine soft");
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_test(tests, no_device);
	tcase_add_test(tests, no_permission);
	tcase_add_test(tests, no_kvm_device_at_all);
	tcase_add_loop_test(
	        tests, a_missing_capability_is_named, 0, (int)(sizeof(capabilities) / sizeof(capabilities[0])));
	tcase_add_test(tests, foreign_images_need_another_machine);
}

int main(void)
{
	return run_tests("kvm refusals", add);
}
