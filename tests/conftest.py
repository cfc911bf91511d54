from __future__ import annotations

from collections.abc import Iterator

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


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
