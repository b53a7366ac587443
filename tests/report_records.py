"""Reports as they could have been made, by hand: what renderings, readers and checks of cards are tested on.

``example`` ran on a simulated NPU with seeded weights, and fails because convolutions ran in hf32; ``cpu_example`` ran
trained weights through OpenVINO, and passes. Figures that follow from others are computed from them here, so that a
check for contradictions finds none; the verdicts are those of the real rules over the figures.
"""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import trial_records
from snellen.records.bench import (
    Bandwidth,
    Baseline,
    BenchRecord,
    Files,
    Latency,
    Memory,
    Percentile,
    Point,
    Stability,
    Start,
)
from snellen.records.model import Choice, ModelRecord, Origin
from snellen.records.plan import Layout, Plan, Setup
from snellen.records.report import Environment, Evidence, Facts, File, Histogram, Pca, ReportRecord, SeedRow, Tensor
from snellen.records.timing import Ceiling, Machine
from snellen.records.tuning import Final, Trial, TuneRecord
from snellen.records.verify import CandidateRecord, Check, OutputRecord, SwitchRecord, Toggle, TrialRecord
from snellen.verification.rules import concluded

NAME = "vit_small_patch16_dinov3.lvd1689m"
RECIPE = (
    "stored | shortest_edge 256 bicubic | center_crop 256 | scale | mean 0.485 0.456 0.406 | std 0.229 0.224 0.225"
    " | pool patch_mean"
)
DIGEST = "38dc5ba67b5be3675dd2d2e5ca4ca677c639bc4ab38fc346ad4459a8b98b4a63"
GROUPS = {
    "stem": 295_296,
    "tokens": 1_920,
    "attention": 12 * 590_208,
    "mlp": 12 * 1_181_568,
    "norms": 12 * 1_536 + 768,
    "scales": 12 * 768,
}
PARAMETERS = sum(GROUPS.values())
OPERATIONS = 2 * (256 * 3 * 256 * 384 + 12 * (261 * 1_769_472 + 2 * 261**2 * 384))
BYTES_PER_IMAGE = 120_000_000
WEIGHTS_BYTES = 4 * PARAMETERS
CEILING, COPIES = 150e9, 12e9  # operations and bytes a second
BATCHES = (1, 2, 4, 8)
CONV = "torch.npu.conv.allow_hf32"
STARTED = "2026-01-02T03:04:05+00:00"
VERSION = "0.1.0"


def example(**changes: Any) -> ReportRecord:
    """Return the report of a run on a simulated NPU with drawn weights."""
    return replace(_npu(), **changes)


def cpu_example(**changes: Any) -> ReportRecord:
    """Return the report of a run through OpenVINO on a CPU with trained weights from a hub."""
    return replace(_cpu(), **changes)


def latency(samples_ms: Sequence[float], low_high: tuple[float, float] | None = None) -> Latency:
    """Return what samples say, computed plainly: percentiles by interpolation, where the samples support them."""
    mean = statistics.fmean(samples_ms)
    std = statistics.stdev(samples_ms) if len(samples_ms) > 1 else None
    return Latency(
        count=len(samples_ms),
        mean_ms=mean,
        std_ms=std,
        cv_percent=None if std is None else 100 * std / mean,
        min_ms=min(samples_ms),
        max_ms=max(samples_ms),
        percentiles=tuple(_percentile(samples_ms, percent) for percent in (50, 90, 95, 99)),
        low_ms=low_high[0] if low_high else None,
        high_ms=low_high[1] if low_high else None,
    )


def _percentile(samples_ms: Sequence[float], percent: float) -> Percentile:
    ordered, share = sorted(samples_ms), percent / 100
    needed = 1 if percent == 50 else math.ceil(math.log(0.01) / math.log(share))
    if len(ordered) < needed:
        because = f"p{percent:.0f} needs {needed} samples, there are {len(ordered)}"
        return Percentile(percent=percent, ms=None, upper_ms=None, because=because)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    value = ordered[below] + (place - below) * (ordered[above] - ordered[below])
    upper = ordered[-1] if len(ordered) >= 7 else None
    return Percentile(percent=percent, ms=value, upper_ms=upper)


