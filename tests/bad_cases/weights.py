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


@row(
    "a path that does not exist",
    WeightsUnavailable,
    seen="there is no file or folder 'dinov2_vits41.pth'",
    expected="a file, a folder, organisation/name, modelscope:organisation/name, or seed:N",
    todo="did you mean dinov2_vits14.pth?",
)
def no_path(at: Place) -> Call:
    at.file("dinov2_vits14.pth")
    return load("dinov2_vits41.pth")


@row(
    "a path below a folder that does not exist",
    WeightsUnavailable,
    seen="there is no file or folder 'gone/dinov2_vits14.pth'",
    expected="a file, a folder, organisation/name, modelscope:organisation/name, or seed:N",
    todo="check the path: there is no folder 'gone' either",
)
def no_folder(at: Place) -> Call:
    return load("gone/dinov2_vits14.pth")


@row(
    "a model path that does not exist",
    WeightsUnavailable,
    seen="there is no file or folder './gone'",
    expected="a file, a folder, organisation/name, modelscope:organisation/name, or seed:N",
    todo="check the spelling, and the folder you are in",
)
def no_model(at: Place) -> Call:
    return ["embed", "photo.png", "-m", "./gone"]


@row(
    "a search path that does not exist",
    UsageError,
    seen="SNELLEN_MODELS names 'gone', which is no folder",
    expected="folders, separated by ':'",
    todo="correct SNELLEN_MODELS, or take the folder out of it",
)
def no_search_path(at: Place) -> Call:
    at.patch.setenv("SNELLEN_MODELS", "gone")
    return load(HUB)


@row(
    "the hub cannot be reached",
    WeightsUnavailable,
    seen="http://127.0.0.1:9 cannot be reached, or is no model hub (…)",
    todo=(
        "(1) set HF_ENDPOINT to a mirror that can be reached; (2) a local file or folder, "
        "named with --weights (weights= in Python) or found by name below SNELLEN_MODELS; "
        "(3) seed:0 instead of weights, where only speed or correctness is measured"
    ),
    evident=True,
)
def unreachable(at: Place) -> Call:
    at.patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return ["embed", "photo.png", "-m", S]


@row(
    "a gated repository, and no token",
    WeightsUnavailable,
    seen=("meadow/dino-small is gated: its owner grants access to accounts one by one, and no token is set"),
    todo=(
        "(1) ask for access on the repository's page at http://127.0.0.1:PORT and set "
        "HF_TOKEN, or set HF_ENDPOINT to a mirror that has it; (2) a local file or folder, "
        "named with --weights (weights= in Python) or found by name below SNELLEN_MODELS; "
        "(3) seed:0 instead of weights, where only speed or correctness is measured"
    ),
    evident=True,
)
def gated(at: Place) -> Call:
    return hub(at, gated=True, token="hf_right")


@row(
    "no such repository",
    WeightsUnavailable,
    seen=(
        "there is no repository meadow/dino-smal at http://127.0.0.1:PORT (a private one is "
        "shown only to a token, and none is set)"
    ),
    todo=(
        "(1) check the spelling; set HF_TOKEN if it is private; (2) a local file or folder, "
        "named with --weights (weights= in Python) or found by name below SNELLEN_MODELS; "
        "(3) seed:0 instead of weights, where only speed or correctness is measured"
    ),
    evident=True,
)
def no_repository(at: Place) -> Call:
    hub(at)
    return load("meadow/dino-smal")


@row(
    "the hub must not be asked, and the cache is empty",
    WeightsUnavailable,
    seen=(
        "the weights of facebook/dinov2-small (main) are not, or not completely, in the "
        "cache 'DIR/home/cache', and HF_HUB_OFFLINE forbids to fetch them"
    ),
    todo=(
        "(1) unset HF_HUB_OFFLINE, with HF_ENDPOINT set to a mirror where the hub cannot be "
        "reached; (2) a local file or folder, named with --weights (weights= in Python) or "
        "found by name below SNELLEN_MODELS; (3) seed:0 instead of weights, where only speed "
        "or correctness is measured"
    ),
    evident=True,
)
def offline(at: Place) -> Call:
    at.patch.setenv("HF_HUB_OFFLINE", "1")
    return ["embed", "photo.png", "-m", "facebook/dinov2-small"]


@row(
    "a hub in trouble",
    WeightsUnavailable,
    seen="http://127.0.0.1:PORT answered HTTP 503 when asked for meadow/dino-small",
    todo=(
        "(1) try again later, or set HF_ENDPOINT to a mirror that can be reached; (2) a "
        "local file or folder, named with --weights (weights= in Python) or found by name "
        "below SNELLEN_MODELS; (3) seed:0 instead of weights, where only speed or "
        "correctness is measured"
    ),
    evident=True,
)
def hub_down(at: Place) -> Call:
    return hub(at, status=503)


