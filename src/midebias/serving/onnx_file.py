"""An exported program as an ONNX file, and what such a file computes."""

import logging
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import InputError


def require_onnx() -> None:
    """Raise `InputError`, which says what to install, unless ONNX can be written."""
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'midebias[export]'") from None


def make_onnx(program: torch.export.ExportedProgram, outputs: Sequence[str], description: str) -> bytes:
    """The content of a file whose input is ``x``, with a description in its metadata.

    Raises
    ------
    InputError
        When an operation has no counterpart in ONNX.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=["x"], output_names=list(outputs)
            )
    except Exception as error:  # conversion raises errors of many kinds
        raise InputError(f"model cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    finally:
        logger.setLevel(level)
    assert written is not None
    proto = written.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "midebias", description
    content: bytes = proto.SerializeToString()
    return content


def open_onnx(content: bytes) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A function that runs the file's model on the CPU, in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: tuple(torch.from_numpy(out) for out in session.run(None, {"x": x.numpy()}))
