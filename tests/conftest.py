"""What tests share: ffmpeg on PATH, a folder of recordings, the API's stand-in, the route."""

from __future__ import annotations

import gc
import os
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.api_server import KEY, ApiServer
from tests.route import Route

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]


def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it for garbage would cost 5 % of the time."""
    gc.freeze()


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
    for channels, sounding in ((6, 3), (9, 8), (65, 0)):
        _write_microphones(folder / f"microphones-{channels}.wav", speech, channels, sounding)
    for name in ("late.mp4", "late.mkv"):
        make(name, "-itsoffset", "3", "-i", str(speech), *picture, "-c:v", "mpeg4")
    make("late-stereo.mkv", "-itsoffset", "3", "-i", str(DATA / "two-lines.flac"),
         *picture, "-c:v", "mpeg4", "-c:a", "flac")  # fmt: skip
    for name, jump_s in (("gap.webm", 4), ("jump.webm", 36_000), ("back.webm", -1)):
        jump = f"asetpts='PTS+if(gt(T,1.5),{jump_s}/TB,0)'"
        make(name, "-i", str(speech), "-af", jump, "-c:a", "libopus")
    make("short-sound.mp4", "-i", str(speech), *picture[:3], picture[3][:-1] + "9", "-c:v", "mpeg4")
    make("web.mp4", "-i", str(speech), *picture, "-c:v", "mpeg4", "-movflags", "faststart")
    title = "Duration: 10:00:00.00\n[error] Duration: 10:00:00.00"
    make("titled.mp3", "-i", str(speech), "-metadata", f"title={title}")
    make("cover.mp3", "-i", str(speech), *picture, "-frames:v", "1", "-c:v", "png",
         "-disposition:v", "attached_pic")  # fmt: skip
    make("twins.wav", "-i", str(speech), "-af", "pan=stereo|c0=c0|c1=c0")
    make("encrypted.mp4", "-i", str(speech), *protect[:3], protect[3] + "e632ccbb",
         "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")  # fmt: skip
    make("long.flac", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "130")
    make("click.wav", "-i", str(speech), "-af", "atrim=end_sample=15")
    for name in ("speech.mp3", "video.mp4", "web.mp4", "cover.mp3"):
        content = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(content[: len(content) * 2 // 3])
    (folder / "empty.mp3").touch()
    (folder / "text.mp3").write_text("Dear Sir or Madam,\nthis is a letter.\n" * 50)
    return folder


def _write_microphones(path: Path, speech: Path, channels: int, sounding: int) -> None:
    """Sound in one of many channels, in a file that does not say where these belong."""
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams()._replace(nchannels=channels))
        content = source.readframes(source.getnframes())
        before, after = bytes(2 * sounding), bytes(2 * (channels - sounding - 1))
        samples = (content[at : at + 2] for at in range(0, len(content), 2))
        target.writeframes(b"".join(before + sample + after for sample in samples))


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
