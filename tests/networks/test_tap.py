"""Representations read from other people's modules."""

import copy
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.errors import InputError
from midebias.networks import Tap
from midebias.networks.tap import choose_evenly, list_stages
from midebias.randomness import seeded
from midebias.representations import FeatureMap, Tokens
from midebias.training import train_step


class Convolutional(nn.Module):
    """Three stages with a batch norm, a dropout and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.layer2 = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU())
        self.layer3 = nn.Sequential(nn.Conv2d(8, 10, 3, stride=2, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.pool(self.layer3(self.layer2(self.layer1(x)))).flatten(1)))


class Channels(nn.Module):
    """Patches with the channels last, as of a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mix, self.fc = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Transformer(nn.Module):
    """Tokens through four layers; what it gives is ``given`` of the logits."""

    def __init__(self, given: Any = lambda logits: logits) -> None:
        super().__init__()
        self.embed, self.given = nn.Linear(5, 8), given
        layers = (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0) for _ in range(4))
        self.layers, self.fc = nn.ModuleList(layers), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.given(self.fc(x[:, 0]))


class Signal(nn.Module):
    """A one-dimensional convolutional network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv1d(2, 6, 5), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).amax(2))


def build(kind: Any, *args: Any) -> nn.Module:
    with seeded(0):
        model: nn.Module = kind(*args)
    return model


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


CASES = [
    (Convolutional, ["layer1", "layer3"], (3, 16, 16), (FeatureMap(6), FeatureMap(10), 10)),
    (Convolutional, ["layer1.1", "pool"], (3, 16, 24), (FeatureMap(6), 10, 10)),
    (Channels, ["patches", "mix"], (3, 32, 32), (FeatureMap(4), Tokens(4), 4)),
    (Channels, ["mix"], (3, 16, 40), (Tokens(4), 4)),
    (Transformer, ["layers.0", "layers.2"], (7, 5), (Tokens(8), Tokens(8), 8)),
    (Signal, ["conv", "norm"], (2, 20), (FeatureMap(6), FeatureMap(6), 6)),
]


@pytest.mark.parametrize(("kind", "depths", "size", "shapes"), CASES)
def test_a_step_descends_on_what_a_penalty_reads(kind: Any, depths: Any, size: Any, shapes: Any) -> None:
    model, x = build(kind), draw(80, *size)
    y, c = torch.arange(80) % 3, torch.arange(80) % 2
    x[c == 1] += 1.0
    tap = Tap(model, depths, example=x)
    assert tap.shapes == shapes
    assert all(parameter.grad is None for parameter in model.parameters())
    penalty = MIPenalty(tap.shapes, Categorical(2), criterion="independence", estimator="gaussian")
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(tap.parameters(), lr=0.1)
    with seeded(2):  # dropout's
        result = train_step(tap, None, penalty, optimizer, x, y, c, mi_weight=None)
    assert len(result.mi) == len(shapes)
    assert min(result.mi) > 0.01
    assert min(result.weights) > 0
    assert not torch.equal(next(iter(before.values())), next(model.parameters()))


def test_representations_and_logits_are_those_of_the_model() -> None:
    model, x = build(Convolutional).eval(), draw(4, 3, 16, 16)
    first, third, z, logits = Tap(model, ["layer1", "layer3"])(x)
    expected = model.get_submodule("layer1")(x)
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(third, model.get_submodule("layer3")(model.get_submodule("layer2")(expected)))
    torch.testing.assert_close(z, third.mean((2, 3)))
    torch.testing.assert_close(logits, model(x))


def test_the_model_is_left_as_it_was() -> None:
    model, x = build(Convolutional), draw(8, 3, 16, 16)
    state, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    model.get_submodule("drop").eval()
    tap = Tap(model, 2, example=x)
    assert model.training
    assert not model.get_submodule("drop").training
    assert torch.equal(generator, torch.get_rng_state())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError, match="channels"):
        tap(draw(8, 4, 16, 16))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo's own
def test_copies_and_modes_and_compiled_taps_give_the_same() -> None:
    tap, x = Tap(build(Convolutional), ["layer1", "layer3"]), draw(8, 3, 16, 16)
    twin = copy.deepcopy(tap).eval()
    expected = twin(x)
    with torch.no_grad():
        next(tap.parameters()).zero_()  # the copy is not touched by what becomes of the first
    assert all(torch.equal(a, b) for a, b in zip(expected, twin(x), strict=True))
    counter = CompileCounter()
    compiled = torch.compile(twin, backend=counter)
    for scale in (1.0, 2.0, 1.0):  # what a hook of an earlier call noted is not returned again
        assert all(torch.equal(a, b) for a, b in zip(twin(scale * x), compiled(scale * x), strict=True))
    assert counter.frame_count == 1
    assert counter.op_count > 8
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "given",
    [
        lambda logits: (logits, None), lambda logits: [logits], lambda logits: {"loss": None, "logits": logits},
        lambda logits: OrderedDict(out=logits), lambda logits: SimpleNamespace(logits=logits),
    ],
)  # fmt: skip
def test_logits_are_found_in_what_models_give(given: Any) -> None:
    x = draw(4, 7, 5)
    expected = build(Transformer).eval()(x)
    torch.testing.assert_close(Tap(build(Transformer, given).eval(), ["layers.1"])(x)[-1], expected)


def test_z_is_what_is_named() -> None:
    x = draw(6, 3, 16, 16)
    tap = Tap(build(Convolutional).eval(), ["layer1"], z="pool", example=x)
    assert tap.shapes == (FeatureMap(6), 10)
    assert tap(x)[1].shape == (6, 10, 1, 1)
    assert tap.head is None
    with seeded(0):
        without = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="no linear layer"):
        Tap(without)
    assert Tap(without, z="1", example=x).shapes == (FeatureMap(4),)


def test_shapes_can_be_given_or_stay_unknown() -> None:
    assert Tap(build(Convolutional), {"layer1": FeatureMap(6)}).shapes == (FeatureMap(6), 10)
    assert Tap(build(Convolutional), {"layer1": FeatureMap(6), "layer2": ...}).shapes is None
    assert Tap(build(Convolutional), ["layer1"]).shapes is None
    assert Tap(build(Convolutional)).shapes == (10,)


def test_stages_and_blocks_are_found() -> None:
    assert list_stages(build(Convolutional), draw(2, 3, 32, 32)) == ["layer1", "layer2", "layer3"]
    assert list_stages(build(Transformer), draw(2, 7, 5)) == ["embed", *(f"layers.{k}" for k in range(4))]
    assert Tap(build(Transformer), 2, example=draw(2, 7, 5)).depths == ("embed", "layers.2")


def test_depths_are_spread_evenly_and_leave_out_the_last() -> None:
    stages = list("abcdef")
    assert [choose_evenly(stages, n) for n in range(6)] == [
        [], ["a"], ["a", "e"], ["a", "c", "e"], ["a", "b", "d", "e"], ["a", "b", "c", "d", "e"],
    ]  # fmt: skip
    for n in (-1, 6):
        with pytest.raises(InputError, match="from 0 to 5"):
            choose_evenly(stages, n)


class Twice(Convolutional):
    """Runs its second stage's activation twice, and never its pool."""

    def forward(self, x: Tensor) -> Tensor:
        act = self.layer2[1]
        return self.fc(self.layer3(act(act(self.layer2[0](self.layer1(x))))).mean((2, 3)))


