"""Measuring honestly: rates of runners, ratios in alternation, the machine's own ceiling, peak memory.

In: runners, or callables. Out: ``snellen.records.timing``, raw samples among them. Clocks are arguments, so that a test
needs none. ``rates``: throughput and latency. ``feed``: what is fed meanwhile, and what came back. ``ceiling``: matrix
products. ``memory``: of this process. ``machine``: what it is, without torch.
"""
