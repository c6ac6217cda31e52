/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMRESUME's short way, for an L1 that wrote at most L2's RIP, against the long way: two engines see the same L1, L2
 * and L0; in one a field that L1 never changes is marked dirty before each entry, which the short way refuses. Neither
 * L1 nor L2 nor L0 may see a difference. The short way is seen from outside by what nested_resume says. Fixed seeds.
 */
#include <string.h>

#include "random_vmcs.h"

enum { ROUNDS = 400, SEEDS = 12, SECOND_EPT12 = 0x70000 };

static struct fixture quick, slow;
static uint64_t real_cr3; /* L2's, which the machine keeps to itself */
static unsigned short_entries, long_entries;

static const enum vmcs_field harmless = VMCS_GUEST_IA32_SYSENTER_CS;

#define BOTH(f) for (struct fixture *f = &quick; f; f = f == &quick ? &slow : NULL)

static struct vmcs *region(struct fixture *f)
{
	return f->config.shadow_region.hva;
}

static void fetch(struct fixture *f, struct vmcs *vmcs)
{
	if (vmcs == &f->nested.vmcs02 && vmcs_mask_has(&vmcs->stale, VMCS_GUEST_CR3))
		vmcs_store(vmcs, VMCS_GUEST_CR3, real_cr3);
}

/* ---- L1 ---- */

static void vmwrite(enum vmcs_field field, uint64_t value)
{
	const struct vmx_operands operands = {.encoding = vmcs_field_infos[field].encoding, .value = value};

	BOTH(f)
	{
		struct vmx_outcome outcome = {0};
		nested_vmx_instruction(&f->nested, EXIT_REASON_VMWRITE, &operands, &outcome);
		ck_assert_uint_eq(outcome.kind, VMX_SUCCEED);
	}
}

static uint64_t random_rip(void)
{
	static const uint64_t rips[] = {
	        0, 0x1000, 0xffffffff, 0x100000000, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, ~0ull};

	return next_random() % 2 ? 0x2000 + next_random() % 4096 : rips[next_random() % 8];
}

static void writes_rip(void)
{
	const uint64_t rip = random_rip(), way = next_random() % 3;

	if (way == 0) {
		vmwrite(VMCS_GUEST_RIP, rip);
		return;
	}
	BOTH(f)
	{
		struct vmcs *to = way == 1 && f->config.shadow_mode == SHADOW_SHADOW ? region(f) : f->vmcs12;
		to->field[VMCS_GUEST_RIP] = rip;
		vmcs_mask_set(&to->dirty, VMCS_GUEST_RIP);
	}
}

/* L1 writes one more field, and puts it right again should the entry fail. */
static enum vmcs_field changed;
static uint64_t before;

static void writes_other(void)
{
	static const enum vmcs_field fields[] = {VMCS_GUEST_RSP, VMCS_GUEST_RFLAGS, VMCS_EXCEPTION_BITMAP,
	        VMCS_HOST_RIP, VMCS_HOST_FS_BASE, VMCS_GUEST_CR3, VMCS_GUEST_IA32_PAT, VMCS_CR0_READ_SHADOW,
	        VMCS_GUEST_ACTIVITY_STATE, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS, VMCS_HOST_CR4};

	changed = fields[next_random() % (sizeof(fields) / sizeof(fields[0]))];
	before = changed == VMCS_GUEST_CR3 ? 0x5000 : slow.vmcs12->field[changed];
	vmwrite(changed, random_value(changed, before));
}

