"""Copies of files of embeddings: z is replaced, and nothing else changes."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midebias.errors import DataError, InputError
from midebias.leakage import embedding_files, embedding_writers
from midebias.leakage.embedding_files import read_embeddings
from midebias.leakage.embedding_writers import write_embeddings

N = 6
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, 3)).astype(np.float32)
OTHERS = {
    "sex": ["f", "m"] * 3,
    "code": ["01", "1.10", "NA", "", 'a "quoted", comma', "é\nline"],
    "day": pd.date_range("2020-01-01", periods=N),
    "count": [3, 1, 2, 5, 4, 9],
}


def copy(path: Path, columns: list[str] | None = None, table: Path | None = None) -> tuple[Path, np.ndarray[Any, Any]]:
    """Replace z by twice z; return the copy, and z as it is read back."""
    found = read_embeddings(path, ["sex"], columns=columns, table=table)
    target = path.with_name("copy" + path.suffix)
    z = np.asarray(found.z, dtype=np.float32).reshape(N, -1)
    again = read_embeddings(target, (), columns=write_embeddings(path, target, found.dimensions, 2 * z)).z
    assert again.shape == found.z.shape
    np.testing.assert_allclose(np.asarray(again, np.float32).reshape(N, -1), 2 * z, rtol=1e-6)
    return target, again


@pytest.mark.parametrize(
    ("given", "kept"), [(np.float16, np.float16), (np.float64, np.float64), (np.int8, np.float32), (bool, np.float32)]
)
def test_arrays_keep_shape_and_floating_type(tmp_path: Path, given: type, kept: type) -> None:
    np.save(tmp_path / "z.npy", (Z * 4).round().astype(given).reshape(N, 3, 1))
    pd.DataFrame({"sex": OTHERS["sex"]}).to_csv(tmp_path / "t.csv", index=False)
    _, again = copy(tmp_path / "z.npy", table=tmp_path / "t.csv")
    assert again.dtype == kept


def test_the_other_arrays_of_an_npz_are_copied_as_bytes_and_never_unpickled(tmp_path: Path) -> None:
    trap = np.array([{"a": 1}], dtype=object)
    np.savez_compressed(tmp_path / "e.npz", z=Z, sex=np.array(OTHERS["sex"]), trap=trap)
    target, _ = copy(tmp_path / "e.npz")
    with zipfile.ZipFile(tmp_path / "e.npz") as before, zipfile.ZipFile(target) as after:
        assert after.namelist() == before.namelist()
        for name in ("sex.npy", "trap.npy"):
            assert after.read(name) == before.read(name)
            assert after.getinfo(name).compress_type == before.getinfo(name).compress_type


@pytest.mark.parametrize("separator", [",", "\t"])
def test_the_other_columns_of_a_text_are_the_same_text(tmp_path: Path, separator: str) -> None:
    path = tmp_path / ("e.csv" if separator == "," else "e.tsv")
    frame = pd.DataFrame({"z_0": Z[:, 0], **OTHERS, "z_1": Z[:, 1]})
    frame.to_csv(path, sep=separator)  # with an index, which has no name
    target, _ = copy(path, ["z_*"])
    before, after = (
        pd.read_csv(p, sep=separator, dtype=str, keep_default_na=False).drop(columns=["z_0", "z_1"])
        for p in (path, target)
    )
    pd.testing.assert_frame_equal(before, after)
    assert target.read_text().splitlines()[0] == path.read_text().splitlines()[0]


def test_lines_that_begin_with_an_index_and_blank_lines_are_read_as_pandas_does(tmp_path: Path) -> None:
    lines = [f"r{i},{'fm'[i % 2]},{Z[i, 0]},{Z[i, 1]}" for i in range(N)]
    (tmp_path / "e.csv").write_text("sex,a,b\n" + "\n   \n\n".join(lines) + "\n\n")
    target, _ = copy(tmp_path / "e.csv", ["a", "b"])
    assert list(pd.read_csv(target).index) == [f"r{i}" for i in range(N)]


@pytest.mark.parametrize("write", [lambda v: str(list(map(float, v))), lambda v: str(v), lambda v: f"({v[0]}, {v[1]})"])
def test_lists_written_as_text_stay_lists(tmp_path: Path, write: Any) -> None:
    frame = pd.DataFrame({"sex": OTHERS["sex"], "e": [write(v) for v in Z], "size": RNG.normal(size=N)})
    for name in ("e.csv", "e.parquet"):
        getattr(frame, {"e.csv": "to_csv", "e.parquet": "to_parquet"}[name])(tmp_path / name, index=False)
        target, _ = copy(tmp_path / name)
        read = {"e.csv": pd.read_csv, "e.parquet": pd.read_parquet}[name]
        assert read(target)["e"].iloc[0].startswith("[")
        np.testing.assert_array_equal(read(target)["size"], read(tmp_path / name)["size"])


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 3), pa.list_(pa.float32(), 3)]
)
def test_lists_of_a_parquet_keep_their_type(tmp_path: Path, kind: pa.DataType) -> None:
    cells = [np.asarray(v, dtype=kind.value_type.to_pandas_dtype()) for v in Z]
    table = pa.table({"sex": OTHERS["sex"], "e": pa.array(cells, type=kind), "day": OTHERS["day"]})
    pq.write_table(table.replace_schema_metadata({"made": "by somebody"}), tmp_path / "e.parquet")
    target, _ = copy(tmp_path / "e.parquet", ["e"])
    after = pq.read_table(target)
    assert after.schema.equals(pq.read_table(tmp_path / "e.parquet").schema, check_metadata=True)
    assert after.drop_columns("e").equals(table.drop_columns("e"))


def test_frames_in_a_parquet_keep_types_names_and_order(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"b": Z[:, 0], **OTHERS, "a": Z[:, 1].astype(np.float64), "text": ["1", "2", "3", "4", "5", "7"]}
    )
    frame["sex"] = frame["sex"].astype("category")
    frame.to_parquet(tmp_path / "e.parquet")
    target, _ = copy(tmp_path / "e.parquet", ["b", "a", "text"])
    after, before = pd.read_parquet(target), pd.read_parquet(tmp_path / "e.parquet")
    assert list(after.dtypes) == list(before.dtypes)
    pd.testing.assert_frame_equal(after.drop(columns=["a", "b", "text"]), before.drop(columns=["a", "b", "text"]))
    copy(tmp_path / "e.parquet", ["count"])
    assert pd.read_parquet(target)["count"].dtype == np.float32
    pl.DataFrame({"sex": pl.Series(OTHERS["sex"], dtype=pl.Categorical), "e": Z}).write_parquet(tmp_path / "p.parquet")
    target, _ = copy(tmp_path / "p.parquet")
    assert pl.read_parquet(target).schema == pl.read_parquet(tmp_path / "p.parquet").schema


def test_an_index_that_would_be_erased_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sex": OTHERS["sex"], "a": Z[:, 0]}, index=Z[:, 1])
    frame.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match="'index' is the index of a data frame"):
        copy(tmp_path / "e.parquet", ["a", "index"])


def test_a_text_that_changes_under_our_hands_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": Z[:, 0]}).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(DataError, match="6 lines for 5 rows"):
        write_embeddings(tmp_path / "e.csv", tmp_path / "copy.csv", ["a"], Z[:5, :1])


def test_what_can_be_read_can_be_written() -> None:
    assert set(embedding_writers._WRITERS) == set(embedding_files._READERS)


@pytest.mark.parametrize("key", ["X", "X_pca"])
def test_an_h5ad_keeps_everything_and_has_one_obsm_more(tmp_path: Path, key: str) -> None:
    h5py, anndata = pytest.importorskip("h5py"), pytest.importorskip("anndata")
    obs = pd.DataFrame({"sex": pd.Categorical(OTHERS["sex"])}, index=pd.Index(list("abcdef"), dtype=object))
    stored = anndata.AnnData(X=Z, obs=obs, obsm={"X_pca": Z[:, :2]})
    stored.var_names = stored.var_names.astype(object)
    stored.write_h5ad(tmp_path / "c.h5ad")
    target, _ = copy(tmp_path / "c.h5ad", None if key == "X" else [key])
    after = anndata.read_h5ad(target)
    np.testing.assert_array_equal(after.X, Z)
    assert set(after.obsm) == {"X_pca", f"{key}_erased"}
    with h5py.File(target) as file:
        assert file["obsm"].attrs["encoding-type"] == "dict"
    with pytest.raises(InputError, match=f"has an obsm '{key}_erased' already"):
        write_embeddings(target, tmp_path / "again.h5ad", (key,), Z[:, : after.obsm[f"{key}_erased"].shape[1]])
