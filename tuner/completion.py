"""Shell completion, made from the parser itself so that it never lags behind the options. Pure.

Stored runs are completed by the shell from the names of the folders in ``results/``, so that no Python starts while
somebody types.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from string import Template

import msgspec

from gputune import shells

PROGRAM = "gputune"
RUN_DESTINATIONS = ("run_reference", "a", "b", "stored")
"""Positional arguments that name a stored run."""
RUN_OPTIONS = ("config",)


class Option(msgspec.Struct, frozen=True):
    """One option of a verb."""

    flags: tuple[str, ...]
    about: str
    takes: str
    """What its value is: empty (none), ``choice``, ``file``, ``run`` or ``text``."""
    choices: tuple[str, ...] = ()


class Verb(msgspec.Struct, frozen=True):
    """One verb and what may follow it."""

    name: str
    about: str
    options: tuple[Option, ...]
    words: str
    """What its words are: ``run`` (stored runs), ``script`` (a script, then its own arguments), ``choice`` or empty."""
    choices: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """Every spelling of every option."""
        return [flag for option in self.options for flag in option.flags]

    @property
    def valued(self) -> list[str]:
        """The spellings after which a value follows."""
        return [flag for option in self.options if option.takes for flag in option.flags]


def verbs(parser: argparse.ArgumentParser) -> list[Verb]:
    """Return every verb of a parser, in its order."""
    action = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    about = {choice.dest: choice.help or "" for choice in action._choices_actions}
    return [_verb(name, about.get(name, ""), sub) for name, sub in action.choices.items()]


def _verb(name: str, about: str, parser: argparse.ArgumentParser) -> Verb:
    options: list[Option] = []
    words, choices = "", tuple[str, ...]()
    for action in parser._actions:
        if action.option_strings:
            options.append(_option(action))
        elif action.choices:
            words, choices = "choice", tuple(map(str, action.choices))
        elif action.dest in RUN_DESTINATIONS:
            words = "run"
        elif action.nargs == argparse.REMAINDER:
            words = "script"
    return Verb(name, about, tuple(options), words, choices)


def _option(action: argparse.Action) -> Option:
    choices = tuple(map(str, action.choices)) if action.choices else ()
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if action.nargs == 0:
        takes = ""
    elif choices:
        takes = "choice"
    elif action.dest in RUN_OPTIONS:
        takes = "run"
    else:
        takes = "file" if "FILE" in metavar or "DIR" in metavar else "text"
    return Option(tuple(action.option_strings), (action.help or "").replace("%%", "%"), takes, choices)


def bash(found: list[Verb]) -> str:
    """Return the script for bash, which needs no bash-completion package."""
    cases = []
    for verb in found:
        values = [
            f"        {' | '.join(option.flags)}) {_bash_value(option)}return ;;\n"
            for option in verb.options
            if option.takes
        ]
        given = f'options="{" ".join(verb.flags)}" words={verb.words or "none"} choices="{" ".join(verb.choices)}"'
        followed = f"        case $previous in\n{''.join(values)}        esac\n" if values else ""
        cases.append(f"    {verb.name})\n        {given}\n{followed}        ;;\n")
    valued = "".join(f'    {verb.name}) echo " {" ".join(verb.valued)} " ;;\n' for verb in found)
    return _filled(shells.BASH, verbs=" ".join(verb.name for verb in found), cases="".join(cases), valued=valued)


def _bash_value(option: Option) -> str:
    words = {"choice": " ".join(option.choices), "run": "$(_gputune_runs)"}.get(option.takes)
    return "" if words is None else f'COMPREPLY=($(compgen -W "{words}" -- "$current")); '


def zsh(found: list[Verb]) -> str:
    """Return the script for zsh: to be sourced, or to lie as ``_gputune`` in the fpath."""
    names = "".join(f"      {_quoted(f'{verb.name}:{verb.about}')}\n" for verb in found)
    cases = "".join(f"      {verb.name})\n        _arguments -s {_zsh_arguments(verb)} ;;\n" for verb in found)
    return _filled(shells.ZSH, verbs=names, cases=cases)


def _zsh_arguments(verb: Verb) -> str:
    words = []
    for option in verb.options:
        about = option.about.replace("[", "(").replace("]", ")").replace(":", " -")
        value = {
            "choice": f":value:({' '.join(option.choices)})", "file": ":file:_files", "run": ":run:_gputune_runs",
            "text": ":value: ",
        }.get(option.takes, "")  # fmt: skip
        words += [_quoted(f"{flag}[{about}]{value}") for flag in option.flags]
    last = {
        "run": "*:run:_gputune_runs", "script": "*::script:_files", "choice": f"1:value:({' '.join(verb.choices)})",
    }.get(verb.words)  # fmt: skip
    return " \\\n          ".join([*words, *([_quoted(last)] if last else [])])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish(found: list[Verb]) -> str:
    """Return the script for fish."""
    lines = []
    for verb in found:
        lines.append(f"complete -c {PROGRAM} -n '__gputune_at_verb' -f -a {verb.name} -d {_fish(verb.about)}")
        when = f"-n '__gputune_in {verb.name}'"
        for option in verb.options:
            flags = " ".join(f"-l {f[2:]}" if f.startswith("--") else f"-s {f[1:]}" for f in option.flags)
            value = {
                "choice": f" -x -a '{' '.join(option.choices)}'", "file": " -r -F", "text": " -x",
                "run": " -x -a '(__gputune_runs)'",
            }.get(option.takes, "")  # fmt: skip
            lines.append(f"complete -c {PROGRAM} {when} {flags}{value} -d {_fish(option.about)}")
        words = {"run": "-f -a '(__gputune_runs)'", "choice": f"-f -a '{' '.join(verb.choices)}'", "": "-f"}
        if verb.words != "script":
            lines.append(f"complete -c {PROGRAM} {when} {words[verb.words]}")
    return _filled(shells.FISH, lines="\n".join(lines))


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _filled(script: str, **parts: str) -> str:
    return _AtTemplate(script).substitute(parts)


class _AtTemplate(Template):
    """A template whose marks do not clash with those of shells."""

    delimiter = "@@"


SHELLS: dict[str, Callable[[list[Verb]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""Every shell there is completion for."""
