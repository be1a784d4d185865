"""Recordings that are made to harm: what each may at most do, and what is said of it."""

from __future__ import annotations

import io
import re
import shutil
import signal
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dropscribe import audio
from dropscribe.audio import Normalized, normalize
from dropscribe.aws import Bucket, client
from dropscribe.confined import Limits, confined
from dropscribe.errors import Rejected
from dropscribe.job import Source, job_id_of
from dropscribe.stages.normalize import normalize as normalize_step
from tests.conftest import DATA
from tests.forged import RATE_HZ, SELF_CONTAINED, SOUND, alias, id3, mov, reference, wav
from tests.fuzz.trial import SETTINGS, outside, traced
from tests.patience import PATIENCE_S
from tests.stages import UPLOADS, WORK, stages

Decode = Callable[..., Normalized]
LONGEST_MS = 20_000
NOT_MEDIA = r"^not_media: "
NO_MEDIA = r"^not_media: this is no audio or video file that can be read"
SPEECH = DATA / "austen-0880.wav"


@pytest.fixture
def decode(tmp_path: Path) -> Decode:
    """Normalizes bytes; where there is strace, nothing may be asked for outside of the folder."""

    def run(content: bytes, **options: Any) -> Normalized:
        for left in tmp_path.glob("track-*"):
            left.unlink()
        (tmp_path / "upload").write_bytes(content)
        return normalize(tmp_path / "upload", tmp_path, **({"max_ms": LONGEST_MS} | options))

    return run


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """What ffmpeg looks for outside of its folder whatever it reads."""
    if not shutil.which("strace"):
        pytest.skip("no strace here to look over ffmpeg's shoulder")
    folder = tmp_path_factory.mktemp("harmless")
    with traced(folder / "trace"):
        normalize(SPEECH, folder, max_ms=60_000)
    return outside((folder / "trace").read_text(), str(folder)) | {str(SPEECH)}


def ended(decode: Decode, content: bytes) -> tuple[str, bytes]:
    """A rejection's code, or `decoded`, with the samples."""
    try:
        (track,) = decode(content).tracks
    except Rejected as error:
        return error.code, b""
    return "decoded", track.path.read_bytes()


def ffmpeg(target: Path, *arguments: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *arguments, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target.read_bytes()


PASSWD = b"/etc/passwd"
SCRIPTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    "hls behind a tag": id3(b"TIT2", 2, b"\0a") + b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "concat with a mark": b"\xef\xbb\xbfffconcat version 1.0\nfile /etc/passwd\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    b'profiles="urn:mpeg:dash:profile:isoff-main:2011"><BaseURL>file:/etc/</BaseURL></MPD>',
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "playlist of lists": b"[playlist]\nFile1=/etc/passwd\nNumberOfEntries=1\n",
    "xspf": b'<?xml version="1.0"?><playlist><trackList><track><location>/etc/passwd</location>',
    "smil": b'<smil><body><audio src="file:///etc/passwd"/></body></smil>',
    "real": b"file:///etc/passwd\npnm://127.0.0.1/x.rm\n",
    "asx": b'<asx version="3.0"><entry><ref href="http://127.0.0.1:9/x"/></entry></asx>',
    "quicktime link": b'<?quicktime type="application/x-quicktime-media-link"?>'
    b'<embed src="/etc/passwd"/>',
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\n<img src=/etc/passwd>\n",
    "ssa": b"[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: /etc/passwd\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
    "image list": b"frame%03d.png\n",
    "filter": b"movie=/etc/passwd [out]",
    "imf": b'<?xml version="1.0"?><CompositionPlaylist xmlns="x"><Id>a</Id></CompositionPlaylist>',
    "png": b"\x89PNG\r\n\x1a\n"
    + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1 << 30, 1 << 30, *[8] * 5),
    "gif": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(64),
    "flic": struct.pack("<IHHHHH", 128, 0xAF11, 1, 4, 4, 8) + bytes(116),
    "matroska of nothing": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
    "script": b"#!/bin/sh\ntouch /tmp/x\n",
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(64),
    "one byte": b"\0",
    "zeros": bytes(100_000),
}


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(20 << 20))
    return packed.getvalue()


