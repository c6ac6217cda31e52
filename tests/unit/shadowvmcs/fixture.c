/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shadowvmcs/shadow.h"

enum {
	PAGE = 4096,
	PAGE_MSR_BITMAP02 = 0,
	PAGE_IO_BITMAP02 = 1,
	PAGE_VMREAD = 3,
	PAGE_VMWRITE = 4,
	PAGE_SHADOW = 5,
	PAGE_MSR_BITMAP01 = 6,
	PAGE_IO_BITMAP01 = 7,
	PAGE_COUNT = 9
};
/* Where L0's pages stand in host-physical memory: far from anything of L1's, so that a mix-up shows. */
#define HPA_BASE 0x7700000000ull

#define CR0_VALID 0x80000031ull /* PG, NE, ET, PE */
#define CR4_VALID 0x2020ull     /* VMXE, PAE */
#define EFER_VALID 0x501ull     /* LMA, LME, SCE */
#define PAT_VALID 0x0007040600070406ull
#define AR_CODE64 0xa09bu
#define AR_DATA 0xc093u
#define AR_TSS_BUSY 0x8bu
#define AR_UNUSABLE 0x10000u

/* ---- L0 as the engine sees it ---- */

static void *ops_l1_page(void *ctx, uint64_t gpa)
{
	struct fixture *f = ctx;

	return gpa < FIXTURE_MEMORY_BYTES ? f->memory + (gpa & ~0xfffull) : NULL;
}

static void ops_fetch(void *ctx, struct vmcs *vmcs)
{
	struct fixture *f = ctx;

	f->fetches++;
	if (f->on_fetch)
		f->on_fetch(f, vmcs);
	memset(&vmcs->stale, 0, sizeof(vmcs->stale));
}

static void ops_flush_vpid(void *ctx, uint16_t vpid)
{
	struct fixture *f = ctx;

	f->vpid_flushes++;
	f->vpid_flushed = vpid;
}

/* ---- the recording EPT02 backend ---- */

static int backend_root_create(void *ctx, uint64_t *eptp02)
{
	struct fixture *f = ctx;

	f->roots_created++;
	f->next_eptp02 += 0x1000;
	*eptp02 = f->next_eptp02;
	return 0;
}

/* Remove [begin, end); what a mapping has outside stays. Returns whether anything was there. */
static bool forget_mappings(struct fixture *f, uint64_t eptp02, uint64_t begin, uint64_t end)
{
	static struct fixture_mapping before[FIXTURE_MAPPINGS];
	const unsigned count = f->mapping_count;
	bool any = false;

	memcpy(before, f->mappings, count * sizeof(before[0]));
	f->mapping_count = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct fixture_mapping m = before[i];
		const uint64_t m_end = m.l2_gpa + m.size;
		const bool met = m.eptp02 == eptp02 && m.l2_gpa < end && m_end > begin;

		any |= met;
		if (!met || m.l2_gpa < begin) {
			f->mappings[f->mapping_count] = m;
			if (met)
				f->mappings[f->mapping_count].size = begin - m.l2_gpa;
			f->mapping_count++;
		}
		if (met && m_end > end) {
			ck_assert_uint_lt(f->mapping_count, FIXTURE_MAPPINGS);
			f->mappings[f->mapping_count++] = (struct fixture_mapping){
			        eptp02, end, m.l1_gpa + (end - m.l2_gpa), m_end - end, m.access};
		}
	}
	return any;
}

static void backend_root_destroy(void *ctx, uint64_t eptp02)
{
	struct fixture *f = ctx;

	f->roots_destroyed++;
	forget_mappings(f, eptp02, 0, UINT64_MAX);
}

static int backend_map(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	struct fixture *f = ctx;

	if (f->map_result != 0)
		return f->map_result;
	if (f->mapping_count == FIXTURE_MAPPINGS)
		return -ENOSPC;
	for (unsigned i = 0; i < f->mapping_count; i++) {
		const struct fixture_mapping *m = &f->mappings[i];
		ck_assert_msg(m->eptp02 != eptp02 || m->l2_gpa >= l2_gpa + size || m->l2_gpa + m->size <= l2_gpa,
		        "the engine mapped %#llx twice", (unsigned long long)l2_gpa);
	}
	f->mappings[f->mapping_count++] = (struct fixture_mapping){eptp02, l2_gpa, l1_gpa, size, access};
	return 0;
}

