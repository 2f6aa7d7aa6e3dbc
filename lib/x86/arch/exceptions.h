/* SPDX-License-Identifier: BSD-2-Clause */
/* The vectors of exceptions (SDM 3A, "Exception and Interrupt Vectors"; APM 2, "Vectors"), for C and assembly. */
#ifndef LIB_X86_EXCEPTIONS_H
#define LIB_X86_EXCEPTIONS_H

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_MC 18
#define VECTOR_XM 19
#define VECTOR_VE 20
#define VECTOR_CP 21
#define VECTOR_HV 28
#define VECTOR_VC 29
#define VECTOR_SX 30

/* In an exception bitmap, or an intercept. */
#define EXCEPTION(vector) (1u << (vector))

#ifndef __ASSEMBLER__

#include <stdbool.h>

/* Whether the exception of this vector, 0 to 255, pushes an error code: for what reports one without pushing it. */
static inline bool exception_has_error_code(unsigned vector)
{
	switch (vector) {
	case VECTOR_DF:
	case VECTOR_TS:
	case VECTOR_NP:
	case VECTOR_SS:
	case VECTOR_GP:
	case VECTOR_PF:
	case VECTOR_AC:
	case VECTOR_CP:
	case VECTOR_VC:
	case VECTOR_SX:
		return true;
	}
	return false;
}

#endif

#endif
