#!/bin/sh
# What a purpose needs on this machine: asks for it, and brings what is missing where it may.
#
#   deps/need.sh build|test|lint|asan|fuzz|live|testssl|bench|guard|peers|cross ...
#
# As root, missing Debian packages are installed; else one line says what to run as root, and the exit code is 2. For test,
# asan and live also node 20 or newer (from npm into build/node where the system's is older) and the packages of
# tests/e2e/package.json (into build/npm). Both come from the registry that this machine's npm is set to. For peers other
# gateways, into build/peers, each from its makers' kind of registry; one that cannot be had is said and left out. Nothing is asked of
# the network, and nothing but a look at some files is done, when nothing is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=${here%/*}
build=$top/build
node_major=20           # what the tests need
node_version=22.23.3    # what is brought where the system's is older
llvm=${LLVM:-19}         # one version of clang's tools everywhere, for they differ in what they say; the Makefile names it
missing=

has() { command -v "$1" >/dev/null 2>&1; }
add() { case "$missing " in *" $1 "*) ;; *) missing="$missing $1" ;; esac; }
cmd() { has "$1" || add "$2"; }
file() { [ -e "$1" ] || add "$2"; }
die() { echo "need: $*" >&2; exit 2; }

need_build() {
	cmd gcc gcc
	file /usr/include/stdio.h libc6-dev
	[ "$(uname -m)" != x86_64 ] || cmd nasm nasm
	cmd bzip2 bzip2
	cmd xz xz-utils
	file /etc/ssl/certs/ca-certificates.crt ca-certificates
}

need_node=
need_test() {
	need_build
	cmd openssl openssl
	cmd curl curl
	cmd npm npm
	need_node=yes
}

need_lint() {
	need_build
	cmd "clang-format-$llvm" "clang-format-$llvm"
	cmd "clang-tidy-$llvm" "clang-tidy-$llvm"
	cmd cppcheck cppcheck
	cmd shellcheck shellcheck
	cmd systemd-analyze systemd
}

need_bench() {
	need_build
	cmd strip binutils
	cmd openssl openssl
	cmd wrk wrk
	PATH=$PATH:/usr/sbin
	cmd nginx nginx-light
	cmd haproxy haproxy
	cmd varnishd varnish
	cmd npm npm
	need_node=yes
}

need_guard() {
	need_test
	cmd taskset util-linux
	cmd valgrind valgrind
}

need_peers=
need_peers() {
	need_build
	cmd npm npm
	file /usr/share/doc/python3-venv python3-venv
	cmd go golang-go
	need_node=yes
	need_peers=yes
}

need_testssl() {
	need_build
	cmd testssl testssl.sh
}

need_fuzz() {
	need_build
	cmd "clang-$llvm" "clang-$llvm"
	file "/usr/lib/llvm-$llvm/lib/clang/$llvm/lib/linux/libclang_rt.fuzzer-$(uname -m).a" "libclang-rt-$llvm-dev"
}

need_cross() {
	need_build
	cmd aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
	file /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
	cmd qemu-aarch64 qemu-user
}

install_packages() {
	if ! has apt-get; then die "$purposes: missing here:$missing"; fi
	if [ "$(id -u)" != 0 ]; then
		die "$purposes: run as root: apt-get install --no-install-recommends$missing"
	fi
	echo "need: $purposes: installing$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	log=$build/need.log
	apt-get -q update >"$log" 2>&1 || true # a third party's broken source must not stop us
	# shellcheck disable=SC2086 # a list
	apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends $missing >>"$log" 2>&1 ||
		die "$purposes: could not install$missing (log: build/need.log): $(grep '^E:' "$log" | head -n 1)"
}

node_is_new() { v=$("$1" --version 2>/dev/null) && v=${v#v} && [ "${v%%.*}" -ge $node_major ]; }

bring_node() {
	if has node && node_is_new node; then return 0; fi
	if [ -x "$build/node/bin/node" ] && node_is_new "$build/node/bin/node"; then return 0; fi
	case $(uname -m) in
	x86_64) cpu=x64 ;;
	aarch64) cpu=arm64 ;;
	*) die "node $node_major or newer is needed; install it and run again" ;;
	esac
	echo "need: bringing node $node_version into build/node" >&2
	rm -rf "$build/node" && mkdir -p "$build/node/bin"
	npm install --silent --no-audit --no-fund --no-save --prefix "$build/node" "node-linux-$cpu@$node_version" \
		>"$build/need.log" 2>&1 || die "npm could not bring node-linux-$cpu@$node_version (log: build/need.log)"
	ln -s "../node_modules/node-linux-$cpu/bin/node" "$build/node/bin/node"
	node_is_new "$build/node/bin/node" || die "node-linux-$cpu@$node_version does not run here"
}

