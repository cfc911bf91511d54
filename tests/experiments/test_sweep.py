from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.weight_regret import RULES, measure_regret
from midebias.attributes import Attribute, Categorical, Continuous
from midebias.cli import run
from midebias.experiments.biased_accuracy import measure_exchanged_accuracy
from midebias.experiments.image_run import ImageRun
from midebias.experiments.image_sweep import ImageSweep
from midebias.experiments.table_sweep import TableSweep
from midebias.experiments.weight_choice import WeightTrial, choose_weight, choose_within, find_front

COMMAND = ["sweep", "colored-mnist", "--limit", "1024", "--epochs", "1", "--weights", "0.1,3", "--trials", "3"]


def trial(weight: float, error: float, leakage: float, stderr: float = 0.1) -> WeightTrial:
    return WeightTrial(weight, 1 - error, stderr, leakage, 0.01)


def test_the_front_is_what_nothing_beats() -> None:
    trials = [trial(0, 1.0, 0.9), trial(1, 0.5, 0.3), trial(2, 0.6, 0.4), trial(3, 0.7, 0.1), trial(4, float("nan"), 0)]
    assert find_front(trials) == [False, True, False, True, False]


def test_the_rule_takes_the_largest_weight_that_is_as_good_as_the_best() -> None:
    assert choose_weight([trial(9, 0.8, 0.0), trial(0.1, 1.0, 0.9), trial(3, 0.55, 0.1), trial(1, 0.50, 0.3)]) == 2
    assert choose_weight([trial(1, 0.5, 0.3, stderr=0.0), trial(3, 0.51, 0.1)]) == 0
    paired = [
        replace(trial(w, e, 0.1), resamples=r) for w, e, r in ((1, 0.5, (0.4, 0.5, 0.6)), (3, 0.53, (0.37, 0.46, 0.58)))
    ]
    assert choose_weight(paired) == 0  # within the standard error of either, but not of their difference
    assert choose_weight([trial(1, float("inf"), 0.0), trial(3, 0.9, 0.1)]) == 1
    with pytest.raises(ValueError, match="no trial"):
        choose_weight([trial(1, float("nan"), 0.0)])


@pytest.mark.parametrize("attribute", [Categorical(4), Continuous(1)])
def test_exchanged_accuracy_is_that_without_the_bias(attribute: Attribute) -> None:
    """Logits owe a known share to c; c follows y in the data that are shown, and is drawn freely in the truth."""
    rng = np.random.default_rng(0)
    n = 4000
    y = rng.integers(0, 4, n)
    biased = np.where(rng.random(n) < 0.95, y, rng.integers(0, 4, n))
    own = 1.5 * np.eye(4)[y] + rng.normal(size=(n, 4))

    def logits(c: np.ndarray) -> np.ndarray:
        return own + (2.5 * np.eye(4)[c] if isinstance(attribute, Categorical) else np.outer(c, [-1, -0.3, 0.3, 1]))

    def answer(scores: np.ndarray, c: np.ndarray) -> Any:
        c = torch.tensor(c) if isinstance(attribute, Categorical) else torch.tensor(c, dtype=torch.float32)
        return measure_exchanged_accuracy(torch.tensor(scores), torch.tensor(y), c, attribute, n_resamples=20)

    truth = (logits(rng.permutation(biased)).argmax(axis=1) == y).mean()
    seen = (logits(biased).argmax(axis=1) == y).mean()
    found = answer(logits(biased), biased)
    assert abs(truth - seen) > 0.1
    assert found.value == pytest.approx(truth, abs=0.03)
    assert 0.003 < found.stderr < 0.03
    # Logits that owe nothing to c beyond y keep their accuracy, however strongly c follows y.
    assert answer(own, biased).value == pytest.approx((own.argmax(axis=1) == y).mean(), abs=0.02)


def test_regret_is_measured_against_the_best_in_hindsight() -> None:
    def row(weight: float, exchanged: float, reweighted: float, unbiased: float) -> dict[str, Any]:
        return {
            "dataset": "d", "setting": 1.0, "seed": 0, "weight": weight, "exchanged_accuracy": exchanged,
            "exchanged_accuracy_stderr": 0.01, "resamples": [], "reweighted_accuracy": reweighted,
            "reweighted_accuracy_stderr": 0.02,
            "conditional_mi": 1 / weight, "conditional_mi_stderr": 0.0, "unbiased_accuracy": unbiased,
        }  # fmt: skip

    found = {
        e["rule"]: e for e in measure_regret([row(1, 0.6, 0.9, 0.5), row(3, 0.8, 0.89, 0.8), row(9, 0.7, 0.7, 0.75)])
    }
    assert set(found) == set(RULES)
    assert found["midebias sweep"]["regret"] == 0
    assert found["highest reweighted accuracy"]["regret"] == pytest.approx(0.3)
    assert found["largest weight within one standard error of it"]["chosen"] == 3
    assert found["least leakage, then reweighted accuracy"]["chosen"] == 9
    assert found["always 3, the default"]["chosen"] == 3


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[float] = []

    def tried(_: ImageSweep, weight: float) -> WeightTrial:
        weights.append(weight)
        if len(weights) == 2:
            raise KeyboardInterrupt
        return trial(weight, (weight - 1) ** 2, 1 / weight)

    monkeypatch.setattr(ImageSweep, "try_weight", tried)
    assert run([*COMMAND, "--output-dir", str(tmp_path)]) == 130
    folder = tmp_path / "sweep-001"
    assert not (folder / "results.json").exists()
    assert run(["sweep", "--resume", str(folder)]) == 0
    document = json.loads((folder / "results.json").read_text())
    assert len(document["rows"]) == 3
    assert {0.1, 3.0} <= {r["gradient_ratio"] for r in document["rows"]}
    assert weights.count(0.1) == 1  # finished before the interruption, and not run again
    assert sum(r["chosen"] for r in document["rows"]) == 1
    assert "front-figure" in (folder / "report.html").read_text()
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert len(weights) == 4


