"""Puts our own functions in the place of moto's, and takes all of them back again.

Every bridge of moto goes through here, so that closing a cloud leaves moto as it was: the next
cloud starts clean, and the guard tests can ask an untouched moto whether a gap is still there.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any


class Replacements:
    """What has been replaced, in order."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def put(self, owner: Any, name: str, new: Any) -> None:
        """Sets `owner.name`, and remembers the raw entry: a staticmethod stays one."""
        if name in vars(owner):
            self._undo.callback(setattr, owner, name, vars(owner)[name])
        else:
            self._undo.callback(delattr, owner, name)
        setattr(owner, name, new)

    def put_item(self, mapping: Any, key: str, new: Any) -> None:
        self._undo.callback(mapping.__setitem__, key, mapping[key])
        mapping[key] = new

    def undo(self) -> None:
        """The last replacement goes first, so that two of the same name end where they began."""
        self._undo.close()
