"""Weights from files."""

import warnings
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from midebias.errors import DataError
from midebias.networks.local_weights import load_weights
from midebias.randomness import seeded

_seeds = count()


def build(width: int = 3, classes: int = 7) -> nn.ModuleDict:
    with seeded(next(_seeds)):
        return nn.ModuleDict({"conv1": nn.Conv2d(3, width, 1), "fc": nn.Linear(width, classes)})


def write(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path) if path.suffix == ".pt" else save_file(state, path)
    return path


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_are_loaded_whole_or_refused(ending: str, tmp_path: Path) -> None:
    path, theirs = tmp_path / f"weights.{ending}", build()
    mine = build()
    load_weights(mine, write(path, theirs.state_dict()), head="fc")
    assert all(torch.equal(mine.state_dict()[name], value) for name, value in theirs.state_dict().items())
    for state, said in (
        ({k: v for k, v in theirs.state_dict().items() if k != "conv1.bias"}, "lack conv1.bias"),
        (theirs.state_dict() | {"layer9.weight": torch.zeros(1)}, "beyond the network's, layer9.weight"),
        (
            build(5).state_dict() | {f"fc.{k}": v for k, v in theirs["fc"].state_dict().items()},
            "another size conv1.weight",
        ),
        ({}, r"lack conv1.weight, conv1.bias"),
    ):
        with pytest.raises(DataError, match=said), warnings.catch_warnings(action="ignore"):
            load_weights(build(), write(path, state), head="fc")
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(build(), path, head="fc")
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(build(), tmp_path / f"nowhere.{ending}", head="fc")


def test_a_head_of_another_size_is_left_out_and_said(tmp_path: Path) -> None:
    theirs, mine = build(classes=1000), build()
    head = mine["fc"].weight.clone()  # type: ignore[union-attr, operator]
    with pytest.warns(UserWarning, match="fc left out"):
        load_weights(mine, write(tmp_path / "w.pt", theirs.state_dict()), head="fc")
    assert torch.equal(mine.state_dict()["conv1.weight"], theirs.state_dict()["conv1.weight"])
    assert torch.equal(mine.state_dict()["fc.weight"], head)


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
def test_a_checkpoint_around_the_weights_is_opened(wrap: object, tmp_path: Path) -> None:
    theirs, mine = build(), build()
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save(wrap(state), tmp_path / "w.pt")  # type: ignore[operator]
    load_weights(mine, tmp_path / "w.pt", head="fc")
    assert torch.equal(mine.state_dict()["fc.weight"], theirs.state_dict()["fc.weight"])


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    torch.save({"fc.weight": Path("a")}, tmp_path / "w.pt")  # a pickled object that is no tensor
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(build(), tmp_path / "w.pt", head="fc")
