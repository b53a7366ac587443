"""What is kept between runs is whole or absent: across killed processes, races, full disks, damage and the limit."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import snellen
from snellen import cache
from snellen.cache import drafts, entries
from snellen.cache.entries import MANIFEST
from snellen.errors import Unavailable, UsageError

KIND = "openvino"

# Every step that changes something is an event; the process dies right before the n-th. Its locks die with it.
DIES = """
import os, signal, sys
from pathlib import Path
from snellen import cache

EVENTS = "open os.mkdir os.rename os.remove os.rmdir os.utime os.chmod os.truncate fsync".split()
left = int(sys.argv[1])

def hook(event, arguments):
    global left
    if event in EVENTS and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def fsync(descriptor, real=os.fsync):
    sys.audit("fsync")
    real(descriptor)

def fill(folder):
    (folder / "inner").mkdir()
    (folder / "model.bin").write_bytes(b"n" * 500)
    (folder / "inner" / "model.xml").write_bytes(b"n" * 50)

os.fsync = fsync
sys.addaudithook(hook)
"""

# Stops in the middle of its work, and says so.
STOPS = """
import os, signal, sys
from pathlib import Path
from snellen import cache
from snellen.cache import drafts, entries

def stop(*_):
    print("here", flush=True)
    sys.stdin.read()

def fill(folder):
    if sys.argv[1] == "start": stop()
    with (folder / "model.bin").open("wb") as file:
        file.write(b"n" * 100)
        file.flush()
        if sys.argv[1] == "file": stop()
        file.write(b"n" * 400)
    if sys.argv[1] == "filled": stop()

if sys.argv[1] == "sealed": entries.publish = stop
if sys.argv[1] == "renaming": Path.rename = stop
if sys.argv[1] == "published": drafts.sync_folder = lambda f, old=drafts.sync_folder: (f.name == "openvino" and stop())
cache.make("openvino", "new", fill)
"""


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SNELLEN_CACHE_LIMIT", raising=False)
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def start(program: str, *arguments: object, **settings: str) -> subprocess.Popen[str]:
    """Start a program of its own, with the cache of this one unless it is told another."""
    environment = os.environ | {"PYTHONPATH": str(Path(snellen.__file__).parents[1])} | settings
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def output(program: str, *arguments: object, **settings: str) -> str:
    process = start(program, *arguments, **settings)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


@contextlib.contextmanager
def stopped(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Give a program that has said "here" and waits; it is killed at the end unless it was before."""
    process = start(program, *arguments)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "here\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def filled(size: int = 100) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.bin").write_bytes(b"x" * size)


def add(key: str, size: int = 100, used: int | None = None) -> None:
    """Make an entry of ``size`` bytes beside its manifest, last used at second ``used``."""
    cache.make(KIND, key, filled(size)).close()
    if used is not None:
        os.utime(cache.root() / "entries" / KIND / key / MANIFEST, (used, used))


def keys() -> set[str]:
    """Return the keys of the entries that are there, without using any."""
    return {path.name for path in (cache.root() / "entries" / KIND).iterdir()}


def unfinished() -> list[str]:
    return [path.name for path in (cache.root() / "drafts").iterdir()]


def whole(key: str) -> bool:
    """Return whether an entry is there; if so its files have to be as DIES and STOPS write them."""
    held = cache.find(KIND, key)
    if held is None:
        return False
    with held:
        assert (held.path / "model.bin").read_bytes() == b"n" * 500
    return True


# Where it lies, how large it may be, what things are called


def test_the_place_is_the_first_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.setenv("SNELLEN_CACHE", "~/kept")
    assert cache.root() == Path("/home/anna/kept")
    monkeypatch.setenv("SNELLEN_CACHE", "near")
    assert cache.root() == Path.cwd() / "near"
    monkeypatch.setenv("SNELLEN_CACHE", "")
    assert cache.root() == Path("/shared/snellen")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == Path("/home/anna/.cache/snellen")


