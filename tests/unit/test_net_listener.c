#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include "net/inherit.h"
#include "net_ends.h"

static struct address
unix_address(const char *path)
{
	char text[128];
	struct address a;

	snprintf(text, sizeof(text), "unix:%s", path);
	assert_true(address_parse_listen(span_str(text), &a));
	return a;
}

static void
socket_path(char *out, size_t size)
{
	snprintf(out, size, "/tmp/postern-unit-l%d.sock", (int)getpid());
	unlink(out);
}

static struct listener *
open_unix(struct loop *l, struct door *d, const char *path, unsigned mode, const char **detail)
{
	struct listener_options o = {.unix_mode = mode};
	struct address a = unix_address(path);

	*d = (struct door){.loop = l};
	return d->l = listener_open(l, &a, &o, door_accepted, d, detail);
}

static void
every_client_is_handed_over(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int peers[10];

	UNUSED(state);
	door_open(&d, l, NULL);
	for (int i = 0; i < 10; i++)
		peers[i] = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 10);
	for (int i = 0; i < 10; i++)
		close(peers[i]);
	door_close(&d);
	loop_free(l);
}

static void
a_port_in_use_is_said_so(void **state)
{
	struct loop *l = loop_new();
	struct listener_options o = {0};
	const char *detail = NULL;
	struct door d;

	UNUSED(state);
	door_open(&d, l, NULL);
	assert_null(listener_open(l, listener_address(d.l), &o, door_accepted, &d, &detail));
	assert_string_equal(detail, "address already in use");
	door_close(&d);
	loop_free(l);
}

static void
a_foreign_address_is_said_so(void **state)
{
	struct loop *l = loop_new();
	struct listener_options o = {0};
	const char *detail = NULL;
	struct address a;

	UNUSED(state);
	assert_true(address_parse_listen(SPAN_LIT("192.0.2.1:0"), &a));
	assert_null(listener_open(l, &a, &o, door_accepted, NULL, &detail));
	assert_string_equal(detail, "address not available");
	loop_free(l);
}

/* SO_REUSEADDR: connections of the one before may linger in TIME_WAIT. */
static void
a_port_is_free_again_at_once(void **state)
{
	struct loop *l = loop_new();
	struct listener_options o = {0};
	const char *detail = NULL;
	struct address a;
	struct door d;
	size_t total;
	int peer;

	UNUSED(state);
	door_open(&d, l, NULL);
	a = *listener_address(d.l);
	peer = peer_connect(&a);
	RUN_UNTIL(l, d.n == 1);
	CALL(stream_close(d.ends[0].s)); /* the active close waits */
	assert_int_equal(peer_read_all(l, peer, &total), 0);
	close(peer);
	door_close(&d);
	run_turns(l, 3);
	memset(&d, 0, sizeof(d));
	d.loop = l;
	d.l = listener_open(l, &a, &o, door_accepted, &d, &detail);
	assert_non_null(d.l);
	door_close(&d);
	loop_free(l);
}

/* 32 */
static void
a_paused_listener_parks_and_a_resumed_one_goes_on(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int peers[3];

	UNUSED(state);
	door_open(&d, l, NULL);
	CALL(listener_pause(d.l));
	CALL(listener_pause(d.l));
	for (int i = 0; i < 3; i++)
		peers[i] = peer_connect(listener_address(d.l)); /* the kernel takes them */
	run_turns(l, 20);
	assert_int_equal(d.n, 0);
	CALL(listener_resume(d.l));
	CALL(listener_resume(d.l));
	assert_int_equal(d.n, 0); /* not inside the call */
	RUN_UNTIL(l, d.n == 3);
	for (int i = 0; i < 3; i++)
		close(peers[i]);
	door_close(&d);
	loop_free(l);
}

static void
a_listener_closes_with_a_client_parked(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int peer;

	UNUSED(state);
	door_open(&d, l, NULL);
	CALL(listener_pause(d.l));
	peer = peer_connect(listener_address(d.l));
	run_turns(l, 5);
	CALL(listener_resume(d.l));
	door_close(&d);
	close(peer);
	loop_free(l);
	assert_int_equal(d.n, 0);
}

