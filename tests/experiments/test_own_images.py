"""Images of the user's own and public ones in experiments: attributes of any kind and number, groups, class weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from midebias.attributes import Attributes, Categorical, Continuous
from midebias.cli import run
from midebias.datasets import read_labelled_arrays
from midebias.errors import DataError, InputError
from midebias.experiments.comparison import Comparison
from midebias.experiments.group_accuracy import find_conflicting, measure_group_accuracy
from midebias.experiments.image_data import StreamedImages, hold_out
from midebias.experiments.image_methods import build_for_images
from midebias.experiments.image_run import run_method
from midebias.experiments.own_images import load_own_images, parse_attributes
from midebias.lightning import MethodModule
from midebias.training.data import Problem
from midebias.training.evaluation import evaluate

N, N_TEST = 480, 120


def write_arrays(path: Path, **more: Any) -> Path:
    """Images of 8 pixels whose height is the label, with a colour, an age and a site."""
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for suffix, n in (("", N), ("_test", N_TEST)):
        y, colour = rng.integers(2, size=n), rng.random((n, 3))
        x = rng.random((n, 8, 8, 3)) * 0.2
        x[:, :4] += 0.5 * y[:, None, None, None]
        content |= {f"x{suffix}": np.float32(x + colour[:, None, None] / 4), f"y{suffix}": y, f"colour{suffix}": colour}
        content[f"age{suffix}"] = np.where(rng.random(n) < 0.1, np.nan, 20 + 50 * rng.random(n))
        content[f"site{suffix}"] = np.array(["north", "south", "west"])[rng.integers(3, size=n)]
    np.savez(path, **content | more)
    return path


def draw_folder(root: Path, *, n: int = N + N_TEST) -> pd.DataFrame:
    """JPEGs of 12 pixels whose label is a height and whose attribute a colour, most of them missing in a tenth."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    y, c = rng.integers(2, size=n), rng.integers(2, size=n)
    for i in range(n):
        pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
        pixels[: 6 + 6 * y[i], :, 2 * c[i]] += 150
        Image.fromarray(pixels).save(root / f"{i:06d}.jpg", quality=95)
    return pd.DataFrame({"image_id": [f"{i:06d}.jpg" for i in range(n)], "Tall": 2 * y - 1, "Blue": 2 * c - 1})


