"""Counts of what happened to the estimates of a penalty, and the warning when it has no effect."""

import warnings
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["negative", "untrained", "not_finite", "too_few"]
PATIENCE = 100  # calls in a row


@dataclass
class Health:
    """What happened to the estimates of one representation; nothing is skipped without being counted.

    Attributes
    ----------
    used : int
        Estimates descended on.
    negative, untrained, not_finite, too_few : int
        Estimates not descended on: at or below zero (nothing left to remove, or a critic that lags), from a
        critic without enough updates, NaN or infinite, or from too few samples with the attribute present.
    missing : int
        Samples left out because their attribute is missing.
    streak : int
        Consecutive estimates not descended on.
    """

    used: int = 0
    negative: int = 0
    untrained: int = 0
    not_finite: int = 0
    too_few: int = 0
    missing: int = 0
    streak: int = field(default=0, repr=False)

    def count_use(self) -> None:
        """Count an estimate that is descended on."""
        self.used += 1
        self.streak = 0

    def count_skip(self, reason: Reason) -> None:
        """Count an estimate that is not, for a ``reason``."""
        setattr(self, reason, getattr(self, reason) + 1)
        self.streak += 1


def warn_of_no_effect(health: Health, k: int, reason: Reason, *, closed_form: bool) -> bool:
    """Warn when representation ``k`` was not descended on for long; returns whether it did.

    A closed form at zero says that nothing is left to remove; a critic there may be one that lags.
    """
    if health.streak < PATIENCE or (reason == "negative" and closed_form):
        return False
    warnings.warn(
        f"MIPenalty has not descended on representation {k} for {health.streak} calls, lately because "
        f"the estimate was {reason.replace('_', ' ')}: the penalty has no effect ({health}). "
        "Give the critic more steps, the batch more samples, or use estimator='gaussian'.",
        RuntimeWarning,
        stacklevel=5,
    )
    return True
