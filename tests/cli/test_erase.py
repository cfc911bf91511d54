from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from midebias import MIEraser
from midebias.cli import run
from midebias.leakage.embedding_files import read_embeddings

pytestmark = pytest.mark.usefixtures("small_maps")

N = 600
QUICK = ["--method", "linear", "--probes", "linear"]


def make_table(n: int = N) -> pd.DataFrame:
    """The sex shifts one column and doubles the spread of another; the label shifts a third."""
    rng = np.random.default_rng(0)
    sex, y = rng.integers(0, 2, (2, n))
    z = rng.normal(size=(n, 4))
    z[:, 0] += 2 * sex
    z[:, 1] *= 1 + 2 * sex
    z[:, 2] += 2 * y
    person = [f"p{i // 5}" for i in range(n)]
    columns = {"code": [f"0{i}" for i in range(n)], "sex": np.where(sex == 1, "w", "m"), "income": y, "person": person}
    return pd.DataFrame(columns | {f"z_{j}": z[:, j].astype(np.float32) for j in range(4)})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, table = tmp_path_factory.mktemp("files"), make_table()
    z = table.filter(like="z_").to_numpy()
    others = table[["code", "sex", "income", "person"]]
    table.to_csv(folder / "e.csv", index=False)
    table.to_csv(folder / "e.tsv", index=False, sep="\t")
    others.assign(e=list(z)).to_parquet(folder / "e.parquet")
    others.to_csv(folder / "others.csv", index=False)
    np.save(folder / "e.npy", z)
    np.savez(
        folder / "e.npz",
        z=z,
        **{name: others[name].to_numpy(dtype="U" if name != "income" else int) for name in others},
    )
    return folder


def erase(path: Path, out: Path, *options: str) -> tuple[int, Path]:
    columns = ["--columns", "z_*"] if path.suffix in (".csv", ".tsv") else []
    status = run(["erase", str(path), "--attribute", "sex", *QUICK, *columns, "--output-dir", str(out), *options])
    return status, out / "erase-001"


def correlate(z: Any, c: Any) -> float:
    z, c = np.asarray(z, dtype=np.float64), np.asarray(c, dtype=np.float64)
    return float(np.abs((z - z.mean(axis=0)).T @ (c - c.mean()) / len(c) / z.std(axis=0) / c.std()).max())


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "npz", "npy"])
def test_each_kind_of_file_comes_out_as_it_went_in(files: Path, tmp_path: Path, ending: str) -> None:
    source = files / f"e.{ending}"
    before = hashlib.sha256(source.read_bytes()).digest()
    table = ["--table", str(files / "others.csv")] if ending == "npy" else []
    status, folder = erase(source, tmp_path, *table)
    assert status == 0
    assert hashlib.sha256(source.read_bytes()).digest() == before
    named = [] if ending == "npy" else ["code", "sex", "income", "person"]
    columns = ["z_*"] if ending in ("csv", "tsv") else None
    old, new = (read_embeddings(path, named, columns=columns) for path in (source, folder / source.name))
    assert (new.z.shape, new.z.dtype, new.dimensions) == (old.z.shape, old.z.dtype, old.dimensions)
    for name in named:
        np.testing.assert_array_equal(np.asarray(new.columns[name]), np.asarray(old.columns[name]))
    is_w = make_table()["sex"] == "w"
    assert correlate(old.z, is_w) > 0.6
    assert correlate(new.z, is_w) < 0.1
    assert {p.name for p in folder.iterdir()} == {
        source.name, "config.yaml", "eraser.safetensors", "report.html", "results.json",
    }  # fmt: skip
    again = MIEraser.load(folder / "eraser.safetensors").transform(np.asarray(old.z))
    np.testing.assert_allclose(again, new.z, rtol=1e-5, atol=1e-5)


