"""What a confined program can and cannot do: told by a Python that tries."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dropscribe import confine
from dropscribe.confine import NOT_STARTED, powers
from dropscribe.confined import Limits, confined
from tests.patience import PATIENCE_S, until

LIMITS = Limits(cpu_s=20, memory_bytes=256 << 20, file_bytes=1 << 20, files=32)
PYTHON = os.path.realpath(sys.executable)
Try = Callable[[str], subprocess.CompletedProcess[str]]

needs_landlock = pytest.mark.skipif("landlock" not in powers(), reason="this kernel lacks Landlock")
needs_seccomp = pytest.mark.skipif("seccomp" not in powers(), reason="this kernel lacks seccomp")


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Runs a program in a folder of its own, where it may write."""
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [PYTHON, "-I", "-S", "-c", code]
        reads = [Path(PYTHON).parents[1], tmp_path / "readable"]
        return subprocess.run(
            confined(command, LIMITS, reads=reads, writes=folder),
            cwd=folder,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


class TestFiles:
    @needs_landlock
    @pytest.mark.parametrize(
        "path", ["../secret", "/etc/passwd", "/proc/{caller}/environ", "/proc/self/environ"]
    )
    def test_none_but_those_named_can_be_read(self, attempt: Try, path: str) -> None:
        done = attempt(f"open({path.format(caller=os.getpid())!r})")
        assert "PermissionError: [Errno 13]" in done.stderr

    @needs_landlock
    @pytest.mark.parametrize(
        "code",
        [
            "open('../new', 'w')",
            "open('../secret', 'a')",
            "import os; os.truncate('../secret', 0)",
            "import os; os.unlink('../secret')",
            "import os; os.symlink('/etc/passwd', 'link')",
            "import os; os.mkfifo('pipe')",
            "import os; os.mkdir('folder')",
            "import os; os.rename('own', '../moved')",
            "open('../readable', 'w')",
            "import os; os.execv('../readable', ['x'])",
        ],
    )
    def test_nothing_changes_elsewhere(self, attempt: Try, tmp_path: Path, code: str) -> None:
        (tmp_path / "readable").write_text("#!/bin/sh\n")
        (tmp_path / "readable").chmod(0o644)
        (tmp_path / "own" / "own").touch()
        done = attempt(code)
        assert "PermissionError" in done.stderr or "cross-device" in done.stderr
        assert (tmp_path / "secret").read_text() == "secret"
        assert (tmp_path / "readable").read_text() == "#!/bin/sh\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "readable", "secret"]
        assert [path.name for path in (tmp_path / "own").iterdir()] == ["own"]

    def test_its_own_folder_is_its_own(self, attempt: Try, tmp_path: Path) -> None:
        (tmp_path / "readable").write_text("read me")
        code = "open('x', 'w').write('a'); open('x', 'w').write('b'); print(open('x').read())"
        done = attempt(f"{code}; print(open('../readable').read())")
        assert (done.stdout, done.stderr) == ("b\nread me\n", "")

    def test_of_our_environment_nothing_is_inherited_but_what_is_open(self, attempt: Try) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = attempt(f"import os; os.fstat({server.fileno()})")
        assert "Bad file descriptor" in done.stderr


class TestCalls:
    @needs_seccomp
    @pytest.mark.parametrize(
        "code",
        [
            "import socket; socket.socket()",
            "import socket; socket.socketpair()",
            "import os; os.fork()",
            "import os; os.posix_spawn('/bin/true', ['true'], {})",
            "import subprocess; subprocess.run(['/bin/true'])",
            "import os; os.kill(os.getppid(), 0)",
            "import os; os.pidfd_open(os.getppid())",
        ],
    )
    def test_no_socket_no_process_no_signal(self, attempt: Try, code: str) -> None:
        assert "PermissionError: [Errno 1]" in attempt(code).stderr

    @needs_seccomp
    def test_a_crash_is_told_as_one(self, attempt: Try) -> None:
        """`abort` sends a signal, to itself."""
        assert attempt("import os; os.abort()").returncode == -signal.SIGABRT

    def test_threads_are_free(self, attempt: Try) -> None:
        code = "import threading; t = threading.Thread(target=print, args=['ran']); t.start()"
        done = attempt(code)
        assert (done.stdout, done.stderr) == ("ran\n", "")


WITHOUT_LANDLOCK = f"""
import sys
sys.path.append({str(Path(confine.__file__).parent)!r})
import confine
confine._landlock_version = lambda: 0
confine.main(sys.argv[1:])
"""
PARENT = """
import subprocess, sys
from pathlib import Path
from dropscribe import confine
from dropscribe.confined import Limits, confined
folder, program, python, code, powers = sys.argv[1:]
if powers == "given up":
    confine._give_up_powers()
run = confined(
    [python, "-I", "-S", "-c", code], Limits(20, 1 << 28, 1, 32), reads=[], writes=Path(folder)
)
run = [*run[:3], "-c", program, *run[4:]]
print(subprocess.run(run, env={}, stdout=subprocess.PIPE, check=True, text=True).stdout)
"""
"""Starts a confined program without Landlock, and survives that."""
CHILD = """
import ctypes, errno, fcntl, json, os, resource, signal, struct
libc, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
rt_tgsigqueueinfo, pidfd_getfd = {"x86_64": 297}.get(os.uname().machine, 240), 438
info = ctypes.create_string_buffer(struct.pack("iii", 9, 0, -1), 128)
def at(place, flags=os.O_RDONLY):
    return os.open(f"/proc/{parent}/{place}", flags)
def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
told = {}
for attempt in ATTEMPTS:
    try:
        eval(attempt)
        told[attempt] = "done"
    except OSError as error:
        told[attempt] = errno.errorcode[error.errno]
print(json.dumps(told))
"""
LOOKS = (
    *("at('environ')", "at('auxv')", "at('mem')", "at('mem', os.O_RDWR)", "at('maps')"),
    *("at('fd/1')", "at('cwd/own')", "at('root/etc')"),
)
REACHES = (
    "os.kill(parent, 9)",
    "call(libc.tgkill, parent, parent, 9)",
    "call(libc.sigqueue, parent, 9, None)",
    "call(libc.syscall, rt_tgsigqueueinfo, parent, parent, 9, info)",
    "signal.pidfd_send_signal(at(''), 9)",
    "call(libc.syscall, pidfd_getfd, at(''), 1, 0)",
    "fcntl.fcntl(2, fcntl.F_SETOWN, parent)",
    "fcntl.fcntl(2, 15, struct.pack('ii', 1, parent))",  # F_SETOWN_EX
    "resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1))",
    "call(libc.process_vm_readv, parent, None, 0, None, 0, 0)",
    "call(libc.process_vm_writev, parent, None, 0, None, 0, 0)",
)


@needs_seccomp
class TestOtherProcesses:
    """Where Landlock is missing: what a program gets of the one that started it."""

    @pytest.mark.parametrize("powers", ["kept", "given up"])
    def test_their_memory_and_files_are_closed(self, tmp_path: Path, powers: str) -> None:
        """Also where they have no more of root's powers than the program has."""
        assert reach(LOOKS, tmp_path, powers) == dict.fromkeys(LOOKS, "EACCES")

    def test_they_get_no_signal_and_no_limit(self, tmp_path: Path) -> None:
        assert reach(REACHES, tmp_path, "kept") == dict.fromkeys(REACHES, "EPERM")


def reach(attempts: Iterable[str], folder: Path, powers: str) -> Any:
    """What became of each; `powers`: those of root that the parent has, where it runs as root."""
    (folder / "own").touch()
    code = f"ATTEMPTS = {list(attempts)}\n{CHILD}"
    command = [sys.executable, "-c", PARENT, str(folder), WITHOUT_LANDLOCK, PYTHON, code, powers]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestLimits:
    def test_of_memory(self, attempt: Try) -> None:
        assert attempt("bytearray(128 << 20)").returncode == 0
        assert "MemoryError" in attempt("bytearray(512 << 20)").stderr

    def test_of_a_file(self, attempt: Try, tmp_path: Path) -> None:
        """Where it ignores the signal, as this Python does, the write fails."""
        done = attempt("open('x', 'wb', 0).write(bytes(2 << 20)); open('x', 'ab', 0).write(b'x')")
        assert "File too large" in done.stderr
        assert (tmp_path / "own" / "x").stat().st_size == 1 << 20

    def test_the_signal_of_too_large_a_file_is_not_ignored(self, tmp_path: Path) -> None:
        command = ["/bin/dd", "if=/usr/bin/env", "of=x", "bs=64k", "count=1"]
        small = Limits(20, 256 << 20, 1000, 32)
        run = confined(command, small, reads=[], writes=tmp_path)
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == -signal.SIGXFSZ

    def test_of_processor_time(self, tmp_path: Path) -> None:
        command = [PYTHON, "-I", "-S", "-c", "while True: pass"]
        short = Limits(1, 256 << 20, 1000, 32)
        run = confined(command, short, reads=[Path(PYTHON).parents[1]], writes=tmp_path)
        done = subprocess.run(run, capture_output=True, check=False, timeout=PATIENCE_S)
        assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)

    def test_of_open_files(self, attempt: Try) -> None:
        done = attempt("import os; kept = [os.dup(1) for _ in range(40)]")
        assert "Too many open files" in done.stderr

    def test_none_can_be_raised_and_no_core_is_dumped(self, attempt: Try) -> None:
        code = "import resource as r; print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_CPU))"
        assert attempt(code).stdout == "(0, 0) (20, 20)\n"
        done = attempt("import resource as r; r.setrlimit(r.RLIMIT_CPU, (20, 30))")
        assert "not allowed to raise" in done.stderr


