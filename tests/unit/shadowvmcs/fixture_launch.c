/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from fixture.c so that a test that launches nothing needs no VM-entry code to link. */
#include "fixture.h"

#include <string.h>

static void execute(struct fixture *f, enum exit_reason reason, struct vmx_outcome *outcome)
{
	const struct vmx_operands none = {0};

	memset(outcome, 0, sizeof(*outcome));
	nested_vmx_instruction(&f->nested, reason, &none, outcome);
}

void fixture_launch(struct fixture *f, struct vmx_outcome *outcome)
{
	execute(f, EXIT_REASON_VMLAUNCH, outcome);
}

void fixture_resume(struct fixture *f, struct vmx_outcome *outcome)
{
	execute(f, EXIT_REASON_VMRESUME, outcome);
}

void fixture_enter(struct fixture *f)
{
	struct vmx_outcome outcome;

	if (f->vmcs12->launched)
		fixture_resume(f, &outcome);
	else
		fixture_launch(f, &outcome);
	ck_assert_msg(outcome.kind == VMX_ENTERED, "the entry ended as %u, error %u: %s", outcome.kind, outcome.error,
	        f->nested.failed_check ? f->nested.failed_check : "no failed check");
}
