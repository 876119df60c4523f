// A load generator on librdkafka that costs little itself.
//   client produce  <bootstrap> <topic> <record bytes> <records> [name=value ...]
//   client consume  <bootstrap> <topic> <partitions> <records> [name=value ...]
// Extra arguments are librdkafka properties. Prints one JSON line: {"records":..,"bytes":..,"seconds":..}.
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long failed = 0;
static long delivered = 0;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
  (void)client;
  (void)opaque;
  if (message->err) {
    if (failed++ == 0) fprintf(stderr, "delivery failed: %s\n", rd_kafka_err2str(message->err));
  } else {
    delivered++;
  }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK) return;
  fprintf(stderr, "%s\n", error);
  exit(2);
}

static rd_kafka_conf_t *configure(const char *bootstrap, int extra, char **properties) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  for (int i = 0; i < extra; i++) {
    char *equals = strchr(properties[i], '=');
    if (!equals) continue;
    *equals = 0;
    set(conf, properties[i], equals + 1);
  }
  return conf;
}

static rd_kafka_t *start(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
  char error[512];
  rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof error);
  if (client) return client;
  fprintf(stderr, "%s\n", error);
  exit(2);
}

static void report(long records, double bytes, double seconds) {
  printf("{\"records\":%ld,\"bytes\":%.0f,\"seconds\":%.3f}\n", records, bytes, seconds);
}

static int produce(rd_kafka_conf_t *conf, const char *topic, size_t size, long records) {
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t *client = start(RD_KAFKA_PRODUCER, conf);
  // Incompressible values out of one random pool, so that the generator costs no random numbers per record.
  size_t pool_size = size + (1 << 20);
  char *pool = malloc(pool_size);
  unsigned long long x = 88172645463325252ull;
  for (size_t i = 0; i + 8 <= pool_size; i += 8) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    memcpy(pool + i, &x, 8);
  }
  rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
  double from = now();
  for (long i = 0; i < records;) {
    char *value = pool + (i * 4096) % (1 << 20);
    if (rd_kafka_produce(handle, RD_KAFKA_PARTITION_UA, 0, value, size, NULL, 0, NULL) == 0) {
      if (++i % 64 == 0) rd_kafka_poll(client, 0);
    } else {
      rd_kafka_poll(client, 10);
    }
  }
  while (rd_kafka_outq_len(client) > 0) rd_kafka_poll(client, 100);
  report(delivered, (double)delivered * size, now() - from);
  rd_kafka_topic_destroy(handle);
  rd_kafka_destroy(client);
  free(pool);
  return failed == 0 ? 0 : 1;
}

static int consume(rd_kafka_conf_t *conf, const char *topic, int partitions, long records) {
  set(conf, "group.id", "throughput");
  set(conf, "enable.auto.commit", "false");
  rd_kafka_t *client = start(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; p++)
    rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  double from = now();
  rd_kafka_assign(client, list);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
  rd_kafka_message_t *batch[1000];
  long seen = 0;
  double bytes = 0;
  while (seen < records && now() - from < 600) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, batch, 1000);
    for (ssize_t i = 0; i < n; i++) {
      if (!batch[i]->err) {
        seen++;
        bytes += batch[i]->len;
      } else if (failed++ == 0) {
        fprintf(stderr, "consume failed: %s\n", rd_kafka_message_errstr(batch[i]));
      }
      rd_kafka_message_destroy(batch[i]);
    }
  }
  report(seen, bytes, now() - from);
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_consumer_close(client);
  rd_kafka_destroy(client);
  return seen >= records && failed == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: client produce|consume <bootstrap> <topic> <record bytes|partitions> <records> [name=value ...]\n");
    return 2;
  }
  rd_kafka_conf_t *conf = configure(argv[2], argc - 6, argv + 6);
  if (strcmp(argv[1], "produce") == 0) return produce(conf, argv[3], strtoul(argv[4], NULL, 10), atol(argv[5]));
  return consume(conf, argv[3], atoi(argv[4]), atol(argv[5]));
}
