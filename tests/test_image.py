"""The container image of engine whisper, without a container engine.

Its Dockerfile is read, its packages are installed as it says, and its handler runs in the folder
that it lays out.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from dropscribe import aws
from dropscribe.errors import Rejected
from dropscribe.job import Source
from dropscribe.stages.normalize import Settings, normalize
from local import image
from local.deploy import BadParameter, push
from local.environment import Environment, Installation
from local.image import Step, command, copied, steps
from local.installer import SITE_PACKAGES
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.route import Route
from tests.stages import UPLOADS, WORK, stages
from tests.test_layers import IMPORTING, normal

FOLDER: Final = "functions/transcribe_gpu"
DOCKERFILE: Final = (ROOT / FOLDER / "Dockerfile").read_text()
STEPS: Final = steps(DOCKERFILE)
TINY: Final = ROOT / "tests" / "data" / "tiny-whisper"
PINS: Final = [
    ROOT / step.text.split()[0]
    for step in STEPS
    if step.word == "COPY" and step.text.endswith(".txt")
]
RUNTIME: Final = ("awslambdaric", "snapshot-restore-py", "simplejson")
"""What AWS's base image has beside Python."""
LAMBDA: Final = {"python_version": "3.13", "python_full_version": "3.13.9", "extra": ""}
"""What markers see there; the rest is as here."""


def of(word: str, stage: str | None = None) -> list[Step]:
    return [step for step in STEPS if step.word == word and stage in (None, step.stage)]


def pinned() -> dict[str, str]:
    """Distribution → version of all that is installed, a GPU's libraries left out."""
    lines = [line for path in PINS if path.name != "cuda.txt" for line in _lines(path)]
    pairs = [line.split("==") for line in lines]
    found = {normal(name): version for name, version in pairs}
    assert len(found) == len(pairs), "a package is pinned twice"
    return found


def _lines(path: Path) -> list[str]:
    texts = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [text for text in texts if text]


