from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from midebias.cli import run
from midebias.column_kinds import read_column, read_frame
from midebias.datasets import fetch_adult, fetch_german
from midebias.errors import DataError, InputError
from midebias.randomness import seeded
from midebias.tabular.networks import TabularEncoder
from midebias.tabular.preprocessing import TablePreprocessor


def test_adult_has_the_official_rows_columns_and_rates() -> None:
    train, test = fetch_adult(), fetch_adult(split="test")
    assert train.data.shape == (32561, 13)
    assert test.data.shape == (16281, 13)
    assert train.target.sum() == 7841
    assert test.target.sum() == 3846
    assert train.sensitive_features["sex"].value_counts().to_dict() == {"Male": 21790, "Female": 10771}
    assert "sex" not in train.data
    assert train.data["workclass"].isna().sum() == 1836  # the file's question marks
    assert train.data["age"].iloc[0] == 39
    assert train.target.dtype.kind == "i"


def test_all_of_adult_is_train_then_test() -> None:
    everything, test = fetch_adult(split="all"), fetch_adult(split="test")
    assert len(everything.data) == 48842
    tail = everything.data.iloc[32561:].reset_index(drop=True)
    assert (tail["fnlwgt"] == test.data["fnlwgt"]).all()
    assert (everything.target.iloc[32561:].to_numpy() == test.target.to_numpy()).all()


def test_attributes_leave_the_data_unless_asked_to_stay() -> None:
    both = fetch_adult(split="test", attribute=("sex", "race"))
    assert list(both.sensitive_features) == ["sex", "race"]
    assert not {"sex", "race"} & set(both.data)
    assert both.feature_names == list(both.data)
    assert "sex" in fetch_adult(split="test", include_attribute=True).data
    arrays = fetch_adult(split="test", as_frame=False)
    assert isinstance(arrays.data, np.ndarray)
    assert arrays.data.shape == (16281, 13)
    assert arrays.sensitive_features.shape == (16281, 1)


def test_german_reads_age_and_sex_from_their_columns() -> None:
    german = fetch_german()
    assert german.data.shape == (1000, 19)
    assert german.target.sum() == 700
    assert "age" not in german.data
    assert (german.sensitive_features["age"] == "over 25").sum() == 810
    sex = fetch_german(attribute="sex", include_attribute=True)
    women = sex.sensitive_features["sex"] == "female"
    assert women.sum() == 310
    assert set(sex.data["personal_status"][women]) <= {"A92", "A95"}
    assert "personal_status" not in fetch_german(attribute="sex").data


def test_what_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split must be 'train', 'test' or 'all', got 'valid'"):
        fetch_adult(split="valid")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"attribute must be of .*'sex'.* got 'height'"):
        fetch_adult(split="test", attribute="height")
    with pytest.raises(DataError, match=r"adult\.data not found"):
        fetch_adult(root=tmp_path)
    (tmp_path / "german.data").write_text("A11 6\n")
    with pytest.raises(DataError, match="SHA-256"):
        fetch_german(root=tmp_path)


FRAME = pd.DataFrame(
    {
        "number": [1.0, np.nan, 3.0, 4.0, 1e6],
        "flag": [True, False, True, True, False],
        "text": pd.Categorical(["a", "b", None, "a", "b"]),
        "whole": pd.array([1, 2, None, 4, 5], dtype="Int64"),
    }
)


def test_frames_of_both_libraries_become_one_matrix() -> None:
    matrix = TablePreprocessor().fit_transform(read_frame(FRAME), None)
    other = TablePreprocessor().fit_transform(read_frame(pl.from_pandas(FRAME)), None)
    np.testing.assert_array_equal(matrix, other)
    # Three numeric columns, two that say where a number is missing, three categories with the missing one.
    assert matrix.shape == (5, 8)
    assert np.isfinite(matrix).all()
    assert matrix[2, -3:].tolist() == [1.0, 0.0, 0.0]


def test_categories_never_seen_are_zeros_and_numbers_are_compressed() -> None:
    preprocessor = TablePreprocessor()
    preprocessor.fit_transform(read_frame(FRAME), None)
    new = FRAME.assign(text=["z"] * 5, number=[1e300] * 5)
    matrix = preprocessor.transform(read_frame(new))
    assert (matrix[:, -3:] == 0).all()
    assert (matrix[:, 0] < 1000).all()


def test_numbers_too_large_to_be_standardised_stay_finite() -> None:
    preprocessor = TablePreprocessor()
    preprocessor.fit_transform([read_column([0.0, 1e-9, 2e-9, np.nan], "x")], None)
    matrix = preprocessor.transform([read_column([1e308, -1e308, np.nan], "x")])
    assert np.isfinite(matrix).all()
    assert matrix[0, 0] == -matrix[1, 0] > 700
    assert matrix[2].tolist() == [0.0, 1.0]


def test_raw_numbers_are_passed_on_and_nothing_else() -> None:
    preprocessor = TablePreprocessor(raw=True)
    columns = [read_column([1.0, 2.0], "a"), read_column([3.0, 4.0], "b")]
    assert preprocessor.fit_transform(columns, None).tolist() == [[1.0, 3.0], [2.0, 4.0]]
    with pytest.raises(InputError, match="column 'a' holds text"):
        preprocessor.transform([read_column(["x", "y"], "a"), columns[1]])
    with pytest.raises(InputError, match="column 'b' has missing values"):
        preprocessor.transform([columns[0], read_column([None, 4.0], "b")])


