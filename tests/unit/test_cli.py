"""The command line: what it passes on, what it prints, how it ends."""

import subprocess
import sys
import types

import pytest

import pinyon
from pinyon import cli
from pinyon.errors import FailedPreconditionError
from pinyon.settings import OPTIONS, Settings


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
    assert error == "pinyon: error: --port: Expected `int` >= 1, got '0'\n"
    assert app.given == []


def test_a_server_that_cannot_start_is_one_line_and_status_1(app, capsys):
    def fail(settings):
        raise FailedPreconditionError("another server uses pinyon-data")

    app.run = fail
    assert ended(capsys, "serve") == (1, "", "pinyon: error: another server uses pinyon-data\n")


@pytest.mark.parametrize("arguments", [[], ["swim"], ["serve", "--prot", "1"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    assert ended(capsys, *arguments)[0] == 2


def test_help_names_every_flag_with_its_meaning(capsys):
    status, out, _ = ended(capsys, "serve", "--help")
    words = " ".join(out.split())
    assert status == 0
    for option in OPTIONS:
        assert option.flag in words
        # argparse breaks lines at hyphens too.
        assert option.meaning.replace("- ", "-") in words.replace("- ", "-")


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "pinyon", "--version"]
    assert subprocess.check_output(command, text=True) == f"pinyon {pinyon.__version__}\n"