ELSEWHERE = {
    "url": mov(dref=reference(b"url ", b"file:///etc/passwd\0")),
    "http": mov(dref=reference(b"url ", b"http://127.0.0.1:9/x\0")),
    "alias": mov(dref=alias(PASSWD)),
    "resource": mov(dref=reference(b"rsrc", PASSWD + b"\0")),
}
"""Their samples claim to be in another file. ffmpeg looks for them in this one."""


class TestScripts:
    """Containers and texts that name other files: nothing of it is looked for."""

    @pytest.mark.parametrize("kind", [*SCRIPTS, "zip bomb"])
    def test_they_are_refused(self, decode: Decode, kind: str) -> None:
        content = SCRIPTS.get(kind) or zip_bomb()
        with pytest.raises(Rejected, match=NOT_MEDIA):
            decode(content)

    def test_none_looks_for_what_it_names(
        self, decode: Decode, tmp_path: Path, harmless: frozenset[str]
    ) -> None:
        naming = [content for content in SCRIPTS.values() if re.search(rb"/etc/|127\.0", content)]
        assert len(naming) > 10
        with traced(tmp_path.with_suffix(".trace")):
            for content in [*naming, *ELSEWHERE.values()]:
                ended(decode, content)
        trace = tmp_path.with_suffix(".trace").read_text("utf-8", "replace")
        assert outside(trace, str(tmp_path)) <= harmless

    def test_the_look_over_the_shoulder_sees_what_there_is_to_see(
        self, tmp_path: Path, harmless: frozenset[str]
    ) -> None:
        """Of an ffmpeg without our restrictions; what Landlock refuses is seen too."""
        script = tmp_path / "upload"
        script.write_bytes(SCRIPTS["concat"])
        command = [str(shutil.which("ffmpeg")), "-v", "quiet", "-safe", "0"]
        command += ["-f", "concat", "-i", str(script), "-f", "null", "-"]
        with traced(tmp_path.with_suffix(".trace")):
            limits = Limits(20, 1 << 30, 1 << 20, 64)
            run = vars(audio)["confined"](command, limits, reads=[script], writes=tmp_path)
        subprocess.run(run, check=False)
        trace = tmp_path.with_suffix(".trace").read_text("utf-8", "replace")
        assert "/etc/passwd" in outside(trace, str(tmp_path)) - harmless

    def test_samples_elsewhere_are_not_fetched(self, decode: Decode) -> None:
        whole = decode(mov()).tracks[0].path.read_bytes()
        assert whole == SOUND
        for kind, content in ELSEWHERE.items():
            code = "not_media" if kind == "alias" else "decoded"
            assert ended(decode, content) == (code, b"" if kind == "alias" else SOUND), kind
        with pytest.raises(Rejected, match="its sound is in another file: upload it in one"):
            decode(ELSEWHERE["alias"])

    def test_a_matroska_file_that_is_continued_elsewhere_stands_alone(
        self, decode: Decode, tmp_path: Path, harmless: frozenset[str]
    ) -> None:
        """PrevFilename put where the title was; a font and a picture are attached."""
        (tmp_path / "font").write_bytes(b"OTTO" + bytes(1000))
        attached = ("-attach", str(tmp_path / "font"), "-metadata:s:t", "mimetype=font/otf")
        title = ("-metadata", "title=" + "x" * 12)
        content = ffmpeg(tmp_path / "a.mka", "-i", str(SPEECH), *attached, *title)
        before, after = b"\x7b\xa9\x8c" + b"x" * 12, b"\x3c\x83\xab\x8b/etc/passwd"
        assert content.count(before) == 1
        with traced(tmp_path.with_suffix(".trace")):
            (track,) = decode(content.replace(before, after)).tracks
        assert track.duration_ms == 2990
        trace = tmp_path.with_suffix(".trace").read_text("utf-8", "replace")
        assert outside(trace, str(tmp_path)) <= harmless


