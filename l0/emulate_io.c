/* SPDX-License-Identifier: Apache-2.0 */
/* IN and OUT of a guest, through the port bus. */
#include "l0/vmm.h"

#include <errno.h>
#include <string.h>

#include "abi/testdev.h"
#include "shadowvmcs/x86.h"

/* Exit qualification, SDM vol. 3, table 28-5: 2:0 size - 1, 3 IN, 4 string, 31:16 the port. */
#define QUALIFICATION_IN (1u << 3)
#define QUALIFICATION_STRING (1u << 4)
#define QUALIFICATION_REP (1u << 5)

#define RFLAGS_DF (1ull << 10)
/* Elements moved before L0 looks after timers again; the guest then executes the rest of the same instruction. */
#define STRING_BATCH 4096

/* ---- INS and OUTS, with and without REP; level 1 only ---- */

/* One element between port and memory. False: a page fault was raised instead. */
static bool string_element(struct vmm *vmm, const struct port_access *access, bool in, uint64_t linear)
{
	uint32_t value = in ? bus_in(&vmm->bus, access) : 0;
	uint8_t *bytes = (uint8_t *)&value;

	for (unsigned i = 0; i < access->size; i++) { /* byte by byte: an element may cross a page */
		uint32_t error_code;
		uint64_t gpa;
		uint8_t *page;
		if (!nested_l1_translate(&vmm->nested, linear + i, in, &gpa, &error_code)) {
			vmm->regs.cr2 = linear + i;
			emulate_fault(vmm, VECTOR_PF, true, error_code);
			return false;
		}
		page = vmm->nested.config.ops.l1_page(vmm->nested.config.ops.ctx, gpa);
		if (page && in)
			page[gpa & 0xfff] = bytes[i];
		else if (!in)
			bytes[i] = page ? page[gpa & 0xfff] : 0xff;
	}
	if (!in)
		bus_out(&vmm->bus, access, value);
	return true;
}

/* Instruction information, SDM vol. 3, table 28-8: bits 9:7 the address size (0: 16, 1: 32, 2: 64 bits). */
static uint64_t address_mask(const struct vmcs *vmcs)
{
	switch (vmcs_get(vmcs, VMCS_VM_EXIT_INSTRUCTION_INFORMATION) >> 7 & 7) {
	case 0:
		return 0xffff;
	case 1:
		return 0xffffffff;
	default:
		return ~0ull;
	}
}

/* A register of the address size: 32-bit writes clear the upper half, 16-bit ones leave it. */
static void add_masked(uint64_t *reg, uint64_t mask, uint64_t delta)
{
	*reg = (mask == 0xffff ? *reg & ~mask : 0) | ((*reg + delta) & mask);
}

static int emulate_string_io(
        struct vmm *vmm, struct vmcs *vmcs, const struct port_access *access, uint64_t qualification)
{
	const bool in = qualification & QUALIFICATION_IN, rep = qualification & QUALIFICATION_REP;
	const uint64_t mask = address_mask(vmcs);
	const uint64_t step = vmcs_get(vmcs, VMCS_GUEST_RFLAGS) & RFLAGS_DF ? -(uint64_t)access->size : access->size;
	uint64_t linear = vmcs_get(vmcs, VMCS_GUEST_LINEAR_ADDRESS);
	uint64_t *count = &vmm->regs.gpr[GPR_RCX], *index = &vmm->regs.gpr[in ? GPR_RDI : GPR_RSI];

	if (access->level != 1)
		return vmm_fail(vmm, -EOPNOTSUPP,
		        "level %u executed string I/O at port %#x that L1 passes through: L0 does this for L1 only",
		        access->level, access->port);
	for (unsigned done = 0; !rep || (*count & mask); done++) {
		if (done == STRING_BATCH)
			return 0;
		if (!string_element(vmm, access, in, linear))
			return 0;
		linear += step;
		add_masked(index, mask, step);
		if (!rep)
			break;
		add_masked(count, mask, ~0ull);
	}
	emulate_advance(vmcs);
	return 0;
}

/* ---- all of them ---- */

int emulate_io(struct vmm *vmm, struct vmcs *vmcs, unsigned level)
{
	const uint64_t qualification = vmcs_get(vmcs, VMCS_EXIT_QUALIFICATION);
	struct port_access access = {.port = (uint16_t)(qualification >> 16),
	        .size = (uint8_t)((qualification & 7) + 1),
	        .level = (uint8_t)level,
	        .regs = &vmm->regs};
	uint64_t *rax = &vmm->regs.gpr[GPR_RAX];

	if (vmm->ops->guest_level && access.port == TESTDEV_PORT_LEVEL)
		access.level = (uint8_t)vmm->ops->guest_level(vmm->machine);
	if (qualification & QUALIFICATION_STRING)
		return emulate_string_io(vmm, vmcs, &access, qualification);
	if (qualification & QUALIFICATION_IN) {
		const uint64_t value = bus_in(&vmm->bus, &access);
		/* A 32-bit result clears the upper half of RAX, smaller ones leave the rest (SDM vol. 1, 3.4.1.1). */
		const uint64_t kept = access.size == 4 ? 0 : ~0ull << (8 * access.size);
		*rax = (*rax & kept) | value;
	} else {
		bus_out(&vmm->bus, &access, (uint32_t)*rax);
	}
	emulate_advance(vmcs);
	return 0;
}
