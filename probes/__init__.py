"""Everything of gputune that touches the training process or the machine.

Nothing in here imports from :mod:`gputune` itself; the tuner imports the probes, never the reverse.
Inside the user's process only the standard library, msgspec and this package are imported by us.
"""
