/* SPDX-License-Identifier: Apache-2.0 */
/** The table of machines where isa_diff is linked without l0: the soft machine alone. */
#include "l0/soft/soft.h"

const struct machine_ops *const machines[] = {&machine_soft, NULL};
