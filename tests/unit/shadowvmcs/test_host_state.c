/* SPDX-License-Identifier: Apache-2.0 */
/* L1 after an exit of L2: vmcs01's guest state holds L1's host state, SDM vol. 3, 28.5. */
#include "check_cases.h"

static struct fixture f;

static void setup(void)
{
	fixture_setup(&f, FIXTURE_REAL_VMX);
}

static void setup_paravirtual(void)
{
	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
}

static void teardown(void)
{
	fixture_teardown(&f);
}

static void enter_l2(void)
{
	fixture_snapshot(&f);
	ck_assert_int_eq(merge_vmcs02(&f.nested), 0);
	f.nested.in_l2 = true;
	memset(&f.nested.vmcs02.dirty, 0, sizeof(f.nested.vmcs02.dirty));
}

static void exit_l2(void)
{
	fixture_exit_l2(&f, EXIT_REASON_CPUID, 0);
	nested_reflect(&f.nested);
}

#define NO_EXIT_LOADS OFF_EXIT(LOAD_IA32_EFER), OFF_EXIT(LOAD_IA32_PAT)
#define EXIT_TO_32_BITS OFF_EXIT(HOST_ADDRESS_SPACE_SIZE), SET(HOST_IA32_EFER, 0)

struct host_case {
	enum vmcs_field field; /* of vmcs01 */
	uint64_t value;
	struct change of12[CHANGES_MAX];
	struct change of02[CHANGES_MAX]; /* by L2 */
	struct change of01[CHANGES_MAX]; /* before the exit */
};

