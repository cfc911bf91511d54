from __future__ import annotations

import csv
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from midebias.cli import run
from midebias.errors import DataError
from midebias.networks import DigitClassifier
from midebias.randomness import seeded
from midebias.serving import load_run

from ..conftest import labelled_images

QUICK = ["train", "colored-mnist", "--limit", "600", "--epochs", "1"]
ROW = {
    "dataset", "method", "setting", "seed", "epochs", "train_accuracy", "test_accuracy", "mi", "probe_accuracy",
    "seconds", "seconds_per_epoch",
}  # fmt: skip


def folder_in(path: Path) -> Path:
    (only,) = path.iterdir()
    return only


@pytest.mark.usefixtures("few_test_digits")
@pytest.mark.parametrize("method", ["plain", "mib", "reference"])
def test_train_leaves_a_run_folder(tmp_path: Path, method: str) -> None:
    options = ["--method", method, "--seed", "3", "--max-steps", "1", "--output-dir", str(tmp_path)]
    extra = ["--critic-steps", "1", "--mi-lr-ratio", "0.5"] if method == "reference" else []
    assert run([*QUICK, *options, *extra]) == 0
    folder = folder_in(tmp_path)
    document = json.loads((folder / "results.json").read_text())
    assert document["schema"] == 1
    assert document["command"].startswith("midebias train colored-mnist")
    assert {"torch", "numpy", "python"} <= set(document["versions"])
    (row,) = document["rows"]
    assert set(row) >= ROW
    assert row["method"] == method
    assert row["seed"] == 3
    assert 0 <= row["test_accuracy"] <= 1
    assert yaml.safe_load((folder / "config.yaml").read_text())["method"] == method
    with (folder / "metrics.csv").open() as file:
        assert float(next(csv.DictReader(file))["test_accuracy"]) == pytest.approx(row["test_accuracy"])
    with seeded(0):
        model = DigitClassifier()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    assert all(torch.isfinite(p).all() for p in model.parameters())
    x = torch.zeros(1, 3, 28, 28)
    assert torch.equal(load_run(folder)(x)[0], model(x))


def test_a_budget_instead_of_a_weight_on_images(tmp_path: Path) -> None:
    data = labelled_images(tmp_path / "small.npz", 800, 12)
    command = ["train", str(data), "--network", "lnl", "--epochs", "1", "--output-dir", str(tmp_path / "runs")]
    assert run([*command, "--max-mi", "0.5"]) == 0
    folder = folder_in(tmp_path / "runs")
    assert yaml.safe_load((folder / "config.yaml").read_text())["max_mi"] == 0.5
    assert "--max-mi 0.5" in json.loads((folder / "results.json").read_text())["command"]


