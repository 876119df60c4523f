// Makes, configures and deletes topics; "topic" is one name or several separated by commas.
#include "client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOPICS = 1000 };

static int names(const struct options *options, char **into) {
  int count = 0;
  char *all = strdup(options->topic);
  for (char *name = strtok(all, ","); name && count < MAX_TOPICS; name = strtok(NULL, ",")) into[count++] = name;
  return count;
}

typedef rd_kafka_resp_err_t (*take_config)(void *into, const char *name, const char *value);

static rd_kafka_resp_err_t of_new_topic(void *topic, const char *name, const char *value) {
  return rd_kafka_NewTopic_set_config(topic, name, value);
}

static rd_kafka_resp_err_t of_resource(void *resource, const char *name, const char *value) {
  return rd_kafka_ConfigResource_set_config(resource, name, value);
}

static void each_config(const struct options *options, take_config take, void *into) {
  char *all = strdup(options->config ? options->config : "");
  char *rest = NULL;
  for (char *entry = strtok_r(all, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest)) {
    char *equals = strchr(entry, '=');
    if (!equals) die("a topic's configuration is name=value,...");
    *equals = 0;
    take(into, entry, equals + 1);
  }
  free(all);
}

static int check(rd_kafka_event_t *event, const rd_kafka_topic_result_t **results, size_t count) {
  if (!event || rd_kafka_event_error(event)) die(event ? rd_kafka_event_error_string(event) : "no answer");
  int failed = 0;
  for (size_t i = 0; i < count; i++) {
    if (!rd_kafka_topic_result_error(results[i])) continue;
    failed = 1;
    fprintf(stderr, "client: %s: %s\n", rd_kafka_topic_result_name(results[i]), rd_kafka_topic_result_error_string(results[i]));
  }
  return failed;
}

static rd_kafka_AdminOptions_t *patience(rd_kafka_t *client) {
  rd_kafka_AdminOptions_t *admin = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_ANY);
  char error[256];
  rd_kafka_AdminOptions_set_request_timeout(admin, 120000, error, sizeof error);
  rd_kafka_AdminOptions_set_operation_timeout(admin, 60000, error, sizeof error);
  return admin;
}

static int create(rd_kafka_t *client, rd_kafka_queue_t *queue, const struct options *options) {
  char *list[MAX_TOPICS];
  char error[512];
  size_t count = names(options, list);
  rd_kafka_NewTopic_t *topics[MAX_TOPICS];
  for (size_t i = 0; i < count; i++) {
    topics[i] = rd_kafka_NewTopic_new(list[i], options->partitions, 1, error, sizeof error);
    if (!topics[i]) die(error);
    each_config(options, of_new_topic, topics[i]);
  }
  rd_kafka_CreateTopics(client, topics, count, patience(client), queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 150000);
  size_t n = 0;
  const rd_kafka_topic_result_t **results =
      event ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n) : NULL;
  return check(event, results, n);
}

/** Replaces the configuration of one topic. */
static int configure(rd_kafka_t *client, rd_kafka_queue_t *queue, const struct options *options) {
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, options->topic);
  each_config(options, of_resource, resource);
  rd_kafka_AlterConfigs(client, &resource, 1, patience(client), queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 150000);
  check(event, NULL, 0);
  size_t n = 0;
  const rd_kafka_ConfigResource_t **results = rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &n);
  if (n != 1 || rd_kafka_ConfigResource_error(results[0])) die(n == 1 ? rd_kafka_ConfigResource_error_string(results[0]) : "no answer");
  return 0;
}

static int delete(rd_kafka_t *client, rd_kafka_queue_t *queue, const struct options *options) {
  char *list[MAX_TOPICS];
  size_t count = names(options, list);
  rd_kafka_DeleteTopic_t *topics[MAX_TOPICS];
  for (size_t i = 0; i < count; i++) topics[i] = rd_kafka_DeleteTopic_new(list[i]);
  rd_kafka_DeleteTopics(client, topics, count, patience(client), queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 150000);
  size_t n = 0;
  const rd_kafka_topic_result_t **results =
      event ? rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n) : NULL;
  return check(event, results, n);
}

int topics(const struct options *options, const char *what) {
  rd_kafka_t *client = start_client(RD_KAFKA_PRODUCER, configuration(options));
  rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
  double from = now();
  int (*change)(rd_kafka_t *, rd_kafka_queue_t *, const struct options *) =
      strcmp(what, "create") == 0 ? create : strcmp(what, "configure") == 0 ? configure : delete;
  int failed = change(client, queue, options);
  printf("{\"seconds\":%.4f}\n", now() - from);
  return failed;
}