def test_a_place_in_nobodys_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNELLEN_CACHE", "~no-such-user-here/kept")
    with pytest.raises(Unavailable, match="SNELLEN_CACHE"):
        cache.find(KIND, "a")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 20 * 2**30),
        ("  ", 20 * 2**30),
        ("20GiB", 20 * 2**30),
        ("500 MB", 500_000_000),
        ("0", 0),
        ("1234", 1234),
        ("7 B", 7),
        ("1.5tib", 3 * 2**39),
        ("64 KiB", 2**16),
        ("64 kB", 64_000),
    ],
)
def test_limits_are_read(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", text)
    assert cache.limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "20G", "GiB", "1e9", "inf", "nan", "1,5 GB", "5 GB 3", "٣ GB", "0x10"])
def test_limits_that_are_no_size_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", text)
    with pytest.raises(UsageError, match=r"SNELLEN_CACHE_LIMIT is .*no size"):
        cache.make(KIND, "a", lambda folder: pytest.fail("the work was begun"))


def test_without_a_setting_the_limit_is_20_gib() -> None:
    assert cache.limit() == 20 * 2**30


NAMES = ["", ".", "..", "../x", "a/b", "/a", "A", ".a", "a.", "a b", "a\n", "a\0", "ä", "a\\b", "c:", "-a", "a" * 129]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_not_safe_are_refused(base: Path, name: str) -> None:
    for kind, key in ((KIND, name), (name, "a")):
        for use in (
            cache.find,
            lambda k, n: cache.make(k, n, filled()),
            cache.recall,
            lambda k, n: cache.remember(k, n, {}),
        ):
            with pytest.raises(UsageError, match="cannot be a name in the cache"):
                use(kind, key)
    assert not base.exists()


@pytest.mark.parametrize("name", ["a", "0" * 64, "f" * 128, "cpu_2.bf16-b8"])
def test_digests_and_short_names_are_taken(name: str) -> None:
    add(name)
    cache.remember(KIND, name, {"a": 1})
    held = cache.find(KIND, name)
    assert held is not None
    held.close()
    assert cache.recall(KIND, name) == {"a": 1}


# Entries


def test_an_entry_is_found_as_it_was_made() -> None:
    def fill(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "model.bin").write_bytes(b"weights")
        (folder / "inner").mkdir()
        (folder / "inner" / "model.xml").write_text("graph")
        (folder / "inner" / "model.xml").chmod(0o444)

    assert cache.find(KIND, "a") is None
    with cache.make(KIND, "a", fill) as made:
        assert made.path == cache.root() / "entries" / KIND / "a"
    found = cache.find(KIND, "a")
    assert found is not None
    with found:
        assert (found.path / "model.bin").read_bytes() == b"weights"
        assert (found.path / "inner" / "model.xml").read_text() == "graph"
    found.close()  # once more is nothing
    assert unfinished() == []
    assert cache.find("plans", "a") is None


def test_what_is_there_is_not_made_again() -> None:
    add("a", 10)
    with cache.make(KIND, "a", lambda folder: pytest.fail("it was made again")) as held:
        assert (held.path / "model.bin").stat().st_size == 10


def test_finding_opens_the_manifest_only_and_imports_nothing_heavy() -> None:
    cache.make(KIND, "large", lambda folder: os.truncate(_touched(folder / "model.bin"), 3 * 2**30)).close()
    program = """
import sys
from snellen import cache
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
held = cache.find("openvino", "large")
print(*opened)
print([name for name in ("torch", "numpy", "openvino", "click") if name in sys.modules])
"""
    opened, heavy = output(program).splitlines()
    seen = [path for path in opened.split() if not path.isdigit()]  # by its number, it is the same file again
    assert seen == [str(cache.root() / "entries" / KIND / "large" / MANIFEST)]
    assert heavy == "[]"


def _touched(path: Path) -> Path:
    path.touch()
    return path