@row(
    "a branch that does not exist",
    WeightsUnavailable,
    seen="meadow/dino-small has no revision 'v9' at http://127.0.0.1:PORT",
    todo="name a branch, a tag or a full commit of it",
    evident=True,
)
def no_branch(at: Place) -> Call:
    return [*hub(at)[:-1], f"{HUB}@v9"]


@row(
    "ModelScope without its package",
    MissingPackage,
    seen=(
        "facebook/dinov2-small is not in the ModelScope cache 'DIR/home/.cache/modelscope', "
        "and the package modelscope is not installed"
    ),
    todo=(
        "pip install 'snellen[modelscope]'; or (1) a cache folder that has it: "
        "MODELSCOPE_CACHE; (2) a local file or folder, named with --weights (weights= in "
        "Python) or found by name below SNELLEN_MODELS; (3) seed:0 instead of weights, where "
        "only speed or correctness is measured"
    ),
    evident=True,
)
def no_modelscope(at: Place) -> Call:
    at.patch.setitem(sys.modules, "modelscope", None)
    return load("modelscope:facebook/dinov2-small")


@row(
    "a ModelScope id without an organisation",
    UsageError,
    seen="'dinov2-small' is not the name of a repository",
    expected="organisation/name",
    todo="add the organisation, as in facebook/dinov2-small",
)
def modelscope_id(at: Place) -> Call:
    return load("modelscope:dinov2-small")


@row(
    "a git-lfs pointer",
    BadFile,
    seen=(
        "'x.pth' is a git-lfs pointer, not the file itself: it stands for 88283115 bytes, "
        "oid sha256:0123456701234567012345670123456701234567012345670123456701234567"
    ),
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="fetch the file: git -C '.' lfs pull",
)
def lfs_pointer(at: Place) -> Call:
    oid = "sha256:" + 8 * "01234567"
    at.file("x.pth", f"version https://git-lfs.github.com/spec/v1\noid {oid}\nsize 88283115\n")
    return load("x.pth")


@row(
    "an empty file",
    BadFile,
    seen="'x.pth' is empty (0 bytes)",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("download the file again and compare its size with the one shown where it is published"),
)
def empty(at: Place) -> Call:
    at.file("x.pth")
    return load("x.pth")


@row(
    "a web page",
    BadFile,
    seen="'x.safetensors' is a web page ('Sign in') saved under the name of a checkpoint",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("download the file itself: the address of the raw file, and log in first if the page asks for it"),
)
def page(at: Place) -> Call:
    at.file("x.safetensors", "<!DOCTYPE html><html><head><title>Sign in</title></head><body>...</body></html>")
    return load("x.safetensors")


@row(
    "an error message of a server",
    BadFile,
    seen=(
        "'x.safetensors' is an error message of a server, saved as a file: Access to model "
        "meadow/dino-small is restricted"
    ),
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="download the file again, with the access it asks for",
)
def server_error(at: Place) -> Call:
    at.file("x.safetensors", json.dumps({"error": "Access to model meadow/dino-small is restricted"}))
    return load("x.safetensors")


@row(
    "a JSON document without weights",
    BadFile,
    seen="'x.json' is a JSON document without weights",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="name the file that holds the weights",
)
def json_document(at: Place) -> Call:
    at.file("x.json", '{"hidden_size": 384}')
    return load("x.json")


@row(
    "a text file",
    BadFile,
    seen="'x.pth' is a text file: 404: Not Found",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("download the file again and compare its size with the one shown where it is published"),
)
def text(at: Place) -> Call:
    at.file("x.pth", "404: Not Found\n")
    return load("x.pth")


@row(
    "a truncated safetensors file",
    BadFile,
    seen=("'x.safetensors' is truncated: its header lists 4000 bytes of tensors, the file has 3500"),
    todo=("download the file again and compare its size with the one shown where it is published"),
    evident=True,
)
def truncated_safetensors(at: Place) -> Call:
    at.file("x.safetensors", save({"w": torch.ones(1000)})[:-500])
    return load("x.safetensors")


@row(
    "a safetensors file cut off in its header",
    BadFile,
    seen=(
        "'x.safetensors' is a truncated or corrupt safetensors file: it announces a header "
        "of 64 bytes and has 32 after the length"
    ),
    todo=("download the file again and compare its size with the one shown where it is published"),
    evident=True,
)
def truncated_header(at: Place) -> Call:
    at.file("x.safetensors", save({"w": torch.ones(1000)})[:40])
    return load("x.safetensors")


