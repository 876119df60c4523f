import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Producers with transactional ids. */
final class Transactions {
  private final String bootstrap;
  private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();

  Transactions(String bootstrap) {
    this.bootstrap = bootstrap;
  }

  void open(JsonNode args) {
    KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(Map.of(
        "bootstrap.servers", bootstrap,
        "client.id", "compat-java-" + args.get("producer").asText(),
        "transactional.id", args.get("transactionalId").asText(),
        "transaction.timeout.ms", args.get("timeoutMs").asInt(),
        "max.block.ms", 20_000,
        "delivery.timeout.ms", 20_000,
        "request.timeout.ms", 5_000,
        "linger.ms", 0), new ByteArraySerializer(), new ByteArraySerializer());
    producers.put(args.get("producer").asText(), producer);
    producer.initTransactions();
  }

  void begin(JsonNode args) {
    find(args).beginTransaction();
  }

  void send(JsonNode args) throws Exception {
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode planned : args.get("records")) {
      byte[] key = planned.get("key").isNull() ? null : planned.get("key").asText().getBytes("UTF-8");
      byte[] value = Payload.make(planned.get("size").asInt(), planned.get("seed").asInt());
      sent.add(find(args).send(
          new ProducerRecord<>(args.get("topic").asText(), args.get("partition").asInt(), key, value)));
    }
    find(args).flush();
    for (Future<RecordMetadata> one : sent) one.get();
  }

  void sendOffsets(JsonNode args) {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    for (JsonNode offset : args.get("offsets"))
      offsets.put(new TopicPartition(args.get("topic").asText(), offset.get(0).asInt()), new OffsetAndMetadata(offset.get(1).asLong()));
    find(args).sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(args.get("group").asText()));
  }

  void end(JsonNode args) {
    if (args.get("commit").asBoolean()) find(args).commitTransaction();
    else find(args).abortTransaction();
  }

  void close(JsonNode args) {
    producers.remove(args.get("producer").asText()).close(java.time.Duration.ZERO);
  }

  private KafkaProducer<byte[], byte[]> find(JsonNode args) {
    return producers.get(args.get("producer").asText());
  }
}
