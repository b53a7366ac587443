"""Why tensors are left aside, where more than one library has them."""

from __future__ import annotations

MASK = "stands in for patches hidden during training; inference hides none"
PROBE = "a linear probe of somebody's own: not part of the encoder, and not run"
