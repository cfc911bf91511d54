from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from midebias.datasets import BiasedMNIST, ColoredMNIST

from .vision import import_vision

torch.set_num_threads(1)  # the suite runs in two processes on two cores


@pytest.fixture(autouse=True)
def no_global_state_changes() -> Iterator[None]:
    """Fail any test after which an unseeded global generator, the default dtype or the threads differ."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_default_dtype()  # noqa: NPY002
    threads = torch.get_num_threads()
    yield
    assert torch.equal(before[0], torch.get_rng_state()), "the global torch generator was used"
    assert (before[1] == np.random.get_state()[1]).all(), "the global numpy generator was used"  # noqa: NPY002
    assert before[2] == torch.get_default_dtype()
    assert threads == torch.get_num_threads()


def labelled_images(path: Path, n: int, size: int) -> Path:
    """An .npz of n square images whose label and attribute can be seen; what is tested does not hang on their size."""
    rng = np.random.default_rng(0)
    y, c = rng.integers(0, 3, n), rng.integers(0, 3, n)
    x = rng.random((n, size, size, 3), dtype=np.float32)
    x[:, :, :, 0] += y[:, None, None]
    x[:, :, :, 1] += c[:, None, None]
    np.savez(path, x=x, y=y, c=c)
    return path


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def vision() -> None:
    """timm and torchvision, for tests that use them; see there."""
    import_vision()


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def midebias() -> Iterator[Start]:
    """Starts the command in a process of its own; none outlives the test."""
    started = list[subprocess.Popen[str]]()

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "midebias", *map(str, arguments)]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as here: sums depend on the number of threads
        pipes: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes, env=one_thread))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def the_folder(parent: Path, process: subprocess.Popen[str]) -> Path:
    """The run folder, once it holds a checkpoint."""
    while process.poll() is None:
        found = [*parent.glob("*/checkpoint.safetensors")]
        if found:
            return found[0].parent
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


@pytest.fixture
def few_test_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 500 digits of MNIST's test set are all of it, for tests of what surrounds a training."""
    for digits in (ColoredMNIST, BiasedMNIST):

        def load(
            self: Any, root: Any = None, split: str = "train", *more: Any, load: Any = digits.__init__, **options: Any
        ) -> None:
            load(self, root, split, *more, **({"limit": 500} if split == "test" else {}) | options)

        monkeypatch.setattr(digits, "__init__", load)


@pytest.fixture
def small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map on an audit's page shows 100 rows, which t-SNE places in no time."""
    monkeypatch.setattr(sys.modules["midebias.leakage.sample_map"], "_ROWS", 100)


@pytest.fixture
def saved_figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures that are saved during the test, by file name, so that a test can read what they show."""
    from matplotlib.figure import Figure  # an extra

    figures: dict[str, Any] = {}
    save = Figure.savefig

    def record(figure: Figure, path: Path, **options: Any) -> None:
        figures[Path(path).name] = figure
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures
