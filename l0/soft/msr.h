/* SPDX-License-Identifier: Apache-2.0 */
/** Numbers of the MSRs the soft CPU has itself (SDM vol. 4) beside those in shadowvmcs/x86.h. */
#ifndef TESTUDO_L0_SOFT_MSR_H
#define TESTUDO_L0_SOFT_MSR_H

#define MSR_IA32_TSC 0x10u
#define MSR_IA32_SPEC_CTRL 0x48u
#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_IA32_MTRR_DEF_TYPE 0x2ffu
#define MSR_IA32_STAR 0xc0000081u
#define MSR_IA32_LSTAR 0xc0000082u
#define MSR_IA32_CSTAR 0xc0000083u
#define MSR_IA32_FMASK 0xc0000084u
#define MSR_IA32_KERNEL_GS_BASE 0xc0000102u
#define MSR_IA32_TSC_AUX 0xc0000103u

#endif
