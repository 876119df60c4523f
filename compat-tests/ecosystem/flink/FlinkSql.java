import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs a script of Flink SQL inside this process: FILE KEY=VALUE..., the latter being Flink's configuration. */
public final class FlinkSql {
  private FlinkSql() {}

  public static void main(String[] args) throws Exception {
    Configuration configuration = new Configuration();
    for (String setting : List.of(args).subList(1, args.length)) {
      int equals = setting.indexOf('=');
      configuration.setString(setting.substring(0, equals), setting.substring(equals + 1));
    }
    EnvironmentSettings settings =
        EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build();
    TableEnvironment tables = TableEnvironment.create(settings);
    for (String statement : Files.readString(Path.of(args[0])).split(";")) {
      if (statement.isBlank()) continue;
      TableResult result = tables.executeSql(statement.strip());
      if (result.getJobClient().isPresent()) result.await();
    }
  }
}
