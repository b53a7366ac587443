"""The encoders: configuration, features and the maths of inference. Knows nothing of checkpoints, names or devices."""
