"""Rows that a probe is fitted on, tuned on and judged on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..whitening import compute_whitening

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]
Predictions = tuple[Floats, Floats]
"""Probabilities of the categories: of the rows aside, and of the held-out ones."""

NEIGHBOURS = (10, 30, 100)
_REFERENCE_ROWS = 6_000  # that neighbours are searched among
_MOST_COMPONENTS = 512


@dataclass(frozen=True)
class Labels:
    """The attribute as codes from 0 to ``k`` - 1, every one of them present; -1 is missing."""

    codes: NDArray[np.integer[Any]]
    k: int

    def count(self, rows: Rows) -> NDArray[np.intp]:
        """Rows of each category."""
        return np.bincount(self.codes[rows], minlength=self.k)


def deal_groups(
    groups: NDArray[np.integer[Any]], rows: Rows, n_parts: int, generator: np.random.Generator
) -> list[Rows]:
    """Deal the groups that rows belong to, in random order and the largest first, into parts of about equal size."""
    _, place, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    order = generator.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    part, filled = np.empty(len(sizes), dtype=np.intp), [0] * n_parts
    for group in order:
        part[group] = least = filled.index(min(filled))
        filled[least] += int(sizes[group])
    return [rows[part[place] == i] for i in range(n_parts)]


class Split:
    """Rows to fit on, rows aside to tune on, held-out rows to judge on; z (n, dim) is standardised by the first."""

    def __init__(self, z: Floats, fit: Rows, aside: Rows, held: Rows, *, seed: int) -> None:
        self.fit, self.aside, self.held, self.seed = fit, aside, held, seed
        self._parts: dict[bytes, Split] = {}
        known = z[fit]
        mean, std = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
        # Columns that hardly vary are kept small; beyond eight deviations a value says only that it is far out.
        scale = std + 1e-6 * std.max(initial=0.0) + 1e-12
        self.z: Floats = np.clip((z - mean) / scale, -8, 8).astype(np.float32)

    def select(self, chosen: NDArray[np.bool_]) -> "Split":
        """The same split of the chosen rows alone: a mask of shape (n,)."""
        if bool(chosen.all()):
            return self
        key = chosen.tobytes()
        if key not in self._parts:  # several attributes ask for the same classes: neighbours are searched once
            part = object.__new__(Split)
            part.z, part.seed, part._parts = self.z, self.seed, {}
            part.fit, part.aside, part.held = (rows[chosen[rows]] for rows in (self.fit, self.aside, self.held))
            self._parts[key] = part
        return self._parts[key]

    @property
    def parts(self) -> tuple[Floats, Floats, Floats]:
        """The standardised z of the three kinds of rows."""
        return self.z[self.fit], self.z[self.aside], self.z[self.held]

    @cached_property
    def components(self) -> Floats:
        """Leading principal components of the standardised z, of unit variance: (n, at most 512)."""
        x = self.z[self.fit].astype(np.float64)
        whitening = compute_whitening(torch.from_numpy(x.T @ x / len(x)), tolerance=1e-6)
        return self.z @ whitening.flip(1)[:, :_MOST_COMPONENTS].numpy().astype(np.float32)

    @cached_property
    def neighbours(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Nearest rows of ``fit`` to those of ``aside`` and of ``held``, nearest first."""
        from sklearn.neighbors import NearestNeighbors

        among = self.fit[:_REFERENCE_ROWS]
        k = min(max(NEIGHBOURS), len(among))
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self.z[among])
        _, *asked = self.parts
        aside, held = (among[search.kneighbors(z, return_distance=False)] for z in asked)
        return aside, held
