import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Events by Apicurio's Avro serializers: `write BOOTSTRAP REGISTRY SCHEMA COUNT TOPIC`, or `read BOOTSTRAP
 * REGISTRY SCHEMA COUNT TOPIC...`, which prints what every topic holds. avro_check.py and avro-check.mjs do the same.
 */
public final class AvroCheck {
  private static final long DEADLINE_MS = 60_000;

  private AvroCheck() {}

  public static void main(String[] args) throws Exception {
    String mode = args[0];
    Map<String, Object> settings = new TreeMap<>(Map.of(
        "bootstrap.servers", args[1],
        "apicurio.registry.url", args[2] + "/apis/registry/v3",
        "apicurio.registry.auto-register", "true",
        "key.serializer", StringSerializer.class.getName(),
        "value.serializer", "io.apicurio.registry.serde.avro.AvroKafkaSerializer",
        "key.deserializer", StringDeserializer.class.getName(),
        "value.deserializer", "io.apicurio.registry.serde.avro.AvroKafkaDeserializer"));
    int count = Integer.parseInt(args[4]);
    if (mode.equals("write")) write(settings, new Schema.Parser().parse(args[3]), count, args[5]);
    else System.out.println("RESULT " + read(settings, count, List.of(args).subList(5, args.length)));
    System.exit(0); // threads of the registry's client go on
  }

  /** Every tenth is large enough to be diverted. */
  private static ByteBuffer blob(int number) {
    byte[] bytes = new byte[number % 10 == 9 ? 100_000 : number];
    for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) ((number + i) % 251);
    return ByteBuffer.wrap(bytes);
  }

  private static void write(Map<String, Object> settings, Schema schema, int count, String topic) throws Exception {
    try (KafkaProducer<String, GenericRecord> producer = new KafkaProducer<>(settings)) {
      for (int i = 0; i < count; i++) {
        GenericRecord event = new GenericData.Record(schema);
        event.put("name", "event " + i);
        event.put("number", (long) i);
        event.put("blob", blob(i));
        producer.send(new ProducerRecord<>(topic, "" + i, event)).get();
      }
    }
  }

  private static String read(Map<String, Object> settings, int count, List<String> topics) throws Exception {
    Map<String, List<String>> found = new TreeMap<>();
    try (KafkaConsumer<String, GenericRecord> consumer = new KafkaConsumer<>(settings)) {
      List<TopicPartition> partitions = topics.stream()
          .flatMap(topic -> Stream.of(0, 1).map(index -> new TopicPartition(topic, index)))
          .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      long deadline = System.currentTimeMillis() + DEADLINE_MS;
      int missing = count * topics.size();
      while (missing > 0 && System.currentTimeMillis() < deadline) {
        for (ConsumerRecord<String, GenericRecord> record : consumer.poll(Duration.ofMillis(500))) {
          found.computeIfAbsent('"' + record.topic() + '"', topic -> new ArrayList<>()).add('"' + said(record.value()) + '"');
          missing--;
        }
      }
    }
    return found.toString().replace("=[", ":[");
  }

  private static String said(GenericRecord event) throws Exception {
    ByteBuffer blob = (ByteBuffer) event.get("blob");
    byte[] bytes = new byte[blob.remaining()];
    blob.get(bytes);
    String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes)).substring(0, 16);
    return event.get("name") + " " + event.get("number") + " " + digest;
  }
}