static int backend_unmap(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size)
{
	struct fixture *f = ctx;

	f->unmaps++;
	return forget_mappings(f, eptp02, l2_gpa, l2_gpa + size);
}

static void backend_flush(void *ctx, uint64_t eptp02)
{
	struct fixture *f = ctx;

	(void)eptp02;
	f->ept02_flushes++;
}

/* ---- the machine ---- */

static uint32_t all_controls(enum vmx_control_word word)
{
	uint32_t bits = 0;

	for (unsigned bit = 0; bit < 32; bit++) {
		if (caps_control_name(word, bit))
			bits |= 1u << bit;
	}
	return bits;
}

static void machine_real_vmx(struct machine_caps *machine)
{
	*machine = (struct machine_caps){
	        .name = "fixture-soft",
	        .ept_vpid = EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G |
	                    EPT_CAP_INVEPT | EPT_CAP_AD | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID |
	                    EPT_CAP_INVVPID_ADDRESS | EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL |
	                    EPT_CAP_INVVPID_SINGLE_KEEP_GLOBALS,
	        /* 4 CR3 targets, HLT/shutdown/wait-for-SIPI activity, EFER.LMA stored, VMWRITE to any field, timer
	           rate 5. */
	        .misc = 5 | 1u << 5 | 7u << 6 | 4u << 16 | 1u << 29 | 1u << 30,
	        .cr4_fixed1 = 0x3727ff,
	        .real_vmx = true,
	        .ept02_tree = true,
	        .ept02_lazy = true,
	        .hardware_shadowing = true,
	};
	for (int word = 0; word < VMX_WORD_COUNT; word++)
		machine->honours[word] = all_controls((enum vmx_control_word)word);
}

static void machine_paravirtual(struct machine_caps *machine)
{
	static const enum vmcs_field on_demand[] = {VMCS_GUEST_CS_SELECTOR, VMCS_GUEST_CS_BASE, VMCS_GUEST_CS_LIMIT,
	        VMCS_GUEST_CS_ACCESS_RIGHTS, VMCS_GUEST_SS_SELECTOR, VMCS_GUEST_SS_ACCESS_RIGHTS, VMCS_GUEST_CR0,
	        VMCS_GUEST_CR3, VMCS_GUEST_CR4, VMCS_GUEST_IA32_EFER};

	*machine = (struct machine_caps){
	        .name = "fixture-kvm",
	        .honours =
	                {
	                        [VMX_WORD_PIN] = VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING),
	                        [VMX_WORD_PROC] = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING) | VMX_BIT(PROC_HLT_EXITING) |
	                                          VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) |
	                                          VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
	                                          VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS),
	                        [VMX_WORD_PROC2] = VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID),
	                        [VMX_WORD_EXIT] = VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) |
	                                          VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) | VMX_BIT(EXIT_SAVE_IA32_PAT) |
	                                          VMX_BIT(EXIT_LOAD_IA32_PAT) | VMX_BIT(EXIT_SAVE_IA32_EFER) |
	                                          VMX_BIT(EXIT_LOAD_IA32_EFER),
	                        [VMX_WORD_ENTRY] = VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_PAT) |
	                                           VMX_BIT(ENTRY_LOAD_IA32_EFER),
	                },
	        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE |
	                    EPT_CAP_INVEPT_ALL | EPT_CAP_INVVPID | EPT_CAP_INVVPID_ALL | EPT_CAP_INVVPID_SINGLE,
	        .misc = 1u << 5 | 1u << 6 | 1u << 29,
	        .cr4_fixed1 = 0x3727ff,
	        .patches_sites = true,
	};
	for (unsigned i = 0; i < sizeof(on_demand) / sizeof(on_demand[0]); i++)
		vmcs_mask_set(&machine->on_demand, on_demand[i]);
}

/* ---- L1 ---- */

static void put(struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	vmcs_set(vmcs, field, value);
}

