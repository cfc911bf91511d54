"""Colour taken out of the input: the simplest remedy where the attribute is a colour, and of no use elsewhere."""

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from ..training.data import Batch
from ..training.method import Draw, Method
from ..training.step import StepResult


class Gray(Method):
    """Plain training and prediction on the image averaged over its channels, which is repeated in each of them.

    Colour is not gone entirely: a bright colour stays a bright gray. The unweighted average is ours.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
        The model is of images (n, channels, height, width).

    References
    ----------
    Kim, Kim, Kim, Kim, Kim, "Learning Not to Learn", CVPR 2019, section 4.
    """

    name: ClassVar[str] = "gray"
    divisible: ClassVar[bool] = True

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        return super().step(replace(batch, x=convert_to_gray(batch.x)), draw, lr)

    def representations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Do as `Method.representations`, with ``x`` in gray."""
        return super().representations(convert_to_gray(x))


def convert_to_gray(x: Tensor) -> Tensor:
    """Average ``x`` over its channels, and repeat the average in each of them."""
    return x.mean(dim=1, keepdim=True).expand_as(x)
