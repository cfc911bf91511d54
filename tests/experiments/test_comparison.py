"""The comparison survives being killed, goes on where it was, and marks what others published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.tables import render_document
from midebias.attributes import Continuous
from midebias.cli import run
from midebias.datasets import ColoredMNIST, read_labelled_arrays, read_palette
from midebias.errors import DataError, InputError
from midebias.experiments import biased_accuracy
from midebias.experiments.comparison import Comparison, ImageCell, plan_cells, summarize, tabulate_comparison
from midebias.experiments.image_data import hold_out
from midebias.experiments.image_loading import load_images
from midebias.experiments.image_methods import parse_method
from midebias.experiments.image_run import run_method
from midebias.experiments.own_images import load_own_images
from midebias.methods import METHODS
from midebias.reporting.comparison_figure import draw_comparison
from midebias.reporting.training_figure import draw_training


def write_arrays(path: Path, n: int = 640, *, test: bool = True, size: int = 28) -> Path:
    """Bright rows say the label, the third channel the attribute."""
    rng = np.random.default_rng(0)
    content = {}
    for suffix in ("", "_test") if test else ("",):
        y = rng.integers(0, 2, n)
        c = np.where(rng.random(n) < 0.9, y, 1 - y) if not suffix else rng.integers(0, 2, n)
        x = rng.integers(0, 60, (n, size, size, 3), dtype=np.uint8)
        x[y == 1, : size // 2] += 150
        x[:, :, :, 2] += (80 * c[:, None, None]).astype(np.uint8)
        content |= {"x" + suffix: x, "y" + suffix: y, "c" + suffix: c}
    np.savez(path, **content)
    return path


def cells(path: Path, methods: tuple[str, ...] = ("plain", "mib"), epochs: int = 1) -> list[ImageCell]:
    return plan_cells(str(path), [None], methods, [0], epochs=epochs)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells where their processes are not what is tested: they spare themselves the start of another Python."""
    monkeypatch.setattr(Comparison, "apart", False)


@pytest.mark.usefixtures("in_this_process")
def test_a_comparison_of_the_users_own_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_arrays(tmp_path / "own.npz")
    out = tmp_path / "runs"
    assert (
        run(
            [
                "compare",
                str(data),
                "--methods",
                "plain,balanced",
                "--seeds",
                "0",
                "--epochs",
                "1",
                "--output-dir",
                str(out),
            ]
        )
        == 0
    )
    folder = out / "compare-001"
    document = json.loads((folder / "results.json").read_text())
    assert [r["method"] for r in document["rows"]] == ["plain", "balanced"]
    needed = {"dataset", "method", "setting", "seed", "epochs", "train_accuracy", "test_accuracy", "mi",
              "probe_accuracy", "seconds", "seconds_per_epoch", "peak_memory_mb"}  # fmt: skip
    assert needed <= set(document["rows"][0])
    assert document["rows"][0]["dataset"] == "own"
    figure = draw_comparison(tmp_path / "again.png", document["summary"], document["published"])
    assert (folder / "comparison.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    texts = " ".join(t.get_text() for axis in figure.axes for t in axis.texts)
    assert all(f"{e['test_accuracy']:.3f}" in texts for e in document["summary"])
    assert "balanced" in capsys.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in (folder / "cells").iterdir()}
    assert run(["compare", "--resume", str(folder)]) == 0
    assert {p: p.stat().st_mtime_ns for p in (folder / "cells").iterdir()} == before


