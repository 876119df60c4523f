// The load generator: one program on librdkafka, one subcommand a kind of load. Values are never copied, random numbers are drawn once, and reports are
// asked for failures alone, so that the client is the limit as late as possible.
#pragma once
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
  const char *bootstrap;
  const char *topic;
  size_t size;        // bytes of a value
  double seconds;     // time limit of the load; 0: none
  double bytes;       // byte limit of the load; 0: none
  long records;       // record limit of the load; 0: none
  long keys;          // records have one of so many keys in turn; 0: none
  int clients;        // client instances, each with its own connection and thread
  int partitions;
  double entropy;     // part of the value that is random: 1 does not compress
  double rate;        // records a second, for the loads with a schedule
  double idle;        // a consumer ends after so many seconds without a record
  double interval;    // seconds between reports of a long run
  bool count;         // whether a load with a schedule counts its requests, which costs the client some time
  int depth;          // requests in flight on a connection, for raw requests
  int transaction;    // records of a transaction
  double lead;        // seconds of a load with a schedule that come before it and are not counted
  double commit;      // seconds between commits of a load with a schedule; 0: no transactions
  int part;           // which of `parts` processes this is, that share the partitions of a topic
  int parts;
  const char *config; // name=value,... of a topic that is made
  int extra;          // librdkafka properties, name=value
  char **properties;
};

double now(void);
double cpu_seconds(void);
void die(const char *message);
void set_property(rd_kafka_conf_t *conf, const char *name, const char *value);
rd_kafka_conf_t *configuration(const struct options *options);
rd_kafka_t *start_client(rd_kafka_type_t type, rd_kafka_conf_t *conf);
rd_kafka_topic_t *open_topic(rd_kafka_t *client, const struct options *options);

/** A pool of values: `value_at` gives one of `size` bytes, a different part of the pool each time. */
struct pool {
  char *bytes;
  size_t size;
  size_t spread; // values begin within so many bytes,
  size_t step;   // so far apart
};
struct pool make_pool(const struct options *options);
void *value_at(const struct pool *pool, long i);

/** Says that everything is connected, then waits for a line on standard input, so that many clients start together. */
double wait_for_go(void);

enum { TIMEOUT_MS = 60000 }; // of each step of a transaction
/** A producer that may begin transactions; its id is the topic's name with a number. */
rd_kafka_t *start_transactional(const struct options *options, rd_kafka_conf_t *conf, int index);
void check_transaction(rd_kafka_error_t *error);

/** Sum of the requests that all clients have sent, from librdkafka's own statistics. */
void count_requests(rd_kafka_conf_t *conf);
enum { STATISTICS_MS = 100 };
long requests_sent(void);

int produce(const struct options *options);
int consume(const struct options *options);
int latency(const struct options *options);
int group(const struct options *options);
int raw(const struct options *options);
int transactions(const struct options *options);
int topics(const struct options *options, const char *what);
