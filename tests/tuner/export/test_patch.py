"""The patch: applied with the real git, then run against the real DataLoader, over many styles of call."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import subprocess
import tokenize
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory

from gputune.errors import InconclusiveError
from gputune.export import patch
from gputune.probes.settings import SETTINGS, Settings
from gputune.record import Recommendation, Run

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
HEAD = "import torch\nfrom torch.utils.data import DataLoader\n\ndata = list(range(8))\n"
WANTED = Settings.make(num_workers=3, prefetch_factor=4, pin_memory=True)
NONE = Settings()


def git(folder: Path, *arguments: str, text: bytes | None = None) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], input=text, capture_output=True, timeout=20, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def make_run(file: Path, line: int, observed: Settings = NONE, wanted: Settings = WANTED, **site: Any) -> Run:
    chosen = Recommendation(settings=wanted, ratio=2.0, low=1.9, high=2.1, reproducibility="")
    return msgspec.structs.replace(
        factory.run(proof=None, trials=[]), recommendation=chosen, cwd=str(file.parent),
        loader=factory.site(file=str(file), line=line, settings=observed, **site),
        sources={str(file): hashlib.sha256(file.read_bytes()).hexdigest()},
    )  # fmt: skip


def write(folder: Path, source: str | bytes, name: str = "train.py") -> tuple[Path, int]:
    """Write a script into a new repository; the call is on the line that says ``loader =``."""
    git(folder, "init", "-q")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    data = source if isinstance(source, bytes) else source.encode()
    file.write_bytes(data)
    return file, next(n for n, line in enumerate(data.split(b"\n"), 1) if b"loader =" in line)


def applied(folder: Path, file: Path, run: Run) -> bytes:
    diff = patch.render(run)
    git(folder, "apply", "--check", "-", text=diff.encode())
    git(folder, "apply", "-", text=diff.encode())
    return file.read_bytes()


def loader_of(source: bytes) -> Settings:
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "train.py", "exec"), names)
    return Settings.make(**{name: getattr(names["loader"], name) for name in msgspec.structs.asdict(NONE)})


STYLES = {
    "one line": "loader = DataLoader(data, batch_size=2)\n",
    "one line with a comma": "loader = DataLoader(data, batch_size=2,)\n",
    "literals": "loader = DataLoader(data, num_workers=0, pin_memory=False)  # slow\n",
    "by position": "loader = DataLoader(data, 2, True, None, None, 0, None, False)\n",
    "only the data": "loader = DataLoader(data)\n",
    "hanging, trailing comma": "loader = DataLoader(\n    data,\n    batch_size=2,\n)\n",
    "hanging, no trailing comma": "loader = DataLoader(\n    data,\n    batch_size=2\n)\n",
    "with comments": "loader = DataLoader(\n    data,  # all\n    batch_size=2,  # 2, (a)\n    # b\n)\n",
    "hanging, comment, no comma": "loader = DataLoader(\n    data,\n    batch_size=2  # two, really)\n)\n",
    "hanging, several a line": "loader = DataLoader(\n    data, batch_size=2,\n    shuffle=True,\n)\n",
    "aligned": "loader = DataLoader(data, batch_size=2,\n                    shuffle=True)\n",
    "leading commas": "loader = DataLoader(\n    data\n    , batch_size=2\n)\n",
    "parenthesised value": "loader = DataLoader((data), batch_size=(2))\n",
    "parenthesised last": "loader = DataLoader((\n    data\n))\n",
    "qualified": "loader = torch.utils.data.DataLoader(data, batch_size=2)\n",
    "star args": (
        "a = (data,)\nloader = DataLoader(*a, num_workers=0, prefetch_factor=None, pin_memory=False)\n"
    ),
    "alias": "from torch.utils.data import DataLoader as DL\nloader = DL(data)\n",
    "assigned alias": "Loader = DataLoader\nloader = Loader(data)\n",
    "inside a call": "loader = dict(a=DataLoader(data, batch_size=2), b=[1])['a']\n",
    "several lines, closed at once": "loader = DataLoader(\n    data)\n",
    "lambda and brackets": "loader = DataLoader(data, collate_fn=lambda b: {'a': [b, (1,)]})\n",
    "string with a bracket": "loader = DataLoader(data, multiprocessing_context=None or 'fork' + ')#'[2:])\n",
    "backslash": "loader = \\\n    DataLoader(data, \\\n               batch_size=2)\n",
    "nested call last": "loader = DataLoader(data, collate_fn=dict(a=list)['a'])\n",
    "method": "class Module:\n    pass\n\n\nloader = DataLoader(\n\tdata,\n\tbatch_size=2,\n)\n",
    "unicode": "名 = 'häß'; loader = DataLoader(data, batch_size=len('ä'))  # ünï\n",
    "semicolon": "x = 1; loader = DataLoader(data, num_workers = 0); y = 2\n",
    "no newline at the end": "loader = DataLoader(data)",
    "walrus": "print(loader := 1); loader = DataLoader(data)\n",
    "generator": "loader = DataLoader([x for x in data], batch_size=2, drop_last = True )\n",
}


@pytest.mark.parametrize("style", STYLES)
def test_git_applies_the_patch_and_the_real_loader_gets_the_settings(style: str, tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES[style])
    before = file.read_bytes()
    # Python reports the line of the call, which a backslash puts below the name.
    line += 1 if style == "backslash" else 0
    after = applied(tmp_path, file, make_run(file, line))
    assert loader_of(after) == WANTED
    assert without_settings(after) == without_settings(before)
    assert comments(after) == comments(before)


class Strip(ast.NodeTransformer):
    """Takes the settings out of every call."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in SETTINGS]
        node.args = [value for index, value in enumerate(node.args) if index not in (5, 7)]
        return node


