# make run    the whole system in ./var, as an ordinary user or as root; Ctrl-C ends it
# make test   everything that can be tested as the user who runs it; root also runs the privileged tests
# make quick  format, lint, types, unit and house tests; under a minute
# make setup check   install (QMAILHOME=DIR, default /var/qmail) and verify; as root
#                    FORCE=all or FORCE="qmail-remote ..." overwrites programs that somebody replaced
# make uninstall     removes programs, never mail; FORCE=all: although they are running
# make accounts      prints the commands that create the accounts
# make bench         messages per second and CPU per message, beside the budget, and sendmail beside Postfix's and dma's;
#                    as root then the whole system beside Postfix; N=1000 messages each way
# make crash         the queue killed after every system call, all of them
# make fuzz          the decoders, with a hundred times as many examples as in make test

PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
QMAILHOME ?= /var/qmail
VENV = .venv
VPY = $(VENV)/bin/python
RUN = $(VPY) -P -B
READY = $(VENV)/.ready
TESTREADY = $(VENV)/.test-ready
# more than two cores: some tests wait
WORKERS = 3
TOGETHER = -n $(WORKERS) --dist worksteal
# sudo make must not leave files of root's in somebody's checkout
OURS = f() { test "$$(id -u)" != 0 || chown -R "$$(ls -dn . | awk '{print $$3 ":" $$4}')" "$$@"; }; f
# FORCE=all, or FORCE="names of programs": overwrite what was changed in the home
FORCED = $(if $(FORCE),--force $(filter-out all,$(FORCE)))

.PHONY: run test quick setup check uninstall accounts bench fuzz crash format

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) has no venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(VPY) -m pip install -q --disable-pip-version-check $$($(PYTHON) tools/requirements.py)
	@$(PYTHON) tools/link_checkout.py $(VENV)
	@$(OURS) $(VENV) lib
	@touch $@

$(TESTREADY): $(READY)
	@$(VPY) -m pip install -q --disable-pip-version-check $$($(PYTHON) tools/requirements.py test)
	@$(OURS) $(VENV)
	@touch $@

quick: $(TESTREADY)
	$(VENV)/bin/ruff format --check -q .
	$(VENV)/bin/ruff check -q .
	$(VENV)/bin/mypy
	$(RUN) -m pytest -q $(TOGETHER) -m "not slow and not root" tests/unit tests/house

format: $(TESTREADY)
	$(VENV)/bin/ruff format -q .
	$(VENV)/bin/ruff check -q --fix .

setup: $(READY)
	@$(RUN) tools/setup.py --home "$(QMAILHOME)" $(FORCED)

check: $(READY)
	@$(RUN) tools/setup.py --home "$(QMAILHOME)" --check

uninstall: $(READY)
	@$(RUN) tools/setup.py --home "$(QMAILHOME)" --uninstall $(if $(FORCE),--force)

accounts: $(READY)
	@for system in linux freebsd netbsd; do \
		echo "# $$system"; $(RUN) tools/setup.py --home "$(QMAILHOME)" --accounts $$system || exit 1; done

run: $(READY)
	@$(RUN) tools/run.py

# 5: pytest found none of the kind. Compiled first: crash tests count the calls of programs that load the modules
PYTEST = t() { $(RUN) -m pytest -q --durations=10 "$$@" < /dev/null; case $$? in 0|5) ;; *) return 1;; esac; }; \
	$(VPY) -m compileall -q qmailpy; $(OURS) qmailpy;

# WHAT=tests/journeys make test: only these. Each that needs root has a machine of its own (tests/namespaces.py)
test: $(TESTREADY)
	@$(PYTEST) t $(TOGETHER) $(WHAT)

crash: $(TESTREADY)
	@$(PYTEST) t $(TOGETHER) tests/crash

fuzz: $(TESTREADY)
	@$(RUN) -m pytest -q -m hypothesis --hypothesis-profile=fuzz tests/unit < /dev/null

# N=1000 make bench: so many messages each way
bench: $(TESTREADY)
	@PYTHONPATH=. $(RUN) tests/bench/bench.py $(N) < /dev/null
	@test "$$(id -u)" != 0 || PYTHONPATH=. $(RUN) tests/bench/beside.py $(N) < /dev/null
