#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reference values for tests/unit/results/test_stats_reference.c, by SciPy and NumPy: the second implementation.

Usage: stats_reference.py > stats_reference.txt     (Debian: python3-scipy; the stored file is by SciPy 1.10.1)

A line is a kind, the values expected, then data: count and values, once or twice.
"""
import random

import numpy
import scipy
from scipy import stats

random.seed(20261127)


def put(kind, expected, *samples):
    words = [kind] + [repr(float(value)) for value in expected]
    for sample in samples:
        words += [str(len(sample))] + [repr(float(value)) for value in sample]
    print(*words)


def skewed(n, at, ties=False):
    values = [at * (1 + 0.02 * random.lognormvariate(0, 0.8)) for _ in range(n)]
    return [round(value) for value in values] if ties else values


def autocorrelation(values):
    """Lag 1, of the ranks, corrected for bias as results/README.md says."""
    ranks = stats.rankdata(values) - (len(values) + 1) / 2
    n = len(values)
    return min(max((n * float(ranks[:-1] @ ranks[1:]) / float(ranks @ ranks) + 1) / max(n - 4, 1), 0), 0.8)


def holm(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1, values[i] * (len(values) - rank)))
        adjusted[i] = largest
    return adjusted


def bootstrap_ranks(n):
    """The exact percentile interval of a bootstrapped median of n (odd) values: P(median of draws <= k-th) is binomial."""
    at_most = [stats.binom.sf((n - 1) // 2, n, k / n) for k in range(1, n + 1)]
    return [next(k + 1 for k in range(n) if at_most[k] >= p) for p in (0.025, 0.975)]


print("# SciPy", scipy.__version__, "NumPy", numpy.__version__)
for n, m in ((3, 4), (5, 5), (7, 12), (9, 9), (20, 20), (13, 20)):
    a, b = skewed(n, 1000), skewed(m, 1008)
    u, p = stats.mannwhitneyu(b, a, alternative="two-sided", method="exact")
    put("rank", (p, 2 * u / (n * m) - 1), a, b)
for n, m, ties in ((30, 25, False), (60, 40, False), (21, 5, False), (9, 9, True), (20, 20, True), (100, 80, True)):
    a, b = skewed(n, 1000, ties), skewed(m, 1004, ties)
    u, p = stats.mannwhitneyu(b, a, alternative="two-sided", method="asymptotic", use_continuity=True)
    put("rank", (p, 2 * u / (n * m) - 1), a, b)
for n, ties in ((5, False), (9, False), (9, True), (20, True), (60, False), (200, True)):
    values = skewed(n, 100, ties)
    values = [value + i * 0.5 / n for i, value in enumerate(values)] if not ties else values
    put("tau", (stats.kendalltau(range(n), values).statistic,), values)
# Without ties and with continuity: the p SciPy counts out exactly is near the normal one.
for n in (10, 20, 50):
    values = [random.gauss(0, 1) + 2.5 * i / n for i in range(n)]
    put("trend", (stats.kendalltau(range(n), values, method="exact").pvalue,), values)
for n in (5, 9, 20, 100):
    level, values = 0.0, []
    for _ in range(n):
        level = 0.6 * level + random.gauss(0, 1)
        values.append(level)
    put("autocorrelation", (autocorrelation(values),), values)
for n in (2, 5, 9, 20, 101):
    values = skewed(n, 500)
    put("quantiles", (numpy.percentile(values, 25), numpy.median(values), numpy.percentile(values, 75),
                      stats.median_abs_deviation(values)), values)
# Sizes whose ranks are no close call for 2,000 draws; the larger ones may miss by a rank.
for n in (5, 7, 11, 17, 19, 51, 101):
    put("interval", bootstrap_ranks(n), list(range(1, n + 1)))
for n in (1, 4, 12):
    values = [random.random() ** 4 for _ in range(n)]
    put("holm", (), values, holm(values))
