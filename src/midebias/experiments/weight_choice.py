"""Which weight of the penalty to take, from held-out data as biased as the training data and nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

RULE = (
    "Chosen: the largest gradient ratio whose accuracy on held-out training images, after the attribute's share in "
    "their logits was exchanged for another image's, lies within one standard error of the best, the error being that "
    "of the difference. No unbiased data is used."
)


@dataclass(frozen=True)
class WeightTrial:
    """What one weight (a gradient ratio of images, an ``mi_weight`` of tables) came to on held-out biased data."""

    weight: float
    accuracy: float  # mean over seeds, of images with the attribute exchanged
    accuracy_stderr: float
    leakage: float  # I(Z;C|Y), or of a table I(Z;C), in nats
    leakage_stderr: float
    resamples: Sequence[float] = ()  # accuracies of resampled rows, the same for all weights
    loss: float = math.nan  # task loss in nats, rows weighted by 1 / p(y|c), for the record
    loss_stderr: float = math.nan

    @property
    def finite(self) -> bool:
        """Whether training did not break down."""
        return math.isfinite(self.accuracy) and math.isfinite(self.leakage)


def find_front(trials: Sequence[WeightTrial]) -> list[bool]:
    """Which of them no other beats in one figure without losing in the other."""
    finite = [(t.accuracy, -t.leakage) for t in trials if t.finite]

    def is_beaten(a: float, b: float) -> bool:
        return any(x >= a and y >= b and (x, y) != (a, b) for x, y in finite)

    return [t.finite and not is_beaten(t.accuracy, -t.leakage) for t in trials]


def choose_weight(trials: Sequence[WeightTrial]) -> int:
    """Index of the trial that `RULE` takes: the one-standard-error rule (Breiman et al., 1984, section 3.4.3)."""
    finite = _list_finite(trials)
    best = max((trials[i] for i in finite), key=lambda t: t.accuracy)
    # Where more leaks, the exchange sees less of it than there is: what is close goes to the larger weight.
    close = [i for i in finite if best.accuracy - trials[i].accuracy <= _error(best, trials[i])]
    return max(close, key=lambda i: trials[i].weight)


def choose_within(trials: Sequence[WeightTrial], *, plain: float, tolerance: float) -> int:
    """Index of the largest weight whose accuracy is at least ``plain - tolerance``; of the most accurate if none is.

    For attributes that cannot be exchanged: what less leakage may cost is then for the user to say.
    """
    finite = _list_finite(trials)
    close = [i for i in finite if trials[i].accuracy >= plain - tolerance]
    return max(close, key=lambda i: trials[i].weight) if close else max(finite, key=lambda i: trials[i].accuracy)


def _list_finite(trials: Sequence[WeightTrial]) -> list[int]:
    finite = [i for i, t in enumerate(trials) if t.finite]
    if not finite:
        raise ValueError("no trial has a finite accuracy and leakage")
    return finite


def _error(best: WeightTrial, other: WeightTrial) -> float:
    """Standard error of their difference: far smaller than either's, for they were judged on the same rows."""
    if len(best.resamples) != len(other.resamples) or len(best.resamples) < 2:
        return best.accuracy_stderr
    return stdev(a - b for a, b in zip(best.resamples, other.resamples, strict=True))
