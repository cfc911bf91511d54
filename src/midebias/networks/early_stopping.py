"""Early stopping: the weights of least loss on data set aside, and when to stop looking for better ones."""

import math

from torch import Tensor, nn


class EarlyStopping:
    """Keeps the weights of least loss.

    Parameters
    ----------
    network : nn.Module
        Whose weights are kept.
    patience : int
        Steps without a lower loss after which to stop.
    least_gain : float, default 0.0
        How much lower a loss must be to count.

    Attributes
    ----------
    loss : float
        The least so far.
    step : int
        At which it was reached.
    """

    def __init__(self, network: nn.Module, patience: int, *, least_gain: float = 0.0) -> None:
        self._network, self._patience, self._least_gain = network, patience, least_gain
        self._state: dict[str, Tensor] = {}
        self.loss, self.step = math.inf, 0

    def observe(self, loss: float, step: int) -> bool:
        """Keep the weights if ``loss`` is the least; say whether patience is at an end at ``step`` of training."""
        if loss < self.loss - self._least_gain:
            self.loss, self.step = loss, step
            # A generator's state, which some networks carry along, goes on.
            state = nn.Module.state_dict(self._network)
            self._state = {name: value.clone() for name, value in state.items() if not name.endswith("_extra_state")}
        return step - self.step >= self._patience

    def restore(self, network: nn.Module | None = None) -> None:
        """Put the kept weights back, or into another ``network`` of the same shape."""
        if self._state:
            (self._network if network is None else network).load_state_dict(self._state, strict=False)