class TestNumbers:
    """Headers that claim what cannot be."""

    @pytest.mark.parametrize(
        ("forged", "said"),
        [
            ({"channels": 65_535, "align": 131_070 & 0xFFFF}, NOT_MEDIA),
            ({"channels": 0}, NOT_MEDIA),
            ({"channels": 65, "align": 130}, "65 channels, at most 64"),
            ({"rate": 4_000_000_000}, NOT_MEDIA),
            ({"rate": 2_000_000_000}, "2000000000 samples a second: 4000 to 768000"),
            ({"rate": 1_000_000}, "1000000 samples a second: 4000 to 768000"),
            ({"rate": 0}, NOT_MEDIA),
            ({"tag": 0xFFFF}, NOT_MEDIA),
            ({"bits": 0, "align": 0}, NOT_MEDIA),
            ({"data": b""}, r"^(not_media|empty_audio): "),
        ],
    )
    def test_of_a_wav(self, decode: Decode, forged: dict[str, Any], said: str) -> None:
        with pytest.raises(Rejected, match=said):
            decode(wav(**forged))

    @pytest.mark.parametrize("claimed", [0, 1, 31_999, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
    def test_a_length_that_is_not_there_is_no_more_than_a_warning(
        self, decode: Decode, claimed: int
    ) -> None:
        code, samples = ended(decode, wav(data_size=claimed))
        assert code in ("decoded", "not_media", "empty_audio")
        assert SOUND.startswith(samples)

    @pytest.mark.parametrize(
        "forged",
        [
            {"count": 0xFFFFFFFF},
            {"count": 0x7FFFFFFF, "per_chunk": 0x7FFFFFFF},
            {"count": 0},
            {"timescale": 0},
            {"timescale": 1 << 31},
            {"timescale": 1},
            {"duration": 0xFFFFFFFF},
            {"deltas": [(0xFFFFFFFF, 0xFFFFFFFF)]},
            {"deltas": [(RATE_HZ, 0)]},
            {"deltas": [(1, 1)] * 100_000},
            {"offset": 0xFFFFFFFF},
            {"offset": 0},
            {"offsets": 0xFFFFFFF},
            {"per_chunk": 0},
            {"channels": 0xFFFF},
            {"channels": 0},
            {"rate": 0},
            {"rate": 1},
            {"dref": b"" + SELF_CONTAINED[:-2]},
        ],
    )
    def test_of_a_movie(self, decode: Decode, forged: dict[str, Any]) -> None:
        code, samples = ended(decode, mov(**forged))
        assert code in ("decoded", "not_media", "empty_audio", "too_long")
        assert len(samples) <= 32 * LONGEST_MS

    @pytest.mark.parametrize(
        "tag",
        [
            id3(b"APIC", 1 << 30, b"\0image/png\0\x03\0" + bytes(100)),
            id3(b"TIT2", 0xFFFFFFFF, b"\0a"),
            id3(b"TXXX", 200_000, b"\x01" + b"a" * 200_000),
            id3(b"GEOB", 60, b"\0application/x\0/etc/passwd\0\0" + bytes(40)),
            id3(b"LINK", 20, b"APIChttp://127.0.0.1\0") * 500,
        ],
        ids=["picture of 1 GB", "title of 4 GB", "long text", "object", "500 tags"],
    )
    def test_of_a_tag(self, decode: Decode, tmp_path: Path, tag: bytes) -> None:
        """The sound behind it is read all the same."""
        sound = ffmpeg(tmp_path / "a.mp3", "-i", str(SPEECH), "-id3v2_version", "0")
        assert abs(decode(tag + sound).tracks[0].duration_ms - 2990) < 100

    def test_a_tag_longer_than_the_file_hides_it(self, decode: Decode, tmp_path: Path) -> None:
        sound = ffmpeg(tmp_path / "a.mp3", "-i", str(SPEECH), "-id3v2_version", "0")
        tag = id3(b"TIT2", 2, b"\0a", tag_size=(1 << 28) - 1)
        with pytest.raises(Rejected, match=NOT_MEDIA):
            decode(tag + sound)

    def test_of_a_flac(self, decode: Decode, tmp_path: Path) -> None:
        """2^36 samples announced, and a picture that is longer than the file."""
        content = bytearray(ffmpeg(tmp_path / "a.flac", "-i", str(SPEECH)))
        content[21:26] = bytes([content[21] | 0x0F]) + b"\xff" * 4
        normalized = decode(bytes(content))
        assert normalized.tracks[0].duration_ms == 2990
        assert "damaged or was cut off" in normalized.warnings[0]
        with pytest.raises(Rejected, match=NOT_MEDIA):
            decode(bytes(content[:4]) + b"\x86\xff\xff\xff" + bytes(100))


class TestCrowds:
    """Files of many streams."""

    @pytest.mark.parametrize("container", ["mka", "mp4", "ogg", "avi", "asf", "nut.ts"])
    def test_more_than_64_are_too_many(
        self, decode: Decode, tmp_path: Path, container: str
    ) -> None:
        coded = {"ogg": ("libopus", "a.opus"), "asf": ("wmav2", "a.wma")}
        codec, name = coded.get(container, ("libmp3lame", "a.mp3"))
        short = ("-t", "0.2", "-i", str(SPEECH), "-c:a", codec)
        ffmpeg(tmp_path / name, *short)
        streams = ("-map", "0") * 100
        content = ffmpeg(
            tmp_path / f"many.{container}", "-i", str(tmp_path / name), *streams, "-c", "copy"
        )
        with pytest.raises(Rejected, match=r"^not_media: the file has more than 64 streams:"):
            decode(content)

    def test_as_many_as_a_film_has_are_none_too_many(self, decode: Decode, tmp_path: Path) -> None:
        streams = ("-map", "0") * 40
        content = ffmpeg(tmp_path / "film.mka", "-i", str(SPEECH), *streams)
        (warning,) = decode(content).warnings
        assert warning == "the recording has 40 sound tracks: the first one is transcribed"


class TestBombs:
    """Little that becomes much: it ends at the limit."""

    def test_an_hour_of_silence_in_a_small_file(self, decode: Decode, tmp_path: Path) -> None:
        silence = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "10")
        ffmpeg(tmp_path / "a.opus", *silence, "-c:a", "libopus", "-b:a", "6k")
        loops = ("-stream_loop", "359", "-i", str(tmp_path / "a.opus"), "-c", "copy")
        content = ffmpeg(tmp_path / "bomb.opus", *loops)
        assert len(content) < 1_500_000
        with pytest.raises(Rejected, match=r"^too_long: "):
            decode(content)
        assert (tmp_path / "track-0.pcm").stat().st_size == 32 * (LONGEST_MS + 1000)

    @pytest.mark.parametrize("codec", ["flac", "wavpack", "tta"])
    def test_silence_without_loss(self, decode: Decode, tmp_path: Path, codec: str) -> None:
        silence = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "300")
        container = {"flac": "flac", "wavpack": "wv", "tta": "tta"}[codec]
        content = ffmpeg(tmp_path / f"bomb.{container}", *silence, "-c:a", codec)
        with pytest.raises(Rejected, match=r"^too_long: "):
            decode(content)
        assert (tmp_path / "track-0.pcm").stat().st_size == 32 * (LONGEST_MS + 1000)

    def test_one_sample_a_second(self, decode: Decode, tmp_path: Path) -> None:
        """16,000 times as long decoded: 20 hours of 144 KB."""
        with pytest.raises(Rejected, match=r"^(too_long|not_media): "):
            decode(wav(rate=1, data=bytes(144_000)))
        assert (tmp_path / "track-0.pcm").stat().st_size <= 32 * (LONGEST_MS + 1000)
        with pytest.raises(Rejected, match="100 samples a second: 4000 to 768000 are what"):
            decode(wav(rate=100, data=bytes(800)))


