"""Where weights come from: what is on this machine wins, nothing is guessed, and the reason is told."""

from __future__ import annotations

import fnmatch
import hashlib
import inspect
import json
import os
import subprocess
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from safetensors.torch import save, save_file

from snellen.checkpoints import hub, modelscope
from snellen.checkpoints.files import find_in_folder, open_tensors
from snellen.checkpoints.snapshots import Snapshot, is_complete
from snellen.checkpoints.sources import locate
from snellen.errors import BadFile, MissingPackage, UsageError, WeightsUnavailable

NAME = "meadow/dino.v2-small"
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory and a home of its own, and no settings."""
    for name in ("SNELLEN_MODELS", "MODELSCOPE_CACHE", "MODELSCOPE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(hub, "fetch_repo", asked := Asked())
    return asked


class Asked:
    """The hub: notes what it is asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, repo, revision=None):
        self.calls.append((repo, revision))
        return Snapshot(Path("hub folder"), "c" * 40, False, "fetched")


def model(folder):
    folder.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def test_an_existing_path_wins(tmp_path, place):
    (tmp_path / "work" / "x.pth").touch()
    folder = model(tmp_path / "work" / "meadow" / "dino.v2-small")
    model(tmp_path / "home" / "here")
    for spec, origin in (("x.pth", "file"), (str(folder), "folder"), (NAME, "folder"), ("~/here", "folder")):
        found = locate(spec)
        assert found.origin == origin
        assert found.path.exists()
        assert (found.repo, found.revision, found.wrapper) == (None, None, None)
        assert str(found.path) in found.reason
    assert not place.calls
    assert locate("meadow/other").origin == "hub"  # the control
    assert place.calls == [("meadow/other", None)]


def test_wrapper_after_a_hash(tmp_path):
    (tmp_path / "work" / "x.pth").touch()
    (tmp_path / "work" / "a#b.pth").touch()
    assert locate("x.pth#teacher").wrapper == "teacher"
    assert locate("x.pth#teacher").path.name == "x.pth"
    assert locate("a#b.pth").wrapper is None
    assert locate("a#b.pth#model").wrapper == "model"


PATHS = [
    "./x",
    "../x.pth",
    "/nowhere/x",
    "~/x",
    "~nobody-here/x",
    "x.safetensors",
    "org/x.pth",
    "a/b/c",
    "org/name/",
    "C:\\x",
    "x.pth#a",
    "x y/z",
]


@pytest.mark.parametrize("spec", PATHS)
def test_what_looks_like_a_path_is_never_a_repository(place, spec):
    with pytest.raises(WeightsUnavailable, match="there is no file or folder"):
        locate(spec)
    assert not place.calls


def test_a_misspelt_path_is_told_the_nearest(tmp_path):
    (tmp_path / "work" / "dinov2_small.pth").touch()
    with pytest.raises(WeightsUnavailable, match=r"did you mean dinov2_small\.pth\?"):
        locate("dinov2_smal.pth")
    with pytest.raises(WeightsUnavailable, match="there is no folder 'gone' either"):
        locate("gone/x.pth")
    with pytest.raises(WeightsUnavailable, match="cannot be looked into"):
        locate("dinov2_small.pth/x.pth")


@pytest.mark.parametrize("spec", ["", " ", "seed:0"])
def test_what_names_nothing(spec):
    with pytest.raises(UsageError, match="names no file"):
        locate(spec)


def test_a_bare_name_is_not_asked_of_the_hub(place):
    with pytest.raises(WeightsUnavailable, match="there is no file or folder 'dino'"):
        locate("dino")
    assert not place.calls


def test_revisions(tmp_path, place):
    locate(f"{NAME}@v2")
    locate(NAME, revision="v3")
    locate(f"{NAME}@v4", revision="v4")
    assert [revision for _, revision in place.calls] == ["v2", "v3", "v4"]
    with pytest.raises(UsageError, match="two revisions"):
        locate(f"{NAME}@v2", revision="v3")
    model(tmp_path / "work" / "here")
    with pytest.raises(UsageError, match="a revision"):
        locate("here", revision="v2")


# the search path


def shelves(tmp_path, monkeypatch, *names):
    roots = [tmp_path / name for name in names]
    for root in roots:
        root.mkdir()
    monkeypatch.setenv("SNELLEN_MODELS", os.pathsep.join(map(str, roots)))
    return roots


def cached(root, commits, branch=None):
    home = root / "models--meadow--dino.v2-small"
    for commit in commits:
        model(home / "snapshots" / commit)
    if branch:
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text(branch)
    return home / "snapshots"


@pytest.mark.parametrize("written", ["meadow/dino.v2-small", "dino.v2-small"])
def test_a_clone_is_found_by_name(tmp_path, monkeypatch, place, written):
    (root,) = shelves(tmp_path, monkeypatch, "a")
    folder = model(root / written)
    found = locate(NAME)
    assert (found.path, found.origin, found.repo) == (folder, "search path", NAME)
    assert not place.calls


