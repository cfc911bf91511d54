"""Linear predictors of c from z: ridge regressions on remembered rows and on the other half of a batch."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_PRINCIPAL = 64  # principal directions of z that are followed
_BLOCKS = 8  # in which covariances with c are remembered


class LinearPredictors(nn.Module):
    """Ridge regressions of centred c (n, q) on centred z (n, dim), from moments that fade after ``memory`` rows.

    - ``ridge``: with columns over rows, in units of their mean variance, as ridge.
    - ``exact``: with the ridge given, for what hides in directions of little variance.
    - ``recent``: of the span of what the latest eighths of the memory said, weighed by the other half of the batch
      alone. What an encoder has just turned round, and so cancels in the memory, is seen.
    - ``group``: as ``ridge``, for each of ``n_groups`` labels on its own.

    Each is made for one half of a batch from what is remembered and the other half.

    Parameters
    ----------
    dim, width : int
        Columns of z and of c.
    memory : float
        Rows.
    n_groups : int
    ridge : float
    """

    rows: Tensor
    gram: Tensor
    covariance: Tensor
    cross: Tensor
    group_rows: Tensor
    block_cross: Tensor
    block_rows: Tensor
    block: Tensor
    principal: Tensor
    labels: Tensor
    n_known: Tensor

    def __init__(self, dim: int, width: int, *, memory: float, n_groups: int, ridge: float) -> None:
        super().__init__()
        self.dim, self.width, self.memory, self.n_groups, self.ridge = dim, width, memory, n_groups, ridge
        self.names = ("ridge", "exact", "recent", *(("group",) if n_groups else ()))
        places = n_groups + 1
        for name, shape in (
            ("rows", ()), ("gram", (dim, dim)), ("covariance", (width, width)), ("cross", (places, dim, width)),
            ("group_rows", (places,)), ("block_cross", (_BLOCKS, dim, width)), ("block_rows", (_BLOCKS,)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))
        first = torch.randn(dim, min(dim, _PRINCIPAL), generator=torch.Generator().manual_seed(dim))
        self.register_buffer("principal", torch.linalg.qr(first).Q)
        for name, shape in (("block", ()), ("labels", (n_groups,)), ("n_known", ())):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.long))
        self._slopes: dict[str, Tensor] = {}

    def pool_covariance(self, target: Tensor) -> Tensor:
        """Covariance (width, width) of c in the rows remembered and these, in float64."""
        return ((self.covariance.to(target) + target.T @ target).double()) / (float(self.rows) + len(target))

    def predict(self, z: Tensor, target: Tensor, labels: Tensor, halves: Sequence[Tensor]) -> dict[str, Tensor]:
        """Predictions (n, width) by name, differentiable in z; each row's from what is remembered and the other half.

        ``labels`` are places of groups, see `number`.
        """
        constant = z.detach()
        moments = [self._measure(constant[half], target[half], labels[half]) for half in halves]
        parts: dict[str, list[Tensor]] = {}
        slopes: dict[str, list[Tensor]] = {}
        for half, other, others in zip(halves, moments[::-1], halves[::-1], strict=True):
            weights = self._fit(other, constant[others], target[others])
            for name, weight in weights.items():
                inside = z[half]
                if name == "group":
                    chosen = weight[labels[half]]
                    parts.setdefault(name, []).append((inside[:, None, :] @ chosen)[:, 0])
                    weight = chosen.square().mean(0).sqrt()
                else:
                    parts.setdefault(name, []).append(inside @ weight)
                slopes.setdefault(name, []).append(weight)
        order = torch.argsort(torch.cat(list(halves)))
        self._slopes = {name: torch.stack(several).mean(0) for name, several in slopes.items()}
        return {name: torch.cat(several)[order] for name, several in parts.items()}

    def combine_slopes(self, shares: Mapping[str, Tensor]) -> Tensor:
        """Slopes (dim, width) of the combination by ``shares`` of the latest predictions, the halves' in the mean."""
        return torch.stack([shares[name] * slope for name, slope in self._slopes.items()]).sum(0)

    def project(self, z: Tensor, most: int) -> Tensor:
        """z itself, or at most so many of its principal columns."""
        if z.shape[1] <= most:
            return z
        return z @ self.principal[:, :most].to(z)

    def learn(self, z: Tensor, target: Tensor, labels: Tensor) -> None:
        """Remember rows."""
        gram, cross, group_rows = self._measure(z, target, labels)
        kept = math.exp(-len(z) / self.memory)
        self.rows.mul_(kept).add_(len(z))
        self.gram.mul_(kept).add_(gram)
        # Subspace iteration over calls; made anew, as a backward pass may still need the last one.
        self.principal = torch.linalg.qr(self.gram @ self.principal).Q
        self.covariance.mul_(kept).add_(target.T @ target)
        self.cross.mul_(kept).add_(cross)
        self.group_rows.mul_(kept).add_(group_rows)
        if float(self.block_rows[self.block]) >= self.memory / _BLOCKS:
            self.block.copy_((self.block + 1) % _BLOCKS)
            self.block_cross[self.block], self.block_rows[self.block] = 0.0, 0.0
        self.block_cross[self.block] += cross.sum(0)
        self.block_rows[self.block] += len(z)

    def number(self, groups: Tensor | None, n: int, *, learn: bool) -> Tensor:
        """Places (n,) of labels among the ``n_groups`` known ones, and after them for all others.

        With ``learn``, new labels get a place of their own while there is one left.
        """
        if groups is None or groups.is_floating_point() or not self.n_groups:
            return torch.zeros(n, dtype=torch.long, device=self.labels.device)
        if learn:
            new = torch.unique(groups)
            known = int(self.n_known)
            new = new[~torch.isin(new, self.labels[:known])][: self.n_groups - known]
            self.labels[known : known + len(new)] = new.long()
            self.n_known += len(new)
        found = groups.long()[:, None] == self.labels[: int(self.n_known)]
        places = torch.where(found.any(1), found.long().argmax(1), self.n_groups) if found.shape[1] else None
        return torch.full((n,), self.n_groups, device=groups.device) if places is None else places

    def _measure(self, z: Tensor, target: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n_labels = len(self.group_rows)
        onehot = nn.functional.one_hot(labels, n_labels).to(z.dtype)
        if n_labels == 1:
            cross = (z.T @ target)[None]
        else:
            spread = (onehot[:, :, None] * target[:, None, :]).reshape(len(z), -1)
            cross = (z.T @ spread).reshape(self.dim, n_labels, self.width).transpose(0, 1)
        return z.T @ z, cross, onehot.sum(0)

    def _fit(self, other: tuple[Tensor, Tensor, Tensor], z: Tensor, target: Tensor) -> dict[str, Tensor]:
        dtype = torch.float64  # z of one dominant direction is too close to singular for float32
        rows = float(self.rows) + len(z)
        gram = (self.gram.to(dtype) + other[0]) / rows
        by_group = (self.cross.to(dtype) + other[1]) / rows
        cross = by_group.sum(0)
        unit = gram.diagonal().mean().clamp(min=1e-30) * torch.eye(self.dim, dtype=dtype, device=z.device)
        shrunk = torch.linalg.cholesky_ex(gram + max(self.ridge, self.dim / rows) * unit)[0]
        exact = torch.linalg.cholesky_ex(gram + max(self.ridge, 1e-6) * unit)[0]
        weights = {"ridge": torch.cholesky_solve(cross, shrunk), "exact": torch.cholesky_solve(cross, exact)}
        if self.n_groups:
            share = (self.group_rows.to(dtype) + other[2]) / rows
            flat = (by_group / share.clamp(min=1e-12)[:, None, None]).transpose(0, 1).reshape(self.dim, -1)
            solved = torch.cholesky_solve(flat, shrunk).reshape(self.dim, len(share), self.width)
            weights["group"] = solved.transpose(0, 1)
        filled = self.block_rows > 0
        if bool(filled.any()):
            weights["recent"] = self._span(shrunk, filled, z.double(), target.double())
        return {name: weight.to(z.dtype) for name, weight in weights.items()}

    def _span(self, shrunk: Tensor, filled: Tensor, z: Tensor, target: Tensor) -> Tensor:
        blocks = (self.block_cross[filled] / self.block_rows[filled][:, None, None]).to(z)
        several = len(blocks)
        directions = torch.cholesky_solve(blocks.transpose(0, 1).reshape(self.dim, -1), shrunk)
        told = (z @ directions).reshape(len(z), several, self.width)
        gram = torch.einsum("nmq,nkq->mk", told, told)
        right = torch.einsum("nmq,nq->m", told, target)
        unit = gram.diagonal().mean().clamp(min=1e-30) * torch.eye(several, dtype=z.dtype, device=z.device)
        weights = torch.linalg.solve(gram + 0.05 * unit, right)
        return torch.einsum("dmq,m->dq", directions.reshape(self.dim, several, self.width), weights)
