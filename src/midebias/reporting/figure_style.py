"""The look that all figures share."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:
    Figure = Any  # matplotlib is imported for the first picture that is drawn

INK, MUTED, GRID = "#22262b", "#9aa0a6", "#e6e8eb"
_METHOD_COLOURS = {"plain": "#b8473d", "reference": "#5b6068", "mib": "#1f6f8b"}


def choose_colour(key: str, default: str = INK) -> str:
    """Colour of a method, whatever its options; ``default`` for methods without a colour of their own."""
    return _METHOD_COLOURS.get(key.split(":")[0], default)


def make_figure(width: float, height: float, *, layout: Any = "constrained") -> Figure:
    """Make an empty white figure; sizes in inches."""
    import matplotlib.figure

    return matplotlib.figure.Figure(figsize=(width, height), dpi=130, facecolor="white", layout=layout)


def style_axis(axis: Any, title: str, *, size: int = 12) -> None:
    """Set the title above the axis's left end and remove the frame's upper and right sides."""
    axis.set_title(title, loc="left", fontsize=size, fontweight="bold", color=INK, pad=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=INK, labelsize=9)


def add_legend(figure: Figure, axes: Iterable[Any], *, columns: int, size: float) -> None:
    """Name below the figure what is drawn on the axes, each name once."""
    drawn = {name: line for axis in axes for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    if drawn:
        look: dict[str, Any] = {"loc": "outside lower center", "frameon": False}
        figure.legend(drawn.values(), drawn.keys(), ncols=columns, fontsize=size, **look)
