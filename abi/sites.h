/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The site table: where a guest image executes an instruction that some machine cannot intercept.
 *
 * An own image lists these instructions in its section `.testudo.sites` (an array of struct site). When the machine
 * asks for it (kvm), L0 replaces each by `out %al, $SITE_PORT` plus NOPs of the same length when it loads the image,
 * and the ledger then shows the architectural reason. Other machines leave the image as it is.
 *
 * SITE_MMIO and SITE_TOUCH entries are never replaced: they tell the kvm machine the address of a store that KVM
 * reports only after its completion, so that the reflected guest RIP is the architectural one.
 */
#ifndef TESTUDO_ABI_SITES_H
#define TESTUDO_ABI_SITES_H

#define SITE_SECTION ".testudo.sites"

/* Kinds; plain numbers so that assembly can use them. */
#define SITE_CPUID 1
#define SITE_VMCALL 2
#define SITE_RDTSC 3
#define SITE_MOV_TO_CR3 4 /* operand: the register in `operand` (0 = RAX ... 15 = R15) */
#define SITE_INVLPG 5     /* operand: the base register; the form is invlpg (%reg) */
#define SITE_UD2 6        /* raises #UD: the exception workload */
#define SITE_MMIO 7       /* a load or store of the test device page: not replaced */
#define SITE_TOUCH 8      /* a load or store of the first-touch region: not replaced */
#define SITE_WBINVD 9
#define SITE_PAUSE 10

#ifndef __ASSEMBLER__
#include <stdint.h>

/** One instruction. 16 bytes, little endian. */
struct site {
	uint64_t address; /**< guest-linear address, as linked */
	uint8_t length;   /**< bytes of the instruction; at least 2 for kinds that are replaced */
	uint8_t kind;     /**< SITE_* */
	uint8_t operand;  /**< register number where the kind has one */
	uint8_t reserved[5];
};
_Static_assert(sizeof(struct site) == 16, "the table is read by L0 as laid out by the assembler");

/* clang-format off */
/** Inside an asm statement: `SITE(SITE_CPUID, 0, "cpuid")`. */
#define SITE_STRING2(x) #x
#define SITE_STRING(x) SITE_STRING2(x)
#define SITE(kind, operand, instruction)                                                                               \
	"771: " instruction "\n772:\n"                                                                                     \
	".pushsection " SITE_SECTION ",\"a\"\n"                                                                            \
	".quad 771b\n.byte 772b-771b, " SITE_STRING(kind) ", " SITE_STRING(operand) "\n.zero 5\n"                          \
	".popsection\n"
/* clang-format on */
#endif

#endif
