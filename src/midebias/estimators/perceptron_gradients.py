"""Gradients of a perceptron's weights by hand: a critic's step on small batches is mostly bookkeeping of autograd's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["backward_from_output", "forward_from_first", "set_gradients"]


def forward_from_first(layers: nn.Sequential, out: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Output of a perceptron whose first linear map gave ``out``, and every later map's inputs.

    ``layers`` are linear maps and LeakyReLU in turns, as `networks.perceptron` has them. ``out`` is overwritten: fresh
    memory costs as much as the arithmetic on it.
    """
    modules, inputs = _modules(layers), []
    for activation, layer in zip(modules[1::2], modules[2::2], strict=True):
        out = nn.functional.leaky_relu_(out, activation.negative_slope)
        inputs.append(out)
        out = torch.addmm(layer.bias, out, layer.weight.T)
    return out, inputs


def backward_from_output(layers: nn.Sequential, inputs: list[Tensor], gradient: Tensor) -> Tensor:
    """Set the gradients of all linear maps but the first; returns that of the first one's output.

    ``gradient`` is that of the loss by the output (n, outputs), ``inputs`` what `forward_from_first` returned.
    """
    modules = _modules(layers)
    for activation, layer, x in zip(modules[-2::-2], modules[:1:-2], reversed(inputs), strict=True):
        set_gradients(layer, x, gradient)
        # LeakyReLU keeps the sign, so that its output tells its slope as its input would.
        # Of one output a product by element, since matrix products of one inner column are slow.
        reached = gradient * layer.weight if layer.out_features == 1 else gradient @ layer.weight
        slope = activation.negative_slope
        gradient = torch.ops.aten.leaky_relu_backward.grad_input(reached, x, slope, True, grad_input=reached)
    return gradient


def set_gradients(layer: nn.Linear, x: Tensor, gradient: Tensor) -> None:
    """Of a linear map's weight and bias, from its input x (n, inputs) and its output's gradient (n, outputs)."""
    layer.weight.grad = gradient.T @ x
    layer.bias.grad = gradient.sum(dim=0)


def _modules(layers: nn.Sequential) -> list[Any]:
    return list(layers)  # looked up once: a module's attributes are slow
