/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/acpi.h"

#include <stddef.h>
#include <string.h>

#define GPA_RSDP 0xe0000u
#define GPA_RSDT 0xe0100u
#define GPA_FADT 0xe0200u
#define GPA_MADT 0xe0400u

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
} __attribute__((packed));

struct rsdt {
	struct header header;
	uint32_t tables[2];
} __attribute__((packed));

/* Offsets of the fixed description table, revision 1 (116 bytes). */
enum { FADT_BYTES = 116, FADT_PM_TIMER_BLOCK = 76, FADT_PM_TIMER_LENGTH = 91 };

struct madt {
	struct header header;
	uint32_t local_apic, flags;
	struct {
		uint8_t type, length, processor, apic;
		uint32_t flags;
	} __attribute__((packed)) cpu;
	struct {
		uint8_t type, length, id, reserved;
		uint32_t address, first_interrupt;
	} __attribute__((packed)) io_apic;
	struct {
		uint8_t type, length, bus, source;
		uint32_t interrupt;
		uint16_t flags;
	} __attribute__((packed)) timer; /* interrupt source override: the 8254 is at pin 2 (interrupts.c) */
} __attribute__((packed));

/* The bytes of a table add up to 0. */
static uint8_t checksum(const void *table, size_t bytes)
{
	const uint8_t *at = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + at[i]);
	return (uint8_t)-sum;
}

static struct header header_of(const char *signature, size_t length)
{
	struct header header = {.length = (uint32_t)length, .revision = 1};

	memcpy(header.signature, signature, 4);
	memcpy(header.oem, "TESTUD", 6);
	memcpy(header.oem_table, "TESTUDO ", 8);
	memcpy(header.creator, "TSTU", 4);
	return header;
}

static void put(uint8_t *memory, uint32_t gpa, void *table, size_t bytes)
{
	struct header *header = table;

	header->checksum = 0;
	header->checksum = checksum(table, bytes);
	memcpy(memory + gpa, table, bytes);
}

void acpi_put_tables(uint8_t *memory)
{
	const uint32_t pm_timer = ACPI_PM_TIMER_PORT;
	struct rsdp rsdp = {.rsdt = GPA_RSDT};
	struct rsdt rsdt = {.header = header_of("RSDT", sizeof(rsdt)), .tables = {GPA_FADT, GPA_MADT}};
	struct madt madt = {.header = header_of("APIC", sizeof(madt)),
	        .local_apic = 0xfee00000,
	        .flags = 1, /* there is a PIC too */
	        .cpu = {0, sizeof(madt.cpu), 0, 0, 1},
	        .io_apic = {1, sizeof(madt.io_apic), 0, 0, 0xfec00000, 0},
	        .timer = {2, sizeof(madt.timer), 0, 0, 2, 0}};
	uint8_t fadt[FADT_BYTES] = {0};
	const struct header fadt_header = header_of("FACP", sizeof(fadt));

	memcpy(rsdp.signature, "RSD PTR ", 8);
	memcpy(rsdp.oem, "TESTUD", 6);
	rsdp.checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(memory + GPA_RSDP, &rsdp, sizeof(rsdp));
	memcpy(fadt, &fadt_header, sizeof(fadt_header));
	memcpy(fadt + FADT_PM_TIMER_BLOCK, &pm_timer, sizeof(pm_timer));
	fadt[FADT_PM_TIMER_LENGTH] = 4;
	put(memory, GPA_RSDT, &rsdt, sizeof(rsdt));
	put(memory, GPA_FADT, fadt, sizeof(fadt));
	put(memory, GPA_MADT, &madt, sizeof(madt));
}

static uint32_t timer_in(void *ctx, const struct port_access *access)
{
	const struct pm_timer *timer = ctx;
	const uint64_t clock = timer->clock(timer->ctx);

	(void)access;
	return (uint32_t)((unsigned __int128)clock * ACPI_PM_TIMER_HZ / (timer->clock_khz * 1000)) & 0xffffff;
}

int pm_timer_init(struct pm_timer *timer, uint64_t (*clock)(void *ctx), void *ctx, uint64_t clock_khz, struct bus *bus)
{
	const struct port_range ports = {ACPI_PM_TIMER_PORT, ACPI_PM_TIMER_PORT + 3, timer, timer_in, NULL};

	*timer = (struct pm_timer){clock, ctx, clock_khz ? clock_khz : 1000000};
	return bus_add_ports(bus, &ports);
}
