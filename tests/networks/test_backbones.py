"""Networks of timm and torchvision."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from midebias import MIPenalty
from midebias.attributes import Categorical
from midebias.errors import DataError, InputError
from midebias.networks import Backbone, backbone
from midebias.networks.backbones import read_image_size
from midebias.randomness import seeded
from midebias.representations import FeatureMap, Tokens
from midebias.training import train_step

pytestmark = [
    pytest.mark.usefixtures("vision"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # of what is imported
]


def build(name: str, **options: Any) -> Backbone:
    with seeded(0):
        return backbone(name, **options)


def draw(n: int, network: Backbone) -> torch.Tensor:
    shape = n, len(network.mean), *network.image_size
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


FAMILIES: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("timm:test_resnet", {"image_size": 32}, (FeatureMap(32), FeatureMap(48), FeatureMap(192), 96)),
    ("timm:test_vit", {"image_size": 32, "depths": 2}, (Tokens(64), Tokens(64), 64)),
    ("timm:test_convnext", {"image_size": [64, 32], "dim": 7}, (FeatureMap(24), FeatureMap(32), FeatureMap(48), 7)),
    ("timm:test_efficientnet", {"image_size": 32, "in_channels": 1, "depths": 1}, (FeatureMap(16), 256)),
    ("torchvision:resnet18", {"image_size": 16, "depths": ["layer1", "layer3"]}, (FeatureMap(64), 256, 512)),
]


@pytest.mark.parametrize(("name", "options", "shapes"), FAMILIES)
def test_a_family_shows_its_depths_and_can_be_penalised(name: str, options: dict[str, Any], shapes: Any) -> None:
    network = build(name, n_classes=3, **options)
    assert network.shapes == shapes
    assert network.dim == shapes[-1]
    x = draw(80, network)
    y, c = torch.arange(80) % 3, torch.arange(80) % 2
    x[c == 1] *= 0.5
    penalty = MIPenalty(network.shapes, Categorical(2), criterion="independence", estimator="gaussian")
    with seeded(1):
        result = train_step(
            network, None, penalty, torch.optim.SGD(network.parameters(), 1e-3), x, y, c, mi_weight=None
        )
    assert result.mi[0] > 0
    assert result.weights[0] > 0
    network.eval()
    torch.testing.assert_close(network(x), network.head(network.encode(x)))
    with seeded(2):
        again = backbone(**json.loads(json.dumps(network.description)))
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(x), network(x))


def test_channels_that_come_last_are_seen() -> None:
    assert build("torchvision:swin_t", image_size=32, depths=2).shapes == (Tokens(96), Tokens(384), 768)


def test_images_are_normalised_as_the_network_was_made_for() -> None:
    network = build("timm:test_vit", image_size=32).eval()  # mean and deviation of a half
    x = draw(2, network)
    torch.testing.assert_close(network(x), network.tap.model((x - 0.5) / 0.5))
    assert network.mean.flatten().tolist() == [0.5] * 3
    imagenet = build("torchvision:resnet18", image_size=32)
    torch.testing.assert_close(imagenet.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(imagenet.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    assert (read_image_size("timm:test_resnet"), read_image_size("torchvision:inception_v3")) == (160, 299)


@pytest.mark.parametrize("dim", [None, 5])
def test_local_weights_are_those_of_the_library_itself(dim: int | None, tmp_path: Path) -> None:
    import timm

    with seeded(3):
        theirs = timm.create_model("test_resnet", num_classes=10)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match="fc left out"):
        mine = build("timm:test_resnet", weights=tmp_path / "w.safetensors", n_classes=2, dim=dim, image_size=32)
    own = mine.tap.model.state_dict()
    assert all(torch.equal(own[k], v) for k, v in theirs.state_dict().items() if not k.startswith("fc."))
    with pytest.raises(DataError, match="do not fit"), warnings.catch_warnings(action="ignore"):
        build("timm:resnet18", weights=tmp_path / "w.safetensors", n_classes=10)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("timm:resnett18", {}, "near it are resnet18"), ("torchvision:resnet19", {}, "near it are resnet18"),
        ("resnet18", {}, "timm:NAME"), ("keras:resnet18", {}, "timm:NAME"), ("timm:", {}, "timm:NAME"),
        ("timm:test_resnet", {"depths": 9}, "from 0 to 4"), ("timm:test_resnet", {"depths": ["layer9"]}, "layer4"),
        ("timm:test_resnet", {"n_classes": 0}, "n_classes"), ("timm:test_resnet", {"dim": 0}, "dim"),
        ("timm:test_resnet", {"image_size": [32]}, "image_size"), ("torchvision:vit_b_16", {"image_size": 28}, "patch"),
        ("torchvision:resnet18", {"in_channels": 1}, "in_channels"), ("torchvision:squeezenet1_1", {}, "no linear"),
        ("timm:deit_tiny_distilled_patch16_224", {"image_size": 32}, "more than its last linear layer"),
        ("timm:test_resnet", {"pretrained": True, "weights": "w.pt"}, "pretrained and weights"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(name, **options)


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'midebias\[vision\]'"):
        backbone("timm:resnet18")
