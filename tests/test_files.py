"""Opening checkpoints: every format gives the same tensors, every broken file a clear error, and memory stays lean."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from snellen.checkpoints.files import file_sha256, find_in_folder, open_tensors
from snellen.errors import BadFile, SnellenError, UnknownName


def state(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {
        "blocks.0.weight": torch.randn(5, 7, generator=draw),
        "blocks.0.bias": torch.randn(5, generator=draw, dtype=torch.float64),
        "periods": torch.randn(3, generator=draw).bfloat16(),
        "half": torch.randn(2, 2, generator=draw).half(),
        "mask": torch.tensor([True, False]),
        "count": torch.tensor(3),
        "none": torch.empty(0, 4),
    }


def same(tensors, expected):
    assert set(tensors) == set(expected)
    for name, value in expected.items():
        got = tensors.read(name)
        assert (got.dtype, got.shape) == (value.dtype, value.shape)
        assert (tensors.dtype(name), tensors.shape(name)) == (str(value.dtype)[6:], tuple(value.shape))
        assert got.is_contiguous()
        assert torch.equal(got, value)
    assert tensors.nbytes == sum(value.nbytes for value in expected.values())
    return True


def write_npz(path, values):
    arrays = {
        k: v.view(torch.int16).numpy().view("V2") if v.dtype == torch.bfloat16 else v.numpy() for k, v in values.items()
    }
    np.savez(path, **arrays)


def writers():
    def legacy(path, values):
        torch.save(values, path, _use_new_zipfile_serialization=False)

    def compressed(path, values):
        torch.save(values, path)
        with zipfile.ZipFile(path) as source:
            members = {item: source.read(item) for item in source.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for item, data in members.items():
                target.writestr(item, data)

    return {
        "safetensors": lambda path, values: save_file(values, path),
        "torch": lambda path, values: torch.save(values, path),
        "legacy": legacy,
        "compressed": compressed,
        "npz": write_npz,
    }


SAFETENSORS, TORCH, NPZ = (writers()[kind] for kind in ("safetensors", "torch", "npz"))


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".bin", ".npz", ".dat"])
@pytest.mark.parametrize("written", ["safetensors", "torch", "legacy", "compressed", "npz"])
def test_content_decides_and_not_the_ending(tmp_path, written, ending):
    path = tmp_path / f"x{ending}"
    writers()[written](tmp_path / "written.npz", state())
    (tmp_path / "written.npz").rename(path)
    with open_tensors(path) as tensors:
        assert tensors.format == {"legacy": "torch", "compressed": "torch"}.get(written, written)
        assert same(tensors, state())
        assert tensors.wrapper is None
        assert not tensors.extras


def test_reading_does_not_depend_on_the_file_afterwards(tmp_path):
    for written in ("safetensors", "torch"):
        path = tmp_path / written
        writers()[written](path, state())
        with open_tensors(path) as tensors:
            kept = tensors.read("blocks.0.weight")
        path.write_bytes(b"\0" * path.stat().st_size)
        assert torch.equal(kept, state()["blocks.0.weight"])


def test_digest_is_that_of_the_tensors_and_not_of_the_file(tmp_path):
    def digest(name, values, written):
        writers()[written](tmp_path / name, values)
        with open_tensors(tmp_path / name) as tensors:
            return tensors.digest()

    digests = {written: digest(f"{written}.npz", state(), written) for written in writers()}
    assert len(set(digests.values())) == 1
    backwards = dict(reversed(state().items()))
    assert digest("b.pth", backwards, "torch") == digests["torch"]
    assert digest("wrapped.pth", {"model": backwards}, "torch") == digests["torch"]
    changes = {
        "value": {**state(), "mask": torch.tensor([True, True])},
        "shape": {**state(), "half": state()["half"].reshape(1, 4)},
        "dtype": {**state(), "half": state()["half"].view(torch.int16)},
        "name": {**{k: v for k, v in state().items() if k != "half"}, "halve": state()["half"]},
    }
    for name, values in changes.items():
        assert digest(f"{name}.pth", values, "torch") != digests["torch"], name


def test_file_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(BadFile, match="there is no file"):
        file_sha256(tmp_path / "y")


def test_numpy_orders_are_made_contiguous_and_native(tmp_path):
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    np.savez(tmp_path / "x.npz", **{"a/b": np.asfortranarray(values), "c": values})
    with open_tensors(tmp_path / "x.npz") as tensors:
        for name in ("a/b", "c"):
            assert tensors.dtype(name) == "float32"
            assert torch.equal(tensors.read(name), torch.arange(6.0).reshape(2, 3))


def test_views_shared_and_strided_tensors(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": base, "b": base.t(), "c": base[1:], "p": torch.nn.Parameter(base)}, tmp_path / "x.pth")
    with open_tensors(tmp_path / "x.pth") as tensors:
        for _ in range(2):  # reading again gives the same
            assert same(tensors, {"a": base, "b": base.t().contiguous(), "c": base[1:], "p": base})
        assert not tensors.read("p").requires_grad


def test_release_of_a_file_held_whole_allows_another_read(tmp_path):
    writers()["legacy"](tmp_path / "x.pth", state())
    with open_tensors(tmp_path / "x.pth") as tensors:
        for name in tensors:
            tensors.release(name)
        assert same(tensors, state())


def test_unknown_tensor_offers_the_nearest(tmp_path):
    save_file(state(), tmp_path / "x.safetensors")
    with open_tensors(tmp_path / "x.safetensors") as tensors, pytest.raises(UnknownName, match=r"blocks\.0\.bias"):
        tensors.read("blocks.0.bia")


# wrapped torch files


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "teacher", "model_ema", "module"])
def test_a_single_wrapper_is_found_and_told(tmp_path, wrapper):
    torch.save({wrapper: state(), "epoch": 7, "optimizer": {"state": {0: {"m": torch.ones(2)}}}}, tmp_path / "x.pth")
    with open_tensors(tmp_path / "x.pth") as tensors:
        assert same(tensors, state())
        assert tensors.wrapper == wrapper


def test_nested_wrapper_and_extras(tmp_path):
    inner = {**state(), "version": "v1", "epoch": 3}
    torch.save({"state_dict": {"model": inner}}, tmp_path / "x.pth")
    with open_tensors(tmp_path / "x.pth") as tensors:
        assert tensors.wrapper == "state_dict/model"
        assert tensors.extras == {"version": "'v1'", "epoch": "3"}
        assert same(tensors, state())


def test_a_state_dict_is_not_unwrapped(tmp_path):
    torch.save({**state(), "head": {"w": torch.ones(2)}}, tmp_path / "x.pth")
    with open_tensors(tmp_path / "x.pth") as tensors:
        assert same(tensors, state())
        assert tensors.extras == {"head": "dict of 1"}


AMBIGUOUS = {
    "teacher and student": ({"teacher": state(), "student": state(1)}, ["x.pth#teacher", "x.pth#student"]),
    "model and model_ema": ({"model": state(), "model_ema": state(1)}, ["x.pth#model", "x.pth#model_ema"]),
    "known and unknown": ({"model": state(), "averaged": state(1)}, ["x.pth#averaged"]),
    "unknown only": ({"weights_of_mine": state()}, ["x.pth#weights_of_mine"]),
    "top and wrapper": ({"model": state(), "scale": torch.ones(1)}, ["x.pth#.", "x.pth#model"]),
    "nested": ({"state_dict": {"teacher": state(), "student": state(1)}}, ["x.pth#state_dict/teacher"]),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_several_wrappers_are_refused_by_name_until_one_is_chosen(tmp_path, case):
    values, offers = AMBIGUOUS[case]
    torch.save(values, tmp_path / "x.pth")
    with pytest.raises(BadFile) as error:
        open_tensors(tmp_path / "x.pth")
    for offer in offers:
        assert offer in error.value.todo
        with open_tensors(tmp_path / "x.pth", wrapper=offer.partition("#")[2]) as tensors:
            assert len(tensors)


def test_a_wrapper_that_is_not_there(tmp_path):
    torch.save({"teacher": state(), "student": state()}, tmp_path / "x.pth")
    save_file(state(), tmp_path / "x.safetensors")
    with pytest.raises(BadFile, match=r"no table of tensors under 'ema'.*\n.*teacher, student"):
        open_tensors(tmp_path / "x.pth", wrapper="ema")
    with pytest.raises(BadFile, match="only torch files nest"):
        open_tensors(tmp_path / "x.safetensors", wrapper="ema")


# folders and shards


def shard(folder, *, pattern="model-{}-of-2.safetensors", index="model.safetensors.index.json", write=SAFETENSORS):
    values = state()
    names = list(values)
    parts = {pattern.format(1): names[:3], pattern.format(2): names[3:]}
    for file, keys in parts.items():
        write(folder / file, {key: values[key] for key in keys})
    table = {key: file for file, keys in parts.items() for key in keys}
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
    return folder / index


def test_shards_of_both_formats(tmp_path):
    for kind, write in (("safetensors", SAFETENSORS), ("bin", TORCH)):
        folder = tmp_path / kind
        folder.mkdir()
        stem = "model" if kind == "safetensors" else "pytorch_model"
        index = shard(folder, pattern=stem + "-{}-of-2." + kind, index=f"{stem}.{kind}.index.json", write=write)
        for path in (folder, index):
            with open_tensors(path) as tensors:
                assert same(tensors, state())
                assert tensors.path == index
                assert tensors.metadata == {"total_size": "1"}
                sharded = tensors.digest()
        torch.save(state(), tmp_path / "whole.pth")
        with open_tensors(tmp_path / "whole.pth") as whole:
            assert whole.digest() == sharded


def spoil(folder, change):
    index = shard(folder)
    document = json.loads(index.read_text())
    change(folder, document)
    index.write_text(json.dumps(document))
    return index


SHARDS = {
    "missing shard": (lambda f, d: (f / "model-2-of-2.safetensors").unlink(), "model-2-of-2.safetensors"),
    "missing tensor": (lambda f, d: d["weight_map"].update(gone="model-1-of-2.safetensors"), "lacks gone"),
    "extra tensor": (lambda f, d: d["weight_map"].pop("mask"), "has besides mask"),
    "outside": (lambda f, d: d["weight_map"].update(mask="../x.safetensors"), "outside its folder"),
    "empty": (lambda f, d: d["weight_map"].clear(), "no table 'weight_map'"),
    "pointer": (lambda f, d: pointer(f / "model-1-of-2.safetensors"), "git-lfs pointer"),
    "itself": (lambda f, d: d.update(weight_map={"a": "model.safetensors.index.json"}), "is an index itself"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_an_index_must_agree_with_its_shards(tmp_path, case):
    change, words = SHARDS[case]
    with pytest.raises(BadFile, match=words):
        open_tensors(spoil(tmp_path, change))


def test_folder_prefers_in_a_stated_order(tmp_path):
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "model.safetensors", "other.pth", "optimizer.pt"):
        if name != "other.pth":
            (tmp_path / name).write_bytes(b"x")
    assert find_in_folder(tmp_path).weights.name == "model.safetensors"
    (tmp_path / "model.safetensors").unlink()
    assert find_in_folder(tmp_path).weights.name == "model.safetensors.index.json"
    (tmp_path / "model.safetensors.index.json").unlink()
    assert find_in_folder(tmp_path).weights.name == "pytorch_model.bin"
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(BadFile, match=r"has no weights: it holds optimizer\.pt"):
        find_in_folder(tmp_path)
    (tmp_path / "a.pth").touch()
    assert find_in_folder(tmp_path).weights.name == "a.pth"
    assert find_in_folder(tmp_path).config is None
    (tmp_path / "b.npz").touch()
    with pytest.raises(BadFile, match=r"a\.pth, b\.npz"):
        find_in_folder(tmp_path)


def test_shards_without_their_index(tmp_path):
    shard(tmp_path).unlink()
    with pytest.raises(BadFile, match="download the index as well"):
        find_in_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "not a JSON object but a list"),
        ("version https://git-lfs.github.com/spec/v1\n", "lfs"),
    ],
)
def test_config_is_read_or_refused(tmp_path, text, words):
    save_file(state(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"hidden_size": 4}')
    assert find_in_folder(tmp_path).config == {"hidden_size": 4}
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadFile, match=words):
        find_in_folder(tmp_path)


# broken files


def pointer(path):
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 346345912\n")


def cut(write, keep):
    def make(path):
        write(path, state())
        data = path.read_bytes()
        path.write_bytes(data[: keep if keep > 0 else len(data) + keep])

    return make


def header(table, data=b""):
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return lambda path: path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())


def zipped(*names):
    def make(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")

    return make


class Evil:
    """A pickle that would write a file."""

    def __reduce__(self):
        return (open, ("evil-was-here", "w"))


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
FLAX = b"\x81\xa6params\x81\xa4head" + b"\0" * 40

BAD = {
    "missing": ("x.pth", lambda p: None, "there is no file"),
    "dangling link": ("x.pth", lambda p: p.symlink_to("gone"), "link to a file that is gone: gone"),
    "empty": ("x.safetensors", lambda p: p.touch(), "is empty"),
    "git-lfs pointer": ("x.safetensors", pointer, f"346345912 bytes, oid sha256:{'ab' * 32}(.|\n)*lfs pull"),
    "web page": ("x.pth", lambda p: p.write_text("<!DOCTYPE html><title>Log in</title>"), r"web page \('Log in'\)"),
    "error as JSON": ("x.bin", lambda p: p.write_text('{"error": "Access denied"}'), "Access denied"),
    "error as JSON, brace ninth": ("x.safetensors", lambda p: p.write_text('{"err": {"a": 1}}'), "without weights"),
    "error as XML": ("x.pth", lambda p: p.write_text("<?xml version='1'?><Code>NoSuchKey</Code>"), "NoSuchKey"),
    "config taken for weights": ("config.json", lambda p: p.write_text("{}"), "JSON document without weights"),
    "broken JSON": ("x.index.json", lambda p: p.write_text('{"weight_map": {'), "is not JSON"),
    "some text": ("x.pth", lambda p: p.write_text("Entry not found"), "text file: Entry not found"),
    "noise": ("x.pth", lambda p: p.write_bytes(bytes([200, 1, 2, 3, 255] * 99)), "begins with c8 01 02 03"),
    "short safetensors": ("x.safetensors", lambda p: p.write_bytes(b"\1\0\0"), "truncated or corrupt safetensors"),
    "safetensors without its end": ("x.safetensors", cut(SAFETENSORS, -9), "is truncated: its header lists"),
    "safetensors cut in its header": ("x.safetensors", cut(SAFETENSORS, 40), "announces a header of"),
    "safetensors with a tail": ("x.safetensors", header({"a": ROW}, b"\0" * 9), "longer than its header says"),
    "header is no JSON": ("x.safetensors", header(b"{'a': 1}"), "cannot be read"),
    "header is a list": ("x.safetensors", header(b"[1234567]"), "not a table"),
    "header names one twice": ("x.safetensors", header(b'{"a": 1, "a": 2}'), "'a' stands in it twice"),
    "header without offsets": ("x.safetensors", header({"a": {"dtype": "F32"}}), "does not say dtype"),
    "header with a number": ("x.safetensors", header({"a": 5}), "does not say dtype"),
    "header contradicts itself": ("x.safetensors", header({"a": {**ROW, "shape": [3]}}, b"\0" * 8), "contradicts"),
    "overlap": ("x.safetensors", header({"a": ROW, "b": ROW}, b"\0" * 8), "overlap"),
    "unknown dtype": ("x.safetensors", header({"a": {**ROW, "dtype": "F4"}}, b"\0" * 8), "has the dtype F4"),
    "nothing inside": ("x.safetensors", header({}), "holds no tensors"),
    "truncated zip": ("x.pth", cut(TORCH, -30), "truncated or corrupt: it begins as a zip"),
    "truncated npz": ("x.npz", cut(NPZ, -30), "truncated or corrupt: it begins as a zip"),
    "truncated old format": ("x.pth", cut(writers()["legacy"], -50), "truncated or corrupt torch file"),
    "just a pickle": ("x.pth", lambda p: p.write_bytes(pickle.dumps({"a": 1})), "Python pickle"),
    "cut pickle": ("x.pth", lambda p: p.write_bytes(pickle.dumps({"a": 1})[:5]), "Python pickle"),
    "objects in a torch file": (
        "x.pth",
        lambda p: torch.save({"model": state(), "args": argparse.Namespace(a=1)}, p),
        r"would have to run argparse\.Namespace",
    ),
    "objects in the old format": (
        "x.pth",
        lambda p: torch.save({"args": argparse.Namespace(a=1)}, p, _use_new_zipfile_serialization=False),
        r"would have to run argparse\.Namespace",
    ),
    "code in a torch file": (
        "x.pth",
        lambda p: torch.save({"a": Evil()}, p),
        "would have to run (io|_io|builtins).open",
    ),
    "code in a pickle": ("x.pth", lambda p: p.write_bytes(pickle.dumps(Evil())), "could run code"),
    "objects in an npz": ("x.npz", lambda p: np.savez(p, a=np.array([{}], dtype=object)), "holds Python objects"),
    "texts in an npz": ("x.npz", lambda p: np.savez(p, a=np.array(["a"])), "has the dtype <U1"),
    "no array in an npz": ("x.npz", zipped("a.npy"), "the array 'a' .* cannot be read"),
    "one tensor": ("x.pth", lambda p: torch.save(torch.ones(2), p), "one tensor without a name"),
    "a list": ("x.pth", lambda p: torch.save([1, 2], p), "no tensors: list of 2"),
    "numbers only": ("x.pth", lambda p: torch.save({"epoch": 1}, p), "no tensors: dict of 1"),
    "sparse tensor": ("x.pth", lambda p: torch.save({"a": torch.eye(2).to_sparse()}, p), "sparse_coo"),
    "complex tensor": ("x.pth", lambda p: torch.save({"a": torch.ones(1) * 1j}, p), "complex64"),
    "TorchScript": ("x.pt", zipped("x/data.pkl", "x/constants.pkl", "x/code/a.py"), "TorchScript"),
    "another zip": ("x.zip", zipped("a.txt", "b.txt"), r"zip archive of a\.txt, b\.txt"),
    "gzip": ("x.pth.gz", lambda p: p.write_bytes(gzip.compress(b"x")), "gzip"),
    "tar": ("x.tar", tar, "tar archive"),
    "7z": ("x.7z", lambda p: p.write_bytes(b"7z\xbc\xaf\x27\x1c" + b"\0" * 30), "7z"),
    "Flax": ("flax_model.msgpack", lambda p: p.write_bytes(FLAX), "Flax"),
    "Flax without its ending": ("x.bin", lambda p: p.write_bytes(FLAX), "Flax"),
    "Keras": ("tf_model.h5", lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 30), "HDF5"),
    "TensorFlow": ("model.ckpt.data-00000-of-00001", lambda p: p.write_bytes(b"\0" * 99), "TensorFlow checkpoint"),
    "ONNX": ("x.bin", lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x05" + b"\xff" * 30), "ONNX"),
    "picture": ("x.bin", lambda p: p.write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 30), "JPEG"),
    "empty folder": ("x", lambda p: p.mkdir(), "has no weights: it holds nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    name, make, words = BAD[case]
    make(tmp_path / name)
    with pytest.raises(BadFile, match=words) as error:
        open_tensors(tmp_path / name)
    assert name in str(error.value)
    assert error.value.__cause__ is None
    assert not (tmp_path / "evil-was-here").exists()


def test_permission_denied(tmp_path, monkeypatch):
    save_file(state(), tmp_path / "x.safetensors")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, whatever the mode says
    with pytest.raises(BadFile, match="may not be read"):
        open_tensors(tmp_path / "x.safetensors")


def test_file_that_shrinks_after_it_was_opened(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(100)}, path)
    with open_tensors(path) as tensors:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(BadFile, match="it has changed since"):
            tensors.read("a")


def test_a_damaged_array_in_an_npz(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(1000.0))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[5000] ^= 255
    (tmp_path / "x.npz").write_bytes(data)
    with open_tensors(tmp_path / "x.npz") as tensors, pytest.raises(BadFile, match=r"'a' .* cannot be read"):
        tensors.read("a")


def test_header_lengths_that_look_like_other_formats(tmp_path):
    """A header's length comes first, and may spell the first bytes of a pickle, a gzip or a zip archive."""
    for first in (b"\x80\x02", b"\x1f\x8b", b"PK", b"\x81\xa6"):
        length = int.from_bytes(first, "little")
        text = json.dumps({"a": ROW}).encode().ljust(length)
        (tmp_path / "x.bin").write_bytes(length.to_bytes(8, "little") + text + b"\0" * 8)
        with open_tensors(tmp_path / "x.bin") as tensors:
            assert tensors.format == "safetensors"


