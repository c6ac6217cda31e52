/* SPDX-License-Identifier: Apache-2.0 */
#include "cpuid.h"

#include <string.h>

#include "shadowvmcs/caps.h"

/* The vendor is Intel's, since software looks for VMX nowhere else; the brand string says what it really is. */
#define MAX_BASIC_LEAF 0x16u
#define MAX_EXTENDED_LEAF 0x80000008u

/* Family 6, model 0x55, stepping 4. */
#define SIGNATURE 0x00050654u

#define BIT(n) (1u << (n))

/* Leaf 1, ECX. */
#define LEAF1_ECX                                                                                                      \
	(BIT(3) /* MONITOR */ | CPUID_1_ECX_VMX | BIT(13) /* CMPXCHG16B */ | BIT(17) /* PCID */ |                      \
	        BIT(21) /* x2APIC */ | BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(24) /* TSC deadline */ |       \
	        BIT(26) /* XSAVE */ | BIT(30) /* RDRAND */ | BIT(31) /* runs under a hypervisor */)

/* Leaf 1, EDX: no MMX (bit 23), no machine-check architecture beyond the bits. */
#define LEAF1_EDX                                                                                                      \
	(BIT(0) /* FPU */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ | BIT(5) /* MSR */ |                 \
	        BIT(6) /* PAE */ | BIT(7) /* MCE */ | BIT(8) /* CMPXCHG8B */ | BIT(9) /* APIC */ |                     \
	        BIT(11) /* SYSENTER */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ | BIT(14) /* MCA */ |                  \
	        BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE-36 */ | BIT(19) /* CLFLUSH */ |                \
	        BIT(24) /* FXSR */ | BIT(25) /* SSE */ | BIT(26) /* SSE2 */)

/* Leaf 7, EBX. */
#define LEAF7_EBX                                                                                                      \
	(BIT(0) /* FSGSBASE */ | BIT(3) /* BMI1 */ | BIT(7) /* SMEP */ | BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ |       \
	        BIT(10) /* INVPCID */ | BIT(18) /* RDSEED */ | BIT(20) /* SMAP */)

/* Leaf 80000001H. */
#define LEAF81_ECX (BIT(0) /* LAHF in 64-bit mode */ | BIT(5) /* LZCNT */ | BIT(8) /* PREFETCHW */)
#define LEAF81_EDX                                                                                                     \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ |                 \
	        BIT(29) /* long mode */)

static void text_leaf(const char text[16], struct soft_cpuid *out)
{
	memcpy(&out->eax, text, 4);
	memcpy(&out->ebx, text + 4, 4);
	memcpy(&out->ecx, text + 8, 4);
	memcpy(&out->edx, text + 12, 4);
}

static void basic(uint32_t leaf, uint32_t subleaf, struct soft_cpuid *out)
{
	switch (leaf) {
	case 0:
		text_leaf("\x16\0\0\0GenuntelineI", out); /* EBX, ECX, EDX: the name is EBX, EDX, ECX */
		break;
	case 1:
		*out = (struct soft_cpuid){
		        .eax = SIGNATURE, .ebx = 1u << 16 | 64 / 8 << 8, .ecx = LEAF1_ECX, .edx = LEAF1_EDX};
		break;
	case 5: /* MONITOR: smallest and largest line */
		*out = (struct soft_cpuid){.eax = 64, .ebx = 64, .ecx = 3};
		break;
	case 6: /* the APIC timer runs in every state */
		out->eax = BIT(2);
		break;
	case 7:
		if (subleaf == 0) {
			out->ebx = LEAF7_EBX;
			out->ecx = BIT(2); /* UMIP */
		}
		break;
	case 0xb: /* one thread, one core */
		*out = (struct soft_cpuid){.ebx = 1, .ecx = subleaf < 2 ? subleaf | (subleaf + 1) << 8 : subleaf};
		if (subleaf >= 2)
			out->ebx = 0;
		break;
	case 0xd: /* x87 and SSE state: the legacy area and the header */
		if (subleaf == 0)
			*out = (struct soft_cpuid){.eax = 3, .ebx = 576, .ecx = 576};
		break;
	case 0x15: /* TSC : crystal = 1 : 1, 1 GHz: one tick is one instruction */
		*out = (struct soft_cpuid){.eax = 1, .ebx = 1, .ecx = 1000000000};
		break;
	case 0x16:
		*out = (struct soft_cpuid){.eax = 1000, .ebx = 1000, .ecx = 100};
		break;
	default:
		break;
	}
}

static void extended(uint32_t leaf, struct soft_cpuid *out)
{
	static const char brand[48] = "Testudo soft VT-x CPU, 1 instruction per tick";

	switch (leaf) {
	case 0x80000000u:
		out->eax = MAX_EXTENDED_LEAF;
		break;
	case 0x80000001u:
		out->ecx = LEAF81_ECX;
		out->edx = LEAF81_EDX;
		break;
	case 0x80000002u:
	case 0x80000003u:
	case 0x80000004u:
		text_leaf(brand + 16 * (leaf - 0x80000002u), out);
		break;
	case 0x80000006u: /* 256 KiB, 8 ways, 64-byte lines */
		out->ecx = 0x01006040u;
		break;
	case 0x80000007u: /* invariant TSC */
		out->edx = BIT(8);
		break;
	case 0x80000008u:
		out->eax = VMX_PHYSICAL_ADDRESS_BITS | 48u << 8;
		break;
	default:
		break;
	}
}

void soft_cpuid(uint32_t leaf, uint32_t subleaf, struct soft_cpuid *out)
{
	*out = (struct soft_cpuid){0};
	if (leaf >> 31)
		extended(leaf, out);
	else
		basic(leaf, subleaf, out);
}