def test_all_is_on_the_disk_before_it_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    sync, rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        done.append(os.fstat(descriptor).st_ino)

    def appear(path: Path, target: Path) -> Path:
        assert sorted(done) == sorted(item.stat().st_ino for item in (path, *path.rglob("*")))
        done.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", appear)
    with cache.make(KIND, "a", lambda folder: (filled()(folder), shutil.copytree(folder, folder / "inner"))) as held:
        assert done == [held.path.parent.stat().st_ino]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), FileNotFoundError(2, "gone", "weights")])
def test_what_cannot_be_made_leaves_nothing(error: BaseException) -> None:
    def fill(folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)) as caught:
        cache.make(KIND, "a", fill)
    assert caught.value is error  # what is said about the weights is not said about the cache
    assert cache.find(KIND, "a") is None
    assert unfinished() == []
    add("a")


@pytest.mark.parametrize(
    "fill",
    [
        lambda folder: None,
        lambda folder: (folder / "inner").mkdir(),
        lambda folder: (folder / MANIFEST).write_text("{}"),
        lambda folder: (folder / "model.bin").symlink_to("/etc/hostname"),
        lambda folder: (folder / "inner").symlink_to("/etc"),
    ],
    ids=["nothing", "a folder", "a manifest", "a link", "a linked folder"],
)
def test_what_makes_no_entry_is_refused(fill: Callable[[Path], object]) -> None:
    with pytest.raises(ValueError, match="an entry"):
        cache.make(KIND, "a", fill)
    assert cache.find(KIND, "a") is None
    assert unfinished() == []


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda entry: os.truncate(entry / "model.bin", 99),
    "emptied": lambda entry: os.truncate(entry / "model.bin", 0),
    "grown": lambda entry: os.truncate(entry / "model.bin", 101),
    "missing": lambda entry: (entry / "model.bin").unlink(),
    "a folder instead": lambda entry: ((entry / "model.bin").unlink(), (entry / "model.bin").mkdir()),
    "a dead link instead": lambda entry: ((entry / "model.bin").unlink(), (entry / "model.bin").symlink_to("none")),
    "manifest truncated": lambda entry: os.truncate(entry / MANIFEST, 20),
    "manifest emptied": lambda entry: os.truncate(entry / MANIFEST, 0),
    "manifest zeroed": lambda entry: (entry / MANIFEST).write_bytes(b"\0" * 80),
    "manifest missing": lambda entry: (entry / MANIFEST).unlink(),
    "manifest of nothing": lambda entry: (entry / MANIFEST).write_text('{"schema": "snellen.cache/1", "files": {}}'),
    "manifest no object": lambda entry: (entry / MANIFEST).write_text("[]"),
    "manifest of no files": lambda entry: (entry / MANIFEST).write_text('{"schema": "snellen.cache/1", "files": 3}'),
    "manifest of an impossible name": lambda entry: (entry / MANIFEST).write_text(
        json.dumps({"schema": "snellen.cache/1", "files": {"\0": 1, "a" * 5000: 1}})
    ),
    "another schema": lambda entry: (entry / MANIFEST).write_text(
        (entry / MANIFEST).read_text().replace("cache/1", "cache/2")
    ),
    "a file instead": lambda entry: (shutil.rmtree(entry), entry.write_text("no folder")),
    "an empty folder instead": lambda entry: (shutil.rmtree(entry), entry.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_entries_are_discarded_and_count_as_absent(damage: Callable[[Path], object]) -> None:
    add("a")
    add("b")
    entry = cache.root() / "entries" / KIND / "a"
    damage(entry)
    assert cache.find(KIND, "a") is None
    assert keys() == {"b"}
    assert unfinished() == []
    add("a")
    damage(entry)
    cache.make(KIND, "a", filled(7)).close()  # also without a look before
    held = cache.find(KIND, "a")
    assert held is not None
    with held:
        assert (held.path / "model.bin").stat().st_size == 7


def test_damage_that_appears_while_another_is_made_is_replaced() -> None:
    def fill(folder: Path) -> None:
        filled(100)(folder)
        add("a", 50)  # somebody else is first
        os.truncate(cache.root() / "entries" / KIND / "a" / "model.bin", 49)

    with cache.make(KIND, "a", fill) as held:
        assert (held.path / "model.bin").stat().st_size == 100
    assert unfinished() == []


def test_sound_entries_are_not_taken_for_damaged() -> None:
    """The control: another time or more files do not make an entry worse."""
    add("a")
    entry = cache.root() / "entries" / KIND / "a"
    os.utime(entry / "model.bin", (1, 1))
    (entry / "later.txt").write_text("more")
    held = cache.find(KIND, "a")
    assert held is not None
    held.close()


# The limit


def test_the_longest_unused_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for used, key in enumerate("dbca", start=1000):
        add(key, 10_000, used)
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "32 kB")
    add("e", 10_000)
    assert keys() == {"c", "a", "e"}
    assert unfinished() == []


