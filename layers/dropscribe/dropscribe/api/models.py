"""Answers of `GET /models`."""

from __future__ import annotations

from typing import Literal

from dropscribe.api.object import ApiObject


class ModelInfo(ApiObject):
    id: str
    object: Literal["model"] = "model"
    created: int
    """Seconds since 1970: when it became available."""
    owned_by: str


class ModelList(ApiObject):
    object: Literal["list"] = "list"
    data: list[ModelInfo]
