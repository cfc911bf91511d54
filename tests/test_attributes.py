from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from midebias.attributes import Attributes, Categorical, Continuous, encode_covariates
from midebias.column_kinds import read_columns
from midebias.errors import InputError


def test_channels_are_one_hot_side_by_side() -> None:
    values, present = Categorical((8, 8, 8)).encode(torch.tensor([[0, 3, 7], [7, 0, 0]]))
    assert values.shape == (2, 24)
    assert values.nonzero().tolist() == [[0, 0], [0, 11], [0, 23], [1, 7], [1, 8], [1, 16]]
    assert present.all()


def test_entropy_is_that_of_the_joint_column() -> None:
    assert Categorical(2).entropy(torch.tensor([0, 1, 0, 1, -1])) == pytest.approx(math.log(2))
    assert Categorical((2, 2)).entropy(torch.tensor([[0, 0], [1, 1]])) == pytest.approx(math.log(2))


def test_missing_values_are_masked_jointly() -> None:
    both = Attributes(Categorical(3), Continuous(1))
    values, present = both.encode(torch.tensor([[2.0, 0.5], [-1.0, 0.5], [1.0, float("nan")]]))
    assert present.tolist() == [True, False, False]
    assert not values[1:].any()


@pytest.mark.parametrize(
    ("attribute", "c", "message"),
    [
        (Categorical(3), torch.tensor([0, 3]), "labels 0 to 2"),
        (Categorical(3), torch.tensor([0, -2]), "labels 0 to 2"),
        (Categorical(3), torch.tensor([0.5, 1.0]), "fractions"),
        (Categorical(2), torch.tensor([[0, 1]]), r"shape \(n, 1\)"),
        (Continuous(2), torch.tensor([1.0, 2.0]), r"shape \(n, 2\)"),
        (Continuous(1), torch.tensor([float("inf")]), "infinity"),
        (Continuous(1), [1.0], "torch.Tensor"),
    ],
)
def test_bad_attributes_are_refused(attribute, c, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        attribute.encode(c)


def test_bad_declarations() -> None:
    for make in (lambda: Categorical(1), lambda: Continuous(0), lambda: Attributes()):
        with pytest.raises(InputError):
            make()


def test_covariates_hold_numbers_beside_the_categories_that_they_are() -> None:
    columns = read_columns({"school": np.array([9, 10, 13, 9]), "site": ["a", "b", "a", None]}, "w")
    encoded, known = encode_covariates(columns)
    assert encoded.shape == (4, 6)  # three and two categories, and the years
    assert known.tolist() == [True, True, True, False]
    assert encoded[:3, :5].tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]
    assert encoded[2, 5] > encoded[1, 5] > encoded[0, 5]
