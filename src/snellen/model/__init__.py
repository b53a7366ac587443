"""Models: load one by name or path (``loading``), look into a checkpoint (``inspection``), convert it (``conversion``).

``model.Model`` is what comes out of loading. ``source`` finds weights, and imports no torch.
"""
