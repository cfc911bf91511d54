"""Samples of the product of the marginals, and centring within groups."""

import torch
from torch import Tensor


def draw_permutation(n: int, generator: torch.Generator) -> Tensor:
    """Random permutation of 0 .. n-1 (on CPU) from a local generator."""
    return torch.randperm(n, generator=generator)


def draw_permutation_within(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Random permutation that keeps every sample inside its group.

    Pairs (z[i], c[perm[i]]) follow p(z|g)p(c|g) within each group g, the marginal of I(Z;C|G). A group
    with one member maps to itself.

    Examples
    --------
    >>> import torch
    >>> g = torch.tensor([0, 1, 0, 1, 1])
    >>> perm = draw_permutation_within(g, torch.Generator().manual_seed(0))
    >>> bool((g[perm] == g).all()), sorted(perm.tolist())
    (True, [0, 1, 2, 3, 4])
    """
    order = torch.argsort(groups, stable=True)
    shuffled = torch.randperm(len(groups), generator=generator).to(groups.device, non_blocking=True)
    target = shuffled[torch.argsort(groups[shuffled], stable=True)]
    perm = torch.empty_like(order)
    perm[order] = target
    return perm


MOST_LABELS = 1024
"""Labels below this are places in tables of groups; larger ones are identifiers, which are numbered first."""


def keep_range(labels: Tensor) -> Tensor:
    """The same integer labels as a tensor of its own, whose range is asked of the device once, see `find_range`.

    Of a tensor of the caller's it could not be kept: memory shared with NumPy changes without a trace.
    """
    if hasattr(labels, "_midebias_range"):
        return labels
    return declare_range(labels.detach(), None)  # filled when it is asked for


def declare_range(labels: Tensor, limits: tuple[int, int] | None) -> Tensor:
    """The same integer labels, known to lie within ``limits``."""
    labels._midebias_range = limits  # type: ignore[attr-defined]  # a tensor carries it along
    return labels


def limit_labels(labels: Tensor, limits: tuple[int, int] | None) -> Tensor:
    """Labels clamped to ``limits`` that nobody has to ask for then; as they are without, or where they are columns."""
    if limits is None or labels.is_floating_point():
        return labels
    return declare_range(labels.long().clamp(*limits), limits)


def find_range(labels: Tensor) -> tuple[int, int]:
    """Least and largest of integer labels, of which there are some; of those of `keep_range` as they were at first."""
    known: tuple[int, int] | None = getattr(labels, "_midebias_range", None)
    if known is None:
        low, high = torch.stack(torch.aminmax(labels.long())).tolist()
        known = low, high
        if hasattr(labels, "_midebias_range"):
            labels._midebias_range = known
    return known


def number_groups(groups: Tensor) -> tuple[Tensor, int]:
    """Return labels from 0 and a bound that they lie below.

    Labels stay as they are, unless one is `MOST_LABELS` or more: then those that occur are numbered in ascending order.
    """
    size = find_range(groups)[1] + 1
    if size <= MOST_LABELS:
        return groups.long(), size
    found, numbered = torch.unique(groups, return_inverse=True)
    return numbered, len(found)


def encode_labels(labels: Tensor, size: int) -> Tensor:
    """One-hot code (n, size) of labels (n,), as truth values; no place for labels out of range."""
    return labels[:, None] == torch.arange(size, device=labels.device)


def span_columns(columns: Tensor) -> Tensor:
    """Orthonormal basis (n, m) of a constant and of columns (n, k), without directions that hardly vary."""
    wide = columns.double()
    centred = wide - wide.mean(dim=0)
    scaled = centred / torch.linalg.vector_norm(centred, dim=0).clamp(min=1e-300)
    sizes, directions = torch.linalg.eigh(scaled.T @ scaled)
    kept = sizes > 1e-6
    constant = torch.full_like(wide[:, :1], len(wide) ** -0.5)
    return torch.cat([constant, scaled @ (directions[:, kept] / sizes[kept].sqrt())], dim=1)


def center_within(values: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | int]:
    """Subtract each group's mean. Returns the centred (..., n, d) values, and where they are the number of groups seen.

    A group with one member becomes zero: it says nothing about dependence within groups. Groups may also be float
    columns (n, k): then their linear functions are taken off, by least squares, and the number is that of the
    functions, a constant among them.
    """
    if groups is None:
        return values - values.mean(dim=-2, keepdim=True), 1
    if groups.is_floating_point():
        basis = span_columns(groups).to(values.dtype)
        return values - basis @ (basis.T @ values), basis.shape[1]
    onehot = encode_labels(*number_groups(groups)).to(values.dtype)
    counts = onehot.sum(dim=0)
    means = (onehot.T @ values) / counts.clamp(min=1)[:, None]
    return values - onehot @ means, (counts > 0).sum()
