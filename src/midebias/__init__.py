"""midebias: representations that are good for a task and carry little about a known biased attribute.

Mutual information backpropagation (Ragonesi, Volpi, Cavazza, Murino, arXiv 2003.06430): the mutual
information between the representation and the attribute is estimated by a differentiable estimator and
minimised together with the task. One line in a training loop::

    loss = task_loss + mi_weight * penalty(z, c, y)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .erasure import MIEraser as MIEraser
    from .estimation import estimate_mi as estimate_mi
    from .leakage import audit as audit
    from .penalty import MIPenalty as MIPenalty
    from .representations import FeatureMap as FeatureMap
    from .representations import Tokens as Tokens
    from .training.logit_adjustment import LogitAdjustment as LogitAdjustment

__version__ = "0.1.0"

_EXPORTS = {
    "FeatureMap": "representations",
    "LogitAdjustment": "training.logit_adjustment",
    "MIEraser": "erasure",
    "MIPenalty": "penalty",
    "Tokens": "representations",
    "audit": "leakage",
    "estimate_mi": "estimation",
}
__all__ = ["FeatureMap", "LogitAdjustment", "MIEraser", "MIPenalty", "Tokens", "__version__", "audit", "estimate_mi"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
