"""Counts of what happened to the estimates of a penalty."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Health"]


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
