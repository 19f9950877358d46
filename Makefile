# Postern. Needs make, a shell and apt at first; deps/need.sh brings or names the rest.
#
#   make                 build/postern, the release binary
#   make run ARGS=...    build and start it
#   make test            unit tests, fuzz corpora, end-to-end tests; the last line is "N passed, N failed"
#   make asan            the same under AddressSanitizer and UBSan
#   make lint            layers, headers, format, clang-tidy, cppcheck, shellcheck; figures
#   make fuzz            libFuzzer over every target, FUZZ_SECS=60 each; F=name for one
#   make testssl         testssl.sh on a TLS listener: nothing worse than LOW
#   make live            a real model server behind the gateway
#   make unit            the unit tests; T=json_canon for one, ROOMS="base json" to build these rooms only
#   make e2e             the end-to-end tests; T=cache for the files whose name has it
#   make faults          kill -9, full disks, jumping clocks, flipped bits, a second server, uploads of 2 GB, allocations and system calls
#                        that fail by chance; T=kill9 for one, FAULT_ROUNDS=200, FAIL_REQUESTS=1500
#   make soak            SOAK_SECS=3600 of a random mixture: a record for each request, memory and descriptors flat; nightly: 600 of them,
#                        faults and fuzz
#   make footprint       size, start, memory idle and after 100,000 hits and misses; flood: after 1,500,000 misses; profile: instructions and system calls a request
#   make bench           beside nginx, HAProxy, Varnish and the bare limit: tables, goals, JSON, a chart; half an hour; FULL=1 for more
#   make bench-peers     beside other AI gateways (Portkey, LiteLLM, Ferro Labs), as far as they can be installed
#   make bench-guard     instructions of a hit, a pass, an event, a record: over 3 % more than bench/guard.json fails; ACCEPT=1 for a cost that is meant
#   make stall           how long the loop is held under the heaviest mix; storesize: a log of 1,000,000 records; cachesize: as many entries
#   make slow            10,000 slow clients: memory, whether all are ended, what a normal client notices
#   make format          clang-format over the tree
#   make pgo             build/postern-pgo: compiled for what a training run did: about 8 % less processor time a request, twice the build
#   make install         PREFIX=/usr/local, DESTDIR=
#   make clean           objects and binaries; distclean: also what was fetched or set up
#
# MODE=release|debug|asan|fuzz|cov   CC=gcc|clang   ARCH=aarch64 (cross)   DEPS=bundled|system   V=1 (show commands)
MODE ?= release
HOST := $(shell uname -m)
ARCH ?= $(HOST)
DEPS ?= bundled
PREFIX ?= /usr/local
BUILD ?= build
FUZZ_SECS ?= 60
SOAK_SECS ?= 3600
LLVM := 19
CROSS := $(if $(filter-out $(HOST),$(ARCH)),$(ARCH)-linux-gnu-)
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang-$(LLVM),$(CROSS)gcc)
endif
AR := $(CROSS)ar
RUNNER := $(if $(CROSS),qemu-$(ARCH) -L /usr/$(ARCH)-linux-gnu)
Q := $(if $(V),,@)
ifeq ($(filter release debug asan fuzz cov,$(MODE)),)
$(error MODE is one of release debug asan fuzz cov, not $(MODE))
endif
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

B := $(BUILD)$(if $(CROSS),/$(ARCH))/$(MODE)$(if $(filter system,$(DEPS)),-system)
D := build/deps/$(ARCH)

WARN := -Wall -Wextra -Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
        -Wformat=2 -Wundef -Wwrite-strings -Wpointer-arith -Wswitch-enum -Wimplicit-fallthrough -Werror
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_release := -O3 -D_FORTIFY_SOURCE=3
CFLAGS_debug := -Og -DCHK_PARANOID
CFLAGS_asan := -O1 -DCHK_PARANOID $(SAN)
CFLAGS_fuzz := -O1 -DCHK_PARANOID $(SAN) -fsanitize=fuzzer-no-link
CFLAGS_cov := -O0 --coverage -DIS_COUNTED=1
# gcc is not sure of what it sees without optimisation, or between the checks of a sanitizer
ifeq ($(filter release,$(MODE))$(findstring clang,$(CC)),)
WARN += -Wno-maybe-uninitialized
endif
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -g -fPIE -pthread -fstack-protector-strong -fno-strict-aliasing -fno-common \
        -ffunction-sections -fdata-sections -Isrc $(WARN) $(CFLAGS_$(MODE))
