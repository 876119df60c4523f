// How long a consumer group takes to settle: when it forms, when a member joins, and when a member leaves.
#include "client.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct member {
  rd_kafka_t *client;
  pthread_t thread;
  int partitions; // assigned at the moment
  bool leaving;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct member *members;
static double last_change;

static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *partitions, void *opaque) {
  struct member *member = opaque;
  bool assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  rd_kafka_assign(client, assigned ? partitions : NULL);
  pthread_mutex_lock(&lock);
  member->partitions = assigned ? partitions->cnt : 0;
  last_change = now();
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

static void *run_member(void *argument) {
  struct member *member = argument;
  while (!member->leaving) {
    rd_kafka_message_t *message = rd_kafka_consumer_poll(member->client, 50);
    if (message) rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(member->client);
  return NULL;
}

static void join(const struct options *options, int index) {
  struct member *member = &members[index];
  rd_kafka_conf_t *conf = configuration(options);
  set_property(conf, "group.id", options->topic);
  set_property(conf, "enable.auto.commit", "false");
  rd_kafka_conf_set_opaque(conf, member);
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  member->client = start_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(member->client);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, options->topic, RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(member->client, list);
  rd_kafka_topic_partition_list_destroy(list);
  pthread_create(&member->thread, NULL, run_member, member);
}

/** Waits until the first `count` members share all partitions and each has some; returns when the last assignment came. */
static double settled(const struct options *options, int count) {
  double deadline = now() + 90;
  pthread_mutex_lock(&lock);
  for (;;) {
    int total = 0, idle = 0;
    for (int i = 0; i < count; i++) {
      total += members[i].partitions;
      idle += members[i].partitions == 0;
    }
    if (total == options->partitions && idle == 0) break;
    if (now() > deadline) die("the group did not settle within 90 s");
    struct timespec wait;
    clock_gettime(CLOCK_REALTIME, &wait);
    wait.tv_sec += 1;
    pthread_cond_timedwait(&changed, &lock, &wait);
  }
  double time = last_change;
  pthread_mutex_unlock(&lock);
  return time;
}

int group(const struct options *options) {
  int count = options->clients;
  members = calloc(count, sizeof *members);
  double from = wait_for_go();
  for (int i = 0; i < count - 1; i++) join(options, i);
  double formed = settled(options, count - 1) - from;
  from = now();
  join(options, count - 1);
  double joined = settled(options, count) - from;
  from = now();
  members[count - 1].leaving = true;
  double left = settled(options, count - 1) - from;
  printf("{\"formSeconds\":%.3f,\"joinSeconds\":%.3f,\"leaveSeconds\":%.3f}\n", formed, joined, left);
  fflush(stdout);
  for (int i = 0; i < count - 1; i++) members[i].leaving = true;
  for (int i = 0; i < count; i++) pthread_join(members[i].thread, NULL);
  _exit(0);
}
