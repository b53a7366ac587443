"""Search in a store: exact whatever the pieces, by whichever query, and only with the encoder of the store."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from small_folder import RECIPE as FOLDER_RECIPE
from small_folder import written
from small_store import MODEL, album, grown, identity, pictures, row, rows
from snellen.cli.main import main
from snellen.errors import CheckpointError, MissingPackage, UsageError, WeightsUnavailable
from snellen.records import Origin
from snellen.runtimes.opening import Asked
from snellen.search import Searcher, index, query
from snellen.search.nearest import Best, unit
from snellen.search.query import Place, asked_again, check
from snellen.store import Store
from stub_encoder import RECIPE, Stub


def brute(queries: np.ndarray, vectors: np.ndarray, k: int) -> list[list[int]]:
    """Sort every row by its cosine in float64, equal ones by their ids."""
    exact = unit(vectors).astype(np.float64)
    scores = [(exact * one).sum(axis=1) for one in unit(queries).astype(np.float64)]
    return [sorted(range(len(vectors)), key=lambda at, s=some: (-s[at], at))[:k] for some in scores]


def in_pieces(queries: np.ndarray, vectors: np.ndarray, k: int, size: int, **more) -> list[list[int]]:
    best = Best(unit(queries), k, **more)
    units = unit(vectors)
    for start in range(0, len(vectors), size):
        best.add(np.arange(start, min(start + size, len(vectors))), units[start : start + size])
    return [one.ids.tolist() for one in best.found()]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def near_ties(count: int = 3000, width: int = 64) -> np.ndarray:
    """Vectors so alike that float32 cannot tell which of them is nearest to a query."""
    return (drawn(1, width) + 1e-6 * drawn(count, width, seed=1)).astype(np.float32)


# ---- exact, whatever the pieces


@pytest.mark.parametrize("size", [1, 7, 500, 3000])
@pytest.mark.parametrize("vectors", [drawn(1000, 33), near_ties(1000)], ids=["drawn", "near ties"])
def test_the_nearest_are_those_of_a_sort_in_float64(vectors, size):
    queries = np.concatenate([drawn(2, vectors.shape[1], seed=2), vectors[7:8]])
    assert in_pieces(queries, vectors, 10, size) == brute(queries, vectors, 10)


def test_a_sort_in_float32_would_be_another():
    vectors, queries = near_ties(), drawn(1, 64, seed=2)
    roughly = (unit(queries) @ unit(vectors).T)[0]
    assert np.lexsort((np.arange(len(vectors)), -roughly))[:10].tolist() != brute(queries, vectors, 10)[0]


def test_equal_rows_come_in_the_order_of_their_ids():
    vectors = np.repeat(drawn(4, 8), 50, axis=0)[np.random.default_rng(3).permutation(200)]
    best = Best(unit(vectors[:1]), 30)
    order = np.random.default_rng(4).permutation(200)
    for some in np.array_split(order, 9):
        best.add(some, unit(vectors)[some])
    same = np.flatnonzero((vectors == vectors[0]).all(axis=1))
    assert best.found()[0].ids.tolist() == same[:30].tolist()


def test_length_does_not_count_and_neither_very_large_nor_very_small_numbers_do():
    vectors = drawn(50, 8)
    scaled = vectors * np.float32(10.0) ** np.linspace(-30, 30, 50, dtype=np.float32)[:, None]
    assert in_pieces(drawn(1, 8, seed=1), scaled, 5, 50) == in_pieces(drawn(1, 8, seed=1), vectors, 5, 50)
    assert in_pieces(drawn(1, 8, seed=1) * np.float64(1e30), vectors, 5, 50) == brute(drawn(1, 8, seed=1), vectors, 5)


def test_a_row_can_be_passed_over():
    vectors = drawn(20, 8)
    assert in_pieces(vectors[3:5], vectors, 4, 6, without=[3, None])[0] == brute(vectors[3:4], vectors, 5)[0][1:]
    assert in_pieces(vectors[3:5], vectors, 4, 6, without=[3, None])[1][0] == 4
    assert in_pieces(vectors[3:4], vectors, 99, 6, without=[3]) == [brute(vectors[3:4], vectors, 99)[0][1:]]


# ---- a store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Forty rows in parts of 12: two failed, one a copy, and one that a second run has made obsolete."""
    vectors = drawn(40, 6)
    given = rows(vectors)
    given[3], given[20] = row("bad.jpg", status="broken", error_message="no"), row("gone.jpg", status="missing")
    given[8] = row("copy.jpg", vectors[7], "already_present", same_as=7)
    folder = tmp_path / "store"
    grown(folder, given, identity(), part_rows=12)
    return grown(
        folder, [row("0000011.jpg", -vectors[11]), *rows(drawn(3, 6, seed=5), 100)], identity(), changed=["0000011.jpg"]
    )