@row(
    "a truncated .pth",
    BadFile,
    seen=(
        "'x.pth' is truncated or corrupt: it begins as a zip archive (.pth, .pt, .bin, .npz) "
        "and its table of contents is missing from the end (… bytes)"
    ),
    todo=("download the file again and compare its size with the one shown where it is published"),
    evident=True,
)
def truncated_torch(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(1000)})[:-500])
    return load("x.pth")


@row(
    "a .pth that needs code to run",
    BadFile,
    seen="'x.pth' holds more than tensors: to open it, Python would have to run …open",
    expected="a file of tensors only; nothing else is ever unpickled",
    todo=(
        "where its source is trusted, load it with torch.load(..., weights_only=False) and "
        "write the tensors alone with safetensors.torch.save_file"
    ),
)
def trapped(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(3), "config": Trap()}))
    return load("x.pth")


@row(
    "an old .pth that needs code to run",
    BadFile,
    seen="'x.pth' holds more than tensors: to open it, Python would have to run …open",
    expected="a file of tensors only; nothing else is ever unpickled",
    todo=(
        "where its source is trusted, load it with torch.load(..., weights_only=False) and "
        "write the tensors alone with safetensors.torch.save_file"
    ),
)
def trapped_old(at: Place) -> Call:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3), "config": Trap()}, stream, _use_new_zipfile_serialization=False)
    at.file("x.pth", stream.getvalue())
    return load("x.pth")


@row(
    "a plain pickle",
    BadFile,
    seen=("'x.pth' is a Python pickle, cut short or not written by torch.save: it could run code when opened"),
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("where its source is trusted, open it and write the tensors alone with safetensors.torch.save_file"),
)
def plain_pickle(at: Place) -> Call:
    at.file("x.pth", trap())
    return load("x.pth")


@row(
    "an .npz of Python objects",
    BadFile,
    seen="the array 'w' in 'x.npz' holds Python objects, which could run code when read",
    expected="arrays of numbers only",
    todo="save the numbers alone, with numpy.savez",
)
def objects(at: Place) -> Call:
    np.savez(at.path / "x.npz", w=np.array([Trap()], dtype=object))
    return load("x.npz")


@row(
    "a tar archive",
    BadFile,
    seen="'x.pth' is a tar archive",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="unpack it and name the file inside",
)
def tar(at: Place) -> Call:
    with tarfile.open(at.path / "x.pth", "w") as archive:
        archive.add(at.file("w.bin", b"w"), "w.bin")
    return load("x.pth")


@row(
    "a zip archive of something else",
    BadFile,
    seen="'x.pth' is a zip archive of model/weights.pth",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="unpack it and name the file inside",
)
def zipped(at: Place) -> Call:
    with zipfile.ZipFile(at.path / "x.pth", "w") as archive:
        archive.writestr("model/weights.pth", b"w")
    return load("x.pth")


@row(
    "an ONNX model",
    BadFile,
    seen="'x.onnx' is an ONNX model, which is not read here",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="use the PyTorch or safetensors weights of the same model",
)
def onnx(at: Place) -> Call:
    at.file("x.onnx", b"\x08\x08\x12\x07pytorch" + bytes(range(256)))
    return load("x.onnx")


@row(
    "a Flax checkpoint",
    BadFile,
    seen="'flax_model.msgpack' is a Flax checkpoint (msgpack), which is not read here",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="use the PyTorch or safetensors weights of the same model",
)
def msgpack(at: Place) -> Call:
    at.file("flax_model.msgpack", b"\x81\xa7encoder\x80")
    return load("flax_model.msgpack")


@row(
    "a TorchScript program",
    BadFile,
    seen="'x.pt' is a TorchScript program, not a table of tensors",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="use the weights of the same model, or save the program's state_dict()",
)
def torchscript(at: Place) -> Call:
    with zipfile.ZipFile(at.path / "x.pt", "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
            archive.writestr(name, b"")
    return load("x.pt")


@row(
    "bytes of no known kind",
    BadFile,
    seen="'x.pth' is not a checkpoint: it begins with c8 c9 ca cb cc cd ce cf",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("download the file again and compare its size with the one shown where it is published"),
)
def noise(at: Place) -> Call:
    at.file("x.pth", bytes(range(200, 256)) * 4)
    return load("x.pth")


@row(
    "a dtype that is not read",
    BadFile,
    seen=("the tensor 'w' in 'x.pth' has the dtype complex64 (strided, cpu), which is not read here"),
    expected=(
        "one of float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, int64, "
        "int32, int16, int8, uint64, uint32, uint16, uint8, bool"
    ),
    todo="save the weights as float32, float16 or bfloat16",
)
def complex_numbers(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"w": torch.ones(3, dtype=torch.complex64)}))
    return load("x.pth")