class TestLimits:
    """Each that strikes is a rejection, said in words, and not tried again."""

    def test_of_memory(self, decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audio, "MEMORY_BYTES", 48 << 20)
        with pytest.raises(Rejected, match=r"^not_media: .*memory"):
            decode(SPEECH.read_bytes())

    def test_of_what_is_written(self, decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audio, "BESIDE_TRACK_BYTES", -32 * LONGEST_MS)
        with pytest.raises(Rejected, match=r"^not_media: decoding it writes without end"):
            decode(SPEECH.read_bytes())

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("SEGV", r"^not_media: ffmpeg crashes on it \(Segmentation fault\)"),
            ("ABRT", r"^not_media: ffmpeg crashes on it \(Aborted\)"),
            ("SYS", r"^not_media: ffmpeg crashes on it"),
            ("XCPU", r"^timed_out: decoding took all the time"),
        ],
    )
    def test_of_what_a_signal_says(
        self, decode: Decode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
    ) -> None:
        own = tmp_path / "bin"
        own.mkdir()
        code = int(signal.Signals[f"SIG{name}"])
        (own / "ffmpeg").write_text(f"#!/bin/sh\nkill -{code} $$\n")
        (own / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(own))
        monkeypatch.setattr(audio, "confined", lambda command, *_, **__: list(command))
        with pytest.raises(Rejected, match=said):
            decode(SPEECH.read_bytes())


