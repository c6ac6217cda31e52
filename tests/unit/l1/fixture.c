/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "l1/mmu_shadow.h"

struct fixture fixture;

struct l1 l1;
struct l2_regs l1_l2_regs;
volatile bool l1_timer_fired;

static struct boot_info boot;
static void *l2_memory, *heap;

#define HEAP_BYTES (4ull << 20)

/* ---- access.h, L1_ACCESS_TEST ---- */

uint64_t access_read(enum vmcs_field field);
void access_write(enum vmcs_field field, uint64_t value);
void access_exit_IO_INSTRUCTION(void);

void access_exit_IO_INSTRUCTION(void)
{
	fixture.own_exits++;
}

uint64_t access_read(enum vmcs_field field)
{
	fixture.reads[field]++;
	return fixture.field[field];
}

void access_write(enum vmcs_field field, uint64_t value)
{
	fixture.writes[field]++;
	fixture.field[field] = value;
}

/* ---- platform.c, report.c ---- */

uint64_t l1_read_tsc(void)
{
	return 0x1234567890ull;
}

void l1_set_cr2(uint64_t linear)
{
	fixture.cr2 = linear;
}

void l1_timer_arm(uint32_t ticks)
{
	(void)ticks;
	fixture.timer_arms++;
}

void l1_timer_wait(void)
{
	fixture.timer_waits++;
}

void l1_interrupts_take(void)
{
	l1_timer_fired = l1_timer_fired || fixture.interrupt_pending;
	fixture.interrupt_pending = false;
}

void l1_invept(void)
{
	fixture.invepts++;
}

void l1_report_exit(const char *why)
{
	fixture.report = why;
	longjmp(fixture.report_jump, 1);
}

/* ---- the fixture ---- */

void *fixture_l2(uint64_t l2_gpa)
{
	return (void *)(l1.l2_base + l2_gpa);
}

void fixture_setup(unsigned mmu_mode)
{
	const struct l1_ept_layout layout = {
	        .l2_size = FIXTURE_L2_SIZE,
	        .touch_base = FIXTURE_TOUCH_BASE,
	        .touch_size = FIXTURE_TOUCH_SIZE,
	        .page_bytes = LARGE_PAGE_BYTES,
	        .touch_page_bytes = PAGE_BYTES,
	};
	struct l1_ept_layout here = layout;

	memset(&fixture, 0, sizeof(fixture));
	memset(&l1, 0, sizeof(l1));
	memset(&boot, 0, sizeof(boot));
	memset(&l1_l2_regs, 0, sizeof(l1_l2_regs));
	l1_timer_fired = false;
	l2_memory = aligned_alloc(LARGE_PAGE_BYTES, FIXTURE_L2_SIZE);
	heap = aligned_alloc(PAGE_BYTES, HEAP_BYTES);
	ck_assert_ptr_nonnull(l2_memory);
	ck_assert_ptr_nonnull(heap);
	memset(l2_memory, 0, FIXTURE_L2_SIZE);

	l1.boot = &boot;
	l1.l2_base = here.l2_base = (uint64_t)l2_memory;
	l1.l2_size = FIXTURE_L2_SIZE;
	l1.pages = (struct l1_pages){(uint64_t)heap, (uint64_t)heap + HEAP_BYTES};
	l1.boot2 = fixture_l2(BOOT_GPA_INFO);
	l1.boot2->touch_base = FIXTURE_TOUCH_BASE;
	l1.boot2->touch_size = FIXTURE_TOUCH_SIZE;
	l1.boot2->touch_page_size = PAGE_BYTES;
	boot.mmu_mode = mmu_mode;
	boot.ept12_page_size = LARGE_PAGE_BYTES;
	ck_assert_ptr_null(mmu_mode == BOOT_MMU_SHADOW ? l1_mmu_setup() : l1_ept_build(&l1.ept, &here, &l1.pages));
	fixture.field[VMCS_GUEST_RIP] = FIXTURE_RIP;
}

void fixture_teardown(void)
{
	free(l2_memory);
	free(heap);
}

void l1_exit_plain_40(void);
void l1_exit_plain_41(void);
void l1_exit_plain_42(void);
void l1_exit_plain_43(void);
void l1_exit_logged_40(void);
void l1_exit_logged_41(void);
void l1_exit_logged_42(void);
void l1_exit_logged_43(void);

bool fixture_exit(unsigned profile, bool log, uint32_t reason)
{
	static const l1_exit_function functions[4][2] = {
	        {l1_exit_plain_40, l1_exit_logged_40},
	        {l1_exit_plain_41, l1_exit_logged_41},
	        {l1_exit_plain_42, l1_exit_logged_42},
	        {l1_exit_plain_43, l1_exit_logged_43},
	};

	fixture.field[VMCS_EXIT_REASON] = reason;
	fixture.report = NULL;
	if (setjmp(fixture.report_jump))
		return false;
	functions[profile][log]();
	return true;
}

void fixture_count(unsigned *reads, unsigned *writes)
{
	*reads = *writes = 0;
	for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
		ck_assert_msg(fixture.reads[field] <= 1, "%s was read %u times", vmcs_field_infos[field].name,
		        fixture.reads[field]);
		ck_assert_msg(fixture.writes[field] <= 1, "%s was written %u times", vmcs_field_infos[field].name,
		        fixture.writes[field]);
		*reads += fixture.reads[field];
		*writes += fixture.writes[field];
	}
	memset(fixture.reads, 0, sizeof(fixture.reads));
	memset(fixture.writes, 0, sizeof(fixture.writes));
}
