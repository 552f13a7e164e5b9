"""What to ask next: the network from which the largest improvement is expected, and which is surely inside."""

from __future__ import annotations

import math

import numpy as np

SQRT2, LOG_SQRT_2PI = math.sqrt(2.0), 0.5 * math.log(2 * math.pi)
FAR = -1.0  # standard deviations below the best, where the plain formula begins to cancel


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """log E[max(0, score - best)] of normal scores, (N,); exact also where the improvement is hardly possible.

    Sources: Jones, Schonlau & Welch 1998, equation 15; in logarithms Ament et al. 2023, equation 9,
    https://arxiv.org/abs/2310.20708.
    """
    deviation = np.maximum(deviation, 1e-12)
    return _log_h((mean - best) / deviation) + np.log(deviation)


def log_news(deviation: np.ndarray, noise: float) -> np.ndarray:
    """log of the share of a deviation that one noisy score would tell about, (N,): little of what is nearly known.

    deviation: (N,), of the score without noise. noise: the standard deviation of one score.
    Source: the augmented expected improvement of Huang, Allen, Notz & Zeng 2006, equation 13, which multiplies the
    expected improvement by this.
    """
    ratio = (np.maximum(deviation, 1e-12) / max(noise, 1e-12)) ** 2
    return np.log(-np.expm1(-0.5 * np.log1p(ratio)))


def spread_out(features: np.ndarray, chosen: list[int], wanted: int) -> list[int]:
    """`chosen` rows of features (N, d), and others as far as can be from all that were chosen before.

    Returns: `wanted` rows, or fewer where there are no more. Source: Gonzalez 1985, farthest-first traversal.
    """
    rows = list(dict.fromkeys(chosen))[:wanted]
    if not rows:
        middle = np.median(features, axis=0)
        rows = [int(np.argmin(((features - middle) ** 2).sum(axis=1)))]
    nearest = np.min([((features - features[row]) ** 2).sum(axis=1) for row in rows], axis=0)
    while len(rows) < wanted and nearest.max() > 0:
        rows.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((features - features[rows[-1]]) ** 2).sum(axis=1))
    return rows


def _log_h(z: np.ndarray) -> np.ndarray:
    """log(pdf(z) + z cdf(z))."""
    from scipy.special import erfcx, ndtr

    found = np.empty_like(z)
    near = z > FAR
    found[near] = np.log(np.exp(-0.5 * z[near] ** 2 - LOG_SQRT_2PI) + z[near] * ndtr(z[near]))
    low = z[~near]
    # cdf(z) = pdf(z) sqrt(pi/2) erfcx(-z / sqrt 2); beyond 1e4 the bracket is 1 / z^2 to all digits that it has
    bracket = np.where(
        low > -1e4, 1 + low * math.sqrt(math.pi / 2) * erfcx(-low / SQRT2), 1 / np.maximum(low * low, 1.0)
    )
    found[~near] = -0.5 * low * low - LOG_SQRT_2PI + np.log(np.maximum(bracket, 1e-300))
    return found
