"""Where it ran: the machine, the device and its own software, versions, settings, and what is wrong with any of it.

In: a device. Out: ``Environment``; what could not be found out, and why, is noted.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from snellen import devices
from snellen.cards.log import Log
from snellen.devices import Device
from snellen.doctor.look import look
from snellen.errors import Unavailable
from snellen.records.reading import plain
from snellen.records.report import Environment
from snellen.timing import machine

PACKAGES = (
    "snellen",
    "torch",
    "torch_npu",
    "torchvision",
    "numpy",
    "Pillow",
    "safetensors",
    "huggingface_hub",
    "openvino",
    "onnxruntime",
    "onnx",
    "nncf",
    "timm",
    "transformers",
    "pyarrow",
)
"""Packages that numbers or speed can depend on; those that are installed are told."""

MOST_DEVICES = 64


def environment(device: Device, log: Log) -> Environment:
    """Say where a run on ``device`` takes place; note what could not be found out."""
    return Environment(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        machine=plain(asdict(machine.describe())),
        device=plain({**device.describe(), "memory": device.memory()}),
        devices=tuple(_present(device.kind)),
        packages={name: there for name in PACKAGES if (there := _version(name)) is not None},
        stack=device.stack(),
        variables=device.visible(),
        switches={switch.name: switch.read() for switch in device.switches()},
        findings=log.attempt("doctor", "what the doctor finds", lambda: _findings(device)) or (),
    )


def _findings(device: Device) -> tuple[dict[str, Any], ...]:
    """Return what the doctor finds that is not fine."""
    return tuple(asdict(finding) for finding in look(device.name, offline=True).findings if finding.severity != "fine")


def _present(kind: str) -> Iterator[str]:
    """Yield every device of a kind that is here, by name and product."""
    for index in range(MOST_DEVICES):
        try:
            device = devices.resolve(f"{kind}:{index}")
        except Unavailable:
            return
        yield f"{device.name} {device.describe()['product']}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
