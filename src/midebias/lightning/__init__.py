"""Debiasing in PyTorch Lightning's Trainer.

Run this package only as ``midebias`` or ``python -m midebias``: this folder has the name of the package it adapts.
"""

try:
    import lightning.pytorch  # noqa: F401 - says early what is missing
except ImportError as _error:
    raise ImportError("midebias.lightning needs PyTorch Lightning: pip install 'midebias[lightning]'") from _error

from ..training.seeded_loader import SeededLoader
from .meter import MIMeter
from .method_module import MethodModule
from .module import DebiasModule
from .safe_checkpoints import SafeCheckpoints

__all__ = ["DebiasModule", "MIMeter", "MethodModule", "SafeCheckpoints", "SeededLoader"]
