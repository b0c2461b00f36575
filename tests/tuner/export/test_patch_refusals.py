"""What the patch leaves alone or refuses, and that it names why."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import run_factory as factory
from patch_bench import HEAD, NONE, WANTED, applied, loader_of, make_run, write

from gputune.errors import InconclusiveError
from gputune.export import patch
from gputune.probes.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
ONE_LINE = "loader = DataLoader(data, batch_size=2)\n"
LITERALS = "loader = DataLoader(data, num_workers=0, pin_memory=False)  # slow\n"


def test_values_from_configuration_are_named_with_their_line_and_not_touched(tmp_path: Path) -> None:
    body = (
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--num-workers', type=int, default=0)\n"
        "args = parser.parse_args([])\n"
        "loader = DataLoader(data, num_workers=args.num_workers, pin_memory=False)\n"
    )
    file, line = write(tmp_path, HEAD + body)
    diff = patch.render(make_run(file, line))
    assert "# num_workers=3: its value comes from `args.num_workers` (train.py:7); change it there" in diff
    after = applied(tmp_path, file, make_run(file, line))
    assert b"num_workers=args.num_workers, pin_memory=True)" in after
    # prefetch_factor without workers is an error in torch, so it is not written before the workers are there.
    assert b"prefetch_factor" not in after
    assert loader_of(after) == Settings(pin_memory=True)


def test_packed_keywords_are_named_and_nothing_is_added_beside_them(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + "kw = dict(num_workers=0)\nloader = DataLoader(data, **kw)\n")
    with pytest.raises(InconclusiveError, match=r"may be given in `kw` \(train.py:5\)") as caught:
        patch.render(make_run(file, line))
    assert "gputune run train.py" in caught.value.hint


def test_workers_are_not_dropped_while_a_prefetch_factor_comes_from_elsewhere(tmp_path: Path) -> None:
    body = "depth = 4\nloader = DataLoader(data, num_workers=2, prefetch_factor=depth)\n"
    file, line = write(tmp_path, HEAD + body)
    observed = Settings.make(num_workers=2, prefetch_factor=4)
    with pytest.raises(InconclusiveError, match="torch refuses prefetch_factor"):
        patch.render(make_run(file, line, observed, NONE))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + ONE_LINE)
    run = make_run(file, line)
    file.write_text(file.read_text() + "# new\n")
    with pytest.raises(InconclusiveError, match="has changed since run"):
        patch.render(run)


def test_without_a_hash_a_newer_file_and_a_contradicting_literal_are_refused(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + LITERALS)
    run = msgspec.structs.replace(make_run(file, line), sources={})
    os.utime(file, (2e9, 2e9))
    with pytest.raises(InconclusiveError, match="has changed since run"):
        patch.render(run)
    os.utime(file, (1e9, 1e9))
    assert "num_workers=3" in patch.render(run)
    other = msgspec.structs.replace(
        run, loader=factory.site(file=str(file), line=line, settings=Settings.make(num_workers=7))
    )
    with pytest.raises(InconclusiveError, match="says num_workers=0, the run saw num_workers=7"):
        patch.render(other)


def test_installed_libraries_are_not_patched(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + ONE_LINE, "env/site-packages/lib/data.py")
    with pytest.raises(InconclusiveError, match="inside an installed library") as caught:
        patch.render(make_run(file, line, user_file="/home/ana/train.py", user_line=9))
    assert "/home/ana/train.py:9" in str(caught.value)
    assert "huggingface" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("loader = make(data)\n", r"constructs no loader: the call there is make\(...\)"),
        ("loader = 1\n", "constructs no loader"),
        ("loader = [DataLoader(data), DataLoader(data)]\n", "constructs 2 loaders on one line"),
        ("loader = DataLoader(data\n", "cannot read train.py as Python"),
    ],
)
def test_a_line_that_is_no_single_constructor_is_refused(body: str, said: str, tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + body)
    with pytest.raises(InconclusiveError, match=said):
        patch.render(make_run(file, line))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file, line = write(tmp_path, b"# -*- coding: latin-1 -*-\n# \xe4\nloader = DataLoader(data)\n")
    with pytest.raises(InconclusiveError, match="UTF-8"):
        patch.render(make_run(file, line))


def test_a_patched_file_needs_no_second_patch(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + ONE_LINE)
    applied(tmp_path, file, make_run(file, line))
    with pytest.raises(InconclusiveError, match="has these values already"):
        patch.render(make_run(file, line, WANTED))
