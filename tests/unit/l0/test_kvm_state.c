/* SPDX-License-Identifier: Apache-2.0 */
/* State between VMCS and vCPU: what is fetched, what is loaded, and L2 going on in another VM. Needs /dev/kvm. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "l0/kvm/kvm.h"
#include "l0/layout.h"
#include "shadowvmcs/ept12.h"
#include "shadowvmcs/x86.h"

#define RAM_BYTES (4ull << 20)
#define CODE BOOT_GPA_IMAGE

static struct machine *machine;
static struct ept02_backend backend;
static uint64_t root[2];
static struct vmcs vmcs;
static struct guest_regs regs;

/* A VMCS for level 2 at CODE, and two EPT02 roots that both map all of L1's memory. */
static void setup(void)
{
	const struct machine_config config = {.ram_bytes = RAM_BYTES};
	const struct vmm_intercepts none = {0};
	struct boot_info info = {0};
	struct nested_page bitmap;
	struct refusal why;

	ck_assert_msg(machine_kvm.create(&machine, &config, &why) == 0, "%s", why.text);
	machine_kvm.ept02_backend(machine, &backend);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(backend.root_create(backend.ctx, &root[i]), 0);
		ck_assert_int_eq(backend.map(backend.ctx, root[i], 0, 0, RAM_BYTES, EPT_RWX), 0);
	}
	layout_prepare(&(struct guest_space){machine->ram, RAM_BYTES}, &info);
	bitmap = machine_kvm.page_alloc(machine);
	vmcs01_fill_msr_bitmap(bitmap.hva);
	vmcs01_init(&vmcs, machine, &none, &bitmap);
	vmcs01_start_64(&vmcs, &regs, CODE, BOOT_GPA_PAGE_TABLES, BOOT_GPA_STACK_TOP, BOOT_GPA_INFO);
	vmcs_set(&vmcs, VMCS_EPT_POINTER, root[0]);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++) {
		if (root[i])
			backend.root_destroy(backend.ctx, root[i]);
	}
	machine_kvm.destroy(machine);
}

static void put_code(const uint8_t *code, size_t bytes)
{
	memcpy(machine->ram + CODE, code, bytes);
}

/* Run to the next OUT to port 0x80, go on behind it, give back EAX. */
static uint32_t run_to_out(void)
{
	ck_assert_msg(machine_kvm.enter(machine, &vmcs, &regs) == 0, "%s", machine->error);
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_EXIT_REASON), EXIT_REASON_IO_INSTRUCTION);
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_EXIT_QUALIFICATION) >> 16, 0x80);
	emulate_advance(&vmcs);
	return (uint32_t)regs.gpr[GPR_RAX];
}

#define OUT_AL 0xe6, 0x80
#define MOV_EAX(value) 0xb8, (uint8_t)(value), (uint8_t)((value) >> 8), 0, 0

START_TEST(fetch_shows_what_the_guest_changed)
{
	/* mov $0x1b, %eax; mov %eax, %es; mov %cr3, %rax; or $0x18, %rax (PCD, PWT); mov %rax, %cr3; out */
	static const uint8_t code[] = {
	        MOV_EAX(0x1b), 0x8e, 0xc0, 0x0f, 0x20, 0xd8, 0x48, 0x83, 0xc8, 0x18, 0x0f, 0x22, 0xd8, OUT_AL, OUT_AL};

	put_code(code, sizeof(code));
	run_to_out();
	ck_assert(vmcs_mask_has(&vmcs.stale, VMCS_GUEST_ES_SELECTOR));
	ck_assert(vmcs_mask_has(&vmcs.stale, VMCS_GUEST_CR3));
	machine_kvm.fetch(machine, &vmcs);
	ck_assert(!vmcs_mask_has(&vmcs.stale, VMCS_GUEST_CR3));
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_ES_SELECTOR), 0x1b);
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_ES_ACCESS_RIGHTS) >> 5 & 3, 3);
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_CR3), BOOT_GPA_PAGE_TABLES | 0x18);
	ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_CS_ACCESS_RIGHTS) & AR_L, AR_L);
}
END_TEST

START_TEST(written_fields_are_loaded_and_the_others_stay)
{
	/* mov $0x1b, %eax; mov %eax, %es; out; mov %es, %eax; out; mov %ds, %eax; out */
	static const uint8_t code[] = {MOV_EAX(0x1b), 0x8e, 0xc0, OUT_AL, 0x8c, 0xc0, OUT_AL, 0x8c, 0xd8, OUT_AL};

	put_code(code, sizeof(code));
	run_to_out();
	/* ES was not fetched: loading DS must leave the guest's ES alone. */
	emulate_set(&vmcs, VMCS_GUEST_DS_SELECTOR, 0);
	emulate_set(&vmcs, VMCS_GUEST_DS_ACCESS_RIGHTS, AR_UNUSABLE);
	ck_assert_uint_eq(run_to_out() & 0xffff, 0x1b);
	ck_assert_uint_eq(run_to_out() & 0xffff, 0);
}
END_TEST

