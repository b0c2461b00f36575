# Proved by gputune; paste the arguments into the call, or pass **loader_kwargs.
# /home/ana/project/train.py:57 over CocoDataset
loader_kwargs = dict(
    num_workers=3,
    pin_memory=True,
    prefetch_factor=2,
    persistent_workers=False,
)
