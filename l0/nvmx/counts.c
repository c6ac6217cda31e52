/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's binary statistics (KVM_GET_STATS_FD, Linux 5.14): descriptors with names, then the values. */
#include "l0/nvmx/nvmx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The vCPU's statistics that are read, in the order of nvmx_stats.value. */
static const char *const names[NVMX_STATS] = {"exits", "irq_exits", "nested_run"};

static int read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
	const ssize_t got = pread(fd, to, bytes, (off_t)offset);

	return got == (ssize_t)bytes ? 0 : got < 0 ? -errno : -EIO;
}

/* Where each value stands. */
static int find_offsets(struct kvm_stats *stats, const struct kvm_stats_header *header)
{
	const size_t step = sizeof(struct kvm_stats_desc) + header->name_size;
	struct kvm_stats_desc *desc = malloc(step + 1);
	unsigned found = 0;
	int error = desc ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < header->num_desc && !error; i++) {
		error = read_at(stats->fd, desc, step, header->desc_offset + i * step);
		((char *)desc)[step] = '\0';
		for (unsigned n = 0; n < NVMX_STATS && !error; n++)
			if (!strcmp(desc->name, names[n])) {
				stats->offset[n] = header->data_offset + desc->offset;
				found++;
			}
	}
	free(desc);
	return error ? error : found == NVMX_STATS ? 0 : -ENOENT;
}

static int open_stats(struct kvm_machine *m)
{
	struct kvm_stats_header header;
	int error;

	m->stats.fd = ioctl(m->vms[0]->vcpu, KVM_GET_STATS_FD, NULL);
	if (m->stats.fd < 0)
		return -errno;
	error = read_at(m->stats.fd, &header, sizeof(header), 0);
	if (!error)
		error = find_offsets(&m->stats, &header);
	if (error)
		close(m->stats.fd);
	m->stats.opened = !error;
	return error;
}

int nvmx_count(struct machine *machine, struct machine_counts *counts)
{
	struct kvm_machine *m = kvm_of(machine);
	uint64_t value[NVMX_STATS];
	int error = m->stats.opened ? 0 : open_stats(m);

	for (unsigned n = 0; n < NVMX_STATS && !error; n++)
		error = read_at(m->stats.fd, &value[n], sizeof(value[n]), m->stats.offset[n]);
	if (!error)
		*counts = (struct machine_counts){.exits = value[0] - value[1], .l2_entries = value[2]};
	return error;
}
