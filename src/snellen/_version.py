"""The version, where records and the package's metadata both read it."""

__version__ = "0.1.0"
