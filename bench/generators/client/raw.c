// Single-record Produce requests (version 7) over plain sockets, all with the same bytes: the cheapest client there can be, so that the rate of small
// requests is the broker's. One thread for all connections.
#include "client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct bytes {
  unsigned char *at;
  size_t length;
};

static void put(struct bytes *b, uint64_t value, int width) {
  for (int i = width - 1; i >= 0; i--) b->at[b->length++] = (unsigned char)(value >> (8 * i));
}

static void put_text(struct bytes *b, const char *text) {
  put(b, strlen(text), 2);
  memcpy(b->at + b->length, text, strlen(text));
  b->length += strlen(text);
}

static void put_varint(struct bytes *b, int64_t value) {
  uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
  for (; zigzag >= 128; zigzag >>= 7) b->at[b->length++] = (unsigned char)(zigzag | 128);
  b->at[b->length++] = (unsigned char)zigzag;
}

static uint32_t crc32c(const unsigned char *data, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

static void put_at(struct bytes *b, size_t at, uint32_t value) {
  struct bytes view = {b->at + at, 0};
  put(&view, value, 4);
}

static void put_record(struct bytes *b, const void *value, size_t size) {
  struct bytes record = {malloc(size + 32), 0};
  put(&record, 0, 1);        // attributes
  put_varint(&record, 0);    // timestamp delta
  put_varint(&record, 0);    // offset delta
  put_varint(&record, -1);   // no key
  put_varint(&record, (int64_t)size);
  memcpy(record.at + record.length, value, size);
  record.length += size;
  put_varint(&record, 0); // headers
  put_varint(b, (int64_t)record.length);
  memcpy(b->at + b->length, record.at, record.length);
  b->length += record.length;
  free(record.at);
}

static void put_batch(struct bytes *b, const void *value, size_t size) {
  put(b, 0, 8); // base offset
  size_t length_at = b->length;
  put(b, 0, 4);
  put(b, 0, 4); // leader epoch
  put(b, 2, 1); // magic
  size_t crc_at = b->length;
  put(b, 0, 4);
  size_t covered = b->length;
  put(b, 0, 2); // attributes
  put(b, 0, 4); // last offset delta
  // Records of long ago would be retention's to remove meanwhile.
  uint64_t milliseconds = (uint64_t)time(NULL) * 1000;
  put(b, milliseconds, 8);
  put(b, milliseconds, 8);
  put(b, UINT64_MAX, 8); // producer id
  put(b, 0xffff, 2);     // producer epoch
  put(b, 0xffffffff, 4); // base sequence
  put(b, 1, 4);          // records
  put_record(b, value, size);
  put_at(b, length_at, (uint32_t)(b->length - length_at - 4));
  put_at(b, crc_at, crc32c(b->at + covered, b->length - covered));
}

/** A whole frame for one partition; the correlation id stays 0, since answers come in order. */
static struct bytes request(const struct options *options, const void *value, int partition) {
  struct bytes b = {malloc(options->size + 512), 0};
  put(&b, 0, 4); // frame length
  put(&b, 0, 2); // Produce
  put(&b, 7, 2);
  put(&b, 0, 4);
  put_text(&b, "bench");
  put(&b, 0xffff, 2); // no transactional id
  put(&b, 1, 2);      // acks
  put(&b, 30000, 4);
  put(&b, 1, 4); // topics
  put_text(&b, options->topic);
  put(&b, 1, 4); // partitions
  put(&b, partition, 4);
  size_t records_at = b.length;
  put(&b, 0, 4);
  put_batch(&b, value, options->size);
  put_at(&b, records_at, (uint32_t)(b.length - records_at - 4));
  put_at(&b, 0, (uint32_t)(b.length - 4));
  return b;
}

struct connection {
  struct bytes frame;
  int in_flight;
  unsigned char answer[65536];
  size_t have;
};

/** The first address of the host where somebody listens; an IPv6 address is in brackets. */
static int dial(const char *bootstrap) {
  char *copy = strdup(bootstrap), *host = copy;
  char *colon = strrchr(host, ':');
  if (!colon) die("bootstrap is host:port");
  *colon = 0;
  if (*host == '[' && colon[-1] == ']') {
    colon[-1] = 0;
    host++;
  }
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  if (getaddrinfo(host, colon + 1, &hints, &found) != 0) die("the host is unknown");
  int fd = -1;
  for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) == 0) continue;
    close(fd);
    fd = -1;
  }
  if (fd < 0) die(strerror(errno));
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  freeaddrinfo(found);
  free(copy);
  return fd;
}

