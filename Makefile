# make run    the whole system in ./var, as an ordinary user or as root; Ctrl-C ends it
# make test   everything that can be tested as the user who runs it; root also runs the privileged tests
# make quick  format, lint, types, unit and house tests; under a minute
# make setup check   install (QMAILHOME=DIR, default /var/qmail) and verify; as root
# make uninstall     removes programs, never mail
# make accounts      prints the commands that create the accounts
# make bench         messages per second and CPU per message, beside the budget

PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
QMAILHOME ?= /var/qmail
VENV = .venv
VPY = $(VENV)/bin/python
RUN = $(VPY) -P -B
READY = $(VENV)/.ready
TESTREADY = $(VENV)/.test-ready

.PHONY: run test quick setup check uninstall accounts bench fuzz crash format

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) has no venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(VPY) -m pip install -q --disable-pip-version-check $$($(PYTHON) tools/requirements.py)
	@$(PYTHON) tools/link_checkout.py $(VENV)
	@touch $@

$(TESTREADY): $(READY)
	@$(VPY) -m pip install -q --disable-pip-version-check $$($(PYTHON) tools/requirements.py test)
	@touch $@

quick: $(TESTREADY)
	$(VENV)/bin/ruff format --check -q .
	$(VENV)/bin/ruff check -q .
	$(VENV)/bin/mypy
	$(RUN) -m pytest -q -m "not slow and not root" tests/unit tests/house

format: $(TESTREADY)
	$(VENV)/bin/ruff format -q .
	$(VENV)/bin/ruff check -q --fix .