class TestDockerfile:
    def test_the_base_is_one_build_of_awss_image_for_the_functions_python(self) -> None:
        (base,) = (step.text for step in of("ARG", "") if step.text.startswith("BASE="))
        assert re.fullmatch(r"BASE=public\.ecr\.aws/lambda/python:3\.13\.\d{4}(\.\d\d){3}", base)
        assert {step.text.split()[0] for step in of("FROM")} <= {
            *("${BASE}", "packages", "model-${MODEL_SOURCE}"),
        }

    def test_names_of_stages_come_from_arguments_that_stand_before_all_stages(self) -> None:
        """Elsewhere Docker takes them for empty."""
        first = STEPS.index(of("FROM")[0])
        known = {step.text.partition("=")[0] for step in STEPS[:first]}
        used = {name for step in of("FROM") for name in re.findall(r"\$\{(\w+)\}", step.text)}
        assert used == known

    def test_nothing_is_installed_that_is_not_pinned(self) -> None:
        installing = [
            part
            for step in of("RUN")
            for part in re.split(r"&&|;", step.text)
            if "pip install" in part
        ]
        assert len(installing) == 3
        for part in installing:
            _, _, arguments = part.partition("pip install")
            bare = re.sub(r"--(target|requirement) \S+|--[\w:=-]+", "", arguments)
            assert not bare.strip()
            assert {"--no-deps", "--only-binary=:all:"} <= set(arguments.split())
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for path in PINS for line in _lines(path))

    def test_the_pins_are_complete_and_go_together(self) -> None:
        pins, lacking = pinned(), []
        for name in pins:
            for text in importlib.metadata.requires(name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate(LAMBDA):
                    version = pins.get(normal(needed.name))
                    if version is None or not needed.specifier.contains(version, prereleases=True):
                        lacking.append(f"{name} needs {text}, there is {version}")
        assert lacking == []

    def test_the_tests_run_what_the_image_runs(self) -> None:
        here = {name: importlib.metadata.version(name) for name in pinned()}
        assert here == pinned()

    def test_what_is_copied_is_there_and_goes_to_the_engine(self) -> None:
        ignored = _lines(ROOT / ".dockerignore")
        sources = [
            step.text.split()[0] for step in of("COPY") if not step.text.startswith(("--", "$"))
        ]
        assert "layers/dropscribe/dropscribe" in sources
        assert [source for source in sources if not (ROOT / source).exists()] == []
        assert [s for s in sources for pattern in ignored if fnmatch.fnmatch(s, pattern)] == []

    def test_it_runs_as_nobody_offline_and_without_pip(self) -> None:
        (user,) = of("USER", "")
        (environment,) = of("ENV", "")
        assert user.text == "1000:1000"
        assert {"HF_HUB_OFFLINE=1", "WHISPER_MODEL=/opt/model"} <= set(environment.text.split())
        (last,) = of("RUN", "")
        assert "/var/lang/lib/python3.13/site-packages/pip*" in last.text
        assert [step.word for step in STEPS[STEPS.index(last) + 1 :]] == ["ENV", "USER", "CMD"]

    def test_a_gpus_libraries_are_only_there_where_they_are_asked_for(self) -> None:
        (step,) = (step for step in of("RUN") if "cuda.txt" in step.text)
        assert 'if [ "${CUDA}" = 1 ]' in step.text
        assert [step.text for step in of("ARG", "packages")] == ["CUDA=0"]


class TestReadingDockerfiles:
    def test_continued_lines_are_one_step_and_comments_none(self) -> None:
        text = "ARG A=1\n# FROM nothing\nFROM x AS y\nRUN a \\\n    && b\n\nFROM z\nCMD ['q']\n"
        assert steps(text) == [
            Step("", "ARG", "A=1"),
            Step("y", "FROM", "x AS y"),
            Step("y", "RUN", "a && b"),
            Step("", "FROM", "z"),
            Step("", "CMD", "['q']"),
        ]

    def test_an_image_without_a_command_has_no_handler(self) -> None:
        with pytest.raises(ValueError, match="has no CMD"):
            command("FROM scratch\n")

    def test_a_folder_without_a_dockerfile_is_no_repository(self, tmp_path: Path) -> None:
        uri = f"{image.REGISTRY}/functions/nowhere:local"
        with pytest.raises(BadParameter, match="there is no functions/nowhere/Dockerfile"):
            push(None, tmp_path, {"WhisperImageUri": uri})


class TestMake:
    @pytest.mark.parametrize(
        ("model", "source"),
        [("tests/data/tiny-whisper", "folder"), ("large-v3-turbo", "hub"), ("tests/data", "hub")],
    )
    def test_a_folder_is_told_from_a_name_on_the_hub(self, model: str, source: str) -> None:
        made = make("--dry-run", f"MODEL={model}", "ENGINE=docker", "CUDA=1")
        for argument in (f'MODEL="{model}"', f"MODEL_SOURCE={source}", "CUDA=1"):
            assert f"--build-arg {argument}" in made.stdout

    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [(("ENGINE=docker",), "MODEL=folder"), (("MODEL=small", "ENGINE="), "install Docker")],
    )
    def test_it_says_what_is_missing(self, arguments: tuple[str, ...], advice: str) -> None:
        made = make(*arguments)
        assert made.returncode != 0
        assert advice in made.stderr


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "image", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