def test_finding_is_using(monkeypatch: pytest.MonkeyPatch) -> None:
    for used, key in enumerate("abc", start=1000):
        add(key, 10_000, used)
    for find in (cache.find, lambda kind, key: cache.make(kind, key, filled())):
        held = find(KIND, "a")
        assert held is not None
        held.close()
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "32 kB")
    add("d", 10_000)
    assert keys() == {"c", "a", "d"}


def test_within_the_limit_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "32 kB")
    for used, key in enumerate("abc", start=1000):
        add(key, 10_000, used)
    assert keys() == {"a", "b", "c"}


def test_the_limit_is_one_for_all_kinds_and_leaves_documents_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.make("onnx", "a", filled(10_000)).close()
    cache.remember("plans", "a", {"text": "x" * 50_000})
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "15 kB")
    add("b", 10_000)
    assert cache.find("onnx", "a") is None
    assert cache.recall("plans", "a") is not None


@pytest.mark.parametrize("limit", ["0", "1 kB"])
def test_the_newest_stays_even_if_it_alone_is_too_large(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", limit)
    for key in ("a", "b"):
        add(key, 10_000)
        assert keys() == {key}


def test_what_was_damaged_beyond_recognition_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    add("a", 10_000)
    (cache.root() / "entries" / KIND / "a" / MANIFEST).unlink()
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "15 kB")
    add("b", 10_000)
    assert keys() == {"b"}


def test_what_this_process_holds_stays_until_it_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "0")
    held = cache.make(KIND, "a", filled())
    again = cache.find(KIND, "a")
    assert again is not None
    held.close()
    add("b")
    assert keys() == {"a", "b"}
    del again  # letting go by forgetting
    gc.collect()
    add("c")
    assert keys() == {"c"}


HOLDS = """
import sys
from snellen import cache
held = cache.find("openvino", "a")
print("here", flush=True)
sys.stdin.read()
"""


def test_what_another_process_holds_stays_until_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    add("a", 10_000, used=1000)
    add("idle", 10_000, used=2000)
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "0")
    with stopped(HOLDS) as process:
        add("b")
        assert keys() == {"a", "b"}
        process.kill()
        process.wait()
        add("c")
        assert keys() == {"c"}