def point(batch: int, per_image_ms: float, count: int = 60, *, queues: bool = True, host_bound: bool = False) -> Point:
    """Return one measured batch size: ``count`` samples that scatter by 3 %, as they would."""
    middle = per_image_ms * batch
    samples = tuple(middle * (1 + 0.03 * math.sin(7 * number)) for number in range(count))
    found = latency(samples, (0.99 * middle, 1.01 * middle))
    seconds = found.mean_ms / 1e3
    enqueue = tuple(sample * (0.9 if host_bound else 0.1) for sample in samples) if queues else ()
    rate, moved = batch * OPERATIONS / seconds, (WEIGHTS_BYTES + batch * BYTES_PER_IMAGE) / seconds
    half = count // 2
    return Point(
        batch=batch,
        outcome="measured",
        samples_ms=samples,
        rounds=(half, count - half),
        latency=found,
        images_per_s=batch / seconds,
        enqueue_ms=enqueue,
        enqueue_p50_ms=statistics.median(enqueue) if enqueue else None,
        host_bound=host_bound if queues else None,
        warm_up=12,
        steady=True,
        stability=Stability(
            stable=True,
            because="the medians of both halves agree",
            first_half_p50_ms=statistics.median(samples[:half]),
            second_half_p50_ms=statistics.median(samples[half:]),
            near_share=1.0,
            attempts=1,
        ),
        memory=Memory(
            allocated_peak_bytes=110_000_000 + batch * 9_000_000 if queues else None,
            device_used_bytes=140_000_000 + batch * 9_000_000 if queues else None,
            process_peak_bytes=900_000_000 + batch * 1_000_000,
        ),
        operations_per_s=rate,
        ceiling_share=rate / CEILING,
        bytes_per_s=moved,
        bandwidth_share=moved / COPIES,
        binds="host" if host_bound else "arithmetic",
    )


MACHINE = Machine(
    product="A Processor",
    architecture="aarch64",
    cores=8,
    threads=4,
    flags=("asimd", "bf16"),
    memory_bytes=32 * 2**30,
    system="Linux",
    versions={"torch": "2.9.0", "numpy": "1.26.4"},
)
NPU = {
    "name": "npu:0",
    "kind": "npu",
    "product": "simulated NPU",
    "total_bytes": 64 * 2**30,
    "torch_npu": "0+simulated",
    "simulated": True,
}
CPU = {"name": "cpu", "kind": "cpu", "product": "A Processor", "machine": "aarch64", "cores": 8, "threads": 4}


def baseline(per_image_ms: float, over_ms: dict[int, float], count: int = 12) -> Baseline:
    """Return the CPU's eager float32 run in the same rounds; ``over_ms``: the other's median by batch size."""
    points = tuple(point(batch, per_image_ms, count, queues=False) for batch in BATCHES)
    known = {point.batch: point.latency.p50_ms for point in points if point.latency is not None}
    speedup = {str(batch): known[batch] / mine for batch, mine in over_ms.items()}
    return Baseline(
        setup=Setup(runtime="eager"),
        device="cpu",
        points=points,
        speedup=speedup,
        speedup_low={batch: 0.97 * value for batch, value in speedup.items()},
        speedup_high={batch: 1.03 * value for batch, value in speedup.items()},
    )


def _bench(model: dict[str, Any], setup: Setup, device: dict[str, Any], points: tuple[Point, ...]) -> BenchRecord:
    over = {point.batch: point.latency.p50_ms for point in points if point.latency is not None}
    simulated = bool(device.get("simulated"))
    return BenchRecord(
        model=model,
        mode="latency",
        setup=setup,
        runtime_version="2.9.0",
        device=device,
        simulated=simulated,
        machine=MACHINE,
        shape=(3, 256, 256),
        operations_per_image=OPERATIONS,
        weights_bytes=WEIGHTS_BYTES,
        bytes_per_image=BYTES_PER_IMAGE,
        ceiling=Ceiling(
            dtype="float32", device=device["name"], operations_per_s=CEILING, samples_s=(0.014,), side=1024
        ),
        bandwidth=Bandwidth(device=device["name"], bytes_per_s=COPIES, samples_s=(0.01,), size_bytes=60_000_000),
        start=Start(load_s=0.62, prepare_s=1.4, first_run_ms=912.5, cached=None if simulated else False),
        points=points,
        largest_batch=None,
        files=Files(
            images_per_s=5.1,
            decode_images_per_s=180.0,
            model_images_per_s=5.6,
            allowed_images_per_s=1 / (1 / 180.0 + 1 / 5.6),
            share=5.1 * (1 / 180.0 + 1 / 5.6),
            images=40,
            workers=4,
        ),
        baseline=baseline(210.0, over),
        load_before=(0.2, 0.3, 0.3),
        load_after=(1.1, 0.6, 0.4),
        seed=0,
        started_at=STARTED,
        used_s=41.5,
        version=VERSION,
    )