ALL_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections $(CFLAGS_$(MODE))

LIBS := mbedtls $(if $(filter x86_64,$(ARCH)),ipsecmb) uv cares lmdb zstd z xxhash yyjson yaml llhttp
ifeq ($(DEPS),system)
PKG := mbedtls mbedx509 mbedcrypto libuv libcares lmdb libzstd zlib libxxhash yyjson yaml-0.1 libllhttp
DEPS_CFLAGS := $(shell pkg-config --cflags $(PKG) 2>/dev/null)
DEPS_LIBS := $(or $(shell pkg-config --libs $(PKG) 2>/dev/null),$(error DEPS=system: pkg-config has to find all of $(PKG)))
CMOCKA := -lcmocka
DEPS_READY :=
else
DEPS_CFLAGS := -isystem $D/include
DEPS_LIBS := $(LIBS:%=$D/lib/lib%.a)
CMOCKA := $D/lib/libcmocka.a
DEPS_READY := $D/ready
endif
ALL_CFLAGS += $(DEPS_CFLAGS)

ROOMDIRS := $(if $(ROOMS),$(ROOMS:%=src/%),src $(patsubst %/,%,$(wildcard src/*/)))
SRC := $(sort $(wildcard $(ROOMDIRS:%=%/*.c)))
OBJ := $(SRC:%.c=$B/%.o)
LIB := $B/libpostern$(if $(ROOMS),-$(subst $() $(),-,$(ROOMS))).a
UNIT := $(patsubst tests/unit/%.c,$B/unit/%,$(sort $(wildcard tests/unit/test_$(or $(T),*).c)))
FUZZ := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_$(or $F,*).c)))
POSTERN := $B/postern
export MODE POSTERN RUNNER LLVM

all: $(POSTERN) $(if $(CROSS),,$(if $(filter release,$(MODE)),$(BUILD)/postern))

$(POSTERN): $B/src/main.o $(LIB)
	@echo "  LINK $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ $(DEPS_LIBS) -lm
$(BUILD)/postern: $(POSTERN)
	@ln -f $< $@
# the same objects, with allocations and system calls that fail when a test says so (tests/faults/fail.c)
FAILING := malloc calloc aligned_alloc realloc strdup read recv pread recvmsg write pwrite writev pwritev sendmsg fsync fdatasync ftruncate \
           posix_fallocate fallocate open socket connect accept4 mmap reserve_open
$B/postern-fail: $B/src/main.o $B/tests/faults/fail.o $(LIB)
	@echo "  LINK $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LDFLAGS) $(FAILING:%=-Wl,--wrap=%) -o $@ $^ $(DEPS_LIBS) -lm
$(LIB): $(filter-out $B/src/main.o,$(OBJ)) | $(ROOMDIRS)
	@rm -f $@ && $(AR) rcsT $@ $^
$B/%.o: %.c $(DEPS_READY) Makefile | build/need/build
	@echo "  CC   $<"
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$B/unit/%: $B/tests/unit/%.o $(LIB)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) $(LDFLAGS) -o $@ $^ $(CMOCKA) $(DEPS_LIBS) -lm
$B/fuzz/%: $B/tests/fuzz/%.o $(if $(filter fuzz,$(MODE)),,$B/tests/fuzz/replay.o) $(LIB)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer) $(LDFLAGS) -o $@ $^ $(DEPS_LIBS) -lm

$B/fuzz/fuzz_gateway: LDFLAGS += -Wl,--wrap=exchange_begin

build/need/%: deps/need.sh
	@deps/need.sh $* && mkdir -p $(@D) && touch $@
build/deps/%/ready: $(wildcard deps/*) | build/need/build $(if $(CROSS),build/need/cross)
	+@mkdir -p $(@D) && flock build/.deps.lock $(MAKE) --no-print-directory -C deps ARCH=$* && touch $@

run: all
	@$(POSTERN) $(ARGS)
test: all $(UNIT) $(FUZZ)
	@deps/need.sh test && tests/run unit $(UNIT) -- fuzz $(FUZZ) -- e2e
asan:
	@$(MAKE) --no-print-directory MODE=asan test
unit: $(UNIT)
	@tests/run unit $(UNIT)
replay: $(FUZZ)
	@tests/run fuzz $(FUZZ)
e2e: all
	@deps/need.sh test && tests/run e2e
faults: all
	@$(if $(or $(findstring fail,$(T)),$(if $(T),,all)),$(MAKE) --no-print-directory MODE=asan $(BUILD)/asan/postern-fail)
	@deps/need.sh test && tests/faults/run
soak: all
	@deps/need.sh test && T=soak SOAK_SECS=$(SOAK_SECS) LIMIT=$$(($(SOAK_SECS) + 600)) tests/faults/run
nightly: all
	@$(MAKE) --no-print-directory soak SOAK_SECS=600
	@$(MAKE) --no-print-directory faults
	@$(MAKE) --no-print-directory fuzz
fuzz: build/need/fuzz
	@$(MAKE) --no-print-directory MODE=fuzz fuzz-run
fuzz-run: $(FUZZ)
	@FUZZ_SECS=$(FUZZ_SECS) tests/fuzz/run $(FUZZ)
testssl: all
	@deps/need.sh test testssl && tests/testssl/run
live: all
	@deps/need.sh live && tests/live/run
lint: $(DEPS_READY)
	@deps/need.sh lint && CC='$(CC)' CFLAGS='$(ALL_CFLAGS)' tests/lint/run
format:
	@deps/need.sh lint && clang-format-$(LLVM) -i $(SRC) $(wildcard src/*.h src/*/*.h tests/*/*.[ch] bench/*.[ch])
$(BUILD)/bench/%: bench/%.c $(wildcard bench/*.h) $(DEPS_READY) | build/need/build
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE -O2 -g -pthread $(WARN) $(DEPS_CFLAGS) -o $@ $< $(DEPS_LIBS)
slow: $(BUILD)/bench/slow
footprint profile stall slow flood: $(POSTERN) $(addprefix $(BUILD)/bench/,load provider start)
	@bench/$@
bench: $(POSTERN) $(addprefix $(BUILD)/bench/,load provider streams bare fill)
	@deps/need.sh bench && bench/bench
bench-peers: $(POSTERN) $(addprefix $(BUILD)/bench/,load provider streams)
	@deps/need.sh bench peers && GATEWAYS=1 bench/bench
pgo: $(POSTERN) $(addprefix $(BUILD)/bench/,load provider start)
	+@CC='$(CC)' bench/pgo
bench-guard: $(POSTERN) $(addprefix $(BUILD)/bench/,load provider)
	@deps/need.sh guard && CC='$(CC)' bench/guard
storesize: all
	@bench/storesize
cachesize: $(BUILD)/bench/cachesize
	@bench/$@
$(BUILD)/bench/fill $(BUILD)/bench/cachesize: $(BUILD)/bench/%: bench/%.c $(LIB)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(DEPS_LIBS) -lm
install: all
	install -D -m 755 $(POSTERN) $(DESTDIR)$(PREFIX)/bin/postern
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in postern.service postern.socket; do sed 's|/usr/local|$(PREFIX)|g' deploy/$$unit > \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit && chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	$(if $(wildcard deploy/postern.1),install -D -m 644 deploy/postern.1 $(DESTDIR)$(PREFIX)/share/man/man1/postern.1)
clean:
	@rm -rf $(filter-out $(addprefix $(BUILD)/,dl node npm need live peers),$(wildcard $(BUILD)/*))
distclean:
	@rm -rf $(BUILD) tests/e2e/node_modules
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

.PHONY: all bench bench-guard bench-peers pgo slow soak nightly run test asan unit replay e2e faults fuzz fuzz-run live testssl lint format footprint profile stall flood storesize cachesize install clean distclean help
.SECONDARY:
.DELETE_ON_ERROR:
-include $(OBJ:.o=.d) $(patsubst %.c,$B/%.d,$(wildcard tests/unit/*.c tests/fuzz/*.c))
