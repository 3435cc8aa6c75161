"""The command line: arguments only. Flags are made from `pinyon.settings`, and the server from `pinyon.app`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import pinyon
from pinyon import settings
from pinyon.errors import PinyonError

EXIT_FAILED: Final = 1
EXIT_WRONG_USAGE: Final = 2  # As argparse has it.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        arguments: what follows the program's name; None takes the process's own.
    """
    options = vars(_build_parser().parse_args(arguments))
    config_file = options.pop("config", None)
    try:
        loaded = settings.load(options, config_file)
    except PinyonError as error:
        _exit_with(error, EXIT_WRONG_USAGE)
    _serve(loaded)


def _serve(loaded: settings.Settings) -> None:
    # Imported here, so that --help, --version and a wrong flag need none of the server's parts.
    from pinyon import app

    try:
        app.run(loaded)
    except PinyonError as error:
        _exit_with(error, EXIT_FAILED)


def _exit_with(error: PinyonError, status: int) -> NoReturn:
    print(f"pinyon: error: {error.message}", file=sys.stderr)
    raise SystemExit(status) from error


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pinyon", description=pinyon.__doc__)
    parser.add_argument("--version", action="version", version=f"pinyon {pinyon.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the server until SIGTERM or Ctrl-C",
        description="Run the server until SIGTERM or Ctrl-C. Flags are variables too: PINYON_DATA_DIR.",
        argument_default=argparse.SUPPRESS,
    )
    serve.add_argument("--config", metavar="FILE", help="TOML file with settings; variables and flags win over it")
    groups = {section: serve.add_argument_group(section) for section in _sections()}
    for option in settings.OPTIONS:
        _add_flag(groups[option.section], option)
    return parser


def _sections() -> list[str]:
    return list(dict.fromkeys(option.section for option in settings.OPTIONS))


def _add_flag(group: "argparse._ArgumentGroup", option: settings.Option) -> None:
    """Add an option's flag, without a default: what is not given must not hide the environment's value."""
    text = f"{option.meaning} [{option.default_text}]".replace("%", "%%")
    metavar = "N" if isinstance(option.default, (int, float)) else option.name.rpartition("_")[2].upper()
    if option.is_switch:
        group.add_argument(option.flag, dest=option.key, action=argparse.BooleanOptionalAction, help=text)
    elif option.is_list:
        group.add_argument(option.flag, dest=option.key, action="append", metavar=metavar.removesuffix("S"), help=text)
    else:
        group.add_argument(option.flag, dest=option.key, metavar=metavar, help=text)