/* It has bytes to read but no address: it must not pass for a local one. */
static void
a_client_gone_before_it_is_accepted_is_not_handed_over(void **state)
{
	struct loop *l = loop_new();
	struct door d;
	int gone, here;

	UNUSED(state);
	door_open(&d, l, NULL);
	gone = peer_connect(listener_address(d.l));
	peer_send(gone, "DELETE / HTTP/1.1\r\n");
	peer_reset(gone);
	here = peer_connect(listener_address(d.l));
	RUN_UNTIL(l, d.n == 1);
	assert_true(address_is_loopback(stream_peer(d.ends[0].s)));
	assert_int_equal(d.ends[0].n, 0);
	close(here);
	door_close(&d);
	loop_free(l);
}

/* 33 */
static void
running_out_of_descriptors_neither_spins_nor_kills(void **state)
{
	struct loop *l = loop_new();
	struct rlimit old, low;
	struct timer t = {0};
	bool over = false;
	uv_metrics_t before, after;
	struct door d;
	int peers[8], last;
	unsigned taken;

	UNUSED(state);
	door_open(&d, l, NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (int i = 0; i < 8; i++)
		peers[i] = peer_connect(listener_address(d.l));
	low = old;
	low.rlim_cur = (rlim_t)peers[7] + 4; /* three more */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(uv_metrics_info(&l->uv, &before), 0);
	timer_start(l, &t, 30, net_give_up, &over);
	RUN_UNTIL(l, over);
	assert_int_equal(uv_metrics_info(&l->uv, &after), 0);
	assert_true(after.loop_count - before.loop_count < 60);
	taken = d.n;
	assert_int_equal(taken, 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	last = peer_connect(listener_address(d.l)); /* and it goes on */
	RUN_UNTIL(l, d.n > taken);
	close(last);
	for (int i = 0; i < 8; i++)
		close(peers[i]);
	door_close(&d);
	loop_free(l);
}

/* ---- Unix sockets ---- */

static void
a_unix_socket_has_the_mode_asked_for_and_goes_with_its_listener(void **state)
{
	static const unsigned modes[] = {0600, 0666, 0660};
	struct loop *l = loop_new();
	char path[100];
	const char *detail;
	struct door d;
	struct stat st;

	UNUSED(state);
	socket_path(path, sizeof(path));
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		assert_non_null(open_unix(l, &d, path, modes[i], &detail));
		assert_int_equal(lstat(path, &st), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 0777, modes[i]);
		door_close(&d);
		assert_int_not_equal(lstat(path, &st), 0);
	}
	loop_free(l);
}

static void
a_stale_socket_file_is_replaced(void **state)
{
	struct loop *l = loop_new();
	char path[100];
	const char *detail;
	struct address a;
	struct door d;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	UNUSED(state);
	socket_path(path, sizeof(path));
	a = unix_address(path);
	assert_int_equal(bind(fd, address_sockaddr(&a), a.len), 0);
	close(fd); /* as after kill -9 */
	assert_non_null(open_unix(l, &d, path, 0600, &detail));
	peer = peer_connect(&a);
	RUN_UNTIL(l, d.n == 1);
	close(peer);
	door_close(&d);
	loop_free(l);
}

static void
a_socket_in_use_or_another_file_is_left_alone(void **state)
{
	struct loop *l = loop_new();
	char path[100];
	const char *detail = NULL;
	struct door first, second;
	struct stat st;
	int fd;

	UNUSED(state);
	socket_path(path, sizeof(path));
	assert_non_null(open_unix(l, &first, path, 0600, &detail));
	assert_null(open_unix(l, &second, path, 0600, &detail));
	assert_string_equal(detail, "address already in use");
	assert_int_equal(lstat(path, &st), 0);
	door_close(&first);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_null(open_unix(l, &second, path, 0600, &detail));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);
	loop_free(l);
}

