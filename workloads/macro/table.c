/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "workloads/macro/macro.h"

#define MACRO(name, identifier, unit, virtual_ops, text) extern const struct macro macro_##identifier;
#include "workloads/macros.def"
#undef MACRO

const struct macro *const macro_table[] = {
#define MACRO(name, identifier, unit, virtual_ops, text) &macro_##identifier,
#include "workloads/macros.def"
#undef MACRO
        NULL,
};
