"""Networks of timm and torchvision as classifiers that show representations at several depths."""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..errors import InputError
from .classifier import Classifier
from .local_weights import load_weights
from .tap import Tap

_Made = tuple[nn.Module, tuple[int, int], Sequence[float], Sequence[float]]  # with image size, mean and deviation


class Backbone(Classifier):
    """A network of `backbone`: representations at several depths, a head, and the normalisation that it was made for.

    Parameters
    ----------
    model : Module
        The network, which ends in a linear layer: the attribute ``tap.model``.
    depths : int or sequence of str
        As in `Tap`, which is the attribute ``tap``.
    mean, std : sequence of float
        One a channel: the network is given (x - mean) / std of images x in [0, 1].
    image_size : tuple of int
        Height and width in pixels.
    description : dict
        Keyword arguments of `backbone`, as plain JSON, that build it again for other weights.

    Raises
    ------
    InputError
        Images of a size that the network does not take; a network whose output is more than its last linear layer's.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, depths: int | Sequence[str], *, mean: Sequence[float], std: Sequence[float],
        image_size: tuple[int, int], description: Mapping[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        example = torch.zeros(2, len(mean), *image_size)
        try:
            self.tap = Tap(model, depths, example=example)
        except (RuntimeError, AssertionError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"{description['name']} does not take images of {image_size} pixels: {reason}") from error
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        assert self.tap.shapes is not None
        self.shapes, self.dim = self.tap.shapes, self.head.in_features
        self.image_size = image_size
        self.description = {**description, "depths": list(self.tap.depths), "image_size": list(image_size)}
        self.eval()
        with torch.no_grad():
            *_, z, logits = self.tap(example)
            if not torch.allclose(self.head(z), logits):
                raise InputError(f"{description['name']} gives more than its last linear layer does: use Tap around it")
        self.train()

    @property
    def head(self) -> nn.Linear:  # type: ignore[override]  # a part of the network, under its own name there
        """From z to logits."""
        assert self.tap.head is not None
        return self.tap.head

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Representations of images x (n, channels, height, width) in [0, 1], early to late; the last is z (n, dim)."""
        return self.tap((x - self.mean) / self.std)[:-1]


@checked
def backbone(
    name: str, *, depths: int | Sequence[str] = 3, pretrained: bool = False, weights: str | Path | None = None,
    dim: int | None = None, n_classes: int = 2, in_channels: int = 3, image_size: int | Sequence[int] | None = None,
) -> Backbone:  # fmt: skip
    """Build a network of timm or torchvision that shows representations at several depths.

    Image size, mean and deviation are those of the network's own configuration, and are kept with it.

    Parameters
    ----------
    name : str
        "timm:resnet18", "torchvision:vit_b_16": any network of theirs for images that ends in a linear layer.
    depths : int or sequence of str, default 3
        How many depths to show beside z, evenly spaced over the stages or blocks before the last; or their names.
    pretrained : bool, default False
        Whether to load the library's own weights, which it downloads.
    weights : path, optional
        A file of such weights instead: a state dict as ``.safetensors``, or of `torch.save`, read without running code.
        A head of another size is left out, with a warning.
    dim : int, optional
        Columns of z, by a linear layer and a ReLU before the head. Default is the network's own.
    n_classes : int, default 2
    in_channels : int, default 3
    image_size : int or pair of int, optional
        Pixels a side, or height and width. Default is the network's own; another one needs weights that go with it.

    Returns
    -------
    Backbone
        x (n, in_channels, height, width) in [0, 1] -> logits; ``depths(x)`` for representations.

    Raises
    ------
    InputError
        An unknown name, which is answered by similar ones; a library that is not installed; a size that the network
        cannot take; pretrained weights that cannot be downloaded.
    DataError
        Weights that cannot be read or do not fit; the message names what is missing and what is left over.

    Examples
    --------
    >>> from midebias import MIPenalty
    >>> from midebias.attributes import Categorical
    >>> from midebias.networks import backbone
    >>> network = backbone("timm:resnet18", depths=3)            # doctest: +SKIP
    >>> penalty = MIPenalty(network.shapes, Categorical(2))      # doctest: +SKIP
    """
    library, model_name = _split_name(name)
    if pretrained and weights is not None:
        raise InputError("pretrained and weights name two sets of weights: give one of them")
    for argument, value in (("dim", dim), ("n_classes", n_classes), ("in_channels", in_channels)):
        if value is not None and value < 1:
            raise InputError(f"{argument} must be at least 1, got {value}")
    size = None if image_size is None else (image_size, image_size) if isinstance(image_size, int) else (*image_size,)
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InputError(f"image_size must be pixels a side, or height and width, got {image_size!r}")
    try:
        model, own, mean, std = _MAKERS[library](
            model_name, in_channels, size, pretrained=pretrained, num_classes=n_classes
        )
    except InputError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds
        advice = "; give a file of weights instead" if pretrained else ""
        raise InputError(f"network {name!r} cannot be built: {error}{advice}") from error
    linear = [(part, module) for part, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"network {name!r} has no linear layer: use Tap around it, and name z")
    head, layer = linear[-1]
    if weights is not None:
        load_weights(model, weights, head=head)
    if layer.out_features != n_classes:
        model.set_submodule(head, nn.Linear(layer.in_features, n_classes))
    if dim is not None:
        parts = nn.Linear(layer.in_features, dim), nn.ReLU(), nn.Linear(dim, n_classes)
        model.set_submodule(head, nn.Sequential(*parts))
    if len(mean) != in_channels:
        mean, std = ([sum(values) / len(values)] * in_channels for values in (mean, std))
    asked = {"name": name, "dim": dim, "n_classes": n_classes, "in_channels": in_channels}
    return Backbone(model, depths, mean=mean, std=std, image_size=size or own, description=asked)


