/* SPDX-License-Identifier: Apache-2.0 */
/** Port I/O and the few processor instructions guest images need. All are single instructions: none can fail. */
#ifndef TESTUDO_WORKLOADS_IO_H
#define TESTUDO_WORKLOADS_IO_H

#include <stdint.h>

#include "abi/testdev.h"

static inline void io_out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void io_out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint32_t io_in32(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/** Tell L0 that a part of the measurement begins or ends; operands as enum testdev_mark says. */
static inline void io_mark(enum testdev_mark mark, uint64_t sample, uint64_t ops, uint64_t ticks)
{
	__asm__ volatile("outl %%eax, %%dx"
	                 :
	                 : "a"((uint32_t)mark), "d"((uint16_t)TESTDEV_PORT_MARK), "b"(sample), "c"(ops), "S"(ticks)
	                 : "memory");
}

/** End this guest. Does not return: L0 stops running it. */
static inline void __attribute__((noreturn)) io_end(enum testdev_status status)
{
	for (;;)
		io_out32(TESTDEV_PORT_END, status);
}

static inline uint64_t cpu_rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t cpu_rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void cpu_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr) : "memory");
}

/** STI; HLT; CLI: wait for one interrupt. With interrupts off before, none can be lost between STI and HLT. */
static inline void cpu_wait_for_interrupt(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

#endif
