"""timm from nothing to one embedding: python cold_timm.py WEIGHTS NAME PHOTO."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from peers.operators import declare

declare()

import timm  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

weights, name, photo = sys.argv[1:]
model = timm.create_model(name, checkpoint_path=weights, num_classes=0).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
with Image.open(photo) as image, torch.inference_mode():
    vector = model(transform(image.convert("RGB"))[None])
print(vector[0, :4].tolist(), flush=True)
