"""What executes an encoder, behind one contract: a name like ``eager`` goes in, a ``Runner`` comes out.

``RUNTIMES`` is the table. A candidate of one's own, a module or a function, goes through ``of_module`` and
``of_callable``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from snellen.devices import DTYPES, Device
from snellen.errors import UnknownName, UsageError
from snellen.records import Choice
from snellen.records.plan import FREE, Layout

if TYPE_CHECKING:
    from torch import nn

    from snellen.model.model import Model
    from snellen.runtimes.base import Runner
    from snellen.runtimes.openvino.quantise import Calibration

__all__ = ["INT8", "RUNTIMES", "default", "make", "of_callable", "of_module"]


def _eager(model: Model, device: Device, dtype: str, layout: Layout) -> Runner:
    from snellen.runtimes.eager import Eager

    return _laid_out(Eager(model, device, dtype), layout)


def _compiled(model: Model, device: Device, dtype: str, layout: Layout) -> Runner:
    from snellen.runtimes.compiled import Compiled

    return Compiled(model, device, dtype, layout)


def _openvino(
    model: Model, device: Device, dtype: str, layout: Layout, calibration: Calibration | str | None = None
) -> Runner:
    from snellen.runtimes.openvino.runner import OpenVINO

    return OpenVINO(model, device, dtype, layout, calibration)


def _onnxruntime(model: Model, device: Device, dtype: str, layout: Layout) -> Runner:
    from snellen.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(model, device, dtype, layout)


def _timm(model: Model, device: Device, dtype: str, layout: Layout) -> Runner:
    from snellen.runtimes.guests.timm import Timm

    return _laid_out(Timm(model, device, dtype), layout)


def _transformers(model: Model, device: Device, dtype: str, layout: Layout) -> Runner:
    from snellen.runtimes.guests.transformers import Transformers

    return _laid_out(Transformers(model, device, dtype), layout)


RUNTIMES: dict[str, Callable[[Model, Device, str, Layout], Runner]] = {
    "eager": _eager,
    "compiled": _compiled,
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "timm": _timm,
    "transformers": _transformers,
}

INT8 = "int8"
"""The one dtype that is a way of running rather than a number format: weights and inputs of matrices in 8 bits."""


def _laid_out(runner: Runner, layout: Layout) -> Runner:
    """Set the batch of a runner that has nothing else to lay out; raise UsageError where more was asked for."""
    if layout.streams is not None or layout.threads is not None:
        raise UsageError(
            f"streams or threads were asked for, which the runtime {runner.runtime} does not set",
            expected="a batch alone",
            todo="OMP_NUM_THREADS sets torch's threads",
        )
    if layout.batch is not None:
        runner.batch = layout.batch
    return runner


def make(
    runtime: str,
    model: Model,
    device: Device,
    dtype: str,
    layout: Layout = FREE,
    calibration: Calibration | str | None = None,
) -> Runner:
    """Return a runner of ``model`` on ``device`` in ``dtype``; the model itself stays as it is.

    ``calibration``: the images that int8 takes its ranges from, or the digest of those that a network was made with
    before; the package's photographs by default. It is refused beside any other dtype.

    Raises UnknownName for a runtime that does not exist, DeviceUnavailable for a dtype that is not used on the device,
    MissingPackage where the runtime's package is not installed, Unavailable where it cannot run this encoder.
    """
    check(runtime, device, dtype)
    if calibration is None:
        return RUNTIMES[runtime](model, device, dtype, layout)
    if dtype != INT8:
        raise UsageError(f"calibration images were given beside {dtype}", expected=f"{INT8}, which alone is calibrated")
    return _openvino(model, device, dtype, layout, calibration)  # no other runtime has int8


def check(runtime: str, device: Device, dtype: str) -> None:
    """Raise what ``make`` would raise of every encoder, before one is there; torch is imported only where it will run.

    UnknownName for a runtime or a dtype that does not exist, DeviceUnavailable for what is not used there, and
    Unavailable where the runtime is not installed or does not run on the device.
    """
    if runtime not in RUNTIMES:
        raise UnknownName("runtime", runtime, RUNTIMES, todo=f"one of {', '.join(RUNTIMES)}")
    dtypes = (*DTYPES, INT8)
    if dtype not in dtypes:
        raise UnknownName("dtype", dtype, dtypes, todo=f"one of {', '.join(dtypes)}")
    if dtype == INT8 and runtime != "openvino":
        raise UnknownName(f"dtype of the runtime {runtime}", dtype, DTYPES, todo="--runtime openvino, which has int8")
    if runtime != "openvino":  # it says itself what it computes in on this CPU
        device.check_dtype(dtype)
    if runtime in CHECKS:
        CHECKS[runtime](device, dtype)


def _check_openvino(device: Device, dtype: str) -> None:
    from snellen.runtimes.openvino import session

    session.check(device, dtype)


def _check_compiled(device: Device, _: str) -> None:
    from snellen.runtimes import compiled

    compiled.check_compiler(device)


def _check_onnxruntime(device: Device, dtype: str) -> None:
    from snellen.runtimes import onnxruntime

    onnxruntime.check(device, dtype, FREE)


CHECKS: dict[str, Callable[[Device, str], None]] = {
    "openvino": _check_openvino,
    "compiled": _check_compiled,
    "onnxruntime": _check_onnxruntime,
}
"""Of runtimes that are not everywhere: whether they are here, on a device, in a dtype."""


def default(device: Device, dtype: str) -> Choice:
    """Return the runtime that is used where nobody names one."""
    if device.kind == "cpu" and dtype not in ("float64", "float16"):
        return Choice("openvino", "the fastest on a CPU of those that are held to the encoder's own numbers")
    if device.kind == "cpu":
        return Choice("eager", f"the one that is asked for {dtype} on a CPU")
    return Choice("eager", f"the one that runs on every device; 'snellen tune' looks for a faster one on {device.name}")


def of_module(module: nn.Module, model: Model, device: Device, dtype: str) -> Runner:
    """Return a module of one's own as a runner; see ``own.of_module``."""
    from snellen.runtimes import own

    return own.of_module(module, model, device, dtype)


def of_callable(fn: Callable[..., Any], model: Model, device: Device, dtype: str) -> Runner:
    """Return a function of one's own as a runner; see ``own.of_callable``."""
    from snellen.runtimes import own

    return own.of_callable(fn, model, device, dtype)
