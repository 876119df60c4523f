// Time from when a record should have been sent to when a consumer has it, at a fixed rate. The schedule does not wait for the broker, so that a pause
// is felt by every record that falls into it. The time of sending travels in the key; the value is not copied.
#include "client.h"
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_long failed;
static atomic_bool stopping;

struct times {
  float *ms;
  long count;
  long capacity;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct times times;
static atomic_long received;

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
  (void)client;
  (void)opaque;
  if (message->err && atomic_fetch_add(&failed, 1) == 0)
    fprintf(stderr, "client: delivery failed: %s\n", rd_kafka_err2str(message->err));
}

static void add_time(float ms) {
  pthread_mutex_lock(&lock);
  if (times.count == times.capacity) {
    times.capacity = times.capacity ? times.capacity * 2 : 1 << 16;
    times.ms = realloc(times.ms, times.capacity * sizeof *times.ms);
  }
  times.ms[times.count++] = ms;
  pthread_mutex_unlock(&lock);
}

static void *receive(void *argument) {
  rd_kafka_t *client = argument;
  while (!atomic_load(&stopping)) {
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 100);
    if (!message) continue;
    double sent;
    if (!message->err && message->key_len == sizeof sent) {
      memcpy(&sent, message->key, sizeof sent);
      if (sent > 0) add_time((float)((now() - sent) * 1e3));
      atomic_fetch_add(&received, 1);
    } else if (message->err && atomic_fetch_add(&failed, 1) == 0) {
      fprintf(stderr, "client: consuming failed: %s\n", rd_kafka_message_errstr(message));
    }
    rd_kafka_message_destroy(message);
  }
  return NULL;
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

/** By nearest rank, as measure/statistics.ts has it. */
static float at(const struct times *t, double part) {
  if (t->count == 0) return 0;
  long i = (long)ceil(part * t->count) - 1;
  return t->ms[i < 0 ? 0 : i];
}

/** Prints the percentiles since the last report and starts anew; `requests`: 0 where they are not counted. */
static void report(double seconds, double cpu, size_t size, long requests) {
  pthread_mutex_lock(&lock);
  struct times t = times;
  times = (struct times){0};
  pthread_mutex_unlock(&lock);
  qsort(t.ms, t.count, sizeof *t.ms, ascending);
  printf("{\"records\":%ld,\"bytes\":%.0f,\"seconds\":%.4f,\"clientCpu\":%.3f,\"failed\":%ld,\"requests\":%ld,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}\n",
         t.count, (double)t.count * size, seconds, cpu, atomic_load(&failed), requests, at(&t, 0.5), at(&t, 0.9), at(&t, 0.99), at(&t, 0.999), at(&t, 1));
  fflush(stdout);
  free(t.ms);
}

static rd_kafka_t *start_consumer(const struct options *options) {
  // The properties are the producer's; the consumer runs with its defaults, but for records that are larger than its first fetch.
  struct options plain = *options;
  plain.extra = 0;
  rd_kafka_conf_t *conf = configuration(&plain);
  set_property(conf, "group.id", "bench");
  set_property(conf, "enable.auto.commit", "false");
  if (options->count) count_requests(conf);
  rd_kafka_t *client = start_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(options->partitions);
  for (int p = 0; p < options->partitions; p++)
    rd_kafka_topic_partition_list_add(list, options->topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(client, list);
  rd_kafka_topic_partition_list_destroy(list);
  return client;
}

static void send_record(rd_kafka_t *client, rd_kafka_topic_t *topic, void *value, size_t size, int partition, double time) {
  while (rd_kafka_produce(topic, partition, 0, value, size, &time, sizeof time, NULL) != 0) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_poll(client, 1);
  }
}