static void
the_file_of_a_successor_is_not_removed(void **state)
{
	struct loop *l = loop_new();
	char path[100];
	const char *detail;
	struct door first, second;
	struct stat st;

	UNUSED(state);
	socket_path(path, sizeof(path));
	assert_non_null(open_unix(l, &first, path, 0600, &detail));
	unlink(path);
	assert_non_null(open_unix(l, &second, path, 0600, &detail));
	door_close(&first);
	assert_int_equal(lstat(path, &st), 0);
	door_close(&second);
	assert_int_not_equal(lstat(path, &st), 0);
	loop_free(l);
}

static void
a_directory_that_is_missing_is_said_so(void **state)
{
	struct loop *l = loop_new();
	const char *detail = NULL;
	struct door d;

	UNUSED(state);
	assert_null(open_unix(l, &d, "/nonexistent/x.sock", 0600, &detail));
	assert_string_equal(detail, "no such file or directory");
	loop_free(l);
}

/* ---- sockets of others ---- */

static struct listener *
open_inherited(struct loop *l, struct door *d, const struct address *a, int fd)
{
	struct listener_options o = {.is_inherited = true, .fd = fd};
	const char *detail;

	*d = (struct door){.loop = l};
	return d->l = listener_open(l, a, &o, door_accepted, d, &detail);
}

static void
none_is_lost_between_one_that_lets_go_and_one_that_takes_over(void **state)
{
	struct loop *l = loop_new();
	struct door old, new;
	struct address a;
	int peers[6];

	UNUSED(state);
	door_open(&old, l, NULL);
	a = *listener_address(old.l);
	CALL(listener_pause(old.l));
	for (int i = 0; i < 3; i++)
		peers[i] = peer_connect(&a);
	run_turns(l, 5); /* one is parked, two wait in the kernel */
	assert_non_null(open_inherited(l, &new, &a, fcntl(listener_fd(old.l), F_DUPFD_CLOEXEC, 3)));
	CALL(listener_release(old.l));
	assert_int_equal(old.n, 0); /* not inside the call */
	for (int i = 3; i < 6; i++)
		peers[i] = peer_connect(&a);
	RUN_UNTIL(l, old.n + new.n == 6);
	assert_int_equal(old.n, 1);
	door_close(&old);
	close(peer_connect(&a));
	RUN_UNTIL(l, new.n == 6);
	for (int i = 0; i < 6; i++)
		close(peers[i]);
	door_close(&new);
	loop_free(l);
}

static void
a_file_that_was_handed_over_stays(void **state)
{
	struct loop *l = loop_new();
	char path[100];
	const char *detail;
	struct door old, new;
	struct address a;
	struct stat st;

	UNUSED(state);
	socket_path(path, sizeof(path));
	a = unix_address(path);
	assert_non_null(open_unix(l, &old, path, 0600, &detail));
	assert_non_null(open_inherited(l, &new, &a, fcntl(listener_fd(old.l), F_DUPFD_CLOEXEC, 3)));
	CALL(listener_release(old.l));
	door_close(&old);
	run_turns(l, 5);
	assert_int_equal(lstat(path, &st), 0);
	close(peer_connect(&a));
	RUN_UNTIL(l, new.n == 1);
	door_close(&new); /* it is this one's now */
	assert_int_not_equal(lstat(path, &st), 0);
	loop_free(l);
}

/* ---- the set of them ---- */

static int
listening_socket(struct address *a)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	assert_true(address_from_sockaddr(a, (struct sockaddr *)&at, n));
	return fd;
}

