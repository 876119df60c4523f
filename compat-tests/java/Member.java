import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** A group member that commits what it has handed over. */
final class Member implements Runnable {
  private static final String PACKAGE = "org.apache.kafka.clients.consumer.";
  /** Those that name an assignor of the broker use the consumer protocol (KIP-848). */
  static final Map<String, String> STRATEGIES = Map.of(
      "consumer-uniform", "uniform",
      "consumer-range", "range",
      "range", PACKAGE + "RangeAssignor",
      "roundrobin", PACKAGE + "RoundRobinAssignor",
      "sticky", PACKAGE + "StickyAssignor",
      "cooperative-sticky", PACKAGE + "CooperativeStickyAssignor");

  private final KafkaConsumer<byte[], byte[]> consumer;
  private final Thread thread = new Thread(this);
  private List<long[]> seen = new ArrayList<>();
  private volatile boolean stopping = false;

  static Map<String, Object> options(String group, String strategy) {
    String assignor = STRATEGIES.get(strategy);
    if (strategy.startsWith("consumer-"))
      return Map.of(
          "group.id", group,
          "group.protocol", "consumer",
          "group.remote.assignor", assignor,
          "max.poll.interval.ms", 30_000);
    return Map.of(
        "group.id", group,
        "partition.assignment.strategy", assignor,
        "session.timeout.ms", 30_000,
        "heartbeat.interval.ms", 300,
        "max.poll.interval.ms", 30_000);
  }

  Member(KafkaConsumer<byte[], byte[]> consumer, String topic) {
    this.consumer = consumer;
    consumer.subscribe(List.of(topic));
    thread.start();
  }

  @Override
  public void run() {
    boolean isCommitted = true;
    while (!stopping) {
      ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
      isCommitted &= records.isEmpty();
      synchronized (this) {
        for (ConsumerRecord<byte[], byte[]> record : records)
          seen.add(new long[] {record.partition(), record.offset()});
      }
      try {
        if (!isCommitted) consumer.commitSync();
        isCommitted = true;
      } catch (CommitFailedException | RebalanceInProgressException e) {
        continue; // the next owner reads these records again, or they are committed when the rebalance is over
      }
    }
    consumer.close();
  }

  synchronized List<long[]> take() {
    List<long[]> taken = seen;
    seen = new ArrayList<>();
    return taken;
  }

  void leave() throws InterruptedException {
    stopping = true;
    thread.join(30_000);
  }
}
