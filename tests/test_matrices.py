from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from midebias.errors import InputError
from midebias.matrices import read_matrix


def test_a_matrix_is_the_same_from_every_container() -> None:
    z = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    frame = pd.DataFrame(z, columns=list("abc"))
    for values in (z, torch.tensor(z), z.tolist(), frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), list(z)):
        np.testing.assert_array_equal(np.asarray(read_matrix(values, "z"), dtype=np.float32), z)
    assert read_matrix(np.zeros((2, 3, 4)), "z").shape == (2, 12)
    with pytest.raises(InputError, match="z must hold numbers"):
        read_matrix(pd.DataFrame({"a": ["x", "y"]}), "z")
    with pytest.raises(InputError, match="z must hold numbers only"):
        read_matrix([[1.0], [1.0, 2.0]], "z")


def test_numbers_of_a_frame_may_be_written_in_any_way() -> None:
    frame = pd.DataFrame({
        "whole": [1, 2, 3], "exact": [Decimal("1.5"), Decimal("2.5"), Decimal("3.5")],
        "text": ["1.234,5", "2,5", "3,5"], "yes": ["True", "False", "True"], "pair": [[1.0, 2.0]] * 3,
    })  # fmt: skip
    expected = [[1, 1.5, 1234.5, 1, 1, 2], [2, 2.5, 2.5, 0, 1, 2], [3, 3.5, 3.5, 1, 1, 2]]
    assert read_matrix(frame, "z").tolist() == expected
    assert read_matrix(frame.drop(columns="pair").to_numpy(), "z").tolist() == [row[:4] for row in expected]
    assert read_matrix(frame["pair"], "z").tolist() == read_matrix(pl.Series(frame["pair"].tolist()), "z").tolist()
    with pytest.raises(InputError, match="z must hold numbers, and column 'name' holds text"):
        read_matrix(frame.assign(name="a"), "z")
    with pytest.raises(InputError, match="z is a lazy frame"):
        read_matrix(pl.DataFrame({"a": [1.0]}).lazy(), "z")
