import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;

/**
 * A word count and a windowed join whose results are known: create, feed, run (until killed), read. Without caching every word
 * gives one update, so that with exactly-once each word's counts are 1, 2, 3 and so on, whatever was killed meanwhile.
 */
final class StreamsCheck {
  static final String SENTENCES = "sentences";
  static final String LEFT = "left";
  static final String RIGHT = "right";
  static final String COUNTS = "counts";
  static final String JOINED = "joined";

  public static void main(String[] args) throws Exception {
    String bootstrap = args[1];
    switch (args[0]) {
      case "create" -> create(bootstrap, Integer.parseInt(args[2]));
      case "feed" -> feed(bootstrap, Integer.parseInt(args[2]), Integer.parseInt(args[3]), Integer.parseInt(args[4]));
      case "run" -> run(bootstrap, args[2], args[3], Arrays.asList(args).subList(4, args.length));
      case "read" -> read(bootstrap, Long.parseLong(args[2]), Long.parseLong(args[3]), Integer.parseInt(args[4]));
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  private static void create(String bootstrap, int partitions) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      List<NewTopic> topics = new ArrayList<>();
      for (String name : List.of(SENTENCES, LEFT, RIGHT, COUNTS, JOINED)) topics.add(new NewTopic(name, partitions, (short) 1));
      admin.createTopics(topics).all().get();
    }
  }

  /** Every even right event is within the window of its left one, every odd one is not. */
  private static void feed(String bootstrap, int from, int to, int paceMs) throws Exception {
    long start = System.currentTimeMillis();  // not so old that retention would take it
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "linger.ms", 5);
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      List<Future<?>> sent = new ArrayList<>();
      for (int i = from; i < to; i++) {
        long at = start + 10L * i;
        String key = "k" + i;
        sent.add(producer.send(new ProducerRecord<>(SENTENCES, null, at, key, "all w" + i % 17 + " v" + i % 5)));
        sent.add(producer.send(new ProducerRecord<>(LEFT, null, at, key, "l" + i)));
        sent.add(producer.send(new ProducerRecord<>(RIGHT, null, at + (i % 2 == 0 ? 5 : 20_000), key, "r" + i)));
        if (paceMs > 0) Thread.sleep(paceMs);
      }
      for (Future<?> one : sent) one.get();
    }
  }

  private static void run(String bootstrap, String application, String stateDirectory, List<String> settings) throws Exception {
    Properties config = new Properties();
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    config.put(StreamsConfig.STATE_DIR_CONFIG, stateDirectory);
    config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    config.put("auto.offset.reset", "earliest");
    for (String setting : settings) config.put(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));

    StreamsBuilder builder = new StreamsBuilder();
    Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
    builder.stream(SENTENCES, strings)
        .flatMapValues(sentence -> Arrays.asList(sentence.split(" ")))
        .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
        .count()
        .toStream()
        .mapValues(String::valueOf)
        .to(COUNTS, Produced.with(Serdes.String(), Serdes.String()));
    KStream<String, String> right = builder.stream(RIGHT, strings);
    builder.stream(LEFT, strings)
        .join(right, (l, r) -> l + "/" + r, JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(10), Duration.ofHours(1)),
            StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
        .to(JOINED, Produced.with(Serdes.String(), Serdes.String()));

    KafkaStreams streams = new KafkaStreams(builder.build(), config);
    streams.setStateListener((now, before) -> System.out.println("state " + now));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
    streams.start();
    Thread.currentThread().join();
  }

  /** Waits for so many committed results, then a little for what should not come; prints them by key, in their order. */
  private static void read(String bootstrap, long counts, long joins, int timeoutMs) throws Exception {
    Map<String, Map<String, List<String>>> found = new HashMap<>();
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed", "auto.offset.reset", "earliest");
    long seen = 0;
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      List<TopicPartition> all = new ArrayList<>();
      for (String topic : List.of(COUNTS, JOINED)) {
        found.put(topic, new TreeMap<>());
        consumer.partitionsFor(topic).forEach(info -> all.add(new TopicPartition(topic, info.partition())));
      }
      consumer.assign(all);
      consumer.seekToBeginning(all);
      long deadline = System.currentTimeMillis() + timeoutMs;
      while (System.currentTimeMillis() < deadline) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
          found.get(record.topic()).computeIfAbsent(record.key(), key -> new ArrayList<>()).add(record.value());
          if (++seen == counts + joins) deadline = Math.min(deadline, System.currentTimeMillis() + 2000);
        }
      }
    }
    System.out.println("RESULT " + new ObjectMapper().writeValueAsString(found));
  }
}
