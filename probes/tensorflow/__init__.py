"""The agent for TensorFlow: ``tf.data`` pipelines, Keras 3's ``fit`` and custom loops, ``PyDataset`` workers.

``start`` installs the hooks. Datasets remember how they were made (``recipes``), so that a pipeline can be built again
with other parallelism (``pipeline``) without tracing the user's functions again; a ``conductor`` hands the elements of
the rebuilt pipeline to the user's own loop. Nothing here imports TensorFlow by itself: it works on the modules the
user's script has imported.
"""
