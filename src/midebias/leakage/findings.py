"""What the audit found, as records: one probe's answer to one question, and what is left of one attribute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One probe's answer to one question.

    Parameters
    ----------
    attribute : str
        Name.
    condition : str
        "overall" for I(Z;C); "within classes" for I(Z;C|Y); "y = NAME" for I(Z;C) among that class's rows.
    probe : str
    n : int
        Held-out rows.
    accuracy, balanced_accuracy, chance, balanced_chance : float
        In [0, 1]; ``chance`` is the accuracy of always answering the most frequent category.
    balanced_low, balanced_high : float
        95% interval of ``balanced_accuracy``.
    mi, stderr, low, high : float
        Held-out lower estimate in nats, its standard error and 95% interval.
    p_value, p_adjusted : float
        Of independence; adjusted for all of the audit's tests.
    """

    attribute: str
    condition: str
    probe: str
    n: int
    accuracy: float
    balanced_accuracy: float
    chance: float
    balanced_chance: float
    balanced_low: float
    balanced_high: float
    mi: float
    stderr: float
    low: float
    high: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True)
class AttributeLeakage:
    """What is left of one attribute, over all probes.

    Parameters
    ----------
    attribute, condition, probe : str
        ``probe`` is the one with the largest estimate.
    leakage, low, high : float
        The largest held-out lower estimate, in nats, with a 95% interval that allows for having taken the largest.
    entropy : float
        H(C), or H(C|Y), in nats: no representation can leak more.
    p_adjusted : float
        The smallest over the probes.
    leaks : bool
        Whether independence is rejected.
    balanced_accuracy, balanced_chance : float
        Best probe's, beside chance.
    missing : int
        Rows without the attribute.
    """

    attribute: str
    condition: str
    probe: str
    leakage: float
    low: float
    high: float
    entropy: float
    p_adjusted: float
    leaks: bool
    balanced_accuracy: float
    balanced_chance: float
    missing: int
