"""The results of `estimate_mi` and `bracket_mi`."""

import math
from dataclasses import dataclass

from ..estimators.interface import Bound


@dataclass(frozen=True)
class MIBracket:
    """Mutual information from below and from above, in nats.

    Parameters
    ----------
    lower, upper : MIEstimate
        By `estimate_mi`'s default, and by `CLUB`.
    alarms : tuple of str
        Those of both, and whether the upper bound lies below the lower one.
    """

    lower: "MIEstimate"
    upper: "MIEstimate"
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class MIEstimate:
    """A mutual information estimate from data the estimator was not fitted on.

    Parameters
    ----------
    value, stderr : float
        Estimate and its standard error over held-out samples, in nats. It is not clipped at zero.
    estimator : str
    bound : {"lower", "upper", "exact"}
        On which side of the truth ``value`` lies in expectation, under ``assumption``.
    n : int
        Held-out samples.
    p_value : float, optional
        Of independence, by permutation.
    assumption : str
    alarms : tuple of str
        What casts doubt on the value, in plain words.
    parts : tuple of MIEstimate
        One for each of several attributes, where asked for.
    """

    value: float
    stderr: float
    estimator: str
    bound: Bound
    n: int
    p_value: float | None = None
    assumption: str = ""
    alarms: tuple[str, ...] = ()
    parts: tuple["MIEstimate", ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """Normal 95% interval of ``value``, in nats."""
        half = 1.959964 * self.stderr
        return self.value - half, self.value + half

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} nats [{low:.3f}, {high:.3f}] ({self.estimator}, {self.bound} bound, n={self.n})"


def warn_of_training(undertrained: bool, max_steps: int) -> tuple[str, ...]:
    """Alarms of a network whose training ended too soon."""
    if not undertrained:
        return ()
    return (f"The critic was still improving when its {max_steps} steps ended: the value is too low, give it more.",)


def warn_of_size(value: float, n: int) -> str:
    """Alarm of an estimate near the largest that n pairs can show."""
    return (
        f"{value:.2f} nats is near log({n}) = {math.log(n):.2f}, more than which {n} pairs cannot show: "
        "the truth may be larger."
    )