def test_a_text_that_reads_as_missing_is_one_category_with_it() -> None:
    preprocessor = TablePreprocessor()
    matrix = preprocessor.fit_transform([read_column(["(missing)", None, "a"], "x")], None)
    assert preprocessor.entries[0]["categories"] == ["(missing)", "a"]
    assert matrix.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


def test_weights_of_rows_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    columns = [read_column(rng.normal(size=6).tolist(), "x")]
    weights = np.array([1, 2, 3, 1, 1, 2])
    repeated = [read_column(columns[0].values.repeat(weights).tolist(), "x")]
    weighted = TablePreprocessor().fit_transform(columns, weights.astype(float))
    np.testing.assert_allclose(
        weighted.repeat(weights, axis=0), TablePreprocessor().fit_transform(repeated, None), rtol=1e-12
    )


def test_columns_that_cannot_be_read_are_named() -> None:
    with pytest.raises(InputError, match=r"column 'age' mixes numbers and text \('old'\)"):
        read_column([1.0, "old", 3.0], "age")
    with pytest.raises(InputError, match=r"column 'x' holds infinity \(row 1\)"):
        read_frame(pd.DataFrame({"x": [1.0, np.inf]}))
    with pytest.raises(InputError, match="column 'when' holds Datetime"):
        read_frame(pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}))
    names = pd.DataFrame({"id": [f"p{i}" for i in range(10_000)]})
    with pytest.raises(InputError, match="column 'id' has 10,000 categories in 10,000 rows: leave identifiers out"):
        TablePreprocessor().fit_transform(read_frame(names), None)
    preprocessor = TablePreprocessor()
    preprocessor.fit_transform(read_frame(pd.DataFrame({"age": [1.0, 2.0]})), None)
    with pytest.raises(InputError, match=r"column 'age' held numbers in fit and now holds text \('two', row 1\)"):
        preprocessor.transform(read_frame(pd.DataFrame({"age": [None, "two"]})))


def table(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    sex = rng.choice(["f", "m"], size=n)
    merit = rng.normal(size=n)
    return pd.DataFrame({"merit": merit, "sex": sex, "paid": np.where(merit + (sex == "m") > 0.5, "yes", "no")})


@pytest.mark.parametrize(("suffix", "n"), [("csv", 120), ("parquet", 600)])
def test_a_table_trains_from_the_command_line(
    tmp_path: Path, suffix: str, n: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / f"people.{suffix}", tmp_path / "runs"
    getattr(table(n), f"to_{suffix}")(path, index=False)
    options = ["--label", "paid", "--attribute", "sex", "--epochs", "3", "--seed", "4", "--output-dir", str(out)]
    assert run(["train", str(path), *options, "--criterion", "independence"]) == 0
    (folder,) = out.iterdir()
    (row,) = json.loads((folder / "results.json").read_text())["rows"]
    assert row["attribute"] == "sex"
    assert 0 <= row["accuracy"] <= 1
    assert 0 <= row["demographic_parity_difference"] <= 1
    predictions = pd.read_csv(folder / "predictions.csv")
    assert len(predictions) == n // 4
    assert set(predictions["prediction"]) <= {"yes", "no"}
    assert {p.name for p in folder.iterdir()} >= {"config.yaml", "metrics.csv", "model.safetensors"}
    said, card = capsys.readouterr().out, (folder / "model-card.md").read_text()
    assert f"| accuracy | {row['accuracy']:.3f} |" in card
    assert "an estimate of I(Z;C), what" in card
    page = (folder / "report.html").read_text()
    if n == 120:
        assert "Not audited: z holds 30 rows" in said
        assert "Audit:" not in card
    else:
        verdict = next(line for line in said.splitlines() if "leak" in line.lower())
        assert f"Audit: {verdict}" in card
        assert verdict in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "paid"], "a table needs --label and --attribute"),
        (["--label", "pay", "--attribute", "sex"], "has no column 'pay'; it has merit, sex, paid"),
        (["--label", "paid", "--attribute", "paid"], "name the same column 'paid'"),
        (["--label", "merit", "--attribute", "sex"], "has 120 values"),
        (["--label", "paid", "--attribute", "sex", "--method", "plain"], "--method applies to images only"),
        (["--label", "paid", "--attribute", "sex", "--limit", "600"], "--limit applies to images only"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    path = tmp_path / "people.csv"
    table().to_csv(path, index=False)
    assert run(["train", str(path), *options, "--output-dir", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_options_of_tables_do_not_go_with_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "colored-mnist", "--label", "digit"]) == 2
    assert "label applies to" in capsys.readouterr().err


def test_an_encoder_of_tables_adds_a_linear_map_to_its_perceptron() -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        linear, both = TabularEncoder(3, (), 2), TabularEncoder(3, (8,), 2)
    with torch.no_grad():
        torch.testing.assert_close(linear(2 * x) - linear(x), linear(x) - linear(0 * x))
        assert not torch.allclose(both(2 * x) - both(x), both(x) - both(0 * x), atol=1e-3)
        assert both.deep is not None
        torch.testing.assert_close(both(x) - both.deep(x), x @ both.wide.weight.T + both.wide.bias)
