"""The part of a trained model that predicts: encoder and head in one module."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..errors import InputError
from ..networks.classifier import Classifier
from ..networks.tap import Tap
from ..tabular.networks import TableModel
from ..training.step import apply_network
from .served_table import ServedTable


class ServedModel(nn.Module):
    """Encoder and head in evaluation mode: x (n, ...) -> logits (n, n_classes) and z (n, dim).

    Parameters
    ----------
    encoder : Module
        x -> z, or several representations with z last; or a `Classifier`, or a `Tap`.
    head : Module or None
        z -> logits; None where ``encoder`` gives them, too.
    example : Tensor of shape (n, ...)
        An input; n and its values do not matter, its other sizes and its dtype do.
    gray : bool, default False
        x is averaged over its channels first, as the method ``gray`` does.
    any_size : bool, default False
        Whether height and width of x may vary.

    Attributes
    ----------
    outputs : tuple of str
        ``("logits", "z")``.
    description : dict
        What a client must know of inputs and outputs, as plain JSON.
    """

    outputs: tuple[str, ...] = ("logits", "z")

    def __init__(
        self, encoder: nn.Module, head: nn.Module | None, example: Tensor, *, gray: bool = False, any_size: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.example, self.gray, self.any_size = encoder, head, example, gray, any_size
        self.description: dict[str, Any] = {}
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, n_classes) and z (n, dim) of x (n, ...)."""
        if self.gray:
            x = x.mean(dim=1, keepdim=True).expand_as(x)
        representations, logits = apply_network(self.encoder, self.head, x)
        return logits, representations[-1]

    def draw_inputs(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw a batch of n inputs with ``generator``, to compare models on."""
        shape = (n, *self.example.shape[1:])
        if not self.example.is_floating_point():  # token numbers, say: only those of the example are known to be valid
            return self.example[:1].expand(shape).contiguous()
        return torch.rand(shape, generator=generator).to(self.example.dtype)


class ServedEraser(ServedModel):
    """The map of a fitted `midebias.MIEraser`: x (n, p) -> z erased (n, p)."""

    outputs = ("z",)

    def __init__(self, eraser: Any) -> None:
        module = copy.deepcopy(eraser.module_)
        super().__init__(module, nn.Identity(), torch.zeros(2, eraser.n_features_in_))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """z erased."""
        return (self.encoder(x),)


@checked
def make_servable(model: Any, *, example: Tensor | None = None) -> ServedModel | ServedTable:
    """Copy the part of a model that predicts to the CPU, in evaluation mode; penalty and critic stay behind.

    Parameters
    ----------
    model : DebiasModule, Classifier, Tap, (encoder, head), a fitted estimator of `midebias.sklearn`, or `MIEraser`
        Any module with the parts ``encoder`` and ``head`` is taken as a `DebiasModule` is.
    example : Tensor of shape (n, ...), optional
        An input; needed for all but the scikit-learn estimators and erasers, which know their columns.

    Returns
    -------
    ServedModel or ServedTable
        Also accepted by `export_model`.

    Raises
    ------
    InputError
        A model of another kind, an estimator that is not fitted, or an example that the model cannot encode.

    Examples
    --------
    >>> import torch
    >>> from midebias.serving import make_servable
    >>> model = make_servable((torch.nn.Linear(20, 8), torch.nn.Linear(8, 3)), example=torch.zeros(1, 20))
    >>> logits, z = model(torch.zeros(5, 20))
    >>> tuple(logits.shape), tuple(z.shape)
    ((5, 3), (5, 8))
    """
    if isinstance(model, (ServedModel, ServedTable)):
        return model
    if isinstance(model, TableModel):
        return ServedTable.from_model(model)
    if isinstance(getattr(model, "module_", None), nn.Module):  # told by it: scikit-learn is not needed to serve
        return ServedEraser(model)
    if isinstance(model, (Classifier, Tap)):
        parts: Any = (model, None)
    elif isinstance(model, nn.Module):
        parts = getattr(model, "encoder", None), getattr(model, "head", None)
    else:
        parts = model if isinstance(model, tuple) and len(model) == 2 else (None, None)
    encoder, head = parts
    gives_logits = isinstance(encoder, (Classifier, Tap))
    if not isinstance(encoder, nn.Module) or not (isinstance(head, nn.Module) or gives_logits):
        raise InputError(
            "model must be a DebiasModule, a Classifier, a pair of modules (encoder, head) or a fitted estimator of "
            f"midebias.sklearn, got {type(model).__name__}"
        )
    if not isinstance(example, Tensor) or example.ndim < 2:
        raise InputError("example must be a tensor (n, ...) like the encoder's input")
    encoder, head = copy.deepcopy((encoder, None if gives_logits else head))
    # A batch of two: the exporter would take a batch of one for a constant.
    row = example.detach().cpu()[:1] if len(example) else torch.zeros(1, *example.shape[1:], dtype=example.dtype)
    served = ServedModel(encoder.cpu(), None if head is None else head.cpu(), row.repeat_interleave(2, dim=0))
    try:
        with torch.no_grad():
            out = served(served.example)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shape = tuple(served.example.shape)
        raise InputError(f"model cannot encode example of shape {shape}: {str(error).splitlines()[0]}") from error
    if not all(isinstance(o, Tensor) and len(o) == 2 for o in out):
        raise InputError("model must return a row for each row of example")
    return served
