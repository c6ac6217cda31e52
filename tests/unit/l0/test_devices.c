/* SPDX-License-Identifier: Apache-2.0 */
/* The buses and the devices on them. */
#include "fixture.h"

#include <errno.h>

#include "l0/acpi.h"

static struct bus bus;
static struct console console;
static struct testdev testdev;
static struct guest_regs regs;
static uint64_t now;
static unsigned marks, ends, resets;
static uint32_t last_status;
static enum testdev_mark last_mark;

static void on_mark(void *ctx, const struct port_access *access, enum testdev_mark mark)
{
	ck_assert_ptr_eq(access->regs, &regs);
	marks++;
	last_mark = mark;
}
static uint64_t on_clock(void *ctx)
{
	return now;
}
static void on_end(void *ctx, uint32_t status)
{
	ends++;
	last_status = status;
}
static void on_reset(void *ctx)
{
	resets++;
}

static void setup(void)
{
	const struct testdev_owner owner = {NULL, on_mark, on_clock, on_end, on_reset};

	memset(&bus, 0, sizeof(bus));
	memset(&console, 0, sizeof(console));
	now = 1000;
	ck_assert_int_eq(testdev_init(&testdev, &owner, &console, &bus), 0);
}

static void out(uint16_t port, uint8_t size, uint32_t value)
{
	bus_out(&bus, &(struct port_access){port, size, 2, &regs}, value);
}
static uint32_t in(uint16_t port, uint8_t size)
{
	return bus_in(&bus, &(struct port_access){port, size, 2, &regs});
}

START_TEST(ports_of_the_test_device)
{
	ck_assert_uint_eq(in(TESTDEV_PORT_LEVEL, 4), 2);
	out(TESTDEV_PORT_PIO, 4, 0xdeadbeef);
	ck_assert_uint_eq(in(TESTDEV_PORT_PIO, 4), 0xdeadbeef);
	ck_assert_uint_eq(in(TESTDEV_PORT_PIO, 2), 0xbeef);
	ck_assert_uint_eq(in(TESTDEV_PORT_PIO, 1), 0xef);
	out(TESTDEV_PORT_PIO, 1, 0x1234);
	ck_assert_uint_eq(in(TESTDEV_PORT_PIO, 4), 0x34);
	out(TESTDEV_PORT_MARK, 4, TESTDEV_MARK_SAMPLE_END);
	ck_assert_uint_eq(marks, 1);
	ck_assert_int_eq(last_mark, TESTDEV_MARK_SAMPLE_END);
	out(TESTDEV_PORT_TOUCH, 4, TESTDEV_TOUCH_RESET);
	out(TESTDEV_PORT_TOUCH, 4, 99);
	ck_assert_uint_eq(resets, 1);
	out(TESTDEV_PORT_END, 4, TESTDEV_END_FAILED);
	ck_assert_uint_eq(ends, 1);
	ck_assert_uint_eq(last_status, TESTDEV_END_FAILED);
}
END_TEST

START_TEST(the_timer_fires_once)
{
	ck_assert(!testdev_timer_fired(&testdev, ~0ull));
	out(TESTDEV_PORT_TIMER, 4, 500);
	ck_assert(!testdev_timer_fired(&testdev, 1499));
	ck_assert(testdev_timer_fired(&testdev, 1500));
	ck_assert(!testdev_timer_fired(&testdev, 1600));
	out(TESTDEV_PORT_TIMER, 4, 0);
	ck_assert(testdev_timer_fired(&testdev, now));
}
END_TEST

START_TEST(the_mmio_page_keeps_its_registers)
{
	bus_mmio_write(&bus, TESTDEV_MMIO_GPA, 4, 0x11223344);
	bus_mmio_write(&bus, TESTDEV_MMIO_GPA + 4, 8, 0x8877665544332211);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA, 4), 0x11223344);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA + 1, 1), 0x33);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA + 8, 4), 0x88776655);
	/* The last bytes of the page, and an access that would leave it. */
	bus_mmio_write(&bus, TESTDEV_MMIO_GPA + 0xffc, 4, 5);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA + 0xffc, 4), 5);
	bus_mmio_write(&bus, TESTDEV_MMIO_GPA + 0xffd, 4, ~0u);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA + 0xffc, 4), 5);
	ck_assert_uint_eq(bus_mmio_read(&bus, TESTDEV_MMIO_GPA + 0x1000, 4), ~0ull);
	ck_assert_ptr_null(bus_mmio_find(&bus, TESTDEV_MMIO_GPA - 1));
}
END_TEST

