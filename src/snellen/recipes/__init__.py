"""Recipes: preprocessing and pooling as one line of text, with a hash.

    stored | shortest_edge 256 bicubic | center_crop 256 | scale | mean 0.485 0.456 0.406 | std 0.229 0.224 0.225
      | pool cls

Read from left to right. What the pixels are when a step meets them decides how the step is done:

=====================================  ==============================================================================
``stored`` or ``upright``              first: leave the EXIF orientation alone, or apply it
``dct N``                              second, if at all: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long
                                       as both sides stay at least N times what the first resize makes of them
``shortest_edge N FILTER``             resize, keeping the aspect ratio, until the shorter side is N pixels
``squash H [W] FILTER``                resize to exactly H x W pixels
``center_crop H [W] [floor]``          cut H x W out of the middle; pad with black where the image is smaller.
                                       Half a pixel is rounded to even, or down with ``floor``
``tensor``                             from here on numbers [3,h,w] that torch resizes, still 8 bits
``scale``                              from here on such numbers in float32, 0..1
``mean R G B`` ``std R G B``           subtract, divide
``pool NAME``                          last: how the encoder's tokens become one vector
=====================================  ==============================================================================

A resize is Pillow's before ``tensor`` or ``scale`` (FILTER bilinear, bicubic, lanczos or box), torch's on 8-bit
numbers after ``tensor``, and torch's on float32 after ``scale`` (bilinear or bicubic). All of them are
antialiased, unless ``aliased`` follows the filter (float32 only).

``Recipe.parse(text)`` reads one, ``recipe(picture)`` gives pixels and ``recipe.array(picture)`` the same as a numpy
array, without torch where no resize is torch's. ``builtin(library, family)`` gives the text under which a library's own
preprocessing is known here.
"""

from __future__ import annotations

from snellen.recipes.recipe import Recipe
from snellen.recipes.table import FAMILIES, LIBRARIES, STATS, builtin

__all__ = ["FAMILIES", "LIBRARIES", "STATS", "Recipe", "builtin"]
