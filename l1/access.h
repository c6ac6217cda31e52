/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How exits.c reads and writes vmcs12, decided when it is compiled: each way has its own copy of the exit loop, since a
 * decision at run time would cost instructions at every access.
 *
 *   L1_ACCESS_VMX       VMREAD and VMWRITE (vmcs=trap and vmcs=shadow on a CPU with VMX: shadowing is invisible)
 *   L1_ACCESS_PV_TRAP   a paravirtual call per access
 *   L1_ACCESS_PV_SHADOW memory where the bitmaps allow it, else a paravirtual call
 *   L1_ACCESS_DIRECT    memory: L1 knows vmcs12's layout
 *   L1_ACCESS_TEST      functions of a unit test
 */
#ifndef TESTUDO_L1_ACCESS_H
#define TESTUDO_L1_ACCESS_H

#define L1_ACCESS_VMX 0
#define L1_ACCESS_PV_TRAP 1
#define L1_ACCESS_PV_SHADOW 2
#define L1_ACCESS_DIRECT 3
#define L1_ACCESS_TEST 4

/* exit_select.c needs the encodings alone. */
#ifndef L1_ACCESS
#define L1_ACCESS L1_ACCESS_VMX
#endif

#include "abi/testdev.h"
#include "l1.h"
#if L1_ACCESS != L1_ACCESS_TEST
#include "vmx.h"
#endif

#define ACCESS_INLINE static inline __attribute__((always_inline))

/* Folded by the compiler: every caller's field is a constant. */
static const uint16_t access_encodings[VMCS_FIELD_COUNT] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) [VMCS_##name] = (encoding),
#include "shadowvmcs/vmcs_fields.def"
#undef VMCS_FIELD
};

#if L1_ACCESS == L1_ACCESS_TEST
void access_exit_IO_INSTRUCTION(void);
#else
/** An exit of L1's own that has nothing to do with a VMCS. */
ACCESS_INLINE void access_exit_IO_INSTRUCTION(void)
{
	uint32_t level;

	__asm__ volatile("inl %1, %0" : "=a"(level) : "d"((uint16_t)TESTDEV_PORT_LEVEL));
}
#endif

#if L1_ACCESS == L1_ACCESS_VMX

ACCESS_INLINE uint64_t access_read(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)access_encodings[field]) : "cc");
	return value;
}

ACCESS_INLINE void access_write(enum vmcs_field field, uint64_t value)
{
	__asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((uint64_t)access_encodings[field]) : "cc", "memory");
}

#elif L1_ACCESS == L1_ACCESS_PV_TRAP

ACCESS_INLINE uint64_t access_read(enum vmcs_field field)
{
	uint64_t value = 0;

	vmx_pv_call(PV_VMREAD, access_encodings[field], &value, 0);
	return value;
}

ACCESS_INLINE void access_write(enum vmcs_field field, uint64_t value)
{
	vmx_pv_call(PV_VMWRITE, access_encodings[field], &value, 0);
}

#elif L1_ACCESS == L1_ACCESS_PV_SHADOW

#define ACCESS_REGION ((volatile struct vmcs *)BOOT_GPA_SHADOW_REGION)

/* SDM vol. 3, 25.6.15: bit n of the bitmap stands for encoding n; 0 = no exit. */
ACCESS_INLINE bool access_shadowed(uint64_t bitmap, enum vmcs_field field)
{
	const unsigned encoding = access_encodings[field];

	return !(*(const uint8_t *)(bitmap + encoding / 8) & 1u << encoding % 8);
}

/* Out of line (exit_entry.S), keeping every register but RAX: the paths that need no call shall not pay for it. */
ACCESS_INLINE uint64_t access_read_call(uint64_t encoding)
{
	uint64_t value;

	__asm__ volatile("call l1_pv_read" : "=a"(value) : "c"(encoding) : "memory", "cc");
	return value;
}

ACCESS_INLINE void access_write_call(uint64_t encoding, uint64_t value)
{
	uint64_t rax = value;

	__asm__ volatile("call l1_pv_write" : "+a"(rax) : "c"(encoding) : "memory", "cc");
}

ACCESS_INLINE uint64_t access_read(enum vmcs_field field)
{
	if (__builtin_expect(access_shadowed(BOOT_GPA_VMREAD_BITMAP, field), 1))
		return ACCESS_REGION->field[field];
	return access_read_call(access_encodings[field]);
}

ACCESS_INLINE void access_write(enum vmcs_field field, uint64_t value)
{
	if (__builtin_expect(access_shadowed(BOOT_GPA_VMWRITE_BITMAP, field), 1)) {
		ACCESS_REGION->field[field] = value;
		ACCESS_REGION->dirty.word[field / 64] |= 1ull << field % 64;
	} else {
		access_write_call(access_encodings[field], value);
	}
}

#elif L1_ACCESS == L1_ACCESS_DIRECT

#define ACCESS_VMCS12 ((volatile struct vmcs *)&l1_vmcs12)

/* Only guest-state fields can be stale (struct vmcs). */
ACCESS_INLINE void access_fetch_if_stale(enum vmcs_field field)
{
	if (vmcs_encoding_type(access_encodings[field]) == VMCS_TYPE_GUEST &&
	        __builtin_expect(ACCESS_VMCS12->stale.word[field / 64] >> (field % 64) & 1, 0))
		l1_vmcs12_fetch();
}

ACCESS_INLINE uint64_t access_read(enum vmcs_field field)
{
	access_fetch_if_stale(field);
	return ACCESS_VMCS12->field[field];
}

ACCESS_INLINE void access_write(enum vmcs_field field, uint64_t value)
{
	access_fetch_if_stale(field);
	if (ACCESS_VMCS12->field[field] != value) {
		ACCESS_VMCS12->field[field] = value;
		ACCESS_VMCS12->dirty.word[field / 64] |= 1ull << field % 64;
	}
}

#elif L1_ACCESS == L1_ACCESS_TEST

uint64_t access_read(enum vmcs_field field);
void access_write(enum vmcs_field field, uint64_t value);

#else
#error "L1_ACCESS says how vmcs12 is reached: see access.h"
#endif

#endif