@checked
def read_image_size(name: str) -> int:
    """Pixels a side that the network ``name`` of `backbone` was made for; errors as there."""
    library, model_name = _split_name(name)
    if library == "torchvision":
        return int(_configure_torchvision(model_name).crop_size[0])
    return int(max(_configure_timm(model_name).input_size[1:]))


def _split_name(name: str) -> tuple[str, str]:
    library, _, model_name = name.partition(":")
    if library not in _MAKERS or not model_name:
        raise InputError(f"network must be 'timm:NAME' or 'torchvision:NAME', got {name!r}")
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise InputError(f"network {name!r} needs {library} ({error}): pip install 'midebias[vision]'") from error
    return library, model_name


def _make_timm(name: str, in_channels: int, size: tuple[int, int] | None, **options: Any) -> _Made:
    import timm

    config, options = _configure_timm(name), options | {"in_chans": in_channels}
    try:  # transformers are built for a size; convolutional networks do not know the argument
        model = timm.create_model(name, **options, **({} if size is None else {"img_size": size}))
    except TypeError:
        model = timm.create_model(name, **options)
    return model, config.input_size[1:], config.mean, config.std


def _configure_timm(name: str) -> Any:
    import timm

    if not timm.is_model(name):
        raise _refuse_name("timm", name, timm.list_models())
    return timm.get_pretrained_cfg(name)


def _make_torchvision(
    name: str, in_channels: int, size: tuple[int, int] | None, *, pretrained: bool, **options: Any
) -> _Made:
    from torchvision import models

    config = _configure_torchvision(name)
    if in_channels != 3:
        raise InputError(f"in_channels must be 3 for torchvision's networks, got {in_channels}; timm's take any number")
    own = config.crop_size[0], config.crop_size[0]
    if pretrained:  # which come with their own number of classes
        options = {"weights": "DEFAULT"}
    if size not in (None, own) and name.startswith("vit_"):
        options["image_size"] = size[0] if len({*size}) == 1 else size
    return models.get_model(name, **options), own, config.mean, config.std


def _configure_torchvision(name: str) -> Any:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _refuse_name("torchvision", name, known)
    return models.get_model_weights(name).DEFAULT.transforms()


def _refuse_name(library: str, name: str, known: Sequence[str]) -> InputError:
    near = ", ".join(difflib.get_close_matches(name, known, n=5)) or f"{len(known)} others"
    return InputError(f"{library} has no network {name!r}; near it are {near}")


_MAKERS = {"timm": _make_timm, "torchvision": _make_torchvision}
