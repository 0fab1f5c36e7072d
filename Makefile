# make help lists what there is. ARGS go to the program behind a target: make demo ARGS='--json out.json'

SHELL := /bin/bash
export PATH := $(PATH):/usr/sbin:/sbin
PYTHON := .venv/bin/python
ARGS ?=
N ?= 200
SEED ?= 0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test check unit fuzz e2e oracle kernel conformance kernel-datapath placement bench \
	vagrant-box vagrant-test format clean root

help:  ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "All but setup, check, unit, fuzz, format and clean need root (sudo make ...). ARGS='...' is passed on, as in: make unit ARGS='-k nat'"

setup:  ## install what is missing: system packages and .venv
	@scripts/install.sh

demo: root setup  ## run the cover letter from end to end
	@$(PYTHON) -m demo $(ARGS)

test: root setup  ## run every check and every test
	@$(PYTHON) scripts/run_checks.py $(ARGS)

check: setup  ## formatting, lint, types and import contracts only
	@$(PYTHON) scripts/run_checks.py format imports lint types layers

unit: setup  ## unit tests only (no root)
	@$(PYTHON) -m pytest tests/unit $(ARGS)

fuzz: setup  ## 100,000 random and mutated tc command lines
	@CT_OFFLOAD_FUZZ=100000 $(PYTHON) -m pytest tests/unit/controller/commands/test_tc_fuzz.py $(ARGS)

e2e: root setup  ## end-to-end tests only
	@$(PYTHON) -m pytest tests/e2e $(ARGS)

oracle: root setup  ## get, make and boot the real kernel that tests/kernel asks
	@$(PYTHON) -m tests.kernel.oracle build $(ARGS)

kernel: root setup  ## tests against the real kernel, in a virtual machine, only
	@$(PYTHON) -m pytest tests/kernel $(ARGS)

placement: root setup  ## tests of hypervisors on two machines (not part of test: needs sshd)
	@$(PYTHON) -m pytest tests/placement $(ARGS)

kernel-datapath: root setup  ## end-to-end tests' core on the kernel's Open vSwitch, in a virtual machine
	@$(PYTHON) -m tests.kernel.datapath test $(ARGS)

conformance: root setup  ## N random programs on kernel and testbed (SEED= the first one's number)
	@$(PYTHON) -m tests.kernel.conformance $(ARGS) run -n $(N) --seed $(SEED)

bench: root setup  ## measure; docs/performance.md explains the figures
	@$(PYTHON) -m bench $(ARGS)

vagrant-box: root  ## build a Vagrant box from Debian packages (vagrant/README.md)
	@vagrant/box/build

vagrant-test: root  ## demo and tests in a VM, unattended (ARGS=--two: the demo in two; --quick: no tests)
	@vagrant/install.sh
	@/usr/bin/python3 -m vagrant test $(ARGS)

format: setup  ## rewrite the sources as the formatters want them
	@$(PYTHON) -m isort . && $(PYTHON) -m black .

clean:  ## remove .venv and every cache (system packages stay)
	@rm -rf .venv .cache build ./*.egg-info .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

root:
	$(if $(filter 0,$(shell id -u)),@:,$(error $(firstword $(MAKECMDGOALS)) needs root: sudo make $(MAKECMDGOALS)))
