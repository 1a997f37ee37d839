# Development tasks. PYTHON is any interpreter of an environment made by: pip install -c constraints.txt -e '.[test]'
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
FILES ?= 20k

.PHONY: screenshots bench-html bench-replay bench-loaders bench-watch bench-taps bench-tune check lint types test-unit test bench overhead validate dist clean

check: lint types test-unit  ## what must pass before a commit

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

# Type checkers cannot follow the editable install's folder mapping: they get one package made of links.
types:
	mkdir -p build/types/ioprof
	find build/types -xtype l -delete
	for entry in ioprof/* loaders workloads; do \
	    case $$entry in */__pycache__) ;; *) ln -sfn "$(CURDIR)/$$entry" build/types/ioprof/ ;; esac; \
	done
	$(PYTHON) -m mypy build/types/ioprof

test-unit:
	$(PYTHON) -m pytest -q tests/unit tests/contract

test:
	$(PYTHON) -m pytest

bench:  ## ratios against bare loops on this machine; FILES=1M for the full size
	$(PYTHON) tests/benchmarks/bench_store.py
	$(PYTHON) tests/benchmarks/bench_prepare.py --files $(FILES)
	$(PYTHON) tests/benchmarks/bench_torch_map.py
	$(PYTHON) tests/benchmarks/bench_throttle.py
	$(PYTHON) tests/benchmarks/bench_analysis.py 1000000 20000
	$(PYTHON) tests/benchmarks/bench_attribution.py
	$(PYTHON) tests/benchmarks/bench_intervals.py

overhead:  ## what tracing costs: blocks of batches with and without it, by turns; four minutes, on a quiet machine
	$(PYTHON) tests/benchmarks/bench_overhead.py --json results/published/overhead/overhead.json

validate:  ## predictions of the pipeline model against real reruns; about half an hour, on a quiet machine
	$(PYTHON) -m tests.validation --keep build/validation

bench-tune:  ## does tune choose what trying everything chooses, in a quarter of the time? SCENARIOS='latency warm fed cpu'
	$(PYTHON) tests/benchmarks/bench_tune.py $(SCENARIOS)

bench-loaders:  ## raw against a loop by hand; tar-shards against bare reads and, where it is installed, webdataset
	$(PYTHON) tests/benchmarks/bench_raw.py
	$(PYTHON) tests/benchmarks/bench_streaming.py --formats tar --loaders tar-shards --workers 1

bench-taps:  ## what a file call costs with the taps in place
	$(PYTHON) tests/benchmarks/bench_taps.py

bench-replay:  ## recorded runs against their replays: rates (closed loop) and times of requests (open loop)
	$(PYTHON) tests/benchmarks/bench_replay.py

bench-html:  ## the page of a million steps: bytes, seconds to write, seconds to open
	$(PYTHON) -m tests.benchmarks.bench_html

screenshots:  ## the pictures of the README, from a real run
	$(PYTHON) -m tests.benchmarks.screenshots

dist:
	$(PYTHON) -m build --outdir dist .

clean:
	rm -rf build dist ioprof.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
