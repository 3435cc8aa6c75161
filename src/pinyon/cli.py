"""The command line: arguments, and where what they ask for is done.

Flags are made from `pinyon.settings`, the server from `pinyon.app`; what is on disk is looked at by the engine.
"""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import pinyon
from pinyon import settings
from pinyon.errors import InvalidArgumentError, PinyonError

EXIT_FAILED: Final = 1
EXIT_WRONG_USAGE: Final = 2  # As argparse has it.

_NAMESPACES_SHOWN: Final = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        arguments: what follows the program's name; None takes the process's own.
    """
    given = _joined(sys.argv[1:] if arguments is None else arguments)
    parsed, unknown = _build_parser().parse_known_args(given)
    if unknown:
        may_be_option = parsed.run is _serve and "--" not in given
        _exit_with(_unknown_argument(unknown[0], may_be_option=may_be_option), EXIT_WRONG_USAGE)
    options = vars(parsed)
    run = options.pop("run")
    config_file = options.pop("config", None)
    try:
        loaded = settings.load(options, config_file)
    except PinyonError as error:
        _exit_with(error, EXIT_WRONG_USAGE)
    try:
        run(loaded, options)
    except InvalidArgumentError as error:
        _exit_with(error, EXIT_WRONG_USAGE)  # A setting whose value is read where it is used.
    except PinyonError as error:
        _exit_with(error, EXIT_FAILED)


# What follows imports as late as it can, so that --help, --version and a wrong flag need no other part.


def _serve(loaded: settings.Settings, _: Mapping[str, Any]) -> None:
    from pinyon import app

    app.run(loaded)


def _inspect(loaded: settings.Settings, options: Mapping[str, Any]) -> None:
    import msgspec

    from pinyon.engine.data_directory import check_data_directory
    from pinyon.engine.inspection import inspect
    from pinyon.inspection_text import lines_of
    from pinyon.storage.read_only import ReadOnlyStorage

    storage = ReadOnlyStorage(Path(loaded.server.data_dir))
    check_data_directory(storage, loaded.server.data_dir)
    found = inspect(storage, options["index"], namespaces_max=options["namespaces"])
    if options["json"]:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(*lines_of(found), sep="\n")
    if any(index.problems for index in found.indexes):
        raise SystemExit(EXIT_FAILED)


def _verify(loaded: settings.Settings, options: Mapping[str, Any]) -> None:
    from pinyon.engine.data_directory import check_data_directory
    from pinyon.engine.findings import Kind
    from pinyon.engine.verification import verify
    from pinyon.storage.lock import lock_directory
    from pinyon.storage.machine import raise_file_limit
    from pinyon.storage.read_only import ReadOnlyStorage

    root = Path(loaded.server.data_dir)
    storage = ReadOnlyStorage(root)
    check_data_directory(storage, loaded.server.data_dir)
    counts = dict.fromkeys(Kind, 0)
    raise_file_limit()  # All segments of an index are open at once.
    with lock_directory(root):
        for finding in verify(storage, options["index"]):
            counts[finding.kind] += 1
            print(f"{finding.kind:<8}{finding.text}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if counts[Kind.PROBLEM]:
        raise SystemExit(EXIT_FAILED)


def _exit_with(error: PinyonError, status: int) -> NoReturn:
    print(f"pinyon: error: {error.message}", file=sys.stderr)
    raise SystemExit(status) from error


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line: the usage of `serve` is longer than a screen."""

    def __init__(self, **options: Any) -> None:
        """Take a flag for another only where it is written in full: what is short today may mean two flags later."""
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """End with `message` and the status of wrong usage."""
        self.exit(EXIT_WRONG_USAGE, f"{self.prog}: error: {message}\n")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Arguments with a value such as -1G joined to its flag: alone, argparse takes it for a flag."""
    flags = {option.flag for option in settings.OPTIONS if not option.is_switch}
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in flags and argument.startswith("-") and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _unknown_argument(argument: str, *, may_be_option: bool) -> InvalidArgumentError:
    text = f"there is no place for {argument!r}"
    if may_be_option and argument.startswith("-"):
        (nearest,) = difflib.get_close_matches(argument, [option.flag for option in settings.OPTIONS], n=1, cutoff=0.0)
        text = f"there is no option {argument}; the nearest is {nearest}"
    return InvalidArgumentError(text)


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pinyon", description=pinyon.__doc__)
    parser.add_argument("--version", action="version", version=f"pinyon {pinyon.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_inspect(commands)
    _add_verify(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[_Parser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the server until SIGTERM or Ctrl-C",
        description="Run the server until SIGTERM or Ctrl-C. Flags are variables too: PINYON_DATA_DIR.",
        argument_default=argparse.SUPPRESS,
    )
    serve.set_defaults(run=_serve)
    _add_config(serve)
    groups = {section: serve.add_argument_group(section) for section in _sections()}
    for option in settings.OPTIONS:
        _add_flag(groups[option.section], option)


def _add_inspect(commands: "argparse._SubParsersAction[_Parser]") -> None:
    inspect = commands.add_parser(
        "inspect",
        help="tell what is on disk, per index and namespace",
        description="Tell what is on disk, per index and namespace. Changes nothing; a server may be running.",
    )
    inspect.set_defaults(run=_inspect)
    _add_directory(inspect)
    inspect.add_argument("index", nargs="?", metavar="INDEX", help="name of the only index to tell of [all]")
    inspect.add_argument(
        "--namespaces",
        type=_count,
        default=_NAMESPACES_SHOWN,
        metavar="N",
        help=f"how many namespaces to tell of, the largest of each index [{_NAMESPACES_SHOWN}]",
    )
    inspect.add_argument("--json", action="store_true", help="print JSON, with sizes in bytes")


def _add_verify(commands: "argparse._SubParsersAction[_Parser]") -> None:
    verify = commands.add_parser(
        "verify",
        help="check every checksum and invariant on disk",
        description="Check every checksum and invariant on disk. Changes nothing; no server may be running. "
        "Exits with 1 if there is a problem.",
    )
    verify.set_defaults(run=_verify)
    _add_directory(verify)
    verify.add_argument("index", nargs="?", metavar="INDEX", help="name of the only index to check [all]")


def _add_directory(command: argparse.ArgumentParser) -> None:
    """Add what says which data directory is meant, with the meaning that it has for a server."""
    _add_config(command)
    (option,) = (option for option in settings.OPTIONS if option.key == "server.data_dir")
    text = f"the data directory [{option.default_text}]"
    command.add_argument(option.flag, dest=option.key, metavar="DIR", help=text, default=argparse.SUPPRESS)


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with settings; variables and flags win over it",
        default=argparse.SUPPRESS,
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, but is {text!r}")
    return int(text)


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
