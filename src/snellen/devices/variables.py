"""Environment variables that decide how a run goes on each kind of device: which devices, how fast, how exactly.

A table, for records of a run and for a look at a machine. Nothing here sets one.
"""

from __future__ import annotations

from collections.abc import Mapping

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
INSTRUCTIONS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
EXACTNESS = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")

DECIDING: dict[str, tuple[str, ...]] = {
    "cpu": (*THREADS, *BINDING, *INSTRUCTIONS, *EXACTNESS),
    "cuda": (
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "CUDA_LAUNCH_BLOCKING",
        "NVIDIA_TF32_OVERRIDE",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_NVML_BASED_CUDA_CHECK",
    ),
    "npu": (
        "SNELLEN_SIMULATE",
        "ASCEND_HOME_PATH",
        "ASCEND_TOOLKIT_HOME",
        "ASCEND_OPP_PATH",
        "ASCEND_RT_VISIBLE_DEVICES",
        "ASCEND_VISIBLE_DEVICES",
        "TASK_QUEUE_ENABLE",
        "ASCEND_LAUNCH_BLOCKING",
        "PYTORCH_NPU_ALLOC_CONF",
        "TORCH_NPU_DISABLED_WARNING",
        "TORCH_DEVICE_BACKEND_AUTOLOAD",
        "CPU_AFFINITY_CONF",
        "ASCEND_GLOBAL_LOG_LEVEL",
        "ASCEND_SLOG_PRINT_TO_STDOUT",
        "ASCEND_PROCESS_LOG_PATH",
        "ACL_OP_COMPILER_CACHE_MODE",
        "ACL_OP_COMPILER_CACHE_DIR",
    ),
    "xpu": (
        "ZE_AFFINITY_MASK",
        "ONEAPI_DEVICE_SELECTOR",
        "PYTORCH_ENABLE_XPU_FALLBACK",
        "PYTORCH_XPU_FALLBACK_OP",
        "PYTORCH_DEBUG_XPU_FALLBACK",
    ),
    "mps": ("PYTORCH_ENABLE_MPS_FALLBACK", "PYTORCH_MPS_FAST_MATH", "PYTORCH_MPS_PREFER_METAL"),
}
"""For each kind of device."""

FILES = (
    "SNELLEN_MODELS",
    "SNELLEN_CACHE",
    "SNELLEN_CACHE_LIMIT",
    "XDG_CACHE_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_HUB_DISABLE_XET",
    "MODELSCOPE_CACHE",
)
"""Where weights come from and where files are kept; a token is never read here."""


def told(kind: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return those that are set, of the variables that decide about a kind of device."""
    return {name: environ[name] for name in DECIDING[kind] if name in environ}
