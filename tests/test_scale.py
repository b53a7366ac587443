"""docs/scale.md: its tables are those of tools/scale.py, the bytes of a row are real, its commands can be given."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from snellen.cli.main import commands
from snellen.records import Outcome
from snellen.records.inputs import Input
from snellen.store import Writer
from stores import IDENTITY, RECORD, WIDTH

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))  # behind the tests: both have a "parity"

import scale  # noqa: E402

TEXT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", list(scale.tables()))
def test_tables_are_what_the_program_prints(name) -> None:
    assert scale.tables()[name] in TEXT


def test_sums_by_hand() -> None:
    assert scale.parts(100_000_000) == 10_000
    assert scale.parts(1_000) == 4  # 256 rows each, the last of them fewer
    assert scale.files(100_000_000) == 10_000 + 10_000 + 1_526 + 6
    assert scale.vector_bytes(100_000_000, 384) == 153_600_000_000
    assert scale.store_bytes(100_000_000, 384) == 153_600_000_000 + 19_200_000_000 + 9_500_000
    assert scale.hours(100_000_000, 1_000) == pytest.approx(27.78, abs=0.01)
    assert scale.devices(100_000_000, 1_000, 10) == 3
    assert (scale.cores(927, 261), scale.fed(927, 261, 2), scale.fed(927, 261, 8)) == (4, 522, 927)
    assert scale.gigabits(1_000, 125_000) == 1.0
    for figure in ("21,532 files", "1,526 files"):
        assert figure in TEXT


def test_the_bytes_of_a_row_are_those_of_a_store(tmp_path) -> None:
    count, seen = 4096, 0
    drawn = np.random.default_rng(0)
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    inputs = (Input(path=f"/data/{digest[:32]}.jpg", place=f"/data/{digest[:32]}.jpg") for digest in digests)
    with Writer.open(tmp_path, IDENTITY) as writer:
        run = writer.begin(["data"], inputs, lambda _: (1, 1), part_rows=count)
        with writer.part(0) as part:
            for number, item in part.inputs:
                width, size = drawn.integers(300, 200_000, 2).tolist()
                row = Outcome(id=number, image_path=item.path, status="done", sha256=digests[number], width=width)
                row = Outcome(**{**row.to_dict(), "notes": (), "height": 300, "file_size": size, "modified_ns": size})
                part.add([(row, drawn.standard_normal(WIDTH, dtype=np.float32))])
                if number % 64 == 63:
                    part.commit()
            seen = next((tmp_path / ".snellen" / "journal").glob("*.journal")).stat().st_size
            record = part.finish(RECORD)
        writer.finish()
    inside = [path for path in (tmp_path / ".snellen").rglob("*") if path.is_file()]
    listing = sum(path.stat().st_size for path in inside if path.name.startswith("listing-"))
    index = sum(path.stat().st_size for path in inside if path.parent.name.startswith("known"))
    found = (record.size / count - 4 * WIDTH, listing / count, seen / count - 4 * WIDTH, index / count)
    assert run.parts == 1
    assert found == pytest.approx((scale.PART_B, scale.LISTING_B, scale.JOURNAL_B, scale.INDEX_B), rel=0.15)


def test_ones_own_numbers(capsys, monkeypatch) -> None:
    words = ["--images", "5000000", "--width", "768", "--rate", "250", "--decode", "30", "--cores", "4"]
    monkeypatch.setattr(sys, "argv", ["scale.py", *words])
    scale.main()
    out = capsys.readouterr().out
    assert "500 parts of 10,000 images" in out
    assert "120 images/s on one device: the limit is decoding" in out
    assert "9 cores would keep it busy" in out


def test_commands_have_the_options_that_are_named() -> None:
    known = {name: {word for each in command.params for word in each.opts} for name, command in commands().items()}
    yaml_args = [
        args for text in blocks("yaml") for args in yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    ]
    texts = [*blocks("sh"), *(line for each in yaml_args for line in each["args"])]
    found = [part for text in texts for part in re.findall(r"snellen ((?:[a-z]+)[^&>\n]*)", text.replace("\\\n", " "))]
    seen = [shlex.split(part.replace('"', "")) for part in found if not part.startswith("'")]
    assert len([words for words in seen if words[0] == "embed"]) == 4
    for name, *words in seen:
        options = {word for word in words if re.fullmatch("--?[a-z-]+", word)}
        assert options <= known[name], options - known[name]


def test_scripts_and_manifests_can_be_read() -> None:
    (job,) = map(yaml.safe_load, blocks("yaml"))
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 32
    (words,) = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert words.endswith("--shard $JOB_COMPLETION_INDEX/32 --quiet")
    for text in blocks("sh"):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
