"""OpenVINO: the default runtime on a CPU.

``convert`` writes an encoder as a network file (torch needed), ``store`` keeps networks and what OpenVINO compiled of
them between runs, ``session`` runs one (no torch), ``runner`` puts it behind the contract of runtimes, ``quantise``
makes an 8-bit network.
"""
