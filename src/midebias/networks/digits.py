"""Convolutional networks for digits and small images."""

from torch import Tensor, nn

from ..representations import FeatureMap
from .classifier import Classifier


class DigitClassifier(Classifier):
    """The paper's network for 28x28 colour digits.

    conv5x5x64-ReLU-pool2, conv5x5x64-ReLU-pool2 (valid), fc512-ReLU, fc64-ReLU = z; head fc10.

    Parameters
    ----------
    channels : int, default 3
        Of the images.
    n_classes : int, default 10
    dim : int, default 64
        Columns of z.

    References
    ----------
    Ragonesi, Volpi, Cavazza and Murino, "Learning Unbiased Representations via Mutual Information Backpropagation",
    CVPR Workshops 2021, section 4.1.
    """

    image_size = 28

    def __init__(self, *, channels: int = 3, n_classes: int = 10, dim: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 5)
        self.conv2 = nn.Conv2d(64, 64, 5)
        self.hidden = nn.Linear(64 * 4 * 4, 512)
        self.embedding = nn.Linear(512, dim)
        self.head = nn.Linear(dim, n_classes)
        self.dim, self.n_classes = dim, n_classes
        self.shapes = (FeatureMap(64), FeatureMap(64), dim)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode x (n, 3, 28, 28): both pooled feature maps (n, 64, 12, 12), (n, 64, 4, 4), and z (n, dim)."""
        pool, relu = nn.functional.max_pool2d, nn.functional.relu
        first = relu(pool(self.conv1(x), 2))  # pool before ReLU: equal, and a quarter of the work
        second = relu(pool(self.conv2(first), 2))
        z = relu(self.embedding(relu(self.hidden(second.flatten(1)))))
        return first, second, z


class GlobalPoolClassifier(Classifier):
    """The network of "Learning Not to Learn" for colour digits, as its authors released it.

    Batch norm on the input; conv5x5x32-ReLU, max-pool 3 stride 2; conv3x3x32-ReLU; conv3x3x64 stride 2-ReLU;
    conv3x3x64-ReLU, whose global average is z of 64 columns; head fc10.

    Parameters
    ----------
    channels : int, default 3
        Of the images.
    n_classes : int, default 10

    References
    ----------
    Kim, Kim, Kim, Kim and Kim, "Learning Not to Learn: Training Deep Neural Networks with Biased Data", CVPR 2019.
    """

    def __init__(self, *, channels: int = 3, n_classes: int = 10) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels)
        self.conv1 = _conv(channels, 32, 5)
        self.conv2 = _conv(32, 32, 3)
        self.conv3 = _conv(32, 64, 3, stride=2)
        self.conv4 = _conv(64, 64, 3)
        self.head = nn.Linear(64, n_classes)
        self.dim, self.n_classes = 64, n_classes
        self.shapes = (FeatureMap(32), FeatureMap(32), FeatureMap(64), 64)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode x (n, 3, 28, 28): three feature maps (32, 32 and 64 channels), and z (n, 64)."""
        first = self.conv1(self.normalize(x))
        second = self.conv2(nn.functional.max_pool2d(first, 3, stride=2, padding=1))
        third = self.conv3(second)
        return first, second, third, self.conv4(third).mean(dim=(2, 3))


# By their names on the command line and in the configuration of a run.
NETWORKS: dict[str, type[DigitClassifier] | type[GlobalPoolClassifier]] = {
    "paper": DigitClassifier,
    "lnl": GlobalPoolClassifier,
}


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2), nn.ReLU())
