/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/gnuplot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"

int gnuplot_copy(const char *folder, const struct embedded_file *script, bool replace)
{
	const char *slash = strrchr(script->name, '/');
	char path[4300];
	FILE *file;
	bool failed;

	snprintf(path, sizeof(path), "%s/%s", folder, slash ? slash + 1 : script->name);
	if (!replace && !access(path, F_OK))
		return 0;
	file = fopen(path, "we");
	if (!file)
		return -errno;
	failed = fwrite(script->data, 1, script->size, file) != script->size;
	failed |= fclose(file) != 0;
	return failed ? -EIO : 0;
}

int gnuplot_run(const char *command, const char *gnuplot, const char *folder, const char *script)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return command_error(command, "no process for gnuplot: %s", strerror(errno));
	if (!pid) {
		if (!chdir(folder))
			execl(gnuplot, "gnuplot", script, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return command_error(command, "gnuplot failed on %s/%s; its message is above", folder, script);
	return COMMAND_OK;
}