@pytest.mark.usefixtures("in_this_process")
def test_killed_and_resumed_ends_with_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as here
    data = write_arrays(tmp_path / "own.npz")
    whole = cells(data)
    rows = [cell.run()["rows"][0] for cell in whole]
    killed = tmp_path / "killed"
    killed.mkdir()
    program = (
        "import sys; from pathlib import Path; from midebias.experiments.comparison import Comparison, plan_cells\n"
        f"cells = plan_cells({str(data)!r}, [None], ('plain', 'mib'), [0], epochs=1)\n"
        "Comparison.apart = False\n"
        f"list(Comparison(Path({str(killed)!r}), cells, command='x').run())"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    first = killed / "cells" / f"{whole[0].name}.json"
    deadline = time.monotonic() + 120
    while not first.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = Comparison(killed, cells(data), command="x")
    assert list(again.read_records()) == [whole[0].name]
    resumed = [row for _, (row,) in again.run()]
    varying = ("seconds", "seconds_per_epoch", "peak_memory_mb")
    assert [{k: v for k, v in r.items() if k not in varying} for r in resumed] == [
        {k: v for k, v in r.items() if k not in varying} for r in rows
    ]


def test_a_damaged_or_foreign_cell_is_named(tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, cells(Path("own.npz")), command="x")
    path = tmp_path / "cells" / f"{comparison.cells[0].name}.json"
    path.parent.mkdir()
    path.write_text('{"cell": ')
    with pytest.raises(DataError, match="damaged"):
        comparison.read_records()
    other = asdict(comparison.cells[0]) | {"epochs": 9}
    path.write_text(json.dumps({"cell": other, "rows": [], "history": [], "trace": []}))
    with pytest.raises(DataError, match="other settings"):
        comparison.read_records()


@pytest.mark.usefixtures("in_this_process")
def test_a_failing_cell_says_why_and_leaves_the_others(tmp_path: Path) -> None:
    data = write_arrays(tmp_path / "own.npz", n=100)  # fewer than a batch
    with pytest.raises(DataError, match="batch_size"):
        list(Comparison(tmp_path, cells(data), command="x").run())
    assert not list(tmp_path.glob("cells/*"))


def test_summary_and_table_mark_the_best_and_the_published() -> None:
    common = {"dataset": "biased-mnist", "network": "paper", "train_accuracy": 1.0, "probe_accuracy": 0.1, "mi": 0.0,
              "seconds_per_epoch": 1.0, "peak_memory_mb": 1.0, "epochs": 5, "chance": 0.1}  # fmt: skip
    rows = [
        common | {"method": m, "setting": "rho=0.990", "seed": s, "test_accuracy": a}
        for m, s, a in (("plain", 0, 0.5), ("plain", 1, 0.7), ("mib", 0, 0.9), ("mib", 1, 0.9))
    ]
    summary = summarize(rows)
    assert summary[0]["test_accuracy"] == pytest.approx(0.6)
    assert summary[0]["test_accuracy_std"] == pytest.approx(0.2 / 2**0.5)
    published = {"biased-mnist": {"test_accuracy": {"EnD": {"rho=0.990": 0.96}}}}
    header, lines = tabulate_comparison({"summary": summary, "published": published})
    assert header == ["method", "rho=0.990"]
    assert lines == [["plain", "0.600 ± 0.141"], ["mib", "**0.900 ± 0.000**"], ["EnD (published)", "0.960"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "data set"),
        (["colored-mnist", "--methods", "magic"], "--methods"),
        (["colored-mnist", "--seeds", "one"], "--seeds"),
        (["colored-mnist", "--seeds", "1,1"], "repeat"),
        (["colored-mnist", "--settings", "low"], "--settings"),
        (["own.npz", "--settings", "0.1"], "--settings"),
        (["none.npz"], "none.npz"),
        (["mnist"], "dataset"),
        (["colored-mnist", "--settings", "0.02,-1"], "variance"),
        (["biased-mnist", "--settings", "nan"], "rho"),
        (["colored-mnist", "--seeds=-1"], "--seeds"),
        (["--resume", "nowhere"], "--resume"),
    ],
)
def test_bad_arguments_end_in_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *arguments, "--output-dir", str(tmp_path / "runs")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_reproduce_covers_every_method_and_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[ImageCell] = []

    def nothing(self: Comparison, only: object = None, *, jobs: int = 1) -> list[None]:
        planned.extend(self.cells)
        raise DataError("enough")

    monkeypatch.setattr(Comparison, "run", nothing)
    assert run(["reproduce", "biased-mnist", "--output-dir", str(tmp_path)]) == 2
    assert len(planned) == 4 * 3 * len(METHODS) + 1  # and the ceiling
    planned.clear()
    assert run(["reproduce", "colored-mnist", "--quick", "--output-dir", str(tmp_path)]) == 2
    assert len(planned) == len(METHODS) + 1
    assert {c.limit for c in planned} == {6_000}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fairness", "--epochs", "3"], "--epochs applies to colored-mnist and biased-mnist and imdb only"),
        (["estimators", "--network", "lnl"], "--network applies to"),
        (["colored-mnist", "--root", "faces"], "--root applies to imdb only"),
        (["fairness", "--public", "theirs.py"], "--public applies to estimators only"),
        (["estimators", "--public", "theirs.py"], "--public theirs.py is not a file"),
        (["fairness", "--resume", "estimators"], "holds the table estimators, not fairness"),
        (["--resume", "damaged"], "holds no table that can go on"),
        (["--resume", "nowhere"], "holds no table that can go on"),
        (["colored-mnist", "--seeds", "one"], "--seeds must be numbers"),
        ([], "name a table"),
    ],
)
def test_reproduce_refuses_what_does_not_go_together(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = "midebias reproduce estimators --seeds 0"
    for folder, record in (
        ("estimators", {"cells": [{"task": "spiral-1", "seed": 0, "n": 2000}]}),
        ("damaged", {"cells": 1}),
    ):
        Path(folder).mkdir()
        (Path(folder) / "config.yaml").write_text(json.dumps({"command": command} | record))
    before = sorted(tmp_path.rglob("*"))
    assert run(["reproduce", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_arrays_without_a_test_part_are_split(tmp_path: Path) -> None:
    parts = read_labelled_arrays(write_arrays(tmp_path / "a.npz", n=50, test=False), seed=1)
    assert (len(parts["train"]["y"]), len(parts["test"]["y"])) == (40, 10)
    assert parts["train"]["x"].shape == (40, 3, 28, 28)
    assert float(parts["train"]["x"].max()) <= 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": None}, "'y'"),
        ({"c": np.zeros(3, dtype=int)}, "c must have shape"),
        ({"y": np.full(20, -1)}, "y must hold"),
        ({"y": np.full(20, 0.5)}, "y must hold"),
        ({"x": np.full((20, 4, 4, 3), np.nan)}, "NaN"),
        ({"x": np.zeros((20, 4), dtype=np.uint8)}, "x must be"),
        ({"x": np.array([{}] * 20, dtype=object)}, "cannot be read"),
    ],
)
def test_bad_arrays_are_named(change: dict[str, object], said: str, tmp_path: Path) -> None:
    content = {"x": np.zeros((20, 4, 4, 3), dtype=np.uint8), "y": np.zeros(20, dtype=int), "c": np.zeros(20, dtype=int)}
    content = {k: v for k, v in (content | change).items() if v is not None}  # type: ignore[assignment]
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=said):
        read_labelled_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": np.zeros(200, dtype=int)}, "y never varies"),
        ({"c": np.zeros(200, dtype=int)}, "c never varies"),
        ({"c_test": np.zeros(200, dtype=int)}, "test images' c never varies"),
        (
            {k: np.arange(40).reshape(-1) % 2 for k in ("y_test", "c_test")} | {"x_test": np.zeros((40, 9, 9))},
            "too few",
        ),
    ],
)
def test_what_could_not_be_judged_is_refused_before_training(
    change: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    labels = np.arange(200) % 2
    content: dict[str, np.ndarray] = dict.fromkeys(("y", "c", "y_test", "c_test"), labels)
    content |= {k: np.zeros((200, 9, 9)) for k in ("x", "x_test")}
    np.savez(tmp_path / "a.npz", **(content | change))
    with pytest.raises(DataError, match=said):
        load_own_images(tmp_path / "a.npz", 0)


def test_images_of_another_size_go_through_the_network_that_takes_them(tmp_path: Path) -> None:
    data = load_own_images(write_arrays(tmp_path / "a.npz", size=16), 0)
    with pytest.raises(InputError, match="28x28"):
        run_method("plain", data, epochs=1)
    assert run_method("mib", data, epochs=1, network="lnl").row["network"] == "lnl"


def test_what_is_no_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not really")
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, np.zeros(3))
    whole = write_arrays(tmp_path / "whole.npz", n=20).read_bytes()
    (tmp_path / "short.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("a.npz", "single.npz", "short.npz", "none.npz"):
        with pytest.raises(DataError, match=name):
            read_labelled_arrays(tmp_path / name)


def test_a_cell_is_named_after_all_it_varies_in() -> None:
    names = {c.name for c in plan_cells("colored-mnist", [0.02, 0.03], ["plain", "mib"], [0, 1], epochs=1)}
    assert len(names) == 8
    with pytest.raises(InputError, match="repeat"):
        Comparison(Path(), plan_cells("colored-mnist", [0.02, 0.02], ["plain"], [0], epochs=1), command="x")


def test_a_continuous_attribute_of_the_users_own(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "a.npz", n=1200)
    content = dict(np.load(path))
    for name in ("c", "c_test"):
        content[name] = content[name] + np.random.default_rng(1).normal(scale=0.1, size=len(content[name]))
    np.savez(path, **content)
    data = load_own_images(path, 0)
    assert isinstance(data.problem.attribute, Continuous)
    assert sorted(torch.unique(data.train.levels).tolist()) == list(range(8))
    assert torch.bincount(data.train.levels[:, 0]).tolist() == [150] * 8
    row = run_method("mib", data, epochs=1).row
    assert row["chance"] < 0.5
    np.savez(path, **(content | {"c_test": np.zeros(1200, dtype=int)}))
    with pytest.raises(DataError, match="c_test"):
        load_own_images(path, 0)


@pytest.mark.usefixtures("in_this_process", "few_test_digits")
def test_a_palette_of_the_users_own(tmp_path: Path) -> None:
    colours = [(25 * i, 255 - 25 * i, 100) for i in range(10)]
    path = tmp_path / "palette.txt"
    path.write_text("\n".join(f"{r}, {g} {b}" for r, g, b in colours) + "\n\n")
    palette = read_palette(path)
    assert palette == tuple(colours)
    data = load_images("biased-mnist", 1.0, 0, limit=600, palette=palette)
    corner = (data.train.x[:, :, 0, 0] * 255).round()
    assert torch.equal(corner, torch.tensor(palette)[data.train.y])
    arguments = ["compare", "biased-mnist", "--methods", "plain", "--limit", "600", "--seed", "3", "--epochs", "1"]
    assert run([*arguments, "--palette", str(path), "--output-dir", str(tmp_path)]) == 0
    folder = tmp_path / "compare-001"
    assert json.loads((folder / "results.json").read_text())["rows"][0]["seed"] == 3
    assert run(["compare", "--resume", str(folder)]) == 0  # the palette is compared with that of the finished cell
    for text in ("1 2 3", "\n".join(["1 2 x"] * 10), "\n".join(["1 2 256"] * 10), "\n".join(["1 2 nan"] * 10)):
        path.write_text(text)
        with pytest.raises(DataError, match="palette"):
            read_palette(path)
    for wrong in (np.full((10, 3), 256), np.full((10, 3), np.nan), np.zeros((9, 3))):
        with pytest.raises(InputError, match="palette"):
            ColoredMNIST(limit=600, palette=wrong)


def test_methods_take_options_by_name() -> None:
    assert parse_method("mib") == ("mib", {})
    options = {"gradient_ratio": 1.0, "critic_steps": 2, "criterion": "independence"}
    assert parse_method("mib:gradient_ratio=1:critic_steps=2:criterion=independence") == ("mib", options)
    for text, said in (("magic", "method"), ("mib:magic=1", "magic"), ("mib:gradient_ratio=x", "gradient_ratio")):
        with pytest.raises(InputError, match=said):
            parse_method(text)


def test_an_option_that_cannot_be_trained_with_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "colored-mnist", "--output-dir", str(tmp_path / "runs")]
    wrong = {"mib:gradient_ratio=-1": "gradient_ratio", "mib:gradient_ratio=nan": "gradient_ratio",
             "mib:adjust=inf": "strength", "mib:criterion=both": "criterion", "plain:lr=0": "lr"}  # fmt: skip
    for method, said in wrong.items():
        assert run([*arguments, "--methods", method]) == 2
        assert said in capsys.readouterr().err
    own = str(write_arrays(tmp_path / "own.npz"))
    palette = tmp_path / "palette.txt"
    palette.write_text("\n".join(["1 2 3"] * 10))
    for option in (["--palette", str(palette)], ["--image-size", "9"], ["--methods", "ceiling"]):
        assert run(["compare", own, *option, *arguments[2:]]) == 2
        assert option[0].strip("-").replace("-", "_") in capsys.readouterr().err.replace("ceiling", "methods")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("in_this_process")
