"""Every client over TLS under the server's own certificate authority: here gRPC needs no argument of its own."""

import subprocess

import pytest

from tests.conformance.environments import required_tool
from tests.conformance.harness import NPM, PYTHON, run_script

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]


@pytest.mark.parametrize("client", PYTHON, ids=str)
def test_python_speaks_rest_and_grpc_on_one_port(client, tls_server):
    seen = run_script(client, "smoke", tls_server, client.prefix)
    assert seen["rest"] == [["rest-1", 1], ["rest-2", 0]]
    assert seen["grpc"] == [["grpc-1", 1], ["grpc-2", 0]]


@pytest.mark.parametrize("client", NPM, ids=str)
def test_javascript(client, tls_server):
    seen = run_script(client, "smoke", tls_server, client.prefix)
    assert seen["rest"] == [["rest-1", 1], ["rest-2", 0]]


def test_hosts_are_told_without_a_scheme(tls_server):
    """Every client then assumes TLS; the older gRPC clients understand no other form."""
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    index = tls_server.request("POST", "/indexes", {"name": "bare", "dimension": 2, "spec": spec})
    assert index["host"].startswith("localhost:")


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_curl(tls_server, protocol):
    answer = curl(tls_server, protocol, "--cacert", str(tls_server.ca_file))
    assert answer.stdout.splitlines()[-1] == "200 " + {"--http1.1": "1.1", "--http2": "2"}[protocol]


def test_curl_without_the_authority_refuses_the_certificate(tls_server):
    assert curl(tls_server).returncode == 60


def curl(tls_server, *options: str) -> subprocess.CompletedProcess[str]:
    """List the indexes. The last line of output is the status and the HTTP version."""
    command = [required_tool("curl", "install curl"), "--silent", "--write-out", "\n%{http_code} %{http_version}"]
    command += ["--header", f"Api-Key: {tls_server.api_key}", *options, tls_server.url + "/indexes"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
