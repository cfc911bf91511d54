"""What the audit found, as records: one probe's answer to one question, and what is left of one attribute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One probe's answer to one question.

    ``condition`` is "overall" for I(Z;C), "within classes" for I(Z;C|Y), or "y = NAME" for I(Z;C) among that class's
    rows; ``n`` counts held-out rows. Accuracies lie in [0, 1]; ``chance`` is that of always answering the most frequent
    category. ``mi`` is a held-out lower estimate in nats; intervals are of 95%. The p-value is of independence, and
    ``p_adjusted`` allows for all of the audit's tests.
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

    ``leakage`` is the largest held-out lower estimate, by ``probe``, in nats; its 95% interval allows for having taken
    the largest. No representation can leak more than ``entropy``: H(C), or H(C|Y). ``leaks``: independence is rejected
    by ``p_adjusted``, the smallest over the probes. Balanced accuracy is the best probe's; ``missing`` counts rows.
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
