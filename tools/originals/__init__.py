"""The parts of ``check_originals.py``: what is compared, how their code is run, how the result is shown."""
