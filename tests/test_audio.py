"""Recordings to 16 kHz mono FLAC: hostile, damaged and good ones."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import wave
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import miniaudio
import pytest

from dropscribe.audio import (
    DECODERS,
    DEMUXERS,
    Normalized,
    Track,
    _is_encrypted_mp4,
    cut,
    flac_samples,
    normalize,
    normalize_command,
)
from dropscribe.errors import Rejected, Unavailable
from dropscribe.spans import Span
from tests.conftest import DATA
from tests.patience import PATIENCE_S

Run = Callable[..., Normalized]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(source: Path, **options: Any) -> Normalized:
        return normalize(source, tmp_path, **({"max_ms": 120_000} | options))

    return call


def samples_of(track: Track) -> array[int]:
    """16-bit samples, 16 of them a millisecond."""
    return array("h", track.path.read_bytes())


def loud_ms(track: Track) -> list[int]:
    """The tenths of a second with sound in them, each by its beginning."""
    samples = samples_of(track)
    return [
        start // 16
        for start in range(0, len(samples), 1600)
        if max(map(abs, samples[start : start + 1600])) > 1000
    ]


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what stands in for ffmpeg or its files here and starts programs, or writes elsewhere."""
    monkeypatch.setattr("dropscribe.audio.confined", lambda command, *_, **__: list(command))


