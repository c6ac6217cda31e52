/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/host.h"

#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "l0/l0.h"
#include "results/writer.h"

/* First line of a small file; false when it cannot be read. */
static bool read_line(const char *path, char *line, size_t bytes)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(line, (int)bytes, file);

	if (file)
		fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* The value after "key :" in /proc/cpuinfo; the first processor's. */
static bool read_cpuinfo(const char *key, char *value, size_t bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, key, strlen(key)))
			continue;
		colon++;
		colon += strspn(colon, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(value, bytes, "%.*s", (int)bytes - 1, colon);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void describe_kvm(struct run_info *info)
{
	static const char *const modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};
	char path[96], line[64];

	if (access("/dev/kvm", F_OK)) {
		run_info_set(info, "kvm", "no /dev/kvm");
		return;
	}
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
		if (access(path, F_OK))
			continue;
		run_info_set(info, "kvm", "%s", modules[i]);
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/nested", modules[i]);
		if (read_line(path, line, sizeof(line)))
			run_info_set(info, "nested", "%s", line);
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/enable_shadow_vmcs", modules[i]);
		if (read_line(path, line, sizeof(line)))
			run_info_set(info, "enable_shadow_vmcs", "%s", line);
		return;
	}
	run_info_set(info, "kvm", "built into the kernel");
}

/* Mitigations: what the kernel says of each known weakness of this CPU. */
static void describe_mitigations(struct run_info *info)
{
	static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
	struct dirent **files;
	int count = scandir(folder, &files, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[512], key[RUN_KEY_BYTES], line[RUN_VALUE_BYTES];

		snprintf(path, sizeof(path), "%s/%s", folder, files[i]->d_name);
		snprintf(key, sizeof(key), "vuln.%.*s", (int)sizeof(key) - 6, files[i]->d_name);
		if (files[i]->d_name[0] != '.' && read_line(path, line, sizeof(line)) && strcmp(line, "Not affected"))
			run_info_set(info, key, "%s", line);
		free(files[i]);
	}
	if (count >= 0)
		free(files);
}

/* The first of these files that there is, read as a switch: `on` is what it says when the thing is on. */
static void describe_switch(struct run_info *info, const char *key, const char *path, char on)
{
	char line[16];

	if (!run_info_get(info, key) && read_line(path, line, sizeof(line)))
		run_info_set(info, key, line[0] == on ? "on" : "off");
}

void host_state(struct run_info *info)
{
	char line[512];

	if (read_line("/proc/loadavg", line, sizeof(line))) {
		double one, five, fifteen;

		if (sscanf(line, "%lf %lf %lf", &one, &five, &fifteen) == 3)
			run_info_set(info, "load", "%.2f %.2f %.2f", one, five, fifteen);
	}
	if (read_line("/proc/stat", line, sizeof(line)) && !strncmp(line, "cpu ", 4)) {
		unsigned long long ticks[8];

		if (sscanf(line + 4, "%llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2],
		            &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) == 8)
			run_info_set(info, "cpu_time", "%llu %llu %llu %llu %llu %llu %llu %llu", ticks[0], ticks[1],
			        ticks[2], ticks[3], ticks[4], ticks[5], ticks[6], ticks[7]);
	}
	if (read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof(line)))
		run_info_set(info, "governor", "%s", line);
	describe_switch(info, "turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo", '0');
	describe_switch(info, "turbo", "/sys/devices/system/cpu/cpufreq/boost", '1');
	describe_switch(info, "smt", "/sys/devices/system/cpu/smt/active", '1');
	describe_mitigations(info);
}

void host_own_time(struct run_info *info)
{
	double ticks = (double)sysconf(_SC_CLK_TCK), seconds = 0;
	static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};

	for (size_t i = 0; i < sizeof(whose) / sizeof(whose[0]); i++) {
		struct rusage usage;

		if (getrusage(whose[i], &usage))
			return;
		seconds += (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
		           ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6;
	}
	run_info_set(info, "own_time", "%.0f", seconds * ticks);
}

void host_describe(struct run_info *info)
{
	struct utsname names;
	struct sysinfo memory;
	char line[128];
	time_t now = time(NULL);
	struct tm utc;

	run_info_set(info, "testudo", "%s", TESTUDO_VERSION);
	if (gmtime_r(&now, &utc) && strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &utc))
		run_info_set(info, "date", "%s", line);
	if (l0_instruction_clock())
		run_info_set(info, "time_unit", "instructions (the lab: a model of this CPU in Bochs)");
	if (!uname(&names))
		run_info_set(info, "kernel", "%s %s %s", names.sysname, names.release, names.machine);
	if (read_cpuinfo("model name", line, sizeof(line)))
		run_info_set(info, "cpu", "%s", line);
	if (read_cpuinfo("cpu family", line, sizeof(line))) {
		char model[32] = "?", stepping[32] = "?";

		read_cpuinfo("model\t", model, sizeof(model));
		read_cpuinfo("stepping", stepping, sizeof(stepping));
		run_info_set(info, "family/model/step", "%s/%s/%s", line, model, stepping);
	}
	run_info_set(info, "cpus", "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	if (!sysinfo(&memory))
		run_info_set(info, "memory", "%llu MiB", (unsigned long long)memory.totalram * memory.mem_unit >> 20);
	if (read_cpuinfo("flags", line, sizeof(line))) {
		FILE *file = fopen("/proc/cpuinfo", "re");
		char flags[8192];
		bool guest = false;

		while (file && !guest && fgets(flags, sizeof(flags), file))
			guest = !strncmp(flags, "flags", 5) && strstr(flags, " hypervisor");
		if (file)
			fclose(file);
		run_info_set(info, "virtual", "%s", guest ? "yes: this host is itself a guest" : "no");
	}
	describe_kvm(info);
	if (read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", line, sizeof(line)))
		run_info_set(info, "clocksource", "%s", line);
	host_state(info);
}

int host_probe_io_uring(void)
{
	const char *forced = getenv(WRITER_NO_IO_URING);
	struct io_uring ring;
	int status;

	if (forced && !strcmp(forced, "1"))
		return -EPERM;
	status = io_uring_queue_init(2, &ring, 0);
	if (!status)
		io_uring_queue_exit(&ring);
	return status;
}

const char *host_find_gnuplot(void)
{
	static char path[512];
	const char *forced = getenv("TESTUDO_GNUPLOT");
	const char *rest = getenv("PATH");

	if (forced)
		return access(forced, X_OK) ? NULL : forced;
	while (rest && *rest) {
		size_t length = strcspn(rest, ":");

		snprintf(path, sizeof(path), "%.*s/gnuplot", (int)length, rest);
		if (length && !access(path, X_OK))
			return path;
		rest += length;
		rest += *rest == ':';
	}
	return NULL;
}
