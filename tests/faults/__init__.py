"""The fault corpus: encoders that are wrong in one known way, and runs in which nothing is wrong.

A verifier is worth what it catches and what it lets alone. Everything here is applied to a copy that is thrown away
afterwards; ``table`` lists the faults, ``healthy`` the runs that no rule should refuse.
"""
