"""The paper's network of faces."""

from pathlib import Path

from torch import Tensor, nn

from ..errors import InputError
from ..networks.classifier import Classifier
from ..networks.local_weights import load_weights
from ..representations import FeatureMap


class ResNet50Faces(Classifier):
    """The paper's encoder of faces: ResNet-50, a 7x7 convolution to z of 128, ReLU; head of two.

    ``weights`` is a file with a state dict of torchvision's ``resnet50``, or "pretrained" for torchvision's own.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        try:
            from torchvision.models import ResNet50_Weights, resnet50
        except ImportError as error:
            raise InputError("encoder 'resnet50' needs torchvision: pip install 'midebias[vision]'") from error
        pretrained = weights == "pretrained"
        body = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1 if pretrained else None)
        body.fc = nn.Identity()
        if weights is not None and not pretrained:
            load_weights(body, weights, head="fc")
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
