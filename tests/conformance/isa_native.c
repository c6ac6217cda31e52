/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A case on the host's CPU: load the state, jump to the instruction; the signal of the exception that ends it brings
 * the state back.
 */
#include <errno.h>
#include <string.h>

#include "isa_case.h"

#if defined(__x86_64__)

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SIGNAL_STACK_BYTES (256u << 10)
#define VECTOR_BP 3
#define VECTOR_PF 14
/* Flags a case may bring along; IF and bit 1 are always there. */
#define USER_FLAGS 0x200cd5ull

/** Read by the assembly below at fixed offsets. */
struct launch {
	uint8_t fxsave[512]; /* 0 */
	uint64_t gpr[16];    /* 512 */
	uint64_t rflags;     /* 640 */
	uint64_t rip;        /* 648 */
	uint64_t host_rsp;   /* 656 */
} __attribute__((aligned(16)));
_Static_assert(
        offsetof(struct launch, rflags) == 640 && offsetof(struct launch, host_rsp) == 656, "isa_launch's offsets");

struct launch isa_launch_state __attribute__((visibility("hidden")));
void isa_launch(void);
void isa_landing(void);

/* Callee-saved registers go onto the host stack, whose pointer is kept; isa_landing takes them back from there. */
__asm__(".pushsection .text\n"
        ".globl isa_launch\n"
        "isa_launch:\n"
        "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
        "	lea isa_launch_state(%rip), %rax\n"
        "	mov %rsp, 656(%rax)\n"
        "	fxrstor64 (%rax)\n"
        "	pushq 640(%rax)\n"
        "	popfq\n"
        "	mov 520(%rax), %rcx\n	mov 528(%rax), %rdx\n	mov 536(%rax), %rbx\n	mov 544(%rax), %rsp\n"
        "	mov 552(%rax), %rbp\n	mov 560(%rax), %rsi\n	mov 568(%rax), %rdi\n	mov 576(%rax), %r8\n"
        "	mov 584(%rax), %r9\n	mov 592(%rax), %r10\n	mov 600(%rax), %r11\n	mov 608(%rax), %r12\n"
        "	mov 616(%rax), %r13\n	mov 624(%rax), %r14\n	mov 632(%rax), %r15\n	mov 512(%rax), %rax\n"
        "	jmp *isa_launch_state+648(%rip)\n"
        ".globl isa_landing\n"
        "isa_landing:\n"
        "	mov isa_launch_state+656(%rip), %rsp\n"
        "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
        "	cld\n"
        "	ret\n"
        ".popsection\n");

static struct isa_state *result;
static uint8_t *code, *data;

/** Order of struct launch.gpr in the signal's context. */
static const uint8_t context_register[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void handler(int signal, siginfo_t *info, void *raw)
{
	ucontext_t *context = raw;
	greg_t *regs = context->uc_mcontext.gregs;

	/* A fault of the test program itself. */
	if (!result)
		abort();
	for (unsigned i = 0; i < 16; i++)
		result->gpr[i] = (uint64_t)regs[context_register[i]];
	result->rip = (uint64_t)regs[REG_RIP];
	result->rflags = (uint64_t)regs[REG_EFL];
	memcpy(result->xmm, context->uc_mcontext.fpregs->_xmm, sizeof(result->xmm));
	result->mxcsr = context->uc_mcontext.fpregs->mxcsr;
	result->vector = (uint8_t)regs[REG_TRAPNO];
	if (result->vector == VECTOR_BP)
		result->rip--; /* a trap: RIP is past the INT3 */
	if (result->vector == VECTOR_PF) {
		result->error = (uint32_t)regs[REG_ERR];
		result->cr2 = (uint64_t)regs[REG_CR2];
	}
	context->uc_mcontext.fpregs->mxcsr = 0x1f80;
	regs[REG_EFL] = 0x202;
	regs[REG_RIP] = (greg_t)(uintptr_t)isa_landing;
}

static int map_pages(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

	code = mmap((void *)ISA_CODE, ISA_CODE_PAGES * ISA_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
	data = mmap((void *)ISA_DATA, ISA_DATA_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (code == MAP_FAILED || data == MAP_FAILED)
		return -errno;
	memset(code, 0xcc, ISA_CODE_PAGES * ISA_PAGE);
	return 0;
}

int isa_native_open(void)
{
	static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static uint8_t signal_stack[SIGNAL_STACK_BYTES];
	const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};

	if (sigaltstack(&stack, NULL))
		return -errno;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &action, NULL))
			return -errno;
	return map_pages();
}

uint8_t *isa_native_data(void)
{
	return data;
}

void isa_native_fill(const uint8_t contents[ISA_DATA_BYTES])
{
	mprotect(data, ISA_DATA_BYTES, PROT_READ | PROT_WRITE);
	memcpy(data, contents, ISA_DATA_BYTES);
	mprotect(data + ISA_WRITABLE_BYTES, ISA_DATA_BYTES - ISA_WRITABLE_BYTES, PROT_READ);
}

static void put_code(uint64_t rip, const uint8_t *bytes, unsigned length)
{
	for (unsigned i = 0; i < length && rip + i < ISA_CODE + ISA_CODE_PAGES * ISA_PAGE; i++)
		*(volatile uint8_t *)(rip + i) = bytes ? bytes[i] : 0xcc;
}

void isa_native_execute(const struct isa_case *c, struct isa_state *after)
{
	struct launch *launch = &isa_launch_state;

	memset(after, 0, sizeof(*after));
	put_code(c->before.rip, c->code, c->length);
	launch->fxsave[0] = 0x7f;
	launch->fxsave[1] = 0x03;
	memcpy(launch->fxsave + 24, &c->before.mxcsr, 4);
	memcpy(launch->fxsave + 160, c->before.xmm, sizeof(c->before.xmm));
	memcpy(launch->gpr, c->before.gpr, sizeof(launch->gpr));
	launch->rflags = (c->before.rflags & USER_FLAGS) | 0x202;
	launch->rip = c->before.rip;
	result = after;
	isa_launch();
	result = NULL;
	put_code(c->before.rip, NULL, c->length);
}

#else

int isa_native_open(void)
{
	return -ENOTSUP;
}
uint8_t *isa_native_data(void)
{
	return NULL;
}
void isa_native_fill(const uint8_t data[ISA_DATA_BYTES]) {}
void isa_native_execute(const struct isa_case *c, struct isa_state *after) {}

#endif
