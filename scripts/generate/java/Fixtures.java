import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPOutputStream;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.Errors;

/** Writes what the tests of src/protocol compare with. Arguments: directory of message definitions, output directory. */
public final class Fixtures {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Fixtures() { }

    public static void main(String[] args) throws Exception {
        Path output = Path.of(args[1]);
        try (Writer out = gzip(output.resolve("messages.jsonl.gz"))) {
            MessageFixtures.write(Path.of(args[0]), out);
        }
        try (Writer out = gzip(output.resolve("records.json.gz"))) {
            out.write(MAPPER.writeValueAsString(new RecordFixtures().build()));
        }
        try (Writer out = gzip(output.resolve("tables.json.gz"))) {
            out.write(MAPPER.writeValueAsString(tables()));
        }
    }

    /** Kafka's error codes, and the header versions of every API and version. */
    private static ObjectNode tables() {
        ObjectNode root = MAPPER.createObjectNode();
        ArrayNode errors = root.putArray("errors");
        for (Errors error : Errors.values()) {
            errors.addObject().put("name", error.name()).put("code", error.code()).put("message", error.message())
                .put("retriable", error.exception() instanceof RetriableException);
        }
        ArrayNode apis = root.putArray("apis");
        for (ApiMessageType api : ApiMessageType.values()) {
            for (short version = api.lowestSupportedVersion(); version <= api.highestSupportedVersion(true); version++) {
                apis.addObject().put("name", api.name).put("key", api.apiKey()).put("version", version)
                    .put("requestHeader", api.requestHeaderVersion(version)).put("responseHeader", api.responseHeaderVersion(version));
            }
        }
        return root;
    }

    private static Writer gzip(Path file) throws IOException {
        return new OutputStreamWriter(new GZIPOutputStream(Files.newOutputStream(file)), StandardCharsets.UTF_8);
    }
}
