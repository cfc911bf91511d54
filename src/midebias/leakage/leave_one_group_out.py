"""`leave_one_group_out`: leakage and accuracy on groups, such as sites, that no probe was fitted or tuned on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..arguments import checked
from ..errors import InputError
from .answers import answer_questions, join_folds
from .auditing import code_groups, read_audit_inputs
from .findings import Finding, judge_findings
from .inputs import CodedColumn
from .probes import PROBES
from .questions import Question
from .result import AuditResult
from .sample_map import draw_sample

_MOST_GROUPS = 50
_FEWEST_ROWS = 20  # of a group that is a row of the table


@checked
def leave_one_group_out(
    z: Any,
    c: Any,
    y: Any = None,
    *,
    groups: Any,
    probes: Sequence[str] = tuple(PROBES),
    alpha: float = 0.05,
    max_rows: int = 50_000,
    n_bins: int = 5,
    random_state: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> AuditResult:
    """Measure leakage and accuracy on each group by probes that saw all other groups, but no row of this one.

    As scikit-learn's `LeaveOneGroupOut` splits. What a probe learns about c at some sites may not hold at another:
    the leakage of a group is what somebody could read there with probes from everywhere else.

    Parameters
    ----------
    z : array, tensor, frame or lists of shape (n, dim)
        The representation; further axes are flattened.
    c : array, tensor, series or list of shape (n,) or (n, attributes), frame, or mapping of names to them
        The attributes, as in `audit`.
    y : array, tensor, series or list of shape (n,), optional
        The task's label. Adds the accuracy of fresh probes of y on each group, and fairlearn's metrics.
    groups : array, tensor, series or list of shape (n,)
        The site, or whatever is left out, of each row: two to 50 different ones.
    probes : sequence of {"linear", "quadratic", "nearest neighbours", "boosted trees", "mlp"}
        Classifiers to ask; all by default.
    alpha : float, default 0.05
        How often a representation that tells nothing may be called leaking, over all attributes, groups and probes.
    max_rows : int, default 50000
        Probes see so many rows at most, drawn at random.
    n_bins : int, default 5
        Bins of a quantity.
    random_state : int, default 0
        Seeds probes and the sample of rows.
    on_step : callable, optional
        Called with the share that is done, in (0, 1].

    Returns
    -------
    AuditResult
        Its ``summary`` has a row for each attribute "overall", which is over all groups, and for each "group = NAME";
        its ``groups`` the accuracy on each group, and on each category of the attributes.

    Raises
    ------
    InputError
        As `audit`; fewer than two groups, more than 50, or a row without one.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> site, sex = rng.choice(["A", "B", "C"], 900), rng.integers(0, 2, 900)
    >>> z = rng.normal(size=(900, 4))
    >>> z[:, 0] += 2 * sex * (site != "C")
    >>> result = leave_one_group_out(z, {"sex": sex}, groups=site, probes=["linear"])
    >>> [(s.condition, s.leaks) for s in result.summary]
    [('overall', True), ('group = A', True), ('group = B', True), ('group = C', False)]
    """
    options: dict[str, Any] = {"probes": list(probes), "n_bins": n_bins, "alpha": alpha, "max_rows": max_rows}
    options["random_state"] = random_state
    given = read_audit_inputs(z, c, y, None, options | {"n_folds": None})
    if given.label and given.label[0].binned:
        raise InputError("y must hold classes, whose accuracy is measured; leave out a y that is a quantity")
    codes, names = code_groups(groups, len(given.z))
    if not 2 <= len(names) <= _MOST_GROUPS:
        raise InputError(f"groups must have 2 to {_MOST_GROUPS} distinct values, got {len(names)}; see audit(groups=)")
    part = replace(given, groups=codes).draw(max_rows)
    site, part = part.groups, replace(part, groups=np.arange(len(part.z)))
    held_out = CodedColumn("group", site, names, False)
    folds = [np.flatnonzero(site == code) for code in range(len(names))]
    asked = [Question(a, "overall", (a.codes >= 0,)) for a in (*part.attributes, *part.label)]
    answers = answer_questions(part.z, asked, probes, folds, part.groups, part.generator, random_state, on_step)
    questions, findings = list[Question](), list[list[Finding]]()
    for i, question in enumerate(asked[: len(part.attributes)]):
        a = question.attribute
        for k in (None, *sorted(range(len(names)), key=names.__getitem__)):
            mask = (a.codes >= 0) & (True if k is None else site == k)
            if mask.sum() < _FEWEST_ROWS or len(np.unique(a.codes[mask])) < 2:
                if k is not None:
                    part.warnings.append(
                        f"group {names[k]}: {a.name} never varies, or in fewer than {_FEWEST_ROWS} rows"
                    )
                continue
            row = question if k is None else Question(a, f"group = {names[k]}", (mask,))
            questions.append(row)
            chosen = [answers[i, name] if k is None else [answers[i, name][k]] for name in probes]
            findings.append([join_folds(row, name, f, part.groups) for name, f in zip(probes, chosen, strict=True)])
    metrics, differences = list[dict[str, Any]](), list[dict[str, Any]]()
    if part.label:
        from .fairness_metrics import measure_groups

        (label,) = part.label
        told = np.full(len(site), -1)
        for k in range(len(names)):
            best = max((answers[len(asked) - 1, name][k][0] for name in probes), key=lambda answer: answer.gain)
            told[best.rows] = best.told
        metrics, differences = measure_groups(label, told, [held_out, *part.attributes])
    judged, summary = judge_findings(questions, findings, alpha)
    settings = {
        "rows": len(given.z), "rows_probed": len(site), "dim": int(part.z.shape[1]),
        "attributes": [a.name for a in part.attributes], **options, "left_out": list(names), "tests": len(judged),
    }  # fmt: skip
    sample = draw_sample(part.z, [held_out, *part.label, *part.attributes], part.generator)
    return AuditResult(
        summary, judged, tuple(metrics), tuple(differences), tuple(dict.fromkeys(part.warnings)), settings, sample
    )
