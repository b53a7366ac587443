"""Images: from a path, bytes, a Pillow image or an array to 8-bit RGB pixels, or an error that says why not.

``decode(source)`` is the only way in and ``Picture`` the only thing that comes out. What the libraries do
(``Image.open(path).convert("RGB")``) is done here bit for bit; where their result would be useless (16-bit
greyscale saturates to white) or is easily overlooked (dropped alpha, first frame), the picture carries a note.
"""

from __future__ import annotations

from snellen.images.decode import MAX_PIXELS, decode
from snellen.images.picture import Picture

__all__ = ["MAX_PIXELS", "Picture", "decode"]
