/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "l0/soft/msr.h"

#define VMCALL "0f 01 c1"

static void put_bytes(struct guest *g, uint64_t address, const char *hex, unsigned *length)
{
	unsigned n = 0, value;
	int used;

	while (sscanf(hex, " %2x%n", &value, &used) == 1) {
		g->ram[address + n++] = (uint8_t)value;
		hex += used;
	}
	if (length)
		*length = n;
}

uint64_t guest_u64(const struct guest *g, uint64_t address)
{
	uint64_t value;

	memcpy(&value, g->ram + address, 8);
	return value;
}

void guest_put64(struct guest *g, uint64_t address, uint64_t value)
{
	memcpy(g->ram + address, &value, 8);
}

static void make_tables(struct guest *g)
{
	guest_put64(g, GUEST_PML4, GUEST_PDPT | 7);
	guest_put64(g, GUEST_PDPT, GUEST_PD | 7);
	guest_put64(g, GUEST_PD, GUEST_PT | 7);
	for (unsigned i = 1; i < 8; i++)
		guest_put64(g, GUEST_PD + i * 8, (uint64_t)i << 21 | 0x83);
	for (unsigned i = 0; i < 512; i++)
		guest_put64(g, GUEST_PT + i * 8, (uint64_t)i << 12 | (i >= 0x180 && i < 0x190 ? 7 : 3));
}

static void make_descriptors(struct guest *g)
{
	static const uint64_t gdt[] = {0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x00cff3000000ffffull,
	        0x00affb000000ffffull, 0x0000890040000067ull, 0, 0x00cf9b000000ffffull, 0x00cffb000000ffffull};

	for (unsigned i = 0; i < sizeof(gdt) / sizeof(gdt[0]); i++)
		guest_put64(g, GUEST_GDT + i * 8, gdt[i]);
	guest_put64(g, GUEST_TSS + 4, GUEST_RING0_STACK);
	guest_put64(g, GUEST_TSS + 36, GUEST_IST_STACK);
	for (unsigned vector = 0; vector < 256; vector++) {
		const uint64_t handler = GUEST_HANDLERS + vector * 16;

		put_bytes(g, handler, VMCALL, NULL);
		guest_put64(g, GUEST_IDT + vector * 16,
		        (handler & 0xffff) | (uint64_t)GUEST_CS << 16 | 0x8e00ull << 32 |
		                (handler >> 16 & 0xffff) << 48);
	}
}

static void set_segment(struct guest *g, unsigned index, uint16_t selector, uint32_t rights)
{
	guest_set(g, VMCS_GUEST_ES_SELECTOR + index, selector);
	guest_set(g, VMCS_GUEST_ES_BASE + index, 0);
	guest_set(g, VMCS_GUEST_ES_LIMIT + index, 0xffffffff);
	guest_set(g, VMCS_GUEST_ES_ACCESS_RIGHTS + index, rights);
}

static void make_vmcs(struct guest *g)
{
	g->vmcs.revision_id = VMCS_REVISION_ID;
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++)
		set_segment(g, i, GUEST_SS, 0xc093);
	set_segment(g, SOFT_CS, GUEST_CS, 0xa09b);
	set_segment(g, SOFT_LDTR, 0, AR_UNUSABLE);
	set_segment(g, SOFT_TR, GUEST_TR, 0x8b);
	guest_set(g, VMCS_GUEST_TR_BASE, GUEST_TSS);
	guest_set(g, VMCS_GUEST_TR_LIMIT, 0x67);
	guest_set(g, VMCS_GUEST_GDTR_BASE, GUEST_GDT);
	guest_set(g, VMCS_GUEST_GDTR_LIMIT, 0x4f);
	guest_set(g, VMCS_GUEST_IDTR_BASE, GUEST_IDT);
	guest_set(g, VMCS_GUEST_IDTR_LIMIT, 0xfff);
	guest_set(g, VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP);
	guest_set(g, VMCS_GUEST_CR3, GUEST_PML4);
	guest_set(g, VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_PGE);
	guest_set(g, VMCS_GUEST_IA32_EFER, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE);
	guest_set(g, VMCS_GUEST_DR7, DR7_INITIAL);
	guest_set(g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_set(g, VMCS_GUEST_RSP, GUEST_STACK);
	guest_set(g, VMCS_GUEST_RFLAGS, 2);
	guest_set(g, VMCS_VMCS_LINK_POINTER, ~0ull);
	guest_control(g, VMX_WORD_PROC, VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS) | VMX_BIT(PROC_HLT_EXITING), true);
	guest_control(g, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID), true);
	guest_control(g, VMX_WORD_ENTRY,
	        VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER) | VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS),
	        true);
	guest_control(g, VMX_WORD_EXIT, VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS), true);
	guest_set(g, VMCS_EPT_POINTER, g->machine->eptp01);
	guest_set(g, VMCS_VIRTUAL_PROCESSOR_ID, 1);
	g->regs.dr6 = DR6_FIXED;
}

