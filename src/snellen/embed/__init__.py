"""Embedding many images: what is named on the command line -> inputs -> vectors in order -> a file or a store.

``sources`` finds and reads the images, ``prepare`` brings one to pixels, ``run`` owns the order, ``worker`` is one open
encoder at work. ``sinks`` writes a file; ``filling`` fills a store, whose parts an engine (``engines``, ``ray_engine``)
has workers do. ``patches`` is what a store holds beside vectors, ``dense`` the features of a few images.
"""