START_TEST(nobody_answers_with_all_ones)
{
	ck_assert_uint_eq(in(0x60, 1), 0xff);
	ck_assert_uint_eq(in(0x60, 2), 0xffff);
	ck_assert_uint_eq(in(0x60, 4), 0xffffffff);
	out(0x60, 4, 1);
}
END_TEST

START_TEST(overlapping_ranges_are_refused)
{
	const struct port_range ports = {TESTDEV_PORT_TOUCH + 3, TESTDEV_PORT_TOUCH + 8, NULL, NULL, NULL};
	const struct mmio_range mmio = {TESTDEV_MMIO_GPA - 0x1000, 0x1001, NULL, NULL, NULL};

	ck_assert_int_eq(bus_add_ports(&bus, &ports), -EEXIST);
	ck_assert_int_eq(bus_add_mmio(&bus, &mmio), -EEXIST);
}
END_TEST

START_TEST(console_keeps_first_text_and_last_line)
{
	for (const char *c = "first\nsecond\n\n"; *c; c++)
		out(TESTDEV_PORT_CONSOLE, 4, (uint32_t)*c);
	ck_assert_str_eq(console.text, "first\nsecond\n\n");
	ck_assert_str_eq(console_last_line(&console), "second");
	out(TESTDEV_PORT_CONSOLE, 1, 'x');
	ck_assert_str_eq(console_last_line(&console), "x");
	for (int i = 0; i < 10000; i++)
		console_put(&console, 'y');
	ck_assert_uint_eq(console.bytes, 10015);
	ck_assert_uint_eq(strlen(console.text), sizeof(console.text) - 1);
	ck_assert_uint_eq(strlen(console_last_line(&console)), sizeof(console.current) - 1);
}
END_TEST

START_TEST(serial_port_sends)
{
	struct serial serial;

	ck_assert_int_eq(serial_init(&serial, &console, &bus), 0);
	ck_assert_uint_eq(in(0x3fd, 1), 0x60);
	out(0x3f8, 1, 'a');
	out(0x3fb, 1, 0x83); /* DLAB: the divisor is no output */
	out(0x3f8, 1, 1);
	ck_assert_uint_eq(in(0x3f8, 1), 1);
	out(0x3fb, 1, 0x03);
	out(0x3f8, 1, 'b');
	ck_assert_str_eq(console.text, "ab");
}
END_TEST

START_TEST(fw_cfg_answers_byte_by_byte)
{
	struct fw_cfg fw_cfg;
	uint64_t value = 0;

	ck_assert_int_eq(fw_cfg_init(&fw_cfg, 0x123456789a, &bus), 0);
	out(0x510, 2, 3);
	for (int i = 0; i < 8; i++)
		value |= (uint64_t)in(0x511, 1) << (8 * i);
	ck_assert_uint_eq(value, 0x123456789a);
	ck_assert_uint_eq(in(0x511, 1), 0);
	out(0x510, 2, 5);
	ck_assert_uint_eq(in(0x511, 1), 1);
	out(0x510, 2, 0x7777);
	ck_assert_uint_eq(in(0x511, 1), 0);
}
END_TEST

START_TEST(pm_timer_counts_at_its_frequency)
{
	struct pm_timer timer;

	ck_assert_int_eq(pm_timer_init(&timer, on_clock, NULL, 1000000, &bus), 0);
	now = 1000000000; /* one second at 1 GHz */
	ck_assert_uint_eq(in(ACPI_PM_TIMER_PORT, 4), ACPI_PM_TIMER_HZ);
	now = 10000000000;
	ck_assert_uint_eq(in(ACPI_PM_TIMER_PORT, 4), (10ull * ACPI_PM_TIMER_HZ) & 0xffffff);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, ports_of_the_test_device);
	tcase_add_test(tests, the_timer_fires_once);
	tcase_add_test(tests, the_mmio_page_keeps_its_registers);
	tcase_add_test(tests, nobody_answers_with_all_ones);
	tcase_add_test(tests, overlapping_ranges_are_refused);
	tcase_add_test(tests, console_keeps_first_text_and_last_line);
	tcase_add_test(tests, serial_port_sends);
	tcase_add_test(tests, fw_cfg_answers_byte_by_byte);
	tcase_add_test(tests, pm_timer_counts_at_its_frequency);
}

int main(void)
{
	return run_tests("devices", add);
}
