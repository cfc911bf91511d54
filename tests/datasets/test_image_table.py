"""Images with a table of any columns, and public data sets in the format in which they are distributed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image

from midebias import MIPenalty
from midebias.attributes import Categorical, Continuous
from midebias.datasets import ImageTable, open_public_images
from midebias.errors import DataError, InputError

N = 12
TABLE: dict[str, list[Any]] = {
    "path": [f"{i}.png" for i in range(N)],
    "state": ["ill", "well"] * 6,
    "site": ["B", "A", None, "C"] * 3,
    "age": [20.5 + i for i in range(N)],
    "r": [0.1 * i for i in range(N)],
    "g": [float(i % 5) / 7 for i in range(N)],
    "code": [100 * (i % 3) for i in range(N)],
    "part": ["train"] * 6 + ["val"] * 2 + ["test"] * 4,
}


def draw(path: Path, gray: int, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (gray, gray, gray)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i in range(N):
        draw(tmp_path / f"{i}.png", 20 * i)
    return tmp_path


def open_table(root: Path, table: Any = TABLE, split: str = "train", **options: Any) -> ImageTable:
    given: dict[str, Any] = {"image": "path", "label": "state", "attributes": "site", "split_by": "part"}
    return ImageTable(root, table, split, **given | options)


def write(kind: str, folder: Path) -> Any:
    frame = pd.DataFrame(TABLE)
    if kind == "csv":
        frame.to_csv(folder / "t.csv", index=False)
    if kind == "parquet":
        frame.to_parquet(folder / "t.parquet")
    made: dict[str, Callable[[], Any]] = {
        "pandas": lambda: frame, "polars": lambda: pl.DataFrame(TABLE), "pyarrow": lambda: pa.table(TABLE),
        "mapping": lambda: TABLE,
    }  # fmt: skip
    return made[kind]() if kind in made else folder / f"t.{kind}"


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas", "polars", "pyarrow", "mapping"])
def test_tables_of_every_kind_read_alike(kind: str, root: Path) -> None:
    images = open_table(root, write(kind, root), attributes=["site", "age", ("r", "g")])
    assert len(images) == 6
    assert images.labels.classes == ("ill", "well")
    assert images.labels.categories == {"site": ("A", "B", "C")}
    assert list(images.labels.parts) == ["site", "age", "r+g"]
    assert repr(images.attribute) == "Attributes(Categorical(3), Continuous(1), Continuous(2))"
    assert torch.equal(images.y, torch.tensor([0, 1] * 3))
    expected = torch.tensor([[1, 20.5, 0, 0], [0, 21.5, 0.1, 1 / 7], [torch.nan, 22.5, 0.2, 2 / 7]])
    assert torch.allclose(images.c[:3], expected, equal_nan=True)
    assert images.labels.missing.tolist() == [False, False, True, False, False, False]
    x, y, c = images[3]
    assert (float(x.mean()), int(y)) == (pytest.approx(60 / 255), 1)
    assert torch.equal(c, images.c[3])
    with pytest.raises(IndexError):
        images[6]


def test_splits_are_numbered_alike_and_cover_the_table(root: Path) -> None:
    whole = open_table(root, split="all")
    assert {split: len(rows) for split, rows in whole.rows.items()} == {"train": 6, "val": 2, "test": 4, "all": 12}
    parts = [open_table(root, split=split) for split in ("train", "val", "test")]
    assert torch.equal(torch.cat([part.y for part in parts]), whole.y)
    by_number = TABLE | {"part": [["train", "val", "test"].index(part) for part in TABLE["part"]]}
    assert torch.equal(open_table(root, by_number, "test").y, whole.y[-4:])
    drawn = {s: open_table(root, split=s, split_by=None, fractions={"train": 0.5, "val": 0.25, "test": 0.25}, seed=3)
             for s in ("train", "val", "test")}  # fmt: skip
    grays = [sorted((part.read()[:, 0, 0, 0] * 255 / 20).round().int().tolist()) for part in drawn.values()]
    assert [len(gray) for gray in grays] == [6, 3, 3]
    assert sorted(gray for part in grays for gray in part) == list(range(N))
    assert sorted(open_table(root, split_by=None, seed=4).read()[:, 0, 0, 0].tolist()) != sorted(
        open_table(root, split_by=None, seed=5).read()[:, 0, 0, 0].tolist()
    )


def test_one_rule_says_what_is_a_category_and_can_be_overridden(root: Path) -> None:
    assert isinstance(open_table(root, attributes="code").attribute, Categorical)
    declared = open_table(root, attributes="code", kinds={"code": "quantity"})
    assert isinstance(declared.attribute, Continuous)
    assert declared.c.tolist() == [0, 100, 200] * 2
    assert isinstance(open_table(root, attributes="age").attribute, Continuous)
    assert open_table(root, attributes="code").c.dtype == torch.long  # nothing is missing
    with pytest.raises(DataError, match="'site' is declared a quantity"):
        open_table(root, kinds={"site": "quantity"})
    with pytest.raises(InputError, match="kinds must map attributes"):
        open_table(root, kinds={"age": "quantity"})


def test_images_can_be_scaled_and_transformed(root: Path) -> None:
    scaled = open_table(root, image_size=4, transform=lambda x: x[:1] * 2 - 1)
    assert scaled.image_shape == (1, 4, 4)
    assert torch.allclose(scaled.read()[:, 0, 0, 0], torch.arange(6) * 40 / 255 - 1)
    assert torch.equal(next(scaled.open_reader(1)([torch.tensor([2])])), scaled.images(torch.tensor([2])))


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    Image.fromarray(np.stack([ramp[None].repeat(512, 0)] * 3, axis=2)).save(tmp_path / "a.jpg", quality=95)
    draw(tmp_path / "b.jpg", 9, (512, 512))
    table = {"file": ["a.jpg", "b.jpg"], "y": [0, 1], "c": [0, 1]}
    image = ImageTable(tmp_path, table, "all", image_size=32)[0][0]
    assert float((image[0, 0] - torch.from_numpy(ramp.reshape(32, 16).mean(1) / 255)).abs().max()) < 0.02


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"attributes": "hue"}, DataError, "no column 'hue'"),
        ({"attributes": []}, InputError, "attributes must name"),
        ({"attributes": ["age", ("age", "r")]}, InputError, "none twice"),
        ({"label": "site"}, DataError, r"label 'site' is missing in 3 rows, row 3 for one"),
        ({"label": "age"}, DataError, "make classes of it"),
        ({"split": "dev"}, InputError, "split must be one of"),
        ({"split": "id_test"}, DataError, r"no images of split 'id_test'; it has train \(6\)"),
        ({"split_by": "site"}, DataError, "row 1: split must be"),
        ({"fractions": {"train": 0.5, "test": 0.5}}, InputError, "fractions apply where"),
        ({"fractions": {"train": 0.5, "test": 0.6}, "split_by": None}, InputError, "add up to 1"),
        ({"fractions": {"fit": 1.0}, "split_by": None}, InputError, "fractions must name"),
        ({"table": "none.csv"}, DataError, "table none.csv does not exist"),
        ({"table": 3}, InputError, "table must be a file"),
        ({"table": pd.DataFrame(TABLE).rename(columns={"age": "site"})}, DataError, "several columns 'site'"),
        ({"table": TABLE | {"age": [1.0]}, "attributes": "age"}, DataError, "different lengths"),
        ({"table": TABLE | {"path": [*TABLE["path"][:10], "x.png", "y.png"]}}, DataError,
         r"x\.png does not exist, nor do 1 more of 12 images"),
        ({"table": TABLE | {"site": [f"s{i}" for i in range(N)]}}, None, ""),
        ({"workers": -1}, InputError, "workers must be at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(
    options: dict[str, Any], error: type[Exception] | None, said: str, root: Path
) -> None:
    if error is None:
        open_table(root, **options)
        return
    with pytest.raises(error, match=said):
        open_table(root, **options)


def test_a_penalty_reads_what_a_table_yields(root: Path) -> None:
    images = open_table(root, split="all", split_by=None, attributes=["site", ("r", "g")])
    z = torch.randn(10 * N, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    penalty = MIPenalty(3, images.attribute, criterion="independence", estimator="gaussian")
    penalty(z, images.c.repeat(10, 1)).backward()
    assert z.grad is not None
    rows = images.labels.missing.repeat(10)
    assert bool((z.grad[rows] == 0).all())
    assert not bool((z.grad[~rows] == 0).all())


def celeba(root: Path, *, csv: bool = False) -> Path:
    """Six faces as `img_align_celeba` and its lists."""
    names = [f"{i:06d}.jpg" for i in range(1, 7)]
    for i, name in enumerate(names):
        draw(root / "img_align_celeba" / name, 30 * i)
    male, blond = [1, -1, 1, -1, 1, -1], [-1, 1, 1, -1, -1, 1]
    if csv:
        pd.DataFrame({"image_id": names, "Male": male, "Blond_Hair": blond}).to_csv(
            root / "list_attr_celeba.csv", index=False
        )
        pd.DataFrame({"image_id": names, "partition": [0, 0, 0, 0, 1, 2]}).to_csv(
            root / "list_eval_partition.csv", index=False
        )
        return root
    (root / "Anno").mkdir(parents=True)
    lines = ["6", "Male Blond_Hair", *(f"{n}  {m} {b}" for n, m, b in zip(names, male, blond, strict=True))]
    (root / "Anno" / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = [f"{n} {p}" for n, p in zip(names, (0, 0, 0, 0, 1, 2), strict=True)]
    (root / "list_eval_partition.txt").write_text("\n".join(reversed(parts)) + "\n")
    return root


@pytest.mark.parametrize("csv", [False, True])
def test_celeba(csv: bool, tmp_path: Path) -> None:
    faces = open_public_images("celeba", celeba(tmp_path, csv=csv))
    assert (faces.y.tolist(), faces.c.tolist()) == ([0, 1, 1, 0], [1, 0, 1, 0])
    assert faces.labels.classes == ("-1", "1")
    assert float(
        open_public_images("celeba", tmp_path, "test", label="Male", attributes="Blond_Hair").read().mean()
    ) == pytest.approx(150 / 255, abs=0.01)
    with pytest.raises(DataError, match="'Bald'"):
        open_public_images("celeba", tmp_path, attributes="Bald")
    (tmp_path / f"list_eval_partition.{'csv' if csv else 'txt'}").unlink()
    with pytest.raises(DataError, match=r"holds no list_eval_partition\.txt or list_eval_partition\.csv"):
        open_public_images("celeba", tmp_path)


def test_utkface(tmp_path: Path) -> None:
    names = ["30_0_2_20170116174525125.jpg.chip.jpg", "61_1_20170109142408075.jpg", "7_1_0_20170109150557335.jpg",
             "45_0_4_20170109150557336.jpg"]  # fmt: skip
    for i, name in enumerate(names):
        draw(tmp_path / f"part{i % 2}" / name, 30 * i)
    faces = open_public_images("utkface", tmp_path, "all", attributes=["age", "race"], kinds={"age": "quantity"})
    found = {tuple(row) for row in torch.cat([faces.y[:, None], faces.c], 1).nan_to_num(-1).tolist()}
    assert found == {(0, 30, 1), (1, 61, -1), (1, 7, 0), (0, 45, 2)}
    assert faces.labels.categories["race"] == ("0", "2", "4")
    draw(tmp_path / "me.jpg", 0)
    with pytest.raises(DataError, match=r"named age_gender_race_date\.jpg, found \S*me\.jpg"):
        open_public_images("utkface", tmp_path)


def test_fairface(tmp_path: Path) -> None:
    for split, n in (("train", 4), ("val", 2)):
        rows = [(f"{split}/{i}.jpg", "20-29" if i else "more than 70", ["Male", "Female"][i % 2], "Black", "True")
                for i in range(n)]  # fmt: skip
        for row in rows:
            draw(tmp_path / row[0], 40)
        columns = ["file", "age", "gender", "race", "service_test"]
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / f"fairface_label_{split}.csv", index=False)
    faces = open_public_images("fairface", tmp_path, "val", attributes="age")
    assert (faces.y.tolist(), faces.c.tolist()) == ([1, 0], [1, 0])
    assert faces.labels.categories["age"] == ("20-29", "more than 70")
    with pytest.raises(DataError, match="'race' has one value only"):
        open_public_images("fairface", tmp_path)


def test_waterbirds_and_other_metadata(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "img_id": range(1, 7), "img_filename": [f"001.Albatross/{i}.jpg" for i in range(6)],
            "y": [0, 1, 0, 1, 0, 1], "split": [0, 0, 0, 0, 1, 2],
            "place": [0, 1, 1, 0, 0, 1], "place_filename": ["/o/ocean.jpg"] * 6,
        }
    )  # fmt: skip
    for name in frame["img_filename"]:
        draw(tmp_path / "birds" / name, 40)
    frame.to_csv(tmp_path / "birds" / "metadata.csv", index=False)
    for root in (tmp_path, tmp_path / "birds"):
        birds = open_public_images("waterbirds", root)
        assert (birds.y.tolist(), birds.c.tolist()) == ([0, 1, 0, 1], [0, 1, 1, 0])
    for i in range(6):
        draw(tmp_path / "wilds" / "train" / f"{i}.jpg", 40)
    other = {"filename": [f"{i}.jpg" for i in range(6)], "y": [3, 5] * 3, "location": [7, 8, 9] * 2,
             "split": ["train"] * 3 + ["id_val", "val", "test"]}  # fmt: skip
    pd.DataFrame(other).to_csv(tmp_path / "wilds" / "metadata.csv", index=False)
    animals = open_public_images("wilds", tmp_path / "wilds", "id_val", attributes="location")
    assert (animals.labels.classes, animals.c.tolist()) == (("3", "5"), [0])
    with pytest.raises(InputError, match="attributes must name a column: wilds has no usual one"):
        open_public_images("wilds", tmp_path / "wilds")
    pd.DataFrame(other).drop(columns="filename").to_csv(tmp_path / "wilds" / "metadata.csv", index=False)
    with pytest.raises(DataError, match="has no column of images"):
        open_public_images("wilds", tmp_path / "wilds", attributes="location")


def test_medmnist(tmp_path: Path) -> None:
    rng, sizes = np.random.default_rng(0), {"train": 8, "val": 2, "test": 4}
    arrays = {f"{s}_images": rng.integers(0, 255, (n, 28, 28), dtype=np.uint8) for s, n in sizes.items()}
    several = {f"{s}_labels": np.arange(3 * n).reshape(n, 3) % 2 for s, n in sizes.items()}
    np.savez(tmp_path / "chest.npz", **arrays, **several)
    scans = open_public_images("medmnist", tmp_path / "chest.npz", label="label_0", attributes="label_2")
    assert scans.image_shape == (1, 28, 28)
    assert torch.allclose(scans.read()[:, 0], torch.from_numpy(arrays["train_images"] / 255).float())
    assert scans.y.tolist() == scans.c.tolist() == [0, 1] * 4
    small = open_public_images(
        "medmnist", tmp_path / "chest.npz", "test", label="label_0", attributes="label_1", image_size=14
    )
    assert small.image_shape == (1, 14, 14)
    with pytest.raises(InputError, match="attributes must name"):
        open_public_images("medmnist", tmp_path / "chest.npz")
    with pytest.raises(InputError, match="name must be one of celeba, utkface"):
        open_public_images("imagenet", tmp_path)
    with pytest.raises(DataError, match="no column 'label'; it has label_0, label_1, label_2"):
        open_public_images("medmnist", tmp_path / "chest.npz", attributes="label_1")
    single = {f"{s}_labels": np.arange(n)[:, None] % 2 for s, n in sizes.items()}
    sites = {f"{s}_site": np.array(["A", "B"])[np.arange(n) // 2 % 2] for s, n in sizes.items()}
    np.savez(tmp_path / "own.npz", **arrays, **single, **sites)
    assert open_public_images("medmnist", tmp_path / "own.npz", attributes="site").c.tolist() == [0, 0, 1, 1] * 2
    np.savez(tmp_path / "x.npz", x=arrays["train_images"])
    with pytest.raises(DataError, match="needs train_images and train_labels, and has x"):
        open_public_images("medmnist", tmp_path / "x.npz", attributes="site")


@pytest.mark.parametrize("name", ["celeba", "utkface", "fairface", "waterbirds", "wilds", "medmnist"])
def test_a_folder_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"\S*(none|test_a_folder_of)"):
            open_public_images(name, root, attributes="race")
