/* SPDX-License-Identifier: Apache-2.0 */
#include "workloads/macro/lu.h"

#define EPSILON 2.220446049250313e-16

static double magnitude(double value)
{
	return value < 0 ? -value : value;
}

static void swap(double *a, double *b)
{
	const double kept = *a;

	*a = *b;
	*b = kept;
}

bool lu_decompose(double *a, int *pivot, int n)
{
	for (int k = 0; k < n; k++) {
		int best = k;

		for (int i = k + 1; i < n; i++)
			if (magnitude(a[i * n + k]) > magnitude(a[best * n + k]))
				best = i;
		pivot[k] = best;
		if (a[best * n + k] == 0)
			return false;
		for (int j = 0; best != k && j < n; j++)
			swap(&a[best * n + j], &a[k * n + j]);
		for (int i = k + 1; i < n; i++) {
			const double factor = a[i * n + k] /= a[k * n + k];

			for (int j = k + 1; j < n; j++)
				a[i * n + j] -= factor * a[k * n + j];
		}
	}
	return true;
}

void lu_solve(const double *lu, const int *pivot, double *b, int n)
{
	for (int k = 0; k < n; k++)
		swap(&b[k], &b[pivot[k]]);
	for (int i = 1; i < n; i++)
		for (int j = 0; j < i; j++)
			b[i] -= lu[i * n + j] * b[j];
	for (int i = n - 1; i >= 0; i--) {
		for (int j = i + 1; j < n; j++)
			b[i] -= lu[i * n + j] * b[j];
		b[i] /= lu[i * n + i];
	}
}

double lu_residual(const double *a, const double *x, const double *b, int n)
{
	double worst = 0, largest_a = 0, largest_x = 0;

	for (int i = 0; i < n; i++) {
		double sum = -b[i];

		for (int j = 0; j < n; j++) {
			sum += a[i * n + j] * x[j];
			largest_a = magnitude(a[i * n + j]) > largest_a ? magnitude(a[i * n + j]) : largest_a;
		}
		worst = magnitude(sum) > worst ? magnitude(sum) : worst;
		largest_x = magnitude(x[i]) > largest_x ? magnitude(x[i]) : largest_x;
	}
	return worst / (largest_a * largest_x * n * EPSILON);
}