def test_a_colour_is_a_quantity_of_three_columns(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "a.npz")
    raw = read_labelled_arrays(path, attributes="colour")
    assert raw["train"]["c"].shape == (N, 3)
    data = load_own_images(path, 0, attribute="colour")
    assert isinstance(data.problem.attribute, Continuous)
    assert data.problem.attribute.dim == 3
    assert data.problem.level_sizes == (8,)
    assert torch.bincount(data.train.levels[:, 0]).tolist() == [N // 8] * 8
    assert torch.allclose(data.train.c.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(data.train.c.std(0), torch.ones(3), atol=1e-5)
    standardised = (raw["test"]["c"] - raw["train"]["c"].mean(0)) / raw["train"]["c"].std(0)
    assert torch.allclose(data.test.c, standardised, atol=1e-5)
    cells = data.test.levels[:, 0]
    for half in (0, 1):  # the first cut is of the first column
        assert len(torch.unique(cells[(data.test.c[:, 0] > data.train.c[:, 0].median()) == half] // 4)) == 1
    row = run_method("mib", data, epochs=1, network="lnl", batch_size=64).row
    assert row["chance"] < 0.3
    assert "by_attribute" not in row
    assert "train_missing" not in row


def test_several_attributes_with_missing_values(tmp_path: Path) -> None:
    data = load_own_images(write_arrays(tmp_path / "a.npz"), 0, attribute="site,age,colour")
    assert isinstance(data.problem.attribute, Attributes)
    assert data.problem.attribute.width == data.train.c.shape[1] == 5
    assert data.problem.level_sizes == (3, 8, 8)
    missing = data.train.c.isnan().any(1)
    assert 0 < int(missing.sum()) < N // 4
    assert torch.equal((data.train.levels < 0).any(1), missing)
    both = int(missing.sum()) + int(data.test.c.isnan().any(1).sum())
    assert any(
        line.startswith("attribute age: a quantity") and f"missing in {both}" in line for line in data.description
    )
    row = run_method("mib", data, epochs=1, network="lnl", batch_size=64).row
    assert row["train_missing"] == int(missing.sum())
    assert row["test_missing"] == int(data.test.c.isnan().any(1).sum())
    assert set(row["by_attribute"]) == {"site", "age", "colour"}
    held = hold_out(load_own_images(tmp_path / "a.npz", 0, attribute="age"), 0)
    assert run_method("mib", held, epochs=1, network="lnl", batch_size=64).row["conditional_mi"] is not None
    for name in ("group_dro", "balanced", "lnl", "hsic"):
        with pytest.raises(
            InputError, match=rf"{name} needs the attribute of every row, which {int(missing.sum())} of"
        ):
            run_method(name, data, epochs=1, network="lnl", batch_size=64)


@pytest.mark.parametrize(
    ("change", "attribute", "said"),
    [
        ({"site_test": None}, "site", "no 'site_test'"),
        ({"colour": np.zeros((N, 2, 3))}, "colour", "colour must have shape"),
        ({"colour": np.zeros((N, 2)), "colour_test": np.ones((N_TEST, 3))}, "colour", "colour and colour_test"),
        ({"age": np.arange(N)}, "age", "age_test must both"),
        ({"age_test": np.full(N_TEST, np.nan)}, "age", "test images' age never varies"),
        ({"age_test": np.r_[np.full(60, np.nan), np.arange(60.0)]}, "age", "60 test images whose attribute is known"),
        ({}, "site+age", "'site' holds text|must hold"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_go_together_are_named(
    change: dict[str, Any], attribute: str, said: str, tmp_path: Path
) -> None:
    path = write_arrays(tmp_path / "a.npz")
    content = {k: v for k, v in (dict(np.load(path)) | change).items() if v is not None}
    np.savez(path, **content)
    if attribute == "site+age":  # a group of both kinds is one attribute
        assert load_own_images(path, 0, attribute=attribute).problem.level_sizes == (3, 8)
        return
    with pytest.raises(DataError, match=said):
        load_own_images(path, 0, attribute=attribute)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (None, {})),
        ("sex", ([("sex",)], {})),
        ("sex,red+green,code:quantity", ([("sex",), ("red", "green"), ("code",)], {"code": "quantity"})),
        ("time:of day", ([("time:of day",)], {})),
        ("r+g:category", ([("r", "g")], {"r+g": "category"})),
    ],
)
def test_attributes_are_read_from_text(text: str | None, expected: Any) -> None:
    assert parse_attributes(text) == expected


def test_accuracy_in_groups() -> None:
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])
    classes = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, -1])
    right = torch.tensor([1, 1, 0, 0, 1, 1, 1, 1, 0], dtype=torch.bool)
    against = find_conflicting(y, classes, y, classes)
    assert against.tolist() == [False, False, False, True, False, False, False, True, False]
    found = measure_group_accuracy(right, y, classes, against)
    assert found == {
        "conflicting_accuracy": 0.5, "unbiased_accuracy": pytest.approx((2 / 3 + 0 + 1 + 1) / 4),
        "worst_group_accuracy": 0.0, "worst_group_images": 1,
    }  # fmt: skip
    none = measure_group_accuracy(right, y, classes, torch.zeros(9, dtype=torch.bool))
    assert none["conflicting_accuracy"] is None


def test_class_weights_make_classes_count_alike(tmp_path: Path) -> None:
    y = np.r_[np.zeros(N - 40, dtype=int), np.ones(40, dtype=int)]
    path = write_arrays(tmp_path / "a.npz", y=y)
    data = load_own_images(path, 0, attribute="site", class_weights=True)
    weights = data.problem.class_weights
    assert weights == pytest.approx((N / 2 / (N - 40), N / 2 / 40))
    logits = torch.randn(N, 2, generator=torch.Generator().manual_seed(0))
    losses = nn.functional.cross_entropy(logits, data.train.y, reduction="none")
    means = torch.stack([losses[data.train.y == label].mean() for label in (0, 1)])
    assert float(data.problem.task_loss(logits, data.train.y)) == pytest.approx(float(means.mean()), rel=1e-5)
    unweighted = Problem(2, Categorical(3), (3,))
    assert float(unweighted.task_loss(logits, data.train.y)) == pytest.approx(float(losses.mean()), rel=1e-6)

    def predict_rare(weighted: bool, name: str) -> float:
        loaded = load_own_images(path, 0, attribute="site", class_weights=weighted)
        out = run_method(name, loaded, epochs=3, network="lnl", batch_size=64, options={"lr": 0.02})
        return float(evaluate(out.method, loaded.test)[1].softmax(1)[:, 1].mean())

    for name in ("plain", "group_dro"):  # of a step that all doors take, and of one of its own
        assert predict_rare(True, name) > predict_rare(False, name) + 0.05


