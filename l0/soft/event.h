/* SPDX-License-Identifier: Apache-2.0 */
/** Between event.c (which event, exit or delivery) and idt.c (delivery). */
#ifndef TESTUDO_L0_SOFT_EVENT_H
#define TESTUDO_L0_SOFT_EVENT_H

#include "internal.h"

/**
 * Deliver cpu->event through the IDT or IVT. `next` is the RIP to push, `resume` sets RF in the pushed image (faults).
 * Nothing of the guest is changed before everything that can fault is done. Unwinds with a fault or an exit.
 */
void soft_idt_deliver(struct soft_cpu *cpu, uint64_t next, bool resume);

/** TPR shadow (SDM vol. 3, 30.1.2): bits 7:4 of the virtual TPR are below the threshold. */
bool soft_tpr_below_threshold(const struct soft_cpu *cpu);

#endif
