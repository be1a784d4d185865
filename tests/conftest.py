"""What tests share: ffmpeg on PATH, a folder of recordings, the API's stand-in, the route."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.api_server import KEY, ApiServer
from tests.route import Route

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def ffmpeg_on_path(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The functions find it in their layer; tests of the package find the same binary here."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory, ffmpeg_on_path: None) -> Path:
    """Recordings of every good and bad kind, made of one real one."""
    folder = tmp_path_factory.mktemp("media")
    speech = DATA / "austen-0880.wav"

    def make(name: str, *arguments: str) -> None:
        command = ["ffmpeg", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True)

    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:d=3")
    protect = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2")
    make("speech.mp3", "-i", str(speech), "-b:a", "64k")
    make("speech.m4a", "-i", str(speech))
    make("speech.ogg", "-i", str(speech), "-c:a", "libvorbis")
    make("speech.webm", "-i", str(speech), "-c:a", "libopus")
    make("video.mp4", "-i", str(speech), *picture, "-c:v", "mpeg4", "-shortest")
    make("silent-video.mp4", *picture, "-c:v", "mpeg4")
    make("two-tracks.mka", *("-i", str(speech)) * 2, "-map", "0", "-map", "1")
    make("five-one.flac", "-i", str(speech), "-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0")
    make("twins.wav", "-i", str(speech), "-af", "pan=stereo|c0=c0|c1=c0")
    make("encrypted.mp4", "-i", str(speech), *protect[:3], protect[3] + "e632ccbb",
         "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")  # fmt: skip
    make("long.flac", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "130")
    for name in ("speech.mp3", "video.mp4"):
        content = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(content[: len(content) * 2 // 3])
    (folder / "empty.mp3").touch()
    (folder / "text.mp3").write_text("Dear Sir or Madam,\nthis is a letter.\n" * 50)
    return folder


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def api(api_server: ApiServer) -> ApiServer:
    """The API's stand-in, well-behaved at the start of each test."""
    api_server.behave()
    return api_server


@pytest.fixture(scope="module")
def route(api_server: ApiServer) -> Iterator[Route]:
    """template.yaml on the embedded cloud; closed after each module, as moto is global."""
    with Route(ROOT / "template.yaml", api_url=api_server.base_url, api_key=KEY) as deployed:
        yield deployed
