"""Trained models for use without this package: `torch.export` and ONNX of encoder and head, and run folders."""

from .export import Exported, export_model
from .run_folder import load_run
from .served_model import ServedModel, make_servable
from .served_table import ServedTable

__all__ = ["Exported", "ServedModel", "ServedTable", "export_model", "load_run", "make_servable"]
