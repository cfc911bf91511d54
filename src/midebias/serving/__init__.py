"""Trained models for use without this package: `torch.export` and ONNX of encoder and head, and run folders read back.

>>> import torch
>>> from midebias.serving import make_servable
>>> encoder, head = torch.nn.Linear(20, 8), torch.nn.Linear(8, 3)
>>> model = make_servable((encoder, head), example=torch.zeros(2, 20))
>>> [tuple(out.shape) for out in model(torch.zeros(5, 20))], model.outputs
([(5, 3), (5, 8)], ('logits', 'z'))
"""

from .export import Exported, export_model
from .run_folder import load_run
from .served_model import ServedModel, make_servable
from .served_table import ServedTable

__all__ = ["Exported", "ServedModel", "ServedTable", "export_model", "load_run", "make_servable"]
