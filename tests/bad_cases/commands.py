"""Command lines that ask for what cannot be done."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import click

from bad_cases.making import folder, photo
from bad_cases.table import Call, Place, Table
from snellen.errors import ImageError, UsageError

TABLE = Table("Command lines")
row = TABLE.row

S = "vit_small_patch14_dinov2.lvd142m"


def convert(dst: str, to: str, *more: str, name: str = S) -> list[str]:
    """Return the command that converts drawn weights."""
    return ["convert", "seed:0", dst, "--to", to, "--as", name, *more]


@row("an unknown command", click.UsageError)
def command(at: Place) -> Call:
    return ["embedd", "photo.png"]


@row("an unknown option", click.UsageError)
def option(at: Place) -> Call:
    return ["models", "--jsn"]


@row("no model", click.UsageError)
def no_model(at: Place) -> Call:
    return ["embed", "photo.png"]


@row("convert to an unknown dialect", click.UsageError)
def to_keras(at: Place) -> Call:
    return convert("out", "keras")


@row("a number of workers that is none", click.UsageError)
def workers(at: Place) -> Call:
    return ["embed", "photo.png", "-m", S, "--workers", "many"]


@row("embed to an unknown ending", UsageError)
def ending(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "x.csv"]


@row("embed to a name without an ending", UsageError)
def no_ending(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "x"]


@row("embed to a folder", UsageError)
def to_folder(at: Place) -> Call:
    (at.path / "x.npz").mkdir()
    return ["embed", photo(at), "-m", folder(at), "-o", "x.npz"]


@row("embed into a folder that does not exist", UsageError)
def no_folder(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "gone/x.parquet"]


@row("a folder without images", UsageError)
def no_images(at: Place) -> Call:
    at.file("photos/readme.txt", "nothing here")
    return ["embed", "photos", "-m", folder(at)]


@row("a pattern that matches nothing", UsageError)
def no_match(at: Place) -> Call:
    return ["embed", "*.gif", "-m", folder(at)]


@row("an empty list on stdin", UsageError)
def empty_list(at: Place) -> Call:
    at.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n")))
    return ["embed", "-", "-m", folder(at)]


@row("an empty list on stdin, for features", UsageError)
def features_empty_list(at: Place) -> Call:
    at.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    return ["features", "-", "-m", folder(at)]


@row("an empty list on stdin, for classify", UsageError)
def classify_empty_list(at: Place) -> Call:
    at.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    return ["classify", "-", "-m", folder(at)]


@row("features of an image that cannot be used", ImageError)
def features_bad_image(at: Place) -> Call:
    at.file("photo.jpg", "<html>gone</html>")
    return ["features", "photo.jpg", "-m", folder(at), "-o", "x.npz"]


@row("features to an unknown ending", UsageError)
def features_ending(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "-o", "x.pt"]


@row("convert to where something stands", UsageError)
def taken(at: Place) -> Call:
    at.file("out/model.safetensors", b"precious")
    return convert("out", "transformers")


@row("convert to a dialect that the family does not have", UsageError)
def no_dialect(at: Place) -> Call:
    return convert("x.npz", "jax")


@row("convert to the original spelling with another ending", UsageError)
def meta_ending(at: Place) -> Call:
    return convert("x.safetensors", "meta")


@row("convert a seed without a name", UsageError)
def nameless_seed(at: Place) -> Call:
    return ["convert", "seed:0", "out", "--to", "timm"]


@row("convert to timm what timm has no name for", UsageError)
def timm_nameless(at: Place) -> Call:
    return ["convert", folder(at), "out", "--to", "timm"]


@row("inspect a file that is no checkpoint", Exception)
def inspect_text(at: Place) -> Call:
    at.file("x.pth", "404: Not Found\n")
    return ["inspect", "x.pth"]
