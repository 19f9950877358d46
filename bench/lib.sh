# shellcheck shell=sh
# What the scripts here share: a folder of their own, a provider and a gateway on free ports of the loopback, loads between them,
# and the end of all of it. Source it after "set -eu"; POSTERN is the binary to measure (build/postern).
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 2
name=${0##*/}
tools=build/bench
connections=${CONNECTIONS:-64}
tmp=$(mktemp -d)
gateway='' provider='' tracer=''

die() {
	echo "$name: $*" >&2
	tail -n 5 "$tmp"/*.err >&2 2>/dev/null || true
	exit 2
}

# shellcheck disable=SC2317,SC2329 # called by the trap
clean() {
	for pid in $gateway $provider $tracer; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 130' INT TERM

for tool in "$tools/load" "$tools/provider" "$tools/start" "${POSTERN:=build/postern}"; do
	[ -x "$tool" ] || die "$tool is not there; run make $name"
done

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || die "needs $1: apt-get install $2"; }

# wait_line PID FILE REGEX: until the process has written such a line, for at most 60 s. Empty the file before the process is
# started: what another one has left there would do.
wait_line() {
	tries=0
	until grep -q "$3" "$2"; do
		kill -0 "$1" 2>/dev/null || die "ended early: $2"
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || die "does not get ready: $2"
		sleep 0.02
	done
}

start_provider() {
	: >"$tmp/provider.out"
	"$tools/provider" >"$tmp/provider.out" &
	provider=$!
	wait_line $provider "$tmp/provider.out" .
	base=http://127.0.0.1:$(cat "$tmp/provider.out")/v1
}

# start_gateway BINARY DATA ARGUMENTS [PREFIX ...]: ARGUMENTS is one string, PREFIX a command that runs a command
start_gateway() {
	binary=$1 data=$2 arguments=$3
	shift 3
	: >"$tmp/gateway.out"
	# shellcheck disable=SC2086 # words
	"$@" "$binary" --listen 127.0.0.1:0 --data "$data" --set "providers.openai.base_url=$base" $arguments \
		>"$tmp/gateway.out" 2>"$tmp/gateway.err" &
	gateway=$!
	wait_line $gateway "$tmp/gateway.out" '^listening '
	url=$(sed -n 's/^listening //p' "$tmp/gateway.out")/openai/v1/chat/completions
}

# It has to drain, and to leave with 0.
stop_gateway() {
	kill -TERM "$gateway"
	status=0
	wait "$gateway" || status=$?
	gateway=''
	[ $status = 0 ] || die "postern left with $status at SIGTERM"
}

# load OPTION ...: the figures of bench/load, as lines "word value" of $tmp/load; dies unless every request was right
load() {
	"$tools/load" -c "$connections" "$@" "$url" >"$tmp/load.out" 2>"$tmp/load.err" || die "load $* failed: $(cat "$tmp/load.out")"
	xargs -n 2 <"$tmp/load.out" >"$tmp/load"
}

figure() { sed -n "s/^$1 //p" "$tmp/load"; }
