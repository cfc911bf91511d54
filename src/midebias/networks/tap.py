"""`Tap`: representations at chosen depths of anybody's module, read by forward hooks."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..errors import InputError
from ..representations import Shape, compute_width, infer_shape


class Tap(nn.Module):
    """A module that also returns representations of its input: x -> (those at ``depths``, z, logits).

    The module is left as it is: hooks are there during a call only. So copies, evaluation mode and
    `DistributedDataParallel` around a Tap work as they do around any module, and `torch.compile` of a Tap
    compiles the module in it (compile the Tap, not that).

    Parameters
    ----------
    model : Module
        x (n, ...) -> logits, as a tensor, or first in a sequence, or ``logits`` of a mapping or object.
    depths : sequence of str, mapping or int, default ()
        Names of submodules whose outputs are read, as in ``model.named_modules()``, early to late; a mapping from them
        to `FeatureMap`, `Tokens` or a width, where ``...`` leaves that to ``example``. A number chooses so many,
        evenly spaced over the stages or blocks before the last.
    z : str, optional
        Submodule whose output is z; default is the input of the last linear layer.
    example : Tensor of shape (n, ...), optional
        An input, from which shapes are found in evaluation mode. Needed for a number of depths.

    Attributes
    ----------
    shapes : tuple of int, FeatureMap or Tokens, or None
        What `MIPenalty` takes as ``dim``: the shapes of all that is returned before the logits; None where neither
        ``depths`` nor ``example`` gave them.
    head : nn.Linear or None
        From z to logits; None where ``z`` was named.

    Raises
    ------
    InputError
        Names that the model does not have; a model without linear layer, unless z is named; an example that it cannot
        read. Calls raise it where a named submodule does not run exactly once.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from midebias.networks import Tap
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> tap = Tap(model, ["1"], example=torch.zeros(1, 3, 16, 16))
    >>> tap.shapes
    (FeatureMap(channels=8), 8)
    >>> [tuple(t.shape) for t in tap(torch.zeros(5, 3, 16, 16))]
    [(5, 8, 14, 14), (5, 8), (5, 2)]
    """

    @checked
    def __init__(
        self,
        model: nn.Module,
        depths: int | Sequence[str] | Mapping[str, Any] = (),
        *,
        z: str | None = None,
        example: Tensor | None = None,
    ) -> None:
        super().__init__()
        linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        if z is None and not linear:
            raise InputError("model has no linear layer whose input could be z: name the submodule that gives z")
        self.model, self._z, self._linear = model, z, linear[-1] if linear else ""
        if example is not None:
            example = example.to(next((p.device for p in model.parameters()), example.device))
        if isinstance(depths, int):
            if example is None:
                raise InputError("depths is a number, for which an example of the input is needed")
            depths = choose_evenly(list_stages(model, example), depths)
        given = dict(depths) if isinstance(depths, Mapping) else dict.fromkeys(depths, ...)
        self.depths = tuple(given)
        self._outputs = self.depths if z is None else (*self.depths, z)
        for name in self._outputs:
            _check_name(model, name)
        if z in self.depths:
            raise InputError(f"z is {z!r}, which depths names, too: z is returned after them, so leave it out there")
        shapes = [*given.values(), ... if self.head is None else self.head.in_features]
        if example is not None and ... in shapes:
            with _evaluate(model):
                *found, _ = self(example)
            named = zip(found, shapes, (*self.depths, z or "z"), strict=True)
            shapes = [_infer(model, h, example, name) if shape is ... else shape for h, shape, name in named]
        self.shapes: tuple[Shape, ...] | None = None if ... in shapes else tuple(shapes)

    @property
    def head(self) -> nn.Linear | None:
        """From z to logits; None where z was named."""
        return None if self._z is not None else cast(nn.Linear, self.model.get_submodule(self._linear))

    def forward(self, x: Any) -> tuple[Tensor, ...]:
        """Representations of ``x`` (n, ...), early to late and z last, then the logits."""
        logits, seen = _record(self.model, x, self._outputs, () if self._z else (self._linear,))
        for name, values in seen.items():
            if len(values) != 1:
                when = "runs more than once" if values else "does not run"
                raise InputError(
                    f"{name} {when} in a pass of the model: name another submodule; and compile the Tap, not its model"
                )
        return (*(values[0] for values in seen.values()), logits)


def choose_evenly(stages: Sequence[str], n: int) -> list[str]:
    """Choose ``n`` of the ``stages`` before the last, from which z is pooled: evenly, and with the first."""
    most = max(0, len(stages) - 1)
    if not 0 <= n <= most:
        raise InputError(f"depths must be from 0 to {most} here, or name submodules, got {n}")
    return [stages[round(k * (most - 1) / max(1, n - 1))] for k in range(n)]


def list_stages(model: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules that the stages of a model end with, or else of its blocks, in the order in which they run.

    Parts that work at three resolutions or more are stages, by the last at each. Otherwise those of the part that holds
    most parameters are looked at, until none holds most; those are blocks.
    """
    trunk, example = "", example[:2]
    while True:
        with _evaluate(model):
            _, seen = _record(model, example, [*_list_parts(model, trunk)])
        positions = {}
        for name, values in seen.items():
            if len(values) == 1 and values[0].ndim >= 3 and len(values[0]) == len(example):
                shape = _infer(model, values[0], example, name)
                positions[name] = 1 if isinstance(shape, int) else 2 * values[0][0].numel() // compute_width(shape)
        parts = {name: _count(model.get_submodule(name)) for name in positions}
        sizes = {name: size for name, size in parts.items() if _list_parts(model, name)}
        # What has one position and no parts is a pool, or a layer after it.
        stages = {n: name for name, n in positions.items() if n > 1 or sizes.get(name)}
        if len(stages) >= 3:
            return [*stages.values()]
        largest = max(sizes, key=lambda name: sizes[name], default="")
        if 2 * sizes.get(largest, 0) <= sum(sizes.values()):
            return [name for name, size in parts.items() if size]
        trunk = largest


