"""A linear map that an optimiser moves in whitened coordinates of its input."""

import torch
from torch import Tensor, nn

_FEWEST_ROWS = 200  # fewer say little about how columns vary together
_MOST_COLUMNS = 1024  # what it costs grows with their cube, once, and with their square, at each step


class WhitenedLinear(nn.Linear):
    r"""x (n, in_features) -> (n, out_features), as `torch.nn.Linear`; what differs is how it learns.

    A table's columns vary together and differ in how much they vary, so that a gradient step moves the common and
    leaves the rare. Between `whiten` and `unwhiten` the parameters are those of a map of
    :math:`(S + r)^{-1/2} (x - m)`, for the mean m and the covariance S of the rows shown, where one step size suits
    all directions. r is 30 times the mean variance times in_features/n: with less, regressions fitted noise. The
    function itself is changed by neither.

    References
    ----------
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, for whitened inputs.
    """

    mean: Tensor | None
    whitening: Tensor | None

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("mean", None)
        self.register_buffer("whitening", None)

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Learn in the coordinates in which the rows of x (n, in_features) are white.

        Nothing is done where these have fewer than 200 rows, more than 1,024 columns, or a variance of 0 or infinity.
        """
        self.unwhiten()
        n, columns = x.shape
        if n < _FEWEST_ROWS or columns > _MOST_COLUMNS:
            return
        mean = x.mean(dim=0, dtype=torch.float64)
        covariance = mean.new_zeros(columns, columns)
        for part in x.split(8192):
            centred = part.double() - mean
            covariance += centred.T @ centred / n
        if not bool(torch.isfinite(covariance).all()):
            return
        variances, directions = torch.linalg.eigh(covariance)
        ridge = 30 * variances.mean() * columns / n
        if not float(ridge) > 0:
            return
        deviations = (variances.clamp(min=0) + ridge).sqrt()
        weight = self.weight.double()
        self.bias.add_(weight @ mean)
        self.weight.copy_(weight @ (directions * deviations))
        self.mean, self.whitening = mean.to(self.weight), (directions / deviations).to(self.weight)

    @torch.no_grad()
    def unwhiten(self) -> None:
        """An ordinary linear map again."""
        if self.whitening is not None and self.mean is not None:
            weight, bias = self.compute_plain()
            self.weight.copy_(weight)
            self.bias.copy_(bias)
            self.mean = self.whitening = None

    def forward(self, x: Tensor) -> Tensor:
        """(n, out_features)."""
        return nn.functional.linear(x, *self.compute_plain())

    def compute_plain(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the same map as an ordinary one."""
        if self.whitening is None or self.mean is None:
            return self.weight, self.bias
        weight = self.weight @ self.whitening.T
        return weight, self.bias - weight @ self.mean
