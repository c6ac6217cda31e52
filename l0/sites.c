/* SPDX-License-Identifier: Apache-2.0 */
/* The site table of an own image: check that each entry tells the truth, replace what the machine cannot intercept. */
#include <errno.h>
#include <string.h>

#include "abi/pv_vmx.h"
#include "l0/image.h"

#define NOP 0x90
#define OUT_IMM8 0xe6 /* out %al, imm8 */

static bool is_replaced(uint8_t kind)
{
	return kind != SITE_MMIO && kind != SITE_TOUCH;
}

static bool bytes_are(const uint8_t *code, unsigned length, const char *bytes, unsigned count)
{
	return length == count && !memcmp(code, bytes, count);
}

/* SDM vol. 2: 0F 22 /r with CR3 in the reg field; REX.B for R8 to R15. */
static bool is_mov_to_cr3(const uint8_t *code, unsigned length, unsigned reg)
{
	const uint8_t modrm = (uint8_t)(0xd8 | (reg & 7));

	if (reg >= 8 && length == 4 && code[0] == 0x41)
		return code[1] == 0x0f && code[2] == 0x22 && code[3] == modrm;
	return reg < 8 && length == 3 && code[0] == 0x0f && code[1] == 0x22 && code[2] == modrm;
}

/* 0F 01 /7 with a base register and nothing else: RSP, RBP, R12 and R13 encode other forms. */
static bool is_invlpg(const uint8_t *code, unsigned length, unsigned reg)
{
	const uint8_t modrm = (uint8_t)(0x38 | (reg & 7));

	if ((reg & 7) == 4 || (reg & 7) == 5)
		return false;
	if (reg >= 8 && length == 4 && code[0] == 0x41)
		return code[1] == 0x0f && code[2] == 0x01 && code[3] == modrm;
	return reg < 8 && length == 3 && code[0] == 0x0f && code[1] == 0x01 && code[2] == modrm;
}

/* Does the image have there what the table says? Known kinds only. */
static bool tells_truth(const struct site *site, const uint8_t *code)
{
	switch (site->kind) {
	case SITE_CPUID:
		return bytes_are(code, site->length, "\x0f\xa2", 2);
	case SITE_VMCALL:
		return bytes_are(code, site->length, "\x0f\x01\xc1", 3);
	case SITE_RDTSC:
		return bytes_are(code, site->length, "\x0f\x31", 2);
	case SITE_MOV_TO_CR3:
		return is_mov_to_cr3(code, site->length, site->operand);
	case SITE_INVLPG:
		return is_invlpg(code, site->length, site->operand);
	case SITE_UD2:
		return bytes_are(code, site->length, "\x0f\x0b", 2);
	case SITE_WBINVD:
		return bytes_are(code, site->length, "\x0f\x09", 2);
	case SITE_PAUSE:
		return bytes_are(code, site->length, "\xf3\x90", 2);
	case SITE_MMIO:
	case SITE_TOUCH:
		return site->length >= 1 && site->length <= 15;
	default:
		return false;
	}
}

int sites_apply(
        const struct guest_space *space, const struct image *image, bool patch, const char *name, struct refusal *why)
{
	for (size_t i = 0; i < image->site_count; i++) {
		const struct site *site = &image->sites[i];
		uint8_t *code = space->memory + site->address;
		if (site->address < image->begin || site->address >= image->end ||
		        site->length > image->end - site->address)
			return refuse(why, -ENOEXEC, "%s: site %zu at %#llx is outside the image: rebuild it", name, i,
			        (unsigned long long)site->address);
		if (!tells_truth(site, code))
			return refuse(why, -ENOEXEC,
			        "%s: site %zu at %#llx (kind %u, %u bytes) is not the instruction there (%02x %02x "
			        "%02x): "
			        "rebuild it",
			        name, i, (unsigned long long)site->address, site->kind, site->length, code[0],
			        site->length > 1 ? code[1] : 0, site->length > 2 ? code[2] : 0);
		if (!patch || !is_replaced(site->kind))
			continue;
		code[0] = OUT_IMM8;
		code[1] = SITE_PORT;
		memset(code + 2, NOP, site->length - 2u);
	}
	return 0;
}
