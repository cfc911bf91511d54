"""Data sets with a known biased attribute. Real data comes with the package and is verified when read."""

from .biased_mnist import BIASED_MNIST_RHOS, BiasedFashion, BiasedMNIST
from .colored_mnist import COLORED_MNIST_VARIANCES, ColoredFashion, ColoredMNIST
from .files import list_bundled_files, read_file
from .image_folder import open_image_folder, read_image_folder
from .image_labels import ImageLabels
from .image_table import ImageTable
from .imdb_faces import IMDBFaces
from .labelled_arrays import read_labelled_arrays
from .palette import read_palette
from .public_images import open_public_images
from .tabular import fetch_adult, fetch_german

__all__ = [
    "BIASED_MNIST_RHOS", "COLORED_MNIST_VARIANCES", "BiasedFashion", "BiasedMNIST", "ColoredFashion", "ColoredMNIST",
    "IMDBFaces", "ImageLabels", "ImageTable", "fetch_adult", "fetch_german", "list_bundled_files", "open_image_folder",
    "open_public_images", "read_file", "read_image_folder", "read_labelled_arrays", "read_palette",
]  # fmt: skip
