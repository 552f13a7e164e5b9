"""What a detector's answers cost in training: focal loss of classes, Huber and IoU losses of boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from triscale.detection.boxes import Overlap, decode, encode, overlap
from triscale.detection.matching import IGNORED, Matches
from triscale.errors import SpecError
from triscale.spec.checks import shown

# Logits that are taken at a time: of a thread on a CPU, so that all steps find them in its cache, and elsewhere.
_GROUP_CPU, _GROUP_OTHER = 2**16, 2**24
_LARGEST = 8.0  # log of a side over its anchor's, in the IoU losses: 3,000 times as long


class LossSums(NamedTuple):
    """Sums over a batch, not divided by anything, so that several processes can share one normaliser.

    classes, boxes, overlaps: scalars; focal, Huber and 1 - IoU (0 where that is not asked for).
    positives: anchors with an object.
    """

    classes: Tensor
    boxes: Tensor
    overlaps: Tensor
    positives: int


@dataclass(frozen=True, slots=True)
class DetectionLoss:
    """The loss of a detector, with the released numbers.

    alpha: weight of the one right class of a positive anchor; all else weighs 1 - alpha. gamma: how little easy answers
        count. smoothing: of labels, in the cross-entropy alone. delta: error from which Huber is a line.
    box_weight: of Huber. overlap: a kind of IoU loss beside it, or None; overlap_weight: its weight.
    Sources: EfficientDet, https://arxiv.org/abs/1911.09070, section 5.1; google/automl hparams_config.py and
        tf2/train_lib.py.
    """

    alpha: float = 0.25
    gamma: float = 1.5
    smoothing: float = 0.0
    delta: float = 0.1
    box_weight: float = 50.0
    overlap: Overlap | None = None
    overlap_weight: float = 1.0

    def __post_init__(self) -> None:
        limits = {"alpha": 1, "gamma": 10, "smoothing": 1, "delta": 100, "box_weight": 1e6, "overlap_weight": 1e6}
        for name, most in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise SpecError(f"DetectionLoss.{name} must be in 0..{most:g}, got {shown(value)}.")
        if self.delta == 0:
            raise SpecError("DetectionLoss.delta must be above 0: Huber's loss with 0 is 0 everywhere.")
        if self.overlap is not None and self.overlap not in get_args(Overlap):
            raise SpecError(
                f"DetectionLoss.overlap must be None or one of {', '.join(get_args(Overlap))}, "
                f"got {shown(self.overlap)}."
            )

    def sums(self, logits: Tensor, offsets: Tensor, matches: Matches, anchors: Tensor) -> LossSums:
        """The parts for one batch.

        logits: (N, A, classes). offsets: (N, A, 4). anchors: (A, 4) in pixels. All are computed in float32.
        """
        classes = focal(logits, matches.labels, self.alpha, self.gamma, self.smoothing)
        predicted = offsets[matches.images, matches.anchors].float()
        owners = anchors[matches.anchors]
        boxes = huber(predicted, encode(matches.boxes, owners), self.delta)
        overlaps = boxes.new_zeros(())
        if self.overlap is not None:
            # A side that overflows would make the loss, and from it all weights, NaN.
            bounded = torch.cat((predicted[:, :2], predicted[:, 2:].clamp(max=_LARGEST)), 1)
            overlaps = (1 - overlap(decode(bounded, owners), matches.boxes, self.overlap)).sum()
        return LossSums(classes, boxes, overlaps, matches.positives)

    def total(self, sums: LossSums, normaliser: float | Tensor | None = None) -> Tensor:
        """The loss, a scalar. normaliser: by default positives + 1; boxes are divided by 4 times it, one per number."""
        divisor = sums.positives + 1 if normaliser is None else normaliser
        boxes = self.box_weight * sums.boxes + self.overlap_weight * sums.overlaps
        return (sums.classes + boxes / 4) / divisor


def focal(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 1.5, smoothing: float = 0.0) -> Tensor:
    """The sum of the focal loss of every class of every anchor.

    logits: (..., classes), any float; computed in float32 (float64 stays). labels: (...) int64: the class of each
        anchor's object, NEGATIVE, or IGNORED, which counts nothing.
    Each class is a question of its own: (1 - p)^gamma x cross-entropy, weighed by alpha where the answer is yes and by
    1 - alpha where it is no; p is the probability given to the right answer.
    Returns: a scalar. Its gradient is made together with it, group by group in the cache, and kept until it is asked
        for: a tenth of the time of the same formula written with autograd (four images of D0 with 90 classes, one
        thread; a quarter where all fits into the cache), and one copy of the logits instead of seven.
    Raises: SpecError for shapes that do not go together.
    Source: https://arxiv.org/abs/1708.02002, equation 5; with smoothing as google/automl, tf2/train_lib.py.
    """
    if logits.shape[:-1] != labels.shape:
        raise SpecError(
            f"focal: one label for each row of logits is needed, got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    rows = logits.reshape(-1, logits.shape[-1]).contiguous()  # what is turned over would stay so
    return _Focal.apply(rows, labels.reshape(-1), alpha, gamma, smoothing / 2)


def huber(predicted: Tensor, expected: Tensor, delta: float = 0.1) -> Tensor:
    """The sum of e^2 / 2, from an error of `delta` on of delta x (|e| - delta / 2); not divided by delta.

    predicted, expected: (P, 4) offsets. As in the released training, a number that should be exactly 0 is left out:
    there "0" also stands for "no object", and a box that sits exactly on its anchor in one direction is not told apart.
    Source: google/automl, tf2/train_lib.py.
    """
    losses = functional.huber_loss(predicted, expected, reduction="none", delta=delta)
    return (losses * (expected != 0)).sum()


class _Focal(torch.autograd.Function):
    """Loss and gradient of `focal` in one walk over the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, alpha: float, gamma: float, half: float) -> Tensor:
        exact = torch.promote_types(logits.dtype, torch.float32)
        # float16 would lose gradients that the loss's scale is there to save.
        kept = exact if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.empty_like(logits, dtype=kept) if ctx.needs_input_grad[0] else None
        asked = labels != IGNORED
        all_asked = bool(asked.all())
        threads = torch.get_num_threads()
        group = max(1, (_GROUP_CPU * threads if logits.device.type == "cpu" else _GROUP_OTHER) // logits.shape[1])
        sums = []
        for start in range(0, len(logits), group):
            part = slice(start, start + group)
            weights = None if all_asked else asked[part, None]
            told = None if gradient is None else gradient[part]
            sums.append(_no(logits[part].to(exact), alpha, gamma, half, weights, told))
        rows = (labels >= 0).nonzero().squeeze(1)
        right = labels[rows]
        answers = logits[rows, right].to(exact)
        told = torch.empty_like(answers) if gradient is not None else None
        sums += [_yes(answers, alpha, gamma, half, told), -_no(answers, alpha, gamma, half, None, None)]
        if gradient is not None and told is not None:
            gradient[rows, right] = told.to(kept)
            ctx.save_for_backward(gradient)
        ctx.kind = logits.dtype
        return torch.stack(sums).sum(dtype=torch.double).to(exact)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer).to(ctx.kind), None, None, None, None


