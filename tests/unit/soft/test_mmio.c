/* SPDX-License-Identifier: Apache-2.0 */
/* MMIO completion (machine_ops.emulate_mmio), EPT01's unmapped region, and the pool's limits. */
#include "guest.h"

#include <errno.h>
#include <string.h>

#define DEVICE 0xd0000000ull

/** A device of registers that remembers what was done to it. */
struct device {
	uint64_t value;
	unsigned reads, writes;
	uint64_t last_gpa, last_value;
	unsigned last_size;
};

static uint64_t device_read(void *ctx, uint64_t gpa, unsigned size)
{
	struct device *device = ctx;

	device->reads++;
	device->last_gpa = gpa;
	device->last_size = size;
	return device->value;
}

static void device_write(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
	struct device *device = ctx;

	device->writes++;
	device->last_gpa = gpa;
	device->last_size = size;
	device->last_value = value;
}

/** The device stands at linear 1 GiB. */
static void prepare(struct guest *g, const char *code)
{
	guest_setup(g);
	guest_put64(g, GUEST_PDPT + 8, 0x14000 | 3);
	guest_put64(g, 0x14000, DEVICE | 0x83);
	guest_code_at(g, GUEST_CODE + guest_code(g, code), "0f 01 c1");
	g->regs.gpr[GPR_RBX] = (1ull << 30) + 0x10;
	g->regs.gpr[GPR_RAX] = 0x1111222233334444ull;
	g->regs.gpr[GPR_RSI] = GUEST_DATA;
	g->regs.gpr[GPR_RDI] = (1ull << 30) + 0x10;
	g->regs.gpr[GPR_RCX] = 3;
}

static const struct {
	const char *code;
	unsigned reads, writes, size;
	uint64_t value; /**< last written, or RAX after it */
} accesses[] = {
        {"89 03", 0, 1, 4, 0x33334444}, /* mov [rbx], eax */
        {"48 89 03", 0, 1, 8, 0x1111222233334444ull}, {"88 03", 0, 1, 1, 0x44},
        {"66 c7 03 cd ab", 0, 1, 2, 0xabcd},          /* mov word [rbx], imm */
        {"8b 03", 1, 0, 4, 0xcafebabe},               /* mov eax, [rbx] */
        {"0f b6 03", 1, 0, 1, 0xbe},                  /* movzx eax, byte [rbx] */
        {"01 03", 1, 1, 4, 0xcafebabe + 0x33334444u}, /* add [rbx], eax */
        {"f3 a4", 0, 3, 1, 0x77},                     /* rep movsb to the device */
};

START_TEST(test_access)
{
	struct device device = {.value = 0xcafebabe};
	const struct mmio_bus bus = {&device, device_read, device_write};
	struct guest g;

	prepare(&g, accesses[_i].code);
	memset(g.ram + GUEST_DATA, 0x77, 3);
	for (unsigned exits = 0;; exits++) {
		const uint32_t reason = guest_run(&g);

		if (reason == EXIT_REASON_VMCALL)
			break;
		ck_assert_uint_lt(exits, 4);
		ck_assert_uint_eq(reason, EXIT_REASON_EPT_VIOLATION);
		ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS) & ~0xfull, DEVICE + 0x10);
		ck_assert_int_eq(machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus), 0);
	}
	ck_assert_uint_eq(device.reads, accesses[_i].reads);
	ck_assert_uint_eq(device.writes, accesses[_i].writes);
	ck_assert_uint_eq(device.last_size, accesses[_i].size);
	ck_assert_uint_eq(device.last_gpa, 0xabc010 + (accesses[_i].code[0] == 'f' ? 2 : 0));
	ck_assert_uint_eq(accesses[_i].writes ? device.last_value : g.regs.gpr[GPR_RAX], accesses[_i].value);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RFLAGS) & RFLAGS_RF, 0);
	guest_teardown(&g);
}
END_TEST

/* An access that interrupted the delivery of an event is no instruction's. */
START_TEST(test_refused)
{
	struct device device = {0};
	const struct mmio_bus bus = {&device, device_read, device_write};
	struct guest g;

	prepare(&g, "0f 0b");
	guest_set(&g, VMCS_GUEST_RSP, (1ull << 30) + 0x800);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_int_lt(machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus), 0);
	ck_assert_uint_gt(strlen(g.machine->error), 0);
	ck_assert_uint_eq(device.writes, 0);
	guest_teardown(&g);
}
END_TEST

