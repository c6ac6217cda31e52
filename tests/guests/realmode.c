/* SPDX-License-Identifier: Apache-2.0 */
/* To 32-bit protected mode with its two kinds of paging, to real mode, and back (realmode_code.S). */
#include "guest.h"

#define CODE_AT 0x8000u
#define DATA_AT 0x9000u

void real_visit(void);
extern const u8 real_start[], real_end[], real_interrupt_offset[];

/* What the code leaves at DATA_AT. */
struct left {
	u32 cr0;
	u16 cs, sum;
	u8 interrupts, unused;
	u16 di, stored, call, quotient, remainder, flags;
	u8 beyond, unused_2[0x40 - 23];
	u32 stored_32, table_entry, directory_entry, read_pae;
} __attribute__((packed));
_Static_assert(offsetof(struct left, stored_32) == 0x40, "realmode_code.S");

void test_main(void)
{
	const volatile struct left *left = (const volatile struct left *)DATA_AT;

	memset((void *)DATA_AT, 0xee, 4096);
	memcpy((void *)CODE_AT, real_start, (size_t)(real_end - real_start));
	*(volatile u32 *)(4 * 0x21) = 0x0800u << 16 | (u32)(uintptr_t)real_interrupt_offset;
	*(volatile u8 *)0x100000 = 0xa5;
	real_visit();
	check(true, "back in 64-bit mode");
	check_equal(left->cr0 & 0x80000001, 0, "it was real mode");
	check_equal(left->cs, 0x800, "CS");
	check_equal(left->sum, 0x0234, "16-bit arithmetic");
	check_equal(left->interrupts, 1, "INT through the vector table, and IRET");
	check(left->di == 32 && left->stored == 0xb800, "REP STOSW through ES");
	check_equal(left->call, 0, "a near call's return address");
	check(left->quotient == 142 && left->remainder == 6, "a 16-bit division");
	check(left->flags & 2, "PUSHF");
	check_equal(left->beyond, 0xa5, "the first byte above 1 MiB by FFFF:0010");
	check_equal(left->stored_32, 0x55aa1234, "32-bit paging: a write through a page table");
	check_equal(left->table_entry & 0xfff, 0x63, "  its entry is accessed and dirty");
	check_equal(left->directory_entry & 0xfff & ~0x40u, 0xa3, "  a 4 MiB page is accessed");
	check_equal(left->read_pae, 0x55aa1234, "PAE paging: a read through the third pointer");
	real_visit();
	check_equal(left->interrupts, 1, "and once more");
	check_equal(rdmsr(MSR_EFER) & 0x500, 0x500, "long mode is on again");
}