def _model(origin: Origin, **changes: Any) -> dict[str, Any]:
    notes = () if origin.trained else ("the weights are drawn (seed:0): the numbers are repeatable, but mean nothing",)
    record = ModelRecord(
        name=NAME,
        variant=NAME,
        library="timm",
        family="dinov3_vit",
        dialect=None if origin.kind == "seed" else "timm",
        origin=origin,
        digest=DIGEST,
        recipe=RECIPE,
        recipe_hash="008d9459123e",
        pool="patch_mean",
        dtype="float32",
        device="npu:0",
        version=VERSION,
        stored=() if origin.kind == "seed" else ("float32",),
        choices=(Choice(RECIPE, f"what timm does for {NAME}"),),
        notes=notes,
    )
    return _plain(replace(record, **changes).to_dict())


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back, so that what is read equals what was written."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


FACTS = Facts(
    title=NAME,
    family="dinov3_vit",
    names=(NAME, "facebook/dinov3-vits16-pretrain-lvd1689m", "dinov3_vits16"),
    parameters=PARAMETERS,
    parameter_groups=GROUPS,
    weights_bytes=WEIGHTS_BYTES,
    stored={"float32": WEIGHTS_BYTES},
    tensors=174,
    digest=DIGEST,
    files=(),
    config={
        "patch": 16,
        "width": 384,
        "depth": 12,
        "heads": 6,
        "hidden": 1536,
        "mlp": "gelu",
        "norm": "layer",
        "eps": 1e-05,
        "position": "rope",
        "grid": None,
        "resize": "none",
        "rope_rounding": False,
        "class_token": True,
        "registers": 4,
        "patch_norm": False,
        "layer_scale": True,
        "qkv_bias": "none",
        "bias": True,
        "pooler": False,
        "classes": 0,
        "pool": "patch_mean",
    },
    input_size=(256, 256),
    fixed_size=False,
    grid=(16, 16),
    tokens=261,
    width=384,
    operations_per_image=OPERATIONS,
    steps=tuple(RECIPE.split(" | ")[:-1]),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    interpolation="bicubic",
    pool="patch_mean",
    licence="DINOv3 License",
)


def _environment(device: dict[str, Any], switches: tuple[SwitchRecord, ...]) -> Environment:
    npu = device["kind"] == "npu"
    return Environment(
        system="Linux 5.10 aarch64",
        python="3.11.7",
        machine=_plain(asdict(MACHINE)),
        device={**device, "memory": {"free": 60 * 2**30, "total": 64 * 2**30, "peak": 2**20}},
        devices=("npu:0 simulated NPU", "npu:1 simulated NPU") if npu else ("cpu A Processor",),
        packages={"snellen": VERSION, "torch": "2.9.0", "numpy": "1.26.4", "Pillow": "10.4.0"},
        stack={"CANN": "8.3.RC1", "driver": "25.2.0", "torch_npu": "2.9.0"} if npu else {},
        variables={"ASCEND_RT_VISIBLE_DEVICES": "0,1"} if npu else {"OMP_NUM_THREADS": "4"},
        switches={switch.name: switch.value for switch in switches},
        findings=(
            {
                "name": f"{device['kind']}.threads",
                "severity": "note",
                "seen": "4 threads of 8 cores",
                "matters": "half of the cores are left to others",
                "mend": "export OMP_NUM_THREADS=8",
            },
        ),
    )


def tensor(name: str, shape: tuple[int, ...], device: str) -> Tensor:
    """Return a tensor that came out, with figures of normalised tokens."""
    return Tensor(
        name=name,
        shape=shape,
        dtype="float32",
        device=device,
        least=-5.71828,
        most=6.28319,
        mean=-0.0027,
        std=1.0015,
        first=(0.12345, -1.5, 2.25, 0.0),
    )


