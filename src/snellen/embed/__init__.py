"""Embedding many images: what is named on the command line -> paths -> vectors in order -> a file.

``inputs`` finds the images, ``run`` owns the order, ``sinks`` writes what comes out.
"""