@pytest.fixture
def own_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unconfined: None
) -> Callable[[str], None]:
    """Puts a shell script first on PATH; `$FFMPEG` in it is the real one."""

    def put(script: str) -> None:
        real = shutil.which("ffmpeg")
        folder = tmp_path / "own"
        folder.mkdir()
        (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script.replace('$FFMPEG', str(real))}\n")
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port on which any visitor is noted."""
    visitors: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                visitors.append(b"visited")
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], visitors


SCRIPTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "plain concat": "file '{target}'\n",
    "svg": '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{target}"/></svg>',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "m3u": "#EXTM3U\n{target}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "ffmetadata": ";FFMETADATA1\ntitle={target}\n",
}


class TestHostileMedia:
    @pytest.mark.parametrize("kind", SCRIPTS)
    @pytest.mark.parametrize("target", ["file", "http"])
    def test_a_script_is_refused_without_opening_what_it_names(
        self, run: Run, tmp_path: Path, listener: tuple[int, list[bytes]], kind: str, target: str
    ) -> None:
        port, visitors = listener
        named = str(DATA / "jfk.flac") if target == "file" else f"http://127.0.0.1:{port}/a.ts"
        script = tmp_path / "evil.mp3"
        script.write_text(SCRIPTS[kind].format(target=named))
        with pytest.raises(Rejected, match=r"^not_media: this is no audio or video file that"):
            run(script)
        assert visitors == []

    def test_a_name_can_be_neither_an_option_nor_a_protocol(self, run: Run, tmp_path: Path) -> None:
        folder = tmp_path / "-i http: 'x' %d"
        folder.mkdir()
        odd = folder / "-y.flac"
        odd.write_bytes((DATA / "austen-0880.wav").read_bytes())
        assert run(odd).tracks[0].duration_ms == 2990

    def test_ffmpeg_sees_none_of_our_credentials(
        self,
        run: Run,
        tmp_path: Path,
        own_ffmpeg: Callable[[str], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        own_ffmpeg(f'/usr/bin/env > "{tmp_path}/seen"; exec "$FFMPEG" "$@"')
        monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
        assert run(DATA / "austen-0880.wav").tracks[0].duration_ms == 2990
        seen = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
        assert "PATH" in seen
        assert not {"AWS_SESSION_TOKEN", "HOME"} & seen

    def test_the_search_for_encryption_ends(self, tmp_path: Path) -> None:
        """One of 8 bytes after the other, these boxes would keep it busy for hours."""
        boxes = tmp_path / "boxes.mp4"
        box = (8).to_bytes(4, "big")
        protected = (16).to_bytes(4, "big") + b"moov" + b"encasinf"
        boxes.write_bytes(box + b"ftyp" + (box + b"free") * 9_000 + protected)
        assert _is_encrypted_mp4(boxes)
        boxes.write_bytes(box + b"ftyp" + (box + b"free") * 10_000 + protected)
        assert not _is_encrypted_mp4(boxes)

    def test_only_files_known_containers_and_audio_decoders_are_allowed(self) -> None:
        command = normalize_command(Path("in"), [Path("out")], 1000)
        allowed = dict(itertools.pairwise(command))
        assert allowed["-protocol_whitelist"] == "file"
        assert not {"hls", "concat", "dash", "sdp", "image2"} & set(
            allowed["-format_whitelist"].split(",")
        )
        assert not {"h264", "hevc", "png", "flic", "mjpeg"} & set(
            allowed["-codec_whitelist"].split(",")
        )


def test_every_name_on_the_whitelists_is_one_of_ffmpegs() -> None:
    """A wrong one would keep its recordings out without a word."""
    assert {name for name in DECODERS if not known("decoder", name)} == set()
    assert {name for name in DEMUXERS if not known("demuxer", name)} == set()


def known(kind: str, name: str) -> bool:
    command = ["ffmpeg", "-hide_banner", "-h", f"{kind}={name}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return not re.search(r"Unknown|not recognized", done.stdout + done.stderr)


class TestBadMedia:
    @pytest.mark.parametrize(
        ("name", "start"),
        [
            ("empty.mp3", "empty_audio: the file is empty: upload it again"),
            ("click.wav", "empty_audio: the sound track is empty"),
            ("text.mp3", "not_media: this is no audio or video file that can be read"),
            ("silent-video.mp4", "no_audio_stream: the file has no sound track"),
            ("encrypted.mp4", "not_media: the file is encrypted or DRM-protected"),
            ("cut-video.mp4", "not_media: the file was cut off before its index (moov)"),
            ("microphones-65.wav", "not_media: the recording has 65 channels, at most 64 can"),
            ("long.flac", "too_long: the recording is longer than 2 minutes"),
        ],
    )
    def test_each_kind_has_its_own_error(
        self, run: Run, media: Path, name: str, start: str
    ) -> None:
        with pytest.raises(Rejected, match=re.escape(start)):
            run(media / name)

    def test_errors_name_no_path_of_ours(self, run: Run, media: Path) -> None:
        with pytest.raises(Rejected) as caught:
            run(media / "text.mp3")
        assert str(media) not in str(caught.value)

    def test_what_can_be_decoded_of_a_cut_recording_is_kept_and_said(
        self, run: Run, media: Path
    ) -> None:
        normalized = run(media / "cut-speech.mp3")
        length = normalized.tracks[0].duration_ms
        assert 1500 < length < 2400
        decoded = f"{length / 1000:.1f} s of the 3.0 s announced could be decoded"
        assert normalized.warnings == [
            f"the recording is damaged or was cut off: {decoded} and are transcribed"
        ]

    @pytest.mark.parametrize("name", ["cut-web.mp4", "cut-cover.mp3"])
    def test_a_cut_is_noticed_beside_a_picture_too(self, run: Run, media: Path, name: str) -> None:
        (warning,) = run(media / name).warnings
        assert warning.startswith("the recording is damaged or was cut off")

    @pytest.mark.parametrize("name", ["short-sound.mp4", "titled.mp3", "cover.mp3", "late.mkv"])
    def test_what_is_healthy_is_not_called_damaged(self, run: Run, media: Path, name: str) -> None:
        """Sound shorter than its picture; a title that reads like a length or an error."""
        assert run(media / name).warnings == []

    def test_decoding_that_takes_too_long_is_not_tried_again(self, run: Run, media: Path) -> None:
        with pytest.raises(Rejected, match=r"^timed_out: decoding took .*: split the recording$"):
            run(media / "long.flac", timeout_s=0.001)

    def test_the_time_is_for_all_runs_together(
        self, run: Run, own_ffmpeg: Callable[[str], None]
    ) -> None:
        """Split takes two, here of 0.6 s each."""
        own_ffmpeg('sleep 0.6; exec "$FFMPEG" "$@"')
        run(DATA / "two-lines.flac", split=True, timeout_s=PATIENCE_S)
        with pytest.raises(Rejected, match=r"^timed_out: "):
            run(DATA / "two-lines.flac", split=True, timeout_s=1)

    def test_a_killed_ffmpeg_may_succeed_later(
        self, run: Run, own_ffmpeg: Callable[[str], None]
    ) -> None:
        own_ffmpeg("kill -9 $$")
        with pytest.raises(Unavailable, match=r"^internal: ffmpeg was killed by signal 9 \(Killed"):
            run(DATA / "austen-0880.wav")

    def test_an_ffmpeg_that_cannot_run_is_not_the_recordings_fault(
        self, run: Run, own_ffmpeg: Callable[[str], None]
    ) -> None:
        own_ffmpeg("echo 'error while loading shared libraries: libx.so' >&2; exit 127")
        with pytest.raises(Unavailable, match=r"^internal: ffmpeg cannot be started: .* libx\.so$"):
            run(DATA / "austen-0880.wav")

    def test_a_missing_ffmpeg_is_not_the_recordings_fault(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(Unavailable, match=r"^internal: ffmpeg cannot be started: .*No such"):
            run(DATA / "austen-0880.wav")

    def test_a_full_disk_is_not_taken_for_a_shorter_recording(
        self, run: Run, tmp_path: Path, unconfined: None
    ) -> None:
        (tmp_path / "track-0.pcm").symlink_to("/dev/full")
        with pytest.raises(Unavailable, match="internal: the disk was full"):
            run(DATA / "jfk.flac")


class TestGoodMedia:
    @pytest.mark.parametrize(
        "name", ["speech.mp3", "speech.m4a", "speech.ogg", "speech.webm", "video.mp4"]
    )
    def test_every_container_becomes_16_khz_mono_flac(
        self, run: Run, media: Path, tmp_path: Path, name: str
    ) -> None:
        normalized = run(media / name)
        (track,) = normalized.tracks
        cut(track, Span(0, track.duration_ms), tmp_path / "whole.flac")
        info = miniaudio.flac_get_file_info(str(tmp_path / "whole.flac"))
        assert (info.sample_rate, info.nchannels, info.sample_width) == (16_000, 1, 2)
        assert track.duration_ms == round(info.num_frames / 16)
        assert abs(track.duration_ms - 2990) < 100
        assert normalized.warnings == []

    def test_the_same_recording_gives_the_same_bytes(self, media: Path, tmp_path: Path) -> None:
        """The cache of results depends on it."""
        results = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            normalized = normalize(media / "speech.m4a", tmp_path / name, max_ms=60_000)
            results.append(normalized.tracks[0].path.read_bytes())
        assert results[0] == results[1]

    def test_of_several_sound_tracks_the_first_is_taken_and_said(
        self, run: Run, media: Path
    ) -> None:
        assert run(media / "two-tracks.mka").warnings == [
            "the recording has 2 sound tracks: the first one is transcribed"
        ]

    def test_a_recording_just_within_the_limit_is_taken(self, run: Run, media: Path) -> None:
        assert run(media / "long.flac", max_ms=130_000).tracks[0].duration_ms == 130_000

    @pytest.mark.parametrize("channels", [6, 9])
    def test_of_many_microphones_each_is_heard(self, run: Run, media: Path, channels: int) -> None:
        """Nothing in the file says where they belong; of six, the fourth is no bass."""
        (track,) = run(media / f"microphones-{channels}.wav").tracks
        assert track.duration_ms == 2990
        samples = samples_of(track)
        source = miniaudio.wav_read_file_s16(str(DATA / "austen-0880.wav")).samples
        assert max(samples) == pytest.approx(max(source) / channels, rel=0.02)

    def test_sound_without_gaps_is_handed_on_to_the_bit(self, run: Run) -> None:
        (track,) = run(DATA / "austen-0880.wav").tracks
        source = miniaudio.wav_read_file_s16(str(DATA / "austen-0880.wav")).samples
        assert samples_of(track) == source


class TestTimes:
    """In the track everything is heard when it is heard in the recording."""

    @pytest.mark.parametrize("name", ["speech.mp3", "speech.m4a", "speech.ogg", "speech.webm"])
    def test_no_container_shifts_the_sound(self, run: Run, media: Path, name: str) -> None:
        samples = samples_of(run(media / name).tracks[0])
        source = miniaudio.wav_read_file_s16(str(DATA / "austen-0880.wav")).samples
        assert abs(_shift(source, samples)) <= 480  # 30 ms

    @pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
    def test_sound_that_starts_late_stays_late(self, run: Run, media: Path, name: str) -> None:
        (plain,) = run(DATA / "austen-0880.wav").tracks
        expected = [start + 3000 for start in loud_ms(plain)]
        (track,) = run(media / name).tracks
        assert abs(track.duration_ms - 5990) < 50
        assert abs(loud_ms(track)[0] - expected[0]) <= 100
        assert abs(loud_ms(track)[-1] - expected[-1]) <= 100

    def test_a_gap_is_silence(self, run: Run, media: Path) -> None:
        (track,) = run(media / "gap.webm").tracks
        assert abs(track.duration_ms - 6990) < 50
        assert not [start for start in loud_ms(track) if 1700 <= start < 5400]
        assert [start for start in loud_ms(track) if start >= 5500]

    def test_a_gap_counts_towards_the_limit(self, run: Run, media: Path) -> None:
        with pytest.raises(Rejected, match=r"^too_long: "):
            run(media / "gap.webm", max_ms=5000)

    def test_a_jump_of_hours_is_no_silence_and_said(self, run: Run, media: Path) -> None:
        normalized = run(media / "jump.webm")
        assert abs(normalized.tracks[0].duration_ms - 2990) < 50
        assert normalized.warnings == [
            "the times in the recording jump by more than 0.5 hours: it is taken without a gap"
        ]

    def test_times_that_jump_back_drop_no_sound(self, run: Run, media: Path) -> None:
        assert abs(run(media / "back.webm").tracks[0].duration_ms - 2990) < 50

    def test_each_channel_starts_late(self, run: Run, media: Path) -> None:
        tracks = run(media / "late-stereo.mkv", split=True).tracks
        assert [track.duration_ms for track in tracks] == [9400, 9400]
        assert min(start for track in tracks for start in loud_ms(track)) >= 3000


def _shift(source: Sequence[int], samples: Sequence[int]) -> int:
    """By how many samples the second comes later than the first: where they are most alike."""
    middle = range(8000, len(source) - 8000, 16)
    return max(
        range(-800, 801, 16),
        key=lambda shift: sum(source[at] * samples[at + shift] for at in middle),
    )


class TestCutting:
    """Exact to the sample, whatever the length."""

    @pytest.mark.parametrize("odd_samples", [0, 7, 8, 9, 15])
    def test_pieces_are_the_whole(self, run: Run, tmp_path: Path, odd_samples: int) -> None:
        noise = random.Random(1).randbytes(2 * (16 * 2001 + odd_samples))
        source = tmp_path / "noise.wav"
        with wave.open(str(source), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(noise)
        (track,) = run(source).tracks
        assert track.path.read_bytes() == noise
        spans = [Span(0, 501), Span(501, 1000), Span(1000, track.duration_ms)]
        found = []
        for index, span in enumerate(spans):
            cut(track, span, tmp_path / f"{index}.flac")
            found.append(miniaudio.flac_read_file_s16(str(tmp_path / f"{index}.flac")).samples)
        assert b"".join(samples.tobytes() for samples in found) == noise
        # What does not compress stays below what the planner reckons with, but for the header.
        assert (tmp_path / "2.flac").stat().st_size < 33 * spans[2].duration_ms + 9_000

    def test_a_piece_that_is_not_all_there_is_an_error(self, run: Run, tmp_path: Path) -> None:
        (track,) = run(DATA / "austen-0880.wav").tracks
        track.path.write_bytes(track.path.read_bytes()[:32_000])
        message = "from 500 to 2000 ms could not be cut: 8000 of 24000 samples"
        with pytest.raises(Unavailable, match=message):
            cut(track, Span(500, 2000), tmp_path / "piece.flac")

    def test_pauses_are_found_on_the_way(self, run: Run, tmp_path: Path) -> None:
        """A tone of -3 dB, noise of about -35 and -45, silence."""
        levels = [23_000, 580, 23_000, 180, 23_000, 0, 23_000]
        samples = array("h", (level * (-1) ** (at % 2) for level in levels for at in range(16_000)))
        source = tmp_path / "levels.wav"
        with wave.open(str(source), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        (track,) = run(source).tracks
        found = [[s.start_ms // 1000 for s in level] for level in track.pauses]
        assert found == [[5], [3, 5], [1, 3, 5]]
        assert {round(s.duration_ms, -1) for level in track.pauses for s in level} == {1000}

    def test_what_a_recording_says_of_itself_is_no_pause(self, run: Run, tmp_path: Path) -> None:
        source = tmp_path / "titled.ogg"
        title = "title=x\nlavfi.silence_end=1.5\nlavfi.silence_duration=1.0"
        command = ["ffmpeg", "-v", "error", "-i", str(DATA / "jfk.flac"), "-metadata", title]
        subprocess.run([*command, "-c:a", "libvorbis", str(source)], check=True)
        (track,) = run(source).tracks
        assert Span(500, 1500) not in [span for level in track.pauses for span in level]


class TestSplit:
    def test_each_channel_becomes_a_track(self, run: Run) -> None:
        tracks = run(DATA / "two-lines.flac", split=True).tracks
        assert [(track.channel, track.duration_ms) for track in tracks] == [(0, 6400), (1, 6400)]
        assert tracks[0].path.read_bytes() != tracks[1].path.read_bytes()

    def test_identical_channels_are_one(self, run: Run, media: Path) -> None:
        normalized = run(media / "twins.wav", split=True)
        assert [track.channel for track in normalized.tracks] == [None]
        assert normalized.warnings == ["both channels are identical: transcribed as one"]

    @pytest.mark.parametrize(("name", "layout"), [("speech.mp3", "mono"), ("five-one.flac", "5.1")])
    def test_no_channel_is_dropped_in_silence(
        self, run: Run, media: Path, name: str, layout: str
    ) -> None:
        with pytest.raises(Rejected, match=f"needs a stereo recording, this one is {layout}"):
            run(media / name, split=True)


def test_a_file_that_is_no_flac_has_no_length(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"fLaC")
    assert flac_samples(tmp_path / "x") == 0
