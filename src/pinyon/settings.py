"""Every option of the server, and the only reader of the configuration file and the environment.

A value comes from the first of these that gives one: the command line, the environment, the configuration file, the
default. Settings are data and are read once; components below `pinyon.app` get plain values of their own.

What must hold:

- A name that is not known, and a value that does not fit, is an error that says where it stands.
- An option's name carries its unit, and its one-line meaning stands beside it: the command line's help and
  `docs/reference/settings.md` are made from it.
- An option without a section in its flag belongs to the server section: `--port` is `server.port`.
"""

import difflib
import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from pinyon import limits
from pinyon.errors import InvalidArgumentError
from pinyon.log.file_log import FILE_BYTES_MAX
from pinyon.model.recall import TARGET_RECALL, TARGET_RECALL_TAG
from pinyon.setting_values import API_KEY_PATTERN, PORT_RANGE_PATTERN, SIZE_PATTERN, allowed_words, size_bytes

CONFIG_VARIABLE: Final = "PINYON_CONFIG"
_ENVIRONMENT_PREFIX: Final = "PINYON_"
_MIB: Final = 1024 * 1024
_TIMEOUT_S_MAX: Final = 86_400
_THREADS_MAX: Final = 1024
_MEMORY_LIMIT_MIN: Final = 128 * _MIB
"""Less than this is taken by the server itself, and by a few requests."""
_MEMORY_LIMIT_MAX_TIB: Final = 1024
"""No machine has more: a unit is wrong."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens, who may ask, and where it keeps its data."""

    data_dir: Annotated[str, Meta(min_length=1, description="Folder of all data; created when missing.")] = (
        "pinyon-data"
    )
    host: Annotated[
        str, Meta(min_length=1, description="Address to listen on. Any but loopback requires an API key.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port of the control plane.")] = 5080
    index_ports: Annotated[
        str, Meta(pattern=PORT_RANGE_PATTERN, description="Ports of indexes, first-last; each index keeps its own.")
    ] = "5081-6080"
    public_host: Annotated[
        str | None,
        Meta(description="Host name that clients are told; by default the address, or localhost for a loopback one."),
    ] = None
    api_keys: Annotated[
        tuple[Annotated[str, Meta(pattern=API_KEY_PATTERN)], ...],
        Meta(description="Keys that clients may use. Without any, every key is taken, on loopback only."),
    ] = ()
    tls: Annotated[
        bool, Meta(description="Speak TLS; without certificate files, with a local CA that Pinyon makes and keeps.")
    ] = False
    tls_certificate_file: Annotated[
        str | None, Meta(description="PEM file of the server's certificate and its chain; needs the key file too.")
    ] = None
    tls_key_file: Annotated[
        str | None, Meta(description="PEM file of the server's private key; needs the certificate file too.")
    ] = None
    memory_limit: Annotated[
        Annotated[str, Meta(pattern=SIZE_PATTERN)] | None,
        Meta(
            description="Memory beside mapped files that the server plans with, such as 512M or 2GiB: K, M, G and T "
            "are powers of 1024, B or iB may follow; a number alone is bytes. By default half of the machine's."
        ),
    ] = None
    stop_timeout_s: Annotated[
        float,
        Meta(
            ge=0, le=_TIMEOUT_S_MAX, description="How long a stop waits for requests in flight before it cuts them off."
        ),
    ] = 30.0

    @property
    def index_port_range(self) -> range:
        """The ports that indexes may have."""
        first, last = self.index_ports.split("-")
        return range(int(first), int(last) + 1)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit in bytes; None where none is given."""
        return None if self.memory_limit is None else size_bytes(self.memory_limit)

    @property
    def advertised_host(self) -> str:
        """The host name that descriptions of indexes carry."""
        if self.public_host:
            return self.public_host
        return "localhost" if _is_loopback(self.host) or _is_wildcard(self.host) else self.host


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one request, and all requests together, may take. What is over is refused with 400, 413 or 429."""

    upsert_bytes_max: Annotated[
        int, Meta(ge=1, description="Decoded size of one upsert: 4 x dimension + metadata bytes over its records.")
    ] = limits.UPSERT_BYTES_MAX
    request_bytes_max: Annotated[
        int, Meta(ge=1024, description="Size of one request body or gRPC message, as sent.")
    ] = limits.MESSAGE_BYTES_MAX
    requests_in_flight_max: Annotated[
        int, Meta(ge=1, description="Requests worked on at once; more are told to come again.")
    ] = 1024
    bytes_in_flight_max: Annotated[
        int, Meta(ge=1024, description="Body bytes of all requests in flight together; more are told to come again.")
    ] = 256 * _MIB


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How well queries find what is nearest. See [Recall](../recall.md)."""

    target_recall: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of the true nearest records that a query finds on average; 1 looks at all of them. An "
            f"index may have its own, by its tag {TARGET_RECALL_TAG}.",
        ),
    ] = TARGET_RECALL
    build_threads: Annotated[
        int,
        Meta(
            ge=0,
            le=_THREADS_MAX,
            description="Threads that build graphs once writing pauses, and measure how to search them; 0 for as many "
            "as there are processors, at most 4. On Linux they stand back from those that answer.",
        ),
    ] = 0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The append log of each index."""

    file_bytes_max: Annotated[
        int, Meta(ge=4096, description="Size at which an index's log goes on in its next file.")
    ] = FILE_BYTES_MAX


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The models that embed and rerank texts."""

    stand_ins: Annotated[
        bool,
        Meta(
            description="Serve Pinecone's models that have no backend by offline ones, said to be stand-ins: "
            "all-MiniLM-L6-v2, BM25, MaxSim."
        ),
    ] = False
    backends: Annotated[
        tuple[str, ...],
        Meta(
            description="What serves a model, NAME=BACKEND: fastembed, fastembed:FOLDER, openai:MODEL@URL, "
            "cohere:MODEL@URL, minilm, bm25 or maxsim."
        ),
    ] = ()
    api_key: Annotated[
        Annotated[str, Meta(pattern=API_KEY_PATTERN)] | None,
        Meta(description="Key for the servers behind openai and cohere backends."),
    ] = None
    cache_dir: Annotated[
        str | None, Meta(description="Folder where fastembed keeps the weights that it fetches; its own by default.")
    ] = None
    threads: Annotated[
        int, Meta(ge=0, le=_THREADS_MAX, description="Threads of one model; 0 for half of the processors.")
    ] = 0
    texts_waiting_max: Annotated[
        int, Meta(ge=1, description="Texts that may wait for one model; who has more is told to come again.")
    ] = 2048
    timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=_TIMEOUT_S_MAX,
            description="How long a request may wait for a model, its loading included; less than the 30 s that newer "
            "clients wait.",
        ),
    ] = 25.0


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server tells about itself on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe events that are written.")
    ] = "info"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree."""

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    search: SearchSettings = SearchSettings()
    log: LogSettings = LogSettings()
    models: ModelSettings = ModelSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


