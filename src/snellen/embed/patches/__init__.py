"""The patch features of every image of a store, beside its vectors, in files that can be mapped into memory.

``spec`` reads what is asked for, ``layout`` says what is written, ``room`` how much that is, ``engine`` makes it,
``pca`` and ``reduce`` make it smaller, ``begin`` and ``first`` settle it before the first part, ``part`` writes it a
part at a time, ``whole`` sees that all is there, ``reader`` gives it back.
"""
