"""Command lines that ask for what cannot be done."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import click

from bad_cases.making import folder, photo
from bad_cases.table import Call, Place, Table
from snellen.cli.main import main
from snellen.errors import BadFile, ImageError, Unavailable, UsageError

TABLE = Table("Command lines")
row = TABLE.row

S = "vit_small_patch14_dinov2.lvd142m"


def convert(dst: str, to: str, *more: str, name: str = S) -> list[str]:
    """Return the command that converts drawn weights."""
    return ["convert", "seed:0", dst, "--to", to, "--as", name, *more]


@row(
    "an unknown command",
    click.UsageError,
    seen=(
        "Usage: snellen [OPTIONS] COMMAND [ARGS]...\n"
        "Try 'snellen --help' for help.\n"
        "\n"
        "Error: No such command 'embedd'.…\n"
    ),
)
def command(at: Place) -> Call:
    return ["embedd", "photo.png"]


@row(
    "an unknown option",
    click.UsageError,
    seen=(
        "Usage: snellen models [OPTIONS]\n"
        "Try 'snellen models --help' for help.\n"
        "\n"
        "Error: No such option…--jsn…--json…\n"
    ),
)
def option(at: Place) -> Call:
    return ["models", "--jsn"]


@row(
    "no model",
    click.UsageError,
    seen=(
        "Usage: snellen embed [OPTIONS] SOURCE...\n"
        "Try 'snellen embed --help' for help.\n"
        "\n"
        "Error: Missing option '-m' / '--model'.\n"
    ),
)
def no_model(at: Place) -> Call:
    return ["embed", "photo.png"]


@row(
    "convert to an unknown dialect",
    click.UsageError,
    seen=(
        "Usage: snellen convert [OPTIONS] SRC DST\n"
        "Try 'snellen convert --help' for help.\n"
        "\n"
        "Error: Invalid value for '--to': 'keras' is not one of 'timm', 'transformers', "
        "'meta', 'apple', 'jax'.\n"
    ),
)
def to_keras(at: Place) -> Call:
    return convert("out", "keras")


@row(
    "a number of workers that is none",
    click.UsageError,
    seen=(
        "Usage: snellen embed [OPTIONS] SOURCE...\n"
        "Try 'snellen embed --help' for help.\n"
        "\n"
        "Error: Invalid value for '--workers': 'many' is not a valid integer range.\n"
    ),
)
def workers(at: Place) -> Call:
    return ["embed", "photo.png", "-m", S, "--workers", "many"]


@row(
    "embed to an unknown ending",
    UsageError,
    seen="the output 'x.csv' ends in .csv",
    expected=".parquet or .npz or .jsonl, or a folder",
    todo="choose one of these; the name of a folder that is not there yet ends in /",
)
def ending(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "x.csv"]


@row(
    "embed to a folder with other things in it",
    UsageError,
    seen="the folder 'out' is no store, and holds other things: notes.txt",
    expected="a new or empty folder, or a store",
    todo="name another folder; nothing was changed",
)
def to_folder(at: Place) -> Call:
    at.file("out/notes.txt", "nothing here")
    return ["embed", photo(at), "-m", folder(at), "-o", "out"]


@row(
    "a store begun with another pooling",
    UsageError,
    seen="these vectors may not be mixed with those of the store 'out': …, and … there",
    expected="the weights, recipe, pooling and dtype that the store was begun with",
    todo="ask for what the store holds, or write to another folder",
)
def other_pooling(at: Place) -> Call:
    asked = ["embed", photo(at), "-m", folder(at), "-o", "out/", "--quiet"]
    assert main(asked) == 0
    return [*asked, "--pool", "patch_mean"]


@row(
    "a share that does not exist",
    UsageError,
    seen="--shard '4/4' is no share",
    expected="I/N with I from 0 to N - 1",
    todo="--shard 0/4",
)
def no_share(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "out/", "--shard", "4/4"]


@row(
    "an option of stores for a file",
    UsageError,
    seen="--layout was given without a store",
    expected="-o FOLDER/",
    todo="name a folder for the output",
)
def no_store(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "x.npz", "--layout", "clip-retrieval"]


@row(
    "embed into a folder that does not exist",
    UsageError,
    seen="the folder 'gone' does not exist",
    todo="mkdir -p gone",
    evident=True,
)
def no_folder(at: Place) -> Call:
    return ["embed", photo(at), "-m", folder(at), "-o", "gone/x.parquet"]


@row(
    "a folder without images",
    UsageError,
    seen="the folder 'photos' holds no images",
    expected="files ending in .jpg ..., .tar, or .parquet with images",
    todo="check the spelling, or name the files themselves",
)
def no_images(at: Place) -> Call:
    at.file("photos/readme.txt", "nothing here")
    return ["embed", "photos", "-m", folder(at)]


@row(
    "a pattern that matches nothing",
    UsageError,
    seen="the pattern '*.gif' matches no file",
    expected="a pattern such as 'photos/**/*.jpg'",
    todo="check the spelling, or name the files themselves",
)
def no_match(at: Place) -> Call:
    return ["embed", "*.gif", "-m", folder(at)]


@row(
    "an empty list on stdin",
    UsageError,
    seen="the list on stdin is empty",
    expected="paths of images, one a line",
    todo="check the spelling, or name the files themselves",
)
def empty_list(at: Place) -> Call:
    at.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n")))
    return ["embed", "-", "-m", folder(at)]


@row(
    "an empty list on stdin, for classify",
    UsageError,
    seen="the list on stdin is empty",
    expected="paths of images, one a line",
    todo="check the spelling, or name the files themselves",
)
def classify_empty_list(at: Place) -> Call:
    at.patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    return ["classify", "-", "-m", folder(at)]


@row(
    "features of an image that cannot be used",
    ImageError,
    seen=("'photo.jpg' is a web page (HTML), as a server sends instead of a missing file, not an image read here"),
    expected="an image file (JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF, ICO)",
    todo="if it is a picture at all, convert it to JPEG, PNG or WebP; if not, leave it out",
)
def features_bad_image(at: Place) -> Call:
    at.file("photo.jpg", "<html>gone</html>")
    return ["features", "photo.jpg", "-m", folder(at), "-o", "x.npz"]


@row(
    "features to an unknown ending",
    UsageError,
    seen="the output 'x.pt' ends in .pt",
    expected=".npz or .safetensors",
    todo="choose one of these",
)
def features_ending(at: Place) -> Call:
    return ["features", photo(at), "-m", folder(at), "-o", "x.pt"]


@row(
    "convert to where something stands",
    UsageError,
    seen="'out' exists already",
    expected="a new name, or an empty folder",
    todo="name another place, or remove what stands there; nothing was written",
)
def taken(at: Place) -> Call:
    at.file("out/model.safetensors", b"precious")
    return convert("out", "transformers")


@row(
    "convert to a dialect that the family does not have",
    UsageError,
    seen="there is no jax spelling of dinov2",
    expected="meta, timm, transformers",
    todo="--to one of these",
)
def no_dialect(at: Place) -> Call:
    return convert("x.npz", "jax")


@row(
    "convert to the original spelling with another ending",
    UsageError,
    seen="'x.safetensors' does not end in .pth",
    expected="the format that meta's own loader reads",
    todo="write to 'x.pth'",
)
def meta_ending(at: Place) -> Call:
    return convert("x.safetensors", "meta")


@row(
    "convert to below a file",
    Unavailable,
    seen="'photo.png/out' cannot be written: File exists",
    expected="a place that may be written to, with room for the weights",
    todo="free some space, or write somewhere else; nothing was left behind",
)
def below_file(at: Place) -> Call:
    return convert(f"{photo(at)}/out", "timm")


@row(
    "convert a seed without a name",
    UsageError,
    seen="'seed:0' says how weights are drawn, not of which encoder",
    todo="name the model, and give the seed as weights",
    evident=True,
)
def nameless_seed(at: Place) -> Call:
    return ["convert", "seed:0", "out", "--to", "timm"]


@row(
    "convert to timm what timm has no name for",
    UsageError,
    seen="timm has no name for the network of './model'",
    expected="a variant of the zoo",
    todo="--to transformers",
)
def timm_nameless(at: Place) -> Call:
    return ["convert", folder(at), "out", "--to", "timm"]


@row(
    "inspect a file that is no checkpoint",
    BadFile,
    seen="'x.pth' is a text file: 404: Not Found",
    expected="a .safetensors, .pth, .pt, .bin or .npz file, or a folder with one",
    todo=("download the file again and compare its size with the one shown where it is published"),
)
def inspect_text(at: Place) -> Call:
    at.file("x.pth", "404: Not Found\n")
    return ["inspect", "x.pth"]