def test_a_streamed_run_resumes_bit_for_bit_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    frame = draw_folder(tmp_path / "images")
    frame["split"] = ["train"] * N + ["test"] * N_TEST
    frame.to_csv(tmp_path / "t.csv", index=False)
    options = {"table": tmp_path / "t.csv", "image": "image_id", "label": "Tall", "attribute": "Blue", "image_size": 8}
    data = load_own_images(tmp_path / "images", 0, memory=0, **options)
    assert isinstance(data.train, StreamedImages)
    kept = load_own_images(tmp_path / "images", 0, **options)
    assert torch.equal(kept.train.batch(torch.arange(9)).x, data.train.batch(torch.arange(9)).x)

    def begin() -> MethodModule:
        method = build_for_images("reference", data, options={"critic_steps": 2}, network="lnl", seed=0)
        return MethodModule(method, data.train, epochs=2, batch_size=64, seed=0)

    def weights(run: MethodModule) -> list[Tensor]:
        return [p.detach().clone() for p in run.method.model.parameters()]

    whole, stopped, resumed = begin(), begin(), begin()
    whole.advance(10)
    stopped.advance(7)
    resumed.restore_state(stopped.collect_state())
    resumed.advance(3)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_public_images_go_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = draw_folder(tmp_path / "celeba" / "img_align_celeba")
    frame.to_csv(tmp_path / "celeba" / "list_attr_celeba.csv", index=False)
    parts = pd.DataFrame({"image_id": frame["image_id"], "partition": [0] * N + [2] * N_TEST})
    parts.to_csv(tmp_path / "celeba" / "list_eval_partition.csv", index=False)
    command = ["celeba", "--label", "Tall", "--attribute", "Blue", "--image-size", "8", "--network", "lnl"]
    command += ["--epochs", "1", "--output-dir", str(tmp_path / "runs")]
    root = ["--root", str(tmp_path / "celeba")]
    assert run(["train", *command]) == 2
    assert "root must name the folder of celeba" in capsys.readouterr().err
    assert run(["train", *command, *root, "--class-weights", "--method", "plain"]) == 0
    out = capsys.readouterr().out
    assert "attribute Blue: 2 categories (-1, 1)" in out
    assert "images: 480 train, 120 test" in out
    document = json.loads((tmp_path / "runs" / "train-celeba-plain-001" / "results.json").read_text())
    assert document["names"]["classes"] == ["-1", "1"]
    assert "Tall" in (tmp_path / "runs" / "train-celeba-plain-001" / "model-card.md").read_text()
    (row,) = document["rows"]
    measured = ("conflicting_accuracy", "unbiased_accuracy", "worst_group_accuracy")
    assert all(0 <= row[name] <= 1 for name in measured)
    assert run(["train", str(tmp_path / "celeba"), *root]) == 2
    assert "root applies to public data sets and planted biases only" in capsys.readouterr().err


def test_the_folder_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_folder(tmp_path / "photos").to_csv(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path / "photos")
    given = {"table": "../t.csv", "image": "image_id", "label": "Tall", "attribute": "Blue", "image_size": 8}
    assert load_own_images(".", 0, **given).dataset == "photos"


def test_a_folder_with_a_table_of_its_own_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Comparison, "apart", False)
    frame = draw_folder(tmp_path / "images")
    frame["part"], frame["Blue"] = ["train"] * N + ["test"] * N_TEST, frame["Blue"].where(frame.index % 10 > 0)
    frame.to_parquet(tmp_path / "t.parquet")
    command = [str(tmp_path / "images"), "--table", str(tmp_path / "t.parquet"), "--image", "image_id"]
    command += ["--label", "Tall", "--attribute", "Blue", "--split-by", "part", "--image-size", "8", "--network", "lnl"]
    command += ["--epochs", "1", "--seeds", "0", "--methods", "plain,mib", "--output-dir", str(tmp_path / "runs")]
    assert run(["compare", *command]) == 0
    assert "worst group" in capsys.readouterr().out
    document = json.loads((tmp_path / "runs" / "compare-001" / "results.json").read_text())
    assert [row["train_missing"] for row in document["rows"]] == [N // 10] * 2
    assert all(0 <= entry["worst_group_accuracy"] <= 1 for entry in document["summary"])
    assert "mean over groups" in (tmp_path / "runs" / "compare-001" / "report.html").read_text()
