/* SPDX-License-Identifier: Apache-2.0 */
/* VM-entry checks on guest segment registers: SDM vol. 3, 27.3.1.2, in its order. */
#include "nested.h"

#include "transition.h"

#define SELECTOR(seg) FIELD(GUEST_##seg##_SELECTOR)
#define BASE(seg) FIELD(GUEST_##seg##_BASE)
#define LIMIT(seg) FIELD(GUEST_##seg##_LIMIT)
#define AR(seg) FIELD(GUEST_##seg##_ACCESS_RIGHTS)
#define USABLE(seg) (!(AR(seg) & AR_UNUSABLE))
#define TYPE(seg) (AR(seg) & AR_TYPE_MASK)
#define DPL(seg) (AR(seg) >> AR_DPL_SHIFT & 3)
#define RPL(seg) (SELECTOR(seg) & SELECTOR_RPL)

/* Type, S, DPL 3 and P of a segment in virtual-8086 mode: data, read/write, accessed. */
#define AR_V8086 0xf3u
#define LIMIT_V8086 0xffffu

/* Code segment types 9, 11 (nonconforming), 13, 15 (conforming), all accessed; 3 is data (unrestricted guest). */
#define TYPE_DATA_WRITABLE 3
#define TYPE_LDT 2
#define TYPE_BUSY_TSS16 3
#define TYPE_BUSY_TSS32 11

/* With G = 0 limit bits 31:20 are 0, with G = 1 limit bits 11:0 are all 1. */
static bool granularity_fits(uint64_t access_rights, uint64_t limit)
{
	if ((limit & 0xfff) != 0xfff && (access_rights & AR_G))
		return false;
	return !(limit & 0xfff00000) || (access_rights & AR_G);
}

static bool cs_type_valid(uint64_t type, bool unrestricted)
{
	return type == 9 || type == 11 || type == 13 || type == 15 || (type == TYPE_DATA_WRITABLE && unrestricted);
}

static bool cs_dpl_valid(uint64_t type, uint64_t dpl, uint64_t ss_dpl)
{
	if (type == TYPE_DATA_WRITABLE)
		return dpl == 0;
	return type == 9 || type == 11 ? dpl == ss_dpl : dpl <= ss_dpl;
}

/* Accessed, and readable when it is code. */
static bool data_type_valid(uint64_t type)
{
	return (type & AR_TYPE_ACCESSED) && (!(type & AR_TYPE_CODE) || (type & AR_TYPE_WRITABLE));
}

static const char *check_selectors(const struct vmcs *v, bool v8086, bool unrestricted)
{
	CHECK(!(SELECTOR(TR) & SELECTOR_TI));
	CHECK(IMPLIES(USABLE(LDTR), !(SELECTOR(LDTR) & SELECTOR_TI)));
	CHECK(IMPLIES(!v8086 && !unrestricted, RPL(SS) == RPL(CS)));
	return 0;
}

static const char *check_bases(const struct vmcs *v)
{
	CHECK(CANONICAL(GUEST_TR_BASE));
	CHECK(CANONICAL(GUEST_FS_BASE));
	CHECK(CANONICAL(GUEST_GS_BASE));
	CHECK(IMPLIES(USABLE(LDTR), CANONICAL(GUEST_LDTR_BASE)));
	CHECK(!(BASE(CS) >> 32));
	CHECK(IMPLIES(USABLE(SS), !(BASE(SS) >> 32)));
	CHECK(IMPLIES(USABLE(DS), !(BASE(DS) >> 32)));
	CHECK(IMPLIES(USABLE(ES), !(BASE(ES) >> 32)));
	return 0;
}

#define CHECK_V8086(seg)                                                                                               \
	CHECK(BASE(seg) == SELECTOR(seg) << 4);                                                                        \
	CHECK(LIMIT(seg) == LIMIT_V8086);                                                                              \
	CHECK(AR(seg) == AR_V8086)

static const char *check_v8086(const struct vmcs *v)
{
	CHECK_V8086(CS);
	CHECK_V8086(SS);
	CHECK_V8086(DS);
	CHECK_V8086(ES);
	CHECK_V8086(FS);
	CHECK_V8086(GS);
	return 0;
}

