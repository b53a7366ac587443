"""OpenVINO: the default runtime on a CPU.

``convert`` writes an encoder as a network file (torch needed), ``files`` reads it, ``store`` keeps networks and what
OpenVINO compiled of them between runs, ``session`` runs one (no torch), ``executed`` reads back what it runs in,
``runner`` puts it behind the contract of runtimes, ``quantise`` makes an 8-bit network.
"""
