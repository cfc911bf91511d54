"""Folders of images: both layouts, names and numbers, and what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from midebias.cli import run
from midebias.datasets import open_image_folder, read_image_folder
from midebias.errors import DataError, InputError
from midebias.experiments.comparison import Comparison
from midebias.experiments.image_data import StreamedImages, hold_out
from midebias.experiments.image_run import run_method
from midebias.experiments.own_images import load_own_images


def draw(path: Path, gray: int, size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, gray).save(path)


def by_table(folder: Path, n: int = 10, *, test: bool = True) -> Path:
    lines = ["file,y,c,split"]
    for i in range(n):
        draw(folder / "images" / f"{i}.png", 10 * i)
        split = "test" if test and i % 2 else "train"
        lines.append(f"images/{i}.png,{'cat' if i < 5 else 'dog'},{i % 3},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_table_of_labels(tmp_path: Path) -> None:
    parts = read_image_folder(by_table(tmp_path))
    assert parts["train"]["x"].shape == (5, 3, 5, 6)
    gray = torch.tensor([0, 20, 40, 60, 80]) / 255
    assert torch.allclose(parts["train"]["x"][:, 1, 2, 3], gray)
    assert parts["train"]["y"].tolist() == [0, 0, 0, 1, 1]  # cat before dog
    assert parts["train"]["c"].tolist() == [0, 2, 1, 0, 2]
    assert parts["test"]["c"].tolist() == [1, 0, 2, 1, 0]


def test_without_a_test_set_a_fifth_is_set_aside(tmp_path: Path) -> None:
    parts = read_image_folder(by_table(tmp_path, test=False), seed=1)
    assert [len(p["y"]) for p in parts.values()] == [8, 2]
    gray = (torch.cat([p["x"][:, 0, 0, 0] for p in parts.values()]) * 255).round()
    assert sorted(gray.tolist()) == [10.0 * i for i in range(10)]
    assert torch.equal(read_image_folder(tmp_path, seed=1)["test"]["y"], parts["test"]["y"])


def test_folders_name_label_and_attribute(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i, (y, c) in enumerate((("cat", "night"), ("cat", "day"), ("dog", "night"))):
            draw(tmp_path / split / y / c / "a.png", 40 * i)
    (tmp_path / "train" / "cat" / "day" / "notes.txt").write_text("no image")
    parts = read_image_folder(tmp_path)
    assert parts["train"]["y"].tolist() == [0, 0, 1]
    assert parts["train"]["c"].tolist() == [0, 1, 1]  # day before night
    assert len(parts["test"]["y"]) == 3
    flat = read_image_folder(tmp_path / "train")
    assert sum(len(p["y"]) for p in flat.values()) == 3


def test_quantities_stay_what_they_are_and_classes_are_numbered(tmp_path: Path) -> None:
    by_table(tmp_path, 4, test=False)
    (tmp_path / "labels.csv").write_text(
        "file,y,c\nimages/0.png,10,0.5\nimages/1.png,2,1\nimages/2.png,10,2\nimages/3.png,2,3\n"
    )
    parts = read_image_folder(tmp_path)
    assert sorted(torch.cat([p["y"] for p in parts.values()]).tolist()) == [0, 0, 1, 1]
    assert open_image_folder(tmp_path)["test"].labels.classes == ("2", "10")
    assert sorted(torch.cat([p["c"] for p in parts.values()]).tolist()) == [0.5, 1, 2, 3]


def test_sizes_must_agree_or_be_given(tmp_path: Path) -> None:
    by_table(tmp_path)
    draw(tmp_path / "images" / "7.png", 70, (9, 9))
    with pytest.raises(DataError, match=r"7\.png"):
        read_image_folder(tmp_path)
    assert read_image_folder(tmp_path, image_size=4)["test"]["x"].shape == (5, 3, 4, 4)
    with pytest.raises(InputError, match="image_size"):
        read_image_folder(tmp_path, image_size=0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,y\nimages/0.png,1\n", "'c'"),
        ("file,y,c\nimages/none.png,1,1\n", r"none\.png does not exist"),
        ("file,y,c\nlabels.csv,1,1\n", r"labels\.csv is damaged or no image"),
        ("file,y,c\nimages/0.png,1\n", "line 2"),
        ("file,y,c\nimages/0.png,1,1\nimages/1.png,,1\n", "label 'y' is missing in 1 rows, row 2"),
        ("file,y,c,split\nimages/0.png,1,1,valid\n", "split"),
        ("file,y,c\nimages/0.png,1,1\nimages/1.png,1,2\n", "label 'y' has one value only"),
        ("file,y,c\nimages/0.png,1,1\nimages/1.png,0,1\n", "'c' has one value only"),
        ("file,y,c\nimages/0.png,0.25,1\nimages/1.png,0.5,2\n", "make classes of it"),
        ("file,y,c\n", "no training images"),
        ("file,y,c,split\nimages/0.png,1,1,test\nimages/1.png,2,2,test\n", "no training images"),
    ],
)
def test_bad_tables_are_named(text: str, said: str, tmp_path: Path) -> None:
    by_table(tmp_path)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_image_folder(tmp_path)


def test_damaged_images_and_missing_folders_are_named(tmp_path: Path) -> None:
    by_table(tmp_path)
    whole = (tmp_path / "images" / "3.png").read_bytes()
    (tmp_path / "images" / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"3\.png"):
        read_image_folder(tmp_path)
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(DataError, match="labels"):
        read_image_folder(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        read_image_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no training images"):
        read_image_folder(tmp_path / "empty")


def parquet_of(folder: Path, columns: dict[str, str]) -> None:
    """labels.csv as labels.parquet, with columns of other names."""
    frame = pd.read_csv(folder / "labels.csv").rename(columns=columns)
    frame.to_parquet(folder / "labels.parquet")
    (folder / "labels.csv").unlink()


def test_a_parquet_table_with_columns_of_any_name(tmp_path: Path) -> None:
    by_csv = read_image_folder(by_table(tmp_path))
    parquet_of(tmp_path, {"y": "animal", "c": "camera"})
    by_parquet = read_image_folder(tmp_path, label="animal", attribute="camera")
    for split, part in by_csv.items():
        for name, values in part.items():
            assert torch.equal(by_parquet[split][name], values)
    with pytest.raises(DataError, match="no column 'colour'; it needs file, animal, colour"):
        read_image_folder(tmp_path, label="animal", attribute="colour")
    frame = pd.read_parquet(tmp_path / "labels.parquet")
    frame.loc[3, "camera"] = None
    frame.to_parquet(tmp_path / "labels.parquet")
    parts = open_image_folder(tmp_path, label="animal", attribute="camera")
    assert {split: part.labels.missing.tolist() for split, part in parts.items()} == {
        "train": [False] * 5, "test": [False, True, False, False, False],
    }  # fmt: skip
    frame.loc[3, "animal"] = None
    frame.to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(DataError, match="label 'animal' is missing in 1 rows, row 4"):
        read_image_folder(tmp_path, label="animal", attribute="camera")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"labels\.parquet cannot be read"):
        read_image_folder(tmp_path, label="animal", attribute="camera")
    (tmp_path / "labels.parquet").unlink()
    with pytest.raises(InputError, match=r"neither labels\.csv nor labels\.parquet"):
        read_image_folder(tmp_path, label="animal")


def test_images_stay_in_their_files_until_asked_for(tmp_path: Path) -> None:
    whole = read_image_folder(by_table(tmp_path))["train"]
    files = open_image_folder(tmp_path)["train"]
    assert files.image_shape == (3, 5, 6)
    rows = torch.tensor([3, 0, 3])
    assert torch.equal(files.images(rows), whole["x"][rows])
    for workers in (0, 1):
        ahead = files.open_reader(workers)
        for _ in range(2):  # a reader is used again
            for found, asked in zip(ahead([rows, rows[1:]]), (rows, rows[1:]), strict=True):
                assert torch.equal(found, whole["x"][asked])
    assert torch.equal(files.part(rows).c, whole["c"][rows])
    files.check()
    draw(tmp_path / "images" / "6.png", 60, (9, 9))
    with pytest.raises(DataError, match=r"6\.png has"):
        files.check()
    for read in (lambda: files.images(rows), lambda: list(files.open_reader(1)([rows]))):
        with pytest.raises(DataError, match=r"^\S*6\.png has .* for all$"):  # one sentence, no worker's traceback
            read()
    (tmp_path / "images" / "6.png").unlink()
    with pytest.raises(DataError, match=r"6\.png does not exist"):
        files.check()


def test_a_streamed_folder_trains_to_the_same_weights(tmp_path: Path) -> None:
    digits(tmp_path, 320, test=120)
    outcomes = []
    for memory in (2**30, 0):
        data = load_own_images(tmp_path, 0, image_size=8, memory=memory)
        assert isinstance(data.train, StreamedImages) == (memory == 0)
        outcomes.append(run_method("mib", data, epochs=1, network="lnl", batch_size=64))
    kept, streamed = outcomes
    assert streamed.row["test_accuracy"] == kept.row["test_accuracy"]
    assert torch.equal(streamed.answers, kept.answers)
    for a, b in zip(kept.method.model.parameters(), streamed.method.model.parameters(), strict=True):
        assert torch.equal(a, b)
    held = hold_out(load_own_images(tmp_path, 0, image_size=8, memory=0), 0)
    assert (len(held.train), len(held.test)) == (150, 50)


def digits(folder: Path, n: int, *, test: int, attribute: str = "c") -> None:
    """Images whose label is a height and whose attribute is a colour."""
    rng = np.random.default_rng(0)
    lines = [f"file,y,{attribute},split"]
    folder.mkdir(exist_ok=True)
    for i in range(n):
        y, c = int(rng.integers(2)), int(rng.integers(2))
        pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
        pixels[: 6 + 6 * y, :, 2 * c] += 150
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{y},{('red', 'blue')[c]},{'test' if i >= n - test else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines))


def test_a_folder_goes_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, saved_figures: dict[str, Any]
) -> None:
    monkeypatch.setattr(Comparison, "apart", False)  # processes of cells have tests of their own
    digits(tmp_path / "digits", 720, test=120, attribute="hue")
    arguments = [str(tmp_path / "digits"), "--network", "lnl", "--image-size", "10", "--epochs", "1"]
    arguments += ["--attribute", "hue", "--output-dir", str(tmp_path / "runs")]
    assert run(["train", *arguments]) == 0
    folder = tmp_path / "runs" / "train-digits-mib-001"
    row = json.loads((folder / "results.json").read_text())["rows"][0]
    assert (row["dataset"], row["train_images"]) == ("digits", 600)
    metrics = pd.read_csv(folder / "metrics.csv")
    loss, information, weights = saved_figures["training.png"].get_axes()
    shown = [(loss, ["loss"]), (information, [k for k in metrics if k.startswith("mi_")])]
    for axis, columns in [*shown, (weights, [k for k in metrics if k.startswith("weight_")])]:
        assert len(axis.lines) == len(columns) > 0
        for line, column in zip(axis.lines, columns, strict=True):
            assert list(line.get_xdata()) == metrics["step"].tolist()
            drawn = np.nan_to_num(np.asarray(line.get_ydata(), dtype=float))  # a weight of 0 is a gap
            assert drawn == pytest.approx(metrics[column].to_numpy(), rel=1e-12)
    assert run(["compare", *arguments, "--methods", "plain", "--seeds", "0"]) == 0
    assert run(["train", *arguments, "--label", "shape"]) == 2
    assert "has no column 'shape'" in capsys.readouterr().err
    assert run(["train", "colored-mnist", "--attribute", "hue"]) == 2
    assert "attribute applies to" in capsys.readouterr().err
