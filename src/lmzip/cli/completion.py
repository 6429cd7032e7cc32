"""What a shell needs to complete lmzip's commands, options and their values: made from the parsers themselves."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping

BASH = """\
_lmzip() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options values=''
  case "${{COMP_WORDS[1]}}" in
{commands}
    *) options='{plain}'; [ "$COMP_CWORD" = 1 ] && values='{names}';;
  esac
  case "${{COMP_WORDS[COMP_CWORD-1]}}" in
{choices}
  esac
  [ "${{word#-}}" = "$word" ] && options="$values"
  COMPREPLY=($(compgen -W "$options" -- "$word"))
}}
complete -o default -F _lmzip lmzip"""

ZSH = """\
(( $+functions[compdef] )) || {{ autoload -U compinit && compinit; }}
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str, parsers: Mapping[str, ArgumentParser]) -> str:
    """The completion for "bash", "zsh" or "fish". The parser without a command has the name ""."""
    if shell == "fish":
        return "\n".join(_fish(parsers))
    return (ZSH.format() if shell == "zsh" else "") + _bash(parsers)


def _options(parser: ArgumentParser) -> str:
    actions = list(parser._actions)
    for action in parser._actions:
        if isinstance(action.choices, Mapping):  # commands of a command
            actions += [one for command in action.choices.values() for one in command._actions]
    return " ".join(dict.fromkeys(option for action in actions for option in action.option_strings))


def _bash(parsers: Mapping[str, ArgumentParser]) -> str:
    commands, choices = [], {}
    for name, parser in parsers.items():
        values = ""
        for action in parser._actions:
            chosen = " ".join(map(str, action.choices or ()))
            if chosen and action.option_strings:
                choices["|".join(action.option_strings)] = chosen
            values = values if action.option_strings else chosen
        if name:
            commands.append(f"    {name}) options='{_options(parser)}'; values='{values}';;")
    return BASH.format(
        commands="\n".join(commands),
        plain=_options(parsers[""]),
        names=" ".join(filter(None, parsers)),
        choices="\n".join(f"    {names}) values='{chosen}';;" for names, chosen in choices.items()),
    )


def _fish(parsers: Mapping[str, ArgumentParser]) -> list[str]:
    lines = []
    for name, parser in parsers.items():
        where = f"complete -c lmzip -n '__fish_seen_subcommand_from {name}'"
        if name:
            about = (parser.description or "").partition(".")[0]
            lines.append(f"complete -c lmzip -n __fish_use_subcommand -a {name} -d {_quoted(about)}")
        else:
            where = "complete -c lmzip -n __fish_use_subcommand"
        for action in parser._actions:
            spelt = [f"-l {text[2:]}" if text[:2] == "--" else f"-s {text[1:]}" for text in action.option_strings]
            if action.choices:
                spelt.append(f"-x -a {_quoted(' '.join(map(str, action.choices)))}")
            elif action.option_strings and action.nargs != 0:
                spelt.append("-r")
            if spelt:
                about = "" if action.help in (None, SUPPRESS) else f" -d {_quoted(str(action.help))}"
                lines.append(f"{where} {' '.join(spelt)}{about}")
    return lines


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
