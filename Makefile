# FlowSync. `make` builds; `make demo` shows a failover; `make test` runs everything that must pass.

SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -c

SWIFT   ?= swift
PREFIX  ?= /usr
DESTDIR ?=
# Only lab tests whose name matches: make lab FILTER=Failover
FILTER  ?=
SCRATCH ?= .build
# How many seeds the simulator runs, and how long the fuzzers.
SEEDS   ?= 20000
SECONDS ?= 60
# Of the bench: which figures (all if empty), how many runs of each, and a file for everything it found.
FIGURES ?=
RUNS    ?= 5
JSON    ?=
BIN     ?= $(SCRATCH)/release

# The lab and apt-get need root; sudo is for those who are not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

BUILD_PACKAGES := libnetfilter-conntrack-dev libmnl-dev libnfnetlink-dev pkg-config
LAB_PACKAGES   := iproute2 nftables conntrack tcpdump keepalived procps iputils-ping systemd \
                  resource-agents libxml2-utils shellcheck

PACKAGE := --scratch-path $(SCRATCH)
SOURCES := Sources Tests Package.swift

# After the output of hundreds of tests: what failed, once more.
TELL_FAILURES = 2>&1 | tee $(SCRATCH)/tests.log || { grep -E '^(✘|↳)' $(SCRATCH)/tests.log | tail -n 60; exit 1; }

# systemd, sysctl and the module loader read their files here, whatever the prefix.
SYSTEM    := $(DESTDIR)/usr/lib
# Pacemaker looks for resource agents here, by their provider's name: ocf:flowsync:flowsync.
AGENTS    := $(SYSTEM)/ocf/resource.d/flowsync
DOCUMENTS := $(DESTDIR)$(PREFIX)/share/doc/flowsync
# The files name installed programs under /usr.
WITH_PREFIX := sed -E 's,/usr/(s?bin/flowsync|lib/flowsync|share/doc/flowsync),$(PREFIX)/\1,g'

.PHONY: build release deps test unit simulate simulate-defects fuzz lab demo bench format lint install uninstall clean
.NOTPARALLEL:

build: deps
	$(SWIFT) build $(PACKAGE)

# With Swift's library inside, so that a router needs no Swift.
release: deps
	$(SWIFT) build $(PACKAGE) -c release --static-swift-stdlib

