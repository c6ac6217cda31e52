/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a multiboot loader and a plain PC give a kernel at start. With "exit=37" on the command line, that status.
 */
#include "guest.h"

#define LOADED_BY_MULTIBOOT 0x2badb002u
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
enum { FW_CFG_SIGNATURE, FW_CFG_RAM_SIZE = 3, FW_CFG_CPUS = 5, FW_CFG_NO_SUCH_KEY = 0x7777 };

struct module {
	u32 start, end, text, reserved;
};

static u64 fw_cfg(u16 key, unsigned bytes)
{
	u64 value = 0;

	out16(FW_CFG_SELECT, key);
	for (unsigned i = 0; i < bytes; i++)
		value |= (u64)in8(FW_CFG_DATA) << 8 * i;
	return value;
}

/* ---- multiboot information ---- */

static void test_memory(const struct multiboot_info *info)
{
	const u8 *entry = (const u8 *)(uintptr_t)info->map_address, *end = entry + info->map_bytes;
	const u64 ram = fw_cfg(FW_CFG_RAM_SIZE, 8);
	u64 highest = 0, most = 0;
	bool image_in_ram = false;

	check((info->flags & 0x41) == 0x41, "the loader gives memory sizes and a memory map");
	check_equal(((u64)info->mem_upper + 1024) << 10, ram, "fw_cfg and mem_upper agree on the size of memory");
	for (; entry < end; entry += *(const u32 *)entry + 4) {
		u64 base, length;
		memcpy(&base, entry + 4, 8);
		memcpy(&length, entry + 12, 8);
		if (*(const u32 *)(entry + 20) != 1)
			continue;
		most = length > most ? length : most;
		highest = base + length > highest ? base + length : highest;
		if (base <= 4 << 20 && base + length > 5 << 20)
			image_in_ram = true;
	}
	check_equal(highest, ram, "the memory map ends where memory ends");
	check(image_in_ram, "the image stands in memory the map calls RAM");
	*(volatile u64 *)(uintptr_t)(ram - 8) = 0x123456789abcdef0;
	check_equal(*(volatile u64 *)(uintptr_t)(ram - 8), 0x123456789abcdef0, "the last bytes of memory keep a value");
}

static bool has_line(const char *text, const char *end, const char *line)
{
	while (text < end) {
		const char *l = line;
		while (text < end && *l && *text == *l)
			text++, l++;
		if (!*l && (text == end || *text == '\n' || !*text))
			return true;
		while (text < end && *text != '\n')
			text++;
		text++;
	}
	return false;
}

static void test_texts(const struct multiboot_info *info)
{
	const struct module *module = (const struct module *)(uintptr_t)info->modules_address;
	const char *text = (const char *)(uintptr_t)module->start, *end = (const char *)(uintptr_t)module->end;

	check(info->flags & 4, "there is a command line");
	print("command line: %s\n", (const char *)(uintptr_t)info->command_line);
	check(*(const char *)(uintptr_t)info->command_line, "its first word is the program's name");
	check(info->flags & 8 && info->modules == 1, "there is one module");
	check(has_line(text, end, "NR_CPUS=1"), "its text says how many processors there are");
	check(has_line(text, end, "BOOTLOADER=1"), "and that there was a boot loader");
}

static void test_modules(const struct multiboot_info *info)
{
	const struct module *module = (const struct module *)(uintptr_t)info->modules_address;
	extern const u8 image_end[];

	check(info->flags & 8 && info->modules, "there are modules");
	for (u32 i = 0; i < info->modules; i++) {
		check(module[i].start >= (u32)(uintptr_t)image_end && !(module[i].start & 0xfff),
		        "module %u is on pages behind the image", (u64)i);
		print("module %s: ", (const char *)(uintptr_t)module[i].text);
		for (u32 at = module[i].start; at < module[i].end; at++)
			print("%c", *(const char *)(uintptr_t)at);
		print("\n");
	}
}

/* ---- firmware ---- */

