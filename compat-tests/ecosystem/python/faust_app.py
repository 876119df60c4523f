"""Counts the events of each key with Faust; the counts are in a table, which is in its changelog topic. See faust.test.ts."""

import os

import faust

app = faust.App(
    "faust",
    broker=os.environ["FAUST_BROKER"],
    store="memory://",
    topic_partitions=2,
    topic_replication_factor=1,
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
    broker_commit_interval=0.5,
)
events = app.topic("faust-in", key_type=str, value_type=int, key_serializer="raw", value_serializer="json")
results = app.topic("faust-out", key_type=str, value_type=int, key_serializer="raw", value_serializer="json")
counts = app.Table("counts", default=int, partitions=2, key_type=str, value_type=int)


@app.agent(events)
async def count(stream):
    async for key, number in stream.items():
        counts[key] += 1
        await results.send(key=key, value=number)


if __name__ == "__main__":
    app.main()
