"""The one builder of perceptrons."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from ..errors import InputError


def _leaky_relu() -> nn.Module:
    return nn.LeakyReLU(0.2)


def build_perceptron(
    inputs: int, hidden: Sequence[int], outputs: int, *, activation: Callable[[], nn.Module] = _leaky_relu
) -> nn.Sequential:
    """Linear layers with an activation between them: inputs -> hidden[0] -> ... -> outputs.

    Parameters
    ----------
    inputs, outputs : int
    hidden : sequence of int
        Widths between them; without any there is one linear layer.
    activation : callable, default LeakyReLU(0.2)
        Makes the module that follows each hidden layer.

    Raises
    ------
    InputError
        A width below 1.
    """
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden must hold widths of at least 1, got {tuple(hidden)}")
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))
