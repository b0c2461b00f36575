"""Shapes of plain loops; argv[1] names one."""

import sys

import torch
from common import N, Numbers, make_model, tell
from torch.utils.data import DataLoader

shape = sys.argv[1]
model = make_model()
kind = torch.optim.LBFGS if shape == "lbfgs" else torch.optim.SGD
optimizer = kind(model.parameters(), 1e-9)
scaler = torch.amp.GradScaler("cpu", enabled=shape == "amp")
forward = torch.compile(model, backend="eager") if shape == "compiled" else model
seen = []


def loss_of(x):
    with torch.autocast("cpu", enabled=shape == "amp"):
        return forward(x).square().mean()


def step(x):
    seen.extend(x.flatten().tolist())
    if shape == "lbfgs":

        def closure():
            optimizer.zero_grad()
            loss = loss_of(x)
            loss.backward()
            return loss

        optimizer.step(closure)
        return
    optimizer.zero_grad()
    scaler.scale(loss_of(x)).backward()
    scaler.step(optimizer)
    scaler.update()


def make_loader(n=N):
    return DataLoader(Numbers(n), batch_size=8, shuffle=True)  # HERE


if shape == "recreated":
    for epoch in range(8):
        for x in make_loader(N // 8):
            step(x)
elif shape == "zipped":
    other = DataLoader(range(N), batch_size=8)
    for x, y in zip(make_loader(), other, strict=True):
        step(x)
else:
    for x in make_loader():
        step(x)
tell(seen)
