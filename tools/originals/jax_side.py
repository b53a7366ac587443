"""Run the original JAX code of ViT from a clone. Started by ``jax_client`` under a Python that has jax and flax.

In: a folder with ``jobs.json`` and the files it names. Out: ``answers.json`` and ``answer-N.npz`` in that folder.
Nothing of snellen is imported, and nothing of theirs copied: ``vit_jax`` is imported from the clone.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

Job = dict[str, Any]
Arrays = dict[str, np.ndarray]

# The released files number a block's parts in one sequence, today's flax each kind by itself; their loader turns the
# first into the second, and what is saved here is checked by loading it again.
RELEASED = {
    "MultiHeadDotProductAttention_0": "MultiHeadDotProductAttention_1",
    "LayerNorm_1": "LayerNorm_2",
    "MlpBlock_0": "MlpBlock_3",
}


def stand_in(name: str, **attributes: Any) -> None:
    """Put a module in place of one that their files import but that nothing done here needs."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(attributes)
    sys.modules[name] = module


def import_theirs(clone: str) -> tuple[Any, Any, Any]:
    """Import their checkpoint and model modules; of TensorFlow they use the function that opens a file."""
    importlib.import_module("flax.training.checkpoints")  # looks for TensorFlow by itself, so it comes first

    if importlib.util.find_spec("tensorflow") is None:
        files = types.SimpleNamespace(GFile=open)
        stand_in("tensorflow", io=types.SimpleNamespace(gfile=files))
        stand_in("tensorflow.io", gfile=files)
    for name in ("pandas", "tqdm"):
        if importlib.util.find_spec(name) is None:
            stand_in(name)
    sys.path.insert(0, clone)
    from vit_jax import checkpoint, models_vit
    from vit_jax.configs import models

    return checkpoint, models_vit, models


