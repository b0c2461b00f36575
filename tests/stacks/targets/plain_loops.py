"""Shapes of plain loops; argv[1] names one."""

import torch
from common import WORKERS, N, Numbers, Seen, make_model, shape, tell
from torch.utils.data import DataLoader

model = make_model()
kind = torch.optim.LBFGS if shape == "lbfgs" else torch.optim.SGD
optimizer = kind(model.parameters(), 1e-9, **({"max_iter": 1} if shape == "lbfgs" else {}))
critic = make_model()
critic_optimizer = torch.optim.Adam(critic.parameters(), 1e-9)
scaler = torch.amp.GradScaler("cpu", enabled=shape == "amp")
forward = torch.compile(model) if shape == "compiled" else model
seen = Seen()


def loss_of(x):
    with torch.autocast("cpu", enabled=shape == "amp"):
        return forward(x).square().mean()


def step(x):
    seen.extend(x.flatten().tolist())
    if shape == "evaluation":
        with torch.no_grad():
            forward(x)
        return
    if shape == "gan":
        critic_optimizer.zero_grad()
        critic(model(x).detach()).mean().backward()
        critic_optimizer.step()
    if shape == "lbfgs":

        def closure():
            optimizer.zero_grad()
            loss = loss_of(x)
            loss.backward()
            return loss

        optimizer.step(closure)
        return
    if shape == "accumulation":
        (loss_of(x) / 4).backward()
        if len(seen) % 32 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return
    optimizer.zero_grad()
    scaler.scale(loss_of(x)).backward()
    scaler.step(optimizer)
    scaler.update()


def make_loader(n=N):
    return DataLoader(Numbers(n), batch_size=8, shuffle=True, num_workers=WORKERS)  # HERE


if shape == "recreated":
    for epoch in range(max(2, N // 400)):
        for x in make_loader(min(N // 2, 400)):
            step(x)
elif shape == "zipped":
    other = DataLoader(range(N), batch_size=8)
    for x, y in zip(make_loader(), other, strict=True):
        step(x)
else:
    for x in make_loader():
        step(x)
tell(seen)
