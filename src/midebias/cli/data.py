"""``midebias data``: what data is there, and whether it is whole."""

from typing import Annotated

from typer import Option

from ..datasets import list_bundled_files, read_file
from ..datasets.public_images import PUBLIC_IMAGES
from .console import console


def data(
    root: Annotated[str | None, Option(help="Folder to check; default MIDEBIAS_DATA, else the package.")] = None,
) -> None:
    """Verify the data files that come with the package, and list what else the commands read.

    Example: midebias data
    """
    for name in list_bundled_files():
        size = len(read_file(name, root))
        console.print(f"ok  {size:>11,} bytes  {name}")
    console.print("\nFrom folders of your own, by --root:")
    for name, layout in PUBLIC_IMAGES.items():
        console.print(f"    {name:<11} {layout.title}")
    console.print("    biased-fashion, colored-fashion  Fashion-MNIST, its four idx files")
    console.print("    imdb        IMDB faces, imdb_crop; by midebias reproduce imdb")
