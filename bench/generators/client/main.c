//   client produce|consume|latency|transactions|group|raw|create|configure|delete|touch|version  name=value ... [-- librdkafka.property=value ...]
// Prints "ready" when connected, waits for a line on standard input, then prints its figures as a line of JSON.
#include "client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/** Takes memory, whose pages a virtual machine's host has to find first, and gives it back: whoever comes next finds it in use. */
static int touch(const struct options *o) {
  size_t bytes = (size_t)o->bytes;
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("no memory to touch");
  return printf("{\"bytes\":%zu}\n", bytes) < 0;
}

static bool take_number(struct options *o, const char *name, double value) {
  struct { const char *name; double *into; } reals[] = {
      {"seconds", &o->seconds}, {"bytes", &o->bytes}, {"entropy", &o->entropy},
      {"rate", &o->rate},       {"idle", &o->idle},   {"interval", &o->interval},
      {"commit", &o->commit},   {"lead", &o->lead},
  };
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
    if (strcmp(name, reals[i].name) == 0) return *reals[i].into = value, true;
  }
  struct { const char *name; int *into; } whole[] = {
      {"clients", &o->clients}, {"partitions", &o->partitions}, {"depth", &o->depth},
      {"transaction", &o->transaction},
      {"part", &o->part},       {"parts", &o->parts}};
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
    if (strcmp(name, whole[i].name) == 0) return *whole[i].into = (int)value, true;
  }
  if (strcmp(name, "count") == 0) return o->count = value != 0, true;
  if (strcmp(name, "size") == 0) return o->size = (size_t)value, true;
  if (strcmp(name, "keys") == 0) return o->keys = (long)value, true;
  if (strcmp(name, "records") == 0) return o->records = (long)value, true;
  return false;
}

static void take(struct options *o, char *argument) {
  char *equals = strchr(argument, '=');
  if (!equals) die("an option is name=value");
  *equals = 0;
  const char *value = equals + 1;
  if (strcmp(argument, "bootstrap") == 0) o->bootstrap = value;
  else if (strcmp(argument, "topic") == 0) o->topic = value;
  else if (strcmp(argument, "config") == 0) o->config = value;
  else if (!take_number(o, argument, atof(value))) {
    fprintf(stderr, "client: unknown option %s\n", argument);
    exit(2);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "version") == 0) return printf("%s\n", rd_kafka_version_str()) < 0;
  struct options o = {.size = 100, .clients = 1, .partitions = 1, .entropy = 1, .rate = 1000, .depth = 1, .parts = 1, .transaction = 1};
  int i = 2;
  for (; i < argc && strcmp(argv[i], "--") != 0; i++) take(&o, argv[i]);
  o.extra = i < argc ? argc - i - 1 : 0;
  o.properties = argv + i + 1;
  if (strcmp(what, "touch") == 0) return touch(&o);
  if (!o.bootstrap || !o.topic) die("bootstrap= and topic= are needed");
  if (strcmp(what, "produce") == 0) return produce(&o);
  if (strcmp(what, "consume") == 0) return consume(&o);
  if (strcmp(what, "latency") == 0) return latency(&o);
  if (strcmp(what, "transactions") == 0) return transactions(&o);
  if (strcmp(what, "group") == 0) return group(&o);
  if (strcmp(what, "raw") == 0) return raw(&o);
  if (strcmp(what, "create") == 0 || strcmp(what, "configure") == 0 || strcmp(what, "delete") == 0) return topics(&o, what);
  die("unknown subcommand");
  return 2;
}
