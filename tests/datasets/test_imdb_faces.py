"""Faces in the format of imdb_crop, drawn here."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from midebias.cli import run
from midebias.datasets import IMDBFaces
from midebias.errors import DataError, InputError

AGES = (22.0, 25.0, 45.0, 60.0, 35.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces(tmp_path_factory.mktemp("imdb_crop"), 480)


def draw_faces(folder: Path, n: int) -> Path:
    """Gender is the shape, age the brightness; some rows cannot be used, each for its own reason."""
    rng = np.random.default_rng(0)
    paths, born, taken, gender, score, second, names = [], [], [], [], [], [], []
    for i in range(n):
        sex, age = i % 2, AGES[(i // 2) % len(AGES)]
        path = f"{i % 10:02d}/nm{i:07d}_rm1_1950-1-1_2000.jpg"
        (folder / path).parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 60, (24, 24, 3), dtype=np.uint8)
        pixels += np.uint8(age)
        pixels[4:20, (6 if sex else 10) : (18 if sex else 14)] += 90
        if i not in (4, 5):
            Image.fromarray(pixels).save(folder / path)
        if i in (6, 7):
            (folder / path).write_bytes(b"\xff\xd8\xff half a jpeg")
        paths.append(path)
        born.append(datetime.date(2000 - int(age), 1, 1).toordinal() + 366)
        taken.append(2000)
        gender.append(float(sex))
        score.append(3.0)
        second.append(np.nan)
        names.append(f"Person {i}")
    for reason, i in (("face", 0), ("several", 1), ("gender", 2), ("age", 3)):
        if reason == "face":
            score[i] = -np.inf
        if reason == "several":
            second[i] = 2.0
        if reason == "gender":
            gender[i] = np.nan
        if reason == "age":
            born[i] = 100
    columns = {
        "dob": np.array(born, float), "photo_taken": np.array(taken, float), "gender": np.array(gender),
        "full_path": np.array(paths, dtype=object), "name": np.array(names, dtype=object),
        "face_score": np.array(score), "second_face_score": np.array(second),
    }  # fmt: skip
    savemat(folder / "imdb.mat", {"imdb": columns})
    return folder


def test_the_splits_follow_the_rule(root: Path) -> None:
    splits = {name: IMDBFaces(root, name, size=16) for name in ("eb1", "eb2", "test")}  # type: ignore[arg-type]
    for name, faces in splits.items():
        women, young = faces.y == 0, faces.ages <= 29
        if name == "eb1":
            assert bool((women == young).all())
            assert bool((faces.ages[~women] >= 40).all())
        if name == "eb2":
            assert bool((women != young).all())
            assert bool((faces.ages[women] >= 40).all())
        assert faces.skipped["no face"] == faces.skipped["several faces"] == 1
        assert faces.skipped["no gender"] == faces.skipped["no age"] == 1
    assert set(splits["test"].ages.tolist()) == set(AGES)
    files = [set(f.files) for f in splits.values()]
    assert not files[0] & files[1]
    assert not (files[0] | files[1]) & files[2]
    assert sum(f.skipped["missing file"] for f in splits.values()) == 2


def test_images_ages_and_damage(root: Path) -> None:
    faces = IMDBFaces(root, "eb1", size=16)
    x, y, c = faces[20]
    assert x.shape == (3, 16, 16)
    assert x.dtype == torch.float32
    assert float(x.min()) >= -0.49
    assert (int(y), int(c)) == (int(faces.y[20]), int(faces.levels[20, 0]))
    by_age = {float(a): int(level) for a, level in zip(faces.ages, faces.levels[:, 0], strict=True)}
    assert {a: by_age[a] for a in (22.0, 25.0, 45.0, 60.0)} == {22.0: 1, 25.0: 2, 45.0: 6, 60.0: 9}
    everything = [IMDBFaces(root, name, size=8) for name in ("eb1", "eb2", "test")]  # type: ignore[arg-type]
    for part in everything:
        rows = torch.arange(len(part))
        (images,) = part.open_reader()([rows])
        assert len(images) == len(rows)
        again = part.images(rows)  # a damaged image has the place, label and age of the next that can be read
        assert torch.equal(images, again)
        same = [i for i in range(1, len(part)) if part.files[i] == part.files[i - 1]]
        assert len(same) == part.skipped.get("damaged", 0)
        assert all(part.y[i] == part.y[i - 1] and part.ages[i] == part.ages[i - 1] for i in same)
    assert sum(part.skipped.get("damaged", 0) for part in everything) == 2
    assert IMDBFaces(root, "eb1", age="years").c.is_floating_point()


def test_the_authors_lists_replace_the_rule(root: Path, tmp_path: Path) -> None:
    some = [str(f.relative_to(root)) for f in IMDBFaces(root, "eb1").files[:7]]
    (tmp_path / "test.txt").write_text("\n".join(some) + "\n")
    assert [str(f.relative_to(root)) for f in IMDBFaces(root, "test", lists=tmp_path).files] == some
    (tmp_path / "test.txt").write_text("00/nobody.jpg\n")
    with pytest.raises(DataError, match="nobody"):
        IMDBFaces(root, "test", lists=tmp_path)


def test_what_is_wrong_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split"):
        IMDBFaces(root, "eb3")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="age"):
        IMDBFaces(root, "eb1", age="months")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"imdb\.mat does not exist"):
        IMDBFaces(tmp_path, "eb1")
    (tmp_path / "imdb.mat").write_bytes(b"MATLAB 5.0 but not really" * 20)
    with pytest.raises(DataError, match=r"imdb\.mat cannot be read"):
        IMDBFaces(tmp_path, "eb1")


def test_reproduce_imdb_fills_the_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "imdb_crop").mkdir()
    root, runs = draw_faces(tmp_path / "imdb_crop", 240), tmp_path / "runs"
    command = [
        "reproduce", "imdb", "--root", str(root), "--encoder", "small", "--image-size", "8", "--quick",
        "--epochs", "1", "--only", "plain,reference,mib",
    ]  # fmt: skip
    assert run([*command, "--output-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    document = json.loads((folder / "results.json").read_text())
    rows = document["rows"]
    settings = {"eb1 to eb2", "eb1 to test", "eb2 to eb1", "eb2 to test"}
    assert {(r["method"], r["setting"]) for r in rows} == {
        (m, s) for m in ("plain", "reference", "mib") for s in settings
    }
    assert all(0 <= r["test_accuracy"] <= 1 and r["seconds"] > 0 for r in rows)
    out = capfd.readouterr().out
    assert "eb1 to eb2" in out
    assert "1 no gender" in out
    assert run([*command, "--resume", str(folder)]) == 0  # every cell is there
    assert json.loads((folder / "results.json").read_text())["rows"] == rows


def test_reproduce_imdb_says_what_is_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, named in (
        ([], "--root"),
        (["--root", str(tmp_path)], "imdb.mat"),
        (["--root", str(root), "--encoder", "vgg"], "--encoder"),
        (["--root", str(root), "--only", "magic"], "magic"),
    ):
        assert run(["reproduce", "imdb", *arguments]) == 2
        assert named in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