def _list_parts(model: nn.Module, trunk: str) -> list[str]:
    """Names of the parts of a submodule; lists of modules, which have no forward pass, are taken apart."""
    parts = list[str]()
    for child, module in model.get_submodule(trunk).named_children():
        name = f"{trunk}.{child}" if trunk else child
        parts += _list_parts(model, name) if type(module).forward is nn.Module.forward else [name]
    return parts


def _record(
    model: nn.Module, x: Any, outputs: Sequence[str], inputs: Sequence[str] = ()
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Run a model; what it gives, and what modules gave, or were given, each time that they ran."""
    seen: dict[str, list[Tensor]] = {name: [] for name in (*outputs, *inputs)}
    handles = []
    for name, kept in seen.items():
        module = model.get_submodule(name)
        if name in outputs:
            handles.append(module.register_forward_hook(lambda _m, _x, out, k=kept: k.append(_find_tensor(out))))
        else:
            handles.append(module.register_forward_pre_hook(lambda _m, given, k=kept: k.append(given[0])))
    try:
        return _find_tensor(model(x)), seen
    finally:
        for handle in handles:
            handle.remove()


def _find_tensor(value: Any) -> Tensor:
    """The tensor in what a module gave: itself, its ``logits``, or the first of a sequence or mapping."""
    if isinstance(value, Tensor):
        return value
    value = getattr(value, "logits", value)
    if isinstance(value, Mapping):
        value = value.get("logits", next(iter(value.values()), None))
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    if not isinstance(value, Tensor):
        raise InputError(f"the model, or a named submodule, gives {type(value).__name__}, in which no tensor is found")
    return value


@contextmanager
def _evaluate(model: nn.Module) -> Iterator[None]:
    """Context in evaluation mode, without gradients; each module is in its own mode again afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _infer(model: nn.Module, h: Tensor, x: Tensor, name: str) -> Shape:
    convolutions = {m.out_channels for m in model.modules() if isinstance(m, nn.Conv1d)}
    linear = {m.out_features for m in model.modules() if isinstance(m, nn.Linear)}
    return infer_shape(h, x, name, sequence_channels=() if h.shape[-1] in linear else convolutions)


def _check_name(model: nn.Module, name: str) -> None:
    try:
        model.get_submodule(name)
    except AttributeError:
        known = [known for known, _ in model.named_modules() if known]
        near = difflib.get_close_matches(name, known, n=5) or [child for child, _ in model.named_children()]
        raise InputError(f"model has no submodule {name!r}; near it are {', '.join(near)}") from None


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