def test_options_of_a_comparison_from_a_file(tmp_path: Path) -> None:
    data = write_arrays(tmp_path / "own.npz")
    file = tmp_path / "options.yaml"
    file.write_text("methods: mib:gradient_ratio=1,mib\nseeds: '4'\nepochs: 1\n")
    assert run(["compare", str(data), "--config", str(file), "--output-dir", str(tmp_path)]) == 0
    folder = tmp_path / "compare-001"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert [(r["method"], r["seed"], r["epochs"]) for r in rows] == [("mib:gradient_ratio=1", 4, 1), ("mib", 4, 1)]
    assert rows[0]["mi"] != rows[1]["mi"]
    traces = Comparison.resume(folder).traces()
    assert list(traces) == ["mib:gradient_ratio=1, as given", "mib, as given"]
    draw_training(tmp_path / "again.png", traces)
    assert (folder / "training.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    columns = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"cell", "step", "loss", "train_accuracy", "mi_1", "mi_3", "weight_1", "weight_3"} <= set(columns)


@pytest.mark.usefixtures("in_this_process")
def test_some_methods_now_and_the_others_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_arrays(tmp_path / "own.npz")
    comparison = Comparison(tmp_path / "runs", cells(data, ("plain", "mib")), command="x")
    assert [cell.method for cell, _ in comparison.run(only=["mib"])] == ["mib"]
    assert [r["method"] for r in json.loads((tmp_path / "runs" / "results.json").read_text())["rows"]] == ["mib"]
    assert list(comparison.traces()) == ["mib, as given"]
    assert {cell.method for cell, _ in comparison.run()} == {"plain", "mib"}
    assert [r["method"] for r in json.loads((tmp_path / "runs" / "results.json").read_text())["rows"]] == [
        "plain",
        "mib",
    ]
    assert list(comparison.traces()) == ["mib, as given"]
    assert run(["compare", str(data), "--only", "mib"]) == 2
    assert "--only" in capsys.readouterr().err


def test_several_at_a_time_and_none_left_behind(tmp_path: Path) -> None:
    data = write_arrays(tmp_path / "own.npz")
    together = plan_cells(str(data), [None], ("plain", "gray"), [0], epochs=1)
    rows = [row for _, (row,) in Comparison(tmp_path / "runs", together, command="x").run(jobs=2)]
    assert {r["method"] for r in rows} == {"plain", "gray"}
    written = json.loads((tmp_path / "runs" / "results.json").read_text())["rows"]
    assert [r["method"] for r in written] == ["plain", "gray"]
    assert sorted(p.suffix for p in (tmp_path / "runs" / "cells").iterdir()) == [".json"] * 2
    bad = plan_cells(str(tmp_path / "none.npz"), [None], ("plain",), [0], epochs=1)
    running = Comparison(tmp_path / "bad", bad, command="x").run(jobs=2)
    with pytest.raises(DataError, match=r"failed: .*none\.npz does not exist"):
        next(running)
    assert not list((tmp_path / "bad" / "cells").iterdir())
    with pytest.raises(InputError, match="jobs"):
        list(Comparison(tmp_path, bad, command="x").run(jobs=0))


@pytest.mark.usefixtures("in_this_process", "few_test_digits")
def test_held_out_images_are_training_images_and_judged_without_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        biased_accuracy, "estimate_mi", partial(biased_accuracy.estimate_mi, max_steps=50)
    )  # its steps are not tested
    data = load_images("biased-mnist", 0.9, 0, limit=2000)
    aside = hold_out(data, 0)
    assert (len(aside.train), len(aside.test)) == (1500, 500)
    together = torch.cat([aside.train.x, aside.test.x]).flatten(1)
    assert torch.equal(together.sum(1).sort().values, data.train.x.flatten(1).sum(1).sort().values)
    assert not torch.equal(aside.test.y, hold_out(data, 1).test.y)
    row = run_method("plain", aside, epochs=4, network="lnl").row
    assert row["dataset"] == "biased-mnist-held-out"
    right = row["test_accuracy"]
    assert row["reweighted_accuracy"] < right  # plain training reads the colour, and the weights undo it
    assert row["reweighted_accuracy_stderr"] > 0
    arguments = ["compare", "biased-mnist", "--methods", "plain", "--limit", "2000", "--seed", "0", "--epochs", "1"]
    assert run([*arguments, "--held-out", "--batch-size", "100", "--output-dir", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "compare-001" / "results.json").read_text())
    assert document["rows"][0]["steps"] == 15
    assert "published" not in document or not document["published"]
    assert "--held-out" in document["command"]
    assert "--batch-size 100" in document["command"]
    assert "nats" in render_document(document)


@pytest.mark.usefixtures("few_test_digits")
def test_the_ceiling_is_trained_without_the_bias(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for dataset, setting in (("colored-mnist", 0.02), ("biased-mnist", 1.0)):
        biased, unbiased = (load_images(dataset, setting, 0, limit=2000, unbiased=u) for u in (False, True))
        assert unbiased.setting == biased.setting
        assert torch.equal(unbiased.train.y, biased.train.y)
        assert torch.equal(unbiased.test.x, biased.test.x)
        explained = []
        for part in (biased.train, unbiased.train):
            colour = part.x.flatten(2).amax(2) if dataset == "colored-mnist" else part.x[:, :, 0, 0]
            means = torch.stack([colour[part.y == k].mean(0) for k in range(10)])
            explained.append(float(means.var(0).sum() / colour.var(0).sum()))
        assert explained[0] > 0.5
        assert explained[1] < 0.05
    own = write_arrays(tmp_path / "own.npz")
    assert run(["compare", str(own), "--methods", "ceiling", "--output-dir", str(tmp_path)]) == 2
    assert "ceiling" in capsys.readouterr().err
