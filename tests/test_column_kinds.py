from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from midebias.attributes import Attributes, Categorical, Continuous, encode_columns
from midebias.column_kinds import Column, read_column, read_columns, read_frame
from midebias.errors import InputError
from midebias.leakage.inputs import code_column

CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "integers": np.array,
    "small integers": lambda v: np.array(v, dtype=np.int8),
    "floats": lambda v: np.array(v, dtype=float),
    "objects": lambda v: np.array(v, dtype=object),
    "list": list,
    "tensor": torch.tensor,
    "float tensor": lambda v: torch.tensor(v, dtype=torch.float32),
    "series": pd.Series,
    "named series": lambda v: pd.Series(v, name="c"),
    "nullable series": lambda v: pd.Series(v, dtype="Int64"),
    "float series": lambda v: pd.Series(v, dtype=float),
    "nullable array": lambda v: pd.array(v, dtype="Int64"),
    "frame": lambda v: pd.DataFrame({"c": v}),
    "polars series": pl.Series,
    "polars frame": lambda v: pl.DataFrame({"c": v}),
    "arrow table": lambda v: pa.table({"c": v}),
    "mapping": lambda v: {"c": np.array(v)},
}
"""Of whole numbers."""


def whole_numbers(levels: int) -> list[int]:
    """Each of so many distinct numbers 40 times, in no order."""
    numbers = np.repeat(np.arange(levels) * 3 + 1, 40)
    return np.random.default_rng(0).permutation(numbers).tolist()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("levels", [2, 15, 20, 21, 25])
def test_whole_numbers_are_the_same_wherever_they_are(container: str, levels: int) -> None:
    numbers = whole_numbers(levels)
    (column,) = read_columns(CONTAINERS[container](numbers), "c", n=len(numbers))
    assert column.name == "c"
    assert column.values.tolist() == numbers
    assert column.is_category == (levels <= 20)
    c, attribute = encode_columns([column])
    coded = code_column(column, n_bins=5)
    if levels <= 20:
        assert repr(attribute) == f"Categorical({levels})"
        assert c[:, 0].tolist() == coded.codes.tolist() == [(v - 1) / 3 for v in numbers]
    else:
        assert repr(attribute) == "Continuous(1)"
        assert coded.binned
        assert len(coded.names) == 5


@pytest.mark.parametrize("order", [0, 1])
def test_neither_order_nor_name_nor_missing_values_decide(order: int) -> None:
    numbers = [float(v) for v in np.random.default_rng(order).permutation(whole_numbers(15))]
    numbers[:3] = [float("nan")] * 3
    for values in (pd.Series(numbers, name="age"), pd.Series(numbers, name="name").astype("Int64")):
        (column,) = read_columns(values, "c")
        assert column.is_category
        assert column.missing.sum() == 3
        assert code_column(column, n_bins=5).codes[:3].tolist() == [-1, -1, -1]


def test_words_and_declared_categories_are_categories_however_many() -> None:
    numbers = whole_numbers(25)
    texts = [str(v) for v in numbers]
    words: list[Any] = [f"site {v}" for v in numbers]
    for values in (
        words, np.array(words), pd.Series(words), pl.Series(words), pl.Series(texts, dtype=pl.Categorical),
        pd.Series(texts, dtype="category"), pd.Series(numbers, dtype="category"),
    ):  # fmt: skip
        (column,) = read_columns(values, "c")
        assert column.is_category
        assert repr(encode_columns([column])[1]) == "Categorical(25)"
        assert len(code_column(column, n_bins=5).names) == 25


def test_booleans_are_categories_and_fractions_quantities() -> None:
    assert read_column(np.array([True, False]), "c").is_category
    assert read_frame(pl.DataFrame({"c": [True, None, False]}))[0].is_category
    halves = read_column(np.repeat([0.0, 0.5, 1.0], 30), "c")
    assert not halves.is_category
    # The audit keeps apart what is few already: no bin joins two values.
    assert code_column(halves, n_bins=2).names == ("0", "0.5", "1")


def test_negative_integers_are_categories_in_fit_and_audit() -> None:
    column = read_column(np.tile([-1, 0, 1], 40), "c")
    coded = code_column(column, n_bins=5)
    assert coded.codes[:3].tolist() == [0, 1, 2]
    assert coded.names == ("-1", "0", "1")
    assert repr(encode_columns([column])[1]) == "Categorical(3)"


