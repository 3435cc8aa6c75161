"""Pages of lists: an opaque token says after which entry the next page begins.

A page stays right when entries before it, or the entry itself, are deleted.
"""

import base64

from pinyon.errors import InvalidArgumentError


def token_after(last: str) -> str:
    """The token of the page after one that ends with `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def entry_before(token: str | None) -> str | None:
    """The entry after which a page begins; None for the first page.

    Raises:
        InvalidArgumentError: the token is none of ours.
    """
    if not token:
        return None
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise InvalidArgumentError("Invalid pagination token") from error
