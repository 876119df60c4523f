import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Two members of a share group work off a topic: they accept most records, reject some and release some once. Arguments: bootstrap servers, topic,
 * group, number of records, bytes of each. Prints what became of them; anything unexpected is an exception.
 */
public final class ShareCheck {
  private static final long DEADLINE_NS = Duration.ofSeconds(200).toNanos();

  public static void main(String[] args) throws Exception {
    String bootstrap = args[0];
    String topic = args[1];
    String group = args[2];
    int count = Integer.parseInt(args[3]);
    int bytes = Integer.parseInt(args[4]);
    beginAtTheStart(bootstrap, group);
    produce(bootstrap, topic, count, bytes);

    Set<Integer> accepted = new TreeSet<>();
    Set<Integer> rejected = new TreeSet<>();
    Set<Integer> released = new TreeSet<>();
    List<KafkaShareConsumer<byte[], byte[]>> members = new ArrayList<>();
    for (int i = 0; i < 2; i++) members.add(member(bootstrap, topic, group));
    long end = System.nanoTime() + DEADLINE_NS;
    while (accepted.size() + rejected.size() < count && System.nanoTime() < end)
      for (KafkaShareConsumer<byte[], byte[]> member : members) {
        Map<Integer, AcknowledgeType> said = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : member.poll(Duration.ofMillis(500))) {
          int number = check(record, bytes);
          short expected = (short) (released.contains(number) ? 2 : 1);
          if (record.deliveryCount().orElseThrow() != expected)
            throw new IllegalStateException(number + " has the delivery count " + record.deliveryCount());
          if (accepted.contains(number) || rejected.contains(number))
            throw new IllegalStateException(number + " comes again");
          AcknowledgeType type = number % 10 == 1 ? AcknowledgeType.REJECT
              : number % 10 == 2 && !released.contains(number) ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
          member.acknowledge(record, type);
          said.put(number, type);
        }
        member.commitSync(Duration.ofSeconds(20)).forEach((partition, error) -> {
          if (error.isPresent()) throw new IllegalStateException(partition + ": " + error.get(), error.get());
        });
        said.forEach((number, type) ->
            (type == AcknowledgeType.ACCEPT ? accepted : type == AcknowledgeType.REJECT ? rejected : released).add(number));
      }
    for (KafkaShareConsumer<byte[], byte[]> member : members) member.close();
    System.out.println("accepted " + accepted.size() + " rejected " + rejected.size() + " released " + released.size());
    if (accepted.size() + rejected.size() != count) throw new IllegalStateException("records are missing");
  }

  private static void beginAtTheStart(String bootstrap, String group) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      ConfigEntry earliest = new ConfigEntry("share.auto.offset.reset", "earliest");
      admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group),
          List.of(new AlterConfigOp(earliest, AlterConfigOp.OpType.SET)))).all().get();
    }
  }

  private static void produce(String bootstrap, String topic, int count, int bytes) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
        Map.of("bootstrap.servers", bootstrap), new ByteArraySerializer(), new ByteArraySerializer())) {
      for (int i = 0; i < count; i++)
        producer.send(new ProducerRecord<>(topic, String.valueOf(i).getBytes(), Payload.make(bytes, i)));
      producer.flush();
    }
  }

  private static KafkaShareConsumer<byte[], byte[]> member(String bootstrap, String topic, String group) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("group.id", group);
    properties.put("share.acknowledgement.mode", "explicit");
    KafkaShareConsumer<byte[], byte[]> consumer =
        new KafkaShareConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    consumer.subscribe(List.of(topic));
    return consumer;
  }

  private static int check(ConsumerRecord<byte[], byte[]> record, int bytes) {
    int number = Integer.parseInt(new String(record.key()));
    if (!java.util.Arrays.equals(record.value(), Payload.make(bytes, number)))
      throw new IllegalStateException("the value of " + number + " is damaged");
    return number;
  }
}
