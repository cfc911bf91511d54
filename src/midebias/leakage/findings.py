"""What the audit found: records of answers and of attributes, the one decision about them, and both in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import InputError
from .questions import Question, Unaudited
from .statistics import adjust_p_values, compute_quantile

Condition = Literal["overall", "within classes"] | None

_DIFFERENCES = {
    "demographic_parity_difference": "demographic parity",
    "equalized_odds_difference": "equalized odds",
    "accuracy_difference": "accuracy",
    "worst_group_accuracy": "worst group's accuracy",
}


@dataclass(frozen=True)
class Finding:
    """One probe's answer to one question.

    ``condition`` is "overall" for I(Z;C), "within classes" for I(Z;C|Y), "given NAME, NAME" for I(Z;C|W) of covariates,
    whose balanced accuracy is by what z tells beyond them, "y = NAME" for I(Z;C) among that class's rows, or
    "group = NAME" among those of a group that was left out. ``n`` counts held-out rows, ``n_groups`` the groups that
    they form: as many without ``groups``. Accuracies lie in [0, 1]; ``chance`` is that of always answering the most
    frequent category. ``mi`` is a held-out lower estimate in nats; intervals are of 95%. The p-value is of
    independence; ``p_adjusted`` allows for all of the audit's tests; ``leaks`` where it lies below the audit's level.
    Only there can ``low`` lie above zero.
    """

    attribute: str
    condition: str
    probe: str
    n: int
    n_groups: int
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
    leaks: bool


@dataclass(frozen=True)
class AttributeLeakage:
    """What is left of one attribute, over all probes.

    ``leakage`` is the largest held-out lower estimate, by ``probe``, in nats; its 95% interval allows for having taken
    the largest. No representation can leak more than ``entropy``: H(C), or H(C|Y). ``leaks``: independence is rejected
    by ``p_adjusted``, the smallest over the probes. An attribute that leaks has a leakage and an interval of zero or
    more; the interval of one that does not holds zero. Balanced accuracy is the best probe's; ``missing`` counts rows.
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


@dataclass(frozen=True)
class Verdict:
    """The decision about some rows of the table: in words, and as the exit status of a gate."""

    leaks: bool
    text: str
    worst: AttributeLeakage
    exceeding: tuple[AttributeLeakage, ...]
    max_leakage: float
    condition: Condition
    unjudged: tuple[Unaudited, ...] = ()

    @property
    def exit_status(self) -> int:
        """1 if an attribute leaks more than the limit; else 2 if rows not audited could hold more; otherwise 0."""
        return 1 if self.exceeding else 2 * bool(self.unjudged)

    def compare_with_limit(self, name: str) -> str:
        """Write a sentence that goes with the exit status; ``name`` is the limit's."""
        looked_at = {None: "", "overall": " of the rows overall", "within classes": " of the rows within classes"}
        limit = f"{name} {self.max_leakage:g} nats"
        if self.unjudged and not self.exceeding:
            shown = "; ".join(
                f"{u.rows:,} of {u.n:,} rows, up to {u.nats:.3f} nats of {u.attribute}" for u in self.unjudged
            )
            return (
                f"Leakage above {limit} cannot be judged within classes: too few rows in them, or the attribute hardly "
                f"varies there ({shown}). Audit more rows, join classes, or look at independence alone."
            )
        if not self.exceeding:
            return f"No leakage above {limit} was shown{looked_at[self.condition]}."
        shown = ", ".join(f"{s.attribute} ({s.condition}) {s.leakage:.3f}" for s in self.exceeding)
        return f"Leakage exceeds {limit}: {shown}."


def judge_findings(
    questions: Sequence[Question], findings: Sequence[Sequence[Finding]], alpha: float
) -> tuple[tuple[Finding, ...], tuple[AttributeLeakage, ...]]:
    """Decide what leaks, once: adjust the p-values of all tests together, and summarize each question's findings.

    No interval contradicts the decision: where independence is not rejected it is widened to hold zero.
    """
    adjusted = iter(adjust_p_values([f.p_value for part in findings for f in part]))
    judged, summary = list[Finding](), list[AttributeLeakage]()
    for question, part in zip(questions, findings, strict=True):
        decided = []
        for f in part:
            p = next(adjusted)
            leaks = p < alpha
            low, high = (f.low, max(f.high, 0.0)) if leaks else (min(f.low, 0.0), max(f.high, 0.0))
            decided.append(replace(f, p_adjusted=p, leaks=leaks, low=low, high=high))
        judged += decided
        summary.append(_summarize(question, decided))
    return tuple(judged), tuple(summary)


def _summarize(question: Question, findings: Sequence[Finding]) -> AttributeLeakage:
    """Summarize the probes' answers to one question as one figure: of the probes that show a leak, if any does."""
    leaks = any(f.leaks for f in findings)
    best = max((f for f in findings if f.leaks == leaks), key=lambda f: f.mi)
    reader = max(findings, key=lambda f: f.balanced_accuracy)
    # The largest of several: their intervals are widened to hold together.
    half = compute_quantile(1 - 0.025 / len(findings), best.n_groups) * best.stderr
    leakage, low, high = best.mi, best.mi - half, max(0.0, best.mi + half)
    leakage, low = (max(0.0, leakage), max(0.0, low)) if leaks else (leakage, min(0.0, low))
    return AttributeLeakage(
        question.attribute.name, question.condition, best.probe, leakage, low, high, question.entropy,
        min(f.p_adjusted for f in findings), leaks, reader.balanced_accuracy, reader.balanced_chance,
        int((question.attribute.codes < 0).sum()),
    )  # fmt: skip