# node_modules lies under build/, and tests/e2e/node_modules points there
bring_modules() {
	e2e=$top/tests/e2e npm=$build/npm
	[ -f "$e2e/package.json" ] || return 0
	if ! { [ -f "$npm/done" ] && cmp -s "$e2e/package.json" "$npm/package.json" &&
		{ [ ! -f "$e2e/package-lock.json" ] || cmp -s "$e2e/package-lock.json" "$npm/package-lock.json"; }; }; then
		echo "need: bringing the packages of tests/e2e into build/npm" >&2
		rm -rf "$npm" && mkdir -p "$npm"
		verb=install
		for f in package.json package-lock.json .npmrc; do
			[ ! -f "$e2e/$f" ] || cp "$e2e/$f" "$npm/$f"
		done
		[ ! -f "$npm/package-lock.json" ] || verb=ci
		# npm under the node it came with, not build/node: Debian's trusts the machine's own root certificates, npm's does not
		npm $verb --prefix "$npm" --no-audit --no-fund >"$build/need.log" 2>&1 ||
			die "npm $verb failed for tests/e2e (log: build/need.log)"
		: >"$npm/done"
	fi
	[ "$(readlink "$e2e/node_modules" 2>/dev/null)" = ../../build/npm/node_modules ] ||
		{ rm -rf "$e2e/node_modules" && ln -s ../../build/npm/node_modules "$e2e/node_modules"; }
}

# bring_peer NAME COMMAND ...: another gateway, into build/peers/NAME, with the versions named here. One that cannot be had is no
# failure: build/peers/NAME.why says why, and make bench-peers repeats it.
bring_peer() {
	peer=$1 to=$build/peers/$1
	shift
	[ ! -e "$to/done" ] || return 0
	echo "need: bringing $peer into build/peers" >&2
	rm -rf "$to" "$to.why" && mkdir -p "$to"
	if "$@" "$to" >"$to.log" 2>&1; then
		: >"$to/done"
	else
		rm -rf "$to"
		grep -v '^ *$' "$to.log" | tail -n 1 | sed 's/^[[:space:]]*/could not be installed: /' >"$to.why"
		echo "need: $peer $(cat "$to.why") (log: build/peers/$peer.log)" >&2
	fi
}

# A plain install answers every stream with 500: newer ones of these two do not fit it. No scripts of packages are run.
bring_portkey() {
	echo '{"private":true,"dependencies":{"@portkey-ai/gateway":"1.15.2"},
		"overrides":{"@hono/node-server":"1.13.5","hono":"4.9.7"}}' >"$1/package.json"
	npm install --prefix "$1" --ignore-scripts --no-audit --no-fund
}

# 1.82.7, 1.82.8 and 1.107.0 were compromised: the version is pinned
bring_litellm() { python3 -m venv "$1" && "$1/bin/pip" install -q --only-binary :all: 'litellm[proxy]==1.98.1'; }
bring_ferro() { GOBIN=$1/bin go install github.com/ferro-labs/ai-gateway/cmd/ferrogw@v1.4.1; }

[ $# -gt 0 ] || die "for what? build test lint asan fuzz live testssl bench guard peers cross"
purposes=$*
mkdir -p "$build"
for p in "$@"; do
	case $p in
	build | lint | fuzz | testssl | bench | guard | peers | cross) "need_$p" ;;
	test | asan | live) need_test ;;
	*) die "unknown purpose $p (build test lint asan fuzz live testssl bench guard peers cross)" ;;
	esac
done
if [ -n "$missing$need_node$need_peers" ]; then
	exec 9>"$build/.need.lock"
	flock 9
fi
if [ -n "$missing" ]; then
	install_packages
fi
if [ -n "$need_node" ]; then
	bring_node
	bring_modules
fi
if [ -n "$need_peers" ]; then
	for p in portkey litellm ferro; do
		bring_peer "$p" "bring_$p"
	done
fi
