"""A Gaussian process on the score: what is known of networks that were not trained, and how well."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np

from triscale.errors import MissingExtraError

# Weak priors, each the median and the standard deviation of a logarithm; distances are in octaves of depth, width and
# resolution, scores in their own standard deviations. A lengthscale of ten octaves is a nearly straight line in a box
# of six, one of a half is a score that nothing beside it tells. Noise is rarely above the spread of the scores.
LENGTH, SIGNAL, NOISE = (math.log(5.0), 0.7), (math.log(1.5), 1.0), (math.log(0.02), 2.0)
STARTS = ((3.0, 1.5, 0.02), (1.0, 1.0, 0.1), (6.0, 3.0, 0.002))  # lengthscale, signal and noise variance
BOUNDS = ((math.log(0.05), math.log(100.0)), (math.log(1e-3), math.log(1e3)), (math.log(1e-6), math.log(10.0)))
JITTER = 1e-9
ROOT5 = math.sqrt(5.0)
AT_ONCE = 4096  # predictions whose covariances are kept in memory


@dataclass(frozen=True, eq=False)
class Process:
    """The posterior of a Matern 5/2 process with a constant mean and independent noise.

    points: (n, d), where scores are known. lengths: (d,), by how much each feature must change to forget a score.
    signal, noise: variances, of standardised scores. centre, spread: their mean and standard deviation, in scores.
    lower: (n, n), the Cholesky factor of the covariance. weights: (n,), its inverse times the standardised scores.
    Source: Rasmussen & Williams 2006, equations 2.25, 2.26 and 4.17, https://gaussianprocess.org/gpml/.
    """

    points: np.ndarray
    lengths: np.ndarray
    signal: float
    noise: float
    centre: float
    spread: float
    lower: np.ndarray
    weights: np.ndarray

    @property
    def deviation_of_noise(self) -> float:
        """The standard deviation of the noise of one score."""
        return self.spread * math.sqrt(self.noise)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation) of the score without its noise, (N,) each, at features (N, d)."""
        means, deviations = np.empty(len(features)), np.empty(len(features))
        for begin in range(0, len(features), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            across = self.signal * matern(distances(features[part], self.points, self.lengths))
            means[part] = across @ self.weights
            solved = _solved(self.lower, across.T)
            deviations[part] = np.sqrt(np.maximum(self.signal - np.einsum("ij,ij->j", solved, solved), 0.0))
        return self.centre + self.spread * means, self.spread * deviations

    def believing(self, features: np.ndarray) -> Process:
        """The same process, with the scores that it expects at features (m, d) as if they were known.

        Source: the Kriging believer of Ginsbourger, Le Riche & Carraro 2010, section 3.2.
        """
        scores = self.centre + self.spread * (_covariance(self) @ self.weights)
        mean, _ = self.predict(features)
        return conditioned(self, np.vstack((self.points, features)), np.concatenate((scores, mean)))


def fit_process(features: np.ndarray, scores: np.ndarray) -> Process:
    """A process whose hyperparameters are the most probable ones: those of the largest marginal likelihood times prior.

    features: (n, d). scores: (n,), finite. The same ones always give the same process.
    Raises: MissingExtraError without scipy.
    """
    require_scipy()
    from scipy.optimize import minimize

    centre, spread = float(np.mean(scores)), float(np.std(scores)) or 1.0
    values, dimensions = (scores - centre) / spread, features.shape[1]
    squares = (features[:, None, :] - features[None, :, :]) ** 2
    bounds = [BOUNDS[0]] * dimensions + [BOUNDS[1], BOUNDS[2]]
    found = []
    for length, signal, noise in STARTS:
        start = np.log([*[length] * dimensions, signal, noise])
        found.append(
            minimize(
                _loss, start, (squares, values), method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 60}
            )
        )
    best = np.exp(min(found, key=lambda each: each.fun).x)
    empty = np.empty(0)
    unfitted = Process(features, best[:-2], float(best[-2]), float(best[-1]), centre, spread, empty, empty)
    return conditioned(unfitted, features, scores)


def conditioned(process: Process, features: np.ndarray, scores: np.ndarray) -> Process:
    """The posterior of other scores, with the hyperparameters of `process`."""
    settings = (process.lengths, process.signal, process.noise, process.centre, process.spread)
    covariance = process.signal * matern(distances(features, features, process.lengths))
    covariance[np.diag_indices(len(features))] += process.noise + JITTER * process.signal
    lower = np.linalg.cholesky(covariance)
    weights = _solved(lower.T, _solved(lower, (scores - process.centre) / process.spread), lower=False)
    return Process(features, *settings, lower, weights)


def matern(distance: np.ndarray) -> np.ndarray:
    """The Matern 5/2 correlation at a distance in lengthscales."""
    scaled = ROOT5 * distance
    return (1 + scaled + scaled * scaled / 3) * np.exp(-scaled)


def distances(one: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(N, n) distances between (N, d) and (n, d), in lengthscales."""
    a, b = one / lengths, other / lengths
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.sqrt(np.maximum(squares, 0.0))


def require_scipy() -> None:
    """Raises: MissingExtraError without scipy."""
    if importlib.util.find_spec("scipy") is None:
        raise MissingExtraError("scipy", "search", "a search inside a budget")


def _loss(settings: np.ndarray, squares: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray]:
    """The negative log of likelihood times prior, and its gradient in the logs of the hyperparameters.

    squares: (n, n, d) squared differences of features. Source: Rasmussen & Williams 2006, equations 5.8 and 5.9.
    """
    *logs, signal, noise = settings
    lengths = np.exp(logs)
    scaled = squares / lengths**2
    root = ROOT5 * np.sqrt(scaled.sum(axis=2))
    decay = math.exp(signal) * np.exp(-root)
    kernel = decay * (1 + root + root * root / 3)
    covariance = kernel.copy()
    covariance[np.diag_indices(len(values))] += math.exp(noise) + JITTER * math.exp(signal)
    lower = np.linalg.cholesky(covariance)
    half = _solved(lower, np.column_stack((values, np.eye(len(values)))))
    inverse = half[:, 1:].T @ half[:, 1:]
    weights = inverse @ values
    outer = inverse - np.outer(weights, weights)
    # d kernel / d log length = signal x 5/3 (1 + root) exp(-root) x the scaled square of that feature
    slope = (5.0 / 3.0) * decay * (1 + root) * outer
    by_length = 0.5 * np.einsum("ij,ijk->k", slope, scaled)
    gradient = [*by_length, 0.5 * float((outer * kernel).sum()), 0.5 * math.exp(noise) * float(np.trace(outer))]
    loss = 0.5 * float(values @ weights) + float(np.log(np.diag(lower)).sum())
    medians = np.array([LENGTH] * len(logs) + [SIGNAL, NOISE])
    away = (settings - medians[:, 0]) / medians[:, 1]
    return loss + 0.5 * float(away @ away), np.array(gradient) + away / medians[:, 1]


def _covariance(process: Process) -> np.ndarray:
    return process.lower @ process.lower.T


def _solved(triangle: np.ndarray, right: np.ndarray, lower: bool = True) -> np.ndarray:
    from scipy.linalg import solve_triangular

    return solve_triangular(triangle, right, lower=lower, check_finite=False)
