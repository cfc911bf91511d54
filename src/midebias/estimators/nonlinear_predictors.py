"""Nonlinear predictors of c from z, which screening finds: products, directions of unequal variance, length, waves."""

import math

import torch
from torch import Tensor, nn

from .linear_predictors import _BLOCKS

_FREQUENCIES = 5  # multiples of the lowest
_LOWEST = 0.8  # radians per standard deviation
_MOST_WIDTH = 4  # columns of c that products are remembered with
_MOST_PRODUCTS, _MOST_WAVES = 64, 256  # that are used, of those that screening leaves
_DIRECTIONS = 4
_SHARPNESS = 2.0


class NonlinearPredictors(nn.Module):
    """Predictors of centred c (n, q) that are nonlinear in centred z (n, dim), from moments that fade.

    Moments of c with all products of two columns of z, and with sines and cosines of each, are remembered. Those beyond
    what the largest of so many independent ones would be, :math:`\\sqrt{2\\log p/n}`, less that much, are the weights.

    - ``products``: of pairs of columns, squares among them.
    - ``directions``: squares along the leading eigenvectors of the covariance with c, in which z is white, beyond the
      edge :math:`2\\sqrt{d/n}` of those of independent z; found by subspace iteration over calls.
    - ``length``: the mean square of a row.
    - ``waves``: sines and cosines of columns.
    - each of the first three bounded, by a hyperbolic tangent, as ``... (bounded)``.

    Predictors are made afresh from remembered rows once an eighth of the memory is new.

    Parameters
    ----------
    dim, width : int
        Columns of z and of c.
    memory : float
        Rows.
    seed : int
        Of the projections of a c of more than 4 columns, and of the first directions.

    References
    ----------
    Fan and Lv, "Sure independence screening for ultrahigh dimensional feature space", JRSS B 2008. Baik, Ben Arous,
    Péché, "Phase transition of the largest eigenvalue", Annals of Probability 2005, for the edge.
    """

    projection: Tensor
    rows: Tensor
    gram: Tensor
    variances: Tensor
    products: Tensor
    lengths: Tensor
    waves: Tensor
    wave_squares: Tensor
    directions: Tensor
    fresh: Tensor
    product_places: Tensor
    product_weights: Tensor
    direction_maps: Tensor
    direction_weights: Tensor
    length_weights: Tensor
    wave_places: Tensor
    wave_weights: Tensor
    deviations: Tensor
    wave_variances: Tensor

    def __init__(self, dim: int, width: int, *, memory: float, seed: int) -> None:
        super().__init__()
        self.dim, self.width, self.memory = dim, width, memory
        kinds = ("products", "directions", "length")
        self.names = (*kinds, *(f"{kind} (bounded)" for kind in kinds), "waves")
        generator = torch.Generator().manual_seed(seed)
        kept = min(width, _MOST_WIDTH)
        basis = torch.eye(width) if kept == width else torch.linalg.qr(
            torch.randn(width, kept, generator=generator, dtype=torch.float64)
        ).Q.float()  # fmt: skip
        self.register_buffer("projection", basis)
        n_directions, n_waves = min(_DIRECTIONS, dim), 2 * _FREQUENCIES * dim
        first = torch.randn(kept, dim, n_directions, generator=generator)
        self.register_buffer("directions", torch.linalg.qr(first).Q)
        n_products = min(_MOST_PRODUCTS, dim * (dim + 1) // 2)
        n_used = min(_MOST_WAVES, n_waves)
        for name, shape in (
            ("rows", ()), ("fresh", ()), ("gram", (dim, dim)), ("variances", (kept,)), ("products", (kept, dim, dim)),
            ("lengths", (kept,)), ("waves", (n_waves, width)), ("wave_squares", (n_waves,)),
            ("product_weights", (n_products, kept)), ("direction_maps", (kept, dim, n_directions)),
            ("direction_weights", (kept, n_directions)), ("length_weights", (kept,)),
            ("wave_weights", (n_used, width)), ("deviations", (3, kept)), ("wave_variances", (width,)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("product_places", torch.zeros(2, n_products, dtype=torch.long))
        self.register_buffer("wave_places", torch.zeros(n_used, dtype=torch.long))

    def predict(self, z: Tensor, *, learn: bool) -> dict[str, Tensor]:
        """Predictions (n, width) by name, differentiable in z; none before the first rows were learned.

        With ``learn``, the scale of each is remembered.
        """
        if not float(self.rows):
            return {}
        found: dict[str, Tensor] = {}
        kept = self.projection.to(z)
        standard = z / self._find_scales().to(z)
        if bool(self.product_weights.any()):
            i, j = self.product_places
            found["products"] = (standard[:, i] * standard[:, j]) @ self.product_weights.to(z)
        if bool(self.direction_weights.any()):
            along = torch.einsum("nd,kdm->nkm", z, self.direction_maps.to(z)).square()
            found["directions"] = (along * self.direction_weights.to(z)).sum(2)
        if bool(self.length_weights.any()):
            found["length"] = standard.square().mean(1, keepdim=True) * self.length_weights.to(z)
        predictions = {}
        for place, kind in enumerate(("products", "directions", "length")):
            if kind not in found:
                continue
            value = found[kind] - found[kind].mean(0)
            unit = self._scale(place, value.detach(), learn=learn).to(z)
            bounded = torch.tanh(_SHARPNESS * value / unit) * unit
            predictions[kind] = value @ kept.T
            predictions[f"{kind} (bounded)"] = (bounded - bounded.mean(0)) @ kept.T
        if bool(self.wave_weights.any()):
            predictions["waves"] = self._compute_waves(standard, self.wave_places) @ self.wave_weights.to(z)
        return {name: value - value.mean(0) for name, value in predictions.items()}

    def learn(self, z: Tensor, target: Tensor) -> None:
        """Remember rows, and make predictors of all that is remembered once there is enough that is new."""
        n = len(z)
        kept_target = target @ self.projection.to(z)
        kept = math.exp(-n / self.memory)
        self.rows.mul_(kept).add_(n)
        self.fresh.add_(n)
        self.gram.mul_(kept).add_(z.T @ z)
        self.variances.mul_(kept).add_(kept_target.square().sum(0))
        self.products.mul_(kept)
        for k in range(kept_target.shape[1]):
            self.products[k].add_((z * kept_target[:, k : k + 1]).T @ z)
        standard = z / self._find_scales().to(z)
        length = standard.square().mean(1)
        self.lengths.mul_(kept).add_((length - length.mean()) @ kept_target)
        waves = self._compute_waves(standard, None)
        waves = waves - waves.mean(0)
        self.waves.mul_(kept).add_(waves.T @ target)
        self.wave_squares.mul_(kept).add_(waves.square().sum(0))
        self.wave_variances.mul_(kept).add_(target.square().sum(0))
        # Made anew, not changed in place: a backward pass may still need those of the latest call.
        if float(self.fresh) >= self.memory / _BLOCKS or float(self.rows) <= n:
            self.fresh.zero_()
            self._renew(float(self.rows))

    def _scale(self, place: int, values: Tensor, *, learn: bool) -> Tensor:
        spread = values.square().mean(0).sqrt().to(self.deviations)
        known = self.deviations[place]
        scale = torch.where(known > 0, 0.9 * known + 0.1 * spread, spread)
        if learn:
            known.copy_(scale)
        return scale.clamp(min=1e-12)

    def _find_scales(self) -> Tensor:
        variances = self.gram.diagonal() / self.rows.clamp(min=1)
        return (variances + 1e-3 * variances.mean()).sqrt().clamp(min=1e-12)

    def _compute_waves(self, z: Tensor, places: Tensor | None) -> Tensor:
        """All sines and cosines (n, 2 dim frequencies), or those at ``places``."""
        if places is not None:
            column, kind = places // (2 * _FREQUENCIES), places % (2 * _FREQUENCIES)
            angle = z[:, column] * (_LOWEST * (kind // 2 + 1)).to(z)
            return torch.cos(angle - (kind % 2).to(z) * (math.pi / 2))
        angle = _LOWEST * z
        cosine, sine = angle.cos(), angle.sin()
        several = [cosine, sine]
        c, s = cosine, sine
        for _ in range(_FREQUENCIES - 1):  # by the sum of angles, which is cheaper
            c, s = c * cosine - s * sine, s * cosine + c * sine
            several += [c, s]
        return torch.stack(several, dim=2).flatten(1)

    def _renew(self, rows: float) -> None:
        deviations = (self.variances / rows).sqrt().clamp(min=1e-12)
        scales = self._find_scales()
        moments = self.products / rows / scales / scales[:, None] / deviations[:, None, None]
        pairs = self.dim * (self.dim + 1) // 2
        shrunk = _shrink(moments, math.sqrt(2 * math.log(max(2, pairs)) / rows))
        # Each pair of two columns stands in the matrix twice; a square stands once, and varies twice as much.
        strength = torch.triu(shrunk.abs().amax(0))
        places = strength.flatten().topk(self.product_weights.shape[0]).indices
        i, j = places // self.dim, places % self.dim
        self.product_places = torch.stack([i, j])
        self.product_weights = shrunk[:, i, j].T * torch.where(i == j, 0.5, 1.0)[:, None] * deviations
        self._renew_directions(deviations, rows)
        length = self.lengths / rows
        spread = (2.0 / self.dim) ** 0.5  # of the mean square of independent normal columns
        correlation = _shrink(length / deviations / spread, 1.0 / math.sqrt(rows))
        self.length_weights = correlation * deviations / spread
        of_target = (self.wave_variances / rows).sqrt().clamp(min=1e-12)
        of_waves = (self.wave_squares / rows).sqrt().clamp(min=1e-6)
        correlations = self.waves / rows / of_waves[:, None] / of_target
        shrunk = _shrink(correlations, math.sqrt(2 * math.log(max(2, len(of_waves))) / rows))
        chosen = shrunk.abs().amax(1).topk(len(self.wave_places)).indices
        self.wave_places = chosen
        self.wave_weights = shrunk[chosen] / of_waves[chosen][:, None] * of_target

    def _renew_directions(self, deviations: Tensor, rows: float) -> None:
        gram = self.gram / rows
        ridge = max(1e-3, self.dim / rows)
        unit = torch.eye(self.dim, device=gram.device) * gram.diagonal().mean().clamp(min=1e-30)
        lower = torch.linalg.cholesky_ex(gram + ridge * unit)[0]
        moments = self.products / rows / deviations[:, None, None]

        def apply(directions: Tensor) -> Tensor:  # the covariance of products with c, where z is white
            outer = torch.linalg.solve_triangular(lower.T, directions, upper=True)
            return torch.linalg.solve_triangular(lower, moments @ outer, upper=False)

        directions = torch.linalg.qr(apply(self.directions)).Q
        values, rotation = torch.linalg.eigh(directions.transpose(1, 2) @ apply(directions))
        directions = directions @ rotation
        self.directions = directions
        edge = 2.0 * math.sqrt(self.dim / rows)
        beyond = (values.square() - edge**2).clamp(min=0).sqrt() * values.sign()
        self.direction_maps = torch.linalg.solve_triangular(lower.T, directions, upper=True)
        self.direction_weights = 0.5 * beyond * deviations[:, None]


def _shrink(values: Tensor, by: float) -> Tensor:
    return values.sign() * (values.abs() - by).clamp(min=0)