@dataclass(frozen=True, slots=True)
class Option:
    """One leaf of the tree and the names under which it can be given."""

    section: str
    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def key(self) -> str:
        """Its name in the tree, as in the configuration file: `server.port`."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """Its name on the command line; one that may be repeated is named in the singular."""
        path = self.name if self.section == "server" else f"{self.section}_{self.name}"
        return "--" + (path.removesuffix("s") if self.is_list else path).replace("_", "-")

    @property
    def variables(self) -> tuple[str, str]:
        """Its names in the environment: the full one, and the short one that mirrors the flag."""
        short = self.flag.removeprefix("--").replace("-", "_")
        return f"{_ENVIRONMENT_PREFIX}{self.section}__{self.name}".upper(), f"{_ENVIRONMENT_PREFIX}{short}".upper()

    @property
    def is_switch(self) -> bool:
        """True for an option that is on or off."""
        return isinstance(self.default, bool)

    @property
    def is_list(self) -> bool:
        """True for an option that may be given several times."""
        return isinstance(self.default, tuple)

    @property
    def is_secret(self) -> bool:
        """True for an option whose values are not for a screen."""
        return "api_key" in self.name

    @property
    def default_text(self) -> str:
        """The default for people to read."""
        if self.is_switch:
            return "on" if self.default else "off"
        if "bytes_" in self.name:
            return f"{self.default} ({self.default // _MIB} MiB)"
        return "none" if self.default in (None, ()) else str(self.default)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as someone gave it, and where."""

    value: object
    source: str


