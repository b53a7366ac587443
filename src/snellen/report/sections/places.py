"""What a card knows of kinds of devices beyond what the record says: how to install for one, and what to set.

The one module of reports that names kinds. Everything else is told by the record.
"""

from __future__ import annotations

from snellen.records.report import ReportRecord

NPU, CUDA = "npu", "cuda"

EXTRAS = {NPU: "npu"}
"""What has to be installed besides, by kind of device."""
RUNTIMES = {"onnxruntime": "onnx", "timm": "timm", "transformers": "transformers"}
"""The same by runtime."""

SET_ENV = {NPU: "source /usr/local/Ascend/ascend-toolkit/set_env.sh"}
"""What a shell has to be told before anything runs."""
VISIBLE = {NPU: "ASCEND_RT_VISIBLE_DEVICES", CUDA: "CUDA_VISIBLE_DEVICES"}
"""The variable that chooses among devices."""
SIMULATE = "SNELLEN_SIMULATE"

TAGS = {NPU: ("NPU", "Ascend", "#+NPU"), CUDA: ("CUDA",)}
"""Tags that people look for on a model hub; reviewers of NPU models look for the last one."""
HARDWARE = {NPU: "NPU"}


def kind(record: ReportRecord) -> str:
    """Return the kind of device that the candidate ran on."""
    return str(record.trial.candidate.device.get("kind", ""))


def is_npu(record: ReportRecord) -> bool:
    """Tell whether it ran on an Ascend NPU, or on one that is simulated."""
    return kind(record) == NPU