def test_columns_without_a_name_are_called_by_the_argument_and_their_place() -> None:
    assert [c.name for c in read_columns(np.zeros((3, 2)), "c")] == ["c[0]", "c[1]"]
    assert [c.name for c in read_columns({"age": [1, 2], "both": np.zeros((2, 2))}, "c")] == [
        "age",
        "both[0]",
        "both[1]",
    ]


def test_some_rows_keep_what_a_column_is() -> None:
    column = Column("c", np.array([3.0, np.nan, 5.0]), "category").take(np.array([0, 1]))
    assert column.stored_as == "category"
    codes, levels = column.code()
    assert codes.tolist() == [0, -1]
    assert levels.tolist() == [3.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, "old", 3.0], r"column 'c' mixes numbers and text \('old'\)"),
        ([1.0, float("inf")], r"column 'c' holds infinity \(row 1\)"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "column 'c' holds datetime64"),
        (pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}), "column 'when' holds Datetime"),
        (np.zeros(2, dtype=complex), "column 'c' holds complex128"),
        (3, r"c must have shape \(n,\)"),
        ({}, "c holds no column"),
    ],
)
def test_what_cannot_be_read_is_named(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_columns(values, "c")


def test_attributes_are_read_as_what_they_are() -> None:
    n = 60
    given = {
        "sex": ["f", "m", None] * 20,
        "age": np.linspace(20, 60, n),
        "months": np.arange(n) % 12,
        "flag": np.arange(n) % 2 == 0,
    }
    c, attribute = encode_columns(read_columns(given, "sensitive_features", n=n))
    assert isinstance(attribute, Attributes)
    kinds = [type(p) for p in attribute.parts]
    assert kinds == [Categorical, Continuous, Categorical, Categorical]
    values, present = attribute.encode(c)
    assert values.shape == (n, 2 + 1 + 12 + 2)
    assert present.tolist() == [True, True, False] * 20
    assert float(c[:, 1].mean()) == pytest.approx(0, abs=1e-5)
    two, both = encode_columns(read_columns(np.array([[0, 1], [1, 1], [1, 0]]), "sensitive_features", n=3))
    assert isinstance(both, Categorical)
    assert both.sizes == (2, 2)
    assert two.shape == (3, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "a", "a"], r"attribute 'sensitive_features' has one value only \(a\)"),
        ([None, None, None], "is missing in every row"),
        (["a", "b"], "sensitive_features has 2 rows, X has 3"),
        ([1.5, float("inf"), 2.0], "infinity"),
        (np.zeros((3, 2, 2)), r"must have shape \(n,\) or \(n, k\)"),
    ],
)
def test_attributes_that_cannot_be_used_are_named(given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_columns(read_columns(given, "sensitive_features", n=3))


def test_an_attribute_of_10000_categories_is_refused() -> None:
    with pytest.raises(InputError, match="attribute 'id' has 10,000 categories, more than 256"):
        encode_columns(
            read_columns(pd.Series([f"p{i}" for i in range(10_000)], name="id"), "sensitive_features", n=10_000)
        )


QUANTITIES: dict[str, Callable[[int], str]] = {
    "times": lambda i: f"{i // 60}:{i % 60:02d}", "durations": lambda i: f"{i - 3} days +23:{i % 60:02d}:12",
    "clock": lambda i: f"{1 + i % 12}:{i:02d} PM", "ISO durations": lambda i: f"P{i}DT{i}H",
    "months": lambda i: f"{1950 + i}-07", "named months": lambda i: f"{1 + i % 28} March {1950 + i}",
    "American dates": lambda i: f"Jan {1 + i % 28}, {1950 + i}", "stamps": lambda i: f"2001-02-{i:02d}T10:00:00",
    "a unit": lambda i: f"{i}.5 kg", "two units": lambda i: f"{i} {'months' if i % 2 else 'years'}",
}  # fmt: skip


@pytest.mark.parametrize("name", QUANTITIES)
def test_text_that_holds_a_quantity_is_refused_unless_it_is_declared_or_has_few_values(name: str) -> None:
    texts = [QUANTITIES[name](i) for i in range(1, 29)]
    with pytest.raises(InputError, match=r"column 'c' holds (dates|times|numbers with a unit) \("):
        read_column(texts * 5, "c")
    assert read_columns(pd.Series(texts * 5, dtype="category"), "c")[0].is_category
    assert read_column(texts[:20] * 5, "c").is_category


@pytest.mark.parametrize("write", [lambda i: f"{i}{'ABCDEFG'[i % 7]}", lambda i: f"site {i}", lambda i: f"P{i}"])
def test_codes_are_no_quantities(write: Callable[[int], str]) -> None:
    assert read_column([write(i) for i in range(40)] * 5, "c").is_category
