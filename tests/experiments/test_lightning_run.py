"""Training of images by Lightning's Trainer is the method's own steps, and can be stopped between any two of them."""

from __future__ import annotations

import csv
import json
import math
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

import midebias
from midebias.cli import run
from midebias.cli.console import Bars
from midebias.errors import DataError, InputError
from midebias.experiments.image_data import ImageData
from midebias.experiments.image_methods import build_method, choose_precision
from midebias.experiments.own_images import load_own_images
from midebias.methods import METHODS
from midebias.training.batch_order import BatchOrder
from midebias.training.checkpoints import read_checkpoint, write_checkpoint

from ..conftest import Start, labelled_images, the_folder

pytest.importorskip("lightning.pytorch")

from midebias.experiments import image_run
from midebias.experiments.image_run import ImageRun, run_method
from midebias.lightning import MIMeter
from midebias.lightning.trainer import make_trainer

OPTIONS = ["--network", "lnl", "--limit", "600", "--epochs", "3", "--max-steps", "5"]  # two steps an epoch
TIMES = ("seconds", "seconds_per_epoch", "peak_memory_mb")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_images(tmp_path_factory.mktemp("data") / "small.npz", 800, 12)


@pytest.fixture(scope="module")
def by_trainer(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of mib, undisturbed."""
    return train(small, tmp_path_factory.mktemp("by_trainer"), "--accelerator", "cpu", "--devices", "1")


def train(data: Path, parent: Path, *options: str) -> Path:
    assert run(["train", str(data), *OPTIONS, *options, "--output-dir", str(parent)]) == 0
    (folder,) = parent.iterdir()
    return folder


def assert_same_run(a: Path, b: Path) -> None:
    ours, theirs = (load_file(f / "model.safetensors") for f in (a, b))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    tables = []
    for folder in (a, b):
        with (folder / "metrics.csv").open() as file:
            tables.append([{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)])
    assert tables[0] == tables[1]


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def train_by_hand(name: str, data: ImageData, steps: int, **options: Any) -> dict[str, Tensor]:
    """Two epochs of the method's own steps, without a Trainer."""
    method = build_method(name, data.problem, seed=1, network="lnl", **options)
    method.prepare(data.train.levels, data.train.c, data.train.y)
    weights = method.sampling_weights(data.train.levels, data.train.y)
    n, size = len(data.train), 100
    order, further = BatchOrder(data.train, size, 1), BatchOrder(data.train, size, 1 + 7919)
    for step in range(steps):
        if order.ended:
            order.begin_epoch(weights)
            method.begin_epoch(order.draw_aside())
        rise = min(1.0, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / (2 * (n // size))))
        method.step(order.draw(), further.draw, method.lr * (rise if method.cosine else 1))
    return method.model.state_dict()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_trainer_ends_with_the_weights_of_steps_taken_by_hand(name: str, small: Path) -> None:
    """So that neither precision, nor hooks, nor the order of batches hang on Lightning."""
    data = load_own_images(small, 0, limit=300)
    options = {"critic_steps": 2} if name == "reference" else {}
    kinds = {"32": "float32", "bf16-mixed": "bfloat16"} if name in ("mib", "reference") else {"32": "float32"}
    for precision, kind in kinds.items():
        run = ImageRun(
            name, data, epochs=2, seed=1, network="lnl", batch_size=100, max_steps=4, options=options,
            precision=precision,
        )  # fmt: skip
        run.module.advance(trainer=run.trainer)
        by_hand = train_by_hand(name, data, 4, precision=kind, **options)
        method = run.module.method
        assert all(torch.equal(value, by_hand[key]) for key, value in method.model.state_dict().items())
        assert method.precision == ("float32" if name == "reference" else kind)


def test_the_row_says_what_it_was_trained_on(by_trainer: Path) -> None:
    (row,) = results(by_trainer)["rows"]
    assert (row["accelerator"], row["devices"], row["num_nodes"]) == ("cpu", 1, 1)
    assert results(by_trainer)["alarms"] == []
    assert "--accelerator cpu" in results(by_trainer)["command"]


@pytest.mark.parametrize("step", [3, 5])
def test_control_c_saves_the_state_and_a_resumed_run_ends_like_an_undisturbed_one(
    step: int, small: Path, by_trainer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    steps: list[int] = []

    def interrupted(_: Bars) -> None:
        steps.append(1)
        if len(steps) == step - 1:  # it is obeyed after the step that follows
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Bars, "step", interrupted)
        assert run(["train", str(small), *OPTIONS, "--accelerator", "cpu", "--output-dir", str(tmp_path)]) == 130
    assert capfd.readouterr().err == "midebias: interrupted\n"
    assert len(steps) == step
    (folder,) = tmp_path.iterdir()
    assert run(["train", "--resume", str(folder)]) == 0
    assert_same_run(folder, by_trainer)
    assert not (folder / "checkpoint.safetensors").exists()


def test_a_state_that_does_not_fit_is_said(small: Path, tmp_path: Path) -> None:
    data = load_own_images(small, 0)
    steps = {"run": {"steps": (9, 9, 9)}}
    for content, said in (({"run": {}}, "is no checkpoint of"), (steps, "does not fit this run")):
        write_checkpoint(tmp_path / "state", content)
        with pytest.raises(DataError, match=f"state {said}"):
            run_method("plain", data, epochs=1, network="lnl", checkpoint=tmp_path / "state")


def test_alarms_are_said_and_kept(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_run, "MIMeter", partial(MIMeter, patience=2))
    folder = train(
        small, tmp_path, "--accelerator", "cpu", "--estimator", "donsker_varadhan", "--critic-steps", "0"
    )  # fmt: skip
    alarms = results(folder)["alarms"]
    assert alarms
    assert all("critic" in alarm for alarm in alarms)
    assert all(capfd.readouterr().out.count(alarm) == 1 for alarm in alarms[:1])


def test_what_the_machine_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for bad in ({"accelerator": "tpu"}, {"devices": 0}, {"num_nodes": "two"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            make_trainer(**bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="finds no GPU"):
        make_trainer(accelerator="gpu")
    for precision in ("16-mixed", "8"):
        with pytest.raises(InputError, match="precision"):
            choose_precision(precision, torch.device("cpu"))
    started = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in (started | {"GROUP_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    for given in ({"devices": 2}, {"num_nodes": 3}):
        with pytest.raises(InputError, match="torchrun started"):
            make_trainer(accelerator="cpu", **given)


def test_without_lightning_its_install_line_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(midebias, "lightning")
    for name in [
        name for name in sys.modules if name.startswith(("midebias.lightning", "midebias.experiments.image_run"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    assert run(["train", "colored-mnist", "--limit", "600", "--accelerator", "cpu"]) == 2
    expected = "midebias: midebias.lightning needs PyTorch Lightning: pip install 'midebias[lightning]'\n"
    assert capfd.readouterr().err == expected


def test_two_processes_follow_one_and_stop_together(tmp_path: Path, midebias: Start) -> None:
    """Ctrl-C reaches the first of them; what it saved goes on in one process, and ends near one that always was."""
    data = labelled_images(tmp_path / "digits.npz", 800, 28)  # without batch norm, which is each process's own
    command = ["train", data, "--epochs", "99", "--accelerator", "cpu", "--checkpoint-every", "0"]
    process = midebias(*command, "--devices", "2", "--output-dir", tmp_path / "two")
    folder = the_folder(tmp_path / "two", process)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said == "midebias: interrupted\n"
    state = read_checkpoint(folder / "checkpoint.safetensors")
    last = state["run"]["done_steps"] + 1
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"devices": 1, "max_steps": last}))
    assert run(["train", "--resume", str(folder)]) == 0

    own = load_own_images(data, 0)

    def alone(steps: int) -> Any:
        return run_method("mib", own, epochs=99, max_steps=steps, evaluate_every=steps).method.model

    # What they say, not what they weigh: where a gradient is nearly zero, Adam makes steps of its rounding.
    one, before, two = alone(last), alone(last - 1), alone(1)
    two.load_state_dict(load_file(folder / "model.safetensors"))
    x = own.test.batch(torch.arange(len(own.test))).x
    with torch.no_grad():
        a, b, c = (model.eval()(x) for model in (one, before, two))
    apart, step = torch.linalg.vector_norm(a - c), torch.linalg.vector_norm(a - b)
    assert apart < 0.05 * step
