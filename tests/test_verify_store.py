"""Whether new vectors may stand beside a store's: each fault is told, what cannot be told is no pass."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from small_folder import RECIPE as FOLDER_RECIPE
from small_folder import written
from small_store import album, drawn_rows, embedded, grown, identity, pictures, row
from snellen.cli.main import main
from snellen.devices import simulated
from snellen.devices.simulated.settings import parse
from snellen.errors import ImageError, UnknownName, UsageError
from snellen.records.reading import read
from snellen.records.search import Distance, MixingRecord
from snellen.search import again, limits, query
from snellen.search.judge import judge
from snellen.search.mixing import verify
from snellen.search.query import Place
from snellen.search.sample import draw, shares
from snellen.store import Store
from stub_encoder import Stub


def from_file(item) -> bytes:
    try:
        return Path(item.place).read_bytes()
    except FileNotFoundError as error:
        raise again.Gone(f"{item.path!r} does not exist") from error


@pytest.fixture
def stub(monkeypatch) -> Stub:
    """Put one stub in the place of every encoder."""
    made = Stub()
    monkeypatch.setattr(query, "embedder", lambda asked: made)
    return made


@pytest.fixture
def paths(tmp_path, stub) -> list[Path]:
    return pictures(tmp_path / "photos", 16)


def tried(store: Store, **more) -> MixingRecord:
    return verify(store, from_file, Place(), **more)


def verdict_of(folder: Path, paths: list[Path], vectors: np.ndarray, **more) -> tuple[str, str, str]:
    """Return outcome, reason and findings where the store holds these vectors."""
    verdict = tried(album(folder, paths, vectors, **more)).verdict
    assert verdict is not None
    return verdict.outcome, verdict.because, "; ".join(verdict.findings)


# ---- what passes, and what does not


def test_the_same_encoder_passes(tmp_path, paths):
    record = tried(album(tmp_path / "s", paths, part_rows=5))
    verdict = record.verdict
    assert verdict.outcome == "pass"
    assert verdict.because.startswith("16 of 16 images were embedded again, and differ by 0 in the median")
    assert (verdict.summary.relative_worst, verdict.summary.neighbours, verdict.precision) == (0.0, 1.0, "float32")
    assert [check.status for check in verdict.checks] == ["pass", "pass"]
    assert all(check.value > check.limit for check in verdict.checks)
    assert (record.drawn, record.nearest, record.among) == (16, 7, 16)
    assert {pair.part for pair in record.pairs} == {0, 1, 2, 3}


def noisy(vectors: np.ndarray, size: float) -> np.ndarray:
    """Move every vector by this part of its length."""
    away = np.random.default_rng(1).standard_normal(vectors.shape)
    lengths = [np.linalg.norm(some, axis=1, keepdims=True) for some in (vectors, away)]
    return (vectors + size * away * lengths[0] / lengths[1]).astype(np.float32)


@pytest.mark.parametrize("dtype", limits.NAMES)
def test_each_class_allows_its_own_noise_and_no_more(tmp_path, paths, dtype):
    """Half of what is allowed passes, twice as much does not, and the class that it is of is named."""
    allowed, worst = limits.LIMITS[dtype]
    exact, who = embedded(paths), identity(dtype=dtype)
    assert verdict_of(tmp_path / "a", paths, noisy(exact, allowed / 2), who=who)[0] == "pass"
    outcome, because, _ = verdict_of(tmp_path / "b", paths, noisy(exact, allowed * 2), who=who)
    assert outcome == "fail"
    assert f"may differ by {allowed:.2g} in the median and {worst:.2g} for one" in because
    one = exact.copy()
    one[3:4] = noisy(exact[3:4], worst * 2)
    outcome, because, _ = verdict_of(tmp_path / "c", paths, one, who=who)
    assert outcome == "fail"
    assert because.startswith("1 of 16 images lie too far apart")


def test_the_class_that_vectors_are_of_is_named(tmp_path, paths, stub):
    vectors = noisy(embedded(paths), 4e-4)
    outcome, _, findings = verdict_of(tmp_path / "a", paths, vectors)
    assert outcome == "fail"
    assert "as far apart as hf32 makes them" in findings
    stub.record = replace(stub.record, dtype="bfloat16")  # which would explain it
    outcome, _, findings = verdict_of(tmp_path / "b", paths, vectors)
    assert outcome == "fail"
    assert "hf32" not in findings
    assert "made in bfloat16, the store in float32: snellen embed keeps one dtype" in findings


def test_rows_that_belong_to_other_images_are_named(tmp_path, paths):
    vectors = embedded(paths)
    vectors[[4, 9]] = vectors[[9, 4]]
    outcome, because, findings = verdict_of(tmp_path / "s", paths, vectors)
    assert outcome == "fail"
    assert because.startswith("2 of 16")
    assert "2 vectors belong to other rows of the store" in findings
    assert "004.png has the vector of row 9" in findings


def test_vectors_of_another_length_are_told_from_other_vectors(tmp_path, paths):
    vectors = embedded(paths)
    outcome, _, findings = verdict_of(tmp_path / "s", paths, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert outcome == "fail"
    assert "differ in length alone" in findings
    assert "differ in length alone" not in verdict_of(tmp_path / "t", paths, noisy(vectors, 0.5))[2]


def test_a_store_of_unit_vectors_is_compared_with_unit_vectors(tmp_path, paths):
    vectors = embedded(paths)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert verdict_of(tmp_path / "s", paths, unit, who=identity(normalized=True))[0] == "pass"


def test_another_recipe_fails(tmp_path, paths, stub):
    store = album(tmp_path / "s", paths)
    made = stub.recipe.array

    class Other:
        def array(self, picture):
            return made(again._cropped(picture, 0.9))

    stub.recipe = Other()
    assert tried(store).verdict.outcome == "fail"


def test_a_vector_that_is_not_finite_now_fails(tmp_path, paths, stub):
    store = album(tmp_path / "s", paths)
    vectors = stub.vectors
    stub.vectors = lambda batches: (
        np.where(np.arange(len(some))[:, None] == 2, np.nan, some) for some in vectors(batches)
    )
    verdict = tried(store).verdict
    assert verdict.outcome == "fail"
    assert "not finite" in verdict.because
    assert verdict.summary.relative_worst is None
    json.dumps(tried(store).to_dict(), allow_nan=False)


def test_the_run_of_a_store_that_is_wrong_is_named(tmp_path, paths):
    album(tmp_path / "s", paths[:10])
    outcome, _, findings = verdict_of(tmp_path / "s", paths[10:], noisy(embedded(paths[10:]), 0.1))
    assert outcome == "fail"
    assert "all of them are of run 1 (6 of 6)" in findings


def test_neighbours_that_change_are_said(tmp_path, paths, stub):
    record = tried(album(tmp_path / "s", paths, noisy(embedded(paths), 0.3)))
    assert record.verdict.summary.neighbours < 0.9
    assert "searches change" in "; ".join(record.verdict.findings)


# ---- what cannot be told is no pass


def test_nothing_compared_is_inconclusive(tmp_path, paths):
    store = album(tmp_path / "s", paths)
    for path in paths:
        path.unlink()
    record = tried(store)
    assert record.verdict.outcome == "inconclusive"
    assert record.verdict.because == "nothing was compared: 16 missing"
    assert record.verdict.summary is None


def test_images_that_are_gone_changed_or_broken_are_said_and_not_compared(tmp_path, paths):
    store = album(tmp_path / "s", paths)
    paths[0].unlink()
    paths[1].write_bytes(paths[2].read_bytes())
    paths[3].write_bytes(b"")

    def reader(item):
        if item.path == str(paths[4]):
            raise ImageError("the disk fails")
        return from_file(item)

    record = verify(store, reader, Place())
    assert record.verdict.outcome == "pass"
    assert record.verdict.because.startswith("12 of 16 images (1 missing, 2 changed, 1 broken)")
    assert [(one.id, one.why) for one in record.left_out] == [
        (0, "missing"),
        (1, "changed"),
        (3, "changed"),
        (4, "broken"),
    ]
    assert any("1 missing, not compared: " in finding and "000.png" in finding for finding in record.verdict.findings)


def test_an_encoder_that_sees_nothing_is_inconclusive(tmp_path, paths, stub):
    """It gives the store's vectors again, but also for any other picture."""
    stub.vectors = lambda batches: (np.ones((len(some), 6), np.float32) for some in batches)
    verdict = tried(album(tmp_path / "s", paths, np.ones((16, 6), np.float32))).verdict
    assert verdict.outcome == "inconclusive"
    assert "cannot tell vectors apart" in verdict.because
    assert [check.status for check in verdict.checks] == ["fail", "fail"]


