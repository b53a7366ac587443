"""The search for the best setup: every candidate is verified first, and only what passes is measured.

``tuner``: ``tune``, the search within its budget. ``candidates``: what is tried, the most promising first. ``apart``,
``child`` and ``wire``: a candidate in a process of its own, which can be ended. ``budget``: what a step will cost.
``final``: the best against the default, and the choice.
"""