/* The other operand is in a page that is not mapped yet: an exit of its own, and then the instruction completes. */
START_TEST(test_second_exit)
{
	struct device device = {.value = 0x5a};
	const struct mmio_bus bus = {&device, device_read, device_write};
	struct guest g;

	prepare(&g, "a4"); /* movsb */
	g.regs.gpr[GPR_RSI] = (1ull << 30) + 0x10;
	g.regs.gpr[GPR_RDI] = 0x401234;
	ck_assert_int_eq(machine_soft.unmap01(g.machine, 0x401000, 0x1000), 0);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), DEVICE + 0x10);
	ck_assert_int_eq(machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus), 0);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), 0x401234);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_RIP), GUEST_CODE);
	ck_assert_int_eq(machine_soft.map01(g.machine, 0x401000, 0x1000), 0);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_int_eq(machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus), 0);
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_uint_eq(g.ram[0x401234], 0x5a);
	guest_teardown(&g);
}
END_TEST

/* From device to device: refused in the end, not tried for ever. */
START_TEST(test_device_to_device)
{
	struct device device = {.value = 0x5a};
	const struct mmio_bus bus = {&device, device_read, device_write};
	struct guest g;
	int result = 0;

	prepare(&g, "a4");
	g.regs.gpr[GPR_RSI] = (1ull << 30) + 0x10;
	g.regs.gpr[GPR_RDI] = (1ull << 30) + 0x2010;
	for (unsigned i = 0; i < 20 && !result; i++) {
		guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
		result = machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus);
	}
	ck_assert_int_lt(result, 0);
	guest_teardown(&g);
}
END_TEST

/* Single-stepping over an MMIO instruction still traps behind it. */
START_TEST(test_single_step)
{
	struct device device = {0};
	const struct mmio_bus bus = {&device, device_read, device_write};
	struct guest g;

	prepare(&g, "89 03 90");
	guest_set(&g, VMCS_GUEST_RFLAGS, 2 | RFLAGS_TF);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_int_eq(machine_soft.emulate_mmio(g.machine, &g.vmcs, &g.regs, 0xabc000, &bus), 0);
	guest_expect_handler(&g, VECTOR_DB);
	ck_assert_uint_eq(guest_u64(&g, GUEST_STACK - 40), GUEST_CODE + 2);
	guest_teardown(&g);
}
END_TEST

/* EPT01: what is unmapped exits, what is mapped does not; unmapping is seen although it was cached. */
START_TEST(test_map01)
{
	struct guest g;

	guest_setup(&g);
	guest_code(&g, "8a 03 0f 01 c1");
	g.regs.gpr[GPR_RBX] = 0x401234;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_int_eq(machine_soft.unmap01(g.machine, 0x401000, 0x1000), 0);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), 0x401234);
	g.regs.gpr[GPR_RBX] = 0x402000; /* the rest of the large page is still there */
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_int_eq(machine_soft.map01(g.machine, 0x401000, 0x1000), 0);
	guest_set(&g, VMCS_GUEST_RIP, GUEST_CODE);
	g.regs.gpr[GPR_RBX] = 0x401234;
	guest_expect(&g, EXIT_REASON_VMCALL);
	ck_assert_int_eq(machine_soft.map01(g.machine, GUEST_RAM, 0x1000), -EINVAL);
	guest_teardown(&g);
}
END_TEST

/* Physical addresses beyond RAM - the pool among them - are never mapped by EPT01. */
START_TEST(test_pool_is_out_of_reach)
{
	struct guest g;

	prepare(&g, "8a 03");
	guest_put64(&g, 0x14000, GUEST_RAM | 0x83);
	g.regs.gpr[GPR_RBX] = 1ull << 30;
	guest_expect(&g, EXIT_REASON_EPT_VIOLATION);
	ck_assert_uint_eq(guest_get(&g, VMCS_GUEST_PHYSICAL_ADDRESS), GUEST_RAM);
	guest_teardown(&g);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("mmio");

	tcase_add_loop_test(tests, test_access, 0, sizeof(accesses) / sizeof(accesses[0]));
	tcase_add_test(tests, test_refused);
	tcase_add_test(tests, test_second_exit);
	tcase_add_test(tests, test_device_to_device);
	tcase_add_test(tests, test_single_step);
	tcase_add_test(tests, test_map01);
	tcase_add_test(tests, test_pool_is_out_of_reach);
	return guest_main("soft: MMIO and EPT01", tests);
}