static u8 sum(const u8 *bytes, u32 count)
{
	u8 total = 0;

	while (count--)
		total = (u8)(total + *bytes++);
	return total;
}

static const u8 *find_rsdp(void)
{
	for (const u8 *at = (const u8 *)0xe0000; at < (const u8 *)0x100000; at += 16)
		if (*(const u64 *)at == 0x2052545020445352) /* "RSD PTR " */
			return at;
	return NULL;
}

static const u8 *find_table(const u8 *rsdt, u32 signature)
{
	const u32 *entry = (const u32 *)(rsdt + 36), *end = (const u32 *)(rsdt + *(const u32 *)(rsdt + 4));

	for (; entry < end; entry++)
		if (*(const u32 *)(uintptr_t)*entry == signature)
			return (const u8 *)(uintptr_t)*entry;
	return NULL;
}

/* The 24-bit timer runs at 3.58 MHz beside the TSC. */
static void test_pm_timer(u16 port)
{
	const u32 first = in32(port) & 0xffffff;
	const u64 tsc = rdtsc();
	u32 last = first;
	bool forward = true;

	while (rdtsc() - tsc < 3000000) {
		const u32 now = in32(port) & 0xffffff;
		forward = forward && ((now - last) & 0xffffff) < 0x800000;
		last = now;
	}
	check(forward && last != first, "the ACPI timer runs, and forward");
}

static void test_acpi(void)
{
	const u8 *rsdp = find_rsdp(), *rsdt, *fadt, *madt;

	check(rsdp && !sum(rsdp, 20), "there is an RSDP with a good checksum");
	if (!rsdp)
		return;
	rsdt = (const u8 *)(uintptr_t) * (const u32 *)(rsdp + 16);
	check(*(const u32 *)rsdt == 0x54445352 && !sum(rsdt, *(const u32 *)(rsdt + 4)), "the RSDT is sound");
	fadt = find_table(rsdt, 0x50434146);
	madt = find_table(rsdt, 0x43495041);
	check(fadt && !sum(fadt, *(const u32 *)(fadt + 4)), "the FADT is sound");
	check(madt && !sum(madt, *(const u32 *)(madt + 4)), "the MADT is sound");
	if (madt)
		check_equal(*(const u32 *)(madt + 36), 0xfee00000, "the local APIC's address");
	if (fadt)
		test_pm_timer((u16) * (const u32 *)(fadt + 76));
}

void test_main(void)
{
	const struct multiboot_info *info = multiboot();
	u16 low_memory;

	if (command_word("exit=37"))
		finish(37);
	if (command_word("modules")) {
		test_modules(info);
		return;
	}
	check_equal(boot_magic, LOADED_BY_MULTIBOOT, "the loader's mark in EAX");
	test_memory(info);
	test_texts(info);
	check_equal(fw_cfg(FW_CFG_SIGNATURE, 4), 0x554d4551, "fw_cfg has its signature");
	check_equal(fw_cfg(FW_CFG_CPUS, 2), 1, "fw_cfg counts one processor");
	check_equal(fw_cfg(FW_CFG_NO_SUCH_KEY, 8), 0, "an unknown fw_cfg key reads 0");
	check_equal(in8(0x4321), 0xff, "a port without a device reads all ones");
	check_equal(*(volatile u32 *)0xfed00000, ~0u, "so does memory that is not there");
	*(volatile u32 *)0xfed00000 = 0;
	check_equal(*(volatile u32 *)0xfed00000, ~0u, "which keeps nothing");
	out8(0x3fc, 0x1a);
	check_equal(in8(0x3fe) & 0xf0, 0x90, "the serial port's loopback");
	out8(0x3fc, 0);
	asm volatile("movw 0x413, %0" : "=r"(low_memory));
	check(low_memory >= 512 && low_memory <= 640, "low memory as a BIOS counts it");
	test_acpi();
	if (command_word("one") && command_word("two=3"))
		print("words arrived\n");
}