def test_a_trial_is_judged_on_biased_held_out_images(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def trained(run: ImageRun) -> Any:
        data, given = run.data, run.settings
        judged.append((run.module.method.name, data.held_out, len(data.train), len(data.test), given.options))
        columns = ImageSweep._columns.values()
        row = dict.fromkeys([*columns, *(f"{c}_stderr" for c in columns)], float(given.seed))
        return SimpleNamespace(row=row, exchanged=SimpleNamespace(resamples=(given.seed, 2.0 * given.seed)))

    monkeypatch.setattr(ImageRun, "train", trained)
    options = {"dataset": "colored-mnist", "setting": 0.02, "limit": 1024, "image_size": None, "epochs": 1,
               "network": "paper"}  # fmt: skip
    found = ImageSweep(options, [0, 4]).try_weight(1.5)
    assert judged == [("mib", True, 768, 256, {"gradient_ratio": 1.5})] * 2
    assert (found.accuracy, found.accuracy_stderr) == (
        2.0,
        pytest.approx(2.0),
    )  # the mean over seeds and its standard error


def test_of_a_table_the_largest_weight_that_costs_no_more_than_it_may() -> None:
    trials = [trial(8, 0.17, 0.0), trial(0.1, 0.14, 0.05), trial(2, 0.16, 0.01)]
    assert choose_within(trials, plain=0.855, tolerance=0.02) == 2
    assert choose_within(trials, plain=0.855, tolerance=0.0) == 1  # none is as accurate: the most accurate
    with pytest.raises(ValueError, match="no trial"):
        choose_within([trial(1, float("nan"), 0.0)], plain=0.9, tolerance=0.1)


def people(n: int) -> pd.DataFrame:
    """Income hangs on merit and on sex, which shows in a column of its own."""
    rng = np.random.default_rng(0)
    sex, merit = rng.integers(0, 2, n), rng.normal(size=n)
    shown = 2 * sex + rng.normal(scale=0.3, size=n)
    paid = np.where(merit + 1.5 * sex + 0.3 * rng.normal(size=n) > 0.8, "yes", "no")
    return pd.DataFrame({"merit": merit, "shown": shown, "sex": np.array(["f", "m"])[sex], "paid": paid})


def test_more_weight_on_a_table_is_less_leakage() -> None:
    swept = TableSweep(
        people(900), label="paid", attributes=["sex"], criterion="independence", epochs=None, tolerance=1.0, seeds=[0]
    )
    little, much = swept.try_weight(0.05), swept.try_weight(10.0)
    assert much.leakage < little.leakage - 3 * little.leakage_stderr
    assert 0 < little.accuracy_stderr < 0.05
    assert swept.plain > 0.85
    assert swept.choose([little, much]) == 1


def test_a_table_too_small_to_hold_rows_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(30).to_csv(tmp_path / "few.csv", index=False)
    command = ["sweep", str(tmp_path / "few.csv"), "--label", "paid", "--attribute", "sex"]
    assert run([*command, "--output-dir", str(tmp_path / "runs")]) == 2
    assert "has 30 rows; a sweep" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_table_is_swept_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(300).to_csv(tmp_path / "people.csv", index=False)
    command = ["sweep", str(tmp_path / "people.csv"), "--weights", "0.1,3", "--trials", "2", "--epochs", "2"]
    assert run([*command, "--label", "paid", "--attribute", "sex", "--output-dir", str(tmp_path / "runs")]) == 0
    document = json.loads((tmp_path / "runs" / "sweep-001" / "results.json").read_text())
    assert [r["mi_weight"] for r in document["rows"]] == [0.1, 3.0]
    assert "within 0.02" in document["rule"]
    assert "I(Z;C|Y)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sweep"], "name a data set"),
        (["sweep", "people.csv", "--limit", "2000"], "--limit applies to images only"),
        (["sweep", "people.csv"], "--label and --attribute"),
        (["sweep", "people.csv", "--label", "a", "--attribute", "b"], "people.csv does not exist"),
        (["sweep", "colored-mnist", "--tolerance", "0.1"], "--tolerance applies to tables"),
        (["sweep", "colored-mnist", "--label", "digit"], "label applies to"),
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