/* A flat 64-bit guest state, as both L1 and L2 have it. */
static void fill_guest_state(struct vmcs *v, uint64_t cr3, uint64_t rip, uint64_t rsp)
{
	static const enum vmcs_field data[][3] = {
	        {VMCS_GUEST_SS_SELECTOR, VMCS_GUEST_SS_LIMIT, VMCS_GUEST_SS_ACCESS_RIGHTS},
	        {VMCS_GUEST_DS_SELECTOR, VMCS_GUEST_DS_LIMIT, VMCS_GUEST_DS_ACCESS_RIGHTS},
	        {VMCS_GUEST_ES_SELECTOR, VMCS_GUEST_ES_LIMIT, VMCS_GUEST_ES_ACCESS_RIGHTS},
	        {VMCS_GUEST_FS_SELECTOR, VMCS_GUEST_FS_LIMIT, VMCS_GUEST_FS_ACCESS_RIGHTS},
	        {VMCS_GUEST_GS_SELECTOR, VMCS_GUEST_GS_LIMIT, VMCS_GUEST_GS_ACCESS_RIGHTS},
	};

	put(v, VMCS_GUEST_CR0, CR0_VALID);
	put(v, VMCS_GUEST_CR3, cr3);
	put(v, VMCS_GUEST_CR4, CR4_VALID);
	put(v, VMCS_GUEST_IA32_EFER, EFER_VALID);
	put(v, VMCS_GUEST_IA32_PAT, PAT_VALID);
	put(v, VMCS_GUEST_CS_SELECTOR, 0x08);
	put(v, VMCS_GUEST_CS_LIMIT, 0xffffffff);
	put(v, VMCS_GUEST_CS_ACCESS_RIGHTS, AR_CODE64);
	for (unsigned i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		put(v, data[i][0], 0x10);
		put(v, data[i][1], 0xffffffff);
		put(v, data[i][2], AR_DATA);
	}
	put(v, VMCS_GUEST_LDTR_ACCESS_RIGHTS, AR_UNUSABLE);
	put(v, VMCS_GUEST_TR_SELECTOR, 0x28);
	put(v, VMCS_GUEST_TR_BASE, 0x3800);
	put(v, VMCS_GUEST_TR_LIMIT, 0x67);
	put(v, VMCS_GUEST_TR_ACCESS_RIGHTS, AR_TSS_BUSY);
	put(v, VMCS_GUEST_GDTR_BASE, 0x3000);
	put(v, VMCS_GUEST_GDTR_LIMIT, 0x37);
	put(v, VMCS_GUEST_IDTR_BASE, 0xb000);
	put(v, VMCS_GUEST_IDTR_LIMIT, 0xfff);
	put(v, VMCS_GUEST_DR7, 0x400);
	put(v, VMCS_GUEST_RIP, rip);
	put(v, VMCS_GUEST_RSP, rsp);
	put(v, VMCS_GUEST_RFLAGS, 2);
	put(v, VMCS_VMCS_LINK_POINTER, ~0ull);
}

static void fill_host_state(struct vmcs *v, uint64_t cr3, uint64_t rip, uint64_t rsp)
{
	static const enum vmcs_field data[] = {VMCS_HOST_SS_SELECTOR, VMCS_HOST_DS_SELECTOR, VMCS_HOST_ES_SELECTOR,
	        VMCS_HOST_FS_SELECTOR, VMCS_HOST_GS_SELECTOR};

	put(v, VMCS_HOST_CR0, CR0_VALID);
	put(v, VMCS_HOST_CR3, cr3);
	put(v, VMCS_HOST_CR4, CR4_VALID);
	put(v, VMCS_HOST_IA32_EFER, EFER_VALID);
	put(v, VMCS_HOST_IA32_PAT, PAT_VALID);
	put(v, VMCS_HOST_CS_SELECTOR, 0x08);
	for (unsigned i = 0; i < sizeof(data) / sizeof(data[0]); i++)
		put(v, data[i], 0x10);
	put(v, VMCS_HOST_TR_SELECTOR, 0x28);
	put(v, VMCS_HOST_TR_BASE, 0x3800);
	put(v, VMCS_HOST_GDTR_BASE, 0x3000);
	put(v, VMCS_HOST_IDTR_BASE, 0xa000);
	put(v, VMCS_HOST_RIP, rip);
	put(v, VMCS_HOST_RSP, rsp);
}

