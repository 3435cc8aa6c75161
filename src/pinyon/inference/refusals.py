"""Texts that are too long and must not be cut, in Pinecone's words as far as they are known: those about pairs are."""

from pinyon.errors import InvalidArgumentError


def text_too_long(position: int, token_count: int, limit: int) -> InvalidArgumentError:
    """The error of the text at `position` of a request, from 0."""
    return InvalidArgumentError(
        f"Request contains an input with {token_count} tokens at position {position}, which exceeds the maximum token "
        f'limit of {limit} for each input. Consider setting "parameters.truncate" to "END" to truncate long inputs.'
    )


def pair_too_long(token_count: int, limit: int) -> InvalidArgumentError:
    """The error of a query and a document that are too long together."""
    return InvalidArgumentError(
        f"Request contains a query+document pair with {token_count} tokens, which exceeds the maximum token limit of "
        f'{limit} for each query+document pair. Consider setting "parameters.truncate" to "END" to truncate long '
        "query+document pairs."
    )
