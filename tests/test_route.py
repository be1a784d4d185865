"""End to end: template.yaml on the embedded cloud, real recordings, real recognition, real HTTP."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dropscribe.api import Transcription, TranscriptionDiarized, TranscriptionVerbose
from tests.api_server import ApiServer
from tests.conftest import DATA
from tests.route import Route

SPEECH = DATA / "austen-0880.wav"
ALL = {".json", ".txt", ".srt", ".vtt", ".verbose.json", ".diarized.json", ".receipt.json"}
RECORDED_TEXT = "Hello, world! This is a test."


def receipt(route: Route, key: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(route.files(key)[".receipt.json"])
    return parsed


class TestSuccess:
    def test_the_offline_engine_gives_all_that_it_measures(self, route: Route) -> None:
        key = "calls/acme/monday.wav"
        news = route.run(key, SPEECH, labels='{"case": "4711"}', tenant="acme")
        files = route.files(key)
        assert set(files) == ALL
        text = files[".txt"].strip()
        assert {"he", "was", "not", "young"} <= set(text.split())
        assert Transcription.model_validate_json(files[".json"]).text == text
        verbose = TranscriptionVerbose.model_validate_json(files[".verbose.json"])
        assert (verbose.language, verbose.duration, verbose.text) == ("english", 2.99, text)
        assert " ".join(word.word for word in verbose.words or []) == text
        assert verbose.segments is not None
        assert all(segment.avg_logprob is not None for segment in verbose.segments)
        note = "NOTE\nTranscribed by dropscribe\nLanguage: en"
        assert files[".vtt"].startswith(f"WEBVTT\n\n{note}\n\n00:00:00.")
        assert files[".srt"].startswith("1\n00:00:00,")
        assert files[".srt"].replace(",", ".") in "1\n" + files[".vtt"].split("\n\n", 2)[2] + "\n"
        assert news == {
            "id": news["id"],
            "type": "transcription.job.completed",
            "version": "1",
            "timestamp": news["timestamp"],
            "data": {
                "job_id": news["data"]["job_id"],
                "source": {
                    "bucket": route.uploads,
                    "key": key,
                    "version_id": news["data"]["source"]["version_id"],
                },
                "outputs": {
                    name: f"s3://{route.transcripts}/{key}{suffix}"
                    for name, suffix in {
                        **{"json": ".json", "text": ".txt", "srt": ".srt", "vtt": ".vtt"},
                        **{"verbose_json": ".verbose.json", "diarized_json": ".diarized.json"},
                    }.items()
                },
                "engine": "offline",
                "model": "pocketsphinx-en-us",
                "language": "en",
                "audio_seconds": 2.99,
                "speakers": ["A"],
                "usage": {},
                "labels": {"case": "4711"},
                "warnings": [],
                "error": None,
            },
        }
        received = next(n for n in route.received() if n["message"]["id"] == news["id"])
        assert received["subject"] == "Transcribed: monday.wav"
        assert received["attributes"] == {
            "event_type": "transcription.job.completed",
            "status": "completed",
            "engine": "offline",
            "language": "en",
            "tenant": "acme",
        }

    def test_separate_channels_give_all_six_formats(self, route: Route) -> None:
        news = route.run("call.flac", DATA / "two-lines.flac", channels="split")
        files = route.files("call.flac")
        assert set(files) == ALL
        diarized = TranscriptionDiarized.model_validate_json(files[".diarized.json"])
        assert {segment.speaker for segment in diarized.segments} == {"A", "B"}
        said = {s: " ".join(p.text for p in diarized.segments if p.speaker == s) for s in "AB"}
        assert "he might even have been" in said["A"]
        assert "young man" in said["B"]
        assert sorted(news["data"]["speakers"]) == ["A", "B"]
        assert "<v A>" in files[".vtt"]
        assert receipt(route, "call.flac")["chunks"] == 2

    @pytest.mark.parametrize(
        ("options", "suffixes", "model"),
        [
            ({}, {".json", ".txt", ".srt", ".vtt", ".verbose.json", ".diarized.json"}, "whisper-1"),
            (
                {"formats": "diarized_json,json,text,srt,vtt"},
                {".diarized.json", ".json", ".txt", ".srt", ".vtt"},
                "gpt-4o-transcribe-diarize",
            ),
            ({"model": "gpt-transcribe"}, ALL - {".receipt.json"}, "gpt-transcribe"),
        ],
    )
    def test_the_openai_engine_gives_all_that_its_model_measures(
        self, route: Route, api: ApiServer, options: dict[str, str], suffixes: set[str], model: str
    ) -> None:
        key = f"{model}.wav"
        news = route.run(key, SPEECH, engine="openai", **options)
        assert set(route.files(key)) == suffixes | {".receipt.json"}
        assert news["data"]["model"] == model
        assert len(api.requests) == 1
        assert api.requests[0].audio[:4] == b"fLaC"
        done = receipt(route, key)
        assert done["calls"] | {"usage": None} == {
            **{"made": 1, "answered": 1, "refused": 0, "ambiguous": 0, "cached": 0, "usage": None}
        }

    def test_the_receipt_tells_what_was_done_and_what_it_cost(
        self, route: Route, api: ApiServer
    ) -> None:
        key = "paid/receipt.wav"
        route.s3.put_object(
            Bucket=route.uploads, Key="paid/_dropscribe.json", Body=b'{"tenant": "t"}'
        )
        news = route.run(key, SPEECH, engine="openai", prompt="Austen")
        done = receipt(route, key)
        assert done["source"] == news["data"]["source"] | {
            **{"etag": done["source"]["etag"], "uploaded_at": done["source"]["uploaded_at"]},
            "size": SPEECH.stat().st_size,
            "sha256": hashlib.sha256(SPEECH.read_bytes()).hexdigest(),
        }
        assert done["option_sources"] == {
            "engine": "the upload's metadata",
            "model": "the template's parameters",
            "tenant": "paid/_dropscribe.json",
            "prompt": "the upload's metadata",
        }
        assert done["options"]["prompt"] == "Austen"
        assert done["estimated_cost"] == {
            **{"usd": 0.0002, "usd_per_minute": 0.006, "billed_seconds": 2},
        }
        assert done["usage"] == {"type": "duration", "seconds": 2}
        assert done["audio_seconds"] == 2.99
        assert done["warnings"] == ["model whisper-1 is shut down by its provider on 2027-02-26"]
        assert {"fetch", "decode", "cut", "normalize", "transcribe", "format"} == set(
            done["timings_ms"]
        )
        assert {o["format"]: o["size"] for o in done["outputs"]} == {
            name: len(route.files(key)[suffix].encode())
            for name, suffix in {
                **{"json": ".json", "text": ".txt", "srt": ".srt", "vtt": ".vtt"},
                **{"verbose_json": ".verbose.json", "diarized_json": ".diarized.json"},
            }.items()
        }

    def test_the_key_appears_nowhere(self, route: Route, api: ApiServer) -> None:
        from tests.api_server import KEY

        route.run("secret.wav", SPEECH, engine="openai", temperature="0.1")
        everything = "\n".join(route.files("secret.wav").values()) + route.logs()
        assert KEY not in everything
        assert api.requests[0].authorization == f"Bearer {KEY}"

    @pytest.mark.parametrize(
        "key",
        [
            "a b/ç+d%20e &=?#'\".final.v2.mp3",
            "emoji/🎙️ №7.mp3",
            "x/" + "é+% ~!$(),;@[]{}|^`<>\\" * 20 + "y" * 480 + ".mp3",
        ],
        ids=["signs", "emoji", "a thousand bytes"],
    )
    def test_any_key_finds_its_transcript_beside_it(
        self, route: Route, api: ApiServer, media: Path, key: str
    ) -> None:
        assert len(key.encode()) <= 1000
        news = route.run(key, media / "speech.mp3", engine="openai")
        assert news["type"] == "transcription.job.completed"
        assert news["data"]["source"]["key"] == key
        assert RECORDED_TEXT in route.files(key)[".txt"]

    def test_silence_is_a_transcript_without_words(self, route: Route, media: Path) -> None:
        import subprocess

        quiet = media / "quiet.flac"
        source = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "3")
        subprocess.run(["ffmpeg", "-v", "error", "-y", *source, str(quiet)], check=True)
        route.run("quiet.flac", quiet)
        files = route.files("quiet.flac")
        assert (files[".txt"], files[".srt"], files[".vtt"]) == (
            "\n",
            "\n",
            "WEBVTT\n\nNOTE\nTranscribed by dropscribe\nLanguage: en\n\n",
        )
