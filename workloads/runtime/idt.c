/* SPDX-License-Identifier: Apache-2.0 */
#include "idt.h"

#include "abi/boot_info.h"
#include "print.h"

/* A 64-bit gate, SDM vol. 3, 6.14.1: an interrupt gate (type 14), present, DPL 0, no IST. */
struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t attributes;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};
#define GATE_INTERRUPT 0x8e00
#define GATE_DPL_3 0x6000

#define IDT_EXCEPTIONS 32
#define IDT_VECTORS (TESTDEV_TIMER_VECTOR + 1)

static struct gate idt[IDT_VECTORS] __attribute__((aligned(16)));
static const char *idt_image_name;

/* Entry of vector v: idt_stubs + 16 * v (start.S). */
extern const char idt_stubs[];

void idt_unexpected(const struct idt_frame *frame);

void idt_set(uint8_t vector, void (*entry)(void))
{
	uint64_t address = (uint64_t)entry;

	idt[vector] = (struct gate){
	        .offset_low = (uint16_t)address,
	        .selector = BOOT_SELECTOR_CODE,
	        .attributes = GATE_INTERRUPT,
	        .offset_middle = (uint16_t)(address >> 16),
	        .offset_high = (uint32_t)(address >> 32),
	};
}

void idt_set_user(uint8_t vector, void (*entry)(void))
{
	idt_set(vector, entry);
	idt[vector].attributes |= GATE_DPL_3;
}

void idt_load(const char *image_name)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) descriptor = {sizeof(idt) - 1, (uint64_t)idt};

	idt_image_name = image_name;
	for (unsigned vector = 0; vector < IDT_EXCEPTIONS; vector++)
		idt_set((uint8_t)vector, (void (*)(void))(idt_stubs + 16ul * vector));
	__asm__ volatile("lidt %0" : : "m"(descriptor));
}

uint64_t idt_base(void)
{
	return (uint64_t)idt;
}

void idt_unexpected(const struct idt_frame *frame)
{
	uint64_t cr2 = 0;

	if (frame->vector == 14)
		__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	print_and_end(TESTDEV_END_FAILED,
	        "%s met unexpected exception %u (error code %x, CR2 %x) at RIP %x, RSP %x: a bug of the image or of "
	        "the "
	        "machine under it.",
	        idt_image_name, frame->vector, frame->error, cr2, frame->rip, frame->rsp);
}