def test_the_end_of_a_forked_process_lets_nothing_go(monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import os
from snellen import cache
held = cache.make("openvino", "a", lambda folder: (folder / "x").write_text("x"))
child = os.fork()
if child == 0:
    held.close()
    os._exit(0)
os.waitpid(child, 0)
cache.make("openvino", "b", lambda folder: (folder / "x").write_text("x"))
print(held.path.exists())
"""
    assert output(program, SNELLEN_CACHE_LIMIT="0") == "True"


# Processes that are killed, and processes that meet


def test_a_process_killed_before_any_of_its_steps_leaves_nothing_half(tmp_path: Path, base: Path) -> None:
    """In each run an old entry has to go and a damaged one to be replaced; the n-th dies before its n-th step."""
    add("old", 500)
    (base / "entries" / KIND / "old" / "model.bin").write_bytes(b"n" * 500)
    add("new", 500, used=2000)
    os.truncate(base / "entries" / KIND / "new" / "model.bin", 9)
    template = tmp_path / "template"
    base.rename(template)
    program, steps, left = f"{DIES}\ncache.make('openvino', 'new', fill)", 0, 0
    while True:
        shutil.copytree(template, base)
        process = start(program, steps, SNELLEN_CACHE_LIMIT="0")
        _, err = process.communicate(timeout=60)
        left += bool(unfinished())
        whole("old")
        new = whole("new")
        if process.returncode == 0:
            assert new
            break
        assert process.returncode == -signal.SIGKILL, err
        add("next")
        assert unfinished() == []
        assert keys() <= {"old", "new", "next"}
        shutil.rmtree(base)
        steps += 1
    assert steps > 25
    assert left > 10  # it did die with work under way


def test_a_document_is_the_old_or_the_new_one_whenever_its_writer_dies() -> None:
    program, steps, seen = f"{DIES}\ncache.remember('plans', 'a', {{'n': 1}})", 0, []
    while True:
        cache.remember("plans", "a", {"n": 0})
        process = start(program, steps)
        _, err = process.communicate(timeout=60)
        document = cache.recall("plans", "a")
        assert document in ({"n": 0}, {"n": 1})
        seen.append(document["n"])
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        steps += 1
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}
    cache.remember("plans", "a", {"n": 0})
    assert unfinished() == []


@pytest.mark.parametrize("where", ["start", "file", "filled", "sealed", "renaming", "published"])
def test_what_a_killed_process_began_is_swept_and_what_a_living_one_began_is_not(where: str) -> None:
    with stopped(STOPS, where) as process:
        begun = unfinished()
        assert begun
        if where not in ("renaming", "published"):  # where it keeps the gate, for what is a moment otherwise
            assert cache.find(KIND, "new") is None
            os.utime(cache.root() / "drafts" / begun[0], (1, 1))  # age alone proves nothing
            add("other")
            assert unfinished() == begun
        process.kill()
        process.wait()
        assert whole("new") == (where == "published")
        add("another")
        assert unfinished() == []


MEETS = """
import sys
from snellen import cache

def fill(folder):
    for name in ("a", "b"):
        (folder / name).write_text(sys.argv[1] * 1000)
    print("here", flush=True)
    sys.stdin.readline()

with cache.make("openvino", "same", fill) as held:
    print({(held.path / name).read_text() for name in ("a", "b")}, flush=True)
"""


def test_two_processes_that_make_the_same_both_have_it_whole() -> None:
    with stopped(MEETS, "x") as first, stopped(MEETS, "y") as second:  # both have filled their folder
        for process in (second, first):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("on\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == str({"y" * 1000})
    assert keys() == {"same"}
    assert unfinished() == []


MINGLES = """
import os, random, sys
from snellen import cache

draw = random.Random(int(sys.argv[1]))
made = 0

def fill(folder):
    global made
    made += 1
    size = draw.randrange(1, 5000)
    for name in ("a", "b"):
        (folder / name).write_bytes(os.urandom(1) * size)

for n in range(40):
    key = draw.choice(("one", "two", "three"))
    held = cache.find("openvino", key) or cache.make("openvino", key, fill)
    sizes = [(held.path / name).stat().st_size for name in ("a", "b")]
    bytes_ = [(held.path / name).read_bytes() for name in ("a", "b")]
    assert sizes[0] == sizes[1] and all(set(b) == {b[0]} and len(b) == sizes[0] for b in bytes_), sizes
    if draw.random() < 0.2:  # a disk that errs
        os.truncate(held.path / "a", 0)
    held.close()
    cache.remember("requests", key, {"n": [n] * 500})
    document = cache.recall("requests", key)
    assert document is not None and len(set(document["n"])) == 1
print(made)
"""


def test_processes_that_make_and_evict_at_the_same_time_only_ever_see_whole_entries() -> None:
    # Damage is for one process alone: what one truncates another may be reading, and no lock forbids that.
    program = MINGLES.replace("draw.random() < 0.2", "False")
    running = [start(program, seed, SNELLEN_CACHE_LIMIT="6 kB") for seed in range(3)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert int(out) > 1  # evicted and made again
    output(MINGLES, 7, SNELLEN_CACHE_LIMIT="1 MB")  # damage, alone
    assert unfinished() == []


def test_an_entry_replaced_in_the_moment_before_it_is_locked_is_locked_all_the_same(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("a")
    lock, entry = drafts.lock, base / "entries" / KIND / "a"

    def late(descriptor: int, *, shared: bool) -> None:
        monkeypatch.setattr(drafts, "lock", lock)
        drafts.remove(drafts.set_aside(base, entry))  # as if evicted and made again
        add("a")
        lock(descriptor, shared=shared)

    monkeypatch.setattr(drafts, "lock", late)
    held = cache.find(KIND, "a")
    assert held is not None
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "0")
    add("b")
    assert keys() == {"a", "b"}
    held.close()


def test_a_draft_swept_in_the_moment_before_it_is_locked_is_begun_again(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = drafts.lock

    def late(descriptor: int, *, shared: bool) -> None:
        monkeypatch.setattr(drafts, "lock", lock)
        drafts.sweep(base)
        lock(descriptor, shared=shared)

    monkeypatch.setattr(drafts, "lock", late)
    cache.make(KIND, "a", lambda folder: (filled()(folder), drafts.sweep(base))).close()
    assert keys() == {"a"}
    assert unfinished() == []


# Disks that do not do as they are told


def test_a_place_that_cannot_be_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SNELLEN_CACHE", str(tmp_path / "file" / "kept"))
    for use in (
        lambda: cache.find(KIND, "a"),
        lambda: cache.make(KIND, "a", lambda folder: pytest.fail("the work was begun")),
        lambda: cache.remember(KIND, "a", {}),
        lambda: cache.recall(KIND, "a"),
    ):
        with pytest.raises(Unavailable, match=r"(?s)file/kept' cannot be used: Not a dir.*expected.*SNELLEN_CACHE"):
            use()


FOREIGN = """
import os, sys
from snellen import cache
from snellen.errors import Unavailable
if os.geteuid() == 0:
    os.setuid(65534)  # somebody without rights
print("damaged", cache.find("openvino", "damaged"))
with cache.find("openvino", "a") as held:
    print("found", (held.path / "model.bin").stat().st_size)
print(cache.recall("plans", "a"))
for use, what in ((cache.make, lambda folder: print("begun")), (cache.remember, {})):
    try:
        use("plans", "a", what)
    except Unavailable as error:
        print(error.seen.rpartition(": ")[2], "SNELLEN_CACHE" in error.todo)
"""


def test_a_cache_that_may_only_be_read_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as shared:
        os.chmod(shared, 0o755)
        base = Path(shared) / "kept"
        monkeypatch.setenv("SNELLEN_CACHE", str(base))
        add("a")
        add("damaged")
        cache.remember("plans", "a", {"n": 1})
        os.truncate(base / "entries" / KIND / "damaged" / "model.bin", 0)
        folders = [base, *(path for path in base.rglob("*") if path.is_dir())]
        try:
            for folder in folders:
                folder.chmod(0o555)
            lines = output(FOREIGN).splitlines()
        finally:
            for folder in folders:
                folder.chmod(0o755)
    assert lines == ["damaged None", "found 100", "{'n': 1}", *["Permission denied True"] * 2]


def test_a_disk_that_is_full_is_said(base: Path) -> None:
    program = """
import resource
from snellen import cache
from snellen.errors import Unavailable
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for size in (10_000, 50_000):
    try:
        cache.make("openvino", f"of{size}", lambda folder: (folder / "model.bin").write_bytes(b"x" * size)).close()
    except Unavailable as error:
        print(error)
"""
    said = output(program)
    assert said.splitlines()[0] == f"the cache in '{base}' cannot be used: File too large"
    assert "SNELLEN_CACHE" in said
    assert keys() == {"of10000"}
    assert unfinished() == []


@pytest.mark.parametrize("where", ["fill", "sync", "rename"])
def test_a_disk_that_fills_up_at_any_point_leaves_nothing_half(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    add("before")
    with monkeypatch.context() as patch:
        if where == "sync":
            patch.setattr(os, "fsync", full)
        if where == "rename":
            patch.setattr(Path, "rename", full)
        with pytest.raises(Unavailable, match="cannot be used: No space left"):
            cache.make(KIND, "a", full if where == "fill" else filled())
        if where == "sync":
            with pytest.raises(Unavailable, match="No space left"):
                cache.remember("plans", "a", {"n": 1})
            assert cache.recall("plans", "a") is None
    assert keys() == {"before"}
    assert unfinished() == []


def test_a_file_system_without_locks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(drafts, "flock", flock)
    with pytest.raises(Unavailable, match=r"(?s)No locks available.*a file system that locks files"):
        cache.make(KIND, "a", lambda folder: pytest.fail("the work was begun"))


def test_a_folder_removed_under_the_work_is_said(base: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        cache.make(KIND, "a", lambda folder: (filled()(folder), shutil.rmtree(base)))
    add("a")


def test_it_works_without_fcntl_as_far_as_it_can() -> None:
    program = """
import sys
sys.modules["fcntl"] = None
from snellen import cache
from snellen.cache import drafts
assert not drafts.LOCKING
for key in ("a", "b"):
    cache.make("openvino", key, lambda folder: (folder / "x").write_text(key)).close()
cache.remember("plans", "a", {"n": 1})
print(cache.find("openvino", "a"), (cache.find("openvino", "b").path / "x").read_text(), cache.recall("plans", "a"))
"""
    assert output(program, SNELLEN_CACHE_LIMIT="0") == "None b {'n': 1}"
    assert unfinished() == []


# Documents


def test_documents_are_recalled_and_replaced() -> None:
    assert cache.recall("plans", "a") is None
    cache.remember("plans", "a", {"text": "尺", "list": [1, 2.5, None], "inner": {"a": True}})
    assert cache.recall("plans", "a") == {"text": "尺", "list": [1, 2.5, None], "inner": {"a": True}}
    cache.remember("plans", "a", {"n": 2})
    assert cache.recall("plans", "a") == {"n": 2}
    assert cache.recall("requests", "a") is None
    assert unfinished() == []


@pytest.mark.parametrize("content", [b"", b'{"n": 1', b"[1]", b"\xff\xfe", b"\0" * 40, b"[" * 100_000])
def test_broken_documents_count_as_absent_and_can_be_replaced(base: Path, content: bytes) -> None:
    cache.remember("plans", "a", {"n": 1})
    (base / "documents" / "plans" / "a.json").write_bytes(content)
    assert cache.recall("plans", "a") is None
    cache.remember("plans", "a", {"n": 2})
    assert cache.recall("plans", "a") == {"n": 2}


def test_what_is_no_document_replaces_nothing() -> None:
    cache.remember("plans", "a", {"n": 1})
    with pytest.raises(TypeError):
        cache.remember("plans", "a", {"n": object()})
    assert cache.recall("plans", "a") == {"n": 1}


# The checks can fail


def test_without_locks_these_checks_would_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "LOCKING", False)
    with stopped(STOPS, "file"):
        assert len(unfinished()) == 2
        add("a")
        assert unfinished() == []  # a living draft was swept
    monkeypatch.setenv("SNELLEN_CACHE_LIMIT", "0")
    with stopped(HOLDS):
        add("b")
        assert keys() == {"b"}  # what was held was evicted


def test_an_entry_that_is_not_checked_passes_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    add("a")
    os.truncate(cache.root() / "entries" / KIND / "a" / "model.bin", 9)
    monkeypatch.setattr(entries, "_size", lambda path: 100)
    held = cache.find(KIND, "a")
    assert held is not None
    held.close()
