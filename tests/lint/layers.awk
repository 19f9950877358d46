# Holds the tree against src/LAYERS: which room may include whom, who owns a third-party header, which headers are private.
#   awk -f tests/lint/layers.awk src/LAYERS src/*.[ch] src/*/*.[ch]
function bad(message) {
	print FILENAME ":" FNR ": " message
	failed = 1
}
function trim(s) {
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

FILENAME == "src/LAYERS" {
	sub(/#.*/, "")
	if (split($0, field, ":") < 3)
		next
	room = trim(field[1])
	if (room in rooms)
		bad("room " room " stands here twice")
	n = split(field[2], list, " ")
	for (i = 1; i <= n; i++) {
		# only rooms that stand above: so the table can have no circle
		if (!(list[i] in rooms))
			bad(room " uses " list[i] ", which does not stand above it")
		may[room, list[i]] = 1
	}
	rooms[room] = 1
	n = split(field[3], list, " ")
	for (i = 1; i <= n; i++) {
		owned[list[i]] = 1
		owns[room, list[i]] = 1
		owners[list[i]] = owners[list[i]] " " room
	}
	next
}

FNR == 1 {
	n = split(FILENAME, part, "/")
	room = n == 2 ? "." : part[2]
	own = FILENAME ~ /\.c$/ ? FILENAME : ""
	sub(/^src\//, "", own)
	sub(/\.c$/, ".h", own)
	first = 1
	if (!(room in rooms))
		bad("room " room " is not in src/LAYERS")
}

match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]+"/) {
	split($0, quoted, "\"")
	header = quoted[2]
	if (header !~ /\// && room != ".")
		bad("\"" header "\": write \"room/file.h\"")
	target = header
	sub(/\/.*/, "", target)
	if (target != room && header ~ /\// && !((room, target) in may))
		bad((room == "." ? "main" : room) " may not include " header " (src/LAYERS)")
	if (target != room && header ~ /_int\.h$/)
		bad(header " is private to " target)
	own_int = own
	sub(/\.h$/, "_int.h", own_int)
	if (first && own != "" && header != own && header != own_int && (getline line < ("src/" own)) > 0)
		bad("a .c includes its own header first: \"" own "\"")
	first = 0
	next
}

match($0, /^[ \t]*#[ \t]*include[ \t]*<[^>]+>/) {
	header = substr($0, index($0, "<") + 1)
	sub(/>.*/, "", header)
	for (o in owned) {
		mine = header == o || (o ~ /\/$/ && index(header, o) == 1)
		if (mine && !((room, o) in owns))
			bad("<" header "> belongs to" owners[o] " (src/LAYERS)")
	}
	if (first && own != "" && (getline line < ("src/" own)) > 0)
		bad("a .c includes its own header first: \"" own "\"")
	first = 0
}

END { exit failed }
