"""One figure from every container of the same numbers, and one meaning of a column for fit, audit and estimate_mi."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from midebias import audit, estimate_mi
from midebias.attributes import Categorical, Continuous, encode_columns
from midebias.column_kinds import read_columns
from midebias.errors import InputError
from midebias.estimation import bracket_mi
from midebias.estimation.inputs import read_attribute, read_conditions
from midebias.leakage.inputs import code_columns

QUICK: dict[str, Any] = {"max_steps": 20, "n_permutations": 19, "n_folds": 2}
NAMES = np.array(["north", "south", "west"])


def planted(n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    c, y = rng.integers(0, 3, n), rng.integers(0, 2, n)
    return (rng.normal(size=(n, 2)) + c[:, None]).astype(np.float32), c, y


def containers(z: np.ndarray, c: np.ndarray, y: np.ndarray) -> dict[str, tuple[Any, Any, Any]]:
    frame, site, label = pd.DataFrame(z, columns=["a", "b"]), NAMES[c], np.array(["no", "yes"])[y]
    return {
        "tensors": (torch.tensor(z), torch.tensor(c), torch.tensor(y)),
        "tensors on the graph": (torch.tensor(z, requires_grad=True), torch.tensor(c), torch.tensor(y)),
        "arrays": (z, c, y),
        "double precision": (z.astype(np.float64), c.astype(float), y.astype(float)),
        "lists": (z.tolist(), c.tolist(), y.tolist()),
        "pandas": (frame, pd.DataFrame({"c": c}), pd.Series(y)),
        "nullable": (frame.convert_dtypes(), pd.Series(c, dtype="Int64"), pd.Series(y, dtype="Int8")),
        "polars": (pl.from_pandas(frame), pl.Series(c), pl.DataFrame({"y": y})),
        "text": (frame, site.tolist(), label),
        "text in polars": (pl.from_pandas(frame), pl.Series(site), pl.Series(label)),
        "categorical": (frame, pd.Series(site, dtype="category"), pd.Series(label, dtype="category")),
        "mapping": (z, {"c": site}, label),
        "booleans": (z, c, y.astype(bool)),
    }  # fmt: skip


CONTAINERS = list(containers(*planted(3)))


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_figure_from_every_container(container: str) -> None:
    z, c, y = planted()
    expected = estimate_mi(torch.tensor(z), torch.tensor(c), condition_on=torch.tensor(y), **QUICK)
    given, attribute, label = containers(z, c, y)[container]
    assert estimate_mi(given, attribute, condition_on=label, **QUICK) == expected


@pytest.mark.parametrize("container", ["arrays", "lists", "text", "polars"])
def test_one_bracket_from_every_container(container: str) -> None:
    z, c, y = planted()
    given, attribute, label = containers(z, c, y)[container]
    expected = bracket_mi(torch.tensor(z), torch.tensor(c), condition_on=torch.tensor(y), **QUICK)
    assert bracket_mi(given, attribute, condition_on=label, **QUICK) == expected


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_audit_of_every_container(container: str) -> None:
    z, c, y = planted(600)
    expected = audit(z, c, y, probes=["linear"], n_folds=2)
    given, attribute, label = containers(z, c, y)[container]
    found = audit(given, attribute, label, probes=["linear"], n_folds=2)
    assert (found.leakage, found.p_value, found.interval) == (expected.leakage, expected.p_value, expected.interval)


@pytest.mark.parametrize("dtype", ["int64", "int8", "Int64", "float64", "object"])
@pytest.mark.parametrize("start", [0, 40])
def test_fifteen_integers_are_categories_in_fit_audit_and_estimate(dtype: str, start: int) -> None:
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(15) + start, 30))
    series = pd.Series(numbers, name="age").astype(dtype)
    assert repr(encode_columns(read_columns(series, "sensitive_features"))[1]) == "Categorical(15)"
    (coded,) = code_columns(series, "c", len(series), n_bins=5)
    assert len(coded.names) == 15
    c, attribute = read_attribute(series, len(series), None)
    assert isinstance(attribute, Categorical)
    assert attribute.entropy(c) == pytest.approx(math.log(15))
    groups = read_conditions(series, len(series), "condition_on")
    assert groups is not None
    assert groups.tolist() == coded.codes.tolist() == (numbers - start).tolist()


@pytest.mark.parametrize("dtype", ["int64", "int8", "Int64"])
def test_twenty_five_integers_are_a_quantity_that_an_estimate_asks_about(dtype: str) -> None:
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(25), 30))
    series = pd.Series(numbers, name="age").astype(dtype)
    assert repr(encode_columns(read_columns(series, "sensitive_features"))[1]) == "Continuous(1)"
    assert code_columns(series, "c", len(series), n_bins=5)[0].binned
    z = np.random.default_rng(1).normal(size=(len(series), 2)) + 0.1 * numbers[:, None]
    for c in (series, torch.tensor(numbers), numbers.tolist()):
        with pytest.raises(InputError, match=r"25 distinct integers.*attribute=Categorical\(n\).*Continuous\(1\)"):
            estimate_mi(z, c, **QUICK)
    quantity = estimate_mi(z, series, attribute=Continuous(1), **QUICK)
    assert quantity == estimate_mi(z, numbers.astype(float), **QUICK)  # stored as floats, it is one
    labels = estimate_mi(z, series, attribute=Categorical(25), **QUICK)
    assert labels == estimate_mi(z, torch.tensor(numbers), attribute=Categorical(25), **QUICK)
    assert labels != quantity


def test_several_columns_become_several_attributes() -> None:
    z, c, _ = planted()
    age = np.where(np.arange(300) % 9 == 0, np.nan, z[:, 0] + np.random.default_rng(3).normal(size=300))
    frame = pd.DataFrame({"site": NAMES[c], "age": age})
    values, attribute = read_attribute(frame, 300, None)
    assert repr(attribute) == "Attributes(Categorical(3), Continuous(1))"
    assert values.shape == (300, 2)
    found = estimate_mi(z, frame, per_attribute=True, estimator="gaussian_linear")
    assert (found.n, *(part.n for part in found.parts)) == (266, 300, 266)
    for container in (pl.from_pandas(frame), {"site": NAMES[c].tolist(), "age": torch.tensor(age)}):
        assert estimate_mi(z, container, per_attribute=True, estimator="gaussian_linear") == found
    assert repr(read_attribute(np.stack([c, c], axis=1), 300, None)[1]) == "Categorical((3, 3))"
    assert repr(read_attribute(z, 300, None)[1]) == "Continuous(2)"


def test_missing_labels_are_left_out() -> None:
    z, c, _ = planted()
    gone = np.arange(300) < 20
    expected = estimate_mi(z[~gone], c[~gone], estimator="gaussian_linear", n_permutations=0)
    text = np.where(gone, None, NAMES[c])
    for values in (np.where(gone, np.nan, c), text, pl.Series(text.tolist())):
        found = estimate_mi(z, values, estimator="gaussian_linear", n_permutations=0)
        assert found == expected
    coded = np.where(gone, -1, c)
    declared = {"attribute": Categorical(3), "estimator": "gaussian_linear", "n_permutations": 0}
    assert estimate_mi(z, coded, **declared) == estimate_mi(z, torch.tensor(coded), **declared) == expected
    with pytest.raises(InputError, match=r"c holds 0, 1, 2 and -1, which means missing.*attribute=Categorical"):
        estimate_mi(z, coded)


def test_labels_far_apart_take_no_more_memory_than_labels_close_together() -> None:
    z, c, _ = planted()
    far = estimate_mi(z, c * 10**9, **QUICK)
    assert far == estimate_mi(z, c, **QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": [["a", "b"]] * 300}, "z must hold numbers"),
        ({"z": np.full((300, 2), 1e300)}, "z contains NaN or infinity"),
        ({"c": ["a", 1] * 150}, "column 'c' mixes numbers and text"),
        ({"c": np.zeros(7)}, "c has 7 rows, z has 300"),
        ({"c": np.tile([-7, 1], 150)}, "must hold labels 0 to 1"),
        ({"c": np.tile([-1, 1], 150)}, "c holds 1 and -1, which means missing"),
        ({"condition_on": np.linspace(0, 1, 300), "estimator": "nwj"}, "estimator 'nwj' conditions on labels alone"),
        ({"condition_on": np.tile([-1, 1], 150)}, "condition_on must hold labels >= 0"),
        ({"condition_on": [None, "a"] * 150}, "condition_on is missing in row 0"),
        ({"condition_on": np.zeros((300, 2, 2))}, r"condition_on must have shape \(n,\) or \(n, k\)"),
    ],
)
def test_bad_inputs_name_the_argument(change: dict[str, Any], message: str) -> None:
    z, c, _ = planted()
    with pytest.raises(InputError, match=message):
        estimate_mi(**{"z": z, "c": c} | change, **QUICK)