def without_settings(source: bytes) -> str:
    return ast.dump(Strip().visit(ast.parse(source)))


def comments(source: bytes) -> list[str]:
    tokens = tokenize.tokenize(io.BytesIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def test_a_hanging_call_keeps_one_keyword_a_line_and_its_trailing_comma(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES["hanging, trailing comma"])
    text = applied(tmp_path, file, make_run(file, line)).decode()
    assert text.endswith(
        "    batch_size=2,\n    num_workers=3,\n    prefetch_factor=4,\n    pin_memory=True,\n)\n"
    )


def test_only_the_lines_of_the_call_change(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + "a = 1\n" * 50 + STYLES["literals"] + "b = 2\n" * 50)
    diff = patch.render(make_run(file, line))
    changed = [row for row in diff.splitlines() if row[:1] in "+-" and row[:3] not in ("+++", "---")]
    assert changed == [
        "-loader = DataLoader(data, num_workers=0, pin_memory=False)  # slow",
        "+loader = DataLoader(data, num_workers=3, pin_memory=True, prefetch_factor=4)  # slow",
    ]


def test_windows_line_ends_and_a_byte_order_mark_survive(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbf" + (HEAD + STYLES["hanging, trailing comma"]).replace("\n", "\r\n").encode()
    file, line = write(tmp_path, source)
    after = applied(tmp_path, file, make_run(file, line))
    assert after.startswith(b"\xef\xbb\xbf")
    assert after.count(b"\r\n") == after.count(b"\n")
    assert loader_of(after) == WANTED


@pytest.mark.parametrize("name", ["sub dir/train.py", 'we"ird.py', "naïve/träin.py", "a\tb.py"])
def test_paths_that_need_quoting_apply(name: str, tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES["one line"], name)
    assert loader_of(applied(tmp_path, file, make_run(file, line))) == WANTED


def test_outside_a_repository_paths_count_from_the_working_directory(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES["one line"], "pkg/train.py")
    (tmp_path / ".git").rename(tmp_path / "not-git")
    run = msgspec.structs.replace(make_run(file, line), cwd=str(tmp_path))
    assert "--- a/pkg/train.py\n" in patch.render(run)


def test_dropping_workers_clears_what_torch_refuses_without_them(tmp_path: Path) -> None:
    call = "loader = DataLoader(data, num_workers=2, prefetch_factor=4, persistent_workers=True)\n"
    observed = Settings.make(num_workers=2, prefetch_factor=4, persistent_workers=True)
    file, line = write(tmp_path, HEAD + call)
    assert loader_of(applied(tmp_path, file, make_run(file, line, observed, NONE))) == NONE


def test_a_subclass_is_patched_where_it_calls_its_base(tmp_path: Path) -> None:
    body = (
        "class Mine(DataLoader):\n    def __init__(self, data):\n"
        "        super().__init__(data, batch_size=2)\n"
        "\n\nloader = Mine(data)\n"
    )
    file, _ = write(tmp_path, HEAD + body)
    run = make_run(
        file,
        (HEAD + body).split("\n").index("        super().__init__(data, batch_size=2)") + 1,
        loader_class="Mine",
    )
    assert loader_of(applied(tmp_path, file, run)) == WANTED


# ---- what is left alone
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
    assert "--format python" in caught.value.hint


def test_workers_are_not_dropped_while_a_prefetch_factor_comes_from_elsewhere(tmp_path: Path) -> None:
    body = "depth = 4\nloader = DataLoader(data, num_workers=2, prefetch_factor=depth)\n"
    file, line = write(tmp_path, HEAD + body)
    observed = Settings.make(num_workers=2, prefetch_factor=4)
    with pytest.raises(InconclusiveError, match="torch refuses prefetch_factor"):
        patch.render(make_run(file, line, observed, NONE))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES["one line"])
    run = make_run(file, line)
    file.write_text(file.read_text() + "# new\n")
    with pytest.raises(InconclusiveError, match="has changed since run"):
        patch.render(run)


def test_without_a_hash_a_newer_file_and_a_contradicting_literal_are_refused(tmp_path: Path) -> None:
    file, line = write(tmp_path, HEAD + STYLES["literals"])
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
    file, line = write(tmp_path, HEAD + STYLES["one line"], "env/site-packages/lib/data.py")
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
    file, line = write(tmp_path, HEAD + STYLES["one line"])
    applied(tmp_path, file, make_run(file, line))
    with pytest.raises(InconclusiveError, match="has these values already"):
        patch.render(make_run(file, line, WANTED))
