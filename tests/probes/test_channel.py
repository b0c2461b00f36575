from __future__ import annotations

import os
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune.probes.channel import MAX_MESSAGE_BYTES, Channel, ChannelClosed, ChannelGarbled, ChannelTimeout
from gputune.probes.protocol import Order, Progress, Release


@pytest.fixture
def ends():
    """A channel that hears itself, and the descriptor to write raw bytes into it."""
    read, write = os.pipe()
    channel: Channel[Progress] = Channel(read, write, Progress)
    yield channel, write
    channel.close()


@given(texts=st.lists(st.text(max_size=200), max_size=20))
def test_messages_arrive_whole_and_in_order(texts):
    read, write = os.pipe()
    channel: Channel[Progress] = Channel(read, write, Progress)
    for text in texts:
        channel.send(Progress(text=text))
    assert [channel.receive(1.0).text for _ in texts] == texts
    channel.close()


def test_a_message_in_pieces_is_put_together(ends):
    channel, write = ends
    body = msgspec.msgpack.encode(Progress(text="hello"))
    data = struct.pack("<I", len(body)) + body
    os.write(write, data[:3])
    with pytest.raises(ChannelTimeout):
        channel.receive(0.05)
    os.write(write, data[3:])
    assert channel.receive(1.0).text == "hello"


def test_the_end_of_the_other_side_is_noticed():
    read, write = os.pipe()
    spare, unused = os.pipe()
    channel: Channel[Progress] = Channel(read, unused, Progress)
    os.close(write)
    os.close(spare)
    with pytest.raises(ChannelClosed):
        channel.receive(1.0)
    with pytest.raises(ChannelClosed):
        channel.send(Progress(text="is anybody there?"))
    channel.close()
    channel.close()


def test_a_message_of_another_kind_is_refused():
    read, other = os.pipe()
    channel: Channel[Order] = Channel(read, other, Order)
    channel.send(Progress(text="not an order"))
    with pytest.raises(ChannelGarbled, match="progress"):
        channel.receive(1.0)
    channel.send(Release())
    assert isinstance(channel.receive(1.0), Release)
    channel.close()


def test_an_absurd_length_is_refused_before_anything_is_allocated(ends):
    channel, write = ends
    os.write(write, struct.pack("<I", MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ChannelClosed, match="over the limit"):
        channel.receive(1.0)
