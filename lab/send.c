/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's side: bytes to the parallel port, 29 instructions each in the lab. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <sys/io.h>
#endif

#include "lab/lab.h"
#include "lab/stream.h"

#define PORT_DATA 0x378
#define PORT_CONTROL 0x37a
#define CONTROL_IDLE 0x0c
#define CONTROL_STROBE 0x0d

#if defined(__x86_64__)
static int open_port(void)
{
	return ioperm(PORT_DATA, 3, 1) ? -errno : 0;
}

static void put(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		outb(bytes[i], PORT_DATA);
		outb(CONTROL_STROBE, PORT_CONTROL);
		outb(CONTROL_IDLE, PORT_CONTROL);
	}
}
#else
static int open_port(void)
{
	return -EOPNOTSUPP;
}

static void put(const uint8_t *bytes, size_t count)
{
	(void)bytes;
	(void)count;
}
#endif

static void send_message(enum lab_kind kind, const void *data, size_t bytes)
{
	uint8_t message[LAB_MESSAGE_BYTES];

	put(message, lab_message_make(message, kind, data, bytes));
}

static int send_input(enum lab_kind kind)
{
	uint8_t data[LAB_DATA_BYTES];
	ssize_t got;

	while ((got = read(STDIN_FILENO, data, sizeof(data))) > 0)
		send_message(kind, data, (size_t)got);
	return got < 0 ? -errno : 0;
}

int lab_send(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *operand = argc > 2 ? argv[2] : "";
	const int error = open_port();

	if (error)
		return error;
	if (!strcmp(what, "begin"))
		send_message(LAB_BEGIN, NULL, 0);
	else if (!strcmp(what, "text"))
		return send_input(LAB_TEXT);
	else if (!strcmp(what, "end"))
		send_message(LAB_END, operand, strlen(operand));
	else if (!strcmp(what, "file") && strlen(operand) <= LAB_DATA_BYTES)
		send_message(LAB_FILE, operand, strlen(operand));
	else
		return -EINVAL;
	return strcmp(what, "file") ? 0 : send_input(LAB_DATA);
}
