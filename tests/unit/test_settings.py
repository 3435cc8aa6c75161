"""Settings: where a value comes from, and what is refused with which words."""

import re
from pathlib import Path

import pytest

from pinyon.errors import InvalidArgumentError
from pinyon.setting_values import allowed_words
from pinyon.settings import OPTIONS, ServerSettings, Settings, load, reference_page


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def refusal(**given: object) -> str:
    given.setdefault("environment", {})
    with pytest.raises(InvalidArgumentError) as caught:
        load(**given)  # type: ignore[arg-type]
    return caught.value.message


def test_nothing_given_means_the_defaults():
    assert load(environment={"PATH": "/bin"}) == Settings()


def test_each_source_wins_over_the_one_before(tmp_path):
    file = write(tmp_path / "pinyon.toml", '[server]\nport = 1\nhost = "127.0.0.2"\ndata_dir = "file"')
    environment = {"PINYON_SERVER__PORT": "2", "PINYON_HOST": "127.0.0.3"}
    server = load({"server.port": "3"}, file, environment).server
    assert (server.port, server.host, server.data_dir) == (3, "127.0.0.3", "file")


def test_the_environment_can_name_the_file(tmp_path):
    file = write(tmp_path / "pinyon.toml", "[log]\nfile_bytes_max = 8192")
    assert load(environment={"PINYON_CONFIG": file}).log.file_bytes_max == 8192


def test_text_becomes_what_the_option_holds():
    environment = {"PINYON_TLS": "true", "PINYON_API_KEY": "one,two", "PINYON_STOP_TIMEOUT_S": "1.5"}
    server = load(environment=environment).server
    assert (server.tls, server.api_keys, server.stop_timeout_s) == (True, ("one", "two"), 1.5)


def test_a_flag_may_be_repeated():
    assert load({"server.api_keys": ["one", "two"]}, environment={}).server.api_keys == ("one", "two")


def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path):
    assert refusal(environment={"PINYON_DATADIR": "x"}) == (
        "environment: there is no setting PINYON_DATADIR; the nearest is PINYON_DATA_DIR"
    )
    file = write(tmp_path / "a.toml", "[server]\nprot = 1")
    assert refusal(config_file=file) == f"{file}: there is no setting server.prot; the nearest is server.port"
    file = write(tmp_path / "b.toml", "[sever]\nport = 1")
    assert refusal(config_file=file) == f"{file}: there is no setting sever; the nearest is server"
    file = write(tmp_path / "c.toml", "server = 1")
    assert refusal(config_file=file).startswith(f"{file}: there is no setting server;")


def test_one_setting_under_two_names_is_refused():
    environment = {"PINYON_PORT": "1", "PINYON_SERVER__PORT": "1"}
    assert refusal(environment=environment).endswith("PINYON_SERVER__PORT and PINYON_PORT are the same setting")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.port": "http"}, "--port: must be a whole number from 1 to 65535, but is 'http'"),
        ({"server.port": "65536"}, "--port: must be a whole number from 1 to 65535, but is '65536'"),
        ({"server.host": ""}, "--host: must be a text that is not empty, but is ''"),
        ({"server.index_ports": "1-"}, "--index-ports: must be two ports, first-last, such as 5081-6080, but is '1-'"),
        ({"server.tls": "maybe"}, "--tls: must be true or false, but is 'maybe'"),
        ({"search.target_recall": "2"}, "--search-target-recall: must be a number above 0 and at most 1, but is '2'"),
        ({"log.file_bytes_max": "1"}, "--log-file-bytes-max: must be a whole number of at least 4096, but is '1'"),
        (
            {"telemetry.level": "loud"},
            "--telemetry-level: must be one of debug, error, info, warning, but is 'loud'",
        ),
        (
            {"server.memory_limit": "lots"},
            "--memory-limit: must be a size such as 512M, 2G or 2GiB, where K, M, G and T are powers of 1024, "
            "or a number of bytes, but is 'lots'",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_where_it_stands(flags, message):
    assert refusal(flags=flags) == message


NUMBERS = [option for option in OPTIONS if isinstance(option.default, int | float) and not option.is_switch]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e400", "", "٣"])
@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.key)
def test_a_number_is_finite_and_not_negative(option, text):
    message = refusal(flags={option.key: text})
    assert message.startswith(f"{option.flag}: must be a ")
    assert message.endswith(f", but is {text!r}")


@pytest.mark.parametrize("text", ["5e3", "5000.0", "+5000", "5_000", "5000 "])
@pytest.mark.parametrize(
    "option", [option for option in NUMBERS if isinstance(option.default, int)], ids=lambda option: option.key
)
def test_a_whole_number_is_digits(option, text):
    message = refusal(flags={option.key: text})
    assert message.startswith(f"{option.flag}: must be a whole number ")
    assert message.endswith(f", but is {text!r}")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1"])
@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.key)
def test_a_number_in_the_file_is_finite_and_not_negative(tmp_path, option, text):
    file = write(tmp_path / "pinyon.toml", f"[{option.section}]\n{option.name} = {text}")
    assert refusal(config_file=file).startswith(f"{file}: {option.key}: must be a ")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_there_are_words_for_what_each_setting_may_be(option):
    assert re.fullmatch(r"(an? |true or false|one of |two |ASCII )?[^`^]*", allowed_words(option.type))


def test_a_value_of_another_type_in_the_file_is_refused(tmp_path):
    file = write(tmp_path / "pinyon.toml", '[server]\nport = "5080 "')
    assert refusal(config_file=file) == (f"{file}: server.port: must be a whole number from 1 to 65535, but is '5080 '")
    file = write(tmp_path / "types.toml", "[server]\ntls = 1")
    assert refusal(config_file=file) == f"{file}: server.tls: must be true or false, but is 1"


