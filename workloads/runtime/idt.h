/* SPDX-License-Identifier: Apache-2.0 */
/** The interrupt descriptor table of a guest image: exceptions end the guest with a sentence unless taken over. */
#ifndef TESTUDO_WORKLOADS_IDT_H
#define TESTUDO_WORKLOADS_IDT_H

#include <stdint.h>

/** What the entry stubs leave on the stack for idt_unexpected(). */
struct idt_frame {
	uint64_t vector;
	uint64_t error; /**< 0 where the vector has no error code */
	uint64_t rip, cs, rflags, rsp, ss;
};

/** Load an IDT whose exception vectors (0-31) lead to idt_unexpected(). Name the image in its sentences ("L1"). */
void idt_load(const char *image_name);

/** Take over one vector: `entry` is code that ends with IRETQ and keeps every register. */
void idt_set(uint8_t vector, void (*entry)(void));

/** The same for an INT instruction in ring 3. */
void idt_set_user(uint8_t vector, void (*entry)(void));

/** Base of the table, for HOST_IDTR_BASE. */
uint64_t idt_base(void);

#endif
