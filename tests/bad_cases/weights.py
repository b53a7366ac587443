"""Weights that cannot be had: paths, hubs, and files that are no checkpoint."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile

import numpy as np
import torch
from huggingface_hub import constants
from safetensors.torch import save

from bad_cases.making import Trap, folder, small, torch_bytes, trap
from bad_cases.table import Call, Place, Table
from fake_hub import FakeHub, Repo
from snellen.errors import BadFile, MissingPackage, UsageError, WeightsUnavailable

TABLE = Table("Weights that cannot be had")
row = TABLE.row

S = "vit_small_patch14_dinov2.lvd142m"
HUB = "meadow/dino-small"


def load(weights: str) -> list[str]:
    """Return the command that loads these weights; no picture is looked at before."""
    return ["embed", "photo.png", "-m", S, "--weights", weights]


def hub(at: Place, **behaviour: object) -> list[str]:
    """Return the command that loads from a hub on loopback which behaves like this."""
    at.patch.setattr(constants, "HF_TOKEN_PATH", str(at.path / "no token"))
    at.patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    server = at.keep(FakeHub())
    server.repos[HUB] = Repo({"config.json": b"{}", "model.safetensors": save(small())}, **behaviour)
    at.patch.setenv("HF_ENDPOINT", server.url)
    return load(HUB)


@row("a path that does not exist", WeightsUnavailable)
def no_path(at: Place) -> Call:
    at.file("dinov2_vits14.pth")
    return load("dinov2_vits41.pth")


@row("a path below a folder that does not exist", WeightsUnavailable)
def no_folder(at: Place) -> Call:
    return load("gone/dinov2_vits14.pth")


@row("a model path that does not exist", WeightsUnavailable)
def no_model(at: Place) -> Call:
    return ["embed", "photo.png", "-m", "./gone"]


@row("a search path that does not exist", UsageError)
def no_search_path(at: Place) -> Call:
    at.patch.setenv("SNELLEN_MODELS", "gone")
    return load(HUB)


@row("the hub cannot be reached", WeightsUnavailable)
def unreachable(at: Place) -> Call:
    at.patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return ["embed", "photo.png", "-m", S]


@row("a gated repository, and no token", WeightsUnavailable)
def gated(at: Place) -> Call:
    return hub(at, gated=True, token="hf_right")


@row("no such repository", WeightsUnavailable)
def no_repository(at: Place) -> Call:
    hub(at)
    return load("meadow/dino-smal")


@row("the hub must not be asked, and the cache is empty", WeightsUnavailable)
def offline(at: Place) -> Call:
    at.patch.setenv("HF_HUB_OFFLINE", "1")
    return ["embed", "photo.png", "-m", "facebook/dinov2-small"]


@row("a hub in trouble", WeightsUnavailable)
def hub_down(at: Place) -> Call:
    return hub(at, status=503)


@row("a branch that does not exist", WeightsUnavailable)
def no_branch(at: Place) -> Call:
    return [*hub(at)[:-1], f"{HUB}@v9"]


@row("ModelScope without its package", MissingPackage)
def no_modelscope(at: Place) -> Call:
    at.patch.setitem(sys.modules, "modelscope", None)
    return load("modelscope:facebook/dinov2-small")


@row("a ModelScope id without an organisation", UsageError)
def modelscope_id(at: Place) -> Call:
    return load("modelscope:dinov2-small")


@row("a git-lfs pointer", BadFile)
def lfs_pointer(at: Place) -> Call:
    oid = "sha256:" + 8 * "01234567"
    at.file("x.pth", f"version https://git-lfs.github.com/spec/v1\noid {oid}\nsize 88283115\n")
    return load("x.pth")


@row("an empty file", BadFile)
def empty(at: Place) -> Call:
    at.file("x.pth")
    return load("x.pth")


@row("a web page", BadFile)
def page(at: Place) -> Call:
    at.file("x.safetensors", "<!DOCTYPE html><html><head><title>Sign in</title></head><body>...</body></html>")
    return load("x.safetensors")


@row("an error message of a server", BadFile)
def server_error(at: Place) -> Call:
    at.file("x.safetensors", json.dumps({"error": "Access to model meadow/dino-small is restricted"}))
    return load("x.safetensors")


@row("a JSON document without weights", BadFile)
def json_document(at: Place) -> Call:
    at.file("x.json", '{"hidden_size": 384}')
    return load("x.json")


@row("a text file", BadFile)
def text(at: Place) -> Call:
    at.file("x.pth", "404: Not Found\n")
    return load("x.pth")


@row("a truncated safetensors file", BadFile)
def truncated_safetensors(at: Place) -> Call:
    at.file("x.safetensors", save({"w": torch.ones(1000)})[:-500])
    return load("x.safetensors")


@row("a safetensors file cut off in its header", BadFile)
def truncated_header(at: Place) -> Call:
    at.file("x.safetensors", save({"w": torch.ones(1000)})[:40])
    return load("x.safetensors")


@row("a truncated .pth", BadFile)
def truncated_torch(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(1000)})[:-500])
    return load("x.pth")


@row("a .pth that needs code to run", BadFile)
def trapped(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(3), "config": Trap()}))
    return load("x.pth")


@row("an old .pth that needs code to run", BadFile)
def trapped_old(at: Place) -> Call:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3), "config": Trap()}, stream, _use_new_zipfile_serialization=False)
    at.file("x.pth", stream.getvalue())
    return load("x.pth")


@row("a plain pickle", BadFile)
def plain_pickle(at: Place) -> Call:
    at.file("x.pth", trap())
    return load("x.pth")


@row("an .npz of Python objects", BadFile)
def objects(at: Place) -> Call:
    np.savez(at.path / "x.npz", w=np.array([Trap()], dtype=object))
    return load("x.npz")


@row("a tar archive", BadFile)
def tar(at: Place) -> Call:
    with tarfile.open(at.path / "x.pth", "w") as archive:
        archive.add(at.file("w.bin", b"w"), "w.bin")
    return load("x.pth")


@row("a zip archive of something else", BadFile)
def zipped(at: Place) -> Call:
    with zipfile.ZipFile(at.path / "x.pth", "w") as archive:
        archive.writestr("model/weights.pth", b"w")
    return load("x.pth")


@row("an ONNX model", BadFile)
def onnx(at: Place) -> Call:
    at.file("x.onnx", b"\x08\x08\x12\x07pytorch" + bytes(range(256)))
    return load("x.onnx")


@row("a Flax checkpoint", BadFile)
def msgpack(at: Place) -> Call:
    at.file("flax_model.msgpack", b"\x81\xa7encoder\x80")
    return load("flax_model.msgpack")


@row("a TorchScript program", BadFile)
def torchscript(at: Place) -> Call:
    with zipfile.ZipFile(at.path / "x.pt", "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
            archive.writestr(name, b"")
    return load("x.pt")


@row("bytes of no known kind", BadFile)
def noise(at: Place) -> Call:
    at.file("x.pth", bytes(range(200, 256)) * 4)
    return load("x.pth")


@row("a dtype that is not read", BadFile)
def complex_numbers(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(3, dtype=torch.complex64)}))
    return load("x.pth")


@row("a .pth without tensors", BadFile)
def no_tensors(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"epoch": 3}))
    return load("x.pth")


@row("several state dicts in one file", BadFile)
def nested(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"student": small(), "teacher": small(), "epoch": 3}))
    return load("x.pth")


@row("an entry that the file does not have", BadFile)
def no_entry(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"student": small(), "teacher": small()}))
    return load("x.pth#ema")


@row("an entry of a file that has none", BadFile)
def entry_of_safetensors(at: Place) -> Call:
    at.file("x.safetensors", save(small()))
    return load("x.safetensors#teacher")


@row("a missing shard", BadFile)
def no_shard(at: Place) -> Call:
    sharded(at, {"w": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"})
    return load("model")


@row("an index that disagrees with its shards", BadFile)
def wrong_index(at: Place) -> Call:
    sharded(at, {"w": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"})
    return load("model")


@row("an index that names files elsewhere", BadFile)
def index_outside(at: Place) -> Call:
    sharded(at, {"w": "../x.safetensors"})
    return load("model")


def sharded(at: Place, home: dict[str, str]) -> None:
    """Write a folder with an index, and the first of its two shards."""
    at.file("model/model.safetensors.index.json", json.dumps({"weight_map": home}))
    at.file("model/model-00001-of-00002.safetensors", save({"w": torch.ones(3)}))


@row("a folder without weights", BadFile)
def no_weights(at: Place) -> Call:
    at.file("model/config.json", "{}")
    at.file("model/README.md", "# A model")
    return load("model")


@row("an empty folder", BadFile)
def empty_folder(at: Place) -> Call:
    (at.path / "model").mkdir()
    return load("model")


@row("a folder with several candidates", BadFile)
def several(at: Place) -> Call:
    at.file("model/last.pth")
    at.file("model/best.pth")
    return load("model")


@row("a config.json that is not JSON", BadFile)
def bad_config(at: Place) -> Call:
    model = folder(at)
    at.file("model/config.json", '{"model_type": "dinov2",}')
    return ["embed", "photo.png", "-m", model]


@row("a config.json that is a list", BadFile)
def list_config(at: Place) -> Call:
    model = folder(at)
    at.file("model/config.json", "[]")
    return ["embed", "photo.png", "-m", model]


@row("a preprocessor_config.json that is not JSON", BadFile)
def bad_processor(at: Place) -> Call:
    model = folder(at)
    at.file("model/preprocessor_config.json", "{")
    return ["embed", "photo.png", "-m", model]
