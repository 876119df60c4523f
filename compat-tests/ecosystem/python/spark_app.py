"""Counts events by name and minute with Spark Structured Streaming: BOOTSTRAP CHECKPOINT_FOLDER INPUT OUTPUT."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, concat_ws, count, from_json, struct, to_json, window
from pyspark.sql.functions import sum as total

bootstrap, checkpoint, source, result = sys.argv[1:]

spark = SparkSession.builder.getOrCreate()
records = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", bootstrap)
    .option("subscribe", source)
    .option("startingOffsets", "earliest")
    # Small batches, so that there is always one to be killed in.
    .option("maxOffsetsPerTrigger", 400)
    .load()
)
events = records.select(
    col("key").cast("string").alias("name"),
    from_json(col("value").cast("string"), "time LONG, number LONG").alias("event"),
).select("name", col("event.time").cast("timestamp").alias("time"), "event.number")
counts = (
    events.withWatermark("time", "1 hour")
    .groupBy("name", window("time", "1 minute"))
    .agg(count("*").alias("count"), total("number").alias("sum"))
)
rows = counts.select(
    concat_ws("@", "name", col("window.start").cast("long")).alias("key"),
    to_json(struct("count", "sum")).alias("value"),
)
(
    rows.writeStream.format("kafka")
    .option("kafka.bootstrap.servers", bootstrap)
    .option("topic", result)
    .option("checkpointLocation", checkpoint)
    .outputMode("update")
    .trigger(processingTime="200 milliseconds")
    .start()
    .awaitTermination()
)
