"""What is compared: each method is one small module that knows how to take one training step."""

from ..training.data import Batch, Problem
from ..training.method import Draw, Method
from ..training.step import StepResult
from .balanced_sampling import BalancedSampling
from .bias_contrastive import BiasContrastive
from .blind_eye import BlindEye
from .club import CLUB
from .domain_independent import DomainIndependent
from .entangling import EnD
from .fair_kl import FairKL
from .gradient_reversal import GradientReversal
from .gray import Gray
from .group_dro import GroupDRO
from .hsic import HSIC
from .learning_not_to_learn import LearningNotToLearn
from .mi_backpropagation import MIBackpropagation
from .plain import Plain
from .reference import Reference

_COMPARED: tuple[type[Method], ...] = (
    Plain, Gray, BlindEye, LearningNotToLearn, GradientReversal, EnD, HSIC, CLUB, GroupDRO, BalancedSampling,
    DomainIndependent, BiasContrastive, FairKL, Reference, MIBackpropagation,
)  # fmt: skip
METHODS = {method.name: method for method in _COMPARED}

__all__ = [
    "CLUB", "HSIC", "METHODS", "BalancedSampling", "Batch", "BiasContrastive", "BlindEye", "DomainIndependent", "Draw",
    "EnD", "FairKL", "GradientReversal", "Gray", "GroupDRO", "LearningNotToLearn", "MIBackpropagation", "Method",
    "Plain", "Problem", "Reference", "StepResult",
]  # fmt: skip
