"""Loaders of other libraries in a plain loop; argv[1] names one."""

import time

import torch
from common import SAMPLE_S, WORKERS, N, Numbers, Seen, make_model, shape, tell


def stateful():
    from torchdata.stateful_dataloader import StatefulDataLoader

    yield from StatefulDataLoader(Numbers(), batch_size=8, shuffle=True, num_workers=WORKERS)  # HERE stateful


def pyg():
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader

    class Graphs(Numbers):
        def __getitem__(self, i):
            return Data(x=super().__getitem__(i)[:, None])

    for batch in DataLoader(Graphs(), batch_size=8, shuffle=True, num_workers=WORKERS):  # HERE pyg
        yield batch.x


def pyg_nodes():
    from torch_geometric.data import Data
    from torch_geometric.loader import NodeLoader
    from torch_geometric.sampler import BaseSampler, SamplerOutput

    class Alone(BaseSampler):
        """Samples no neighbours: NeighborLoader's own sampler needs a compiled library."""

        def sample_from_nodes(self, index, **kwargs):
            none = torch.empty(0, dtype=torch.long)
            return SamplerOutput(node=index.node, row=none, col=none, edge=None, metadata=(index.input_id, None))

        def sample_from_edges(self, index, **kwargs):
            raise NotImplementedError

    graph = Data(x=torch.arange(float(N))[:, None], edge_index=torch.empty(2, 0, dtype=torch.long))
    for batch in NodeLoader(
        graph, Alone(), input_nodes=None, batch_size=8, shuffle=True, num_workers=WORKERS
    ):  # HERE pyg_nodes
        yield batch.x


def timm():
    import cpu_torchvision  # noqa: F401
    from PIL import Image
    from timm.data import create_loader

    class Images(Numbers):
        transform = None

        def __getitem__(self, i):
            # The transform of a sample keeps its colour, and the target tells its number.
            image = Image.new("RGB", (4, 4), (i % 256, 0, 0))
            return self.transform(image), i

    loader = create_loader(  # HERE timm
        Images(), (3, 4, 4), 8, is_training=True, no_aug=True, num_workers=WORKERS, persistent_workers=False,
        use_prefetcher=False, device=torch.device("cpu"), pin_memory=False,
    )  # fmt: skip
    for _, target in loader:
        yield target[:, None].float()


def monai():
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, Lambda, RandLambda

    def read(i):
        return torch.tensor([float(i)])

    def augment(x):
        time.sleep(SAMPLE_S)
        return x

    transform = Compose([Lambda(read), RandLambda(augment, prob=1.0)])
    data = CacheDataset(range(min(N, 5000)), transform, cache_rate=1.0, num_workers=1, progress=False)
    for _ in range(max(1, N // 5000)):
        yield from DataLoader(data, batch_size=8, shuffle=True, num_workers=WORKERS)  # HERE monai


def fastai():
    import cpu_torchvision  # noqa: F401
    from fastai.data.load import DataLoader

    yield from DataLoader(Numbers(), bs=8, shuffle=True, num_workers=WORKERS)  # HERE fastai


def webdataset():
    import io
    import os
    import tarfile
    import tempfile

    import webdataset as wds

    folder, most = tempfile.mkdtemp(), min(N, 4000)
    for shard in range(4):
        with tarfile.open(os.path.join(folder, f"{shard}.tar"), "w") as tar:
            for i in range(shard * most // 4, (shard + 1) * most // 4):
                entry = tarfile.TarInfo(f"{i:06d}.cls")
                data = str(i).encode()
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    urls = [os.path.join(folder, f"{shard}.tar") for shard in range(4)]

    def slowly(sample):
        time.sleep(SAMPLE_S)
        return sample

    data = wds.WebDataset(urls * max(1, N // most), shardshuffle=False).decode().map(slowly).to_tuple("cls").batched(8)
    for batch in wds.WebLoader(data, batch_size=None, num_workers=WORKERS):  # HERE webdataset
        yield torch.as_tensor(batch[0]).float()[:, None]


def sharding():
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Stream(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            first, every = (info.id, info.num_workers) if info else (0, 1)
            for i in range(first, N, every):
                time.sleep(SAMPLE_S)
                yield torch.tensor([float(i)])

    yield from DataLoader(Stream(), batch_size=8, num_workers=WORKERS)  # HERE sharding


model = make_model()
optimizer = torch.optim.SGD(model.parameters(), 1e-9)
seen = Seen()
for x in globals()[shape]():
    seen.extend(x.flatten().tolist())
    optimizer.zero_grad()
    model(x.reshape(-1, 1)).mean().backward()
    optimizer.step()
tell(seen)
