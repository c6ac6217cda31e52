/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/layout.h"

#include <string.h>

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_USER 4ull
#define PTE_LARGE 0x80ull
#define PAGE 4096ull

/* PML4, PDPT and four page directories of 2 MiB pages. User pages, so that a workload can go on in ring 3. */
static void put_page_tables(uint8_t *memory)
{
	uint64_t *tables = (uint64_t *)(memory + BOOT_GPA_PAGE_TABLES);
	const uint64_t rights = PTE_PRESENT | PTE_WRITE | PTE_USER;

	memset(tables, 0, 6 * PAGE);
	tables[0] = (BOOT_GPA_PAGE_TABLES + PAGE) | rights;
	for (unsigned i = 0; i < 4; i++)
		tables[512 + i] = (BOOT_GPA_PAGE_TABLES + (2 + i) * PAGE) | rights;
	for (uint64_t i = 0; i < 4 * 512; i++)
		tables[1024 + i] = i << 21 | PTE_LARGE | rights;
}

/*
 * Descriptors, SDM vol. 3, figure 3-8; the flat ones by their usual values:
 *   63..56 base  55 G 54 D/B 53 L 52 AVL  51..48 limit  47 P 46..45 DPL 44 S 43..40 type  39..16 base  15..0 limit
 */
static void put_gdt(uint8_t *memory, uint64_t stack_top)
{
	const uint64_t tss = BOOT_GPA_TSS;
	const uint64_t gdt[] = {
	        0,
	        0x00af9b000000ffff,                                                     /* 08 code, DPL 0, L */
	        0x00cf93000000ffff,                                                     /* 10 data, DPL 0 */
	        0x00cff3000000ffff,                                                     /* 1b data, DPL 3 */
	        0x00affb000000ffff,                                                     /* 23 code, DPL 3, L */
	        0x00008b0000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56, /* 28 TSS, busy */
	        tss >> 32,
	};

	memcpy(memory + BOOT_GPA_GDT, gdt, sizeof(gdt));
	memset(memory + BOOT_GPA_TSS, 0, 0x68);
	memcpy(memory + BOOT_GPA_TSS + 4, &stack_top, sizeof(stack_top)); /* RSP0, SDM vol. 3, figure 7-11 */
	memset(memory + BOOT_GPA_TSS + 0x66, 0x68, 1);                    /* I/O map base: no map */
}

void layout_prepare(const struct guest_space *space, struct boot_info *info)
{
	info->magic = BOOT_INFO_MAGIC;
	info->version = BOOT_INFO_VERSION;
	info->size = sizeof(*info);
	info->memory_size = space->bytes;
	info->stack_top = BOOT_GPA_STACK_TOP;
	info->cr3 = BOOT_GPA_PAGE_TABLES;
	put_page_tables(space->memory);
	put_gdt(space->memory, info->stack_top);
	memcpy(space->memory + BOOT_GPA_INFO, info, sizeof(*info));
}
