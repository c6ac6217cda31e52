/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Table-driven tests of VM-entry checks: a case makes the valid vmcs12 wrong in one respect and names the check that
 * must fail. Each case is run twice: with all checks, and with only the groups that read the changed fields.
 */
#ifndef TESTUDO_TESTS_SHADOWVMCS_CHECK_CASES_H
#define TESTUDO_TESTS_SHADOWVMCS_CHECK_CASES_H

#include <string.h>

#include "fixture.h"
#include "shadowvmcs/x86.h"

enum change_kind { CHANGE_END, CHANGE_SET, CHANGE_ON, CHANGE_OFF };
struct change {
	enum change_kind kind;
	enum vmcs_field field;
	uint64_t value;
};
#define SET(field, value)                                                                                              \
	{                                                                                                              \
		CHANGE_SET, VMCS_##field, (value)                                                                      \
	}
#define ON(field, bits)                                                                                                \
	{                                                                                                              \
		CHANGE_ON, VMCS_##field, (bits)                                                                        \
	}
#define OFF(field, bits)                                                                                               \
	{                                                                                                              \
		CHANGE_OFF, VMCS_##field, (bits)                                                                       \
	}
#define ON_PIN(bit) ON(PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_##bit))
#define OFF_PIN(bit) OFF(PIN_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PIN_##bit))
#define ON_PROC(bit) ON(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_##bit))
#define OFF_PROC(bit) OFF(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC_##bit))
#define ON_PROC2(bit) ON(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_##bit))
#define OFF_PROC2(bit) OFF(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS, VMX_BIT(PROC2_##bit))
#define ON_EXIT(bit) ON(PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_##bit))
#define OFF_EXIT(bit) OFF(PRIMARY_VM_EXIT_CONTROLS, VMX_BIT(EXIT_##bit))
#define ON_ENTRY(bit) ON(VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_##bit))
#define OFF_ENTRY(bit) OFF(VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_##bit))

#define NON_CANONICAL 0x800000000000ull
#define BEYOND_WIDTH (1ull << 50)

enum { CHANGES_MAX = 8 };
struct check_case {
	const char *text; /* of the check that fails; NULL: all pass */
	struct change changes[CHANGES_MAX];
	void (*prepare)(struct fixture *f); /* another valid state to start from, or other capabilities */
	uint64_t qualification;             /* guest state only */
};

/* One group of checks: all of them, and those that read a changed field. */
struct check_functions {
	const char *(*all)(const struct nested *, const struct vmcs *, uint64_t *qualification);
	const char *(*changed)(
	        const struct nested *, const struct vmcs *, const struct vmcs_mask *, uint64_t *qualification);
};

/** Offer every control that has a name, also those the engine never offers. */
static inline void allow_all_controls(struct fixture *f)
{
	static const uint32_t msrs[VMX_WORD_COUNT] = {MSR_IA32_VMX_TRUE_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	        MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_TRUE_EXIT_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS};

	for (int word = 0; word < VMX_WORD_COUNT; word++) {
		uint64_t *msr = &f->nested.caps.msr[msrs[word] - VMX_MSR_FIRST];
		for (unsigned bit = 0; bit < 32; bit++) {
			if (caps_control_name((enum vmx_control_word)word, bit))
				*msr |= 1ull << (32 + bit);
		}
	}
	f->nested.caps.msr[MSR_IA32_VMX_VMFUNC - VMX_MSR_FIRST] = 1;
}

static inline void apply_change(struct vmcs *v, const struct change *change)
{
	const uint64_t old = v->field[change->field];
	uint64_t value = change->value;

	if (change->kind == CHANGE_ON)
		value = old | value;
	else if (change->kind == CHANGE_OFF)
		value = old & ~value;
	vmcs_set(v, change->field, value);
}

static inline void apply_changes(struct vmcs *v, const struct change *changes)
{
	for (int i = 0; i < CHANGES_MAX && changes[i].kind != CHANGE_END; i++)
		apply_change(v, &changes[i]);
}

static inline const char *shown(const char *text)
{
	return text ? text : "(all pass)";
}

/*
 * Each change as the last one, alone in the mask, where vmcs12 passed without it: finds fields that are missing in the
 * mask of the group that reads them.
 */
static inline void run_last_changes(const struct check_functions *functions, const struct check_case *c,
        const struct nested *nested, struct vmcs *v)
{
	const struct vmcs valid = *v;
	uint64_t qualification;

	for (int last = 0; last < CHANGES_MAX && c->changes[last].kind != CHANGE_END; last++) {
		*v = valid;
		for (int i = 0; i < CHANGES_MAX && c->changes[i].kind != CHANGE_END; i++) {
			if (i != last)
				apply_change(v, &c->changes[i]);
		}
		if (functions->all(nested, v, &qualification))
			continue;
		memset(&v->dirty, 0, sizeof(v->dirty));
		apply_change(v, &c->changes[last]);
		const char *got = shown(functions->changed(nested, v, &v->dirty, &qualification));
		ck_assert_msg(strcmp(got, shown(c->text)) == 0, "failed check after change %d: %s, expected: %s", last,
		        got, shown(c->text));
	}
}

static inline void run_check_case(const struct check_functions *functions, const struct check_case *c)
{
	const char *wanted = shown(c->text), *got;
	struct fixture f;
	uint64_t qualification = 0;

	fixture_setup(&f, FIXTURE_REAL_VMX);
	fixture_start(&f);
	allow_all_controls(&f);
	if (c->prepare)
		c->prepare(&f);
	fixture_snapshot(&f);
	struct vmcs *v = &f.nested.checked12;
	memcpy(f.nested.vmcs02.field, v->field, sizeof(v->field));
	got = shown(functions->all(&f.nested, v, &qualification));
	ck_assert_msg(strcmp(got, "(all pass)") == 0, "before the change failed: %s (case: %s)", got, wanted);
	memset(&v->dirty, 0, sizeof(v->dirty));
	const struct vmcs valid = *v;

	apply_changes(v, c->changes);
	got = shown(functions->all(&f.nested, v, &qualification));
	ck_assert_msg(strcmp(got, wanted) == 0, "failed check: %s, expected: %s", got, wanted);
	ck_assert_msg(qualification == c->qualification, "qualification %llu of %s", (unsigned long long)qualification,
	        wanted);
	got = shown(functions->changed(&f.nested, v, &v->dirty, &qualification));
	ck_assert_msg(strcmp(got, wanted) == 0, "failed check after a change: %s, expected: %s", got, wanted);
	ck_assert_uint_eq(qualification, c->qualification);
	*v = valid;
	run_last_changes(functions, c, &f.nested, v);
	fixture_teardown(&f);
}

#endif