static void fill(int fd, struct connection *c, int depth) {
  for (; c->in_flight < depth; c->in_flight++) {
    for (size_t done = 0; done < c->frame.length;) {
      ssize_t n = send(fd, c->frame.at + done, c->frame.length - done, MSG_NOSIGNAL);
      if (n <= 0) die("the broker closed the connection");
      done += (size_t)n;
    }
  }
}

static uint32_t word(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/** Takes whole answers; the error code, which stands after correlation id, counts, topic and partition, goes to `code` when it is not 0. */
static long take(int fd, struct connection *c, size_t topic_length, int *code) {
  ssize_t n = recv(fd, c->answer + c->have, sizeof c->answer - c->have, 0);
  if (n <= 0) die("the broker closed the connection");
  c->have += (size_t)n;
  long answers = 0;
  size_t at = 0;
  for (; c->have - at >= 4 && c->have - at >= 4 + word(c->answer + at); at += 4 + word(c->answer + at)) {
    const unsigned char *error = c->answer + at + 4 + 4 + 4 + 2 + topic_length + 4 + 4;
    if (error[0] || error[1]) *code = error[0] << 8 | error[1];
    answers++;
  }
  memmove(c->answer, c->answer + at, c->have - at);
  c->have -= at;
  c->in_flight -= (int)answers;
  return answers;
}

static void fail(int code) {
  fprintf(stderr, "client: the broker answered error %d\n", code);
  exit(1);
}

/** One request until it succeeds: the leader of a new partition may need a moment. */
static void first_request(int fd, struct connection *c, size_t topic_length) {
  for (double from = now();;) {
    int code = 0;
    fill(fd, c, 1);
    while (c->in_flight > 0) take(fd, c, topic_length, &code);
    if (code == 0) return;
    if (now() - from > 30) fail(code);
    usleep(50000);
  }
}

int raw(const struct options *options) {
  struct pool pool = make_pool(options);
  int count = options->clients;
  struct pollfd *polled = calloc(count, sizeof *polled);
  struct connection *connections = calloc(count, sizeof *connections);
  for (int i = 0; i < count; i++) {
    polled[i] = (struct pollfd){dial(options->bootstrap), POLLIN, 0};
    connections[i].frame = request(options, value_at(&pool, i), i % options->partitions);
  }
  size_t topic_length = strlen(options->topic);
  for (int i = 0; i < count; i++) first_request(polled[i].fd, &connections[i], topic_length);
  double from = wait_for_go(), cpu = cpu_seconds();
  long answers = 0;
  int code = 0;
  while (now() - from < options->seconds && (options->records == 0 || answers < options->records)) {
    for (int i = 0; i < count; i++) fill(polled[i].fd, &connections[i], options->depth);
    if (poll(polled, count, 1000) < 0) die(strerror(errno));
    for (int i = 0; i < count; i++)
      if (polled[i].revents) answers += take(polled[i].fd, &connections[i], topic_length, &code);
    if (code) fail(code);
  }
  double seconds = now() - from;
  printf("{\"records\":%ld,\"bytes\":%.0f,\"seconds\":%.4f,\"clientCpu\":%.3f,\"failed\":0,\"requests\":%ld}\n", answers,
         (double)answers * options->size, seconds, cpu_seconds() - cpu, answers);
  fflush(stdout);
  return 0;
}
