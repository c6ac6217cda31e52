/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The test device: what L0 offers to every guest it runs, at any level.
 *
 * Ports are 16-bit I/O ports, written with OUT and read with IN. "Passed through" below means: L1's I/O bitmap leaves
 * the port clear, so an access by L2 goes to L0 alone and is never reflected. That is how a workload talks to the
 * measurement harness from any level at the same cost in exits (one, handled by L0).
 */
#ifndef TESTUDO_ABI_TESTDEV_H
#define TESTUDO_ABI_TESTDEV_H

/** OUT: EAX = enum testdev_mark, RBX, RCX, RSI = its operands. Passed through. */
#define TESTDEV_PORT_MARK 0x7e00
/** IN: EAX = the level of the guest that asks (1, 2, ...). Passed through. */
#define TESTDEV_PORT_LEVEL 0x7e04
/** OUT and IN of 1, 2 or 4 bytes: the target of the pio workload. L1 intercepts it. IN returns the last value written.
 */
#define TESTDEV_PORT_PIO 0x7e08
/** OUT: arm the one-shot timer to fire EAX TSC ticks from now with vector TESTDEV_TIMER_VECTOR. L1 intercepts it. */
#define TESTDEV_PORT_TIMER 0x7e0c
/** OUT: AL = one character for the console. Passed through. */
#define TESTDEV_PORT_CONSOLE 0x7e10
/** OUT: the guest ends; EAX = enum testdev_status. Passed through. */
#define TESTDEV_PORT_END 0x7e14
/** OUT: EAX = enum testdev_touch: the first-touch region (see boot_info.h). L1 intercepts it. */
#define TESTDEV_PORT_TOUCH 0x7e18

/** One MMIO page, 4-byte registers; register 0 reads back the last value written. No guest level maps RAM here. */
#define TESTDEV_MMIO_GPA 0xd0000000ull
#define TESTDEV_MMIO_SIZE 0x1000

/** An MSR inside the range of the MSR bitmaps that no CPU implements; reads back the last value written. */
#define TESTDEV_MSR 0xc0001f00u

/** Vector of the timer interrupt. */
#define TESTDEV_TIMER_VECTOR 0x40

/** Leaf of CPUID whose answer differs from the host's: EAX = 'TSTU', so a workload sees who answered. */
#define TESTDEV_CPUID_LEAF 0x40000000u
#define TESTDEV_CPUID_MAGIC 0x55545354u /* "TSTU" */

/** Values of TESTDEV_PORT_MARK: they cut the ledger into parts. */
enum testdev_mark {
	/** A sample of the control loop begins (RBX = sample number from 0, RCX = operations). */
	TESTDEV_MARK_CONTROL_BEGIN = 1,
	/** It ended; RBX = sample number, RCX = operations done, RSI = TSC ticks the guest counted. */
	TESTDEV_MARK_CONTROL_END = 2,
	/** A sample of the measured loop begins / ended (operands as above). */
	TESTDEV_MARK_SAMPLE_BEGIN = 3,
	TESTDEV_MARK_SAMPLE_END = 4,
	/** What the workload computed: RCX = its checksum. */
	TESTDEV_MARK_CHECKSUM = 5,
};

/** Values of TESTDEV_PORT_END. */
enum testdev_status {
	TESTDEV_END_OK = 0,
	/** The guest found something wrong; a sentence was printed on the console before. */
	TESTDEV_END_FAILED = 1,
	/** The guest cannot run here (a feature is missing); a sentence was printed on the console before. */
	TESTDEV_END_REFUSED = 2,
};

/** Values of TESTDEV_PORT_TOUCH, from the guest to whoever owns its second-level page tables. */
enum testdev_touch {
	/** Unmap the whole first-touch region, so that each page's next access is an EPT violation. */
	TESTDEV_TOUCH_RESET = 1,
};

#endif