static const struct host_case cases[] = {
        {VMCS_GUEST_RIP, 0x1234, {SET(HOST_RIP, 0x1234)}},
        {VMCS_GUEST_RSP, 0x5678, {SET(HOST_RSP, 0x5678)}},
        {VMCS_GUEST_RFLAGS, 2, {}, {SET(GUEST_RFLAGS, 0x202)}, {SET(GUEST_RFLAGS, 0x46)}},
        {VMCS_GUEST_CR3, 0x9000, {SET(HOST_CR3, 0x9000)}},
        /* CR0: reserved bits, ET, CD and NW stay as they were. */
        {VMCS_GUEST_CR0, 0xc0010031, {SET(HOST_CR0, 0x80010031 | CR0_NW)}, {}, {SET(GUEST_CR0, 0xc0000031)}},
        {VMCS_GUEST_CR0, 0x80010031, {SET(HOST_CR0, 0x9ffbffe1 | CR0_WP)}, {}, {SET(GUEST_CR0, 0x80000039)}},
        {VMCS_GUEST_CR4, 0x22020, {SET(HOST_CR4, 0x22000)}},
        {VMCS_GUEST_CR4, 0x2000, {SET(HOST_CR4, 0x22000), EXIT_TO_32_BITS}},
        /* Bits L0 owns keep L0's value; L1 reads its own. */
        {VMCS_GUEST_CR4, 0x2020, {SET(HOST_CR4, 0x20)}, {}, {SET(CR4_GUEST_HOST_MASK, CR4_VMXE)}},
        {VMCS_CR4_READ_SHADOW, 0x20, {SET(HOST_CR4, 0x20)}, {}, {SET(CR4_GUEST_HOST_MASK, CR4_VMXE)}},
        {VMCS_CR0_READ_SHADOW, 0x80010031, {SET(HOST_CR0, 0x80010031)}, {}, {SET(CR0_GUEST_HOST_MASK, CR0_WP)}},
        {VMCS_GUEST_CR0, 0x80040031, {SET(HOST_CR0, 0x80050031)}, {}, {SET(CR0_GUEST_HOST_MASK, CR0_WP)}},
        {VMCS_GUEST_DR7, 0x400, {}, {SET(GUEST_DR7, 0x455)}, {SET(GUEST_DR7, 0x401)}},
        {VMCS_GUEST_IA32_DEBUGCTL, 0, {}, {}, {SET(GUEST_IA32_DEBUGCTL, 1)}},
        {VMCS_GUEST_IA32_SYSENTER_CS, 0x10, {SET(HOST_IA32_SYSENTER_CS, 0x10)}},
        {VMCS_GUEST_IA32_SYSENTER_ESP, 0x11, {SET(HOST_IA32_SYSENTER_ESP, 0x11)}},
        {VMCS_GUEST_IA32_SYSENTER_EIP, 0x12, {SET(HOST_IA32_SYSENTER_EIP, 0x12)}},
        {VMCS_GUEST_IA32_EFER, 0xd01, {SET(HOST_IA32_EFER, 0xd01)}, {SET(GUEST_IA32_EFER, 0x500)}},
        {VMCS_GUEST_IA32_EFER, 0xd00, {NO_EXIT_LOADS, SET(HOST_IA32_EFER, 1)}, {SET(GUEST_IA32_EFER, 0x800)}},
        {VMCS_GUEST_IA32_EFER, 0x801, {NO_EXIT_LOADS, EXIT_TO_32_BITS}, {SET(GUEST_IA32_EFER, 0xd01)}},
        {VMCS_GUEST_IA32_PAT, 6, {SET(HOST_IA32_PAT, 6)}, {SET(GUEST_IA32_PAT, 4)}},
        {VMCS_GUEST_IA32_PAT, 4, {NO_EXIT_LOADS, SET(HOST_IA32_PAT, 6)}, {SET(GUEST_IA32_PAT, 4)}},
        {VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, 3,
                {ON_EXIT(LOAD_IA32_PERF_GLOBAL_CTRL), SET(HOST_IA32_PERF_GLOBAL_CTRL, 3)}},
        {VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, 7, {SET(HOST_IA32_PERF_GLOBAL_CTRL, 3)},
                {SET(GUEST_IA32_PERF_GLOBAL_CTRL, 7)}},
        {VMCS_GUEST_IA32_BNDCFGS, 0, {ON_EXIT(CLEAR_IA32_BNDCFGS)}, {SET(GUEST_IA32_BNDCFGS, 1)}},
        {VMCS_GUEST_IA32_BNDCFGS, 1, {}, {SET(GUEST_IA32_BNDCFGS, 1)}},
        /* segments */
        {VMCS_GUEST_CS_SELECTOR, 0x18, {SET(HOST_CS_SELECTOR, 0x18)}},
        {VMCS_GUEST_CS_BASE, 0, {}, {}, {SET(GUEST_CS_BASE, 9)}},
        {VMCS_GUEST_CS_LIMIT, 0xffffffff, {}, {}, {SET(GUEST_CS_LIMIT, 9)}},
        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09b, {}, {}, {SET(GUEST_CS_ACCESS_RIGHTS, 0xa0fb)}},
        {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b, {EXIT_TO_32_BITS}},
        {VMCS_GUEST_SS_SELECTOR, 0x20, {SET(HOST_SS_SELECTOR, 0x20)}},
        {VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc093, {}, {}, {SET(GUEST_SS_ACCESS_RIGHTS, 0xc0f3)}},
        {VMCS_GUEST_SS_ACCESS_RIGHTS, 0x10000, {SET(HOST_SS_SELECTOR, 0)}},
        {VMCS_GUEST_DS_ACCESS_RIGHTS, 0x10000, {SET(HOST_DS_SELECTOR, 0)}},
        {VMCS_GUEST_ES_LIMIT, 0xffffffff, {}, {}, {SET(GUEST_ES_LIMIT, 9)}},
        {VMCS_GUEST_ES_BASE, 0, {}, {}, {SET(GUEST_ES_BASE, 9)}},
        {VMCS_GUEST_DS_SELECTOR, 0x20, {SET(HOST_DS_SELECTOR, 0x20)}},
        {VMCS_GUEST_FS_BASE, 0x777, {SET(HOST_FS_BASE, 0x777)}},
        {VMCS_GUEST_FS_ACCESS_RIGHTS, 0xc093, {}, {}, {SET(GUEST_FS_ACCESS_RIGHTS, 9)}},
        {VMCS_GUEST_GS_BASE, 0x778, {SET(HOST_GS_BASE, 0x778), SET(HOST_GS_SELECTOR, 0)}},
        {VMCS_GUEST_GS_ACCESS_RIGHTS, 0x10000, {SET(HOST_GS_SELECTOR, 0)}},
        {VMCS_GUEST_TR_SELECTOR, 0x40, {SET(HOST_TR_SELECTOR, 0x40)}},
        {VMCS_GUEST_TR_BASE, 0x4000, {SET(HOST_TR_BASE, 0x4000)}},
        {VMCS_GUEST_TR_LIMIT, 0x67, {}, {}, {SET(GUEST_TR_LIMIT, 0x1fff)}},
        {VMCS_GUEST_TR_ACCESS_RIGHTS, 0x8b, {}, {}, {SET(GUEST_TR_ACCESS_RIGHTS, 0x83)}},
        {VMCS_GUEST_LDTR_SELECTOR, 0, {}, {}, {SET(GUEST_LDTR_SELECTOR, 0x30)}},
        {VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x10000, {}, {}, {SET(GUEST_LDTR_ACCESS_RIGHTS, 0x82)}},
        {VMCS_GUEST_GDTR_BASE, 0x5000, {SET(HOST_GDTR_BASE, 0x5000)}},
        {VMCS_GUEST_GDTR_LIMIT, 0xffff, {}},
        {VMCS_GUEST_IDTR_BASE, 0x6000, {SET(HOST_IDTR_BASE, 0x6000)}},
        {VMCS_GUEST_IDTR_LIMIT, 0xffff, {}},
        /* the rest */
        {VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE, {}, {}, {SET(GUEST_ACTIVITY_STATE, ACTIVITY_HLT)}},
        {VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, 0, {}, {}, {SET(GUEST_PENDING_DEBUG_EXCEPTIONS, 1)}},
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, 0, {}, {}, {SET(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_STI)}},
        /* Blocking by NMI: L1's own with virtual NMIs, else the CPU's, which L2 had. */
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI, {ON_PIN(VIRTUAL_NMIS)}, {},
                {SET(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI)}},
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, 0, {ON_PIN(VIRTUAL_NMIS)},
                {SET(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI)}},
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI, {},
                {SET(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI)}},
        {VMCS_GUEST_INTERRUPTIBILITY_STATE, 0, {}, {}, {SET(GUEST_INTERRUPTIBILITY_STATE, INTERRUPTIBILITY_NMI)}},
};

