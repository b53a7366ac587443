"""The words of cards, in English and in Chinese: what a column, a row or a phrase is a figure of, and in which unit.

In: a label as it stands in a card. Out: the name of a metric, or None for what is not known: nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

LATENCIES = ("mean_ms", "p50_ms", "latency_ms")
"""What a throughput or a speed-up may be worked out from, the likeliest first."""
SPREAD = ("min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")
"""In their order."""
BETTER_LARGE = ("cosine", "match")
"""Metrics of which a limit is the least that is allowed."""

ERROR = r"abs|diff|err|dev|绝对|误差|差异|差值|偏差"
PICTURES = r"(images?|imgs?|samples?|frames?)"
COUNTS = r"n|count|num[\s_-]*(runs|iter\w*|samples)|runs|repeats?|repetitions|iterations|iters|samples"
TIME = r"latency|time|duration|elapsed|延迟|时延|耗时|用时|时间|\bms\b|毫秒"

_METRICS: tuple[tuple[str, str], ...] = (
    ("", r"1\s*[-−–]\s*.{0,16}(cos|余弦)|cos\w*\s+distance|余弦距离"),  # these are read by nobody here
    ("", r"(std|标准差)\s*/|\bcv\b|变异|perturbed|planted|植入"),
    ("", r"warm[\s-]*up|预热|热身|(per|of one)[ -](image|sample|token)|/\s*(image|sample)\b|units? of the last|\bulp"),
    ("", r"单张|每张|每图|每个?样本|摊"),
    ("", r"needs?\b|需要|upper|置信|interval|区间|\bnear\b|接近|enqueue|下发\s*p|held before|\bfree\b|空闲|此前"),
    ("low_ms", r"p\s?50\b.*(at least|下限)"),
    ("high_ms", r"p\s?50\b.*(at most|上限)"),
    ("speedup_low", r"^[`*\s]*(at least|下限)[`*\s]*$"),
    ("speedup_high", r"^[`*\s]*(at most|上限)[`*\s]*$"),
    ("stable", r"^[`*\s]*(stable\b|稳定)"),
    ("", r"\bp\s?\d+\b.*\bhalf|(前半|后半)"),
    ("", r"(over|of|to|/|×) (the |its )?limit|限值之比|超限|超出限值|/\s*限值|倍数"),
    ("host", r"(host|dispatch|launch)[- ]bound|主机(受限|瓶颈)|受限于主机|下发(受限|瓶颈)"),
    ("cosine", r"cos(ine)?\b|cos[\s_-]*sim|cosine|余弦"),
    ("match", r"top-?\s?[15]\b|\bsnr|信噪比|agreement|一致率|匹配"),
    ("speedup", r"speed[\s-]*up|times as fast|加速比|加速倍|提速|faster by"),
    ("share", r"of (the )?(\w+ )?(ceiling|peak\b|bandwidth)|utili[sz]ation|利用率|占.{0,6}(峰值|上限|带宽)"),
    ("throughput", rf"through-?put|{PICTURES}\s*(/|per)\s*s(ec(ond)?)?\b|\bfps\b|吞吐|(张|图像)\s*/\s*秒"),
    ("batch", r"^[`*\s]*(batch([\s_-]*size)?|bs|批(大小|量|次|尺寸)?(大小)?)\b?[`*\s()（）a-z]*$"),
    ("max_abs", rf"(max(imum)?|largest|最大)(?!.*(rel|相对|relative))[\s_-]*(of )?({ERROR})"),
    ("mean_abs", rf"(mean|avg|average|平均)(?!.*(rel|相对|relative))[\s_-]*({ERROR})"),
    ("relative", r"rel(ative)?[\s_-]*(err|diff|dev|frobenius)|相对(误差|差)|\brel\b|mere|mare|rmse|\berror\b|误差"),
    ("count", rf"^[`*\s]*({COUNTS}|(样本|重复|迭代|运行|测试)?次?数)[`*\s]*$"),
    ("memory", r"memory|\bhbm\b|\brss\b|\bram\b|allocator|device in use|^[`*\s]*process\b|peak of the process"),
    ("memory", r"显存|内存|分配器|设备已用|^[`*\s]*进程"),
    ("parameters", r"param(eter)?s?\b|参数"),
    ("size", r"(file|model|checkpoint|weights?)[\s_-]*(file[\s_-]*)?size|^[`*\s]*(weights?|checkpoint|bytes)\b"),
    ("size", r"size of (the )?(weights|file|checkpoint)|^[`*\s]*字节|(权重|模型|文件)(文件)?(大小|字节)|权重文件"),
    ("dtype", r"\bdtype\b|stored as|存储(格式|为)|data[\s_-]*type|数据类型|^[`*\s]*(precision|精度)[`*\s]*$"),
    ("limit", r"threshold|\blimit\b|criteri|toleran|requirement|required|\btarget\b|阈值|限值|标准|要求|上限"),
    ("result", r"result|verdict|status|outcome|pass|conclusion|结果|结论|判定|是否|状态|通过"),
    ("tokens", r"^[`*\s]*(number of )?tokens?\b|^[`*\s]*(token|令牌)\s*数"),
    ("grid", r"\bgrid\b|网格|patch(es)?\s*[(（](rows|行)"),
)  # fmt: skip

_SPREADS: tuple[tuple[str, str], ...] = (
    ("std_ms", r"\bstd|stdev|标准差|deviation"),
    ("p50_ms", r"\bp\s?50\b|median|中位|50\s*%?\s*(th|分位)"),
    ("p90_ms", r"\bp\s?90\b|90\s*%?\s*(th|分位)"),
    ("p95_ms", r"\bp\s?95\b|95\s*%?\s*(th|分位)"),
    ("p99_ms", r"\bp\s?99\b|99\s*%?\s*(th|分位)"),
    ("min_ms", r"\bmin(imum)?\b|\bleast\b|最小|最短|最低"),
    ("max_ms", r"\bmax(imum)?\b|largest|最大|最长|最高"),
    ("mean_ms", r"\bmean\b|\bavg\b|average|平均|均值"),
)

EDGE = r"(?:(?<![a-z0-9])(?=[a-z0-9])|(?<=[a-z0-9])(?![a-z0-9]))"
"""Where a word begins or ends: an underscore and an ideograph end one, too."""


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern whose words end where people see them end, in small letters or capitals."""
    return re.compile(text.replace(r"\b", EDGE), re.IGNORECASE | re.ASCII)


