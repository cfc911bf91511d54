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
    """What one weight came to on held-out biased data.

    Attributes
    ----------
    weight : float
        A gradient ratio of images, an ``mi_weight`` of tables.
    accuracy, accuracy_stderr : float
        In [0, 1], mean over seeds; of images with the attribute exchanged (see `measure_exchanged_accuracy`).
    leakage, leakage_stderr : float
        Held-out estimate of I(Z;C|Y), or of a table's I(Z;C), in nats.
    resamples : sequence of float
        Accuracies of resampled rows, the same for all weights.
    loss, loss_stderr : float
        Task loss in nats, rows weighted by 1 / p(y|c); for the record, the rule does not look at it.
    """

    weight: float
    accuracy: float
    accuracy_stderr: float
    leakage: float
    leakage_stderr: float
    resamples: Sequence[float] = ()
    loss: float = math.nan
    loss_stderr: float = math.nan

    @property
    def finite(self) -> bool:
        """Whether training did not break down."""
        return math.isfinite(self.accuracy) and math.isfinite(self.leakage)


def on_front(trials: Sequence[WeightTrial]) -> list[bool]:
    """Which of them no other beats in one figure without losing in the other."""
    return [
        t.finite
        and not any(
            o.finite
            and o.accuracy >= t.accuracy
            and o.leakage <= t.leakage
            and (o.accuracy > t.accuracy or o.leakage < t.leakage)
            for o in trials
        )
        for t in trials
    ]


def choose_weight(trials: Sequence[WeightTrial]) -> int:
    """Index of the trial that `RULE` takes: the one-standard-error rule.

    Raises
    ------
    ValueError
        When no trial is finite.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984, section 3.4.3.
    """
    finite = [i for i, t in enumerate(trials) if t.finite]
    if not finite:
        raise ValueError("no trial has a finite accuracy and leakage")
    best = max((trials[i] for i in finite), key=lambda t: t.accuracy)
    # Where more leaks, the exchange sees less of it than there is: what is close goes to the larger weight.
    close = [i for i in finite if best.accuracy - trials[i].accuracy <= _error(best, trials[i])]
    return max(close, key=lambda i: trials[i].weight)


def choose_within(trials: Sequence[WeightTrial], *, plain: float, tolerance: float) -> int:
    """Index of the largest weight whose accuracy is at least ``plain - tolerance``; of the most accurate if none is.

    For attributes that cannot be exchanged, and a task that itself tells of them: what less leakage may cost is then
    for the user to say.

    Raises
    ------
    ValueError
        When no trial is finite.
    """
    finite = [i for i, t in enumerate(trials) if t.finite]
    if not finite:
        raise ValueError("no trial has a finite accuracy and leakage")
    close = [i for i in finite if trials[i].accuracy >= plain - tolerance]
    return max(close, key=lambda i: trials[i].weight) if close else max(finite, key=lambda i: trials[i].accuracy)


def _error(best: WeightTrial, other: WeightTrial) -> float:
    """Standard error of their difference: far smaller than either's, for they were judged on the same rows."""
    if len(best.resamples) != len(other.resamples) or len(best.resamples) < 2:
        return best.accuracy_stderr
    return stdev(a - b for a, b in zip(best.resamples, other.resamples, strict=True))
