"""The script between us and a program that reads strangers' files: see `confined.confined`.

    python -I -S confine.py CPU_S,MEMORY,FILE,FILES read=PATH … write=PATH … -- PROGRAM ARGUMENT …

Limits hold everywhere. On Linux the program besides opens no file but those named (Landlock, since
5.13), no socket, starts no process, reaches into no other (seccomp), and of root's powers it has
the one over files alone. Where the kernel lacks one of these, it runs without it. Few imports, as
it starts once a chunk: without them half of its 30 ms are gone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys

TYPE_CHECKING = False  # that of `typing` costs its import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

NOT_STARTED: Final = 125
"""Exit status when the program could not be started."""
SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/bin", "/opt", "/nix", "/etc/ld.so.cache"),
    "/home/linuxbrew/.linuxbrew/Cellar",
)
"""Programs and their libraries."""
_SIGKILL, _SIGXFSZ = 9, 25


def powers() -> list[str]:
    """What this machine can confine a program with: of `landlock` and `seccomp`."""
    return [
        *(["landlock"] if _landlock_version() > 0 else []),
        *(["seccomp"] if _machine() in _CALLS and _prctl(_PR_GET_SECCOMP) >= 0 else []),
    ]


def main(arguments: list[str]) -> None:
    """Become the program. Raises `OSError` where that is not possible."""
    at = arguments.index("--")
    command = arguments[at + 1 :]
    places = [place.partition("=")[::2] for place in arguments[1:at]]
    _limit(*map(int, arguments[0].split(",")))
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        reads = [path for kind, path in places if kind == "read"]
        writes = [path for kind, path in places if kind == "write"]
        _give_up_powers()
        _confine_files([*SYSTEM, *_own(os.path.realpath(command[0])), *reads], writes)
        _forbid_calls()
    os.execv(command[0], command)  # noqa: S606 - there is no shell


def hide() -> None:
    """From here on no process of the same user gets at this one's memory, variables or files.

    Neither do debuggers, and it leaves no core dump. Those with `CAP_SYS_PTRACE`, as root has it,
    still do. Elsewhere than on Linux: nothing happens.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def _own(program: str) -> list[str]:
    """The program, and the libraries that a prefix as Conda's has beside its programs."""
    prefix = os.path.dirname(os.path.dirname(program))  # noqa: PTH120 - pathlib costs time
    return [program, os.path.join(prefix, "lib")]  # noqa: PTH118 - the same


def _limit(cpu_s: int, memory_bytes: int, file_bytes: int, files: int) -> None:
    # Python ignores this signal, and programs inherit that: a write would fail and be tried again.
    ctypes.CDLL(None).signal(_SIGXFSZ, None)
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(kind)[1]
        least = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (least, least))


# ── Capabilities: what root may. See linux/capability.h ─────────────────────────────────────────

_VERSION_3: Final = 0x20080522
_DAC_OVERRIDE: Final = 1 << 1
"""Files of any owner: the recording may be another's than root's."""


def _give_up_powers() -> None:
    """From here on not even root gets at processes that have kept theirs, nor raises a limit."""
    library = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)
    library.capget(header, sets)
    _, permitted, _, _, more, _ = struct.unpack("=6I", sets.raw)
    kept = permitted & _DAC_OVERRIDE
    if (permitted, more) == (kept, 0):
        return
    if library.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) < 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


