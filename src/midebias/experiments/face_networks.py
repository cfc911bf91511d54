"""Networks of faces: the paper's ResNet-50, and a small one for trials."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import DataError, InputError
from ..networks.classifier import Classifier
from ..representations import FeatureMap


class SmallFaces(Classifier):
    """A small encoder, for trials and tests: three convolutions of stride 2, global average, z of 32."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 32)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in pairwise(widths)
        )
        self.embedding, self.head = nn.Linear(32, 32), nn.Linear(32, 2)
        self.dim, self.n_classes = 32, 2
        self.shapes = (FeatureMap(16), FeatureMap(32), 32)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Two feature maps and z (n, 32)."""
        first = self.stages[0](x)
        second = self.stages[1](first)
        z = nn.functional.relu(self.embedding(self.stages[2](second).mean(dim=(2, 3))))
        return first, second, z


class ResNet50Faces(Classifier):
    """The paper's encoder of faces: ResNet-50, a 7x7 convolution to z of 128, ReLU; head of two.

    ``weights`` is a file with a state dict of torchvision's ``resnet50``, or "pretrained" for torchvision's own.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        try:
            from torchvision.models import ResNet50_Weights, resnet50  # type: ignore[import-not-found,unused-ignore]  # an extra
        except ImportError as error:
            raise InputError("encoder 'resnet50' needs torchvision: pip install torchvision") from error
        pretrained = weights == "pretrained"
        body = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1 if pretrained else None)
        if weights is not None and not pretrained:
            load_backbone(body, Path(weights))
        self.stem = nn.Sequential(body.conv1, body.bn1, body.relu, body.maxpool)
        self.stages = nn.ModuleList([body.layer1, body.layer2, body.layer3, body.layer4])
        self.embedding, self.head = nn.Conv2d(2048, 128, 7), nn.Linear(128, 2)
        self.dim, self.n_classes = 128, 2
        self.shapes = (FeatureMap(256), FeatureMap(1024), 128)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of stages 1 and 3, and z (n, 128), of x (n, 3, 224, 224)."""
        first = self.stages[0](self.stem(x))
        third = self.stages[2](self.stages[1](first))
        z = nn.functional.relu(self.embedding(self.stages[3](third))).flatten(1)
        return first, third, z


def load_backbone(body: nn.Module, path: Path) -> None:
    """Fill ``body`` but for its last layer ``fc``, which is not used. Raises `DataError` when the file does not fit."""
    state = {k: v for k, v in read_state_dict(path).items() if not k.startswith("fc.")}
    try:
        left = body.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise DataError(f"weights {path} do not fit: {str(error).splitlines()[-1].strip()}") from error
    missing = [k for k in left.missing_keys if not k.startswith("fc.")]
    if missing or left.unexpected_keys:
        what = f"lack {missing[0]}" if missing else f"hold {left.unexpected_keys[0]}, which the network does not have"
        raise DataError(f"weights {path} do not fit: they {what}")


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Read tensors from a file of `torch.save` or ``.safetensors``, without running code. Raises `DataError`."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Mapping[str, Tensor] = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # tensors, no code
    except Exception as error:
        raise DataError(f"weights {path} cannot be read as a state dict ({error})") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise DataError(f"weights {path} cannot be read as a state dict: it holds something else")
    return loaded
