"""Every operator on the simulated NPU goes through here: looked up, queued, and computed when somebody waits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch

from snellen.devices.simulated import copies, faults
from snellen.devices.simulated.arithmetic import rounding, unit_of
from snellen.devices.simulated.machine import MACHINE, Card
from snellen.devices.simulated.operators import Operator, convert, operator, shapes
from snellen.devices.simulated.tensor import SimulatedTensor, adopt, allocate, single, wrap

LACKED = frozenset({"aten::_transformer_encoder_layer_fwd", "aten::_native_multi_head_attention"})
"""Fused operators that are always missing: the first is on an Ascend NPU (Ascend/pytorch#51)."""


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute, or queue, one operator with at least one tensor of the simulated NPU among its arguments."""
    special = copies.SPECIAL.get(func)
    if special is not None:
        return special(*args, **kwargs)
    what = operator(func)
    if what.name in LACKED.union(MACHINE.settings.missing) and what.kind != "view":
        return _fallback(func, what, args, kwargs)
    if what.kind == "composite":
        return func.decompose(*args, **kwargs)
    device = kwargs.get("device")
    if device is not None and torch.device(device).type != "npu":
        return func(*convert(args, _like), **kwargs)  # zeros_like(x, device="cpu"): only the shape counts
    return _BY_KIND[what.kind](func, what, args, kwargs)


def _launch(func: Any, what: Operator, args: Any, kwargs: Any) -> Any:
    """Make the results' tensors, and queue the work that will fill them."""
    card = _card(func, args, kwargs)
    if what.kind == "write":
        alone, results = _written(what, args, kwargs)
    else:
        expected = _expected(func, what, args, kwargs)
        if expected is None:
            return _eager(func, what, args, kwargs)
        alone, results = expected[0], [allocate(card, *shape) for shape in expected[1]]
    MACHINE.counts.launched[what.name] += 1
    compute = _computation(func, what, args, kwargs)
    card.put(_work(what, compute, [result.raw for result in results]))
    if what.kind == "write" and not func._schema.returns:
        return None
    return results[0] if alone else tuple(results)


def _expected(func: Any, what: Operator, args: Any, kwargs: Any) -> Any:
    if what.name == "aten::scaled_dot_product_attention":  # torch's own answer depends on a kernel it would choose
        q, v = args[0], args[2]
        size = torch.Size((*q.shape[:-1], v.shape[-1]))
        return True, ((size, torch.empty(size, device="meta").stride(), q.dtype),)
    return shapes(func, args, kwargs)


def _written(what: Operator, args: Any, kwargs: Any) -> tuple[bool, list[SimulatedTensor]]:
    found: list[SimulatedTensor] = []
    for place in what.written:
        value = kwargs[place] if isinstance(place, str) else args[place]
        found.extend(value if isinstance(value, (list, tuple)) else [value])
    return len(found) == 1, found


def _computation(func: Any, what: Operator, args: Any, kwargs: Any) -> Callable[[], tuple[Any, Any]]:
    """Bind an operator to its arguments as they are at the launch; it returns its results and the faults in them."""
    captured, named = convert(args, _captured), convert(_without_device(kwargs), _captured)
    unit, kernel = unit_of(what.name)
    struck = faults.due(what.name, unit)
    kinds = {fault.kind for fault in struck}
    if "silent_fallback" in kinds:
        MACHINE.counts.silent[what.name] += 1
        unit = None
    if unit is None or not _is_float(args):
        return lambda: (func(*captured, **named), struck)
    how = rounding(unit)
    if "accumulate_float16" in kinds:
        how = replace(how, sums="float16")
    if what.kind == "write":  # mm(..., out=x), x.addmm_(...)
        target = named.pop("out", captured[0])
        return lambda: (target.copy_(kernel(how, *captured, **named)), struck)
    return lambda: (kernel(how, *captured, **named), struck)


def _work(what: Operator, compute: Callable[[], tuple[Any, Any]], raws: list[Tensor]) -> Callable[[], None]:
    stale = faults.watched(what.name, unit_of(what.name)[0])

    def work() -> None:
        made, struck = compute()
        if what.kind != "write":
            for raw, value in zip(raws, [made] if isinstance(made, Tensor) else made, strict=True):
                raw.copy_(value)
        for raw in raws:
            single(raw)
        fresh = raws[0].clone() if stale and raws else None
        if struck and raws:
            faults.inject(raws[0], struck, what.name)
        if fresh is not None:
            faults.remember(fresh, what.name)

    return work


def _eager(func: Any, what: Operator, args: Any, kwargs: Any) -> Any:
    """Wait, and compute at once; what is not a tensor comes back as it is."""
    MACHINE.counts.launched[what.name] += 1
    MACHINE.counts.eager[what.name] += 1
    return _at_once(func, what, args, kwargs)


def _fallback(func: Any, what: Operator, args: Any, kwargs: Any) -> Any:
    """Let the CPU compute an operator that the device lacks, and say so as torch_npu does."""
    MACHINE.counts.fallbacks[what.name] += 1
    warnings.warn(
        f"CAUTION: The operator '{what.name}' is not currently supported on the NPU backend and will fall back to run "
        "on the CPU. This may have performance implications. (function npu_cpu_fallback; simulated)",
        UserWarning,
        stacklevel=3,
    )
    return _at_once(func, what, args, kwargs)


def _at_once(func: Any, what: Operator, args: Any, kwargs: Any) -> Any:
    card = _card(func, args, kwargs)
    card.drain()
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        made = func(*convert(args, _raw), **convert(_without_device(kwargs), _raw))
    if what.kind == "write":
        alone, results = _written(what, args, kwargs)
        return results[0] if alone else tuple(results)

    def bring(value: Tensor) -> Tensor:
        fresh = value.clone()  # it may share its storage with an argument
        single(fresh)
        return adopt(card, fresh)

    return convert(made, bring)


def _view(func: Any, _: Operator, args: Any, kwargs: Any) -> Any:
    """Share storage: the numbers are not touched, so that nothing has to wait."""
    base = next(arg for arg in args if isinstance(arg, SimulatedTensor))
    # A view of a tensor that was made outside inference mode is no inference tensor, even where it is taken inside.
    with torch.inference_mode(base.is_inference()):
        made = func(*convert(args, _raw), **convert(kwargs, _raw))
        return convert(made, lambda raw: wrap(raw, base.block))


def _reshape(func: Any, _: Operator, args: Any, kwargs: Any) -> Any:
    """Change what a tensor looks like, in place: what torch sees of it, and the CPU tensor behind it."""
    target = args[0]
    included = torch._C._meta_in_tls_dispatch_include()
    with no_dispatch():
        torch._C._set_meta_in_tls_dispatch_include(True)  # changes sizes and strides, and asks for no numbers
        try:
            func(*args, **kwargs)
        finally:
            torch._C._set_meta_in_tls_dispatch_include(included)
    func(*convert(args, _raw), **convert(kwargs, _raw))
    return target


def _card(func: Any, args: Any, kwargs: Any) -> Card:
    """Return the one device the arguments lie on; raise torch's own error where there are two."""
    found: set[int] = set()
    strangers: list[Tensor] = []

    def look(tensor: Tensor) -> None:
        if isinstance(tensor, SimulatedTensor):
            found.add(tensor.block.card.index)
        elif tensor.ndim and not func._schema.name.startswith(("aten::index", "aten::_index_put")):
            strangers.append(tensor)

    convert(args, look)
    convert(kwargs, look)
    if len(found) > 1 or strangers:
        names = [*(f"npu:{index}" for index in sorted(found)), *(str(tensor.device) for tensor in strangers)]
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {names[0]} and {names[1]}!"
        )
    asked = kwargs.get("device")
    if asked is not None:
        return copies.card_of(torch.device(asked))
    return MACHINE.cards[found.pop()]


def _without_device(kwargs: Any) -> Any:
    return {**kwargs, "device": torch.device("cpu")} if kwargs.get("device") is not None else kwargs


def _is_float(args: Any) -> bool:
    return all(tensor.is_floating_point() for tensor in args if isinstance(tensor, Tensor))


def _raw(tensor: Tensor) -> Tensor:
    return tensor.raw if isinstance(tensor, SimulatedTensor) else tensor


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")


def _captured(tensor: Tensor) -> Tensor:
    """Return what the queue will read: a CPU tensor may have changed by then."""
    return tensor.raw if isinstance(tensor, SimulatedTensor) else tensor.clone()


_BY_KIND: dict[str, Callable[[Any, Operator, Any, Any], Any]] = {
    "view": _view,
    "reshape": _reshape,
    "eager": _eager,
    "write": _launch,
    "new": _launch,
}
