"""Find stored runs: by path, by ``last``, or by the beginning of an id."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gputune.errors import RecordError
from gputune.files import read_bounded
from gputune.record import RUN_FILE

RESULTS = Path("results")
"""Where campaigns store their runs unless told otherwise, relative to the working directory."""
LAST = "last"


class Head(msgspec.Struct, frozen=True):
    """What a listing needs of a run; reading it skips the rest."""

    id: str
    created_at: str
    command: list[str]
    status: str = ""
    outcome: str = ""


class Stored(msgspec.Struct, frozen=True):
    """A folder with a run, or with something that should be one."""

    path: Path
    """The folder."""
    head: Head | None
    """``None`` when the file cannot be read as a run."""
    problem: str = ""


def runs(results: Path = RESULTS) -> list[Stored]:
    """Return every stored run of a results folder, the newest last; broken ones come with their problem."""
    if not results.is_dir():
        return []
    found = [_stored(folder) for folder in results.iterdir() if (folder / RUN_FILE).is_file()]
    return sorted(found, key=lambda stored: (_when(stored), stored.path.name))


def _stored(folder: Path) -> Stored:
    try:
        return Stored(folder, msgspec.json.decode(read_bounded(folder / RUN_FILE), type=Head))
    except (RecordError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Stored(folder, None, " ".join(str(error).split()))


def _when(stored: Stored) -> datetime:
    try:
        moment = datetime.fromisoformat(stored.head.created_at if stored.head else "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def resolve(reference: str, results: Path = RESULTS) -> Path:
    """Return the folder or file a user means.

    Args:
        reference: a path, ``last``, or the beginning of an id or folder name.
        results: where runs are stored.

    Raises:
        RecordError: nothing or more than one run fits.
    """
    path = Path(reference)
    if path.is_file() or (path / RUN_FILE).is_file():
        return path
    stored = [run for run in runs(results) if run.head]
    if not stored:
        raise RecordError(
            f"no stored run in {results}/ and no file {reference}", "make one with: gputune profile SCRIPT"
        )
    if reference == LAST:
        return stored[-1].path
    fitting = [run for run in stored if run.path.name.startswith(reference) or _id(run).startswith(reference)]
    exact = [run for run in fitting if reference in (run.path.name, _id(run))]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0].path
    if fitting:
        names = ", ".join(run.path.name for run in fitting[-4:])
        raise RecordError(f"{len(fitting)} runs begin with {reference!r}: {names}", "give more of the id")
    raise RecordError(
        f"no stored run begins with {reference!r} in {results}/", "see the stored runs with: gputune list"
    )


def _id(stored: Stored) -> str:
    return stored.head.id if stored.head else ""