def _list_options() -> Iterator[Option]:
    for section in msgspec.structs.fields(Settings):
        hints = get_type_hints(section.type, include_extras=True)
        for field in msgspec.structs.fields(section.type):
            annotation = hints[field.name]
            assert get_origin(annotation) is Annotated, f"{section.name}.{field.name} has no meaning"
            (meta,) = annotation.__metadata__
            yield Option(section.name, field.name, annotation, field.default, meta.description)


OPTIONS: Final = tuple(_list_options())
"""Every option, in the order of the tree."""


def load(
    flags: Mapping[str, object] | None = None,
    config_file: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        flags: what the command line gave, by an option's key.
        config_file: path of a TOML file; None takes the one that the environment names, if any.
        environment: variables; None takes the process's own.

    Raises:
        InvalidArgumentError: a name is unknown, a value does not fit, or two of them contradict each other.
    """
    environment = os.environ if environment is None else environment
    config_file = config_file or environment.get(CONFIG_VARIABLE)
    given = _from_file(config_file) if config_file else {}
    given |= _from_environment(environment)
    given |= _from_flags(flags or {})
    settings = _build(given)
    _check(settings.server)
    _check_limits(settings.limits)
    return settings


def _from_file(path: str) -> dict[str, _Given]:
    try:
        tree = msgspec.toml.decode(Path(path).read_bytes())
    except OSError as error:
        raise InvalidArgumentError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path}: not TOML: {error}") from error
    sections = {option.section for option in OPTIONS}
    given = {}
    for section, values in tree.items():
        if section not in sections or not isinstance(values, dict):
            raise InvalidArgumentError(f"{path}: {_unknown(section, sections)}")
        for name, value in values.items():
            given[f"{section}.{name}"] = _Given(value, f"{path}: {section}.{name}")
    _check_keys(given, path)
    return given


def _check_keys(given: Mapping[str, _Given], path: str) -> None:
    known = [option.key for option in OPTIONS]
    for key in given:
        if key not in known:
            raise InvalidArgumentError(f"{path}: {_unknown(key, known)}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    options = {variable: option for option in OPTIONS for variable in option.variables}
    given: dict[str, _Given] = {}
    for variable, value in environment.items():
        if not variable.startswith(_ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in options:
            raise InvalidArgumentError(f"environment: {_unknown(variable, options)}")
        option = options[variable]
        if option.key in given:
            raise InvalidArgumentError(f"environment: {' and '.join(option.variables)} are the same setting")
        given[option.key] = _Given(value, variable)
    return given


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    return {option.key: _Given(flags[option.key], option.flag) for option in OPTIONS if option.key in flags}


def _unknown(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"there is no setting {name}; the nearest is {nearest[0]}"


def _build(given: Mapping[str, _Given]) -> Settings:
    values: dict[str, dict[str, object]] = {option.section: {} for option in OPTIONS}
    for option in OPTIONS:
        if option.key in given:
            values[option.section][option.name] = _convert(option, given[option.key])
    return msgspec.convert(values, Settings)


def _convert(option: Option, given: _Given) -> object:
    """Check one value; one that came as text is read as what the option holds."""
    value = given.value
    if option.is_list and isinstance(value, str):
        value = value.split(",")
    # Read as a number, 5e3 would be the whole number 5000.
    is_odd = type(option.default) is int and isinstance(value, str) and not value.isdecimal()
    try:
        return msgspec.convert(value, option.type, strict=is_odd or not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "" if option.is_secret else f", but is {value!r}"
        raise InvalidArgumentError(f"{given.source}: must be {allowed_words(option.type)}{shown}") from error


def _check(server: ServerSettings) -> None:
    """Check what one value alone cannot show."""
    ports = server.index_port_range
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise InvalidArgumentError(f"server.index_ports: {server.index_ports} is not a range of ports from 1 to 65535")
    if server.port in ports:
        raise InvalidArgumentError(f"server.index_ports: {server.index_ports} holds server.port {server.port}")
    _check_exposure(server)
    _check_advertised_host(server.advertised_host)
    _check_tls(server)
    _check_memory_limit(server)


def _check_limits(limits: LimitSettings) -> None:
    if limits.bytes_in_flight_max < limits.request_bytes_max:
        raise InvalidArgumentError(
            f"limits.bytes_in_flight_max: {limits.bytes_in_flight_max} is less than limits.request_bytes_max, "
            f"{limits.request_bytes_max}: the largest request would be told to come again for ever"
        )


def _check_memory_limit(server: ServerSettings) -> None:
    limit = server.memory_limit_bytes
    if limit is not None and limit < _MEMORY_LIMIT_MIN:
        raise InvalidArgumentError(
            f"server.memory_limit: {server.memory_limit} is less than the {_MEMORY_LIMIT_MIN // _MIB}MiB that the "
            "server needs"
        )
    if limit is not None and limit > _MEMORY_LIMIT_MAX_TIB * 1024**4:
        raise InvalidArgumentError(
            f"server.memory_limit: {server.memory_limit} is more than {_MEMORY_LIMIT_MAX_TIB}TiB, which no machine has"
        )


def _check_exposure(server: ServerSettings) -> None:
    if not server.api_keys and not _is_loopback(server.host):
        raise InvalidArgumentError(
            f"server.host: other machines can reach {server.host}, so a key is needed: "
            "give --api-key KEY or PINYON_API_KEY, or listen on 127.0.0.1"
        )


def _check_advertised_host(host: str) -> None:
    if "." not in host and "localhost" not in host:
        raise InvalidArgumentError(
            f"server.public_host: clients refuse the host {host!r}: it needs a dot, or localhost in it"
        )


def _check_tls(server: ServerSettings) -> None:
    files = (server.tls_certificate_file, server.tls_key_file)
    if any(files) and not all(files):
        raise InvalidArgumentError("server.tls_certificate_file and server.tls_key_file go together: give both")
    if any(files) and not server.tls:
        raise InvalidArgumentError("server.tls_certificate_file is given, but TLS is off: give --tls too")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def reference_page() -> str:
    """`docs/reference/settings.md`, which `make docs` writes and a test compares."""
    lines = [
        "# Settings",
        "",
        "Made from `src/pinyon/settings.py` by `make docs`; change it there.",
        "",
        "The command line wins over the environment, the environment over the TOML file that `--config` or",
        f"`{CONFIG_VARIABLE}` names, and that over the defaults. In the environment, commas separate the members of a",
        "list, and a variable may also be written in full: `PINYON_SERVER__PORT` for `server.port`.",
    ]
    for section in msgspec.structs.fields(Settings):
        lines += ["", f"## {section.name}", "", (section.type.__doc__ or "").strip(), ""]
        lines += ["| setting | flag | variable | default | meaning |", "|---|---|---|---|---|"]
        lines += [_reference_row(option) for option in OPTIONS if option.section == section.name]
    return "\n".join(lines) + "\n"


def _reference_row(option: Option) -> str:
    names = " | ".join(f"`{name}`" for name in (option.key, option.flag, option.variables[1]))
    return f"| {names} | {option.default_text} | {option.meaning} |"