@pytest.mark.parametrize("held", [True, False])
def test_failed_and_superseded_rows_are_never_found(store, held):
    searcher = Searcher(store, held=held)
    (found,) = searcher.search(drawn(40, 6)[11:12], k=100)
    assert sorted(found.ids.tolist()) == sorted({*range(44)} - {3, 20, 11})
    assert searcher.rows == 41
    assert found.scores[0] < 0.999  # its own vector is obsolete
    assert store.manifest.superseded == (11,)
    hit = searcher.hits(searcher.search(drawn(40, 6)[7:8], k=2)[0])
    assert [(one.rank, one.id, one.path) for one in hit] == [(1, 7, "0000007.jpg"), (2, 8, "copy.jpg")]
    assert hit[0].score == pytest.approx(1.0, abs=1e-6)


def test_held_and_streamed_find_the_same_bits(store):
    queries = drawn(5, 6, seed=9)
    held, streamed = Searcher(store).search(queries), Searcher(store.folder, held=False).search(queries)
    for one, other in zip(held, streamed, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.scores.tobytes() == other.scores.tobytes()


def test_at_most_two_parts_are_in_memory(tmp_path, monkeypatch):
    store = grown(tmp_path / "s", rows(drawn(64, 4)), identity(4), part_rows=4)
    lock, alive, most = threading.Lock(), set(), []
    read = Store.part

    class Watched:
        def __init__(self, part):
            self.part = part
            with lock:
                alive.add(id(self))
                most.append(len(alive))

        def __getattr__(self, name):
            return getattr(self.part, name)

        def __del__(self):
            with lock:
                alive.discard(id(self))

    monkeypatch.setattr(Store, "part", lambda self, *given, **more: Watched(read(self, *given, **more)))
    Searcher(store, held=False).search(drawn(1, 4))
    assert len(most) == 16
    assert max(most) <= 3  # one that is searched, one that is read, and one that is handed over


def test_rows_of_zeros_have_no_direction(tmp_path):
    vectors = drawn(6, 4)
    vectors[2] = 0
    searcher = Searcher(grown(tmp_path / "s", rows(vectors), identity(4)))
    assert sorted(searcher.search(drawn(1, 4), k=9)[0].ids.tolist()) == [0, 1, 3, 4, 5]


def test_a_store_without_good_rows_finds_nothing(tmp_path):
    store = grown(tmp_path / "s", [row("a", status="broken", error_message="x")], identity(4))
    assert Searcher(store).search(drawn(1, 4))[0].ids.tolist() == []
    assert Searcher(store, held=False).search(drawn(1, 4))[0].ids.tolist() == []


@pytest.mark.parametrize(
    ("vectors", "seen"),
    [
        (np.zeros((1, 6)), "nothing but zeros"),
        (np.ones((1, 7)), "the query has 7 numbers, and the vectors of the store have 6"),
        (np.ones(6), "shape [6]"),
        (np.array([["a"] * 6]), "array of <U1"),
        (np.full((1, 6), np.nan), "not finite"),
        (np.full((1, 6), 1e300), "not finite in float32"),
    ],
)
def test_what_is_no_query_is_refused(store, vectors, seen):
    with pytest.raises(UsageError) as raised:
        Searcher(store).search(vectors)
    assert seen in raised.value.seen


def test_fewer_than_one_row_is_refused(store):
    with pytest.raises(UsageError, match="the 0 nearest"):
        Searcher(store).search(drawn(1, 6), k=0)


# ---- only with the encoder of the store


CHANGES = {
    "weights": "1" * 64,
    "recipe": "stored | squash 9 bilinear | scale | pool cls",
    "recipe_hash": "other",
    "pool": "patch_mean",
    "dtype": "bfloat16",
    "normalized": True,
    "width": 5,
    "variant": "another",
}


@pytest.mark.parametrize("name", CHANGES)
def test_vectors_of_another_kind_are_refused_and_the_difference_is_named(store, name):
    other = replace(store.identity, **{name: CHANGES[name]})
    with pytest.raises(UsageError, match=f"{name} is .*, and {re.escape(str(CHANGES[name]))} there"):
        Searcher(store).search(drawn(1, 6), identity=other)
    assert Searcher(store).search(drawn(1, 6), identity=store.identity)


def test_weights_without_a_name_may_have_moved():
    there, here = identity(variant="'./a'"), identity(variant="'/b/a'", origin=Origin(kind="file", path="/b/a"))
    check(there, here)
    with pytest.raises(UsageError, match="weights is"):
        check(there, replace(here, weights="1" * 64))
    with pytest.raises(UsageError, match="variant is"):
        check(identity(variant="vit_small"), here)


ZOO = "vit_small_patch16_dinov3.lvd1689m"


@pytest.mark.parametrize(
    ("name", "origin", "weights", "revision"),
    [
        (ZOO, Origin(kind="seed", seed=3), "seed:3", None),
        (ZOO, Origin(kind="hub", repo="timm/x", revision="abc", path="/cache/x"), "/cache/x", "abc"),
        (ZOO, Origin(kind="hub", repo="timm/x", revision="abc"), "timm/x", "abc"),
        (ZOO, Origin(kind="modelscope", repo="org/x"), "modelscope:org/x", None),
        (ZOO, Origin(kind="file", path="w.safetensors"), "w.safetensors", None),
        ("./folder", Origin(kind="file", path="./folder"), None, None),
    ],
)
def test_the_encoder_is_asked_for_as_it_was(store, name, origin, weights, revision):
    manifest = store.manifest
    run = replace(manifest.runs[0], models=(replace(MODEL, name=name),))
    known = replace(manifest, identity=replace(store.identity, origin=origin, dtype="bfloat16"), runs=(run,))
    expected = Asked(
        name=name, weights=weights, recipe=RECIPE.text, revision=revision, device="npu:1", dtype="bfloat16", images=2
    )
    assert asked_again(known, Place(device="npu:1"), images=2) == expected
    elsewhere = asked_again(known, Place(model="m", weights="w"))
    assert (elsewhere.name, elsewhere.weights, elsewhere.revision) == ("m", "w", None)
    assert (elsewhere.recipe, elsewhere.dtype) == (RECIPE.text, "bfloat16")


def test_a_store_that_does_not_say_how_its_encoder_was_asked_for_wants_a_name(store):
    known = replace(store.manifest, runs=tuple(replace(run, models=()) for run in store.manifest.runs))
    with pytest.raises(UsageError, match="-m MODEL"):
        asked_again(known, Place())
    assert asked_again(known, Place(model="m")).name == "m"


@pytest.mark.parametrize("error", [WeightsUnavailable("no weights here"), CheckpointError("other tensors")])
def test_weights_that_are_gone_are_asked_for(store, monkeypatch, error):
    def gone(asked):
        raise error

    monkeypatch.setattr(query, "embedder", gone)
    with pytest.raises(UsageError, match=r"(no weights here|other tensors)\n.*next: say where it is now"):
        query.Encoder(store.manifest, Place())
    with pytest.raises(type(error)):  # what was named by hand is spoken of as such
        query.Encoder(store.manifest, Place(weights="w"))


# ---- the command


@pytest.fixture
def stub(monkeypatch) -> list[Asked]:
    """Put the stub in the place of every encoder; what was asked for is in the list."""
    asked: list[Asked] = []

    def opened(wanted):
        asked.append(wanted)
        return Stub(weights="1" * 64 if wanted.weights == "other" else "0" * 64)

    monkeypatch.setattr(query, "embedder", opened)
    return asked


@pytest.fixture
def photos(tmp_path, monkeypatch, stub) -> list[Path]:
    """Twelve pictures, and a store of them."""
    monkeypatch.chdir(tmp_path)
    paths = pictures(Path("photos"), 12)
    album(Path("store"), paths)
    return paths


def found(capsys, *arguments: str) -> dict:
    assert main(["search", "store", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_image_finds_itself_first(photos, capsys, stub):
    assert main(["search", "store", str(photos[4]), "-n", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["rank", "score", "id", "image"]
    assert out.splitlines()[1].split() == ["1", "1.0000", "4", "photos/004.png"]
    assert len(out.splitlines()) == 4
    assert "12 rows searched exactly" in err
    assert "peak memory" in err
    assert "these numbers mean nothing" in err
    assert [asked.images for asked in stub] == [1]


def test_queries_of_every_kind_are_answered_in_one_go(photos, capsys, stub):
    (Path("photos") / "new.png").write_bytes(photos[2].read_bytes())
    record = found(capsys, "7", "photos/003.png", "photos/new.png", "-n", "4")
    assert record["schema"] == "snellen.search/1"
    kinds = [(one["kind"], one["id"], one["path"]) for one in record["queries"]]
    assert kinds == [("row", 7, "photos/007.png"), ("image", None, "photos/003.png"), ("image", None, "photos/new.png")]
    first = [[hit["id"] for hit in one["hits"]] for one in record["queries"]]
    assert 7 not in first[0]  # a row is not its own neighbour
    assert first[1][0] == 3
    assert first[2][0] == 2
    assert all(len(some) == 4 for some in first)
    assert stub[0].images == 2
    photos[3].unlink()
    record = found(capsys, "photos/003.png")  # no file any more, and so the row of that path
    assert (record["queries"][0]["kind"], record["queries"][0]["id"], record["model"]) == ("row", 3, None)
    assert len(stub) == 1


def test_the_newest_row_of_a_path_is_meant(store, capsys):
    for asked, expected in (("0000011.jpg", 40), ("bad.jpg", None), ("3", None), ("11", None)):
        if expected is None:
            assert main(["search", str(store.folder), asked]) == 2
        else:
            assert main(["search", str(store.folder), asked, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["queries"][0]["id"] == expected
    err = capsys.readouterr().err
    assert err.count("has no vector: it is broken") == 2
    assert "row 11 (0000011.jpg) is superseded" in err


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["nothing"], "'nothing' is no file, and the store has no row of that path"),
        (["12"], "'12' is no file, and the store has no row of that id"),
        (["9" * 30], "no row of that path"),
        (["3", "-m", "x"], "no query has to be embedded"),
        (["photos/000.png", "--weights", "other"], f"weights is {'0' * 64}, and {'1' * 64} there"),
        (["3", "-o", "page.txt"], "ends in .txt"),
    ],
)
def test_what_makes_no_sense_is_refused(photos, capsys, arguments, seen):
    assert main(["search", "store", *arguments]) == 2
    out, err = capsys.readouterr()
    assert seen in err
    assert out == ""


def test_a_folder_that_is_no_store_and_a_file_that_is_no_image_are_refused(photos, capsys):
    assert main(["search", "photos", "3"]) == 2
    Path("photos/a.png").write_bytes(b"<html>")
    assert main(["search", "store", "photos/a.png"]) == 1
    err = capsys.readouterr().err
    assert "is no store" in err
    assert "photos/a.png" in err


# ---- the page


class Page(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


HOSTILE = "<img src=x onerror=alert(1)>\u202e&.png"


def page_of(*arguments: str) -> tuple[str, Page]:
    assert main(["search", "store", *arguments, "-o", "page.html"]) == 0
    text = Path("page.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_shows_pictures_and_asks_for_nothing(photos, capsys):
    text, page = page_of("photos/000.png", "5", "-n", "4")
    images = [given for tag, given in page.elements if tag == "img"]
    assert len(images) == 2 + 2 * 4
    for given in images:
        kind, _, data = given["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (24, 24)
    outside = re.compile(r"//|url\(|@import|<script|<link|<iframe")
    assert not outside.findall(re.sub('base64,[^"]*', "", text))
    assert outside.findall('<a href="//there">')
    assert "default-src 'none'" in html.unescape(text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "drawn at random" in page.text
    assert "page.html" in capsys.readouterr().err


def test_paths_are_text_on_the_page_whatever_they_hold(tmp_path, monkeypatch, stub):
    monkeypatch.chdir(tmp_path)
    paths = pictures(Path("photos"), 3)
    hostile = paths[1].rename(Path("photos") / HOSTILE.replace("/", "_"))
    album(Path("store"), [paths[0], hostile, paths[2]])
    text, page = page_of("0")
    assert [given for tag, given in page.elements if "onerror" in given] == []
    assert "onerror=alert(1)" in page.text.replace("\u200b", "")
    assert "\u202e" not in text


def test_a_picture_that_is_gone_or_another_one_is_not_shown(photos, capsys):
    photos[1].unlink()
    photos[2].write_bytes(photos[3].read_bytes())
    photos[4].write_bytes(b"GIF")
    _, page = page_of("0", "-n", "11")
    assert page.text.count("the file is no longer there") == 1
    assert page.text.count("the file has changed since it was embedded") == 2
    assert sum(tag == "img" for tag, _ in page.elements) == 1 + 11 - 3
    assert "3 of 11 pictures could not be read" in capsys.readouterr().err


# ---- an index


def clustered(count: int, width: int = 16, centres: int = 40) -> np.ndarray:
    generator = np.random.default_rng(0)
    around = generator.standard_normal((centres, width))[generator.integers(0, centres, count)]
    return (around + 0.3 * generator.standard_normal((count, width))).astype(np.float32)


@pytest.fixture
def large(tmp_path, monkeypatch) -> Store:
    """A store of 3000 rows, which counts as many."""
    monkeypatch.setattr(index, "FEW", 1000)
    return grown(tmp_path / "store", rows(clustered(3000)), identity(16), part_rows=512)


def test_an_index_finds_nearly_all_and_says_how_much(large):
    said: list[str] = []
    opened = index.opened(large, said.append)
    assert said == ["building an index; it is kept for the next search"]
    record = opened.record
    assert (record.rows, record.tried, record.k) == (3000, index.TRIED, 10)
    assert "IVF128" in record.kind
    assert index.WANTED <= record.recall <= 1
    queries = clustered(200)[100:] + np.float32(0.01)
    exact, near = Searcher(large).search(queries), opened.search(queries)
    shares = [len(np.intersect1d(a.ids, b.ids)) / 10 for a, b in zip(exact, near, strict=True)]
    assert np.mean(shares) > 0.95
    for one, other in zip(exact, near, strict=True):
        shared = np.intersect1d(one.ids, other.ids)
        assert np.isin(shared, one.ids).all()
        assert one.scores[np.isin(one.ids, shared)].tobytes() == other.scores[np.isin(other.ids, shared)].tobytes()
    assert index.opened(large, said.append).search(queries)[3].ids.tolist() == near[3].ids.tolist()
    assert len(said) == 1  # the second time it was there
    assert 7 not in opened.search(large.vectors([7]), without=[7])[0].ids


def test_the_recall_of_an_index_is_measured_and_can_be_low(large, monkeypatch):
    monkeypatch.setattr(index, "WANTED", 0.0)
    assert index.opened(large).record.recall < 0.999  # with two of 128 cells


def test_a_small_store_is_searched_exactly(tmp_path):
    store = grown(tmp_path / "s", rows(drawn(30, 6)), identity())
    opened = index.opened(store)
    assert opened.record.recall == 1.0
    queries = drawn(4, 6, seed=3)
    for one, other in zip(opened.search(queries, k=40), Searcher(store).search(queries, k=40), strict=True):
        assert one.ids.tolist() == other.ids.tolist()


def test_a_stale_index_is_refused(large, capsys):
    index.opened(large)
    store = grown(large.folder, rows(clustered(5), 9000), identity(16))
    with pytest.raises(UsageError, match="another state of the store, which had 3,000 rows"):
        index.opened(store)
    assert main(["search", str(store.folder), "4", "--index", "faiss"]) == 2
    assert "rm -r" in capsys.readouterr().err
    shutil.rmtree(store.folder / ".snellen" / "faiss")
    assert main(["search", str(store.folder), "4", "--index", "faiss", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["index"]["rows"] == 3005
    assert "of the nearest 10" in err
    (store.folder / ".snellen" / "faiss" / "index.json").write_text("{}")
    with pytest.raises(UsageError, match="does not say what the index is"):
        index.opened(store)


def test_an_index_wants_faiss_and_a_row(tmp_path, monkeypatch):
    store = grown(tmp_path / "s", [row("a", status="broken", error_message="x")], identity(4))
    with pytest.raises(UsageError, match="no row with a vector"):
        index.opened(store)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackage, match=r"pip install 'snellen\[faiss\]'"):
        index.opened(store)


# ---- from photographs to hits, with an encoder


def test_images_are_found_with_a_small_encoder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = pictures(Path("photos"), 6)
    model = str(written(tmp_path / "model"))
    embed = ["embed", "photos", "-m", model, "--recipe", FOLDER_RECIPE, "--runtime", "eager", "-o", "store/"]
    assert main([*embed, "--quiet"]) == 0
    capsys.readouterr()
    record = found(capsys, str(paths[5]), "-n", "2")
    assert record["queries"][0]["hits"][0]["id"] == 5
    assert record["queries"][0]["hits"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert record["model"]["digest"] == record["identity"]["weights"]
    moved = str((tmp_path / "model").rename(tmp_path / "moved"))
    assert main(["search", "store", str(paths[5])]) == 2
    assert "say where it is now" in capsys.readouterr().err
    assert found(capsys, str(paths[5]), "-m", moved)["queries"][0]["hits"][0]["id"] == 5


# ---- the files, for others to read


READ = """
import sys
import pyarrow
from pyarrow import dataset, parquet
files = sorted(sys.argv[1:])
schema = parquet.read_schema(files[0])
assert schema.field("embedding").type == pyarrow.list_(pyarrow.float32()), schema
assert all(schema.field(name).type == pyarrow.string() for name in ("image_path", "status", "sha256", "error_message"))
assert schema.field("id").type == pyarrow.int64()
rows = dataset.dataset(files, format="parquet")
table = rows.to_table(filter=dataset.field("embedding").is_valid())
widths = {len(vector) for vector in table["embedding"]}
assert not [name for name in sys.modules if name.startswith("snellen")]
print(rows.count_rows(), table.num_rows, *widths, *sorted(parquet.read_metadata(files[0]).metadata))
"""


def test_parts_are_plain_parquet_that_needs_no_snellen_to_read(store):
    files = sorted(map(str, store.folder.glob("*.parquet")))
    done = subprocess.run([sys.executable, "-c", READ, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["44", "42", "6"]
    assert "b'snellen'" in done.stdout
    assert {path.suffix for path in store.folder.iterdir() if not path.name.startswith(".")} == {".parquet", ".json"}


def test_the_check_of_the_format_can_fail(tmp_path):
    import pyarrow
    from pyarrow import parquet

    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array([0.0, 1.0], pyarrow.float32()), 2)
    parquet.write_table(pyarrow.table({"id": [0], "embedding": vectors}), tmp_path / "other.parquet")
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / "other.parquet"], capture_output=True, check=False)
    assert done.returncode == 1


DOCUMENT = Path(__file__).parent.parent / "docs" / "using-a-store.md"


def snippet(heading: str) -> str:
    """Return the first Python block below a heading of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    below = text[text.index(f"\n{heading}") :]
    return re.search(r"```python\n(.*?)```", below, re.DOTALL)[1]


def test_what_the_document_says_of_reading_a_store_holds(store, monkeypatch, capsys):
    monkeypatch.chdir(store.folder.parent)
    store.folder.rename("photos.store")
    searched = {"vector": drawn(1, 6)[0]}
    exec(snippet("## Search"), searched)
    expected = Searcher("photos.store").search(drawn(1, 6))[0].ids.tolist()
    assert searched["found"].ids.tolist() == expected
    assert len(capsys.readouterr().out.splitlines()) == 10

    read: dict = {"every": []}
    exec(snippet("### pyarrow") + "    every += batch['id'].to_pylist()\n", read)
    assert sorted(read["every"]) == sorted({*range(44)} - {3, 20, 11})
    assert read["vectors"].shape[1] == 6

    asked: dict = {}
    exec(snippet("### faiss"), asked)
    _, near = asked["index"].search(unit(drawn(1, 6)), 10)
    assert near[0].tolist() == expected
