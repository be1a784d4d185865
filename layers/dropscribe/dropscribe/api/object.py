"""What all objects of the API have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator

T = TypeVar("T")


def _or_none(value: Any, validate: Any) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return None


Extra = Annotated[T | None, WrapValidator(_or_none)]
"""What stands beside the transcript. Other servers have their own shape of it, and a transcript
that was paid is not thrown away over that: what is not the API's is None."""


class ApiObject(BaseModel):
    """Fields that we do not know are kept: the API grows, and other servers have their own.

    Validators are built when they are needed: most functions need few, and start sooner so.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, defer_build=True, hide_input_in_errors=True
    )


def wire(answer: ApiObject) -> str:
    """The JSON that the API would send: compact, unset fields absent, non-ASCII as it is."""
    return answer.model_dump_json(exclude_none=True)
