#include "client.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { POOL_SPREAD = 1 << 20, POOL_STEP = 4096, LARGE_SPREAD = 32 << 20, CHUNK = 64 };

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void die(const char *message) {
  fprintf(stderr, "client: %s\n", message);
  exit(2);
}

void set_property(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) die(error);
}

rd_kafka_conf_t *configuration(const struct options *options) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set_property(conf, "bootstrap.servers", options->bootstrap);
  for (int i = 0; i < options->extra; i++) {
    char *name = strdup(options->properties[i]);
    char *equals = strchr(name, '=');
    if (!equals) die("a librdkafka property is name=value");
    *equals = 0;
    set_property(conf, name, equals + 1);
    free(name);
  }
  return conf;
}

rd_kafka_t *start_client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
  char error[512];
  rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof error);
  if (!client) die(error);
  return client;
}

rd_kafka_topic_t *open_topic(rd_kafka_t *client, const struct options *options) {
  rd_kafka_topic_t *topic = rd_kafka_topic_new(client, options->topic, NULL);
  if (!topic) die("the topic cannot be opened");
  const rd_kafka_metadata_t *metadata;
  rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, 30000);
  if (error) die(rd_kafka_err2str(error));
  rd_kafka_metadata_destroy(metadata);
  return topic;
}

struct pool make_pool(const struct options *options) {
  struct pool pool = {NULL, 0, POOL_SPREAD, POOL_STEP};
  if (options->entropy < 1) {
    // A compressor must not find one value in another; otherwise a pool that fits into the processor's cache costs the client less.
    pool.spread = LARGE_SPREAD;
    pool.step = options->size;
  }
  pool.size = options->size + pool.spread + 8;
  pool.bytes = malloc(pool.size);
  unsigned long long x = 88172645463325252ull;
  for (size_t i = 0; i + 8 <= pool.size; i += 8) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    unsigned long long word = (double)(i % CHUNK) < options->entropy * CHUNK ? x : 0x2020202020202020ull;
    memcpy(pool.bytes + i, &word, 8);
  }
  return pool;
}

void *value_at(const struct pool *pool, long i) {
  return pool->bytes + (i * pool->step) % pool->spread;
}

double wait_for_go(void) {
  printf("ready\n");
  fflush(stdout);
  char line[16];
  if (!fgets(line, sizeof line, stdin)) die("standard input ended before the start");
  return now();
}

static atomic_long sent_requests;

/** The total is the last "tx" of the statistics; those of the brokers come before it. */
static int on_statistics(rd_kafka_t *client, char *json, size_t length, void *opaque) {
  (void)client;
  (void)length;
  long *previous = opaque;
  long total = 0;
  for (char *at = strstr(json, "\"tx\":"); at; at = strstr(at + 5, "\"tx\":")) total = atol(at + 5);
  atomic_fetch_add(&sent_requests, total - *previous);
  *previous = total;
  return 0;
}

void count_requests(rd_kafka_conf_t *conf) {
  char interval[16];
  snprintf(interval, sizeof interval, "%d", STATISTICS_MS);
  set_property(conf, "statistics.interval.ms", interval);
  rd_kafka_conf_set_stats_cb(conf, on_statistics);
  rd_kafka_conf_set_opaque(conf, calloc(1, sizeof(long)));
}

long requests_sent(void) {
  return atomic_load(&sent_requests);
}
