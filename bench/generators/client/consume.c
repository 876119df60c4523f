// Reads a topic from its beginning with one or many consumers that share its partitions.
#include "client.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 1000, PATIENCE = 30 };

struct consumer {
  const struct options *options;
  rd_kafka_t *client;
  rd_kafka_topic_partition_list_t *partitions;
  pthread_t thread;
  double bytes;
  double last; // when the last record came
};

static atomic_long seen;
static atomic_long failed;
static _Atomic double oldest; // when any consumer first had a record
static _Atomic double newest; // when one last had
static double started;

static bool finished(const struct consumer *c) {
  const struct options *o = c->options;
  double time = now();
  if (o->records > 0 && atomic_load(&seen) >= o->records) return true;
  double first = atomic_load(&oldest);
  // The time limit is for reading; a broker that is slow to begin is waited for.
  if (o->seconds > 0 && (first > 0 ? time - first > o->seconds : time - started > PATIENCE)) return true;
  double last = atomic_load(&newest);
  // Before the first record the wait is longer; a consumer of an empty partition ends with the others.
  return o->idle > 0 && (last > 0 ? time - last > o->idle : time - started > PATIENCE);
}

static void *run_consumer(void *argument) {
  struct consumer *c = argument;
  rd_kafka_assign(c->client, c->partitions);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(c->client);
  rd_kafka_message_t *batch[BATCH];
  while (!finished(c)) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 5, batch, BATCH);
    long good = 0;
    for (ssize_t i = 0; i < n; i++) {
      if (!batch[i]->err) {
        good++;
        c->bytes += batch[i]->len;
      } else if (atomic_fetch_add(&failed, 1) == 0) {
        fprintf(stderr, "client: consuming failed: %s\n", rd_kafka_message_errstr(batch[i]));
      }
      rd_kafka_message_destroy(batch[i]);
    }
    if (good > 0) {
      atomic_store(&newest, c->last = now());
      double none = 0;
      atomic_compare_exchange_strong(&oldest, &none, c->last);
    }
    atomic_fetch_add(&seen, good);
  }
  // The last statistics, which count the last requests.
  for (double end = now(); now() < end + 1.5 * STATISTICS_MS / 1000;) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 5, batch, BATCH);
    for (ssize_t i = 0; i < n; i++) rd_kafka_message_destroy(batch[i]);
  }
  rd_kafka_queue_destroy(queue);
  return NULL;
}

static void start_consumer(struct consumer *c, const struct options *options, int index) {
  rd_kafka_conf_t *conf = configuration(options);
  set_property(conf, "group.id", "bench");
  set_property(conf, "enable.auto.commit", "false");
  count_requests(conf);
  c->options = options;
  c->client = start_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(c->client);
  rd_kafka_topic_destroy(open_topic(c->client, options));
  c->partitions = rd_kafka_topic_partition_list_new(options->partitions);
  // The processes take turns, so that each has some where there are fewer partitions than threads.
  int first = index * options->parts + options->part;
  for (int p = first; p < options->partitions; p += options->clients * options->parts)
    rd_kafka_topic_partition_list_add(c->partitions, options->topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
}

int consume(const struct options *options) {
  struct consumer *consumers = calloc(options->clients, sizeof *consumers);
  for (int i = 0; i < options->clients; i++) start_consumer(&consumers[i], options, i);
  started = wait_for_go();
  double cpu = cpu_seconds();
  for (int i = 0; i < options->clients; i++) pthread_create(&consumers[i].thread, NULL, run_consumer, &consumers[i]);
  double bytes = 0;
  double until = started;
  for (int i = 0; i < options->clients; i++) {
    pthread_join(consumers[i].thread, NULL);
    bytes += consumers[i].bytes;
    if (consumers[i].last > until) until = consumers[i].last;
  }
  printf("{\"records\":%ld,\"bytes\":%.0f,\"seconds\":%.4f,\"clientCpu\":%.3f,\"failed\":%ld,\"requests\":%ld}\n", atomic_load(&seen), bytes,
         until - started, cpu_seconds() - cpu, atomic_load(&failed), requests_sent());
  fflush(stdout);
  // A process that ends is quicker than the orderly close of many consumers, and nobody waits for these.
  if (atomic_load(&seen) == 0) fprintf(stderr, "client: no record came\n");
  _exit(atomic_load(&failed) == 0 && atomic_load(&seen) > 0 ? 0 : 1);
}