def test_an_encoder_that_does_not_see_the_recipe_is_inconclusive(tmp_path, paths, stub):
    known = dict(zip([path.read_bytes() for path in paths], drawn_rows(16, 6), strict=True))
    shown: list[bytes] = []
    stub.vectors = lambda batches: (np.stack([known[shown[at % 16]] for at, _ in enumerate(some)]) for some in batches)

    def reader(item):
        shown.append(from_file(item))
        return shown[-1]

    stub.batch = 16
    verdict = verify(album(tmp_path / "s", paths, drawn_rows(16, 6)), reader, Place()).verdict
    assert verdict.outcome == "inconclusive"
    assert [check.status for check in verdict.checks] == ["pass", "fail"]
    assert "cropped to 0.5 of their sides" in verdict.because


def test_images_of_the_same_bytes_are_inconclusive(tmp_path, paths):
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    verdict = tried(album(tmp_path / "s", paths)).verdict
    assert verdict.outcome == "inconclusive"
    assert "no two images with different bytes" in verdict.because
    assert verdict.checks[0].status == "unknown"


def test_a_sample_of_one_is_refused(tmp_path, paths):
    with pytest.raises(UsageError, match="a sample of 1"):
        tried(album(tmp_path / "s", paths), sample=1)


def test_a_record_is_judged_again_from_what_it_says(tmp_path, paths):
    record = tried(album(tmp_path / "s", paths, noisy(embedded(paths), 1e-3)))
    document = json.loads(json.dumps(record.to_dict()))
    assert document.pop("schema") == "snellen.verify-store/1"
    assert judge(replace(read(MixingRecord, document), verdict=None)) == record.verdict


