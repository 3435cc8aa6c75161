"""The parameters that a caller gives for a model, against what is told about the model, with Pinecone's texts.

Every function is pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from pinyon.errors import InvalidArgumentError
from pinyon.inference.info import ModelInfo, Parameter, ParameterKind, ParameterValue, ValueType
from pinyon.service.metadata_rules import shorten

ParameterValues: TypeAlias = dict[str, ParameterValue]
"""Parameters of a model, by name."""


def default_parameters(info: ModelInfo) -> ParameterValues:
    """What counts where nothing is given; a parameter without a default is missing."""
    return {parameter.name: parameter.default for parameter in info.parameters if parameter.default is not None}


def checked_parameters(info: ModelInfo, given: Mapping[str, Any]) -> ParameterValues:
    """The given parameters, as the model takes them; null counts as not given.

    Raises:
        InvalidArgumentError: the model has no such parameter, or the parameter cannot have that value.
    """
    known = {parameter.name: parameter for parameter in info.parameters}
    for name in given:
        if name not in known:
            raise InvalidArgumentError(
                f"Unsupported parameter '{shorten(name)}' for model '{info.name}', must be {one_of(known)}"
            )
    return {name: _checked(info, known[name], value) for name, value in given.items() if value is not None}


def invalid_value(info: ModelInfo, name: str, value: object, rule: str) -> InvalidArgumentError:
    """The error of a value that a model does not take; `rule` says what it must be."""
    return InvalidArgumentError(
        f"Invalid parameter value {name}={_shown(value)} for model '{info.name}', must be {rule}"
    )


def one_of(values: Iterable[object]) -> str:
    """The rule that a value must be one of some."""
    return f"one of [{', '.join(map(str, values))}]"


def _checked(info: ModelInfo, parameter: Parameter, value: Any) -> ParameterValue:
    typed = _typed(parameter.value_type, value)
    if typed is None or not _is_allowed(parameter, typed):
        raise invalid_value(info, parameter.name, value, _rule(parameter))
    return typed


def _typed(value_type: ValueType, value: Any) -> ParameterValue | None:
    """The value if it has the type, else None. A number without a fraction is an integer, however it was written."""
    if value_type in (ValueType.BOOLEAN, ValueType.STRING):
        is_typed = isinstance(value, bool if value_type is ValueType.BOOLEAN else str)
    else:
        is_typed = isinstance(value, int | float) and not isinstance(value, bool)
    if is_typed and value_type is ValueType.INTEGER and isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if is_typed else None


def _is_allowed(parameter: Parameter, value: ParameterValue) -> bool:
    if parameter.kind is ParameterKind.ONE_OF:
        return value in parameter.allowed_values
    if parameter.kind is ParameterKind.ANY or isinstance(value, str):
        return True
    is_small = parameter.minimum is not None and value < parameter.minimum
    is_large = parameter.maximum is not None and value > parameter.maximum
    return not is_small and not is_large


def _rule(parameter: Parameter) -> str:
    if parameter.kind is ParameterKind.ONE_OF:
        return one_of(parameter.allowed_values)
    article = "an" if parameter.value_type is ValueType.INTEGER else "a"
    rule = f"{article} {parameter.value_type.value}"
    if parameter.minimum is not None:
        rule += f", at least {parameter.minimum:g}"
    if parameter.maximum is not None:
        rule += f", at most {parameter.maximum:g}"
    return rule


def _shown(value: object) -> str:
    """A value as an error quotes it. A list or an object may be as large and as deep as the request."""
    if isinstance(value, str):
        return f"'{shorten(value)}'"
    if isinstance(value, bool | int | float):
        return shorten(msgspec.json.encode(value).decode())
    return "a list" if isinstance(value, list) else "an object"
