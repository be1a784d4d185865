"""What all objects of the API have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ApiObject(BaseModel):
    """Fields that we do not know are kept: the API grows, and other servers have their own."""

    model_config = ConfigDict(extra="allow", frozen=True)


def wire(answer: ApiObject) -> str:
    """The JSON that the API would send: compact, unset fields absent, non-ASCII as it is."""
    return answer.model_dump_json(exclude_none=True)
