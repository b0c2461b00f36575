"""The patch: applied with the real git, then run against the real DataLoader, over many styles of call."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import msgspec
import pytest
from patch_bench import HEAD, NONE, WANTED, applied, loader_of, make_run, write

from gputune.export import patch
from gputune.probes.settings import SETTINGS, Settings

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
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
    "star args": ("a = (data,)\nloader = DataLoader(*a, num_workers=0, prefetch_factor=None, pin_memory=False)\n"),
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
    assert text.endswith("    batch_size=2,\n    num_workers=3,\n    prefetch_factor=4,\n    pin_memory=True,\n)\n")


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