def _no(x: Tensor, alpha: float, gamma: float, half: float, weights: Tensor | None, gradient: Tensor | None) -> Tensor:
    """The sum where the answer should be no; its gradient is written into `gradient`.

    p^gamma c, with c = softplus(x) - half x; its slope is p^gamma (gamma (1 - p) c + p - half).
    """
    p = x.sigmoid()
    strength = _power(p, gamma).mul_(1 - alpha)
    if weights is not None:
        strength.mul_(weights)
    entropy = functional.softplus(x)
    if half:
        entropy.sub_(x, alpha=half)
    total = torch.dot(strength.view(-1), entropy.view(-1))
    if gradient is not None:
        slope = entropy.addcmul_(entropy, p, value=-1).mul_(gamma).add_(p)
        if half:
            slope.sub_(half)
        gradient.copy_(slope.mul_(strength))
    return total


def _yes(x: Tensor, alpha: float, gamma: float, half: float, gradient: Tensor | None) -> Tensor:
    """The sum where the answer should be yes: `_no` of -x, with alpha for 1 - alpha."""
    total = _no(-x, 1 - alpha, gamma, half, None, gradient)
    if gradient is not None:
        gradient.neg_()
    return total


def _power(p: Tensor, gamma: float) -> Tensor:
    """p^gamma; a root and a product are faster than logarithms for the released 1.5."""
    return p.sqrt().mul_(p) if gamma == 1.5 else p.pow(gamma)