class TestSettings:
    def test_a_deployment_without_the_function_refuses_and_says_how_to_get_it(self) -> None:
        assert settings("").transcriber("openai") == "zip"
        with pytest.raises(Rejected, match=r"WhisperImageUri \(docs/gpu.md\)") as refused:
            settings("").transcriber("whisper")
        assert refused.value.code == "unsupported_by_model"

    def test_each_engine_has_its_function_and_its_concurrency(self) -> None:
        deployed = settings("gpu")
        assert [deployed.transcriber(name) for name in ("offline", "whisper")] == ["zip", "gpu"]
        assert [deployed.concurrency(name) for name in ("offline", "whisper")] == [10, 2]

    def test_a_deployment_without_a_model_asks_jobs_to_name_one(self, silence: Path) -> None:
        with stages("http://localhost:9/v1"):
            put = aws.client("s3").put_object
            stored = put(Bucket=UPLOADS, Key="a.wav", Body=silence.read_bytes())
            source = Source(
                bucket=UPLOADS,
                key="a.wav",
                version_id=stored["VersionId"],
                etag=stored["ETag"],
                size=silence.stat().st_size,
                sequencer="1",
                uploaded_at="2026-11-21T12:00:00Z",
            )
            none = settings("gpu").model_copy(update={"WHISPER_MODEL": "none"})
            with pytest.raises(Rejected, match="has no model of its own: name one in `model`"):
                normalize("job", source, none, time.monotonic() + PATIENCE_S)

    def test_a_job_is_refused_before_anything_of_it_is_decoded(self, silence: Path) -> None:
        with stages("http://localhost:9/v1"):
            put = aws.client("s3").put_object(
                Bucket=UPLOADS, Key="a.wav", Body=silence.read_bytes()
            )
            source = Source(
                bucket=UPLOADS,
                key="a.wav",
                version_id=put["VersionId"],
                etag=put["ETag"],
                size=silence.stat().st_size,
                sequencer="1",
                uploaded_at="2026-11-21T12:00:00Z",
            )
            with pytest.raises(Rejected, match="WhisperImageUri"):
                normalize("job", source, settings(""), time.monotonic() + PATIENCE_S)
            assert list(aws.Bucket(WORK).keys("jobs/job/chunk")) == []


def settings(whisper_arn: str) -> Settings:
    return Settings(
        WORK_BUCKET="work",
        ENGINE="whisper",
        MODEL="auto",
        FORMATS="",
        MAX_AUDIO_MINUTES=10,
        MAX_CONCURRENCY=10,
        TRANSCRIBE_FUNCTION_ARN="zip",
        WHISPER_FUNCTION_ARN=whisper_arn,
        WHISPER_MODEL="/opt/model",
        WHISPER_MAX_CONCURRENCY=2,
        VOICE_MODEL="none",
    )


@pytest.fixture(scope="module")
def task_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/var/task, as far as it comes from this project."""
    folder = tmp_path_factory.mktemp("task")
    for source, destination in copied(DOCKERFILE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, folder / destination)
    return folder


@pytest.fixture(scope="module")
def deployed() -> Iterator[Route]:
    """The route with the image as an ordinary function, whose model is not there."""
    parameters = {
        "WhisperImageUri": f"{image.REGISTRY}/{FOLDER}:local",
        "WhisperProcessor": "cpu",
        "Formats": "text",
    }
    with Route(
        ROOT / "template.yaml", api_url="http://localhost:9/v1", api_key="k", parameters=parameters
    ) as route:
        yield route


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "silence.wav"
    with wave.open(str(path), "wb") as target:
        target.setparams((1, 2, 16_000, 0, "NONE", ""))
        target.writeframes(bytes(2 * 16_000 * 3))
    return path


class TestHandler:
    def test_all_that_it_imports_is_in_the_image(self, task_root: Path) -> None:
        modules = ["app", "faster_whisper.vad", "dropscribe.cli", "dropscribe.server.serve"]
        missing = [
            name
            for name, distributions in importlib.metadata.packages_distributions().items()
            if name != "dropscribe" and not set(map(normal, distributions)) & set(pinned())
        ]
        assert {"moto", "hypothesis"} <= set(missing)
        arguments = [",".join(missing), str(task_root), ",".join(modules)]
        done = subprocess.run(
            [sys.executable, "-c", IMPORTING, *arguments],
            env=os.environ | {"POWERTOOLS_METRICS_NAMESPACE": "x"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_a_model_that_is_not_in_the_image_ends_the_job_with_advice(
        self, deployed: Route, silence: Path
    ) -> None:
        """Also shows that a job without a model gets the deployment's."""
        news = deployed.run("calls/monday.wav", silence, engine="whisper")
        assert news["type"] == "transcription.job.failed"
        error = news["data"]["error"]
        assert (error["stage"], error["code"]) == ("transcribe", "unsupported_by_model")
        assert "no folder /opt/model" in error["message"]
        assert "ct2-transformers-converter" in error["message"]

    def test_a_chunk_is_transcribed_by_the_function_of_its_jobs_engine(
        self, deployed: Route, silence: Path
    ) -> None:
        news = deployed.run("calls/quiet.wav", silence, engine="whisper", model=str(TINY))
        assert news["type"] == "transcription.job.completed", news
        assert deployed.files("calls/quiet.wav")[".txt"].strip() == ""
        assert '"chunk":0' in deployed.cloud.logs("WhisperCpuFunction")
        assert news["data"]["job_id"] not in deployed.cloud.logs("TranscribeFunction")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The steps that install, run as they stand in the Dockerfile, with other paths."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    for step in of("COPY", "packages"):
        source, target = step.text.split()
        path = folder / target.lstrip("/")
        path.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / source, path)
    (folder / "packages").mkdir()
    for step in of("RUN", "packages"):
        text = re.sub(r"(?<= )(/(?:pins|packages)/?)", rf"{folder}\1", step.text)
        text = text.replace("python -m", f"{folder}/venv/bin/python -m")
        subprocess.run(["sh", "-ec", text], check=True, env=os.environ | {"CUDA": "0"})
    return folder / "packages"