def test_a_config_gives_defaults_and_options_win(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("method: plain\nnetwork: lnl\nlimit: 600\nepochs: 1\nseed: 9\nmax_steps: 1\n")
    out, data = tmp_path / "out", str(labelled_images(tmp_path / "small.npz", 800, 12))
    command = ["train", data, "--config", str(config), "--seed", "4", "--output-dir", str(out)]
    assert run(command) == 0
    resolved = yaml.safe_load((sorted(out.iterdir())[0] / "config.yaml").read_text())
    assert (resolved["method"], resolved["seed"], resolved["limit"]) == ("plain", 4, 600)
    resolved_file = sorted(out.iterdir())[0] / "config.yaml"
    assert run(["train", data, "--config", str(resolved_file), "--output-dir", str(out)]) == 0
    folders = sorted(out.iterdir())
    assert len(folders) == 2  # a second run never overwrites the first
    rows = [json.loads((f / "results.json").read_text())["rows"][0]["test_accuracy"] for f in folders]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([*QUICK, "--variance", "-1"], "variance"),
        ([*QUICK, "--method", "magic"], "--method"),
        ([*QUICK, "--method", "plain", "--mi-weight", "1"], "--mi-weight"),
        ([*QUICK, "--method", "reference", "--criterion", "independence"], "--criterion"),
        ([*QUICK, "--epochs", "0"], "--epochs"),
        ([*QUICK, "--mi-weight", "-1"], "--mi-weight"),
        ([*QUICK, "--mi-weight", "nan"], "--mi-weight"),
        ([*QUICK, "--max-mi", "0"], "--max-mi"),
        ([*QUICK, "--method", "plain", "--max-mi", "0.1"], "--max-mi"),
        ([*QUICK, "--method", "grl", "--devices", "2"], "devices must be 1 for method grl"),
        ([*QUICK, "--learning-rate", "0"], "lr must be positive"),
        ([*QUICK, "--batch-size", "100000"], "batch_size must lie between"),
        ([*QUICK, "--accelerator", "tpu"], "--accelerator"),
        (["train", "people.csv", "--precision", "32"], "--precision applies to images only"),
        (["train", "colored-mnist", "--limit", "70000"], "limit"),
        (["train", "imagenet"], "imagenet"),
        (["train", "colored-mnist", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["data", "--root", "nowhere"], "nowhere"),
        (["fly"], "fly"),
    ],
)
def test_bad_arguments_exit_2_with_the_name_and_leave_nothing(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    error = capfd.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["- a\n- b\n", "speed: 3\n", "a: [\n", "\x00\x01"])
def test_bad_configs_are_refused(content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(content)
    assert run([*QUICK, "--config", str(config), "--output-dir", str(tmp_path / "out")]) == 2
    assert "bad.yaml" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_config_without_permission_to_code(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    config = tmp_path / "trap.yaml"
    config.write_text(f"method: !!python/object/apply:pathlib.Path.touch ['{trap}']\n")
    assert run([*QUICK, "--config", str(config)]) == 2
    assert not trap.exists()


def test_data_verifies_what_is_bundled(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data"]) == 0
    assert capfd.readouterr().out.count("ok ") == 7


def test_help_shows_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    for verb in ("demo", "train", "data", "audit", "erase", "sweep"):
        assert run([verb, "--help"]) == 0
        assert f"Example: midebias {verb}" in capfd.readouterr().out


def test_an_interruption_exits_130(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["midebias.experiments.comparison"], "load_images", interrupted)
    assert run(QUICK) == 130
    assert "interrupted" in capfd.readouterr().err


def test_the_module_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "midebias", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("midebias 0.")


@pytest.mark.usefixtures("few_test_digits")
def test_demo_ends_with_table_picture_and_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], saved_figures: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys.modules["midebias.cli.demo"], "_QUICK", (1024, 1, 1, 1))
    runs = tmp_path / "[/red] :smile:"  # which nothing may take for marks of style
    assert run(["demo", "--seed", "2", "--output-dir", str(runs)]) == 0
    folder = folder_in(runs)
    out = capfd.readouterr().out
    assert str(folder / "poster.png") in out
    assert str(folder / "results.json") in out
    record = json.loads((folder / "results.json").read_text())
    rows = record["rows"]
    assert [r["method"] for r in rows] == ["plain", "reference", "mib"]
    *answers, curves, leakage = saved_figures["poster.png"].get_axes()
    assert len(answers) == 40  # ten digits, and what three methods take them for
    for row, line in zip(rows, curves.lines, strict=False):
        points = record["history"][row["method"]]
        assert list(line.get_xdata()) == [point["seconds"] for point in points]
        assert list(line.get_ydata()) == [point["test_accuracy"] for point in points]
    assert [bar.get_width() for bar in leakage.patches] == [r["probe_accuracy"] for r in rows]
    assert [t.get_text() for t in leakage.texts[:3]] == [
        f"{r['probe_accuracy']:.2f}   {r['mi']:.2f} nats" for r in rows
    ]
    for row in rows:
        assert set(row) >= ROW
        assert f"{row['test_accuracy']:.3f}" in out


def test_doctor_says_what_a_report_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert torch.__version__ in said
    assert "[cli]" in said
    assert "whole" in said

    def damaged(name: str) -> bytes:
        raise DataError(f"{name} is damaged")

    monkeypatch.setattr(sys.modules["midebias.cli.doctor"], "read_file", damaged)  # the function has its name
    assert run(["doctor"]) == 1
    assert "is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("label", [[np.ones(2)] * 30, [datetime.date(2000, 1, 1)] * 30, [0.0, 1.0, float("inf")] * 10])
def test_a_label_that_cannot_be_read_is_named(tmp_path: Path, capsys: Any, label: list[Any]) -> None:
    frame = pd.DataFrame({"x": np.arange(30) % 7 / 3, "sex": np.arange(30) % 2, "answer": label})
    frame.to_parquet(tmp_path / "t.parquet")
    assert run(["train", str(tmp_path / "t.parquet"), "--label", "answer", "--attribute", "sex"]) == 2
    assert "column 'answer' holds" in capsys.readouterr().err