class Original:
    """Their model of one job, and what their loader makes of a file."""

    def __init__(self, theirs: tuple[Any, Any, Any], job: Job) -> None:
        self.checkpoint, self.models_vit, models = theirs
        settings = models.MODEL_CONFIGS[job["like"]].to_dict()
        settings["transformer"] |= job.get("transformer", {})
        settings |= job.get("settings", {})
        settings["patches"] = types.SimpleNamespace(**settings["patches"])
        self.settings = settings
        self.patch = settings["patches"].size[0]
        self.classes: int = job["classes"]

    def model(self, **changes: Any) -> Any:
        """Build their module."""
        return self.models_vit.VisionTransformer(**{**self.settings, "num_classes": self.classes, **changes})

    def init(self, size: tuple[int, int], abstract: bool = False, **changes: Any) -> dict[str, Any]:
        """Return fresh parameters for an input size, or only their shapes."""
        import jax
        import jax.numpy as jnp

        start = functools.partial(self.model(**changes).init, train=False)
        image = jnp.zeros((1, *size, 3), jnp.float32)
        return (jax.eval_shape if abstract else lambda f, *args: f(*args))(start, jax.random.key(0), image)["params"]

    def check(self, params: Mapping[str, Any], grid: int) -> None:
        """Raise ValueError unless names and shapes are those of their own fresh parameters.

        A classifier may stand beside an encoder that is asked for without one, as it does in the released in21k files.
        """
        params = {key: value for key, value in params.items() if key != "head" or self.classes}
        expected = self.init((grid * self.patch,) * 2, abstract=True)
        self.checkpoint.inspect_params(params=params, expected=expected)  # strict: extra and missing both fail
        wanted, found = flat(expected), flat(params)
        wrong = [key for key in wanted if tuple(wanted[key].shape) != tuple(found[key].shape)]
        if wrong:
            raise ValueError(f"shapes differ: {wrong}")

    def resized(self, params: dict[str, Any], size: tuple[int, int], dtype: str) -> dict[str, Any]:
        """Bring the position table to another size as their loader does.

        It knows squares only; for the others the same call is made with one factor for each axis.
        """
        import scipy.ndimage

        table = np.asarray(params["Transformer"]["posembed_input"]["pos_embedding"], dtype)
        side = int(np.sqrt(table.shape[1] - 1))
        grid = (size[0] // self.patch, size[1] // self.patch)
        if grid[0] == grid[1]:
            if grid[0] != side:
                table = self.checkpoint.interpolate_posembed(table, grid[0] * grid[1] + 1, True)
        else:
            image = table[0, 1:].reshape(side, side, -1)
            image = scipy.ndimage.zoom(image, (grid[0] / side, grid[1] / side, 1), order=1)
            table = np.concatenate([table[:, :1], image.reshape(1, grid[0] * grid[1], -1)], axis=1)
        return with_table(params, table)

    def through_load_pretrained(self, path: str, size: tuple[int, int]) -> dict[str, Any]:
        """Load with the function their fine-tuning calls; the head, which it makes anew, is put back."""
        import flax
        import ml_collections

        config = ml_collections.ConfigDict(
            {"classifier": "token"} | {k: self.settings[k] for k in ("representation_size",)}
        )
        loaded = self.checkpoint.load_pretrained(
            pretrained_path=path, init_params=self.init(size, num_classes=self.classes or 1), model_config=config
        )
        params = flax.core.unfreeze(loaded)
        if self.classes:
            params["head"] = self.checkpoint.load(path)["head"]
        return params

    def outputs(self, params: dict[str, Any], pixels: np.ndarray, dtype: str) -> Arrays:
        """Run their module on pixels [B, 3, h, w]: normed tokens, pooled vector, logits, blocks."""
        import jax

        image = np.transpose(pixels, (0, 2, 3, 1)).astype(dtype)
        variables = {"params": jax.tree.map(lambda a: np.asarray(a, dtype), params)}
        block = self.models_vit.Encoder1DBlock
        unpooled = self.model(classifier="token_unpooled", representation_size=None, num_classes=0)
        with self._in(dtype):
            tokens, kept = unpooled.apply(
                variables, image, train=False, capture_intermediates=lambda module, _: isinstance(module, block)
            )
            pooled = self.model(num_classes=0).apply(variables, image, train=False)
            found = {"cls/pooled": np.concatenate([tokens[:, 0], pooled], axis=1), "patches": np.asarray(tokens[:, 1:])}
            if self.classes:
                found["logits"] = np.asarray(self.model().apply(variables, image, train=False))
        stages = kept["intermediates"]["Transformer"]
        order = sorted(stages, key=lambda name: int(name.rpartition("_")[2]))
        maps = [np.transpose(stages[name]["__call__"][0][:, 1:], (0, 2, 1)).ravel() for name in order]
        assert tokens.dtype == dtype, tokens.dtype
        return {**found, "blocks": np.concatenate(maps)}

    @contextmanager
    def _in(self, dtype: str) -> Iterator[None]:
        """While it lasts, their block computes in ``dtype``, an attribute that their encoder leaves at float32."""
        wider = functools.partial(self.models_vit.Encoder1DBlock, dtype=dtype)
        with mock.patch.object(self.models_vit, "Encoder1DBlock", wider):
            yield


def with_table(params: dict[str, Any], table: Any) -> dict[str, Any]:
    """Return the parameters with another position table."""
    transformer = {**params["Transformer"], "posembed_input": {"pos_embedding": table}}
    return {**params, "Transformer": transformer}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dict's leaves by their paths."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {prefix + key: value}
    return leaves


def redrawn(params: Mapping[str, Any]) -> Arrays:
    """Draw every parameter anew, so that it counts, under the names of the released files."""
    random = np.random.default_rng(2)
    drawn: Arrays = {}
    for name, leaf in flat(params).items():
        noise = random.standard_normal(leaf.shape).astype(np.float32)
        if name.endswith("kernel"):
            ins = leaf.shape[:1] if "query" in name or "key/" in name or "value" in name else leaf.shape[:-1]
            noise /= np.float32(np.sqrt(np.prod(ins)))
        elif name.endswith("scale"):
            noise = 1 + np.float32(0.1) * noise
        elif name.endswith("bias"):
            noise *= np.float32(0.1)
        drawn["/".join(RELEASED.get(part, part) for part in name.split("/"))] = noise
    return drawn


def answer(original: Original, job: Job, folder: Path, index: int) -> dict[str, Any]:
    """Do one job; the arrays go to a file."""
    if job["do"] == "shapes":
        tree = original.checkpoint.recover_tree(
            *zip(*((k, np.empty(v, "V0")) for k, v in job["shapes"].items()), strict=True)
        )
        original.check(original.checkpoint.checkpoints.convert_pre_linen(tree), job["grid"])
        return {}
    if job["do"] == "fresh":
        drawn = redrawn(original.init((job["grid"] * original.patch,) * 2))
        np.savez(job["path"], **drawn)
    params = original.checkpoint.load(job["path"])
    original.check(params, job["grid"])
    arrays: Arrays = {}
    notes: list[str] = []
    for size in job["sizes"]:
        pixels = np.load(folder / f"pixels-{size[0]}x{size[1]}.npy")[: job["batch"]]
        if size[0] == size[1]:
            notes += differs(original, job["path"], size, original.resized(params, size, "float32"))
        for dtype in ("float32", "float64"):
            for part, array in original.outputs(original.resized(params, size, dtype), pixels, dtype).items():
                arrays[f"{size[0]}x{size[1]} {dtype} {part}"] = array
    np.savez(folder / f"answer-{index}.npz", **arrays)
    return {"load_pretrained": sorted(set(notes))}


def differs(original: Original, path: str, size: tuple[int, int], params: Mapping[str, Any]) -> list[str]:
    """Say how what ``load_pretrained`` makes of a file differs from the parameters that are compared, if it does."""
    try:
        loaded = flat(original.through_load_pretrained(path, size))
    except (KeyError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"[:200]]
    unused = set() if original.classes else {"head/kernel", "head/bias"}  # the fresh classifier it insists on
    wanted = {key: value for key, value in flat(params).items() if key not in unused}
    same = loaded.keys() - unused == wanted.keys() and all(np.array_equal(loaded[key], wanted[key]) for key in wanted)
    return [] if same else ["its parameters differ from the file's"]


def facts(theirs: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Return what else snellen relies on: defaults of flax, and the sizes at which scipy's zoom loses an edge."""
    import inspect

    import flax
    import jax
    import scipy

    checkpoint = theirs[0]
    lost = []
    for side in (14, 16):
        for new in range(1, 65):
            table = np.ones((1, side * side + 1, 1), np.float32)
            if not np.all(np.asarray(checkpoint.interpolate_posembed(table, new * new + 1, True)) == 1):
                lost.append([side, new])
    return {
        "gelu_approximate": inspect.signature(flax.linen.gelu).parameters["approximate"].default,
        "layer_norm_eps": flax.linen.LayerNorm.epsilon,
        "lost_edges": lost,
        "versions": {"jax": jax.__version__, "flax": flax.__version__, "scipy": scipy.__version__},
    }


def main(folder: Path) -> None:
    """Do all jobs of a folder."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_enable_x64", True)  # float32 stays float32; without it there is no float64
    document = json.loads((folder / "jobs.json").read_text())
    theirs = import_theirs(document["clone"])
    answers = []
    for index, job in enumerate(document["jobs"]):
        try:
            answers.append(answer(Original(theirs, job), job, folder, index))
        except (KeyError, ValueError) as error:  # what their loader raises for a file that is not its own
            answers.append({"fault": f"{type(error).__name__}: {error}"[:300]})
    (folder / "answers.json").write_text(json.dumps({"answers": answers, "facts": facts(theirs)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
