"""Whether a network is as sure as it is right, and the one number that makes it so.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599: reliability
(figure 1), expected calibration error (equation 3), temperature scaling (section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from triscale.errors import TrainingError

BINS = 15
COLDEST, HOTTEST = BOUNDS = 0.05, 20.0  # temperatures between which the best one is looked for
UNKNOWN = "no temperature"  # where nobody fitted one
MOST_STEPS = 60
CLOSE = 1e-9  # of the temperature's reciprocal, relative, at which the search ends


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in (low, high]; the first bin holds 0 too.

    count: how many. confidence: their mean confidence; accuracy: the share of them that is right; None where empty.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one temperature does for one network on one set of images.

    ece, loss: expected calibration error and mean negative log-likelihood as the network answers.
    temperature: divides the logits; fitted on validation images. ece_scaled, loss_scaled: with a temperature that was
        fitted on other images than these.
    how: "held out": these are test images, the temperature is from all validation images; "cross-fitted": these are the
        validation images themselves, each half scaled by what was fitted on the other; "not held out": it may have been
        fitted on these images; "no temperature": there is none, and nothing was scaled.
    bins: of the answers as they are; bins_scaled: with the temperature.
    told: whether the images told a temperature. They do not where the search ended at a bound, on all of them or on a
        half: with no mistake in it, say, any network could be surer.
    """

    ece: float
    loss: float
    temperature: float
    ece_scaled: float
    loss_scaled: float
    how: str
    bins: tuple[Bin, ...]
    bins_scaled: tuple[Bin, ...]
    told: bool = True

    def metrics(self) -> dict[str, float | str]:
        """The figures as `metrics.json` holds them; `loss` is there already."""
        if self.how == UNKNOWN:
            return {"ece": self.ece}
        return {
            "ece": self.ece,
            "temperature": self.temperature,
            "ece_scaled": self.ece_scaled,
            "loss_scaled": self.loss_scaled,
            "calibration": self.how,
        }


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """Answers by their confidence, in bins of equal width.

    confidence: (N,) in 0..1. right: (N,) whether each answer is right. bins: how many.
    Returns: all bins, empty ones too, from the least confident.
    Raises: TrainingError where the two do not fit, or a confidence is none.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if confidence.shape != right.shape or confidence.ndim != 1 or bins < 1:
        raise TrainingError(
            f"reliability: confidence and right must be as long, and bins at least 1; "
            f"got shapes {confidence.shape} and {right.shape}, {bins} bins."
        )
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():
        raise TrainingError("reliability: a confidence is not in 0..1; give probabilities, not logits.")
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights, minlength=bins) for weights in (confidence, right))
    rows = zip(counts.tolist(), *(each.tolist() for each in sums), strict=True)
    return tuple(
        Bin(i / bins, (i + 1) / bins, n, sure / n if n else None, hit / n if n else None)
        for i, (n, sure, hit) in enumerate(rows)
    )


def expected_calibration_error(bins: tuple[Bin, ...]) -> float:
    """By how much confidence and accuracy differ, bins weighted by their answers; 0..1.

    Source: Guo et al. 2017, equation 3.
    """
    total = sum(each.count for each in bins)
    gaps = (each.count * abs((each.accuracy or 0.0) - (each.confidence or 0.0)) for each in bins)
    return sum(gaps) / total if total else 0.0


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels under logits / temperature.

    logits: (N, classes). labels: (N,) class numbers under a softmax, or (N, classes) of 0 and 1 under sigmoids; of
        sigmoids the mean is over images and classes.
    """
    return _moments(np.asarray(logits, np.float64), labels, 1 / temperature)[0]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels most likely.

    The negative log-likelihood is convex in 1/temperature, so there is one; it is found by Newton's steps inside a
    bracket that only shrinks: the same numbers give the same temperature.
    logits, labels: as `negative_log_likelihood` takes them.
    Returns: in 0.05..20; an end of it where the likelihood still grows there (as where every answer is right).
    Raises: TrainingError without images, or with a logit that is not finite.
    """
    logits = np.asarray(logits, np.float64)
    if not len(logits) or not np.isfinite(logits).all():
        raise TrainingError("a temperature needs images, and logits that are finite; evaluate the model first.")
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _moments(logits, labels, low)[1] >= 0:
        return HOTTEST
    if _moments(logits, labels, high)[1] <= 0:
        return COLDEST
    at = 1.0
    for _ in range(MOST_STEPS):
        _, slope, curvature = _moments(logits, labels, at)
        low, high = (at, high) if slope < 0 else (low, at)
        step = at - slope / curvature if curvature > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - at) <= CLOSE * at:
            break
        at = following
    return 1 / at


def calibrate(logits: np.ndarray, labels: np.ndarray, val: tuple[np.ndarray, np.ndarray] | None = None) -> Calibration:
    """Calibration before and after one temperature, measured on images that it was not fitted on.

    logits, labels: of the images to measure on, as `negative_log_likelihood` takes them.
    val: (logits, labels) of the validation images; None where the images to measure on are those themselves: then
        every second image is scaled by the temperature of the others, and the reported temperature is of all.
    Source: Guo et al. 2017, section 4.2.
    """
    logits = np.asarray(logits, np.float64)
    if val is not None:
        temperature = fit_temperature(*val)
        told = temperature not in BOUNDS
        return replace(_measured(logits, labels, temperature, logits / temperature, "held out"), told=told)
    temperature = fit_temperature(logits, labels)
    scaled, told = _cross_fitted(logits, labels, temperature)
    return replace(_measured(logits, labels, temperature, scaled, "cross-fitted"), told=told)


def calibration_at(logits: np.ndarray, labels: np.ndarray, temperature: float, how: str) -> Calibration:
    """Calibration before and after a temperature that is known already; `how` says on what it was fitted."""
    logits = np.asarray(logits, np.float64)
    return _measured(logits, labels, temperature, logits / temperature, how)


def _measured(logits: np.ndarray, labels: np.ndarray, temperature: float, scaled: np.ndarray, how: str) -> Calibration:
    bins, bins_scaled = reliability_of(logits, labels), reliability_of(scaled, labels)
    return Calibration(
        ece=expected_calibration_error(bins),
        loss=negative_log_likelihood(logits, labels),
        temperature=temperature,
        ece_scaled=expected_calibration_error(bins_scaled),
        loss_scaled=negative_log_likelihood(scaled, labels),
        how=how,
        bins=bins,
        bins_scaled=bins_scaled,
    )


def reliability_of(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """Reliability of a network's answers.

    With one label an image: of the best class's probability. With several (`labels` is (N, classes)): of every
    probability, where "right" means that the image has the label.
    """
    if labels.ndim == 2:
        return reliability(sigmoid(logits).ravel(), labels.ravel(), bins)
    probabilities = softmax(logits)
    return reliability(probabilities.max(1), probabilities.argmax(1) == labels, bins)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, classes) probabilities of one class an image, float64."""
    powers = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float64)
    return powers / powers.sum(1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """(N, classes) probabilities of each class by itself, float64; large logits do not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def _cross_fitted(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[np.ndarray, bool]:
    """Each half of the images divided by the other half's temperature; one image alone by the common one.

    Returns: the logits; and whether all temperatures were told.
    """
    if len(logits) < 2:
        return logits / temperature, False
    scaled, found = np.empty_like(logits), [temperature]
    for first in (0, 1):
        found.append(fit_temperature(logits[1 - first :: 2], labels[1 - first :: 2]))
        scaled[first::2] = logits[first::2] / found[-1]
    return scaled, not any(each in BOUNDS for each in found)


def _moments(logits: np.ndarray, labels: np.ndarray, factor: float) -> tuple[float, float, float]:
    """Negative log-likelihood of `factor` x logits, its slope and its curvature in the factor; means."""
    scaled = logits * factor
    if labels.ndim == 2:
        chances = sigmoid(scaled)
        loss = np.logaddexp(0, scaled) - labels * scaled
        slope = (chances - labels) * logits
        return float(loss.mean()), float(slope.mean()), float((chances * (1 - chances) * logits**2).mean())
    rows = np.arange(len(logits))
    best = scaled.max(1)
    powers = np.exp(scaled - best[:, None])
    sums = powers.sum(1)
    chances = powers / sums[:, None]
    mean = (chances * logits).sum(1)
    variance = (chances * (logits - mean[:, None]) ** 2).sum(1)
    loss = np.log(sums) + best - scaled[rows, labels]
    return float(loss.mean()), float((mean - logits[rows, labels]).mean()), float(variance.mean())