START_TEST(loaded)
{
	const struct host_case *c = &cases[_i];

	fixture_start(&f);
	apply_changes(f.vmcs12, c->of12);
	enter_l2();
	apply_changes(&f.nested.vmcs02, c->of02);
	apply_changes(&f.vmcs01, c->of01);
	exit_l2();
	ck_assert_msg(f.vmcs01.field[c->field] == c->value, "%s is %#llx, expected %#llx",
	        vmcs_field_infos[c->field].name, (unsigned long long)f.vmcs01.field[c->field],
	        (unsigned long long)c->value);
}
END_TEST

START_TEST(mode_of_l1)
{
	const uint64_t ia32e = VMX_BIT(ENTRY_IA32E_MODE_GUEST);

	fixture_start(&f);
	apply_changes(f.vmcs12, (struct change[CHANGES_MAX]){EXIT_TO_32_BITS});
	enter_l2();
	exit_l2();
	ck_assert_uint_eq(f.vmcs01.field[VMCS_VM_ENTRY_CONTROLS] & ia32e, 0);
	apply_changes(f.vmcs12, (struct change[CHANGES_MAX]){ON_EXIT(HOST_ADDRESS_SPACE_SIZE)});
	enter_l2();
	exit_l2();
	ck_assert_uint_eq(f.vmcs01.field[VMCS_VM_ENTRY_CONTROLS] & ia32e, ia32e);
}
END_TEST

START_TEST(nmi_exit_blocks_nmis)
{
	fixture_start(&f);
	enter_l2();
	fixture_exit_l2(&f, EXIT_REASON_EXCEPTION_OR_NMI, 0);
	f.nested.vmcs02.field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = 0x80000202;
	nested_reflect(&f.nested);
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_INTERRUPTIBILITY_STATE], INTERRUPTIBILITY_NMI);
}
END_TEST

