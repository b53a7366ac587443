"""Checkpoints: where weights are found, how files are opened, what their tensors are called, how they are written."""