# ---- limits


def test_each_class_is_told_from_the_next():
    assert all(first[0] < second[0] and first[1] < second[1] for first, second in pairwise(limits.LIMITS.values()))
    for name in limits.NAMES:
        distances = [Distance(max_abs=1.0, relative=limits.LIMITS[name][0], cosine=1.0)]
        assert limits.within(limits.of(name), distances)
        assert limits.met(distances) == name
    assert limits.met([Distance(max_abs=1.0, relative=1.0, cosine=0.5)]) is None
    assert limits.met([]) is None
    with pytest.raises(UnknownName):
        limits.of("float8")


def test_nothing_and_what_is_not_known_are_within_no_limits():
    near = Distance(max_abs=0.0, relative=0.0, cosine=1.0)
    assert limits.within(limits.of("int8"), [near])
    assert not limits.within(limits.of("int8"), [])
    assert not limits.within(limits.of("int8"), [near, Distance(max_abs=None, relative=None, cosine=None)])


# ---- the sample


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([100], 10, [10]),
        ([1000, 10], 10, [8, 2]),
        ([3, 3], 10, [3, 3]),
        ([1, 1, 1, 1], 2, [0, 0, 1, 1]),
        ([10**6, 1], 64, [63, 1]),
        ([], 5, []),
    ],
)
def test_every_run_has_its_share(sizes, count, expected):
    given = shares(sizes, count)
    assert given == expected
    assert sum(given) == min(count, sum(sizes))


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Store:
    """A store of two runs: of 900 rows, 225 of them copies and 100 bad; and of 12, two of which replace others."""
    folder = tmp_path_factory.mktemp("large") / "s"
    vectors = drawn_rows(900, 4)
    given = [row(f"{at}.png", vectors[at]) for at in range(900)]
    for at in (*range(300, 450), *range(450, 600, 2)):
        given[at] = row(f"{at}.png", vectors[at - 300], "already_present", same_as=at - 300)
    given[600:700] = [row(f"{at}.png", status="broken", error_message="no") for at in range(600, 700)]
    grown(folder, given, identity(4), part_rows=300)
    return grown(
        folder, [row(f"{at + 890}.png", -vectors[at]) for at in range(20)], identity(4), changed=["890.png", "891.png"]
    )


