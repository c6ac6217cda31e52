/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that behave badly end with a sentence; guests that do unusual but legal things get what the SDM says. */
#include "behave.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "l0/layout.h"

static const char *machine;

/* What must hold, and at which levels: L1 gives L2 few devices (l1/README.md). */
static const struct {
	const char *behaviour;
	unsigned levels;
} legal[] = {{"pio-sizes", 1}, {"mmio-sizes", 1}, {"mmio-listed", 2}, {"unlisted-touch", 2}, {"unlisted-push", 2},
        {"msrs", 1}, {"halt-for-timer", 2}, {"spin-for-timer", 1}};

/* How each bad guest ends, at level 1 by L0 (why) and at level 2 by L1 (its console) or by L0. */
static const struct {
	const char *behaviour;
	const char *level_1[3];
	const char *level_2[2];
} bad[] = {{"triple-fault", {"level 1", "triple fault", "RIP 0x1"}, {"TRIPLE_FAULT", "RIP"}},
        {"wild-write", {"level 1 wrote to", "0x70000000", "RIP 0x1"}, {"EPT_VIOLATION", "70000000"}},
        {"wild-read", {"level 1 read from", "0x70000000", "RIP 0x1"}, {"EPT_VIOLATION", "70000000"}},
        {"wild-fetch", {"level 1 fetched from", "0x70000000", "RIP 0x70000000"}, {"EPT_VIOLATION", "70000000"}},
        {"halt-forever", {"level 1", "halted", "interrupts off"}, {"", ""}},
        {"beyond-the-map", {"", "", ""}, {"", ""}}};

static void check_legal(unsigned level, const char *behaviour)
{
	struct refusal why;
	char console[4096];
	const int status = behave_boot(machine, level, behaviour, console, sizeof(console), &why);

	behave_check(status == TESTDEV_END_OK, "level %u %s ended with %d: %s%s", level, behaviour, status, console,
	        why.text);
}

static void check_bad(unsigned level, size_t i)
{
	struct refusal why;
	char console[4096], all[4608];
	const int status = behave_boot(machine, level, bad[i].behaviour, console, sizeof(console), &why);

	snprintf(all, sizeof(all), "%s%s", why.text, console);
	behave_check(status != TESTDEV_END_OK && *all, "level %u %s ended with %d and no sentence", level,
	        bad[i].behaviour, status);
	for (int n = 0; n < (level == 1 ? 3 : 2); n++) {
		const char *says = level == 1 ? bad[i].level_1[n] : bad[i].level_2[n];
		behave_check(strstr(all, says) != NULL, "level %u %s: \"%s\" is not in: %s", level, bad[i].behaviour,
		        says, all);
	}
}

/* ---- guests that never end ---- */

static uint8_t guest_file[1 << 20];
static size_t guest_bytes;

static void read_guest(void)
{
	FILE *file = fopen(behave_guest_path, "rb");

	guest_bytes = file ? fread(guest_file, 1, sizeof(guest_file), file) : 0;
	behave_check(guest_bytes != 0, "%s cannot be read", behave_guest_path);
	if (file)
		fclose(file);
}

static void *kick_later(void *kicked)
{
	usleep(20000);
	((struct machine *)kicked)->ops->kick(kicked);
	return NULL;
}

/* Runs `hang` at level 1 until it is kicked, or until its time is over. */
static void check_hang(const char *behaviour, bool by_kick)
{
	struct ledger nowhere = {0};
	struct vmm_config config = {.machine = machine_find(machine),
	        .memory = {.ram_bytes = 32u << 20},
	        .ept02_auto = true,
	        .touch_page_size = 4096,
	        .ledger = &nowhere};
	struct guest_space space;
	struct boot_info info = {0};
	struct refusal why = {""};
	struct image image = {0};
	struct vmm vmm;
	pthread_t thread;
	int error = vmm_create(&vmm, &config, &why);

	behave_check(error == 0, "%s: %s", behaviour, why.text);
	if (error)
		return;
	space = (struct guest_space){vmm.machine->ram, vmm.machine->ram_bytes};
	strcpy(info.workload, behaviour);
	layout_prepare(&space, &info);
	error = image_load_own(&image, &space, 3u << 20, vmm.machine->caps.patches_sites, behave_guest_path, guest_file,
	        guest_bytes, &why);
	behave_check(error == 0, "%s: %s", behaviour, why.text);
	vmcs01_start_64(&vmm.vmcs01, &vmm.regs, image.entry, BOOT_GPA_PAGE_TABLES, BOOT_GPA_STACK_TOP, BOOT_GPA_INFO);
	if (by_kick) {
		/* The loop goes on after a kick unless its time is over: let it be over then. */
		pthread_create(&thread, NULL, kick_later, vmm.machine);
		while (!error && vmm.ops->enter(vmm.machine, &vmm.vmcs01, &vmm.regs) == 0)
			error = emulate_exit(&vmm, &vmm.vmcs01, 1);
		behave_check(error == 0, "%s: %s", behaviour, vmm.why.text);
		pthread_join(thread, NULL);
	} else {
		vmm.clock_limit = vmm.ops->clock(vmm.machine) + 20000000;
		error = vmm_run(&vmm);
		behave_check(error == -ETIME && strstr(vmm.why.text, "limit") != NULL, "%s ended with %d: %s",
		        behaviour, error, vmm.why.text);
	}
	image_free(&image);
	vmm_destroy(&vmm);
}

int main(int argc, char **argv)
{
	machine = argc > 1 ? argv[1] : "kvm";
	behave_l1_path = argc > 2 ? argv[2] : "";
	behave_guest_path = argc > 3 ? argv[3] : "";
	behave_need(machine);
	for (unsigned level = 1; level <= 2; level++) {
		for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
			if (level <= legal[i].levels)
				check_legal(level, legal[i].behaviour);
		}
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			check_bad(level, i);
	}
	read_guest();
	for (unsigned i = 0; i < 2; i++) {
		check_hang("hang", i);
		check_hang("hang-masked", i);
	}
	return behave_finish();
}