POLYGLOTS = {
    "a zip behind it": lambda sound: sound + zip_bomb(),
    "a page behind it": lambda sound: sound + b"<script src=file:///etc/passwd></script>",
    "a playlist behind it": lambda sound: sound + b"\n" + SCRIPTS["hls"],
}


@pytest.mark.parametrize("kind", POLYGLOTS)
def test_what_is_something_else_as_well_is_taken_for_sound(decode: Decode, kind: str) -> None:
    (track,) = decode(POLYGLOTS[kind](wav())).tracks
    assert track.path.read_bytes() == SOUND


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "webm"])
def test_a_recording_cut_anywhere_gives_what_is_there_or_is_refused(
    decode: Decode, tmp_path: Path, suffix: str
) -> None:
    whole = ffmpeg(tmp_path / f"a.{suffix}", "-t", "1", "-i", str(SPEECH))
    for part in (4, 40, len(whole) // 3, len(whole) - 1):
        code, samples = ended(decode, whole[:part])
        assert code in ("decoded", "not_media", "empty_audio"), part
        assert len(samples) <= 2 * RATE_HZ * 1.1


KEYS = [
    "-i /etc/passwd",
    "-y -f lavfi",
    "file:///etc/passwd",
    "concat:/etc/passwd|/etc/hosts",
    "http://127.0.0.1:9/x.mp3",
    "../../../../etc/passwd",
    "/etc/passwd",
    "a/./../b//c",
    "new\nline\r.mp3",
    "%00.mp3",
    "%2e%2e%2f%(x)s%d{0}$(id)`id`;id",
    "\u202egpj.exe\u2066.mp3",
    "\\\\host\\share",
    "x" * 1009,
    "~root/.ssh",
    "*?[a].mp3",
]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with stages("http://127.0.0.1:9"):
        yield Bucket(UPLOADS)


class TestNames:
    """A key is never an argument nor a path."""

    @pytest.mark.parametrize("key", KEYS)
    def test_of_uploads(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        bucket.write(key, SPEECH.read_bytes(), "audio/wav")
        head = client("s3").head_object(Bucket=UPLOADS, Key=key)
        source = Source(
            bucket=UPLOADS,
            key=key,
            version_id=head["VersionId"],
            etag=head["ETag"],
            size=head["ContentLength"],
            sequencer="0",
            uploaded_at="2026-11-20T12:00:00Z",
        )
        commands: list[list[str]] = []

        def noted(command: list[str], *limits: Any, **places: Any) -> list[str]:
            commands.append(confined(command, *limits, **places))
            return commands[-1]

        with patch.object(audio, "confined", noted):
            manifest = normalize_step(
                job_id_of(source), source, SETTINGS, time.monotonic() + PATIENCE_S
            )
        assert manifest.audio_ms == 2990
        own = re.compile(r"jobs/[\w-]+/[\w/.-]+")
        assert all(own.fullmatch(chunk.key) for chunk in manifest.chunks)
        assert Bucket(WORK).head(manifest.chunks[0].key)
        assert len(commands) == 2
        assert not [word for command in commands for word in command if key in word]
        assert list(tmp_path.iterdir()) == []
