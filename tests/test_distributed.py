"""Two processes with half a batch each follow one process with the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.errors import InputError
from midebias.training.checkpoints import read_checkpoint

from .ranks import CASES, Net, fit, shard, train

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What either of two processes ended with."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", "localhost:0", "-m", "tests.ranks", str(folder),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [read_checkpoint(folder / f"rank{r}") for r in range(2)]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_two_processes_follow_one(case: tuple[str, str, str, str], ranks: list[dict[str, Any]]) -> None:
    one, name = train(case, 0, 1), "-".join(case)
    before = [p.detach() for p in Net().parameters()]
    for two in ranks:
        torch.testing.assert_close(two[name]["estimates"], one["estimates"], rtol=2e-3, atol=2e-4)
        # A hardly trained critic's small gradient, given a length, is mostly rounding: with x other by a ten-millionth
        # one process ends up to 3e-4 away from itself.
        atol = 5e-4 if case[0] == "donsker_varadhan" and case[2] == "balanced" else 2e-5
        torch.testing.assert_close(two[name]["weights"], one["weights"], rtol=2e-3, atol=atol)
        # Where a critic's gradient is nearly zero, Adam makes steps of its rounding; its estimates are held above.
        torch.testing.assert_close(two[name]["critic"], one["critic"], rtol=2e-3, atol=2e-2)
        assert two[name]["health"] == one["health"]
    assert all(torch.equal(a, b) for a, b in zip(ranks[0][name]["weights"], ranks[1][name]["weights"], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(ranks[0][name]["critic"], ranks[1][name]["critic"], strict=True))
    assert not torch.equal(one["weights"][0], before[0])
    assert one["health"][0]["used"] > 0


def test_the_lightning_module_follows_under_ddp(ranks: list[dict[str, Any]]) -> None:
    one = fit(1)
    for two in ranks:
        torch.testing.assert_close(two["lightning"], one, rtol=2e-3, atol=2e-5)


def test_sharded_parameters_follow(ranks: list[dict[str, Any]]) -> None:
    if isinstance(ranks[0]["fsdp"], str):
        pytest.skip(f"FSDP does not run here: {ranks[0]['fsdp']}")
    torch.testing.assert_close(ranks[0]["fsdp"], shard(1), rtol=2e-3, atol=2e-5)


def test_what_one_rank_refuses_ends_the_call_on_all(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["refusals"] == ["rank 1 refused what it was given: its own message says why"] * 3
    assert "NaN" in ranks[1]["refusals"][0]
    assert "labels 0 to 2" in ranks[1]["refusals"][1]
    assert "y must hold labels 0 to 2" in ranks[1]["refusals"][2]


def test_a_process_group_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="process_group"):
        MIPenalty(8, Categorical(2), process_group="all")