/* mov $0x1b, %eax; mov %eax, %es; KERNEL_GS_BASE := 0x1234; out; mov %es, %eax; out; read KERNEL_GS_BASE; out */
static const uint8_t moving[] = {MOV_EAX(0x1b), 0x8e, 0xc0, 0xb9, 0x02, 0x01, 0x00, 0xc0, MOV_EAX(0x1234), 0x31, 0xd2,
        0x0f, 0x30, OUT_AL, 0x8c, 0xc0, OUT_AL, 0xb9, 0x02, 0x01, 0x00, 0xc0, 0x0f, 0x32, OUT_AL};

START_TEST(l2_goes_on_in_another_vm)
{
	put_code(moving, sizeof(moving));
	regs.gpr[GPR_R12] = 0x1122334455667788;
	run_to_out();
	vmcs_set(&vmcs, VMCS_EPT_POINTER, root[1]);
	ck_assert_uint_eq(run_to_out() & 0xffff, 0x1b);
	ck_assert_uint_eq(run_to_out(), 0x1234);
	ck_assert_uint_eq(regs.gpr[GPR_R12], 0x1122334455667788);
	/* And back: the first VM's own registers are old by now. */
	vmcs_set(&vmcs, VMCS_GUEST_RIP, CODE);
	emulate_set(&vmcs, VMCS_GUEST_ES_SELECTOR, 0x10);
	vmcs_set(&vmcs, VMCS_EPT_POINTER, root[0]);
	run_to_out();
	ck_assert_uint_eq(run_to_out() & 0xffff, 0x1b);
}
END_TEST

START_TEST(l2_survives_its_vm)
{
	put_code(moving, sizeof(moving));
	run_to_out();
	backend.root_destroy(backend.ctx, root[0]);
	root[0] = 0;
	vmcs_set(&vmcs, VMCS_EPT_POINTER, root[1]);
	ck_assert_uint_eq(run_to_out() & 0xffff, 0x1b);
	ck_assert_uint_eq(run_to_out(), 0x1234);
}
END_TEST

/* The guest is sent back to the OUT it exited at, as after an injected fault: it must execute it again. */
START_TEST(an_out_can_be_run_again)
{
	static const uint8_t code[] = {OUT_AL, MOV_EAX(7), OUT_AL};

	put_code(code, sizeof(code));
	regs.gpr[GPR_RAX] = 3;
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(run_to_out(), 3);
		ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_RIP), CODE + 2);
		vmcs_set(&vmcs, VMCS_GUEST_RIP, CODE);
	}
	run_to_out();
	ck_assert_uint_eq(run_to_out(), 7);
}
END_TEST

/* IN: whatever L0 makes of it, done, skipped without a result, or run again, is what the guest sees. */
START_TEST(an_in_is_completed_or_discarded)
{
	/* in $0x90, %al; out %al, $0x80; mov %ecx, %eax; out */
	static const uint8_t code[] = {0xe4, 0x90, OUT_AL, 0x89, 0xc8, OUT_AL};

	put_code(code, sizeof(code));
	regs.gpr[GPR_RAX] = 0x11223344;
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(machine_kvm.enter(machine, &vmcs, &regs), 0);
		ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_EXIT_QUALIFICATION), 0x900048);
		ck_assert_uint_eq(vmcs_get(&vmcs, VMCS_GUEST_RIP), CODE);
	}
	regs.gpr[GPR_RAX] = 0x112233ab;
	emulate_advance(&vmcs);
	ck_assert_uint_eq(run_to_out(), 0x112233ab);
	/* Discarded: another register changes instead. */
	vmcs_set(&vmcs, VMCS_GUEST_RIP, CODE);
	ck_assert_int_eq(machine_kvm.enter(machine, &vmcs, &regs), 0);
	regs.gpr[GPR_RCX] = 55;
	emulate_advance(&vmcs);
	ck_assert_uint_eq(run_to_out(), 0x112233ab);
	ck_assert_uint_eq(run_to_out(), 55);
}
END_TEST

START_TEST(a_vmcs_without_a_vm_is_refused)
{
	vmcs_set(&vmcs, VMCS_EPT_POINTER, 0xdeadbeef000);
	ck_assert_int_eq(machine_kvm.enter(machine, &vmcs, &regs), -EINVAL);
	ck_assert(strstr(machine->error, "names no VM") != NULL);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, fetch_shows_what_the_guest_changed);
	tcase_add_test(tests, written_fields_are_loaded_and_the_others_stay);
	tcase_add_test(tests, l2_goes_on_in_another_vm);
	tcase_add_test(tests, l2_survives_its_vm);
	tcase_add_test(tests, an_out_can_be_run_again);
	tcase_add_test(tests, an_in_is_completed_or_discarded);
	tcase_add_test(tests, a_vmcs_without_a_vm_is_refused);
}

int main(void)
{
	struct refusal why;

	if (machine_kvm.probe(&why)) {
		printf("SKIP: %s\n", why.text);
		return 77;
	}
	return run_tests("kvm state", add);
}