@pytest.mark.parametrize("key", ["server.memory_limit", "server.index_ports", "server.api_keys"])
def test_a_value_does_not_end_with_a_line(key):
    text = {"server.memory_limit": "2G\n", "server.index_ports": "1-2\n", "server.api_keys": ["key\n"]}[key]
    assert ": must be " in refusal(flags={key: text})


@pytest.mark.parametrize("text", ["[server", "port = ", "\xff"])
def test_a_file_that_is_not_toml_is_named(tmp_path, text):
    file = tmp_path / "pinyon.toml"
    file.write_bytes(text.encode("latin-1"))
    assert refusal(config_file=str(file)).startswith(f"{file}: not TOML")


def test_a_missing_file_is_named():
    assert refusal(config_file="no-such.toml") == "no-such.toml: No such file or directory"


def test_keys_are_not_shown():
    assert "s3cret" not in refusal(flags={"server.api_keys": ["s3cret with spaces"]})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "db.example"])
def test_other_machines_may_come_in_only_with_a_key(host):
    assert "--api-key KEY" in refusal(flags={"server.host": host})
    flags = {"server.host": host, "server.api_keys": ["key"], "server.public_host": "db.example"}
    assert load(flags, environment={}).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    assert load({"server.host": host}, environment={}).server.advertised_host == "localhost"


def test_the_advertised_host_is_one_that_clients_can_reach():
    assert ServerSettings(host="192.168.1.5").advertised_host == "192.168.1.5"
    assert ServerSettings(host="0.0.0.0").advertised_host == "localhost"
    assert ServerSettings(host="0.0.0.0", public_host="db.example").advertised_host == "db.example"


def test_a_host_that_clients_refuse_is_refused():
    assert "'pinyon': it needs a dot, or localhost in it" in refusal(flags={"server.public_host": "pinyon"})


@pytest.mark.parametrize("ports", ["6080-5081", "0-10", "60000-65536"])
def test_index_ports_must_be_a_range_of_ports(ports):
    assert f"{ports} is not a range of ports" in refusal(flags={"server.index_ports": ports})


def test_index_ports_leave_out_the_control_plane():
    assert refusal(flags={"server.port": "5100"}).endswith("5081-6080 holds server.port 5100")
    assert load({"server.index_ports": "7000-7001"}, environment={}).server.index_port_range == range(7000, 7002)


def test_tls_files_come_in_pairs_and_with_tls():
    certificate, key = {"server.tls_certificate_file": "c.pem"}, {"server.tls_key_file": "k.pem"}
    assert "give both" in refusal(flags={**certificate, "server.tls": True})
    assert "give --tls too" in refusal(flags={**certificate, **key})
    assert load({**certificate, **key, "server.tls": True}, environment={}).server.tls_key_file == "k.pem"


def test_no_two_options_share_a_name():
    names = [name for option in OPTIONS for name in (option.key, option.flag, *set(option.variables))]
    assert len(names) == len(set(names))


def test_every_option_says_what_it_means_in_one_sentence_or_two():
    for option in OPTIONS:
        assert re.fullmatch(r"[A-Z][^\n|]+\.", option.meaning), option.key


def test_the_reference_page_is_current(repository):
    assert (repository / "docs/reference/settings.md").read_text() == reference_page(), "run `make docs`"


def test_the_largest_request_fits_into_what_may_be_in_flight():
    with pytest.raises(InvalidArgumentError, match=r"limits\.bytes_in_flight_max: 2048 is less than"):
        load({"limits.request_bytes_max": 4096, "limits.bytes_in_flight_max": 2048}, environment={})


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("2G", 2**31),
        ("2GB", 2**31),
        ("2GiB", 2**31),
        ("2g", 2**31),
        ("512M", 2**29),
        ("262144K", 2**28),
        ("1.5GiB", 3 * 2**29),
        ("1T", 2**40),
        ("200000000", 200_000_000),
        ("200000000B", 200_000_000),
    ],
)
def test_a_size_has_a_unit(text, size_bytes):
    assert load({"server.memory_limit": text}, environment={}).server.memory_limit_bytes == size_bytes


def test_without_a_memory_limit_there_is_none():
    assert load(environment={}).server.memory_limit_bytes is None


def test_a_memory_limit_that_nothing_fits_in_is_refused():
    assert refusal(flags={"server.memory_limit": "127MiB"}) == (
        "server.memory_limit: 127MiB is less than the 128MiB that the server needs"
    )
    for text in ("5 GB", "-5GB", "five", ".5GB", "5.GB", "5P", "5iB", "nan", "1e9", ""):
        assert refusal(flags={"server.memory_limit": text}).startswith("--memory-limit: ")


def test_a_memory_limit_that_no_machine_has_is_refused():
    assert load({"server.memory_limit": "1024T"}, environment={}).server.memory_limit_bytes == 2**50
    assert refusal(flags={"server.memory_limit": "999999999999999T"}) == (
        "server.memory_limit: 999999999999999T is more than 1024TiB, which no machine has"
    )


def test_a_target_recall_is_above_0_and_at_most_1():
    assert load(environment={}).search.target_recall == 0.97
    assert load({"search.target_recall": "1"}, environment={}).search.target_recall == 1.0
    for text in ("0", "1.01", "nan", "-1"):
        assert refusal(flags={"search.target_recall": text}).startswith("--search-target-recall: ")
