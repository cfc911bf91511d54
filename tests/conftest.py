from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

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