static void fill_vmcs01(struct fixture *f)
{
	struct vmcs *v = &f->vmcs01;

	v->revision_id = VMCS_REVISION_ID;
	fill_guest_state(v, FIXTURE_GPA_L1_TABLES, 0x100000, 0x1f000);
	fill_host_state(v, 0x7711111000, 0x7722222000, 0x7733333000);
	put(v, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) | VMX_BIT(PIN_NMI_EXITING));
	put(v, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
	                VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS));
	put(v, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID) | VMX_BIT(PROC2_UNRESTRICTED_GUEST));
	put(v, VMCS_PRIMARY_VM_EXIT_CONTROLS,
	        VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_ACKNOWLEDGE_INTERRUPT) |
	                VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_LOAD_IA32_EFER));
	put(v, VMCS_VM_ENTRY_CONTROLS, VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_EFER));
	put(v, VMCS_VIRTUAL_PROCESSOR_ID, 1);
	put(v, VMCS_EPT_POINTER, 0x7744444000 | EPTP_WALK_4 | EPTP_MEMORY_TYPE_MASK);
	put(v, VMCS_MSR_BITMAP, HPA_BASE + PAGE_MSR_BITMAP01 * PAGE);
	memset(&v->dirty, 0, sizeof(v->dirty));
}

void fixture_fill_vmcs12(struct fixture *f, struct vmcs *v)
{
	const struct vmx_caps *caps = &f->nested.caps;
	const uint32_t exit = VMX_BIT(EXIT_HOST_ADDRESS_SPACE_SIZE) | VMX_BIT(EXIT_SAVE_IA32_PAT) |
	                      VMX_BIT(EXIT_LOAD_IA32_PAT) | VMX_BIT(EXIT_SAVE_IA32_EFER) | VMX_BIT(EXIT_LOAD_IA32_EFER);
	const uint32_t entry =
	        VMX_BIT(ENTRY_IA32E_MODE_GUEST) | VMX_BIT(ENTRY_LOAD_IA32_PAT) | VMX_BIT(ENTRY_LOAD_IA32_EFER);

	fill_guest_state(v, 0x10000, 0x100000, 0x20000);
	fill_host_state(v, FIXTURE_GPA_L1_TABLES, 0x101000, 0x1e000);
	put(v, VMCS_PIN_BASED_VM_EXECUTION_CONTROLS,
	        caps_must_be_one(caps, VMX_WORD_PIN) | VMX_BIT(PIN_EXTERNAL_INTERRUPT_EXITING) |
	                VMX_BIT(PIN_NMI_EXITING));
	put(v, VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        caps_must_be_one(caps, VMX_WORD_PROC) | VMX_BIT(PROC_HLT_EXITING) | VMX_BIT(PROC_USE_MSR_BITMAPS) |
	                VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS));
	put(v, VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS,
	        caps_must_be_one(caps, VMX_WORD_PROC2) | VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_ENABLE_VPID));
	put(v, VMCS_PRIMARY_VM_EXIT_CONTROLS, caps_must_be_one(caps, VMX_WORD_EXIT) | exit);
	put(v, VMCS_VM_ENTRY_CONTROLS, caps_must_be_one(caps, VMX_WORD_ENTRY) | entry);
	put(v, VMCS_VIRTUAL_PROCESSOR_ID, 5);
	put(v, VMCS_EPT_POINTER, FIXTURE_GPA_EPT12 | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB);
	put(v, VMCS_MSR_BITMAP, FIXTURE_GPA_MSR_BITMAP);
}

