/* SPDX-License-Identifier: Apache-2.0 */
/* l0/soft/README.md says of every VMX control whether it is offered and which test proves it: held against the
 * capabilities of the machine, what L1 is offered, and the files. Argument: the source tree. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tree;

static const char *const word_names[VMX_WORD_COUNT] = {"PIN", "PROC", "PROC2", "EXIT", "ENTRY"};

struct row {
	char offered[8], test[96];
	unsigned found;
};

/** The table's row of a control. */
static struct row find_row(const char *word, unsigned bit, const char *name)
{
	struct row row = {.found = 0};
	char path[512], line[512], wanted[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/l0/soft/README.md", tree);
	snprintf(wanted, sizeof(wanted), "| %s | %u | %s | ", word, bit, name);
	file = fopen(path, "r");
	ck_assert_msg(file, "%s cannot be read", path);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, wanted, strlen(wanted)))
			continue;
		row.found++;
		sscanf(line + strlen(wanted), "%7[^ ] | `%95[^`]", row.offered, row.test);
	}
	fclose(file);
	return row;
}

static void check_control(const struct machine_caps *machine, const struct vmx_caps *caps, enum vmx_control_word word,
        unsigned bit, const char *name)
{
	const struct row row = find_row(word_names[word], bit, name);
	const bool obeyed = machine->honours[word] >> bit & 1, offered = caps_may_be_one(caps, word) >> bit & 1;
	char path[512];

	ck_assert_msg(row.found == 1, "%s bit %u (%s) has %u rows", word_names[word], bit, name, row.found);
	ck_assert_msg(!strcmp(row.offered, offered  ? "yes"
	                                   : obeyed ? "L0"
	                                            : "no"),
	        "%s: the table says %s, the machine obeys it: %d, L1 is offered it: %d", name, row.offered, obeyed,
	        offered);
	ck_assert_msg(obeyed == (row.test[0] != 0), "%s: a control has a test exactly when it is obeyed", name);
	snprintf(path, sizeof(path), "%s/%s", tree, row.test);
	ck_assert_msg(!obeyed || access(path, R_OK) == 0, "%s: there is no %s", name, path);
}

START_TEST(test_table)
{
	struct vmx_caps caps;
	struct guest g;

	guest_setup(&g);
	caps_offer(&caps, &g.machine->caps);
#define VMX_CONTROL(word, bit, name, text) check_control(&g.machine->caps, &caps, VMX_WORD_##word, bit, text);
#include "shadowvmcs/vmx_controls.def"
#undef VMX_CONTROL
	guest_teardown(&g);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *tests = tcase_create("controls: table");

	tree = argc > 1 ? argv[1] : ".";
	tcase_add_test(tests, test_table);
	return guest_main("soft: controls: table", tests);
}
