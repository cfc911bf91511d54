"""Verdict, exit status and rows come from one decision: they cannot disagree."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midebias import audit
from midebias.errors import InputError
from midebias.leakage import AuditResult
from midebias.leakage.findings import Condition, Finding, judge_findings
from midebias.leakage.inputs import CodedColumn
from midebias.leakage.questions import Question, Unaudited

CONDITIONS = ("overall", "within classes", "y = 0", "y = overall", "group = y = 1")


def build_finding(attribute: str, condition: str, probe: str, mi: float, stderr: float, p: float) -> Finding:
    half = 1.96 * stderr
    return Finding(
        attribute,
        condition,
        probe,
        100,
        100,
        0.5,
        0.5,
        0.5,
        0.5,
        0.4,
        0.6,
        mi,
        stderr,
        mi - half,
        mi + half,
        p,
        p,
        False,
    )


@st.composite
def draw_tables(draw: st.DrawFn) -> tuple[AuditResult, float]:
    """Any estimates, errors and p-values, however little they agree."""
    probes, alpha = draw(st.integers(1, 3)), draw(st.sampled_from([0.01, 0.05, 0.5]))
    asked = draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(CONDITIONS)), min_size=1, unique=True))
    number = st.floats(-1, 2) | st.just(0.0)
    p_value = st.floats(0, 1) | st.sampled_from([0.0, 1e-12, 0.01, 1.0])
    questions, findings = [], []
    for attribute, condition in asked:
        column = CodedColumn(attribute, np.array([0, 1, -1]), ("0", "1"), False)
        questions.append(Question(column, condition, (column.codes >= 0,)))
        figures = [(draw(number), draw(st.floats(0, 1)), draw(p_value)) for _ in range(probes)]
        findings.append([build_finding(attribute, condition, f"probe {i}", *f) for i, f in enumerate(figures)])
    judged, summary = judge_findings(questions, findings, alpha)
    shares = draw(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=2))
    unaudited = tuple(Unaudited(name, 50, 100, share) for name, share in shares)
    rest = {"rows_probed": 100, "alpha": alpha}
    return AuditResult(summary, judged, (), (), (), rest, unaudited=unaudited), alpha


def check_agreement(result: AuditResult, alpha: float, limit: float, condition: Condition) -> None:
    """Everything that is shown of a decision, in every form, says the same."""
    for row in (*result.summary, *result.findings):
        assert row.leaks == (row.p_adjusted < alpha)
        assert row.leaks or row.low <= 0 <= row.high
    for s in result.summary:
        mine = [f for f in result.findings if (f.attribute, f.condition) == (s.attribute, s.condition)]
        assert s.leaks == any(f.leaks for f in mine)
        assert s.low <= s.leakage <= s.high
        assert not s.leaks or s.low >= 0
    try:
        verdict = result.decide(limit, condition=condition)
    except InputError:
        assert not [s for s in result.summary if s.condition == condition]
        return
    rows = [
        s for s in result.summary
        if condition in (None, s.condition) or (condition == "within classes" and s.condition.startswith("y = "))
    ]  # fmt: skip
    exceeding = [s for s in rows if s.leaks and s.leakage > limit]
    assert verdict.leaks == any(s.leaks for s in rows)
    assert verdict.text.startswith("No leakage found") == (not verdict.leaks)
    unjudged = [u for u in result.unaudited if u.nats > limit and condition != "overall"]
    assert bool(exceeding) == result.exceeds(limit, condition=condition)
    assert verdict.exit_status == (1 if exceeding else 2 if unjudged else 0)
    text = ("was shown", "Leakage exceeds", "cannot be judged within classes")
    assert [part in verdict.compare_with_limit("limit") for part in text] == [
        verdict.exit_status == i for i in range(3)
    ]
    assert verdict.leaks or verdict.exit_status != 1
    assert verdict.worst in rows
    if verdict.leaks:
        assert f"leaks {verdict.worst.attribute}" in verdict.text
        assert f"{verdict.worst.leakage:.3f} nats" in verdict.text
    assert result.describe(condition) == verdict.text


@settings(max_examples=120, deadline=None)
@given(draw_tables(), st.sampled_from([0.0, 0.05, 0.5]), st.sampled_from([None, "overall", "within classes"]))
def test_verdict_exit_status_and_rows_cannot_disagree(
    table: tuple[AuditResult, float], limit: float, condition: Condition
) -> None:
    result, alpha = table
    check_agreement(result, alpha, limit, condition)
    document = json.loads(result.to_json())
    assert document["leaks"] == any(row["leaks"] for row in document["rows"]) == result.leaks
    assert document["summary"] == [asdict(s) for s in result.summary]
    lines = str(result).splitlines()
    marked = Counter(tuple(line.split()[:1]) for line in lines[2:] if line.endswith("  leaks"))
    assert marked == Counter((s.attribute,) for s in result.summary if s.leaks)
    content = result.collect_report_content()
    assert content["verdict"] == {"text": result.verdict, "status": "leaks" if result.leaks else "clean"}


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.6), st.integers(2, 30), st.booleans())
def test_audits_of_small_leaks_do_not_contradict_themselves(seed: int, shift: float, k: int, text: bool) -> None:
    rng = np.random.default_rng(seed)
    c, y = rng.integers(k, size=400), rng.integers(2, size=400)
    z = rng.normal(size=(400, 2)) + shift * rng.normal(size=(k, 2))[c]
    result = audit(z, c.astype(str) if text else c, y, probes=["linear"], random_state=seed)
    for limit in (0.0, 0.01, 0.1):
        check_agreement(result, 0.05, limit, None)


def test_a_condition_that_was_not_audited_is_refused() -> None:
    rng = np.random.default_rng(0)
    result = audit(rng.normal(size=(200, 2)), rng.integers(2, size=200), probes=["linear"])
    with pytest.raises(InputError, match="nothing was audited within classes"):
        result.exceeds(0.1, condition="within classes")
    with pytest.raises(InputError, match="condition must be"):
        result.describe("whatever")  # type: ignore[arg-type]


@pytest.mark.parametrize("rows_of_rare_class", [150, 10])
def test_a_limit_is_not_passed_where_classes_are_too_small_to_be_audited(rows_of_rare_class: int) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(1000) < rows_of_rare_class
    c = rng.integers(2, size=1000)
    z = rng.normal(size=(1000, 2))
    z[y, 0] += 8 * (2 * c[y] - 1)  # told in the rare class alone
    result = audit(z, {"sex": c}, y, probes=["linear"])
    (unaudited,) = result.unaudited
    assert (unaudited.attribute, unaudited.rows, unaudited.n) == ("sex", rows_of_rare_class, 1000)
    assert unaudited.nats == pytest.approx(rows_of_rare_class / 1000 * np.log(2), rel=0.1)
    verdict = result.decide(unaudited.nats / 2, condition="within classes")
    assert verdict.exit_status == 2
    assert f"{rows_of_rare_class} of 1,000 rows, up to {unaudited.nats:.3f} nats of sex" in verdict.compare_with_limit(
        "L"
    )
    assert result.decide(unaudited.nats, condition="within classes").exit_status == 0
    assert result.decide(unaudited.nats / 2, condition="overall").exit_status != 2


def test_an_attribute_known_in_few_rows_is_refused() -> None:
    rng = np.random.default_rng(0)
    c = np.where(np.arange(400) < 30, rng.integers(2, size=400), np.nan)
    with pytest.raises(InputError, match="age is known in 30 rows; an audit needs at least 100"):
        audit(rng.normal(size=(400, 2)), {"sex": np.arange(400) % 2, "age": c}, probes=["linear"])