def test_the_first_of_several_is_taken_and_the_others_are_told(tmp_path, monkeypatch):
    first, second = shelves(tmp_path, monkeypatch, "a", "b")
    used, other = model(first / "dino.v2-small"), model(second / "meadow" / "dino.v2-small")
    found = locate(NAME)
    assert found.path == used
    assert "not used" in found.reason
    assert str(other) in found.reason
    monkeypatch.setenv("SNELLEN_MODELS", f"{second}{os.pathsep}{first}")
    assert locate(NAME).path == other


def test_a_hub_cache_on_the_search_path(tmp_path, monkeypatch, place):
    (root,) = shelves(tmp_path, monkeypatch, "a")
    snapshots = cached(root, ["a" * 40, "b" * 40], branch="b" * 40)
    found = locate(NAME)
    assert (found.path, found.revision) == (snapshots / ("b" * 40), "b" * 40)
    assert locate(NAME, revision="a" * 40).path == snapshots / ("a" * 40)
    (snapshots / ("b" * 40) / "model.safetensors").unlink()
    assert locate(NAME).origin == "hub"  # incomplete


def test_a_hub_cache_without_a_branch(tmp_path, monkeypatch, place):
    (root,) = shelves(tmp_path, monkeypatch, "a")
    cached(root, ["a" * 40])
    assert locate(NAME).revision == "a" * 40
    model(root / "models--meadow--dino.v2-small" / "snapshots" / ("b" * 40))
    assert locate(NAME).origin == "hub"  # which of two is not known


def test_a_revision_is_not_taken_from_a_folder_that_does_not_tell_its_own(tmp_path, monkeypatch, place):
    (root,) = shelves(tmp_path, monkeypatch, "a")
    model(root / "dino.v2-small")
    assert locate(NAME, revision="v2").origin == "hub"
    assert locate(NAME).origin == "search path"


def test_a_pointer_in_a_clone_is_told_when_it_is_opened(tmp_path, monkeypatch):
    (root,) = shelves(tmp_path, monkeypatch, "a")
    folder = model(root / "dino.v2-small")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(BadFile, match="git-lfs"):
        open_tensors(locate(NAME).path)


def test_a_search_path_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SNELLEN_MODELS", str(tmp_path / "unmounted"))
    with pytest.raises(UsageError, match=r"SNELLEN_MODELS names .*unmounted"):
        locate(NAME)


# ModelScope

