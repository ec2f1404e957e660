# mod_cosell: build, tests, demo. `make` alone needs only the packages of BUILD_PACKAGES; `make demo` and `make test` install what is missing.

SHELL = /bin/bash
B = build
VERSION = 0.1.0
# Where installed profiles are: an overlay finds the one it extends there.
MAPPING_DIR = /usr/share/cosell/mapping

BUILD_PACKAGES = gcc make pkg-config apache2-bin apache2-dev libapr1-dev libaprutil1-dev libjansson-dev libcurl4-openssl-dev \
                 libssl-dev libsqlite3-dev libexpat1-dev
DEMO_PACKAGES = $(BUILD_PACKAGES) python3 python3-aiohttp python3-uvloop python3-cryptography python3-requests
TEST_PACKAGES = $(DEMO_PACKAGES) libcmocka-dev python3-pytest python3-pytest-xdist python3-jsonschema libasan8 libubsan1 tidy
# A browser (64 MB): with it `make test` tests pages as people see them, without it these tests are skipped.
PAGES_PACKAGES = $(TEST_PACKAGES) chromium-headless-shell fonts-dejavu-core
BENCH_PACKAGES = $(DEMO_PACKAGES) wrk
LINT_PACKAGES = $(TEST_PACKAGES) cppcheck binutils groff-base mandoc

APXS = apxs
# Expanded when a compiler runs, so that `make packages-...` works before the packages are there.
APR_FLAGS = $$(apr-1-config --cppflags --includes) $$(apu-1-config --includes)
HTTPD_INC = -I$$($(APXS) -q INCLUDEDIR)
APR_LIBS = $$(apr-1-config --link-ld) $$(apu-1-config --link-ld)
LIBS = -ljansson -lcurl -lcrypto -lsqlite3 -lexpat -lm

CC = gcc
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla
WERROR = $(if $(CI),-Werror)
CFLAGS = -O2 -g -fstack-protector-strong
CSTD = -std=gnu11 -fPIC -pthread -D_GNU_SOURCE -DCS_VERSION='"$(VERSION)"' -DCS_MAPPING_DIR='"$(MAPPING_DIR)"'
SAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

