"""Options: sources, precedence, and errors that name field, source and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dropscribe.errors import Rejected
from dropscribe.options import (
    Layer,
    file_layer,
    is_option_file,
    metadata_layer,
    option_file_keys,
    parameters_layer,
    resolve,
)


def layer(source: str = "test", **values: Any) -> Layer:
    return Layer(source=source, values=values)


def message(*layers: Layer) -> str:
    with pytest.raises(Rejected) as caught:
        resolve(layers)
    assert caught.value.code == "invalid_options"
    return caught.value.message


class TestPrecedence:
    def test_the_later_source_wins_field_by_field(self) -> None:
        resolved = resolve(
            [
                parameters_layer("openai", "auto", "json, srt"),
                file_layer("_dropscribe.json", b'{"language": "de", "prompt": "outer"}'),
                file_layer("a/_dropscribe.json", b'{"prompt": "inner"}'),
                metadata_layer({"language": "en"}),
            ]
        )
        options = resolved.options
        assert (options.language, options.prompt, options.formats) == (
            "en",
            "inner",
            ["json", "srt"],
        )
        assert resolved.sources == {
            "engine": "the template's parameters",
            "model": "the template's parameters",
            "formats": "the template's parameters",
            "language": "the upload's metadata",
            "prompt": "a/_dropscribe.json",
        }

    def test_a_null_takes_an_outer_value_back(self) -> None:
        assert resolve([layer(language="de"), layer(language=None)]).options.language is None

    def test_option_files_apply_outermost_first_and_the_sidecar_last(self) -> None:
        assert option_file_keys("a/b/c.mp3") == [
            "_dropscribe.json",
            "a/_dropscribe.json",
            "a/b/_dropscribe.json",
            "a/b/c.mp3.dropscribe.json",
        ]

    def test_an_upload_in_countless_folders_is_refused(self) -> None:
        """Ingest would look for hundreds of files, while the uploads of others wait."""
        assert len(option_file_keys("/" * 32 + "a.mp3")) == 34
        with pytest.raises(Rejected, match="33 folders deep"):
            option_file_keys("/" * 33 + "a.mp3")

    def test_a_key_at_the_root_has_one_folder(self) -> None:
        assert option_file_keys("c.mp3") == ["_dropscribe.json", "c.mp3.dropscribe.json"]

    def test_empty_parameters_say_nothing(self) -> None:
        assert parameters_layer("offline", "auto", "").values == {
            "engine": "offline",
            "model": "auto",
        }


class TestMetadata:
    def test_text_becomes_the_options_type(self) -> None:
        resolved = resolve(
            [
                metadata_layer(
                    {
                        "Temperature": "0.2",
                        "formats": "srt, vtt",
                        "timestamp-granularities": '["word"]',
                        "labels": '{"case": "4711"}',
                        "prompt": "[Host] Welcome",
                        "chunking_strategy": "auto",
                        "subtitles": '{"max_lines": 1}',
                    }
                )
            ]
        ).options
        assert resolved.temperature == 0.2
        assert resolved.formats == ["srt", "vtt"]
        assert resolved.timestamp_granularities == ["word"]
        assert resolved.labels == {"case": "4711"}
        assert resolved.chunking_strategy == "auto"
        assert resolved.prompt == "[Host] Welcome"
        assert resolved.subtitles.max_lines == 1

    def test_encoded_words_are_decoded(self) -> None:
        """S3 hands metadata that is not ASCII back like this."""
        layer = metadata_layer({"prompt": "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?="})
        assert layer.values == {"prompt": "Grüße"}

    @pytest.mark.parametrize("text", ["=?nope?q?x?=", "=?utf-8?b?a?=", "=?utf-8?q?=ff?="])
    def test_words_that_cannot_be_decoded_are_refused(self, text: str) -> None:
        with pytest.raises(Rejected, match=r"invalid_options: .*`prompt`.* RFC 2047"):
            metadata_layer({"prompt": text})

    def test_what_upload_tools_write_of_themselves_is_ignored(self) -> None:
        layer = metadata_layer({"mtime": "1700000000.5", "s3cmd-attrs": "uid:0", "language": "en"})
        assert layer.values == {"language": "en"}


class TestBadInput:
    def test_an_unknown_option_names_its_source_and_the_likely_one(self) -> None:
        text = message(metadata_layer({"langauge": "en"}))
        assert text.startswith(
            "unknown option `langauge` in the upload's metadata. Did you mean `language`? Allowed: "
        )
        assert text.endswith("max_speakers, subtitles, labels, tenant")

    @pytest.mark.parametrize(
        ("values", "start"),
        [
            ({"temperature": "warm"}, "option `temperature` in f.json: Input should be a valid"),
            ({"temperature": 2}, "option `temperature` in f.json: Input should be less than"),
            ({"temperature": True}, "option `temperature` in f.json: Value error, Input should be"),
            ({"labels": {"a": "b" * 257}}, "option `labels.a` in f.json: String should have at m"),
            ({"labels": {str(n): "" for n in range(51)}}, "option `labels` in f.json: Dictionary"),
            ({"tenant": "a\u0000b"}, "option `tenant` in f.json: String should match pattern"),
            ({"formats": ["docx"]}, "option `formats.0` in f.json: Input should be 'json', 'text'"),
            ({"formats": []}, "option `formats` in f.json: List should have at least 1 item"),
            ({"engine": "siri"}, "option `engine` in f.json: Input should be 'openai', 'whisper'"),
            ({"language": "english"}, "option `language` in f.json: String should match pattern"),
            ({"labels": {"a": 1}}, "option `labels.a` in f.json: Input should be a valid string"),
            ({"subtitles": {"x": 1}}, "option `subtitles.x` in f.json: Extra inputs are not"),
            ({"language": "en", "languages": ["de"]}, "`language` and `languages` exclude"),
            ({"min_speakers": 0}, "option `min_speakers` in f.json: Input should be greater than"),
            ({"max_speakers": 101}, "option `max_speakers` in f.json: Input should be less than"),
            ({"min_speakers": 3, "max_speakers": 2}, "`min_speakers` (3) is more than `max_spea"),
            ({"known_speaker_names": ["Ann"]}, "`known_speaker_names` and `known_speaker_ref"),
            (
                {"task": "translate", "formats": ["diarized_json"]},
                "`task: translate` and `formats: diarized_json` exclude each other",
            ),
        ],
    )
    def test_each_error_says_where_and_what_is_allowed(
        self, values: dict[str, Any], start: str
    ) -> None:
        assert message(file_layer("f.json", json.dumps(values).encode())).startswith(start)

    @pytest.mark.parametrize(
        ("values", "start"),
        [
            ({"prompt": ["Sesquipedalian"]}, "option `prompt` in f: Input should be a valid str"),
            ({"prompt": {"Sesquipedalian": 1}}, "option `prompt` in f: Input should be a valid st"),
            ({"keywords": "Sesquipedalian"}, "option `keywords` in f: Input should be a valid li"),
            ({"keywords": [["Sesquipedalian"]]}, "option `keywords.0` in f: Input should be a val"),
            ({"labels": "Sesquipedalian"}, "option `labels` in f: Input should be a valid dict"),
            ({"labels": {"a": ["Sesquipedalian"]}}, "option `labels.a` in f: Input should be a v"),
            ({"labels": {"Sesquipedalian\0": "b"}}, "option `labels.[key]` in f: String should ma"),
            ({"known_speaker_names": "Sesquipedalian"}, "option `known_speaker_names` in f: Input"),
            ({"known_speaker_names": ["Sesquipedalian"] * 5}, "option `known_speaker_names` in f"),
            (
                {"known_speaker_references": ["data:Sesquipedalian"] * 5},
                "option `known_speaker_references` in f: List should have at most 4 items",
            ),
        ],
    )
    def test_what_people_say_or_sound_like_is_in_no_error(
        self, values: dict[str, Any], start: str
    ) -> None:
        """Errors are in logs and notifications."""
        text = message(file_layer("f", json.dumps(values).encode()))
        assert text.startswith(start)
        assert "squipedal" not in text

    def test_such_a_value_is_told_by_its_kind_and_length(self) -> None:
        text = message(layer("f", keywords="a, b", labels={"a": 1}))
        assert "got str of length 4" in text
        assert text.endswith("got int")

    def test_contradictory_options_name_every_source(self) -> None:
        text = message(layer("a", language="en"), layer("b", languages=["de"]))
        assert text.endswith("(`language` from a, `languages` from b)")

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"{", b"language: en", b"\xff\xfe", b"[" * 100_000, b"[1]", b'"x"', b"null"),
            *(rb'{"\ud800": 1}', rb'{"labels": {"a": "\udfff"}}'),
        ],
    )
    def test_an_option_file_that_is_no_json_object(self, content: bytes) -> None:
        with pytest.raises(Rejected, match=r"invalid_options: x/_dropscribe\.json"):
            file_layer("x/_dropscribe.json", content)

    def test_an_option_file_that_is_too_large(self) -> None:
        with pytest.raises(Rejected, match=r"invalid_options: f is larger than 16 MiB"):
            file_layer("f", b" " * (16 << 20) + b"{}")

    def test_a_byte_order_mark_does_no_harm(self) -> None:
        assert file_layer("f", b'\xef\xbb\xbf{"language": "en"}').values == {"language": "en"}

    def test_metadata_that_is_broken_json(self) -> None:
        with pytest.raises(Rejected, match="option `labels` in the upload's metadata is not JSON"):
            metadata_layer({"labels": '{"a": '})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("_dropscribe.json", True),
        ("a/b/_dropscribe.json", True),
        ("a/x.mp3.dropscribe.json", True),
        ("a/x_dropscribe.json", False),
        ("_dropscribe.json/x.mp3", False),
        ("x.json", False),
    ],
)
def test_option_files_are_told_by_their_name(key: str, expected: bool) -> None:
    assert is_option_file(key) is expected