void guest_setup(struct guest *g)
{
	const struct machine_config config = {.ram_bytes = GUEST_RAM};
	struct refusal why;

	memset(g, 0, sizeof(*g));
	ck_assert_msg(machine_soft.create(&g->machine, &config, &why) == 0, "%s", why.text);
	g->cpu = &((struct soft_machine *)g->machine)->cpu;
	g->ram = g->machine->ram;
	make_tables(g);
	make_descriptors(g);
	make_vmcs(g);
}

void guest_teardown(struct guest *g)
{
	machine_soft.destroy(g->machine);
}

void guest_code_at(struct guest *g, uint64_t address, const char *hex)
{
	put_bytes(g, address, hex, NULL);
}

unsigned guest_code(struct guest *g, const char *hex)
{
	uint64_t base = guest_get(g, VMCS_GUEST_CS_ACCESS_RIGHTS) & AR_L ? 0 : guest_get(g, VMCS_GUEST_CS_BASE);
	unsigned length;

	put_bytes(g, base + guest_get(g, VMCS_GUEST_RIP), hex, &length);
	return length;
}

void guest_enter_user(struct guest *g)
{
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++)
		set_segment(g, i, GUEST_USER_SS, 0xc0f3);
	set_segment(g, SOFT_CS, GUEST_USER_CS, 0xa0fb);
	guest_set(g, VMCS_GUEST_RIP, GUEST_USER_CODE);
	guest_set(g, VMCS_GUEST_RSP, GUEST_USER_STACK);
}

void guest_enter_protected_32(struct guest *g)
{
	set_segment(g, SOFT_CS, GUEST_CS32, 0xc09b);
	guest_control(g, VMX_WORD_ENTRY, VMX_BIT(ENTRY_IA32E_MODE_GUEST), false);
	guest_control(g, VMX_WORD_PROC2, VMX_BIT(PROC2_UNRESTRICTED_GUEST), true);
	guest_set(g, VMCS_GUEST_IA32_EFER, 0);
	guest_set(g, VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_ET);
	guest_set(g, VMCS_GUEST_CR4, CR4_VMXE);
	for (unsigned vector = 0; vector < 256; vector++) {
		const uint64_t handler = GUEST_HANDLERS + vector * 16;

		guest_put64(g, GUEST_IDT + vector * 8,
		        (handler & 0xffff) | (uint64_t)GUEST_CS32 << 16 | 0x8e00ull << 32 | (handler >> 16) << 48);
	}
	guest_set(g, VMCS_GUEST_IDTR_LIMIT, 0x7ff);
	memset(g->ram + GUEST_TSS, 0, 0x68);
	guest_put64(g, GUEST_TSS + 4, GUEST_RING0_STACK | (uint64_t)GUEST_SS << 32);
}

