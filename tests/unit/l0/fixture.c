/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "shadowvmcs/ept12.h"

#define SECTIONS_AT 0x1c00
#define NAMES_AT 0x1b00

void test_elf_make(struct test_elf *elf)
{
	memset(elf, 0, sizeof(*elf));
	memcpy(elf->header.e_ident, ELFMAG, SELFMAG);
	elf->header.e_ident[EI_CLASS] = ELFCLASS64;
	elf->header.e_ident[EI_DATA] = ELFDATA2LSB;
	elf->header.e_ident[EI_VERSION] = EV_CURRENT;
	elf->header.e_type = ET_EXEC;
	elf->header.e_machine = EM_X86_64;
	elf->header.e_version = EV_CURRENT;
	elf->header.e_entry = TEST_ELF_BASE;
	elf->header.e_phoff = sizeof(Elf64_Ehdr);
	elf->header.e_phentsize = sizeof(Elf64_Phdr);
	elf->header.e_phnum = 1;
	elf->header.e_ehsize = sizeof(Elf64_Ehdr);
	*test_elf_segment(elf, 0) = (Elf64_Phdr){.p_type = PT_LOAD,
	        .p_offset = TEST_ELF_CODE,
	        .p_vaddr = TEST_ELF_BASE,
	        .p_paddr = TEST_ELF_BASE,
	        .p_filesz = 64,
	        .p_memsz = 128};
	memset(elf->bytes + TEST_ELF_CODE, 0x90, 64);
}

Elf64_Phdr *test_elf_segment(struct test_elf *elf, unsigned i)
{
	return (Elf64_Phdr *)(elf->bytes + sizeof(Elf64_Ehdr)) + i;
}

void test_elf_add_sites(struct test_elf *elf, const struct site *sites, size_t count)
{
	static const char names[] = "\0" SITE_SECTION "\0.shstrtab";
	Elf64_Shdr *sections = (Elf64_Shdr *)(elf->bytes + SECTIONS_AT);

	memcpy(elf->bytes + TEST_ELF_SITES, sites, count * sizeof(*sites));
	memcpy(elf->bytes + NAMES_AT, names, sizeof(names));
	sections[1] = (Elf64_Shdr){
	        .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = TEST_ELF_SITES, .sh_size = count * sizeof(*sites)};
	sections[2] = (Elf64_Shdr){.sh_name = sizeof(SITE_SECTION) + 1,
	        .sh_type = SHT_STRTAB,
	        .sh_offset = NAMES_AT,
	        .sh_size = sizeof(names)};
	elf->header.e_shoff = SECTIONS_AT;
	elf->header.e_shentsize = sizeof(Elf64_Shdr);
	elf->header.e_shnum = 3;
	elf->header.e_shstrndx = 2;
}

/* ---- the scripted machine ---- */

bool script_real_vmx;

static int create(struct machine **machine, const struct machine_config *config, struct refusal *why)
{
	struct script_machine *m = aligned_alloc(4096, (sizeof(*m) + 4095) & ~4095ul);

	(void)why;
	memset(m, 0, sizeof(*m));
	m->base.ops = &script_ops;
	m->base.caps = (struct machine_caps){.name = "script",
	        .honours = {~0u, ~0u, ~0u, ~0u, ~0u},
	        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE |
	                    EPT_CAP_INVEPT_ALL,
	        .misc = 1u << 6,
	        .cr4_fixed1 = ~0ull,
	        .real_vmx = script_real_vmx};
	m->base.ram = aligned_alloc(4096, config->ram_bytes);
	memset(m->base.ram, 0, config->ram_bytes);
	m->base.ram_bytes = config->ram_bytes;
	m->base.eptp01 = 0x101e;
	m->next_eptp02 = 0x201e;
	*machine = &m->base;
	return 0;
}

static void destroy(struct machine *machine)
{
	free(machine->ram);
	free(machine);
}

static int enter(struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs)
{
	struct script_machine *m = (struct script_machine *)machine;
	const unsigned n = m->next;

	ck_assert_msg(n < m->count, "the run loop entered a guest %u times, the script has %u exits", n + 1, m->count);
	const struct script_exit *exit = &m->exits[m->next++];
	m->entered[n].level = vmcs->field[VMCS_EPT_POINTER] == machine->eptp01 ? 1 : 2;
	m->entered[n].eptp = vmcs->field[VMCS_EPT_POINTER];
	m->entered[n].rip = vmcs->field[VMCS_GUEST_RIP];
	m->entered[n].entry_info = (uint32_t)vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION];
	vmcs->dirty = (struct vmcs_mask){{0}};
	m->clock += 1000;
	if (exit->error) {
		strcpy(machine->error, "the script says so");
		return exit->error;
	}
	vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] &= ~(uint64_t)INTR_INFO_VALID;
	vmcs->field[VMCS_GUEST_ACTIVITY_STATE] = 0;
	vmcs->field[VMCS_EXIT_REASON] = exit->reason;
	vmcs->field[VMCS_EXIT_QUALIFICATION] = exit->qualification;
	vmcs->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = exit->length;
	vmcs->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = exit->interruption_info;
	vmcs->field[VMCS_IDT_VECTORING_INFORMATION] = exit->vectoring_info;
	vmcs->field[VMCS_GUEST_PHYSICAL_ADDRESS] = exit->gpa;
	regs->kept = false;
	regs->gpr[GPR_RAX] = exit->rax;
	regs->gpr[GPR_RCX] = exit->rcx;
	regs->gpr[GPR_RBX] = exit->rbx;
	regs->gpr[GPR_RSI] = exit->rsi;
	return 0;
}

