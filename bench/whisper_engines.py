"""One engine in a process that does nothing else: what it takes to import, load and transcribe.

    python -m bench.whisper_engines ENGINE MODEL AUDIO DEVICE PRECISION THREADS WARM_UP

WARM_UP may be empty.

Prints what was measured as JSON. All decode alike: English, five beams, temperature 0, no prompt.
All but transformers, which would be slower, give words with times.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

BEAMS: Final = 5
"""faster-whisper's own, and Whisper's on the command line."""
HANDLER: Final = Path(__file__).parents[1] / "functions" / "transcribe_gpu" / "app.py"
MB: Final = 1_000_000


class Where(NamedTuple):
    device: Literal["cpu", "cuda"]
    precision: str
    """As CTranslate2 names them."""
    threads: int


@dataclass(frozen=True)
class Measured:
    import_s: float
    load_s: float
    first_s: float
    """From the recording to the first segment."""
    seconds: float
    """From the recording to the last segment."""
    cpu_s: float
    """Processor time of that."""
    imported_mb: float
    """Peak memory after the import, …"""
    loaded_mb: float
    """… after the model was loaded …"""
    peak_mb: float
    """… and in the end."""
    gpu_mb: float
    """Of the GPU in the end, above what was taken before."""
    segments: int
    words: int


Run = Callable[[Path], Iterator[int]]
"""Transcribes a recording; gives the number of words of each segment."""


def dropscribe(model: str, where: Where) -> Run:
    from dropscribe.api import TranscriptionRequest
    from dropscribe.engines import whisper

    os.environ |= {"WHISPER_DEVICE": where.device, "WHISPER_COMPUTE_TYPE": where.precision}
    whisper.load(model)
    request = TranscriptionRequest(model=model, language="en", response_format="verbose_json")

    def run(audio: Path) -> Iterator[int]:
        _, parts = whisper.recognize(audio, request)
        return (len(part.words) for part in parts)

    return run


def dropscribe_whole(model: str, where: Where) -> Run:
    """The answer in one piece, as the transcribe step has it."""
    from dropscribe.api import TranscriptionRequest
    from dropscribe.engines import whisper

    dropscribe(model, where)
    request = TranscriptionRequest(model=model, language="en", response_format="verbose_json")

    def run(audio: Path) -> Iterator[int]:
        answer = whisper.transcribe(audio, request, _NothingPaid())
        yield len(answer.words or [])

    return run


class _NothingPaid:
    def sent(self) -> str:
        raise AssertionError("a local engine pays nothing")

    def concluded(self, call: str, state: str) -> None:
        raise AssertionError("a local engine pays nothing")

    def uncertain(self) -> int:
        raise AssertionError("a local engine pays nothing")


def batched(model: str, where: Where) -> Run:
    """faster-whisper as the engine of dropscribe calls it."""
    import faster_whisper

    from dropscribe.engines.whisper import BATCH

    pipeline = faster_whisper.BatchedInferencePipeline(_faster_whisper(model, where))

    def run(audio: Path) -> Iterator[int]:
        segments, _ = pipeline.transcribe(
            str(audio),
            language="en",
            temperature=0.0,
            batch_size=BATCH[where.device],
            word_timestamps=True,
            without_timestamps=False,
        )
        return (len(segment.words or []) for segment in segments)

    return run


def sequential(model: str, where: Where) -> Run:
    loaded = _faster_whisper(model, where)

    def run(audio: Path) -> Iterator[int]:
        segments, _ = loaded.transcribe(
            str(audio),
            language="en",
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=True,
            word_timestamps=True,
        )
        return (len(segment.words or []) for segment in segments)

    return run


def _faster_whisper(model: str, where: Where) -> Any:
    import faster_whisper

    return faster_whisper.WhisperModel(
        model, device=where.device, compute_type=where.precision, cpu_threads=where.threads
    )


def openai(model: str, where: Where) -> Run:
    import torch
    import whisper

    from bench.whisper_models import ALIGNING_HEADS

    loaded = whisper.load_model(model, device=where.device)
    heads = torch.zeros(loaded.dims.n_text_layer, loaded.dims.n_text_head, dtype=torch.bool)
    heads[-1, :ALIGNING_HEADS] = True
    loaded.register_buffer("alignment_heads", heads.to_sparse().to(where.device), persistent=False)

    def run(audio: Path) -> Iterator[int]:
        answer = loaded.transcribe(
            str(audio),
            language="en",
            temperature=0.0,
            beam_size=BEAMS,
            condition_on_previous_text=False,
            word_timestamps=True,
            fp16=where.device == "cuda",
        )
        return (len(segment["words"]) for segment in answer["segments"])

    return run


def transformers(model: str, where: Where) -> Run:
    """In chunks of 30 s, in batches as large as ours; segments, no words."""
    import torch
    from transformers import pipeline

    from dropscribe.engines.whisper import BATCH

    recognizer = pipeline(
        "automatic-speech-recognition",
        model=model,
        device=where.device,
        dtype=torch.float16 if where.device == "cuda" else torch.float32,
        chunk_length_s=30,
        batch_size=BATCH[where.device],
    )

    def run(audio: Path) -> Iterator[int]:
        answer = recognizer(
            str(audio),
            return_timestamps=True,
            generate_kwargs={"language": "en", "task": "transcribe", "num_beams": BEAMS},
        )
        return (len(chunk["text"].split()) for chunk in answer["chunks"])

    return run


class Engine(NamedTuple):
    load: Callable[[str, Where], Run]
    imports: str
    reads: Literal["ctranslate2", "openai", "transformers"]
    """The format of its models."""


ENGINES: Final = {
    "dropscribe": Engine(dropscribe, "dropscribe.engines.whisper", "ctranslate2"),
    "dropscribe, whole answer": Engine(
        dropscribe_whole, "dropscribe.engines.whisper", "ctranslate2"
    ),
    "dropscribe's handler": Engine(dropscribe, str(HANDLER), "ctranslate2"),
    "faster-whisper batched": Engine(batched, "faster_whisper", "ctranslate2"),
    "faster-whisper": Engine(sequential, "faster_whisper", "ctranslate2"),
    "openai-whisper": Engine(openai, "whisper", "openai"),
    "transformers": Engine(transformers, "transformers.pipelines", "transformers"),
}


@cache
def ctranslate2_device() -> Literal["cpu", "cuda"]:
    """A GPU where there is one that its build can use; says so where it cannot."""
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        return "cpu"
    try:
        load_cublas()
    except OSError as error:
        print(
            f"a GPU is here, but CTranslate2 {ctranslate2.__version__} is built for CUDA 12 "
            f"({error}): `pip install nvidia-cublas-cu12`; till then it runs on the processor"
        )
        return "cpu"
    return "cuda"


def load_cublas() -> None:
    """From its wheel, where CTranslate2 does not look, or the system. Raises OSError: neither."""
    spec = importlib.util.find_spec("nvidia.cublas")
    folders = (
        [Path(folder) / "lib" for folder in (spec.submodule_search_locations or [])] if spec else []
    )
    for name in ("libcublasLt.so.12", "libcublas.so.12"):
        found = next((folder / name for folder in folders if (folder / name).exists()), name)
        ctypes.CDLL(str(found), ctypes.RTLD_GLOBAL)


@cache
def torch_device() -> Literal["cpu", "cuda"]:
    """Asked in a process of its own: torch would count to what is measured."""
    code = "import torch; print(torch.cuda.is_available())"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return "cuda" if told.stdout.strip() == "True" else "cpu"


def measure(name: str, model: str, audio: Path, where: Where, warm_up: Path | None) -> Measured:
    engine, before_mb = ENGINES[name], _gpu_mb(where)
    begun_s = time.perf_counter()
    _import(engine.imports)
    imported_s, imported_mb = time.perf_counter(), _peak_mb()
    run = engine.load(model, where)
    loaded_s, loaded_mb = time.perf_counter(), _peak_mb()
    if warm_up:
        sum(run(warm_up))
    called_s, called_cpu_s = time.perf_counter(), time.process_time()
    parts = iter(run(audio))
    words = [next(parts)]
    first_s = time.perf_counter()
    words += parts
    return Measured(
        import_s=imported_s - begun_s,
        load_s=loaded_s - imported_s,
        first_s=first_s - called_s,
        seconds=time.perf_counter() - called_s,
        cpu_s=time.process_time() - called_cpu_s,
        imported_mb=imported_mb,
        loaded_mb=loaded_mb,
        peak_mb=_peak_mb(),
        gpu_mb=_gpu_mb(where) - before_mb,
        segments=len(words),
        words=sum(words),
    )


def _import(module: str) -> None:
    if not module.endswith(".py"):
        importlib.import_module(module)
        return
    spec = importlib.util.spec_from_file_location("app", module)
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _peak_mb() -> float:
    """From /proc: the kernel hands getrusage's peak on from parent to child."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kib * 1024 / MB


def _gpu_mb(where: Where) -> float:
    """Taken now, by whomever. Both CTranslate2 and torch keep what they once had."""
    if where.device == "cpu":
        return 0.0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    told = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return int(told.splitlines()[0]) * 1024 * 1024 / MB


def main(*given: str) -> None:
    name, model, audio, device, precision, threads, warm_up = given
    where = Where("cuda" if device == "cuda" else "cpu", precision, int(threads))
    if where.device == "cuda" and ENGINES[name].reads == "ctranslate2":
        load_cublas()
    first = Path(warm_up) if warm_up else None
    print(json.dumps(asdict(measure(name, model, Path(audio), where, first))))


if __name__ == "__main__":
    main(*sys.argv[1:])
