/* Targets: the parts are the whole, segments are the path, no decoded segment is a dot segment. */
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_path(struct span path)
{
	struct span rest = path, segment;
	char plain[4];

	CHK(path.n > 0 && path.p[0] == '/');
	while (path_next(&rest, &segment)) {
		size_t n = percent_decode(segment, plain, sizeof(plain));

		CHK(segment.p + segment.n == rest.p);
		CHK(!span_eq(span_of(plain, n), SPAN_LIT(".")));
		CHK(!span_eq(span_of(plain, n), SPAN_LIT("..")));
	}
	CHK(rest.p == path.p + path.n);
}

static void
check_query(struct span query)
{
	struct span rest = query, name, value;
	const char *at = query.p;

	while (query_next(&rest, &name, &value)) {
		CHK(name.p >= at && span_find(name, '=') == name.n);
		CHK(value.p == NULL || value.p == name.p + name.n + 1);
		at = value.p == NULL ? name.p + name.n : value.p + value.n;
		CHK(at <= query.p + query.n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span raw = span_of(data, size), name, port;
	struct target t;

	if (host_parse(raw, &name, &port))
		CHK(name.n + (port.p == NULL ? 0 : port.n + 1) == raw.n);
	if (target_parse(raw, &t) != E_OK)
		return 0;
	CHK(t.query.p == NULL || t.query.p + t.query.n == raw.p + raw.n);
	CHK(t.authority.n > 0 || t.path.p == raw.p);
	CHK(t.authority.n == 0 || host_parse(t.authority, &name, &port));
	check_path(t.path);
	check_query(t.query);
	return 0;
}