static void kick(struct machine *machine)
{
	((struct script_machine *)machine)->kicks++;
}

static int map01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	struct script_machine *m = (struct script_machine *)machine;

	(void)size;
	m->maps++;
	m->mapped_gpa = l1_gpa;
	return 0;
}

static int unmap01(struct machine *machine, uint64_t l1_gpa, uint64_t size)
{
	(void)l1_gpa;
	(void)size;
	((struct script_machine *)machine)->unmaps++;
	return 0;
}

static int emulate_mmio(
        struct machine *machine, struct vmcs *vmcs, struct guest_regs *regs, uint64_t gpa, const struct mmio_bus *bus)
{
	(void)machine;
	bus->write(bus->ctx, gpa, 4, regs->gpr[GPR_RAX]);
	vmcs->field[VMCS_GUEST_RIP] += 3;
	return 0;
}

static struct nested_page page_alloc(struct machine *machine)
{
	struct script_machine *m = (struct script_machine *)machine;
	struct nested_page page = {m->pool[m->pool_used], (1ull << 40) + m->pool_used * 4096ull};

	m->pool_used++;
	return page;
}

static int root_create(void *ctx, uint64_t *eptp02)
{
	struct script_machine *m = ctx;

	*eptp02 = m->next_eptp02;
	m->next_eptp02 += 0x1000;
	return 0;
}

static void root_destroy(void *ctx, uint64_t eptp02)
{
	(void)ctx;
	(void)eptp02;
}

static int root_map(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	(void)ctx;
	(void)eptp02;
	(void)l2_gpa;
	(void)l1_gpa;
	(void)size;
	(void)access;
	return 0;
}

static int root_unmap(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size)
{
	(void)ctx;
	(void)eptp02;
	(void)l2_gpa;
	(void)size;
	return 0;
}

static void ept02_backend(struct machine *machine, struct ept02_backend *backend)
{
	*backend = (struct ept02_backend){.ctx = machine,
	        .root_create = root_create,
	        .root_destroy = root_destroy,
	        .map = root_map,
	        .unmap = root_unmap,
	        .page_size_max = 2ull << 20};
}

static uint64_t clock_of(struct machine *machine)
{
	struct script_machine *m = (struct script_machine *)machine;

	m->clock += 100;
	return m->clock;
}

static int idle(struct machine *machine, uint64_t deadline)
{
	struct script_machine *m = (struct script_machine *)machine;

	m->idles++;
	m->clock = deadline > m->clock ? deadline : m->clock;
	return 0;
}

const struct machine_ops script_ops = {.name = "script",
        .create = create,
        .destroy = destroy,
        .enter = enter,
        .kick = kick,
        .map01 = map01,
        .unmap01 = unmap01,
        .emulate_mmio = emulate_mmio,
        .page_alloc = page_alloc,
        .ept02_backend = ept02_backend,
        .clock = clock_of,
        .idle = idle};

#define RECORDS 256

void script_init(struct script_vmm *s, const struct script_exit *exits, unsigned count)
{
	struct ledger_shared *shared = aligned_alloc(4096, (ledger_shared_bytes(RECORDS) + 4095) & ~4095ul);
	const struct vmm_config config = {.machine = &script_ops,
	        .memory = {.ram_bytes = SCRIPT_RAM, .unmapped_gpa = 2ull << 20, .unmapped_bytes = 2ull << 20},
	        .ept02_mode = EPT02_EAGER,
	        .touch_page_size = 4096,
	        .ledger = &s->ledger};
	struct refusal why = {""};

	memset(s, 0, sizeof(*s));
	ledger_shared_init(shared, RECORDS);
	ledger_attach(&s->ledger, shared, LEDGER_DROP);
	ck_assert_msg(vmm_create(&s->vmm, &config, &why) == 0, "%s", why.text);
	vmcs01_start_64(&s->vmm.vmcs01, &s->vmm.regs, 0x100000, 0x4000, 0x20000, 0x1000);
	script_of(&s->vmm)->exits = exits;
	script_of(&s->vmm)->count = count;
}

void script_fini(struct script_vmm *s)
{
	free(s->ledger.shared);
	vmm_destroy(&s->vmm);
}

const struct ledger_record *script_record(const struct script_vmm *s, unsigned n)
{
	ck_assert_uint_lt(n, s->ledger.shared->head);
	return &s->ledger.shared->records[n];
}

int run_tests(const char *name, void (*add)(TCase *))
{
	Suite *suite = suite_create(name);
	TCase *tests = tcase_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	add(tests);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