_COMPILED = tuple((name, pattern(words)) for name, words in _METRICS)
_SPREAD_WORDS = tuple((name, pattern(words)) for name, words in _SPREADS)
_TIME = pattern(TIME)
BASE = pattern(r"\bcpu\b|baseline|基线|对照")
PASSED = pattern(
    r"(?<![a-z])(pass(ed|es)?|ok)(?![a-z])|✅|✓|✔|(?<!不)(?<!未)通过|(?<!不)合格|(?<!不)(?<!未)达标|(?<!不)满足"
)
FAILED = pattern(r"(?<![a-z])fail(ed|s|ure)?(?![a-z])|❌|✗|✘|不通过|未通过|不合格|不达标|未达标|不满足")
SIMULATED = pattern(
    r"simulated\s+(npu|gpu|cuda|device|hardware|ascend)|(设备|npu)[^。\n]{0,12}(模拟|仿真)|(模拟|仿真)的?\s*(设备|npu)"
)
YES = pattern(r"^[`*\s]*(yes|true|是)")
HOST = pattern(
    r"(host|dispatch|launch)[- ]bound|not fill(ed by)? the (device|smaller)|"
    r"主机(受限|瓶颈|侧)|下发(受限|瓶颈)|受主机|受限于主机|没有把设备占满"
)
GENERIC = pattern(r"^[`*\s]*(value|figure|measured|result|实测(值)?|数值|值|结果|测量值)[`*\s]*$")

WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
NUMBER = rf"[-−+]?{WHOLE}(?:\.\d+)?(?:[eE][-+−]?\d+)?(?:\s*[×x*]\s*10\s*\^?\s*[-−]?[\d⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
UNIT = r"%|ms|毫秒|µs|us|μs|微秒|s\b|秒|GiB|MiB|KiB|GB|MB|KB|bytes|字节|B\b|M\b|G\b|K\b|billion|million|亿|万|x\b|×|倍"
_VALUE = re.compile(
    rf"^[\s*`~≈<≤>≥=约]*(?:about |circa |at most )?({NUMBER})\s*({UNIT})?(.*)$", re.I | re.A | re.DOTALL
)
_AFTER = re.compile(r"^[\s*`]*((±|\+/-|\(|（).*)?$", re.DOTALL)
_POWER = re.compile(r"\s*[×x*]\s*10\s*\^?\s*")
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")

SCALES = {
    "ms": 1.0, "毫秒": 1.0, "µs": 1e-3, "μs": 1e-3, "us": 1e-3, "微秒": 1e-3, "s": 1e3, "秒": 1e3,
    "%": 0.01,
    "gib": 2.0**30, "mib": 2.0**20, "kib": 2.0**10, "gb": 1e9, "mb": 1e6, "kb": 1e3, "bytes": 1.0, "字节": 1.0,
    "b": 1e9, "billion": 1e9, "g": 1e9, "m": 1e6, "million": 1e6, "k": 1e3, "亿": 1e8, "万": 1e4,
}  # fmt: skip
TIMES = ("ms", "毫秒", "µs", "μs", "us", "微秒", "s", "秒")
BYTES = ("gib", "mib", "kib", "gb", "mb", "kb", "bytes", "字节")


@dataclass(frozen=True, slots=True)
class Value:
    """A number as it is printed: with its unit, and how far the true one may lie from it for rounding."""

    number: float
    half: float
    unit: str | None = None

    def scaled(self, unit: str | None = None) -> Value:
        """Return it in the base of its unit, or of one that stands elsewhere: ms, bytes, a share, a count."""
        known = self.unit or unit
        factor = SCALES.get((known or "").lower(), 1.0)
        return Value(self.number * factor, self.half * factor, known)


@cache
def metric_of(label: str) -> str | None:
    """Name what a label is a figure of; None where it is none that is known."""
    text = re.sub(r"<[^>]*>", " ", label).strip()
    for name, words in _COMPILED:
        if words.search(text):
            return name or None
    spread = next((name for name, words in _SPREAD_WORDS if words.search(text)), None)
    if spread is not None:
        return spread
    return "latency_ms" if _TIME.search(text) else None


def unit_of(label: str) -> str | None:
    """Return the unit that a label names: in brackets, after a comma, or at its end."""
    found = re.search(rf"[(（\[,，、/\s_]\s*({UNIT})\s*[)）\]`*\s]*$", label, re.I | re.A)
    return found.group(1).lower() if found else None


def value_of(text: str) -> Value | None:
    """Read a number that is all that a text says, beside its unit; None for anything else."""
    found = _VALUE.match(text.replace("**", ""))
    if found is None or not _AFTER.match(found.group(3)):
        return None
    return read(found.group(1), found.group(2))


def read(number: str, unit: str | None) -> Value:
    """Read a number as it is printed: its last digit may be rounded."""
    mantissa, *power = _POWER.split(number.translate(_RAISED).replace(",", ""))
    digits, _, exponent = mantissa.lower().partition("e")
    power_of_ten = int(exponent or 0) + int(power[0] if power else 0)
    last = power_of_ten - len(digits.partition(".")[2])
    return Value(float(f"{digits}e{power_of_ten}"), float(f"0.5e{last}"), unit.lower() if unit else None)
