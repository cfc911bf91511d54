from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from midebias.cli import run
from midebias.errors import DataError, InputError
from midebias.experiments.image_data import ImageData
from midebias.experiments.image_methods import build_method
from midebias.experiments.own_images import load_own_images
from midebias.experiments.process import Interruptions
from midebias.lightning import MethodModule
from midebias.methods import METHODS
from midebias.training.checkpoints import read_checkpoint, write_checkpoint

from ..conftest import Start, labelled_images, the_folder

OPTIONS = [
    "--network", "lnl", "--epochs", "8", "--estimator", "donsker_varadhan", "--critic-steps", "2",
    "--checkpoint-every", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_images(tmp_path_factory.mktemp("data") / "small.npz", 600, 12)


@pytest.fixture(scope="module")
def data(small: Path) -> ImageData:
    return load_own_images(small, 0)


def begun(method: str, data: ImageData) -> MethodModule:
    options = {"critic_steps": 1} if method == "reference" else {}
    built = build_method(method, data.problem, seed=1, network="lnl", **options)
    return MethodModule(built, data.train, epochs=2, batch_size=100, seed=1)


def assert_same(a: Any, b: Any, where: str = "state") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            if key not in ("seconds", "epoch_started"):
                assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (v, w) in enumerate(zip(a, b, strict=True)):
            assert_same(v, w, f"{where}[{i}]")
    else:
        assert a == b, where


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    state = {
        "float": 0.1, "inf": float("inf"), "none": None, "text": "Zürich", 3: [True, (1, 2.5)], "empty": {},
        "tensors": [torch.arange(3), torch.ones(2, 3, dtype=torch.bfloat16), torch.tensor(1.5), torch.empty(0, 4)],
        "images": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(
            memory_format=torch.channels_last
        ),
    }  # fmt: skip
    write_checkpoint(tmp_path / "a", state)
    back = read_checkpoint(tmp_path / "a")
    assert_same(back, state)
    assert back["images"].stride() == state["images"].stride()


def test_it_is_opened_once(tmp_path: Path) -> None:
    """Opened twice, its two halves may be of two checkpoints, where a running training replaces it meanwhile."""
    write_checkpoint(tmp_path / "state", {"k": torch.arange(3)})
    pipe = tmp_path / "pipe"  # gives what is in it to the first who opens it
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=((tmp_path / "state").read_bytes(),), daemon=True)
    writer.start()
    assert torch.equal(read_checkpoint(pipe)["k"], torch.arange(3))
    writer.join(timeout=60)


def test_what_cannot_be_held_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"state\.hook holds a builtin_function_or_method"):
        write_checkpoint(tmp_path / "a", {"hook": print})
    assert not list(tmp_path.iterdir())


def test_damage_is_said_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_checkpoint(path, {"w": torch.arange(1000)})
    content = path.read_bytes()
    without = save({}, metadata={"format": "midebias-checkpoint-1"})  # the name of the format, and nothing else
    for damaged in (content[:-1], content[:40], b"", content[:-9] + b"x" + content[-8:], b"\x80\x04N." * 20, without):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="state"):
            read_checkpoint(path)
    with pytest.raises(DataError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere")


def test_a_full_disk_leaves_the_checkpoint_before_it_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    write_checkpoint(path, {"step": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_checkpoint(path, {"step": 2})
    assert read_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_stopped_run_ends_like_one_that_was_not(method: str, data: ImageData, tmp_path: Path) -> None:
    undisturbed = begun(method, data)
    undisturbed.advance(8)
    stopped = begun(method, data)
    stopped.advance(5)
    write_checkpoint(tmp_path / "state", stopped.collect_state())
    resumed = begun(method, data)
    resumed.restore_state(read_checkpoint(tmp_path / "state"))
    resumed.advance(8)
    assert resumed.finished
    for times in (*resumed.records, *undisturbed.records, *resumed.trace, *undisturbed.trace):
        object.__setattr__(times, "seconds", 0.0)
    assert_same(resumed.collect_state(), undisturbed.collect_state())


def test_a_state_of_another_run_is_refused(data: ImageData) -> None:
    state = begun("plain", data).collect_state()
    with pytest.raises(InputError, match="another method"):
        begun("mib", data).restore_state(state)
    with pytest.raises(InputError, match="another run"):
        MethodModule(
            build_method("plain", data.problem, network="lnl"), data.train, epochs=3, batch_size=100
        ).restore_state(state)


def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(
    small: Path, tmp_path: Path, midebias: Start
) -> None:
    assert run(["train", str(small), *OPTIONS, "--output-dir", str(tmp_path / "undisturbed")]) == 0
    (undisturbed,) = (tmp_path / "undisturbed").iterdir()
    process = midebias("train", str(small), *OPTIONS, "--output-dir", tmp_path / "killed")
    folder = the_folder(tmp_path / "killed", process)
    process.kill()
    process.communicate()
    assert run(["train", "--resume", str(folder)]) == 0
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, undisturbed))
    assert_same(dict(sorted(ours.items())), dict(sorted(theirs.items())))
    assert not (folder / "checkpoint.safetensors").exists()
    assert run(["train", "--resume", str(folder)]) == 0  # nothing to do


def test_control_c_saves_the_state_and_exits_130(small: Path, tmp_path: Path, midebias: Start) -> None:
    def steps_saved_by_control_c(output: Path) -> int:
        process = midebias(
            "train", str(small), *OPTIONS, "--checkpoint-every", "2", "--epochs", "9999", "--output-dir", output
        )
        folder = the_folder(output, process)
        before = read_checkpoint(folder / "checkpoint.safetensors")["run"]["done_steps"]
        time.sleep(0.7)  # long enough for a step, too short for the next checkpoint
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.strip() == "midebias: interrupted"
        after: int = read_checkpoint(folder / "checkpoint.safetensors")["run"]["done_steps"]
        return after - before

    # On a machine that is busy with other things, no step may have been made meanwhile; not three times in a row.
    assert any(steps_saved_by_control_c(tmp_path / str(attempt)) > 0 for attempt in range(3))


def test_a_signal_that_is_passed_on_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with Interruptions() as interruptions:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert interruptions.noted
        later = time.monotonic() + 2
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_resume_that_cannot_be_says_why(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--resume", str(tmp_path)]) == 2
    assert "config.yaml" in capfd.readouterr().err
    assert run(["train"]) == 2
    assert "--resume" in capfd.readouterr().err
    assert run(["train", str(small), *OPTIONS, "--max-steps", "1", "--output-dir", str(tmp_path / "run")]) == 0
    (folder,) = (tmp_path / "run").iterdir()
    (folder / "results.json").unlink()
    (folder / "checkpoint.safetensors").write_bytes(b"half a file")
    assert run(["train", "--resume", str(folder)]) == 2
    assert "checkpoint.safetensors is truncated or damaged" in capfd.readouterr().err
