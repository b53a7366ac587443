"""Notes on the device, its software and its switches."""

from __future__ import annotations

from snellen.records.report import ReportRecord
from snellen.records.verify import Check, SwitchRecord
from snellen.report.sections.common import joined
from snellen.report.sections.figures import NONE, listed
from snellen.report.sections.notes.note import Note, Values, when
from snellen.report.sections.parts import Name, Say, text
from snellen.report.sections.places import is_npu

CONVOLUTIONS = frozenset(
    {"torch.npu.conv.allow_hf32", "torch.backends.cudnn.allow_tf32", "torch.backends.cudnn.conv.fp32_precision"}
)
"""Switches that let convolutions, the patch embedding among them, keep fewer bits: on unless turned off."""
VISIBLE = ("ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
TORCH_NPU = "torch_npu"


def _convolution(record: ReportRecord) -> Values | None:
    loose = [switch for switch in _loose(record) if switch.name in CONVOLUTIONS]
    return _switches(loose)


def _switch(record: ReportRecord) -> Values | None:
    return _switches([switch for switch in _loose(record) if switch.name not in CONVOLUTIONS])


def _loose(record: ReportRecord) -> list[SwitchRecord]:
    return [switch for switch in record.trial.candidate.switches if switch.value != switch.strict]


def _switches(loose: list[SwitchRecord]) -> Values | None:
    told: list[Say] = [
        text("value.switch", {"name": Name(one.name), "value": Name(one.value), "strict": Name(one.strict)})
        for one in loose
    ]
    return {"switches": joined(told)} if told else None


def _float64(record: ReportRecord) -> Values | None:
    return when(is_npu(record))


def _versions(record: ReportRecord) -> Values | None:
    """Tell the versions that have to fit each other."""
    if not is_npu(record) or "CANN" not in record.environment.stack:
        return None
    known = {**record.environment.packages, **record.environment.stack}
    own = known.get(TORCH_NPU) or str(record.trial.candidate.device.get(TORCH_NPU, NONE))
    return {"torch_npu": own, "torch": known.get("torch", NONE), "cann": known["CANN"]}


def _no_cann(record: ReportRecord) -> Values | None:
    return when(is_npu(record) and "CANN" not in record.environment.stack)


def _visible(record: ReportRecord) -> Values | None:
    for name in VISIBLE:
        if name in record.environment.variables:
            return {"variable": Name(name), "value": Name(record.environment.variables[name])}
    return None


def _several(record: ReportRecord) -> Values | None:
    count = len(record.environment.devices)
    return {"count": str(count), "device": Name(record.evidence.output_device)} if count > 1 else None


def _check(record: ReportRecord, name: str) -> Check | None:
    return next((check for check in record.trial.checks if check.name == name), None)


def _fallback(record: ReportRecord) -> Values | None:
    found = _check(record, "placement.fallback")
    return {"because": found.because} if found is not None and found.status in ("fail", "warn") else None


def _deaf(record: ReportRecord) -> Values | None:
    found = _check(record, "placement.fallback")
    return {"because": found.because} if found is not None and found.status == "unknown" else None


def _undetermined(record: ReportRecord) -> Values | None:
    found = _check(record, "behaviour.determinism")
    return when(found is not None and found.status in ("fail", "warn"))


def _findings(record: ReportRecord) -> Values | None:
    serious = [
        str(one.get("name")) for one in record.environment.findings if one.get("severity") in ("warning", "stop")
    ]
    return {"names": Name(listed(serious))} if serious else None


NOTES = (
    Note("convolution_switch", _convolution),
    Note("loose_switch", _switch),
    Note("float64", _float64),
    Note("torch_npu", _versions),
    Note("cann_unknown", _no_cann),
    Note("set_env", lambda record: when(is_npu(record))),
    Note("log_directory", lambda record: when(is_npu(record))),
    Note("nothing_patched", lambda record: when(is_npu(record))),
    Note("visible_devices", _visible),
    Note("several_devices", _several),
    Note("fallback", _fallback),
    Note("fallback_unknown", _deaf),
    Note("not_deterministic", _undetermined),
    Note("findings", _findings),
)