def test_a_start_without_a_model_loads_none() -> None:
    """A deployment whose jobs name theirs is no fault that each start would tell of."""
    variables = {"WHISPER_MODEL": "none", "LOAD_EARLY": "true", "POWERTOOLS_SERVICE_NAME": "x"}
    started = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT / "functions" / "transcribe_gpu",
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout == ""


@pytest.mark.long
class TestInstalled:
    def test_the_handler_runs_on_them_alone(
        self, packages: Path, task_root: Path, deployed: Route, silence: Path, tmp_path: Path
    ) -> None:
        """On a chunk that is waiting in the work bucket, as if the function had never run."""
        news = deployed.run("calls/again.wav", silence, engine="whisper", model=str(TINY))
        assert news["type"] == "transcription.job.completed", news
        for kept in deployed.s3.list_objects_v2(Bucket=deployed.work, Prefix="results/")[
            "Contents"
        ]:
            deployed.s3.delete_object(Bucket=deployed.work, Key=kept["Key"])
        runtime = _only(RUNTIME, tmp_path)
        installation = Installation(
            command(DOCKERFILE), task_root, (str(task_root), str(packages / "python")), (runtime,)
        )
        variables = deployed.cloud.environment | {
            **{"WORK_BUCKET": deployed.work, "PATH": f"{packages}/bin:/usr/bin:/bin"},
            **{"POWERTOOLS_METRICS_NAMESPACE": "x", "POWERTOOLS_SERVICE_NAME": "transcribe"},
            **{"AWS_LAMBDA_FUNCTION_NAME": "whisper", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"},
            **{"AWS_LAMBDA_FUNCTION_VERSION": "1", "VOICE_MODEL": "shipped"},
        }
        environment = Environment(installation, variables, tmp_path)
        event = json.dumps({"job_id": news["data"]["job_id"], "chunk": 0}).encode()
        outcome, log = environment.invoke("arn:aws:lambda:us-east-1:1:function:w", event, 60)
        environment.close()
        assert not outcome.failed, f"{outcome.payload.decode()}\n{log}"
        assert json.loads(outcome.payload) == {"chunk": 0}
        assert _uncached(log)

    def test_ffmpeg_is_where_the_path_leads(self, packages: Path) -> None:
        program = packages / "bin" / "ffmpeg"
        done = subprocess.run([program, "-version"], capture_output=True, check=False)
        assert done.stdout.startswith(b"ffmpeg version")


def _only(distributions: tuple[str, ...], folder: Path) -> str:
    """A folder with these of the virtual environment's packages, and no other."""
    target = folder / "runtime"
    target.mkdir()
    for name in distributions:
        for entry in {file.parts[0] for file in importlib.metadata.files(name) or []} - {".."}:
            for site in SITE_PACKAGES:
                if (Path(site) / entry).exists() and not (target / entry).exists():
                    (target / entry).symlink_to(Path(site) / entry)
    return str(target)


def _uncached(log: str) -> Any:
    """Whether a line of the log says that a chunk was transcribed, not found."""
    return [line for line in log.splitlines() if '"cached":false' in line]
