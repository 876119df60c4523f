"""Counts the events of each key with Quix Streams, exactly once: BOOTSTRAP STATE_FOLDER INPUT OUTPUT."""

import sys

from quixstreams import Application

bootstrap, folder, source, result = sys.argv[1:]

app = Application(
    broker_address=bootstrap,
    consumer_group="quix",
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=0.3,
    state_dir=folder,
    loglevel="WARNING",
    consumer_extra_config={"session.timeout.ms": 6000},
    # Its transactional id is another one in each life, so that nobody but time ends what it left open.
    producer_extra_config={"transaction.timeout.ms": 20000},
)
events = app.topic(source, key_deserializer="str", value_deserializer="json")
counts = app.topic(result, key_serializer="str", value_serializer="json")


def count(number, state):
    seen = state.get("seen", 0) + 1
    state.set("seen", seen)
    return {"number": number, "seen": seen}


app.dataframe(events).apply(count, stateful=True).to_topic(counts)
app.run()
