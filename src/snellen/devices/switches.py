"""Precision switches: what torch was told about how exactly a device has to compute.

In: nothing but torch's own state. Out: ``Switch`` rows that are read for a record, and set for the length of one run to
learn which of them explains an error.

Since 2.9 torch keeps the precision of float32 twice: as one word for every back-end (``set_float32_matmul_precision``,
``allow_tf32``) and as one setting for each back-end and operation (``fp32_precision``). The kernels follow the second;
the first raises when it is read while the two disagree. So everything here is read from the second, and where a word
exists it is set along with it: code that reads the word inside ``Switch.at`` finds what was set.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from snellen.errors import UsageError

_PRECISIONS = {"cuda": ("ieee", "tf32"), "mkldnn": ("ieee", "tf32", "bf16")}
_WORDS = {"ieee": "highest", "tf32": "high", "bf16": "medium"}
_SDPA = ("flash", "mem_efficient", "math", "cudnn")


@dataclass(frozen=True)
class Switch:
    """One setting that can change the numbers of a device.

    ``name`` is what a user writes in a program. ``read`` returns the value as text, ``write`` sets one of ``values``;
    neither starts a device. At ``strict`` the switch lowers nothing. ``lowers`` says what it lowers at other values:
    "convolution", "matmul", "all", or "attention", which chooses a kernel and is recorded only: its strict value is the
    one that it has. ``kept`` saves the state behind the switch, where that is more than its value, and returns what
    restores it.
    """

    name: str
    read: Callable[[], str]
    write: Callable[[str], None]
    strict: str
    lowers: str
    values: tuple[str, ...] = ("True", "False")
    kept: Callable[[], Callable[[], None]] | None = None

    @contextmanager
    def at(self, value: str) -> Iterator[None]:
        """Set the switch to ``value``, and to what it was when the block is left, by whichever way.

        Raises UsageError, and sets nothing, for a value that the switch cannot have.
        """
        if value not in self.values:
            offered = " or ".join(self.values)
            raise UsageError(f"{self.name} cannot be {value!r}", expected=offered, todo=f"one of {offered}")
        restore = self.kept() if self.kept else self._restorer()
        try:
            self.write(value)
            yield
        finally:
            restore()

    def _restorer(self) -> Callable[[], None]:
        before = self.read()
        return lambda: self.write(before)


def flag(name: str, get: Callable[[], Any], put: Callable[[bool], Any], *, strict: str, lowers: str) -> Switch:
    """Return the switch of something that is on or off."""
    return Switch(name, lambda: str(bool(get())), lambda text: put(text == "True"), strict, lowers)


def matmul(backend: str) -> Switch:
    """Return the switch for float32 matrix products on "cuda" or "mkldnn" (which is what torch calls oneDNN)."""

    def write(text: str) -> None:
        import torch

        other = _matmul_settings()["mkldnn"]
        before = other.fp32_precision
        lowered_besides = backend == "cuda" and text != "ieee" and before == "bf16"
        _tell(torch.set_float32_matmul_precision, "medium" if lowered_besides else _WORDS[text])
        if backend == "cuda" and text != "ieee":  # the word has lowered the CPU too, where golden runs are made
            _put(other, before)
        _put(_matmul_settings()[backend], text)

    return Switch(
        f"torch.backends.{backend}.matmul.fp32_precision",
        lambda: _plain(_matmul_settings()[backend].fp32_precision),
        write,
        "ieee",
        "matmul",
        _PRECISIONS[backend],
        _kept_matmul,
    )


def mkldnn_convolution() -> Switch:
    """Return the switch for float32 convolutions in oneDNN."""
    conv = _backend("mkldnn").conv
    return Switch(
        "torch.backends.mkldnn.conv.fp32_precision",
        lambda: _plain(conv.fp32_precision),
        lambda text: _put(conv, text),
        "ieee",
        "convolution",
        _PRECISIONS["mkldnn"],
        lambda: _kept_settings(conv),
    )


def cudnn_convolution() -> Switch:
    """Return the switch for float32 convolutions in cuDNN, which torch lets compute in TF32 unless told not to."""
    cudnn = _backend("cudnn")

    def write(text: str) -> None:
        # torch refuses to read cudnn.allow_tf32 unless convolutions and recurrent layers agree with it.
        _tell(lambda: setattr(cudnn, "allow_tf32", text == "tf32"))
        _put(cudnn.conv, text)
        _put(cudnn.rnn, text)

    return Switch(
        "torch.backends.cudnn.conv.fp32_precision",
        lambda: _plain(cudnn.conv.fp32_precision),
        write,
        "ieee",
        "convolution",
        _PRECISIONS["cuda"],
        _kept_cudnn,
    )


def cublas() -> tuple[Switch, ...]:
    """Return the switches for how products of float16 and bfloat16 may be added up, in attention too."""
    import torch

    products = _backend("cuda").matmul
    names = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
    found = [_reduction(products, name) for name in names]
    if hasattr(products, "allow_fp16_accumulation"):
        found.append(_attribute("torch.backends.cuda.matmul", products, "allow_fp16_accumulation", lowers="matmul"))
    name = "allow_fp16_bf16_reduction_math_sdp"
    get, put = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed, getattr(torch.backends.cuda, name)
    return (*found, flag(f"torch.backends.cuda.{name}", get, put, strict="False", lowers="matmul"))


def attention(*kernels: str) -> tuple[Switch, ...]:
    """Return which kernels scaled_dot_product_attention may choose from: a choice to record, strict as it is."""
    cuda = _backend("cuda")
    found = []
    for kernel in _SDPA:
        get, put = getattr(cuda, f"{kernel}_sdp_enabled", None), getattr(cuda, f"enable_{kernel}_sdp", None)
        if kernel in kernels and get and put:
            name = f"torch.backends.cuda.enable_{kernel}_sdp"
            found.append(flag(name, get, put, strict=str(get()), lowers="attention"))
    return tuple(found)


def autocast(kind: str) -> tuple[Switch, ...]:
    """Return the switch of autocast on this kind of device: "False", or the dtype it casts to; this thread's only.

    Nothing is returned for a kind that this build of torch does not know, since nothing can be read then.
    """
    import torch

    try:
        torch.is_autocast_enabled(kind)
        torch.get_autocast_dtype(kind)
    except RuntimeError:
        return ()

    def read() -> str:
        on = torch.is_autocast_enabled(kind)
        return str(torch.get_autocast_dtype(kind)).removeprefix("torch.") if on else "False"

    def write(text: str) -> None:
        torch.clear_autocast_cache()  # weights that were cast for the setting before
        if text != "False":
            torch.set_autocast_dtype(kind, getattr(torch, text))
        torch.set_autocast_enabled(kind, text != "False")

    def kept() -> Callable[[], None]:
        on, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

        def restore() -> None:
            torch.clear_autocast_cache()
            torch.set_autocast_dtype(kind, dtype)
            torch.set_autocast_enabled(kind, on)

        return restore

    return (Switch(f"torch.autocast({kind!r})", read, write, "False", "all", ("False", "float16", "bfloat16"), kept),)


def environment(*names: str) -> dict[str, dict[str, str]]:
    """Return, as part of a description, the variables that are set: libraries read them once, nothing switches them."""
    found = {name: os.environ[name] for name in names if name in os.environ}
    return {"environment": found} if found else {}


def _attribute(path: str, owner: Any, name: str, *, lowers: str) -> Switch:
    """Return the switch of an attribute that is a bool, strict where it is False."""
    put: Callable[[bool], None] = lambda on: setattr(owner, name, on)  # noqa: E731
    return flag(f"{path}.{name}", lambda: getattr(owner, name), put, strict="False", lowers=lowers)


def _reduction(products: Any, name: str) -> Switch:
    """Return the switch of a reduced-precision reduction; newer torch keeps leave to split K beside it."""
    switch = _attribute("torch.backends.cuda.matmul", products, name, lowers="matmul")
    if not hasattr(products, f"{name}_split_k"):
        return switch

    def kept() -> Callable[[], None]:
        before = (getattr(products, name), getattr(products, f"{name}_split_k"))
        return lambda: setattr(products, name, before)

    return Switch(switch.name, switch.read, switch.write, switch.strict, switch.lowers, switch.values, kept)


def _backend(name: str) -> Any:
    """Return ``torch.backends.<name>``, whose settings torch makes at run time and does not declare."""
    import torch

    return getattr(torch.backends, name)


def _matmul_settings() -> dict[str, Any]:
    return {"cuda": _backend("cuda").matmul, "mkldnn": _backend("mkldnn").matmul}


def _plain(precision: str) -> str:
    """Return the effective precision: torch resolves what is inherited, and "none" then computes as "ieee" does."""
    return "ieee" if precision == "none" else precision


def _put(settings: Any, precision: str) -> None:
    """Set a precision, leaving it inherited where that gives the same."""
    settings.fp32_precision = "none"
    if settings.fp32_precision != precision:
        settings.fp32_precision = precision


def _kept_settings(*settings: Any) -> Callable[[], None]:
    before = [(one, one.fp32_precision) for one in settings]

    def restore() -> None:
        for one, precision in before:
            _put(one, precision)

    return restore


def _kept_matmul() -> Callable[[], None]:
    """Save torch's word and both settings under it, which need not agree."""
    import torch

    settings = _matmul_settings().values()
    restore_settings = _kept_settings(*settings)
    for one in settings:
        one.fp32_precision = "ieee"  # whatever the word is, it can be read then
    word = _tell(torch.get_float32_matmul_precision)
    restore_settings()

    def restore() -> None:
        _tell(torch.set_float32_matmul_precision, word)
        restore_settings()

    return restore


def _kept_cudnn() -> Callable[[], None]:
    """Save torch's word for cuDNN and the settings under it, which need not agree."""
    cudnn = _backend("cudnn")
    restore_settings = _kept_settings(cudnn.conv, cudnn.rnn)
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
    try:
        word = bool(_tell(lambda: cudnn.allow_tf32))
    except RuntimeError:  # torch refuses to read a word that disagrees with "ieee"
        word = True
    restore_settings()

    def restore() -> None:
        _tell(lambda: setattr(cudnn, "allow_tf32", word))
        restore_settings()

    return restore


def _tell(do: Callable[..., Any], *values: Any) -> Any:
    """Use one of torch's words without its advice to use the settings instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*new API settings to control TF32")
        return do(*values)
