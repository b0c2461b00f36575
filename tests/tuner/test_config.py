"""The exported configuration: what is written reads back the same; what is wrong is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st

from gputune import config, record
from gputune.errors import InconclusiveError, RecordError
from gputune.export import json as json_export
from gputune.export import toml as toml_export
from gputune.export import yaml as yaml_export
from gputune.probes.settings import Settings

WRITERS = {".json": json_export.text, ".yaml": yaml_export.text, ".toml": toml_export.text}
SETTINGS = st.builds(
    Settings.make,
    num_workers=st.integers(0, 64), prefetch_factor=st.one_of(st.none(), st.integers(1, 64)),
    pin_memory=st.booleans(), persistent_workers=st.booleans(), in_order=st.booleans(),
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)
LOADERS = st.builds(
    config.LoaderConfig,
    file=TEXT,
    line=st.integers(0, 10**6),
    function=TEXT,
    user_file=TEXT,
    role=TEXT,
    settings=SETTINGS,
)
CONFIGS = st.builds(
    config.Config, created_at=TEXT, command=st.lists(TEXT, max_size=3), loaders=st.lists(LOADERS, max_size=3)
)


@pytest.mark.parametrize("suffix", WRITERS)
@given(made=CONFIGS)
def test_every_configuration_reads_back_as_it_was_written(suffix: str, made: config.Config) -> None:
    assert config.parse(WRITERS[suffix](made).encode(), suffix, "made") == made


def test_it_holds_the_recommended_settings_and_where_they_belong() -> None:
    made = config.from_run(factory.run())
    assert [(loader.file, loader.line, loader.settings) for loader in made.loaders] == [
        ("/home/ana/project/train.py", 57, factory.GOOD)
    ]


@pytest.mark.parametrize("name", ["healthy", "not_proved", "interrupted", "no_loader", "script_failed"])
def test_a_run_without_recommendation_gives_no_configuration(name: str) -> None:
    with pytest.raises(InconclusiveError, match="recommends nothing") as caught:
        config.from_run(factory.ALL[name]())
    assert "gputune report" in caught.value.hint


def test_a_results_folder_and_its_run_file_are_accepted(tmp_path: Path) -> None:
    record.save(factory.run(), tmp_path)
    assert config.load(tmp_path) == config.load(tmp_path / "run.json") == config.from_run(factory.run())


LOADER = {"file": "a.py", "line": 3, "settings": {"num_workers": 2, "prefetch_factor": 2}}


def document(**changes: Any) -> bytes:
    return msgspec.json.encode({"schema_version": 1, "loaders": [LOADER], **changes})


def with_settings(**settings: Any) -> bytes:
    return document(loaders=[{**LOADER, "settings": settings}])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (document(schema_version=2), "schema version 2; this gputune reads up to 1"),
        (document(surprise=1), "unknown field `surprise`"),
        (with_settings(num_workers="4"), r"Expected `int`, got `str`.*num_workers"),
        (with_settings(num_workers=4, prefetch=2), "unknown field `prefetch`"),
        (with_settings(num_workers=0, prefetch_factor=2), "prefetch_factor=2 does not go with num_workers=0"),
        (with_settings(num_workers=-1), "num_workers takes 0 to 1024, not -1"),
        (with_settings(num_workers=5000, prefetch_factor=2), "num_workers takes 0 to 1024, not 5000"),
        (with_settings(num_workers=2, prefetch_factor=0), "prefetch_factor takes 1 to 1024, not 0"),
        (b"[1, 2]", "no gputune configuration"),
        (b"{", "no gputune configuration"),
        (b"\xff\xfe", "no gputune configuration"),
        (b"[" * 100_000, "no gputune configuration"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_that_names_it(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "gputune.json"
    file.write_bytes(data)
    with pytest.raises(RecordError, match=said) as caught:
        config.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"), [("a.yaml", b"loaders: [:"), ("a.toml", b"loaders = ["), ("a.yaml", b"a: *b")]
)
def test_broken_yaml_and_toml_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RecordError, match="no gputune configuration"):
        config.load(tmp_path / name)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" " * (config.MAX_CONFIG_BYTES + 1))
    with pytest.raises(RecordError, match="larger than"):
        config.load(tmp_path / "a.json")


def test_a_missing_file_and_an_unknown_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        config.load(tmp_path / "none.yaml")
    with pytest.raises(RecordError, match=r"its name ends in '\.txt'"):
        config.load(tmp_path / "a.txt")


def test_sources_are_hashed_once_each(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text("x = 1\n")
    sites = [
        factory.site(file=str(file)),
        factory.site(file=str(file), line=9),
        factory.site(file="/gone.py"),
    ]
    assert list(config.hash_sources(sites)) == [str(file)]
