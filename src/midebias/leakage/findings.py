"""What the audit found: records of answers and of attributes, and both in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DIFFERENCES = {
    "demographic_parity_difference": "demographic parity",
    "equalized_odds_difference": "equalized odds",
    "accuracy_difference": "accuracy",
    "worst_group_accuracy": "worst group's accuracy",
}


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


def write_verdict(summary: Sequence[AttributeLeakage], rows: int, *, within: bool) -> str:
    """Write the verdict on these attributes, of whose rows the probes saw ``rows``; ``within`` classes or not."""
    leaking = [s for s in summary if s.leaks]
    beyond = " beyond what the label tells"
    if not leaking:
        names = list(dict.fromkeys(s.attribute for s in summary))
        who = names[0] if len(names) == 1 else "any of " + ", ".join(names)
        beyond = beyond if within else ""
        return f"No leakage found: no probe could tell {who} from the representation{beyond}, on {rows:,} rows."
    worst = max(leaking, key=lambda s: s.leakage)
    where = {"overall": "", "within classes": beyond}.get(worst.condition, f" among rows with {worst.condition}")
    others = dict.fromkeys(s.attribute for s in leaking if s.attribute != worst.attribute)
    also = f" Also leaking: {', '.join(others)}." if others else ""
    return (
        f"The representation leaks {worst.attribute}{where}: at least {worst.leakage:.3f} nats (95% interval "
        f"{max(0.0, worst.low):.3f} to {worst.high:.3f}, of {worst.entropy:.3f} possible). A fresh probe tells it with "
        f"balanced accuracy {worst.balanced_accuracy:.2f}; chance is {worst.balanced_chance:.2f}.{also}"
    )


def format_summary(summary: Sequence[AttributeLeakage]) -> list[str]:
    """Lines of a table with a row for each attribute and condition."""
    head = ("attribute", "condition", "leakage, nats", "95% interval", "of H", "best probe", "balanced", "chance", "p")
    rows = [
        (
            s.attribute, s.condition, f"{s.leakage + 0.0:.4f}", f"{s.low:.4f} to {s.high:.4f}", f"{s.entropy:.3f}",
            s.probe, f"{s.balanced_accuracy:.3f}", f"{s.balanced_chance:.3f}",
            ("< 0.001" if s.p_adjusted < 0.001 else f"{s.p_adjusted:.3f}") + ("  leaks" if s.leaks else ""),
        )
        for s in summary
    ]  # fmt: skip
    return _align([head, *rows])


def format_differences(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table of fairness metrics, a row for each attribute."""
    rows = [[d["attribute"], *("–" if d[k] is None else f"{d[k]:.3f}" for k in _DIFFERENCES)] for d in differences]
    return _align([["attribute", *_DIFFERENCES.values()], *rows])


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]
