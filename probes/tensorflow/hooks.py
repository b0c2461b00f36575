"""The hooks on datasets and their iterators, the one place where the agent enters the user's call stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gputune.probes.agent.sites import Site
from gputune.probes.tensorflow import private
from gputune.probes.tensorflow.sites import Built, Sites, length_of

_ATTRIBUTE = "_gputune_feed"


class Feed:
    """One pass of a loop over a dataset.

    Args:
        iterator: what the loop holds.
        built: the pipeline under it.
        site: where it was made.
        length: elements of a pass; ``None`` when endless or unknown.
    """

    def __init__(self, iterator: Any, built: Built, site: Site, length: int | None) -> None:
        self.built, self.site, self.length = built, site, length
        self.handed_out = 0
        self.reading: Any = iterator
        """Where elements come from: the loop's own iterator, or one over a rebuilt pipeline."""
        self.swapped = False
        self.ended = False

    @property
    def fresh(self) -> bool:
        """Whether no element has been handed out in this pass."""
        return self.handed_out == 0


class Listener(Protocol):
    """Who wants to know about elements."""

    def next_element(self, feed: Feed, read: Callable[[Any], Any]) -> Any:
        """Return the next element for the user's loop, or raise what the user is to see.

        Args:
            feed: the pass that asks.
            read: reads the next element of an iterator, as TensorFlow does.
        """
        ...


def feed_of(iterator: Any) -> Feed | None:
    """Return the pass an iterator belongs to; ``None`` in a graph and for iterators of ours."""
    return getattr(iterator, _ATTRIBUTE, None)


def install(sites: Sites, listener: Listener) -> None:
    """Put the hooks in place for the rest of the process."""
    datasets = private.module(private.DATASET_OPS).DatasetV2
    iterators = private.module("tensorflow.python.data.ops.iterator_ops").OwnedIterator
    original_iter, read = datasets.__iter__, iterators._next_internal

    def __iter__(self: Any) -> Any:
        iterator = original_iter(self)
        if private.executing_eagerly():
            built = sites.built(self)
            setattr(iterator, _ATTRIBUTE, Feed(iterator, built, sites.of(self, built), length_of(self)))
        return iterator

    def _next_internal(self: Any) -> Any:
        feed = feed_of(self)
        if feed is None or not private.executing_eagerly():
            return read(self)
        return listener.next_element(feed, read)

    __iter__.__doc__, _next_internal.__doc__ = original_iter.__doc__, read.__doc__
    datasets.__iter__, iterators._next_internal = __iter__, _next_internal


def unwatched(dataset: Any) -> Any:
    """Return an iterator over a dataset that no hook sees."""
    iterator = iter(dataset)
    if feed_of(iterator) is not None:
        delattr(iterator, _ATTRIBUTE)
    return iterator
