"""Read what ``snellen embed -o FILE.parquet`` wrote: which encoder it was, and for each image the one most like it.

python examples/read_embeddings.py FILE.parquet
"""

from __future__ import annotations

import json
import sys
from pathlib import PurePosixPath

import numpy
from pyarrow import parquet

table = parquet.read_table(sys.argv[1])
model = json.loads(table.schema.metadata[b"snellen"])
rows = [row for row in table.to_pylist() if row["status"] == "done"]

vectors = numpy.array([row["embedding"] for row in rows])
vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
likeness = vectors @ vectors.T - 2 * numpy.eye(len(rows))  # an image is not its own neighbour

names = [PurePosixPath(row["image_path"]).name for row in rows]
width = max(map(len, names))
print(f"{model['variant']}, {table.num_rows} images, vectors of {vectors.shape[1]} numbers, recipe: {model['recipe']}")
print(f"{'image':{width}}  {'size':>11}  {'first values':23}  {'most like':{width}}  cosine")
for row, name, nearest, cosine in zip(rows, names, likeness.argmax(1), likeness.max(1), strict=True):
    size = f"{row['width']} x {row['height']}"
    first = " ".join(f"{value:7.3f}" for value in row["embedding"][:3])
    print(f"{name:{width}}  {size:>11}  {first:23}  {names[nearest]:{width}}  {cosine:6.3f}")
for note in model["notes"]:
    print(note)
print(f"The results lie in {sys.argv[1]}")
