import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Drives Kafka's own Java client for the compatibility suites; the protocol is in ../harness/driver-loop.ts. */
public class Driver {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final String bootstrap;
  private final Admin admin;
  private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
  private final Map<String, Member> members = new HashMap<>();
  private final Transactions transactions;

  Driver(String bootstrap) {
    this.bootstrap = bootstrap;
    this.transactions = new Transactions(bootstrap);
    this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "client.id", "compat-java"));
  }

  public static void main(String[] args) throws Exception {
    Driver driver = new Driver(args[0]);
    PrintStream out = new PrintStream(System.out, true, "UTF-8");
    Tools.captureOutput();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode request = JSON.readTree(line);
      ObjectNode answer = JSON.createObjectNode().put("id", request.get("id").asLong());
      try {
        answer.set("result", driver.handle(request.get("op").asText(), request));
      } catch (Exception e) {
        answer.put("error", e.toString());
      }
      out.println(JSON.writeValueAsString(answer));
    }
    System.exit(0);
  }

  private JsonNode handle(String op, JsonNode args) throws Exception {
    switch (op) {
      case "hello":
        return JSON.valueToTree(Map.of(
            "version", "kafka-clients " + AppInfoParser.getVersion(),
            "codecs", List.of("none", "gzip", "snappy", "lz4", "zstd"),
            "strategies", List.copyOf(Member.STRATEGIES.keySet())));
      case "create":
        return create(args);
      case "delete":
        admin.deleteTopics(List.of(text(args, "topic"))).all().get();
        return null;
      case "deleteRecords":
        admin.deleteRecords(Map.of(partition(args), RecordsToDelete.beforeOffset(args.get("offset").asLong()))).all().get();
        return null;
      case "lookup":
        return lookup(args);
      case "produce":
        return produce(args);
      case "consume":
        return consume(args);
      case "join":
        members.put(text(args, "member"), new Member(consumer(Member.options(text(args, "group"), text(args, "strategy"))), text(args, "topic")));
        return null;
      case "seen":
        return JSON.valueToTree(members.get(text(args, "member")).take());
      case "leave":
        Member gone = members.remove(text(args, "member"));
        gone.leave();
        return JSON.valueToTree(gone.take());
      case "openTransactional":
        transactions.open(args);
        return null;
      case "begin":
        transactions.begin(args);
        return null;
      case "send":
        transactions.send(args);
        return null;
      case "sendOffsets":
        transactions.sendOffsets(args);
        return null;
      case "end":
        transactions.end(args);
        return null;
      case "closeTransactional":
        transactions.close(args);
        return null;
      case "committed":
        return committed(args);
      case "tool":
        String[] words = JSON.convertValue(args.get("args"), String[].class);
        return JSON.valueToTree(Tools.run(text(args, "main"), words, text(args, "input"), args.get("timeoutMs").asLong()));
      default:
        throw new IllegalArgumentException("unknown operation " + op);
    }
  }

  private static String text(JsonNode args, String name) {
    return args.get(name).asText();
  }

  private static TopicPartition partition(JsonNode args) {
    return new TopicPartition(text(args, "topic"), args.get("partition").asInt());
  }

  private JsonNode create(JsonNode args) throws Exception {
    Map<String, String> configs = new HashMap<>();
    args.get("configs").properties().forEach(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
    NewTopic topic = new NewTopic(text(args, "topic"), args.get("partitions").asInt(), (short) 1).configs(configs);
    admin.createTopics(List.of(topic)).all().get();
    return null;
  }

  private JsonNode lookup(JsonNode args) throws Exception {
    TopicPartition where = partition(args);
    OffsetSpec at = OffsetSpec.forTimestamp(args.get("timestamp").asLong());
    long offset = admin.listOffsets(Map.of(where, at)).partitionResult(where).get().offset();
    return JSON.createObjectNode().put("offset", offset);
  }

  private JsonNode committed(JsonNode args) throws Exception {
    String group = text(args, "group");
    OffsetAndMetadata found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata(group).get().get(partition(args));
    return JSON.createObjectNode().put("offset", found == null ? -1 : found.offset());
  }

  private KafkaProducer<byte[], byte[]> producer(String codec, int acks) {
    return producers.computeIfAbsent(codec + acks, name -> new KafkaProducer<>(Map.of(
        "bootstrap.servers", bootstrap,
        "client.id", "compat-java-" + name,
        "compression.type", codec,
        "acks", String.valueOf(acks),
        "enable.idempotence", acks == -1,
        "max.request.size", 20_000_000,
        "buffer.memory", 100_000_000L,
        "linger.ms", 5), new ByteArraySerializer(), new ByteArraySerializer()));
  }

  private JsonNode produce(JsonNode args) throws Exception {
    KafkaProducer<byte[], byte[]> producer = producer(text(args, "codec"), args.get("acks").asInt());
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode planned : args.get("records")) {
      byte[] key = planned.get("key").isNull() ? null : planned.get("key").asText().getBytes("UTF-8");
      byte[] value = Payload.make(planned.get("size").asInt(), planned.get("seed").asInt());
      ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
          text(args, "topic"), args.get("partition").asInt(), planned.get("timestamp").asLong(), key, value);
      for (JsonNode header : planned.get("headers"))
        record.headers().add(header.get(0).asText(), header.get(1).asText().getBytes("UTF-8"));
      sent.add(producer.send(record));
    }
    for (Future<RecordMetadata> one : sent) one.get();
    return JSON.createObjectNode().put("baseOffset", sent.get(0).get().offset());
  }

  private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> options) {
    Map<String, Object> all = new HashMap<>(Map.of(
        "bootstrap.servers", bootstrap,
        "client.id", "compat-java",
        "auto.offset.reset", "earliest",
        "enable.auto.commit", false,
        "max.partition.fetch.bytes", 20_000_000,
        "fetch.max.wait.ms", 200));
    all.putAll(options);
    return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private JsonNode consume(JsonNode args) throws Exception {
    Map<TopicPartition, Long> ends = new HashMap<>();
    for (JsonNode topic : args.get("topics")) {
      for (int i = 0; i < topic.get("ends").size(); i++) {
        long end = topic.get("ends").get(i).asLong();
        if (end > 0) ends.put(new TopicPartition(topic.get("topic").asText(), i), end);
      }
    }
    ArrayNode seen = JSON.createArrayNode();
    String isolation = args.has("isolation") ? text(args, "isolation") : "read_uncommitted";
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("isolation.level", isolation))) {
      consumer.assign(ends.keySet());
      consumer.seekToBeginning(List.of());
      while (!ends.isEmpty()) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) seen.add(describe(record));
        // The position, for what is last may be a marker.
        ends.entrySet().removeIf(end -> consumer.position(end.getKey()) >= end.getValue());
      }
    }
    return seen;
  }

  private static ObjectNode describe(ConsumerRecord<byte[], byte[]> record) throws Exception {
    ObjectNode node = JSON.createObjectNode()
        .put("topic", record.topic())
        .put("partition", record.partition())
        .put("offset", record.offset())
        .put("key", record.key() == null ? null : new String(record.key(), "UTF-8"))
        .put("size", record.value() == null ? -1 : record.value().length)
        .put("digest", record.value() == null ? "" : Payload.digest(record.value()))
        .put("timestamp", record.timestamp());
    ArrayNode headers = node.putArray("headers");
    record.headers().forEach(header -> headers.addArray().add(header.key()).add(new String(header.value())));
    return node;
  }
}