static const char *check_code(const struct vmcs *v, bool unrestricted)
{
	CHECK(cs_type_valid(TYPE(CS), unrestricted));
	CHECK(AR(CS) & AR_S);
	CHECK(cs_dpl_valid(TYPE(CS), DPL(CS), DPL(SS)));
	CHECK(AR(CS) & AR_P);
	CHECK(!(AR(CS) & AR_RESERVED));
	CHECK(IMPLIES(ENTRY(IA32E_MODE_GUEST) && (AR(CS) & AR_L), !(AR(CS) & AR_DB)));
	CHECK(granularity_fits(AR(CS), LIMIT(CS)));
	return 0;
}

static const char *check_stack(const struct vmcs *v, bool unrestricted)
{
	/* DPL(SS) is the CPL whether SS is usable or not. */
	CHECK(IMPLIES(!unrestricted, DPL(SS) == RPL(SS)));
	CHECK(IMPLIES(TYPE(CS) == TYPE_DATA_WRITABLE || !(FIELD(GUEST_CR0) & CR0_PE), DPL(SS) == 0));
	if (!USABLE(SS))
		return 0;
	CHECK(TYPE(SS) == 3 || TYPE(SS) == 7);
	CHECK(AR(SS) & AR_S);
	CHECK(AR(SS) & AR_P);
	CHECK(!(AR(SS) & AR_RESERVED));
	CHECK(granularity_fits(AR(SS), LIMIT(SS)));
	return 0;
}

#define CHECK_DATA(seg)                                                                                                \
	CHECK(IMPLIES(USABLE(seg), data_type_valid(TYPE(seg))));                                                       \
	CHECK(IMPLIES(USABLE(seg), AR(seg) & AR_S));                                                                   \
	CHECK(IMPLIES(USABLE(seg) && !unrestricted && TYPE(seg) <= 11, DPL(seg) >= RPL(seg)));                         \
	CHECK(IMPLIES(USABLE(seg), AR(seg) & AR_P));                                                                   \
	CHECK(IMPLIES(USABLE(seg), !(AR(seg) & AR_RESERVED)));                                                         \
	CHECK(IMPLIES(USABLE(seg), granularity_fits(AR(seg), LIMIT(seg))))

static const char *check_data(const struct vmcs *v, bool unrestricted)
{
	CHECK_DATA(DS);
	CHECK_DATA(ES);
	CHECK_DATA(FS);
	CHECK_DATA(GS);
	return 0;
}

static const char *check_task(const struct vmcs *v)
{
	const bool ia32e = ENTRY(IA32E_MODE_GUEST);

	CHECK(TYPE(TR) == TYPE_BUSY_TSS32 || (TYPE(TR) == TYPE_BUSY_TSS16 && !ia32e));
	CHECK(!(AR(TR) & AR_S));
	CHECK(AR(TR) & AR_P);
	CHECK(granularity_fits(AR(TR), LIMIT(TR)));
	CHECK(USABLE(TR));
	CHECK(!(AR(TR) & AR_RESERVED));
	return 0;
}

static const char *check_ldt(const struct vmcs *v)
{
	CHECK(IMPLIES(USABLE(LDTR), TYPE(LDTR) == TYPE_LDT));
	CHECK(IMPLIES(USABLE(LDTR), !(AR(LDTR) & AR_S)));
	CHECK(IMPLIES(USABLE(LDTR), AR(LDTR) & AR_P));
	CHECK(IMPLIES(USABLE(LDTR), !(AR(LDTR) & AR_RESERVED)));
	CHECK(IMPLIES(USABLE(LDTR), granularity_fits(AR(LDTR), LIMIT(LDTR))));
	return 0;
}

const char *checks_segments(const struct nested *nested, const struct vmcs *v)
{
	const bool v8086 = FIELD(GUEST_RFLAGS) & RFLAGS_VM;
	const bool unrestricted = PROC2(UNRESTRICTED_GUEST);
	const char *failed;

	failed = check_selectors(v, v8086, unrestricted);
	if (!failed)
		failed = check_bases(v);
	if (!failed && v8086)
		failed = check_v8086(v);
	if (!failed && !v8086)
		failed = check_code(v, unrestricted);
	if (!failed && !v8086)
		failed = check_stack(v, unrestricted);
	if (!failed && !v8086)
		failed = check_data(v, unrestricted);
	if (!failed)
		failed = check_task(v);
	return failed ? failed : check_ldt(v);
}
