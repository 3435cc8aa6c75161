"""Sends JSON to one address of an inference server, and turns every failure into an error of ours that names it.

The only module that knows the HTTP client. Proxies and certificate authorities are those that the environment names, as
for any client.
"""

import logging
import re
import weakref
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec

from pinyon.errors import PinyonError, ResourceExhaustedError, UnavailableError
from pinyon.inference.choice import install_advice

Answer = TypeVar("Answer")

_CONNECT_TIMEOUT_S: Final = 5.0
_SAID_LENGTH_MAX: Final = 300
_SIZE_STATUSES: Final = frozenset({400, 422, 500})
_SIZE_WORDS: Final = re.compile(
    r"batch ?size|array too long|too (large|long|many|big) |not be larger|must have less than|input length"
    r"|(maximum|exceeds?) .*(context|length|size|tokens?|inputs)|context (length|size|window)",
    re.IGNORECASE,
)
"""How servers say that a request is too large, beside status 413: TEI, vLLM, llama.cpp, Ollama, NIM and hosted ones."""

_ADVICE: Final = {
    401: " Set models.api_key to the server's key.",
    403: " Set models.api_key to the server's key.",
    404: " Is the URL complete? It often ends in /v1, and the model must have the name that the server calls it.",
}


class TooLargeError(Exception):
    """The server refused a request for its size; the text is what it said."""


class HttpClient:
    """Posts to one address. `open` first; then for one thread."""

    def __init__(self, url: str, path: str, *, api_key: str | None = None, timeout_s: float = 60.0) -> None:
        """Describe the address; nothing is sent.

        Args:
            url: of the server; it may end in `path` already.
            path: what is called there.
            api_key: sent as bearer, if given.
            timeout_s: how long an answer may take; a connection may take five seconds.
        """
        base = url.rstrip("/")
        self.url = base if base.endswith(path) else base + path
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s
        self._httpx: Any = None
        self._client: Any = None
        self._close: Callable[[], object] = lambda: None

    def open(self) -> None:
        """Get ready; may be called again.

        Raises:
            UnavailableError: the package is not installed.
        """
        try:
            import httpx
        except ImportError as error:
            raise UnavailableError(f"Models over HTTP need a package: {install_advice('models')}") from error
        logging.getLogger("httpx").setLevel(logging.WARNING)  # It writes a line for every request.
        self._close()
        self._httpx = httpx
        timeout = httpx.Timeout(self._timeout_s, connect=min(_CONNECT_TIMEOUT_S, self._timeout_s))
        self._client = httpx.Client(timeout=timeout, headers=self._headers)
        # Backends have no end of their own: connections are closed when nobody uses this any more.
        self._close = weakref.finalize(self, self._client.close)

    def post(self, body: dict[str, Any], answer_type: type[Answer]) -> Answer:
        """Send a body; the answer has the type that is asked for.

        Raises:
            TooLargeError: the server takes less at once.
            ResourceExhaustedError: it asks to wait.
            UnavailableError: it does not answer, refuses, or answers something else.
        """
        response = self._send(msgspec.json.encode(body))
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return msgspec.json.decode(response.content, type=answer_type)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnavailableError(
                f"{self.url} answers in another form than expected: {error}. Is the URL complete? It often ends in /v1"
            ) from error

    def _send(self, content: bytes) -> Any:
        """Post, and once more if the connection failed: a kept one may have been closed by the server meanwhile."""
        try:
            try:
                return self._client.post(self.url, content=content)
            except (self._httpx.NetworkError, self._httpx.RemoteProtocolError):
                return self._client.post(self.url, content=content)
        except self._httpx.TimeoutException as error:
            raise UnavailableError(f"{self.url} does not answer in time ({type(error).__name__})") from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise UnavailableError(f"{self.url} cannot be reached: {error}") from error

    def _refusal(self, response: Any) -> PinyonError | TooLargeError:
        """What an answer other than 200 means."""
        status, said = response.status_code, _what_it_said(response)
        if status == 413 or (status in _SIZE_STATUSES and _SIZE_WORDS.search(said)):
            return TooLargeError(said)
        if status == 429:
            return ResourceExhaustedError(f"{self.url} asks to wait: {said}", retry_after_s=_retry_after_s(response))
        advice = _ADVICE.get(status, "")
        if 300 <= status < 400:
            advice = f" It leads to {response.headers.get('Location', 'nowhere')}: give that URL."
        return UnavailableError(f"{self.url} answers {status}: {said}.{advice}")


def _what_it_said(response: Any) -> str:
    """The text of an error, in the forms of OpenAI, FastAPI, TEI and Ollama; else the whole body."""
    said: Any
    try:
        said = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = response.text
    while isinstance(said, dict):
        inner = next((said[name] for name in ("error", "message", "detail") if said.get(name)), None)
        said = str(said) if inner is None else inner
    return " ".join(str(said).split())[:_SAID_LENGTH_MAX].rstrip(".") or "nothing more"


def _retry_after_s(response: Any) -> float:
    """Seconds to wait: the header has a number, or a date to compare with the server's own."""
    value = response.headers.get("Retry-After", "")
    try:
        if value.isdigit():
            return float(value)
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    except (ValueError, TypeError):
        return 1.0
