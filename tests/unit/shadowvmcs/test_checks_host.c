/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on the host-state area, SDM vol. 3, 27.2.2 to 27.2.4: each check of checks_host.c fails once. */
#include "check_cases.h"

static const char *all(const struct nested *nested, const struct vmcs *v, uint64_t *qualification)
{
	*qualification = 0;
	return checks_host_state(nested, v);
}

static const char *changed(
        const struct nested *nested, const struct vmcs *v, const struct vmcs_mask *mask, uint64_t *qualification)
{
	*qualification = 0;
	return checks_host_state_changed(nested, v, mask);
}

static const struct check_functions host = {all, changed};

static void cet_offered(struct fixture *f)
{
	f->nested.caps.msr[MSR_IA32_VMX_CR4_FIXED1 - VMX_MSR_FIRST] |= CR4_CET;
}

/* L1 outside IA-32e mode, with a vmcs12 that fits it. */
static void l1_32_bits(struct fixture *f)
{
	f->vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	fixture_clear_bits(f, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST));
	fixture_clear_bits(f, VMCS_PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE));
	fixture_set(f, VMCS_HOST_IA32_EFER, 0);
}

static const struct check_case cases[] = {
        {"SUPPORTED(CR0, HOST_CR0)", {OFF(HOST_CR0, CR0_NE)}},
        {"SUPPORTED(CR0, HOST_CR0)", {ON(HOST_CR0, 1ull << 32)}},
        {"SUPPORTED(CR4, HOST_CR4)", {OFF(HOST_CR4, CR4_VMXE)}},
        {"SUPPORTED(CR4, HOST_CR4)", {ON(HOST_CR4, 1ull << 40)}},
        {"IMPLIES(FIELD(HOST_CR4) & CR4_CET, FIELD(HOST_CR0) & CR0_WP)", {ON(HOST_CR4, CR4_CET)}, cet_offered},
        {NULL, {ON(HOST_CR4, CR4_CET), ON(HOST_CR0, CR0_WP)}, cet_offered},
        {"IN_WIDTH(HOST_CR3)", {ON(HOST_CR3, BEYOND_WIDTH)}},
        {"CANONICAL(HOST_IA32_SYSENTER_ESP)", {SET(HOST_IA32_SYSENTER_ESP, NON_CANONICAL)}},
        {"CANONICAL(HOST_IA32_SYSENTER_EIP)", {SET(HOST_IA32_SYSENTER_EIP, NON_CANONICAL)}},
        {"IMPLIES(EXIT(LOAD_IA32_PERF_GLOBAL_CTRL), PERF_GLOBAL_VALID(HOST_IA32_PERF_GLOBAL_CTRL))",
                {ON_EXIT(LOAD_IA32_PERF_GLOBAL_CTRL), SET(HOST_IA32_PERF_GLOBAL_CTRL, 1ull << 63)}},
        {NULL, {SET(HOST_IA32_PERF_GLOBAL_CTRL, 1ull << 63)}},
        {"IMPLIES(EXIT(LOAD_IA32_PAT), PAT_VALID(HOST_IA32_PAT))", {SET(HOST_IA32_PAT, 0x0007040600070402)}},
        {"IMPLIES(EXIT(LOAD_IA32_PAT), PAT_VALID(HOST_IA32_PAT))", {SET(HOST_IA32_PAT, 0x0807040600070406)}},
        {NULL, {SET(HOST_IA32_PAT, 2), OFF_EXIT(LOAD_IA32_PAT)}},
        {"IMPLIES(EXIT(LOAD_IA32_EFER), !(FIELD(HOST_IA32_EFER) & ~EFER_VALID_BITS))", {ON(HOST_IA32_EFER, 2)}},
        {"IMPLIES(EXIT(LOAD_IA32_EFER), !!(FIELD(HOST_IA32_EFER) & EFER_LMA) == long_mode)",
                {OFF(HOST_IA32_EFER, EFER_LMA)}},
        {"IMPLIES(EXIT(LOAD_IA32_EFER), !!(FIELD(HOST_IA32_EFER) & EFER_LME) == long_mode)",
                {OFF(HOST_IA32_EFER, EFER_LME)}},
        {NULL, {SET(HOST_IA32_EFER, 2), OFF_EXIT(LOAD_IA32_EFER)}},
        {"FLAT_SELECTOR(HOST_ES_SELECTOR)", {ON(HOST_ES_SELECTOR, 1)}},
        {"FLAT_SELECTOR(HOST_CS_SELECTOR)", {ON(HOST_CS_SELECTOR, 3)}},
        {"FLAT_SELECTOR(HOST_SS_SELECTOR)", {ON(HOST_SS_SELECTOR, 4)}},
        {"FLAT_SELECTOR(HOST_DS_SELECTOR)", {ON(HOST_DS_SELECTOR, 2)}},
        {"FLAT_SELECTOR(HOST_FS_SELECTOR)", {ON(HOST_FS_SELECTOR, 4)}},
        {"FLAT_SELECTOR(HOST_GS_SELECTOR)", {ON(HOST_GS_SELECTOR, 1)}},
        {"FLAT_SELECTOR(HOST_TR_SELECTOR)", {ON(HOST_TR_SELECTOR, 4)}},
        {"FIELD(HOST_CS_SELECTOR) != 0", {SET(HOST_CS_SELECTOR, 0)}},
        {"FIELD(HOST_TR_SELECTOR) != 0", {SET(HOST_TR_SELECTOR, 0)}},
        {"IMPLIES(!EXIT(HOST_ADDRESS_SPACE_SIZE), FIELD(HOST_SS_SELECTOR) != 0)", {SET(HOST_SS_SELECTOR, 0)},
                l1_32_bits},
        {NULL, {SET(HOST_SS_SELECTOR, 0), SET(HOST_DS_SELECTOR, 0)}},
        {"CANONICAL(HOST_FS_BASE)", {SET(HOST_FS_BASE, NON_CANONICAL)}},
        {"CANONICAL(HOST_GS_BASE)", {SET(HOST_GS_BASE, NON_CANONICAL)}},
        {"CANONICAL(HOST_GDTR_BASE)", {SET(HOST_GDTR_BASE, NON_CANONICAL)}},
        {"CANONICAL(HOST_IDTR_BASE)", {SET(HOST_IDTR_BASE, NON_CANONICAL)}},
        {"CANONICAL(HOST_TR_BASE)", {SET(HOST_TR_BASE, NON_CANONICAL)}},
        {"IMPLIES(!l1_in_ia32e, !ENTRY(IA32E_MODE_GUEST))", {ON_ENTRY(IA32E_MODE_GUEST)}, l1_32_bits},
        {"IMPLIES(!l1_in_ia32e, !long_mode)",
                {ON_EXIT(HOST_ADDRESS_SPACE_SIZE), SET(HOST_IA32_EFER, EFER_LMA | EFER_LME)}, l1_32_bits},
        {"IMPLIES(l1_in_ia32e, long_mode)", {OFF_EXIT(HOST_ADDRESS_SPACE_SIZE), SET(HOST_IA32_EFER, 0)}},
        {"IMPLIES(!long_mode, !(FIELD(HOST_CR4) & CR4_PCIDE))", {ON(HOST_CR4, CR4_PCIDE)}, l1_32_bits},
        {NULL, {ON(HOST_CR4, CR4_PCIDE)}},
        {"IMPLIES(!long_mode, !(FIELD(HOST_RIP) >> 32))", {SET(HOST_RIP, 1ull << 32)}, l1_32_bits},
        {"IMPLIES(long_mode, FIELD(HOST_CR4) & CR4_PAE)", {OFF(HOST_CR4, CR4_PAE)}},
        {"IMPLIES(long_mode, CANONICAL(HOST_RIP))", {SET(HOST_RIP, NON_CANONICAL)}},
        {NULL, {SET(HOST_RIP, 0xffff800000000000)}},
};