static void sleep_until(double time) {
  struct timespec t = {(time_t)time, (long)((time - (time_t)time) * 1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static void wait_until_due(rd_kafka_t *client, double due) {
  if (due <= now()) return;
  rd_kafka_poll(client, 0);
  sleep_until(due);
}

static void wait_for_records(rd_kafka_t *client, long count) {
  for (double from = now(); atomic_load(&received) < count;) {
    rd_kafka_poll(client, 10);
    if (now() - from > 60) die("the first records did not come back within 60 s");
  }
}

/**
 * One record to each partition, so that everything is connected and fetching, then the lead-in at the rate of the load; all received before the
 * clock starts. A time of 0 is not counted. Returns how many records that were.
 */
static long warm_up(rd_kafka_t *client, rd_kafka_topic_t *topic, const struct options *options, const struct pool *pool) {
  if (options->commit > 0) check_transaction(rd_kafka_begin_transaction(client));
  long sent = 0;
  for (; sent < options->partitions; sent++) send_record(client, topic, value_at(pool, sent), options->size, (int)sent, 0);
  if (options->commit > 0) check_transaction(rd_kafka_commit_transaction(client, TIMEOUT_MS));
  wait_for_records(client, sent);
  double from = now();
  for (long i = 0; i < options->lead * options->rate; i++, sent++) {
    wait_until_due(client, from + i / options->rate);
    send_record(client, topic, value_at(pool, sent), options->size, (int)(sent % options->partitions), 0);
  }
  wait_for_records(client, sent);
  return sent;
}

/** Requests so far; 0 where they are not counted. The last statistics, which count the last of them, are waited for. */
static long requests_of(rd_kafka_t *client, const struct options *options) {
  if (!options->count) return 0;
  for (double end = now() + 1.5 * STATISTICS_MS / 1000; now() < end;) rd_kafka_poll(client, 10);
  return requests_sent();
}

int latency(const struct options *options) {
  struct pool pool = make_pool(options);
  rd_kafka_conf_t *conf = configuration(options);
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  if (options->count) count_requests(conf);
  bool commits = options->commit > 0;
  if (commits && options->lead > 0) die("a load of transactions has no lead-in");
  rd_kafka_t *client = commits ? start_transactional(options, conf, 0) : start_client(RD_KAFKA_PRODUCER, conf);
  rd_kafka_topic_t *topic = open_topic(client, options);
  pthread_t receiver;
  pthread_create(&receiver, NULL, receive, start_consumer(options));
  long warmed = warm_up(client, topic, options, &pool), requests = requests_of(client, options);
  double from = wait_for_go(), cpu = cpu_seconds(), reported = from, committed = from;
  long sent = 0;
  if (commits) check_transaction(rd_kafka_begin_transaction(client));
  for (; sent < options->seconds * options->rate; sent++) {
    double due = from + sent / options->rate;
    wait_until_due(client, due);
    send_record(client, topic, value_at(&pool, sent), options->size, (int)(sent % options->partitions), due);
    if (commits && now() - committed >= options->commit) {
      // The schedule goes on meanwhile: what is due waits, and counts its waiting.
      check_transaction(rd_kafka_commit_transaction(client, TIMEOUT_MS));
      committed = now();
      check_transaction(rd_kafka_begin_transaction(client));
    }
    if (options->interval > 0 && now() - reported >= options->interval) {
      report(now() - reported, cpu_seconds() - cpu, options->size, 0);
      reported = now();
    }
  }
  if (commits) check_transaction(rd_kafka_commit_transaction(client, TIMEOUT_MS));
  for (double end = now(); atomic_load(&received) < sent + warmed && now() - end < 20;) rd_kafka_poll(client, 5);
  bool complete = atomic_load(&received) >= sent + warmed;
  double seconds = now() - reported, used = cpu_seconds() - cpu;
  report(seconds, used, options->size, requests_of(client, options) - requests);
  if (!complete) fprintf(stderr, "client: %ld of %ld records came back\n", atomic_load(&received), sent + warmed);
  _exit(complete && atomic_load(&failed) == 0 ? 0 : 1);
}