LIB_SRC := $(sort $(foreach r,base domain remote store engine,$(shell find mod_cosell/$(r) -name '*.c' 2>/dev/null)))
SIM_SRC := $(sort $(wildcard tests/sim/*.c))
MOD_SRC := $(sort $(wildcard mod_cosell/httpd/*.c))
CTL_SRC := $(sort $(wildcard mod_cosell/ctl/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNITS := $(UNIT_SRC:tests/unit/%.c=%)
PRELOADS := $(patsubst tests/preload/%.c,$(B)/preload/%.so,$(wildcard tests/preload/*.c))

.PHONY: all install clean demo test lint sim property both bench crash pages soak reload valgrind sanitize sanitized fuzz sandbox unit unit-asan test-build preload \
        packages-build packages-demo packages-test packages-bench packages-lint packages-pages

all: $(B)/mod_cosell.so $(B)/cosellctl $(B)/cosellctl.bash

# One rule set per variant: shipped (ship), test build (test), test build with sanitizers (asan).
define VARIANT
$(B)/obj-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	@echo "  CC [$(1)] $$<"
	@$$(CC) $$(CSTD) $$(CFLAGS) $$(WARN) $$(WERROR) $(2) $$(APR_FLAGS) $$(if $$(findstring /httpd/,$$<),$$(HTTPD_INC)) -MMD -MP -c -o $$@ $$<

$(B)/$(3)libcosell.a: $(LIB_SRC:%.c=$(B)/obj-$(1)/%.o)
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^

$(B)/$(3)mod_cosell.so: $(MOD_SRC:%.c=$(B)/obj-$(1)/%.o) $(B)/$(3)libcosell.a mod_cosell/httpd/module.map
	@echo "  LD [$(1)] $$@"
	@$$(CC) -shared -pthread $(2) -Wl,--version-script=mod_cosell/httpd/module.map -Wl,-z,relro,-z,now $$(LDFLAGS) -o $$@ \
	    $$(filter %.o,$$^) $(B)/$(3)libcosell.a $$(LIBS)

$(B)/$(3)cosellctl: $(CTL_SRC:%.c=$(B)/obj-$(1)/%.o) $(B)/$(3)libcosell.a
	@echo "  LD [$(1)] $$@"
	@$$(CC) -pthread $(2) -Wl,-z,relro,-z,now -Wl,--as-needed $$(LDFLAGS) -o $$@ \
	    $$(filter %.o,$$^) $(B)/$(3)libcosell.a $$(LIBS) $$(APR_LIBS)

-include $(LIB_SRC:%.c=$(B)/obj-$(1)/%.d) $(MOD_SRC:%.c=$(B)/obj-$(1)/%.d) $(CTL_SRC:%.c=$(B)/obj-$(1)/%.d)
endef
$(eval $(call VARIANT,ship,,))
$(eval $(call VARIANT,test,-DCS_TEST,test/))
$(eval $(call VARIANT,asan,-DCS_TEST $(SAN),asan/))
# For tests/fuzz/run, which says with what and how.
ifdef FUZZ_CC
$(B)/obj-fuzz-$(FUZZ_CC)/%.o: CC = $(FUZZ_CC)
$(eval $(call VARIANT,fuzz-$(FUZZ_CC),-DCS_TEST $(FUZZ_FLAGS),fuzz-$(FUZZ_CC)/))
endif

$(B)/cosellctl.bash: $(B)/cosellctl
	@$(B)/cosellctl completion bash > $@.tmp && mv $@.tmp $@

$(B)/unit/%: tests/unit/%.c $(B)/test/libcosell.a
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) $(WERROR) -DCS_TEST $(APR_FLAGS) -I. -MMD -MP -o $@ $< $(filter %.o,$^) $(B)/test/libcosell.a $(LIBS) $(APR_LIBS) -lcmocka

$(B)/unit-asan/%: tests/unit/%.c $(B)/asan/libcosell.a
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) $(WERROR) -DCS_TEST $(SAN) $(APR_FLAGS) -I. -MMD -MP -o $@ $< $(filter %.o,$^) $(B)/asan/libcosell.a $(LIBS) $(APR_LIBS) -lcmocka

# cosellctl is no part of the library.
CTL_PARTS = $(filter-out %/main.o,$(CTL_SRC:%.c=$(B)/obj-$(1)/%.o))
$(B)/unit/test_ctl: $(call CTL_PARTS,test)
$(B)/unit-asan/test_ctl: $(call CTL_PARTS,asan)

-include $(UNITS:%=$(B)/unit/%.d) $(UNITS:%=$(B)/unit-asan/%.d)

$(B)/preload/%.so: tests/preload/%.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -pthread -shared $(WARN) -o $@ $< -ldl

$(B)/bench/mod_bare.so: tests/bench/mod_bare.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) $(APR_FLAGS) $(HTTPD_INC) -shared -o $@ $<

$(B)/bench/curl_loop: tests/bench/curl_loop.c
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) -o $@ $< -lcurl

$(B)/bench/bench_%: tests/bench/bench_%.c $(B)/libcosell.a
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) $(APR_FLAGS) -I. -o $@ $< $(B)/libcosell.a $(LIBS) $(APR_LIBS)

# The simulation brings its own remote ends, clock, chance and instants of death, and calls lanes itself.
SIM_WRAP = -Wl,--wrap=cs_time_now,--wrap=cs_time_boot,--wrap=cs_time_mono,--wrap=cs_random,--wrap=cs_uuid4,--wrap=cs_crash_point
SIM_ALL = $(LIB_SRC:%.c=$(B)/obj-test/%.o)
SIM_LIB = $(foreach o,$(SIM_ALL),$(if $(findstring /remote/,$(o))$(findstring engine/certs,$(o))$(findstring engine/runner,$(o))$(findstring engine/job_,$(o)),,$(o))) $(filter %/engine/job_brief.o %/remote/limiter.o,$(SIM_ALL)) $(filter $(B)/obj-test/mod_cosell/remote/%/facts.o,$(SIM_ALL))
$(B)/sim/sim: $(SIM_SRC) $(wildcard tests/sim/*.h) $(B)/test/libcosell.a
	@mkdir -p $(@D)
	@echo "  CC $@"
	@$(CC) $(CSTD) $(CFLAGS) $(WARN) $(WERROR) -DCS_TEST $(APR_FLAGS) -I. -o $@ $(SIM_SRC) $(SIM_LIB) $(SIM_WRAP) $(LIBS) $(APR_LIBS)

preload: $(PRELOADS)
unit: $(UNITS:%=$(B)/unit/%)
unit-asan: $(UNITS:%=$(B)/unit-asan/%)
test-build: $(B)/sim/sim $(B)/test/mod_cosell.so all preload unit-asan $(B)/bench/mod_bare.so

# Installs nothing when everything is there. Never a package that starts a service.
packages-build packages-demo packages-test packages-bench packages-lint packages-pages: packages-%:
	@tests/tools/packages $($(shell echo $* | tr a-z A-Z)_PACKAGES)

# A recursive make sees the packages that were just installed.
demo: packages-demo
	@$(MAKE) --no-print-directory $(B)/mod_cosell.so
	@CRM="$(CRM)" /usr/bin/python3 tests/demo/demo.py

test: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) test-build
	@tests/run

sim: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) $(B)/sim/sim
	@WALK_PART=0/2 $(B)/sim/sim walk & other=$$!; WALK_PART=1/2 $(B)/sim/sim walk; rc=$$?; wait $$other && exit $$rc
	@$(B)/sim/sim create
	@$(B)/sim/sim $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(STEPS),--steps $(STEPS)) --seconds $(or $(SECONDS_EACH),120)

# A million deals under random mappings, twice: the CRM with habits, then both sides. CASES, SEED.
property: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) $(B)/unit/test_reconcile_properties $(B)/unit/test_both_properties
	@rc=0; for test in reconcile both; do tests/property/run $(B)/unit/test_$${test}_properties $(or $(CASES),1000000) $(SEED) || rc=1; done; exit $$rc

# Two minutes of people on both sides for each CRM, with notices lost and reads behind, and every death while a referral is made: BOTH_SECONDS, SEED, CRM.
both: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) $(B)/test/mod_cosell.so
	@BOTH_SECONDS=$(or $(BOTH_SECONDS),120) EVERY=1 $(if $(SEED),SEED=$(SEED)) $(if $(CRM),CRM=$(CRM)) PYTHONDONTWRITEBYTECODE=1 \
	    /usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/httpd/test_67_both_ways.py tests/httpd/test_68_create.py

# Pages over HTTP, and as a browser shows them: pictures of each in build/pages/.
pages: packages-pages
	@$(MAKE) --no-print-directory -j$$(nproc) $(B)/test/mod_cosell.so
	@PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/httpd/test_87_pages.py tests/httpd/test_88_browser.py

crash: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) test-build
	@/usr/bin/python3 tests/crash/crash.py --cycles $(or $(CYCLES),300) $(if $(SEED),--seed $(SEED))

soak: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) test-build
	@/usr/bin/python3 tests/soak/soak.py --events $(or $(EVENTS),100000)

reload: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) test-build
	@/usr/bin/python3 tests/httpd/reload.py

bench: packages-bench
	@$(MAKE) --no-print-directory $(B)/mod_cosell.so $(B)/bench/mod_bare.so $(B)/bench/curl_loop $(B)/bench/bench_pages
	@/usr/bin/python3 tests/bench/bench.py

sandbox: packages-demo
	@tests/sandbox/start

lint: packages-lint
	@$(MAKE) --no-print-directory -j$$(nproc) all $(B)/test/mod_cosell.so
	@tests/lint/run

valgrind: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) unit
	@tests/tools/valgrind $(UNITS:%=$(B)/unit/%)

sanitize: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) unit-asan
	@for t in $(UNITS:%=$(B)/unit-asan/%); do echo "== $$t"; $$t || exit 1; done

# httpd's tests with the module of build/asan: TESTS=files, slowly.
sanitized: packages-test
	@$(MAKE) --no-print-directory -j$$(nproc) $(B)/asan/mod_cosell.so $(B)/cosellctl preload
	@COSELL_SANITIZED=1 PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -q -p no:cacheprovider -n $$(nproc) --dist loadgroup $(or $(TESTS),tests/httpd)

fuzz: packages-lint
	@tests/fuzz/run $(or $(SECONDS_EACH),60)

MODDIR = $(DESTDIR)$(shell $(APXS) -q LIBEXECDIR)
SHAREDIR = $(DESTDIR)/usr/share/cosell
PREFIX = /usr
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man
COMPLETIONDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ETC = $(DESTDIR)/etc/apache2
install: all
	install -D -m 0644 $(B)/mod_cosell.so $(MODDIR)/mod_cosell.so
	for f in conf/mapping/*.json; do install -D -m 0644 $$f $(DESTDIR)$(MAPPING_DIR)/$$(basename $$f) || exit 1; done
	install -D -m 0644 conf/mapping.schema.json $(SHAREDIR)/mapping.schema.json
	install -D -m 0644 conf/cosell.conf $(SHAREDIR)/cosell.conf
	for f in conf/example-*.conf; do install -D -m 0644 $$f $(SHAREDIR)/$$(basename $$f) || exit 1; done
	for f in conf/monitoring/*; do [ ! -f $$f ] || install -D -m 0644 $$f $(SHAREDIR)/monitoring/$$(basename $$f) || exit 1; done
	install -D -m 0755 $(B)/cosellctl $(BINDIR)/cosellctl
	install -D -m 0644 mod_cosell/ctl/cosellctl.1 $(MANDIR)/man1/cosellctl.1
	install -D -m 0644 $(B)/cosellctl.bash $(COMPLETIONDIR)/cosellctl
	if [ -d $(ETC)/mods-available ] || [ -f /etc/debian_version ]; then \
	    install -D -m 0644 conf/cosell.load $(ETC)/mods-available/cosell.load; \
	    [ -f $(ETC)/mods-available/cosell.conf ] || install -D -m 0644 conf/cosell.conf $(ETC)/mods-available/cosell.conf; \
	fi

clean:
	rm -rf $(B)
