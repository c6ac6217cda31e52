/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's side of the recorder. */
#include "results/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "results/frame.h"
#include "results/reader.h"
#include "results/recorder_process.h"

static int fail(struct recorder *recorder, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct recorder *recorder, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(recorder->error, sizeof(recorder->error), format, args);
	va_end(args);
	return error;
}

const char *recorder_error(const struct recorder *recorder)
{
	return recorder->error;
}

const char *recorder_io(const struct recorder *recorder)
{
	return recorder->io;
}

static int write_file_header(struct recorder *recorder, int fd)
{
	uint8_t header[FRAME_FILE_HEADER_BYTES];
	ssize_t done;

	frame_put_file_header(header);
	done = pwrite(fd, header, sizeof(header), 0);
	if (done == sizeof(header))
		return 0;
	return fail(recorder, done < 0 ? -errno : -ENOSPC, "cannot write %s: %s", recorder->path,
	        done < 0 ? strerror(errno) : strerror(ENOSPC));
}

/* Where to go on in a file that holds a run, and behind how many cells. */
static int find_end(struct recorder *recorder, int fd, uint64_t *offset)
{
	const struct reader_overview *overview;
	struct reader *reader;
	struct stat status;
	int err;

	*offset = FRAME_FILE_HEADER_BYTES;
	if (fstat(fd, &status))
		return fail(recorder, -errno, "cannot look at %s: %s", recorder->path, strerror(errno));
	/* A recorder killed before its first frame leaves less than a header: nothing to keep. */
	if (status.st_size < FRAME_FILE_HEADER_BYTES)
		return write_file_header(recorder, fd);
	err = reader_open(&reader, recorder->path, recorder->error, sizeof(recorder->error));
	if (err)
		return err;
	overview = reader_overview(reader);
	*offset = overview->file_bytes - overview->torn_bytes;
	recorder->first_cell = overview->next_cell;
	reader_close(reader);
	if (ftruncate(fd, (off_t)*offset))
		return fail(recorder, -errno, "cannot cut the torn end of %s: %s", recorder->path, strerror(errno));
	return 0;
}

/* Open the file and make it ready for the first frame. The lock is the recorder's too, until it ends. */
static int open_file(struct recorder *recorder, const struct recorder_config *config, uint64_t *offset)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | (config->append ? 0 : O_EXCL);
	int fd = open(config->path, flags, 0666), err;

	if (fd < 0)
		return fail(recorder, -errno, "cannot open %s: %s", recorder->path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		err = fail(recorder, -errno, "%s is being written by another recorder: wait for it to end",
		        recorder->path);
		close(fd);
		return err;
	}
	*offset = FRAME_FILE_HEADER_BYTES;
	err = config->append ? find_end(recorder, fd, offset) : write_file_header(recorder, fd);
	if (err) {
		if (!config->append)
			unlink(config->path);
		close(fd);
		return err;
	}
	return fd;
}

static void close_others(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0u, 0);
}

static _Noreturn void child(const struct recorder_process *given)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "testudo-record");
	/* The caller's other descriptors are not ours to keep open: a pipe's reader would wait for us. */
	close_others(given->socket, given->fd);
	_exit(recorder_process_run(given));
}

