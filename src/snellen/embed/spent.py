"""Where the time of a run goes: seconds of each stage, added up. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds: of all reading and decoding threads together, of the encoder, of writing, and of waiting for images."""

    read_s: float = 0.0
    decode_s: float = 0.0
    encode_s: float = 0.0
    write_s: float = 0.0
    waited_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """Return the sum, field by field."""
        return Spent(
            read_s=self.read_s + other.read_s,
            decode_s=self.decode_s + other.decode_s,
            encode_s=self.encode_s + other.encode_s,
            write_s=self.write_s + other.write_s,
            waited_s=self.waited_s + other.waited_s,
        )

    @property
    def wall_s(self) -> float:
        """How long the loop took: what the encoder, waiting for images and writing took one after the other."""
        return self.encode_s + self.write_s + self.waited_s