static void fill_memory(struct fixture *f)
{
	const uint64_t pml4 = FIXTURE_GPA_L1_TABLES, pdpt = pml4 + PAGE, pd = pdpt + PAGE;
	const uint32_t revision = VMCS_REVISION_ID, shadow = VMCS_REVISION_ID | VMCS_SHADOW_INDICATOR;

	fixture_write64(f, pml4, pdpt | 3);
	fixture_write64(f, pdpt, pd | 3);
	for (uint64_t gpa = 0; gpa < FIXTURE_MEMORY_BYTES; gpa += 2 << 20)
		fixture_write64(f, pd + (gpa >> 21) * 8, gpa | 0x83);
	memcpy(f->memory + FIXTURE_GPA_VMXON, &revision, sizeof(revision));
	memcpy(f->memory + FIXTURE_GPA_VMCS12, &revision, sizeof(revision));
	memcpy(f->memory + FIXTURE_GPA_OTHER_VMCS12, &revision, sizeof(revision));
	memcpy(f->memory + FIXTURE_GPA_SHADOW12, &shadow, sizeof(shadow));
	for (uint64_t l2 = 0; l2 < FIXTURE_L2_BYTES; l2 += 2 << 20) {
		fixture_ept12_map(f, l2, FIXTURE_GPA_L2_MEMORY + l2, 2 << 20,
		        EPT_RWX | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT);
	}
}

/* ---- set-up ---- */

static struct nested_page page_of(struct fixture *f, unsigned index)
{
	return (struct nested_page){f->pages + (size_t)index * PAGE, HPA_BASE + (uint64_t)index * PAGE};
}

void fixture_setup(struct fixture *f, enum fixture_kind kind)
{
	memset(f, 0, sizeof(*f));
	f->memory = aligned_alloc(PAGE, FIXTURE_MEMORY_BYTES);
	f->pages = aligned_alloc(PAGE, (size_t)PAGE_COUNT * PAGE);
	ck_assert_ptr_nonnull(f->memory);
	ck_assert_ptr_nonnull(f->pages);
	memset(f->memory, 0, FIXTURE_MEMORY_BYTES);
	memset(f->pages, 0, (size_t)PAGE_COUNT * PAGE);
	memset(f->pages, 0xff, PAGE);
	memset(f->pages + PAGE_MSR_BITMAP01 * PAGE, 0xff, (size_t)3 * PAGE);
	f->msr_bitmap01 = f->pages + PAGE_MSR_BITMAP01 * PAGE;
	f->io_bitmap01[0] = f->pages + PAGE_IO_BITMAP01 * PAGE;
	f->io_bitmap01[1] = f->io_bitmap01[0] + PAGE;
	f->vmcs12 = fixture_memory(f, FIXTURE_GPA_VMCS12);
	f->next_eptp02 = 0x7755555000;
	fill_memory(f);
	fill_vmcs01(f);

	if (kind == FIXTURE_REAL_VMX)
		machine_real_vmx(&f->machine);
	else
		machine_paravirtual(&f->machine);
	f->config = (struct nested_config){
	        .ops = {.ctx = f, .l1_page = ops_l1_page, .fetch = ops_fetch, .flush_vpid = ops_flush_vpid},
	        .ept02_backend = {.ctx = f,
	                .root_create = backend_root_create,
	                .root_destroy = backend_root_destroy,
	                .map = backend_map,
	                .unmap = backend_unmap,
	                .flush = backend_flush,
	                .page_size_max = 2 << 20},
	        .ept02_mode = kind == FIXTURE_REAL_VMX ? EPT02_LAZY : EPT02_EAGER,
	        .shadow_mode = SHADOW_TRAP,
	        .vmcs01 = &f->vmcs01,
	        .msr_bitmap02 = page_of(f, PAGE_MSR_BITMAP02),
	        .io_bitmap02 = {page_of(f, PAGE_IO_BITMAP02), page_of(f, PAGE_IO_BITMAP02 + 1)},
	        .vmread_bitmap = page_of(f, PAGE_VMREAD),
	        .vmwrite_bitmap = page_of(f, PAGE_VMWRITE),
	        .shadow_region = page_of(f, PAGE_SHADOW),
	        .feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX,
	};
	if (f->config.ept02_mode == EPT02_EAGER) {
		f->config.extents = calloc((size_t)EPT02_ROOTS * EPT02_EXTENTS, sizeof(struct ept02_extent));
		ck_assert_ptr_nonnull(f->config.extents);
	}
}