START_TEST(check)
{
	run_check_case(&host, &cases[_i]);
}
END_TEST

/* L1 may have left IA-32e mode since vmcs12 was last looked at. */
START_TEST(mode_of_l1_is_looked_at_every_time)
{
	const struct vmcs_mask nothing = {0};
	struct fixture f;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	fixture_snapshot(&f);
	ck_assert_ptr_null(checks_host_state_changed(&f.nested, &f.nested.checked12, &nothing));
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	ck_assert_str_eq(checks_host_state_changed(&f.nested, &f.nested.checked12, &nothing),
	        "IMPLIES(!l1_in_ia32e, !ENTRY(IA32E_MODE_GUEST))");
	fixture_teardown(&f);
}
END_TEST

/* Where the machine keeps EFER, the mode vmcs01 was entered in counts. */
START_TEST(mode_of_l1_without_efer)
{
	struct fixture f;

	fixture_setup(&f, FIXTURE_PARAVIRTUAL);
	fixture_start(&f);
	fixture_snapshot(&f);
	f.vmcs01.field[VMCS_GUEST_IA32_EFER] = 0;
	vmcs_mask_set(&f.vmcs01.stale, VMCS_GUEST_IA32_EFER);
	ck_assert_ptr_null(checks_host_state(&f.nested, &f.nested.checked12));
	f.vmcs01.field[VMCS_VM_ENTRY_CONTROLS] &= ~(uint64_t)VMX_BIT(ENTRY_IA32E_MODE_GUEST);
	ck_assert_str_eq(
	        checks_host_state(&f.nested, &f.nested.checked12), "IMPLIES(!l1_in_ia32e, !ENTRY(IA32E_MODE_GUEST))");
	fixture_teardown(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadowvmcs: VM-entry checks: host state");
	TCase *tcase = tcase_create("cases");

	tcase_add_loop_test(tcase, check, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, mode_of_l1_is_looked_at_every_time);
	tcase_add_test(tcase, mode_of_l1_without_efer);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
