"""The arithmetic of docs/scale.md, for the numbers there or your own.

    python tools/scale.py                                          the tables of docs/scale.md
    python tools/scale.py --images 5000000 --width 768 --rate 250 --decode 30 --cores 16 --image-bytes 2000000

In: how many images, how wide a vector, what a device encodes and a core decodes in a second. Out: files, bytes, hours,
cores and traffic, as Markdown.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from snellen.store.layout import part_rows
from snellen.store.listing import LISTED

IMAGES = 100_000_000
WIDTHS = (384, 768, 1024)
WEEK_H = 7 * 24

# Bytes a row beside its vector, of stores of 100,000 rows named by 32 random characters; names that count up compress
# to less (part 74, listing 3). What is measured differently fails in tests/test_scale.py.
PART_B = 91
LISTING_B = 36
JOURNAL_B = 202
INDEX_B = 65
RECORDS_B = 950  # of a part: its record, and its lines in the manifest


@dataclass(frozen=True)
class Encoder:
    """What encodes so many images a second, and who says so."""

    where: str
    what: str
    rate: float
    source: str


@dataclass(frozen=True)
class Images:
    """A kind of images: their bytes, and how many of them a core decodes and prepares in a second."""

    what: str
    size: float
    decoded: float


ENCODERS = (
    Encoder("one core of an EPYC (AVX-512, bf16)", "DINOv3 S/16 at 256, float32", 15.5 / 2, "measured"),
    Encoder("one core of an EPYC (AVX-512, bf16)", "DINOv3 S/16 at 256, bfloat16", 28.1 / 2, "measured"),
    Encoder("one core of an EPYC (AVX-512, bf16)", "DINOv3 S/16 at 256, int8", 45.7 / 2, "measured"),
    Encoder("one core of an EPYC (AVX-512, bf16)", "DINOv3 B/16 at 224, bfloat16", 11.0 / 2, "measured"),
    Encoder("one core of an EPYC (AVX-512, bf16)", "AIMv2 L/14 at 224, bfloat16", 2.38 / 2, "measured"),
    Encoder("Ascend 910B4", "DINOv2 S/14 at 518, float32", 267.0, "published [1]"),
    Encoder("Ascend 910B4", "DINOv3 S/16 at 256, float32", 927.0, "published [1]"),
    Encoder("RTX 4090", "DINOv3 S/16 at 256, AMP", 3202.0, "published [2]"),
    Encoder("RTX 4090", "DINOv3 B/16 at 256, AMP", 1340.0, "published [2]"),
    Encoder("RTX 3080, from files", "CLIP B/32 at 224", 1500.0, "published [3]"),
    Encoder("8 A100, from files", "CLIP B/16 at 224", 7000.0, "published [3]"),
)

KINDS = (
    Images("500 x 375, JPEG", 110e3, 522 / 2),
    Images("12 million pixels, JPEG, exact", 3.0e6, 8.7),
    Images("12 million pixels, JPEG, --decode fast", 3.0e6, 33.4),
)


def parts(images: int) -> int:
    """Return how many parts a run of so many images has."""
    return -(-images // part_rows(images))


def files(images: int) -> int:
    """Return how many files a finished store has: parts, their records, the listing, and six others."""
    return 2 * parts(images) + -(-images // LISTED) + 6


def vector_bytes(images: int, width: int) -> int:
    """Return what the numbers of all vectors take."""
    return 4 * width * images


def store_bytes(images: int, width: int) -> int:
    """Return what a finished store takes."""
    beside = (PART_B + LISTING_B + INDEX_B) * images + RECORDS_B * parts(images)
    return vector_bytes(images, width) + beside


def journal_bytes(images: int, width: int) -> int:
    """Return what the journal of one part takes while it is made."""
    return min(images, part_rows(images)) * (4 * width + JOURNAL_B)


def hours(images: int, rate: float) -> float:
    """Return how long one device takes."""
    return images / rate / 3600


def devices(images: int, rate: float, within_h: float) -> int:
    """Return how many devices are done within so many hours."""
    return math.ceil(hours(images, rate) / within_h)


def cores(rate: float, decoded: float) -> int:
    """Return how many cores decode as fast as a device encodes."""
    return math.ceil(rate / decoded)


def fed(rate: float, decoded: float, there: int) -> float:
    """Return what a device does with so many cores to decode for it."""
    return min(rate, there * decoded)


def gigabits(rate: float, size: float) -> float:
    """Return the traffic of so many images a second, in Gbit/s."""
    return rate * size * 8 / 1e9


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Return a Markdown table; all columns but the first ones, which are ``words``, to the right."""
    lines = [header, [*["---"] * words, *["--:"] * (len(header) - words)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def store_table(images: int, widths: Sequence[int]) -> str:
    """Return what a store takes on the disk."""

    def row(width: int) -> list[str]:
        whole, vectors = store_bytes(images, width), vector_bytes(images, width)
        listed, index = LISTING_B * images, INDEX_B * images
        ledger = whole - vectors - listed - index
        return [str(width), *map(gb, (vectors, ledger, index, listed, whole)), mb(journal_bytes(images, width))]

    header = ("width", "vectors", "ledger", "index", "listing", "all", "journal of a part")
    return table(header, map(row, widths))


def hours_table(images: int, encoders: Iterable[Encoder]) -> str:
    """Return how long it takes, and what would make it a week."""

    def row(each: Encoder) -> list[str]:
        taken = hours(images, each.rate)
        count = devices(images, each.rate, WEEK_H)
        return [each.where, each.what, each.source, f"{each.rate:,.4g}", f"{taken:,.0f}", f"{count:,}"]

    header = ("device", "encoder", "", "images/s", "hours on one", "done in a week by")
    return table(header, map(row, encoders), words=3)


def cores_table(kinds: Iterable[Images], rates: Sequence[float]) -> str:
    """Return the cores and the traffic that devices of these rates need."""

    def row(kind: Images) -> Iterator[str]:
        yield from (kind.what, f"{kind.size / 1e3:,.0f} kB", f"{kind.decoded:,.4g}")
        for rate in rates:
            yield f"{cores(rate, kind.decoded):,} cores, {gigabits(rate, kind.size):,.2g} Gbit/s"

    header = ("images", "bytes of one", "a core decodes", *(f"for {rate:,.0f} images/s" for rate in rates))
    return table(header, (list(row(kind)) for kind in kinds))


def gb(size: float) -> str:
    """Name a size in GB."""
    return f"{size / 1e9:,.1f} GB"


def mb(size: float) -> str:
    """Name a size in MB."""
    return f"{size / 1e6:,.0f} MB"


def tables() -> dict[str, str]:
    """Return the tables of docs/scale.md."""
    return {
        "store": store_table(IMAGES, WIDTHS),
        "hours": hours_table(IMAGES, ENCODERS),
        "cores": cores_table(KINDS, (267.0, 927.0, 3202.0)),
    }


def own(asked: argparse.Namespace) -> Iterator[str]:
    """Yield what somebody's own numbers come to, a line each."""
    images, rate = asked.images, fed(asked.rate, asked.decode, asked.cores)
    limit = "the encoder" if rate == asked.rate else "decoding"
    yield f"{parts(images):,} parts of {part_rows(images):,} images, {files(images):,} files"
    yield store_table(images, [asked.width])
    yield f"{rate:,.4g} images/s on one device: the limit is {limit}"
    yield f"{cores(asked.rate, asked.decode):,} cores would keep it busy"
    yield f"{hours(images, rate):,.1f} hours on one device; the cost is these hours times the price of one"
    traffic = gigabits(rate, asked.image_bytes)
    yield f"{traffic:,.2g} Gbit/s to one device, {images * asked.image_bytes / 1e12:,.4g} TB in all"


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--width", type=int, default=WIDTHS[0])
    parser.add_argument("--rate", type=float, help="images a second that one device encodes")
    parser.add_argument("--decode", type=float, default=KINDS[0].decoded, help="images a second that one core decodes")
    parser.add_argument("--cores", type=int, default=8, help="cores that decode for one device")
    parser.add_argument("--image-bytes", type=float, default=KINDS[0].size)
    asked = parser.parse_args()
    print("\n\n".join(tables().values() if asked.rate is None else own(asked)))


if __name__ == "__main__":
    main()
