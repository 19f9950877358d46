# Figures of the code: length, branches and nesting of functions, lines of files. Printed, not judged.
# A function opens with "{" and closes with "}" at the start of a line; its name starts the line or follows its type.
#   awk -f tests/lint/figures.awk src/*.c src/*/*.c
function sort_up(a, n,   i, j, t) {
	for (i = 2; i <= n; i++) {
		t = a[i]
		for (j = i - 1; j > 0 && a[j] > t; j--)
			a[j + 1] = a[j]
		a[j + 1] = t
	}
}
function quantile(a, n, q,   i) {
	i = int(n * q + 0.999)
	return a[i < 1 ? 1 : i]
}
function three(title, a, n) {
	sort_up(a, n)
	printf "%-22s median %d, nine of ten up to %d, most %d\n", title, quantile(a, n, 0.5), quantile(a, n, 0.9), a[n]
}

FNR == 1 {
	files++
	inside = 0
	name = ""
}
{ size[files] = FNR }
!inside && /^[A-Za-z_].*\(/ && !/;[ \t]*$/ && !/^#/ {
	name = $0
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
}
!inside && /^\{/ && name != "" {
	inside = 1
	start = FNR
	branches = 1
	deep = 0
	next
}
inside && /^\}/ {
	n++
	length_of[n] = FNR - start - 1
	branches_of[n] = branches
	deep_of[n] = deep
	over += length_of[n] > 60
	row[n] = sprintf("%5d lines %4d branches %2d deep  %s (%s:%d)", length_of[n], branches, deep, name, FILENAME, start)
	inside = 0
	name = ""
	next
}
inside {
	line = $0
	gsub(/"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/, "", line)
	gsub(/\/\*.*\*\/|\/\/.*/, "", line)
	if (line ~ /\{[ \t]*$/) {
		match(line, /^\t*/)
		if (RLENGTH > deep)
			deep = RLENGTH
	}
	gsub(/(^|[^A-Za-z0-9_])(if|for|while|case)[^A-Za-z0-9_]|&&|\|\||\?/, "\001", line)
	branches += gsub(/\001/, "", line)
}
END {
	if (n == 0)
		exit
	for (i = 1; i <= files; i++)
		total += size[i]
	printf "%d files, %d lines, %d functions, %d of them over 60 lines\n", files, total, n, over
	sort_up(row, n)
	three("lines of a function", length_of, n)
	three("branches of a function", branches_of, n)
	three("nesting of a function", deep_of, n)
	three("lines of a file", size, files)
	print "longest:"
	for (i = n; i > n - 8 && i > 0; i--)
		print row[i]
}
