"""A sample of a representation in the plane, for the audit's page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import CodedColumn

_ROWS = 1_200


def draw_sample(
    z: NDArray[np.float32], columns: Sequence[CodedColumn], generator: np.random.Generator
) -> dict[str, Any]:
    """Draw rows of z and their codes, by which the points are coloured: arguments of `map_sample`."""
    drawn = generator.permutation(len(z))[:_ROWS]
    colourings = [
        {"name": c.name, "names": list(c.names), "codes": c.codes[drawn].tolist(), "ordered": c.binned} for c in columns
    ]
    return {"z": z[drawn], "colourings": colourings}


def map_sample(z: NDArray[np.floating[Any]], colourings: list[dict[str, Any]]) -> dict[str, Any]:
    """Map rows of z into the unit square: by principal components, and by t-SNE where there are enough of them."""
    from sklearn.manifold import TSNE

    centred = z - z.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    views = {"principal components": centred @ axes[:2].T}
    if z.shape[1] > 2 and len(z) >= 100:
        reduced = centred @ axes[: min(30, len(axes))].T
        embedding = TSNE(2, init="pca", perplexity=30, random_state=0, max_iter=350, n_jobs=1)
        views = {"neighbourhoods (t-SNE)": embedding.fit_transform(reduced), **views}
    shown = []
    for name, points in views.items():
        low, high = np.percentile(points, 0.5, axis=0), np.percentile(points, 99.5, axis=0)
        square = np.clip((points - low) / np.where(high > low, high - low, 1), 0, 1)  # outliers to its edge
        shown.append({"name": name, "points": square.round(4).tolist()})
    return {"n": len(z), "views": shown, "colourings": colourings}
