#!/bin/sh
# Brings the archives of deps/versions into build/dl, once, and writes build/dl/got-ARCH.mk, which says which file was taken
# for each library. With all archives there it touches no network.
#
#   deps/fetch.sh [ARCH]        environment: DEPS_DL another folder for the archives, e.g. filled by hand on a machine
#                               without a network
#
# Archives come through apt from the mirror this machine already uses. The machine's own apt state is not touched: lists,
# caches and sources are private ones, and none of the machine's hooks runs. Sources of others than Debian are not asked.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
arch=${1:-$(uname -m)}
dl=${DEPS_DL:-$here/../build/dl}
# the stable release, which stays, the one after it for newer security releases, and the one before, for ipsecmb
suites='trixie forky bookworm'
mkdir -p "$dl"
dl=$(cd "$dl" && pwd)
apt=$dl/apt-$arch

die() { echo "deps: $*" >&2; exit 1; }
say() { echo "deps: $*"; }

exec 9>"$dl/.lock"
flock 9
rm -rf "$apt" # of a run that failed

case $arch in
x86_64) debarch=amd64 ;;
aarch64) debarch=arm64 ;;
*) die "no pinned libraries for $arch; DEPS=system links those of the distribution" ;;
esac

# pins NAME: its lines for this architecture. Fields: name arch package series minimum file sha256
pins() { awk -v n="$1" -v a="$arch" '$1 == n && ($2 == "any" || $2 == a)' "$here/versions"; }
names=$(awk -v a="$arch" '!/^#/ && ($2 == "any" || $2 == a) && !seen[$1]++ { print $1 }' "$here/versions")

sum_of() { sha256sum <"$1" | cut -d' ' -f1; }
is_good() { [ -f "$dl/$1" ] && [ "$(sum_of "$dl/$1")" = "$2" ]; }

# have NAME: sets file to the archive that is there for it: one of the pins, or what was taken in the stead of these pins
have() {
	file=
	while read -r _ _ _ _ _ f sha; do
		if is_good "$f" "$sha"; then file=$f; return 0; fi
	done <<-END
	$(pins "$1")
	$(grep -F "$(pins "$1" | cksum) " "$dl/taken" 2>/dev/null)
	END
	return 1
}

# Debian's own sources of this machine, moved to our suites, one line each. Both forms of apt's source files are read.
# A source counts as Debian's if it has a Debian suite and the component main, and is signed with Debian's keyring
# or by no key of its own; the security archive keeps its own place.
debian_sources() {
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	{
		for f in /etc/apt/sources.list.d/*.sources; do
			[ -f "$f" ] || continue
			awk 'BEGIN { RS = ""; FS = "\n" } {
				delete v; key = ""
				for (i = 1; i <= NF; i++) {
					if ($i ~ /^#/) continue
					if ($i ~ /^[ \t]/) { v[key] = v[key] " " $i; continue }
					key = tolower(substr($i, 1, index($i, ":") - 1))
					v[key] = substr($i, index($i, ":") + 1)
				}
				if (tolower(v["enabled"]) ~ /no|false/ || v["types"] !~ /deb/) next
				gsub(/[ \t]+/, "", v["signed-by"])
				opt = v["signed-by"] == "" ? "" : "signed-by=" v["signed-by"]
				if (tolower(v["trusted"]) ~ /yes/) opt = opt " trusted=yes"
				n = split(v["uris"], uri, " "); m = split(v["suites"], suite, " ")
				for (i = 1; i <= n; i++) for (j = 1; j <= m; j++)
					print opt "|" uri[i] "|" suite[j] "|" v["components"]
			}' "$f"
		done
		for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ -f "$f" ] || continue
			awk '$1 == "deb" || $1 == "deb-src" {
				sub(/#.*/, ""); opt = ""
				if (match($0, /\[[^]]*\]/)) {
					opt = substr($0, RSTART + 1, RLENGTH - 2)
					$0 = substr($0, 1, RSTART - 1) " " substr($0, RSTART + RLENGTH)
				}
				n = split(opt, o, " "); opt = ""
				for (i = 1; i <= n; i++) if (o[i] ~ /^(signed-by|trusted)=/) opt = opt " " o[i]
				comp = ""
				for (i = 4; i <= NF; i++) comp = comp " " $i
				print opt "|" $2 "|" $3 "|" comp
			}' "$f"
		done
	} | awk -F'|' -v codename="$codename" -v suites="$suites" '
		{
			base = $3; sub(/(-updates|-security|\/updates)$/, "", base)
			if (base !~ /^(stable|oldstable|testing|unstable|sid|trixie|forky)$/ && base != codename) next
			if ((" " $4 " ") !~ /[ \t]main[ \t]/) next
			if ($1 ~ /signed-by=/ && $1 !~ /debian-archive/) next
			opt = $1 == "" ? "" : "[" $1 "] "
			n = split(suites, s, " ")
			for (i = 1; i <= n; i++) {
				to = s[i]
				if ($3 ~ /(-security|\/updates)$/) { if (i > 1) continue; to = to "-security" }
				print "deb " opt $2 " " to " main"
				print "deb-src " opt $2 " " to " main"
			}
		}' | sort -u
}

