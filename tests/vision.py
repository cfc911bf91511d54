"""torchvision and timm where the tests run: beside a build of torch for CPUs, for which their index has none.

There `import torchvision` fails for want of its compiled operators. It is enough that those are declared, for no test
runs one. So that nobody else meets such a torchvision, it lies in a folder of its own, which ``make test`` makes.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(sys.prefix) / "vision"
_SIZES = "SymInt pooled_height, SymInt pooled_width"
_POOLED = f"Tensor input, Tensor rois, float spatial_scale, {_SIZES}"
_BACK = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_DEFORM = (
    "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, "
    "SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, "
    "bool use_mask"
)
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_POOLED}, int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, {_SIZES}, {_BACK}, int sampling_ratio, "
    "bool aligned) -> Tensor",
    f"roi_pool({_POOLED}) -> (Tensor, Tensor)",
    f"_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, {_SIZES}, {_BACK}) -> Tensor",
    f"ps_roi_align({_POOLED}, int sampling_ratio) -> (Tensor, Tensor)",
    "_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, "
    f"{_SIZES}, int sampling_ratio, {_BACK}) -> Tensor",
    f"ps_roi_pool({_POOLED}) -> (Tensor, Tensor)",
    "_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, "
    f"{_SIZES}, {_BACK}) -> Tensor",
    f"deform_conv2d({_DEFORM}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
_declared: list[Any] = []  # a library's declarations end with it


def import_vision() -> None:
    """Make timm and torchvision importable, or skip the test."""
    if importlib.util.find_spec("timm") is None or importlib.util.find_spec("torchvision") is None:
        if not FOLDER.is_dir():
            pytest.skip("timm and torchvision are not installed: make test does that")
        sys.path.append(str(FOLDER))
    if not _declared and not hasattr(torch.ops.torchvision, "nms") and FOLDER.is_dir():
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
    import timm  # noqa: F401
    import torchvision  # noqa: F401