def decide(
    summary: Sequence[AttributeLeakage], rows: int, *, condition: Condition = None, max_leakage: float = 0.0,
    unaudited: Sequence[Unaudited] = (),
) -> Verdict:  # fmt: skip
    """Decide on the rows of the table that a condition names; ``rows`` is how many the probes saw.

    Parameters
    ----------
    condition : {"overall", "within classes"} or None
        None takes all rows; "within classes" those of each class too.
    max_leakage : float, default 0.0
        What may leak, in nats.
    unaudited : sequence of Unaudited
        What could not be asked within classes. Where it could hold more than ``max_leakage``, nothing is passed.

    Raises
    ------
    InputError
        Another condition, or one that was not audited.
    """
    if condition not in (None, "overall", "within classes"):
        raise InputError(f"condition must be 'overall', 'within classes' or None, got {condition!r}")
    classes = ("y = ",) if condition == "within classes" else ()
    chosen = [s for s in summary if condition in (None, s.condition) or s.condition.startswith(classes)]
    if not chosen:
        raise InputError(f"nothing was audited {condition}: give a label y in whose classes the attribute varies")
    leaking = [s for s in chosen if s.leaks]
    worst = max(leaking or chosen, key=lambda s: s.leakage)
    exceeding = tuple(s for s in leaking if s.leakage > max_leakage)
    text = _write_verdict(chosen, leaking, worst, rows, within=condition == "within classes")
    unjudged = tuple(u for u in unaudited if condition != "overall" and u.nats > max_leakage)
    return Verdict(bool(leaking), text, worst, exceeding, max_leakage, condition, unjudged)


def _write_verdict(
    chosen: Sequence[AttributeLeakage], leaking: Sequence[AttributeLeakage], worst: AttributeLeakage, rows: int, *,
    within: bool,
) -> str:  # fmt: skip
    beyond = " beyond what the label tells"
    if not leaking:
        names = list(dict.fromkeys(s.attribute for s in chosen))
        who = names[0] if len(names) == 1 else "any of " + ", ".join(names)
        high = max(s.high for s in chosen)
        return (
            f"No leakage found: no probe could tell {who} from the representation{beyond if within else ''}, on "
            f"{rows:,} rows. The intervals reach {high:.3f} nats."
        )
    where = {"overall": "", "within classes": beyond}.get(worst.condition, f" among rows with {worst.condition}")
    where = f" {worst.condition}" if worst.condition.startswith("given ") else where
    others = dict.fromkeys(s.attribute for s in leaking if s.attribute != worst.attribute)
    also = f" Also leaking: {', '.join(others)}." if others else ""
    return (
        f"The representation leaks {worst.attribute}{where}: at least {worst.leakage:.3f} nats (95% interval "
        f"{worst.low:.3f} to {worst.high:.3f}, of {worst.entropy:.3f} possible). A fresh probe tells it with "
        f"balanced accuracy {worst.balanced_accuracy:.2f}; chance is {worst.balanced_chance:.2f}.{also}"
    )


def format_summary(summary: Sequence[AttributeLeakage]) -> list[str]:
    """Lines of a table with a row for each attribute and condition."""
    head = ("attribute", "condition", "leakage, nats", "95% interval", "of H", "best probe", "balanced", "chance", "p")
    rows = [
        (
            s.attribute, s.condition, f"{s.leakage + 0.0:.4f}", f"{s.low:.4f} to {s.high:.4f}", f"{s.entropy:.3f}",
            s.probe, f"{s.balanced_accuracy:.3f}", f"{s.balanced_chance:.3f}",
            _format_p(s),
        )
        for s in summary
    ]  # fmt: skip
    return _align([head, *rows])


def format_change(before: Sequence[AttributeLeakage], after: Sequence[AttributeLeakage]) -> list[str]:
    """Lines of a table with a row for each attribute and condition, before and after."""
    head = ("attribute", "condition", "nats before", "after", "95% interval", "balanced before", "after", "chance", "p")
    rows = [
        (
            a.attribute, a.condition, f"{a.leakage + 0.0:.4f}", f"{b.leakage + 0.0:.4f}",
            f"{b.low:.4f} to {b.high:.4f}", f"{a.balanced_accuracy:.3f}", f"{b.balanced_accuracy:.3f}",
            f"{b.balanced_chance:.3f}", _format_p(b),
        )
        for a, b in zip(before, after, strict=True)
    ]  # fmt: skip
    return _align([head, *rows])


def _format_p(s: AttributeLeakage) -> str:
    return ("< 0.001" if s.p_adjusted < 0.001 else f"{s.p_adjusted:.3f}") + ("  leaks" if s.leaks else "")


def format_differences(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table of fairness metrics, a row for each attribute."""
    rows = [[d["attribute"], *("–" if d[k] is None else f"{d[k]:.3f}" for k in _DIFFERENCES)] for d in differences]
    return _align([["attribute", *_DIFFERENCES.values()], *rows])


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]
