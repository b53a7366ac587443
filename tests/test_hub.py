"""The hub, played by a server on loopback: what is fetched, what is kept, and what every failure says."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save

from snellen.checkpoints import hub
from snellen.checkpoints.files import open_tensors
from snellen.errors import SnellenError, UsageError, WeightsUnavailable

SPEC = importlib.util.spec_from_file_location("fake_hub", Path(__file__).with_name("fake_hub.py"))
fake = importlib.util.module_from_spec(SPEC)
sys.modules["fake_hub"] = fake
SPEC.loader.exec_module(fake)

NAME = "meadow/dino-small"
VALUES = {"w": torch.arange(5000.0), "b": torch.ones(3)}
WEIGHTS = save(VALUES)
CONFIG = b'{"model_type": "dinov2"}'
WAYS = ("(1)", "HF_ENDPOINT", "(2)", "--weights", "SNELLEN_MODELS", "(3)", "seed:")


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # of what breaks off, whole chunks are kept
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)  # the library waits between attempts
    with fake.FakeHub() as running:
        running.repos[NAME] = fake.Repo({"config.json": CONFIG, "model.safetensors": WEIGHTS, "README.md": b"hello"})
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
        assert running.count("GET", "xet") == running.count("POST", "") == 0
        assert not any("Authorization" in headers for _, path, headers in running.requests if path.startswith("/cdn"))


def whole(snapshot):
    with open_tensors(snapshot.folder) as tensors:
        return all(torch.equal(tensors.read(name), value) for name, value in VALUES.items())


def failure(name=NAME, revision=None):
    with pytest.raises(WeightsUnavailable) as error:
        hub.fetch_repo(name, revision)
    return error.value


def blobs(server):
    return server.count("GET", "^/cdn/")


def test_fetches_config_and_weights_and_nothing_else(server, tmp_path):
    got = hub.fetch_repo(NAME)
    assert whole(got)
    assert (got.commit, got.cached) == ("c" * 40, False)
    assert got.folder == tmp_path / "cache" / "models--meadow--dino-small" / "snapshots" / got.commit
    assert sorted(path.name for path in got.folder.iterdir()) == ["config.json", "model.safetensors"]
    assert server.url in got.reason
    assert "README.md" not in server.asked()


def test_a_second_call_downloads_nothing(server):
    hub.fetch_repo(NAME)
    assert blobs(server) == 1
    assert whole(hub.fetch_repo(NAME))
    assert blobs(server) == 1
    server.repos[NAME].files["model.safetensors"] = save({**VALUES, "b": torch.zeros(3)})
    server.repos[NAME].commit = "d" * 40
    changed = hub.fetch_repo(NAME)
    assert (blobs(server), changed.commit) == (2, "d" * 40)
    assert not whole(changed)


def test_a_known_commit_needs_no_request(server):
    hub.fetch_repo(NAME)
    server.requests.clear()
    assert whole(hub.fetch_repo(NAME, "c" * 40))
    assert not server.requests


def test_a_commit_is_fetched_without_marking_a_branch(server):
    assert whole(hub.fetch_repo(NAME, "c" * 40))
    assert blobs(server) == 1


def test_a_branch_of_its_own(server):
    server.repos[NAME].branches = ("main", "v2")
    assert whole(hub.fetch_repo(NAME, "v2"))
    assert server.count("GET", "/revision/v2$") == 1


ONE = {"config.json": CONFIG}
INDEX = json.dumps({"weight_map": {"w": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
SHARDS = {
    "model.safetensors.index.json": INDEX,
    "model-1.safetensors": save({"w": VALUES["w"]}),
    "model-2.safetensors": save({"b": VALUES["b"]}),
}


def pickled(tmp_path):
    torch.save(VALUES, tmp_path / "x.bin")
    return (tmp_path / "x.bin").read_bytes()


def test_one_form_of_the_weights_is_chosen(server, tmp_path):
    others = {"flax_model.msgpack": b"f" * 2000, "tf_model.h5": b"t" * 2000, "onnx/model.onnx": b"o" * 2000}
    forms = {
        "safetensors": {"model.safetensors": WEIGHTS, "pytorch_model.bin": b"p" * 2000},
        "sharded": {**SHARDS, "pytorch_model.bin": b"p" * 2000},
        "bin": {"pytorch_model.bin": pickled(tmp_path)},
        "single": {"dinov2_vits14.pth": pickled(tmp_path)},
    }
    wanted = {
        "safetensors": {"model.safetensors"},
        "sharded": set(SHARDS),
        "bin": {"pytorch_model.bin"},
        "single": {"dinov2_vits14.pth"},
    }
    for form, files in forms.items():
        server.repos[f"meadow/{form}"] = fake.Repo({**ONE, **others, "preprocessor_config.json": b"{}", **files})
        server.requests.clear()
        assert whole(hub.fetch_repo(f"meadow/{form}")), form
        assert server.asked() == {"config.json", "preprocessor_config.json", *wanted[form]}, form


def test_a_repository_without_config(server):
    server.repos["meadow/bare"] = fake.Repo({"model.safetensors": WEIGHTS})
    assert whole(hub.fetch_repo("meadow/bare"))


# interrupted


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_taken_up_again(server, ranges):
    server.repos[NAME].breaks, server.repos[NAME].ranges = 1, ranges
    assert whole(hub.fetch_repo(NAME))
    assert blobs(server) == 2
    assert sum("Range" in headers for _, path, headers in server.requests if path.startswith("/cdn/")) == 1


def test_a_download_that_always_breaks_leaves_nothing_behind(server, monkeypatch, tmp_path):
    server.repos[NAME].breaks, server.repos[NAME].breaks_at = 10**6, 0.0
    error = failure()
    assert "download of 'model.safetensors'" in error.seen
    assert "broke off" in error.seen
    assert all(way in str(error) for way in WAYS if way != "HF_ENDPOINT")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not, or not completely, in the cache" in failure().seen
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    assert not [path for path in (tmp_path / "cache").rglob("blobs/*") if path.suffix != ".incomplete"]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    server.repos[NAME].breaks = 0
    assert whole(hub.fetch_repo(NAME))  # the control: the same cache works once the line does


def test_an_interrupted_update_leaves_the_earlier_copy_in_place(server, monkeypatch):
    hub.fetch_repo(NAME)
    repo = server.repos[NAME]
    repo.files["model.safetensors"], repo.commit = save({"w": torch.zeros(5000)}), "d" * 40
    repo.breaks, repo.breaks_at = 10**6, 0.0
    assert "broke off" in failure().seen
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kept = hub.fetch_repo(NAME)
    assert kept.commit == "c" * 40
    assert whole(kept)


def test_missing_shard_is_not_a_complete_copy(server, monkeypatch):
    server.repos[NAME] = fake.Repo({**ONE, **SHARDS}, vanished=("model-2.safetensors",))
    assert "lists 'model-2.safetensors' and does not have it" in failure().seen
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not completely" in failure().seen


# refused


def test_gated_without_and_with_a_token(server, monkeypatch):
    server.repos[NAME].gated, server.repos[NAME].token = True, "hf_right"
    error = failure()
    assert "is gated" in error.seen
    assert "no token is set" in error.seen
    assert all(way in str(error) for way in (*WAYS, "HF_TOKEN"))
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "the token in use has no access" in failure().seen
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert whole(hub.fetch_repo(NAME))
    assert any(headers.get("Authorization") == "Bearer hf_right" for _, _, headers in server.requests)


def test_no_such_repository(server, monkeypatch):
    error = failure("meadow/absent")
    assert "there is no repository meadow/absent" in error.seen
    assert "none is set" in error.seen
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    assert "none is set" not in failure("meadow/absent").seen


def test_no_such_revision(server):
    for revision in ("v9", "e" * 40):
        assert f"has no revision '{revision}'" in failure(NAME, revision).seen


def test_a_wrong_token(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "refuses access" in failure().seen
    assert "HF_TOKEN" in failure().todo


def test_no_weights_in_the_repository(server):
    server.repos[NAME] = fake.Repo({**ONE, "tf_model.h5": b"t"})
    error = failure()
    assert f"the repository {NAME} has no weights: it holds config.json, tf_model.h5" in error.seen
    assert blobs(server) == 0


def test_several_weights_in_the_repository(server):
    server.repos[NAME] = fake.Repo({"a.pth": b"a", "b.pth": b"b"})
    assert "several files that could be the weights: a.pth, b.pth" in failure().seen


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_other_answers_name_their_status(server, status):
    server.repos[NAME].status = status
    assert str(status) in failure().seen


def test_something_else_answers(server):
    server.repos[NAME].body = b"<html>log in to the network</html>"
    assert "cannot be reached, or is no model hub" in failure().seen


def test_a_mirror_that_loses_the_headers(server):
    server.repos[NAME].plain = True
    assert "is no model hub" in failure().seen
    assert "FileMetadataError" in failure().seen


def test_bad_names_are_refused_before_asking(server):
    for name in ("dino", "a/b/c", "../x", "a/", "a b/c"):
        with pytest.raises(UsageError, match="not the name of a repository"):
            hub.fetch_repo(name)
    assert not server.requests


# not reached


def test_nobody_listens(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = failure()
    assert "http://127.0.0.1:9 cannot be reached" in error.seen
    assert all(way in str(error) for way in WAYS)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_none(server, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert "cannot be reached" in failure().seen


def forbid(server):
    server.repos[NAME].gated = True


def down(server):
    server.repos[NAME].status = 503


@pytest.mark.parametrize("trouble", ["unreachable", "gated", "down"])
def test_a_cached_copy_stands_in_and_says_so(server, monkeypatch, trouble):
    hub.fetch_repo(NAME)
    if trouble == "unreachable":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    elif trouble == "gated":
        forbid(server)
    else:
        down(server)
    got = hub.fetch_repo(NAME)
    assert got.cached
    assert whole(got)
    assert ("because" in got.reason) == (trouble != "gated")  # the list of a gated repository is public


def test_a_cached_copy_stands_in_for_a_gated_update(server):
    hub.fetch_repo(NAME)
    repo = server.repos[NAME]
    repo.files["model.safetensors"], repo.commit, repo.gated = save({"w": torch.zeros(5000)}), "d" * 40, True
    got = hub.fetch_repo(NAME)
    assert (got.commit, got.cached) == ("c" * 40, True)
    assert "because" in got.reason
    assert "gated" in got.reason


def test_a_cached_copy_does_not_stand_in_for_what_is_gone(server):
    hub.fetch_repo(NAME)
    server.repos[NAME].branches = ()
    assert "has no revision 'main'" in failure(NAME, "main").seen


def test_offline_with_and_without_a_cached_copy(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = failure()
    assert "HF_HUB_OFFLINE forbids" in error.seen
    assert all(way in str(error) for way in WAYS)
    assert not server.requests
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub.fetch_repo(NAME)
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert whole(hub.fetch_repo(NAME))
    assert whole(hub.fetch_repo(NAME, "c" * 40))
    assert "not, or not completely" in failure(NAME, "v2").seen
    assert not server.requests


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be written to"), (errno.EROFS, "cannot be written to")],
)
def test_a_disk_that_takes_no_more(server, monkeypatch, number, words):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_download, "http_get", refuse)
    error = failure()
    assert words in error.seen
    assert "HF_HUB_CACHE" in error.todo


def test_the_library_set_offline_at_its_import(server, monkeypatch):
    """HF_HUB_OFFLINE counts whether it was there at the start or is set later."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in failure().seen


USER = """
from snellen.checkpoints.hub import fetch_repo
print(fetch_repo({name!r}).folder)
"""


def test_as_a_user_runs_it(server, tmp_path):
    """In a fresh process, whose environment the library reads for itself."""
    home = tmp_path / "home"
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    env["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
    env.pop("HF_HUB_CACHE")
    command = [sys.executable, "-c", USER.format(name=NAME)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(home / "hub" / "models--meadow--dino-small")
    offline = subprocess.run(command, env={**env, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True)
    assert offline.stdout == done.stdout


def test_every_error_is_one_of_ours(server, monkeypatch):
    """The control for the boundary: an exception nobody has thought of still comes out as a sentence."""

    def surprise(*args, **kwargs):
        raise AttributeError("new in the next version")

    monkeypatch.setattr(file_download, "get_hf_file_metadata", surprise)
    with pytest.raises(SnellenError, match="AttributeError: new in the next version"):
        hub.fetch_repo(NAME)