void guest_enter_real(struct guest *g, uint64_t base)
{
	for (unsigned i = SOFT_ES; i <= SOFT_GS; i++) {
		set_segment(g, i, 0, 0x93);
		guest_set(g, VMCS_GUEST_ES_LIMIT + i, 0xffff);
	}
	set_segment(g, SOFT_CS, (uint16_t)(base >> 4), 0x9b);
	guest_set(g, VMCS_GUEST_CS_BASE, base);
	guest_set(g, VMCS_GUEST_CS_LIMIT, 0xffff);
	guest_control(g, VMX_WORD_ENTRY, VMX_BIT(ENTRY_IA32E_MODE_GUEST), false);
	guest_control(g, VMX_WORD_PROC2, VMX_BIT(PROC2_UNRESTRICTED_GUEST), true);
	guest_set(g, VMCS_GUEST_IA32_EFER, 0);
	guest_set(g, VMCS_GUEST_CR0, CR0_NE | CR0_ET);
	guest_set(g, VMCS_GUEST_CR4, CR4_VMXE);
	guest_set(g, VMCS_GUEST_IDTR_BASE, 0);
	guest_set(g, VMCS_GUEST_IDTR_LIMIT, 0x3ff);
	guest_set(g, VMCS_GUEST_RIP, 0);
	guest_set(g, VMCS_GUEST_RSP, 0x7000);
}

static const enum vmcs_field word_field[VMX_WORD_COUNT] = {
        [VMX_WORD_PIN] = VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
        [VMX_WORD_PROC] = VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
        [VMX_WORD_PROC2] = VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
        [VMX_WORD_EXIT] = VMCS_PRIMARY_VM_EXIT_CONTROLS,
        [VMX_WORD_ENTRY] = VMCS_VM_ENTRY_CONTROLS,
};

void guest_control(struct guest *g, enum vmx_control_word word, uint32_t bits, bool on)
{
	const uint64_t value = guest_get(g, word_field[word]);

	guest_set(g, word_field[word], on ? value | bits : value & ~(uint64_t)bits);
}

uint32_t guest_run(struct guest *g)
{
	const int result = machine_soft.enter(g->machine, &g->vmcs, &g->regs);

	ck_assert_msg(result == 0, "enter: %d %s", result, g->machine->error);
	return (uint32_t)guest_get(g, VMCS_EXIT_REASON);
}

void guest_expect(struct guest *g, uint32_t reason)
{
	const uint32_t got = guest_run(g);

	ck_assert_msg(got == reason, "exit %s at RIP %#llx (qualification %#llx, interruption %#llx), wanted %s",
	        exit_reason_name(got), (unsigned long long)guest_get(g, VMCS_GUEST_RIP),
	        (unsigned long long)guest_get(g, VMCS_EXIT_QUALIFICATION),
	        (unsigned long long)guest_get(g, VMCS_VM_EXIT_INTERRUPTION_INFORMATION), exit_reason_name(reason));
}

void guest_expect_handler(struct guest *g, unsigned vector)
{
	guest_expect(g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(guest_get(g, VMCS_GUEST_RIP), GUEST_HANDLERS + vector * 16);
}

uint64_t *guest_pte(struct guest *g, uint64_t linear)
{
	return (uint64_t *)(g->ram + GUEST_PT) + (linear >> 12);
}

uint64_t guest_l0_page(struct guest *g, void **hva)
{
	const struct nested_page page = machine_soft.page_alloc(g->machine);

	ck_assert_ptr_nonnull(page.hva);
	if (hva)
		*hva = page.hva;
	return page.hpa;
}

void guest_own_ept(struct guest *g, struct guest_ept *ept, bool accessed_dirty)
{
	void *page[4];
	uint64_t hpa[4];

	for (unsigned i = 0; i < 4; i++)
		hpa[i] = guest_l0_page(g, &page[i]);
	ept->pml4 = page[0];
	ept->pdpt = page[1];
	ept->pd = page[2];
	ept->pt = page[3];
	ept->pml4[0] = hpa[1] | 7;
	ept->pdpt[0] = hpa[2] | 7;
	ept->pd[0] = hpa[3] | 7;
	for (unsigned i = 1; i < 8; i++)
		ept->pd[i] = (uint64_t)i << 21 | EPT_LARGE | 6 << 3 | 7;
	for (unsigned i = 0; i < 512; i++)
		ept->pt[i] = (uint64_t)i << 12 | 6 << 3 | 7;
	guest_set(g, VMCS_EPT_POINTER, hpa[0] | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB | (accessed_dirty ? EPTP_AD : 0));
}

int guest_main(const char *name, TCase *cases)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