START_TEST(pdptes)
{
	fixture_start(&f);
	apply_changes(f.vmcs12, (struct change[CHANGES_MAX]){EXIT_TO_32_BITS, SET(HOST_CR3, 0xa020)});
	fixture_write64(&f, 0xa020 + 8, 0xb001);
	enter_l2();
	exit_l2();
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_PDPTE1], 0xb001);
	ck_assert_uint_eq(f.nested.vmx_abort, 0);
	fixture_write64(&f, 0xa020 + 24, 0xb003);
	enter_l2();
	exit_l2();
	ck_assert_uint_eq(f.nested.vmx_abort, 2);
	ck_assert_uint_eq(f.vmcs12->abort_indicator, 2);
}
END_TEST

/* vmcs12 may have been scribbled over while L2 ran (vmcs=direct): the values that were checked count. */
START_TEST(values_that_were_checked)
{
	fixture_start(&f);
	const uint64_t rip = fixture_get(&f, VMCS_HOST_RIP);
	enter_l2();
	f.vmcs12->field[VMCS_HOST_RIP] = 0xbad;
	f.vmcs12->field[VMCS_PRIMARY_VM_EXIT_CONTROLS] = 0;
	exit_l2();
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_RIP], rip);
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_CS_ACCESS_RIGHTS], 0xa09b);
}
END_TEST

/* Copying everything is to cost the machine a load of everything. */
START_TEST(everything_is_dirty)
{
	f.config.copy_everything = true;
	fixture_start(&f);
	enter_l2();
	exit_l2();
	memset(&f.vmcs01.dirty, 0, sizeof(f.vmcs01.dirty));
	enter_l2();
	exit_l2();
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_CR3));
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_GS_BASE));
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_RIP));
}
END_TEST

/* L1's own value of a register may still be in the machine: it must take the host's all the same. */
START_TEST(stale_register_of_l1)
{
	fixture_start(&f);
	enter_l2();
	exit_l2();
	memset(&f.vmcs01.dirty, 0, sizeof(f.vmcs01.dirty));
	enter_l2();
	vmcs_mask_set(&f.vmcs01.stale, VMCS_GUEST_CR3);
	exit_l2();
	ck_assert(vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_CR3));
	ck_assert(!vmcs_mask_has(&f.vmcs01.dirty, VMCS_GUEST_CR4));
	ck_assert(!vmcs_mask_has(&f.vmcs01.stale, VMCS_GUEST_CR3));
	ck_assert_uint_eq(f.fetches, 0);
}
END_TEST

static void fetched_efer(struct fixture *fixture, struct vmcs *vmcs)
{
	(void)fixture;
	vmcs->field[VMCS_GUEST_IA32_EFER] = 0xd01;
}

/* A register that stays L2's is needed now. */
START_TEST(stale_register_of_l2)
{
	fixture_start(&f);
	apply_changes(f.vmcs12, (struct change[CHANGES_MAX]){NO_EXIT_LOADS});
	enter_l2();
	vmcs_mask_set(&f.nested.vmcs02.stale, VMCS_GUEST_IA32_EFER);
	f.on_fetch = fetched_efer;
	exit_l2();
	ck_assert_uint_eq(f.fetches, 1);
	ck_assert_uint_eq(f.vmcs01.field[VMCS_GUEST_IA32_EFER], 0xd01);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: host state");
	TCase *tcase = tcase_create("real VMX"), *paravirtual = tcase_create("paravirtual");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, loaded, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, mode_of_l1);
	tcase_add_test(tcase, nmi_exit_blocks_nmis);
	tcase_add_test(tcase, pdptes);
	tcase_add_test(tcase, values_that_were_checked);
	tcase_add_test(tcase, everything_is_dirty);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(paravirtual, setup_paravirtual, teardown);
	tcase_add_test(paravirtual, stale_register_of_l1);
	tcase_add_test(paravirtual, stale_register_of_l2);
	suite_add_tcase(suite, paravirtual);
	return fixture_run(suite);
}