def evidence(device: str) -> Evidence:
    """Return what one image gave."""
    shapes = {"cls": (1, 384), "registers": (1, 4, 384), "patches": (1, 256, 384), "pooled": (1, 384)}
    return Evidence(
        image="cat.jpg",
        outputs=tuple(tensor(name, shape, device) for name, shape in shapes.items()),
        maps=tuple(tensor(name, (1, 384, 16, 16), device) for name in ("block.03", "block.07", "block.11")),
        seconds=0.9125,
        output_device=device,
    )


def seed_rows(size: float) -> tuple[SeedRow, ...]:
    """Return the five seeded inputs of report 5."""
    return tuple(
        SeedRow(
            seed=seed,
            output=name,
            max_abs=12 * size * (1 + number / 10),
            mean_abs=size,
            relative=size * (1 + number / 20),
            cosine=1 - size**2,
        )
        for number, seed in enumerate((42, 123, 256, 789, 1024))
        for name in ("cls", "patches")
    )


@cache
def picture(mode: str, size: tuple[int, int], format_: str) -> str:
    """Return a small picture of slanting colours in base64."""
    from PIL import Image

    image = Image.new(mode, size)
    for x in range(size[0]):
        for y in range(size[1]):
            image.putpixel((x, y), (255 * x // size[0], 255 * y // size[1], 128))
    stream = io.BytesIO()
    image.save(stream, format_)
    return base64.b64encode(stream.getvalue()).decode()


def pca(size: float) -> Pca:
    """Return the pictures of a photograph's patches, 16 x 16."""
    return Pca(
        image="cat.jpg",
        grid=(16, 16),
        photo_jpeg=picture("RGB", (64, 64), "JPEG"),
        golden_png=picture("RGB", (16, 16), "PNG"),
        candidate_png=picture("RGB", (16, 16), "PNG"),
        differences=tuple(size * (1 + number % 7 / 7) for number in range(256)),
        explained=(0.31, 0.17, 0.09),
    )


def histogram(output: str) -> Histogram:
    """Return errors of a bell's shape over three decades."""
    edges = tuple(10 ** (-7 + number / 10) for number in range(31))
    bell = [round(1000 * math.exp(-(((number - 14) / 5) ** 2))) for number in range(30)]
    return Histogram(output=output, edges=edges, candidate=tuple(bell), reference=tuple(bell[3:] + [0] * 3), zeros=12)


SWITCHES = (
    SwitchRecord(name=CONV, value="True", strict="False"),
    SwitchRecord(name="torch.npu.matmul.allow_hf32", value="False", strict="False"),
)
INDEPENDENT = Check(
    name="placement.independent", status="pass", because="no output has the bits of the CPU's reference"
)
FALLBACK = Check(name="placement.fallback", status="pass", because="torch reported no operator that ran on the CPU")


def _with_top1(outputs: tuple[OutputRecord, ...]) -> tuple[OutputRecord, ...]:
    return tuple(
        replace(o, golden=replace(o.golden, top1_match=1.0), single=replace(o.single, top1_match=1.0))
        if o.name == "pooled"
        else o
        for o in outputs
    )


def trial(record: TrialRecord, model: dict[str, Any], candidate: CandidateRecord, **changes: Any) -> TrialRecord:
    """Return a trial of another model and candidate, judged by the real rules."""
    checks = tuple(check for check in record.checks if check.name != "placement.fallbacks")
    made = replace(
        record,
        model=model,
        candidate=candidate,
        outputs=_with_top1(record.outputs),
        checks=(*checks, INDEPENDENT, FALLBACK),
        environment={"snellen": VERSION, "torch": "2.9.0", "python": "3.11.7", "threads": 4, "batch": 4},
        started_at=STARTED,
        **changes,
    )
    return concluded(made, "calibrated")


@cache
def _npu() -> ReportRecord:
    model = _model(Origin(kind="seed", seed=0))
    candidate = CandidateRecord(
        runtime="eager", version="2.9.0", dtype="float32", device=NPU, simulated=True, stages=True, switches=SWITCHES
    )
    toggle = Toggle(switches=(CONV,), precision="float32", error=0.3, explains=True)
    points = (
        point(1, 150.0, 500, host_bound=True),
        point(2, 140.0),
        point(4, 138.0, 30),
        point(8, 137.0, 30),
        Point(batch=16, outcome="out of memory", because="16 images need more memory than is free"),
    )
    return ReportRecord(
        model=model,
        facts=FACTS,
        environment=_environment(NPU, SWITCHES),
        evidence=evidence("npu:0"),
        trial=trial(trial_records.lowered(), model, candidate, toggles=(toggle,), cause=CONV),
        seeds=seed_rows(2.8e-4),
        pca=(pca(2.8e-4),),
        histograms=(histogram("patches"),),
        bench=_bench(model, Setup(runtime="eager"), NPU, points),
        command=f"snellen card {NAME} --weights seed:0 --device npu --simulate -o card",
        files=(
            File(name="log.txt", bytes=4096, sha256="0a" * 32),
            File(name="samples.csv", bytes=20_000, sha256="0b" * 32),
            File(name="stack/fusion_result.json", bytes=1500, sha256="0c" * 32),
        ),
        started_at=STARTED,
        seconds={"facts": 0.8, "evidence": 1.5, "verify": 52.0, "bench": 41.5},
        version=VERSION,
    )


@cache
def _cpu() -> ReportRecord:
    repo, revision = f"timm/{NAME}", "5" * 40
    model = _model(Origin(kind="hub", repo=repo, revision=revision), device="cpu", runtime="openvino")
    candidate = CandidateRecord(
        runtime="openvino",
        version="2026.1.0",
        dtype="float32",
        device=CPU,
        simulated=False,
        stages=False,
        note="openvino compiles the network whole; --stages builds a second, instrumented one",
    )
    points = tuple(point(batch, 80.0, 500 if batch == 1 else 60, queues=False) for batch in BATCHES)
    facts = replace(
        FACTS,
        files=(File(name="model.safetensors", bytes=WEIGHTS_BYTES + 15_000, sha256="0d" * 32),),
        stored=FACTS.stored,
    )
    return ReportRecord(
        model=model,
        facts=facts,
        environment=_environment(CPU, ()),
        evidence=evidence("cpu"),
        trial=trial(trial_records.stageless(), model, candidate),
        seeds=seed_rows(6.1e-7),
        pca=(pca(6.1e-7),),
        histograms=(histogram("patches"),),
        bench=replace(_bench(model, Setup(runtime="openvino"), CPU, points), largest_batch=96),
        command=f"snellen card {NAME} --tune -o card",
        files=(File(name="log.txt", bytes=4096, sha256="0e" * 32),),
        tune=tuned(model),
        started_at=STARTED,
        seconds={"facts": 0.8, "evidence": 1.5, "verify": 32.0, "bench": 30.0, "tune": 90.0},
        version=VERSION,
    )


def tuned(model: dict[str, Any]) -> TuneRecord:
    """Return a search that picked bfloat16 in four streams' stead of the default."""
    default = Setup(runtime="openvino")
    best = Setup(runtime="openvino", dtype="bfloat16", layout=Layout(batch=8, streams=2, threads=4))
    choice = Choice(str(best), "1.8 times as fast as the default in 5 rounds of 5")
    trials = (
        Trial(
            setup=default, outcome="passed", because="within every limit", worst=0.3, images_per_s=12.5, latency_s=0.08
        ),
        Trial(setup=best, outcome="passed", because="within every limit", worst=0.8, images_per_s=22.5, latency_s=0.07),
        Trial(setup=Setup(runtime="eager"), outcome="raised", because="gave an error: no such operator"),
    )
    return TuneRecord(
        model=model,
        goal="throughput",
        device=CPU,
        machine=MACHINE,
        images=("cat.jpg", "clock.png"),
        operations_per_image=OPERATIONS,
        ceilings=(Ceiling(dtype="float32", device="cpu", operations_per_s=CEILING),),
        default=default,
        trials=trials,
        choice=choice,
        final=Final(
            setup=best,
            default_images_per_s=(12.4, 12.6, 12.5),
            images_per_s=(22.4, 22.6, 22.5),
            ratio=1.8,
            least=22.6 / 12.6,
            most=22.4 / 12.4,
        ),
        plan=Plan(
            setup=best,
            goal="throughput",
            choice=choice,
            digest=DIGEST,
            recipe_hash="008d9459123e",
            device="cpu",
            machine="0123abcd",
            made_at=STARTED,
            version=VERSION,
        ),
        budget_s=180.0,
        used_s=90.0,
        started_at=STARTED,
        version=VERSION,
    )
