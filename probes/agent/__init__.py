"""The agent: the part of gputune that lives inside the user's process.

``start`` installs ``hooks`` on torch's loader iterators. In mode *probe* a ``conductor`` obeys the tuner's orders
at batch boundaries: it swaps settings in place (``swap``), measures (``builder``, ``clock``) and answers. In mode
*apply* the hooks are not needed at all: ``apply`` sets the loaders' settings when they are constructed.
"""
