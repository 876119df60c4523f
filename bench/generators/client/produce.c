// As much as the broker takes, from one or many producers, until the limit of time, bytes or records.
#include "client.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 256, POLL_EVERY = 64 };

struct producer {
  const struct options *options;
  const struct pool *pool;
  rd_kafka_t *client;
  rd_kafka_topic_t *topic;
  pthread_t thread;
  double deadline;
  long limit;
  long sent;
  double finished;
};

static atomic_long failed;

static void on_failure(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
  (void)client;
  (void)opaque;
  if (message->err && atomic_fetch_add(&failed, 1) == 0)
    fprintf(stderr, "client: delivery failed: %s\n", rd_kafka_err2str(message->err));
}

/** Small records go in batches, which spares a lock a record; returns how many the queue took. */
static int produce_some(struct producer *p, int wanted) {
  rd_kafka_message_t messages[BATCH];
  long keys[BATCH];
  for (int i = 0; i < wanted; i++) {
    messages[i] = (rd_kafka_message_t){.payload = value_at(p->pool, p->sent + i), .len = p->options->size};
    if (p->options->keys == 0) continue;
    keys[i] = (p->sent + i) % p->options->keys;
    messages[i].key = &keys[i];
    messages[i].key_len = sizeof keys[i];
  }
  int taken = rd_kafka_produce_batch(p->topic, RD_KAFKA_PARTITION_UA, 0, messages, wanted);
  // A full queue has room again; a record that is too large stays so.
  for (int i = 0; taken < wanted && i < wanted; i++)
    if (messages[i].err && messages[i].err != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(messages[i].err));
  return taken;
}

static void *run_producer(void *argument) {
  struct producer *p = argument;
  int batch = p->options->size <= 10000 ? BATCH : 1;
  for (long polled = 0; p->sent < p->limit && now() < p->deadline;) {
    int wanted = p->limit - p->sent < batch ? (int)(p->limit - p->sent) : batch;
    int taken = produce_some(p, wanted);
    p->sent += taken;
    // A full queue is waited for without spinning: the two sides share the cores.
    bool full = taken < wanted;
    if (full || ++polled % POLL_EVERY == 0) rd_kafka_poll(p->client, full ? 1 : 0);
  }
  while (rd_kafka_outq_len(p->client) > 0) rd_kafka_poll(p->client, 1);
  p->finished = now();
  // The last statistics, which count the last requests.
  while (now() < p->finished + 1.5 * STATISTICS_MS / 1000) rd_kafka_poll(p->client, 10);
  return NULL;
}

static void start_producer(struct producer *p, const struct options *options, const struct pool *pool) {
  rd_kafka_conf_t *conf = configuration(options);
  set_property(conf, "delivery.report.only.error", "true");
  rd_kafka_conf_set_dr_msg_cb(conf, on_failure);
  count_requests(conf);
  p->options = options;
  p->pool = pool;
  p->client = start_client(RD_KAFKA_PRODUCER, conf);
  p->topic = open_topic(p->client, options);
}

/** The share of one of the clients; the first ones take what does not divide. */
static long record_limit(const struct options *options, int index) {
  double limit = options->records > 0 ? (double)options->records : 9e15;
  if (options->bytes > 0 && options->bytes / options->size < limit) limit = options->bytes / options->size + 1;
  long total = (long)limit;
  return total / options->clients + (index < total % options->clients);
}

int produce(const struct options *options) {
  struct pool pool = make_pool(options);
  struct producer *producers = calloc(options->clients, sizeof *producers);
  for (int i = 0; i < options->clients; i++) start_producer(&producers[i], options, &pool);
  double from = wait_for_go();
  double cpu = cpu_seconds();
  for (int i = 0; i < options->clients; i++) {
    producers[i].limit = record_limit(options, i);
    producers[i].deadline = options->seconds > 0 ? from + options->seconds : from + 1e9;
    pthread_create(&producers[i].thread, NULL, run_producer, &producers[i]);
  }
  long sent = 0;
  double until = from;
  for (int i = 0; i < options->clients; i++) {
    pthread_join(producers[i].thread, NULL);
    sent += producers[i].sent;
    if (producers[i].finished > until) until = producers[i].finished;
  }
  long delivered = sent - atomic_load(&failed);
  printf("{\"records\":%ld,\"bytes\":%.0f,\"seconds\":%.4f,\"clientCpu\":%.3f,\"failed\":%ld,\"requests\":%ld}\n", delivered,
         (double)delivered * options->size, until - from, cpu_seconds() - cpu, atomic_load(&failed), requests_sent());
  fflush(stdout);
  // Everything is delivered; a process that ends is quicker than the orderly close of many clients.
  _exit(atomic_load(&failed) == 0 ? 0 : 1);
}
