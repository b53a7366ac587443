"""The model's own encoder through torch.compile: one graph for an input size, and never an operator outside of it.

In: a loaded model, which stays where and what it is. Out: a runner of machine code that torch's inductor made from the
encoder's graph. The parameters are constants of that code: whoever changes them afterwards has to make a new runner.
Where the device can record what it is launched (CUDA graphs), a batch is one launch.

Code is made when the first pixels of a size come, which takes from seconds to minutes. What torch cannot compile is
refused: a graph that would be left to eager mode, in part or as a whole, is an error.

B batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snellen.devices import Device
from snellen.encoders.build import Encoder
from snellen.encoders.features import Features, Tap
from snellen.errors import Unavailable, UsageError
from snellen.model.model import Model
from snellen.records.plan import FREE, Layout
from snellen.runtimes.base import BATCH, check_tap
from snellen.runtimes.eager import placed
from snellen.runtimes.graph import Graph, exported, features
from snellen.runtimes.parameters import tensors_of
from snellen.runtimes.streaming import Streamed

if TYPE_CHECKING:
    from torch.fx import GraphModule


NO_STAGES = "a compiled graph shows its outputs alone"
OPTIONS = {"freezing": True}
"""Options of inductor, for our graphs only: weights are constants, laid out as the machine's products want them."""
EAGER = "--runtime eager"

Outputs = tuple[Tensor, ...]


