# make demo   the whole study on the embedded toy world: results/demo/report/report.html
# make test   every test
# make check  formatter, linters, types
# make lock   resolve envs/requirements.in again (raises pins: look at the difference)
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check format lock clean

demo: $(READY)
	@echo "== The demo study on $(CORES) cores: some minutes; stop it at any moment, it goes on from there"
	@$(BIN)/snakemake --cores $(CORES) --quiet rules progress
	@echo "== Open results/demo/report/report.html"

# One process more than cores: the tests of Slurm mostly wait.
test: $(READY)
	@$(BIN)/python -m pytest -n $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/mypy
	@$(BIN)/snakemake --lint

format: $(READY)
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile rules

# The tools of .venv come from the hash-locked files alone; uv installs them in seconds. Compiling
# them takes half a minute, once; where Python may not write bytecode (PYTHONDONTWRITEBYTECODE, a
# read-only folder), each job would spend more than a second on compiling torch again. Where .venv is a
# link, `rm` takes the link away; `venv --clear` would empty what it points to.
$(READY): envs/requirements.lock envs/installer.lock
	@echo "== Setting up .venv from envs/requirements.lock (about 6 GB, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/installer.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python envs/installer.lock envs/requirements.lock
	@touch $@

lock: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url envs/requirements.in --override envs/overrides.txt \
	  --output-file envs/requirements.lock --quiet

clean:
	rm -rf .venv .snakemake results cache