# Installs the Debian packages that are missing; asks for nothing if none is.
deps:
	@missing=$$(for package in $(BUILD_PACKAGES) $(LAB_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed$$' || echo $$package; \
	done); \
	if [ -n "$$missing" ]; then \
	    echo "Installing:" $$missing; \
	    $(SUDO) apt-get update -q && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	fi

# The simulator knows only virtual time: it takes the processor that the unit tests leave idle.
test: deps lint release
	$(SWIFT) build $(PACKAGE) --build-tests
	nice -n 19 $(BIN)/flowsync-simulate --seeds 2000 > $(SCRATCH)/simulate.log 2>&1 & simulation=$$!; \
	    $(MAKE) unit; unit=$$?; wait $$simulation; simulated=$$?; \
	    cat $(SCRATCH)/simulate.log; exit $$((unit | simulated))
	$(MAKE) lab

# One after the other: tests that wait in a system call hold up the concurrency pool that others answer on, and on two
# cores side by side is no faster.
unit: deps
	@mkdir -p $(SCRATCH)
	$(SWIFT) test $(PACKAGE) --no-parallel --skip LabTests $(TELL_FAILURES)

# The protocol on virtual time: make simulate SEEDS=20000
simulate: deps
	$(SWIFT) build $(PACKAGE) -c release --static-swift-stdlib --product flowsync-simulate
	$(BIN)/flowsync-simulate --seeds $(SEEDS)

# Whether the simulator would find a defect, tried with one after the other.
simulate-defects: deps
	SWIFT=$(SWIFT) Tests/simulate-defects.sh

# What reads bytes from outside: make fuzz SECONDS=600
fuzz:
	FUZZ_BUILD=$(abspath $(SCRATCH))/fuzz Fuzz/run $(SECONDS)

# The daemons under test are the release binaries.
lab: release
	$(SWIFT) build $(PACKAGE) --build-tests
	$(SUDO) env PATH="$$PATH" FLOWSYNC_BIN=$(abspath $(BIN)) \
	    $(SWIFT) test $(PACKAGE) --skip-build --no-parallel --filter 'LabTests\..*$(FILTER)' $(TELL_FAILURES)

demo: release
	$(SUDO) env PATH="$$PATH" FLOWSYNC_BIN=$(abspath $(BIN)) $(BIN)/flowsync-lab demo

# FlowSync beside conntrackd, about an hour: make bench JSON=bench.json; or some: make bench FIGURES="active-50k dump"
bench: LAB_PACKAGES += conntrackd
bench: release
	$(SUDO) env PATH="$$PATH" FLOWSYNC_BIN=$(abspath $(BIN)) $(BIN)/flowsync-bench run --runs $(RUNS) \
	    $(addprefix --only ,$(FIGURES)) $(if $(JSON),--json $(JSON))

format:
	$(SWIFT) format --in-place --recursive $(SOURCES)

lint:
	$(SWIFT) format lint --strict --recursive $(SOURCES)

# Installs what `make release` built.
install:
	@test -x $(BIN)/flowsyncd || { echo "$(BIN)/flowsyncd is missing: run make release first" >&2; exit 1; }
	install -D -m 755 $(BIN)/flowsyncd $(DESTDIR)$(PREFIX)/sbin/flowsyncd
	install -D -m 755 $(BIN)/flowsync $(DESTDIR)$(PREFIX)/bin/flowsync
	install -d $(DESTDIR)$(PREFIX)/lib/flowsync
	$(WITH_PREFIX) Config/keepalived/flowsync-notify > $(DESTDIR)$(PREFIX)/lib/flowsync/flowsync-notify
	$(WITH_PREFIX) Config/keepalived/flowsync-notify-fifo > $(DESTDIR)$(PREFIX)/lib/flowsync/flowsync-notify-fifo
	install -d $(AGENTS)
	$(WITH_PREFIX) Config/ocf/flowsync > $(AGENTS)/flowsync
	chmod 755 $(DESTDIR)$(PREFIX)/lib/flowsync/flowsync-notify* $(AGENTS)/flowsync
	test -e $(DESTDIR)/etc/flowsync/flowsyncd.toml || \
	    install -D -m 644 Config/flowsyncd.toml $(DESTDIR)/etc/flowsync/flowsyncd.toml
	install -D -m 644 Config/sysctl.d/90-flowsync.conf $(SYSTEM)/sysctl.d/90-flowsync.conf
	install -D -m 644 Config/modules-load.d/flowsync.conf $(SYSTEM)/modules-load.d/flowsync.conf
	install -D -m 644 Config/tmpfiles.d/flowsync.conf $(SYSTEM)/tmpfiles.d/flowsync.conf
	install -d $(SYSTEM)/systemd/system $(DOCUMENTS)/keepalived
	$(WITH_PREFIX) systemd/flowsyncd.service > $(SYSTEM)/systemd/system/flowsyncd.service
	$(WITH_PREFIX) Config/keepalived/r1.conf > $(DOCUMENTS)/keepalived/r1.conf
	$(WITH_PREFIX) Config/keepalived/r2.conf > $(DOCUMENTS)/keepalived/r2.conf
	$(WITH_PREFIX) Config/keepalived/r1-fifo.conf > $(DOCUMENTS)/keepalived/r1-fifo.conf
	$(WITH_PREFIX) Config/keepalived/r1-groups.conf > $(DOCUMENTS)/keepalived/r1-groups.conf
	$(WITH_PREFIX) docs/failover.md > $(DOCUMENTS)/failover.md
	install -m 644 README.md Config/flowsyncd.toml $(DOCUMENTS)

# Leaves /etc/flowsync alone: it is the operator's.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/flowsyncd $(DESTDIR)$(PREFIX)/bin/flowsync
	rm -f $(SYSTEM)/systemd/system/flowsyncd.service $(SYSTEM)/sysctl.d/90-flowsync.conf
	rm -f $(SYSTEM)/modules-load.d/flowsync.conf $(SYSTEM)/tmpfiles.d/flowsync.conf
	rm -rf $(DESTDIR)$(PREFIX)/lib/flowsync $(DOCUMENTS) $(AGENTS)

clean:
	rm -rf $(SCRATCH)
