"""A bijection of names, order, dtype or coding of c, y, predictions or columns changes no figure, at any door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midebias import LogitAdjustment, MIPenalty, audit, estimate_mi
from midebias.attributes import Categorical, encode_columns
from midebias.column_kinds import read_columns
from midebias.leakage import probe
from midebias.leakage.inputs import code_columns, code_predictions
from midebias.leakage.result import AuditResult
from midebias.numeric_text import MISSING_TEXT, parse_texts
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.targets import read_labels

Coding = Callable[[Any], Any]
"""Codes from 0, as an array, written in another way."""

CHEAP = settings(max_examples=60, deadline=None, derandomize=True, database=None)

CONTAINERS: dict[str, Coding] = {
    "array": lambda v: v,
    "objects": lambda v: np.array(v.tolist(), dtype=object),
    "list": lambda v: v.tolist(),
    "series": pd.Series,
    "frame": lambda v: pd.DataFrame({"k": v}),
    "mapping": lambda v: {"k": v},
    "polars": lambda v: pl.Series("k", v.tolist(), strict=False),
    "arrow": lambda v: pa.table({"k": v.tolist()}),
    "categories": lambda v: pd.Series(v.tolist(), dtype="category"),
}
NUMBERS: dict[str, Coding] = {
    "as they are": lambda v: v,
    "floats": lambda v: v.astype(float),
    "small": lambda v: (v - v.min()).astype(np.int8),
    "far off": lambda v: v - v.min() + 10**9,
    "beyond float64": lambda v: v - v.min() + 2**60,
    "close together": lambda v: 1000 + v * 1e-6,
    "text": lambda v: v.astype(str),
    "text with a decimal comma": lambda v: np.array([f"{x},5" for x in v.tolist()]),
    "leading zeros": lambda v: np.array([f"{x - v.min():05d}" for x in v.tolist()]),
    "exact": lambda v: np.array([Decimal(x) / 10 for x in v.tolist()], dtype=object),
    "tensor": torch.tensor,
}
"""Of whole numbers."""


WHOLE = [writing for writing in NUMBERS if writing not in ("close together", "exact", "text with a decimal comma")]


def is_name(text: str) -> bool:
    return text.strip() not in MISSING_TEXT


@st.composite
def codings(
    draw: st.DrawFn,
    levels: int,
    *,
    ordered: bool = False,
    containers: Sequence[str] = tuple(CONTAINERS),
    writings: Sequence[str] = tuple(NUMBERS),
) -> Coding:
    """A way to write codes 0 to levels - 1; ``ordered`` keeps their order."""
    if draw(st.booleans()):
        alphabet = st.characters(exclude_categories=["Cs"])
        one_name = st.text(alphabet, min_size=1, max_size=6).filter(is_name)
        names = draw(st.lists(one_name, min_size=levels, max_size=levels, unique_by=str.strip))
        if parse_texts(names) is not None:
            names = [f"site {name}" for name in names]
        chosen = np.array(sorted(names) if ordered else names, dtype=object)
        container = CONTAINERS[draw(st.sampled_from(containers))]
        return lambda codes: container(chosen[codes])
    numbers = draw(st.lists(st.integers(-999, 999), min_size=levels, max_size=levels, unique=True))
    chosen = np.array(sorted(numbers) if ordered else numbers)
    writing = draw(st.sampled_from(writings))
    container = CONTAINERS["array" if writing == "tensor" else draw(st.sampled_from(containers))]
    # What the levels are does not depend on which of them occur.
    written = NUMBERS[writing](chosen)
    return lambda codes: container(written[codes])


@cache
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 400
    c, y = rng.integers(3, size=n), rng.integers(2, size=n)
    z = rng.normal(size=(n, 2))
    z[:, 0] += c * (y == 0)
    return z, c, y, np.where(rng.random(n) < 0.8, y, c > 0).astype(int)


def summarize(found: AuditResult) -> dict[str, Any]:
    sizes, accuracies = (sorted(group[key] for group in found.groups) for key in ("n", "accuracy"))
    differences = [{k: v for k, v in d.items() if k != "attribute"} for d in found.differences]
    leakage = sorted(round(s.leakage, 3) for s in found.summary)
    return {
        "leakage": leakage,
        "leaks": sorted(s.leaks for s in found.summary),
        "n": sizes,
        "accuracy": accuracies,
    } | differences[0]


@cache
def expected_audit() -> dict[str, Any]:
    z, c, y, answers = planted()
    return summarize(audit(z, c, y, predictions=answers, probes=["linear"], n_folds=2))


WAYS: dict[str, tuple[Coding, Coding]] = {
    "signs and identifiers": (lambda v: np.array([-1, 1, 0])[v], lambda v: 100001 + v),
    "words in frames": (lambda v: pl.DataFrame({"site": np.array(["b, c", "b", "a"])[v].tolist()}), lambda v: v == 1),
    "numbers as text": (lambda v: np.array(["10", "2", "007"])[v], lambda v: pd.Series(v).map({0: "2", 1: "10"})),
    "close together": (lambda v: (1000 + v * 1e-6).tolist(), lambda v: torch.tensor(2 * v - 1)),
    "exact and nullable": (lambda v: pd.array(94110 + v, dtype="Int64"), lambda v: [Decimal(int(x)) for x in v]),
    "far off": (lambda v: {"c": 2**60 - v}, lambda v: pd.Series(v.astype(str), dtype="category")),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_audit(way: str) -> None:
    z, c, y, answers = planted()
    attribute, label = WAYS[way]
    found = summarize(audit(z, attribute(c), label(y), predictions=label(answers), probes=["linear"], n_folds=2))
    for key, value in expected_audit().items():
        assert found[key] == pytest.approx(value, abs=2e-3), key


@cache
def estimate(way: str | None) -> tuple[float, int]:
    z, c, y, _ = planted()
    attribute, label = (np.asarray, np.asarray) if way is None else WAYS[way]
    found = estimate_mi(z, attribute(c), condition_on=label(y), estimator="gaussian_linear", n_permutations=0)
    return found.value, found.n


@pytest.mark.parametrize("way", [way for way in WAYS if "signs" not in way and way != "close together"])
def test_an_estimate(way: str) -> None:
    assert estimate(way) == pytest.approx(estimate(None), abs=1e-5)


@CHEAP
@given(codings(3), codings(2, ordered=True))
def test_what_an_audit_codes(attribute: Coding, label: Coding) -> None:
    _, c, y, answers = planted()
    (coded,) = code_columns(attribute(c), "c", len(c), n_bins=5)
    assert len({*zip(c.tolist(), coded.codes.tolist(), strict=True)}) == len(coded.names) == 3
    (truth,) = code_columns(label(y), "y", len(y), n_bins=5)
    found = code_predictions(label(answers), truth)
    assert (found == truth.codes).tolist() == (answers == y).tolist()


@CHEAP
@given(codings(3, writings=WHOLE), codings(4, writings=WHOLE))
def test_attributes_of_a_fit_are_the_same_categories(first: Coding, second: Coding) -> None:
    rng = np.random.default_rng(1)
    one, two = rng.integers(3, size=60), rng.integers(4, size=60)
    for codes, coding, levels in ((one, first, 3), (two, second, 4)):
        c, attribute = encode_columns(read_columns(coding(codes), "sensitive_features", n=60))
        assert repr(attribute) == f"Categorical({levels})"
        assert len({*zip(codes.tolist(), c[:, 0].tolist(), strict=True)}) == levels


@CHEAP
@given(codings(3, containers=("array", "objects", "list", "series", "polars", "categories"), writings=WHOLE))
def test_labels_of_a_fit_are_the_same_classes(label: Coding) -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=60)
    given_y = label(y)
    codes, classes = read_labels(given_y, 60)
    assert len({*zip(y.tolist(), codes.tolist(), strict=True)}) == len(classes) == 3
    assert classes[codes].tolist() == np.asarray(given_y).tolist()


def test_a_fit() -> None:
    z, c, y, _ = planted()
    fitted = [
        MIDebiasClassifier(epochs=2, random_state=0).fit(z, label, sensitive_features=attribute).predict_proba(z)
        for attribute, label in ((c, y), (np.array(["a", "b", "c"])[c], 100001 + y), (94110.0 + c, y == 1))
    ]
    np.testing.assert_allclose(fitted[1], fitted[0], atol=1e-9)
    np.testing.assert_allclose(fitted[2], fitted[0], atol=1e-9)


@cache
def expected_columns() -> np.ndarray:
    z, c, y, _ = planted()
    X = pd.DataFrame({"number": np.round(z[:, 0], 2), "k": c})
    return MIDebiasClassifier(epochs=2, random_state=0).fit(X, y, sensitive_features=c).predict_proba(X)


WRITINGS: dict[str, Coding] = {
    "objects": lambda v: v.astype(object),
    "text": lambda v: v.map(str),
    "exact": lambda v: v.map(lambda x: Decimal(str(x))),
    "decimal comma": lambda v: v.map(lambda x: f"{x:.2f}".replace(".", ",")),
    "nullable": lambda v: v.astype("Float64"),
    "arrow": lambda v: v.astype("float64[pyarrow]"),
    "as it is": lambda v: v,
}


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_columns_of_a_table_in_fit_and_in_prediction(shift: int) -> None:
    names = list(WRITINGS)
    writings = [names[(shift + 2 * i) % len(names)] for i in range(4)]
    z, c, y, _ = planted()
    X = pd.DataFrame({"number": np.round(z[:, 0], 2), "k": c})
    fit, predict = (
        X.assign(number=WRITINGS[a](X["number"]), k=WRITINGS[b](X["k"])) for a, b in (writings[:2], writings[2:])
    )
    model = MIDebiasClassifier(epochs=2, random_state=0).fit(fit, y, sensitive_features=c)
    np.testing.assert_allclose(model.predict_proba(predict), expected_columns(), atol=1e-9)


@pytest.mark.parametrize("estimator", ["prequential", "gaussian", "gaussian_linear", "gaussian_learned"])
@pytest.mark.parametrize("code", [lambda y: y + 1_000_000, lambda y: y * 94110 + 2**40, lambda y: y + 5000])
def test_groups_of_a_penalty(estimator: Any, code: Coding) -> None:
    z, c, y, _ = (torch.tensor(v) for v in planted())
    values = [
        MIPenalty(2, Categorical(3), estimator=estimator, critic_warmup=3, critic_steps=3)(z.float(), c, labels).item()
        for labels in (y, code(y))
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert values[0] > 0


@settings(CHEAP, max_examples=6)
@given(st.permutations(range(3)))
def test_the_order_of_categories_in_a_penalty(order: list[int]) -> None:
    z, c, y, _ = (torch.tensor(v) for v in planted())
    values = [
        float(MIPenalty(2, Categorical(3), estimator="gaussian_linear")(z.float(), labels, y))
        for labels in (c, torch.tensor(order)[c])
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-4)


def test_labels_of_a_probe() -> None:
    z, c, _, _ = (torch.tensor(v) for v in planted())
    first, second = probe(z.float(), c), probe(z.float(), torch.tensor([2, 0, 1])[c] + 94110)
    assert second.balanced_accuracy == pytest.approx(first.balanced_accuracy, abs=0.03)


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_the_order_of_categories_in_an_adjustment(order: list[int]) -> None:
    _, c, y, _ = (torch.tensor(v) for v in planted())
    logits, again = torch.zeros(len(y), 2), torch.tensor(order)[c]
    adjusted = [LogitAdjustment(Categorical(3), 2).fit(labels, y)(logits, labels, y) for labels in (c, again)]
    assert torch.allclose(*adjusted, atol=0.05)
