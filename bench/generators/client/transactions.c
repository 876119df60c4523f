// Transactions of so many records each, one after the other, from one or many producers, until the time is over.
#include "client.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct producer {
  const struct options *options;
  const struct pool *pool;
  rd_kafka_t *client;
  rd_kafka_topic_t *topic;
  pthread_t thread;
  double deadline;
  long committed;
};

void check_transaction(rd_kafka_error_t *error) {
  if (error) die(rd_kafka_error_string(error));
}

rd_kafka_t *start_transactional(const struct options *options, rd_kafka_conf_t *conf, int index) {
  char id[300];
  snprintf(id, sizeof id, "%s-%d", options->topic, index);
  set_property(conf, "transactional.id", id);
  rd_kafka_t *client = start_client(RD_KAFKA_PRODUCER, conf);
  check_transaction(rd_kafka_init_transactions(client, TIMEOUT_MS));
  return client;
}

static void run_transaction(struct producer *p) {
  const struct options *options = p->options;
  check_transaction(rd_kafka_begin_transaction(p->client));
  long first = p->committed * options->transaction;
  for (int i = 0; i < options->transaction; i++) {
    int partition = (int)((first + i) % options->partitions);
    while (rd_kafka_produce(p->topic, partition, 0, value_at(p->pool, first + i), options->size, NULL, 0, NULL) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(p->client, 1);
    }
  }
  check_transaction(rd_kafka_commit_transaction(p->client, TIMEOUT_MS));
  p->committed++;
}

static void *run_producer(void *argument) {
  struct producer *p = argument;
  while (now() < p->deadline) run_transaction(p);
  return NULL;
}

int transactions(const struct options *options) {
  struct pool pool = make_pool(options);
  struct producer *producers = calloc(options->clients, sizeof *producers);
  for (int i = 0; i < options->clients; i++) {
    struct producer *p = &producers[i];
    p->options = options;
    p->pool = &pool;
    p->client = start_transactional(options, configuration(options), i);
    p->topic = open_topic(p->client, options);
    run_transaction(p);
    p->committed = 0;
  }
  double from = wait_for_go(), cpu = cpu_seconds();
  for (int i = 0; i < options->clients; i++) {
    producers[i].deadline = from + options->seconds;
    pthread_create(&producers[i].thread, NULL, run_producer, &producers[i]);
  }
  long committed = 0;
  for (int i = 0; i < options->clients; i++) {
    pthread_join(producers[i].thread, NULL);
    committed += producers[i].committed;
  }
  double records = (double)committed * options->transaction;
  printf("{\"commits\":%ld,\"records\":%.0f,\"bytes\":%.0f,\"seconds\":%.4f,\"clientCpu\":%.3f}\n", committed, records,
         records * options->size, now() - from, cpu_seconds() - cpu);
  fflush(stdout);
  _exit(0);
}
