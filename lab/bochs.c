/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/lab.h"

/* Skylake-X has EPT with A/D bits, VPID, unrestricted guest and VMCS shadowing. The TSC ticks once an instruction; with
 * sync=none and a fixed date nothing depends on the host. */
static const char settings[] = "plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=1, serial=1\n"
                               "config_interface: textconfig\n"
                               "display_library: term\n"
                               "romimage: file=/usr/share/bochs/BIOS-bochs-latest\n"
                               "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n"
                               "megs: 256\n"
                               "cpu: model=corei7_skylake_x, count=1, ips=1000000000, reset_on_triple_fault=0\n"
                               "clock: sync=none, time0=946681200\n"
                               "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n"
                               "boot: cdrom\n"
                               "panic: action=fatal\n"
                               "error: action=ignore\n"
                               "info: action=ignore\n"
                               "debug: action=ignore\n";

static int write_file(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "we");
	int error = file && fwrite(data, 1, bytes, file) == bytes ? 0 : -errno;

	if (file && fclose(file))
		error = -errno;
	return error;
}

/* An option ROM that boots at once: the BIOS would wait for a key first. INT 19h; RETF; and the checksum. */
static int write_rom(const char *path)
{
	uint8_t rom[512] = {0x55, 0xaa, sizeof(rom) / 512, 0xcd, 0x19, 0xcb};
	uint8_t sum = 0;

	for (size_t i = 0; i < sizeof(rom); i++)
		sum = (uint8_t)(sum + rom[i]);
	rom[sizeof(rom) - 1] = (uint8_t)-sum;
	return write_file(path, rom, sizeof(rom));
}

int lab_bochs_prepare(const struct lab_paths *paths)
{
	FILE *file = fopen(paths->settings, "we");
	int error;

	if (!file)
		return -errno;
	fputs(settings, file);
	fprintf(file, "optromimage1: file=%s, address=0xd0000\n", paths->rom);
	fprintf(file, "ata0-master: type=cdrom, path=%s, status=inserted\n", paths->iso);
	fprintf(file, "com1: enabled=1, mode=file, dev=%s\n", paths->serial);
	fprintf(file, "parport1: enabled=1, file=%s\n", paths->port);
	fprintf(file, "log: %s\n", paths->log);
	error = ferror(file) ? -EIO : 0;
	if (fclose(file))
		error = -errno;
	if (!error)
		error = write_rom(paths->rom);
	/* Debian's Bochs has its debugger on and starts with it: continue. */
	return error ? error : write_file(paths->debugger, "c\n", 2);
}

int lab_bochs_start(const struct lab_paths *paths, int *terminal)
{
	const struct winsize size = {.ws_row = 25, .ws_col = 80};
	const pid_t child = forkpty(terminal, NULL, NULL, &size);

	if (child < 0)
		return -errno;
	if (child)
		return child;
	setenv("TERM", "linux", 1);
	execlp("bochs", "bochs", "-q", "-f", paths->settings, "-rc", paths->debugger, (char *)NULL);
	_exit(127);
}