# One apt-get update of the private lists. A suite that a mirror lacks is no error here: what counts is what is found. Nor is
# a mirror that stands still and whose lists have run out: pins are held to their sha256, everything else to a minimum.
open_apt() {
	[ ! -f "$apt/conf" ] || return 0
	command -v apt-get >/dev/null || die "no apt-get here; put the files named in deps/versions into $dl"
	rm -rf "$apt"
	mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/get"
	debian_sources >"$apt/sources/pinned.list"
	[ -s "$apt/sources/pinned.list" ] ||
		die "no Debian source in this machine's apt configuration; put the files named in deps/versions into $dl"
	cat >"$apt/conf.new" <<-END
	#clear APT::Update;
	#clear APT::Architectures;
	Dir::Etc::SourceList "/dev/null";
	Dir::Etc::SourceParts "$apt/sources";
	Dir::Etc::Preferences "/dev/null";
	Dir::Etc::PreferencesParts "/dev/null";
	Dir::State::Lists "$apt/lists";
	Dir::Cache "$apt/cache";
	APT::Architecture "$debarch";
	APT::Architectures { "$debarch"; };
	APT::Sandbox::User "root";
	Acquire::Check-Valid-Until "false";
	Acquire::Languages "none";
	Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
	Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
	Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
	END
	say "asking the mirror for its lists ($suites)"
	apt-get -qq -c "$apt/conf.new" update >"$apt/log" 2>&1 || true
	mv "$apt/conf.new" "$apt/conf"
}

# on_mirror PACKAGE: one line "package-version file sha256" for each archive the suites list for it
on_mirror() {
	case $1 in
	*-dev)
		apt-cache -c "$apt/conf" show "$1" 2>/dev/null | awk '
			$1 == "Version:" { v = $2 }
			$1 == "Filename:" { f = $2; sub(/.*\//, "", f) }
			$1 == "SHA256:" { s = $2 }
			NF == 0 && s != "" { print v, f, s; s = "" }
			END { if (s != "") print v, f, s }' ;;
	*)
		apt-cache -c "$apt/conf" showsrc --only-source "$1" 2>/dev/null | awk '
			$1 == "Version:" { v = $2 }
			/^[A-Z]/ { sums = $1 == "Checksums-Sha256:" }
			sums && $3 ~ /\.orig\.tar\.(gz|bz2|xz)$/ { f[++n] = $3; s[n] = $1 }
			NF == 0 { for (i = 1; i <= n; i++) print v, f[i], s[i]; n = 0 }
			END { for (i = 1; i <= n; i++) print v, f[i], s[i] }' ;;
	esac | sort -u
}

# download PACKAGE VERSION FILE: into $apt/get, checked by apt against the signed lists
download() {
	rm -rf "$apt/get" && mkdir "$apt/get"
	(
		cd "$apt/get"
		case $1 in
		*-dev) apt-get -qq -c "$apt/conf" download "$1=$2" && { [ -f "$3" ] || mv ./*.deb "$3"; } ;;
		*) apt-get -qq -c "$apt/conf" source --download-only --tar-only "$1=$2" ;;
		esac >>"$apt/log" 2>&1
	) && [ -f "$apt/get/$3" ]
}

keep() { touch "$apt/get/$1" && mv "$apt/get/$1" "$dl/$1"; }

# upstream VERSION: without Debian's epoch and revision
upstream() { v=${1#*:}; echo "${v%-*}"; }

# get_pinned NAME: the first of its pins that the mirror gives
get_pinned() {
	first=
	while read -r _ _ pkg _ _ f sha; do
		[ -n "$first" ] || first=$f
		while read -r version mf msha; do
			[ "$mf" = "$f" ] || continue
			[ "$msha" = "$sha" ] || die "$f: the mirror's sha256 is $msha, deps/versions has $sha"
			download "$pkg" "$version" "$f" || continue
			got=$(sum_of "$apt/get/$f")
			[ "$got" = "$sha" ] || die "$f: sha256 $got, deps/versions has $sha"
			keep "$f"
			if [ "$f" = "$first" ]; then say "fetched $f"; else say "fetched $f ($first is not on this mirror)"; fi
			return 0
		done <<-END
		$(on_mirror "$pkg")
		END
	done <<-END
	$(pins "$1")
	END
	return 1
}

# get_newer NAME: no pin is on the mirror, so the newest of the same series, under apt's signature
get_newer() {
	read -r name _ pkg series minimum f _ <<-END
	$(pins "$1")
	END
	best=
	tried=
	while :; do
		best=
		while read -r version mf msha; do
			[ -n "$version" ] || continue
			up=$(upstream "$version")
			case $up in "$series" | "$series"[!0-9]*) ;; *) continue ;; esac
			case " $tried " in *" $version "*) continue ;; esac
			dpkg --compare-versions "$up" ge "$minimum" || continue
			[ -z "$best" ] || dpkg --compare-versions "$version" gt "$best" || continue
			best=$version bf=$mf bsha=$msha
		done <<-END
		$(on_mirror "$pkg")
		END
		[ -n "$best" ] || return 1
		if download "$pkg" "$best" "$bf"; then break; fi
		tried="$tried $best"
	done
	[ "$(sum_of "$apt/get/$bf")" = "$bsha" ] || die "$bf: its sha256 is not that of the signed list"
	keep "$bf"
	echo "$(pins "$name" | cksum) $name $arch - $bf $bsha" >>"$dl/taken"
	say "$name: $f has left the mirror; took $bf under Debian's signature (sha256 $bsha)"
}

out=
for name in $names; do
	if ! have "$name"; then
		open_apt
		get_pinned "$name" || get_newer "$name" ||
			die "$name is not to be had from this machine's mirror (log: $apt/log); put its file, see deps/versions, into $dl"
		have "$name"
	fi
	out="${out}FILE_$name := $file
"
done
rm -rf "$apt"
printf '%s' "$out" >"$dl/got-$arch.mk"