static void writes_special(uint64_t kind)
{
	const uint64_t at = FIXTURE_GPA_MSR_BITMAP + next_random() % 4096;
	const uint64_t eptp = slow.vmcs12->field[VMCS_EPT_POINTER];
	const uint8_t byte = (uint8_t)next_random();

	switch (kind) {
	case 0: /* no mark tells of it */
		BOTH(f) * (uint8_t *)fixture_memory(f, at) = byte;
		break;
	case 1:
		vmwrite(VMCS_EPT_POINTER, eptp ^ (FIXTURE_GPA_EPT12 ^ SECOND_EPT12));
		break;
	case 2:
		vmwrite(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, INTR_INFO_VALID | 0x306);
		break;
	case 3:
		BOTH(f) f->vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = 2;
		break;
	case 4: /* a register that is in the machine is said to be in vmcs12 */
		BOTH(f) vmcs_mask_clear(&f->vmcs12->stale, VMCS_GUEST_CR3);
		break;
	case 5: /* without a mark */
		BOTH(f)
		{
			f->vmcs12->field[VMCS_GUEST_RSP] = at;
			f->vmcs12->field[VMCS_EXCEPTION_BITMAP] = byte;
			f->vmcs12->field[VMCS_GUEST_RIP] ^= byte;
		}
		break;
	case 6: /* L0 changes its mind */
		BOTH(f) vmcs_set(&f->vmcs01, VMCS_EXCEPTION_BITMAP, byte);
		break;
	default:
		BOTH(f) vmcs_store(&f->vmcs01, VMCS_GUEST_DR7, 0x400 | (byte & 3));
	}
}

static void l1_runs(void)
{
	changed = VMCS_GUEST_RIP;
	before = 0x1000;
	if (next_random() % 3)
		writes_rip();
	if (next_random() % 6 == 0)
		writes_other();
	if (next_random() % 4 == 0)
		writes_special(next_random() % 8);
}

/* ---- the entry ---- */

static struct vmx_outcome quick_resume(void)
{
	struct vmx_outcome outcome = {.kind = VMX_ENTERED};
	static struct nested old;
	static struct vmcs old12, old01, old_region;

	if (next_random() % 4 == 0) {
		fixture_resume(&quick, &outcome);
		return outcome;
	}
	old = quick.nested;
	old12 = *quick.vmcs12;
	old01 = quick.vmcs01;
	old_region = *region(&quick);
	if (nested_resume(&quick.nested)) {
		short_entries++;
		return outcome;
	}
	long_entries++;
	ck_assert_mem_eq(&old.vmcs02, &quick.nested.vmcs02, sizeof(old.vmcs02));
	ck_assert_mem_eq(old.counters, quick.nested.counters, sizeof(old.counters));
	ck_assert_mem_eq(&old12, quick.vmcs12, sizeof(old12));
	ck_assert_mem_eq(&old01, &quick.vmcs01, sizeof(old01));
	ck_assert_mem_eq(&old_region, region(&quick), sizeof(old_region));
	fixture_resume(&quick, &outcome);
	return outcome;
}

static struct vmx_outcome slow_resume(void)
{
	struct vmx_outcome outcome;

	vmcs_mask_set(&slow.vmcs12->dirty, harmless);
	ck_assert(!nested_resume(&slow.nested));
	fixture_resume(&slow, &outcome);
	return outcome;
}

static void compare(const struct vmcs *a, const struct vmcs *b, const char *which, unsigned round)
{
	for (int i = 0; i < VMCS_FIELD_COUNT; i++)
		ck_assert_msg(a->field[i] == b->field[i], "round %u: %s %s is %#llx, the long way %#llx", round, which,
		        vmcs_field_infos[i].name, (unsigned long long)a->field[i], (unsigned long long)b->field[i]);
	ck_assert_msg(memcmp(&a->stale, &b->stale, sizeof(a->stale)) == 0, "round %u: %s stale", round, which);
}

static void compare_worlds(unsigned round)
{
	const struct nested *a = &quick.nested, *b = &slow.nested;

	compare(&a->vmcs02, &b->vmcs02, "vmcs02", round);
	compare(&quick.vmcs01, &slow.vmcs01, "vmcs01", round);
	compare(quick.vmcs12, slow.vmcs12, "vmcs12", round);
	compare(&a->checked12, &b->checked12, "checked12", round);
	compare(region(&quick), region(&slow), "region", round);
	ck_assert_mem_eq(&a->vmcs02.dirty, &b->vmcs02.dirty, sizeof(a->vmcs02.dirty));
	ck_assert_mem_eq(quick.config.msr_bitmap02.hva, slow.config.msr_bitmap02.hva, 4096);
	ck_assert_uint_eq(quick.vpid_flushes, slow.vpid_flushes);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		/* `harmless` is merged in one of them only. */
		if (i != COUNTER_FIELDS_MERGED)
			ck_assert_msg(a->counters[i] == b->counters[i], "round %u: counter %d", round, i);
	}
}

