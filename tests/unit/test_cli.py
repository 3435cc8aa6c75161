"""The command line: what it passes on, what it prints, how it ends."""

import json
import subprocess
import sys
import types

import pytest

import pinyon
from pinyon import cli
from pinyon.engine.operations import UpsertRecords
from pinyon.errors import FailedPreconditionError, InvalidArgumentError
from pinyon.settings import OPTIONS, Settings
from pinyon.storage.local import LocalStorage
from pinyon.storage.lock import lock_directory
from tests.unit.engine.data_directories import FILMS, open_database, records


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch):
    for option in OPTIONS:
        for variable in option.variables:
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def app(monkeypatch):
    """Stands where `pinyon.app` does, and keeps the settings that it was run with."""
    given: list[Settings] = []
    fake = types.SimpleNamespace(given=given, run=given.append)
    monkeypatch.setitem(sys.modules, "pinyon.app", fake)
    monkeypatch.setattr(pinyon, "app", fake, raising=False)
    return fake


def ended(capsys, *arguments):
    """Exit status, standard output and standard error of a command that ends early."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_serve_runs_the_application_with_the_defaults(app):
    cli.main(["serve"])
    assert app.given == [Settings()]


def test_flags_reach_the_settings(app):
    cli.main(["serve", "--port", "7000", "--tls", "--api-key", "a", "--api-key", "b", "--log-file-bytes-max", "4096"])
    (settings,) = app.given
    assert (settings.server.port, settings.server.tls, settings.server.api_keys) == (7000, True, ("a", "b"))
    assert settings.log.file_bytes_max == 4096


def test_a_flag_that_is_not_given_leaves_the_environment_its_say(app, monkeypatch):
    monkeypatch.setenv("PINYON_TLS", "true")
    cli.main(["serve"])
    cli.main(["serve", "--no-tls"])
    assert [settings.server.tls for settings in app.given] == [True, False]


def test_a_configuration_file_is_read(app, tmp_path):
    (tmp_path / "pinyon.toml").write_text("[server]\nport = 7000")
    cli.main(["serve", "--config", str(tmp_path / "pinyon.toml")])
    assert app.given[0].server.port == 7000


def test_a_wrong_setting_is_one_line_and_status_2(app, capsys):
    status, out, error = ended(capsys, "serve", "--port", "0")
    assert (status, out) == (2, "")
    assert error == "pinyon: error: --port: must be a whole number from 1 to 65535, but is '0'\n"
    assert app.given == []


@pytest.mark.parametrize("value", ["-1G", "-1", "-inf", "-x"])
def test_a_value_may_begin_with_a_minus(app, capsys, value):
    status, _, error = ended(capsys, "serve", "--memory-limit", value)
    assert (status, error.count("\n")) == (2, 1)
    assert error.endswith(f", but is {value!r}\n")


def test_an_option_that_is_not_there_is_one_line_with_the_nearest_one(app, capsys):
    assert ended(capsys, "serve", "--target-recall", "2") == (
        2,
        "",
        "pinyon: error: there is no option --target-recall; the nearest is --search-target-recall\n",
    )
    assert ended(capsys, "inspect", "films", "shows")[2] == "pinyon: error: there is no place for 'shows'\n"


@pytest.mark.parametrize(("flag", "nearest"), [("--po", "--port"), ("--memory-limi", "--memory-limit")])
def test_an_option_is_written_in_full(app, capsys, flag, nearest):
    status, _, error = ended(capsys, "serve", flag, "6000")
    assert (status, error) == (2, f"pinyon: error: there is no option {flag}; the nearest is {nearest}\n")
    assert app.given == []


def test_there_is_no_place_for_what_follows_two_dashes(app, capsys):
    status, _, error = ended(capsys, "serve", "--", "--port", "1")
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("pinyon: error: there is no place for '--")


def test_a_setting_that_is_read_late_is_wrong_usage_too(app, capsys):
    def fail(settings):
        raise InvalidArgumentError("models.backends: 'x' must have the form NAME=BACKEND")

    app.run = fail
    assert ended(capsys, "serve")[0] == 2


def test_a_server_that_cannot_start_is_one_line_and_status_1(app, capsys):
    def fail(settings):
        raise FailedPreconditionError("another server uses pinyon-data")

    app.run = fail
    assert ended(capsys, "serve") == (1, "", "pinyon: error: another server uses pinyon-data\n")


@pytest.mark.parametrize(
    "arguments",
    [[], ["swim"], ["serve", "--prot", "1"], ["inspect", "--namespaces", "-1"], ["verify", "--json"]],
)
def test_wrong_usage_is_status_2_and_one_line(capsys, arguments):
    status, out, error = ended(capsys, *arguments)
    assert (status, out, error.count("\n")) == (2, "", 1)


def test_help_names_every_flag_with_its_meaning(capsys):
    status, out, _ = ended(capsys, "serve", "--help")
    words = " ".join(out.split())
    assert status == 0
    for option in OPTIONS:
        assert option.flag in words
        # argparse breaks lines at hyphens too.
        assert option.meaning.replace("- ", "-") in words.replace("- ", "-")


@pytest.fixture
def data_dir(tmp_path):
    """A data directory with a segment and something in the log."""
    storage = LocalStorage(tmp_path / "data")
    database = open_database(storage)
    database.create(FILMS)
    index = database.index(FILMS.name)
    index.write(UpsertRecords("n", records(0, 9)))
    index.maintenance.flush()
    index.write(UpsertRecords("n", records(9, 12)))
    database.close()
    return tmp_path / "data"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_inspect_tells_what_is_there_while_it_is_in_use(data_dir, capsys):
    with lock_directory(data_dir):
        cli.main(["inspect", "--data-dir", str(data_dir)])
    out = capsys.readouterr().out
    assert out.startswith("films in indexes/7f3c\n")
    assert "1 writes not in segments yet" in out


def test_inspect_prints_json(data_dir, capsys):
    cli.main(["inspect", "--data-dir", str(data_dir), "films", "--json", "--namespaces", "0"])
    (index,) = json.loads(capsys.readouterr().out)["indexes"]
    assert (index["definition"]["name"], index["record_count"], index["namespaces"]) == ("films", 9, [])


def test_the_data_directory_may_be_a_variable(data_dir, capsys, monkeypatch):
    monkeypatch.setenv("PINYON_DATA_DIR", str(data_dir))
    cli.main(["inspect"])
    cli.main(["verify"])
    assert "films" in capsys.readouterr().out


def test_inspect_of_what_cannot_be_read_ends_with_1(data_dir, capsys):
    (segment,) = data_dir.glob("indexes/*/segments/*.seg")
    segment.write_bytes(b"")
    status, out, _ = ended(capsys, "inspect", "--data-dir", str(data_dir))
    assert status == 1
    assert f"  problem     indexes/7f3c/segments/{segment.name}: it has only 0 bytes" in out


def test_inspect_without_a_manifest_ends_with_1(data_dir, capsys):
    (manifest,) = data_dir.glob("indexes/*/manifest.json")
    manifest.write_bytes(b"{}")
    status, out, _ = ended(capsys, "inspect", "--data-dir", str(data_dir))
    assert status == 1
    assert "  manifest    cannot be read; " in out
    assert "\n  left over" not in out
    status, out, _ = ended(capsys, "inspect", "--data-dir", str(data_dir), "--json")
    (index,) = json.loads(out)["indexes"]
    assert (status, index["manifest_lsn"], index["leftovers"]) == (1, None, [])


def test_verify_prints_a_line_for_each_file_and_a_sum(data_dir, capsys):
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file() and path.name != "LOCK"}
    cli.main(["verify", "--data-dir", str(data_dir)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok      catalog.json: 1 indexes"
    assert lines[-2:] == ["ok      indexes/7f3c: all of index films", "5 ok, 0 note, 0 problem"]
    assert before == {path: path.read_bytes() for path in before}
    assert {path for path in data_dir.rglob("*") if path.is_file()} == {*before, data_dir / "LOCK"}


def test_verify_ends_with_1_where_there_is_a_problem(data_dir, capsys):
    (segment,) = data_dir.glob("indexes/*/segments/*.seg")
    flip(segment)
    status, out, error = ended(capsys, "verify", "films", "--data-dir", str(data_dir))
    assert (status, error) == (1, "")
    assert f"\nproblem indexes/7f3c/segments/{segment.name}: " in out
    assert out.endswith("1 problem\n")


def test_verify_wants_the_directory_for_itself(data_dir, capsys):
    with lock_directory(data_dir):
        status, out, error = ended(capsys, "verify", "--data-dir", str(data_dir))
    assert (status, out) == (1, "")
    assert "is in use by another Pinyon server (pid " in error
    cli.main(["verify", "--data-dir", str(data_dir)])


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_directory_that_holds_nothing_is_not_made_one(tmp_path, capsys, command):
    for folder in (tmp_path, tmp_path / "none"):
        status, out, error = ended(capsys, command, "--data-dir", str(folder))
        assert (status, out) == (1, "")
        assert error.startswith(f"pinyon: error: {folder} is no data directory: it has no catalog.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_an_index_that_is_not_there_is_one_line_and_status_1(data_dir, capsys, command):
    status, _, error = ended(capsys, command, "--data-dir", str(data_dir), "films-2")
    assert (status, error) == (1, "pinyon: error: there is no index films-2\n")


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "pinyon", "--version"]
    assert subprocess.check_output(command, text=True) == f"pinyon {pinyon.__version__}\n"
