"""Data sets with a known biased attribute. Real data comes with the package and is verified when read."""

from .colored_mnist import COLORED_MNIST_VARIANCES, ColoredMNIST
from .files import bundled_files, read_file

__all__ = ["COLORED_MNIST_VARIANCES", "ColoredMNIST", "bundled_files", "read_file"]
