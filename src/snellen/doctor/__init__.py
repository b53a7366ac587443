"""What is here, what is wrong with it, and the command that mends it.

In: the device that a run shall take place on, or nothing. Out: a ``DoctorRecord``. Nothing is changed or written, no
torch is imported into this process, and every command that is asked has a time after which it is given up.
"""