@row(
    "a .pth without tensors",
    BadFile,
    seen="'x.pth' holds no tensors: dict of 1",
    expected="a table of named tensors (a state dict)",
    todo="save model.state_dict() with torch.save, or safetensors.torch.save_file",
)
def no_tensors(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"epoch": 3}))
    return load("x.pth")


@row(
    "several state dicts in one file",
    BadFile,
    seen=("'x.pth' holds tensors in several places, or under an unknown name: 'student', 'teacher'"),
    expected=(
        "tensors at the top, or under one of model, state_dict, model_state_dict, module, "
        "teacher, student, model_ema, state_dict_ema, ema"
    ),
    todo="say which one, after a '#': x.pth#student or x.pth#teacher",
)
def nested(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"student": small(), "teacher": small(), "epoch": 3}))
    return load("x.pth")


@row(
    "an entry that the file does not have",
    BadFile,
    seen="'x.pth' has no table of tensors under 'ema'",
    expected="one of student, teacher",
    todo="x.pth#student or x.pth#teacher",
)
def no_entry(at: Place) -> Call:
    at.file("x.pth", torch_bytes({"student": small(), "teacher": small()}))
    return load("x.pth#ema")


@row(
    "an entry of a file that has none",
    BadFile,
    seen="'x.safetensors' has no entry 'teacher': only torch files nest their tensors",
    todo="leave out the '#teacher'",
    evident=True,
)
def entry_of_safetensors(at: Place) -> Call:
    at.file("x.safetensors", save(small()))
    return load("x.safetensors#teacher")


@row(
    "a missing shard",
    BadFile,
    seen=(
        "1 of the 2 shards named by 'model/model.safetensors.index.json' are missing: model-00002-of-00002.safetensors"
    ),
    todo="download them into 'model'",
    evident=True,
)
def no_shard(at: Place) -> Call:
    sharded(at, {"w": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"})
    return load("model")


@row(
    "an index that disagrees with its shards",
    BadFile,
    seen=(
        "'model/model-00001-of-00002.safetensors' does not hold what 'model.safetensors.index.json' says: it lacks b"
    ),
    todo="download index and shards again, all from one revision",
    evident=True,
)
def wrong_index(at: Place) -> Call:
    sharded(at, {"w": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"})
    return load("model")


@row(
    "an index that names files elsewhere",
    BadFile,
    seen=("'model/model.safetensors.index.json' names shards outside its folder: ../x.safetensors"),
    expected="plain file names",
    todo="download it from a source you trust: nothing outside the folder is read",
)
def index_outside(at: Place) -> Call:
    sharded(at, {"w": "../x.safetensors"})
    return load("model")


def sharded(at: Place, home: dict[str, str]) -> None:
    """Write a folder with an index, and the first of its two shards."""
    at.file("model/model.safetensors.index.json", json.dumps({"weight_map": home}))
    at.file("model/model-00001-of-00002.safetensors", save({"w": torch.ones(3)}))


@row(
    "a folder without weights",
    BadFile,
    seen="the folder 'model' has no weights: it holds README.md, config.json",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="download the weights into it, or name another one",
)
def no_weights(at: Place) -> Call:
    at.file("model/config.json", "{}")
    at.file("model/README.md", "# A model")
    return load("model")


@row(
    "an empty folder",
    BadFile,
    seen="the folder 'model' has no weights: it holds nothing",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo="download the weights into it, or name another one",
)
def empty_folder(at: Place) -> Call:
    (at.path / "model").mkdir()
    return load("model")


@row(
    "a folder with several candidates",
    BadFile,
    seen="the folder 'model' has several files that could be the weights: best.pth, last.pth",
    expected="one, or model.safetensors",
    todo="name the file instead of the folder",
)
def several(at: Place) -> Call:
    at.file("model/last.pth")
    at.file("model/best.pth")
    return load("model")


@row(
    "a config.json that is not JSON",
    BadFile,
    seen=("'model/config.json' is not JSON: …"),
    todo="download the file again, or mend it",
    evident=True,
)
def bad_config(at: Place) -> Call:
    model = folder(at)
    at.file("model/config.json", '{"model_type": "dinov2",}')
    return ["embed", "photo.png", "-m", model]


@row(
    "a config.json that is a list",
    BadFile,
    seen="'model/config.json' is not a JSON object but a list",
    todo="download the file again, or mend it",
    evident=True,
)
def list_config(at: Place) -> Call:
    model = folder(at)
    at.file("model/config.json", "[]")
    return ["embed", "photo.png", "-m", model]


@row(
    "a preprocessor_config.json that is not JSON",
    BadFile,
    seen=("'model/preprocessor_config.json' is not JSON: …"),
    todo="download the file again, or mend it",
    evident=True,
)
def bad_processor(at: Place) -> Call:
    model = folder(at)
    at.file("model/preprocessor_config.json", "{")
    return ["embed", "photo.png", "-m", model]
