/* SPDX-License-Identifier: Apache-2.0 */
/** Dense linear equations: LU decomposition with partial pivoting (Golub and Van Loan, algorithm 3.4.1), doubles. */
#ifndef TESTUDO_WORKLOADS_LU_H
#define TESTUDO_WORKLOADS_LU_H

#include <stdbool.h>

/** Overwrite the n x n matrix (rows one after another) with L and U; pivot[k] = the row exchanged with row k. false: it
 * is singular. */
bool lu_decompose(double *a, int *pivot, int n);
/** Overwrite b with the solution of A x = b, given A's decomposition. */
void lu_solve(const double *lu, const int *pivot, double *b, int n);
/** max |A x - b| / (max |A| * max |x| * n * epsilon): the LINPACK benchmark calls a solution right below 16 or so. */
double lu_residual(const double *a, const double *x, const double *b, int n);

#endif
