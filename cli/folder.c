/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void folder_default(char *path, size_t bytes, const char *suffix)
{
	const time_t now = time(NULL);
	char date[32];
	struct tm local;

	localtime_r(&now, &local);
	strftime(date, sizeof(date), "%Y%m%d-%H%M%S", &local);
	snprintf(path, bytes, "results/runs/%s%s", date, suffix);
}

static int make_parents(const char *path)
{
	char part[4096];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	strcpy(part, path);
	for (char *at = part + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(part, 0777) && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(part, 0777) && errno != EEXIST ? -errno : 0;
}

int folder_make(const char *path)
{
	const int error = make_parents(path);

	return error ? error : access(path, W_OK) ? -errno : 0;
}

int folder_make_new(const char *path)
{
	char file[4200];

	snprintf(file, sizeof(file), "%s/run.tdo", path);
	return access(file, F_OK) ? folder_make(path) : -EEXIST;
}