class Rolled(nn.Sequential):
    """Gives a row for each channel of all images."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(0, 1), nn.Flatten(), nn.Linear(256, 3))


@pytest.mark.parametrize(
    ("depths", "options", "said"),
    [
        (["layer4"], {}, "layer4.*near it are layer"), (["Layer1"], {}, "near it are layer1"),
        (["layer1"], {"z": "poool"}, "near it are pool"), (2, {}, "example"), (["pool"], {"z": "pool"}, "z is"),
        ("layer1", {}, "depths"), ([3], {}, "depths"), (["layer1"], {"example": "x"}, "example"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(depths: Any, options: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Tap(build(Convolutional), depths, **options)


def test_a_submodule_that_does_not_run_once_is_refused() -> None:
    x = draw(2, 3, 16, 16)
    with pytest.raises(InputError, match=r"layer2\.1 runs more than once"):
        Tap(build(Twice), ["layer2.1"])(x)
    with pytest.raises(InputError, match="pool does not run"):
        Tap(build(Twice), ["pool"])(x)
    with pytest.raises(InputError, match="no tensor"):
        Tap(build(Transformer, lambda logits: None), [])(draw(2, 7, 5))
    with pytest.raises(InputError, match="not a row or map"):
        Tap(build(Rolled), ["0"], example=draw(4, 3, 16, 16))