class Compiled(Streamed):
    """The encoder as inductor compiles it.

    Batches have one size where the layout names one, and everywhere but on a CPU: smaller ones are filled up with
    zeros, larger ones are taken apart. Without it a CPU has code for one image and code for any number of them.
    """

    runtime = "compiled"
    ours = True

    def __init__(self, model: Model, device: Device, dtype: str, layout: Layout = FREE) -> None:
        _check_layout(layout)
        check_compiler(device)
        self.device, self.dtype, self.note = device, dtype, NO_STAGES
        self.version = torch.__version__
        self.fixed = layout.batch if device.kind == "cpu" else layout.batch or BATCH
        self.batch = self.fixed or BATCH
        self.encoder: Encoder | None = placed(model.encoder, device, dtype)
        self.programs: dict[tuple[int, int, bool], Program] = {}

    @torch.inference_mode()
    def run(self, pixels: Tensor, tap: Tap | None = None) -> Features:
        """Encode pixels; the first of a size wait until they are compiled.

        Raises UsageError for a tap, Unavailable where torch does not compile the encoder or does not run what it
        compiled.
        """
        assert self.encoder is not None  # not closed
        check_tap(self, tap)
        self.encoder.grid(pixels)
        whole = self.fixed or max(len(pixels), 1)
        program = self._program(pixels, alone=whole == 1)
        parts = [program(part, whole) for part in pixels.split(whole)]
        joined = parts[0] if len(parts) == 1 else tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))
        return features(dict(zip(program.graph.names, joined, strict=True)), program.graph.grid)

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Return the encoder's parameters, of which the code's constants were made."""
        return tensors_of(self.encoder)

    def close(self) -> None:
        """Let go of the encoder and of the code."""
        self.encoder = None
        self.programs.clear()

    def _program(self, pixels: Tensor, *, alone: bool) -> Program:
        """Return the code for pixels of this size, made if there is none; ``alone``: for one image at a time."""
        assert self.encoder is not None
        height, width = pixels.shape[2:]
        key = (height, width, alone)
        if key not in self.programs:
            graph = exported(self.encoder, (height, width))
            batch = 1 if alone else self.fixed
            self.programs[key] = Program(graph, self.device, batch)
            made = [str(program) for program in self.programs.values()]
            self.note = f"{NO_STAGES}; inductor compiled {', '.join(made)}"
        return self.programs[key]


class Program:
    """A graph and the code that was made of it, for a batch of one size; None: for any of two images and more."""

    def __init__(self, graph: Graph, device: Device, batch: int | None) -> None:
        self.graph, self.device, self.batch = graph, device, batch
        self.backend = Backend()
        # A module of its own for each graph: torch counts compilations by code object, and all encoders of a kind
        # share theirs.
        module: Any = graph.program.module()
        module.graph.eliminate_dead_code()  # questions about dtypes stand in it, and compile to nothing
        module.recompile()
        dynamic = None if batch is None else False
        self._call: Any = torch.compile(module, backend=self.backend, fullgraph=True, dynamic=dynamic)
        self._replay: Replay | None = None
        self._make()

    def __str__(self) -> str:
        batch = "any batch above 1" if self.batch is None else f"batch {self.batch}"
        recorded = ", recorded" if self._replay else ""
        return f"{self.graph.size[0]} x {self.graph.size[1]} ({batch}, {self.backend.operators} operators{recorded})"

    def _make(self) -> None:
        """Compile, and record the launches where the device can."""
        there = torch.zeros(self.batch or 2, 3, *self.graph.size, device=self.device.torch_name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch still uses what it has given up itself
            warnings.simplefilter("ignore", FutureWarning)
            self._checked(there)
        module = torch.get_device_module(self.device.torch_name)
        if hasattr(module, "CUDAGraph"):
            with module.device(self.device.index):
                self._replay = Replay(self._checked, there, module)

    def __call__(self, pixels: Tensor, whole: int) -> Outputs:
        """Encode pixels [b, 3, h, w], as a batch of ``whole``."""
        if self._replay is not None:
            return self._replay(pixels)
        there = _inference(filled(pixels, whole).to(self.device.torch_name))
        return tuple(x[: len(pixels)] for x in self._checked(there))

    def _checked(self, pixels: Tensor) -> Outputs:
        """Call the code; raise Unavailable unless it was compiled code that ran."""
        before = self.backend.runs
        if self.batch is None:
            mark: Any = torch._dynamo.mark_dynamic
            mark(pixels, 0)
        try:
            outputs: Outputs = self._call(pixels)
        except Exception as error:
            if self.backend.runs > before:
                raise  # compiled code ran, and failed
            raise _uncompiled(error) from error
        if self.backend.runs == before:
            raise Unavailable(
                "torch ran the encoder without compiling it",
                expected="torch.compile not switched off",
                todo=f"unset TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE, and set no stance; or {EAGER}",
            )
        return outputs


class Backend:
    """Inductor, with a count of what it compiled and how often that ran.

    torch keeps every backend for ever, so that this one holds nothing but numbers.
    """

    def __init__(self) -> None:
        self.compiled = self.operators = self.runs = 0

    def __call__(self, module: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        """Compile a graph that torch hands over."""
        inductor: Any = torch._dynamo.lookup_backend("inductor")
        made = inductor(module, inputs, config_patches=OPTIONS)
        self.compiled += 1
        self.operators = sum(node.op == "call_function" for node in module.graph.nodes)

        def code(*given: Any) -> Any:
            self.runs += 1
            return made(*given)

        return code


class Replay:
    """What a call launches on a device, recorded once for one batch, and launched again as a whole.

    It reads and writes the same memory each time: pixels are copied in, and outputs out.
    """

    def __init__(self, call: Callable[[Tensor], Outputs], pixels: Tensor, module: Any) -> None:
        self._given = pixels.clone()
        aside = module.Stream()  # a recording must not meet what else is on the current stream
        aside.wait_stream(module.current_stream())
        with module.stream(aside):
            for _ in range(2):  # whatever is loaded or chosen at first is so before the recording
                call(self._given)
        module.current_stream().wait_stream(aside)
        self._recorded = module.CUDAGraph()
        with module.graph(self._recorded, capture_error_mode="thread_local"):  # other threads may go on allocating
            self._outputs = call(self._given)

    def __call__(self, pixels: Tensor) -> Outputs:
        """Encode pixels [b, 3, h, w], at most as many as were recorded."""
        count = len(pixels)
        self._given[:count].copy_(pixels, non_blocking=True)
        self._given[count:].zero_()
        self._recorded.replay()
        return tuple(x[:count].clone() for x in self._outputs)


def filled(pixels: Tensor, whole: int) -> Tensor:
    """Return pixels with images of zeros behind them, ``whole`` in all."""
    missing = whole - len(pixels)
    return torch.cat([pixels, pixels.new_zeros(missing, *pixels.shape[1:])]) if missing else pixels


def _inference(pixels: Tensor) -> Tensor:
    """Return the pixels as torch compiles for them: contiguous, of inference mode; another kind is compiled anew."""
    pixels = pixels.contiguous()
    return pixels if pixels.is_inference() else pixels.clone()


def _check_layout(layout: Layout) -> None:
    """Raise UsageError for what torch does not do for one runner alone."""
    there = torch.get_num_threads()
    streams, threads = layout.streams or 1, layout.threads or there
    if (streams, threads) != (1, there):
        raise UsageError(
            f"the runtime 'compiled' was asked for {streams} streams and {threads} threads",
            expected=f"one stream, and the {there} threads that torch has in this process",
            todo="leave them out; OMP_NUM_THREADS sets torch's threads",
        )


def check_compiler(device: Device) -> None:
    """Raise Unavailable where inductor makes no code for a device, or lacks the compiler that it needs for a CPU."""
    from torch._inductor.codegen.common import get_scheduling_for_device, init_backend_registration
    from torch._inductor.cpp_builder import get_cpp_compiler

    init_backend_registration()
    if get_scheduling_for_device(device.kind) is None:
        raise Unavailable(
            f"torch's inductor makes no code for {device.name}",
            expected="a device that inductor has a code generator for; those of torch_npu (torchair, and inductor "
            "with triton-ascend) are not used here",
            todo=EAGER,
        )
    if device.kind == "cpu":
        try:
            get_cpp_compiler()
        except Exception as error:
            raise _uncompiled(error) from error


def _uncompiled(error: Exception) -> Unavailable:
    """Word an error of the compiler's, by its last cause."""
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler, TritonMissing

    while isinstance(inner := getattr(error, "inner_exception", None), Exception):
        error = inner
    todo = EAGER
    if isinstance(error, InvalidCxxCompiler):
        todo = "apt install g++ (or name a compiler in CXX), or " + EAGER
    elif isinstance(error, TritonMissing):
        todo = "pip install triton, or " + EAGER
    elif isinstance(error, CppCompileError) or "Python.h" in str(error):
        todo = "apt install g++ python3-dev, or " + EAGER
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = " ".join(lines[:2]) or type(error).__name__
    return Unavailable(
        f"torch.compile failed ({type(error).__name__}): {cause}", expected="the whole encoder as one graph", todo=todo
    )