static void
an_inherited_socket_is_found_by_its_words_then_by_its_address(void **state)
{
	struct inherited *in = calloc(1, sizeof(*in));
	struct inherited_socket *s;
	struct address a[3], other;

	UNUSED(state);
	for (int i = 0; i < 2; i++)
		assert_null(inherited_add(in, listening_socket(&a[i]), "127.0.0.1:0"));
	assert_null(inherited_add(in, listening_socket(&a[2]), NULL));
	assert_true(address_parse_listen(SPAN_LIT("127.0.0.1:1"), &other));
	assert_null(inherited_find(in, "127.0.0.1:1", &other));
	s = inherited_find(in, "one", &a[2]);
	assert_ptr_equal(s, &in->v[2]);
	close(s->fd);
	s->fd = -1;
	assert_null(inherited_find(in, "one", &a[2])); /* each once */
	s = inherited_find(in, "127.0.0.1:0", &other);
	assert_ptr_equal(s, &in->v[0]);
	assert_ptr_equal(inherited_left(in), &in->v[0]);
	inherited_close(in);
	assert_null(inherited_left(in));
	free(in);
}

static void
what_is_no_listening_socket_is_refused_and_so_is_one_too_many(void **state)
{
	struct inherited *in = calloc(1, sizeof(*in));
	struct address a;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), udp;

	UNUSED(state);
	assert_non_null(inherited_add(in, fd, NULL));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_non_null(inherited_add(in, udp, NULL));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_non_null(inherited_add(in, fd, NULL));
	for (int i = 0; i < INHERITED_MAX; i++)
		assert_null(inherited_add(in, listening_socket(&a), NULL));
	assert_non_null(inherited_add(in, listening_socket(&a), NULL));
	assert_int_equal(in->n, INHERITED_MAX);
	inherited_close(in);
	free(in);
}

static void
descriptors_go_over_a_socket(void **state)
{
	int ends[2], fds[3], got[4];
	char bytes[16];
	size_t n = COUNT_OF(got);
	struct stat a, b;

	UNUSED(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	for (int i = 0; i < 3; i++)
		fds[i] = open(i == 1 ? "/" : "/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(pass_send(ends[0], SPAN_LIT("hello"), fds, 3));
	assert_int_equal(pass_receive(ends[1], bytes, sizeof(bytes), got, &n), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(n, 3);
	assert_int_equal(fstat(fds[1], &a), 0);
	assert_int_equal(fstat(got[1], &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 3; i++)
		close(got[i]);
	/* more than there is room for: none is kept */
	assert_true(pass_send(ends[0], SPAN_LIT("hello"), fds, 3));
	n = 2;
	assert_int_equal(pass_receive(ends[1], bytes, sizeof(bytes), got, &n), -1);
	assert_int_equal(n, 0);
	assert_int_equal(fcntl(got[0], F_GETFD), -1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(ends[0]);
	close(ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_client_is_handed_over),
	    cmocka_unit_test(a_port_in_use_is_said_so),
	    cmocka_unit_test(a_foreign_address_is_said_so),
	    cmocka_unit_test(a_port_is_free_again_at_once),
	    cmocka_unit_test(a_paused_listener_parks_and_a_resumed_one_goes_on),
	    cmocka_unit_test(a_listener_closes_with_a_client_parked),
	    cmocka_unit_test(a_client_gone_before_it_is_accepted_is_not_handed_over),
	    cmocka_unit_test(running_out_of_descriptors_neither_spins_nor_kills),
	    cmocka_unit_test(a_unix_socket_has_the_mode_asked_for_and_goes_with_its_listener),
	    cmocka_unit_test(a_stale_socket_file_is_replaced),
	    cmocka_unit_test(a_socket_in_use_or_another_file_is_left_alone),
	    cmocka_unit_test(the_file_of_a_successor_is_not_removed),
	    cmocka_unit_test(a_directory_that_is_missing_is_said_so),
	    cmocka_unit_test(none_is_lost_between_one_that_lets_go_and_one_that_takes_over),
	    cmocka_unit_test(a_file_that_was_handed_over_stays),
	    cmocka_unit_test(an_inherited_socket_is_found_by_its_words_then_by_its_address),
	    cmocka_unit_test(what_is_no_listening_socket_is_refused_and_so_is_one_too_many),
	    cmocka_unit_test(descriptors_go_over_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
