"""The user's files, processes and time are safe while their script is probed.

``plan`` is the tuner's side; everything else runs in the keeper, the parent process of the user's command,
which is started without ``site`` and may import the standard library and its neighbours here only.
"""