def test_the_gate_is_judged_on_rows_held_out(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gate = ["--max-leakage", "0.02", "--keep", "income"]
    status, folder = erase(files / "e.csv", tmp_path, *gate)
    assert status == 0
    out = capfd.readouterr().out
    assert "fitted on 400 rows, audited on 200 others" in out
    assert "No leakage above --max-leakage 0.02 nats" in out
    record = json.loads((folder / "results.json").read_text())
    assert (record["schema"], record["exit_status"], record["rows_fitted"], record["rows_held_out"]) == (1, 0, 400, 200)
    assert {(r["stage"], r["n"]) for r in record["rows"]} == {("before", 200), ("after", 200)}
    assert record["before"]["leaks"]
    assert not record["after"]["leaks"]
    assert 0 < record["movement"]["mean_square"] < 1
    assert sum(record["movement"]["counts"]) == 200
    (income,) = record["kept"]["columns"]
    assert income["after"]["balanced_accuracy"] == pytest.approx(income["before"]["balanced_accuracy"], abs=0.05)
    assert record["kept"]["covariances"]["income"] < 0.2
    alike = {a["column"]: a for a in record["kept"]["neighbours"]["alike"]}
    assert alike["sex"]["before"] - alike["sex"]["after"] > 0.1
    points = record["front"]["points"]
    assert [p["chosen"] for p in points] == [False] * 4 + [True]
    assert points[0]["x"] > points[-1]["x"]
    # A spread that differs is seen by a quadratic probe, which a linear map does not stop.
    again = ["erase", str(files / "e.csv"), "--config", str(folder / "config.yaml"), "--output-dir", str(tmp_path)]
    assert run([*again, "--probes", "quadratic"]) == 1
    assert "Leakage exceeds --max-leakage 0.02 nats: sex (overall)" in capfd.readouterr().out
    record = json.loads((tmp_path / "erase-002" / "results.json").read_text())
    assert (record["exit_status"], record["after"]["leaks"]) == (1, True)
    assert "--keep income" in record["command"]
    assert "--probes quadratic" in record["command"]


def test_separation_erases_within_the_label(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    separation = ["--criterion", "separation", "--label", "income", "--groups", "person", "--max-leakage", "0.1"]
    assert erase(files / "e.parquet", tmp_path, *separation)[0] == 2  # 200 rows are held out
    assert "with 200 rows each in the third held out" in capfd.readouterr().err
    table = make_table(1500)
    table.to_csv(tmp_path / "more.csv", index=False)
    status, folder = erase(tmp_path / "more.csv", tmp_path, *separation)
    assert status == 0
    record = json.loads((folder / "results.json").read_text())
    assert "within classes" in {s["condition"] for s in record["after"]["summary"]}
    assert record["after"]["settings"]["groups"] == 100  # of 300 persons, none of whom is in both parts
    after = pd.read_csv(folder / "more.csv")
    for y in (0, 1):
        assert correlate(after.filter(like="z_")[table["income"] == y], table["sex"][table["income"] == y] == "w") < 0.1
    assert yaml.safe_load((folder / "config.yaml").read_text())["groups"] == "person"


def test_the_nonlinear_map_goes_further_than_the_linear_one(files: Path, tmp_path: Path) -> None:
    records = []
    for method in ("linear", "nonlinear"):
        options = ["--method", method, "--probes", "quadratic", "--min-neighbours", "0"]
        status, folder = erase(files / "e.npz", tmp_path / method, *options)
        assert status == 0
        records.append(json.loads((folder / "results.json").read_text()))
    linear, nonlinear = records
    assert nonlinear["after"]["leakage"] < 0.5 * linear["after"]["leakage"]
    assert nonlinear["movement"]["mean_square"] > linear["movement"]["mean_square"]
    labels = [p["label"] for p in nonlinear["front"]["points"]]
    assert labels == ["as it was", "half of linear", "linear", "half of the rest", "erased"]
    assert nonlinear["front"]["points"][2]["x"] == pytest.approx(linear["front"]["points"][4]["x"], abs=0.01)


class Warns(MIEraser):
    def fit(self, *args: Any, **kwargs: Any) -> Warns:
        warnings.warn("no map meets max_mi", UserWarning, stacklevel=1)
        return super().fit(*args, **kwargs)


def test_what_the_eraser_warns_of_is_said(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["midebias.erasure"], "MIEraser", Warns)
    status, folder = erase(files / "e.npz", tmp_path)
    assert status == 0
    assert json.loads((folder / "results.json").read_text())["warnings"] == ["no map meets max_mi"]
    assert "no map meets max_mi" in capfd.readouterr().out
    assert "<li>no map meets max_mi</li>" in (folder / "report.html").read_text()


def test_an_attribute_that_is_known_may_be_missing_if_that_is_said(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = make_table()
    table.loc[::9, "sex"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    aware = ["--aware", "--method", "nonlinear"]
    assert erase(tmp_path / "t.csv", tmp_path / "runs", *aware)[0] == 2
    assert "unseen" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
    status, folder = erase(tmp_path / "t.csv", tmp_path / "runs", *aware, "--unseen", "unaware")
    assert status == 0
    written, known = pd.read_csv(folder / "t.csv"), table["sex"].notna()
    assert correlate(written.filter(like="z_")[known], table["sex"][known] == "w") < 0.15


def test_the_seed_decides_everything(files: Path, tmp_path: Path) -> None:
    written = []
    for i, seed in enumerate(("0", "0", "1")):
        assert erase(files / "e.npz", tmp_path / str(i), "--seed", seed)[0] == 0
        with np.load(tmp_path / str(i) / "erase-001" / "e.npz") as content:
            written.append(content["z"])
    np.testing.assert_array_equal(written[0], written[1])
    assert (written[0] != written[2]).any()


@pytest.mark.parametrize(
    ("file", "options", "named"),
    [
        ("e.csv", ["--attribute", "age"], "has no column 'age'"),
        ("e.csv", ["--keep", "sex"], "--keep names 'sex', which --attribute says is to be erased"),
        ("e.csv", ["--criterion", "separation"], "--criterion separation needs --label"),
        ("e.csv", ["--criterion", "any"], "--criterion"),
        ("e.csv", ["--method", "magic"], "--method"),
        ("e.csv", ["--probes", "crystal ball"], "probes must be among"),
        ("e.csv", ["--max-leakage", "inf"], "--max-leakage must be a number"),
        ("e.csv", ["--max-mi", "-1"], "max_mi must be a positive number"),
        ("e.csv", ["--columns", "z_*,sex"], "'sex' is an attribute"),
        ("e.csv", ["--use-rep", "X_pca"], "--use-rep is for .h5ad"),
        ("e.csv", ["--label", "code"], "categories in 200 rows, nearly all distinct"),
        ("e.csv", ["--resume", "runs/erase-001"], "--resume"),
        ("short.npz", [], "'sex' has 599 rows, and z has 600"),
        ("short.npz", ["--columns", "y"], "has no array 'y'"),
        ("e.npy", [], "give a table of attributes with --table"),
        ("few.csv", [], "of the third of the rows that is held out, z holds 50 rows"),
        ("nan.csv", [], "z_0"),
        ("none.csv", [], "does not exist"),
        ("e.txt", [], "none of .npy"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, options: list[str], named: str
) -> None:
    table = make_table()
    if file == "few.csv":
        table[:150].to_csv(files / file, index=False)
    if file == "nan.csv":
        table.assign(z_0=np.where(np.arange(N) == 7, np.nan, table["z_0"])).to_csv(files / file, index=False)
    if file == "short.npz":
        np.savez(files / file, z=np.zeros((N, 2)), sex=np.arange(N - 1) % 2)
    if file == "e.txt":
        (files / file).write_text("nothing")
    assert erase(files / file, tmp_path, *options)[0] == 2
    error = capfd.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_what_is_needed_for_cells_is_named(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    (files / "cells.h5ad").touch()
    assert erase(files / "cells.h5ad", tmp_path, "--use-rep", "X_pca")[0] == 2
    assert "pip install anndata" in capfd.readouterr().err


def test_a_label_that_would_be_erased_is_pointed_out(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--attribute", "sex", *QUICK, "--max-rows", "100", "--output-dir", str(tmp_path)]
    assert run(["erase", str(files / "e.csv"), *options]) == 0
    assert "few whole numbers: income; if that is a label, say so with --keep" in capfd.readouterr().out


def test_a_copy_that_fails_leaves_no_run_folder(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "e.csv")

    monkeypatch.setattr(sys.modules["midebias.cli.erase"], "write_embeddings", fail)
    assert erase(files / "e.csv", tmp_path)[0] == 2
    assert "No space left on device" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_several_attributes_that_are_missing_here_and_there(files: Path, tmp_path: Path) -> None:
    table = make_table()
    table["age"] = np.random.default_rng(1).normal(40, 10, N) + 8 * table["z_3"]
    table.loc[::7, "age"] = np.nan
    table.loc[::5, "sex"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    status, folder = erase(tmp_path / "t.csv", tmp_path / "runs", "--attribute", "age")
    assert status == 0
    written = pd.read_csv(folder / "t.csv")
    known = table["age"].notna()
    assert correlate(table.filter(like="z_")[known], table["age"][known]) > 0.5
    assert correlate(written.filter(like="z_")[known], table["age"][known]) < 0.12
    assert written["sex"].isna().sum() == table["sex"].isna().sum()
