# Two commands do everything on a fresh clone:  make demo   and   make test
PYTHON ?= python3
VENV   ?= .venv
LOWEST ?= .venv-lowest
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# For tests, in a folder of their own: see tests/vision.py.
VISION := torchvision==0.28.0 timm==1.0.31

.PHONY: demo test test-lowest lint docs benchmark clean

demo: $(STAMP)
	$(BIN)/midebias demo

test: $(STAMP) $(VENV)/vision/.installed
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint docs
	$(BIN)/pytest -n 2 --dist worksteal -p no:cacheprovider tests src/midebias

# All tests with the oldest releases that pyproject.toml accepts. Their own deprecations are no errors of ours.
test-lowest: $(LOWEST)/vision/.installed
	$(LOWEST)/bin/pytest -n 2 --dist worksteal -p no:cacheprovider \
		-W ignore::FutureWarning -W ignore::DeprecationWarning -W 'ignore:The given buffer is not writable:UserWarning' tests src/midebias

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet -c constraints-lowest.txt -e '.[dev]'
	touch $@

$(LOWEST)/vision/.installed: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pip install --quiet --no-deps --upgrade --target $(LOWEST)/vision \
		$$(grep -E '^(timm|torchvision)==' constraints-lowest.txt)
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 -b html docs build/site

# Goes on where it was stopped. The cells lie in runs/, which git ignores; finished rows go to results/.
benchmark: $(STAMP) results/colored-mnist.json results/biased-mnist.json
	$(BIN)/python -m benchmarks.cost --output results/cost.json
	$(BIN)/python -m benchmarks.tables

.PHONY: results/colored-mnist.json results/biased-mnist.json
results/colored-mnist.json results/biased-mnist.json: results/%.json: $(STAMP)
	if [ -d runs/benchmark/reproduce-$*-001 ]; \
		then $(BIN)/midebias reproduce --resume runs/benchmark/reproduce-$*-001; \
		else $(BIN)/midebias reproduce $* --output-dir runs/benchmark; fi
	$(BIN)/python -m benchmarks.tables --collect runs/benchmark/reproduce-$*-001 $@

# torch first and pinned, see constraints.txt.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

$(VENV)/vision/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/vision $(VISION)
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) runs