def test_it_dies_with_who_waits_for_it(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of it")
    command = confined(["/bin/sleep", "600"], LIMITS, reads=[], writes=tmp_path)
    code = (
        f"import subprocess; p = subprocess.Popen({command!r}); print(p.pid, flush=True); p.wait()"
    )
    with subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip() / "cmdline"
        until(lambda: child.read_bytes().startswith(b"/bin/sleep"))
        parent.kill()
    until(lambda: not child.exists() or not child.read_bytes())


def test_a_program_that_is_not_there_is_told_from_one_that_failed(tmp_path: Path) -> None:
    run = confined(["/none/there"], LIMITS, reads=[], writes=tmp_path)
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == NOT_STARTED
    assert done.stderr.startswith("[fatal] not started: [Errno ")


@needs_landlock
def test_the_libraries_beside_the_folder_of_a_program_are_its_own(tmp_path: Path) -> None:
    """As Conda has them: this program finds its C library there alone."""
    system = re.search(r"/\S+/libc\.so\.6$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    sleep = Path("/bin/sleep").read_bytes()
    if not system or b"\0libc.so.6\0" not in sleep:
        pytest.skip("this system's programs are not linked to glibc")
    for name in ("bin", "lib", "own"):
        (tmp_path / "prefix" / name).mkdir(parents=True)
    program = tmp_path / "prefix" / "bin" / "sleep"
    program.write_bytes(sleep.replace(b"\0libc.so.6\0", b"\0libd.so.6\0"))
    program.chmod(0o755)
    shutil.copy(system[0], tmp_path / "prefix" / "lib" / "libd.so.6")
    run = confined([str(program), "0"], LIMITS, reads=[], writes=tmp_path / "prefix" / "own")
    environment = {"LD_LIBRARY_PATH": str(tmp_path / "prefix" / "lib")}
    done = subprocess.run(run, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
