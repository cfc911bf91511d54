"""What is compared: each method is one small module that knows how to take one training step."""

from .interface import Batch, Draw, Method, Problem, StepResult
from .mutual_information import MutualInformation
from .plain import Plain
from .reference import Reference

METHODS: dict[str, type[Method]] = {m.name: m for m in (Plain, Reference, MutualInformation)}

__all__ = ["METHODS", "Batch", "Draw", "Method", "MutualInformation", "Plain", "Problem", "Reference", "StepResult"]