LAYOUTS = {
    "snapshots": "models/meadow--dino.v2-small/snapshots/master",
    "models": "models/meadow/dino___v2-small",
    "hub models": "hub/models/meadow/dino___v2-small",
    "flat": "meadow/dino___v2-small",
    "hub": "hub/meadow/dino.v2-small",
}


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Stand in for the library: a download that writes what it was asked for."""
    module = types.ModuleType("modelscope")
    module.calls, module.has, module.error = [], {"model.safetensors"}, None

    def snapshot_download(model_id, revision=None, cache_dir=None, allow_patterns=None):
        module.calls.append((model_id, revision, cache_dir, allow_patterns))
        if module.error:
            raise module.error
        folder = tmp_path / "downloaded"
        folder.mkdir(exist_ok=True)
        for name in module.has:
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (folder / name).write_text("{}")
        return str(folder)

    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "modelscope", module)
    return module


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("set_by", ["variable", "default"])
def test_the_cache_is_read_without_the_library(tmp_path, monkeypatch, library, layout, set_by):
    root = tmp_path / "home" / ".cache" / "modelscope"
    if set_by == "variable":
        root = tmp_path / "elsewhere"
        monkeypatch.setenv("MODELSCOPE_CACHE", str(root))
    folder = model(root / LAYOUTS[layout])
    found = locate(f"modelscope:{NAME}")
    assert (found.path, found.origin, found.repo) == (folder, "modelscope cache", NAME)
    assert "not compared" in found.reason
    assert not library.calls
    (folder / "model.safetensors").unlink()  # the control: what is incomplete is not used
    assert locate(f"modelscope:{NAME}").origin == "modelscope"


def test_revisions_in_the_cache(tmp_path, library):
    root = tmp_path / "home" / ".cache" / "modelscope"
    model(root / "models/meadow--dino.v2-small/snapshots/master")
    tagged = model(root / "models/meadow--dino.v2-small/snapshots/v1")
    assert locate(f"modelscope:{NAME}").revision == "master"
    assert locate(f"modelscope:{NAME}@v1").path == tagged
    assert locate(f"modelscope:{NAME}@v2").origin == "modelscope"
    assert library.calls[0][:2] == (NAME, "v2")
    old = model(root / "hub/models/meadow/old")
    assert locate("modelscope:meadow/old").path == old
    assert locate("modelscope:meadow/old@v3").origin == "modelscope"
    (old / ".mv").write_text("Revision:v3,CreatedAt:1700000000")
    assert locate("modelscope:meadow/old@v3").path == old


def test_download_asks_for_one_form_of_the_weights(library, monkeypatch, tmp_path):
    library.has = {"model.safetensors", "pytorch_model.bin", "config.json", "flax_model.msgpack"}
    found = locate(f"modelscope:{NAME}")
    assert sorted(path.name for path in found.path.iterdir()) == ["config.json", "model.safetensors"]
    assert library.calls[0][2] is None
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    locate(f"modelscope:{NAME}")
    assert library.calls[1][2] == str(tmp_path / "cache")


def test_download_falls_back_to_the_other_form(library):
    library.has = {"pytorch_model.bin", "config.json"}
    assert find_in_folder(locate(f"modelscope:{NAME}").path).weights.name == "pytorch_model.bin"
    assert len(library.calls) == 2


def test_download_without_weights(library):
    library.has = {"config.json"}
    with pytest.raises(WeightsUnavailable, match="has no weights"):
        locate(f"modelscope:{NAME}")


class Refused(Exception):
    """What the library raises, in any version: something with a status."""

    def __init__(self, status):
        super().__init__(f"HTTP {status}")
        self.status_code = status


@pytest.mark.parametrize(
    ("error", "words"),
    [(Refused(404), f"has no {NAME}"), (Refused(403), "refuses access"), (ConnectionError("no route"), "no route")],
)
def test_download_that_fails(library, error, words):
    library.error = error
    with pytest.raises(WeightsUnavailable, match=words) as raised:
        locate(f"modelscope:{NAME}")
    assert "seed:" in raised.value.todo


def test_download_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingPackage, match=r"snellen\[modelscope\]"):
        locate(f"modelscope:{NAME}")


def test_the_library_takes_what_it_is_given():
    from modelscope import snapshot_download

    signature = inspect.signature(snapshot_download)
    signature.bind(NAME, revision=None, allow_patterns=["*"], cache_dir="x")
    with pytest.raises(TypeError):  # the control: it does not take just anything
        signature.bind(NAME, patterns=["*"])


class Site(BaseHTTPRequestHandler):
    """As much of ModelScope as a download needs: the list of files, and the files."""

    files: dict[str, bytes]
    fetched: list[str]

    def log_message(self, *args):
        return

    def do_GET(self):
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path == f"/api/v1/models/{NAME}/repo/files":
            rows = [
                {
                    "Path": name,
                    "Name": name,
                    "Type": "blob",
                    "Size": len(data),
                    "Sha256": hashlib.sha256(data).hexdigest(),
                }
                for name, data in self.files.items()
            ]
            return self.send(200, json.dumps({"Code": 200, "Success": True, "Data": {"Files": rows}}).encode())
        if address.path == f"/api/v1/models/{NAME}/repo":
            self.fetched.append(query["FilePath"][0])
            return self.send(200, self.files[query["FilePath"][0]])
        return self.send(404, b"{}")

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


USER = """
import sys
from snellen.checkpoints.sources import locate
found = locate(sys.argv[1])
print(found.origin, found.path)
"""


def test_the_real_library_against_a_site_on_loopback(tmp_path):
    """In a process of its own, which reads the environment as a user's does; the second time nothing is asked."""
    data = {"config.json": b"{}", "model.safetensors": save({"w": torch.ones(500)}), "flax_model.msgpack": b"f" * 99}
    site = type("Bound", (Site,), {"files": data, "fetched": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    env = {**os.environ, "MODELSCOPE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "src")}
    env["MODELSCOPE_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"

    def run(name):
        command = [sys.executable, "-c", USER, f"modelscope:{name}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr

    try:
        first, second, absent = run(NAME), run(NAME), run("meadow/absent")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert sorted(site.fetched) == ["config.json", "model.safetensors"]
    assert first.startswith("modelscope /")
    assert second == first.replace("modelscope", "modelscope cache", 1)
    assert "ModelScope has no meadow/absent" in absent
    with open_tensors(Path(first.partition(" ")[2])) as tensors:
        assert torch.equal(tensors.read("w"), torch.ones(500))


def test_bad_modelscope_names(library):
    for name in ("dino", "a/b/c", "../x", ""):
        with pytest.raises(UsageError):
            modelscope.fetch_repo(name)
    assert not library.calls


def test_what_counts_as_complete(tmp_path):
    folder = model(tmp_path / "m")
    assert is_complete(folder)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert is_complete(folder)
    (folder / "model-1.safetensors").unlink()
    assert not is_complete(folder)
    assert not is_complete(tmp_path / "absent")