# ── Landlock: which files. See linux/landlock.h ─────────────────────────────────────────────────

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_REG, _TRUNCATE = 1 << 8, 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_KNOWN_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of Landlock → how many rights to files it knows; 16 from version 5 on."""
_TCP: Final = 0b11
"""To listen and to connect; from version 4 on."""
_SCOPES: Final = 0b11
"""Abstract sockets, and signals, of others; from version 6 on."""
_PATH_BENEATH: Final = 1


def _landlock_version() -> int:
    return _syscall(_CREATE_RULESET, None, 0, 1) if sys.platform == "linux" else 0


def _confine_files(reads: Iterable[str], writes: Iterable[str]) -> None:
    """From here on nothing but these can be opened. Without Landlock: nothing happens."""
    version = _landlock_version()
    if version < 1:
        return
    handled = (1 << _KNOWN_RIGHTS.get(version, 16)) - 1
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _syscall(_CREATE_RULESET, struct.pack("QQQ", handled, _TCP, _SCOPES)[:size], size, 0)
    for path in reads:
        _allow(rules, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in writes:
        _allow(rules, path, (_READ_FILE | _WRITE_FILE | _MAKE_REG | _TRUNCATE) & handled)
    if _syscall(_RESTRICT_SELF, rules, 0) < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused its rules")


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs time
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, place)
    if _syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused a rule", path)


# ── seccomp: which calls. See linux/seccomp.h, linux/filter.h, asm/unistd.h ─────────────────────

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_GET_SECCOMP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 21, 22, 38
_MODE_FILTER: Final = 2
_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050001, 0x00050026
"""Do it; answer EPERM; answer ENOSYS."""
_LOAD, _EQUALS, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD: Final = 0x10000
_F_SETOWN, _F_SETOWN_EX = 8, 15
"""Of `fcntl`: whom a file's signals go to."""
_X32: Final = 0x40000000
_CALLS: Final = {
    "x86_64": (
        (0xC000003E, 435, (56, 234, 302, 72)),
        (41, 53, 57, 58, 62, 200, 129, 297, 101, 310, 311, 425, 434, 424, 438),
    ),
    "aarch64": (
        (0xC00000B7, 435, (220, 131, 261, 25)),
        (198, 199, 129, 130, 138, 240, 117, 270, 271, 425, 434, 424, 438),
    ),
}
"""Of each processor its mark (linux/audit.h), its `clone3`, its clone, tgkill, prlimit64 and fcntl,
and what is refused: socket, socketpair, (fork, vfork,) kill, tkill, rt_sigqueueinfo and
rt_tgsigqueueinfo, ptrace, process_vm_readv and _writev, io_uring_setup, pidfd_open,
pidfd_send_signal and _getfd."""


def _machine() -> str:
    return os.uname().machine if sys.platform == "linux" else ""


def _forbid_calls() -> None:
    """From here on no socket, no new process but threads. Without seccomp: nothing happens."""
    if _machine() not in _CALLS:
        return
    (mark, clone3, partly), refused = _CALLS[_machine()]
    lines = _filter(mark, clone3, partly, refused)
    program = b"".join(struct.pack("HBBI", *line) for line in lines)
    code = ctypes.create_string_buffer(program)
    described = struct.pack("H6xP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _MODE_FILTER, described)


_Line = tuple[int, int, int, int]
"""What to do, lines to pass over if true and if false, a value."""
_NO, _YES = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)


def _filter(
    mark: int, clone3: int, partly: tuple[int, int, int, int], refused: tuple[int, ...]
) -> list[_Line]:
    clone, tgkill, prlimit, fcntl = partly
    lines = [
        (_LOAD, 0, 0, 4),  # the processor's mark
        (_EQUALS, 1, 0, mark),
        _NO,
        (_LOAD, 0, 0, 0),  # the call's number
        (_AT_LEAST, 0, 1, _X32),
        _NO,
        # Its flags are out of sight; without it the C library makes threads by `clone`.
        (_EQUALS, 0, 1, clone3),
        (_RETURN, 0, 0, _ABSENT),
    ]
    for number in refused:
        lines += [(_EQUALS, 0, 1, number), _NO]
    return [
        *lines,
        *_asked(clone, 0, [(_ANY_OF, 1, 0, _CLONE_THREAD), _NO, _YES]),
        # To itself, as `abort` does it: it becomes the program under this number.
        *_asked(tgkill, 0, [(_EQUALS, 1, 0, os.getpid()), _NO, _YES]),
        *_asked(prlimit, 0, [(_EQUALS, 1, 0, 0), _NO, _YES]),  # its own limits
        *_asked(fcntl, 1, [(_EQUALS, 1, 0, _F_SETOWN), (_EQUALS, 0, 1, _F_SETOWN_EX), _NO, _YES]),
        _YES,
    ]


def _asked(number: int, argument: int, lines: list[_Line]) -> list[_Line]:
    """What to do at a call: `lines` see the lower half of an argument, and all of them end it."""
    return [(_EQUALS, 0, len(lines) + 1, number), (_LOAD, 0, 0, 16 + 8 * argument), *lines]


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    """Its result; -1 where it failed or there is none."""
    sized = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *sized))


def _prctl(option: int, *arguments: int | bytes) -> int:
    sized = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    rest = [ctypes.c_ulong(0)] * (4 - len(sized))
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, *sized, *rest))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"[fatal] not started: {error}\n")
        sys.exit(NOT_STARTED)
