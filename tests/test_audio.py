"""Recordings to 16 kHz mono FLAC: hostile, damaged and good ones."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import miniaudio
import pytest

from dropscribe.audio import Normalized, flac_duration_ms, normalize, normalize_command
from dropscribe.errors import Rejected, Unavailable
from tests.conftest import DATA

Run = Callable[..., Normalized]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(source: Path, **options: Any) -> Normalized:
        return normalize(source, tmp_path, **({"max_ms": 120_000} | options))

    return call


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


class TestBadMedia:
    @pytest.mark.parametrize(
        ("name", "start"),
        [
            ("empty.mp3", "empty_audio: the file is empty: upload it again"),
            ("text.mp3", "not_media: this is no audio or video file that can be read"),
            ("silent-video.mp4", "no_audio_stream: the file has no sound track"),
            ("encrypted.mp4", "not_media: the file is encrypted or DRM-protected"),
            ("cut-video.mp4", "not_media: the file was cut off before its index (moov)"),
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

    def test_decoding_that_takes_too_long_may_succeed_later(self, run: Run, media: Path) -> None:
        with pytest.raises(Unavailable, match="timed_out: decoding took more than 0 s"):
            run(media / "long.flac", timeout_s=0.001)


class TestGoodMedia:
    @pytest.mark.parametrize(
        "name", ["speech.mp3", "speech.m4a", "speech.ogg", "speech.webm", "video.mp4"]
    )
    def test_every_container_becomes_16_khz_mono_flac(
        self, run: Run, media: Path, name: str
    ) -> None:
        normalized = run(media / name)
        (track,) = normalized.tracks
        info = miniaudio.flac_get_file_info(str(track.path))
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
    assert flac_duration_ms(tmp_path / "x") == 0
