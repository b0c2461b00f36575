"""[tool.gputune.check]: read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from gputune import check_options
from gputune.errors import UsageError


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_nearest_file_counts_and_none_means_defaults(tmp_path: Path) -> None:
    write(tmp_path, '[tool.gputune.check]\nrequire = ["starvation < 5%"]\nbudget = 30\ninconclusive = "pass"\n')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    found = check_options.load(tmp_path / "deep" / "er")
    assert found.require == ["starvation < 5%"]
    assert found.budget == 30
    assert found.inconclusive == "pass"
    write(tmp_path / "deep", "[project]\nname = 'x'\n")
    assert check_options.load(tmp_path / "deep" / "er") == check_options.CheckOptions()


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[tool.gputune.check]\nrequires = []\n", "no key 'requires'", "did you mean require?"),
        ("[tool.gputune.check]\nrequire = 5\n", "Expected `array`", ""),
        ("[tool.gputune.check]\ninconclusive = 'maybe'\n", "Invalid enum value 'maybe'", ""),
        ("[tool.gputune.check]\nbudget = 0\n", "above 0", ""),
        ("[tool.gputune]\ncheck = 5\n", "is no table", "write: [tool.gputune.check]"),
        ("[tool.gputune.check\n", "cannot be read", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options.load(write(tmp_path, text))
    assert said in str(caught.value)
    assert hint in caught.value.hint
