from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midebias.benchmarks.weight_choice import WeightTrial, choose, on_front
from midebias.cli import run

COMMAND = ["sweep", "colored-mnist", "--limit", "1024", "--epochs", "1", "--weights", "0.1,3", "--trials", "3"]


def trial(weight: float, loss: float, leakage: float, stderr: float = 0.1) -> WeightTrial:
    return WeightTrial(weight, loss, stderr, leakage, 0.01)


def test_the_front_is_what_nothing_beats() -> None:
    trials = [trial(0, 1.0, 0.9), trial(1, 0.5, 0.3), trial(2, 0.6, 0.4), trial(3, 0.7, 0.1), trial(4, float("nan"), 0)]
    assert on_front(trials) == [False, True, False, True, False]


def test_the_rule_takes_the_least_leakage_among_the_good() -> None:
    assert choose([trial(0.1, 1.0, 0.9), trial(1, 0.50, 0.3), trial(3, 0.51, 0.1), trial(9, 0.8, 0.0)]) == 2
    assert choose([trial(1, 0.5, 0.3, stderr=0.0), trial(3, 0.51, 0.1)]) == 0
    assert choose([trial(1, float("inf"), 0.0), trial(3, 0.9, 0.1)]) == 1
    with pytest.raises(ValueError, match="no trial"):
        choose([trial(1, float("nan"), 0.0)])


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = sys.modules["midebias.cli.sweep"]
    weights: list[float] = []

    def tried(options: dict[str, Any], weight: float, seeds: list[int]) -> WeightTrial:
        weights.append(weight)
        if len(weights) == 2:
            raise KeyboardInterrupt
        return trial(weight, (weight - 1) ** 2, 1 / weight)

    monkeypatch.setattr(module, "_tried", tried)
    assert run([*COMMAND, "--output-dir", str(tmp_path)]) == 130
    folder = tmp_path / "sweep-001"
    assert not (folder / "results.json").exists()
    assert run(["sweep", "--resume", str(folder)]) == 0
    document = json.loads((folder / "results.json").read_text())
    assert len(document["rows"]) == 3
    assert {0.1, 3.0} <= {r["weight"] for r in document["rows"]}
    assert weights.count(0.1) == 1  # finished before the interruption, and not run again
    assert sum(r["chosen"] for r in document["rows"]) == 1
    assert "front-figure" in (folder / "report.html").read_text()
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert len(weights) == 4


def test_a_trial_is_judged_on_biased_held_out_images(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = sys.modules["midebias.cli.sweep"]
    judged = []

    def trained(name: str, data: Any, *, seed: int, options: dict[str, float], **_: object) -> Any:
        judged.append((name, data.held_out, len(data.train), len(data.test), options))
        row = dict.fromkeys(module._COLUMNS, float(seed))
        return SimpleNamespace(row=row)

    monkeypatch.setattr(module, "run_method", trained)
    options = {"dataset": "colored-mnist", "setting": 0.02, "limit": 1024, "image_size": None, "epochs": 1,
               "network": "paper"}  # fmt: skip
    found = module._tried(options, 1.5, [0, 4])
    assert judged == [("mib", True, 768, 256, {"mi_weight": 1.5})] * 2
    assert (found.loss, found.loss_stderr) == (2.0, pytest.approx(2.0))  # the mean over seeds and its standard error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sweep"], "name a data set"),
        (["sweep", "imagenet"], "imagenet"),
        (["sweep", "colored-mnist", "--weights", "a"], "--weights"),
        (["sweep", "colored-mnist", "--weights", "0"], "--weights"),
        (["sweep", "colored-mnist", "--setting", "-1"], "variance"),
        (["sweep", "--resume", "nowhere"], "nowhere"),
    ],
)
def test_bad_arguments_exit_2(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert named in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