static int make_shared(struct recorder *recorder, const struct recorder_config *config)
{
	uint64_t capacity = config->ring_records ? config->ring_records : RECORDER_RING_RECORDS;
	int err;

	recorder->mail = mmap(NULL, sizeof(*recorder->mail), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (recorder->mail == MAP_FAILED) {
		recorder->mail = NULL;
		return fail(recorder, -ENOMEM, "no memory for the recorder");
	}
	recorder->ring = config->ring;
	if (recorder->ring)
		return 0;
	err = ledger_shared_map(&recorder->ring, capacity);
	if (err == -EINVAL)
		return fail(recorder, err, "a ring of %llu records: not a power of two", (unsigned long long)capacity);
	if (err)
		return fail(recorder, err, "no memory for a ring of %llu records", (unsigned long long)capacity);
	recorder->ring_ours = true;
	return 0;
}

static void free_shared(struct recorder *recorder)
{
	if (recorder->ring_ours)
		ledger_shared_unmap(recorder->ring);
	recorder->ring = NULL;
	recorder->ring_ours = false;
	if (recorder->mail)
		munmap(recorder->mail, sizeof(*recorder->mail));
	recorder->mail = NULL;
}

int recorder_start(struct recorder *recorder, const struct recorder_config *config)
{
	struct recorder_process given;
	int sockets[2], fd, err;

	memset(recorder, 0, sizeof(*recorder));
	recorder->socket = -1;
	if ((size_t)snprintf(recorder->path, sizeof(recorder->path), "%s", config->path) >= sizeof(recorder->path))
		return fail(recorder, -ENAMETOOLONG, "the results file's path is too long: %.100s...", config->path);
	err = make_shared(recorder, config);
	if (err)
		goto free_memory;
	fd = open_file(recorder, config, &given.offset);
	if (fd < 0) {
		err = fd;
		goto free_memory;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		err = fail(recorder, -errno, "no socket for the recorder: %s", strerror(errno));
		goto close_file;
	}
	given.fd = fd;
	given.socket = sockets[1];
	given.ring = recorder->ring;
	given.mail = recorder->mail;
	given.first_cell = recorder->first_cell;
	recorder->pid = fork();
	if (!recorder->pid) {
		close(sockets[0]);
		child(&given);
	}
	close(sockets[1]);
	if (recorder->pid < 0) {
		err = fail(recorder, -errno, "cannot start the recorder's process: %s", strerror(errno));
		recorder->pid = 0;
		close(sockets[0]);
		goto close_file;
	}
	close(fd);
	recorder->socket = sockets[0];
	return 0;

close_file:
	close(fd);
	if (!config->append)
		unlink(config->path);
free_memory:
	free_shared(recorder);
	return err;
}

/* The recorder is gone: say how it ended, and let no producer wait for it. */
static int gone(struct recorder *recorder)
{
	int status = 0;
	pid_t pid = recorder->pid, got;

	if (recorder->ring)
		ledger_shared_close(recorder->ring);
	if (!pid)
		return -EPIPE;
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	recorder->pid = 0;
	if (got == pid && WIFSIGNALED(status))
		return fail(recorder, -EPIPE,
		        "the recorder (process %d) was killed by signal %d (%s): %s ends with what was written before",
		        (int)pid, WTERMSIG(status), strsignal(WTERMSIG(status)), recorder->path);
	return fail(recorder, -EPIPE, "the recorder (process %d) ended by itself with status %d: %s is not complete",
	        (int)pid, got == pid ? WEXITSTATUS(status) : -1, recorder->path);
}

static int write_error(struct recorder *recorder, int error)
{
	return fail(recorder, error, "cannot write %s: %s; what was written before stays readable", recorder->path,
	        strerror(-error));
}

/* Send a message and wait for its acknowledgement. */
static int call(struct recorder *recorder, enum recorder_message_type type)
{
	struct recorder_message message = {.type = type};
	ssize_t done;

	if (!recorder->pid)
		return -EPIPE;
	do
		done = send(recorder->socket, &message, sizeof(message), MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	if (done != sizeof(message))
		return gone(recorder);
	do
		done = recv(recorder->socket, &message, sizeof(message), 0);
	while (done < 0 && errno == EINTR);
	if (done != sizeof(message))
		return gone(recorder);
	if (message.error == -EPROTO)
		return fail(recorder, -EPROTO, "the recorder was given its messages in a wrong order");
	return message.error ? write_error(recorder, message.error) : 0;
}

int recorder_begin_run(struct recorder *recorder, const struct run_info *info)
{
	int err;

	if (!recorder->mail)
		return -EPIPE;
	recorder->mail->info = *info;
	err = call(recorder, RECORDER_BEGIN_RUN);
	snprintf(recorder->io, sizeof(recorder->io), "%s", recorder->mail->io);
	return err;
}

int recorder_begin_cell(struct recorder *recorder, const struct cell *cell)
{
	if (!recorder->mail)
		return -EPIPE;
	recorder->mail->cell = *cell;
	return call(recorder, RECORDER_BEGIN_CELL);
}

int recorder_end_cell(struct recorder *recorder, const struct cell_result *result)
{
	if (!recorder->mail)
		return -EPIPE;
	recorder->mail->result = *result;
	return call(recorder, RECORDER_END_CELL);
}

int recorder_host(struct recorder *recorder, const struct run_info *info)
{
	if (!recorder->mail)
		return -EPIPE;
	recorder->mail->info = *info;
	return call(recorder, RECORDER_HOST);
}

int recorder_check(struct recorder *recorder)
{
	struct pollfd wait = {.fd = recorder->socket};
	int error;

	if (!recorder->pid)
		return -EPIPE;
	/* We never hold the recorder's end, and the cells were forked later: a hang-up means that it is dead. */
	if (poll(&wait, 1, 0) > 0 && wait.revents & (POLLHUP | POLLERR))
		return gone(recorder);
	error = atomic_load_explicit(&recorder->mail->error, memory_order_acquire);
	return error ? write_error(recorder, error) : 0;
}

void recorder_incomplete(struct recorder *recorder, const char *reason)
{
	if (recorder->mail)
		snprintf(recorder->mail->end_reason, sizeof(recorder->mail->end_reason), "%s", reason);
}

int recorder_finish(struct recorder *recorder)
{
	int err = call(recorder, RECORDER_FINISH);
	char sentence[sizeof(recorder->error)];

	if (recorder->pid) {
		/* It exits behind its acknowledgement; its sentence about a failed write is better than gone()'s. */
		memcpy(sentence, recorder->error, sizeof(sentence));
		gone(recorder);
		memcpy(recorder->error, sentence, sizeof(sentence));
	}
	if (recorder->socket >= 0)
		close(recorder->socket);
	recorder->socket = -1;
	free_shared(recorder);
	return err;
}
