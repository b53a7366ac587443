"""Measuring honestly: rates of runners, ratios in alternation, the machine's own ceiling, peak memory.

In: runners, or callables. Out: ``snellen.records.timing``, raw samples among them. Clocks are arguments, so that a test
needs none. ``latency``: one batch at a time, device and host apart. ``rates``: throughput, and single images.
``feed``: what is fed meanwhile, and what came back. ``statistics``: what samples support. ``ceiling``: matrix products.
``bandwidth``: copies. ``memory``: of this process. ``machine``: what it is, without torch.
"""