def test_a_sample_is_spread_and_holds_what_was_embedded(large):
    sample = draw(large, 60)
    ids = [one.outcome.id for one in sample]
    assert ids == sorted(set(ids))
    assert not {890, 891} & set(ids)  # obsolete
    assert set(range(600, 700)).isdisjoint(ids)  # failed
    copies = [one.outcome.id for one in sample if one.outcome.status == "already_present"]
    assert copies  # where a stretch holds nothing else,
    assert set(copies) <= set(range(300, 450))  # and only there
    runs = Counter(one.run for one in sample)
    assert runs == {0: 48, 1: 12}  # of the small run all, and of the other what is left
    assert {one.part for one in sample} == {0, 1, 2, 3}
    assert all(one.vector.tolist() == large.vectors([one.outcome.id])[0].tolist() for one in sample[::9])
    assert [one.input.path for one in sample] == [one.outcome.image_path for one in sample]


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another(large):
    first, again_, other = ([one.outcome.id for one in draw(large, 20, seed)] for seed in (0, 0, 1))
    assert first == again_ != other


def test_a_sample_of_more_than_there_is_holds_what_there_is(large):
    assert len(draw(large, 10_000)) == 900 - 100 - 2 + 12


# ---- the command


@pytest.fixture
def here(paths, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    album(Path("store"), paths)
    return tmp_path


def test_the_report_says_what_was_compared_and_whether_it_could_have_failed(here, capsys):
    assert main(["verify-store", "store"]) == 0
    out, err = capsys.readouterr()
    assert "verdict     PASS: 16 of 16 images" in out
    assert "could it have failed" in out
    assert "are told apart" in out
    assert "drawn at random" in out
    assert max(map(len, out.splitlines())) <= 100
    assert err == "embedding 16 of the images again\n"


def test_files_json_and_exit_codes(here, capsys, stub, paths):
    assert main(["verify-store", "store", "--json", "-o", "a.json", "--quiet", "--sample", "4"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(Path("a.json").read_text())
    assert json.loads(out)["drawn"] == 4
    assert json.loads(out)["peak_bytes"] > 0
    assert err == ""
    album(Path("other"), paths, noisy(embedded(paths), 0.1))
    assert main(["verify-store", "other", "--quiet", "-o", "b.json"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith("fail: 16 of 16 images lie too far apart")) == ("", True)
    for path in paths:
        path.unlink()
    assert main(["verify-store", "store"]) == 3
    assert "INCONCLUSIVE: nothing was compared" in capsys.readouterr().out


def test_another_encoder_is_refused(here, capsys, stub):
    stub.record = replace(stub.record, digest="1" * 64)
    assert main(["verify-store", "store"]) == 2
    assert f"weights is {'0' * 64}, and {'1' * 64} there" in capsys.readouterr().err
    assert main(["verify-store", "photos"]) == 2
    assert main(["verify-store", "store", "-o", "a.txt"]) == 2


def test_a_real_encoder_in_another_runtime_passes_and_a_lower_dtype_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures(Path("photos"), 6)
    model = str(written(tmp_path / "model"))
    embed = ["embed", "photos", "-m", model, "--recipe", FOLDER_RECIPE, "--runtime", "openvino", "-o", "store/"]
    assert main([*embed, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["verify-store", "store", "--runtime", "eager", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"]["runtime"] == "eager"
    assert found["verdict"]["summary"]["relative_worst"] < 1e-5
    assert main(["verify-store", "store", "--runtime", "eager", "--dtype", "bfloat16", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"]["precision"] in {"hf32", "float16", "bfloat16"}


def test_a_simulated_device_is_named_and_its_lowered_arithmetic_seen(tmp_path, monkeypatch, capsys):
    """A store of the CPU's float32, tried on a device that computes in hf32 without being asked to."""
    monkeypatch.chdir(tmp_path)
    pictures(Path("photos"), 6)
    model = str(written(tmp_path / "model"))
    assert (
        main(["embed", "photos", "-m", model, "--recipe", FOLDER_RECIPE, "--runtime", "eager", "-o", "s/", "--quiet"])
        == 0
    )
    simulated.start(parse("npu:arithmetic=float32"))
    try:
        assert main(["verify-store", "s", "--device", "npu", "--quiet", "-o", "a.json"]) == 0
        assert capsys.readouterr().err.startswith("SIMULATED: pass: 6 of 6 images")
        with simulated.configured(parse("npu:arithmetic=hf32")):
            assert main(["verify-store", "s", "--device", "npu"]) == 1
    finally:
        simulated.stop()
    out = capsys.readouterr().out
    assert out.startswith("SIMULATED: ")
    assert "as far apart as hf32 makes them" in " ".join(out.split())
