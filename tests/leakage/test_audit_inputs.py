"""An audit is right or refuses, however its data was written."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.audit_files import KINDS, audit_file, write_file
from midebias import audit
from midebias.cli import run
from midebias.errors import InputError
from midebias.leakage.embedding_files import read_embeddings
from midebias.leakage.inputs import code_columns

pytestmark = pytest.mark.usefixtures("small_maps")

RNG = np.random.default_rng(0)
N = 1000
SEX = RNG.integers(2, size=N)
Z = RNG.normal(size=(N, 3))
Y = (RNG.random(N) < np.where(SEX, 0.7, 0.4)) * 1
ANSWERS = np.where(RNG.random(N) < 0.8, Y, 1 - Y)
AGE = RNG.integers(18, 80, N)


def measure_groups(c: Any, y: Any = Y, answers: Any = ANSWERS) -> dict[str, Any]:
    return audit(Z, c, y, predictions=answers, probes=["linear"], n_folds=2).differences[0]


def test_identifiers_are_not_cut_to_four_digits() -> None:
    expected = measure_groups({"sex": np.where(SEX, "w", "m")})
    assert expected["demographic_parity_difference"] > 0.2
    for c in (94110 + SEX, (94110 + SEX).astype(str), 2**60 + SEX, 0.1 + 1e-9 * SEX):
        assert measure_groups({"sex": c}) == pytest.approx(expected)
    assert measure_groups({"sex": SEX}, 100001 + Y, 100001 + ANSWERS) == pytest.approx(expected)
    assert expected["worst_group_accuracy"] > 0.75


def test_classes_that_differ_in_their_last_digit_stay_apart() -> None:
    z = Z.copy()
    z[:, 0] += 3 * SEX * (Y == 0)
    for y in (Y, 100001 + Y):
        within = audit(z, {"sex": SEX}, y, probes=["linear"], n_folds=2).summary[1]
        assert within.condition == "within classes"
        assert within.leaks
        assert within.leakage > 0.15


AGES = {
    "objects": AGE.astype(object), "text": AGE.astype(str), "exact": [Decimal(int(v)) for v in AGE],
    "nullable": pd.array(AGE, dtype="Int64"), "arrow": pd.Series(AGE, dtype="int64[pyarrow]"),
    "decimal comma": [f"{v},0" for v in AGE], "years": [f" {v} " for v in AGE],
}  # fmt: skip


@pytest.mark.parametrize("form", AGES)
def test_a_quantity_is_one_in_every_form(form: str) -> None:
    expected, found = (code_columns({"age": values}, "c", N, n_bins=5)[0] for values in (AGE, AGES[form]))
    assert found.binned
    assert (found.names, found.codes.tolist()) == (expected.names, expected.codes.tolist())


@pytest.mark.parametrize("dtype", [int, object, str, float])
def test_probabilities_stand_in_the_order_of_the_classes(dtype: type) -> None:
    y = RNG.choice([1, 2, 10], N)
    probabilities = 0.8 * np.eye(3)[np.searchsorted([1, 2, 10], y)] + 0.1
    assert measure_groups(SEX, y.astype(dtype), probabilities)["worst_group_accuracy"] == 1
    named = pd.DataFrame(probabilities, columns=["1", "2", "10"])[["10", "1", "2"]]
    assert measure_groups(SEX, y.astype(dtype), named)["worst_group_accuracy"] == 1


def test_groups_whose_joined_names_look_alike_stay_apart() -> None:
    first = np.where(SEX, "a, b", "a")
    second = np.where(SEX, "c", "b, c")
    found = audit(Z, {"x": first, "y": second}, Y, predictions=np.where(SEX, Y, 1 - Y), probes=["linear"], n_folds=2)
    assert found.differences[2]["worst_group_accuracy"] == 0


@pytest.mark.parametrize(
    ("c", "message"),
    [
        ([datetime.date(1980, 1, 1 + i % 28) for i in range(N)], "column 'c' holds date"),
        (pd.Series([[1, 2]] * N, name="c"), "column 'c' holds list"),
        ([{"a": 1}] * N, "column 'c' holds dict"),
        ([f"19{i % 90 + 10}-01-0{i % 9 + 1}" for i in range(N)], "column 'c' holds dates"),
        ([f"person {i}" for i in range(N)], "'c' has 1,000 categories in 1,000 rows, nearly all distinct.*quantity"),
        ([f"{i % 900 + 1},{i % 700 + 100}" for i in range(N)], "column 'c' holds '1,100', whose comma may be decimal"),
        ([str(i) if i % 50 else "unknown" for i in range(N)], "column 'c' mixes numbers and text"),
    ],
)
def test_what_is_neither_category_nor_quantity_is_refused(c: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        audit(Z, c, probes=["linear"])


def run_audit(frame: pd.DataFrame, path: Path, capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[str]]:
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=path.stem == "indexed")
    options = ["--attribute", "sex", "--max-leakage", "0.05", "--probes", "linear", *more]
    status = run(["audit", str(path), *options, "--output-dir", str(path.parent / "runs")])
    out, err = capfd.readouterr()
    return status, (out + err).splitlines()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_column_of_lists_is_the_representation(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    z = Z + 2 * SEX[:, None]
    frame = pd.DataFrame({"id": np.arange(N), "embedding": z.tolist(), "sex": SEX, "score": Z[:, 0]})
    status, lines = run_audit(frame, tmp_path / f"e.{suffix}", capfd)
    assert status == 1
    assert lines[:3] == [
        "z: 1000 x 3 numbers, from embedding",
        "not in z: id (an index: whole numbers, each once), score (numbers beside the lists in embedding)",
        "attribute sex: 2 categories (0, 1)",
    ]
    status, lines = run_audit(frame.assign(other=z.tolist()), tmp_path / f"f.{suffix}", capfd)
    assert status == 2
    assert "several columns of lists, embedding, other: name one with --columns" in lines[0]


def test_an_index_is_left_out_and_answers_that_are_read_are_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"a": Z[:, 0], "sex": np.sort(SEX)})
    status, lines = run_audit(frame, tmp_path / "indexed.csv", capfd)
    assert status == 0
    assert lines[1] == "not in z: Unnamed: 0 (an index: whole numbers, each once)"
    status, lines = run_audit(frame.assign(answer=np.sort(SEX)), tmp_path / "indexed.csv", capfd)
    assert status == 1
    assert lines[0] == "z: 1000 x 2 numbers, from a, answer"


def test_missing_numbers_and_dates_among_columns_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"a": Z[:, 0], "sex": SEX})
    status, lines = run_audit(frame.assign(b=[None] + [1.5] * (N - 1)), tmp_path / "e.csv", capfd)
    assert status == 2
    assert "column 'b' is part of z, and is missing in 1 rows, as in row 0" in lines[0]
    when = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(N), unit="D")
    status, lines = run_audit(frame.assign(when=when), tmp_path / "e.parquet", capfd)
    assert status == 2
    assert "column 'when' holds Datetime" in lines[0]
    assert "--columns" in lines[0]


@pytest.mark.parametrize("kind", KINDS)
def test_no_planted_file_passes_and_no_clean_one_fails(kind: str, tmp_path: Path) -> None:
    for seed in range(3):
        status, error = audit_file(write_file(kind, tmp_path, 1000 + seed, planted=True), tmp_path)
        assert status in (1, 2)
        assert (status == 2) == error.startswith("midebias: ")
    assert audit_file(write_file(kind, tmp_path, 1000, planted=False), tmp_path)[0] in (0, 2)


def test_a_text_column_of_mostly_numbers_is_not_left_out_of_z(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "sex": rng.integers(2, size=300)})
    frame["dose"] = [f"< {i % 9}" if i % 5 == 0 else f"{i}.25" for i in range(300)]
    frame["person"] = [f"{10**18 + i}" for i in range(300)]
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="column 'dose' mixes numbers and text: make numbers of it, or name"):
        read_embeddings(tmp_path / "t.csv", ["sex"])
    assert read_embeddings(tmp_path / "t.csv", ["sex"], columns=["a"]).dimensions == ("a",)
