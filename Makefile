# The whole developer interface; `make help` lists it. Needs Python 3.11+ and make, installs the rest into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
CONTAINER ?= podman
VERSION = $(shell $(BIN)/fec --version)
STAMP := $(VENV)/.synced
# Most of a test on real parts is waiting, so more than there are cores; what may take longest begins first.
WORKERS := $(shell echo $$((2 * $$(nproc))))
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
export PYTHONPATH := operator:simulators:.
# Compiled modules are kept, out of sight: without them each of some thousand processes spends seconds on parsing.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/compiled
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo demo-recording check lint types imports generate unit test control-plane mariadb chromium console-pictures cluster crash-full matrix monitoring package dashboard-picture go-tools bench bench-check bench-short docs sbom image release clean

##@ Look at it

demo: $(STAMP)  ## Five stuck VMs cleaned up before your eyes; ARGS=--slow, --crash or --refuse shows more
	@$(BIN)/python -m development.demo $(ARGS)

demo-recording: $(STAMP)  ## Run the demo and draw it into docs/demo.svg
	@$(BIN)/python -m development.demo --record docs/demo.svg

##@ Everyday

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Create .venv with the locked dependencies

$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing locked dependencies"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --all-groups --inexact
	@$(BIN)/python hatch_build.py
	@touch $@

check: lint types imports unit  ## Inner loop: lint, types, layers, generated files, unit and model tests (under two minutes)

unit: $(STAMP) mariadb  ## Unit and model tests
	$(BIN)/pytest -q -n auto -m "not exhaustive" tests/unit tests/model

lint: $(STAMP)  ## ruff, and generated files are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m failed_execution_cleanup.resources.generate --check
	$(BIN)/python -m development.reason_pages --check
	$(BIN)/python -m development.permission_page --check
	$(BIN)/python -m development.argocd_settings --check
	$(BIN)/python -m development.metrics_page --check
	$(BIN)/python -m development.command_page --check
	$(BIN)/python -m development.settings_page --check
	$(BIN)/python -m development.resource_page --check
	$(BIN)/python -m development.rest_page --check
	$(BIN)/python -m development.environment_files --check
	$(BIN)/python -m development.monitoring.dashboard --check
	$(BIN)/python -m development.chart --check

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP)  ## The layers of ARCHITECTURE.md
	$(BIN)/lint-imports

generate: $(STAMP)  ## Write crds/, docs/, manifests and the chart that follow from the models
	$(BIN)/python -m failed_execution_cleanup.resources.generate
	$(BIN)/python -m development.reason_pages
	$(BIN)/python -m development.permission_page
	$(BIN)/python -m development.argocd_settings
	$(BIN)/python -m development.metrics_page
	$(BIN)/python -m development.command_page
	$(BIN)/python -m development.settings_page
	$(BIN)/python -m development.resource_page
	$(BIN)/python -m development.rest_page
	$(BIN)/python -m development.environment_files
	$(BIN)/python -m development.monitoring.dashboard
	$(BIN)/python -m development.chart

##@ Everything

test: lint types imports control-plane mariadb chromium go-tools  ## All tests, with real kube-apiserver, MariaDB and killed processes (what CI runs)
	$(BIN)/pytest $(SIDE_BY_SIDE) tests

cluster: control-plane mariadb chromium  ## Tests on the real kube-apiserver, MariaDB and killed processes
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/contract tests/cluster tests/crash tests/takeover tests/faults tests/authority tests/visible tests/breakglass tests/gitops tests/detection tests/commands tests/console tests/pages tests/demo

crash-full: control-plane mariadb  ## Kill the operator at every mutating call and write docs/crash-record.md (about forty minutes on 2 cores; ARGS=--minutes 10 plays as many as that allows)
	$(BIN)/python -m tests.crash.full $(ARGS)

matrix: $(STAMP)  ## Play the recovery matrix and write docs/recovery-matrix.md (about three minutes)
	$(BIN)/python -m tests.matrix.report

package: go-tools control-plane  ## Chart and manifests against the real Helm and kube-apiserver: templates, admission, upgrade, rights
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/package

monitoring: go-tools control-plane  ## Alerts, runbooks and dashboard against promtool and a real operator
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/monitoring

console-pictures: control-plane chromium  ## Draw docs/pictures from a real run in a real browser
	$(BIN)/python -m tests.pages.pictures

dashboard-picture: control-plane  ## Draw docs/dashboard.svg from a real run (builds Prometheus once)
	$(BIN)/python -m development.monitoring.picture

go-tools: $(STAMP)  ## Build promtool and Helm once (ten minutes on 2 cores; cached outside the checkout)
	$(BIN)/python -m development.go_tools build promtool helm

control-plane: $(STAMP)  ## Build kube-apiserver and etcd once (about 7 minutes on 2 cores; cached outside the checkout)
	$(BIN)/python -m development.control_plane build

chromium:  ## Make sure that Chromium is installed
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Debian's chromium"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "a browser is needed: install Debian's chromium"; exit 1; fi; }

mariadb:  ## Make sure that MariaDB's server is installed
	@command -v mariadbd >/dev/null || test -x /usr/sbin/mariadbd || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Debian's mariadb-server"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mariadb-server >/dev/null; \
	  else echo "MariaDB 10.11 is needed: install Debian's mariadb-server"; exit 1; fi; }

##@ Measure

bench: control-plane mariadb  ## Every benchmark on real parts, and docs/benchmarks/ from it (two hours or more, on a quiet machine); ARGS=scale measures one
	$(BIN)/python -m benchmarks run $(ARGS)
	$(BIN)/python -m benchmarks report

bench-check: $(STAMP)  ## Hold the results of the last `make bench` against benchmarks/limits.toml
	$(BIN)/python -m benchmarks check

bench-short: control-plane mariadb  ## A little of every benchmark, ratios against wide limits (what CI runs)
	$(BIN)/python -m benchmarks run --short
	$(BIN)/python -m benchmarks check --short

##@ Hand it out

docs: $(STAMP)  ## The documentation as a site in site/; every link is checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

sbom: $(STAMP)  ## The software bill of materials of the locked dependencies, dist/sbom.cdx.json
	$(BIN)/python -m development.release.sbom dist/sbom.cdx.json

image: $(STAMP)  ## The image of this version; CONTAINER=docker builds it by docker
	$(CONTAINER) build --file Containerfile --build-arg VERSION=$(VERSION) --tag failed-execution-cleanup:$(VERSION) .

release: $(STAMP)  ## Everything that is handed out, in dist/, from the commit alone; refuses a tree with changes
	$(BIN)/python -m development.release

##@ Tidy up

clean:  ## Remove .venv and caches of this checkout
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
