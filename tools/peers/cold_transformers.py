"""transformers from nothing to one embedding: python cold_transformers.py FOLDER PHOTO.

Pixels are made with Pillow and numpy, which is sooner there than the library's own processor.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from peers.operators import declare

declare()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import AutoModel  # noqa: E402

SIDE = 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

folder, photo = sys.argv[1:]
model = AutoModel.from_pretrained(folder).eval()
with Image.open(photo) as image:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
pixels = ((np.asarray(small, np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
with torch.inference_mode():
    vector = model(pixel_values=torch.from_numpy(pixels)).pooler_output
print(vector[0, :4].tolist(), flush=True)
