import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.metadata.TopicRecord;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.server.common.ApiMessageAndVersion;

/** Record batches as Kafka builds them, with their options and records; and framed records of internal topics. */
final class RecordFixtures {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final long TIMESTAMP = 1700000000000L;

    private final Random random = new Random(7);

    ObjectNode build() {
        ObjectNode root = MAPPER.createObjectNode();
        ArrayNode batches = root.putArray("batches");
        for (CompressionType codec : CompressionType.values()) {
            batches.add(batch(codec, TimestampType.CREATE_TIME, -1, false, records(1, 10)));
            batches.add(batch(codec, TimestampType.CREATE_TIME, 4711, true, records(20, 300)));
            batches.add(batch(codec, TimestampType.LOG_APPEND_TIME, 4712, false, records(3, 5000)));
        }
        ArrayNode markers = root.putArray("markers");
        markers.add(marker(ControlRecordType.COMMIT));
        markers.add(marker(ControlRecordType.ABORT));
        root.put("metadataRecord", metadataRecord());
        CoordinatorRecord commit = CoordinatorRecord.record(
            new OffsetCommitKey().setGroup("group").setTopic("topic").setPartition(5),
            new ApiMessageAndVersion(new OffsetCommitValue().setOffset(9).setLeaderEpoch(2).setMetadata("m").setCommitTimestamp(TIMESTAMP), (short) 3));
        root.put("coordinatorKey", new GroupCoordinatorRecordSerde().serializeKey(commit));
        root.put("coordinatorValue", new GroupCoordinatorRecordSerde().serializeValue(commit));
        return root;
    }

    private ObjectNode batch(CompressionType codec, TimestampType type, long producerId, boolean transactional, List<SimpleRecord> records) {
        short epoch = (short) (producerId < 0 ? -1 : 3);
        int sequence = producerId < 0 ? -1 : 100;
        long appendTime = type == TimestampType.LOG_APPEND_TIME ? TIMESTAMP + 12345 : RecordBatch.NO_TIMESTAMP;
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), RecordBatch.MAGIC_VALUE_V2,
            Compression.of(codec).build(), type, 1000L, appendTime, producerId, epoch, sequence, transactional, false, 6);
        records.forEach(builder::append);
        ObjectNode node = MAPPER.createObjectNode();
        node.put("codec", codec.name).put("codecId", codec.id).put("appendTime", Long.toString(appendTime));
        node.put("producerId", Long.toString(producerId)).put("producerEpoch", epoch).put("baseSequence", sequence);
        node.put("transactional", transactional).put("baseOffset", "1000").put("leaderEpoch", 6);
        node.put("bytes", bytes(builder.build()));
        ArrayNode array = node.putArray("records");
        records.forEach(record -> array.add(describe(record)));
        return node;
    }

    private List<SimpleRecord> records(int count, int maximum) {
        List<SimpleRecord> records = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] key = i % 3 == 1 ? null : ("key-" + i).getBytes(StandardCharsets.UTF_8);
            byte[] value = i % 5 == 4 ? null : "abcdefgh".repeat(1 + random.nextInt(maximum) / 8).getBytes(StandardCharsets.UTF_8);
            Header[] headers = new Header[i % 3];
            for (int h = 0; h < headers.length; h++) headers[h] = new RecordHeader("Kopf ü" + h, h == 1 ? null : new byte[] {1, 2});
            records.add(new SimpleRecord(TIMESTAMP + random.nextInt(100000) - 50000, key, value, headers));
        }
        return records;
    }

    private static ObjectNode describe(SimpleRecord record) {
        ObjectNode node = MAPPER.createObjectNode().put("timestamp", Long.toString(record.timestamp()));
        node.put("key", bytes(record.key())).put("value", bytes(record.value()));
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) headers.addObject().put("key", header.key()).put("value", header.value());
        return node;
    }

    private static ObjectNode marker(ControlRecordType type) {
        MemoryRecords records = MemoryRecords.withEndTransactionMarker(55, TIMESTAMP, 8, 4711, (short) 3, new EndTransactionMarker(type, 17));
        return MAPPER.createObjectNode().put("type", type.name()).put("bytes", bytes(records));
    }

    private static byte[] metadataRecord() {
        ApiMessage topic = new TopicRecord().setName("topic").setTopicId(new Uuid(1, 2));
        ApiMessageAndVersion record = new ApiMessageAndVersion(topic, (short) 0);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(MetadataRecordSerde.INSTANCE.recordSize(record, cache));
        MetadataRecordSerde.INSTANCE.write(record, cache, new ByteBufferAccessor(buffer));
        return buffer.array();
    }

    private static byte[] bytes(MemoryRecords records) {
        return bytes(records.buffer());
    }

    private static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null) return null;
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