/* ---- L2 ---- */

static void l2_exits(void)
{
	const uint64_t rip =
	        next_random() % 2 ? 0x3000 + next_random() % 4096 : quick.nested.vmcs02.field[VMCS_GUEST_RIP];
	const uint64_t pat = next_random() % 16 == 0 ? 0x0606060606060606 : 0x0007040600070406;
	const bool loads_cr3 = next_random() % 8 == 0;

	if (vmcs_mask_has(&quick.nested.vmcs02.dirty, VMCS_GUEST_CR3))
		real_cr3 = quick.nested.vmcs02.field[VMCS_GUEST_CR3];
	if (loads_cr3)
		real_cr3 = next_random() % 256 << 12;
	BOTH(f)
	{
		struct vmcs *vmcs02 = &f->nested.vmcs02;
		vmcs_store(vmcs02, VMCS_GUEST_RIP, rip);
		vmcs_store(vmcs02, VMCS_GUEST_IA32_PAT, pat);
		fixture_exit_l2(f, EXIT_REASON_CPUID, 0);
		vmcs02->stale = f->machine.on_demand;
		nested_reflect(&f->nested);
		memset(&f->vmcs01.dirty, 0, sizeof(f->vmcs01.dirty));
	}
}

static void start(struct fixture *f, enum shadow_mode mode)
{
	fixture_setup(f, FIXTURE_PARAVIRTUAL);
	f->machine.marks_written = true;
	f->config.shadow_mode = mode;
	f->config.msr_bitmap01 = f->msr_bitmap01;
	memset(f->msr_bitmap01, 0, 2048);
	f->on_fetch = fetch;
	f->vmcs01.field[VMCS_CR0_GUEST_HOST_MASK] = f->vmcs01.field[VMCS_CR4_GUEST_HOST_MASK] = 0;
	fixture_start(f);
	memcpy(fixture_memory(f, SECOND_EPT12), fixture_memory(f, FIXTURE_GPA_EPT12), 4096);
	fixture_set_bits(f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_SAVE_IA32_PAT));
	fixture_set_bits(f, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_LOAD_IA32_EFER) | VMX_BIT(ENTRY_LOAD_IA32_PAT));
	fixture_set_bits(f, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_USE_MSR_BITMAPS));
	fixture_set(f, VMCS_MSR_BITMAP, FIXTURE_GPA_MSR_BITMAP);
	fixture_enter(f);
}

START_TEST(short_way_is_long_way)
{
	random_state = 0x9e3779b97f4a7c15ull + (uint64_t)_i * 0x2468ace1;
	short_entries = long_entries = 0;
	BOTH(f) start(f, (enum shadow_mode)(_i % 3));
	real_cr3 = quick.nested.vmcs02.field[VMCS_GUEST_CR3];
	for (unsigned round = 0; round < ROUNDS; round++) {
		l2_exits();
		l1_runs();
		for (unsigned tries = 0;; tries++) {
			ck_assert_msg(tries < 4, "round %u: %s", round, quick.nested.failed_check);
			const struct vmx_outcome a = quick_resume(), b = slow_resume();
			ck_assert_msg(a.kind == b.kind && a.error == b.error, "round %u: outcome %u, the long way %u",
			        round, a.kind, b.kind);
			compare_worlds(round);
			if (a.kind == VMX_ENTERED)
				break;
			BOTH(f) f->vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE] = 0;
			if (tries > 0) {
				vmwrite(changed, before);
				vmwrite(VMCS_GUEST_RIP, 0x1000);
			}
		}
	}
	ck_assert_uint_gt(short_entries, ROUNDS / 10);
	ck_assert_uint_gt(long_entries, ROUNDS / 10);
	BOTH(f) fixture_teardown(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: VMRESUME's short way");
	TCase *tcase = tcase_create("random");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, short_way_is_long_way, 0, SEEDS);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
