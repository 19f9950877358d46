/*
 * metric: counters, gauges and histograms, a row each in METRIC_TABLE. Written on the loop's
 * thread and by the store's writers (relaxed atomics); label values come from enums, never from peers.
 */
#ifndef OBS_METRIC_H
#define OBS_METRIC_H

#include <stdint.h>

#include "base/buf.h"

/* clang-format off */
/*  name, kind, Prometheus name, help. A counter with labels has one row a label value. */
#define METRIC_TABLE(X)                                                                            \
	X(REQ_HIT, COUNTER, "postern_requests_total{cache=\"hit\"}", "Exchanges by cache verdict.") \
	X(REQ_STALE, COUNTER, "postern_requests_total{cache=\"stale\"}", "")                       \
	X(REQ_MISS, COUNTER, "postern_requests_total{cache=\"miss\"}", "")                         \
	X(REQ_BYPASS, COUNTER, "postern_requests_total{cache=\"bypass\"}", "")                     \
	X(RESP_1XX, COUNTER, "postern_responses_total{class=\"1xx\"}", "Exchanges by class of the status sent.") \
	X(RESP_2XX, COUNTER, "postern_responses_total{class=\"2xx\"}", "")                         \
	X(RESP_3XX, COUNTER, "postern_responses_total{class=\"3xx\"}", "")                         \
	X(RESP_4XX, COUNTER, "postern_responses_total{class=\"4xx\"}", "")                         \
	X(RESP_5XX, COUNTER, "postern_responses_total{class=\"5xx\"}", "")                         \
	X(REFUSED, COUNTER, "postern_refusals_total", "Exchanges that the gateway answered with an error of its own.") \
	X(HEADERS_DROPPED, COUNTER, "postern_request_headers_dropped_total", "Request headers not forwarded because their names have an underscore.") \
	X(CLIENT_GONE, COUNTER, "postern_client_disconnects_total", "Exchanges whose client left before the end.") \
	X(FAILED_CONNECT, COUNTER, "postern_upstream_failures_total{reason=\"upstream-connect\"}", "Attempts that ended without a complete answer, by the word of postern-error.") \
	X(FAILED_CONNECT_TIMEOUT, COUNTER, "postern_upstream_failures_total{reason=\"upstream-connect-timeout\"}", "") \
	X(FAILED_DNS, COUNTER, "postern_upstream_failures_total{reason=\"upstream-dns\"}", "") \
	X(FAILED_DNS_TIMEOUT, COUNTER, "postern_upstream_failures_total{reason=\"upstream-dns-timeout\"}", "") \
	X(FAILED_ADDRESS, COUNTER, "postern_upstream_failures_total{reason=\"upstream-address\"}", "") \
	X(FAILED_PROXY, COUNTER, "postern_upstream_failures_total{reason=\"upstream-proxy\"}", "") \
	X(FAILED_TLS, COUNTER, "postern_upstream_failures_total{reason=\"upstream-tls\"}", "") \
	X(FAILED_PROTOCOL, COUNTER, "postern_upstream_failures_total{reason=\"upstream-protocol\"}", "") \
	X(FAILED_CLOSED, COUNTER, "postern_upstream_failures_total{reason=\"upstream-closed\"}", "") \
	X(FAILED_TIMEOUT, COUNTER, "postern_upstream_failures_total{reason=\"upstream-timeout\"}", "") \
	X(FAILED_OTHERWISE, COUNTER, "postern_upstream_failures_total{reason=\"other\"}", "") \
	X(UPSTREAM_CONNECTS, COUNTER, "postern_upstream_connects_total", "Connections opened towards providers.") \
	X(UPSTREAM_REUSED, COUNTER, "postern_upstream_reused_total", "Attempts on a pooled connection.") \
	X(LIMIT_HEAD, COUNTER, "postern_limit_hits_total{limit=\"head\"}", "Requests and connections that met a limit.") \
	X(LIMIT_HEADER_TIMEOUT, COUNTER, "postern_limit_hits_total{limit=\"header_timeout\"}", "") \
	X(LIMIT_TLS_TIMEOUT, COUNTER, "postern_limit_hits_total{limit=\"tls_timeout\"}", "")       \
	X(LIMIT_HANDSHAKES, COUNTER, "postern_limit_hits_total{limit=\"handshakes\"}", "")         \
	X(LIMIT_BODY_RATE, COUNTER, "postern_limit_hits_total{limit=\"body_idle\"}", "")           \
	X(LIMIT_WRITE_STALL, COUNTER, "postern_limit_hits_total{limit=\"write_stall\"}", "")       \
	X(LIMIT_CONNECTIONS, COUNTER, "postern_limit_hits_total{limit=\"connections\"}", "")       \
	X(LIMIT_ADDRESS, COUNTER, "postern_limit_hits_total{limit=\"connections_per_address\"}", "") \
	X(LIMIT_MEMORY, COUNTER, "postern_limit_hits_total{limit=\"memory\"}", "")                 \
	X(LIMIT_UPSTREAM_CONNECT, COUNTER, "postern_limit_hits_total{limit=\"upstream_connect\"}", "") \
	X(LIMIT_UPSTREAM_TIMEOUT, COUNTER, "postern_limit_hits_total{limit=\"upstream_timeout\"}", "") \
	X(BYTES_IN, COUNTER, "postern_client_received_bytes_total", "Request body bytes.")         \
	X(BYTES_OUT, COUNTER, "postern_client_sent_bytes_total", "Response body bytes.")           \
	X(TOKENS_IN, COUNTER, "postern_tokens_total{direction=\"in\"}", "Tokens that providers reported.") \
	X(TOKENS_OUT, COUNTER, "postern_tokens_total{direction=\"out\"}", "")                      \
	X(CONNECTIONS, GAUGE, "postern_client_connections", "Open client connections.")            \
	X(MEMORY, GAUGE, "postern_memory_bytes", "Memory of the process' own, as limits.memory counts it.") \
	X(EXCHANGES, GAUGE, "postern_exchanges_active", "Exchanges in progress.")                  \
	X(CACHE_BYTES, GAUGE, "postern_cache_bytes", "Size of the cache on disk.")                 \
	X(CACHE_ENTRIES, GAUGE, "postern_cache_entries", "Entries in the cache.")                  \
	X(CACHE_STORED, COUNTER, "postern_cache_stored_total", "Entries written.")                 \
	X(CACHE_EVICTED, COUNTER, "postern_cache_evicted_total", "Entries removed for room or age.") \
	X(CACHE_FAILED, COUNTER, "postern_cache_write_failures_total", "Entries that could not be written.") \
	X(LOG_WRITTEN, COUNTER, "postern_log_records_total", "Records committed to the log.")      \
	X(LOG_LOST, COUNTER, "postern_log_records_lost_total", "Records that could not be kept (disk full, queue full).") \
	X(LOG_PAYLOADS_LOST, COUNTER, "postern_log_payloads_lost_total", "Payloads that could not be kept.") \
	X(LOG_QUEUE_BYTES, GAUGE, "postern_log_queue_bytes", "Bytes waiting in the log's queue.")  \
	X(LOG_BYTES, GAUGE, "postern_log_bytes", "Size of the log on disk.")                       \
	X(LOG_PAYLOAD_BYTES, GAUGE, "postern_log_payload_bytes", "Size of the payloads in it.")    \
	X(LOG_DAMAGED, GAUGE, "postern_log_damaged_files", "Files of the log that cannot be read in full.") \
	X(LOG_FAILING, GAUGE, "postern_log_failing", "1 while the log cannot be written.")         \
	X(CERTIFICATES, GAUGE, "postern_certificates", "Certificates that the TLS listeners show.") \
	X(CERTIFICATE_EXPIRES, GAUGE, "postern_certificate_expires_seconds", "Seconds until the first of them expires; 0: it has, or there is none.") \
	X(CERTIFICATES_READ, COUNTER, "postern_certificate_reloads_total{result=\"read\"}", "Times that a listener's certificates were read again.") \
	X(CERTIFICATES_FAILED, COUNTER, "postern_certificate_reloads_total{result=\"failed\"}", "") \
	X(OVERHEAD, HIST, "postern_overhead_seconds", "Time that the gateway added before the first byte.") \
	X(DURATION, HIST, "postern_request_duration_seconds", "Time from first byte in to last byte out.") \
	X(TTFB, HIST, "postern_upstream_first_byte_seconds", "Time from the attempt's start to the provider's first byte.") \
	X(LOOP_TURN, HIST, "postern_loop_turn_seconds", "Time that one turn kept the event loop busy.") \
	X(LOOP_LONGEST_TURN, GAUGE, "postern_loop_longest_turn_microseconds", "Longest turn of the event loop since the start.")

/* clang-format on */
#define METRIC_ENUM(name, kind, prom, help) M_##name,
enum metric { METRIC_TABLE(METRIC_ENUM) METRIC_COUNT };
#undef METRIC_ENUM

void metric_add(enum metric m, uint64_t n);
void metric_set(enum metric m, uint64_t value);
void metric_sub(enum metric m, uint64_t n);         /* gauges */
void metric_observe_us(enum metric m, uint64_t us); /* histograms; microseconds */
uint64_t metric_get(enum metric m);
/* Prometheus text format 0.0.4. False when out does not hold it. */
MUST_CHECK bool metric_render(struct buf *out);

#endif
