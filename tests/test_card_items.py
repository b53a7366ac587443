"""A card holds everything that the five hand-written reports hold, in both languages.

``ITEMS`` is that list, read from those reports: their evidence, how each judges accuracy, what each measures, and what
they tell their readers. Each is looked for by its key in the sections, and by its words in the finished card.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest

import report_records
from card_parts import blocks, keys, words
from snellen.records.report import ReportRecord
from snellen.report.card_markdown import markdown
from snellen.report.phrases import LANGS, phrase
from snellen.report.sections import sections

Make = Callable[[], ReportRecord]


@cache
def npu() -> ReportRecord:
    """Return a report on an NPU."""
    return report_records.example()


@cache
def cpu() -> ReportRecord:
    """Return a report with weights from a hub, and a search."""
    return report_records.cpu_example()


@cache
def fixed() -> ReportRecord:
    """Return a report on an encoder whose input size is fixed."""
    return replace(npu(), facts=replace(npu().facts, fixed_size=True))


@dataclass(frozen=True)
class Item:
    """One thing a report holds: the section it stands in, the key of its words, and figures or names beside it."""

    section: str
    key: str
    beside: tuple[str, ...] = ()
    make: Make = npu


SEEDS = ("42", "123", "256", "789", "1024")

ITEMS: dict[str, Item] = {
    # ---- the models, and what came out of them (all five)
    "name of the model": Item("model", "fact.asked", (report_records.NAME,)),
    "its names in other libraries": Item("model", "fact.names", ("facebook/dinov3-vits16-pretrain-lvd1689m",)),
    "family": Item("model", "fact.family", ("DINOv3 ViT",)),
    "parameters, counted": Item("model", "fact.parameters", ("21,586,944",)),
    "bytes of the weights, told apart from parameters": Item("model", "fact.weights_bytes", ("86,347,776", "82.3")),
    "input size": Item("model", "fact.input_size", ("256 x 256",)),
    "tokens and their width": Item("model", "fact.tokens", ("261",)),
    "patch grid": Item("model", "fact.grid", ("16 x 16",)),
    "licence": Item("model", "fact.licence", ("DINOv3 License",)),
    "configuration": Item("model", "table.config", ("`heads`", "`depth`")),
    "preprocessing: steps and crop": Item("model", "table.preprocessing", ("`center_crop 256`",)),
    "preprocessing: mean": Item("model", "step.mean", ("0.485, 0.456, 0.406",)),
    "preprocessing: standard deviation": Item("model", "step.std", ("0.229, 0.224, 0.225",)),
    "preprocessing: interpolation": Item("model", "step.interpolation", ("bicubic",)),
    "preprocessing is part of the model": Item("model", "model.recipe"),
    "files of the checkpoint": Item("model", "table.checkpoint", ("`model.safetensors`",), cpu),
    "spelling of the checkpoint (renamed keys, q, k, v joined)": Item("model", "fact.dialect", ("`timm`",), cpu),
    "evidence: image, device, seconds": Item("evidence", "evidence.ran", ("cat.jpg", "`npu:0`")),
    "evidence: embedding": Item("evidence", "table.outputs", ("`pooled`", r"\[1, 384\]")),
    "evidence: class token, as last_hidden_state has it": Item("evidence", "table.outputs", ("`cls`",)),
    "evidence: registers": Item("evidence", "table.outputs", ("`registers`", r"\[1, 4, 384\]")),
    "evidence: patch tokens": Item("evidence", "table.outputs", ("`patches`", r"\[1, 256, 384\]")),
    "evidence: maps of inner stages": Item("evidence", "table.maps", ("`block.03`", r"\[1, 384, 16, 16\]")),
    "evidence: shape": Item("evidence", "column.shape"),
    "evidence: dtype": Item("evidence", "column.dtype", ("`float32`",)),
    "evidence: device": Item("evidence", "column.device", ("`npu:0`",)),
    "evidence: value range": Item("evidence", "column.least", ("-5.718", "6.283")),
    "evidence: first values": Item("evidence", "column.first_values", ("0.1235",)),
    "evidence: no NaN": Item("evidence", "evidence.finite"),
    # ---- the stack they state
    "CANN": Item("environment", "table.stack", ("`CANN`", "`8.3.RC1`")),
    "driver": Item("environment", "table.stack", ("`driver`",)),
    "torch_npu": Item("environment", "table.stack", ("`torch_npu`", "`2.9.0`")),
    "torch": Item("environment", "table.packages", ("`torch`",)),
    "numpy": Item("environment", "table.packages", ("`numpy`", "`1.26.4`")),
    "Pillow": Item("environment", "table.packages", ("`Pillow`", "`10.4.0`")),
    "Python": Item("environment", "fact.python", ("3.11.7",)),
    "system": Item("environment", "fact.system", ("aarch64",)),
    "device: name": Item("environment", "fact.device", ("`npu:0`",)),
    "device: product": Item("environment", "fact.product", ("simulated NPU",)),
    "device: count": Item("environment", "fact.device_count", ("| 2 |",)),
    "device: memory": Item("environment", "fact.memory_total", ("64.000",)),
    "visible devices": Item("environment", "table.variables", ("`ASCEND_RT_VISIBLE_DEVICES`",)),
    # ---- their scripts
    "inference script": Item("quick_start", "code.embed", ("snellen embed photos",)),
    "inference from Python": Item("quick_start", "code.python", ("import snellen", "(1, 384)")),
    "accuracy script": Item("quick_start", "code.verify", ("snellen verify",)),
    "benchmark script, with its batches": Item("quick_start", "code.bench", ("-b 1,2,4,8",)),
    "installation": Item("quick_start", "code.install", ("pip install",)),
    "download, with a mirror": Item("quick_start", "code.download", ("hf download", "HF_ENDPOINT"), cpu),
    "log": Item("files", "file.log.txt", ("`log.txt`",)),
    "raw samples": Item("files", "file.samples.csv", ("`samples.csv`",)),
    "what the device's stack left": Item("files", "file.stack/fusion_result.json", ("`stack/fusion_result.json`",)),
    # ---- accuracy: the figures and rules of each report
    "largest absolute error": Item("accuracy", "metric.max_abs"),
    "mean absolute error": Item("accuracy", "metric.mean_abs"),
    "largest relative error": Item("accuracy", "metric.max_relative"),
    "mean relative error": Item("accuracy", "metric.mean_relative"),
    "median relative error": Item("accuracy", "metric.median_relative"),
    "trimmed relative error": Item("accuracy", "metric.trimmed_relative"),
    "mean error over mean value": Item("accuracy", "metric.mean_ratio"),
    "RMSE": Item("accuracy", "metric.rmse"),
    "cosine": Item("accuracy", "metric.cosine", ("0.99999",)),
    "top-1 match": Item("accuracy", "metric.top1_match", ("1.000",)),
    "one table for all output tensors": Item("accuracy", "table.tensors_single", ("`cls`", "`patches`", "`pooled`")),
    "each image": Item("accuracy", "table.images", ("astronaut.jpg", "咖啡.jpg")),
    "five seeds": Item("accuracy", "table.seeds", SEEDS),
    "rule of report 1": Item("accuracy", "rule.trimmed-1pct", ("`trimmed-1pct`",)),
    "rule of report 2": Item("accuracy", "rule.abs-1e-2", ("`abs-1e-2`",)),
    "rule of report 3": Item("accuracy", "rule.tensor-1pct", ("`tensor-1pct`",)),
    "rule of report 4": Item("accuracy", "rule.relative-top1", ("`relative-top1`",)),
    "rule of report 5": Item("accuracy", "rule.cosine-seeds", ("`cosine-seeds`",)),
    "thresholds": Item("accuracy", "column.demands", ("0.01", "0.999")),
    "limits of the own rule": Item("accuracy", "table.limits"),
    "pass or fail": Item("accuracy", "fact.verdict"),
    "reference of the comparison": Item("accuracy", "accuracy.method", ("float64",)),
    "drift over layers": Item("drift", "table.stages", ("`block.00`", "`norm`")),
    # ---- performance
    "batch sweep": Item("performance", "column.batch", ("| 1 |", "| 2 |", "| 4 |", "| 8 |")),
    "repeats": Item("performance", "column.samples", ("| 500 |",)),
    "warm-up": Item("performance", "column.warm_up", ("| 12 |",)),
    "mean latency": Item("performance", "column.mean"),
    "standard deviation": Item("performance", "column.std"),
    "least latency": Item("performance", "column.min"),
    "greatest latency": Item("performance", "column.max"),
    "p50": Item("performance", "column.p50"),
    "p90": Item("performance", "column.p90"),
    "p95": Item("performance", "column.p95"),
    "p99": Item("performance", "column.p99"),
    "throughput": Item("performance", "column.throughput"),
    "first run apart": Item("performance", "fact.first_run_ms", ("912.50",)),
    "load time apart": Item("performance", "fact.load_s", ("0.6200",)),
    "CPU baseline, latency and throughput": Item("performance", "column.baseline_p50"),
    "speed-up": Item("performance", "column.speedup"),
    "synchronised on both sides": Item("performance", "performance.method"),
    "memory on the device": Item("memory", "column.allocated_peak"),
    "memory of the process": Item("memory", "column.process_peak"),
    # ---- what they tell their readers
    "git-lfs pointers": Item("notes", "note.git_lfs", ("`git lfs pull`",), cpu),
    "mirror": Item("notes", "note.mirror", ("`HF_ENDPOINT`",), cpu),
    "fixed input size": Item("notes", "note.fixed_size", ("256 x 256",), fixed),
    "torch_npu matches CANN": Item("notes", "note.torch_npu", ("8.3.RC1",)),
    "source set_env.sh": Item("notes", "note.set_env", ("set_env.sh", "`ASCEND_RT_VISIBLE_DEVICES`")),
    "visible devices, as set": Item("notes", "note.visible_devices", ("`0,1`",)),
    "first run compiles": Item("notes", "note.first_run", ("912.50",)),
    "harmless log warning": Item("notes", "note.log_directory", ("`ascend/log`",)),
    "double precision is single": Item("notes", "note.float64", ("float64",)),
    "task queue where host-bound": Item("notes", "note.task_queue", ("`TASK_QUEUE_ENABLE=2`",)),
    "allocator where memory is short": Item(
        "notes", "note.allocator_npu", ("`PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:512`",)
    ),
    "transfer_to_npu is not needed": Item("notes", "note.nothing_patched", ("`transfer_to_npu`",)),
    "no trained classifier": Item("notes", "note.no_classifier"),
    "DINOv3 without qkv bias": Item("notes", "note.no_qkv_bias"),
    "bfloat16 periods": Item("notes", "note.periods_exact", ("`periods.to(torch.bfloat16).to(torch.float32)`",)),
    "mixed precision needs its own proof": Item("notes", "note.mixed_precision"),
    "hf32 in convolutions": Item("notes", "note.convolution_switch", ("`torch.npu.conv.allow_hf32`",)),
    "conclusion": Item("conclusion", "conclusion.fail", (report_records.NAME,)),
}


@cache
def said(make: Make) -> dict[str, set[str]]:
    """Return the keys that each section says."""
    return {section.key: keys(section) for section in sections(make())}


@cache
def card(make: Make, lang: str) -> dict[str, str]:
    """Return a finished card, section by section."""
    return blocks(markdown(make(), lang))


def is_there(item: Item, found: dict[str, set[str]], text: dict[str, str], lang: str) -> bool:
    """Tell whether an item stands in a card: its key in its section, its words and figures in its text."""
    block = text.get(phrase(lang, f"section.{item.section}"), "")
    return item.key in found.get(item.section, set()) and all(
        part in block for part in (words(lang, item.key), *item.beside)
    )


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", ITEMS)
def test_the_card_holds(name: str, lang: str) -> None:
    item = ITEMS[name]
    assert item.key in said(item.make)[item.section]
    block = card(item.make, lang)[phrase(lang, f"section.{item.section}")]
    assert [part for part in (words(lang, item.key), *item.beside) if part not in block] == []
    assert is_there(item, said(item.make), card(item.make, lang), lang)


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("section", sorted({item.section for item in ITEMS.values()}))
def test_without_a_section_its_items_are_missed(section: str, lang: str) -> None:
    for item in ITEMS.values():
        if item.section == section:
            rest = {key: value for key, value in said(item.make).items() if key != section}
            assert not is_there(item, rest, card(item.make, lang), lang)
            cut = {k: v for k, v in card(item.make, lang).items() if k != phrase(lang, f"section.{section}")}
            assert not is_there(item, said(item.make), cut, lang)


def test_what_a_record_lacks_is_missed() -> None:
    bare = replace(npu(), seeds=(), files=(), bench=replace(npu().bench, baseline=None))
    found = {section.key: keys(section) for section in sections(bare)}
    text = blocks(markdown(bare, "en"))
    missing = {name for name, item in ITEMS.items() if item.make is npu and not is_there(item, found, text, "en")}
    assert missing == {
        "five seeds",
        "log",
        "raw samples",
        "what the device's stack left",
        "CPU baseline, latency and throughput",
        "speed-up",
    }


def test_the_items_are_those_of_five_reports() -> None:
    assert len(ITEMS) > 90
    rules = {item.key for name, item in ITEMS.items() if name.startswith("rule of report")}
    assert len(rules) == 5
    assert all(re.fullmatch(r"[a-z_]+\.[\w./-]+", item.key) for item in ITEMS.values())