void fixture_start(struct fixture *f)
{
	f->config.machine = f->machine;
	ck_assert_int_eq(nested_init(&f->nested, &f->config), 0);
	f->nested.vmx_on = true;
	f->nested.vmxon_gpa = FIXTURE_GPA_VMXON;
	f->nested.vmcs12 = f->vmcs12;
	f->nested.vmcs12_gpa = FIXTURE_GPA_VMCS12;
	f->nested.merge_all = true;
	fixture_fill_vmcs12(f, f->vmcs12);
	shadow_start(&f->nested);
}

void fixture_teardown(struct fixture *f)
{
	nested_fini(&f->nested);
	free(f->config.extents);
	free(f->pages);
	free(f->memory);
}

/* ---- helpers ---- */

void fixture_set(struct fixture *f, enum vmcs_field field, uint64_t value)
{
	vmcs_mask_clear(&f->vmcs12->stale, field);
	vmcs_set(f->vmcs12, field, value);
}

uint64_t fixture_get(const struct fixture *f, enum vmcs_field field)
{
	return vmcs_get(f->vmcs12, field);
}

void fixture_set_bits(struct fixture *f, enum vmcs_field field, uint64_t bits)
{
	fixture_set(f, field, fixture_get(f, field) | bits);
}

void fixture_clear_bits(struct fixture *f, enum vmcs_field field, uint64_t bits)
{
	fixture_set(f, field, fixture_get(f, field) & ~bits);
}

void fixture_snapshot(struct fixture *f)
{
	nested_snapshot_vmcs12(&f->nested);
}

void *fixture_memory(struct fixture *f, uint64_t gpa)
{
	ck_assert_uint_lt(gpa, FIXTURE_MEMORY_BYTES);
	return f->memory + gpa;
}

uint64_t fixture_read64(struct fixture *f, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, fixture_memory(f, gpa), sizeof(value));
	return value;
}

void fixture_write64(struct fixture *f, uint64_t gpa, uint64_t value)
{
	memcpy(fixture_memory(f, gpa), &value, sizeof(value));
}

uint64_t fixture_ept12_entry_gpa(struct fixture *f, uint64_t l2_gpa, unsigned level)
{
	uint64_t table = FIXTURE_GPA_EPT12;

	for (unsigned at = 4;; at--) {
		const uint64_t gpa = table + (l2_gpa >> (12 + 9 * (at - 1)) & 511) * 8;
		const uint64_t entry = fixture_read64(f, gpa);
		if (at == level)
			return gpa;
		if ((entry & EPT_RWX) == 0 || (entry & EPT_LARGE))
			return 0;
		table = entry & EPT_ADDRESS_MASK;
	}
}

void fixture_ept12_map(struct fixture *f, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t bits)
{
	const unsigned leaf = size == 4096 ? 1 : size == 2 << 20 ? 2 : 3;

	for (unsigned level = 4; level > leaf; level--) {
		const uint64_t gpa = fixture_ept12_entry_gpa(f, l2_gpa, level);
		const uint64_t entry = fixture_read64(f, gpa);
		if ((entry & EPT_RWX) == 0 || (level < 4 && (entry & EPT_LARGE))) {
			ck_assert_uint_lt(f->ept12_tables_used, FIXTURE_EPT12_TABLES);
			const uint64_t table = FIXTURE_GPA_EPT12 + PAGE * (uint64_t)++f->ept12_tables_used;
			memset(fixture_memory(f, table), 0, PAGE);
			fixture_write64(f, gpa, table | EPT_RWX);
		}
	}
	fixture_write64(f, fixture_ept12_entry_gpa(f, l2_gpa, leaf), l1_gpa | bits | (leaf > 1 ? EPT_LARGE : 0));
}

void fixture_exit_l2(struct fixture *f, uint32_t reason, uint64_t qualification)
{
	struct vmcs *v = &f->nested.vmcs02;

	v->field[VMCS_EXIT_REASON] = reason;
	v->field[VMCS_EXIT_QUALIFICATION] = qualification;
	v->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = 0;
	v->field[VMCS_IDT_VECTORING_INFORMATION] = 0;
	v->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] &= ~(uint64_t)INTR_INFO_VALID;
	memset(&v->dirty, 0, sizeof(v->dirty));
}

int fixture_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