def test_every_cut_of_a_file_is_a_bad_file(tmp_path):
    for written in ("safetensors", "torch", "legacy", "npz"):
        whole = tmp_path / f"whole.{written}.npz"
        writers()[written](whole, {"a": torch.ones(3), "b": torch.zeros(2)})
        data = whole.read_bytes()
        for length in range(0, len(data), max(len(data) // 40, 1)):
            (tmp_path / "x.npz").write_bytes(data[:length])
            with pytest.raises(SnellenError):
                open_tensors(tmp_path / "x.npz")
        with open_tensors(whole) as tensors:
            assert len(tensors) == 2


# memory: run in a process of its own, whose peak is read from the system

PROBE = """
import gc, sys, torch
from pathlib import Path
from snellen.checkpoints import torch_file
from snellen.checkpoints.files import open_tensors

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def copy(read, names, done=lambda name: None):
    kept = {}
    for name in names:
        kept[name] = read(name).to(torch.bfloat16)
        done(name)
    return kept

mode, warm, path = sys.argv[1:]
with open_tensors(Path(warm)) as tensors:
    copy(tensors.read, tensors.names())  # imports and first use are not what is measured
if mode == "keep pages":
    torch_file.drop_pages = lambda address, length: None
gc.collect()
before = peak()
if mode == "library":
    from safetensors import safe_open
    with safe_open(path, "pt") as file:
        kept = copy(file.get_tensor, file.keys())
else:
    with open_tensors(Path(path)) as tensors:
        kept = copy(tensors.read, tensors.names(), tensors.release)
kept_bytes = sum(value.nbytes for value in kept.values())
print(peak() - before, kept_bytes)
"""

SLACK = 8 * 2**20  # the tensor at hand (4 MiB) and what the allocator keeps


def growth(mode, warm, path):
    command = [sys.executable, "-c", PROBE, mode, str(warm), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    grown, kept = map(int, done.stdout.split())
    return grown, kept


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    values = {f"t{i:02}": torch.ones(1024, 1024) for i in range(38)}  # 152 MiB
    save_file(values, folder / "x.safetensors")
    torch.save(values, folder / "x.pth")
    torch.save({"a": torch.ones(8)}, folder / "warm.pth")
    return folder


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_peak_memory_of_reading_float32_into_bfloat16(large, name):
    grown, kept = growth("lean", large / "warm.pth", large / name)
    assert grown <= 1.2 * kept + SLACK


@pytest.mark.parametrize(("mode", "name"), [("library", "x.safetensors"), ("keep pages", "x.pth")])
def test_peak_memory_without_that_care(large, mode, name):
    """The control: a mapped file whose pages are kept costs the whole file besides."""
    grown, kept = growth(mode, large / "warm.pth", large / name)
    assert grown > 2.5 * kept > 1.2 * kept + SLACK
