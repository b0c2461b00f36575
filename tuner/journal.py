"""The study's journal in the run's folder; a disk that is full costs the file, not the search."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend


class PatientFile(JournalFileBackend):
    """A journal file that goes on in memory from the first entry that cannot be written."""

    _kept: list[dict[str, Any]] | None = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries to the file, or to what is kept of it."""
        if self._kept is None:
            try:
                super().append_logs(logs)
                return
            except OSError:  # disk full, quota, read-only: what was read back before still holds
                self._kept = list(super().read_logs(0))
        self._kept += logs

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries from a number on."""
        if self._kept is None:
            yield from super().read_logs(log_number_from)
        else:
            yield from self._kept[log_number_from:]


def open_journal(folder: Path, name: str) -> BaseStorage:
    """Return a storage that is written to ``folder/name`` as long as the disk takes it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return JournalStorage(PatientFile(str(folder / name)))
    except OSError:
        return InMemoryStorage()
